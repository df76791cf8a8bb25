# SPDX-License-Identifier: Apache-2.0
"""The status page as httpd serves it: who may see it, what it counts, what it says of whom."""

import html.parser
import json
import os
import re
import signal

import pytest

from httpd_env import MPMS

PLACES = """
<Location "/ratelimit-status">
  SetHandler ratelimit-status
  RateLimitMode off
</Location>
<Location "/open-status">
  SetHandler ratelimit-status
  RateLimitMode off
  RateLimitPageAccess require
  Require all granted
</Location>
<Location "/closed-status">
  SetHandler ratelimit-status
  RateLimitPageAccess require
  Require all denied
</Location>
"""
CONF = PLACES + """
<Location "/limited">
  RateLimit "3/365day" name=three
</Location>
<Location "/key">
  RateLimit "1/365day" name=key key="%{HTTP:X-Key}"
</Location>
<Location "/dry">
  RateLimit "1/365day" name=dry
  RateLimitMode dry-run
</Location>
<Location "/both">
  RateLimit "100/365day" name=wide
  RateLimit "1/365day" name=narrow
</Location>
AliasMatch "^/(limited|key|dry|both)" @DOCS@/page.html
"""
STATUS = "/ratelimit-status"


def status(httpd, path=STATUS, **more):
    answer = httpd.get(path + "?format=json", **more)
    assert answer.status == 200
    return json.loads(answer.body)


def limit(view, name):
    return next(entry for entry in view["limits"] if entry["name"] == name)


def counts(allowed=0, denied=0, dry_run=0):
    return {"allowed": allowed, "denied": denied, "dry_run": dry_run}


# --- who may see it

# A client on this host sees it; a stranger does not, whoever brings him; a Require that lets others
# in counts where it is said to.
def test_local_only(site, ip):
    assert site.get(STATUS).status == 200
    assert site.get(STATUS, ip).status == 403
    for name, value in [("Forwarded", "for=192.0.2.1"), ("Via", "1.1 proxy"),
                        ("X_Real_IP", "192.0.2.1"), ("X_Forwarded_Proto", "https"),
                        ("X_Client_IP", "127.0.0.1"), ("CF_Connecting_IP", "192.0.2.1")]:
        assert site.get(STATUS, **{name: value}).status == 403, name
    assert "RLR0031: ratelimit-status is for clients on this host" in site.error_log()
    assert site.get("/open-status", ip).status == 200
    site.expect("AH01630")
    assert site.get("/closed-status").status == 403


# A page from elsewhere that has its name looked up as this host learns nothing through a browser here.
def test_other_names(start):
    httpd = start("<VirtualHost *:@PORT@>\nServerName www.example.org\n"
                  "ServerAlias status.example.org *.example.net\n" + CONF + "</VirtualHost>")
    for name, wanted in [("localhost", 200), ("127.0.0.1", 200), ("[::1]", 200), ("LOCALHOST:80", 200),
                         ("status.example.org", 200), ("a.example.net", 200),
                         ("evil.example", 403), ("127.0.0.1.evil.example", 403)]:
        assert httpd.get(STATUS, Host=name).status == wanted, name


# A folder's owner can set the handler, and can let nobody in by that.
def test_htaccess_opens_nothing(start, ip):
    httpd = start('<Directory "@DOCS@">\nAllowOverride All\n</Directory>')
    path = httpd.write("mine/.htaccess", "SetHandler ratelimit-status\nRequire all granted\n")
    assert httpd.get("/mine/x", ip).status == 403
    path.write_text("SetHandler ratelimit-status\nRateLimitPageAccess require\n")
    assert httpd.get("/mine/x").status == 500
    httpd.logged("RateLimitPageAccess not allowed here")


# GET and HEAD, and nothing that changes anything.
def test_methods(site):
    for method in ["POST", "PUT", "DELETE", "OPTIONS"]:
        answer = site.get(STATUS, method=method)
        assert answer.status == 405
        assert {m.strip() for m in answer.field("Allow").split(",")} <= {"GET", "HEAD", "TRACE"}
    answer = site.get(STATUS, method="HEAD")
    assert answer.status == 200 and answer.body == ""
    assert answer.field("Content-Type") == "text/html; charset=utf-8"


# A handler of another name is not ours.
def test_other_handlers(start):
    httpd = start('<Location "/x">\nSetHandler ratelimit-statuses\n</Location>')
    assert httpd.get("/x").status == 404


# --- what comes with it

# Every format forbids all that it does not need, and is kept by nobody.
@pytest.mark.parametrize("args, kind", [
    ("", "text/html; charset=utf-8"), ("?format=html", "text/html; charset=utf-8"),
    ("?format=json", "application/json"),
    ("?format=prometheus", "application/openmetrics-text; version=1.0.0; charset=utf-8"),
    ("?format=xml", "text/plain; charset=utf-8")])
