# SPDX-License-Identifier: Apache-2.0
"""The laws of the design, against every store, from several processes and threads at once. The
quotas refill nothing while a test runs, so counts are exact.

Which law is shown where, beside the unit tests (b: bucket, s: stack, f: fixed window, c: calendar,
w: sliding window, l: sliding log, n: concurrency, g: grants, d: debts, r: leases):

     law                          shm:, shm:/path, redis   memory:    sentinel      cluster
     1 never over-admits          bsfcwln, gdr [1]         the same   bsfcwln [2]   bsfcwln [3], gdr [1]
     2 a denial writes nothing    bsfcwln, of redis        -          -             -
     3 all or nothing             bsfcwln, g [1]           g [1]      -             bfwln [3], g [1]
     4 clients' clocks            b, c, of redis           -          -             -
     5 keys expire                bsfcwln, of redis        -          -             -
     7 deadlines                  b, faults/               -          [2]           [3]
     8 no blind retry             test_fake_redis.py       -          -             -
     9 a peek writes nothing      bsfcwln, of redis        -          -             -
    10 a policy that changes      bsfwln                   -          -             -
    11 the dead hold nothing      bswln, r [1]             -          -             r [1]

    [1] test_leases.py  [2] test_sentinel.py  [3] test_cluster.py

What can never pass (6) and one specification (13) are test_oracle.py's; the index's laws test_index.py's."""

import os
import re
import signal
import struct
import time

import pytest

from redis_env import BUILD, TOP, Hammer, Redis, hammer

QUOTA = 400
MANY = {"processes": 8, "threads": 4, "calls": 40}
POLICIES = {
    "token-bucket": "%d/3650day",
    "token-bucket in ticks": "%d/3649day",
    "fixed-window": "%d/520week algorithm=fixed-window",
    "sliding-window": "%d/520week algorithm=sliding-window",
    "stack": "%d/3650day,1000000/day",
    "sliding-log": "%d/3650day algorithm=sliding-log",
    "stack of a log": "900/week,%d/3650day algorithm=sliding-log",
    "concurrency": "%d/3650day algorithm=concurrency",
    "calendar": "%d/year algorithm=fixed-window tz=America/St_Johns anchor=02-29",
}
SLOW = "?timeout=10s&fail=closed"


@pytest.fixture(scope="module")
def redis():
    server = Redis()
    yield server
    server.stop()


@pytest.fixture(params=["shm:", "shm:/path", "redis+unix:", "redis:"])
def store(request, redis, tmp_path):
    """A fresh store's URL."""
    if request.param == "shm:/path":
        return "shm:%s/table" % tmp_path
    if request.param.startswith("redis"):
        redis.command("FLUSHALL")
        return {"redis:": redis.tcp_url, "redis+unix:": redis.url}[request.param] + SLOW
    return request.param


def all_by_store(result):
    """Nothing was lost and nobody but the store decided."""
    assert result["lost"] == 0
    assert result["calls"] == result["returned"]
    assert result["returned"] == result["allowed"]["store"] + result["denied"]["store"]
    return result["allowed"]["store"]


@pytest.mark.parametrize("policy", POLICIES)
def test_never_over_admits(store, policy):
    """Law 1: 8 processes of 4 threads on one key get exactly the quota."""
    result = hammer(store, POLICIES[policy] % QUOTA, **MANY)
    assert all_by_store(result) == QUOTA
    assert result["calls"] == 8 * 4 * 40


@pytest.mark.parametrize("policy", POLICIES)
def test_memory_never_over_admits(policy):
    """Law 1 for memory: it is one process, so its 32 threads."""
    result = hammer("memory:", POLICIES[policy] % QUOTA, processes=1, threads=32, calls=40)
    assert all_by_store(result) == QUOTA


def test_fresh_keys_are_made_once(store):
    """Law 1 where it is hardest: every key is new, and all come at once."""
    result = hammer(store, "1/3650day", processes=8, threads=4, calls=500, keys=1000)
    assert all_by_store(result) == 1000


