# SPDX-License-Identifier: Apache-2.0
"""Counters and restarts, and tables that several httpds share."""

import os

import pytest

from httpd_env import MPMS

CONF = """
RateLimitStore @STORE@
RateLimit "4/365day" name=all
"""


def conf(store):
    return CONF.replace("@STORE@", store)


# A graceful restart keeps the counters; so does one that changes other settings.
@pytest.mark.parametrize("mpm", MPMS)
def test_graceful(start, ip, mpm):
    httpd = start(conf("shm:"), mpm=mpm)
    assert httpd.statuses(2, "/page.html", ip=ip) == [200, 200]
    httpd.graceful()
    assert httpd.get("/page.html", ip).items("RateLimit")[0][1]["r"] == 1
    httpd.set_conf(conf("shm:") + "RateLimitHeaders off\n")
    httpd.graceful()
    assert httpd.statuses(2, "/page.html", ip=ip) == [200, 429]
    httpd.graceful()
    assert httpd.get("/page.html", ip).status == 429


# A table that is too small refuses nobody, and says so when the server restarts.
def test_evictions_are_told(start):
    httpd = start(conf("shm:?size=64"))
    for i in range(400):
        assert httpd.get("/page.html", "198.19.%d.%d" % (i // 200, i % 200 + 1)).status == 200
    httpd.expect("RLR0009")
    httpd.graceful()
    assert "live keys gave way (evicted_live)" in httpd.error_log()


# Another size is another table, and starts anew.
def test_other_size(start, ip):
    httpd = start(conf("shm:?size=4096"))
    assert httpd.statuses(5, "/page.html", ip=ip)[-1] == 429
    httpd.graceful()
    assert httpd.get("/page.html", ip).status == 429
    httpd.set_conf(conf("shm:?size=8192"))
    httpd.graceful()
    httpd.logged("RLC0201")
    assert httpd.get("/page.html", ip).status == 200


# Restarts leak no descriptor, whatever store they go to and come from.
def test_no_leak(start, ip):
    def descriptors():
        return len(os.listdir(f"/proc/{httpd.process.pid}/fd"))

    httpd = start(conf("shm:"))
    httpd.expect("RLC0201")  # the size changes
    before = descriptors()
    for store in ["shm:?size=8192", "redis+unix://@ROOT@/nobody", "shm:@ROOT@/table", "shm:"]:
        httpd.set_conf(conf(store))
        httpd.graceful()
    assert descriptors() <= before
    assert httpd.get("/page.html", ip).status == 200


# Two httpds that name one file count together, and a stop does not forget.
def test_shared_file(start, ip):
    one = start(conf("shm:@ROOT@/table?size=4096"))
    two = start(conf(f"shm:{one.root}/table?size=4096"))
    assert [h.get("/page.html", ip).status for h in [one, two, one, two, one, two]] == \
        [200, 200, 200, 200, 429, 429]
    two.stop()
    two.start()
    assert two.get("/page.html", ip).status == 429


# memory: counts in each child by itself, which is rarely meant: a warning says so.
def test_memory_warns(start):
    httpd = start(conf("memory:"))
    httpd.logged("RLR0002")


# A store that cannot be opened keeps httpd from starting, with the reason.
def test_damaged_file(start, ip):
    httpd = start(conf("shm:@ROOT@/table?size=4096"))
    httpd.stop()
    table = httpd.root / "table"
    table.write_bytes(b"x" * table.stat().st_size)
    with pytest.raises(AssertionError, match="RateLimitStore: "):
        httpd.start()
