# SPDX-License-Identifier: Apache-2.0
"""Under gunicorn, with and without --preload, workers share a limit."""

import http.client
import os
import signal
import subprocess
import sys
import time

import pytest

from redis_env import TOP  # noqa: F401

APP = """
import rlcore

limiter = rlcore.Limiter("%s")


def hello(environ, start_response):
    import os
    start_response("200 OK", [("X-Pid", str(os.getpid()))])
    return [b"hello"]


app = rlcore.WSGI(hello, limiter, "20/day", name="site", key=lambda _: "all")
"""


def free_port():
    import socket
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def get(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/")
        answer = connection.getresponse()
        answer.read()
        return answer.status, answer.getheader("X-Pid")
    finally:
        connection.close()


@pytest.mark.parametrize("store, options", [
    ("shm:", ["--preload"]), ("redis:", ["--preload"]), ("redis:", []),
    ("shm:", ["--preload", "--threads", "4"])])
def test_gunicorn(store, options, redis, tmp_path):
    pytest.importorskip("gunicorn")
    redis.command("FLUSHALL")
    url = redis.url + "?timeout=10s&fail=closed" if store == "redis:" else store
    (tmp_path / "app.py").write_text(APP % url)
    port = free_port()
    server = subprocess.Popen([sys.executable, "-m", "gunicorn", "-w", "3", "-b",
                               f"127.0.0.1:{port}", "--error-logfile", str(tmp_path / "log"),
                               *options, "app:app"], cwd=tmp_path, env=os.environ)
    try:
        end = time.monotonic() + 20
        while True:
            try:
                answers = [get(port)]
                break
            except OSError:
                assert time.monotonic() < end and server.poll() is None
                time.sleep(0.05)
        answers += [get(port) for _ in range(59)]
        assert [status for status, _ in answers].count(200) == 20
        server.send_signal(signal.SIGTERM)
        assert server.wait(20) == 0
    finally:
        if server.poll() is None:
            server.kill()
            server.wait()
    assert "Traceback" not in (tmp_path / "log").read_text()