def test_costs_count(store):
    """A cost of 7 into 400 goes 57 times."""
    assert all_by_store(hammer(store, POLICIES["token-bucket"] % QUOTA, cost=7, **MANY)) == 57


def test_all_or_nothing(redis, tmp_path, store):
    """Law 3: what one limit denies is not charged to the other."""
    if store == "shm:":
        store = "shm:%s/both" % tmp_path  # the second run must find the first one's counts
    wide, narrow = "500/3650day", "300/520week algorithm=sliding-window"
    assert all_by_store(hammer(store, wide, narrow, **MANY)) == 300
    assert all_by_store(hammer(store, wide, **MANY)) == 200


@pytest.mark.parametrize("denies", range(4))
def test_all_or_nothing_of_all_kinds(redis, tmp_path, store, denies):
    """Law 3 with a log and slots in the call: whichever of them denies, the others are charged no more."""
    if store == "shm:":
        store = "shm:%s/kinds" % tmp_path
    kinds = ["%d/3650day", "%d/520week algorithm=sliding-window", "%d/520week algorithm=sliding-log",
             "%d/3650day algorithm=concurrency"]
    policies = [kind % (100 if i == denies else 160) for i, kind in enumerate(kinds)]
    few = {"processes": 4, "threads": 4, "calls": 20}
    assert all_by_store(hammer(store, *policies, **few)) == 100
    for i, policy in enumerate(policies):
        assert all_by_store(hammer(store, policy, **few)) == (0 if i == denies else 60)


def test_refund_and_reset_give_back(redis, tmp_path, store):
    """What is given back can be charged again, no more."""
    if store == "shm:":
        store = "shm:%s/back" % tmp_path
    policy = POLICIES["fixed-window"] % QUOTA
    assert all_by_store(hammer(store, policy, **MANY)) == QUOTA
    hammer(store, policy, op="refund", processes=8, threads=4, calls=3)
    assert all_by_store(hammer(store, policy, **MANY)) == 96
    hammer(store, policy, op="reset", calls=1)
    assert all_by_store(hammer(store, policy, **MANY)) == QUOTA


@pytest.mark.parametrize("where", ["shm:/path", "redis:"])
@pytest.mark.parametrize("more", ["", ",1000000/day"])
def test_two_policies_at_once(redis, tmp_path, where, more):
    """Law 10: while servers are restarted one by one, old and new are in force side by side; together
    they admit what the looser has, less a hundredth of each unit for the rounding at every turn."""
    store = "shm:%s/table" % tmp_path
    if where == "redis:":
        redis.command("FLUSHALL")
        store = redis.url + SLOW
    loads = [Hammer(store, policy + more, name="api", pace=500, processes=4, threads=4, calls=20)
             for policy in ("360/3600day", "288/3600day")]
    admitted = [all_by_store(load.result()) for load in [load.go() for load in loads]]
    assert min(admitted) > 20
    admitted.append(all_by_store(hammer(store, "360/3600day" + more, name="api", **MANY)))
    assert 360 - 4 <= sum(admitted) <= 360
    assert all_by_store(hammer(store, "288/3600day" + more, name="api", **MANY)) == 0


@pytest.mark.parametrize("where", ["shm:/path", "redis:"])
@pytest.mark.parametrize("kind", ["520week algorithm=fixed-window", "520week algorithm=sliding-window",
                                  "520week algorithm=sliding-log", "3650day algorithm=concurrency"])
def test_two_quotas_at_once(redis, tmp_path, where, kind):
    """Law 10 for what counts: two quotas of one name are in force side by side, and together they admit
    what the looser has, to the unit; then neither admits anything."""
    store = "shm:%s/table" % tmp_path
    if where == "redis:":
        redis.command("FLUSHALL")
        store = redis.url + SLOW
    policies = ["%d/%s" % (quota, kind) for quota in (360, 288)]
    loads = [Hammer(store, policy, name="api", pace=500, processes=4, threads=4, calls=20)
             for policy in policies]
    admitted = [all_by_store(load.result()) for load in [load.go() for load in loads]]
    admitted.append(all_by_store(hammer(store, policies[0], name="api", **MANY)))
    assert sum(admitted) == 360
    assert all_by_store(hammer(store, policies[1], name="api", **MANY)) == 0


