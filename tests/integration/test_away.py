# SPDX-License-Identifier: Apache-2.0
"""While the store cannot answer, the fail policy does: for each limit, each place, each store."""

import json

CONF = """
RateLimitStore redis+unix://@ROOT@/nobody.sock?timeout=50ms
RateLimit "1000/365day" name=all fail=open
<Location /default>
  RateLimit "2/365day" name=default
</Location>
<Location /open>
  RateLimit "2/365day" name=open
  RateLimitFail open
</Location>
<Location /closed>
  RateLimit "2/365day" name=closed
  RateLimitFail closed
</Location>
<Location /local>
  RateLimit "2/365day" name=local
  RateLimitFail local
</Location>
<Location /own>
  RateLimit "2/365day" name=own fail=local
  RateLimitFail closed
</Location>
<Location /page-closed>
  RateLimit "2/365day" name=page-closed fail=closed
  ErrorDocument 503 "away"
</Location>
<Location /dry>
  RateLimit "2/365day" name=dry fail=closed
  RateLimitMode dry-run
</Location>
AliasMatch "^/(default|open|closed|local|own|page-closed|dry)" @DOCS@/page.html
"""


def PREPARE(httpd):
    httpd.expect("RLC")  # the library says that its store is away


# local, the default: this machine enforces the policy, starting from what it has seen itself.
def test_local(site, ip):
    for path in ["/default", "/local", "/own"]:
        answers = [site.get(path, ip) for _ in range(4)]
        assert [a.status for a in answers] == [200, 200, 429, 429]
        assert answers[3].field("Retry-After")
        assert answers[0].items("RateLimit")[0][1]["r"] == 1
    assert site.access_log("/own")[2] == "fallback"


# open: everything passes; what is left of the quota is unknown, and not told.
def test_open(site, ip):
    answers = [site.get("/open", ip) for _ in range(5)]
    assert [a.status for a in answers] == [200] * 5
    assert answers[4].field("RateLimit") is None
    assert [n for n, _ in answers[4].items("RateLimit-Policy")] == ["all", "open"]
    assert site.access_log("/open")[2] == "fail-open"


# closed: 503, a short Retry-After, and the problem type for it.
def test_closed(site, ip):
    answers = [site.get("/closed", ip) for _ in range(12)]
    for a in answers:
        assert a.status == 503
        assert 1 <= int(a.field("Retry-After")) <= 5
        assert a.field("Cache-Control") == "no-store"
    problem = json.loads(answers[0].body)
    assert problem["status"] == 503
    assert problem["type"].endswith("#temporary-reduced-capacity")
    assert problem["violated-policies"] == ["closed"]
    assert site.access_log("/closed")[:3] == ["503", "0", "fail-closed"]
    assert len({a.field("Retry-After") for a in answers}) > 1


# An ErrorDocument has the word here too.
def test_closed_error_document(site, ip):
    a = site.get("/page-closed", ip)
    assert (a.status, a.body) == (503, "away")


# dry-run does not refuse.
def test_closed_dry_run(site, ip):
    assert site.get("/dry", ip).status == 200


# Two limits may fail in two ways: what the closed one refuses charges nothing to the others.
def test_each_its_own(site, ip):
    assert [site.get("/closed", ip).status for _ in range(5)] == [503] * 5
    assert [site.get("/local", ip).status for _ in range(3)] == [200, 200, 429]


# A name that cannot be looked up keeps httpd neither from starting nor from coming back: the fail
# policy decides, and the log says why.
def test_name_unknown(start, ip):
    httpd = start('RateLimitStore "redis://nobody.invalid?fail=closed"\nRateLimit "1000/365day"')
    httpd.expect("RLC")
    assert httpd.statuses(12, "/page.html", ip=ip) == [503] * 12
    httpd.logged("RLC0101")
    httpd.logged("RLC0302")
    assert "no connection to redis at nobody.invalid:6379: " in httpd.error_log()
    httpd.graceful()
    assert httpd.get("/page.html", ip).status == 503
