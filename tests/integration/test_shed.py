# SPDX-License-Identifier: Apache-2.0
"""RateLimitShed: while httpd has too much to do, what matters least is refused first."""

import contextlib
import json
import socket
import time

import pytest

import httpd_env

CONF = """
RateLimitShed 50% when="%{REQUEST_URI} =~ m#^/low#"
RateLimitShed 80% when="%{REQUEST_URI} !~ m#^/critical#"
RateLimit "1000000/s"
<Location /low>
  RateLimit "5/365day" name=low
</Location>
<Location /own>
  RateLimitShed off
</Location>
<Location /dry>
  RateLimitMode dry-run
</Location>
<Location /off>
  RateLimitMode off
</Location>
<Location /exempt>
  RateLimitExempt 192.0.2.7
</Location>
<Location /status>
  SetHandler ratelimit-status
  RateLimitShed off
</Location>
AliasMatch "^/(low|critical|own|dry|off|exempt|mid)" @DOCS@/page.html
"""
WORKERS = {"prefork": "ServerLimit 10\nMaxRequestWorkers 10\nStartServers 10\nMinSpareServers 10\n"
                      "MaxSpareServers 10\n"}
THREADS = ("ServerLimit 1\nStartServers 1\nThreadsPerChild 10\nMaxRequestWorkers 10\n"
           "MinSpareThreads 1\nMaxSpareThreads 10\n")


@pytest.fixture(params=httpd_env.MPMS)
def small(request, start):
    httpd = start(WORKERS.get(request.param, THREADS) + CONF, mpm=request.param)
    httpd.expect("RLR0020", "AH00161")  # that all are busy
    return httpd


@contextlib.contextmanager
def busy(httpd, n):
    """Holds |n| workers, by requests that do not end."""
    with contextlib.ExitStack() as stack:
        for _ in range(n):
            s = stack.enter_context(socket.create_connection(("127.0.0.1", httpd.port)))
            s.sendall(b"GET /page.html HTTP/1.1\r\nHost: x\r\n")
        time.sleep(0.3)
        yield
    time.sleep(0.3)


def statuses(httpd, ip, paths):
    found = []
    for path in paths:
        time.sleep(0.06)  # until the last one is no longer counted
        found.append(httpd.get(path, ip).status)
    return found


PATHS = ["/low", "/mid", "/critical", "/own", "/dry", "/off"]


# What matters least goes first, what is critical stays; and what was refused has cost nothing.
def test_order(small, ip):
    assert statuses(small, ip, PATHS) == [200] * 6
    with busy(small, 6):
        assert statuses(small, ip, PATHS) == [503] + [200] * 5
    with busy(small, 8):
        assert statuses(small, ip, PATHS) == [503, 503] + [200] * 4
        time.sleep(0.06)
        assert statuses(small, "192.0.2.7", ["/exempt", "/mid"]) == [200, 503]
    assert statuses(small, ip, PATHS) == [200] * 6
    assert [i for i in small.get("/low", ip).items("RateLimit") if i[0] == "low"][0][1]["r"] == 2
    assert small.error_log().count("RLR0020") == 1  # once in ten seconds


# The answer says that it is for now, and the page that it happened.
def test_answer(small, ip):
    with busy(small, 7):
        answer = small.get("/low", ip)
        page = small.get("/low", ip, Accept="text/html")
        connection = small.connect()
        told = json.loads(small.send(connection, "/status?format=json").body)
        connection.close()
    assert answer.status == 503 and 1 <= int(answer.field("Retry-After")) <= 5
    assert answer.field("Content-Type") == "application/problem+json"
    assert answer.field("Cache-Control") == "no-store"
    body = json.loads(answer.body)
    assert body["type"].endswith("temporary-reduced-capacity") and body["status"] == 503
    assert page.status == 503 and page.field("Content-Type").startswith("text/html")
    assert told["shed"] == 2 and told["busy_percent"] >= 70
    # Where a kept connection has a worker, it is not kept.
    assert answer.field("Connection") == "close" or small.mpm == "event"


# A dry run refuses nobody, and says what it would do.
def test_dry(small, ip):
    with busy(small, 9):
        assert statuses(small, ip, ["/dry"]) == [200]
        small.logged("dry run: 100% of the workers are busy: requests would be refused")