def state(redis):
    """Every key with its value and the moment it expires."""
    return {key: (redis.command("GET", key), redis.command("PEXPIRETIME", key))
            for key in redis.command("KEYS", "*")}


@pytest.mark.parametrize("policy", POLICIES)
def test_denials_and_peeks_write_nothing(redis, policy):
    """Laws 2 and 9, of states that their own policy has left: not a byte, not an expiry, not a writing command."""
    redis.command("FLUSHALL")
    policy = POLICIES[policy] % QUOTA
    hammer(redis.url + SLOW, policy, cost=QUOTA, calls=1)
    before = state(redis)
    assert len(before) == 1
    redis.command("CONFIG", "RESETSTAT")
    assert hammer(redis.url + SLOW, policy, **MANY)["allowed"]["store"] == 0
    hammer(redis.url + SLOW, policy, op="peek", **MANY)
    assert hammer(redis.url + SLOW, policy, op="grant", cost=9, **MANY)["charged"] == 0
    assert state(redis) == before
    assert not WRITES & set(redis.calls())


WRITES = {"set", "incrby", "append", "del", "expire", "pexpire", "pexpireat", "hset"}


@pytest.mark.parametrize("policy", POLICIES)
def test_denials_are_cheap(redis, policy):
    """A denial has the server run fewer commands than an allowed check: two, the state and the time."""
    policy, ran = POLICIES[policy] % QUOTA, {}

    def commands(what):
        redis.command("CONFIG", "RESETSTAT")
        assert bool(all_by_store(hammer(redis.url + SLOW, policy, calls=20))) == (what == "allowed")
        return sum(n for name, n in redis.calls().items() if name in WRITES | {"get", "time"})

    redis.command("FLUSHALL")
    hammer(redis.url + SLOW, policy, calls=1)
    ran["allowed"] = commands("allowed")
    hammer(redis.url + SLOW, policy, op="charge", cost=QUOTA, calls=1)
    ran["denied"] = commands("denied")
    assert ran["denied"] <= 2 * 20 + 2 < ran["allowed"]  # the index's script may ask for the time, too


@pytest.mark.parametrize("policy", POLICIES)
def test_peeks_make_nothing(redis, policy):
    """Law 9 where there is nothing yet, and what costs nothing charges nothing."""
    redis.command("FLUSHALL")
    redis.command("CONFIG", "RESETSTAT")
    few = {"processes": 2, "threads": 2, "calls": 5}
    assert all_by_store(hammer(redis.url + SLOW, POLICIES[policy] % QUOTA, op="peek", **few)) == 20
    assert all_by_store(hammer(redis.url + SLOW, POLICIES[policy] % QUOTA, cost=0, **few)) == 20
    assert redis.command("DBSIZE") == 0 and not WRITES & set(redis.calls())


@pytest.mark.parametrize("denies", range(4))
def test_denials_of_several_write_nothing(redis, denies):
    """Law 2 for calls of several limits, a log and slots among them: whichever denies."""
    redis.command("FLUSHALL")
    kinds = ["%d/3650day", "%d/520week algorithm=sliding-window", "%d/520week algorithm=sliding-log",
             "%d/3650day algorithm=concurrency"]
    policies = [kind % (50 if i == denies else 160) for i, kind in enumerate(kinds)]
    hammer(redis.url + SLOW, *policies, cost=50, calls=1)
    before = state(redis)
    assert len(before) == 4
    redis.command("CONFIG", "RESETSTAT")
    assert all_by_store(hammer(redis.url + SLOW, *policies, processes=2, threads=4, calls=20)) == 0
    hammer(redis.url + SLOW, *policies, op="peek", calls=20)
    assert state(redis) == before and not WRITES & set(redis.calls())


