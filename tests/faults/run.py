# SPDX-License-Identifier: Apache-2.0
"""`make faults`: what a decision costs while Redis fails, a row a fault, under a paced load from
several threads. Latency is the excess over a bare wait of the same length in the same run."""

import signal
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))

from redis_env import Hammer, Redis  # noqa: E402

DEADLINE_MS = 25
EXCESS_MS = 5
QUOTA = 1000000


class Waits(threading.Thread):
    """Bare waits as long as the deadline, in the same run: what the machine itself adds."""

    def __init__(self):
        super().__init__(daemon=True)
        self.late = []
        self.done = threading.Event()

    def run(self):
        while not self.done.is_set():
            begun = time.monotonic()
            time.sleep(DEADLINE_MS / 1000)
            self.late.append((time.monotonic() - begun) * 1000)

    def p999(self):
        late = sorted(self.late)
        return late[min(len(late) - 1, int(len(late) * 0.999))]


def stop(server):
    server.signal(signal.SIGSTOP)
    time.sleep(1)
    server.signal(signal.SIGCONT)


def kill(server):
    server.kill()
    time.sleep(1)
    server.start()


def flush(server):
    end = time.monotonic() + 1
    while time.monotonic() < end:
        server.command("SCRIPT", "FLUSH")
        time.sleep(0.002)


def clients_killed(server):
    end = time.monotonic() + 1
    while time.monotonic() < end:
        server.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        time.sleep(0.01)


def read_only(server):
    server.command("REPLICAOF", "127.0.0.1", "1")
    time.sleep(1)
    server.command("REPLICAOF", "NO", "ONE")


def out_of_memory(server):
    server.command("CONFIG", "SET", "maxmemory", "1")
    time.sleep(1)
    server.command("CONFIG", "SET", "maxmemory", "0")


def nothing(_):
    time.sleep(1)


FAULTS = {"none": nothing, "stopped (SIGSTOP)": stop, "killed and started": kill,
          "SCRIPT FLUSH": flush, "CLIENT KILL": clients_killed, "READONLY": read_only,
          "OOM (maxmemory)": out_of_memory}


def recovered(server, begun):
    """Seconds from |begun| until the server is asked for decisions again; None if never."""
    end = time.monotonic() + 10
    count = server.calls().get("evalsha", 0)
    while time.monotonic() < end:
        if server.calls().get("evalsha", 0) > count + 3:
            return time.monotonic() - begun
        time.sleep(0.01)
    return None


def row(fault):
    server = Redis()
    try:
        load = Hammer(server.url + "?fail=local&timeout=%dms" % DEADLINE_MS,
                      "%d/3650day" % QUOTA, processes=2, threads=4, seconds=4, pace=2000).go()
        waits = Waits()
        waits.start()
        time.sleep(0.5)
        FAULTS[fault](server)
        back = recovered(server, time.monotonic())
        result = load.result()
        waits.done.set()
        waits.join()
    finally:
        server.stop()
    excess = max(0.0, result["p999_us"] / 1000 - waits.p999())
    over = max(0, sum(result["allowed"].values()) - QUOTA)
    return {"lost": result["lost"] + result["calls"] - result["returned"],
            "store": result["allowed"]["store"], "fallback": result["allowed"]["fallback"],
            "p50": result["p50_us"] / 1000, "excess": excess, "over": over, "recovery": back,
            "opened": result["breaker_opened"]}


def main():
    print("%-20s %5s %8s %9s %8s %12s %6s %8s %10s" % (
        "fault", "lost", "store", "fallback", "p50 ms", "p99.9 excess", "over", "breaker",
        "recovery s"))
    passed = 0
    for fault in FAULTS:
        found = row(fault)
        good = (found["lost"] == 0 and found["over"] == 0 and found["excess"] <= EXCESS_MS
                and found["recovery"] is not None)
        passed += good
        print("%-20s %5d %8d %9d %8.2f %9.2f ms %6d %8d %10s%s" % (
            fault, found["lost"], found["store"], found["fallback"], found["p50"],
            found["excess"], found["over"], found["opened"],
            "never" if found["recovery"] is None else "%.2f" % found["recovery"],
            "" if good else "  FAILED"), flush=True)
    print("%d passed, %d failed" % (passed, len(FAULTS) - passed))
    return passed != len(FAULTS)


if __name__ == "__main__":
    sys.exit(main())
