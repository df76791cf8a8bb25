# SPDX-License-Identifier: Apache-2.0
"""What a decision costs redis-server: instructions by callgrind, which repeat, and bytes a key.

Each count is the difference of two runs of another length, so that starting and filling cancel
out; the same for INCR in the same way, to which the ratio is given."""

import random
import re
import shutil
import socket
import struct
import subprocess
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
KEYS = 2000
CALLS = 4000


def doubles(*numbers):
    return struct.pack("<%dd" % len(numbers), *numbers)


# A window of the calendar that began some time ago, as the script takes it.
MONTH = [int(time.time()) + days * 86400 for days in (-10, 20, -41, 50)]

# 2^-level of a unit an hour, as token-bucket.lua takes it.
LEVEL = 2.0 ** -610

# The levels of four rates like that, as token-bucket-stack.lua takes them.
LEVELS, = struct.unpack("<d", struct.pack("<II", 610 * 1049601, 610 + 2**30))

# name: script, ARGV[1], how many keys a call has; and with what each key begins, if not with that.
# Hour-long windows, so that nothing rolls over.
ROWS = {
    "INCR": (None, None, 1),
    "token-bucket allow": ("token-bucket", doubles(3600e6, 3600e10, LEVEL, 3600e6), 1),
    "token-bucket deny": ("token-bucket", doubles(3600e6, 3600e6, LEVEL, 3600e6), 1),
    "token-bucket in ticks": ("token-bucket", doubles(3600e6 - 1, 3600e9, LEVEL, 3600e6 - 1,
                                                      999999, 1e6), 1),
    "fixed-window allow": ("fixed-window", doubles(1, 1e6, 3600, 0), 1),
    "fixed-window deny": ("fixed-window", doubles(1, 1, 3600, 0), 1),
    "calendar-window allow": ("calendar-window", doubles(1, 1e6, *MONTH), 1),
    "calendar-window deny": ("calendar-window", doubles(1, 1, *MONTH), 1),
    "sliding-window allow": ("sliding-window", doubles(1, 1e6, 3600, 430), 1),
    "sliding-window deny": ("sliding-window", doubles(1, 1, 3600, 430), 1),
    "three limits in one call": ("several", doubles(0, *[1, 1, 3600e6, 3600e10, LEVEL, 3600e6, 1, 1] * 3), 3),
    "a stack of four rates": ("token-bucket-stack", doubles(LEVELS, *[3600e6] * 4, *[3600e10] * 4,
                                                            *[3600e6] * 4), 1),
    "a stack of four rates deny": ("token-bucket-stack", doubles(LEVELS, *[3600e6] * 12), 1),
    # A log of so many units, and of the few that the calls add.
    **{"log of %d %s" % (n, what): ("log", doubles(1, n + room, 3600e6), 1, doubles(n, n, 3600e6))
       for n in (10, 100, 1000) for what, room in (("allow", 1000), ("deny", 0))},
    "three logs of 100 in one call": ("several", doubles(0, *[4, 1, 1, 0, 1100, 1100, 3600e6] * 3), 3,
                                      doubles(0, *[4, 1, 100, 0, 1100, 1100, 3600e6] * 3)),
}

# The index: its keys and argument for call n. The time of its changes is passed in, so that its version is
# known: that of the one before the runs that are counted.
NOW = 1800057600000000


def index_keys(*denied):
    return ["rl:{index}:" + tag for tag in "evug"] + ["rl:{index}:d" + name for name in denied]


def denials(n, count):
    names = ["hashofkey%07dlogin" % (n * count + i) for i in range(count)]
    one = struct.pack("<IIdddB", 1, 10 ** 9, 600e6, 3600e6, 57600e6, 0)
    return index_keys(*names), b"C" + one * count


def put_of(field, ends, level, policy):
    return b"P" + bytes([len(field)]) + field + struct.pack("<dIB", ends, level, len(policy)) + policy + b"\0\0"


INDEX = {
    "index: nothing new": lambda n: (index_keys()[:2], b"N" + doubles(NOW + 1, NOW + 1)),
    "index: a denial": lambda n: denials(n, 1),
    "index: 64 denials": lambda n: denials(n, 64),
    "index: a ban": lambda n: (index_keys(), put_of(b"1hashofkey%07dlogin" % n, 3600e6, 1, b"")),
    "index: an override": lambda n: (index_keys(), put_of(b"2hashofkey%07dapi" % n, 0, 0, b"100/min")),
}


def words(*parts):
    parts = [part if isinstance(part, bytes) else str(part).encode() for part in parts]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts)


