#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The header, the version script and the built library agree on what is exported; the module exports
# its structure alone; and every other name that a linker sees begins with rlc_ or rlc__.

. "$(dirname "$0")/common.sh"

nm=${NM:-nm}
header=$top/libcore/include/rlcore/rlcore.h
map=$top/libcore/rlcore.map
library=$build/libcore/.libs/librlcore.so
archive=$build/libcore/.libs/librlcore-static.a
module=$build/mod_ratelimit_redis/.libs/mod_ratelimit_redis.so

# Comments go first: they may mention functions.
sed -e ':a' -e 's,/\*[^*]*\*\+\([^/*][^*]*\*\+\)*/,,g' -e '/\/\*/{' -e N -e ba -e '}' "$header" |
  tr '\n' ' ' | sed 's/RLC_API/\
&/g' | sed -n 's/^RLC_API [^(]*[ *]\(rlc_[a-z0-9_]*\) *(.*/\1/p' | sort > "$scratch/header"
sed -n '/^global:/,/^local:/s/^ *\(rlc_[a-z0-9_]*\);$/\1/p' "$map" | sort > "$scratch/map"

same() { # what file file
  if ! diff "$2" "$3" > "$scratch/diff"; then
    sed -n 's/^</only in the first: /p; s/^>/only in the second:/p' "$scratch/diff"
    complain "$1"
  fi
}

while read -r name; do
  checked "$name"
done < "$scratch/header"
same "rlcore.h (first) and libcore/rlcore.map (second) differ" "$scratch/header" "$scratch/map"
if ! grep -q '^  \*;$' "$map"; then
  complain "libcore/rlcore.map has no 'local: *;': everything would be exported"
fi

if [ -f "$library" ]; then
  $nm -D --defined-only "$library" | sed -n 's/^[0-9a-f]* [TDBRVW] \([^@]*\).*/\1/p' |
    sort > "$scratch/library"
  same "libcore/rlcore.map (first) and librlcore.so (second) differ" "$scratch/map" \
    "$scratch/library"
else
  complain "$library is missing: build first (make)"
fi

if [ -f "$archive" ]; then
  # Names with two leading underscores are the sanitizers'.
  $nm -g --defined-only "$archive" 2> /dev/null | sed -n 's/^[0-9a-f]* [A-Z] //p' |
    grep -v '^__' | sort -u > "$scratch/archive"
  [ -s "$scratch/archive" ] || complain "$archive has no symbols"
  grep -v '^rlc_' "$scratch/archive" > "$scratch/foreign" || :
  while read -r name; do
    complain "$name: a name of the library begins with rlc_ or rlc__: rename it, or make it static"
  done < "$scratch/foreign"
  grep -v '^rlc__' "$scratch/archive" | sort > "$scratch/plain"
  same "rlcore.h (first) and the library's names with one underscore (second) differ" \
    "$scratch/header" "$scratch/plain"
else
  complain "$archive is missing: build first (make)"
fi

if [ -f "$module" ]; then
  $nm -D --defined-only "$module" | sed 's/.* //' | grep -v '^__' > "$scratch/module" || :
  echo ratelimit_redis_module > "$scratch/one"
  same "the module exports something else (second) than its structure (first)" "$scratch/one" \
    "$scratch/module"
elif [ -n "${RLC_APACHE_CPPFLAGS:-}" ]; then
  complain "$module is missing: build first (make)"
fi

# readline and mod_ratelimit have that prefix.
for file in $(sources '*.c' '*.h'); do
  if grep -nE '(^|[^A-Za-z0-9_"])rl_[a-z]' "$top/$file"; then
    complain "$file: the prefix rl_ is others': write rlc_, or ratelimit_ in the module"
  fi
done
finish "public functions"
