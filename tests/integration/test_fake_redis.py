# SPDX-License-Identifier: Apache-2.0
"""The fake server does what its scripts say: else what it shows of clients is worth nothing."""

import json
import os
import socket
import subprocess
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from fake_redis import ERRORS, FakeRedis

PING = b"*1\r\n$4\r\nPING\r\n"


def connect(fake):
    if fake.path is None:
        return socket.create_connection(("127.0.0.1", fake.port), 10)
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(10)
    sock.connect(fake.path)
    return sock


def read(sock, size):
    data = b""
    while len(data) < size:
        more = sock.recv(size - len(data))
        if not more:
            break
        data += more
    return data


def test_replies_in_turn_and_records():
    """Each command takes the next step, the last one again and again; greetings take none."""
    with FakeRedis([{"steps": [{"reply": 1}, {"reply": [2, 3]}]}]) as fake, connect(fake) as c:
        c.sendall(b"*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n" + PING * 3)
        expected = b"+OK\r\n:1\r\n*2\r\n:2\r\n:3\r\n*2\r\n:2\r\n:3\r\n"
        assert read(c, len(expected)) == expected
        assert [x.words for x in fake.commands] == [[b"PING"]] * 3
        assert fake.all_commands[0].words == [b"SELECT", b"3"]


def test_connections_take_their_entries():
    """Each connection takes the next entry, and TCP serves as well."""
    script = [{"steps": [{"reply": 1}]}, {"steps": [{"reply": 2}]}]
    with FakeRedis(script, None) as fake:
        for expected in (b":1\r\n", b":2\r\n", b":2\r\n"):
            with connect(fake) as c:
                c.sendall(PING)
                assert read(c, 4) == expected


@pytest.mark.parametrize("code", sorted(ERRORS))
def test_errors(code):
    """An error has its code and a text."""
    with FakeRedis([{"steps": [{"error": code}]}]) as fake, connect(fake) as c:
        c.sendall(PING)
        line = read(c, len(ERRORS[code]) + 3)
        assert line.startswith(b"-" + code.encode() + b" ") and line.endswith(b"\r\n")


def test_waits_for_an_event():
    """Nothing is said before the event, and the reply after it."""
    with FakeRedis([{"steps": [{"wait": "go", "reply": 1}]}]) as fake, connect(fake) as c:
        c.sendall(PING)
        fake.wait_for(1)
        c.setblocking(False)
        with pytest.raises(BlockingIOError):
            c.recv(1)
        c.settimeout(10)
        fake.event("go").set()
        assert read(c, 4) == b":1\r\n"


def test_holds_a_reply_back():
    """A reply that is held comes before the next command's."""
    script = [{"steps": [{"hold": ":1\r\n"}, {"reply": 2}]}]
    with FakeRedis(script) as fake, connect(fake) as c:
        c.sendall(PING)
        fake.wait_for(1)
        c.sendall(PING)
        assert read(c, 8) == b":1\r\n:2\r\n"


@pytest.mark.parametrize("path", ["", None])
def test_pieces_and_end(path):
    """Pieces come one by one, then the end in the middle of a reply."""
    script = [{"steps": [{"pieces": ["$", "10\r\n", "abc"], "close": True}]}]
    with FakeRedis(script, path) as fake, connect(fake) as c:
        c.sendall(PING)
        assert read(c, 100) == b"$10\r\nabc"


def test_reset():
    """A connection can end with a reset."""
    with FakeRedis([{"steps": [{"close": "reset"}]}], None) as fake, connect(fake) as c:
        c.sendall(PING)
        with pytest.raises(ConnectionResetError):
            c.recv(1)


def test_never_reads():
    """A connection that is never read takes no more than its buffers hold."""
    with FakeRedis([{"reads": False}]) as fake, connect(fake) as c:
        c.setblocking(False)
        with pytest.raises(BlockingIOError):
            for _ in range(1000):
                c.send(b"x" * 65536)
        assert fake.commands == []


def test_banner_and_closes():
    """A full server says so and hangs up."""
    with FakeRedis([{"banner": "-ERR full\r\n", "closes": True}]) as fake, connect(fake) as c:
        assert read(c, 100) == b"-ERR full\r\n"


def test_wrong_scripts():
    """A script with a member that does not exist is refused."""
    for script in ([], [{"step": []}], [{"steps": [{"replay": 1}]}]):
        with pytest.raises(ValueError):
            FakeRedis(script)


def test_command_line(tmp_path):
    """The program says where it listens, takes events, and records what came."""
    (tmp_path / "script").write_text(json.dumps([{"steps": [{"wait": "go", "reply": ":1\r\n"}]}]))
    program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fake_redis.py")
    arguments = ["--script", tmp_path / "script", "--record", tmp_path / "record", "--socket",
                 tmp_path / "s"]
    with subprocess.Popen([sys.executable, program, *arguments], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == f"ready redis+unix://{tmp_path}/s\n"
        with socket.socket(socket.AF_UNIX) as c:
            c.settimeout(10)
            c.connect(str(tmp_path / "s"))
            c.sendall(PING)
            process.stdin.write("set go\n")
            process.stdin.flush()
            assert read(c, 4) == b":1\r\n"
        process.terminate()
        assert process.wait(10) == 0
    record = json.loads((tmp_path / "record").read_text())
    assert record == {"connection": 0, "words": ["PING"]}
