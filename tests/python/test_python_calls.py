# SPDX-License-Identifier: Apache-2.0
"""What each call takes, gives and raises."""

import copy
import logging
import pickle

import pytest

import rlcore
from rlcore import Limit, Policy


def test_check(limiter, key):
    decision = limiter.check(key, "api")
    assert decision.allowed and decision
    assert (decision.source, decision.name, decision.index) == ("store", "api", 0)
    assert (decision.limit, decision.remaining, decision.charged) == (20, 19, 1)
    assert decision.retry_after == 0.0 and 0 < decision.reset <= 3.6
    assert not decision.degraded


def test_denial_is_no_exception(limiter, key):
    assert limiter.check(key, "2/day", 2).allowed
    decision = limiter.check(key, "2/day")
    assert not decision.allowed and not decision
    assert decision.remaining == 0 and decision.charged == 0
    assert 0 < decision.retry_after <= 86400


def test_never(limiter, key):
    assert limiter.check(key, "2/day", 3).retry_after is None


def test_several_limits_are_all_or_nothing(limiter, key):
    both = [Limit(key, "api", cost=2), Limit(key, "1/day", name="other")]
    assert limiter.check(both).allowed
    decision = limiter.check(both)
    assert not decision.allowed and decision.index == 1 and decision.name == "other"
    first, second = decision.limits
    assert (first.allowed, first.name, second.allowed, second.name) == (True, "api", False, "other")
    assert second.retry_after == decision.retry_after
    # Peeking at a cost of 0 says what is left.
    assert limiter.peek(key, "api", 0).remaining >= 18


def test_limits_of_any_iterable(limiter, key):
    assert limiter.check(Limit(key, "5/s")).allowed
    assert limiter.check(Limit(key, "5/s") for _ in range(1)).allowed
    assert limiter.check((Limit(key, "5/s"),)).allowed


def test_verbs(limiter, key):
    assert limiter.charge(key, "10/day", 7).remaining == 3
    assert limiter.refund(key, "10/day", 2).remaining == 5
    assert limiter.peek(key, "10/day").remaining == 5
    assert limiter.peek(key, "10/day", 6).allowed is False
    assert limiter.reset(key, "10/day") is True
    assert limiter.peek(key, "10/day").remaining == 10


@pytest.mark.parametrize("one, other, same", [
    ("caf\u00e9", "caf\u00e9".encode(), True),
    (b"\0\1\xff", bytearray(b"\0\1\xff"), True),
    (b"\0\1\xff", memoryview(b"\0\1\xff"), True),
    (b"a\0b", b"a\0c", False),
    ("", b"", True),
    ("x" * 65536, b"x" * 65536, True),
], ids=["text", "bytearray", "memoryview", "NUL", "empty", "long"])
def test_any_bytes_are_a_key(limiter, key, one, other, same):
    name = "k%d" % (abs(hash(key)) % 10 ** 9)
    limiter.check(one, "5/day", name=name)
    assert limiter.check(other, "5/day", name=name).remaining == (3 if same else 4)
    limiter.reset(one, "5/day", name=name)
    limiter.reset(other, "5/day", name=name)


def test_policies_by_name_text_and_object(limiter, key):
    policy = Policy("10/s,1000/h burst=20", "api")
    for policy in ("api", policy):
        limiter.check(key, policy)
    assert limiter.peek(key, "10/s,1000/h burst=20", name="api").remaining < 20


def test_policy_says_what_it_is():
    policy = Policy("10/s,1000/h burst=20", "api")
    assert (policy.name, policy.label, policy.algorithm) == ("api", "api", "token-bucket")
    assert policy.rates == (rlcore.Rate(10, 1.0, 20), rlcore.Rate(1000, 3600.0, 1000))
    assert policy.most_in(0) == 20 and policy.most_in(1) == 30
    assert Policy(policy.text).text == policy.text
    assert Policy("5/min").name is None and Policy("5/min").label
    again = pickle.loads(pickle.dumps(policy))
    assert (again.text, again.name) == (policy.text, policy.name)
    assert copy.copy(policy).text == policy.text
    with pytest.raises(IndexError):
        policy.most_in(1, 2)


