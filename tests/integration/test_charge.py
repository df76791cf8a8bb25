# SPDX-License-Identifier: Apache-2.0
"""charge=: what is known only when the answer is there. /left/NAME tells what is left of a limit, by
one that reserves a unit for its request and always gives it back."""

import gzip
import os
import re
import signal
import socket
import subprocess
import threading
import time

import pytest

import application
import redis_env
from httpd_env import MPMS

YEAR = "365day"
LIMITS = {
    "login": "5", "classes": "9", "bytes": "900000", "kbytes": "900", "time": "9000", "cost": "90",
    "hidden": "90", "expr": "900", "both": "90", "late": "9", "big": "100000000", "err": "9",
    "debt": "100", "inner": "90",
}
CHARGES = {
    "login": "charge=status:401", "classes": "charge=status:4xx,500 cost=2", "bytes": "charge=bytes",
    "kbytes": "charge=kbytes", "time": "charge=time", "cost": "charge=header:X-Cost cost=2",
    "hidden": "charge=header:X-Cost,remove", "expr": 'charge="%{REQUEST_STATUS}"',
    "both": "charge=status:401", "late": "charge=status:403", "big": "charge=bytes",
    "err": "charge=status:404", "debt": "charge=header:X-Cost", "inner": "charge=header:X-Cost",
}


def policy(name):
    return f'"{LIMITS[name]}/{YEAR}{" debt=900" if name == "debt" else ""}"'


CONF = """
AliasMatch "^/left/" "@DOCS@/page.html"
<Location "/app">
  ProxyPass "http://127.0.0.1:@APP@"
</Location>
""" + "".join(f"""
<Location "/left/{name}">
  RateLimit {policy(name)} name={name} charge=status:599
</Location>
<Location "/app/{name}">
  RateLimit {policy(name)} name={name} {CHARGES[name]}
</Location>
<Location "/files/{name}">
  RateLimit {policy(name)} name={name} {CHARGES[name]}
</Location>
""" for name in LIMITS) + f"""
<Location "/app/both">
  RateLimit "90/{YEAR}" name=plain
  RateLimit "90/{YEAR}" name=cost
  RateLimit {policy("kbytes")} name=kbytes charge=kbytes
</Location>
<Location "/left/plain">
  RateLimit "90/{YEAR}" name=plain charge=status:599
</Location>
<Location "/app/late">
  RateLimit "1/{YEAR}" name=second phase=late
</Location>
<Location "/app/err">
  ErrorDocument 404 /page.html
  ErrorDocument 500 /app/login?status=200
  ProxyErrorOverride On
</Location>
<Location "/app/inner/page.shtml">
  ProxyPass "!"
</Location>
Alias "/app/inner/page.shtml" "@DOCS@/page.shtml"
<Location "/files/bytes/zip">
  SetOutputFilter DEFLATE
</Location>
AliasMatch "^/files/[a-z]+/zip/(.*)" "@DOCS@/$1"
AliasMatch "^/files/[a-z]+/(.*)" "@DOCS@/$1"
<Location "/secret">
  AuthType Basic
  AuthName secret
  AuthBasicProvider file
  AuthUserFile @ROOT@/users
  Require valid-user
  RateLimit {policy("login")} name=login charge=status:401
</Location>
Alias "/secret" "@DOCS@/page.html"
"""
MODULES = ["proxy", "proxy_http", "deflate", "filter"]
PAGE = "0123456789" * 10000


@pytest.fixture(scope="module")
def app():
    app = application.Application()
    yield app
    app.stop()


@pytest.fixture
def make(app, start):
    def make(conf="", more_modules=(), **more):
        httpd = start(CONF.replace("@APP@", str(app.port)) + conf,
                      extra_modules=[*MODULES, *more_modules], **more)
        fill(httpd)
        return httpd
    return make


def fill(httpd):
    httpd.write("data.html", PAGE)
    httpd.write("page.shtml", '<!--#include virtual="/page.html" -->' * 3)
    httpd.write("users", "ann:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n", httpd.root)  # password
    with open(httpd.docs / "huge.bin", "wb") as f:
        f.truncate(64 << 20)
    os.chmod(httpd.docs / "huge.bin", 0o644)


@pytest.fixture(scope="module")
def site(app):
    import httpd_env
    httpd = httpd_env.Httpd(CONF.replace("@APP@", str(app.port)), extra_modules=MODULES)
    fill(httpd)
    httpd.start()
    yield httpd
    httpd.finish()


def left(httpd, name, ip):
    a = httpd.get(f"/left/{name}", ip)
    told = dict(a.items("RateLimit"))[name]["r"]
    return told + 1 if a.status == 200 else 0


