#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Brings Debian 13's redis-server and valkey-server into a folder, from the mirror that this
# machine's own apt sources name. Their libraries come along, so they run on an older Debian too.
# Nothing is installed; any user may do so, and what is there already is not brought again.
#
# Usage: fetch.sh FOLDER
#
# Makes FOLDER/redis and FOLDER/valkey, each with redis-server, redis-sentinel and redis-cli.

set -eu
LC_ALL=C
export LC_ALL

release=trixie
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
packages="redis-server redis-tools valkey-server valkey-tools"

die() {
  echo "fetch.sh: $*" >&2
  exit 1
}

[ $# -eq 1 ] || die "expected one word, the folder that the servers go to"
mkdir -p "$1"
folder=$(cd "$1" && pwd)
root=$folder/root
apt=$folder/apt
if [ -f "$folder/complete" ]; then
  exit 0
fi
for tool in apt-get dpkg-deb; do
  command -v $tool > /dev/null || die "there is no $tool: this needs a Debian"
done
[ -f "$keyring" ] || die "$keyring is missing: install debian-archive-keyring"

# A configuration of its own, by the command line: neither lists nor packages of the machine change.
rm -rf "$root" "$apt"
mkdir -p "$root" "$apt/lists/partial" "$apt/archives/partial"
: > "$apt/status"
private() {
  apt-get -qq -o Dir::State="$apt" -o Dir::State::lists="$apt/lists" \
    -o Dir::State::status="$apt/status" -o Dir::Cache="$apt" \
    -o Dir::Cache::archives="$apt/archives" \
    -o Dir::Etc::sourcelist="$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null \
    -o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null \
    -o APT::Sandbox::User=root -o APT::Update::Error-Mode=any -o Acquire::Languages=none \
    -o Acquire::Retries=3 "$@"
}

# The mirrors of the machine's own release; others may have archives of that name that are not
# Debian's, which the keyring tells.
own=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
apt-get update --print-uris |
  sed -n "s,^'\\([^']*\\)/dists/$own/InRelease'.*,\\1,p" | sort -u > "$apt/mirrors"
mirror=
while [ -z "$mirror" ] && read -r candidate; do
  echo "deb [signed-by=$keyring] $candidate $release main" > "$apt/sources.list"
  if private update < /dev/null > "$apt/log" 2>&1; then
    mirror=$candidate
  fi
done < "$apt/mirrors"
if [ -z "$mirror" ]; then
  tail -n 5 "$apt/log" >&2 || :
  die "no mirror that apt's sources name for \"$own\" has Debian's $release"
fi

# shellcheck disable=SC2086 # words
private install -y --no-install-recommends --download-only $packages < /dev/null \
  > "$apt/log" 2>&1 || {
  tail -n 5 "$apt/log" >&2
  die "the packages could not be brought: all that was said is in $apt/log"
}
for package in "$apt"/archives/*.deb; do
  dpkg-deb -x "$package" "$root"
done

# Each program runs by the loader of its own C library.
loader=$(find "$root" -name 'ld-linux*.so.*' -type f | head -n 1)
[ -n "$loader" ] || die "the packages have no ld-linux*.so: this processor is none that was tried"
wrap() { # as, program
  [ -x "$root/usr/bin/$2" ] || die "the packages have no $2"
  cat > "$folder/$1" << END
#!/bin/sh
exec '$loader' --library-path '$(dirname "$loader")' --argv0 '${1##*/}' '$root/usr/bin/$2' "\$@"
END
  chmod 755 "$folder/$1"
}
for kind in redis valkey; do
  mkdir -p "$folder/$kind"
  wrap $kind/redis-server $kind-server
  wrap $kind/redis-sentinel $kind-server
  wrap $kind/redis-cli $kind-cli
  "$folder/$kind/redis-server" --version || die "$kind-server does not run here"
done
rm -rf "$apt"
: > "$folder/complete"
