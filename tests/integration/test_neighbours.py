# SPDX-License-Identifier: Apache-2.0
"""Beside other modules: mod_remoteip's order, mod_proxy in front of an application, mod_cache."""

import pytest

import httpd_env

PROXY = """
RateLimit "3/365day" name=front
<Location /keyed>
  RateLimit "1/365day" name=keyed key="%{HTTP:X-Key}"
</Location>
ProxyPass / http://127.0.0.1:@APP@/ disablereuse=On
"""
APP = """
Header always set X-App yes
Header always set RateLimit '"own";r=9'
RateLimit "2/365day" name=behind key="%{HTTP:X-Key}"
AliasMatch "^/keyed" @DOCS@/page.html
"""
CACHE = """
CacheEnable socache /
CacheSocache shmcb
CacheQuickHandler @QUICK@
CacheDefaultExpire 3600
Header set Cache-Control "max-age=3600"
RateLimit "2/365day" name=cached
"""


# Where a proxy is trusted, limits count whom it names, and the client cannot name himself.
def test_remoteip(start, ip):
    httpd = start('RateLimit "2/365day" name=address')
    assert httpd.statuses(3, "/page.html", ip=ip) == [200, 200, 429]
    assert httpd.get("/page.html", "203.0.113.77").status == 200
    # The last address is the proxy's word; those before it are the client's.
    assert httpd.get("/page.html", f"203.0.113.78, {ip}").status == 429


# The module is the gate of an application behind: what it refuses does not get there.
@pytest.mark.parametrize("mpm", ["event", "prefork"])
def test_proxy(start, ip, mpm):
    app = start(APP)
    httpd = start(PROXY.replace("@APP@", str(app.port)), mpm=mpm, extra_modules=["proxy", "proxy_http"])
    found = [httpd.get("/page.html", ip) for _ in range(5)]
    assert [a.status for a in found] == [200] * 3 + [429] * 2
    assert [a.field("X-App") for a in found] == ["yes"] * 3 + [None] * 2
    served = (app.root / "access.log").read_text().count("/page.html")
    assert served == 3
    # What the application says of its own limits is its own; ours stands beside it.
    assert '"front"' in found[0].field("RateLimit")
    # And its refusals come through as they are.
    other = "198.51.100.9"
    answers = [httpd.get("/page.html", other, X_Key="k") for _ in range(3)]
    assert [a.status for a in answers] == [200, 200, 429]
    assert answers[2].field("X-App") == "yes"


# An answer from mod_cache counts where its handler is an ordinary one, and not where it is the quick
# one, which answers before limits are known. A refusal is never kept.
@pytest.mark.parametrize("quick, statuses", [("off", [200, 200, 429, 429]), ("on", [200] * 4)])
def test_cache(start, ip, quick, statuses):
    httpd = start(CACHE.replace("@QUICK@", quick),
                  extra_modules=["cache", "cache_socache", "socache_shmcb"])
    assert [httpd.get("/page.html", ip).status for _ in range(4)] == statuses
    assert httpd.get("/page.html", "198.51.100.10").status == 200
