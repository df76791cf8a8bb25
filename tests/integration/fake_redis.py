#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A Redis server that answers what a script says, to show what a client does with it.

    with FakeRedis([{"steps": [{"error": "NOSCRIPT"}, {"reply": ":1\\r\\n"}]}]) as fake:
        ...                                  # a client of fake.url
        assert [c.verb for c in fake.commands] == ["EVALSHA", "EVAL"]

A script is a list, an entry for each connection in the order they come; the last entry serves all
later ones. An entry is a dict:

    steps     a list, a step for each command in turn; the last one serves all later commands
    banner    what is sent before any command
    greets    False: AUTH, SELECT and CLIENT take steps too; else they are answered +OK
    reads     False: the connection is accepted and never read
    closes    True: the connection is accepted and closed

A step is a dict, whose members act in this order:

    wait      the name of an event, which fake.event(name).set() lets happen, or seconds
    hold      bytes to send just before the reply to the next command: that of another, too late
    reply     bytes; an int or a list of ints becomes a reply of that type
    error     the code of an error (see ERRORS), or a whole text without the dash
    pieces    a list of bytes, sent one by one, each after the client took the last
    silent    True: no answer, ever
    close     True: the connection is ended, after what was sent; "reset" does so with a TCP reset

Bytes may be given as str, as in a script read from a JSON file by the command line:

    fake_redis.py --script FILE [--socket PATH] [--record FILE] [--seconds N]

It prints "ready URL" and runs until it gets SIGTERM or N seconds (60) are over; a line "set NAME"
on its standard input lets an event happen; --record writes a JSON line for each command.
"""

import argparse
import collections
import fcntl
import json
import os
import shutil
import signal
import socket
import struct
import sys
import tempfile
import termios
import threading
import time

ERRORS = {
    "NOSCRIPT": "NOSCRIPT No matching script. Please use EVAL.",
    "LOADING": "LOADING Redis is loading the dataset in memory",
    "READONLY": "READONLY You can't write against a read only replica.",
    "BUSY": "BUSY Redis is busy running a script. You can only call SCRIPT KILL.",
    "MASTERDOWN": "MASTERDOWN Link with MASTER is down.",
    "OOM": "OOM command not allowed when used memory > 'maxmemory'.",
    "NOAUTH": "NOAUTH Authentication required.",
    "WRONGPASS": "WRONGPASS invalid username-password pair or user is disabled.",
    "NOPERM": "NOPERM this user has no permissions to run the 'evalsha' command",
    "MISCONF": "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to.",
}
GREETINGS = ("AUTH", "SELECT", "CLIENT")
STEP = {"wait", "hold", "reply", "error", "pieces", "silent", "close"}
ENTRY = {"steps", "banner", "greets", "reads", "closes"}
SIOCOUTQ = termios.TIOCOUTQ

Command = collections.namedtuple("Command", "connection verb words")


def to_bytes(value):
    """Returns |value|, of a script, as it goes over the wire."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode("latin-1")
    if isinstance(value, int):
        return b":%d\r\n" % value
    if isinstance(value, list):
        return b"*%d\r\n" % len(value) + b"".join(to_bytes(v) for v in value)
    raise ValueError(f"a reply is bytes, a str, an int or a list, not {value!r}")


def check_script(script):
    """Refuses what would otherwise be passed over: a mistyped test would show nothing."""
    for entry in script:
        unknown = set(entry) - ENTRY
        for step in entry.get("steps", []):
            unknown |= set(step) - STEP
        if unknown:
            raise ValueError(f"a script has no member {sorted(unknown)}: see fake_redis.py")
    if not script:
        raise ValueError("a script has at least one entry")
    return script


class Gone(Exception):
    """The client left, or the server is to stop."""


