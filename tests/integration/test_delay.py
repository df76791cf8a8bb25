# SPDX-License-Identifier: Apache-2.0
"""delay=: what a limit refuses waits for its turn, in bounds of time and places, and no more passes than
without."""

import concurrent.futures
import os
import signal
import time

import pytest

import httpd_env

CONF = """
RateLimitDelay 50%
RateLimitPolicy slow "20/s burst=1"
<Location /shaped>
  RateLimit slow name=shaped delay=2s
</Location>
<Location /short>
  RateLimit "10/s burst=1" name=short delay=500ms
</Location>
<Location /none>
  RateLimit "10/s burst=1" name=none
</Location>
<Location /two>
  RateLimit "10/s burst=1" name=first delay=2s
  RateLimit "10/s burst=1" name=second
</Location>
<Location /window>
  RateLimit "3/s algorithm=fixed-window" name=window delay=2s
</Location>
<Location /log>
  RateLimit "3/s algorithm=sliding-log" name=log delay=3s
</Location>
<Location /long>
  RateLimit "1/h" name=long delay=2s
</Location>
<Location /dry>
  RateLimit "1/s" name=dry delay=2s
  RateLimitMode dry-run
</Location>
LogFormat "%{RATELIMIT_DELAYED}n %{RATELIMIT_ALLOWED}n %U" delays
CustomLog "@ROOT@/delays.log" delays
AliasMatch "^/(shaped|short|none|two|window|log|long|dry)" @DOCS@/page.html
<Location /status>
  SetHandler ratelimit-status
</Location>
"""


def ask(httpd, path, ip):
    """The status, when it was asked for and how long it took."""
    begun = time.monotonic()
    return httpd.get(path, ip).status, begun, time.monotonic() - begun


def ask_at_once(httpd, path, ip, n, pause=0.0):
    with concurrent.futures.ThreadPoolExecutor(n) as pool:
        jobs = []
        for _ in range(n):
            jobs.append(pool.submit(ask, httpd, path, ip))
            time.sleep(pause)
        return [job.result() for job in jobs]


# A burst is spread out: nobody is refused, and the limit is kept.
def test_shapes(site, ip):
    begun = time.monotonic()
    found = ask_at_once(site, "/shaped", ip, 10)
    assert [status for status, _, _ in found] == [200] * 10
    assert time.monotonic() - begun >= 9 / 20 - 0.01
    waited = [int(line.split()[0]) for line in (site.root / "delays.log").read_text().splitlines()
              if line.endswith("/shaped") and line[0] != "-"]
    assert len(waited) >= 9 and max(waited) >= 350


# Who came first passes first.
def test_in_line(site, ip):
    found = ask_at_once(site, "/shaped", ip, 6, pause=0.02)
    ends = [begun + took for _, begun, took in found]
    assert ends == sorted(ends)


# Beyond the time that may be waited the answer comes at once; never do more pass than the bound.
def test_bounded(site, ip):
    begun = time.monotonic()
    found = ask_at_once(site, "/short", ip, 20)
    lasted = time.monotonic() - begun
    passed = [took for status, _, took in found if status == 200]
    refused = [took for status, _, took in found if status == 429]
    assert 2 <= len(passed) <= 1 + 10 * lasted
    assert len(passed) + len(refused) == 20
    assert max(passed) < 0.5 + 0.4
    assert sorted(refused)[len(refused) // 2] < 0.4


# The library's count agrees: passes in a longer run never exceed burst + rate x time.
def test_never_more(site, ip):
    begun = time.monotonic()
    passed = 0
    while time.monotonic() - begun < 1.5:
        passed += sum(status == 200 for status, _, _ in ask_at_once(site, "/short", ip, 8))
    assert 8 <= passed <= 1 + 10 * (time.monotonic() - begun)


# No waiting: without delay=, beside a limit without, where the wait is longer, and in a dry run.
@pytest.mark.parametrize("path, status", [("/none", 429), ("/two", 429), ("/long", 429),
                                          ("/dry", 200)])
def test_at_once(site, ip, path, status):
    first, _, _ = ask(site, path, ip)
    second, _, took = ask(site, path, ip)
    assert (first, second) == (200, status)
    assert took < 0.09 or path == "/long" and took < 1


# Windows let a whole quota pass when they begin.
@pytest.mark.parametrize("path", ["/window", "/log"])
def test_windows(site, ip, path):
    found = ask_at_once(site, path, ip, 6)
    assert [status for status, _, _ in found] == [200] * 6


def test_page(site, ip):
    ask_at_once(site, "/shaped", ip, 3)
    connection = site.connect()
    body = site.send(connection, "/status?format=prometheus").body
    connection.close()
    assert int(body.split("ratelimit_delayed_requests_total ")[1].split()[0]) >= 2


# Waiting requests have no more than their part of the workers, in any MPM: the rest goes on.
@pytest.mark.parametrize("mpm", httpd_env.MPMS)
def test_starvation(start, ip, mpm):
    workers = ("MaxRequestWorkers 20\nServerLimit 20" if mpm == "prefork" else
               "ThreadsPerChild 10\nMaxRequestWorkers 20\nMinSpareThreads 10\nMaxSpareThreads 20")
    httpd = start(workers + '\nRateLimitDelay 20%\n<Location /held>\nRateLimit "1/2s" name=held '
                  'key="%{QUERY_STRING}" delay=3s\n</Location>\nAlias /held @DOCS@/page.html', mpm=mpm)
    with concurrent.futures.ThreadPoolExecutor(40) as pool:
        begun = time.monotonic()
        held = []
        for i in range(20):  # the second for each of 20 keys would wait two seconds
            httpd.get(f"/held?{i}", ip)
        held = [pool.submit(ask, httpd, f"/held?{i}", ip) for i in range(20)]
        others = [pool.submit(ask, httpd, "/page.html", ip) for _ in range(40)]
        assert time.monotonic() - begun < 1.5
        assert all(job.result()[0] == 200 and job.result()[2] < 1.2 for job in others)
        found = [job.result() for job in held]
    waited = [took for status, _, took in found if status == 200]
    refused = [took for status, _, took in found if status == 429]
    assert len(waited) == 4 and len(refused) == 16
    assert max(refused) < 1.2


# A child that is killed while requests wait in it takes no place with it.
def test_killed(start, ip):
    httpd = start('MaxRequestWorkers 10\nServerLimit 10\nRateLimitDelay 10%\n<Location /held>\n'
                  'RateLimit "1/s" name=held key="%{QUERY_STRING}" delay=1500ms\n</Location>\n'
                  "Alias /held @DOCS@/page.html", mpm="prefork")
    httpd.expect("AH00052")
    for key in "abc":
        httpd.get(f"/held?{key}", ip)
    connection = httpd.connect()
    connection.request("GET", "/held?a", headers={"X-Forwarded-For": ip})
    time.sleep(0.3)
    assert httpd.get("/held?b", ip).status == 429  # the one place is taken
    for child in httpd.children():
        os.kill(child, signal.SIGKILL)
    connection.close()
    time.sleep(1.6)
    httpd.get("/held?c", ip)
    status, _, took = ask(httpd, "/held?c", ip)
    assert status == 200 and took > 0.5
