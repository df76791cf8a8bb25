# SPDX-License-Identifier: Apache-2.0
"""The algorithms of libcore/algorithm/spec.md, a second time, in Python's unbounded integers. Written
from the page, not from the C or the Lua."""

import datetime
from fractions import Fraction
from functools import lru_cache
from math import ceil, floor, gcd
from zoneinfo import ZoneInfo

US = 1000000
EPOCH = datetime.date(1970, 1, 1)
UTC = datetime.timezone.utc
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
UNITS = {"s": 1, "min": 60, "h": 3600, "day": 86400, "week": 604800}
NEVER = None


def ceil_div(a, b):
    return -(-a // b)


class Refused(Exception):
    """The policy has a rate that cannot be counted."""


def local(zone, second):
    """The local time at a second since 1970, without its offset."""
    return datetime.datetime.fromtimestamp(second, ZoneInfo(zone)).replace(tzinfo=None)


@lru_cache(None)
def first_instant(zone, year, month, day):
    """The first second at which local time has come to that day, looked for minute by minute in
    the first hour at whose end it has, or in which clocks are changed."""
    midnight = datetime.datetime(year, month, day)
    at = int(midnight.replace(tzinfo=UTC).timestamp()) - 27 * 3600
    at -= at % 60
    hour = datetime.timedelta(hours=1)
    while local(zone, at) < midnight:
        later = local(zone, at + 3600)
        at += 3600 if later < midnight and later == local(zone, at) + hour else 60
    while local(zone, at - 1) >= midnight:
        at -= 1
    return at


class Calendar:
    """Windows that begin on some days of a zone's calendar."""

    def __init__(self, zone, unit, count, anchor):
        self.zone, self.unit, self.count = zone, unit, count
        self.known = (0, 0)
        self.weekday = WEEKDAYS.index(anchor) if anchor in WEEKDAYS else 0
        self.month, self.day = 1, 1
        if anchor and anchor[0].isdigit():
            self.month, self.day = ([1] + [int(one) for one in anchor.split("-")])[-2:]

    def begins(self, date):
        """Whether a window begins on the date."""
        if self.unit == "day":
            return True
        if self.unit == "week":
            return date.weekday() == self.weekday
        length = ((date.replace(day=28) + datetime.timedelta(4)).replace(day=1)
                  - datetime.timedelta(1)).day
        return (date.month - self.month) % self.count == 0 and date.day == min(self.day, length)

    def starts(self, date, step):
        """The starts of windows from a date on, into the past or the future."""
        while True:
            if self.begins(date):
                yield first_instant(self.zone, date.year, date.month, date.day)
            date += datetime.timedelta(step)

    def window(self, second):
        """The last start that has come, and the first that has not."""
        if self.known[0] <= second < self.known[1]:
            return self.known
        date = local(self.zone, second).date()
        soon = date + datetime.timedelta(2)
        start = next(one for one in self.starts(soon, -1) if one <= second)
        end = next(one for one in self.starts(date, 1) if one > second)
        self.known = start, end
        return start, end


class Rate:
    calendar = None

    def __init__(self, quota, window_s, burst=None, debt=0):
        self.quota = quota
        self.window_s = window_s
        self.window = window_s * US
        self.burst = quota if burst is None else burst
        self.most = self.burst + debt
        self.step = ceil_div(self.window, 2**23)
        self.steps = self.window // self.step

    def length(self, now):
        """Of the window that is under way."""
        if self.calendar is None:
            return self.window
        start, end = self.calendar.window(now // US)
        return (end - start) * US

    def ticks(self):
        """unit, num and den of the token bucket."""
        g = gcd(self.quota, self.window)
        p, s = self.quota // g, self.window // g
        if p == 1:
            if self.most * s >= 2**49:
                raise Refused
            return s, 1, 1
        den, d = s, 1
        factor = 2
        while den > 2**26:
            while den % factor:
                factor += 1
                if factor * factor > den:
                    raise Refused
            den //= factor
            d *= factor
        k = den // p
        if k == 0:
            raise Refused
        num, unit = p * k, k * d
        g = gcd(num, den)
        num, den = num // g, den // g
        if self.most * unit >= 2**49:
            raise Refused
        return unit, num, den


@lru_cache(4096)
def parse(text):
    """A policy of the canonical grammar: (algorithm, rates)."""
    words = text.split()
    options = dict(word.split("=") for word in words[1:])
    rates = []
    for i, one in enumerate(words[0].split(",")):
        quota, window = one.split("/")
        digits = window.rstrip("abcdefghijklmnopqrstuvwxyz")
        burst = int(options["burst"]) if "burst" in options and i == 0 else None
        unit, count = window[len(digits):], int(digits or 1)
        rate = Rate(int(quota), count * UNITS.get(unit, 1), burst, int(options.get("debt", 0)))
        if unit in ("month", "year") or "align" in options and unit in ("day", "week"):
            anchor = options.get("anchor")
            kinds = {"week": anchor in WEEKDAYS, "year": anchor and "-" in anchor,
                     "month": anchor and anchor.isdigit()}
            rate.calendar = Calendar(options.get("tz", "UTC"), unit, 12 if unit == "year" else count,
                                     anchor if kinds.get(unit) else None)
        rates.append(rate)
    return options.get("algorithm", "token-bucket"), rates


MANTISSAS = [
    100, 104, 108, 111, 114, 120, 125, 129, 134, 139, 144, 150, 157, 164, 172, 180, 185, 190, 195, 200, 208,
    216, 225, 232, 240, 250, 259, 268, 278, 288, 300, 314, 329, 344, 360, 375, 387, 400, 416, 432, 450, 465,
    480, 500, 504, 521, 539, 557, 576, 600, 628, 657, 688, 720, 750, 756, 778, 800, 831, 864, 900, 924, 949,
    974]


@lru_cache(None)
def lasts(level):
    """The microseconds that a level stands for."""
    return Fraction(MANTISSAS[level % 64]) * Fraction(10) ** (level // 64 - 2)


@lru_cache(None)
def level_of(interval):
    return max(level for level in range(960) if lasts(level) <= interval)


class TokenBucket:
    """A state is the microsecond at which the bucket is full again, and a level."""
    fresh = (0, 0)

    def __init__(self, rate):
        self.rate = rate
        self.limit = rate.burst
        self.unit, self.num, self.den = rate.ticks()
        self.capacity = rate.burst * self.unit
        self.most = rate.most * self.unit
        self.level = level_of(Fraction(rate.window, rate.quota))

    def T(self, us):
        return us * self.num // self.den

    def U(self, ticks):
        return ceil_div(ticks * self.den, self.num)

    def parts(self, state, now):
        """What is used by another rate's state, in 1/mantissa of a unit; None for one's own."""
        full, level = state
        if level == self.level or full <= now:
            return None
        return ceil((full - now) / lasts(level) * MANTISSAS[level % 64])

    def view(self, state, now):
        n = self.T(now)
        parts = self.parts(state, now)
        if parts is not None:
            return n, n + ceil_div(parts * self.unit, MANTISSAS[state[1] % 64]), False
        f = max(self.T(state[0]), n)
        return n, min(f, n + self.most), f > n + self.most

    def left(self, state, now):
        n, f, _ = self.view(state, now)
        return max(n + self.most - f, 0) // self.unit

    def take_back(self, state, now, cost, charged):
        n, f, clamped = self.view(state, now)
        if self.parts(state, now) is not None or clamped or now < charged:
            return state
        back = min(cost, self.rate.most + 1) * self.unit - (n - self.T(charged))
        if back <= 0:
            return state
        return (self.U(f - back), self.level) if f - back > n else self.fresh

    def fits(self, state, now, cost):
        n, f, _ = self.view(state, now)
        return f + cost * self.unit <= n + self.capacity

    def charge(self, state, now, cost):
        n, f, _ = self.view(state, now)
        if self.parts(state, now) is not None and f >= n + self.most:
            return self.clamp(state, now)
        return self.U(min(f + cost * self.unit, n + self.most)), self.level

    def refund(self, state, now, cost):
        if self.parts(state, now) is not None:
            full = state[0] - floor(min(cost, self.rate.most + 1) * lasts(state[1]))
            return (full, state[1]) if full > now else self.fresh
        n, f, _ = self.view(state, now)
        f -= cost * self.unit
        return (self.U(f), self.level) if f > n else self.fresh

    def clamp(self, state, now):
        parts = self.parts(state, now)
        if parts is not None:
            above = self.level + 1
            units = min(ceil_div(parts, MANTISSAS[state[1] % 64]), 10**9)
            full = now + ceil(units * lasts(above))
            return (full, above) if state[1] > above and full < state[0] else state
        _, f, clamped = self.view(state, now)
        return (self.U(f), self.level) if clamped else state

    def told(self, state, now, cost):
        n, f, _ = self.view(state, now)
        remaining = max(n + self.capacity - f, 0) // self.unit
        retry = NEVER
        if self.parts(state, now) is not None:
            if cost <= self.rate.burst:
                most = (self.rate.burst - cost) * MANTISSAS[state[1] % 64]
                retry = state[0] - floor(most * lasts(state[1]) / MANTISSAS[state[1] % 64]) - now
            return remaining, retry, state[0] - now
        if cost <= self.rate.burst:
            retry = self.U(f + cost * self.unit - self.capacity) - now
        return remaining, retry, self.U(f) - now if f > n else 0


class FixedWindow:
    fresh = (0, 0)

    def __init__(self, rate):
        self.rate = rate
        self.limit = rate.quota

    def view(self, state, now):
        s = now // US
        if self.rate.calendar:
            e = self.rate.calendar.window(s)[1]
        else:
            e = s // self.rate.window_s * self.rate.window_s + self.rate.window_s
        return e, state[1] if state[0] > s else 0, state[0] > e

    def left(self, state, now):
        return max(self.rate.most - self.view(state, now)[1], 0)

    def take_back(self, state, now, cost, charged):
        e, _, _ = self.view(state, now)
        begun = self.rate.calendar.window(now // US)[0] if self.rate.calendar else e - self.rate.window_s
        same = begun * US <= charged <= now and state[0] == e
        return self.refund(state, now, cost) if same else state

    def fits(self, state, now, cost):
        return self.view(state, now)[1] + cost <= self.rate.quota

    def charge(self, state, now, cost):
        e, c, _ = self.view(state, now)
        return e, min(c + cost, max(c, self.rate.most))

    def refund(self, state, now, cost):
        e, c, _ = self.view(state, now)
        return (e, c - cost) if c > cost else (0, 0)

    def clamp(self, state, now):
        e, c, clamped = self.view(state, now)
        return (e, c) if clamped else state

    def told(self, state, now, cost):
        e, c, _ = self.view(state, now)
        left = e * US - now
        retry = left if cost <= self.rate.quota else NEVER
        return max(self.rate.quota - c, 0), retry, left if c > 0 else 0


class SlidingWindow:
    fresh = (0, 0, 0)

    def __init__(self, rate):
        self.rate = rate
        self.limit = rate.quota

    def view(self, state, now):
        window = self.rate.window_s
        s = now // US
        b = s // window * window
        e = b + window
        end, count, before = state
        c = p = 0
        if end > b:
            c, p = count, before
        elif end + window > b:
            p = count
        weight = min(ceil_div(e * US - now, self.rate.step), self.rate.steps)
        return e, c, p, ceil_div(p * weight, self.rate.steps), end > e

    def fits(self, state, now, cost):
        _, c, _, w, _ = self.view(state, now)
        return c + cost + w <= self.rate.quota

    def left(self, state, now):
        _, c, _, w, _ = self.view(state, now)
        return max(self.rate.most - c - w, 0)

    def take_back(self, state, now, cost, charged):
        e, _, _, _, _ = self.view(state, now)
        same = (e - self.rate.window_s) * US <= charged <= now and state[0] == e
        return self.refund(state, now, cost) if same else state

    def charge(self, state, now, cost):
        e, c, p, w, _ = self.view(state, now)
        return e, min(c + cost, max(c, self.rate.most - w)), p

    def refund(self, state, now, cost):
        e, c, p, _, _ = self.view(state, now)
        c = max(c - cost, 0)
        return (e, c, p) if c or p else (0, 0, 0)

    def clamp(self, state, now):
        e, c, p, _, clamped = self.view(state, now)
        return (e, c, p) if clamped else state

    def told(self, state, now, cost):
        e, c, p, w, _ = self.view(state, now)
        rate = self.rate
        if cost > rate.quota:
            retry = NEVER
        elif c + cost + w <= rate.quota:
            retry = 0
        elif c + cost <= rate.quota:
            retry = e * US - (rate.quota - c - cost) * rate.steps // p * rate.step - now
        else:
            retry = ((e + rate.window_s) * US
                     - (rate.quota - cost) * rate.steps // c * rate.step - now)
        reset = 0
        if c > 0:
            reset = (e + rate.window_s) * US - now
        elif p > 0:
            reset = e * US - now
        return max(rate.quota - c - w, 0), retry, reset


class Log:
    """A rate of a log. A state, the same for all rates, is the time of each unit; for how long units are
    remembered; and the second until which that is so whoever writes, or 0."""
    fresh = ((), 0, 0)

    def __init__(self, rate):
        self.rate = rate
        self.limit = rate.quota

    def view(self, state, now):
        return sorted(min(one, now) for one in state[0] if one > now - self.rate.window)

    def left(self, state, now):
        return max(self.rate.most - len(self.view(state, now)), 0)

    def fits(self, state, now, cost):
        return len(self.view(state, now)) + cost <= self.rate.quota

    def told(self, state, now, cost):
        live = self.view(state, now)
        retry, k = 0, len(live) + cost - self.rate.quota
        if cost > self.rate.quota:
            retry = NEVER
        elif k > 0:
            retry = live[k - 1] + self.rate.window - now
        return (max(self.rate.quota - len(live), 0), retry,
                live[-1] + self.rate.window - now if live else 0)


LOGS = ("sliding-log", "concurrency")
MAX_LOG = 1000


def own_units(rates, state, now, charged):
    """How many units of that stamp a log's longest window sees."""
    own = max(one.rate.window for one in rates)
    return sum(one == charged for one in state[0]) if charged > max(now - own, 0) else 0


def change_log(change, rates, state, now, cost, charged=0):
    """A log that is seen through |rates|, as a change leaves it."""
    stamps, held, until = state
    if change == "clamp" and max(stamps, default=0) <= now:
        return state
    own = max(one.rate.window for one in rates)
    if held > own:
        until = until * US if until else min(max(stamps), now) + held
        until = min(until, now + held)
    if held <= own or until <= now:
        held, until = own, 0
    kept = sorted(min(one, now) for one in stamps if one > now - held)
    if change == "charge":
        kept += [now] * min(cost, *(one.left(state, now) for one in rates))
    elif change == "refund":
        first = len([one for one in kept if one <= now - own])
        del kept[first:first + cost]
    elif change in ("take back", "renew"):
        for _ in range(cost):
            kept.remove(min(charged, now))
        kept += [now] * (cost if change == "renew" else 0)
    if not kept:
        return Log.fresh
    return tuple(kept[-MAX_LOG:]), held, ceil_div(until, US)


ALGORITHMS = {"token-bucket": TokenBucket, "fixed-window": FixedWindow,
              "sliding-window": SlidingWindow, "sliding-log": Log, "concurrency": Log}


class Result:
    """What one limit of a call is told, as rlc_result; retry_us None is never."""

    charged = 0

    def __init__(self, allowed, rate_index, limit, remaining, window_us, retry_us, reset_us):
        self.allowed, self.rate_index, self.limit = allowed, rate_index, limit
        self.remaining, self.window_us = remaining, window_us
        self.retry_us, self.reset_us = retry_us, reset_us


def longest(told):
    """What has the longest wait, never before any; the first of equals."""
    return max(told, key=lambda one: (one.retry_us is NEVER, one.retry_us or 0))


def least(told):
    return min(told, key=lambda one: one.remaining)


@lru_cache(4096)
def counted(text):
    """A policy's algorithm, and that for each of its rates."""
    name, rates = parse(text)
    return name, [ALGORITHMS[name](rate) for rate in rates]


class Limit:
    """A limit of a call while that is decided."""

    def __init__(self, oracle, name, text, key, cost):
        self.text = text
        self.algorithm, self.rates = counted(text)
        self.slot = (name, key, self.algorithm, len(self.rates))
        self.states = oracle.states.get(self.slot) or [rate.fresh for rate in self.rates]
        self.cost = cost

    def look(self, now):
        self.each = [self.cost == 0 or rate.fits(state, now, self.cost)
                     for rate, state in zip(self.rates, self.states)]
        self.fits = all(self.each)

    def room(self, now):
        """What can be granted."""
        return min(rate.told(state, now, 0)[0] for rate, state in zip(self.rates, self.states))

    def takes(self, op, now, charged):
        """How many units will be charged."""
        if op == "charge":
            which = min if self.algorithm in LOGS else max
            return min(self.cost, which(rate.left(state, now)
                                        for rate, state in zip(self.rates, self.states)))
        return self.cost if op == "check" and charged else 0

    def step(self, op, now, charged):
        """Charges, or does what |op| says; |charged|: every limit of a check fits."""
        self.charged = self.takes(op, now, charged)
        if self.cost == 0 or op == "peek":
            return
        if op == "charge" or op == "check" and charged:
            change = "charge"
        else:
            change = op if op == "refund" else "clamp"
        if change == "clamp" and self.fits and self.algorithm == "token-bucket":
            return  # it has room, and no other's state is lifted for what others refuse
        if self.algorithm in LOGS:
            self.states = [change_log(change, self.rates, self.states[0], now,
                                      self.cost)] * len(self.rates)
            return
        self.states = [rate.clamp(state, now) if change == "clamp" else
                       getattr(rate, change)(state, now, self.cost)
                       for rate, state in zip(self.rates, self.states)]

    def tell(self, op, now):
        allowed = self.fits or op in ("charge", "refund")
        told = []
        for i, (rate, state) in enumerate(zip(self.rates, self.states)):
            remaining, retry, reset = rate.told(state, now, self.cost)
            told.append(Result(allowed, i, rate.limit, remaining, rate.rate.length(now),
                               0 if allowed or self.each[i] else retry, reset))
        binding = least(told) if allowed else longest(told)
        binding.charged = self.charged
        return binding

    def take_back(self, now, cost, charged):
        if self.algorithm in LOGS:
            state = self.states[0]
            back = min(cost, own_units(self.rates, state, now, charged))
            if back > 0:
                self.states = [change_log("take back", self.rates, state, now, back,
                                          charged)] * len(self.rates)
            return
        states = [rate.take_back(state, now, cost, charged)
                  for rate, state in zip(self.rates, self.states)]
        if states != self.states and not any(rate.told(state, now, 0)[2]
                                             for rate, state in zip(self.rates, states)):
            states = [rate.fresh for rate in self.rates]
        self.states = states

    def renew(self, now, cost, charged):
        """Returns whether the slots were there still."""
        state = self.states[0]
        if own_units(self.rates, state, now, charged) < cost:
            return False
        self.states = [change_log("renew", self.rates, state, now, cost, charged)]
        return True


class Lease:
    """What a check has taken: of each limit that, and when. None of it is left once it is settled."""

    def __init__(self, limits, now):
        self.limits = limits  # those that the check had, a limit that stood twice once
        self.charged = {limit.slot: now for limit in limits}
        self.taken = {limit.slot: limit.cost for limit in limits}
        self.settled = False


class Oracle:
    """Keeps the states of any number of limits, as a store does."""

    def __init__(self):
        self.states = {}
        self.leases = []

    def look(self, limit):
        """A limit of a lease, as it is by now."""
        return Limit(self, limit.slot[0], limit.text, limit.slot[1], 0)

    def keep(self, limit):
        self.states[limit.slot] = limit.states

    def settle(self, number, used, now):
        """|used| are as many as the limits that the check was given, or None: nothing."""
        lease = self.leases[number]
        lease.settled = True
        total = {}
        for slot, amount in zip(lease.place, used or [0] * len(lease.place)):
            total[slot] = total.get(slot, 0) + amount
        for one in lease.limits:
            limit = self.look(one)
            amount = 0 if limit.algorithm == "concurrency" else total[limit.slot]
            taken = lease.taken[limit.slot]
            if amount < taken:
                limit.take_back(now, taken - amount, lease.charged[limit.slot])
            elif amount > taken:
                limit.cost = amount - taken
                limit.step("charge", now, False)
            self.keep(limit)

    def renew(self, number, now):
        """Returns whether all slots were there still; else none is held any more."""
        lease = self.leases[number]
        slots = [one for one in lease.limits
                 if one.algorithm == "concurrency" and lease.taken[one.slot] > 0]
        there = True
        for one in slots:
            limit = self.look(one)
            if limit.renew(now, lease.taken[one.slot], lease.charged[one.slot]):
                lease.charged[one.slot] = now
            else:
                lease.charged[one.slot] = None
                there = False
            self.keep(limit)
        for one in slots if not there else []:
            limit = self.look(one)
            if lease.charged[one.slot] is not None:
                limit.take_back(now, lease.taken[one.slot], now)
            lease.taken[one.slot] = 0
            self.keep(limit)
        had = any(one.algorithm == "concurrency" for one in lease.limits)
        return there and (slots != [] or not had)

    def decide(self, op, limits, now):
        """|limits| are of (name, policy, key, cost). Returns (allowed, index, results): of the limit
        that binds, and of each. A limit that stands twice is one, at both costs."""
        merged, place = {}, []
        for name, text, key, cost in limits:
            limit = Limit(self, name, text, key, cost)
            if limit.slot in merged:
                merged[limit.slot].cost += cost
            else:
                merged[limit.slot] = limit
            place.append(limit.slot)
        if op == "reset":
            for slot in merged:
                self.states.pop(slot, None)
            return None
        if op == "grant":
            grant = min(min(limit.cost, limit.room(now)) for limit in merged.values())
            for limit in merged.values():
                limit.cost = max(grant, 1)
            op = "check"
        takes = op == "acquire"
        op = "check" if takes else op
        for limit in merged.values():
            limit.look(now)
        charged = all(limit.fits for limit in merged.values())
        for slot, limit in merged.items():
            limit.step(op, now, charged)
            self.states[slot] = limit.states
        told = {slot: limit.tell(op, now) for slot, limit in merged.items()}
        if takes:
            self.leases.append(Lease(list(merged.values()), now) if charged else None)
            if charged:
                self.leases[-1].place = place
        results = [told[slot] for slot in place]
        refused = [one for one in results if not one.allowed]
        binding = longest(refused) if refused else least(results)
        return not refused, results.index(binding), results

    def call(self, op, policy, key, now, cost):
        """One limit: (allowed, rate_index, limit, remaining, retry_us, reset_us)."""
        told = self.decide(op, [("", policy, key, cost)], now)
        if told is None:
            return None
        one = told[2][0]
        return (one.allowed, one.rate_index, one.limit, one.remaining, one.retry_us, one.reset_us)
