# SPDX-License-Identifier: Apache-2.0
"""A policy's ban= over httpd, and rlctl beside it: who is banned, who is forgiven, and what a key or a
tier is given while httpd runs."""

import json
import subprocess
import time

import pytest

import httpd_env
import redis_env

CONF = """
RateLimitStore @STORE@
<Location /login>
  RateLimit "1/365day ban=3/10min:1h" name=login
</Location>
<Location /api>
  RateLimit "2/year algorithm=fixed-window" name=api
</Location>
AliasMatch "^/(login|api)" @DOCS@/page.html
"""


@pytest.fixture(params=["redis", "shm"])
def store(request):
    """The URL of each store in turn."""
    if request.param == "shm":
        folder = httpd_env.temp_folder()
        folder.chmod(0o777)
        yield "shm:%s/table?mode=0666" % folder
        return
    server = redis_env.Redis(prefix="test")
    yield server.url + "?timeout=5s&prefix=test"
    server.stop()


@pytest.fixture
def site(store, start):
    """An httpd, which ends before its store does, and that."""
    return start(CONF.replace("@STORE@", store)), store


def rlctl(store, *words):
    done = subprocess.run([redis_env.RLCTL, "--store", store, "--json", *words], text=True, timeout=60,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


def within(seconds, ask):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if ask():
            return True
        time.sleep(0.02)
    return False


def test_ban_and_unban(site, ip):
    """A client that goes on after three denials is banned: told by 429, Retry-After and the field, in every
    child; another is not; rlctl lists and frees it."""
    httpd, store = site
    httpd.expect("RLR0007")
    assert httpd.get("/login", ip).status == 200
    first = httpd.get("/login", ip)
    assert first.status == 429 and int(first.field("Retry-After")) > 4000
    assert within(10, lambda: int(httpd.get("/login", ip).field("Retry-After")) <= 3600)
    def banned():
        answer = httpd.get("/login", ip)
        assert answer.status == 429
        return 3000 < int(answer.field("Retry-After")) <= 3600

    time.sleep(2)  # what children have counted till then is handed on, and counts no more
    # A child that was asked for nothing yet may not have heard of it.
    assert within(10, lambda: all([banned() for _ in range(20)]))
    for _ in range(20):
        answer = httpd.get("/login", ip)
        assert answer.status == 429 and 3000 < int(answer.field("Retry-After")) <= 3600
        assert answer.field("Cache-Control") == "no-store"
        (name, field), = answer.items("RateLimit")
        assert name == "login" and field["r"] == 0 and 3000 < field["t"] <= 3600
    assert httpd.get("/api", ip).status == 200
    assert httpd.get("/login", ip + "7").status == 200
    assert "429 0 ban login 1 0 " in (httpd.root / "access.log").read_text()
    status, listed = rlctl(store, "list", "bans")
    entry, = listed["entries"]
    assert (status, entry["kind"], entry["name"], entry["level"]) == (0, "ban", "login", 1)
    assert 0 < entry["left_us"] <= 3600e6 and entry["display"] == ""
    problem = httpd.get("/login", ip, Accept="application/problem+json")
    assert problem.field("Content-Type") == "application/problem+json"
    document = json.loads(problem.body)
    assert document["type"].endswith("abnormal-usage-detected") and document["status"] == 429
    assert document["violated-policies"] == ["login"]
    assert f"(source store, key {entry['hash']})" in httpd.error_log()  # the log names it alike
    status, freed = rlctl(store, "unban", "login", ip)
    assert (status, freed["hash"], freed["found"]) == (0, entry["hash"], True)
    assert within(2.5, lambda: int(httpd.get("/login", ip).field("Retry-After")) > 4000)
    assert rlctl(store, "unban", "login", ip)[0] == 1


def test_override_and_tier(site, ip):
    """A key's override holds within 2 s, and so does what its tier is given; neither resets."""
    httpd, store = site
    httpd.expect("RLR0007")
    assert [httpd.get("/api", ip).status for _ in range(3)] == [200, 200, 429]
    assert rlctl(store, "tier", "pro", "api", "4/year algorithm=fixed-window")[0] == 0
    assert rlctl(store, "member", ip, "pro", "--display", "Bob")[0] == 0
    passed = 0
    until = time.monotonic() + 2.5
    while time.monotonic() < until:
        passed += httpd.get("/api", ip).status == 200
        time.sleep(0.02)
    assert passed == 2
    assert rlctl(store, "override", "api", ip, "5/year algorithm=fixed-window")[0] == 0
    assert within(2.5, lambda: httpd.get("/api", ip).status == 200)
    assert httpd.get("/api", ip).status == 429
