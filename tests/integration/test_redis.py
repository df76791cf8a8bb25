# SPDX-License-Identifier: Apache-2.0
"""Two httpds and one Redis: what passes is the quota, exactly."""

import base64
import collections
import hashlib
import hmac
import http.client
import signal
import threading
import time

import pytest

import httpd_env
import redis_env
from httpd_env import MPMS

CONF = """
RateLimitStore @STORE@?timeout=5s&prefix=test
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


GROUPS = """
RateLimitStore @STORE@?timeout=5s&prefix=test
RateLimitFail closed
RateLimit "2/365day" name=user key="%{HTTP:X-User}" group="%{HTTP:X-Tenant}"
RateLimit "9/365day" name=tenant key="%{HTTP:X-Tenant}"
RateLimit "99/365day" name=all key=all group="%{HTTP:X-Tenant}"
"""


@pytest.fixture
def redis():
    server = redis_env.Redis(prefix="test")
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
    conf = CONF.replace("@STORE@", redis.url)
    return [start(conf, mpm=mpm) for _ in range(2)]


# Each MPM: 200 requests at each of two httpds, one counter.
@pytest.mark.parametrize("mpm", MPMS)
def test_two_httpds(redis, start, mpm):
    httpds = two(start, redis, mpm)
    assert [httpds[i % 2].get("/page.html", X_Key="k").status for i in range(10)] == \
        [200] * 7 + [429] * 3
    assert fire(httpds, "/sliding", 200) == {200: 300, 429: 100}


# 2,000 requests at each of two httpds pass exactly the quota.
def test_two_thousand(redis, start):
    httpds = two(start, redis)
    assert fire(httpds, "/many", 2000) == {200: 1000, 429: 3000}


# Key names in Redis hold no address and no key; every key expires.
def test_keys(redis, start):
    httpds = two(start, redis)
    httpds[0].get("/page.html", X_Key="tell-nobody")
    keys = redis.command("KEYS", "*")
    assert len(keys) == 1 and keys[0].startswith(b"test:{") and keys[0].endswith(b"few")
    assert b"tell" not in keys[0]
    assert redis.command("PTTL", keys[0]) > 0


# Limits of one group have its hash in their braces, which chooses the slot of a cluster, as has one
# without a group whose key is its text.
@pytest.mark.parametrize("secret", [None, b"0123456789abcdef"])
def test_group(redis, secret):
    def hashed(text):
        digest = hmac.digest(secret, text, "sha256") if secret else hashlib.sha256(text).digest()
        return base64.urlsafe_b64encode(digest[:12]).decode()

    httpd = httpd_env.Httpd(GROUPS.replace("@STORE@", redis.url)
                            + ("RateLimitSecretFile @ROOT@/secret\n" if secret else ""))
    try:
        httpd.write("secret", (secret or b"none").decode(), httpd.root).chmod(0o600)
        httpd.start()
        assert httpd.statuses(3, "/page.html", X_Tenant="t1", X_User="u1") == [200, 200, 429]
        assert httpd.get("/page.html", X_Tenant="t1").status == 200  # an empty key: no limit
        httpd.get("/page.html", X_User="u1")  # an empty group
    finally:
        httpd.finish()
    group, user, every = hashed(b"t1"), hashed(b"u1"), hashed(b"all")
    assert {key.decode() for key in redis.command("KEYS", "*")} == {
        f"test:{{{group}}}{user}:buser", f"test:{{{group}}}:btenant",
        f"test:{{{group}}}{every}:ball", f"test:{{{user}}}:buser", f"test:{{{every}}}:ball"}


# A Redis Cluster decides a group in one command, and keys without one each where it lies.
def test_group_in_cluster():
    cluster = redis_env.Redis("--cluster-enabled", "yes", "--cluster-port",
                              str(httpd_env.free_port()), prefix="test", scheme="redis+cluster")
    httpd = httpd_env.Httpd(GROUPS.replace("@STORE@", cluster.tcp_url))
    try:
        cluster.command("CLUSTER", "ADDSLOTS", *range(16384))
        while b"cluster_state:ok" not in cluster.command("CLUSTER", "INFO"):
            time.sleep(0.02)
        httpd.start()
        assert httpd.get("/page.html", X_Tenant="t1", X_User="u1").status == 200  # loads scripts
        commands = []
        for tenant in ["t1", "t2", ""]:
            before = cluster.decisions()
            assert httpd.get("/page.html", X_Tenant=tenant, X_User="u1").status == 200
            commands.append(cluster.decisions() - before)
        assert commands == [1, 1, 2]
    finally:
        httpd.finish()  # first: its helper threads go on asking for news
        cluster.stop()


# A secret changes the names: programs with another secret do not count together.
def test_secret(redis, start):
    conf = CONF.replace("@STORE@", redis.url) + "RateLimitSecretFile @ROOT@/secret\n"
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
def test_comes_back(redis, start):
    conf = CONF.replace("@STORE@", redis.url).replace("timeout=5s", "timeout=100ms")
    httpd = start(conf)
    httpd.expect("RLC")
    assert httpd.statuses(3, "/page.html", X_Key="k") == [200] * 3
    redis.signal(signal.SIGSTOP)
    assert httpd.statuses(4, "/page.html", X_Key="k") == [503] * 4
    redis.signal(signal.SIGCONT)
    httpd.wait_for(lambda: httpd.get("/page.html", X_Key="other").status == 200, "it stays away")
    assert httpd.statuses(8, "/page.html", X_Key="k").count(200) <= 4
