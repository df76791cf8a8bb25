# SPDX-License-Identifier: Apache-2.0
"""The recipes of bindings/python/README.md, run as they stand there."""

import asyncio
import contextlib
import io
import re
import sys
import types

import pytest

import rlcore
from conftest import TOP

README = (TOP / "bindings/python/README.md").read_text()


def recipe(heading):
    """The namespace that the first block of Python behind a heading leaves."""
    section = README[README.index(f"\n{heading}\n") if heading else 0:]
    source = re.search(r"```python\n(.*?)```", section, re.S)[1]
    module = types.ModuleType("recipe")
    sys.modules["recipe"] = module
    exec(compile(source, f"README.md: {heading or 'the first'}", "exec"), vars(module))
    return module


def test_first():
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        module = recipe("")
    assert out.getvalue() == "19 of 20\nto alice\n"
    module.limiter.close()


def test_flask():
    pytest.importorskip("flask")
    module = recipe("## Flask")
    client = module.app.test_client()
    answers = [client.post("/login", data={"user": "alice"}) for _ in range(6)]
    assert [a.status_code for a in answers] == [200] * 5 + [429]
    assert answers[0].text == "welcome"
    assert answers[5].json["violated-policies"] == ["login"]
    assert answers[5].headers["Retry-After"] and answers[5].mimetype == "application/problem+json"
    assert '"site";q=100;w=60' in answers[0].headers["RateLimit-Policy"]
    answers = [client.get("/nowhere") for _ in range(100)]
    assert answers[0].status_code == 404 and answers[-1].status_code == 429
    module.limiter.close()


def test_django():
    django = pytest.importorskip("django")
    from django.conf import settings
    from django.http import HttpResponse
    from django.test import RequestFactory
    module = recipe("## Django")
    if not settings.configured:
        settings.configure(DEFAULT_CHARSET="utf-8")
        django.setup()
    ask = module.rate_limits(lambda request: HttpResponse("hello"))
    request = RequestFactory().get("/", HTTP_ACCEPT="application/json")
    answers = [ask(request) for _ in range(101)]
    assert [a.status_code for a in (answers[0], answers[99], answers[100])] == [200, 200, 429]
    assert answers[0]["RateLimit"].startswith('"site";r=99;')
    assert answers[100]["Content-Type"] == "application/problem+json"
    assert answers[100]["Retry-After"] == "1"
    request.user = types.SimpleNamespace(pk=5, is_authenticated=True)
    assert ask(request).status_code == 200
    module.limiter.close()


def test_fastapi():
    pytest.importorskip("fastapi")
    httpx = pytest.importorskip("httpx")
    module = recipe("## FastAPI")

    async def main():
        transport = httpx.ASGITransport(app=module.app, client=("192.0.2.1", 5))
        async with httpx.AsyncClient(transport=transport, base_url="http://site") as client:
            return [await client.get("/search") for _ in range(12)]

    answers = asyncio.run(main())
    assert [a.status_code for a in answers] == [200] * 10 + [429] * 2
    assert answers[0].json() == {"found": []}
    assert answers[0].headers["RateLimit"].startswith('"site";r=99;')
    assert answers[11].headers["Content-Type"] == "application/problem+json"
    # The client is told of both limits.
    assert '"search"' in answers[11].headers["RateLimit"]
    assert '"site"' in answers[11].headers["RateLimit"]
    module.limiter.close()


def test_flask_limiter():
    pytest.importorskip("flask_limiter")
    module = recipe("## Flask-Limiter, and whatever else uses `limits`")
    client = module.app.test_client()
    statuses = [client.get("/").status_code for _ in range(101)]
    assert statuses == [200] * 100 + [429]


@pytest.fixture(params=["memory", "redis"])
def storage(request):
    pytest.importorskip("limits")
    import limits.storage
    import rlcore.limits_storage
    uri = "rlcore+memory:"
    if request.param == "redis":
        uri = "rlcore+" + request.getfixturevalue("redis").url + "?timeout=10s"
    opened = limits.storage.storage_from_string(uri)
    yield opened
    opened.limiter.close()


@pytest.mark.parametrize("strategy", ["fixed-window", "moving-window"])
def test_limits_strategies(storage, strategy):
    import limits
    from limits.strategies import STRATEGIES
    limiter, item = STRATEGIES[strategy](storage), limits.parse("3/365 days")
    assert storage.check() is True
    assert limiter.test(item, "k", strategy)
    assert limiter.get_window_stats(item, "k", strategy)[1] == 3
    assert [limiter.hit(item, "k", strategy) for _ in range(4)] == [True, True, True, False]
    assert not limiter.test(item, "k", strategy)
    reset, remaining = limiter.get_window_stats(item, "k", strategy)
    assert remaining == 0 and reset > 1700000000
    limiter.clear(item, "k", strategy)
    assert limiter.test(item, "k", strategy)
    assert limiter.hit(item, "other/5/1/minute", strategy, cost=3)
    assert limiter.get_window_stats(item, "other/5/1/minute", strategy)[1] == 0


def test_limits_refusals(storage):
    with pytest.raises(NotImplementedError):
        storage.incr("k/5/1/minute", 60, elastic_expiry=True)
    with pytest.raises(NotImplementedError):
        storage.reset()


def test_limits_store_away():
    pytest.importorskip("limits")
    from limits.storage import storage_from_string
    import rlcore.limits_storage
    storage = storage_from_string("rlcore+redis://127.0.0.1:1/0")
    assert storage.check() is False
    with pytest.raises(rlcore.StoreError):
        storage.incr("k/5/1/minute", 60)
    storage.limiter.close()
