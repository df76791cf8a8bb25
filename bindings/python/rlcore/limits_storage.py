# SPDX-License-Identifier: Apache-2.0
"""A storage for `limits`, the library below Flask-Limiter and others: to import this module makes the
URLs "rlcore+shm:", "rlcore+memory:", "rlcore+redis://host/0" and their relatives known to it.

fixed-window      counts in windows that start at multiples of their length since 1970
moving-window     a sliding window of two counters: what it decides otherwise than a log of all
                  requests would, is a few parts in a hundred
fixed-window-elastic-expiry is not there: NotImplementedError.

A store that is away raises rlcore.StoreError, which Flask-Limiter's in-memory fallback and
swallow_errors take as they take other storages'.
"""

from __future__ import annotations

import math
import time
from typing import Any, Optional, Union

from limits.storage import MovingWindowSupport, Storage

from . import _rlcore
from ._errors import StoreError
from ._limiter import Limiter
from ._rlcore import Decision

_SCHEMES = ["shm", "memory", "redis", "rediss", "redis+unix", "redis+sentinel", "rediss+sentinel",
            "redis+cluster", "rediss+cluster"]
_PREFIX = "rlcore+"
_MOST = _rlcore.MAX_QUOTA


class RlcoreStorage(Storage, MovingWindowSupport):
    """Counters of `limits` in a store of rlcore's."""

    STORAGE_SCHEME = [_PREFIX + scheme for scheme in _SCHEMES]
    base_exceptions = StoreError

    def __init__(self, uri: Optional[str] = None, **options: Union[float, str, bool]) -> None:
        url = (uri or "shm:").removeprefix(_PREFIX)
        if url in ("memory://", "shm://"):  # as they are written for other storages
            url = url[:-2]
        super().__init__(uri)
        # Nobody decides in the store's place: `limits` has fallbacks of its own.
        self.limiter = Limiter(url, fail="closed", **options)  # type: ignore[arg-type]

    def _ask(self, verb: Any, key: str, policy: str, cost: int) -> Decision:
        decision: Decision = verb(key, policy, cost, name="limits")
        if decision.degraded:
            raise StoreError("the store did not answer", _rlcore.ERR_STORE)
        return decision

    @staticmethod
    def _window(expiry: int) -> str:
        # More than can be counted: who compares with the quota is `limits`.
        return f"{_MOST}/{int(expiry)}s algorithm=fixed-window"

    # `limits` names a key and no window when it asks; a key of its own ends with that: ".../5/1/minute".
    @staticmethod
    def _expiry_of(key: str) -> int:
        from limits.util import parse
        amount, multiples, granularity = key.rsplit("/", 3)[1:]
        return int(parse(f"{amount} per {multiples} {granularity}").get_expiry())

    def incr(self, key: str, expiry: int, elastic_expiry: bool = False, amount: int = 1) -> int:
        """Counts |amount|, and returns the count of the window."""
        if elastic_expiry:
            raise NotImplementedError("rlcore has no fixed-window-elastic-expiry")
        return _MOST - int(self._ask(self.limiter.charge, key, self._window(expiry),
                                     amount).remaining)

    def get(self, key: str) -> int:
        """The count of the window under way."""
        policy = self._window(self._expiry_of(key))
        return _MOST - int(self._ask(self.limiter.peek, key, policy, 0).remaining)

    def get_expiry(self, key: str) -> int:
        """When the window under way ends, in seconds since 1970."""
        policy = self._window(self._expiry_of(key))
        return math.ceil(time.time() + self._ask(self.limiter.peek, key, policy, 0).reset)

    def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Whether |amount| more pass within any |expiry| seconds; then they count."""
        return bool(self._ask(self.limiter.check, key,
                              f"{limit}/{int(expiry)}s algorithm=sliding-window", amount).allowed)

    def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[int, int]:
        """When the window starts that ends now, in seconds since 1970, and what counts in it."""
        decision = self._ask(self.limiter.peek, key,
                             f"{limit}/{int(expiry)}s algorithm=sliding-window", 0)
        used = int(decision.limit - decision.remaining)
        wait = min(decision.reset, expiry) if used else expiry
        return int(time.time() + wait - expiry), used

    def check(self) -> bool:
        """Whether the store answers."""
        return not self.limiter.peek("", "1/s", 0, name="limits").degraded

    def reset(self) -> Optional[int]:
        """Counters end by themselves: there is no command that forgets all of them."""
        raise NotImplementedError("rlcore forgets one key at a time: use clear()")

    def clear(self, key: str) -> None:
        """Forgets what counts for |key|."""
        expiry = self._expiry_of(key)
        amount = int(key.rsplit("/", 3)[1])
        self.limiter.reset(key, self._window(expiry), name="limits")
        self.limiter.reset(key, f"{amount}/{expiry}s algorithm=sliding-window", name="limits")
