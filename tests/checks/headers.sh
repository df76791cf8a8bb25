#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Each header compiles alone; the public one also as C99 without extensions, and as C++.

. "$(dirname "$0")/common.sh"

try() { # header compiler-and-flags...
  header=$1
  shift
  if ! printf '#include "%s"\n' "$top/$header" | "$@" -fsyntax-only - 2> "$scratch/errors"; then
    cat "$scratch/errors"
    complain "$header does not compile alone: $*"
  fi
}

warnings="-Wall -Wextra -Werror"
for header in $(sources '*.h'); do
  case $header in
  libcore/include/*) flags="-D_GNU_SOURCE" ;;
  libcore/* | tests/*) flags="-D_GNU_SOURCE ${RLC_CPPFLAGS:-}" ;;
  mod_ratelimit_redis/*)
    # Without the module httpd's headers may not be there.
    [ -n "${RLC_APACHE_CPPFLAGS:-}" ] || continue
    flags="-D_GNU_SOURCE $RLC_APACHE_CPPFLAGS"
    ;;
  bindings/php/*)
    [ -n "${RLC_PHP_CPPFLAGS:-}" ] || continue
    flags="-D_GNU_SOURCE $RLC_PHP_CPPFLAGS"
    ;;
  bindings/python/*)
    [ -n "${RLC_PYTHON_CPPFLAGS:-}" ] || continue
    flags="-D_GNU_SOURCE $RLC_PYTHON_CPPFLAGS"
    ;;
  *) flags=-D_GNU_SOURCE ;;
  esac
  checked "$header"
  # shellcheck disable=SC2086 # the flags are words
  try "$header" $compiler -std=c11 $warnings $flags -I"$top/libcore" -I"$top/libcore/include" -x c
done

public=libcore/include/rlcore/rlcore.h
# shellcheck disable=SC2086
try $public $compiler -std=c99 -pedantic $warnings -x c
cxx=
for name in ${CXX:-} c++ g++ clang++; do
  if [ -z "$cxx" ] && command -v "$name" > /dev/null 2>&1; then
    cxx=$name
  fi
done
if [ -n "$cxx" ]; then
  # shellcheck disable=SC2086
  try $public $cxx -std=c++11 -pedantic $warnings -x c++
elif [ ! -s "$scratch/bad" ]; then
  echo "no C++ compiler was found: $public was not tried as C++; install g++"
  exit 77
fi
finish headers
