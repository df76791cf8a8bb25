# SPDX-License-Identifier: Apache-2.0
#
# Sourced by every check. A check says what is wrong and where, one line each, and fails; one that
# found nothing to check fails too, since it would otherwise pass for ever.

set -eu
LC_ALL=C
export LC_ALL

top=${RLC_SRCDIR:-$(cd "$(dirname "$0")/../.." && pwd)}
build=${RLC_BUILDDIR:-$top/build}
compiler=${CC:-cc}
scratch=$(mktemp -d "${TMPDIR:-/tmp}/rlcore-check.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
trap 'exit 1' HUP INT TERM
: > "$scratch/bad"
: > "$scratch/checked"

# These write to files, so that they also count from within a pipe.
complain() {
  echo "$*" | tee -a "$scratch/bad"
}

checked() {
  echo "$*" >> "$scratch/checked"
}

# finish WHAT: what was checked, in the plural. Ends the check.
finish() {
  count=$(wc -l < "$scratch/checked" | tr -d ' ')
  if [ "$count" -eq 0 ]; then
    echo "no $1 were found: this check looked at nothing"
    exit 1
  fi
  if [ -s "$scratch/bad" ]; then
    echo "$(wc -l < "$scratch/bad" | tr -d ' ') complaints about $count $1"
    exit 1
  fi
  echo "$count $1 are well"
}

# sources PATTERN...: the tree's own files of these names, relative to $top. What a build inside the
# tree makes is left out.
sources() {
  for pattern in "$@"; do
    (cd "$top" && for folder in libcore mod_ratelimit_redis lua bindings tests packaging; do
      if [ -d "$folder" ]; then
        find "$folder" -name .libs -prune -o -name build-aux -prune -o \
          -path 'bindings/*/lib' -prune -o -path 'bindings/*/build' -prune -o -type f \
          -name "$pattern" ! -name scripts_data.c ! -name '*_wrap.c' ! -name autoconf.h -print
      fi
    done)
  done | sort
}