@pytest.mark.parametrize("slow, fast", [("20/3600day", "20/day"), ("999/s,20/3600day", "999/s,20/day")])
def test_a_denial_may_lift(redis, slow, fast):
    """Law 2: what another policy has left goes on at a faster one's pace from its first denial on; that
    is one write, and no unit more. Every denial after that, one under a slower policy and every peek
    write nothing."""
    redis.command("FLUSHALL")

    def writes(policy, cost=1, **options):
        redis.command("CONFIG", "RESETSTAT")
        options = {**MANY, "name": "api", "cost": cost, **options}
        result = hammer(redis.url + SLOW, policy, **options)
        assert all_by_store(result) == 0
        return redis.calls().get("set", 0)

    hammer(redis.url + SLOW, fast, name="api", cost=4, calls=5)
    assert writes(slow) == 0
    redis.command("FLUSHALL")
    hammer(redis.url + SLOW, slow, name="api", cost=4, calls=5)
    expires = [until for _, until in state(redis).values()]
    assert writes(fast, op="peek") == 0
    assert writes(fast) == 1
    lifted = state(redis)
    assert [until for _, until in lifted.values()] < expires
    assert writes(fast) == writes(slow) == writes(slow, op="peek") == 0
    assert state(redis) == lifted


def test_one_script_call_a_decision(redis):
    """Law 1's means: one EVALSHA each, however many limits."""
    redis.command("SCRIPT", "FLUSH")
    redis.command("CONFIG", "RESETSTAT")
    hammer(redis.url + SLOW, "9/3650day", "9/3000day", calls=100)
    hammer(redis.url + SLOW, "9/3650day", calls=100)
    assert redis.decisions() == 200
    assert redis.calls()["eval"] in (2, 3)  # each script once, after NOSCRIPT; the index's is in time or not


@pytest.mark.parametrize("ahead", [1, 3600])
def test_clients_clocks_do_not_matter(redis, ahead):
    """Law 4: of two clients one's clock is ahead; together they get what refills, as if it were not. A
    limiter that trusts its clients' clocks admits more here. Nothing is there when they begin, and what
    they leave is granted in the end: however rarely they get to run, the sum is the time that has passed."""
    redis.command("FLUSHALL")
    policy = "40/s burst=400"  # which ten seconds without a call would fill
    skewed = {"SKEW_SECONDS": str(ahead),
              "LD_PRELOAD": str(BUILD / "tests/integration/.libs/skewed_clock.so")}
    loads = [Hammer(redis.url + SLOW, policy, processes=2, threads=4, seconds=2, pace=1000, env=env)
             for env in ({}, skewed)]
    last = Hammer(redis.url + SLOW, policy, op="grant", cost=400, calls=1)
    begun = time.monotonic()
    assert hammer(redis.url + SLOW, policy, op="grant", cost=400, calls=1)["charged"] == 400
    empty = time.monotonic()
    admitted = sum(all_by_store(load.result()) for load in [load.go() for load in loads])
    ended = time.monotonic()
    assert admitted > 40
    admitted += last.go().result()["charged"]
    assert 40 * (ended - empty) - 1 <= admitted <= 40 * (time.monotonic() - begun) + 1


@pytest.mark.parametrize("days", [-800, 0, 400])
@pytest.mark.parametrize("policy", [
    POLICIES["calendar"], "%d/year,1000000/day algorithm=fixed-window align=calendar tz=Asia/Kolkata"])
def test_clients_calendars_do_not_matter(redis, policy, days):
    """Law 4: a client in another year counts in the server's."""
    redis.command("FLUSHALL")
    skewed = {"SKEW_SECONDS": str(days * 86400),
              "LD_PRELOAD": str(BUILD / "tests/integration/.libs/skewed_clock.so")}
    loads = [Hammer(redis.url + SLOW, policy % QUOTA, env=env, **MANY).go() for env in ({}, skewed)]
    assert sum(all_by_store(load.result()) for load in loads) == QUOTA
    assert len(state(redis)) == 1


