#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The README's examples are true: httpd accepts the one for Apache, the compiler the one for C,
# and Python and PHP run their own.

. "$(dirname "$0")/common.sh"

httpd=${RLC_APACHE:-/usr/sbin/apache2}
modules=${RLC_APACHE_MODULES:-/usr/lib/apache2/modules}
module=$build/mod_ratelimit_redis/.libs/mod_ratelimit_redis.so

# The first block of the README fenced as the language given.
example() {
  awk -v fence="\`\`\`$1" '$0 == fence && !done { in_block = 1; next }
    /^```/ && in_block { in_block = 0; done = 1 }
    in_block' "$top/README.md"
}

lines=$(wc -l < "$top/README.md")
[ "$lines" -lt 200 ] || complain "README.md has $lines lines: keep it under 200"

example c > "$scratch/example.c"
if [ -s "$scratch/example.c" ]; then
  checked "the example for C"
  # shellcheck disable=SC2086 # CC may be several words
  $compiler -std=c11 -Wall -Wextra -Werror -I"$top/libcore/include" -fsyntax-only \
    "$scratch/example.c" ||
    complain "README.md: the example for C does not compile"
fi

example apache > "$scratch/example.conf"
[ -s "$scratch/example.conf" ] || complain "README.md has no block fenced as apache"
if [ -z "${RLC_APACHE_CPPFLAGS:-}" ] && [ ! -f "$module" ]; then
  echo "built without Apache: its example was not tried"
elif [ ! -x "$httpd" ] || [ ! -f "$module" ]; then
  complain "$httpd or $module is missing: install httpd and build first (make)"
elif [ -n "${RLC_SANITIZER:-}" ]; then
  echo "built with a sanitizer, whose runtime httpd has not: the example for Apache was not tried"
else
  checked "the example for Apache"
  # The example loads an installed module; here it is the built one. The paths it names are made.
  mkdir "$scratch/conf"
  (umask 077 && head -c 32 /dev/urandom > "$scratch/conf/secret")
  {
    echo "ServerRoot \"$scratch\""
    echo "ServerName localhost"
    echo "DefaultRuntimeDir \"$scratch\""
    echo "PidFile \"$scratch/pid\""
    echo "ErrorLog \"$scratch/error.log\""
    echo "Listen 127.0.0.1:8"
    for name in mpm_event authn_core authz_core authz_user unixd; do
      [ ! -f "$modules/mod_$name.so" ] || echo "LoadModule ${name}_module \"$modules/mod_$name.so\""
    done
    sed "s,^\(LoadModule ratelimit_redis_module\) .*,\1 \"$module\"," "$scratch/example.conf"
  } > "$scratch/httpd.conf"
  grep -q '^LoadModule ratelimit_redis_module' "$scratch/httpd.conf" ||
    complain "README.md: the example for Apache does not load the module"
  if ! "$httpd" -t -d "$scratch" -f "$scratch/httpd.conf" > "$scratch/output" 2>&1; then
    cat "$scratch/output"
    complain "README.md: httpd refuses the example for Apache"
  fi
fi

package=$build/bindings/python/lib
example python > "$scratch/example.py"
[ -s "$scratch/example.py" ] || complain "README.md has no block fenced as python"
if [ ! -f "$package/stamp" ]; then
  echo "built without the Python package: its example was not tried"
elif [ -n "${RLC_SANITIZER:-}" ]; then
  echo "built with a sanitizer, whose runtime Python has not: its example was not tried"
else
  checked "the example for Python"
  # Where the store is away the fail policy decides: the example needs no Redis.
  if ! PYTHONPATH=$package "${PYTHON:-python3}" "$scratch/example.py" > "$scratch/output" 2>&1; then
    cat "$scratch/output"
    complain "README.md: the example for Python does not run"
  fi
fi
extension=$build/bindings/php/.libs/rlcore.so
example php > "$scratch/example"
[ -s "$scratch/example" ] || complain "README.md has no block fenced as php"
if [ ! -f "$extension" ] || [ -z "${PHP:-}" ]; then
  echo "built without the PHP extension, or no php was found: its example was not tried"
elif [ -n "${RLC_SANITIZER:-}" ]; then
  echo "built with a sanitizer, whose runtime PHP has not: its example was not tried"
else
  checked "the example for PHP"
  {
    echo "<?php require '$top/bindings/php/front/src/autoload.php';"
    cat "$scratch/example"
  } > "$scratch/example.php"
  if ! "$PHP" -d extension="$extension" "$scratch/example.php" > "$scratch/output" 2>&1; then
    cat "$scratch/output"
    complain "README.md: the example for PHP does not run"
  fi
fi
finish "examples in README.md"
