# SPDX-License-Identifier: Apache-2.0
"""Two httpds and one Redis: what passes is the quota, exactly."""

import collections
import http.client
import signal
import threading

import pytest

import httpd_env
import redis_env
from httpd_env import MPMS

CONF = """
RateLimitStore redis+unix://@SOCKET@?timeout=5s&prefix=test
RateLimitFail closed
RateLimitPolicy few "7/365day"
RateLimit few key="%{HTTP:X-Key}"
<Location /many>
  RateLimit "1000/365day algorithm=fixed-window" name=many key="all"
</Location>
<Location /sliding>
  RateLimit "700/365day algorithm=sliding-window" name=sliding key="all"
  RateLimit "300/365day" name=bucket key="all"
</Location>
AliasMatch "^/(many|sliding)" @DOCS@/page.html
"""


@pytest.fixture
def redis():
    server = redis_env.Redis()
    yield server
    server.stop()


def fire(httpds, path, requests, threads=20):
    """Sends |requests| requests to each httpd at once, over |threads| connections each."""
    counts = collections.Counter()
    lock = threading.Lock()
    together = threading.Barrier(len(httpds) * threads)

    def run(port):
        own = collections.Counter()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        together.wait(60)
        while sum(own.values()) < requests // threads:
            try:
                connection.request("GET", path)
                answer = connection.getresponse()
            except (http.client.RemoteDisconnected, ConnectionError):
                connection.close()  # httpd ended it before it read the request
                continue
            answer.read()
            own[answer.status] += 1
        connection.close()
        with lock:
            counts.update(own)

    workers = [threading.Thread(target=run, args=(h.port,)) for h in httpds for _ in range(threads)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    return dict(counts)


def two(start, redis, mpm="event"):
    conf = CONF.replace("@SOCKET@", str(redis.socket))
    return [start(conf, mpm=mpm) for _ in range(2)]


# Each MPM: 200 requests at each of two httpds, one counter.
@pytest.mark.parametrize("mpm", MPMS)
def test_two_httpds(start, redis, mpm):
    httpds = two(start, redis, mpm)
    assert [httpds[i % 2].get("/page.html", X_Key="k").status for i in range(10)] == \
        [200] * 7 + [429] * 3
    assert fire(httpds, "/sliding", 200) == {200: 300, 429: 100}


# 2,000 requests at each of two httpds pass exactly the quota.
def test_two_thousand(start, redis):
    httpds = two(start, redis)
    assert fire(httpds, "/many", 2000) == {200: 1000, 429: 3000}


# Key names in Redis hold no address and no key; every key expires.
def test_keys(start, redis):
    httpds = two(start, redis)
    httpds[0].get("/page.html", X_Key="tell-nobody")
    keys = redis.command("KEYS", "*")
    assert len(keys) == 1 and keys[0].startswith(b"test:{") and keys[0].endswith(b"few")
    assert b"tell" not in keys[0]
    assert redis.command("PTTL", keys[0]) > 0


# A secret changes the names: programs with another secret do not count together.
def test_secret(start, redis):
    conf = CONF.replace("@SOCKET@", str(redis.socket)) + "RateLimitSecretFile @ROOT@/secret\n"
    plain = two(start, redis)[0]
    keyed = httpd_env.Httpd(conf)
    try:
        keyed.write("secret", "0123456789abcdef\n", keyed.root).chmod(0o600)
        keyed.start()
        for httpd in [plain, keyed]:
            assert httpd.statuses(8, "/page.html", X_Key="k") == [200] * 7 + [429]
    finally:
        keyed.finish()
    assert len(redis.command("KEYS", "*")) == 2


# Redis stops and comes back: the fail policy answers meanwhile, and the counters are there again.
def test_comes_back(start, redis):
    conf = CONF.replace("@SOCKET@", str(redis.socket)).replace("timeout=5s", "timeout=100ms")
    httpd = start(conf)
    httpd.expect("RLC")
    assert httpd.statuses(3, "/page.html", X_Key="k") == [200] * 3
    redis.signal(signal.SIGSTOP)
    assert httpd.statuses(4, "/page.html", X_Key="k") == [503] * 4
    redis.signal(signal.SIGCONT)
    httpd.wait_for(lambda: httpd.get("/page.html", X_Key="other").status == 200, "it stays away")
    assert httpd.statuses(8, "/page.html", X_Key="k").count(200) <= 4
