#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Shows the built module at work. Usage: demo.sh BUILD-FOLDER [--keep] [--redis]
#
# All it starts has its files in one folder in /tmp, listens on 127.0.0.1 and is ended by its pid.

set -u
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
build=$1
shift
keep=no
redis=no
for option in "$@"; do
  case $option in
  --keep) keep=yes ;;
  --redis) redis=yes ;;
  *)
    echo "demo.sh does not know \"$option\": write --keep, --redis or both" >&2
    exit 2
    ;;
  esac
done

module=$build/mod_ratelimit_redis/.libs/mod_ratelimit_redis.so
httpd=$(sed -n 's/^APACHE_PROGRAM = //p' "$build/Makefile")
modules=$(sed -n 's/^APACHE_MODULES = //p' "$build/Makefile")
pids=()     # of what is running
folder=

# --- starting and stopping ---------------------------------------------------------------------

die() {
  printf '\n%s\n' "$1" >&2
  if [ $# -gt 1 ] && [ -s "$2" ]; then
    # The folder goes, the log stays.
    mkdir -p "$build/log" && cp "$2" "$build/log/demo.log"
    printf 'The end of %s:\n' "$build/log/demo.log" >&2
    tail -n 15 "$2" | sed 's/^/    /' >&2
  fi
  keep=no
  exit 1
}

# Ends a process by its id, with force where asking does not help.
end_process() {
  local i
  kill -TERM "$1" 2> /dev/null || return 0
  for ((i = 0; i < 100; ++i)); do
    kill -0 "$1" 2> /dev/null || return 0
    sleep 0.05
  done
  kill -KILL "$1" 2> /dev/null
}

clean_up() {
  local pid
  [ "$keep" = no ] || return 0
  for pid in ${pids[@]+"${pids[@]}"}; do
    end_process "$pid"
  done
  [ -z "$folder" ] || rm -rf "$folder"
}

trap clean_up EXIT
trap 'keep=no; exit 130' INT
trap 'keep=no; exit 143' TERM HUP

# Whether somebody listens there already.
taken() {
  (: < "/dev/tcp/127.0.0.1/$1") 2> /dev/null
}

free_port() {
  local port
  while :; do
    port=$((20000 + RANDOM % 12000))
    taken "$port" || break
  done
  echo "$port"
}

server_lines() {
  local name
  echo "LoadModule mpm_event_module \"$modules/mod_mpm_event.so\""
  for name in authz_core dir unixd; do
    # What a distribution has built in has no file.
    [ ! -f "$modules/mod_$name.so" ] || echo "LoadModule ${name}_module \"$modules/mod_$name.so\""
  done
  echo "ServerLimit 8"
  echo "StartServers 2"
  echo "ThreadsPerChild 32"
  echo "MaxRequestWorkers 256"
  if [ "$(id -u)" -eq 0 ]; then
    name=www-data
    id "$name" > /dev/null 2>&1 || name=nobody
    echo "User $name"
    echo "Group $(id -gn "$name")"
  fi
}

# start_apache NAME STORE POLICY [OPTIONS]: on a port of its own, then in $port.
start_apache() {
  local conf=$folder/$1.conf text attempt i
  for attempt in 1 2 3 4 5; do
    port=$(free_port)
    text=$(< "$here/httpd.conf.in")
    text=${text//@SERVER@/$(server_lines)}
    text=${text//@FOLDER@/$folder}
    text=${text//@NAME@/$1}
    text=${text//@PORT@/$port}
    text=${text//@MODULE@/$module}
    text=${text//@STORE@/$2}
    text=${text//@POLICY@/$3}
    text=${text//@OPTIONS@/${4:-}}
    printf '%s\n' "$text" > "$conf"
    "$httpd" -t -f "$conf" > "$folder/$1.out" 2>&1 || die "Apache refuses $conf." "$folder/$1.out"
    # Another program may have taken the port meanwhile: then the next one is tried.
    "$httpd" -f "$conf" >> "$folder/$1.out" 2>&1 && break
    grep -q 'could not bind' "$folder/$1.out" && [ "$attempt" -lt 5 ] ||
      die "Apache ($httpd -f $conf) did not start." "$folder/$1.out"
  done
  for ((i = 0; i < 200; ++i)); do
    if [ -s "$folder/$1.pid" ] && taken "$port"; then
      pids+=("$(< "$folder/$1.pid")")
      return
    fi
    sleep 0.05
  done
  die "Apache did not begin to listen on port $port within 10 s." "$folder/$1.log"
}

start_redis() {
  local i
  redis-server --port 0 --unixsocket "$folder/redis.sock" --unixsocketperm 777 --dir "$folder" \
    --save '' --appendonly no > "$folder/redis.out" 2>&1 < /dev/null &
  pids+=($!)
  for ((i = 0; i < 200; ++i)); do
    [ ! -S "$folder/redis.sock" ] || return 0
    kill -0 "${pids[-1]}" 2> /dev/null || break
    sleep 0.05
  done
  die "redis-server did not start." "$folder/redis.out"
}

# Leaves what runs, with a script that ends it.
leave_running() {
  {
    echo '#!/bin/sh'
    echo "kill ${pids[*]}"
    echo "rm -rf '$folder'"
  } > "$folder/stop"
  printf '\nStill running (--keep):\n\n'
  while [ $# -gt 0 ]; do
    printf '    %-15s%s\n' "$1" "$2"
    shift 2
  done
  printf '    %-15s%s\n' "stop it with" "sh $folder/stop"
}

show_conf() {
  sed -n '/^RateLimit/s/^/    /p' "$1"
}

# --- the two demos -----------------------------------------------------------------------------

# The value of the field $2 in the head of an answer.
field() {
  tr -d '\r' < "$1" | sed -n "s/^$2: //Ip" | head -n 1
}

demo_shm() {
  local quota=5 n status rest head=$folder/head body=$folder/body url
  start_apache server "shm:" "$quota/min"
  url=http://127.0.0.1:$port/
  printf 'An Apache with the module, counting in memory that its processes share:\n\n'
  show_conf "$folder/server.conf"
  printf '\nRequests to %s\n\n' "$url"
  printf '  %-8s %-7s %-20s %-20s %s\n' request status RateLimit RateLimit-Policy Retry-After
  for ((n = 1; n <= quota + 2; ++n)); do
    status=$(curl -sS --max-time 10 -D "$head" -o "$body" -w '%{http_code}' "$url") ||
      die "The request failed." "$folder/server.log"
    rest=$(field "$head" Retry-After)
    printf '  %-8s %-7s %-20s %-20s %s\n' "$n" "$status" "$(field "$head" RateLimit)" \
      "$(field "$head" RateLimit-Policy)" "${rest:--}"
    if { [ $n -le $quota ] && [ "$status" != 200 ]; } ||
      { [ $n -gt $quota ] && [ "$status" != 429 ]; }; then
      die "Request $n was answered with $status: $quota should pass, and the next meet 429." \
        "$folder/server.log"
    fi
  done
  [ -n "$rest" ] || die "The refused request was answered without Retry-After." "$head"
  curl -sS --max-time 10 -D "$head" -o "$body" -H 'Accept: application/json' "$url" ||
    die "The request failed." "$folder/server.log"
  printf '\nA refused request in full, as a program sees it that asks for JSON:\n\n'
  tr -d '\r' < "$head" |
    sed -n '1s/^/    /p; /^\(retry-after\|ratelimit.*\|content-type\):/Is/^/    /p'
  printf '\n'
  fold -s -w 92 "$body" | sed 's/^/    /'
  [ -z "$(tail -c 1 "$body")" ] || echo
  cat << END

In an Apache of your own, the lines above are all it takes, after

    LoadModule ratelimit_redis_module modules/mod_ratelimit_redis.so

Every directive, with examples: mod_ratelimit_redis/ratelimit_redis.conf
Several servers that share one limit: ./bootstrap demo --redis
END
  [ "$keep" = no ] || leave_running URL "$url" configuration "$folder/server.conf" \
    "error log" "$folder/server.log"
}

# count FILE STATUS: how many of the answers had it; "other" counts the rest.
count() {
  if [ "$2" = other ]; then
    grep -cvxE '200|429' "$1" || :
  else
    grep -cx "$2" "$1" || :
  fi
}

demo_redis() {
  local quota=200 each=200 ports=() name i requests store
  start_redis
  # Long enough a timeout that only Redis decides, however slow this machine; a bucket that
  # refills one token in 50 minutes lets nothing through that the quota does not.
  store="redis+unix://$folder/redis.sock?timeout=5s"
  for name in a b; do
    start_apache "$name" "$store" "$quota/week" " key=everybody fail=closed"
    ports+=("$port")
  done
  printf 'Two Apaches that share one limit through a private Redis:\n\n'
  show_conf "$folder/a.conf"
  printf '\n%d requests to each at once, http://127.0.0.1:%s/ and http://127.0.0.1:%s/\n\n' \
    "$each" "${ports[@]}"
  # One curl sends them, turn by turn, so that both servers reach for the quota at the same time.
  for ((i = 1; i <= each; ++i)); do
    for port in "${ports[@]}"; do
      printf 'url = "http://127.0.0.1:%s/?%d"\noutput = /dev/null\n' "$port" "$i"
    done
  done > "$folder/requests"
  curl -sS --max-time 60 --parallel --parallel-max 300 -K "$folder/requests" \
    -w '%{remote_port} %{http_code}\n' > "$folder/answers" 2> "$folder/curl" ||
    die "The requests failed." "$folder/curl"
  sed -n "s/^${ports[0]} //p" "$folder/answers" > "$folder/a.answers"
  sed -n "s/^${ports[1]} //p" "$folder/answers" > "$folder/b.answers"
  sed 's/.* //' "$folder/answers" > "$folder/together.answers"
  printf '  %-12s %10s %14s %15s %8s\n' '' requests 'passed (200)' 'refused (429)' other
  for name in a b together; do
    requests=$(wc -l < "$folder/$name.answers")
    printf '  %-12s %10d %14d %15d %8d\n' "$(case $name in a) echo server A ;; b) echo server B ;;
      *) echo together ;; esac)" "$requests" "$(count "$folder/$name.answers" 200)" \
      "$(count "$folder/$name.answers" 429)" "$(count "$folder/$name.answers" other)"
  done
  printf '  %-12s %10s %14d\n' 'the quota' '' "$quota"
  if [ "$(count "$folder/together.answers" 200)" -ne "$quota" ] ||
    [ "$(count "$folder/together.answers" 429)" -ne $((2 * each - quota)) ]; then
    cat "$folder/b.log" >> "$folder/a.log"
    die "Together they did not pass exactly the quota." "$folder/a.log"
  fi
  printf '\nTogether they passed exactly the quota.\n'
  [ "$keep" = no ] || leave_running "server A" "http://127.0.0.1:${ports[0]}/" "server B" \
    "http://127.0.0.1:${ports[1]}/" Redis "redis-cli -s $folder/redis.sock" \
    configuration "$folder/a.conf $folder/b.conf"
}

[ -f "$module" ] || die "$module is missing: run ./bootstrap build first."
[ -x "$httpd" ] ||
  die "Apache was not found (configure says \"$httpd\"): install apache2, and configure again."
folder=$(mktemp -d /tmp/ratelimit-demo.XXXXXX) || die "No folder can be made in /tmp."
# Apache's children, and Redis' socket, are reached by another user when this one is root.
chmod 755 "$folder"
mkdir "$folder/htdocs"
echo "Passed." > "$folder/htdocs/index.html"
if [ "$redis" = yes ]; then
  demo_redis
else
  demo_shm
fi
