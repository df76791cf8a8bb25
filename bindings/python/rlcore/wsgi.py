# SPDX-License-Identifier: Apache-2.0
"""WSGI: middleware that limits an application (Flask, Django, and all others)."""

from __future__ import annotations

from typing import Any, Callable, Iterable, Optional, Union

from ._http import Limits, Rule, client_key, fields, forms_of, refusal
from ._limiter import Limiter
from ._policy import Key, Policy

Environ = dict[str, Any]


def _client(environ: Environ) -> str:
    return client_key(environ.get("REMOTE_ADDR"))


class WSGI:
    """Wraps an application: requests that a limit refuses are answered here, by 429, or by 503 while
    fail="closed" refuses, with Retry-After and application/problem+json (a page for browsers);
    all answers get the fields RateLimit-Policy and RateLimit, or what headers= says (see fields()).

    app      the application
    limiter  who decides
    policy   a policy, or a function from the environ to a Limit, to several, or to None
    key      from the environ to a key; None or an empty one: no limit. Default: REMOTE_ADDR, which
             behind a proxy is the proxy's, unless another middleware puts the client's there
    cost     quota units, or a function from the environ to them
    name, fail   as of rlcore.Limit
    tier     from the environ to the key's tier
    dry_run  refuses nobody; the decision is in the environ all the same

    The application finds the Decision as environ["rlcore.decision"].
    """

    def __init__(self, app: Callable[..., Iterable[bytes]], limiter: Limiter,
                 policy: Union[str, Policy, Callable[[Environ], Limits]], *,
                 key: Callable[[Environ], Optional[Key]] = _client,
                 cost: Union[int, Callable[[Environ], int]] = 1, name: Optional[str] = None,
                 tier: Optional[Callable[[Environ], Optional[str]]] = None,
                 fail: Optional[str] = None, headers: Union[str, bool] = "draft-08",
                 dry_run: bool = False) -> None:
        self.app = app
        self.limiter = limiter
        self._rule = Rule(policy, key, cost, name, tier, fail)
        forms_of(headers)  # a mistake is to be seen here
        self._headers = headers if forms_of(headers) else False
        self._dry_run = dry_run

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        limits = self._rule.limits(environ)
        if not limits:
            return self.app(environ, start_response)
        decision = self.limiter.check(limits)
        environ["rlcore.decision"] = decision
        if not decision.allowed and not self._dry_run:
            answer = refusal(decision, environ.get("HTTP_ACCEPT"), headers=self._headers)
            start_response(f"{answer.status} {answer.phrase}", answer.fields)
            return [] if environ.get("REQUEST_METHOD") == "HEAD" else [answer.body]
        if not self._headers:
            return self.app(environ, start_response)
        more = fields(decision, self._headers)

        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            return start_response(status, headers + more, *rest)

        return self.app(environ, start)
