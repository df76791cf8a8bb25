# SPDX-License-Identifier: Apache-2.0
"""The generations of the RateLimit fields, each parsed back by a parser of its own."""

import time

import pytest

import structured_fields

FORMS = ["draft-08", "draft-07", "draft-06", "x-ratelimit", "x-ratelimit-epoch", "off",
         "draft-07 x-ratelimit", "draft-08 pk"]
YEAR = 365 * 86400


def place(form):
    return "/" + form.replace(" ", "_")


CONF = "RateLimitSecretFile @ROOT@/secret\n" + "\n".join(f"""
<Location {place(form)}>
  RateLimit "100/365day,9/day burst=5" name=wide
  RateLimit "3/365day" name=narrow
  RateLimit "50/365day" name=user key="%{{REMOTE_USER}}"
  RateLimitHeaders {form}
</Location>
Alias {place(form)} @DOCS@/page.html
""" for form in FORMS) + """
<Location /late>
  RateLimit "7/365day" name=early
  RateLimit "3/365day" name=late key="x%{REMOTE_USER}%{HTTP:X-Test}"
  RateLimitHeaders draft-07 x-ratelimit
</Location>
Alias /late @DOCS@/page.html
<Location /early>
  RateLimit "2/365day" name=first
  RateLimit "90/365day" name=second key="x%{REMOTE_USER}%{HTTP:X-Test}"
  RateLimitHeaders draft-06
</Location>
Alias /early @DOCS@/page.html
<Location /partition>
  RateLimit "9/365day" name=a key="%{HTTP:X-Key}"
  RateLimit "9/365day" name=b key="%{HTTP:X-Key}" group="%{HTTP:X-Group}"
  RateLimitHeaders draft-08 pk
</Location>
Alias /partition @DOCS@/page.html
"""
FIELDS = ["RateLimit", "RateLimit-Policy", "RateLimit-Limit", "RateLimit-Remaining",
          "RateLimit-Reset", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"]


def PREPARE(httpd):
    httpd.write("secret", "s" * 32, httpd.root).chmod(0o600)


def sent(answer):
    return {name for name in FIELDS if answer.field(name) is not None}


def number(answer, name):
    value, parameters = structured_fields.parse_item(answer.field(name))
    assert not parameters and type(value) is int
    return value


# Each generation sends its own fields and no other's, with every answer.
@pytest.mark.parametrize("form, names", [
    ("draft-08", {"RateLimit", "RateLimit-Policy"}),
    ("draft-08 pk", {"RateLimit", "RateLimit-Policy"}),
    ("draft-07", {"RateLimit", "RateLimit-Policy"}),
    ("draft-06", {"RateLimit-Policy", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"}),
    ("x-ratelimit", {"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"}),
    ("x-ratelimit-epoch", {"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"}),
    ("draft-07 x-ratelimit", {"RateLimit", "RateLimit-Policy", "X-RateLimit-Limit",
                              "X-RateLimit-Remaining", "X-RateLimit-Reset"}),
    ("off", set())])
def test_which(site, ip, form, names):
    answers = [site.get(place(form), ip) for _ in range(4)]
    assert [a.status for a in answers] == [200, 200, 200, 429]
    assert [sent(a) for a in answers] == [names] * 4
    assert answers[3].field("Retry-After")


# Draft 08 to 11: a list of strings, each limit by its name.
def test_draft_08(site, ip):
    a = site.get("/draft-08", ip)
    assert a.items("RateLimit-Policy") == [("wide", {"q": 100, "w": YEAR, "rlr-burst": 5}),
                                           ("wide", {"q": 9, "w": 86400}),
                                           ("narrow", {"q": 3, "w": YEAR})]
    wide, narrow = a.items("RateLimit")
    assert (wide[0], wide[1]["r"], narrow[0], narrow[1]["r"]) == ("wide", 4, "narrow", 2)
    assert all(set(item[1]) == {"r", "t"} for item in (wide, narrow))


QUOTAS = [(100, {"w": YEAR, "burst": 5}), (9, {"w": 86400}), (3, {"w": YEAR})]


# Draft 07: a dictionary for the limit that binds, and the quotas of all.
def test_draft_07(site, ip):
    answers = [site.get("/draft-07", ip) for _ in range(4)]
    for a, left in zip(answers, [2, 1, 0, 0]):
        assert a.items("RateLimit-Policy") == QUOTAS
        fields = structured_fields.parse_dictionary(a.field("RateLimit"))
        assert list(fields) == ["limit", "remaining", "reset"]
        assert fields["limit"] == (3, {}) and fields["remaining"] == (left, {})
        assert YEAR / 3 - 60 < fields["reset"][0] <= YEAR + 1
    assert fields["reset"][0] == int(answers[3].field("Retry-After"))


# Draft 06: a field for each number.
def test_draft_06(site, ip):
    answers = [site.get("/draft-06", ip) for _ in range(4)]
    for a, left in zip(answers, [2, 1, 0, 0]):
        assert a.items("RateLimit-Policy") == QUOTAS
        assert (number(a, "RateLimit-Limit"), number(a, "RateLimit-Remaining")) == (3, left)
    assert number(answers[3], "RateLimit-Reset") == int(answers[3].field("Retry-After"))


# X-RateLimit: the reset is seconds from now, or a point in time.
def test_x_ratelimit(site, ip):
    answers = [site.get("/x-ratelimit", ip) for _ in range(4)]
    assert [number(a, "X-RateLimit-Remaining") for a in answers] == [2, 1, 0, 0]
    assert number(answers[3], "X-RateLimit-Reset") == int(answers[3].field("Retry-After"))
    before = time.time()
    epochs = [site.get("/x-ratelimit-epoch", ip) for _ in range(4)]
    wait = int(epochs[3].field("Retry-After"))
    assert [number(a, "X-RateLimit-Limit") for a in epochs] == [3] * 4
    assert before + wait - 1 <= number(epochs[3], "X-RateLimit-Reset") <= time.time() + wait + 1


# Of limits that are decided before and after authentication, the one that binds is told.
def test_two_decisions(site, ip):
    a = site.get("/late", ip, X_Test=ip)
    assert structured_fields.parse_dictionary(a.field("RateLimit"))["limit"] == (3, {})
    assert number(a, "X-RateLimit-Remaining") == 2
    assert a.items("RateLimit-Policy") == [(7, {"w": YEAR}), (3, {"w": YEAR})]
    a = site.get("/early", ip, X_Test=ip)
    assert (number(a, "RateLimit-Limit"), number(a, "RateLimit-Remaining")) == (2, 1)
    assert a.items("RateLimit-Policy") == [(2, {"w": YEAR}), (90, {"w": YEAR})]


# The partition key is a hash: the same for the same key, another for another, and never the key.
def test_partition(site, ip):
    def keys(**headers):
        return [item[1]["pk"] for item in site.get("/partition", ip, **headers).items("RateLimit")]

    one, two = keys(X_Key=ip + "-one"), keys(X_Key=ip + "-two")
    assert all(type(pk) is bytes and len(pk) == 12 for pk in one + two)
    assert one == keys(X_Key=ip + "-one")
    assert len({one[0], two[0]}) == 2 and one[0] == one[1]
    grouped = keys(X_Key=ip + "-one", X_Group="g")
    assert grouped[0] == one[0] and grouped[1] != one[1]
    a = site.get("/partition", ip, X_Key=ip + "-one")
    assert "one" not in a.field("RateLimit")
    assert all("pk" not in item[1] for item in a.items("RateLimit-Policy"))
    assert all("pk" not in item[1] for item in site.get("/draft-08", ip).items("RateLimit"))


# The parser itself takes what RFC 9651 takes, and refuses what it refuses.
@pytest.mark.parametrize("text, expected", [
    ('"a";q=1;x, b;y=?0', [("a", {"q": 1, "x": True}), ("b", {"y": False})]),
    ("(1 2.5);a", [([(1, {}), (2.5, {})], {"a": True})]), (":aGk=:", [(b"hi", {})]), ("", []),
    ('"a\\"\\\\b"', [('a"\\b', {})]), ("@12, *t/x", [(12, {}), ("*t/x", {})])])
def test_parser_takes(text, expected):
    assert structured_fields.parse_list(text) == expected


@pytest.mark.parametrize("text", [
    '"a', '"a\\n"', "a,", "a,,b", "1;Q=1", "1234567890123456", "1.2345", "(1", "(1(2))", ":aGk",
    ":a-k=:", "?2", "1 2", "a;=1", '"\x7f"', '"é"', "-", "1.", "a; =", "@1.5", '%"%zz"'])
def test_parser_refuses(text):
    with pytest.raises(ValueError):
        structured_fields.parse_list(text)
