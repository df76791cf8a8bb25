# SPDX-License-Identifier: Apache-2.0
"""What a check costs the caller where the store is a table: instructions in rlc_limiter_check by callgrind,
which repeat; of one that is allowed and of one that is denied. Says so where a denial needs more."""

import re
import subprocess
import tempfile
from pathlib import Path

from redis_env import BUILD

# name: how many units are there, and the policies.
ROWS = {
    "token-bucket": (100, "%d/hour"),
    "token-bucket in ticks": (97, "%d/hour"),
    "a stack of three rates": (100, "%d/hour,1000/day,1000/week"),
    "fixed-window": (100, "%d/hour algorithm=fixed-window"),
    "calendar": (100, "%d/month algorithm=fixed-window tz=Europe/Paris"),
    "sliding-window": (100, "%d/hour algorithm=sliding-window"),
    "three limits in one call": (100, "%d/hour", "1000/day", "1000/week"),
    "sliding-log of 10": (10, "%d/hour algorithm=sliding-log"),
    "sliding-log of 100": (100, "%d/hour algorithm=sliding-log"),
    "sliding-log of 1000": (1000, "%d/hour algorithm=sliding-log"),
    "a bucket and a log of 100": (100, "1000/hour", "%d/hour algorithm=sliding-log"),
    "concurrency of 100": (100, "%d/hour algorithm=concurrency"),
}


def instructions(store, units, policies, denied):
    """Instructions a check, of a limit that has been charged all or all but one."""
    policies = [policy % units if "%d" in policy else policy for policy in policies]
    with tempfile.TemporaryDirectory(prefix="rlcore-callgrind-") as folder:
        out = Path(folder) / "out"
        done = subprocess.run(
            ["valgrind", "--tool=callgrind", "--collect-atstart=no", "--toggle-collect=rlc_limiter_check",
             "--callgrind-out-file=%s" % out, str(BUILD / "tests/bench/bench_check"),
             store.replace("FOLDER", folder), str(units - (not denied)), *policies],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
        calls, allowed = map(int, done.stdout.split())
        assert allowed == (not denied)
        return int(re.search(r"^(?:totals|summary): (\d+)", out.read_text(), re.M).group(1)) / calls


def main():
    print("%-28s %9s %9s %9s %9s" % ("", "memory:", "", "shm:", ""))
    print("%-28s %9s %9s %9s %9s" % ("instructions a check", "allowed", "denied", "allowed", "denied"))
    for name, (units, *policies) in ROWS.items():
        counts = [instructions(store, units, policies, denied)
                  for store in ("memory:", "shm:FOLDER/table") for denied in (False, True)]
        dear = counts[0] < counts[1] or counts[2] < counts[3]
        print("%-28s %9.0f %9.0f %9.0f %9.0f%s" % (name, *counts, "  a denial needs more" if dear else ""),
              flush=True)


if __name__ == "__main__":
    main()