class Server:
    def __init__(self, *wrapper):
        self.folder = Path(tempfile.mkdtemp(prefix="rlcore-bench-"))
        self.process = subprocess.Popen(
            [*wrapper, "redis-server", "--port", "0", "--unixsocket", str(self.folder / "s"),
             "--save", "", "--appendonly", "no", "--dir", str(self.folder),
             "--hz", "1", "--dynamic-hz", "no"],  # its timer runs by the wall clock, not by the call
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=self.folder)
        self.socket = socket.socket(socket.AF_UNIX)
        end = time.monotonic() + 60
        while True:
            try:
                self.socket.connect(str(self.folder / "s"))
                break
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)
        self.file = self.socket.makefile("rb")

    def reply(self):
        line = self.file.readline()
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise RuntimeError(rest.decode())
        if kind == b"$":
            return self.file.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return [self.reply() for _ in range(int(rest))]
        return rest

    def call(self, *parts):
        self.socket.sendall(words(*parts))
        return self.reply()

    def stop(self):
        self.socket.sendall(words("SHUTDOWN", "NOSAVE"))
        self.process.wait()
        shutil.rmtree(self.folder)


def key(n, i):
    return b"rl:{keyhash%09d}:bname%03d" % (n, i)


def fill(server, row, numbers, first=False):
    """Runs the row once for each key number, sixteen commands at a time."""
    if row in INDEX:
        fill_index(server, row, numbers)
        return
    script, arg, keys = ROWS[row][:3]
    if first and len(ROWS[row]) > 3:
        arg = ROWS[row][3]
    if script:
        sha = server.call("SCRIPT", "LOAD", (TOP / "lua" / (script + ".lua")).read_bytes())
    for at in range(0, len(numbers), 16):
        some = numbers[at:at + 16]
        if script:
            server.socket.sendall(b"".join(
                words("EVALSHA", sha, keys, *(key(n, i) for i in range(keys)), arg)
                for n in some))
        else:
            server.socket.sendall(b"".join(words("INCR", key(n, 0)) for n in some))
        for _ in some:
            server.reply()


def fill_index(server, row, numbers):
    sha = server.call("SCRIPT", "LOAD", (TOP / "lua" / "index.lua").read_bytes())
    if not int(server.call("EXISTS", "rl:{index}:e")):
        keys, arg = INDEX["index: an override"](9999999)
        server.call("EVALSHA", sha, len(keys), *keys, arg, NOW)
    for n in numbers:
        keys, arg = INDEX[row](n)
        server.call("EVALSHA", sha, len(keys), *keys, arg)


def instructions(row, calls):
    folder = Path(tempfile.mkdtemp(prefix="rlcore-callgrind-"))
    server = Server("valgrind", "--tool=callgrind", "--vgdb=no",
                    "--callgrind-out-file=%s" % (folder / "out"))
    draw = random.Random(1)
    fill(server, row, list(range(KEYS)), True)
    fill(server, row, [draw.randrange(KEYS) for _ in range(calls)])
    server.stop()
    total = sum(int(number) for path in folder.iterdir() for number in
                re.findall(rb"^(?:totals|summary): (\d+)", path.read_bytes(), re.M)[:1])
    shutil.rmtree(folder)
    return total


def bytes_a_key(row, keys=100000):
    keys = 9000 if row in INDEX else keys # as many as there may be
    server = Server()
    fill(server, row, [1])

    def used():
        text = server.call("INFO", "memory").decode()
        return int(re.search(r"used_memory:(\d+)", text).group(1))

    before = used()
    fill(server, row, list(range(keys)), True)
    after = used()
    server.stop()
    return (after - before) / keys / (1 if row in INDEX else ROWS[row][2])


def rows():
    """(name, instructions, ratio to INCR, bytes a key or None) of each row."""
    base = None
    for row in [*ROWS, *INDEX]:
        calls = CALLS // 16 if row.startswith("index: 64") else CALLS
        cost = (instructions(row, 3 * calls) - instructions(row, calls)) / (2 * calls)
        base = base or cost
        sized = not row.endswith(("deny", "nothing new", "64 denials"))
        small = row in ROWS and len(ROWS[row]) > 3
        yield row, cost, cost / base, bytes_a_key(row, 10000 if small else 100000) if sized else None


def main():
    print("%-28s %14s %8s %12s" % ("in redis-server", "instructions", "x INCR", "bytes a key"))
    for row, cost, ratio, size in rows():
        print("%-28s %14.0f %8.1f %12s" % (row, cost, ratio, "" if size is None else
                                           "%.0f" % size), flush=True)


if __name__ == "__main__":
    main()
