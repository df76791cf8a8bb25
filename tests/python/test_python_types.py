# SPDX-License-Identifier: Apache-2.0
"""The type hints: mypy finds nothing in the package, and finds what users do wrong."""

import inspect
import os
import subprocess
import sys

import pytest

import rlcore
from conftest import LIB, TOP

GOOD = """
import rlcore
from typing import Optional

limiter = rlcore.Limiter("shm:", policies={"api": "10/s"}, timeout_ms=5)
decision: rlcore.Decision = limiter.check(b"key", "api", cost=2)
again: rlcore.Decision = limiter.check([rlcore.Limit("key", rlcore.Policy("5/s"))])
wait: Optional[float] = decision.retry_after
with limiter.reserve("key", "api", 500) as r:
    r.commit(312)


async def main() -> int:
    return (await limiter.acheck("key", "api")).remaining


@limiter.limited("api", key=lambda user: user)
def greet(user: str) -> str:
    return user


text: str = greet("alice")
"""
BAD = ["limiter.check(5, 'api')", "limiter.check('k', 'api', cost='1')", "limiter.check('k')",
       "decision.allowed = True", "greet(5)", "limiter.ban('k', 5)", "rlcore.Limiter(5)",
       "x: float = decision.retry_after"]


def mypy(tmp_path, *words):
    env = dict(os.environ, MYPYPATH=LIB)
    done = subprocess.run([sys.executable, "-m", "mypy", "--strict", "--cache-dir",
                           str(tmp_path / "cache"), *words], capture_output=True, text=True, env=env)
    return done.stdout + done.stderr


def test_mypy(tmp_path):
    pytest.importorskip("mypy")
    assert mypy(tmp_path, "-p", "rlcore").startswith("Success")
    (tmp_path / "good.py").write_text(GOOD)
    assert mypy(tmp_path, str(tmp_path / "good.py")).startswith("Success")
    (tmp_path / "bad.py").write_text(GOOD + "\n".join(BAD) + "\n")
    told = mypy(tmp_path, str(tmp_path / "bad.py"))
    first = GOOD.count("\n") + 1
    for i, line in enumerate(BAD):
        assert f"bad.py:{first + i}: error" in told, (line, told)


def test_all_that_is_public_is_documented():
    for name in rlcore.__all__:
        item = getattr(rlcore, name)
        if not inspect.isclass(item):
            assert item.__doc__ or name == "Key", name
            continue
        assert item.__doc__, name
        for member, value in vars(item).items():
            if inspect.isfunction(value) and not member.startswith("_"):
                assert value.__doc__, f"{name}.{member}"


def test_the_stub_names_what_the_extension_has():
    stub = (TOP / "bindings/python/rlcore/_rlcore.pyi").read_text()
    from rlcore import _rlcore
    for line in stub.splitlines():
        if line and not line.startswith((" ", "#", "from", "import", "class _Said")):
            name = line.replace("class ", "").replace("def ", "")
            name = name.split("(")[0].split(":")[0]
            assert hasattr(_rlcore, name), name