def test_every_key_expires(redis):
    """Law 5: each key has an expiry, within a second after its state means nothing."""
    redis.command("FLUSHALL")
    ends = {}
    for policy in ("50/2s", "7/3s", "50/2s algorithm=fixed-window", "50/2s algorithm=sliding-window",
                   "50/2s,90/4s", "50/2s algorithm=sliding-log", "50/2s algorithm=concurrency"):
        longest = 8.2 if "sliding-window" in policy else 4.1
        hammer(redis.url + SLOW, policy, processes=2, threads=2, calls=50, keys=40)
        made = set(redis.command("KEYS", "*")) - set(ends)
        assert made, policy
        for key in made:
            assert 0 < redis.command("PTTL", key) <= longest * 1000 or \
                redis.command("EXISTS", key) == 0, policy
            ends[key] = time.monotonic() + longest + 2, policy
    while left := redis.command("KEYS", "*"):  # which tells of those alone that live
        for key in left:
            assert time.monotonic() < ends[key][0], ends[key][1]
        time.sleep(0.1)


def test_token_bucket_expires_when_full(redis):
    """Law 5 to the millisecond: the key goes when the bucket is full again, not sooner."""
    redis.command("FLUSHALL")
    hammer(redis.url + SLOW, "100/min", calls=30)
    for key, (value, expires_ms) in state(redis).items():
        # Redis takes a key for expired when the millisecond of its expiry is over.
        assert 0 < expires_ms + 1 - full_us(value) / 1000 <= 1000


def full_us(value):
    """When the bucket is full that Redis keeps as this: (2^52 + microsecond) * 2^level."""
    bits, = struct.unpack("<Q", value)
    return bits % 2**52


@pytest.mark.parametrize("policy", ["90/min algorithm=sliding-log", "5/s,90/min algorithm=sliding-log",
                                    "90/min algorithm=concurrency", "5/min algorithm=concurrency"])
@pytest.mark.parametrize("calls", [3, 200])
def test_log_expires_with_its_last_unit(redis, policy, calls):
    """Law 5 to the millisecond, also where a long log was appended to."""
    redis.command("FLUSHALL")
    redis.command("CONFIG", "RESETSTAT")
    hammer(redis.url + SLOW, policy, calls=calls, pace=100)
    (value, expires_ms), = state(redis).values()
    ends_us = struct.unpack(">Q", value[-8:])[0] % 2**53 + 60 * 1000000
    assert 0 < expires_ms + 1 - ends_us / 1000 <= 1000
    assert ("append" in redis.calls()) == (policy.startswith("90") and calls > 3)


def test_calendar_window_expires_when_it_ends(redis):
    """Law 5: in Nepal a day ends at a quarter past six in the evening, UTC."""
    redis.command("FLUSHALL")
    hammer(redis.url + SLOW, "99/day algorithm=fixed-window align=calendar tz=Asia/Kathmandu", calls=9)
    (_, expires_ms), = state(redis).values()
    now = time.time()
    assert expires_ms % 86400000 == 18 * 3600000 + 15 * 60000
    assert now * 1000 < expires_ms <= (now + 86400) * 1000