def used(httpd, name, ip, seconds=10):
    """What has been charged when nothing changes any more: an answer is seen before it is settled."""
    seen = []

    def steady():
        seen.append(int(LIMITS.get(name, 90)) - left(httpd, name, ip))
        return len(seen) > 2 and len(set(seen[-3:])) == 1
    httpd.wait_for(steady, "charges come and go", seconds)
    return seen[-1]


def at_once(n, call):
    """Calls from |n| threads; returns what came back."""
    results = []
    threads = [threading.Thread(target=lambda: results.append(call())) for _ in range(n)]
    for thread in threads:
        thread.start()
    return threads, results


# Of 200 guesses at once 5 reach the application, and none of the others while it thinks.
@pytest.mark.parametrize("mpm, store", [*[(mpm, "shm") for mpm in MPMS], ("event", "redis")])
def test_guesses(make, app, ip, mpm, store):
    redis = redis_env.Redis(prefix="rl") if store == "redis" else None
    conf = f"RateLimitStore {redis.url}?timeout=5s" if redis else ""
    httpd = make(conf, mpm=mpm)
    gate = f"guesses-{mpm}-{store}"
    threads, statuses = at_once(
        200, lambda: httpd.get(f"/app/login?status=401&wait={gate}", ip, method="POST").status)
    httpd.wait_for(lambda: len(statuses) == 195, "not all others are refused", 60)
    assert statuses == [429] * 195
    app.open(gate)
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [401] * 5 + [429] * 195
    assert app.inside[gate] == 5
    assert used(httpd, "login", ip) == 5
    httpd.stop()
    if redis:
        redis.stop()


# A success costs nothing, however many; and when failures have used all up, it is refused too.
def test_success_is_free(site, ip):
    assert site.statuses(20, "/app/login", ip=ip) == [200] * 20
    assert site.statuses(4, "/app/login?status=401", ip=ip) == [401] * 4
    assert site.statuses(20, "/app/login", ip=ip) == [200] * 20
    assert site.statuses(3, "/app/login?status=401", ip=ip) == [401, 429, 429]
    assert site.statuses(1, "/app/login", ip=ip) == [429]
    assert used(site, "login", ip) == 5


# Passwords that httpd itself checks, after the limit has been decided.
def test_basic_authentication(site, ip):
    site.expect("AH01617", "AH01618")
    right, wrong = "Basic YW5uOnBhc3N3b3Jk", "Basic YW5uOndyb25n"
    assert [site.get("/secret", ip, Authorization=right).status for _ in range(9)] == [200] * 9
    got = [site.get("/secret", ip, Authorization=wrong).status for _ in range(7)]
    assert got == [401] * 5 + [429] * 2
    assert site.get("/secret", ip, Authorization=right).status == 429


# Lists and classes of statuses, and a cost of its own.
def test_classes(site, ip):
    for status, costs in [(200, 0), (302, 0), (404, 2), (499, 2), (500, 2), (501, 0)]:
        before = used(site, "classes", ip)
        site.get(f"/app/classes?status={status}", ip)
        assert used(site, "classes", ip) - before == costs, status


# The status is the one that the client gets: of the page of an error, or behind a redirect inside.
def test_error_pages(site, ip):
    a = site.get("/app/err?status=404", ip)
    assert (a.status, a.body) == (404, "page\n")
    assert used(site, "err", ip) == 1
    a = site.get("/app/err?status=500", ip)
    assert used(site, "err", ip) == 1


# The body as it leaves: whole, in part, compressed, or not at all.
@pytest.mark.parametrize("path, fields, method, n", [
    ("/files/bytes/data.html", {}, "GET", len(PAGE)),
    ("/files/bytes/data.html", {}, "HEAD", 0),
    ("/files/bytes/data.html", {"Range": "bytes=100-299"}, "GET", 200),
    ("/files/bytes/data.html", {"Range": "bytes=0-0,2-3"}, "GET", None),
    ("/files/bytes/data.html", {"If-None-Match": "*"}, "GET", 0),
    ("/files/bytes/zip/data.html", {"Accept-Encoding": "gzip"}, "GET", None),
    ("/app/bytes?size=12345", {}, "GET", 12345),
    ("/app/bytes?size=12345", {}, "HEAD", 0),
    ("/files/bytes/missing", {}, "GET", None)])
def test_bytes(site, ip, path, fields, method, n):
    connection = site.connect()
    fields["X-Forwarded-For"] = ip
    connection.request(method, path, headers=fields)
    body = connection.getresponse().read()
    connection.close()
    assert n is None or len(body) == n
    if "zip" in path:
        assert len(body) < 2000 and gzip.decompress(body).decode() == PAGE
    assert used(site, "bytes", ip) == len(body)


