# SPDX-License-Identifier: Apache-2.0
"""Threads, forks, memory, and the end."""

import gc
import multiprocessing
import os
import resource
import subprocess
import sys
import textwrap
import threading
import time

import pytest

import rlcore

BIG = "1000000/day"


def counted(limiter, key):
    return 1000000 - limiter.peek(key, BIG, 0).remaining


def test_threads(limiter, key):
    def work():
        for _ in range(500):
            limiter.check(key, BIG)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # A token bucket has got back what a day's millionth part takes: it is never more than was sent.
    assert 4000 - 60 <= counted(limiter, key) <= 4000


def test_close_while_threads_call(url, key):
    for _ in range(10):
        limiter = rlcore.Limiter(url)
        started, errors = threading.Barrier(5), []

        def work():
            started.wait()
            try:
                while True:
                    limiter.check(key, BIG)
            except rlcore.ClosedError:
                errors.append(None)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        started.wait()
        time.sleep(0.005)
        limiter.close()
        for thread in threads:
            thread.join(10)
        assert len(errors) == 4


def test_others_run_while_one_waits(redis, key):
    """The GIL is free during a call that waits."""
    with rlcore.Limiter(redis.url + "?timeout=1s&fail=closed") as limiter:
        limiter.check(key, BIG)
        redis.command("CLIENT", "PAUSE", "300", "ALL")
        thread = threading.Thread(target=limiter.check, args=(key, BIG))
        thread.start()
        turns, start = 0, time.monotonic()
        while thread.is_alive() and time.monotonic() - start < 5:
            time.sleep(0.001)
            turns += 1
        thread.join()
        assert turns > 50


def child(limiter, key, calls):
    for _ in range(calls):
        assert limiter.check(key, BIG).source == "store"


@pytest.mark.parametrize("store", ["shm:", "redis:"])
def test_fork(store, redis, key):
    """As under gunicorn --preload: opened and used by the parent, then used by its children."""
    url = redis.url + "?timeout=10s" if store == "redis:" else store
    context = multiprocessing.get_context("fork")
    with rlcore.Limiter(url) as limiter:
        child(limiter, key, 100)
        children = [context.Process(target=child, args=(limiter, key, 100)) for _ in range(4)]
        for process in children:
            process.start()
        child(limiter, key, 100)
        for process in children:
            process.join(30)
            assert process.exitcode == 0
        assert 600 - 60 <= counted(limiter, key) <= 600


def test_fork_while_threads_log(key):
    """Lines that wait for their log when a process forks are the parent's."""
    context = multiprocessing.get_context("fork")
    with rlcore.Limiter("redis://127.0.0.1:1/0", log=lambda *_: None) as limiter:
        stop = threading.Event()

        def work():
            while not stop.is_set():
                limiter.check(key, BIG)

        thread = threading.Thread(target=work)
        thread.start()
        for _ in range(5):
            process = context.Process(target=limiter.check, args=(key, BIG))
            process.start()
            process.join(20)
            assert process.exitcode == 0
        stop.set()
        thread.join()


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def grow(work, calls):
    """Bytes that |calls| more calls have taken, after as many to warm up."""
    for _ in range(calls // 10):
        work()
    gc.collect()
    before = resident()
    for _ in range(calls):
        work()
    gc.collect()
    return resident() - before


def denied_and_raised(limiter):
    for bad in (("k", "5/q"), (None, "5/s"), ("k", "nobody"), ("k", "5/s", -1)):
        try:
            limiter.check(*bad)
        except (TypeError, ValueError):
            pass


@pytest.mark.skipif(bool(os.environ.get("RLC_SANITIZER")), reason="a sanitizer keeps memory")
def test_a_million_calls_keep_memory_flat():
    with rlcore.Limiter("memory:") as limiter:
        two = [rlcore.Limit("k", BIG, name="n"), rlcore.Limit(b"l", "6/s")]
        assert grow(lambda: limiter.check("k", BIG, cost=1, name="n"), 1000000) < 300000
        assert grow(lambda: limiter.check(two).limits, 100000) < 300000
        assert grow(lambda: denied_and_raised(limiter), 100000) < 300000
        assert grow(lambda: limiter.check(bytearray(b"x"), "5/s")._fields("draft-08"), 100000) < 300000


@pytest.mark.skipif(bool(os.environ.get("RLC_SANITIZER")), reason="a sanitizer keeps memory")
def test_limiters_leave_nothing(redis):
    def one(url):
        with rlcore.Limiter(url, policies={"api": "5/s"}, log=lambda *_: None) as limiter:
            limiter.check("k", "api")

    descriptors = len(os.listdir("/proc/self/fd"))
    for url in ("memory:", "shm:", redis.url + "?timeout=10s"):
        assert grow(lambda: one(url), 300) < 2000000, url
    assert len(os.listdir("/proc/self/fd")) <= descriptors + 1  # redis may still be hanging up


def test_a_cycle_is_collected():
    limiter = rlcore.Limiter("memory:")
    limiter.me = limiter
    seen = []

    class Last:
        def __del__(self):
            seen.append(True)

    limiter.last = Last()
    del limiter
    gc.collect()
    assert seen


def run(source, *words, timeout=60):
    done = subprocess.run([sys.executable, "-X", "dev", "-c", textwrap.dedent(source), *words],
                          capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, done.stderr
    return done


def test_the_interpreter_ends_well(redis):
    """With limiters that nobody closed, in threads, and with a helper that logs."""
    for url in ("memory:", "shm:", redis.url, "redis://127.0.0.1:1/0"):
        done = run("""
            import sys, threading, rlcore
            kept = rlcore.Limiter(sys.argv[1], log=lambda *_: None)
            kept.me = kept
            def work():
                while True:
                    kept.check("k", "5/s")
            for _ in range(2):
                threading.Thread(target=work, daemon=True).start()
            for _ in range(100):
                kept.check("k", "5/s")
            print("ended")
            """, url)
        assert done.stdout == "ended\n" and "Fatal" not in done.stderr, done.stderr
