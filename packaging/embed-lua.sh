#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Writes the C source of libcore/redis/script.h's scripts on standard output.
# Usage: embed-lua.sh lua/token-bucket.lua lua/fixed-window.lua ... > scripts_data.c
#
# Each file becomes an array of its bytes, not a string: no quoting can change what EVAL sends, so
# the server's own hash of it is the one computed here.

set -eu
LC_ALL=C
export LC_ALL

if [ $# -eq 0 ]; then
  echo "usage: embed-lua.sh FILE.lua... > scripts_data.c" >&2
  exit 2
fi

echo '/* SPDX-License-Identifier: Apache-2.0 */'
echo '/* Made by packaging/embed-lua.sh: change the .lua files, not this one. */'
echo '#include "redis/script.h"'

for file in "$@"; do
  if [ ! -s "$file" ]; then
    echo "embed-lua.sh: $file is missing or empty: give Lua scripts that exist" >&2
    exit 1
  fi
  name=$(basename "$file" .lua)
  case $name in
  *[!a-z0-9-]*)
    echo "embed-lua.sh: $file: name a script with a-z, 0-9 and - only, ending in .lua" >&2
    exit 1
    ;;
  esac
  id=$(printf '%s\n' "$name" | sed 's/-/_/g')
  # Read by redirection: for a file with an odd name sha1sum would put a backslash before the hash.
  sha1=$(sha1sum < "$file" | sed 's/ .*//')
  if [ ${#sha1} -ne 40 ]; then
    echo "embed-lua.sh: sha1sum gave no hash of $file" >&2
    exit 1
  fi
  echo
  echo "static const unsigned char ${id}_text[] = {"
  od -An -v -tx1 "$file" | sed 's/[[:space:]]//g; s/\(..\)/0x\1,/g'
  echo "};"
  echo "const rlc__script rlc__script_$id = {\"$name\", ${id}_text, sizeof ${id}_text,"
  echo "                                     \"$sha1\"};"
done