# Thousands, rounded up; each answer of a connection that is kept for itself.
def test_kbytes(site, ip):
    assert site.statuses(3, "/app/kbytes?size=1001", ip=ip) == [200] * 3
    assert used(site, "kbytes", ip) == 6
    site.statuses(2, "/files/kbytes/data.html", ip=ip)
    assert used(site, "kbytes", ip) == 206


# A client that leaves pays for what it took, not for what it asked for.
@pytest.mark.parametrize("mpm", MPMS)
def test_bytes_aborted(make, ip, mpm):
    httpd = make(mpm=mpm)
    with socket.create_connection(("127.0.0.1", httpd.port)) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        s.sendall(f"GET /files/big/huge.bin HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {ip}\r\n\r\n"
                  .encode())
        got = 0
        while got < 5 << 20:
            got += len(s.recv(65536))
    httpd.wait_for(lambda: not httpd.connections(), "the connection stays")
    assert got <= used(httpd, "big", ip) < got + (16 << 20)
    assert len(httpd.get("/files/big/huge.bin", ip).body) == 64 << 20
    assert httpd.get("/left/big", ip).status == 200


# The same through HTTP/2 and through TLS, whole and left in the middle.
@pytest.mark.parametrize("kind", ["h2", "tls"])
def test_bytes_wrapped(make, tmp_path, ip, kind):
    if kind == "h2":
        httpd = make("Protocols h2c http/1.1", ["http2"])
        words, scheme = ["--http2-prior-knowledge"], "http"
    else:
        pem = tmp_path / "tls.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x",
                        "-keyout", pem, "-out", tmp_path / "cert.pem"], check=True,
                       stderr=subprocess.DEVNULL)
        pem.write_text(pem.read_text() + (tmp_path / "cert.pem").read_text())
        httpd = make(f"SSLEngine on\nSSLCertificateFile {pem}\nMutex default", ["ssl", "socache_shmcb"])
        httpd.expect("AH01873", "AH01906", "AH01909")  # made by itself, for another name
        words, scheme = ["-k"], "https"
    words = ["curl", "-sS", *words, "-o", "/dev/null", "-H", f"X-Forwarded-For: {ip}"]
    url = f"{scheme}://127.0.0.1:{httpd.port}/"
    left = ["curl", "-sS", words[2], "-D-", "-o", "/dev/null", "-H", f"X-Forwarded-For: {ip}"]

    def used(name):
        seen = []

        def steady():
            head = subprocess.run([*left, url + "left/" + name], stdout=subprocess.PIPE, text=True,
                                  check=True).stdout
            seen.append(int(LIMITS[name]) - 1 - int(re.search(rf'"{name}";r=(\d+)', head).group(1)))
            return len(seen) > 2 and len(set(seen[-3:])) == 1
        httpd.wait_for(steady, "charges come and go")
        return seen[-1]
    subprocess.run([*words, url + "files/bytes/data.html"], check=True)
    assert used("bytes") == len(PAGE)
    curl = subprocess.Popen([*words, "--limit-rate", "4M", url + "files/big/huge.bin"])
    time.sleep(0.5)
    curl.kill()
    curl.wait()
    assert 0 < used("big") < 32 << 20
    subprocess.run([*words, url + "files/big/huge.bin"], check=True)
    assert used("big") > 64 << 20


# Milliseconds, from the request to the end of the answer.
def test_time(site, ip):
    site.get("/app/time?sleep=0.25", ip)
    assert 250 <= used(site, "time", ip) < 5000


# A field of the application's; without it what cost= says, as with nonsense, which is logged.
def test_header(site, ip):
    a = site.get("/app/cost?cost=7", ip)
    assert a.field("X-Cost") == "7" and used(site, "cost", ip) == 7
    site.get("/app/cost?cost=0", ip)
    assert used(site, "cost", ip) == 7
    site.get("/app/cost", ip)
    assert used(site, "cost", ip) == 9
    site.get("/app/cost?cost=1.5", ip)
    site.logged("RLR0016: charge= of the limit cost ")
    assert used(site, "cost", ip) == 11
    site.get("/app/cost?cost=99999999999999999999", ip)
    assert used(site, "cost", ip) == 90  # down to an empty capacity, without debt=


# Taken out of the answer where asked for, of errors too; what the client sends means nothing.
@pytest.mark.parametrize("status", [200, 404, 500])
def test_header_removed(site, ip, status):
    a = site.get(f"/app/hidden?cost=7&status={status}", ip, X_Cost="0")
    assert a.status == status and a.field("X-Cost") is None
    assert used(site, "hidden", ip) == 7


