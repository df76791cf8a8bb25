# SPDX-License-Identifier: Apache-2.0
"""algorithm=concurrency: a slot is taken at the door and free again however the request ends."""

import http.client
import os
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest

import application
import httpd_env
import redis_env
from httpd_env import MPMS

CONF = """
<Location "/app">
  ProxyPass "http://127.0.0.1:@APP@"
  RateLimit "3/10s algorithm=concurrency" name=slots
</Location>
<Location "/app/short">
  RateLimit "1/1s algorithm=concurrency" name=short
</Location>
<Location "/app/two">
  RateLimit "2/365day" name=bucket charge=status:404
  RateLimit "9/365day" name=plain
</Location>
<Location "/app/cost">
  RateLimit "9/10s algorithm=concurrency" name=wide cost=4
</Location>
<Location "/app/late">
  RateLimit "1/365day" name=late phase=late
</Location>
Alias "/app/file" "@DOCS@/huge.bin"
ProxyPass "/app/file" "!"
<Location "/app/file">
  ProxyPass "!"
</Location>
ScriptAlias "/cgi/" "@ROOT@/cgi/"
<Location "/cgi">
  Require all granted
  RateLimit "3/10s algorithm=concurrency" name=slots
</Location>
"""
MODULES = ["proxy", "proxy_http"]


@pytest.fixture(scope="module")
def app():
    app = application.Application()
    yield app
    app.stop()


@pytest.fixture
def make(app, start):
    def make(conf="", mpm="event"):
        cgi = "cgi" if mpm == "prefork" else "cgid"
        conf = CONF.replace("@APP@", str(app.port)) + conf
        if cgi == "cgid":
            conf += '\nScriptSock "@ROOT@/cgisock"'
        httpd = start(conf, mpm=mpm, extra_modules=[*MODULES, cgi,
                                                           *(["http2"] if "h2c" in conf else [])])
        with open(httpd.docs / "huge.bin", "wb") as f:
            f.truncate(64 << 20)
        os.chmod(httpd.docs / "huge.bin", 0o644)
        httpd.write("hang", "#!/bin/sh\nexec sleep 60\n", httpd.root / "cgi").chmod(0o755)
        httpd.write("die", "#!/bin/sh\nexit 1\n", httpd.root / "cgi").chmod(0o755)
        return httpd
    return make


def raw(httpd, path, ip):
    """A request on a connection of its own, which stays open."""
    s = socket.create_connection(("127.0.0.1", httpd.port), 20)
    s.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {ip}\r\n\r\n".encode())
    return s


def occupy(httpd, app, ip, gate, n=3, path="/app/x"):
    sockets = [raw(httpd, f"{path}?wait={gate}", ip) for _ in range(n)]
    app.wait_for_waiters(gate, n)
    return sockets


def free(httpd, ip, n=3):
    """Waits until |n| slots are free, and is sure that they are not one more."""
    def all_free():
        a = httpd.get("/app/probe", ip)
        return a.status == 200 and dict(a.items("RateLimit"))["slots"]["r"] == n - 1
    httpd.wait_for(all_free, f"there are never {n} slots free")


# So many at once and no more; the next is refused without waiting, and passes when one has ended.
@pytest.mark.parametrize("mpm, store", [*[(mpm, "shm") for mpm in MPMS], ("event", "redis")])
def test_at_once(make, app, ip, mpm, store):
    redis = redis_env.Redis(prefix="rl") if store == "redis" else None
    httpd = make(f"RateLimitStore {redis.url}?timeout=5s" if redis else "", mpm=mpm)
    gate = f"at-once-{mpm}-{store}"
    sockets = occupy(httpd, app, ip, gate)
    a = httpd.get("/app/x", ip)
    assert a.status == 429 and int(a.field("Retry-After")) <= 10
    assert dict(a.items("RateLimit-Policy"))["slots"]["qu"] == "concurrent-requests"
    assert httpd.get("/app/x", "203.0.113.1").status == 200
    app.open(gate)
    assert all(s.recv(12) == b"HTTP/1.1 200" for s in sockets)
    free(httpd, ip)  # the connections are open still, and hold nothing
    for s in sockets:
        s.close()
    httpd.stop()
    if redis:
        redis.stop()


