# SPDX-License-Identifier: Apache-2.0
"""Servers that change places: slots that move, masters that fail over."""

import itertools
import os
import time

from harness import QUOTA, THREADS, Fault, preload
from topology_env import Cluster, Sentinel, wait_for


class Clustered(Fault):
    replicas = 0
    cluster = None

    def prepare(self):
        self.cluster = Cluster(masters=3, replicas=self.replicas, node_timeout_ms=500)

    def url(self):
        return self.cluster.url()

    def direct_url(self):
        return self.cluster.url(nodes=self.cluster.alive())

    def slot(self):
        """Of the load's key."""
        return self.cluster.slot_of(self.cluster.keys()[0])

    def elsewhere(self, slot):
        owner = self.cluster.owner(slot)
        return next(node for node in self.cluster.masters if node is not owner)

    def cleanup(self):
        if self.cluster is not None:
            self.cluster.stop()


class MovedStorm(Clustered):
    """The slots of 50 keys, with what they hold, go from server to server one after the other."""
    name = "MOVED storm"
    keys = 50
    policy = "%d/3650day" % (QUOTA // keys)

    def happen(self):
        slots = [self.cluster.slot_of(key) for key in self.cluster.keys()]
        end = time.monotonic() + self.lasts
        for to in itertools.cycle(self.cluster.masters):
            for slot in slots:
                if self.cluster.owner(slot) is not to:
                    self.cluster.move_slot(slot, to)
            wait_for(lambda: all([self.agree(slot, to) for slot in slots]), "the moves")
            if time.monotonic() > end:
                break

    def agree(self, slot, to):
        """Whether all know that |slot| is |to|'s. An old message makes a node believe what was before,
        between masters of the same epoch for good: it is told again."""
        wrong = [node for node in self.cluster.alive() if self.cluster.owner(slot, node) is not to]
        for node in wrong:
            node.command("CLUSTER", "SETSLOT", slot, "NODE", self.cluster.id(to))
        return not wrong


class Resharding(Clustered):
    """One move, that takes its time before and after the key has moved."""
    name = "ASK (resharding)"

    def happen(self):
        slot = self.slot()
        self.cluster.move_slot(slot, self.elsewhere(slot), pause=self.lasts / 2)


class ClusterDown(Clustered):
    """A master without a replica dies: the others do not serve any more, until it is back."""
    name = "CLUSTERDOWN"
    lasts = 5

    def happen(self):
        slot = self.slot()
        other, owner = self.elsewhere(slot), self.cluster.owner(slot)
        other.kill()
        wait_for(lambda: b"cluster_state:fail" in owner.command("CLUSTER", "INFO"), "CLUSTERDOWN")
        time.sleep(1.5)
        other.start()
        self.cluster.wait_ok()


class ClusterFailover(Clustered):
    name = "cluster failover"
    replicas = 3
    lasts = 5
    unkept = THREADS
    unkept_why = "writes that the replica had not got: at most one a thread"

    def happen(self):
        slot = self.slot()
        old = self.cluster.owner(slot)
        old.kill()
        self.cluster.wait_promoted(slot, old)


class SentinelFailover(Fault):
    name = "Sentinel failover"
    lasts = 5
    unkept = THREADS
    unkept_why = ClusterFailover.unkept_why
    sentinel = None

    def prepare(self):
        self.sentinel = Sentinel(replicas=1, down_after_ms=700)

    def url(self):
        return self.sentinel.url()

    direct_url = url

    def happen(self):
        self.sentinel.kill_master()
        self.sentinel.wait_failover()

    def cleanup(self):
        if self.sentinel is not None:
            self.sentinel.stop()


class ClockAhead(SentinelFailover):
    """The new master's clock is ahead: what it would have refilled meanwhile, it has refilled."""
    name = "failover, clock ahead"
    quota, window, step = 5000, 50000, 1000
    policy = "%d/%ds" % (quota, window)
    refill = quota * step // window
    unkept = refill + THREADS + 3  # and what really is refilled meanwhile
    unkept_why = "a clock %d s ahead, at %g/s: %d, and writes that the replica had not got" % (
        step, quota / window, refill)

    def prepare(self):
        super().prepare()
        replica, = self.sentinel.replicas()
        replica.kill()
        before = dict(os.environ)
        os.environ.update(preload("skewed_clock", {"SKEW_SECONDS": str(self.step)}))
        try:
            replica.start().command("REPLICAOF", "127.0.0.1", self.sentinel.master.port)
        finally:
            os.environ.clear()
            os.environ.update(before)
        self.sentinel.wait_replicated()
        for sentinel in self.sentinel.sentinels:
            wait_for(lambda s=sentinel: self.sentinel._sees_replicas(s), "the sentinels' replica")


FAULTS = [MovedStorm, Resharding, ClusterDown, ClusterFailover, SentinelFailover, ClockAhead]
