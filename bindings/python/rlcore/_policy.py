# SPDX-License-Identifier: Apache-2.0
"""Policies and limits: what callers write."""

from __future__ import annotations

from typing import NamedTuple, Optional, Union

from . import _rlcore
from . import _errors  # noqa: F401  what _rlcore raises

Key = Union[str, bytes, bytearray, memoryview]
_ALGORITHMS = {
    _rlcore.TOKEN_BUCKET: "token-bucket",
    _rlcore.FIXED_WINDOW: "fixed-window",
    _rlcore.SLIDING_WINDOW: "sliding-window",
    _rlcore.SLIDING_LOG: "sliding-log",
    _rlcore.CONCURRENCY: "concurrency",
}


def no_nul(text: str, what: str) -> str:
    """C would read such a text up to its NUL only."""
    if not isinstance(text, str):
        raise TypeError(f"{what} is str, not {type(text).__name__}")
    if "\0" in text:
        raise _errors.InvalidError(f"{what} has a NUL in it", _rlcore.ERR_INVALID)
    return text


class Rate(NamedTuple):
    """One rate of a policy."""

    quota: int
    """Quota units in a window."""
    window: float
    """Seconds; of a calendar's window the most that one of its kind has."""
    capacity: int
    """Quota units at once: the burst, or the quota."""


class Ban(NamedTuple):
    """What `ban=` of a policy says."""

    denials: int
    window: float
    """Seconds within which so many denials make a ban."""
    first: float
    """Seconds that the first ban lasts."""
    longest: float
    """Seconds; each that follows at once is twice as long, up to this."""


class Policy:
    """A policy: "10/s,1000/h burst=20". Immutable, and for any number of limiters and threads.

    Wherever a policy is asked for, its text does as well: a limiter parses each text once.
    Raises PolicyError for a text that is no policy.
    """

    __slots__ = ("_raw", "_entry")

    def __init__(self, text: str, name: Optional[str] = None) -> None:
        self._raw = _rlcore.Policy(no_nul(text, "a policy"),
                                   None if name is None else no_nul(name, "a name"))
        self._entry = _rlcore.PolicyEntry(self._raw)

    @property
    def name(self) -> Optional[str]:
        """Its name, or None."""
        return self._raw.get_name()

    @property
    def label(self) -> str:
        """Its name, or what the library calls it without one."""
        return self._entry.label

    @property
    def text(self) -> str:
        """The canonical text: two policies that mean the same have the same."""
        return self._raw.get_text()

    @property
    def algorithm(self) -> str:
        """"token-bucket", "fixed-window", "sliding-window", "sliding-log" or "concurrency"."""
        return _ALGORITHMS[self._raw.get_algorithm()]

    @property
    def rates(self) -> tuple[Rate, ...]:
        """Its rates, one or more."""
        raw = self._raw
        return tuple(Rate(raw.get_quota(i), raw.get_window_us(i) / 1e6, raw.get_capacity(i))
                     for i in range(raw.get_rates()))

    @property
    def debt(self) -> int:
        """How far charges may go beyond the capacity, in quota units."""
        return self._raw.get_debt()

    @property
    def ban(self) -> Optional[Ban]:
        """What its `ban=` says, or None."""
        denials, window, first, longest = (self._raw.get_ban(part) for part in range(4))
        return Ban(denials, window / 1e6, first / 1e6, longest / 1e6) if denials else None

    def most_in(self, seconds: float, rate: int = 0) -> int:
        """The most quota units that the rate lets pass within so many seconds, ends included,
        whatever the requests; 0 seconds: at once. 2**64 - 1: no bound. IndexError for a rate that is not there."""
        if not 0 <= rate < self._raw.get_rates():
            raise IndexError("rate out of range")
        if not 0 <= seconds < 1e12:
            raise _errors.InvalidError("write 0 to 1e12 seconds", _rlcore.ERR_INVALID)
        return self._raw.get_bound(rate, round(seconds * 1e6))

    def __repr__(self) -> str:
        return f"rlcore.Policy({self.text!r}, {self.name!r})"

    def __reduce__(self) -> tuple[type[Policy], tuple[str, Optional[str]]]:
        return type(self), (self.text, self.name)


class Limit(NamedTuple):
    """One limit of a call: a policy applied to a key.

    Of a call with several limits all are charged, or none is.
    """

    key: Key
    """Whose quota it is: str, which counts as UTF-8, or bytes of any kind; 65536 at most."""
    policy: Union[str, Policy]
    """A policy's text, its name as the limiter knows it, or a Policy."""
    cost: int = 1
    """Quota units; 0 asks and charges nothing."""
    name: Optional[str] = None
    """What the limit is called, and its counter; None: as the policy."""
    group: Optional[Key] = None
    """Limits of one group lie on one server of a Redis Cluster."""
    tier: Optional[str] = None
    """The key's tier, where the caller knows it."""
    fail: Optional[str] = None
    """"local", "open" or "closed", in place of the store's fail policy."""


_rlcore.set_limit(Limit)
