# SPDX-License-Identifier: Apache-2.0
"""How refusals look: their status, the page they lead to, and whether they end the connection."""

import json

import pytest

HTML = {"Accept": "text/html"}

PLACES = ["status", "of-limit", "server-error", "document", "to-page", "escaped", "raw", "closes",
          "two", "off", "dry", "away-page"]
CONF = """
RateLimit "1/365day" name=site key="%{HTTP:X-Site}" redirect="/slow.html?from=%{escape:%{REQUEST_URI}}"
RateLimit "1/365day" name=host key="%{HTTP:X-Host-Key}" redirect="http://127.0.0.1:1/other.html"
<Location /status>
  RateLimit "1/365day" name=status
  RateLimitStatus 403
</Location>
<Location /of-limit>
  RateLimit "1/365day" name=of-limit status=422
  RateLimitStatus 403
</Location>
<Location /server-error>
  RateLimit "1/365day" name=server-error status=503
</Location>
<Location /document>
  RateLimit "1/365day" name=document status=403
  ErrorDocument 403 "no more"
</Location>
<Location /to-page>
  RateLimit "1/365day" name=to-page
  RateLimitRedirect /slow.html
  RateLimitStatus 403
</Location>
<Location /to-page/off>
  RateLimitRedirect off
</Location>
<Location /escaped>
  RateLimit "1/365day" name=escaped redirect="https://slow.example/?from=%{escape:%{HTTP:X-From}}"
</Location>
<Location /raw>
  RateLimit "1/365day" name=raw redirect="/slow.html?from=%{HTTP:X-From}"
</Location>
<Location /closes>
  RateLimit "2/365day" name=closes
  RateLimitClose on
</Location>
<Location /closes/not>
  RateLimit "1/365day" name=closes-not close=off
</Location>
<Location /two>
  RateLimit "1/365day" name=long status=403
  RateLimit "1/day" name=short close=on status=502
</Location>
<Location /dry>
  RateLimit "1/365day" name=dry redirect=/slow.html close=on
  RateLimitMode dry-run
</Location>
<Directory "@DOCS@/folder">
  AllowOverride Limit
  RateLimit "3/365day" name=outer
  RateLimitClose on
</Directory>
<Directory "@DOCS@/forbidden">
  AllowOverride All
</Directory>
""" + "\n".join(
    f"AliasMatch ^/{name} @DOCS@/page.html" for name in PLACES)


def PREPARE(httpd):
    httpd.write("slow.html", "slow\n")
    for name, text in [("folder", "RateLimit 1/365day name=own status=403 close=off "
                                  "redirect=/folder/wait.html"),
                       ("forbidden/status", "RateLimitStatus 404"),
                       ("forbidden/redirect", "RateLimitRedirect /x"),
                       ("forbidden/close", "RateLimitClose off"),
                       ("forbidden/headers", "RateLimitHeaders off"),
                       ("forbidden/file", 'RateLimit 1/s redirect="/x?%{file:/etc/passwd}"')]:
        folder = httpd.docs / name
        httpd.write(".htaccess", text + "\n", folder)
        httpd.write("page.html", "page\n", folder)
        httpd.write("wait.html", "wait\n", folder)


# The status is the place's, or the limit's own; body and fields are those of any refusal.
@pytest.mark.parametrize("path, status", [
    ("/status", 403), ("/of-limit", 422), ("/server-error", 503)])
def test_status(site, ip, path, status):
    assert site.get(path, ip).status == 200
    a = site.get(path, ip)
    problem = json.loads(a.body)
    assert (a.status, problem["status"]) == (status, status)
    assert problem["type"].endswith("#quota-exceeded")
    assert problem["violated-policies"] == [path[1:]]
    assert a.field("Content-Type") == "application/problem+json"
    assert int(a.field("Retry-After")) > 1000 and a.field("Cache-Control") == "no-store"
    assert a.items("RateLimit")[0][1]["r"] == 0
    assert site.get(path, ip, **HTML).field("Content-Type").startswith("text/html")


# An ErrorDocument for that status says how it looks.
def test_error_document(site, ip):
    assert [site.get("/document", ip).body for _ in range(2)] == ["page\n", "no more"]


# Browsers are led to the page, with a method that shows it; Retry-After would hold them up.
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
def test_page(site, ip, method):
    site.get("/to-page", ip)
    a = site.get("/to-page", ip, method, **HTML)
    assert (a.status, a.field("Location")) == (303, "/slow.html")
    assert a.field("Retry-After") is None and a.field("Cache-Control") == "no-store"
    assert a.items("RateLimit")[0] == ("to-page", a.items("RateLimit")[0][1])


# Programs get the refusal itself, with the status of the place.
def test_page_is_for_people(site, ip):
    site.get("/to-page", ip)
    a = site.get("/to-page", ip)
    assert (a.status, a.field("Location")) == (403, None)
    assert a.field("Retry-After")


# off takes an outer place's page away.
def test_page_off(site, ip):
    site.get("/to-page/off", ip)
    assert site.get("/to-page/off", ip, **HTML).status == 403


# The page itself is shown under the limit that leads to it, and not counted.
def test_own_page(site, ip):
    key = {"X_Site": ip, **HTML}
    assert [site.get("/slow.html?x", ip, **key).status for _ in range(3)] == [200] * 3
    assert site.get("/page.html", ip, **key).status == 200
    a = site.get("/page.html", ip, **key)
    assert (a.status, a.field("Location")) == (303, "/slow.html?from=/page.html")
    assert site.get(a.field("Location"), ip, **key).body == "slow\n"
    assert site.get("/slow.html/x", ip, **key).status == 303


