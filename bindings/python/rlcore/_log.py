# SPDX-License-Identifier: Apache-2.0
"""Where a limiter's log lines go: to logging, or to a function of the caller's."""

from __future__ import annotations

import atexit
import itertools
import logging
from typing import Callable, Optional

from . import _rlcore

Log = Callable[[int, str, str], object]
"""Given a level of logging, the line's stable id ("RLC0301") and the line."""

_LEVELS = {
    _rlcore.LOG_ERROR: logging.ERROR,
    _rlcore.LOG_WARNING: logging.WARNING,
    _rlcore.LOG_INFO: logging.INFO,
    _rlcore.LOG_DEBUG: logging.DEBUG,
}
_logger = logging.getLogger("rlcore")
_numbers = itertools.count(1)
_sinks: dict[int, Callable[[int, str, str], object]] = {}
_rlcore.set_sinks(_sinks)
atexit.register(_rlcore.end_log)


def _to_logging(level: int, line_id: str, message: str) -> None:
    _logger.log(level, "%s: %s", line_id, message)


def add(log: Optional[Log]) -> int:
    """Makes a sink of a limiter; returns its number."""
    tell = _to_logging if log is None else log
    number = next(_numbers)
    _sinks[number] = lambda level, line_id, message: tell(_LEVELS[level], line_id, message)
    return number


def remove(number: int) -> None:
    """Ends a sink, when it has had what is waiting."""
    _rlcore.drain_log()
    _sinks.pop(number, None)
