# SPDX-License-Identifier: Apache-2.0
"""ASGI: middleware that limits an application (FastAPI, Starlette, and all others)."""

from __future__ import annotations

from typing import Any, Awaitable, Callable, MutableMapping, Optional, Union

from ._http import Fields, Limits, Rule, client_key, fields, forms_of, refusal
from ._limiter import Limiter
from ._policy import Key, Policy

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


def _client(scope: Scope) -> str:
    client = scope.get("client")
    return client_key(client[0] if client else None)


def _raw(fields: Fields) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in fields]


def _accept(scope: Scope) -> Optional[str]:
    values = [value.decode("latin-1") for name, value in scope.get("headers", ())
              if name == b"accept"]
    return ", ".join(values) or None


class ASGI:
    """Wraps an application as rlcore.WSGI does, without ever blocking its event loop. HTTP requests
    and WebSocket handshakes are limited; functions are given the scope.

    The application finds the Decision as scope["rlcore.decision"].
    """

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]], limiter: Limiter,
                 policy: Union[str, Policy, Callable[[Scope], Limits]], *,
                 key: Callable[[Scope], Optional[Key]] = _client,
                 cost: Union[int, Callable[[Scope], int]] = 1, name: Optional[str] = None,
                 tier: Optional[Callable[[Scope], Optional[str]]] = None,
                 fail: Optional[str] = None, headers: Union[str, bool] = "draft-08",
                 dry_run: bool = False) -> None:
        self.app = app
        self.limiter = limiter
        self._rule = Rule(policy, key, cost, name, tier, fail)
        forms_of(headers)  # a mistake is to be seen here
        self._headers = headers if forms_of(headers) else False
        self._dry_run = dry_run

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        limits = self._rule.limits(scope) if scope["type"] in ("http", "websocket") else None
        if not limits:
            await self.app(scope, receive, send)
            return
        decision = await self.limiter.acheck(limits)
        scope["rlcore.decision"] = decision
        if not decision.allowed and not self._dry_run:
            answer = refusal(decision, _accept(scope), headers=self._headers)
            await _refuse(scope, send, answer.status, _raw(answer.fields), answer.body)
            return
        raw = _raw(fields(decision, self._headers)) if self._headers else []

        async def send_with_fields(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.accept"):
                message = {**message, "headers": [*message.get("headers", ()), *raw]}
            await send(message)

        await self.app(scope, receive, send_with_fields if raw else send)


async def _refuse(scope: Scope, send: Send, status: int, headers: list[tuple[bytes, bytes]],
                  body: bytes) -> None:
    kind = "http"
    if scope["type"] == "websocket":
        if "websocket.http.response" not in scope.get("extensions", {}):
            await send({"type": "websocket.close", "code": 1013})  # the server makes 403 of it
            return
        kind = "websocket.http"
    await send({"type": f"{kind}.response.start", "status": status, "headers": headers})
    if scope.get("method") == "HEAD":
        body = b""
    await send({"type": f"{kind}.response.body", "body": body})
