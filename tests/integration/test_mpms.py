# SPDX-License-Identifier: Apache-2.0
"""What holds whoever serves: every MPM of httpd, keep-alive, and HTTP/2 by a client of its own."""

import base64
import concurrent.futures
import json
import re
import subprocess

import pytest

import httpd_env

CONF = """
RateLimit "40/365day" name=all
<Location /narrow>
  RateLimit "7/365day" name=narrow
</Location>
<Location /many>
  RateLimit "5/365day" name=late key="%{REMOTE_USER}"
  AuthType Basic
  AuthName test
  AuthUserFile @ROOT@/users
  Require valid-user
</Location>
<Location /close>
  RateLimit "1/365day" name=close close=on
</Location>
<Location /dry>
  RateLimit "1/365day" name=dry
  RateLimitMode dry-run
</Location>
<Location /status>
  SetHandler ratelimit-status
</Location>
AliasMatch "^/(narrow|many|close|dry|free)" @DOCS@/page.html
"""
# HTTP/2 as browsers have it, with TLS: curl 7.88 cannot do two requests on one connection without.
HTTP2 = CONF + """
Listen 127.0.0.1:@TLS@
<VirtualHost 127.0.0.1:@TLS@>
  ServerName localhost
  Protocols h2 http/1.1
  SSLEngine on
  SSLCertificateFile @ROOT@/cert.pem
  SSLCertificateKeyFile @ROOT@/key.pem
</VirtualHost>
"""


@pytest.fixture(scope="module", params=httpd_env.MPMS)
def served(request):
    httpd = httpd_env.Httpd(CONF, mpm=request.param)
    httpd.write("users", "user:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n", httpd.root)
    httpd.expect("AH01617")  # wrong passwords
    httpd.start()
    yield httpd
    httpd.finish()


def basic(password):
    return "Basic " + base64.b64encode(f"user:{password}".encode()).decode()


# From many connections at once, and so in many processes and threads, as many pass as may.
def test_exact(served, ip):
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        found = list(pool.map(lambda _: served.get("/narrow", ip).status, range(48)))
    assert sorted(found) == [200] * 7 + [429] * 41
    assert served.get("/page.html", ip).items("RateLimit")[0][1]["r"] == 40 - 7 - 1


# A refusal leaves the connection as it is: what follows on it is answered.
def test_keep_alive(served, ip):
    connection = served.connect()
    found = [served.send(connection, "/narrow", ip) for _ in range(9)]
    local = connection.sock.getsockname()
    found.append(served.send(connection, "/page.html", ip))
    assert [a.status for a in found] == [200] * 7 + [429] * 2 + [200]
    assert connection.sock.getsockname() == local
    assert found[-2].field("Content-Type") == "application/problem+json"
    connection.close()


# Unless it is to end.
def test_close(served, ip):
    connection = served.connect()
    found = [served.send(connection, "/close", ip) for _ in range(2)]
    assert [a.status for a in found] == [200, 429]
    assert [a.field("Connection") == "close" for a in found] == [False, True]
    connection.close()


# Limits on the user run after authentication, the others before it.
def test_user(served, ip):
    first = [served.get("/many", ip, Authorization=basic("secret")).status for _ in range(6)]
    wrong = [served.get("/many", ip, Authorization=basic("wrong")).status for _ in range(40)]
    assert first == [200] * 5 + [429]
    assert wrong == [401] * 34 + [429] * 6


def test_dry(served, ip):
    found = [served.get("/dry", ip) for _ in range(2)]
    assert [a.status for a in found] == [200, 200]
    assert found[1].field("X-RateLimit-Dry-Run") is not None


# Counters stay through a restart, and the page counts for all processes.
def test_graceful(served, ip):
    assert served.statuses(8, "/narrow", ip=ip)[-2:] == [200, 429]
    served.graceful()
    assert served.get("/narrow", ip).status == 429
    connection = served.connect()  # without X-Forwarded-For: only this machine may look
    answer = served.send(connection, "/status?format=json")
    connection.close()
    rows = {row["name"]: row for row in json.loads(answer.body)["limits"]}
    assert rows["narrow"]["total"]["denied"] >= 2


# --- HTTP/2 ---------------------------------------------------------------------------------------

class Second:
    """An httpd with HTTP/2, and curl."""

    def __init__(self, mpm):
        port = httpd_env.free_port()
        self.base = f"https://127.0.0.1:{port}"
        self.httpd = httpd_env.Httpd(HTTP2.replace("@TLS@", str(port)), mpm=mpm,
                                     extra_modules=["http2", "ssl"])
        self.httpd.write("users", "", self.httpd.root)
        self.httpd.expect("AH01873")  # no cache of sessions
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:P-256", "-nodes", "-days", "3650", "-subj",
                        "/CN=localhost", "-addext", "basicConstraints=critical,CA:FALSE",
                        "-keyout", self.httpd.root / "key.pem", "-out", self.httpd.root / "cert.pem"],
                       check=True, capture_output=True)
        self.httpd.start()

    def curl(self, *words, ip):
        done = subprocess.run(["curl", "-sSk", "--http2", "-m", "30", "-H", f"X-Forwarded-For: {ip}",
                               *words], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def told(self, *words, ip):
        """(version, status, new connections) of each request."""
        out = self.curl("-w", "\n= %{http_version} %{response_code} %{num_connects}\n", *words, ip=ip)
        return [tuple(line.split()[1:]) for line in out.splitlines() if line.startswith("= ")]


@pytest.fixture(scope="module", params=["event", "worker"])  # mod_http2 refuses prefork
def second(request):
    made = Second(request.param)
    yield made
    made.httpd.finish()


# Streams of one connection, all at once: each is a request, and counted as one.
def test_streams(second, ip):
    found = second.told("-Z", "--parallel-max", "20", f"{second.base}/narrow?[1-40]", ip=ip)
    assert [f[0] for f in found] == ["2"] * 40
    assert sorted(f[1] for f in found) == ["200"] * 7 + ["429"] * 33
    assert sum(int(f[2]) for f in found) == 1
    assert second.httpd.get("/page.html", ip).items("RateLimit")[0][1]["r"] == 40 - 7 - 1


# One after the other on one connection: a refused stream ends itself alone.
def test_refused_stream(second, ip):
    found = second.told(f"{second.base}/close?[1-3]", f"{second.base}/page.html", ip=ip)
    assert [f[1] for f in found] == ["200", "429", "429", "200"]
    assert [f[0] for f in found] == ["2"] * 4
    assert sum(int(f[2]) for f in found) == 1


# Fields and body are those of HTTP/1.1.
def test_fields(second, ip):
    second.told(f"{second.base}/narrow?[1-7]", ip=ip)
    head, _, body = second.curl("-i", f"{second.base}/narrow", ip=ip).partition("\n\n")
    assert head.startswith("HTTP/2 429")
    assert re.search(r"^retry-after: \d+$", head, re.M)
    assert re.search(r'^ratelimit: .*"narrow";r=0;t=\d+', head, re.M)
    assert json.loads(body)["violated-policies"] == ["narrow"]
