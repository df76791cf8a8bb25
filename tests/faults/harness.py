# SPDX-License-Identifier: Apache-2.0
"""What a row of `make faults` is: a fault, a paced load from several threads and processes through it,
and what is measured and judged."""

import os
import pathlib
import shutil
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))

from redis_env import BUILD, LOGIN, Hammer, Redis, hammer  # noqa: E402
from topology_env import free_ports  # noqa: E402

DEADLINE_MS = 25
EXCESS_MS = 5       # at most, above a bare wait as long as the deadline
QUOTA = 5000        # which the load uses up; nothing refills
POLICY = "%d/3650day" % QUOTA
LOAD = {"processes": 2, "threads": 4, "pace": 2000}
THREADS = LOAD["processes"] * LOAD["threads"]
BEFORE = 0.7        # seconds of the load before the fault
LASTS = 1.5         # seconds that a fault lasts, unless it says otherwise
AFTER = 4.0         # seconds of the load after it: at most so long it takes to recover
RECOVERED = 0.95    # the share of the store's decisions in a tenth of a second


class NotHere(Exception):
    """This machine cannot make the fault: why."""


class Fault:
    """One row. A subclass makes the servers in `prepare`, and the fault in `happen`, which returns once
    the cause is gone. What follows is measured: the store decides again by itself.

    Three counts are bounded, in every row:

    store     admissions by the store in all, with those of a clean run afterwards that takes what is
              left, are at most the quota (law 1); what is missing was charged for callers that had left
              at their deadline, at most one a failed call. `unkept` says how many admissions the law
              leaves outside for this fault: writes that the store lost, a clock ahead.
    fallback  with fail=local: at most the quota less what the store had admitted before the fault
    closed    with fail=closed: nobody but the store admits
    """

    name = ""
    fail = "local"
    policy, quota = POLICY, QUOTA  # the quota of all keys together
    keys = 1
    options = ""        # of the store's URL
    env = None          # of the load
    within = ()         # what the load is started by
    load = {}           # more of the load's options
    lasts = LASTS
    before = BEFORE
    after = AFTER
    unkept = 0
    unkept_why = ""
    server = None

    def prepare(self):
        """Starts what the row needs. `cleanup` follows, whatever happens."""
        self.server = Redis(*self.settings(), "--port", str(free_port()), within=self.within_server())
        self.server.port = int(self.server.options[-1])

    def settings(self):
        return ()

    def within_server(self):
        return ()

    def url(self):
        """Of the store, for the load: without options."""
        return "redis://%s@127.0.0.1:%d" % (LOGIN, self.server.port)

    def direct_url(self):
        """The same, for a clean run afterwards."""
        return self.server.url

    def happen(self):
        time.sleep(self.lasts)

    def cleanup(self):
        if self.server is not None:
            self.server.stop()

    def repeat(self, what, pause):
        end = time.monotonic() + self.lasts
        while time.monotonic() < end:
            what()
            time.sleep(pause)


def free_port():
    return free_ports(1)[0]


def preload(name, variables):
    """The environment that preloads the tests' own |name|.so, which reads |variables|."""
    library = BUILD / "tests/integration/.libs" / (name + ".so")
    assert library.exists(), "make %s first" % library
    before = [path for path in [os.environ.get("LD_PRELOAD")] if path]
    return dict(variables, LD_PRELOAD=":".join(before + [str(library)]))


def tool(name):
    """The path of a program, which for an ordinary user may not be on PATH."""
    found = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    if found is None:
        raise NotHere("%s is missing" % name)
    return found


def with_options(url, options):
    return url + ("&" if "?" in url else "?") + "&".join(o for o in options if o)


def measure(fault):
    """Runs a row. Returns a dict of what was measured, and under "bad" what should not be."""
    try:
        fault.prepare()
        load = Hammer(with_options(fault.url(), ["timeout=%dms" % DEADLINE_MS,
                                                 "fail=" + fault.fail, fault.options]),
                      fault.policy, env=fault.env, within=fault.within, wait=DEADLINE_MS,
                      timeline=True, seconds=fault.before + fault.lasts + fault.after,
                      keys=fault.keys, **LOAD, **fault.load).go()
        time.sleep(fault.before)
        begun = time.monotonic()
        fault.happen()
        healed = time.monotonic()
        result = load.result()
        rest = hammer(with_options(fault.direct_url(), ["timeout=10s", "fail=closed"]),
                      fault.policy, keys=fault.keys, processes=4, threads=4,
                      calls=fault.quota // 8)
    finally:
        fault.cleanup()
    return judge(fault, result, rest, begun, healed)


def bins(result, begun, end):
    """The store's decisions and the others' between two moments."""
    first, last = (max(0, int((t - result["begun"]) / result["step"])) for t in (begun, end))
    return sum(result["by_store"][first:last]), sum(result["by_others"][first:last])


def recovery(result, healed):
    """Seconds from |healed| until the store decided again, in all processes; None if it did not."""
    at = healed
    end = result["begun"] + result["seconds"]
    while at + 0.1 < end:
        store, others = bins(result, at, at + 0.1)
        if store > 0 and store >= RECOVERED * (store + others):
            return round(at - healed, 2)
        at += result["step"]
    return None


def judge(fault, result, rest, begun, healed):
    allowed = result["allowed"]
    by_store = allowed["store"] + rest["allowed"]["store"]
    # Those whose decisions were told a step ago have been mirrored.
    mirrored = min(bins(result, 0, begun - result["step"])[0], fault.quota)
    outside = max(0, by_store - fault.quota)
    fallback_over = max(0, allowed["fallback"] - (fault.quota - mirrored))
    found = {
        "calls": result["calls"],
        "lost": result["lost"] + result["calls"] - result["returned"],
        "p50": result["p50_us"] / 1000,
        "p999": result["p999_us"] / 1000,
        "wait": result["wait_p999_us"] / 1000,
        "excess": max(0.0, (result["p999_us"] - result["wait_p999_us"]) / 1000),
        "over": max(0, outside - fault.unkept) + fallback_over,
        "outside": outside,
        "in_flight": max(0, fault.quota - by_store),
        "opened": result["breaker_opened"],
        "recovery": recovery(result, healed),
        "errors": result["store_errors"],
    }
    for source, short in [("store", "store"), ("fallback", "local"), ("fail-open", "open"),
                          ("fail-closed", "closed")]:
        found[short] = allowed[source] + result["denied"][source]
    found["bad"] = complaints(fault, found, result, rest, allowed)
    return found


def complaints(fault, found, result, rest, allowed):
    bad = []
    if found["lost"]:
        bad.append("decisions lost")
    if found["over"]:
        bad.append("over the bound")
    if fault.fail == "closed" and allowed["fail-closed"] + allowed["fallback"] + allowed["fail-open"]:
        bad.append("others than the store admitted")
    if found["in_flight"] > result["store_errors"]:
        bad.append("more was charged than was under way")
    if rest["calls"] != rest["allowed"]["store"] + rest["denied"]["store"]:
        bad.append("the clean run afterwards failed")
    if found["recovery"] is None:
        bad.append("did not recover")
    if found["store"] == 0:
        bad.append("the store never decided")
    return bad


def is_late(found):
    return found["excess"] > EXCESS_MS