def test_fields(site, args, kind):
    answer = site.get(STATUS + args)
    assert answer.status == (400 if "xml" in args else 200)
    assert answer.field("Content-Type") == kind
    assert answer.field("Cache-Control") == "no-store"
    assert answer.field("X-Content-Type-Options") == "nosniff"
    assert answer.field("Referrer-Policy") == "no-referrer"
    assert answer.field("X-Frame-Options") == "DENY"
    rules = [rule.strip() for rule in answer.field("Content-Security-Policy").split(";")]
    assert "default-src 'none'" in rules and "frame-ancestors 'none'" in rules
    assert "unsafe" not in answer.field("Content-Security-Policy")


# The one style sheet is allowed by a nonce, which is another each time.
def test_nonce(site):
    seen = set()
    for _ in range(3):
        answer = site.get(STATUS)
        nonce = re.search(r"style-src 'nonce-([A-Za-z0-9+/=]{20,})'",
                          answer.field("Content-Security-Policy")).group(1)
        assert answer.body.count(f'<style nonce="{nonce}">') == 1
        assert answer.body.count("<style") == 1
        seen.add(nonce)
    assert len(seen) == 3


# It loads itself anew, as often as is asked for within reason, or not.
@pytest.mark.parametrize("args, seconds", [
    ("", 5), ("?refresh=60", 60), ("?refresh=0", 1), ("?refresh=-9", 1), ("?refresh=x", 1),
    ("?refresh=99999999999999999999", 3600), ("?refresh=off", None), ("?a=b&refresh=7", 7)])
def test_refresh(site, args, seconds):
    found = re.findall(r'<meta http-equiv="refresh" content="([^"]*)">', site.get(STATUS + args).body)
    assert found == ([str(seconds)] if seconds else [])


# --- what it counts

# Every decision counts, with its limits; one that another limit refused not with those that would
# have let it pass.
def test_counts(start, ip):
    httpd = start(CONF)
    assert httpd.statuses(5, "/limited", ip=ip) == [200, 200, 200, 429, 429]
    assert httpd.statuses(3, "/dry", ip=ip) == [200, 200, 200]
    assert httpd.statuses(3, "/both", ip=ip) == [200, 429, 429]
    view = status(httpd)
    assert view["total"] == view["recent"] == counts(3 + 1 + 1, 2 + 2, 2)
    assert limit(view, "three")["total"] == counts(3, 2)
    assert limit(view, "dry")["total"] == counts(1, 0, 2)
    assert limit(view, "wide")["total"] == counts(1, 0)
    assert limit(view, "narrow")["total"] == counts(1, 2)
    assert limit(view, "key")["total"] == counts()
    assert limit(view, "three")["policy"] == "3/365day" and limit(view, "key")["configured"]
    assert sum(view["minutes"]["denied"][-3:]) == sum(view["hours"]["denied"][-2:]) == 4
    assert view["sources"] == {"store": 11, "fallback": 0, "fail-open": 0, "fail-closed": 0}
    assert sum(bucket["total"] for bucket in view["latency"]["buckets"]) == 11
    assert view["store"]["kind"] == "shm" and view["store"]["state"] == "answers"
    assert view["store"]["slots_used"] >= 4


# The page itself costs nothing where its place says so, and nor do other requests.
def test_unlimited_counts_nothing(start, ip):
    httpd = start(CONF)
    httpd.get("/page.html", ip)
    for _ in range(3):
        httpd.get(STATUS)
    assert status(httpd)["total"] == counts()


# The numbers are of all children together, and of those that were killed.
@pytest.mark.parametrize("mpm", MPMS)
def test_all_processes(start, ip, mpm):
    httpd = start(CONF, mpm=mpm)
    connections = [httpd.connect() for _ in range(8)]  # prefork: a child each
    for connection in connections:
        for _ in range(5):
            httpd.send(connection, "/limited", ip)
    for connection in connections:
        connection.close()
    old = httpd.children()
    for pid in old:
        os.kill(pid, signal.SIGKILL)
    httpd.expect("exit signal Killed")
    httpd.wait_for(lambda: httpd.children() and not httpd.children() & old, "no child follows")
    assert httpd.get("/limited", ip).status == 429
    assert status(httpd)["total"] == counts(3, 38)


