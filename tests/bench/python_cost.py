# SPDX-License-Identifier: Apache-2.0
"""The Python package beside `limits` and Flask-Limiter, in turns within the same run."""

import multiprocessing
import os
import statistics
import sys
import threading
import time

from redis_env import BUILD, CONTROL, LOGIN, TOP, Redis

sys.path[:0] = [str(BUILD / "bindings/python/lib"), str(TOP / "tests/faults")]

ROUNDS = 5
FIXED = "1000000000/day algorithm=fixed-window"


def per_call(work, calls):
    """Seconds, and seconds of this process's CPU, that a call takes."""
    start, cpu = time.perf_counter(), time.process_time()
    for _ in range(calls):
        work()
    return (time.perf_counter() - start) / calls, (time.process_time() - cpu) / calls


def in_turns(works, calls):
    """For each of |works|, by name, the medians of its times and CPU times, in microseconds."""
    seen = {name: [] for name in works}
    for work in works.values():
        per_call(work, calls // 10)
    for _ in range(ROUNDS):
        for name, work in works.items():
            seen[name].append(per_call(work, calls))
    return {name: tuple(statistics.median(pair[i] for pair in pairs) * 1e6 for i in (0, 1))
            for name, pairs in seen.items()}


def row(name, value, goal):
    print("%-58s %10s  %s" % (name, value, goal), flush=True)


def ours(limiter, policy=FIXED):
    return lambda: limiter.check("alice", policy)


def theirs(uri):
    import limits
    from limits.storage import storage_from_string
    from limits.strategies import FixedWindowRateLimiter
    storage = storage_from_string(uri)
    strategy, item = FixedWindowRateLimiter(storage), limits.parse("1000000000/day")
    return lambda storage=storage: strategy.hit(item, "alice")


def in_process():
    import rlcore
    stores = {url: rlcore.Limiter(url) for url in ("memory:", "shm:")}
    works = {url: ours(limiter) for url, limiter in stores.items()}
    works["token-bucket"] = ours(stores["memory:"], "1000000000/day")
    works["named"] = lambda: stores["memory:"].check("alice", FIXED, cost=1, name="api")
    works["limits"] = theirs("memory://")
    told = in_turns(works, 50000)
    for name, label in (("memory:", "memory:, fixed-window"), ("shm:", "shm:, fixed-window"),
                        ("token-bucket", "memory:, token-bucket"),
                        ("named", "memory:, with cost= and name=")):
        row("%s, microseconds a call" % label, "%.3f" % told[name][0], "below 1")
    row("limits, memory, fixed-window, microseconds a call", "%.3f" % told["limits"][0], "")
    row("limits over rlcore", "%.1f" % (told["limits"][0] / told["memory:"][0]), "at least 4")


def through_redis(server):
    import rlcore
    limiter = rlcore.Limiter(server.url + "?timeout=5s&fail=closed")
    told = in_turns({"rlcore": ours(limiter), "limits": theirs(
        "redis+unix://:%s@%s" % (CONTROL, server.socket))}, 4000)
    for name, (wall, cpu) in told.items():
        row("%s on redis, one thread, microseconds a call (CPU)" % name, "%.1f (%.1f)" % (wall, cpu),
            "")
    row("rlcore over limits, decisions/s", "%.2f" % (told["limits"][0] / told["rlcore"][0]),
        "at least 1.5")
    row("rlcore over limits, CPU", "%.2f" % (told["rlcore"][1] / told["limits"][1]), "at most 0.45")
    limiter.close()


def far_away(server, ready):
    """A process of its own, since threads of ours would take turns with those that are measured."""
    from proxy import Proxy
    with Proxy(("127.0.0.1", server.port)) as proxy:
        proxy.delay = 0.001
        ready.send(proxy.port)
        ready.recv()


def threads(server):
    """Over a way of a millisecond: on this machine's own few cores a server and one thread that never
    waits are busy already."""
    import rlcore
    mine, its = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=far_away, args=(server, its))
    process.start()
    port = mine.recv()
    with rlcore.Limiter("redis://%s@127.0.0.1:%d?timeout=5s&fail=closed" % (LOGIN, port)) as limiter:
        works = {"rlcore": ours(limiter),
                 "limits": theirs("redis://:%s@127.0.0.1:%d" % (CONTROL, port))}
        for count in (1, 2, 4, 8, 16, 32):
            for name, work in works.items():
                rates = [by_threads(work, count, 300 * count) for _ in range(3)]
                row("%s, a server a millisecond away, %d threads, decisions/s" % (name, count),
                    "%.0f" % statistics.median(rates), "rising" if name == "rlcore" else "")
    mine.send(None)
    process.join()


def by_threads(ask, count, calls):
    def work():
        for _ in range(calls // count):
            ask()

    threads = [threading.Thread(target=work) for _ in range(count)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return calls / (time.perf_counter() - start)


def awaited(server):
    import asyncio

    import rlcore

    async def main():
        with rlcore.Limiter(server.url + "?timeout=5s&fail=closed") as limiter:
            await limiter.acheck("alice", FIXED)
            rates = []
            for _ in range(ROUNDS):
                start = time.perf_counter()
                await asyncio.gather(*(limiter.acheck("alice", FIXED) for _ in range(5000)))
                rates.append(5000 / (time.perf_counter() - start))
            row("rlcore on redis, 5000 tasks, decisions/s", "%.0f" % statistics.median(rates), "")

    asyncio.run(main())


def application(limited_by=None):
    import flask
    app = flask.Flask(limited_by or "bare")
    if limited_by == "flask-limiter":
        import flask_limiter
        import flask_limiter.util
        flask_limiter.Limiter(flask_limiter.util.get_remote_address, app=app, storage_uri="memory://",
                              default_limits=["1000000000/day"], headers_enabled=True)

    @app.get("/")
    def index():
        return "hello"

    if limited_by == "rlcore":
        import rlcore
        app.wsgi_app = rlcore.WSGI(app.wsgi_app, rlcore.Limiter("memory:"), FIXED, name="site")

    def ask():
        environ = {"REMOTE_ADDR": "192.0.2.1", "REQUEST_METHOD": "GET", "PATH_INFO": "/",
                   "SERVER_NAME": "h", "SERVER_PORT": "80", "wsgi.url_scheme": "http",
                   "wsgi.input": None, "wsgi.errors": sys.stderr}
        seen = []
        for _ in app(environ, lambda *told: seen.append(told)):
            pass
        assert seen[0][0] == "200 OK"

    return ask


def middleware():
    told = in_turns({name: application(name) for name in (None, "rlcore", "flask-limiter")}, 3000)
    bare = told[None][0]
    added = {name: told[name][0] - bare for name in ("rlcore", "flask-limiter")}
    row("Flask, microseconds a request", "%.1f" % bare, "")
    for name, micro in added.items():
        row("%s adds, microseconds" % name, "%.1f" % micro, "")
    row("rlcore over flask-limiter", "%.2f" % (added["rlcore"] / added["flask-limiter"]),
        "at most 0.33")


def main():
    print("%-58s %10s  %s" % ("", "median", "goal"))
    in_process()
    server = Redis()
    try:
        through_redis(server)
        threads(server)
        awaited(server)
    finally:
        server.stop()
    middleware()
    sys.stdout.flush()
    os._exit(0)  # the timers of `limits` would go on
