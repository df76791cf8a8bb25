# SPDX-License-Identifier: Apache-2.0
"""Holds what a trace admitted against the definitions in fractions."""

from fractions import Fraction

from stepper_env import oracle, vector

import exact

US = oracle.US
MADE = {"token-bucket": exact.TokenBucket, "fixed-window": exact.FixedWindow,
        "sliding-window": exact.SlidingWindow}


class Both:
    """A rate by its definition, and how far the integers may be from it."""

    def __init__(self, algorithm, rate):
        starts = rate.calendar and (lambda second: rate.calendar.window(second)[0])
        self.exact = MADE[algorithm](rate.quota, rate.window, rate.burst, starts)
        self.algorithm = algorithm
        # spec.md: a token bucket admits at most a tick early, which is under two microseconds; the
        # windows never do.
        self.tick = self.early = 0
        if algorithm == "token-bucket":
            _, num, den = rate.ticks()
            self.tick = Fraction(den, num)
            self.early = self.tick * Fraction(rate.quota, rate.window)
            assert self.tick < 2
        # And a sliding window refuses at most what would fit were the window before two steps heavier.
        self.heavier = Fraction(2, min(rate.window, 2**22))

    def admits(self, now, cost):
        """Whether the integers may admit it."""
        room = self.exact.room(now)
        return cost <= room or cost < room + self.early

    def refuses(self, now, cost):
        """Whether they may refuse it."""
        if self.algorithm == "sliding-window":
            return cost > self.exact.room(now, self.heavier)
        return cost > self.exact.room(now)


def hold(trace):
    rates = {}
    for i, call in enumerate(trace.calls):
        if call.why:
            continue  # a look ahead
        try:
            hold_call(call, rates)
        except AssertionError as error:
            raise AssertionError("%s\n\nthe last of these: %s" % (vector(trace.calls[:i + 1]), error))


def hold_call(call, rates):
    for limit in call.limits:
        key = limit[:3]
        if key not in rates or call.op == "reset":
            algorithm, own = oracle.parse(limit[1])
            rates[key] = [Both(algorithm, rate) for rate in own]
    if call.op == "reset":
        return
    for limit, told, rooms in zip(call.limits, call.told[2], call.rooms):
        hold_told(call, limit, told, rates[limit[:3]], rooms)


def hold_told(call, limit, told, rates, rooms):
    now, cost = call.now, limit[3]
    if call.op in ("check", "peek") and cost > 0:
        if told.allowed:
            assert all(rate.admits(now, cost) for rate in rates), "the definition refuses"
        else:
            assert any(rate.refuses(now, cost) for rate in rates), "the definition admits"
    for rate, room in zip(rates, rooms):
        if call.op == "check" and call.told[0]:
            rate.exact.take(now, cost)
        elif call.op == "charge":
            rate.exact.charge(now, cost, room)
        elif call.op == "refund":
            rate.exact.give(now, cost)
    rate = rates[told.rate_index]
    assert told.remaining <= max(rate.exact.room(now), 0) + rate.early, "more is told to remain"
    if rate.algorithm == "token-bucket" and told.reset_us > 0:
        late = now + told.reset_us - rate.exact.full_at(now)
        assert -rate.tick < late < 1, "reset is off by %s microseconds" % float(late)
