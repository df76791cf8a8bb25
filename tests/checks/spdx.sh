#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Every source says its licence in its first line, or in the second where #! or <?php has the first.

. "$(dirname "$0")/common.sh"

id='SPDX-License-Identifier: Apache-2.0'
{
  sources '*.c' '*.h' '*.i' '*.lua' '*.py' '*.php' '*.sh' '*.mk' '*.in' '*.map' '*.conf' \
    'rlc_*.m4' '*.[1-8]' |
    grep -v -e '^packaging/autoconf.h.in$' -e '^packaging/debian/'
  for file in configure.ac Makefile.am bootstrap .ci/run .clang-format .editorconfig .gitignore; do
    echo "$file"
  done
} > "$scratch/files"
while read -r file; do
  checked "$file"
  if [ ! -f "$top/$file" ]; then
    complain "$file is missing"
    continue
  fi
  case $(head -n 1 "$top/$file") in
  *"$id"*) ;;
  '#!'* | '<?php'*)
    sed -n 2p "$top/$file" | grep -qF "$id" ||
      complain "$file:2: the line after the first is not \"# $id\""
    ;;
  *) complain "$file:1: the first line does not say \"$id\"" ;;
  esac
done < "$scratch/files"
finish sources
