# SPDX-License-Identifier: Apache-2.0
"""What is told of before and beside refusals: lines of the error log, warnings, dry runs, proxies."""

import re

import pytest

import structured_fields
from httpd_env import MPMS

PLACES = ["line", "quiet", "short", "dry", "key", "warn", "warn-own", "warn-off", "two", "late",
          "fields-off", "cors"]
CONF = """
<Location /line>
  RateLimit "1/365day" name=line
</Location>
<Location /quiet>
  RateLimit "1/365day" name=quiet
  RateLimitLog off
</Location>
<Location /short>
  RateLimit "1/365day" name=short
  RateLimitLog 1s
</Location>
<Location /dry>
  RateLimit "2/365day" name=dry
  RateLimit "1/365day" name=dry-small
  RateLimitMode dry-run
</Location>
<Location /key>
  RateLimit "1/365day" name=key key="%{HTTP:X-Key}" group="%{HTTP:X-Group}"
</Location>
<Location /warn>
  RateLimit "5/365day" name=warn
  RateLimitWarn 80%
</Location>
<Location /warn-own>
  RateLimit "4/365day" name=half warn=50%
  RateLimit "4/365day" name=never warn=off
  RateLimit "4/365day" name=last
  RateLimitWarn 100%
</Location>
<Location /warn-off>
  RateLimit "2/365day" name=warn-off
</Location>
<Location /late>
  RateLimit "1/365day" name=early
  RateLimit "1/365day" name=late phase=late
  RateLimitWarn 100%
</Location>
<Location /fields-off>
  RateLimit "1/365day" name=fields-off
  RateLimitWarn 1%
  RateLimitHeaders off
</Location>
<Location /cors>
  RateLimit "1/365day" name=cors
  RateLimitWarn 1%
  RateLimitExpose on
  RateLimitMode dry-run
</Location>
<Directory "@DOCS@/folder">
  AllowOverride Limit
  RateLimit "4/365day" name=outer
  RateLimitWarn 50%
</Directory>
<Directory "@DOCS@/forbidden">
  AllowOverride All
</Directory>
""" + "\n".join(f"AliasMatch ^/{name}$ @DOCS@/page.html" for name in PLACES) + """
LogFormat "%{RATELIMIT_WARNING}n %{RATELIMIT_WARNING}e %{RATELIMIT_DRY_RUN}n %U" told
CustomLog @ROOT@/told.log told
"""


def PREPARE(httpd):
    for name, text in [("folder", "RateLimit 4/365day name=own warn=off"),
                       ("forbidden/log", "RateLimitLog off"),
                       ("forbidden/warn", "RateLimitWarn off")]:
        httpd.write(".htaccess", text + "\n", httpd.docs / name)
        httpd.write("page.html", "page\n", httpd.docs / name)


def lines(httpd, name, ip="", message="RLR0007"):
    return [line for line in httpd.error_log().splitlines()
            if f"{message}: " in line and f"the limit {name} " in line and f"client {ip}" in line]


# One line an offender, whichever child refuses; other clients and other limits have their own.
@pytest.mark.parametrize("mpm", MPMS)
def test_one_line(start, mpm):
    httpd = start(CONF, mpm=mpm)
    for ip in ["198.51.100.1", "198.51.100.2"]:
        for path in ["/line", "/key"]:
            assert [httpd.get(path, ip, X_Key=ip).status for _ in range(20)] == [200] + [429] * 19
    for ip in ["198.51.100.1", "198.51.100.2"]:
        assert len(lines(httpd, "line", ip)) == 1 and len(lines(httpd, "key", ip)) == 1
    assert "(source store, key " in lines(httpd, "line")[0]


# The next line, an interval later, tells how many there were: none is lost.
def test_more(site, ip):
    refused = 0

    def second_line():
        nonlocal refused
        refused += site.get("/short", ip).status == 429
        return len(lines(site, "short", ip)) > 1
    site.wait_for(second_line, "no second line")
    first, second = lines(site, "short", ip)
    assert "more since" not in first
    more = re.search(r", and (\d+) more since the last such line$", second)
    assert (int(more.group(1)) if more else 0) == refused - 2


# off: no line.
def test_off(site, ip):
    site.statuses(5, "/quiet", ip=ip)
    site.statuses(2, "/line", ip=ip)
    site.logged("RLR0007: the limit line")
    assert lines(site, "quiet") == []


# The line names the key by a hash that stays the same, and never by what it is.
def test_key_is_hashed(site, ip):
    key = "secret-" + ip
    site.statuses(3, "/key", X_Key=key)
    site.statuses(3, "/key", X_Key=key, X_Group="g")
    found = [re.search(r"key (\S+)\)", line).group(1) for line in lines(site, "key", "127.0.0.1")]
    assert found[-1] == found[-2] and re.fullmatch(r"[\w-]{16}", found[-1])
    assert "secret-" not in site.error_log()


# A flood of clients has 20 lines in a second, and one that tells of the others.
def test_flood(start):
    httpd = start(CONF)
    connection = httpd.connect()
    for i in range(200):
        for _ in range(2):
            httpd.send(connection, "/line", f"198.19.{i // 250}.{i % 250 + 1}")
    connection.close()
    found = lines(httpd, "line")
    seconds = {line.split("]")[0].split(".")[0] for line in found}
    assert len(found) <= 20 * (len(seconds) + 1) and len(found) < 200
    httpd.wait_for(lambda: httpd.get("/line", "198.19.9.1").status == 429
                   and "RLR0014" in httpd.error_log(), "no RLR0014", 5)
    assert re.search(r"RLR0014: beside these, \d+ refusals have no line", httpd.error_log())


