# SPDX-License-Identifier: Apache-2.0
"""WSGI and ASGI middleware: the same answers as Apache's."""

import asyncio
import json
import os
import pathlib
import re
import wsgiref.util
import wsgiref.validate

import pytest

import rlcore

PROBLEM = "application/problem+json"
PAGE = "text/html; charset=utf-8"
OURS = ("RateLimit-Policy", "RateLimit", "Retry-After", "Cache-Control", "Content-Type")


def hello(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Own", "yes")])
    return [b"hello"]


class Answer:
    def __init__(self, status, fields, body):
        self.status, self.pairs, self.body = status, fields, body
        self.fields = {name.lower(): value for name, value in fields}

    def __getitem__(self, name):
        return self.fields.get(name.lower())


def by_wsgi(app, ip="192.0.2.1", accept=None, method="GET", **more):
    environ = {"REMOTE_ADDR": ip, "REQUEST_METHOD": method, "QUERY_STRING": "", **more}
    wsgiref.util.setup_testing_defaults(environ)
    if accept is not None:
        environ["HTTP_ACCEPT"] = accept
    seen = []
    body = wsgiref.validate.validator(app)(environ, lambda *told: seen.append(told))
    text = b"".join(body)
    body.close()
    return Answer(int(seen[0][0][:3]), seen[0][1], text)


async def hello_async(scope, receive, send):
    await send({"type": "http.response.start", "status": 200,
                "headers": [(b"content-type", b"text/plain"), (b"x-own", b"yes")]})
    await send({"type": "http.response.body", "body": b"hello"})


def by_asgi(app, ip="192.0.2.1", accept=None, method="GET", **more):
    headers = [(b"accept", accept.encode())] if accept is not None else []
    scope = {"type": "http", "method": method, "client": (ip, 5) if ip is not None else None,
             "headers": headers, **more}
    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(app(scope, None, send))
    return Answer(sent[0]["status"], [(n.decode(), v.decode()) for n, v in sent[0]["headers"]],
                  b"".join(message["body"] for message in sent[1:]))


@pytest.fixture(params=["wsgi", "asgi"])
def door(request):
    """Builds middleware on an application that says hello, and asks it."""
    kind, app, ask = {"wsgi": (rlcore.WSGI, hello, by_wsgi),
                      "asgi": (rlcore.ASGI, hello_async, by_asgi)}[request.param]

    def make(limiter, policy, **more):
        middleware = kind(app, limiter, policy, **more)
        return lambda *args, **kwargs: ask(middleware, *args, **kwargs)

    return make


@pytest.fixture
def memory():
    with rlcore.Limiter("memory:", policies={"site": "3/365day"}) as limiter:
        yield limiter


def test_quota_then_429(door, memory):
    ask = door(memory, "site")
    answers = [ask() for _ in range(5)]
    assert [a.status for a in answers] == [200, 200, 200, 429, 429]
    assert answers[0].body == b"hello" and answers[0]["X-Own"] == "yes"
    year = 365 * 86400
    assert [a["RateLimit-Policy"] for a in answers] == [f'"site";q=3;w={year}'] * 5
    assert [re.match(r'"site";r=(\d);t=', a["RateLimit"])[1] for a in answers] == list("21000")
    assert 0 < int(answers[4]["Retry-After"]) <= year / 3
    assert [a["Cache-Control"] for a in answers] == [None, None, None, "no-store", "no-store"]
    problem = json.loads(answers[4].body)
    assert problem["status"] == 429 and problem["violated-policies"] == ["site"]
    assert problem["type"].endswith("#quota-exceeded")
    assert ask("192.0.2.2").status == 200


def test_the_same_as_apache(door, start):
    """Each answer of httpd, field by field and byte by byte."""
    conf = ('<Location />\n  RateLimit "2/365day,5/366day burst=2" name=site\n'
            '  RateLimit "4/365day" key=all name=all\n</Location>\n')
    apache = start(conf)
    apache.write("x", "hello", apache.docs)
    with rlcore.Limiter("memory:") as limiter:
        ask = door(limiter, lambda _: [
            rlcore.Limit("192.0.2.1", "2/365day,5/366day burst=2", name="site"),
            rlcore.Limit("all", "4/365day", name="all")])
        for turn in range(4):
            theirs, ours = apache.get("/x", "198.18.0.1"), ask()
            assert (theirs.status, theirs.status == 429) == (ours.status, turn >= 2)
            for name in OURS[:-1] + (("Content-Type", "Content-Length") if turn >= 2 else ()):
                wanted, told = theirs.field(name), ours[name]
                # A moment lies between the two.
                near = [int(x) for x in re.findall(r"t=(\d+)|^(\d+)$", wanted or "") for x in x if x]
                mine = [int(x) for x in re.findall(r"t=(\d+)|^(\d+)$", told or "") for x in x if x]
                assert len(near) == len(mine)
                assert all(abs(a - b) <= 5 for a, b in zip(near, mine)), (name, wanted, told)
                hide = lambda text: re.sub(r"t=\d+|^\d+$", "", text or "")
                assert hide(wanted) == hide(told), name
            if turn >= 2:
                assert theirs.body == ours.body.decode()


@pytest.fixture
def start():
    httpd_env = pytest.importorskip("httpd_env")
    if not os.environ.get("RATELIMIT_HTTPD"):
        pytest.skip("built without Apache")
    made = []

    def make(conf):
        made.append(httpd_env.Httpd(conf))
        return made[-1].start()

    yield make
    for httpd in made:
        httpd.finish()


@pytest.mark.parametrize("accept, expected", [
    (None, PROBLEM), ("", PROBLEM), ("*/*", PROBLEM), ("application/json", PROBLEM),
    ("application/problem+json, text/html;q=0.5", PROBLEM), ("text/html", PAGE),
    ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", PAGE),
    ("image/png", PAGE), ("application/json;q=0, */*", PAGE), ("Text/HTML ; Q=0.2, */*;q=0.1", PAGE),
    ("application/json;q=x", PROBLEM)])
def test_accept(door, memory, accept, expected):
    ask = door(memory, "site", cost=4)
    answer = ask(accept=accept)
    assert (answer.status, answer["Content-Type"]) == (429, expected)
    assert answer["Retry-After"] is None  # it can never pass
    assert int(answer["Content-Length"]) == len(answer.body)
    if expected == PAGE:
        assert answer.body.startswith(b"<!DOCTYPE")


def test_head(door, memory):
    ask = door(memory, "site", cost=4)
    get, head = ask(), ask(method="HEAD")
    assert (head.status, head.body) == (429, b"")
    assert head["Content-Length"] == get["Content-Length"]


@pytest.mark.parametrize("address, key", [
    ("192.0.2.1", "192.0.2.1"), ("::ffff:192.0.2.1", "192.0.2.1"),
    ("2001:db8:0:0:1::1", "2001:db8::/64"), ("", "unknown"), ("pipe", "pipe")])
def test_addresses(door, memory, address, key):
    assert door(memory, "site")(address).status == 200
    assert memory.peek(key, "site").remaining == 2


def test_a_client_without_an_address(memory):
    assert by_asgi(rlcore.ASGI(hello_async, memory, "site"), ip=None).status == 200
    assert memory.peek("unknown", "site").remaining == 2


def test_keys_costs_names_and_tiers(door, memory):
    ask = door(memory, "10/day", key=lambda request: request.get("x.user"), name="own",
               cost=lambda request: request["x.price"], tier=lambda _: None)
    assert ask(**{"x.user": "alice", "x.price": 4})["RateLimit"].startswith('"own";r=6;')
    assert ask(**{"x.user": b"bob\0", "x.price": 11}).status == 429
    for nobody in ({"x.user": None}, {"x.user": ""}, {}):
        answer = ask(**{"x.price": 1, **nobody})
        assert answer.status == 200 and answer["RateLimit"] is None


def test_headers_off_and_dry_run(door, memory):
    ask = door(memory, "site", headers=False)
    answers = [ask() for _ in range(4)]
    assert answers[3].status == 429 and answers[3]["Retry-After"]
    assert not any(a[name] for a in answers for name in OURS[:2])
    ask = door(memory, "site", dry_run=True)
    answer = ask()
    assert answer.status == 200 and answer["RateLimit"].startswith('"site";r=0;')


def test_503_while_the_store_is_away(door):
    with rlcore.Limiter("redis://127.0.0.1:1/0", log=lambda *_: None) as limiter:
        answer = door(limiter, "5/s", name="site", fail="closed")()
        assert answer.status == 503 and 1 <= int(answer["Retry-After"]) <= 5
        assert answer["RateLimit"] is None and answer["RateLimit-Policy"] == '"site";q=5;w=1'
        assert json.loads(answer.body)["type"].endswith("#temporary-reduced-capacity")
        answer = door(limiter, "5/s", name="site", fail="open")()
        assert answer.status == 200 and answer["RateLimit"] is None


def test_the_application_sees_the_decision(memory):
    seen = []

    def app(environ, start_response):
        seen.append(environ["rlcore.decision"])
        return hello(environ, start_response)

    by_wsgi(rlcore.WSGI(app, memory, "site"))
    assert seen[0].remaining == 2


def by_websocket(limiter, extensions):
    sent = []

    async def app(scope, receive, send):
        await send({"type": "websocket.accept"})

    async def send(message):
        sent.append(message)

    scope = {"type": "websocket", "client": ("192.0.2.1", 5), "headers": [], "extensions": extensions}
    asyncio.run(rlcore.ASGI(app, limiter, "1/day", name="ws")(scope, None, send))
    return sent


def test_websockets(memory):
    accepted, = by_websocket(memory, {})
    assert accepted["type"] == "websocket.accept"
    assert dict(accepted["headers"])[b"ratelimit"].startswith(b'"ws";r=0;')
    closed, = by_websocket(memory, {})
    assert closed == {"type": "websocket.close", "code": 1013}
    start, body = by_websocket(memory, {"websocket.http.response": {}})
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 429)
    assert json.loads(body["body"])["status"] == 429


def test_lifespan_passes_through(memory):
    seen = []

    async def app(scope, receive, send):
        seen.append(scope["type"])

    asyncio.run(rlcore.ASGI(app, memory, "site")({"type": "lifespan"}, None, None))
    assert seen == ["lifespan"]
