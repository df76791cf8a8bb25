# SPDX-License-Identifier: Apache-2.0
"""A redis-server of the test's own, a client for it that needs no package, and the hammer."""

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("RLC_BUILDDIR", TOP / "build"))
SERVER = os.environ.get("RLC_REDIS_SERVER") or "redis-server"
RLCTL = str(BUILD / "libcore/rlctl/rlctl")
# As whom the library logs in, and the password of the default user, who only tests are.
LOGIN = "app:s3cret"
CONTROL = "control"


def rlctl(*words, store=None):
    """What rlctl prints; it must end well. |store| goes through the environment."""
    env = dict(os.environ, **({"RLCTL_STORE": store} if store else {}))
    return subprocess.run([RLCTL, *words], check=True, env=env, text=True,
                          stdout=subprocess.PIPE).stdout


class Redis:
    """Listens on a unix socket and a loopback port, keeps no files, ends by its pid. Whoever uses
    its URLs may do what `rlctl acl` prints for |scheme| and |prefix|, and nothing else. |within| is
    what to start it by, as in ["unshare", "-n"], and ends in it by exec."""

    def __init__(self, *options, scheme="redis", prefix="rl", within=()):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="rlcore-redis-"))
        self.folder.chmod(0o755)
        self.socket = self.folder / "s"
        self.options, self.scheme, self.within = options, scheme, list(within)
        self.process = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        users = self.folder / "users.acl"
        users.write_text("user default on >%s ~* &* +@all\n%s" % (
            CONTROL, rlctl("acl", "--file", store="%s?prefix=%s" % (self.tcp_url, prefix))))
        self.start()

    @property
    def url(self):
        return "redis+unix://%s@%s" % (LOGIN, self.socket)

    @property
    def tcp_url(self):
        return "%s://%s@127.0.0.1:%d" % (self.scheme, LOGIN, self.port)

    def start(self):
        self.process = subprocess.Popen(
            self.within + [SERVER, "--port", str(self.port), "--bind", "127.0.0.1",
             "--unixsocket", str(self.socket), "--unixsocketperm", "777", "--dir",
             str(self.folder), "--save", "", "--appendonly", "no", "--aclfile",
             str(self.folder / "users.acl"), *self.options],
            stdout=subprocess.DEVNULL)
        end = time.monotonic() + 20
        while True:
            try:
                return self.command("PING")
            except (OSError, EOFError, RuntimeError):  # not there yet, or LOADING
                if time.monotonic() > end or self.process.poll() is not None:
                    raise
                time.sleep(0.02)

    def command(self, *words):
        with self.client() as client:
            return client.command(*words)

    def client(self):
        return Client(self.socket, CONTROL)

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        if self.process.poll() is None:
            self.signal(signal.SIGCONT)
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def calls(self):
        """How often each command ran: {"get": 12, ...}."""
        lines = self.command("INFO", "commandstats").decode().splitlines()
        rows = (line.split(":") for line in lines if line.startswith("cmdstat_"))
        return {name[8:]: int(rest.split(",")[0].split("=")[1]) for name, rest in rows}

    def decisions(self):
        """How many scripts decided. The index's, which each process runs each second, begin with HGET."""
        calls = self.calls()
        return calls.get("evalsha", 0) - calls.get("hget", 0)


class Client:
    """A connection to a unix socket's path, or to a host and port; with |password| as the default
    user."""

    def __init__(self, where, password=None):
        is_tcp = isinstance(where, tuple)
        self.socket = socket.socket(socket.AF_INET if is_tcp else socket.AF_UNIX)
        self.socket.settimeout(10)
        try:
            self.socket.connect(where if is_tcp else str(where))
        except OSError:
            self.socket.close()
            raise
        self.file = self.socket.makefile("rb")
        if password:
            self.command("AUTH", "default", password)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.socket.close()

    def command(self, *words):
        words = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        self.socket.sendall(b"*%d\r\n" % len(words)
                            + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words))
        return self.reply()

    def reply(self):
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise EOFError("the server closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest
        if kind == b"-":
            raise RuntimeError(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self.file.read(int(rest) + 2)[:-2]
        return [self.reply() for _ in range(int(rest))]


class Hammer:
    """tests/integration/hammer.c, started and ready; `go` lets it run, `result` waits for it."""

    def __init__(self, store, *policies, env=None, within=(), **options):
        words = list(within) + [str(BUILD / "tests/integration/hammer"), "--store", store, "--ready"]
        for policy in policies:
            words += ["--policy", policy]
        for name, value in options.items():
            words.append("--" + name.replace("_", "-"))
            if value is not True:
                words.append(str(value))
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, env=dict(os.environ, **(env or {})))
        assert self.process.stdout.readline() == "ready\n"

    def go(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self

    def stop(self):
        """Ends it before its time."""
        return self.go()

    def kill(self):
        """Kills all of it: its processes die with their parent."""
        self.process.kill()
        self.process.wait()

    def result(self, timeout=120):
        out, _ = self.process.communicate(timeout=timeout)
        assert self.process.returncode == 0
        return json.loads(out)


def hammer(store, *policies, **options):
    return Hammer(store, *policies, **options).go().result()
