# SPDX-License-Identifier: Apache-2.0
"""Who is not limited, and what scripts of other origins get to see."""

import pytest

import structured_fields

PLACES = ["networks", "none", "both", "when", "broken", "user", "preflight", "cors", "plain"]
CONF = """
RateLimitExempt when="%{HTTP:X-Everywhere} == 'yes'"
<Location />
  RateLimit "1/365day" name=site
</Location>
<Location /networks>
  RateLimitExempt 198.51.100.7 203.0.113.64/26
  RateLimitExempt 2001:db8:1::/48 2001:db8:2::5
</Location>
<Location /networks/none>
  RateLimitExempt none
</Location>
<Location /networks/none/other>
  RateLimitExempt 198.51.100.9
</Location>
<Location /both>
  RateLimitExempt 198.51.100.0/24 when="%{REQUEST_METHOD} == 'GET'"
</Location>
<Location /broken>
  RateLimitExempt when="%{file:@ROOT@/%{HTTP:X-File}} == 'x'"
</Location>
<Location /user>
  RateLimit "1/365day" name=user key="%{REMOTE_USER}"
  RateLimitExempt when="%{REMOTE_USER} == 'friend'"
  AuthType Basic
  AuthName test
  AuthUserFile @ROOT@/users
  Require valid-user
</Location>
<Location /preflight>
  RateLimitExempt preflight
</Location>
<Location /cors>
  RateLimitExpose on
  RateLimitHeaders draft-08 x-ratelimit
  Header set Access-Control-Expose-Headers X-Own
</Location>
<Location /cors/six>
  RateLimitHeaders draft-06
</Location>
<Location /cors/off>
  RateLimitHeaders off
</Location>
<Location /cors/late>
  RateLimit "9/365day" name=late key="x%{REMOTE_USER}"
</Location>
<Directory "@DOCS@/forbidden">
  AllowOverride All
</Directory>
""" + "\n".join(f"AliasMatch ^/{name} @DOCS@/page.html" for name in PLACES)


def PREPARE(httpd):
    password = "{SHA}C+7Hteo/D9vJXQ3UfzxbwnXaijM="  # "foo"
    httpd.write("users", f"friend:{password}\nfoe:{password}\n", httpd.root)
    for name, text in [("exempt", "RateLimitExempt 198.18.0.0/15"), ("expose", "RateLimitExpose on")]:
        httpd.write(".htaccess", text + "\n", httpd.docs / "forbidden" / name)
        httpd.write("page.html", "page\n", httpd.docs / "forbidden" / name)


def limited(site, path, ip, **more):
    """Whether limits hold: of three requests only the first passes, or all do without a field."""
    answers = [site.get(path, ip, **more) for _ in range(3)]
    assert [a.status for a in answers] in ([200, 429, 429], [200] * 3)
    told = [a.field("RateLimit-Policy") is not None for a in answers]
    assert told == [answers[1].status == 429] * 3
    return told[0]


# Addresses and networks of both families, up to their last address and not beyond.
@pytest.mark.parametrize("ip, exempt", [
    ("198.51.100.7", True), ("198.51.100.8", False), ("203.0.113.64", True),
    ("203.0.113.127", True), ("203.0.113.63", False), ("203.0.113.128", False),
    ("2001:db8:1::1", True), ("2001:db8:1:ffff::1", True), ("2001:db8:2::5", True),
    ("2001:db8:2:1::", False), ("2001:db8:3::1", False), ("::ffff:203.0.113.65", True)])
def test_networks(site, ip, exempt):
    assert limited(site, "/networks", ip) != exempt


# none takes away what is written further out, and what stands beside it holds again.
def test_none(site):
    assert limited(site, "/networks/none", "203.0.113.70")
    assert not limited(site, "/networks/none/other", "198.51.100.9")
    assert limited(site, "/networks/none", "198.18.77.1", X_Everywhere="yes")
    assert not limited(site, "/networks", "198.18.77.2", X_Everywhere="yes")


# All that one line says has to hold.
def test_both(site, ip):
    assert not limited(site, "/both", "198.51.100.20")
    assert limited(site, "/both", "198.51.100.21", method="POST")
    assert limited(site, "/both", ip)