@pytest.mark.parametrize("call, error, says", [
    (lambda l: l.check(), TypeError, "key is missing"),
    (lambda l: l.check("k"), TypeError, "policy is missing"),
    (lambda l: l.check(None), TypeError, "not iterable"),
    (lambda l: l.check(None, "5/s"), TypeError, "key is str or bytes, not NoneType"),
    (lambda l: l.check(5, "5/s"), TypeError, "not int"),
    (lambda l: l.check("k", None), TypeError, "policy is str or rlcore.Policy, not NoneType"),
    (lambda l: l.check("k", b"5/s"), TypeError, "not bytes"),
    (lambda l: l.check("k", ["5/s"]), TypeError, "not list"),
    (lambda l: l.check("k", "nobody"), rlcore.PolicyError, 'no policy is named "nobody" here (api)'),
    (lambda l: l.check("k", "5/q"), rlcore.PolicyError, "column 3: expected a window"),
    (lambda l: l.check("k", ""), rlcore.PolicyError, "column 1"),
    (lambda l: l.check("k", "5/s\0"), rlcore.InvalidError, "NUL"),
    (lambda l: l.check("k", "5/s", None), TypeError, "cost is an int, not NoneType"),
    (lambda l: l.check("k", "5/s", 1.5), TypeError, "not float"),
    (lambda l: l.check("k", "5/s", -1), rlcore.InvalidError, "cost is -1: write 0 to 1000000000"),
    (lambda l: l.check("k", "5/s", 10 ** 30), rlcore.InvalidError, "write 0 to"),
    (lambda l: l.check("k", "5/s", 1, "n"), TypeError, "without a name"),
    (lambda l: l.check("k", "5/s", name="1"), rlcore.InvalidError, "is no name"),
    (lambda l: l.check("k", "5/s", name="a\0"), rlcore.InvalidError, "is no name"),
    (lambda l: l.check("k", "5/s", name=5), TypeError, "name is str, not int"),
    (lambda l: l.check("k", "5/s", group=5), TypeError, "group is str or bytes, not int"),
    (lambda l: l.check("k", "5/s", group="g" * 65537), rlcore.InvalidError, "a group of 65537"),
    (lambda l: l.check("k", "5/s", tier=5), TypeError, "tier is str"),
    (lambda l: l.check("k", "5/s", fail="never"), rlcore.InvalidError, "closed"),
    (lambda l: l.check("k", "5/s", fail=1), TypeError, "fail is str"),
    (lambda l: l.check("k", "5/s", prise=1), TypeError, "no argument 'prise'"),
    (lambda l: l.check("k", "5/s", policy="6/s"), TypeError, "given twice"),
    (lambda l: l.check("k" * 65537, "5/s"), rlcore.InvalidError, "65537 bytes"),
    (lambda l: l.check("\ud800", "5/s"), UnicodeEncodeError, "surrogates"),
    (lambda l: l.check([]), rlcore.InvalidError, "0 limits"),
    (lambda l: l.check([Limit("k", "5/s")] * 17), rlcore.InvalidError, "17 limits: write 1 to 16"),
    (lambda l: l.check(["k"]), TypeError, "rlcore.Limit, not str"),
    (lambda l: l.check([("k", "5/s", 1, None, None, None, None)]), TypeError, "not tuple"),
    (lambda l: l.check([Limit("k", "5/s"), Limit("k", "5/s", -2)]), rlcore.InvalidError, "cost"),
    (lambda l: l.reset("k"), TypeError, "missing"),
    (lambda l: rlcore.Limiter("what:"), rlcore.URLError, "column 1"),
    (lambda l: rlcore.Limiter(None), TypeError, "URL is str"),
    (lambda l: rlcore.Limiter("memory:\0"), rlcore.InvalidError, "NUL"),
    (lambda l: rlcore.Limiter("memory:", timeout_ms=0), rlcore.InvalidError, "1 ms to 60 s"),
    (lambda l: rlcore.Limiter("memory:", timeout_ms=1e300), rlcore.InvalidError, "1 ms to 60 s"),
    (lambda l: rlcore.Limiter("memory:", fail="x"), rlcore.InvalidError, "local"),
    (lambda l: rlcore.Limiter("memory:", secret="short"), rlcore.InvalidError, "16 to 1024"),
    (lambda l: rlcore.Limiter("memory:", policies={"1": "5/s"}), rlcore.InvalidError, ""),
    (lambda l: rlcore.Limiter("shm:/nowhere/at/all"), rlcore.SystemCallError, "/nowhere"),
    (lambda l: rlcore.Policy(5), TypeError, "policy is str"),
    (lambda l: l.__init__("memory:"), rlcore.InvalidError, "open already"),
    (lambda l: rlcore.Limiter.__new__(rlcore.Limiter).stats(), rlcore.ClosedError, "closed"),
    (lambda l: l._entries.update(x=5) or l.check("k", "x"), rlcore.PolicyError, "no policy is named"),
    (lambda l: l.limited("5/q", key="k")(lambda: 1)(), rlcore.PolicyError, "column 3"),
    (lambda l: rlcore._limiter._rlcore.Core().check("k", "5/s"), rlcore.ClosedError, "never opened"),
])
def test_wrong_arguments_are_exceptions(call, error, says):
    with rlcore.Limiter("memory:", policies={"api": "10/s"}) as limiter:
        with pytest.raises(error) as caught:
            call(limiter)
        assert says in str(caught.value)
        if isinstance(caught.value, rlcore.Error):
            assert pickle.loads(pickle.dumps(caught.value)).code == caught.value.code
        assert limiter.check("k", "5/s").allowed  # and it goes on working


