# SPDX-License-Identifier: Apache-2.0
"""Bans, overrides and tiers: what people set while programs run. The store has them, and every process
that uses it goes by them within 2 s."""

from __future__ import annotations

from typing import NamedTuple, Optional, Union

from . import _rlcore
from ._errors import InvalidError
from ._policy import Key, Policy, no_nul

_KINDS = {_rlcore.ENTRY_BAN: "ban", _rlcore.ENTRY_OVERRIDE: "override", _rlcore.ENTRY_TIER: "tier",
          _rlcore.ENTRY_MEMBER: "member"}


class Entry(NamedTuple):
    """One entry of a store's index."""

    kind: str
    """"ban", "override", "tier" or "member"."""
    key: str
    """The key's hash, as Limiter.hash() tells it; "" for a tier."""
    name: str
    """The limit's name; "" for a member."""
    tier: str
    policy: str
    display: str
    """What to call the key, or "": as it was given, unchecked, by strangers. Escape it."""
    left: Optional[float]
    """Seconds until a ban ends; None for the others, which do not."""
    level: int
    """Of a ban: how many in a row, from 1; 0: set by people."""


def _name(name: str, what: str = "name") -> str:
    if not _rlcore.rlc_name_ok(no_nul(name, f"a {what}")):
        raise InvalidError(f'{name!r} is no {what}: write a letter, then up to {_rlcore.MAX_NAME - 1} '
                           'letters, digits, "-" or "_"', _rlcore.ERR_INVALID)
    return name


def _us(seconds: float) -> int:
    if not 1 <= seconds <= 10 * 366 * 86400:
        raise InvalidError(f"a ban is 1 second to 10 years long, not {seconds!r}",
                           _rlcore.ERR_INVALID)
    return round(seconds * 1e6)


def _text(text: Optional[str], what: str) -> Optional[str]:
    return None if text is None else no_nul(text, what)


class Index(_rlcore.Core):
    """The part of a Limiter that asks for its store's index. Each call asks the store itself, and raises
    StoreError where it does not answer in time, and FullError where there is no room."""

    _named: dict[Union[str, Policy], _rlcore.PolicyEntry]

    def _live(self) -> _rlcore.Limiter:
        raise NotImplementedError

    def _policy_text(self, policy: Union[str, Policy, None]) -> Optional[str]:
        if policy is None:
            return None
        if isinstance(policy, Policy):
            return policy.text
        known = self._named.get(policy)
        return no_nul(policy, "a policy") if known is None else known.policy.get_text()

    def ban(self, key: Key, name: str, seconds: float, *, display: Optional[str] = None) -> None:
        """Refuses |key| what the limit |name| decides, for so many seconds (1 to 10 years)."""
        self._live().ban(_name(name), key, _us(seconds), _text(display, "display"))

    def unban(self, key: Key, name: str) -> bool:
        """Ends a ban, and forgets the denials and bans before it. Returns whether there was one."""
        return bool(self._live().unban(_name(name), key))

    def override(self, key: Key, name: str, policy: Union[str, Policy, None], *,
                 display: Optional[str] = None) -> bool:
        """Gives |key| another policy under the limit |name|; None takes that away. Returns False where
        there was nothing to take away."""
        return bool(self._live().override(_name(name), key, self._policy_text(policy),
                                          _text(display, "display")))

    def set_tier(self, tier: str, name: str, policy: Union[str, Policy, None]) -> bool:
        """Says what the limit |name| means for keys of a tier; None takes that away. Returns as
        override."""
        return bool(self._live().set_tier(_name(tier, "tier"), _name(name),
                                          self._policy_text(policy)))

    def set_member(self, key: Key, tier: Optional[str], *, display: Optional[str] = None) -> bool:
        """Makes |key| a member of a tier; None takes it out of the one it is in. Returns as
        override."""
        return bool(self._live().set_member(key, None if tier is None else _name(tier, "tier"),
                                            _text(display, "display")))

    def list(self) -> list[Entry]:
        """All entries, tiers first."""
        raw = self._live().list()
        entries = (raw.get(i) for i in range(raw.count()))
        return [Entry(_KINDS[e.kind], e.key, e.name, e.tier, e.policy, e.display,
                      None if e.left_us == _rlcore.NEVER else e.left_us / 1e6, e.level)
                for e in entries]

    def hash(self, key: Key) -> str:
        """The hash of a key, as the index and names of keys in Redis have it."""
        return self._live().hash(key)

    def refresh(self) -> None:
        """Brings this process's copy of the index up to date, which else happens each second."""
        self._live().refresh()