# 200 threads that come and go: never more at once than there are slots, and all is free in the end.
@pytest.mark.parametrize("mpm", MPMS)
def test_crowd(make, app, ip, mpm):
    httpd = make(mpm=mpm)
    passed = []

    def come_and_go():
        connection = httpd.connect(60)
        for _ in range(20):
            passed.append(httpd.send(connection, "/app/x?sleep=0.002", ip).status)
        connection.close()
    threads = [threading.Thread(target=come_and_go) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(passed) == {200, 429}
    free(httpd, ip)


# Whatever the answer is, and where it comes from.
@pytest.mark.parametrize("path, status", [
    ("/app/x?status=500", 500), ("/app/x?status=404", 404), ("/app/x?status=204&size=0", 204),
    ("/app/file", 200), ("/cgi/die", 500), ("/cgi/missing", 404)])
def test_answers(make, ip, path, status):
    httpd = make()
    httpd.expect("AH01215", "End of script output", "AH01264", "AH02811")
    assert [httpd.get(path, ip).status for _ in range(5)] == [status] * 5
    free(httpd, ip)


# Clients that leave: before the answer, and in the middle of it.
@pytest.mark.parametrize("mpm", MPMS)
def test_client_gone(make, app, ip, mpm):
    httpd = make(mpm=mpm)
    gate = f"gone-{mpm}"
    for s in occupy(httpd, app, ip, gate):
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        s.close()
    app.open(gate)
    free(httpd, ip)
    sockets = [raw(httpd, "/app/file", ip) for _ in range(3)]
    assert all(s.recv(4000) for s in sockets)
    assert httpd.get("/app/x", ip).status == 429  # a reader that is slow holds its slot
    for s in sockets:
        s.close()
    free(httpd, ip)


# An application, and a CGI program, that do not answer in time.
@pytest.mark.parametrize("mpm", ["event", "prefork"])
def test_timeouts(make, app, ip, mpm):
    httpd = make("Timeout 1\nProxyTimeout 1", mpm=mpm)
    httpd.expect("AH01102", "AH00898", "AH10272", "AH01220", "AH02610", "AH01225", "Script timed out",
                 "End of script output", "AH01239", "AH02551", "AH03250")
    for path in [f"/app/x?wait=never-{mpm}", "/cgi/hang"]:
        answers = [raw(httpd, path, ip) for _ in range(3)]
        assert all(s.recv(10) == b"HTTP/1.1 5" for s in answers), path
        free(httpd, ip)
    app.open(f"never-{mpm}")


# A slow client that is given up.
def test_client_timeout(make, ip):
    httpd = make("Timeout 1")
    sockets = [raw(httpd, "/app/file", ip) for _ in range(3)]
    assert all(s.recv(1) for s in sockets)
    assert httpd.get("/app/x", ip).status == 429
    free(httpd, ip)


# What runs longer than the policy's window keeps its slot.
def test_kept(make, app, ip):
    httpd = make()
    sockets = occupy(httpd, app, ip, "kept", 1, "/app/short")
    end = time.monotonic() + 2.5
    while time.monotonic() < end:
        assert httpd.get("/app/short", ip).status == 429
        time.sleep(0.1)
    app.open("kept")
    assert sockets[0].recv(12) == b"HTTP/1.1 200"
    httpd.wait_for(lambda: httpd.get("/app/short", ip).status == 200, "the slot is not back")


# Children that are killed: each slot is back at its end and not before.
@pytest.mark.parametrize("mpm", ["event", "prefork"])
def test_killed(make, app, ip, mpm):
    httpd = make(mpm=mpm)
    httpd.expect("exit signal Killed", "AH01239")
    gate = f"killed-{mpm}"
    sockets = occupy(httpd, app, ip, gate, 1, "/app/short")
    before = time.monotonic()
    for child in httpd.children():
        os.kill(child, signal.SIGKILL)
    killed = time.monotonic()
    app.open(gate)

    def answer():
        try:
            return httpd.get("/app/short", ip).status
        except (OSError, http.client.HTTPException):
            return None
    httpd.wait_for(lambda: answer() == 200, "the slot is never back")
    # Renewed each third of a second, it had more than 0.6 s left.
    assert 0.6 < time.monotonic() - before and time.monotonic() - killed < 8
    sockets[0].close()


# A graceful restart and a stop: what ends by then gives back; a table that outlives httpd shows it.
def test_restarts(make, app, ip):
    folder = httpd_env.temp_folder()
    folder.chmod(0o777)
    store = f"shm:{folder}/table?mode=0666"
    httpd = make(f"RateLimitStore {store}")
    occupied = occupy(httpd, app, ip, "restart", 2)
    httpd.process.send_signal(signal.SIGUSR1)
    httpd.wait_for(lambda: httpd.error_log().count("resuming normal operations") == 2, "no restart")
    free(httpd, ip, 1)
    app.open("restart")
    assert all(s.recv(12) == b"HTTP/1.1 200" for s in occupied)
    free(httpd, ip)
    for s in occupied:
        s.close()
    httpd.stop()
    shutil.rmtree(folder)


# Slots, reservations and plain limits of one decision: each settles in its way, all or nothing.
def test_with_others(make, app, ip):
    httpd = make()

    def told():
        a = httpd.get("/app/two", ip)
        return a.status, {name: item["r"] for name, item in a.items("RateLimit")}
    assert told() == (200, {"slots": 2, "bucket": 1, "plain": 8})
    free(httpd, ip)
    assert told() == (200, {"slots": 2, "bucket": 1, "plain": 7})
    assert httpd.statuses(2, "/app/two?status=404", ip=ip) == [404] * 2
    assert httpd.get("/app/two", ip).status == 429
    free(httpd, ip)  # what the bucket refuses holds no slot


# A later limit refuses: the slot is free when that answer is out. Several slots for one request.
def test_late_and_cost(make, app, ip):
    httpd = make()
    assert [httpd.get("/app/late", ip).status for _ in range(9)] == [200] + [429] * 8
    free(httpd, ip)
    sockets = occupy(httpd, app, ip, "cost", 2, "/app/cost")
    assert httpd.get("/app/cost", ip).status == 429
    app.open("cost")
    for s in sockets:
        s.close()
    httpd.wait_for(lambda: httpd.get("/app/cost", ip).status == 200, "not given back")


def h2(httpd, ip, *paths, **more):
    """curl with one connection of HTTP/2 and a stream for each path."""
    words = ["curl", "-sS", "--http2-prior-knowledge", "--parallel", "--parallel-immediate",
             "-H", f"X-Forwarded-For: {ip}"]
    for path in paths:
        words += ["-o", "/dev/null", "-w", "%{http_version} %{http_code}\n",
                  f"http://127.0.0.1:{httpd.port}{path}"]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True, **more)


# Streams of one HTTP/2 connection: each has a slot of its own.
@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_http2(make, app, ip):
    httpd = make("Protocols h2c http/1.1\nH2Direct on")
    curl = h2(httpd, ip, *["/app/x?wait=h2"] * 3)
    app.wait_for_waiters("h2", 3)
    refused = h2(httpd, ip, "/app/x", "/app/x")
    assert refused.communicate()[0].split() == ["2", "429"] * 2
    app.open("h2")
    assert sorted(curl.communicate()[0].split()) == ["2"] * 3 + ["200"] * 3
    free(httpd, ip)


# A client of HTTP/2 that is gone.
@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_http2_gone(make, app, ip):
    httpd = make("Protocols h2c http/1.1\nH2Direct on")
    curl = h2(httpd, ip, *["/app/x?wait=h2gone"] * 2, "/app/file")
    app.wait_for_waiters("h2gone", 2)
    curl.kill()
    curl.communicate()
    app.open("h2gone")
    free(httpd, ip)
