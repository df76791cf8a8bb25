#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# make fuzz: builds the library and each target with clang's libFuzzer, address and undefined
# sanitizers, and lets each run for FUZZ_SECONDS from a copy of its corpus. A find is kept in
# tests/fuzz/found in the build folder: mend it, and add it to the corpus.

set -eu

top=${RLC_SRCDIR:?run this by make fuzz}
build=${RLC_BUILDDIR:?run this by make fuzz}
clang=${FUZZ_CC:-clang}
found=$build/tests/fuzz/found
scratch=$(mktemp -d "${TMPDIR:-/tmp}/rlcore-fuzz.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
trap 'exit 1' HUP INT TERM

sanitizers=address,undefined
flags="-std=c11 -pthread -O1 -g -D_GNU_SOURCE -DRLC_BUILD -I$top/libcore -I$top/libcore/include
  -fno-sanitize-recover=all"

echo 'int LLVMFuzzerTestOneInput(const unsigned char *data, unsigned long size);
int LLVMFuzzerTestOneInput(const unsigned char *data, unsigned long size) {
  return data == 0 && size != 0;
}' > "$scratch/try.c"
if ! "$clang" -fsanitize=fuzzer,$sanitizers -o "$scratch/try" "$scratch/try.c"; then
  echo "make fuzz: $clang cannot link with libFuzzer: install clang and its libclang-rt-dev," \
    "or name one that can: make fuzz FUZZ_CC=clang-17"
  exit 1
fi

# The library's sources lie in the tree, made ones in the build folder.
mkdir "$scratch/o"
for source in $RLC_SOURCES; do
  case $source in
  *.c)
    [ -f "$build/$source" ] && source=$build/$source || source=$top/${source#"$top/"}
    object=$scratch/o/$(echo "${source#"$top/"}" | tr / _).o
    # shellcheck disable=SC2086 # the flags are words
    "$clang" $flags ${RLC_CPPFLAGS:-} -fsanitize=fuzzer-no-link,$sanitizers \
      -c -o "$object" "$source"
    ;;
  esac
done

failed=0
for target in charged config reply topology url zone; do
  # shellcheck disable=SC2086
  "$clang" $flags ${RLC_CPPFLAGS:-} -fsanitize=fuzzer,$sanitizers -o "$scratch/fuzz_$target" \
    "$top/tests/fuzz/fuzz_$target.c" "$top/tests/fuzz/check.c" "$scratch"/o/*.o ${RLC_LIBS:-}
  cp -R "$top/tests/fuzz/corpus/$target" "$scratch/$target"
  chmod -R u+w "$scratch/$target"
  mkdir -p "$found"
  echo "fuzz_$target for ${FUZZ_SECONDS:-60} seconds"
  if ! (cd "$scratch" && "./fuzz_$target" -max_total_time="${FUZZ_SECONDS:-60}" -timeout=10 \
    -rss_limit_mb=2048 -print_final_stats=1 -verbosity=1 -artifact_prefix="$found/$target-" \
    "$target" > "$target.log" 2>&1); then
    failed=1
    echo "fuzz_$target: found something; its input is in $found:"
    tail -n 40 "$scratch/$target.log"
  fi
  grep -E '^(stat::number_of_executed_units|#[0-9]+.*DONE)' "$scratch/$target.log" || :
done
exit $failed
