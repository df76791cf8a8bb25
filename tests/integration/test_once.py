# SPDX-License-Identifier: Apache-2.0
"""One request of a client is counted once, whatever httpd makes of it inside."""

import pytest

CONF = """
RateLimit "20/365day" name=all
RateLimit "30/365day" name=late key="%{REMOTE_ADDR}%{REMOTE_USER}" when="-z %{HTTP:X-Early}"
RewriteEngine On
RewriteRule ^/per-server$ /page.html [PT]
<Directory "@DOCS@/rewrite">
  RewriteEngine On
  RewriteBase /rewrite/
  RewriteRule ^from$ page.html
  RewriteRule ^twice$ from
  RewriteRule ^away$ /page.html [R]
  RewriteRule ^forbidden$ - [F]
</Directory>
<Location /page.html>
  ErrorDocument 404 /page.html
</Location>
<Directory "@DOCS@/errors">
  ErrorDocument 404 /page.html
  ErrorDocument 403 /errors/nowhere.html
</Directory>
<Directory "@DOCS@/fallback">
  FallbackResource /page.html
</Directory>
<Location /inner>
  RateLimit "5/365day" name=inner
</Location>
<Directory "@DOCS@/denied">
  Require all denied
  ErrorDocument 403 /page.html
</Directory>
"""


def PREPARE(httpd):
    include = '<!--#include virtual="/page.html" --><!--#include virtual="/inner/page.html" -->'
    httpd.write("include.shtml", include * 3)
    for name in ["rewrite/page.html", "inner/page.html", "dir/index.html", "errors/x.html",
                 "fallback/x.html", "denied/x.html"]:
        httpd.write(name, "page\n")
    httpd.expect("AH01630")  # denied by server configuration


# Each way to one answer costs one; the fields are on the final answer.
@pytest.mark.parametrize("path, status", [
    ("/page.html", 200),
    ("/", 200),                          # DirectoryIndex
    ("/dir/", 200),
    ("/dir", 301),                       # mod_dir's redirect to the slash
    ("/include.shtml", 200),             # six subrequests
    ("/per-server", 200),                # mod_rewrite, before the file is found
    ("/rewrite/from", 200),              # mod_rewrite in a Directory: an internal redirect
    ("/rewrite/twice", 200),             # two of them
    ("/rewrite/away", 302),
    ("/rewrite/forbidden", 403),
    ("/errors/missing", 404),            # ErrorDocument
    ("/denied/x.html", 403),             # refused by access control, and its ErrorDocument
    ("/fallback/missing", 200),          # FallbackResource
    ("/missing", 404)])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_once(site, ip, path, status, method):
    for left in [19, 18]:
        a = site.get(path, ip, method=method)
        assert a.status == status
        told = dict(a.items("RateLimit"))
        assert told["all"]["r"] == left
        if "late" in told:  # decided after access control, and not where that refuses
            assert told["late"]["r"] == left + 10
        else:
            assert path == "/denied/x.html"


# What is refused stays refused on these ways too.
@pytest.mark.parametrize("path", ["/", "/dir/", "/include.shtml", "/rewrite/twice",
                                  "/errors/missing", "/denied/x.html", "/fallback/missing"])
def test_refused(site, ip, path):
    site.statuses(20, "/page.html", ip=ip, X_Early="1")
    a = site.get(path, ip)
    assert a.status == 429
    assert len(a.items("RateLimit")) == 1


# The limits are those of what the client asked for: a place that is only reached from inside adds
# none.
def test_inside_adds_none(site, ip):
    def names(path):
        return [name for name, _ in site.get(path, ip, X_Early="1").items("RateLimit")]

    assert names("/include.shtml") == ["all"]
    assert names("/inner/page.html") == ["all", "inner"]


# Requests on one connection are counted one by one.
def test_keep_alive(site, ip):
    assert site.statuses(22, "/page.html", ip=ip) == [200] * 20 + [429] * 2