# A graceful restart keeps the numbers, and says which limits are of before.
def test_graceful(start, ip):
    httpd = start(CONF)
    httpd.statuses(5, "/limited", ip=ip)
    before = status(httpd)
    httpd.set_conf(CONF.replace('name=three', 'name=other'))
    httpd.graceful()
    httpd.get("/limited", ip)
    view = status(httpd)
    assert view["total"] == counts(4, 2)
    assert view["since"] == before["since"] and view["restarted"] >= before["restarted"]
    assert not limit(view, "three")["configured"] and limit(view, "three")["total"] == counts(3, 2)
    assert limit(view, "other")["configured"] and limit(view, "other")["total"] == counts(1)
    assert [entry["denied"] for entry in view["offenders"]] == [2]
    assert ".htaccess, or an older configuration" in httpd.get(STATUS).body


# Restarts map no more memory, and open no more descriptors.
def test_no_leak(start):
    def maps():
        with open(f"/proc/{httpd.process.pid}/maps") as file:
            return sum("/dev/zero" in line for line in file)

    httpd = start(CONF)
    before = maps()
    for _ in range(4):
        httpd.graceful()
    assert maps() == before > 0


# More limits than there are rows share the last; when the surplus is of old configurations, counting
# begins anew.
def test_more_limits_than_rows(start, ip):
    def conf(prefix, n):
        return PLACES + "".join(f'<Location "/{prefix}{i}">\nRateLimit "1/365day" name={prefix}{i}\n'
                                "</Location>\n" for i in range(n))

    httpd = start(conf("a", 260))
    for i in range(260):
        httpd.get(f"/a{i}", ip)
    view = status(httpd)
    assert len(view["limits"]) == 255
    assert limit(view, "(others)")["total"] == counts(6)
    assert "And 225 more" in httpd.get(STATUS).body
    httpd.set_conf(conf("b", 10))
    httpd.graceful()
    view = status(httpd)
    assert len(view["limits"]) == 10 and view["total"] == counts()


# Limits of .htaccess are counted under their names too.
def test_htaccess_limits(start, ip):
    httpd = start(PLACES + '<Directory "@DOCS@">\nAllowOverride Limit\n</Directory>')
    httpd.write("mine/.htaccess", 'RateLimit "2/365day" name=mine\n')
    httpd.write("mine/page.html", "x")
    assert httpd.statuses(4, "/mine/page.html", ip=ip) == [200, 200, 429, 429]
    view = status(httpd)
    assert limit(view, "mine")["total"] == counts(2, 2) and not limit(view, "mine")["configured"]
    assert view["offenders"][0]["key"] == ip and view["offenders"][0]["limit"] == "mine"


# While the store is away the page says so, why, and who decides.
def test_store_away(start, ip):
    httpd = start(PLACES + """
        RateLimitStore redis+unix://user:hunter2@@ROOT@/nobody.sock?timeout=50ms
        RateLimit "100/365day" name=all
        <Location "/closed">
          RateLimit "2/365day" name=closed fail=closed
        </Location>
        """)
    httpd.expect("RLC")
    assert httpd.statuses(3, "/page.html", ip=ip) == [200] * 3
    assert httpd.get("/closed", ip).status == 503
    view = status(httpd)
    assert view["store"]["kind"] == "redis+unix" and view["store"]["state"] == "away"
    assert view["store"]["last_failure_s"] <= 10
    assert view["store"]["last_failure"] in ["no connection, or it was lost",
                                             "no answer within the deadline"] or \
        view["store"]["last_failure"]
    assert view["store"]["errors"] >= 4 and view["store"]["breaker"] in ["open", "closed",
                                                                         "half-open"]
    assert view["sources"]["fallback"] == 3 and view["sources"]["fail-closed"] == 1
    assert view["offenders"] == []  # it is not the client's fault
    page = httpd.get(STATUS).body
    assert "The store is away: the fail policy decides" in page
    for args in ["", "?format=json", "?format=prometheus"]:
        assert "hunter2" not in httpd.get(STATUS + args).body


# --- what it says of whom

HOSTILE = [b"<script>alert(1)</script>", b'"><img src=//192.0.2.1/>', b"\xff\xfe[31m",
           b"{{constructor}}", "\u202eevil".encode(), b"&lt;b&gt;", b"x" * 500]


def offend(httpd, ip):
    """Three denials of an address, and two for each of the hostile keys."""
    httpd.statuses(6, "/limited", ip=ip)
    for key in HOSTILE:
        connection = httpd.connect()
        for _ in range(3):
            connection.putrequest("GET", "/key")
            connection.putheader("X-Key", key)
            connection.putheader("X-Forwarded-For", ip)
            connection.endheaders()
            connection.getresponse().read()
        connection.close()


