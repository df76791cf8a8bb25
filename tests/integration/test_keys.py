# SPDX-License-Identifier: Apache-2.0
"""Keys: prefixes of addresses, several parts, early and late, and the examples of the annotated file,
which run here as they stand there."""

import base64
import re

import pytest

import httpd_env

ANNOTATED = (httpd_env.TOP / "mod_ratelimit_redis/ratelimit_redis.conf").read_text()


def example(place):
    """The <Location> of the annotated file for |place|, as it would be taken over."""
    found, = re.findall(rf'^#<Location "{place}">\n(?:#  .*\n)*#</Location>\n', ANNOTATED, re.M)
    return re.sub("^#", "", found, flags=re.M)


EXAMPLES = ["/search", "/password", "/maps", "/shop", "/api/v2"]
PLACES = ["tiers", "one-name", "v4", "all", "parts", "late", "early", "early-user", "long"]
CONF = """
LimitRequestFieldSize 200000
LimitRequestLine 200000
<Location /tiers>
  RateLimit "2/365day" name=narrow
  RateLimit "3/365day" name=wide v6prefix=48
  RateLimit "4/365day" name=isp v4prefix=16 v6prefix=32
</Location>
<Location /one-name>
  RateLimit "3/365day" name=one
  RateLimit "3/365day" name=one v6prefix=56
</Location>
<Location /v4>
  RateLimit "2/365day" name=v4 v4prefix=24
</Location>
<Location /all>
  RateLimit "2/365day" name=exact v6prefix=128
</Location>
<Location /parts>
  RateLimit "2/365day" name=parts key="%{RATELIMIT_ADDRESS}|%{HTTP:X-Account}" v4prefix=24
  RateLimit "3/365day" name=plain key="%{ratelimit_address}|%{HTTP:X-Account}"
</Location>
<LocationMatch "^/(late|early|early-user)">
  AuthType Basic
  AuthName test
  AuthUserFile @ROOT@/users
  Require valid-user
</LocationMatch>
<Location /late>
  RateLimit "2/365day" name=late phase=late
</Location>
<Location /early>
  RateLimit "2/365day" name=early key="x%{REMOTE_USER}%{HTTP:X-Test}" phase=early
</Location>
<Location /early-user>
  RateLimit "2/365day" name=early-user key="%{REMOTE_USER}" phase=early
</Location>
<Location /long>
  RateLimit "2/365day" name=long key="%{HTTP:X-Key}" group="%{HTTP:X-Group}"
</Location>
<Directory "@DOCS@/folder">
  AllowOverride Limit
</Directory>
<Directory "@DOCS@/other">
  AllowOverride Limit
</Directory>
""" + "".join(f"AliasMatch ^/{name}$ @DOCS@/page.html\n" for name in PLACES) + "".join(
    example(place) + f"Alias {place} @DOCS@/page.html\n" for place in EXAMPLES)

SSL = ["ssl"]


@pytest.fixture(scope="module")
def site():
    httpd = httpd_env.Httpd(CONF, extra_modules=SSL)
    httpd.write("users", "user:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n", httpd.root)  # "secret"
    line = 'RateLimit "2/365day" name=own key="%{HTTP:X-Key}" phase=late\n'
    for name in ["folder", "other"]:
        httpd.write(".htaccess", line, httpd.docs / name)
        httpd.write("page.html", "page\n", httpd.docs / name)
    httpd.expect("AH01617", "AH01873")  # wrong passwords; mod_ssl has no session cache
    httpd.start()
    yield httpd
    httpd.finish()


def basic(password="secret"):
    return {"Authorization": "Basic " + base64.b64encode(f"user:{password}".encode()).decode()}


def refused(answer):
    return re.findall(r'"violated-policies":\[(.*)\]', answer.body)


# Two lines bound a host and the network that it can take others from; all or nothing as ever.
def test_tiers(site):
    def ask(address):
        return site.get("/tiers", f"2001:db8:{address}")

    assert [ask("7:1::1").status, ask("7:1::2").status] == [200, 200]
    assert refused(ask("7:1::3")) == ['"narrow"']
    assert ask("7:2::1").status == 200
    assert refused(ask("7:3::1")) == ['"wide"']
    assert ask("8:1::1").status == 200
    assert refused(ask("9:1::1")) == ['"isp"']
    assert site.get("/tiers", "2001:db9::1").status == 200


# One name, two prefixes: IPv6 counts in both, IPv4 is the same counter and is charged once.
def test_one_name(site, ip):
    answers = [site.get("/one-name", ip) for _ in range(4)]
    assert [a.status for a in answers] == [200, 200, 200, 429]
    assert len(answers[0].items("RateLimit")) == 1
    answers = [site.get("/one-name", f"2001:db8:20:{i}::1") for i in range(4)]
    assert [a.status for a in answers] == [200, 200, 200, 429]
    assert [left["r"] for _, left in answers[2].items("RateLimit")] == [2, 0]


