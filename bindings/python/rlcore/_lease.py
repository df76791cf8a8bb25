# SPDX-License-Identifier: Apache-2.0
"""Leases: what is taken now and settled later."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Optional

from . import _rlcore
from ._errors import ClosedError, InvalidError
from ._rlcore import Decision


class Lease:
    """A slot of a concurrency limit, or a reservation of a cost that is known only afterwards.

    Where it is never settled, since the program died, it ends by itself, by the store's clock: a slot
    at the end of the policy's window, a reservation into the charge that it is. A context manager:
    what was not settled before its end is, as it was made: slot() commits, reserve() and acquire()
    release. For any thread; after a fork it is the parent's.
    """

    __slots__ = ("decision", "_limiter", "_raw", "_lock", "_commits", "__weakref__")

    def __init__(self, limiter: _rlcore.Limiter, decision: Decision, raw: Optional[_rlcore.Lease],
                 commits: bool) -> None:
        self.decision = decision
        """What was decided; its limits hold the policies that the lease needs."""
        self._limiter: Optional[_rlcore.Limiter] = limiter
        self._raw = raw
        self._lock = threading.Lock()
        self._commits = commits

    @property
    def allowed(self) -> bool:
        """Whether anything was taken."""
        return self.decision.allowed

    @property
    def settled(self) -> bool:
        """Whether there is nothing to settle, or no more."""
        return self._raw is None

    def __bool__(self) -> bool:
        return self.decision.allowed

    def _take(self) -> _rlcore.Lease:
        raw, self._raw = self._raw, None
        if raw is None:
            raise ClosedError("the lease is settled, or nothing was taken")
        return raw

    def renew(self) -> None:
        """Begins the window of the slots anew, now. Raises LostError where a slot had ended, which may
        be another's by now, and StoreError."""
        with self._lock:
            if self._raw is None:
                raise ClosedError("the lease is settled, or nothing was taken")
            self._raw.renew()

    def keep(self) -> None:
        """Has a helper thread renew the slots each third of the window, until the lease is settled:
        for what may take longer than the window."""
        with self._lock:
            if self._raw is None:
                raise ClosedError("the lease is settled, or nothing was taken")
            self._raw.keep()

    def commit(self, *costs: int) -> None:
        """Settles: frees slots, and of the other limits gives back the difference to |costs|, in quota
        units, one for each limit, or charges it. Without costs what was reserved was used. Raises
        StoreError where the store did not answer; settled it is all the same."""
        if costs and len(costs) != len(self.decision.limits):
            raise InvalidError(f"{len(costs)} costs for {len(self.decision.limits)} limits",
                               _rlcore.ERR_INVALID)
        for cost in costs:
            if not isinstance(cost, int):
                raise TypeError(f"cost is an int, not {type(cost).__name__}")
            if not 0 <= cost <= _rlcore.MAX_QUOTA:
                raise InvalidError(f"cost is {cost}: write 0 to {_rlcore.MAX_QUOTA}",
                                   _rlcore.ERR_INVALID)
        with self._lock:
            self._take().commit(costs or None)

    def release(self) -> None:
        """Settles: nothing was used, and all of it is given back. Raises StoreError as commit."""
        with self._lock:
            self._take().release()

    def _settle(self) -> None:
        if self._raw is not None:
            try:
                self.commit() if self._commits else self.release()
            except ClosedError:  # by another thread meanwhile
                pass

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, kind: Optional[type[BaseException]], error: Optional[BaseException],
                 trace: Optional[TracebackType]) -> None:
        if error is None:
            self._settle()
            return
        try:  # the first error is what the caller has to see
            self._settle()
        except Exception:
            pass

    def __del__(self) -> None:
        # The library's lease ends before its limiter and its policies.
        self._raw = None
        self._limiter = None

    def __repr__(self) -> str:
        state = "settled" if self._raw is None else "held"
        return f"<rlcore.Lease {state if self.allowed else 'denied'}: {self.decision.name}>"
