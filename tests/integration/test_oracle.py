# SPDX-License-Identifier: Apache-2.0
"""C in `memory:` and `shm:` and Lua in a real Redis, against the integer oracle, to the last member of
every result; and against the definitions in fractions. Hypothesis draws the policies, the calls and
the times, in make check always the same. `make oracle` takes others, and ten times as many."""

import os
import random

import hypothesis
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

import conform
import traces
from redis_env import Redis
from stepper_env import Stepper, oracle

import exact  # of tests/vectors, as stepper_env finds it

STEPS = int(os.environ.get("RLC_ORACLE_STEPS", 100000))
SEED = int(os.environ.get("RLC_ORACLE_SEED", 0))
TESTS = 15    # that draw traces, each the same share of the steps
ROUND = 1000  # traces from one seed; a round that fails is repeated, to find the shortest one that does
counted = {}


@pytest.fixture(scope="module")
def stepper():
    redis = Redis()
    made = Stepper("memory:", "shm:", redis.url + "?timeout=10s&fail=closed")
    yield made
    made.close()
    redis.stop()


def settings(examples):
    return hypothesis.settings(max_examples=examples, deadline=None, database=None,
                               report_multiple_bugs=False, print_blob=False,
                               suppress_health_check=list(HealthCheck))


def run(stepper, name, kinds, goes_back, look, changing=False):
    """Draws traces until they are a test's share of the steps, and until some were refused, clamped
    and never: else they would show little."""
    seen = counted[name] = {"drawn": 0, "made": 0, "refused": 0, "never": 0}

    def round_of(number):
        @hypothesis.seed("%d %s %d" % (SEED, name, number))
        @settings(min(ROUND, 1 + STEPS // TESTS // 20))
        @given(traces.traces(kinds, goes_back, changing))
        def hold(trace):
            stepper.make(trace.calls)
            look(trace)
            seen["drawn"] += trace.drawn
            seen["made"] += len(trace.calls)
            for call in trace.calls:
                if call.told is not None and not call.told[0]:
                    seen["refused"] += 1
                    seen["never"] += call.told[2][call.told[1]].retry_us is oracle.NEVER

        hold()

    number = 0
    while seen["drawn"] < STEPS // TESTS:
        round_of(number)
        number += 1
    print(name, seen)
    assert seen["made"] // 8 < seen["refused"] < seen["made"] // 2, seen
    assert seen["never"] > seen["made"] // 200, seen


@pytest.mark.parametrize("kind", [*traces.KINDS, "several"])
def test_times_that_go_both_ways(stepper, kind):
    """And policies that change under their name; of several limits, each call is all or nothing."""
    kinds = traces.KINDS if kind == "several" else [kind]
    run(stepper, "both ways, " + kind, kinds, True, lambda trace: None)


@pytest.mark.parametrize("kind", [*traces.KINDS, "several"])
def test_times_that_go_on(stepper, kind):
    """And what is admitted is what the definition admits, but for the stated epsilon."""
    kinds = traces.KINDS if kind == "several" else [kind]
    run(stepper, "on, " + kind, kinds, False, conform.hold)


def test_policies_that_change(stepper):
    """Under their name, by turns or now and then: no more than the looser of the old and the new would
    admit from the same history, and what is told comes true."""
    run(stepper, "changes", ["token-bucket"], False, conform.hold_changes, True)


def test_as_many_steps_as_promised():
    if len(counted) == TESTS:
        assert sum(one["drawn"] for one in counted.values()) >= STEPS


BILLIONS = ["1000000000/30day", "1000000000/week", "1000000000/3650day", "1/3660day",
            "1000000000/3660day algorithm=fixed-window", "1000000000/year algorithm=fixed-window",
            "1000000000/month algorithm=fixed-window tz=Australia/Lord_Howe",
            "1000000000/3660day algorithm=sliding-window",
            "1000000000/30day algorithm=sliding-window", "1000000000/s algorithm=sliding-window",
            "1000000/s,1000000000/30day burst=1000000000",
            "1000000000/s,1000000000/3660day algorithm=sliding-window"]


@pytest.mark.parametrize("text", BILLIONS)
def test_the_largest_numbers(stepper, text):
    """A billion a month, and in as long as a window can be, all of it used and given back."""
    trace = traces.Trace(1892159999 * oracle.US + 999999, 4 * traces.YEAR * oracle.US, False)
    most = 10**9
    for op, cost, after in [
            ("check", most, 0), ("check", 1, 0), ("peek", most, 1), ("charge", most, 1),
            ("check", 1, 3), ("refund", 1, 0), ("check", 1, 1), ("check", most - 1, 4 * 10**14),
            ("refund", most, 0), ("check", most - 1, 0), ("charge", most, 10**13),
            ("check", most, 6 * 10**13), ("refund", most - 1, 0), ("check", 2, 0), ("reset", 0, 0)]:
        trace.now += after
        trace.step(op, [("n", text, "k", cost)])
    stepper.make(trace.calls)
    if "burst" not in text:
        conform.hold(trace)


@st.composite
def texts(draw):
    """Rates of token buckets that may be finer than can be counted."""
    window = draw(traces.windows)
    burst = draw(st.none() | traces.quotas)
    return draw(traces.quotas), window, burst


def test_policies_that_cannot_be_counted(stepper):
    """C refuses the rates and bursts that have no ticks by the specification, and no others."""
    seen = {True: 0, False: 0}

    @hypothesis.seed(SEED)
    @settings(100 + STEPS // 1000)
    @given(st.lists(texts(), min_size=1, max_size=50))
    def hold(drawn):
        rates = [("%d/%d%s%s" % (quota, window[1], window[0], burst and " burst=%d" % burst or ""),
                  traces.is_counted((quota, traces.seconds(window)), burst))
                 for quota, window, burst in drawn]
        for (text, good), told in zip(rates, stepper.ask(["policy\t" + text for text, _ in rates],
                                                         len(rates))):
            assert good != told.startswith("refused"), "%s: %s" % (text, told)
            seen[good] += 1

    hold()
    assert min(seen.values()) > 100, seen


def without(policy, taken, now):
    """What the definition has room for at a time, had only |taken| been admitted: (when, units)."""
    algorithm, (rate,) = oracle.parse(policy)
    one = conform.Both(algorithm, rate, exact.Units())
    for when, units in taken:
        if units > 0:
            (one.exact.units if algorithm in oracle.LOGS else one.exact).take(when, units)
    return one.exact.room(now) + one.early


@pytest.mark.parametrize("kind", ["token-bucket", "fixed-window", "sliding-window", "sliding-log"])
def test_what_was_taken_back_was_never_there(kind):
    """However late a lease is settled, and whatever was charged meanwhile: there is never more room than had
    only what was used been taken, when it was taken. Charges are left out: they can only make less."""
    draw = random.Random(kind)
    gave = less = 0
    for _ in range(60):
        policy = draw.choice(["7/s", "10/min", "333/17min", "97/97s", "11/3s"]) + " algorithm=" + kind
        policy += draw.choice(["", " debt=5"])
        policy += draw.choice(["", " burst=13"]) if kind == "token-bucket" else ""
        quota, window = traces.counted_limit(policy), oracle.parse(policy)[1][0].window
        one, now, taken, leases = oracle.Oracle(), 1790000000 * oracle.US + draw.randrange(10**8), [], []
        for _ in range(40):
            now += draw.choice([0, 0, 1, window // quota, window // 7, draw.randrange(window)])
            op = draw.choice(["check", "acquire", "acquire", "charge", "settle", "settle"])
            cost = draw.randint(1, max(quota // 2, 1))
            if op == "settle" and leases:
                number, at = leases.pop(draw.randrange(len(leases)))
                used = draw.randint(0, taken[at][1])
                before = one.call("peek", policy, "k", now, 0)[3]
                one.settle(number, [used], now)
                gave += one.call("peek", policy, "k", now, 0)[3] - before
                taken[at] = taken[at][0], used
            elif op != "settle":
                allowed = one.call(op, policy, "k", now, cost)[0]
                if allowed and op != "charge":
                    taken.append((now, cost))
                    if op == "acquire":
                        leases.append((len(one.leases) - 1, len(taken) - 1))
            told, room = one.call("peek", policy, "k", now, 0)[3], without(policy, taken, now)
            assert told <= max(room, 0), "%s: %d of %s" % (policy, told, float(room))
            less += told < room - 1
    assert gave > 500 and less > 100, (gave, less)
