#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Against silent mistakes in settings: each member of a configuration struct is set where it is made
# and where it is merged; each directive of the table is documented, and nothing else is.

. "$(dirname "$0")/common.sh"

module=$top/mod_ratelimit_redis
manual=$module/ratelimit_redis.conf

# The members of "typedef struct NAME {", one a line.
members() {
  sed -n "/^typedef struct $1 {/,/^}/p" "$module/config.h" |
    sed -e '/^}/d' -e 's,/\*.*,,' -e 's,//.*,,' |
    sed -n 's/.*[ *]\([a-z_][a-z0-9_]*\)\(\[[^]]*\]\)\{0,1\};.*/\1/p'
}

# The text of the function NAME, up to the brace in the first column.
body() {
  sed -n "/^[a-z].*[ *]$1(/,/^}/p" "$module/config.c"
}

for kind in dir server; do
  members "ratelimit_${kind}_conf" > "$scratch/members"
  [ -s "$scratch/members" ] ||
    complain "config.h: struct ratelimit_${kind}_conf has no members, or is not there"
  for verb in create merge; do
    name=ratelimit_${verb}_${kind}_conf
    body "$name" > "$scratch/body"
    [ -s "$scratch/body" ] || complain "config.c: the function $name was not found"
    while read -r member; do
      checked "$name $member"
      grep -qE "conf->$member = " "$scratch/body" ||
        complain "config.c: $name does not set the member $member of ratelimit_${kind}_conf"
    done < "$scratch/members"
  done
done

cat "$module"/*.c | sed -n 's/^ *AP_INIT_[A-Z0-9_]*("\([A-Za-z]*\)".*/\1/p' |
  sort > "$scratch/table"
[ -s "$scratch/table" ] || complain "no AP_INIT_ line was found in mod_ratelimit_redis"
if [ -f "$manual" ]; then
  sed -n 's/^[# ]*\(RateLimit[A-Za-z]*\)\( .*\)\{0,1\}$/\1/p' "$manual" |
    sort -u > "$scratch/manual"
  while read -r directive; do
    checked "$directive"
    grep -qx "$directive" "$scratch/manual" ||
      complain "ratelimit_redis.conf does not document $directive: begin a line with its name"
  done < "$scratch/table"
  while read -r directive; do
    grep -qx "$directive" "$scratch/table" ||
      complain "ratelimit_redis.conf documents $directive, which the module does not have"
  done < "$scratch/manual"
else
  complain "mod_ratelimit_redis/ratelimit_redis.conf is missing: it documents every directive"
fi
finish "settings and directives"