# A condition that cannot be evaluated exempts nobody, and the log says so.
def test_broken(site, ip):
    assert limited(site, "/broken", ip, X_File="missing")
    site.expect("Evaluation of expression")
    site.logged("RLR0012: when= of RateLimitExempt")
    assert site.error_log().count("Evaluation of expression") == 3


# A condition on the user exempts from the limits that know him.
def test_user(site, ip):
    import base64
    friend, foe = ("Basic " + base64.b64encode(name + b":foo").decode()
                   for name in (b"friend", b"foe"))
    names = [name for name, _ in
             site.get("/user", ip, Authorization=friend).items("RateLimit-Policy")]
    assert names == ["site"]
    names = [name for name, _ in
             site.get("/user", "198.18.99.1", Authorization=foe).items("RateLimit-Policy")]
    assert names == ["site", "user"]


# Pre-flight requests are exempt, other OPTIONS are not, nor is anything without being asked.
def test_preflight(site, ip):
    cors = {"Origin": "https://a.example", "Access_Control_Request_Method": "PUT"}
    assert [site.get("/preflight", ip, "OPTIONS", **cors).status for _ in range(3)] == [200] * 3
    assert site.get("/preflight", ip, "OPTIONS").status == 200
    assert site.get("/preflight", ip, "OPTIONS", Origin="https://a.example").status == 429
    assert site.get("/preflight", ip, "GET", **cors).status == 429
    assert site.get("/preflight", ip, "OPTIONS", **cors).field("RateLimit") is None
    assert site.get("/plain", ip, "OPTIONS", **cors).status == 429


# Environment and notes tell of it.
def test_noted(start, ip):
    httpd = start("""
LogFormat "%{RATELIMIT_EXEMPT}n %{RATELIMIT_EXEMPT}e" exempt
CustomLog "@ROOT@/exempt.log" exempt
RateLimit "9/365day" name=site
RateLimitExempt when="%{HTTP:X-Free} == '1'"
""")
    httpd.get("/page.html", ip, X_Free="1")
    httpd.get("/page.html", ip)
    log = httpd.root / "exempt.log"
    httpd.wait_for(lambda: log.exists() and log.read_text().count("\n") == 2, "no log")
    assert sorted(log.read_text().splitlines()) == ["- -", "1 1"]  # children log as they come


def exposed(answer):
    return [str(name) for name, _ in
            structured_fields.parse_list(answer.field("Access-Control-Expose-Headers") or "")]


# The fields of an answer are named to scripts of another origin, beside the site's own; no others.
@pytest.mark.parametrize("path, names", [
    ("/cors", ["RateLimit", "RateLimit-Policy", "X-RateLimit-Limit", "X-RateLimit-Remaining",
               "X-RateLimit-Reset"]),
    ("/cors/six", ["RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset",
                   "RateLimit-Policy"]),
    ("/cors/off", []),
    ("/cors/late", ["RateLimit", "RateLimit-Policy", "X-RateLimit-Limit", "X-RateLimit-Remaining",
                    "X-RateLimit-Reset"])])
def test_expose(site, ip, path, names):
    a = site.get(path, ip, Origin="https://a.example")
    assert a.status == 200
    assert sorted(exposed(a)) == sorted(["X-Own", "Retry-After", *names])
    assert set(names) == {n for n in a.headers if "ratelimit" in n.lower()}
    a = site.get(path, ip, Origin="https://a.example")
    assert a.status == 429
    assert set(exposed(a)) >= {"Retry-After", *names}


# Without Origin it is no request of a script; and nothing is named without being asked.
def test_expose_not(site, ip):
    assert exposed(site.get("/cors", ip)) == ["X-Own"]
    assert exposed(site.get("/plain", ip, Origin="https://a.example")) == []


# Both would loosen or change what the server says: they are not allowed in .htaccess.
@pytest.mark.parametrize("folder, sentence", [
    ("exempt", "RateLimitExempt not allowed here"), ("expose", "RateLimitExpose not allowed here")])
def test_htaccess(site, ip, folder, sentence):
    assert site.get(f"/forbidden/{folder}/page.html", ip).status == 500
    site.logged(sentence)
