#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Kills processes that share a table 500 times each way (`make check` does 50): law 11.

set -eu
here=$(dirname "$0")
RLC_KILLS=${RLC_KILLS:-500} exec "${PYTHON:-python3}" -m pytest -q -p no:cacheprovider \
  -k killed_processes "$here/../integration/test_laws.py"
