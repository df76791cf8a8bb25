# SPDX-License-Identifier: Apache-2.0
"""The index of bans, overrides and tiers in clusters and behind sentinels: found, followed, and read anew
where a server that takes over has another past."""

import os
import pathlib
import subprocess

from topology_env import Cluster, Sentinel, wait_for

BUILD = pathlib.Path(os.environ.get("RLC_BUILDDIR", "build"))
FULL, LOST = -509, -510


class Indexer:
    """tests/integration/indexer.c on a store."""

    def __init__(self, url):
        self.process = subprocess.Popen([str(BUILD / "tests/integration/indexer"), url],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        assert self.process.wait(timeout=60) == 0
        self.process.stdout.close()

    def ask(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().split()

    def do(self, *words):
        """Until the store answers: what is asked while a server is away may be told so at once."""
        return wait_for(lambda: [rv for rv in [int(self.ask(*words)[0])] if rv in (0, FULL, LOST)],
                        " ".join(map(str, words)))[0]

    def news(self):
        """Whether all was told, and what is known then."""
        rv, told_all, *known = wait_for(lambda: [n for n in [self.ask("news")] if n[0] == "0"],
                                        "news")[0]
        return int(told_all), sorted(known)


def test_cluster():
    """All of it is at one of the masters, and moves with its slot."""
    with Cluster(masters=3) as c:
        slot = c.slot_of("rl:{index}:e")
        nodes = [node for node in c.masters if node is not c.owner(slot)]
        with Indexer(c.url(nodes=nodes[:1])) as one, Indexer(c.url()) as two:
            assert one.do("put", "a", "1/s") == 0
            assert one.do("deny", "b", 5) == 0
            assert one.do("drop", "c") == LOST
            assert two.news() == (1, ["a=1/s", "b=ban/1"])
            assert len(c.owner(slot).command("KEYS", "*")) == len(c.keys()) == 4
            c.move_slot(slot, to=nodes[1])
            assert c.owner(slot) is nodes[1]
            assert two.news() == (0, ["a=1/s", "b=ban/1"])
            assert one.do("put", "a", "2/s") == 0
            assert two.news() == (0, ["a=2/s", "b=ban/1"])
            assert one.news() == (1, ["a=2/s", "b=ban/1"])


def test_cluster_failover():
    """A replica that has all takes over, and nobody reads anything again."""
    with Cluster(masters=3, replicas=3) as c:
        slot = c.slot_of("rl:{index}:e")
        master = c.owner(slot)
        with Indexer(c.url()) as one, Indexer(c.url()) as two:
            assert one.do("put", "a", "1/s") == 0
            assert two.news() == (1, ["a=1/s"])
            c.wait_replicated(master)
            master.kill()
            wait_for(lambda: c.owner(slot) not in (None, master), "the failover")
            c.wait_ok()
            assert two.news() == (0, ["a=1/s"])
            assert one.do("deny", "b", 5) == 0
            assert two.news() == (0, ["a=1/s", "b=ban/1"])


def test_sentinel_failover_without_the_last_changes():
    """The new master has not heard of the last changes, and goes on with others: who knew of the lost ones
    is told all there is."""
    with Sentinel(replicas=1) as s:
        with Indexer(s.url()) as one, Indexer(s.url()) as two:
            assert one.do("put", "kept", "1/s") == 0
            s.wait_replicated()
            assert two.news() == (1, ["kept=1/s"])
            replica, = s.replicas()
            replica.command("CONFIG", "SET", "masterauth", "wrong")

            def is_cut_off(): # one that was about to reconnect is cut off again
                replica.command("CLIENT", "KILL", "TYPE", "master")
                return s.replicas_online(s.master) == 0

            wait_for(is_cut_off, "the end of replication")
            assert one.do("put", "lost", "1/s") == 0
            assert one.do("drop", "kept") == 0
            assert two.news() == (0, ["lost=1/s"])
            s.kill_master()
            s.wait_failover()
            assert one.do("put", "new", "1/s") == 0
            assert one.do("deny", "b", 5) == 0
            assert two.news() == (1, ["b=ban/1", "kept=1/s", "new=1/s"])
            assert one.do("put", "new", "2/s") == 0
            assert two.news() == (0, ["b=ban/1", "kept=1/s", "new=2/s"])