def test_codes_and_kinds_of_errors():
    with pytest.raises(rlcore.PolicyError) as caught:
        Policy("5/q")
    assert caught.value.code == -502 and isinstance(caught.value, ValueError)
    for kind in (rlcore.InvalidError, rlcore.StoreError, rlcore.LostError, rlcore.FullError):
        assert issubclass(kind, rlcore.Error)


def test_results_are_immutable(limiter, key):
    decision = limiter.check(key, "api")
    with pytest.raises(AttributeError):
        decision.allowed = True
    with pytest.raises(TypeError):
        type(decision)()
    assert "api" in repr(decision) and "api" in repr(decision.limits[0])


def test_a_result_outlives_its_limiter(key):
    with rlcore.Limiter("memory:") as limiter:
        limits = limiter.check([Limit(key, "5/s", name="n"), Limit(key, "6/s")]).limits
    del limiter
    assert [limit.limit for limit in limits] == [5, 6] and limits[0].name == "n"


def test_closed(url, key):
    limiter = rlcore.Limiter(url)
    limiter.close()
    limiter.close()
    assert limiter.closed
    for call in (limiter.check, limiter.peek, limiter.charge, limiter.refund, limiter.reset):
        with pytest.raises(rlcore.ClosedError, match="closed"):
            call(key, "5/s")
    with pytest.raises(rlcore.ClosedError):
        limiter.stats()
    with pytest.raises(TypeError):
        pickle.dumps(limiter)


def test_closed_by_what_it_calls():
    """Code of the caller's own runs in the middle of a call."""
    limiter = rlcore.Limiter("memory:")

    class Closing(str):
        def __hash__(self):
            limiter.close()
            return super().__hash__()

    with pytest.raises(rlcore.ClosedError):
        limiter.check("k", Closing("5/s"))


def test_more_texts_than_are_kept(limiter):
    for n in range(1, 2500):
        assert limiter.check("texts", f"{n}/s").limit == n
    assert len(limiter._entries) <= 1002 and limiter.check("texts", "api").limit == 20


