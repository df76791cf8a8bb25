# SPDX-License-Identifier: Apache-2.0
import os
import pathlib
import sys

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("RLC_BUILDDIR", TOP / "build"))
LIB = os.environ.get("RLC_PYTHON_LIB") or str(BUILD / "bindings/python/lib")
sys.path[:0] = [LIB, str(TOP / "tests/integration")]
# For processes that tests start.
os.environ["PYTHONPATH"] = LIB

import redis_env  # noqa: E402

import rlcore  # noqa: E402

assert rlcore.__file__.startswith(os.path.realpath(LIB)), rlcore.__file__


@pytest.fixture(scope="module")
def redis():
    """A Redis server for the tests of a file."""
    server = redis_env.Redis()
    yield server
    server.stop()


@pytest.fixture(params=["memory:", "shm:", "redis:"])
def url(request):
    """Each kind of store. The keys of a test are its own, as `key` makes them."""
    if request.param == "redis:":
        server = request.getfixturevalue("redis")
        return server.url + "?fail=closed&timeout=10s"
    return request.param


@pytest.fixture
def key(request):
    return request.node.nodeid


@pytest.fixture
def limiter(url):
    with rlcore.Limiter(url, policies={"api": "10/s,1000/h burst=20"}) as opened:
        yield opened
