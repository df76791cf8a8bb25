# SPDX-License-Identifier: Apache-2.0
"""What a server's settings do to limits is said once, when a store connects first."""

import pytest

from redis_env import Redis, hammer
from topology_env import Cluster

POLICY = "1000/3650day"
MANY = {"processes": 3, "threads": 4, "calls": 50}
EVICTS = ("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")


def said(log):
    """The ids of a hammer's log."""
    return [line.split(" ")[0] for line in log.read_text().splitlines()] if log.exists() else []


@pytest.mark.parametrize("options, ids", [
    (EVICTS, ["RLC0303", "RLC0304"]),
    (("--maxmemory", "100mb", "--maxmemory-policy", "noeviction"), ["RLC0304"]),
    (("--maxmemory-policy", "allkeys-lru"), ["RLC0304"]),
    (EVICTS + ("--appendonly", "yes"), ["RLC0303"]),
    (("--appendonly", "yes"), []),
])
def test_said_once(tmp_path, options, ids):
    """One line for all processes, threads and connections, and none for what is as it should be."""
    log = tmp_path / "log"
    server = Redis(*options)
    try:
        result = hammer(server.url + "?timeout=10s&fail=closed", POLICY, log=log, **MANY)
        assert result["allowed"]["store"] == 600
        assert sorted(said(log)) == ids
    finally:
        server.stop()


def test_words(tmp_path):
    """The warning names the server and what to set."""
    log = tmp_path / "log"
    server = Redis(*EVICTS)
    try:
        hammer(server.tcp_url, POLICY, calls=1, log=log)
        warning, = (line for line in log.read_text().splitlines() if line.startswith("RLC0303"))
        assert warning.startswith("RLC0303 2 redis at 127.0.0.1:%d: its maxmemory-policy is "
                                  "allkeys-lru" % server.port)
        assert "set maxmemory-policy to noeviction" in warning
    finally:
        server.stop()


def test_forbidden(tmp_path):
    """A user who may not ask is told nothing, and served."""
    log = tmp_path / "log"
    server = Redis(*EVICTS)
    try:
        server.command("ACL", "SETUSER", "limits", "on", ">pw", "~rl:*", "+@all", "-info")
        url = "redis://limits:pw@127.0.0.1:%d?timeout=10s&fail=closed" % server.port
        assert hammer(url, POLICY, calls=5, log=log)["allowed"]["store"] == 5
        assert said(log) == []
    finally:
        server.stop()


def test_cluster(tmp_path):
    """One server of a cluster stands for all."""
    log = tmp_path / "log"
    with Cluster(masters=3, options=["maxmemory 100mb", "maxmemory-policy allkeys-lru"]) as c:
        hammer(c.url("timeout=10s"), POLICY, keys=100, log=log, **MANY)
        assert sorted(said(log)) == ["RLC0303", "RLC0304"]