def test_sliding_window_expires_with_its_state(redis):
    """Law 5: in each order of charges and refunds, a sliding window's key lives as long as its counts
    weigh. The time is passed in, and an hour is added to the expiry then."""
    folder = TOP / "lua"
    check, several = (redis.command("SCRIPT", "LOAD", (folder / name).read_bytes())
                      for name in ("sliding-window.lua", "several.lua"))
    one = struct.pack("<4d", 1, 10, 4, 1)
    refund = struct.pack("<7d", 2, 3, 1, 1, 10, 4, 1)
    at = 1790000000  # a window begins
    steps = [(check, one, 0), (check, one, 5), (several, refund, 5), (check, one, 6),
             (check, one, 6), (several, refund, 7), (check, one, 9), (check, one, 9)]
    redis.command("FLUSHALL")
    for script, plan, second in steps:
        now = at + second
        redis.command("EVALSHA", script, 1, "k", plan, now * 1000000)
        ends, count, _ = struct.unpack(">3I", redis.command("GET", "k"))
        lives = (ends + 4 * (count > 0) - now) * 1000
        assert lives - 2000 < redis.command("PTTL", "k") - 3600000 <= lives + 1000


def test_unreadable_key_is_its_own_trouble(redis):
    """A key that somebody overwrote degrades the decisions on it, and no others."""
    for value in ("x", "", "nan"):
        redis.command("FLUSHALL")
        hammer(redis.url + SLOW, "9/3650day", calls=1)
        key, = redis.command("KEYS", "*")
        redis.command("SET", key, value)
        bad = Hammer(redis.url + SLOW, "9/3650day", calls=50).go().result()
        assert bad["lost"] == 0 and bad["allowed"]["store"] == 0 and bad["breaker_opened"] == 0
    redis.command("DEL", key)
    redis.command("LPUSH", key, "1")
    bad = hammer(redis.url + SLOW, "9/3650day", calls=50)
    assert bad["denied"]["fail-closed"] == 50 and bad["breaker_opened"] == 0


def test_script_flush_under_load(redis):
    """A flushed script cache costs a call, never a decision or a double charge."""
    redis.command("FLUSHALL")
    load = Hammer(redis.url + SLOW, POLICIES["token-bucket"] % 1000, processes=8, threads=4,
                  calls=100).go()
    while load.process.poll() is None:
        redis.command("SCRIPT", "FLUSH")
        if load.process.stdout in select_ready(load):
            break
    assert all_by_store(load.result()) == 1000
    assert redis.calls()["eval"] > 1


def select_ready(load):
    import select
    return select.select([load.process.stdout], [], [], 0.005)[0]


def test_secrets_and_keys_stay_in(redis):
    """Law 12: what a client is known by is hashed in the names of Redis' keys."""
    redis.command("FLUSHALL")
    hammer(redis.url + SLOW, "9/3650day", key="alice@example.org", calls=1)
    keys = redis.command("KEYS", "*")
    assert len(keys) == 1
    assert re.fullmatch(rb"rl:\{[A-Za-z0-9_-]{16}\}:b[A-Za-z0-9_-]{7}", keys[0])
    assert len(keys[0]) <= 30


# --- when Redis is away -----------------------------------------------------------------------


def test_stopped_redis(redis):
    """Law 7: a server that does not answer costs a deadline, not a decision; then the breaker keeps
    it from being asked; when it goes on, it decides again. What it charged for callers that had
    left is at most what was in flight."""
    redis.command("FLUSHALL")
    quota = 1000000
    load = Hammer(redis.url + "?fail=local", "%d/3650day" % quota, processes=4, threads=4,
                  seconds=3, pace=500).go()
    time.sleep(0.5)
    redis.signal(signal.SIGSTOP)
    time.sleep(1)
    redis.signal(signal.SIGCONT)
    result = load.result()
    assert result["lost"] == 0 and result["calls"] == result["returned"]
    assert result["allowed"]["fallback"] > 0
    assert result["breaker_opened"] >= 1
    after = hammer(redis.url + SLOW, "%d/3650day" % quota, calls=1, op="peek")
    assert after["allowed"]["store"] == 1
    charged = remaining_used(redis, quota)
    counted = result["allowed"]["store"]
    assert counted <= charged <= counted + result["store_timeouts"]


