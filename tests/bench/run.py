# SPDX-License-Identifier: Apache-2.0
"""`make bench`: every figure beside one of the same run that it is to be read against. Not a test:
nothing passes or fails here. `run.py table|redis|share|httpd|check|cost|python|php` prints one part."""

import os
import re
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "integration")]

import check_cost  # noqa: E402
import redis_cost  # noqa: E402
from redis_env import BUILD, CONTROL, Redis, hammer  # noqa: E402

ROUNDS = 5
WIDE = "1000000000/3650day"  # refuses nothing


def heading(text):
    print("\n%s\n%s" % (text, "-" * len(text)), flush=True)


def spread(values):
    return "%.2f [%.2f-%.2f]" % (statistics.median(values), min(values), max(values))


def table():
    heading("Embedded stores: nanoseconds a decision, over a bare compare-and-swap")
    subprocess.run([str(BUILD / "tests/bench/bench_table")], check=True)


def pings(server, clients):
    """PING answers a second, by redis-benchmark with as many connections."""
    out = subprocess.run(["redis-benchmark", "-s", str(server.socket), "-a", CONTROL, "-c", str(clients), "-n",
                          "40000", "-q", "-t", "ping_mbulk"], capture_output=True, text=True,
                         check=True).stdout
    return float(re.findall(r"([\d.]+) requests per second", out)[-1])


def redis():
    heading("Through redis on a unix socket: decisions/s, over PINGs of as many connections")
    server = Redis()
    try:
        print("%-44s %12s  %s" % ("", "decisions/s", "over PING, median [range]"))
        for threads in (1, 8):
            for name, policy in (("token-bucket", WIDE),
                                 ("fixed-window", WIDE + " algorithm=fixed-window"),
                                 ("sliding-window", WIDE + " algorithm=sliding-window")):
                rates, ratios = [], []
                for _ in range(ROUNDS):
                    calls = 20000 // threads
                    done = hammer(server.url + "?timeout=5s", policy, threads=threads, calls=calls,
                                  keys=1000)
                    assert done["allowed"]["store"] == done["calls"]
                    rates.append(done["calls"] / done["seconds"])
                    ratios.append(rates[-1] / pings(server, threads))
                print("%-44s %12.0f  %s" % ("%s, %d thread%s, a connection each" % (
                    name, threads, "s" * (threads > 1)), statistics.median(rates),
                    spread(ratios)), flush=True)
    finally:
        server.stop()


def share():
    heading("Threads that share connections, over threads with a plain hiredis connection each")
    subprocess.run([str(BUILD / "tests/bench/bench_share")], check=True)


def wrk(url):
    out = subprocess.run(["wrk", "-c", "64", "-t", "1", "-d", "3s", url], capture_output=True,
                         text=True, check=True).stdout
    assert "Non-2xx" not in out, out
    return float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1))


def httpd():
    from httpd_env import Httpd
    heading("Apache, event MPM, 1 KiB file, wrk -c 64: requests/s, over the same without a limit")
    print("%-44s %12s  %s" % ("", "requests/s", "ratio, median [range]"))
    server = Redis()
    try:
        for name, store in (("shm, fields sent", "shm:"), ("redis, fields sent", server.url)):
            conf = 'RateLimitStore "%s"\n<Location "/limited">\n  RateLimit "%s"\n</Location>\n'
            apache = Httpd(conf % (store, WIDE))
            for folder in ("free", "again", "limited"):
                apache.write("file", "x" * 1024, apache.docs / folder)
            apache.start()
            try:
                measure(apache, name)
            finally:
                apache.stop()
    finally:
        server.stop()


def measure(apache, name):
    url = "http://127.0.0.1:%d/%%s/file" % apache.port
    rates = {"free": [], "again": [], "limited": []}
    for _ in range(ROUNDS):
        for folder in rates:
            rates[folder].append(wrk(url % folder))
    for folder, label in (("again", "no limit here, again (the noise)"), ("limited", name)):
        ratios = [mine / base for mine, base in zip(rates[folder], rates["free"])]
        print("%-44s %12.0f  %s" % (label, statistics.median(rates[folder]), spread(ratios)),
              flush=True)


def check():
    heading("What a check costs its caller (callgrind)")
    check_cost.main()


def cost():
    heading("What a decision costs redis-server (callgrind), over INCR")
    redis_cost.main()


def python():
    heading("The Python package, beside limits, redis-py and Flask-Limiter")
    subprocess.run([sys.executable, "-c", "import python_cost; python_cost.main()"], check=True,
                   env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path[:2])})


def php():
    heading("The PHP extension, beside symfony/rate-limiter without a lock")
    extension = BUILD / "bindings/php/.libs/rlcore.so"
    if not extension.exists():
        print("the PHP extension was not built")
        return
    server = Redis()
    try:
        subprocess.run([os.environ.get("PHP") or "php", "-d", "extension=%s" % extension, "-d",
                        "apc.enable_cli=1", str(HERE / "php_cost.php"), server.url, str(server.socket), CONTROL],
                       check=True, env={**os.environ, "RLC_SRCDIR": str(HERE.parents[1])})
    finally:
        server.stop()


PARTS = {"table": table, "redis": redis, "share": share, "httpd": httpd, "check": check, "cost": cost,
         "python": python, "php": php}


def main():
    for name in sys.argv[1:] or PARTS:
        PARTS[name]()


if __name__ == "__main__":
    main()
