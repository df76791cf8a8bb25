# SPDX-License-Identifier: Apache-2.0
"""Limiter: the front of the package."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
from types import TracebackType
from typing import (Any, AsyncIterator, Callable, Iterable, Mapping, NamedTuple, Optional,
                    TypeVar, Union, cast)

from . import _async, _log, _rlcore
from ._errors import ClosedError, InvalidError, PolicyError, RateLimited
from ._index import Index
from ._lease import Lease
from ._policy import Key, Limit, Policy, no_nul
from ._rlcore import Decision
from .testing import Clock

_FAIL = {"local": _rlcore.FAIL_LOCAL, "open": _rlcore.FAIL_OPEN, "closed": _rlcore.FAIL_CLOSED}
_BREAKER = {_rlcore.BREAKER_NONE: "none", _rlcore.BREAKER_CLOSED: "closed",
            _rlcore.BREAKER_OPEN: "open", _rlcore.BREAKER_HALF_OPEN: "half-open"}
_MOST_TEXTS = 1000
AnyPolicy = Union[str, Policy]
Limits = Union[Key, Limit, Iterable[Limit]]
F = TypeVar("F", bound=Callable[..., Any])


class Stats(NamedTuple):
    """Counts of a limiter since it was made, of all processes forked after that together."""

    allowed: int
    denied: int
    fallback: int
    """Of those decisions, by the local fallback."""
    fail_open: int
    fail_closed: int
    store_errors: int
    """Calls that the store did not answer."""
    store_timeouts: int
    store_unavailable: int
    store_refused: int
    breaker_opened: int
    breaker: str
    """"none", "closed" (the store is asked), "open" (it is not) or "half-open", in this process."""
    breaker_reason: str
    """Why it opened last."""
    connects: int
    connections_lost: int
    resent: int
    late_replies: int
    slots: int
    """Of a table in memory; 0 for redis."""
    slots_used: int
    evicted_live: int
    """Live keys that gave way because their part of the table was full."""
    banned: int
    leases_lost: int
    index_entries: int


_STATS_NUMBERS = [name for name in Stats._fields if name not in ("breaker", "breaker_reason")]


class Limiter(Index):
    """Decides whether a request may pass. For any thread, and after a fork for the child too.

    url        where counters live: "shm:" (this process and its children; the default),
               "shm:/path", "memory:", "redis://host/0", "redis+unix:///path",
               "redis+sentinel://...", "redis+cluster://..."; rediss: for TLS
    policies   {name: text}: what callers then name
    timeout_ms the longest a decision through redis may take, 1 to 60000; default 25
    fail       what happens while redis cannot answer: "local" (the default), "open" or "closed"
    secret     keys the hash of keys in Redis key names; 16 to 1024 bytes, the same in every program
    log        called with (level of logging, id, message); default: the logger "rlcore"
    clock      a testing.Clock, for tests
    shm_fd     the shm_fd of another limiter, whose table is gone on with
    display    bans that a policy's `ban=` makes carry the key as what to call it

    Raises URLError, PolicyError, InvalidError, ForeignError, UnsupportedError or SystemCallError.
    A store that is away is no error: see fail. Closed by close(), or as a context manager.
    """

    def __init__(self, url: str = "shm:", *, policies: Optional[Mapping[str, str]] = None,
                 timeout_ms: Optional[float] = None, fail: Optional[str] = None,
                 secret: Union[str, bytes, None] = None, log: Optional[_log.Log] = None,
                 clock: Optional[Clock] = None, shm_fd: Optional[int] = None,
                 display: bool = False) -> None:
        if self._raw is not None:
            raise InvalidError("the limiter is open already", _rlcore.ERR_INVALID)
        options = _rlcore.Options()
        if timeout_ms is not None:
            options.set_timeout_us(max(-1, min(round(timeout_ms * 1000), 1 << 40)))
        if fail is not None:
            if fail not in _FAIL:
                raise InvalidError(f'fail is {fail!r}: write "local", "open" or "closed"',
                                   _rlcore.ERR_INVALID)
            options.set_fail(_FAIL[fail])
        if secret is not None:
            options.set_secret(secret)
        options.set_display(bool(display))
        if shm_fd is not None:
            options.set_shm_fd(shm_fd)
        if clock is not None:
            options.set_test_clock(clock._raw)
        self._clock = clock  # lives as long as the limiter
        self._named: dict[AnyPolicy, _rlcore.PolicyEntry] = {
            name: Policy(text, name)._entry for name, text in (policies or {}).items()}
        self._entries = dict(self._named)
        self._queues = _async.Queues(self)
        self._url = no_nul(url, "a URL")
        self._sink = _log.add(log)
        options.set_log(self._sink)
        try:
            raw = _rlcore.Limiter(url, options)
        except BaseException:
            _log.remove(self._sink)
            raise
        self._open(raw, self._entries, url.startswith("redis"))

    def _resolve(self, policy: Union[str, Policy]) -> _rlcore.PolicyEntry:
        """What a policy is, which the table of this limiter does not have. For _rlcore."""
        if isinstance(policy, Policy):
            return policy._entry
        if not isinstance(policy, str):
            raise TypeError(f"a policy is str or rlcore.Policy, not {type(policy).__name__}")
        if policy[:1].isalpha():
            known = ", ".join(sorted(map(str, self._named))) or "none is"
            raise PolicyError(f'no policy is named "{policy}" here ({known}): write one that is, or '
                              'a policy such as "10/s"', _rlcore.ERR_POLICY)
        entry = Policy(policy)._entry
        if len(self._entries) - len(self._named) >= _MOST_TEXTS:  # texts made at run time
            self._entries.clear()
            self._entries.update(self._named)
        self._entries[policy] = entry
        return entry

    # --- life ------------------------------------------------------------------------------

    def close(self) -> None:
        """Ends the limiter: what is called then raises ClosedError. Calls under way in other
        threads end well; awaited decisions raise ClosedError."""
        if self._raw is not None:
            self._queues.close()
            self._close()
            _log.remove(self._sink)

    @property
    def closed(self) -> bool:
        return self._raw is None

    def __enter__(self) -> Limiter:
        return self

    def __exit__(self, kind: Optional[type[BaseException]], error: Optional[BaseException],
                 trace: Optional[TracebackType]) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_raw", None) is not None:
            self._close()
            _log.remove(self._sink)

    def __repr__(self) -> str:
        scheme = getattr(self, "_url", "").partition(":")[0]  # the rest may hold a password
        return f"<rlcore.Limiter {scheme}:{' closed' if self.closed else ''}>"

    def __reduce__(self) -> Any:
        raise TypeError("a Limiter cannot be pickled: open one in each process, or fork")

    def _live(self) -> _rlcore.Limiter:
        raw = self._raw
        if raw is None:
            raise ClosedError("the limiter is closed")
        return raw

    # --- leases ----------------------------------------------------------------------------

    def acquire(self, key: Limits, policy: Optional[AnyPolicy] = None, cost: int = 1, *,
                name: Optional[str] = None, group: Optional[Key] = None, tier: Optional[str] = None,
                fail: Optional[str] = None) -> Lease:
        """As check(); what it took can be settled later by the lease, which is false where the limit
        denied."""
        raw = self._live()
        if policy is None:
            decision, lease = self._acquire(key)
        else:
            decision, lease = self._acquire(key, policy, cost, name=name, group=group, tier=tier,
                                            fail=fail)
        return Lease(raw, decision, lease, commits=False)

    def slot(self, key: Limits, policy: Optional[AnyPolicy] = None, cost: int = 1, *,
             name: Optional[str] = None, group: Optional[Key] = None, tier: Optional[str] = None,
             fail: Optional[str] = None, keep: bool = False) -> Lease:
        """`with limiter.slot(key, "20/30s algorithm=concurrency"):` holds a slot meanwhile. keep=True
        renews it, for what may take longer than the window. Raises RateLimited where the limit
        denies."""
        lease = self.acquire(key, policy, cost, name=name, group=group, tier=tier, fail=fail)
        if not lease.allowed:
            raise RateLimited(lease.decision)
        lease._commits = True
        if keep and not lease.settled:
            lease.keep()
        return lease

    def reserve(self, key: Limits, policy: Optional[AnyPolicy] = None, cost: int = 1, *,
                name: Optional[str] = None, group: Optional[Key] = None, tier: Optional[str] = None,
                fail: Optional[str] = None) -> Lease:
        """`with limiter.reserve(key, "api", 500) as r: r.commit(312)` charges 500 and gives 188 back;
        all of it where it is not committed. Raises RateLimited where the limit denies."""
        lease = self.acquire(key, policy, cost, name=name, group=group, tier=tier, fail=fail)
        if not lease.allowed:
            raise RateLimited(lease.decision)
        return lease

    @contextlib.asynccontextmanager
    async def aslot(self, key: Limits, policy: Optional[AnyPolicy] = None, cost: int = 1, *,
                    name: Optional[str] = None, group: Optional[Key] = None,
                    tier: Optional[str] = None, fail: Optional[str] = None,
                    keep: bool = False) -> AsyncIterator[Lease]:
        """slot() for asyncio: `async with limiter.aslot(...)`. Taking and freeing wait in a thread of
        the loop's pool."""
        loop = asyncio.get_running_loop()
        lease = await loop.run_in_executor(None, functools.partial(
            self.slot, key, policy, cost, name=name, group=group, tier=tier, fail=fail, keep=keep))
        try:
            yield lease
        finally:
            await loop.run_in_executor(None, lease._settle)

    # --- decisions for event loops ---------------------------------------------------------

    async def acheck(self, key: Limits, policy: Optional[AnyPolicy] = None, cost: int = 1, *,
                     name: Optional[str] = None, group: Optional[Key] = None,
                     tier: Optional[str] = None, fail: Optional[str] = None) -> Decision:
        """check() for asyncio: neither blocks the loop nor needs a thread, and what all tasks ask
        travels together on shared connections."""
        return await self._queues.decide(_rlcore.OP_CHECK, key, policy, cost, name, group, tier, fail)

    async def apeek(self, key: Limits, policy: Optional[AnyPolicy] = None, cost: int = 1, *,
                    name: Optional[str] = None, group: Optional[Key] = None,
                    tier: Optional[str] = None, fail: Optional[str] = None) -> Decision:
        """peek() for asyncio."""
        return await self._queues.decide(_rlcore.OP_PEEK, key, policy, cost, name, group, tier,
                                         fail)

    async def acharge(self, key: Limits, policy: Optional[AnyPolicy] = None, cost: int = 1, *,
                      name: Optional[str] = None, group: Optional[Key] = None,
                      tier: Optional[str] = None, fail: Optional[str] = None) -> Decision:
        """charge() for asyncio."""
        return await self._queues.decide(_rlcore.OP_CHARGE, key, policy, cost, name, group, tier,
                                         fail)

    async def arefund(self, key: Limits, policy: Optional[AnyPolicy] = None, cost: int = 1, *,
                      name: Optional[str] = None, group: Optional[Key] = None,
                      tier: Optional[str] = None, fail: Optional[str] = None) -> Decision:
        """refund() for asyncio."""
        return await self._queues.decide(_rlcore.OP_REFUND, key, policy, cost, name, group, tier,
                                         fail)

    async def agrant(self, key: Limits, policy: Optional[AnyPolicy] = None, cost: int = 1, *,
                     name: Optional[str] = None, group: Optional[Key] = None,
                     tier: Optional[str] = None, fail: Optional[str] = None) -> Decision:
        """grant() for asyncio."""
        return await self._queues.decide(_rlcore.OP_GRANT, key, policy, cost, name, group, tier,
                                         fail)

    async def areset(self, key: Limits, policy: Optional[AnyPolicy] = None, *,
                     name: Optional[str] = None, group: Optional[Key] = None) -> bool:
        """reset() for asyncio."""
        decision = await self._queues.decide(_rlcore.OP_RESET, key, policy, 1, name, group, None, None)
        return not decision.degraded

    # --- the decorator ---------------------------------------------------------------------

    def limited(self, policy: Union[str, Policy], *, key: Union[Key, Callable[..., Any]],
                cost: Union[int, Callable[..., int]] = 1, name: Optional[str] = None,
                tier: Optional[str] = None, fail: Optional[str] = None) -> Callable[[F], F]:
        """Decorates a function, or a coroutine function: each call is checked first.

        key and cost may be functions, which are given the call's arguments. A key of None means no
        limit for this call. Raises RateLimited where the limit denies.
        """

        def arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Optional[Limit]:
            whose = key(*args, **kwargs) if callable(key) else key
            if whose is None:
                return None
            price = cost(*args, **kwargs) if callable(cost) else cost
            return Limit(whose, policy, price, name, None, tier, fail)

        def decorate(function: F) -> F:
            if inspect.iscoroutinefunction(function):
                @functools.wraps(function)
                async def awaited(*args: Any, **kwargs: Any) -> Any:
                    limit = arguments(args, kwargs)
                    if limit is not None:
                        decision = await self.acheck(limit)
                        if not decision.allowed:
                            raise RateLimited(decision)
                    return await function(*args, **kwargs)
                return cast(F, awaited)

            @functools.wraps(function)
            def called(*args: Any, **kwargs: Any) -> Any:
                limit = arguments(args, kwargs)
                if limit is not None:
                    decision = self.check(limit)
                    if not decision.allowed:
                        raise RateLimited(decision)
                return function(*args, **kwargs)
            return cast(F, called)

        return decorate

    # --- what else it tells ----------------------------------------------------------------

    def stats(self) -> Stats:
        """Counts since the limiter was made."""
        raw = self._live().get_stats()
        numbers = {name: getattr(raw, name) for name in _STATS_NUMBERS}
        return Stats(breaker=_BREAKER[raw.breaker],
                     breaker_reason=_rlcore.rlc_reason_text(raw.breaker_reason), **numbers)

    @property
    def shm_fd(self) -> int:
        """The descriptor of a "shm:" table, for the shm_fd of another limiter; -1 for other stores.
        It is the limiter's own."""
        return self._live().get_shm_fd()
