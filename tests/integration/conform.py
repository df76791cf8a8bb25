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

    def __init__(self, algorithm, rate, units):
        if algorithm in oracle.LOGS:
            self.exact = exact.LogRate(units, rate.quota, rate.window)
            self.algorithm, self.tick, self.early = algorithm, 0, 0
            self.debt = rate.most - rate.burst
            return
        starts = rate.calendar and (lambda second: rate.calendar.window(second)[0])
        self.exact = MADE[algorithm](rate.quota, rate.window, rate.burst, starts,
                                     rate.most - rate.burst)
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
            units = exact.Units()
            rates[key] = [Both(algorithm, rate, units) for rate in own]
    if call.op == "reset":
        return
    for limit, told, rooms in zip(call.limits, call.told[2], call.rooms):
        hold_told(call, limit, told, rates[limit[:3]], rooms)


def change_log(call, cost, charged, rates, debt):
    """One log, seen through each window."""
    units = rates[0].units
    if call.op in ("check", "grant") and call.told[0]:
        units.take(call.now, charged)
    elif call.op == "charge":
        units.take(call.now, max(min(cost, *(rate.room(call.now) + debt for rate in rates)), 0))
    elif call.op == "refund":
        units.give(call.now, cost, max(rate.window_us for rate in rates))


def hold_told(call, limit, told, rates, rooms):
    now, cost = call.now, limit[3]
    if call.op in ("check", "peek") and cost > 0:
        if told.allowed:
            assert all(rate.admits(now, cost) for rate in rates), "the definition refuses"
        else:
            assert any(rate.refuses(now, cost) for rate in rates), "the definition admits"
    if call.op == "grant" and told.allowed:
        assert all(rate.admits(now, told.charged) for rate in rates), "the definition grants less"
    if rates[0].algorithm in oracle.LOGS:
        change_log(call, cost, told.charged, [rate.exact for rate in rates], rates[0].debt)
        rooms = []
    for rate, room in zip(rates, rooms):
        if call.op in ("check", "grant") and call.told[0]:
            rate.exact.take(now, told.charged)
        elif call.op == "charge":
            rate.exact.charge(now, cost, room)
        elif call.op == "refund":
            rate.exact.give(now, cost)
    rate = rates[told.rate_index]
    assert told.remaining <= max(rate.exact.room(now), 0) + rate.early, "more is told to remain"
    if rate.algorithm == "token-bucket" and told.reset_us > 0:
        late = now + told.reset_us - rate.exact.full_at(now)
        assert -rate.tick < late < 1, "reset is off by %s microseconds" % float(late)


class Used:
    """What a bucket without a bottom that refills at a rate would count as used."""

    def __init__(self, rate):
        self.speed, self.used, self.at = Fraction(rate.quota, rate.window), Fraction(0), None

    def now(self, now):
        if self.at is not None:
            self.used = max(self.used - (now - self.at) * self.speed, Fraction(0))
        self.at = now
        return self.used


def told_apart(rates):
    """Whether each rate reads what another has left, itself or lifted, as another's: spec.md says what
    is outside the bound where that is not so."""
    levels = {(rate.quota, rate.window, rate.burst, rate.most):
              oracle.level_of(Fraction(rate.window, rate.quota)) for rate in rates}
    return all(b - a > 1 for a, b in zip(sorted(levels.values()), sorted(levels.values())[1:]))


def hold_changes(trace):
    """Law 10, from the whole history: never more than the capacity in force less what the fastest of
    the rates that a key has been under would count as used. Of two policies of which one is the looser
    in both respects, that is what the looser alone would have admitted."""
    places, texts = {}, {}
    for call in trace.calls:
        for name, text, _, _ in call.limits:
            texts.setdefault(name, {})[text] = oracle.parse(text)[1]
    for i, call in enumerate(trace.calls):
        if call.why or call.op == "peek":
            continue  # a look ahead
        for which, (name, text, key, cost) in enumerate(call.limits):
            if call.op == "grant":
                cost = call.told[2][which].charged
            for j, rate in enumerate(texts[name][text]):
                others = [own[j] for own in texts[name].values()]
                if not told_apart(others):
                    continue
                place = (name, key, j)
                if call.op == "reset":
                    places.pop(place, None)
                    continue
                own, seen = places.setdefault(place, ([Used(one) for one in others], []))
                seen.append(Used(rate).speed)
                hold_used(trace, i, rate, own, max(seen), cost)


def hold_used(trace, i, rate, used, fastest, cost):
    call = trace.calls[i]
    now, op = call.now, call.op
    _, num, den = rate.ticks()
    for one in used:
        before = one.now(now)
        if op in ("check", "grant") and call.told[0]:
            early = 2 * Fraction(den, num) * max(fastest, Fraction(rate.quota, rate.window))
            if one.speed == fastest and cost > 0:
                assert before + cost <= rate.burst + early, (
                    "%s\n\nthe last of these: the whole history leaves no room" % vector(trace.calls[:i + 1]))
            one.used += cost
        elif op == "charge":
            one.used = max(before, min(before + cost, Fraction(rate.most)))
        elif op == "refund":
            one.used = max(before - cost, Fraction(0))