def test_decorator(limiter, key):
    @limiter.limited("2/day", key=lambda user, **_: user, cost=lambda _, cost=1: cost)
    def greet(user, cost=1):
        """Says hello."""
        return f"hello {user}"

    assert greet(key) == f"hello {key}" and greet.__doc__ == "Says hello."
    with pytest.raises(rlcore.RateLimited) as caught:
        greet(key, cost=2)
    assert caught.value.decision.remaining == 1 and "try again in" in str(caught.value)
    with pytest.raises(rlcore.RateLimited, match="never"):
        greet(key, cost=3)
    assert greet(key, cost=1)
    limiter.reset(key, "2/day")


def test_decorator_without_a_key_has_no_limit(limiter):
    @limiter.limited("1/day", key=lambda: None)
    def free():
        return True

    assert all(free() for _ in range(5))


def test_stats(limiter, key):
    limiter.check(key, "1/day")
    limiter.check(key, "1/day")
    stats = limiter.stats()
    assert (stats.allowed, stats.denied) == (1, 1)
    assert stats.breaker in ("none", "closed") and stats.breaker_reason
    assert stats._asdict()["store_errors"] == 0


def test_clock(key):
    clock = rlcore.testing.Clock(now=1790000000)
    with rlcore.Limiter("memory:", clock=clock) as limiter:
        assert limiter.check(key, "1/min").allowed
        wait = limiter.check(key, "1/min").retry_after
        assert wait == 60.0
        clock.advance(59.999999)
        assert not limiter.check(key, "1/min").allowed
        clock.now_us += 1
        assert limiter.check(key, "1/min").allowed
        assert clock.now == 1790000060.0


def test_fail_policies(key):
    away = "redis://127.0.0.1:1/0"
    for fail, source, allowed in (("local", "fallback", True), ("open", "fail-open", True),
                                  ("closed", "fail-closed", False)):
        with rlcore.Limiter(away, fail=fail, log=lambda *_: None) as limiter:
            decision = limiter.check(key, "5/s")
            assert (decision.source, decision.allowed, decision.degraded) == (source, allowed, True)
            assert limiter.check(key, "5/s", fail="closed").source == "fail-closed"
            assert limiter.reset(key, "5/s") is False
            assert limiter.stats().store_errors > 0


def test_log(caplog, key):
    lines = []
    with rlcore.Limiter("redis://127.0.0.1:1/0", log=lambda *line: lines.append(line)) as limiter:
        limiter.check(key, "5/s")
    level, line_id, message = lines[0]
    assert level in (logging.ERROR, logging.WARNING) and line_id.startswith("RLC")
    assert "127.0.0.1:1" in message
    with caplog.at_level(logging.DEBUG, "rlcore"):
        with rlcore.Limiter("redis://127.0.0.1:1/0") as limiter:
            limiter.check(key, "5/s")
    assert any(line_id in record.getMessage() for record in caplog.records)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_log_that_raises_disturbs_nobody(key):
    def raises(*_):
        raise ZeroDivisionError

    with rlcore.Limiter("redis://127.0.0.1:1/0", log=raises) as limiter:
        assert limiter.check(key, "5/s").source == "fallback"


def test_addresses():
    assert rlcore.address_key("192.0.2.1") == "192.0.2.1"
    assert rlcore.address_key("::ffff:192.0.2.1") == "192.0.2.1"
    assert rlcore.address_key("2001:DB8::1") == "2001:db8::/64"
    assert rlcore.address_key("192.0.2.77", 24) == "192.0.2.0/24"
    assert rlcore.address_key("nobody") == "" and rlcore.address_key("1.2.3.4\0") == ""
    with pytest.raises(ValueError):
        rlcore.address_key("192.0.2.1", 33)


def test_acl():
    assert rlcore.acl("redis://app:secret@h/0").startswith("app reset on #")
    assert rlcore.acl("redis://h/0", sentinels=True) == ""
    with pytest.raises(rlcore.URLError):
        rlcore.acl("what:")


def test_the_table_outlives_the_limiter(key):
    first = rlcore.Limiter("shm:")
    first.check(key, "5/day")
    with rlcore.Limiter("shm:", shm_fd=first.shm_fd) as second:
        first.close()
        assert second.check(key, "5/day").remaining == 3
    with rlcore.Limiter("memory:") as third:
        assert third.shm_fd == -1
