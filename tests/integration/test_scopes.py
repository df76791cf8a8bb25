# SPDX-License-Identifier: Apache-2.0
"""Where limits stand, how they gather inwards, and what .htaccess may do."""

import pytest

CONF = """
Listen 127.0.0.1:@PORT2@
RateLimitPolicy shared "4/365day"
RateLimitPolicy small "2/365day"
RateLimit "50/365day" name=server when="%{HTTP:X-Far} == '1'"
RateLimitHeaders draft-08
<Directory "@DOCS@/a">
  RateLimit "9/365day" name=directory
  AllowOverride Limit
</Directory>
<Directory "@DOCS@/b">
  AllowOverride Limit
</Directory>
<Directory "@DOCS@/none">
  AllowOverride None
</Directory>
<Directory "@DOCS@/auth">
  AllowOverride AuthConfig
</Directory>
@OVERRIDES@
<Directory "@DOCS@/loose">
  RateLimit "1/365day" name=tight
</Directory>
<Directory "@DOCS@/nested">
  Options +Includes
</Directory>
<Directory "@DOCS@/dry">
  RateLimitMode dry-run
</Directory>
<Location /a/in>
  RateLimit "8/365day" name=location
</Location>
<Location /dry-run>
  RateLimit "2/365day" name=dry-run
  RateLimitMode dry-run
</Location>
<Location /off>
  RateLimit "2/365day" name=off
  RateLimitMode off
</Location>
<Location /off/on>
  RateLimitMode enforce
</Location>
<Location /many>
@MANY@
</Location>
AliasMatch "^/(dry-run|off|many/server)" @DOCS@/page.html
<VirtualHost *:@PORT@>
  RateLimit "40/365day" name=vhost when="%{HTTP:X-Far} == '1'"
  <Location /shared>
    RateLimit shared
  </Location>
  Alias /shared @DOCS@/page.html
</VirtualHost>
<VirtualHost *:@PORT2@>
  ServerName second
  RateLimitPolicy own "1/365day"
  DocumentRoot "@DOCS@/second"
  <Location /shared>
    RateLimit shared
  </Location>
  <Location /own>
    RateLimit own
  </Location>
  Alias /shared @DOCS@/page.html
  Alias /own @DOCS@/page.html
</VirtualHost>
"""

HTACCESS = {
    "a": "RateLimit small name=htaccess",
    "a/in": "RateLimit 7/365day name=inner",
    "b": "RateLimit small name=htaccess",
    "none": "RateLimit 1/365day",
    "auth": "RateLimit 1/365day",
    "loose": 'RateLimit "1000/s" name=tight fail=open\nRateLimit "1000/s" name=more',
    "mode": "RateLimitMode off",
    "wrong": "RateLimit 1/365dya",
    "clash": "RateLimit 1/365day name=x\nRateLimit 2/365day name=x",
    "many": "\n".join(f"RateLimit {i + 1}/s name=n{i}" for i in range(17)),
    "nested": '<Files "page.html">\nRateLimit small\n</Files>\n<If "true">\nRateLimit small\n</If>',
    "nested2": '<Files "page.html">\nRateLimit small\n</Files>',
    "dry": "RateLimit 1/365day",
}


def PREPARE(httpd):
    import httpd_env
    httpd.port2 = httpd_env.free_port()
    many = "\n".join(f"  RateLimit {i + 1}/365day name=m{i}" for i in range(17))
    overrides = "\n".join(f'<Directory "@DOCS@/{name}">\nAllowOverride Limit\n</Directory>'
                          for name in HTACCESS if name not in ["a", "b", "none", "auth"])
    httpd.set_conf(CONF.replace("@PORT2@", str(httpd.port2)).replace("@MANY@", many)
                   .replace("@OVERRIDES@", overrides))
    for folder, text in HTACCESS.items():
        httpd.write(".htaccess", text + "\n", httpd.docs / folder)
        httpd.write("page.html", "page\n", httpd.docs / folder)
    httpd.write("page.html", "page\n", httpd.docs / "second")


def names(answer):
    return [name for name, _ in answer.items("RateLimit-Policy")]


def on_second(site, path, ip):
    import http.client
    connection = http.client.HTTPConnection("127.0.0.1", site.port2, timeout=20)
    try:
        return site.send(connection, path, ip)
    finally:
        connection.close()


