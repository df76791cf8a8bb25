# SPDX-License-Identifier: Apache-2.0
"""asyncio: no task blocks the others, and a thousand share a connection."""

import asyncio
import gc
import multiprocessing
import os
import threading
import time

import pytest

import rlcore
from rlcore import Limit

BIG = "1000000/day"


def test_acheck(limiter, key):
    async def main():
        decision = await limiter.acheck(key, "api", cost=2)
        assert decision.allowed and decision.remaining == 18 and decision.source == "store"
        both = [Limit(key, "api"), Limit(key, "1/day", name="other")]
        assert (await limiter.acheck(both)).allowed
        assert not (await limiter.acheck(both)).allowed
        assert (await limiter.apeek(key, "5/day", name="n")).remaining == 5
        assert (await limiter.acharge(key, "5/day", 3, name="n")).remaining == 2
        assert (await limiter.arefund(key, "5/day", 1, name="n")).remaining == 3
        assert await limiter.areset(key, "5/day", name="n") is True
        for bad, error in ((("k",), TypeError), ((None, "5/s"), TypeError), ((), TypeError),
                           (("k", "5/q"), rlcore.PolicyError), (("k", "5/s", -1), ValueError)):
            with pytest.raises(error):
                await limiter.acheck(*bad)

    asyncio.run(main())


def test_a_thousand_tasks_share_a_connection(redis, key):
    threads = threading.active_count()
    tasks = 1000

    async def one(limiter, turns):
        decision = await limiter.acheck(key, BIG)
        turns.append(threading.active_count())
        return decision

    async def main():
        with rlcore.Limiter(redis.url + "?timeout=20s&fail=closed") as limiter:
            turns = []
            await limiter.acheck(key, BIG)  # the connection is there
            before = limiter.stats().connects
            decisions = await asyncio.gather(*(one(limiter, turns) for _ in range(tasks)))
            assert all(d.allowed and d.source == "store" for d in decisions)
            assert len({d.remaining for d in decisions}) > tasks * 0.9
            assert limiter.stats().connects - before <= 1
            assert max(turns) == threads

    asyncio.run(main())


def test_the_loop_runs_while_redis_does_not(redis, key):
    async def main():
        with rlcore.Limiter(redis.url + "?timeout=200ms&fail=closed") as limiter:
            await limiter.acheck(key, BIG)
            redis.command("CLIENT", "PAUSE", "400", "ALL")
            start = time.monotonic()
            task = asyncio.ensure_future(limiter.acheck(key, BIG))
            longest = 0.0
            while not task.done():
                before = time.monotonic()
                await asyncio.sleep(0.001)
                longest = max(longest, time.monotonic() - before)
            assert (await task).source == "fail-closed"
            assert 0.15 < time.monotonic() - start < 2 and longest < 0.1

    asyncio.run(main())
    redis.command("CLIENT", "UNPAUSE")


def test_cancelled_tasks(redis, key):
    async def main():
        with rlcore.Limiter(redis.url + "?timeout=10s") as limiter:
            await limiter.acheck(key, BIG)
            tasks = [asyncio.ensure_future(limiter.acheck(key, BIG)) for _ in range(50)]
            await asyncio.sleep(0)
            for task in tasks[::2]:
                task.cancel()
            done = await asyncio.gather(*tasks, return_exceptions=True)
            assert sum(isinstance(d, asyncio.CancelledError) for d in done) == 25
            assert sum(isinstance(d, rlcore.Decision) for d in done) == 25
            assert (await limiter.acheck(key, BIG)).allowed

    asyncio.run(main())


def test_close_answers_what_is_awaited(redis, key):
    async def main():
        limiter = rlcore.Limiter(redis.url + "?timeout=10s")
        await limiter.acheck(key, BIG)
        redis.command("CLIENT", "PAUSE", "300", "ALL")
        task = asyncio.ensure_future(limiter.acheck(key, BIG))
        await asyncio.sleep(0.01)
        limiter.close()
        with pytest.raises(rlcore.ClosedError):
            await task
        with pytest.raises(rlcore.ClosedError):
            await limiter.acheck(key, BIG)

    asyncio.run(main())
    redis.command("CLIENT", "UNPAUSE")


def test_loops_one_after_another_and_at_once(limiter, key):
    async def main():
        for _ in range(5):
            await limiter.acheck(key, BIG)

    for _ in range(20):
        asyncio.run(main())
    threads = [threading.Thread(target=asyncio.run, args=(main(),)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    spent = 1000000 - limiter.peek(key, BIG, 0).remaining
    assert 125 - 20 <= spent <= 125


def test_loops_leave_nothing(redis, key):
    descriptors = len(os.listdir("/proc/self/fd"))
    with rlcore.Limiter(redis.url + "?timeout=10s") as limiter:
        async def main():
            await limiter.acheck(key, BIG)

        for _ in range(50):
            asyncio.run(main())
        gc.collect()
        assert len(os.listdir("/proc/self/fd")) < descriptors + 15
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= descriptors + 1


def in_child(limiter, key):
    async def main():
        decisions = await asyncio.gather(*(limiter.acheck(key, BIG) for _ in range(20)))
        assert all(d.source == "store" for d in decisions)

    asyncio.run(main())


def test_fork_with_a_loop_that_has_asked(redis, key):
    with rlcore.Limiter(redis.url + "?timeout=10s") as limiter:
        in_child(limiter, key)
        process = multiprocessing.get_context("fork").Process(target=in_child, args=(limiter, key))
        process.start()
        process.join(30)
        assert process.exitcode == 0
        in_child(limiter, key)


def test_decorated_coroutines(limiter, key):
    @limiter.limited("1/day", key=lambda whose: whose)
    async def greet(whose):
        return f"hello {whose}"

    async def main():
        assert await greet(key) == f"hello {key}"
        with pytest.raises(rlcore.RateLimited):
            await greet(key)

    asyncio.run(main())


@pytest.mark.skipif(bool(os.environ.get("RLC_SANITIZER")), reason="a sanitizer keeps memory")
def test_memory_stays_flat(redis, key):
    from test_python_life import resident

    async def main():
        with rlcore.Limiter(redis.url + "?timeout=10s") as limiter:
            async def many(calls):
                for _ in range(calls // 100):
                    await asyncio.gather(*(limiter.acheck(key, BIG, name="n") for _ in range(100)))

            await many(5000)
            before = resident()
            await many(20000)
            return resident() - before

    assert asyncio.run(main()) < 500000
