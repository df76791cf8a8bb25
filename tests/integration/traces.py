# SPDX-License-Identifier: Apache-2.0
"""What Hypothesis draws: policies, and calls under them at times where something may happen. The oracle
answers while they are drawn, so that times can follow what it tells."""

from hypothesis import strategies as st

from stepper_env import Call, Settled, generate, oracle, vector

US = oracle.US
DAY, YEAR = 86400, 365 * 86400
BIG = 10**9
KINDS = ("token-bucket", "fixed-window", "calendar", "sliding-window", *oracle.LOGS)
# In Redis the end of a fixed window is told from the clock if they are no farther apart: spec.md.
FARTHEST = 499999999

windows = st.one_of(
    st.sampled_from([("min", 1), ("s", 1), ("h", 1), ("day", 1), ("s", 7), ("min", 17), ("day", 30),
                     ("week", 1), ("day", 365), ("day", 3650), ("week", 521)]),
    st.tuples(st.just("s"), st.integers(1, 10 * YEAR)),
    st.tuples(st.just("min"), st.integers(1, 10 * YEAR // 60)),
    st.tuples(st.just("s"), st.integers(1, 100)))
quotas = st.one_of(st.integers(1, 20), st.integers(1, BIG),
                   st.builds(lambda digits, more: min(max(10**digits + more, 1), BIG),
                             st.integers(1, 9), st.integers(-1, 1)))
log_quotas = st.one_of(st.integers(1, 20), st.integers(1, 1000), st.just(1000))
CALENDARS = [text for text, _, _ in generate.CASES]


def seconds(window):
    return oracle.UNITS[window[0]] * window[1]


def is_counted(rate, burst=None, debt=0):
    """Whether a token bucket can count it."""
    try:
        oracle.Rate(*rate, burst, debt).ticks()
    except oracle.Refused:
        return False
    return True


@st.composite
def plain_policies(draw, algorithm, rates=None):
    """A policy of one to six rates, the text of which the oracle reads too."""
    n = rates or draw(st.sampled_from([1, 1, 1, 2, 3, 4, 6]))
    n = 1 if algorithm == "concurrency" else n
    several = draw(st.lists(windows, min_size=n, max_size=n, unique_by=seconds))
    parts, burst = [], ""
    for i, window in enumerate(several):
        quota = draw(log_quotas if algorithm in oracle.LOGS else quotas)
        while algorithm == "token-bucket" and not is_counted((quota, seconds(window))):
            # Rounder, so that ever more of them can.
            digit = 10**(len(str(quota)) - 1)
            quota = quota - quota % digit if quota % digit else quota - digit or 1
        if i == 0 and algorithm == "token-bucket" and draw(st.booleans()):
            most = draw(quotas)
            if is_counted((quota, seconds(window)), most):
                burst = " burst=%d" % most
        parts.append("%d/%d%s" % (quota, window[1], window[0]))
    return ",".join(parts) + " algorithm=" + algorithm + burst + draw(debts(algorithm, parts, burst))


@st.composite
def debts(draw, algorithm, parts, burst=""):
    """An option for these rates, where there is room for one."""
    rates = [oracle.parse(part + (burst if i == 0 else ""))[1][0] for i, part in enumerate(parts)]
    most = (1000 if algorithm in oracle.LOGS else BIG) - max(rate.burst for rate in rates)
    if algorithm == "concurrency" or most < 1 or draw(st.booleans()):
        return ""
    debt = min(draw(st.one_of(st.integers(1, 20), quotas)), most)
    if algorithm == "token-bucket" and not all(is_counted((rate.quota, rate.window_s), rate.burst, debt)
                                               for rate in rates):
        return ""
    return " debt=%d" % debt


@st.composite
def calendar_policies(draw, rates=None):
    n = rates or draw(st.sampled_from([1, 1, 1, 2, 3]))
    window, _, options = draw(st.sampled_from(CALENDARS)).partition(" ")
    several = [window]
    others = ["min", "h", "day", "week", "month"]
    if "anchor=" in options and window != "week":
        others.remove("week")
    if "anchor=" in options:
        others.remove("month")
    several += draw(st.lists(st.sampled_from(others).filter(lambda one: one != window),
                             min_size=n - 1, max_size=n - 1, unique=True))
    parts = ["%d/%s" % (draw(quotas), one) for one in several]
    rates = ",".join(parts)
    align = " align=calendar" if {"day", "week"} & set(several) else ""
    return (rates + " algorithm=fixed-window" + draw(debts("fixed-window", parts)) + align
            + (options and " " + options))


def policies(kind, rates=None):
    if kind == "calendar":
        return calendar_policies(rates)
    return plain_policies(kind, rates)


def longest_window(text):
    return max(400 * DAY if rate.calendar else rate.window_s for rate in oracle.parse(text)[1])


class Times:
    """Where time may go from here: each move takes a number and says when that is."""

    def __init__(self, trace, texts):
        self.trace = trace
        self.rates = [rate for text in texts for rate in oracle.parse(text)[1]]
        self.forward = [self.stay, self.stay, self.on, self.retry, self.retry, self.reset, self.edge,
                        self.edge, self.part, self.unit, self.far]
        self.both = self.forward + [self.back, self.edge_before, self.edge_before, self.far_back]

    def rate(self, x):
        return self.rates[x % len(self.rates)]

    def window(self, x):
        """Where the window of a rate that is under way begins and ends."""
        rate, now_s = self.rate(x), self.trace.now // US
        if rate.calendar:
            start, end = rate.calendar.window(now_s)
            return start * US, end * US
        start = now_s // rate.window_s * rate.window_s
        return start * US, (start + rate.window_s) * US

    def stay(self, x):
        return self.trace.now

    def on(self, x):
        return self.trace.now + (1, x, x * 997)[x % 3]

    def retry(self, x):
        return self.trace.now + max(self.trace.retry + x % 3 - 1, 0)

    def reset(self, x):
        return self.trace.now + max(self.trace.until_reset + x % 3 - 1, 0)

    def edge(self, x):
        return self.window(x // 3)[1] + x % 3 - 1

    def edge_before(self, x):
        return self.window(x // 3)[0] + x % 3 - 1

    def part(self, x):
        """Some thousandths of a window."""
        return self.trace.now + self.rate(x // 1000).window * (x % 1000) // 1000

    def unit(self, x):
        """What some units take to come back."""
        rate = self.rate(x)
        return self.trace.now + rate.window * (x // 8 % 7) // rate.quota + x % 2

    def far(self, x):
        return self.trace.now + self.rate(x).window * (1 + x // 8 % 3) + x // 64 % 3 - 1

    def back(self, x):
        return self.trace.now - (1, x, x * 997)[x % 3]

    def far_back(self, x):
        return self.trace.now - self.rate(x).window * (1 + x // 8 % 3) + x // 64 % 3 - 1


class Trace:
    """Calls and what the oracle said of them."""

    def __init__(self, now, reach, changes):
        self.oracle = oracle.Oracle()
        self.now, self.changes = now, changes
        self.honest = not changes
        self.first, self.last = now - reach, now + reach
        self.calls = []   # all
        self.drawn = 0    # of those, the ones that Hypothesis drew; the rest follow from them
        self.retry = self.until_reset = 0
        self.remaining = 1

    def __repr__(self):
        return "<a trace of %d calls>" % len(self.calls)

    def can_look(self, then):
        return then <= self.first + FARTHEST * US

    def call(self, op, now, limits, why=""):
        rooms = [self.rooms(limit, now) for limit in limits]
        call = Call(op, now, limits, self.oracle.decide(op, limits, now), why)
        call.rooms = rooms
        self.calls.append(call)
        return call

    def rooms(self, limit, now):
        """What each rate of a limit has room for before the call, with its debt."""
        one = oracle.Limit(self.oracle, *limit)
        return [rate.left(state, now) for rate, state in zip(one.rates, one.states)]

    def step(self, op, limits):
        call = self.call(op, self.now, limits)
        self.drawn += 1
        if call.told is not None:
            one = call.told[2][call.told[1]]
            self.retry = one.retry_us or 0
            self.until_reset, self.remaining = one.reset_us, one.remaining
            if self.honest:
                self.be_honest(call)

    def settle(self, op, x):
        """Commits, releases or renews a lease that is not settled, if there is one."""
        open_ones = [number for number, lease in enumerate(self.oracle.leases)
                     if lease is not None and not lease.settled]
        if not open_ones:
            return
        number = open_ones[x % len(open_ones)]
        lease, used, rv = self.oracle.leases[number], None, 0
        if op == "renew":
            rv = 0 if self.oracle.renew(number, self.now) else LOST
        elif op == "release":
            self.oracle.settle(number, None, self.now)
        else:
            asked = {limit.slot: limit.cost for limit in lease.limits}
            used = [min((0, asked[slot], asked[slot] // 2, asked[slot] + 1, 1, BIG)[(x // 8 + i) % 6], BIG)
                    for i, slot in enumerate(lease.place)]
            self.oracle.settle(number, used, self.now)
        self.calls.append(Settled(op, self.now, number, used, rv))
        self.drawn += 1

    def be_honest(self, call):
        """What was told comes true: peeks at later times, which change nothing."""
        allowed, index, results = call.told
        retry = results[index].retry_us
        if (call.op in ("check", "grant") and not allowed and retry is not oracle.NEVER
                and self.can_look(self.now + retry)):
            # What is granted is a unit at least.
            asked = [(*limit[:3], 1 if call.op == "grant" else limit[3]) for limit in call.limits]
            early = self.call("peek", self.now + retry - 1, asked, "early by a microsecond")
            late = self.call("peek", self.now + retry, asked, "exactly at retry-after")
            assert not early.told[0] and late.told[0], "retry-after is not exact:\n" + self.text()
        for limit, one in zip(call.limits, results):
            # A peek leaves a clamp to who writes; and of a stack only one rate is told.
            if (call.op == "peek" or limit[3] == 0 or len(oracle.parse(limit[1])[1]) > 1
                    or not self.can_look(self.now + one.reset_us)):
                continue
            late = self.call("peek", self.now + one.reset_us, [limit], "exactly at reset")
            told = late.told[2][0]
            assert told.remaining == told.limit, "reset is not exact:\n" + self.text()
            if one.reset_us > 0:
                early = self.call("peek", late.now - 1, [limit], "early by a microsecond")
                told = early.told[2][0]
                assert told.remaining < told.limit, "reset is not exact:\n" + self.text()

    def text(self):
        return vector(self.calls)


LOST = -510  # RLC_ERR_LOST
OPS = ["check"] * 9 + ["peek", "charge", "charge", "grant", "refund", "reset"]
# Only where time goes both ways: by the definitions alone, what was taken back was never there.
LEASES = ["acquire", "acquire", "acquire", "commit", "release", "renew"]


def costs(trace, quota):
    left = trace.remaining
    return (1, 1, left, left + 1, quota // 3, quota, 2, left // 2, max(left - 1, 0), quota - left + 1,
            1, left, 0, quota + 1, 2 * quota, BIG)


@st.composite
def traces(draw, kinds, goes_back, changing=False, most=99):
    """Calls of the limits of one policy or a few. Where time goes back, policies change as well; they
    all do where they are |changing|, which takes token buckets: those are honest even then."""
    kind = draw(st.sampled_from(kinds))
    several = len(kinds) > 1
    changes = changing or goes_back and draw(st.booleans())
    limits = []  # (name, the policies that it has by turns)
    for i in range(draw(st.integers(2, 4)) if several else 1):
        own = draw(st.sampled_from(kinds)) if i else kind
        first = draw(policies(own))
        rates = len(oracle.parse(first)[1])
        own_too = "fixed-window" if own == "calendar" else own
        texts = [first] + ([draw(policies(own_too, rates))] if changes else [])
        limits.append(("n%d" % i, texts))
    texts = [text for _, texts in limits for text in texts]
    base, reach = draw(places(texts))
    trace = Trace(base, reach, changes)
    trace.honest = changing or not changes
    times = Times(trace, texts)
    turns = draw(st.sampled_from([2, 8])) if changing else 8  # by turns: side by side, or now and then
    moves = st.sampled_from(times.both if goes_back else times.forward)
    ops = OPS + LEASES if goes_back else OPS
    step = st.tuples(st.sampled_from(ops), moves, st.integers(0, 15), st.integers(0, 2**20 - 1))
    for _ in range(draw(st.integers(1, most))):
        op, move, cost, x = draw(step)
        then = move(x)
        if trace.first <= then <= trace.last:
            trace.now = then
        if op in ("commit", "release", "renew"):
            trace.settle(op, x)
            continue
        chosen = []
        for i, (name, own) in enumerate(limits):
            if i == x % len(limits) or several and x >> i & 4:
                text = own[x // 16 % turns == 0 if len(own) > 1 else 0]
                quota = counted_limit(text)
                amount = 0 if op == "reset" else costs(trace, quota)[(cost + i) % 16]
                least = 1 if op == "grant" else 0
                chosen.append((name, text, "ab"[x // 32 % 4 == 0], min(max(amount, least), BIG)))
        if goes_back and several and x % 64 == 0 and op != "grant":
            chosen.append(chosen[0])
        trace.step(op, chosen)
    return trace


def counted_limit(text):
    return oracle.counted(text)[1][0].limit


@st.composite
def places(draw, texts):
    """Where a trace begins, near an edge of the longest window, and how far time goes from there."""
    longest = max(longest_window(text) for text in texts)
    reach = min(15 * YEAR, (FARTHEST - longest) // 2)
    if any(rate.calendar for text in texts for rate in oracle.parse(text)[1]):
        when = generate.at(draw(st.sampled_from(generate.CASES))[1])
        return when * US + draw(st.integers(-3, 3)), min(reach, 800 * DAY) * US
    edge = 1790000000 // longest * longest
    if edge < 10**9:
        edge += longest
    return edge * US - draw(st.integers(-2 * US, min(longest * US, 10**8))), reach * US
