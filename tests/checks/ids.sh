#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# A message's id (RLC0301 of the library, RLR0003 of the module) stands at one place in the sources:
# what somebody looks for by its id is found.

. "$(dirname "$0")/common.sh"

sources '*.c' | grep -E '^(libcore|mod_ratelimit_redis)/' > "$scratch/files"
while read -r file; do
  grep -nE '"RL[CR][0-9]' "$top/$file" | sed "s,^\([0-9]*\):,$file:\1 ," || :
done < "$scratch/files" |
  awk '{ where = $1; rest = $0
         while (match(rest, /"RL[CR][0-9]+/)) {
           print substr(rest, RSTART + 1, RLENGTH - 1), where
           rest = substr(rest, RSTART + RLENGTH)
         } }' > "$scratch/ids"
while read -r id where; do
  checked "$id"
  case $id in
  RLC[0-9][0-9][0-9][0-9])
    case $where in
    libcore/*) ;;
    *) complain "$where: $id: RLC ids are the library's, the module's begin with RLR" ;;
    esac
    ;;
  RLR[0-9][0-9][0-9][0-9])
    case $where in
    mod_ratelimit_redis/*) ;;
    *) complain "$where: $id: RLR ids are the module's, the library's begin with RLC" ;;
    esac
    ;;
  *) complain "$where: $id: an id has four digits" ;;
  esac
done < "$scratch/ids"
cut -d' ' -f1 "$scratch/ids" | sort | uniq -d > "$scratch/twice"
while read -r id; do
  complain "$id stands at more than one place: $(sed -n "s/^$id //p" "$scratch/ids" | tr '\n' ' ')"
done < "$scratch/twice"
finish "message ids"