# Lines gather inwards: server, virtual host, Directory, .htaccess of each folder, Location.
def test_inwards(site, ip):
    a = site.get("/a/in/page.html", ip, X_Far="1")
    assert names(a) == ["server", "vhost", "directory", "htaccess", "inner", "location"]
    assert [left["r"] for _, left in a.items("RateLimit")] == [49, 39, 8, 1, 6, 7]


# An outer place does not have the limits of an inner one.
def test_not_outwards(site, ip):
    assert names(site.get("/a/page.html", ip)) == ["directory", "htaccess"]
    assert names(site.get("/page.html", ip, X_Far="1")) == ["server", "vhost"]
    assert names(site.get("/page.html", ip)) == []


# A limit of the server's configuration counts in one place for all virtual hosts, by its name.
def test_shared_by_name(site, ip):
    assert [site.get("/shared", ip).status for _ in range(3)] == [200] * 3
    assert [on_second(site, "/shared", ip).status for _ in range(2)] == [200, 429]


# A virtual host sees the main server's policies and may have more.
def test_own_policy(site, ip):
    assert [on_second(site, "/own", ip).status for _ in range(2)] == [200, 429]


# .htaccess counts for its folder alone: another folder with the same line has counters of its own.
def test_htaccess_scope(site, ip):
    assert [site.get("/a/page.html", ip).status for _ in range(3)] == [200, 200, 429]
    assert [site.get("/b/page.html", ip).status for _ in range(3)] == [200, 200, 429]


# Nor does it reach a limit of the server that has the same name.
def test_htaccess_cannot_reach_out(site, ip):
    answers = [site.get("/loose/page.html", ip) for _ in range(3)]
    assert [a.status for a in answers] == [200, 429, 429]
    assert names(answers[0]) == ["tight", "tight", "more"]


# Sections inside .htaccess belong to its folder too; the same limit twice is charged once.
def test_htaccess_sections(site, ip):
    answers = [site.get("/nested/page.html", ip) for _ in range(3)]
    assert [a.status for a in answers] == [200, 200, 429]
    assert names(answers[0]) == ["small"]
    assert site.get("/nested2/page.html", ip).status == 200


# Without AllowOverride Limit, RateLimit is not allowed in .htaccess; with None nobody reads it.
def test_allow_override(site, ip):
    assert site.get("/auth/page.html", ip).status == 500
    site.logged("RateLimit not allowed here")
    assert site.statuses(3, "/none/page.html", ip=ip) == [200] * 3


# RateLimitMode would loosen limits: it is not allowed in .htaccess.
def test_htaccess_mode(site, ip):
    assert site.get("/mode/page.html", ip).status == 500
    site.logged("RateLimitMode not allowed here")


# A wrong line in .htaccess is refused with the same sentence as elsewhere.
@pytest.mark.parametrize("folder, sentence", [
    ("wrong", 'RateLimit: the policy "1/365dya" cannot be used: column'),
    ("clash", "one counter cannot obey two policies")])
def test_htaccess_wrong(site, ip, folder, sentence):
    assert site.get(f"/{folder}/page.html", ip).status == 500
    site.logged(sentence)


# More limits than one call can decide are a mistake that nobody should overlook.
@pytest.mark.parametrize("path", ["/many/page.html", "/many/server"])
def test_too_many(site, ip, path):
    assert site.get(path, ip).status == 500
    site.logged("RLR0008")


# dry-run counts, tells and logs, and refuses nobody; .htaccess cannot change that.
def test_dry_run(site, ip):
    answers = [site.get("/dry-run", ip) for _ in range(4)]
    assert [a.status for a in answers] == [200] * 4
    assert [a.items("RateLimit")[0][1]["r"] for a in answers] == [1, 0, 0, 0]
    assert answers[3].field("Retry-After") is None
    site.logged("RLR0006: dry run: the limit dry-run would have refused this request")
    assert site.access_log("/dry-run")[:3] == ["200", "0", "store"]
    assert site.statuses(2, "/dry/page.html", ip=ip) == [200, 200]


# off does nothing at all; an inner place may take it back.
def test_off(site, ip):
    answers = [site.get("/off", ip) for _ in range(3)]
    assert [(a.status, names(a)) for a in answers] == [(200, [])] * 3
    assert site.statuses(3, "/off/on", ip=ip) == [200, 200, 429]
