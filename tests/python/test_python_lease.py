# SPDX-License-Identifier: Apache-2.0
"""Leases, grants, and the index of bans, overrides and tiers."""

import asyncio
import gc
import multiprocessing
import threading
import time

import pytest

import rlcore
from rlcore import Limit

SLOTS = "2/30s algorithm=concurrency"


def free(limiter, key, policy=SLOTS):
    return limiter.peek(key, policy, 0).remaining


def test_slots(limiter, key):
    with limiter.slot(key, SLOTS) as first:
        assert first and first.allowed and not first.settled and free(limiter, key) == 1
        with limiter.slot(key, SLOTS):
            with pytest.raises(rlcore.RateLimited) as caught:
                limiter.slot(key, SLOTS)
            assert 0 < caught.value.decision.retry_after <= 30
            denied = limiter.acquire(key, SLOTS)
            assert not denied and denied.settled and "denied" in repr(denied)
        assert free(limiter, key) == 1
    assert first.settled and free(limiter, key) == 2
    with pytest.raises(rlcore.ClosedError, match="settled"):
        first.commit()


def test_slots_are_free_after_exceptions(limiter, key):
    with pytest.raises(ZeroDivisionError):
        with limiter.slot(key, SLOTS):
            1 / 0
    assert free(limiter, key) == 2


def test_a_lease_that_nobody_holds_is_released(limiter, key):
    lease = limiter.acquire(key, SLOTS)
    assert free(limiter, key) == 1
    del lease
    gc.collect()
    assert free(limiter, key) == 2


def test_renew_and_keep(url, key, redis):
    clock = rlcore.testing.Clock(now=1790000000)
    with rlcore.Limiter(url, clock=clock) as limiter:
        limiter.reset(key, SLOTS)
        lease = limiter.slot(key, SLOTS)
        clock.advance(20)
        lease.renew()
        clock.advance(20)
        assert free(limiter, key) == 1
        clock.advance(11)
        assert free(limiter, key) == 2
        with pytest.raises(rlcore.LostError) as caught:
            lease.renew()
        assert caught.value.code == -510


def test_keep(url, key):
    with rlcore.Limiter(url) as limiter:
        with limiter.slot(key, "1/1s algorithm=concurrency", keep=True) as lease:
            time.sleep(1.5)
            assert free(limiter, key, "1/1s algorithm=concurrency") == 0
        assert free(limiter, key, "1/1s algorithm=concurrency") == 1
        with pytest.raises(rlcore.ClosedError):
            lease.keep()


def test_reservations(limiter, key):
    day = "1000/day"
    with limiter.reserve(key, day, 500) as reservation:
        reservation.commit(312)
    assert free(limiter, key, day) == 688
    with limiter.reserve(key, day, 500):
        assert free(limiter, key, day) == 188
    assert free(limiter, key, day) == 688
    with pytest.raises(ZeroDivisionError):
        with limiter.reserve(key, day, 500):
            1 / 0
    assert free(limiter, key, day) == 688
    with limiter.reserve(key, day, 100) as reservation:
        reservation.commit()
    assert free(limiter, key, day) == 588
    with pytest.raises(rlcore.RateLimited):
        limiter.reserve(key, day, 589)


def test_several_limits(limiter, key):
    both = [Limit(key, SLOTS), Limit(key, "100/day", 10, name="units")]
    with limiter.reserve(both) as reservation:
        for wrong, error in (((1,), rlcore.InvalidError), ((1, 2, 3), rlcore.InvalidError),
                             (("1", 2), TypeError), ((1, -1), rlcore.InvalidError)):
            with pytest.raises(error):
                reservation.commit(*wrong)
        reservation.commit(1, 4)
    assert free(limiter, key) == 2 and free(limiter, key, Limit(key, "100/day").policy) == 100
    assert limiter.peek(key, "100/day", 0, name="units").remaining == 96