class Connection:
    """One accepted socket, served in a thread of its own."""

    def __init__(self, fake, number, sock, entry):
        self.fake, self.number, self.sock, self.entry = fake, number, sock, entry
        self.input = sock.makefile("rb")
        self.held = b""

    def read_command(self):
        """Returns the words of the next command."""
        line = self.input.readline()
        if not line.endswith(b"\r\n"):
            raise Gone
        if not line.startswith(b"*"):
            return line.split()
        words = []
        for _ in range(int(line[1:])):
            size = int(self.input.readline()[1:])
            word = self.input.read(size + 2)
            if len(word) != size + 2:
                raise Gone
            words.append(word[:-2])
        return words

    def send(self, data):
        self.sock.sendall(data)

    def wait_taken(self):
        """Waits until the client has read, or its TCP acknowledged, all that was sent."""
        while struct.unpack("i", fcntl.ioctl(self.sock, SIOCOUTQ, b"\0\0\0\0"))[0] > 0:
            if self.fake.stopping.wait(0.001):
                raise Gone

    def act(self, step):
        wait = step.get("wait")
        if isinstance(wait, str):
            while not self.fake.event(wait).wait(0.01):
                if self.fake.stopping.is_set():
                    raise Gone
        elif wait is not None and self.fake.stopping.wait(wait):
            raise Gone
        data, self.held = self.held, to_bytes(step.get("hold", b""))
        if "reply" in step:
            data += to_bytes(step["reply"])
        if "error" in step:
            data += b"-%s\r\n" % to_bytes(ERRORS.get(step["error"], step["error"]))
        self.send(data)
        for piece in step.get("pieces", []):
            self.wait_taken()
            self.send(to_bytes(piece))
        if step.get("silent"):
            self.fake.stopping.wait()
            raise Gone
        if step.get("close") == "reset":
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if step.get("close"):
            raise Gone

    def serve(self):
        steps = self.entry.get("steps", [])
        taken = 0
        self.send(to_bytes(self.entry.get("banner", b"")))
        if self.entry.get("closes"):
            return
        if not self.entry.get("reads", True):
            self.fake.stopping.wait()
            return
        while True:
            words = self.read_command()
            verb = words[0].decode("latin-1").upper() if words else ""
            self.fake.record(Command(self.number, verb, words))
            if self.entry.get("greets", True) and verb in GREETINGS:
                self.send(b"+OK\r\n")
            elif steps:
                step = steps[min(taken, len(steps) - 1)]
                taken += 1
                self.act(step)

    def run(self):
        try:
            self.serve()
        except (Gone, OSError, ValueError):
            pass
        finally:
            self.input.close()
            self.sock.close()

    def end(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


class FakeRedis:
    """The server. |path| is a unix socket, "" one in a temporary folder; None: TCP on loopback."""

    def __init__(self, script, path="", on_command=None):
        self.script = check_script(script)
        self.path, self.folder = path, None
        self.on_command = on_command
        self.stopping = threading.Event()
        self.lock = threading.Condition()
        self.events, self.all_commands, self.connections, self.threads = {}, [], [], []

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        if self.path is None:
            self.listener = socket.create_server(("127.0.0.1", 0))
            self.port = self.listener.getsockname()[1]
            self.url = f"redis://127.0.0.1:{self.port}"
        else:
            if not self.path:
                self.folder = tempfile.mkdtemp(prefix="rlcore-fake-")
                self.path = os.path.join(self.folder, "s")
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(self.path)
            self.listener.listen(128)
            self.url = f"redis+unix://{self.path}"
        self.acceptor = threading.Thread(target=self.accept, daemon=True)
        self.acceptor.start()

    def stop(self):
        """Ends every connection and thread."""
        self.stopping.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.acceptor.join(10)
        self.listener.close()
        for connection in self.connections:
            connection.end()
        for thread in self.threads:
            thread.join(10)
        if self.folder:
            shutil.rmtree(self.folder)
        elif self.path:
            os.unlink(self.path)

    def accept(self):
        while not self.stopping.is_set():
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            number = len(self.connections)
            entry = self.script[min(number, len(self.script) - 1)]
            connection = Connection(self, number, sock, entry)
            with self.lock:
                self.connections.append(connection)
                self.lock.notify_all()
            self.threads.append(threading.Thread(target=connection.run, daemon=True))
            self.threads[-1].start()

    def event(self, name):
        with self.lock:
            return self.events.setdefault(name, threading.Event())

    def record(self, command):
        with self.lock:
            self.all_commands.append(command)
            self.lock.notify_all()
        if self.on_command:
            self.on_command(command)

    @property
    def commands(self):
        """All commands so far but greetings."""
        with self.lock:
            return [c for c in self.all_commands if c.verb not in GREETINGS]

    def wait_for(self, n, seconds=10):
        """Waits until |n| commands, greetings apart, were read. Returns them."""
        end = time.monotonic() + seconds
        while len(self.commands) < n:
            with self.lock:
                if not self.lock.wait(max(0, min(0.1, end - time.monotonic()))):
                    if time.monotonic() >= end:
                        raise TimeoutError(f"{len(self.commands)} commands came, not {n}")
        return self.commands


def main():
    parser = argparse.ArgumentParser(description="A Redis server that answers what a script says.")
    parser.add_argument("--script", required=True, help="a JSON file; see the head of this program")
    parser.add_argument("--socket", help="a unix socket to make; else a free port of 127.0.0.1")
    parser.add_argument("--record", help="a file that takes a JSON line for each command")
    parser.add_argument("--seconds", type=float, default=60, help="how long to run at most")
    arguments = parser.parse_args()
    with open(arguments.script, encoding="utf-8") as source:
        script = json.load(source)
    log = open(arguments.record, "w", encoding="utf-8") if arguments.record else None

    def write(command):
        words = [word.decode("latin-1") for word in command.words]
        log.write(json.dumps({"connection": command.connection, "words": words}) + "\n")
        log.flush()

    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    with FakeRedis(script, arguments.socket, write if log else None) as fake:

        def listen():
            for line in sys.stdin:
                if line.startswith("set "):
                    fake.event(line[4:].strip()).set()

        threading.Thread(target=listen, daemon=True).start()
        print("ready", fake.url, flush=True)
        over.wait(arguments.seconds)


if __name__ == "__main__":
    main()
