# SPDX-License-Identifier: Apache-2.0
"""The exceptions of rlcore. A denial is none, except where a decorator or a lease has no other way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import _rlcore

if TYPE_CHECKING:
    from ._rlcore import Decision


class Error(Exception):
    """A call that did not work. `code` is the library's number for why (librlcore's rlc_error)."""

    code: int

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[type[Error], tuple[str, int]]:
        return type(self), (str(self), self.code)


class InvalidError(Error, ValueError):
    """An argument that no caller may give; no decision was made."""


class ClosedError(InvalidError):
    """The limiter, lease or queue was closed."""


class PolicyError(Error, ValueError):
    """A policy text that cannot be used: the message names the column and what was expected."""


class URLError(Error, ValueError):
    """A store URL that cannot be used."""


class OutOfMemoryError(Error, MemoryError):
    """Memory ran out; nothing was changed."""


class SystemCallError(Error, OSError):
    """The operating system refused."""


class ForeignError(Error):
    """A store file that is not ours, damaged, or of another version."""


class UnsupportedError(Error, NotImplementedError):
    """Known, and not available in this version or build."""


class StoreError(Error):
    """The store did not answer, and no fail policy can stand in for it."""


class FullError(Error):
    """The index of bans, overrides and tiers has no room for one more."""


class LostError(Error, LookupError):
    """A lease that has ended, or is not known any more."""


class RateLimited(Exception):
    """Raised by what cannot return a denial: `decision` says for how long. See Limiter.limited."""

    decision: Decision

    def __init__(self, decision: Decision) -> None:
        super().__init__(decision)
        self.decision = decision

    def __str__(self) -> str:
        wait = self.decision.retry_after
        if self.decision.source == "fail-closed":
            return f"{self.decision.name}: the store cannot be asked, and all are refused meanwhile"
        if wait is None:
            return f"{self.decision.name}: the limit can never let this pass"
        return f"{self.decision.name}: the limit is reached; try again in {wait:.3f} s"


_rlcore.set_errors({
    0: ClosedError,
    _rlcore.ERR_INVALID: InvalidError,
    _rlcore.ERR_POLICY: PolicyError,
    _rlcore.ERR_URL: URLError,
    _rlcore.ERR_NOMEM: OutOfMemoryError,
    _rlcore.ERR_SYSTEM: SystemCallError,
    _rlcore.ERR_FOREIGN: ForeignError,
    _rlcore.ERR_UNSUPPORTED: UnsupportedError,
    _rlcore.ERR_STORE: StoreError,
    _rlcore.ERR_FULL: FullError,
    _rlcore.ERR_LOST: LostError,
})
