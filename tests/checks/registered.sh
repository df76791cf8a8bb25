#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Nothing is written and forgotten: every test function is in its program's list, and every file is
# in its folder's local.mk, which is how it is built, run and distributed.

. "$(dirname "$0")/common.sh"

for file in $(sources '*.c' | grep '^tests/unit/test_'); do
  grep -oE '^static void [a-z0-9_]+\(void \*\*' "$top/$file" | sed 's/^static void \(.*\)(.*/\1/' \
    > "$scratch/functions" || :
  # By cmocka_unit_test or a macro of the file's own, with nothing but the name and set-up in it.
  grep -oE '[A-Za-z_]+\([a-z0-9_]+[,)]' "$top/$file" | sed 's/.*(\(.*\).$/\1/' \
    > "$scratch/listed" || :
  [ -s "$scratch/functions" ] ||
    complain "$file: no test was found: write each as static void name(void **state)"
  while read -r name; do
    checked "$file $name"
    grep -qx "$name" "$scratch/listed" ||
      complain "$file: the test $name is not in main's list: add cmocka_unit_test($name)"
  done < "$scratch/functions"
  # Without the linker's option a wrapper is never called, and its test passes or fails by luck.
  grep -oE '__wrap_[a-z0-9_]+' "$top/$file" | sort -u | sed 's/^__wrap_//' > "$scratch/wrapped" || :
  program=$(basename "$file" .c)
  while read -r name; do
    checked "$file __wrap_$name"
    grep -E "^tests_unit_${program}_LDFLAGS = " "$top/tests/unit/local.mk" |
      grep -qE -e "-Wl,--wrap=$name( |\$)" ||
      complain "$file wraps $name: add -Wl,--wrap=$name to tests_unit_${program}_LDFLAGS"
  done < "$scratch/wrapped"
done

# A folder's files, or those of the folder above that names them.
for file in $(sources '*.c' '*.h' '*.lua' '*.php' '*.py' '*.sh' '*.tsv' '*.mk' '*.map' '*.md' '*.conf' \
  '*.conf.in'); do
  folder=$(dirname "$file")
  base=$(basename "$file")
  checked "$file"
  case $file in
  tests/unit/test_*.c) pattern="%D%/${base%.c}" ;;
  tests/*/*.c) pattern="%D%/${base%.c}" ;;
  *) pattern="%D%/$base" ;;
  esac
  found=no
  if [ "$base" = local.mk ]; then
    grep -rqsF "include $file" "$top/Makefile.am" "$top/libcore/local.mk" "$top/tests/local.mk" &&
      found=yes
  fi
  while [ "$found" = no ] && [ "$folder" != . ]; do
    list=$top/$folder/local.mk
    relative=${file#"$folder"/}
    if [ -f "$list" ] && grep -qF -e "%D%/$relative" -e "$file" "$list"; then
      found=yes
    elif [ -f "$list" ] && [ "$folder" = "$(dirname "$file")" ] &&
      grep -qE "$pattern([[:space:]]|\$)" "$list"; then
      found=yes
    fi
    folder=$(dirname "$folder")
  done
  if [ "$found" = no ] && ! grep -qF "$file" "$top/Makefile.am"; then
    complain "$file is in no local.mk: add %D%/$base to $(dirname "$file")/local.mk"
  fi
done

# And what is listed exists; scripts_data.c is made.
for list in $(sources local.mk); do
  folder=$(dirname "$list")
  tr ' \t' '\n\n' < "$top/$list" | sed -n 's,^%D%/\([a-z0-9_./-]*\.[a-z]*\)$,\1,p' |
    grep -vE '\.(la|tmp|pc|so)$|scripts_data\.c|_wrap\.c|php_rlcore\.h' > "$scratch/named" || :
  while read -r name; do
    checked "$list $name"
    [ -f "$top/$folder/$name" ] || complain "$list names $folder/$name, which is not there"
  done < "$scratch/named"
done

# Two tests of one stem would write one log.
sources 'test_*.c' 'test_*.py' '*.sh' | grep -E '^tests/(unit/test_|integration/test_|checks/)' |
  sed 's,\.[a-z]*$,,' | sort | uniq -d > "$scratch/stems"
while read -r stem; do
  complain "$stem is the stem of two tests: rename one"
done < "$scratch/stems"
finish "tests and files"