# An expression sees the answer.
def test_expression(site, ip):
    site.get("/app/expr?status=201", ip)
    assert used(site, "expr", ip) == 201


# Into debt as far as the policy says; nothing passes until it is paid back.
def test_debt(site, ip):
    assert site.get("/app/debt?cost=99", ip).status == 200
    assert used(site, "debt", ip) == 99
    assert site.get("/app/debt?cost=500", ip).status == 200
    assert site.get("/app/debt?cost=0", ip).status == 429


# Several limits on a request: each by its own charge, all or nothing at the door; and two lines of
# one limit charge what the dearer does.
def test_several(site, ip):
    assert site.get("/app/both?size=2500", ip).status == 200
    assert [used(site, name, ip) for name in ["both", "plain", "kbytes", "cost"]] == [0, 1, 3, 1]
    assert site.get("/app/both?status=401", ip).status == 401
    assert [used(site, name, ip) for name in ["both", "plain", "kbytes", "cost"]] == [1, 2, 4, 2]


# What a later limit refuses gives back what an earlier one has reserved.
def test_refused_late(site, ip):
    assert site.statuses(3, "/app/late", ip=ip) == [200, 429, 429]
    assert used(site, "late", ip) == 0


# Subrequests neither charge nor are charged; the field of the answer counts once.
def test_subrequests(site, ip):
    assert site.get("/app/inner/page.shtml", ip).body == "page\n" * 3
    assert used(site, "inner", ip) == 1


# A client that has left before the answer: the answer counts all the same.
@pytest.mark.parametrize("status, costs", [(401, 1), (200, 0)])
def test_client_gone(site, app, ip, status, costs):
    gate = f"gone-{status}"
    with socket.create_connection(("127.0.0.1", site.port)) as s:
        s.sendall(f"GET /app/login?status={status}&wait={gate} HTTP/1.1\r\nHost: x\r\n"
                  f"X-Forwarded-For: {ip}\r\n\r\n".encode())
        app.wait_for_waiters(gate, 1)
        assert 5 - left(site, "login", ip) == 1
    app.open(gate)
    site.wait_for(lambda: 5 - left(site, "login", ip) == costs, "never settled")


# An answer that does not come in time is 502 or 504, and costs what that costs.
def test_timeout(make, app, ip):
    httpd = make("ProxyTimeout 1")
    httpd.expect("AH01102", "AH00898", "AH10272")
    assert httpd.get("/app/login?wait=never", ip).status in (502, 504)
    assert used(httpd, "login", ip) == 0
    app.open("never")


# What a child holds that is killed stays charged.
@pytest.mark.parametrize("mpm", ["event", "prefork"])
def test_killed(make, app, ip, mpm):
    httpd = make(mpm=mpm)
    httpd.expect("exit signal Killed")
    gate = f"killed-{mpm}"
    threads, _ = at_once(3, lambda: silent(httpd, f"/app/login?wait={gate}", ip))
    app.wait_for_waiters(gate, 3)
    for child in httpd.children():
        os.kill(child, signal.SIGKILL)
    for thread in threads:
        thread.join()
    httpd.wait_for(lambda: silent(httpd, "/left/login", ip) is not None, "no child comes back")
    assert used(httpd, "login", ip) == 3
    app.open(gate)


def silent(httpd, path, ip):
    try:
        return httpd.get(path, ip).status
    except OSError:
        return None
    except Exception as error:  # http.client's own
        assert "RemoteDisconnected" in repr(error) or "BadStatusLine" in repr(error), error
        return None


# A graceful restart lets requests end, and what they gave back is there.
def test_graceful(make, app, ip):
    httpd = make()
    threads, statuses = at_once(3, lambda: httpd.get("/app/login?wait=graceful", ip).status)
    app.wait_for_waiters("graceful", 3)
    httpd.process.send_signal(signal.SIGUSR1)
    httpd.wait_for(lambda: httpd.error_log().count("resuming normal operations") == 2, "no restart")
    assert left(httpd, "login", ip) == 2
    app.open("graceful")
    for thread in threads:
        thread.join()
    assert statuses == [200] * 3
    httpd.wait_for(lambda: left(httpd, "login", ip) == 5, "not given back")


# While the store is away the fail policy decides, and nothing breaks at the end of requests.
@pytest.mark.parametrize("fail, status", [("open", 200), ("local", 200), ("closed", 503)])
def test_store_away(make, ip, fail, status):
    httpd = make(f"RateLimitStore redis://127.0.0.1:1/?fail={fail}")
    httpd.expect("RLC03", "RLC0101")
    for path in ["/app/login", "/app/bytes?size=100", "/app/cost?cost=3"]:
        assert httpd.get(path, ip).status == status
