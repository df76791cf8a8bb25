# SPDX-License-Identifier: Apache-2.0
"""The algorithms by their definitions, in fractions: no ticks, no steps, no rounding. Each is told what
was admitted, and says for how much it has room itself: a limiter that rounds may differ by its epsilon,
and by no more. Times never go back, and policies stay."""

import bisect
from fractions import Fraction

US = 1000000


class TokenBucket:
    """Holds up to |burst| units, and gains quota/window of one each microsecond."""

    def __init__(self, quota, window_us, burst, _, debt=0):
        self.debt = debt
        self.speed = Fraction(quota, window_us)
        self.burst = burst
        self.level, self.at = Fraction(burst), None

    def room(self, now):
        gained = 0 if self.at is None else (now - self.at) * self.speed
        return min(self.level + gained, self.burst)

    def take(self, now, cost):
        self.level, self.at = self.room(now) - cost, now

    def charge(self, now, cost, _):
        self.level, self.at = max(self.room(now) - cost, Fraction(-self.debt)), now

    def give(self, now, cost):
        self.level, self.at = min(self.room(now) + cost, Fraction(self.burst)), now

    def full_at(self, now):
        """When it is full again."""
        return now + (self.burst - self.room(now)) / self.speed


class FixedWindow:
    """Counts what its window has admitted. |starts| says where the window of a second begins."""

    def __init__(self, quota, window_us, _, starts, debt=0):
        self.quota, self.window_us, self.starts = quota, window_us, starts
        self.window, self.count = None, 0

    def turn(self, now):
        window = self.starts(now // US) if self.starts else Fraction(now) // self.window_us
        if window != self.window:
            self.window, self.count = window, 0

    def room(self, now):
        self.turn(now)
        return self.quota - self.count

    def take(self, now, cost):
        self.turn(now)
        self.count += cost

    def charge(self, now, cost, room):
        """As much as there was room for."""
        self.take(now, min(cost, room))

    def give(self, now, cost):
        self.turn(now)
        self.count = max(self.count - cost, 0)


class SlidingWindow(FixedWindow):
    """Counts what its window has admitted, and takes the one before to have been even."""

    def __init__(self, quota, window_us, burst, starts, debt=0):
        super().__init__(quota, window_us, burst, starts)
        self.before = 0

    def turn(self, now):
        window = Fraction(now) // self.window_us
        if window != self.window:
            follows = self.window is not None and window == self.window + 1
            self.window, self.count, self.before = window, 0, self.count if follows else 0

    def room(self, now, heavier=0):
        """|heavier| is added to the weight of the window before."""
        self.turn(now)
        weight = self.window + 1 - Fraction(now, self.window_us) + heavier
        return self.quota - self.count - self.before * min(weight, Fraction(1))


class Units:
    """Knows when each unit was admitted that was not given back, and forgets none."""

    def __init__(self):
        self.times = []

    def take(self, now, cost):
        bisect.insort(self.times, now)
        self.times[-1:] = [now] * cost

    def give(self, now, cost, window_us):
        """The oldest that a window knows of."""
        first = bisect.bisect_right(self.times, now - window_us)
        del self.times[first:first + cost]


class LogRate:
    """No more than the quota in any time of a window's length, of which one end is in it."""

    def __init__(self, units, quota, window_us):
        self.units, self.quota, self.window_us = units, quota, window_us

    def used(self, now):
        return len(self.units.times) - bisect.bisect_right(self.units.times, now - self.window_us)

    def room(self, now):
        return self.quota - self.used(now)


class Log:
    """Knows when each unit was admitted: no more than the quota in any time of a window's length, of
    which one end is in it. This is what a sliding window stands for."""

    def __init__(self, quota, window_us):
        self.quota, self.window_us = quota, window_us
        self.times, self.sums = [], [0]

    def used(self, now):
        return self.sums[-1] - self.sums[bisect.bisect_right(self.times, now - self.window_us)]

    def fits(self, now, cost):
        return self.used(now) + cost <= self.quota

    def take(self, now, cost):
        self.times.append(now)
        self.sums.append(self.sums[-1] + cost)
