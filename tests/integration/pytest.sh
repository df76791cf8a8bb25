#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Runs pytest on the files given, for make check. Leaves no caches: the sources may be read-only.

if [ -z "${PYTHON:-}" ]; then
  echo "no Python 3 with pytest was found by configure: install python3-pytest, configure again"
  exit 77
fi
PYTHONDONTWRITEBYTECODE=1
export PYTHONDONTWRITEBYTECODE

# httpd was not built with the sanitizer that its module was built with: its runtime goes first. A
# report ends the child by a signal, which the error log tells, and with it the test.
runtime=
case ${RLC_SANITIZER:-} in
*address*) runtime="libasan.so libubsan.so" ;;
*thread*) runtime=libtsan.so ;;
*undefined*) runtime=libubsan.so ;;
esac
for name in $runtime; do
  file=$(${CC:-cc} -print-file-name="$name")
  case $file in
  /*) LD_PRELOAD=${LD_PRELOAD:+$LD_PRELOAD:}$file ;;
  *)
    echo "$name was not found by ${CC:-cc}: the integration tests run under gcc's sanitizers"
    exit 77
    ;;
  esac
done
if [ -n "$runtime" ]; then
  ASAN_OPTIONS=detect_leaks=0:abort_on_error=1:verify_asan_link_order=0
  UBSAN_OPTIONS=print_stacktrace=1:abort_on_error=1
  TSAN_OPTIONS=halt_on_error=1:abort_on_error=1
  export LD_PRELOAD ASAN_OPTIONS UBSAN_OPTIONS TSAN_OPTIONS
fi
exec "$PYTHON" -m pytest -v -ra -p no:cacheprovider --color=no --durations=5 "$@"
