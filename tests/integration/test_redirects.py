# SPDX-License-Identifier: Apache-2.0
"""No way through httpd goes around the limit of the place that it leads to, and none is counted
twice by one limit."""

import pytest

import httpd_env

CONF = f'LoadModule negotiation_module "{httpd_env.MODULES}/mod_negotiation.so"' + """
RateLimit "9/365day" name=all
<Files "login.html">
  RateLimit "2/365day" name=login
</Files>
<Files "late.html">
  RateLimit "2/365day" name=late key="%{REMOTE_ADDR}%{REMOTE_USER}"
</Files>
<Directory "@DOCS@/rewrite">
  RewriteEngine On
  RewriteBase /rewrite/
  RewriteRule ^pretty$ login.html
  RewriteRule ^twice$ pretty
  RewriteRule ^late$ late.html
</Directory>
<Directory "@DOCS@/index">
  DirectoryIndex login.html
</Directory>
<Directory "@DOCS@/views">
  Options +MultiViews
</Directory>
<Directory "@DOCS@/fallback">
  FallbackResource /fallback/login.html
</Directory>
<Directory "@DOCS@/errors">
  ErrorDocument 404 /errors/login.html
</Directory>
<Location "/open">
  RateLimit "9/365day" name=door fail=open
</Location>
<Location "/open/closed">
  RateLimit "9/365day" name=door fail=closed
</Location>
"""


def PREPARE(httpd):
    for folder in ["rewrite", "index", "views", "fallback", "errors"]:
        httpd.write(folder + "/login.html", "login\n")
        httpd.write(folder + "/late.html", "late\n")


@pytest.mark.parametrize("path", ["/rewrite/login.html", "/rewrite/pretty", "/rewrite/twice",
                                  "/rewrite/late", "/index/", "/views/login", "/views/late",
                                  "/fallback/missing"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_limit_of_the_place_it_leads_to(site, ip, path, method):
    answers = [site.get(path, ip, method=method) for _ in range(4)]
    assert [a.status == 429 for a in answers] == [False, False, True, True]
    # The outer limit is counted once a request. Of a refused one it keeps nothing where both were
    # met together, and its charge where the redirect came later.
    together = path == "/rewrite/login.html"
    for left, a in zip((8, 7, 7, 7) if together else (8, 7, 6, 5), answers):
        assert dict(a.items("RateLimit"))["all"]["r"] == left
    assert int(answers[2].field("Retry-After")) >= 1


# The page of an error is not a request.
def test_error_pages_cost_nothing(site, ip):
    for left in (8, 7, 6, 5):
        a = site.get("/errors/missing", ip)
        assert a.status == 404
        assert list(dict(a.items("RateLimit"))) == ["all"]
        assert dict(a.items("RateLimit"))["all"]["r"] == left


# One name is one counter in all virtual hosts: two policies under it would undo each other.
def test_one_name_with_two_policies(start):
    httpd = httpd_env.Httpd("""
<VirtualHost *:@PORT@>
  ServerName a
  RateLimit "5/h" name=login
</VirtualHost>
<VirtualHost *:@PORT@>
  ServerName b
  RateLimit "100/min" name=login
</VirtualHost>
""")
    passed, said = httpd.configtest()
    assert not passed
    assert "RLR0003" in said and "login" in said


# Of a limit that is met twice the stricter fail policy holds, in whichever line it stands.
def test_stricter_fail_policy(start):
    httpd = start('RateLimitStore "redis+unix:///nonexistent/s?fail=local"\n'
                  + CONF[CONF.index('<Location "/open">'):])
    httpd.expect("RLC0101", "RLC0301", "RLC0302")
    assert httpd.get("/open/page.html").status == 404
    assert httpd.get("/open/closed/page.html").status == 503