def remaining_used(redis, quota):
    """How much of the only key's token bucket is used, to the nearest unit."""
    (value, _), = state(redis).values()
    seconds, micros = redis.command("TIME")
    interval = 3650 * 86400 * 1000000 // quota
    return round((full_us(value) - int(seconds) * 1000000 - int(micros)) / interval)


def test_killed_and_restarted_redis():
    """The server dies and comes back: every call returns, and it decides again by itself."""
    server = Redis()
    try:
        load = Hammer(server.url + "?fail=local", "1000000/3650day", processes=4, threads=4,
                      seconds=4, pace=500).go()
        time.sleep(0.7)
        server.kill()
        time.sleep(0.7)
        server.start()
        result = load.result()
        assert result["lost"] == 0 and result["calls"] == result["returned"]
        assert result["allowed"]["fallback"] > 0
        assert result["allowed"]["store"] > 0
        assert server.calls()["evalsha"] > 100  # of the new server: it was found again
    finally:
        server.stop()


@pytest.mark.parametrize("fail, source, passes", [
    ("open", "fail-open", True), ("closed", "fail-closed", False), ("local", "fallback", None)])
def test_no_redis(fail, source, passes):
    """Each fail policy answers every call, and says so."""
    result = hammer("redis+unix:///nonexistent/s?fail=" + fail, "100/3650day", processes=4,
                    threads=4, calls=50)
    assert result["lost"] == 0 and result["calls"] == 800
    assert result["allowed"][source] + result["denied"][source] == 800
    # Local is one count for the whole machine, exact as any shared memory.
    assert result["allowed"][source] == {True: 800, False: 0, None: 100}[passes]


def test_local_share():
    """share=1/4: four such machines together stay within the quota."""
    result = hammer("redis+unix:///nonexistent/s?share=1/4", "100/3650day", processes=4, threads=4,
                    calls=50)
    assert result["allowed"]["fallback"] == 25


def test_fallback_never_starts_full():
    """The mirror: what was admitted while the store answered counts in the fallback too."""
    server = Redis()
    try:
        load = Hammer(server.url + "?fail=local", "1000/3650day", processes=4, threads=4,
                      seconds=2.5, pace=20000).go()
        time.sleep(0.4)
        server.kill()
        result = load.result()
        assert result["allowed"]["store"] > 100
        assert result["allowed"]["store"] + result["allowed"]["fallback"] == 1000
    finally:
        server.stop()


# --- a process that dies ----------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["token-bucket", "sliding-window", "stack", "sliding-log",
                                    "concurrency"])
def test_killed_processes_hold_nothing(tmp_path, policy):
    """Law 11: SIGKILL at any instruction leaves no lock held and no key unusable."""
    kills = int(os.environ.get("RLC_KILLS", "50"))
    store = "shm:%s/table?size=256" % tmp_path
    text = POLICIES[policy] % (1000 if policy in ("sliding-log", "concurrency") else 100000)
    result = hammer(store, text, "50000/3649day", processes=8, threads=4, seconds=0.3, keys=5,
                    kill=kills)
    assert result["lost"] == 0
    # Every key still takes charges, and all locks can be had.
    assert all_by_store(hammer(store, text, "50000/3649day", processes=2, threads=2, keys=5,
                               calls=200)) <= 800
    assert all_by_store(hammer(store, text, processes=8, threads=4, keys=400, calls=200)) > 0


def test_killed_processes_never_over_admit(tmp_path):
    """Law 1 through SIGKILL: what was counted as admitted is at most the quota, and what was
    charged for processes that died before they could count it at most one a thread."""
    kills = int(os.environ.get("RLC_KILLS", "50"))
    store = "shm:%s/table" % tmp_path
    quota = 5000
    first = hammer(store, "%d/3650day" % quota, processes=8, threads=4, seconds=0.2, pace=100,
                   kill=kills)
    rest = hammer(store, "%d/3650day" % quota, processes=8, threads=4, calls=quota)
    admitted = first["allowed"]["store"] + rest["allowed"]["store"]
    assert quota - kills * 4 <= admitted <= quota