# By default addresses are shown, which logs hold too, and other keys hashed: they may be secrets.
def test_keys_by_default(start, ip):
    httpd = start(CONF)
    offend(httpd, ip)
    view = status(httpd)
    assert view["offenders"][0] == {"key": ip, "shown": "address", "limit": "three", "denied": 3,
                                    "error": 0}
    rest = view["offenders"][1:]
    assert len(rest) == len(HOSTILE) and {entry["shown"] for entry in rest} == {"hashed"}
    assert all(re.fullmatch(r"#[\w-]{16}", entry["key"]) for entry in rest)
    named = re.findall(r"the limit key .*, key ([\w-]{16})\)", httpd.error_log())
    assert {"#" + name for name in named} == {entry["key"] for entry in rest}  # in the log alike
    page = httpd.get(STATUS).body
    assert ip in page and rest[0]["key"] in page and "constructor" not in page


# hashed: no key at all. The same key has the same hash under every limit, and after a restart.
def test_keys_hashed(start, ip):
    httpd = start("RateLimitPageKeys hashed\n" + CONF)
    offend(httpd, ip)
    httpd.statuses(3, "/both", ip=ip)
    before = {(entry["limit"], entry["key"]) for entry in status(httpd)["offenders"]}
    keys = {name: key for name, key in before}
    assert keys["three"] == keys["narrow"] != keys["key"]
    for args in ["", "?format=json", "?format=prometheus"]:
        assert ip not in httpd.get(STATUS + args).body
    httpd.graceful()
    assert {(entry["limit"], entry["key"]) for entry in status(httpd)["offenders"]} == before


class Text(html.parser.HTMLParser):
    """A page's text, and its tags."""

    def __init__(self, page):
        super().__init__()
        self.text, self.tags = [], set()
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)

    def handle_data(self, data):
        self.text.append(data)


# plain: as they are, but for what could pretend to be other text; and no key can leave its place.
def test_keys_plain(start, ip):
    httpd = start("RateLimitPageKeys plain\n" + CONF)
    offend(httpd, ip)
    view = status(httpd)
    shown = {entry["key"]: entry for entry in view["offenders"]}
    assert shown[ip]["shown"] == "address"
    expected = ["<script>alert(1)</script>", '"><img src=//192.0.2.1/>', "\\xff\\xfe[31m",
                "{{constructor}}", "\\xe2\\x80\\xaeevil", "&lt;b&gt;", "x" * 62 + "..."]
    for key in expected:
        assert shown[key]["denied"] == 2 and shown[key]["shown"] == "plain"
    page = Text(httpd.get(STATUS).body)
    assert all(key in page.text for key in expected)
    assert not page.tags & {"script", "img", "iframe", "link", "object", "b"}
    metrics = httpd.get(STATUS + "?format=prometheus").body
    assert ip not in metrics and "constructor" not in metrics


# What was kept under plain is not shown once the setting is another.
def test_keys_are_hidden_again(start, ip):
    httpd = start("RateLimitPageKeys plain\n" + CONF)
    offend(httpd, ip)
    httpd.set_conf("RateLimitPageKeys hashed\n" + CONF)
    httpd.graceful()
    assert {entry["shown"] for entry in status(httpd)["offenders"]} == {"hashed"}


# What is not to be shown is not kept: a setting that comes later finds no text.
def test_secrets_are_not_kept(start, ip):
    httpd = start(CONF)
    offend(httpd, ip)
    httpd.set_conf("RateLimitPageKeys plain\n" + CONF)
    httpd.graceful()
    shown = {entry["limit"]: entry["shown"] for entry in status(httpd)["offenders"]}
    assert shown == {"three": "address", "key": "hashed"}


# --- mod_status

# mod_status has a section on it, with "?auto" in lines; without any key.
def test_mod_status(start, ip):
    httpd = start(CONF + '<Location "/server-status">\nSetHandler server-status\n</Location>',
                  extra_modules=["status"])
    httpd.statuses(5, "/limited", ip=ip)
    httpd.statuses(2, "/dry", ip=ip)
    lines = dict(line.split(": ", 1) for line in httpd.get("/server-status?auto").body.splitlines()
                 if line.startswith("RateLimit"))
    assert lines == {"RateLimitAllowed": "4", "RateLimitDenied": "2", "RateLimitDryRun": "1",
                     "RateLimitShed": "0", "RateLimitDelayed": "0",
                     "RateLimitAllowedRecently": "4", "RateLimitDeniedRecently": "2",
                     "RateLimitDryRunRecently": "1", "RateLimitStore": "answers"}
    section = httpd.get("/server-status").body.partition("<h2>Rate limits</h2>")[2]
    assert "<td>three</td><td>3</td><td>2</td><td>0</td>" in section and ip not in section