# Prefixes are of bits, and of the client's family.
@pytest.mark.parametrize("path, first, second, same", [
    ("/v4", "203.0.113.1", "203.0.113.254", True), ("/v4", "203.0.114.1", "203.0.115.1", False),
    ("/v4", "2001:db8:30::1", "2001:db8:30::2", True),
    ("/all", "2001:db8:31::1", "2001:db8:31::2", False),
    ("/all", "203.0.116.1", "203.0.116.2", False)])
def test_prefix(site, path, first, second, same):
    assert site.statuses(3, path, ip=first) == [200, 200, 429]
    assert site.get(path, second).status == (429 if same else 200)


# The address is a part of a key too, by the prefixes of the line or by the usual ones.
def test_parts(site):
    def left(address, account):
        return [item[1]["r"] for item in
                site.get("/parts", address, X_Account=account).items("RateLimit")]

    assert left("192.0.2.1", "a") == [1, 2]
    assert left("192.0.2.2", "a") == [0, 2]
    assert left("192.0.2.2", "b") == [1, 2]
    assert left("192.0.2.2", "a") == [0, 2]
    assert left("2001:db8:40::1", "a") == [1, 2]
    assert left("2001:db8:40::2", "a") == [0, 1]


# late: what authentication refuses costs nothing. early: it does, though the key could name a user.
def test_phase(site, ip):
    assert site.statuses(4, "/late", ip=ip, **basic("wrong")) == [401] * 4
    assert site.statuses(3, "/late", ip=ip, **basic()) == [200, 200, 429]
    assert site.statuses(3, "/early", X_Test=ip, **basic("wrong")) == [401, 401, 429]
    assert site.statuses(2, "/early-user", ip=ip, **basic()) == [200, 200]
    assert site.get("/early-user", ip, **basic()).field("RateLimit") is None


# A key or group of any length counts as any other, apart from those that differ at its end.
@pytest.mark.parametrize("field", ["X_Key", "X_Group"])
@pytest.mark.parametrize("size", [65535, 65536, 65537, 150000])
def test_long(site, ip, field, size):
    def ask(text):
        headers = {"X_Key": f"{ip}-{size}", field: f"{ip}-{text}"}
        return site.get("/long", **headers).status

    assert [ask("a" * size + "b") for _ in range(3)] == [200, 200, 429]
    assert ask("a" * size + "c") == 200
    assert ask("a" * size) == 200


# In .htaccess too, and there a folder cannot reach another's counters by a key, however long.
@pytest.mark.parametrize("size", [5, 150000])
def test_htaccess(site, ip, size):
    key = ip + "a" * size
    assert site.statuses(3, "/folder/page.html", X_Key=key) == [200, 200, 429]
    assert site.statuses(3, "/other/page.html", X_Key=key) == [200, 200, 429]


# --- the examples of the annotated file

def names(answer):
    return [name for name, _ in answer.items("RateLimit")]


def left(answer):
    return {name: parameters["r"] for name, parameters in answer.items("RateLimit")}


def test_example_search(site):
    assert left(site.get("/search", "203.0.120.1")) == {"host": 59, "site": 1199}
    assert left(site.get("/search", "203.0.120.2")) == {"host": 59, "site": 1198}
    site.get("/search", "2001:db8:50:1::1")
    assert left(site.get("/search", "2001:db8:50:2::1")) == {"host": 59, "site": 1198}


def test_example_password(site):
    def ask(address, account):
        return site.get("/password", address, X_Account=account).items("RateLimit")[0][1]["r"]

    assert [ask("2001:db8:60:1::1", "a"), ask("2001:db8:60:2::1", "a")] == [4, 3]
    assert [ask("2001:db8:60:2::1", "b"), ask("2001:db8:60:100::1", "a")] == [4, 4]


# A parameter of the query, wherever it stands; without it the address is counted.
def test_example_query(site, ip):
    first = site.get(f"/maps?api_key={ip}", ip)
    assert left(first) == {"maps": 599}
    assert left(site.get(f"/maps?x=1&api_key={ip}&y=2", "198.18.200.1")) == {"maps": 598}
    assert left(site.get(f"/maps?my_api_key={ip}", ip)) == {"no-key": 9}
    assert left(site.get("/maps?api_key=", ip)) == {"no-key": 8}


# A cookie, among others.
def test_example_cookie(site, ip):
    assert left(site.get("/shop", ip, Cookie=f"session={ip}")) == {"session": 119}
    assert left(site.get("/shop", ip, Cookie=f"a=b; session={ip}; c=d")) == {"session": 118}
    assert left(site.get("/shop", ip, Cookie=f"mysession={ip}")) == {}


# A token by its hash; what this request does not have is no limit.
def test_example_token(site, ip):
    a = site.get("/api/v2", ip, Authorization="Bearer " + ip)
    assert left(a) == {"token": 599}
    assert left(site.get("/api/v2", "198.18.200.2", Authorization="Bearer " + ip)) == {"token": 598}
