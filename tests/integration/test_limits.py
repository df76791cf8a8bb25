# SPDX-License-Identifier: Apache-2.0
"""Whose quota it is and what a request costs: key=, cost=, when=, name=, and limits together."""

import base64

import pytest

CONF = """
SetEnvIf X-Free "1" free=1
RateLimitPolicy named "2/365day"
<Location /address>
  RateLimit "2/365day" name=address
</Location>
<Location /key>
  RateLimit "2/365day" name=key key="%{HTTP:X-API-Key}"
</Location>
<Location /cost>
  SetEnvIf X-Cost "(.*)" api_cost=$1
  RateLimit "10/365day" name=cost cost="%{ENV:api_cost}"
</Location>
<Location /fixed-cost>
  RateLimit "10/365day" name=fixed-cost cost=4
</Location>
<Location /when>
  RateLimit "2/365day" name=when when="%{REQUEST_METHOD} == 'POST' && -z %{ENV:free}"
</Location>
<Location /by-name>
  RateLimit named
</Location>
<Location /renamed>
  RateLimit named name=other
</Location>
<Location /both>
  RateLimit "5/365day" name=wide
  RateLimit "2/365day" name=narrow
</Location>
<Location /twice>
  RateLimit "3/365day" name=twice
  RateLimit "3/365day" name=twice
</Location>
<Location /group>
  RateLimit "2/365day" name=group group="%{HTTP:X-Group}"
</Location>
<Location /group-twice>
  RateLimit "4/365day" name=group-twice group="%{HTTP:X-Group}"
  RateLimit "4/365day" name=group-twice group="%{HTTP:X-Other}"
</Location>
<Location /group-broken>
  RateLimit "2/365day" name=group-broken group="%{file:@ROOT@/%{HTTP:X-File}}"
</Location>
<Location /user>
  RateLimit "2/365day" name=user key="%{REMOTE_USER}"
</Location>
<LocationMatch "^/(user|guess)">
  AuthType Basic
  AuthName test
  AuthUserFile @ROOT@/users
  Require valid-user
</LocationMatch>
<Location /guess>
  RateLimit "3/365day" name=guess
</Location>
<Location /functions>
  RateLimit "2/365day" name=functions key="%{base64:%{HTTP:X-Key}}" when="%{HTTP:X-N} -gt 1 || true"
</Location>
<Location /broken>
  RateLimit "2/365day" name=broken key="%{file:@ROOT@/%{HTTP:X-File}}"
</Location>
AliasMatch "^/(address|key|cost|fixed-cost|when|by-name|renamed|both)" @DOCS@/page.html
AliasMatch "^/(twice|user|guess|functions|broken|group)" @DOCS@/page.html
"""


def PREPARE(httpd):
    # apr_md5 is not needed: httpd takes SHA-1 as well. Password "secret".
    line = "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n"
    httpd.expect("AH01617")  # wrong passwords
    httpd.write("users", "".join(f"user{i}:{line}" for i in range(4)), httpd.root)


def basic(user, password="secret"):
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


# A client is an IPv4 address, an IPv6 /64, and never two things at once.
@pytest.mark.parametrize("first, second, same", [
    ("203.0.113.1", "203.0.113.2", False),
    ("2001:db8:1:1::1", "2001:db8:1:1:ffff::2", True),
    ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
    ("::ffff:203.0.113.5", "203.0.113.5", True),
    ("::ffff:203.0.113.7", "::ffff:203.0.113.8", False)])
def test_address(site, first, second, same):
    assert site.statuses(3, "/address", ip=first) == [200, 200, 429]
    assert site.get("/address", second).status == (429 if same else 200)


# key= counts by what it says, whoever the client is; an empty key means no limit.
def test_key(site, ip):
    assert [site.get("/key", f"198.51.100.{i}", X_API_Key="one").status
            for i in range(3)] == [200, 200, 429]
    assert site.get("/key", ip, X_API_Key="two").status == 200
    answers = [site.get("/key", ip) for _ in range(4)]
    assert [a.status for a in answers] == [200] * 4
    assert [a.field("RateLimit") for a in answers] == [None] * 4


# cost= is charged as it says; 0 charges nothing, an unset variable and nonsense charge 1.
def test_cost(site, ip):
    def left(**headers):
        found = site.get("/cost", ip, **headers).items("RateLimit")
        return found[0][1]["r"] if found else None

    assert [left(X_Cost="4"), left(), left(X_Cost="0"), left()] == [6, 5, None, 4]
    assert left(X_Cost="-3") == 3
    site.logged("RLR0005")
    assert left(X_Cost="1e3") == 2
    assert site.error_log().count("RLR0005") <= 2  # once in each child


# A cost above the capacity is refused for good, however large it is.
def test_cost_never(site, ip):
    for cost in ["11", "99999999999999999999999"]:
        a = site.get("/cost", ip, X_Cost=cost)
        assert (a.status, a.field("Retry-After")) == (429, None)
    assert site.get("/cost", ip).items("RateLimit")[0][1]["r"] == 9


