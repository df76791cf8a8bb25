# SPDX-License-Identifier: Apache-2.0
"""Some rows of `make faults`, shorter and side by side: no decision is lost, limits hold, and the store
decides again by itself. How late decisions are is judged by `make faults` alone."""

import concurrent.futures
import sys

import pytest

from redis_env import TOP

sys.path.insert(0, str(TOP / "tests/faults"))

import faults_network  # noqa: E402
import faults_process  # noqa: E402
import faults_server  # noqa: E402
import faults_tls  # noqa: E402
from harness import NotHere, measure  # noqa: E402

FAULTS = [faults_process.Refused, faults_process.Stopped, faults_process.StoppedClosed,
          faults_process.NoDescriptors, faults_network.Slow, faults_network.Cut,
          faults_network.Garbage, faults_network.Muted, faults_network.NameHangs,
          faults_server.NoAuth, faults_tls.Expired]
AT_ONCE = 3


@pytest.fixture(scope="module")
def rows():
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        return {kind: pool.submit(measure, shortened(kind)) for kind in FAULTS}


def shortened(kind):
    fault = kind()
    fault.before, fault.lasts, fault.after = 0.4, 0.6, 3
    return fault


@pytest.mark.parametrize("kind", FAULTS, ids=lambda kind: kind.__name__)
def test_fault(rows, kind):
    try:
        found = rows[kind].result()
    except NotHere as why:
        pytest.skip(str(why))
    assert found["lost"] == 0 and found["over"] == 0 and found["recovery"] is not None
    assert found["bad"] == []
