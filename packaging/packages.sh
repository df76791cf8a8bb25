#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Installs Debian packages: the one part of bootstrap that runs as root.
# Usage: packages.sh PACKAGE...
#
# Their services are not to start: a policy-rc.d says so while this runs, unless the system has one.

set -eu
policy=/usr/sbin/policy-rc.d
DEBIAN_FRONTEND=noninteractive
export DEBIAN_FRONTEND

if [ "$(id -u)" -ne 0 ]; then
  echo "packages.sh: only root can install packages: run it with sudo" >&2
  exit 1
fi
if [ ! -e "$policy" ] && [ ! -L "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  trap 'exit 1' HUP INT TERM
  printf '#!/bin/sh\nexit 101\n' > "$policy"
  chmod 755 "$policy"
fi

# Without a network the lists at hand may still do.
apt-get -o DPkg::Lock::Timeout=500 update ||
  echo "packages.sh: apt-get update failed; going on with the lists that are there" >&2
apt-get -o DPkg::Lock::Timeout=500 install -y --no-install-recommends "$@"
