# SPDX-License-Identifier: Apache-2.0
"""What HTTP is told of a decision, the same as mod_ratelimit_redis tells."""

from __future__ import annotations

import random
from typing import Any, Callable, Iterable, NamedTuple, Optional, Union

from . import _rlcore
from ._policy import Key, Limit, Policy, no_nul
from ._rlcore import Decision

Fields = list[tuple[str, str]]
Limits = Union[Limit, Iterable[Limit], None]

_PAGE = """<!DOCTYPE html>
<html lang="en"><head><title>%s</title></head>
<body><h1>%s</h1><p>%s</p></body></html>
"""
_FORMS = ("draft-08", "draft-07", "draft-06", "x-ratelimit", "x-ratelimit-epoch")
_PHRASES = {429: "Too Many Requests", 503: "Service Unavailable"}
_DETAILS = {429: "You have sent too many requests. Try again later.",
            503: "The quota cannot be checked at the moment. Try again later."}
_RANGES = {
    # how exactly each names (application/problem+json, text/html): 0 is not at all
    "*/*": (1, 1),
    "application/*": (2, 0),
    "application/json": (3, 0),
    "application/problem+json": (4, 0),
    "text/*": (0, 2),
    "text/html": (0, 4),
}


def address_key(address: str, v4_prefix: int = 32, v6_prefix: int = 64) -> str:
    """A client's address as a key: IPv4-mapped IPv6 as IPv4, cut to so many bits; by default IPv6
    to its /64, which one client has all of. Returns "" for what is no address.
    Source: RFC 5952 for the text."""
    if not 0 <= v4_prefix <= 32 or not 0 <= v6_prefix <= 128:
        raise ValueError("prefixes are 0 to 32 bits for IPv4, 0 to 128 for IPv6")
    if "\0" in address:
        return ""
    return _rlcore.rlb_format_address(address, v4_prefix, v6_prefix)


def acl(url: str, *, sentinels: bool = False) -> str:
    """The least that Redis has to allow to whom uses the store of that URL, as for ACL SETUSER; or
    what its sentinels have to, "" where it has none. Raises URLError."""
    return _rlcore.rlb_format_acl(no_nul(url, "a URL"), sentinels)


def client_key(address: Optional[str]) -> str:
    """The key of a client where nothing else was said. Never empty: a server behind a unix socket
    tells no address, and then all clients are one."""
    return address_key(address or "") or address or "unknown"


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.strip().partition("=")
        if name.lower() == "q":
            try:
                return min(max(float(value), 0.0), 1.0)
            except ValueError:
                return 1.0
    return 1.0


def wants_problem(accept: Optional[str]) -> bool:
    """Whether a client would rather have application/problem+json than a page. What names a type
    more exactly goes before what names it less."""
    if not accept:
        return True
    wishes = [(0, 0.0), (0, 0.0)]
    for media_range in accept.split(","):
        name, *parameters = media_range.split(";")
        for i, fit in enumerate(_RANGES.get(name.strip().lower(), (0, 0))):
            if fit:
                wishes[i] = max(wishes[i], (fit, _quality(parameters)))
    problem, html = wishes
    if problem[1] == 0:
        return False
    if problem[1] != html[1]:
        return problem[1] > html[1]
    return html[0] < 2 or problem[0] > html[0]


def partition(key: Key, secret: Union[str, bytes]) -> str:
    """`;pk=:...:`, to stand behind an item of RateLimit or RateLimit-Policy: a hash of the key, by which
    clients can tell whose quota it is; "" for a secret of less than 16 bytes."""
    return _rlcore.rlb_format_partition(secret, key)


def forms_of(headers: Union[str, bool]) -> tuple[str, ...]:
    """The forms that `headers=` names. Raises ValueError."""
    if headers is True:
        return ("draft-08",)
    if headers is False or headers == "off":
        return ()
    forms = tuple(headers.split())
    for form in forms:
        if form not in _FORMS:
            raise ValueError(f'headers: "{form}" is no form of the fields: write one of '
                             f'{", ".join(_FORMS)}, or off')
    if len({form[:1] for form in forms}) < len(forms):
        raise ValueError(f'headers: "{headers}" has two forms of one kind: write a draft, one of the '
                         'x-ratelimit, or one of each')
    return forms


def fields(decision: Decision, headers: Union[str, bool] = "draft-08") -> Fields:
    """The HTTP fields for every answer to which a limit applies, in the form of RateLimitHeaders in
    Apache: "draft-08", which is RateLimit-Policy and RateLimit
    (draft-ietf-httpapi-ratelimit-headers-08 to -11), "draft-07", "draft-06", "x-ratelimit" or
    "x-ratelimit-epoch"; a draft and an x-ratelimit with a space between them; or "off"."""
    return [field for form in forms_of(headers) for field in decision._fields(form)]


class Refusal(NamedTuple):
    """An answer to a request that was refused."""

    status: int
    """429, or 503 where the fail policy refused."""
    phrase: str
    fields: Fields
    body: bytes


def refusal(decision: Decision, accept: Optional[str] = None, *,
            headers: Union[str, bool] = "draft-08") -> Refusal:
    """The answer to a request that was refused: 429 (RFC 6585), with Retry-After in whole seconds
    unless no wait helps, and application/problem+json (RFC 9457), or a page where the field Accept
    of the request, |accept|, says so. |headers| is as for fields()."""
    told = fields(decision, headers)
    if decision.source == "fail-closed":
        # Nobody knows when the store is back, and the clients should not come back all at once.
        status, wait = 503, str(random.randint(1, 5))
    else:
        status, wait = 429, decision._retry_after()
    if wait:
        told.append(("Retry-After", wait))
    told.append(("Cache-Control", "no-store"))  # RFC 6585, section 4
    if wants_problem(accept):
        kind, body = "application/problem+json", decision._problem(status)
    else:
        title = f"{status} {_PHRASES[status]}"
        kind = "text/html; charset=utf-8"
        body = (_PAGE % (title, _PHRASES[status], _DETAILS[status])).encode()
    told += [("Content-Type", kind), ("Content-Length", str(len(body)))]
    return Refusal(status, _PHRASES[status], told, body)


class Rule:
    """What a middleware was told: from a request to its limits."""

    __slots__ = ("_policy", "_key", "_cost", "_name", "_tier", "_fail")

    def __init__(self, policy: Union[str, Policy, Callable[[Any], Limits]],
                 key: Callable[[Any], Optional[Key]], cost: Union[int, Callable[[Any], int]],
                 name: Optional[str], tier: Optional[Callable[[Any], Optional[str]]],
                 fail: Optional[str]) -> None:
        self._policy, self._key, self._cost = policy, key, cost
        self._name, self._tier, self._fail = name, tier, fail

    def limits(self, request: Any) -> Limits:
        """None, or an empty list: no limit for this request."""
        if not isinstance(self._policy, (str, Policy)):
            return self._policy(request)
        key = self._key(request)
        if key is None or len(key) == 0:
            return None
        cost = self._cost(request) if callable(self._cost) else self._cost
        tier = self._tier(request) if self._tier is not None else None
        return Limit(key, self._policy, cost, self._name, None, tier, self._fail)
