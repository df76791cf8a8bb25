# SPDX-License-Identifier: Apache-2.0
"""What a server answers when it will not serve."""

import threading
import time

from harness import Fault
from redis_env import CONTROL


class Loading(Fault):
    """DEBUG RELOAD: the server saves all it has, and reads it again slowly."""
    name = "LOADING"

    def settings(self):
        return ("--enable-debug-command", "yes", "--key-load-delay", "1000",
                "--loading-process-events-interval-bytes", "1024")

    def prepare(self):
        super().prepare()
        with self.server.client() as client:
            for i in range(int(self.lasts * 1000)):
                client.command("SET", "filler%d" % i, "x%d" % i * 200)
            client.command("CONFIG", "SET", "rdbcompression", "no")

    def happen(self):
        self.server.command("DEBUG", "RELOAD")


class Busy(Fault):
    """A script that does not end, of somebody else."""
    name = "BUSY script"

    def settings(self):
        return "--busy-reply-threshold", "1"

    def happen(self):
        def loop():
            with self.server.client() as client:
                try:
                    client.command("EVAL", "while true do end", 0)
                except RuntimeError:
                    pass  # killed

        thread = threading.Thread(target=loop)
        thread.start()
        time.sleep(self.lasts)
        self.server.command("SCRIPT", "KILL")
        thread.join()


class OutOfMemory(Fault):
    name = "OOM (noeviction)"

    def happen(self):
        self.server.command("CONFIG", "SET", "maxmemory", "1")
        time.sleep(self.lasts)
        self.server.command("CONFIG", "SET", "maxmemory", "0")


class ReadOnly(Fault):
    """As the old master after a failover: a replica."""
    name = "READONLY"

    def happen(self):
        self.server.command("REPLICAOF", "127.0.0.1", "1")
        time.sleep(self.lasts)
        self.server.command("REPLICAOF", "NO", "ONE")


class ScriptFlush(Fault):
    name = "SCRIPT FLUSH"

    def happen(self):
        self.repeat(lambda: self.server.command("SCRIPT", "FLUSH"), 0.002)


class ClientKill(Fault):
    name = "CLIENT KILL"

    def happen(self):
        self.repeat(lambda: self.server.command("CLIENT", "KILL", "TYPE", "normal"), 0.01)


class NoAuth(Fault):
    """The server wants a password from now on, and the URL has none."""
    name = "NOAUTH"

    def prepare(self):
        super().prepare()
        self.admin = self.server.client()

    def cleanup(self):
        self.admin.__exit__()
        super().cleanup()

    def happen(self):
        self.set_wrong()
        self.admin.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        time.sleep(self.lasts)
        self.set_right()

    def url(self):
        self.set_right()
        return "redis://127.0.0.1:%d" % self.server.port

    def set_wrong(self):
        self.admin.command("ACL", "SETUSER", "default", "resetpass", ">" + CONTROL)

    def set_right(self):
        self.admin.command("ACL", "SETUSER", "default", "nopass")


class WrongPass(NoAuth):
    """The user's password has changed."""
    name = "WRONGPASS"

    def prepare(self):
        super().prepare()
        self.admin.command("ACL", "SETUSER", "limits", "on", ">right", "~*", "+@all")

    def url(self):
        return "redis://limits:right@127.0.0.1:%d" % self.server.port

    def set_wrong(self):
        self.admin.command("ACL", "SETUSER", "limits", "resetpass", ">other")

    def set_right(self):
        self.admin.command("ACL", "SETUSER", "limits", "resetpass", ">right")


class NoPerm(WrongPass):
    """The user may not run scripts any more."""
    name = "NOPERM"

    def happen(self):
        self.admin.command("ACL", "SETUSER", "limits", "-evalsha", "-eval")
        time.sleep(self.lasts)
        self.admin.command("ACL", "SETUSER", "limits", "+evalsha", "+eval")


FAULTS = [Loading, Busy, OutOfMemory, ReadOnly, NoAuth, WrongPass, NoPerm, ScriptFlush, ClientKill]
