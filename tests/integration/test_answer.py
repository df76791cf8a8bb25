# SPDX-License-Identifier: Apache-2.0
"""What a client sees: statuses, fields and bodies."""

import json
import re

import pytest

from httpd_env import MPMS

CONF = """
<Location /plain>
  RateLimit "3/365day" name=plain
</Location>
<Location /stack>
  RateLimit "2/s,5/365day burst=3" name=stack
</Location>
<Location /unnamed>
  RateLimit "3/365day"
</Location>
<Location /never>
  RateLimit "3/365day" name=never cost=4
</Location>
<Location /text>
  RateLimit "1/365day" name=text
  ErrorDocument 429 "slow down"
</Location>
<Location /local>
  RateLimit "1/365day" name=local
  ErrorDocument 429 /page.html
</Location>
<Location /lost>
  RateLimit "1/365day" name=lost
  ErrorDocument 429 /nowhere.html
</Location>
<Location /off>
  RateLimit "1/365day" name=off
  RateLimitHeaders off
</Location>
Alias /plain @DOCS@/page.html
Alias /stack @DOCS@/page.html
Alias /unnamed @DOCS@/page.html
Alias /never @DOCS@/page.html
Alias /text @DOCS@/page.html
Alias /local @DOCS@/page.html
Alias /lost @DOCS@/page.html
Alias /off @DOCS@/page.html
"""

YEAR = 365 * 86400


# Every MPM passes exactly the quota, and says so in fields at every step.
@pytest.mark.parametrize("mpm", MPMS)
def test_quota_then_429(start, mpm, ip):
    httpd = start(CONF, mpm=mpm)
    answers = [httpd.get("/plain", ip) for _ in range(6)]
    assert [a.status for a in answers] == [200, 200, 200, 429, 429, 429]
    assert [a.items("RateLimit")[0][1]["r"] for a in answers] == [2, 1, 0, 0, 0, 0]
    for a in answers:
        assert a.items("RateLimit-Policy") == [("plain", {"q": 3, "w": YEAR})]
        assert (a.field("Retry-After") is not None) == (a.status == 429)


# Retry-After is a whole number of seconds, and not before the time the policy gives.
def test_retry_after(site, ip):
    site.statuses(3, "/plain", ip=ip)
    wait = site.get("/plain", ip).field("Retry-After")
    assert re.fullmatch("[1-9][0-9]*", wait)
    assert YEAR / 3 - 60 <= int(wait) <= YEAR / 3 + 1


# RateLimit-Policy lists each rate of a stack, RateLimit the rate that binds.
def test_stack(site, ip):
    a = site.get("/stack", ip)
    assert a.items("RateLimit-Policy") == [("stack", {"q": 2, "w": 1, "rlr-burst": 3}),
                                           ("stack", {"q": 5, "w": YEAR})]
    assert len(a.items("RateLimit")) == 1


# A limit without a name has the same made-up name in both fields and in the body.
def test_unnamed(site, ip):
    site.statuses(3, "/unnamed", ip=ip)
    a = site.get("/unnamed", ip)
    name = a.items("RateLimit")[0][0]
    assert len(name) == 7
    assert a.items("RateLimit-Policy")[0][0] == name
    assert json.loads(a.body)["violated-policies"] == [name]


# A cost above the capacity can never pass: no Retry-After is given.
def test_never(site, ip):
    a = site.get("/never", ip)
    assert a.status == 429
    assert a.field("Retry-After") is None
    assert a.items("RateLimit") == [("never", {"r": 3, "t": 0})]


# The refusal may not be stored, and what passes may.
def test_no_store(site, ip):
    answers = [site.get("/plain", ip) for _ in range(4)]
    assert [a.field("Cache-Control") for a in answers] == [None, None, None, "no-store"]


PROBLEM = "application/problem+json"
HTML = "text/html; charset=iso-8859-1"


# The body is problem+json unless the client would rather have HTML.
@pytest.mark.parametrize("accept, expected", [
    (None, PROBLEM), ("*/*", PROBLEM), ("application/json", PROBLEM),
    ("application/problem+json, text/html;q=0.5", PROBLEM), ("text/html", HTML),
    ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", HTML),
    ("image/png", HTML), ("application/json;q=0, */*", HTML)])
def test_accept(site, ip, accept, expected):
    fields = {"Accept": accept} if accept is not None else {}
    site.statuses(3, "/plain", ip=ip)
    a = site.get("/plain", ip, **fields)
    assert (a.status, a.field("Content-Type")) == (429, expected)
    assert int(a.field("Content-Length")) == len(a.body)
    if expected == PROBLEM:
        problem = json.loads(a.body)
        assert problem["status"] == 429
        assert problem["type"].endswith("#quota-exceeded")
        assert problem["violated-policies"] == ["plain"]
    else:
        assert a.body.startswith("<!DOCTYPE")


# HEAD gets the same fields as GET, and no body.
def test_head(site, ip):
    site.statuses(3, "/plain", ip=ip)
    get, head = site.get("/plain", ip), site.get("/plain", ip, method="HEAD")
    assert (head.status, head.body) == (429, "")
    for name in ["Content-Type", "Content-Length", "RateLimit-Policy", "Cache-Control"]:
        assert head.field(name) == get.field(name)


# A refusal leaves the connection open, also after a body that nobody read.
def test_keep_alive(site, ip):
    connection = site.connect()
    site.statuses(3, "/plain", ip=ip)
    for body in [None, b"x" * 100000, None]:
        a = site.send(connection, "/plain", ip, "POST" if body else "GET", body)
        assert a.status == 429
        used = connection.sock
    assert site.send(connection, "/page.html").body == "page\n"
    assert connection.sock is used
    connection.close()


# An ErrorDocument says how the refusal looks; the fields stay, and nothing is counted for it.
@pytest.mark.parametrize("path, body", [("/text", "slow down"), ("/local", "page\n")])
def test_error_document(site, ip, path, body):
    assert site.get(path, ip).status == 200
    a = site.get(path, ip)
    assert (a.status, a.body) == (429, body)
    assert a.field("Content-Type").startswith("text/html")
    assert a.field("Retry-After") and a.field("Cache-Control") == "no-store"
    assert a.items("RateLimit")[0][1]["r"] == 0


# An ErrorDocument that is not there leaves httpd's own page, and the status of the refusal.
def test_error_document_missing(site, ip):
    site.get("/lost", ip)
    a = site.get("/lost", ip)
    assert (a.status, a.field("Content-Type")) == (429, HTML)
    assert "while trying to use an ErrorDocument" in a.body


# RateLimitHeaders off takes the fields away, not Retry-After.
def test_headers_off(site, ip):
    answers = [site.get("/off", ip) for _ in range(2)]
    assert [a.status for a in answers] == [200, 429]
    for a in answers:
        assert a.field("RateLimit") is None and a.field("RateLimit-Policy") is None
    assert answers[1].field("Retry-After")


# The environment and the notes tell LogFormat who decided, and what is left.
def test_log_format(site, ip):
    site.get("/stack", ip)
    status, allowed, source, name, limit, left, reset, _ = site.access_log("/stack")
    assert (status, allowed, source, name, limit, left) == ("200", "1", "store", "stack", "3", "2")
    assert int(reset) >= 1
