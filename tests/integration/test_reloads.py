# SPDX-License-Identifier: Apache-2.0
"""Graceful restarts, one after another, while clients ask: an httpd with the module fails no request
and keeps no memory that one without it would not. make reloads does 300 for each store."""

import http.client
import os
import pathlib
import re
import statistics
import threading
import time

import pytest

import httpd_env
import redis_env

RELOADS = int(os.environ.get("RLC_RELOADS", "10"))
WARM = 5  # restarts until memory is what it stays
CLIENTS = 4

LIMITS = """
RateLimitStore "@STORE@"
RateLimitSecretFile @ROOT@/secret
RateLimitPolicy monthly "1000000/month algorithm=fixed-window tz=Europe/Paris"
RateLimitPolicy api "100000/s,10000000/h burst=100000"
RateLimitRedirect "/slow.html?from=%{escape:%{REQUEST_URI}}"
RateLimitExempt 192.0.2.0/24 when="%{REQUEST_METHOD} == 'PUT'"
RateLimit api
RateLimit monthly key="%{HTTP:X-Key}" when="%{REQUEST_METHOD} == 'GET'"
<Location /status>
  SetHandler ratelimit-status
</Location>
"""
OVERRIDE = """
<Directory "@DOCS@">
  AllowOverride Limit
</Directory>
"""


class Clients:
    """Ask without a pause: half of them on a new connection each time, half on one that is kept."""

    def __init__(self, httpd):
        self.httpd = httpd
        self.asked = self.failed = 0
        self.why = []
        self.lock = threading.Lock()
        self.end = threading.Event()
        self.threads = [threading.Thread(target=self.ask, args=(i % 2,)) for i in range(CLIENTS)]
        for thread in self.threads:
            thread.start()

    def ask(self, keep):
        connection = None
        while not self.end.is_set():
            fresh = connection is None
            connection = connection or self.httpd.connect(timeout=10)
            failure = None
            try:
                status = self.httpd.send(connection, "/page.html", X_Key="a").status
                failure = None if status == 200 else f"status {status}"
            except (OSError, http.client.HTTPException) as error:
                # A server may end a connection that it keeps; then the client asks once more.
                failure = repr(error) if fresh else None
                connection.close()
                connection = None
            with self.lock:
                self.asked += 1
                self.failed += failure is not None
                self.why += [failure] if failure else []
            if connection and not keep:
                connection.close()
                connection = None
            time.sleep(0.002)
        if connection:
            connection.close()

    def stop(self):
        self.end.set()
        for thread in self.threads:
            thread.join()


def memory(httpd):
    """What the parent has for itself, in kB: what it uses, and its address space."""
    status = pathlib.Path(f"/proc/{httpd.process.pid}/status").read_text()
    return [int(re.search(rf"^{name}:\s+(\d+)", status, re.M).group(1))
            for name in ["RssAnon", "VmSize"]]


def descriptors(httpd):
    return len(os.listdir(f"/proc/{httpd.process.pid}/fd"))


@pytest.fixture(scope="module")
def redis():
    server = redis_env.Redis()
    yield server
    server.stop()


def run(httpd):
    """Restarts under load. Returns the clients, what memory has grown by each time, as a list for each
    of its measures, and how many descriptors more there are."""
    clients = Clients(httpd)
    seen = []
    try:
        for i in range(RELOADS + WARM):
            httpd.graceful()
            if i >= WARM - 1:
                seen.append(memory(httpd))
            if i == WARM - 1:
                before = descriptors(httpd)
        more = descriptors(httpd) - before
    finally:
        clients.stop()
    grown = [[b - a for a, b in zip(column, column[1:])] for column in zip(*seen)]
    return clients, grown, more


@pytest.mark.parametrize("store", ["shm:", "redis", "rediss://127.0.0.1:1?fail=open"])
def test_reloads(start, redis, store):
    def start_one(conf, **more):
        httpd = httpd_env.Httpd(OVERRIDE + conf, **more)
        httpd.write("secret", "s" * 32, httpd.root).chmod(0o600)
        httpd.write(".htaccess", "RateLimit 1000000/s name=own\n" if conf else "")
        return httpd.start()

    url = redis.url if store == "redis" else store
    bare = start_one("", module=None)
    httpd = start_one(LIMITS.replace("@STORE@", url))
    if store.startswith("rediss"):
        httpd.expect("RLC")  # nobody is there
    try:
        usual, usual_grown, _ = run(bare)
        found, grown, more = run(httpd)
    finally:
        bare.finish()
        httpd.finish()
    print(f"{store}: {RELOADS} reloads: {found.asked} requests, {found.failed} failed, kB "
          f"{[sum(g) for g in grown]}, descriptors {more:+}; without the module {usual.asked}, "
          f"{usual.failed}, {[sum(g) for g in usual_grown]}")
    assert found.asked > RELOADS
    assert found.failed <= usual.failed, found.why[:5]
    assert more <= 0
    for mine, others in zip(grown, usual_grown):
        # A page left behind is one each time; a heap that finds its size grows once or twice.
        assert statistics.median(mine) <= max(0, statistics.median(others)), mine
        assert sum(mine) <= max(0, sum(others)) + RELOADS + 256, mine