# A dry run refuses nobody, and tells the names of those that would have.
def test_dry_run(site, ip):
    answers = [site.get("/dry", ip) for _ in range(3)]
    assert [a.status for a in answers] == [200] * 3
    assert [a.field("X-RateLimit-Dry-Run") for a in answers] == [None, '"dry-small"', '"dry-small"']
    site.logged("RLR0006: dry run: the limit dry-small would have refused this request (source")
    assert len(lines(site, "dry-small", ip, "RLR0006: dry run")) == 1
    answers = [site.get("/line", ip) for _ in range(2)]
    assert [(a.status, a.field("X-RateLimit-Dry-Run")) for a in answers] == [(200, None), (429, None)]


def warned(answer):
    return [name for name, parameters in
            structured_fields.parse_list(answer.field("X-RateLimit-Warning") or "")]


# From 80% of a quota of 5 on, the fourth: answers warn until the limit refuses.
def test_warn(site, ip):
    answers = [site.get("/warn", ip) for _ in range(6)]
    assert [a.status for a in answers] == [200] * 5 + [429]
    assert [warned(a) for a in answers] == [[], [], [], ["warn"], ["warn"], []]


# warn= of a limit goes before the place's, and off is off; each limit by its name.
def test_warn_of_limit(site, ip):
    answers = [site.get("/warn-own", ip) for _ in range(4)]
    assert [warned(a) for a in answers] == [[], ["half"], ["half"], ["half", "last"]]
    assert [warned(site.get("/warn-off", ip)) for _ in range(2)] == [[], []]


# Limits before and after authentication are told of together.
def test_warn_late(site, ip):
    assert warned(site.get("/late", ip)) == ["early", "late"]


def told(httpd, path, times=1):
    log = httpd.root / "told.log"
    found = []

    def ready():
        found[:] = [line.rsplit(" ", 1)[0] for line in log.read_text().splitlines()
                    if line.endswith(" " + path)]
        return len(found) >= times  # a line comes after its answer
    httpd.wait_for(ready, f"too little is logged for {path}")
    return found[-1]


# Environment and notes have it, also where the fields are off.
def test_variables(site, ip):
    a = site.get("/fields-off", ip)
    assert a.field("X-RateLimit-Warning") is None
    assert told(site, "/fields-off") == "fields-off fields-off -"
    site.statuses(2, "/dry", ip=ip)
    assert told(site, "/dry", 2) == "- - dry-small"


# Scripts of other origins may read them where they may read the rest.
def test_cors(site, ip):
    first, second = (site.get("/cors", ip, Origin="https://a.example") for _ in range(2))
    for a, name in [(first, "X-RateLimit-Warning"), (second, "X-RateLimit-Dry-Run")]:
        assert a.field(name) == '"cors"'
        exposed = re.split(", *", a.field("Access-Control-Expose-Headers"))
        assert name in exposed and "RateLimit" in exposed and len(set(exposed)) == len(exposed)


# A line of .htaccess warns of itself as it likes, and silences no other.
def test_htaccess_warn(site, ip):
    answers = [site.get("/folder/page.html", ip) for _ in range(2)]
    assert [warned(a) for a in answers] == [[], ["outer"]]


# The settings of a place are not .htaccess's to change.
@pytest.mark.parametrize("folder, sentence", [
    ("log", "RateLimitLog not allowed here"), ("warn", "RateLimitWarn not allowed here")])
def test_htaccess(site, ip, folder, sentence):
    assert site.get(f"/forbidden/{folder}/page.html", ip).status == 500
    site.logged(sentence)


FORWARDED = """
<Location /address>
  RateLimit "1000/365day" name=address
</Location>
<Location /named>
  RateLimit "1000/365day" name=named key="%{HTTP:X-Key}"
</Location>
<Location /read>
  RateLimit "1000/365day" name=read key="%{REMOTE_ADDR} x"
</Location>
AliasMatch ^/(address|named|read)$ @DOCS@/page.html
"""


# Without mod_remoteip, forwarded requests are warned of, once for all children.
@pytest.mark.parametrize("field, path", [
    ("X_Forwarded_For", "/address"), ("Forwarded", "/address"), ("Forwarded", "/read")])
def test_forwarded(start, field, path):
    httpd = start(FORWARDED, without=["remoteip"])
    for _ in range(10):
        httpd.get(path)
        httpd.get("/named", X_Key="a", **{field: "for=192.0.2.1"})
    assert "RLR0015" not in httpd.error_log()
    for _ in range(20):
        httpd.get(path, **{field: "for=192.0.2.1"})
    httpd.logged(f"RLR0015: a request has the field {field.replace('_', '-')}, and mod_remoteip is")
    assert httpd.error_log().count("RLR0015") == 1


# With it, nothing is said.
def test_not_forwarded(start):
    httpd = start(FORWARDED)
    assert httpd.get("/address", "192.0.2.1", Forwarded="for=192.0.2.1").status == 200
    assert "RLR0015" not in httpd.error_log()
