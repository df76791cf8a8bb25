# SPDX-License-Identifier: Apache-2.0
"""The server's process, and the client's own: refused, stopped, killed, without descriptors."""

import signal
import time

from harness import Fault


class Nothing(Fault):
    name = "none"


class Refused(Fault):
    """From the start, until the server is started."""
    name = "connection refused"

    def prepare(self):
        super().prepare()
        self.server.kill()

    def happen(self):
        time.sleep(self.lasts)
        self.server.start()


class Stopped(Fault):
    name = "stopped (SIGSTOP)"

    def happen(self):
        self.server.signal(signal.SIGSTOP)
        time.sleep(self.lasts)
        self.server.signal(signal.SIGCONT)


class StoppedClosed(Stopped):
    name = "stopped, fail=closed"
    fail = "closed"


class StoppedOpen(Stopped):
    name = "stopped, fail=open"
    fail = "open"


class Killed(Fault):
    """With an AOF that has every answered write: what was counted is kept."""
    name = "killed and started"

    def settings(self):
        return "--appendonly", "yes", "--appendfsync", "always"

    def happen(self):
        self.server.kill()
        time.sleep(self.lasts)
        self.server.start()


class NoDescriptors(Fault):
    """Each process of the load has no descriptor left, and loses its connections then."""
    name = "no file descriptors"

    @property
    def load(self):
        return {"starve": "%.1f:%.1f" % (self.before, self.before + self.lasts)}

    def happen(self):
        self.repeat(lambda: self.server.command("CLIENT", "KILL", "TYPE", "normal"), 0.05)


FAULTS = [Nothing, Refused, Stopped, StoppedClosed, StoppedOpen, Killed, NoDescriptors]
