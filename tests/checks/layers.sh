#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Dependencies run one way: base -> policy, http -> algorithm -> redis -> store -> limiter in the
# library; the library knows no server, and the module and the bindings know the public header only.

. "$(dirname "$0")/common.sh"

# "file:line:name" of each include, the name with its quotes or brackets.
includes() {
  sources '*.c' '*.h' '*.i' | (cd "$top" && xargs grep -nE '^[[:space:]]*[#%][[:space:]]*include') |
    sed -n 's/^\([^:]*:[0-9]*\):[^"<]*\(["<][^">]*[">]\).*/\1:\2/p'
}

rank() {
  case $1 in
  base) echo 1 ;;
  policy) echo 2 ;;
  http) echo 3 ;;
  algorithm) echo 4 ;;
  redis) echo 5 ;;
  store) echo 6 ;;
  limiter) echo 7 ;;
  rlctl) echo 8 ;;
  *) echo 0 ;;
  esac
}

check_library() { # file where name
  folder=${1#libcore/}
  folder=${folder%%/*}
  case $3 in
  '"rlcore/rlcore.h"') ;;
  \"*/*\")
    other=${3#\"}
    other=${other%%/*}
    if [ "$folder" = rlctl ] && [ "$other" != rlctl ]; then
      complain "$2: rlctl includes $3: it uses the public API only, write \"rlcore/rlcore.h\""
    elif [ "$(rank "$other")" -eq 0 ]; then
      complain "$2: $3 is in no folder of libcore that may be included"
    elif [ "$(rank "$other")" -gt "$(rank "$folder")" ]; then
      complain "$2: $folder includes $3: that arrow runs back: $other stands on $folder"
    fi
    ;;
  \"*) complain "$2: $3 has no folder: write \"$folder/${3#\"}" ;;
  '<httpd.h>' | '<http_'* | '<ap_'* | '<apr'* | '<util_'* | '<mod_'* | '<mpm_'* | '<scoreboard.h>')
    complain "$2: the library includes $3: it knows no server"
    ;;
  '<hiredis'*)
    case $1 in
    libcore/redis/* | libcore/store/redis*) ;;
    *) complain "$2: $3 belongs to libcore/redis and libcore/store/redis*" ;;
    esac
    ;;
  esac
  if [ "$(rank "$folder")" -eq 0 ] && [ "$folder" != include ]; then
    complain "$2: $folder is no folder of DESIGN 2: give it a place in tests/checks/layers.sh"
  fi
}

check_outside() { # file where name
  case $3 in
  '<hiredis'* | '<openssl'*) complain "$2: $3 is the library's business: use <rlcore/rlcore.h>" ;;
  '"rlcore/rlcore.h"' | '<rlcore/rlcore.h>') ;;
  '"'*/* | '<base/'* | '<policy/'* | '<http/'* | '<algorithm/'* | '<redis/'* | '<store/'* | \
    '<limiter/'*)
    complain "$2: $3 is inside the library: use <rlcore/rlcore.h>"
    ;;
  '"config.h"')
    # autoconf's definitions and httpd's have names in common; the module has a config.h of its own.
    if [ ! -f "$top/$(dirname "$1")/config.h" ]; then
      complain "$2: no config.h of autoconf's may meet httpd.h"
    fi
    ;;
  '<config.h>') complain "$2: no config.h of autoconf's may meet httpd.h" ;;
  esac
}

includes > "$scratch/includes"
while IFS=: read -r file line name; do
  checked "$file"
  case $name in
  *autoconf.h*) complain "$file:$line: $name: nothing includes autoconf's header" ;;
  esac
  case $file in
  libcore/*) check_library "$file" "$file:$line" "$name" ;;
  mod_ratelimit_redis/* | bindings/*) check_outside "$file" "$file:$line" "$name" ;;
  esac
done < "$scratch/includes"

for part in libcore mod_ratelimit_redis; do
  grep -q "^$part/" "$scratch/includes" || complain "no #include was found in $part"
done

# A script stands alone: Redis has no require, and one that loads text is another script.
scripts=$(sources '*.lua')
[ -n "$scripts" ] || complain "no Lua script was found"
for file in $scripts; do
  checked "$file"
  if grep -nE '(^|[^A-Za-z_.])(require|dofile|loadfile|loadstring|load)[[:space:]]*\(' \
    "$top/$file"; then
    complain "$file: a script loads nothing: write the code into it"
  fi
done
finish "includes and scripts"