# Also where httpd leads the request for it on inside, and where its path has escapes.
@pytest.mark.parametrize("page", ["/wait/", "/slow%20page.html"])
def test_own_page_inside(start, ip, page):
    httpd = start(f"""
<Directory "@DOCS@">
  RateLimit "1/365day" name=all redirect={page}
</Directory>
<Files "index.html">
  RateLimit "1/365day" name=files redirect={page}
</Files>
""")
    httpd.write("wait/index.html", "wait\n")
    httpd.write("slow page.html", "wait\n")
    assert [httpd.get("/page.html", ip, **HTML).status for _ in range(2)] == [200, 303]
    answers = [httpd.get(page, ip, **HTML) for _ in range(3)]
    assert [(a.status, a.body) for a in answers] == [(200, "wait\n")] * 3
    assert httpd.get("/wait/index.html", ip, **HTML).status == 303


# A page with a host is that host's alone: the same path on another one counts.
def test_own_page_of_host(site, ip):
    site.write("other.html", "other\n")
    key = {"X_Host_Key": ip, **HTML}
    assert [site.get("/other.html", ip, **key).status for _ in range(3)] == [200] * 3
    answers = [site.get("/other.html", ip, Host="elsewhere", **key) for _ in range(2)]
    assert [a.status for a in answers] == [200, 303]


# What a request brings into the URL is escaped; what it would break is not sent.
@pytest.mark.parametrize("text", ["a b", "x\ty", 'a"b', "<x>", "ü"])
def test_url_escaped(site, ip, text):
    site.get("/escaped", ip)
    a = site.get("/escaped", ip, X_From=text.encode("latin-1"), **HTML)
    assert a.status == 303
    location = a.field("Location")
    assert location.startswith("https://slow.example/?from=")
    assert not set(location) & set(' \t"<>\x7f\r\n') and location.isascii()
    site.get("/raw", ip)
    a = site.get("/raw", ip, X_From=text.encode("latin-1"), **HTML)
    assert (a.status, a.field("Location")) == (429, None)
    site.logged("RLR0011: the redirect of a refusal")


# An unescaped value that a URL may hold passes.
def test_url_raw(site, ip):
    site.get("/raw", ip)
    assert site.get("/raw", ip, X_From="a%20b", **HTML).field("Location") == "/slow.html?from=a%20b"


def closes(site, path, ip, n, **headers):
    """Sends |n| requests on one connection, and says whether the last one ended it."""
    connection = site.connect()
    for _ in range(n):
        a = site.send(connection, path, ip, **headers)
    ended = a.field("Connection") == "close"
    assert ended == (connection.sock is None)
    connection.close()
    return ended


# close: a refusal ends the connection, and what passes does not.
def test_close(site, ip):
    assert not closes(site, "/closes", ip, 2)
    assert closes(site, "/closes", ip, 1)
    assert closes(site, "/closes", ip, 1, **HTML)


# A limit may keep it.
def test_close_not(site, ip):
    assert not closes(site, "/closes/not", ip, 2)


# Of two that refuse, the one that binds says the status; one that ends the connection is enough.
def test_two(site, ip):
    site.get("/two", ip)
    a = site.get("/two", ip)
    assert (a.status, a.field("Connection")) == (403, "close")
    assert json.loads(a.body)["violated-policies"] == ["long", "short"]


# A dry run does none of it.
def test_dry_run(site, ip):
    assert not closes(site, "/dry", ip, 3, **HTML)
    assert site.access_log("/dry")[:2] == ["200", "0"]


# .htaccess says how its own limit looks, and keeps no connection that the server ends.
def test_htaccess(site, ip):
    site.get("/folder/page.html", ip)
    a = site.get("/folder/page.html", ip)
    assert (a.status, a.field("Connection")) == (403, "close")
    a = site.get("/folder/page.html", ip, **HTML)
    assert (a.status, a.field("Location")) == (303, "/folder/wait.html")


# Its page is free of its own limit, and of no other.
def test_htaccess_page(site, ip):
    answers = [site.get("/folder/wait.html", ip) for _ in range(4)]
    assert [a.status for a in answers] == [200, 200, 200, 429]
    assert [name for name, _ in answers[0].items("RateLimit")] == ["outer"]


# The settings of a place are not .htaccess's to change, even where it may do all.
@pytest.mark.parametrize("folder, sentence", [
    ("status", "RateLimitStatus not allowed here"),
    ("redirect", "RateLimitRedirect not allowed here"), ("close", "RateLimitClose not allowed here"),
    ("headers", "RateLimitHeaders not allowed here"), ("file", 'RateLimit: redirect="/x?%{file:')])
def test_htaccess_forbidden(site, ip, folder, sentence):
    assert site.get(f"/forbidden/{folder}/page.html", ip).status == 500
    site.logged(sentence)


# While the store is away, fail policy closed answers 503, whatever is set.
def test_away(start, ip):
    httpd = start("""
RateLimitStore redis+unix://@ROOT@/nobody.sock?timeout=50ms&fail=closed
RateLimitStatus 403
RateLimitRedirect /slow.html
RateLimitClose on
<Location /page.html>
  RateLimit "1/365day" name=away
</Location>
""")
    httpd.expect("RLC")
    a = httpd.get("/page.html", ip, **HTML)
    assert (a.status, a.field("Location"), a.field("Connection")) == (503, None, "close")
    a = httpd.get("/page.html", ip)
    assert json.loads(a.body)["type"].endswith("#temporary-reduced-capacity")
