# SPDX-License-Identifier: Apache-2.0
"""What lies between client and server: packets dropped, replies late, cut and spoiled, names that
cannot be looked up."""

import os
import pathlib
import random
import subprocess
import tempfile
import time

from harness import Fault, NotHere, preload, tool
from proxy import Proxy
from redis_env import LOGIN


# --- packets: a network namespace of one's own, for server and load ------------------------------


class HalfOpen(Fault):
    """Packets are dropped both ways: neither end is told."""
    name = "half-open"
    dropped = ["tcp dport %d", "tcp sport %d"]

    def within_server(self):
        try:
            subprocess.run(["unshare", "-Urn", "true"], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise NotHere("no network namespace can be made (unshare -Urn)") from error
        tool("nft")
        return ["unshare", "-Urn", "sh", "-c", '"$0" link set lo up && exec "$@"', tool("ip")]

    @property
    def within(self):
        return ["nsenter", "-t", str(self.server.process.pid), "-U", "-n", "--preserve-credentials"]

    def nft(self, *commands):
        subprocess.run(self.within + [tool("nft"), "-f", "-"], input="\n".join(commands), text=True,
                       check=True)

    def happen(self):
        # On the way in: a packet that is dropped on its way out is an error of the sender's.
        self.nft("add table inet faults",
                 "add chain inet faults in { type filter hook input priority 0; }",
                 *("add rule inet faults in %s drop" % rule % self.server.port
                   for rule in self.dropped))
        time.sleep(self.lasts)
        self.nft("delete table inet faults")


class OneWay(HalfOpen):
    """Commands arrive and are executed; their replies do not."""
    name = "one-way partition"
    dropped = ["tcp sport %d"]


# --- bytes: a proxy ------------------------------------------------------------------------------


class Proxied(Fault):
    proxy = None

    def prepare(self):
        super().prepare()
        self.proxy = Proxy(("127.0.0.1", self.server.port))

    def url(self):
        return "redis://%s@127.0.0.1:%d" % (LOGIN, self.proxy.port)

    def cleanup(self):
        if self.proxy is not None:
            self.proxy.stop()
        super().cleanup()


class Slow(Proxied):
    """Each reply comes later than the deadline."""
    name = "slow, 60 ms"
    delay = 0.060

    def happen(self):
        self.proxy.delay = self.delay
        time.sleep(self.lasts)
        self.proxy.delay = 0


class SlowInTime(Slow):
    """Each reply comes late, and before the deadline."""
    name = "slow, 10 ms"
    delay = 0.010


class Muted(Proxied):
    """The one-way partition without a namespace: TCP acknowledges, replies do not come."""
    name = "silent"

    def happen(self):
        self.proxy.mute = True
        time.sleep(self.lasts)
        self.proxy.mute = False
        self.proxy.hang_up()  # what was kept back is lost


class Cut(Proxied):
    """Each connection ends somewhere in its first replies, by an end or a reset."""
    name = "replies cut anywhere"

    def happen(self):
        self.proxy.cut = lambda: random.randrange(0, 400)
        self.proxy.hang_up()
        time.sleep(self.lasts)
        self.proxy.cut = None
        self.proxy.hang_up()


# Nothing of it is a reply that a decision could be read from.
GARBAGE = [b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", b"\x15\x03\x01\x00\x02\x02\x46",
           b"\0" * 64, b"\r\n", b"*1\r\n" * 2000, b"*2147483647\r\n", b"$999999999999\r\n",
           b"$-7\r\n", b":\r\n", b":99999999999999999999999\r\n", b"*-1\r\n", b"+OK\r\n",
           b"$3\r\nabcde", b"-\r\n", b"*3\r\n:1\r\n$1\r\nx\r\n+\r\n", b"%1\r\n+a\r\n+b\r\n"]


class Garbage(Proxied):
    """Something else answers instead of the server."""
    name = "garbage"

    def happen(self):
        def spoil():
            if random.random() < 0.5:
                return bytes(random.randrange(128, 256) for _ in range(random.randrange(1, 99)))
            return random.choice(GARBAGE)

        self.proxy.spoil = spoil
        time.sleep(self.lasts)
        self.proxy.spoil = None


# --- names ---------------------------------------------------------------------------------------


class NameHangs(Fault):
    """The name service does not answer, from the start."""
    name = "DNS hangs"

    def prepare(self):
        self.folder = tempfile.mkdtemp(prefix="rlcore-faults-")
        self.hangs = pathlib.Path(self.folder) / "hangs"
        super().prepare()
        self.hang(True)

    def hang(self, on):
        self.hangs.touch() if on else self.hangs.unlink()

    def url(self):
        return "redis://%s@localhost:%d" % (LOGIN, self.server.port)

    @property
    def env(self):
        return preload("hanging_lookup", {"HANGS_WHILE": str(self.hangs)})

    def happen(self):
        time.sleep(self.lasts)
        self.hang(False)

    def cleanup(self):
        super().cleanup()
        if self.hangs.exists():
            self.hangs.unlink()
        os.rmdir(self.folder)


class NameIsLate(Fault):
    """Each look-up takes longer than any attempt to connect waits: the first of two name servers is
    dead."""
    name = "DNS late, 2 s"
    before, lasts = 0.2, 1.8

    def url(self):
        return "redis://%s@localhost:%d" % (LOGIN, self.server.port)

    @property
    def env(self):
        return preload("hanging_lookup", {"LOOKUP_MS": "2000"})


class NameHangsLater(NameHangs):
    """It stops answering, and the server is started anew: known addresses do."""
    name = "DNS hangs, restart"

    def settings(self):
        return "--appendonly", "yes", "--appendfsync", "always"

    def prepare(self):
        super().prepare()
        self.hang(False)

    def happen(self):
        self.hang(True)
        self.server.kill()
        time.sleep(self.lasts)
        self.server.start()  # and the name is not to be looked up until the end


FAULTS = [HalfOpen, OneWay, Slow, SlowInTime, Muted, Cut, Garbage, NameHangs, NameIsLate,
          NameHangsLater]
