# SPDX-License-Identifier: Apache-2.0
"""C in `memory:` and `shm:` and Lua in a real Redis, against the integer oracle, to the last member of
every result; and against the definitions in fractions. Hypothesis draws the policies, the calls and
the times, in make check always the same. `make oracle` takes others, and ten times as many."""

import os

import hypothesis
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

import conform
import traces
from redis_env import Redis
from stepper_env import Stepper, oracle

STEPS = int(os.environ.get("RLC_ORACLE_STEPS", 100000))
SEED = int(os.environ.get("RLC_ORACLE_SEED", 0))
TESTS = 10    # that draw traces, each the same share of the steps
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


def run(stepper, name, kinds, goes_back, look):
    """Draws traces until they are a test's share of the steps, and until some were refused, clamped
    and never: else they would show little."""
    seen = counted[name] = {"drawn": 0, "made": 0, "refused": 0, "never": 0}

    def round_of(number):
        @hypothesis.seed("%d %s %d" % (SEED, name, number))
        @settings(min(ROUND, 1 + STEPS // TESTS // 20))
        @given(traces.traces(kinds, goes_back))
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
