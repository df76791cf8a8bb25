# SPDX-License-Identifier: Apache-2.0
"""Decisions without waiting: one queue for each event loop, whose descriptor the loop polls."""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from typing import TYPE_CHECKING, Any, Optional

from . import _rlcore
from ._errors import ClosedError

if TYPE_CHECKING:
    from ._limiter import Limiter
    from ._rlcore import Decision


class Queues:
    """A limiter's queues, by loop."""

    __slots__ = ("_limiter", "_queues", "_lock", "_pid")

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = weakref.ref(limiter)
        self._queues: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _rlcore.Queue] = (
            weakref.WeakKeyDictionary())
        self._lock = threading.Lock()
        self._pid = os.getpid()

    async def decide(self, op: int, key: Any, policy: Any, cost: int, name: Optional[str],
                     group: Any, tier: Optional[str], fail: Optional[str]) -> Decision:
        limiter = self._limiter()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Decision] = loop.create_future()
        queue = self._queues.get(loop)
        if queue is None or self._pid != os.getpid():
            queue = self._add(loop)
        if policy is None:
            decision = queue.submit(op, future, limiter, key)
        else:
            decision = queue.submit(op, future, limiter, key, policy, cost, name=name, group=group,
                                    tier=tier, fail=fail)
        if decision is not None:
            return decision
        return await future

    def _add(self, loop: asyncio.AbstractEventLoop) -> _rlcore.Queue:
        limiter = self._limiter()
        with self._lock:
            if self._pid != os.getpid():  # a fork: the parent's loops are not ours
                self._queues.clear()
                self._pid = os.getpid()
            for other in [known for known in self._queues if known.is_closed()]:
                del self._queues[other]
            queue = _rlcore.Queue(limiter)
            self._queues[loop] = queue
        loop.add_reader(queue.get_fd(), _complete, queue)
        return queue

    def close(self) -> None:
        """Ends all queues; what is awaited raises ClosedError."""
        if self._pid != os.getpid():
            return
        with self._lock:
            queues = list(self._queues.items())
            self._queues.clear()
        for loop, queue in queues:
            if not loop.is_closed():
                # The loop may be another thread's, and only that may touch it.
                loop.call_soon_threadsafe(_end, loop, queue)


def _complete(queue: _rlcore.Queue) -> None:
    for future, answer in queue.complete():
        if future.done():  # the task was cancelled meanwhile
            continue
        if isinstance(answer, BaseException):
            future.set_exception(answer)
        else:
            future.set_result(answer)


def _end(loop: asyncio.AbstractEventLoop, queue: _rlcore.Queue) -> None:
    loop.remove_reader(queue.get_fd())
    for future in queue.close():
        if not future.done():
            future.set_exception(ClosedError("the limiter was closed"))