# A constant cost is charged each time.
def test_fixed_cost(site, ip):
    assert site.statuses(3, "/fixed-cost", ip=ip) == [200, 200, 429]


# when= says which requests a limit is for.
def test_when(site, ip):
    assert site.statuses(3, "/when", ip=ip) == [200] * 3
    assert site.statuses(3, "/when", ip=ip, method="POST", X_Free="1") == [200] * 3
    assert site.statuses(3, "/when", ip=ip, method="POST") == [200, 200, 429]
    assert site.get("/when", ip).status == 200


# A policy gives its name to its limits; name= makes a counter of its own.
def test_names(site, ip):
    assert site.statuses(3, "/by-name", ip=ip) == [200, 200, 429]
    assert site.get("/by-name", ip).items("RateLimit")[0][0] == "named"
    assert site.statuses(3, "/renamed", ip=ip) == [200, 200, 429]
    assert site.get("/renamed", ip).items("RateLimit")[0][0] == "other"


# Several limits are charged all or not at all: what the narrow one refuses costs the wide nothing.
def test_all_or_nothing(site, ip):
    answers = [site.get("/both", ip) for _ in range(5)]
    assert [a.status for a in answers] == [200, 200, 429, 429, 429]
    assert [dict(a.items("RateLimit"))["wide"]["r"] for a in answers] == [4, 3, 3, 3, 3]
    assert '"violated-policies":["narrow"]' in answers[4].body


# Two lines with one name and one key are one limit.
def test_same_limit_twice(site, ip):
    answers = [site.get("/twice", ip) for _ in range(4)]
    assert [a.status for a in answers] == [200, 200, 200, 429]
    assert len(answers[0].items("RateLimit")) == 1


# A client counts apart in each group, and an empty one is none.
def test_group(site, ip):
    assert site.statuses(3, "/group", ip=ip) == [200, 200, 429]
    assert site.statuses(3, "/group", ip=ip, X_Group="one") == [200, 200, 429]
    assert site.statuses(3, "/group", ip=ip, X_Group="two") == [200, 200, 429]
    assert site.get("/group", ip, X_Group="").status == 429


# Two lines with one name and one key are one limit where their group is the same, and else two.
def test_group_twice(site, ip):
    def left(**headers):
        answer = site.get("/group-twice", ip, **headers)
        return [item[1]["r"] for item in answer.items("RateLimit")]

    assert left(X_Group="a", X_Other="a") == [3]
    assert left(X_Group="a", X_Other="b") == [2, 3]
    assert left() == [3]
    assert left(X_Other="b") == [2, 2]


# A key that reads the user is decided after authentication: each user has a quota, and a request
# that authentication refuses costs nobody anything.
def test_user(site, ip):
    assert [site.get("/user", ip, **basic("user0", "wrong")).status for _ in range(4)] == [401] * 4
    assert site.statuses(3, "/user", ip=ip, **basic("user0")) == [200, 200, 429]
    assert site.statuses(3, "/user", ip=ip, **basic("user1")) == [200, 200, 429]


# Any other limit is decided before: guesses at passwords are counted, and refused.
def test_guesses(site, ip):
    statuses = [site.get("/guess", ip, **basic("user0", "wrong")).status for _ in range(5)]
    assert statuses == [401, 401, 401, 429, 429]
    assert site.get("/guess", ip, **basic("user0")).status == 429


# The fields are there on what authentication refuses as well.
def test_fields_on_401(site, ip):
    assert site.get("/guess", ip).items("RateLimit")[0][1]["r"] == 2


# Bytes of every kind make a key and no trouble.
@pytest.mark.parametrize("key", ["a" * 7000, "\xff\xfe", '"><script>', "%s%n%{HTTP:Host}", "a, b"])
def test_strange_keys(site, key):
    answers = [site.get("/key", X_API_Key=key.encode("latin-1")) for _ in range(3)]
    assert [a.status for a in answers] == [200, 200, 429]
    assert "script" not in answers[2].body + str(answers[2].headers)


# Expressions with functions and operators work as elsewhere in httpd.
def test_functions(site):
    assert site.statuses(3, "/functions", X_Key="one", X_N="5") == [200, 200, 429]
    assert site.get("/functions", X_Key="two").status == 200


# An expression that fails opens no door: the limit goes on by the client's address.
def test_expression_fails(site, ip):
    assert site.statuses(3, "/broken", ip=ip, X_File="missing") == [200, 200, 429]
    site.logged("RLR0004")
    site.expect("Cannot open file")  # httpd's own line about it
    assert site.statuses(2, "/broken", ip=ip, X_File="users") == [200, 200]


# Nor does one of group=: the limit goes on without a group.
def test_group_fails(site, ip):
    assert site.statuses(3, "/group-broken", ip=ip, X_File="missing") == [200, 200, 429]
    site.logged("RLR0004")
    site.expect("Cannot open file")
    assert site.statuses(2, "/group-broken", ip=ip, X_File="users") == [200, 200]
