# SPDX-License-Identifier: Apache-2.0
"""For tests of programs that use rlcore: time that passes when the test says so.

    clock = rlcore.testing.Clock()
    limiter = rlcore.Limiter("memory:", clock=clock)
    ...
    clock.advance(60)
"""

from __future__ import annotations

import time
from typing import Optional

from . import _rlcore


class Clock:
    """The time of the limiters that are opened with it, in place of their stores' own."""

    __slots__ = ("_raw",)

    def __init__(self, now: Optional[float] = None) -> None:
        """|now| in seconds since 1970, UTC; by default the time it is."""
        self._raw = _rlcore.Clock(round((time.time() if now is None else now) * 1e6))

    @property
    def now(self) -> float:
        """Seconds since 1970, UTC; may be set."""
        return self._raw.get_now_us() / 1e6

    @now.setter
    def now(self, now: float) -> None:
        self._raw.set_now_us(round(now * 1e6))

    @property
    def now_us(self) -> int:
        """The same in microseconds, exactly."""
        return self._raw.get_now_us()

    @now_us.setter
    def now_us(self, now_us: int) -> None:
        self._raw.set_now_us(now_us)

    def advance(self, seconds: float) -> None:
        """Lets so many seconds pass."""
        self.now_us += round(seconds * 1e6)