def test_aslot(limiter, key):
    async def one(peak, now):
        async with limiter.aslot(key, "5/30s algorithm=concurrency") as lease:
            assert lease.allowed
            now.append(None)
            peak.append(len(now))
            await asyncio.sleep(0.01)
            now.pop()

    async def main():
        peak, now = [], []
        done = await asyncio.gather(*(one(peak, now) for _ in range(12)), return_exceptions=True)
        refused = [d for d in done if d is not None]
        assert all(isinstance(d, rlcore.RateLimited) for d in refused)
        assert max(peak) <= 5 and len(peak) + len(refused) == 12

    asyncio.run(main())
    assert free(limiter, key, "5/30s algorithm=concurrency") == 5


def test_leases_outlive_close(url, key):
    limiter = rlcore.Limiter(url)
    lease = limiter.slot(key, SLOTS)
    limiter.close()
    lease.commit()
    with pytest.raises(rlcore.ClosedError):
        limiter.slot(key, SLOTS)


def test_a_lease_for_many_threads(limiter, key):
    """Of those that settle at once one does."""
    for _ in range(50):
        lease, done = limiter.slot(key, SLOTS), []

        def settle():
            try:
                lease.commit()
                done.append(True)
            except rlcore.ClosedError:
                pass

        threads = [threading.Thread(target=settle) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert done == [True]
    assert free(limiter, key) == 2


def hold(limiter, key, ready):
    lease = limiter.slot(key, "1/2s algorithm=concurrency")
    ready.set()
    time.sleep(60)
    lease.commit()


def test_a_killed_holder_frees_its_slot(redis, key):
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    with rlcore.Limiter(redis.url + "?timeout=10s") as limiter:
        process = context.Process(target=hold, args=(limiter, key, ready))
        process.start()
        assert ready.wait(20)
        process.kill()
        process.join()
        decision = limiter.check(key, "1/2s algorithm=concurrency")
        assert not decision.allowed
        time.sleep(decision.retry_after + 0.01)
        assert limiter.slot(key, "1/2s algorithm=concurrency")


def drop(leases):
    leases.clear()


def test_a_child_does_not_give_back_what_its_parent_holds(redis, key):
    with rlcore.Limiter(redis.url + "?timeout=10s") as limiter:
        leases = [limiter.slot(key, SLOTS)]
        process = multiprocessing.get_context("fork").Process(target=drop, args=(leases,))
        process.start()
        process.join()
        assert process.exitcode == 0 and free(limiter, key) == 1
        leases[0].commit()
        assert free(limiter, key) == 2


def test_grant(limiter, key):
    decision = limiter.grant(key, "10/day", 7)
    assert decision.allowed and decision.charged == 7
    assert limiter.grant(key, "10/day", 7).charged == 3
    decision = limiter.grant(key, "10/day", 7)
    assert not decision.allowed and decision.charged == 0 and decision.retry_after > 0
    with pytest.raises(rlcore.InvalidError):
        limiter.grant(key, "10/day", 0)
    assert asyncio.run(limiter.agrant(key, "5/day", 9, name="n")).charged == 5


def test_debt(limiter, key):
    policy = "10/day debt=5"
    decision = limiter.charge(key, policy, 20)
    assert decision.charged == 15 and decision.remaining == 0
    assert rlcore.Policy(policy).debt == 5 and rlcore.Policy("10/day").debt == 0


def test_bans(limiter, key):
    assert limiter.check(key, "api").allowed
    limiter.ban(key, "api", 60, display="some <one>")
    decision = limiter.check(key, "api")
    assert (decision.allowed, decision.source) == (False, "ban")
    assert 50 < decision.retry_after <= 60
    entry, = (e for e in limiter.list() if e.key == limiter.hash(key))
    assert (entry.kind, entry.name, entry.display, entry.level) == ("ban", "api", "some <one>", 0)
    assert 50 < entry.left <= 60
    answer = rlcore.refusal(decision)
    assert answer.status == 429 and b"abnormal-usage-detected" in answer.body
    assert limiter.stats().banned >= 1
    assert limiter.unban(key, "api") is True and limiter.unban(key, "api") is False
    assert limiter.check(key, "api").allowed


def test_bans_of_a_policy(limiter, key):
    policy = rlcore.Policy("1/day ban=2/10min:1h", "strict")
    assert policy.ban == rlcore.Ban(2, 600.0, 3600.0, 57600.0)
    assert rlcore.Policy("1/day").ban is None
    limiter.check(key, policy)
    for _ in range(4):
        limiter.check(key, policy)
        limiter.refresh()
    assert limiter.check(key, policy).source == "ban"
    limiter.unban(key, "strict")


def test_overrides_and_tiers(limiter, key):
    limiter.refresh()
    assert limiter.override(key, "api", "7/day", display="seven") is True
    assert limiter.peek(key, "api", 0).limit == 7
    assert limiter.override(key, "api", "api")  # by its name here
    assert limiter.peek(key, "api", 0).limit == 20
    assert limiter.override(key, "api", None) is True
    assert limiter.override(key, "api", None) is False
    assert limiter.set_tier("pro", "api", rlcore.Policy("500/day"))
    assert limiter.peek(key, "api", 0, tier="pro").limit == 500
    assert limiter.set_member(key, "pro")
    assert limiter.peek(key, "api", 0).limit == 500
    kinds = [e.kind for e in limiter.list() if e.key in ("", limiter.hash(key))]
    assert kinds == ["tier", "member"] and limiter.list()[0].left is None
    assert limiter.set_member(key, None) and limiter.set_tier("pro", "api", None)
    assert limiter.peek(key, "api", 0).limit == 20 and limiter.list() == []


@pytest.mark.parametrize("call, error, says", [
    (lambda l: l.ban("k", "1", 5), rlcore.InvalidError, "is no name"),
    (lambda l: l.ban("k", None, 5), TypeError, "name is str"),
    (lambda l: l.ban(None, "api", 5), TypeError, "key is str or bytes"),
    (lambda l: l.ban("k", "api", 0.5), rlcore.InvalidError, "1 second to 10 years"),
    (lambda l: l.ban("k", "api", float("nan")), rlcore.InvalidError, "1 second to 10 years"),
    (lambda l: l.ban("k", "api", 5, display="\0"), rlcore.InvalidError, "NUL"),
    (lambda l: l.ban("k" * 65537, "api", 5), rlcore.InvalidError, ""),
    (lambda l: l.override("k", "api", "5/q"), rlcore.PolicyError, "column 3"),
    (lambda l: l.override("k", "api", 5), TypeError, "policy is str"),
    (lambda l: l.set_tier("1", "api", "5/s"), rlcore.InvalidError, "is no tier"),
    (lambda l: l.set_member("k", "a b"), rlcore.InvalidError, "is no tier"),
    (lambda l: l.hash(5), TypeError, "key is str or bytes"),
    (lambda l: l.slot("k", "5/q"), rlcore.PolicyError, "column 3"),
    (lambda l: l.slot(None, SLOTS), TypeError, "key is str or bytes"),
    (lambda l: l.reserve("k", "5/s", -1), rlcore.InvalidError, "cost is -1"),
])
def test_wrong_arguments_are_exceptions(call, error, says):
    with rlcore.Limiter("memory:") as limiter:
        with pytest.raises(error) as caught:
            call(limiter)
        assert says in str(caught.value)
    with pytest.raises((rlcore.ClosedError, error)):
        call(limiter)


def test_store_away(key):
    with rlcore.Limiter("redis://127.0.0.1:1/0", log=lambda *_: None) as limiter:
        for call in (lambda: limiter.ban(key, "api", 5), limiter.list, limiter.refresh):
            with pytest.raises(rlcore.StoreError):
                call()
        with limiter.slot(key, SLOTS) as lease:
            assert lease.decision.source == "fallback"
