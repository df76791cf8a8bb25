#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Runs pytest on the files given, for make check. Leaves no caches: the sources may be read-only.

if [ -z "${PYTHON:-}" ]; then
  echo "no Python 3 with pytest was found by configure: install python3-pytest, configure again"
  exit 77
fi
PYTHONDONTWRITEBYTECODE=1
export PYTHONDONTWRITEBYTECODE
exec "$PYTHON" -m pytest -v -ra -p no:cacheprovider --color=no --durations=5 "$@"
