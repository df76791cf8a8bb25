#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Runs the tests that start a Redis once for each server: the one that configure found, and those
# that fetch.sh brings. Prints how many cases passed, test by server; one that was skipped has failed.
#
# Usage: check.sh TEST...    in the build tree, by make check-servers, which gives it all tests

set -eu
top=${RLC_SRCDIR:?by make check-servers, which sets it}
make=${MAKE:-make}
out=tests/servers
debian=$out/debian
logs=$out/logs

# Whether a test starts a server: by the one file that does so in C, or those in Python.
starts_one() {
  case $1 in
  *.py) grep -qE '^(from|import) (redis_env|topology_env)' "$top/$1" ;;
  tests/unit/*) grep -q '"redis_server.h"' "$top/$1.c" ;;
  *) false ;;
  esac
}

version() {
  "$1" --version | sed -n 's/^\([A-Za-z]*\) server v=\([0-9.]*\) .*/\1 \2/p'
}

# The cases of a log: how many passed, how many did not.
cases() { # test, log
  case $1 in
  *.py)
    awk '/^=+ .* in [0-9.]+s.* =+$/ { line = $0 }
      END {
        n = split(line, word, /[ ,]+/)
        for (i = 2; i <= n; ++i) {
          if (word[i] == "passed") p += word[i - 1]
          if (word[i] ~ /^(failed|errors?|skipped|xfailed|xpassed)$/) f += word[i - 1]
        }
        print p + 0, f + 0
      }' "$2"
    ;;
  *)
    awk '/^\[ RUN      \] / { ++n } /^\[       OK \] / { ++p } END { print p + 0, n - p }' "$2"
    ;;
  esac
}

tests=
for test in "$@"; do
  if starts_one "$test"; then
    tests="$tests $test"
  fi
done
[ -n "$tests" ] || { echo "no test was found that starts a server" >&2; exit 1; }

mkdir -p $out
sh "$top/tests/servers/fetch.sh" $debian
rm -rf $logs
mkdir -p $logs
: > $logs/names
for server in "${RLC_REDIS_SERVER:-redis-server}" "$PWD/$debian/redis/redis-server" \
  "$PWD/$debian/valkey/redis-server"; do
  name=$(version "$server") || name=
  [ -n "$name" ] || { echo "$server does not tell its version" >&2; exit 1; }
  echo "$name" >> $logs/names
  echo "with $name ($server)"
  folder="$logs/$name"
  mkdir -p "$folder"
  # One at a time: some measure time. What failed is counted below.
  # shellcheck disable=SC2086 # words
  RLC_REDIS_SERVER=$server $make -k check-TESTS TESTS="$tests" > "$folder/make.log" 2>&1 || :
  for test in $tests; do
    log=${test%.py}
    mkdir -p "$folder/${log%/*}"
    for end in log trs; do
      mv "$log.$end" "$folder/$log.$end" 2> /dev/null || : > "$folder/$log.$end"
    done
  done
done

passed=0
failed=0
printf '\n%-36s' ""
while read -r name; do
  printf '%18s' "$name"
done < $logs/names
echo
for test in $tests; do
  printf '%-36s' "${test#tests/}"
  while read -r name; do
    log="$logs/$name/${test%.py}"
    counts=$(cases "$test" "$log.log")
    p=${counts% *}
    f=${counts#* }
    if ! grep -q '^:test-result: PASS' "$log.trs" && [ "$f" -eq 0 ] || [ $((p + f)) -eq 0 ]; then
      f=$((f + 1)) # it crashed, or ran nothing
    fi
    passed=$((passed + p))
    failed=$((failed + f))
    if [ "$f" -eq 0 ]; then
      printf '%18s' "$p"
    else
      printf '%18s' "$f FAILED"
    fi
  done < $logs/names
  echo
done
echo
[ "$failed" -eq 0 ] || echo "The logs are in $logs/"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
