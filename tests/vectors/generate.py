# SPDX-License-Identifier: Apache-2.0
"""Writes tests/vectors/*.tsv: hand-picked stories and a seeded walk for each algorithm, answered by
the oracle. `generate.py --check` fails if a file differs from what it would write."""

import pathlib
import random
import sys

import oracle

HERE = pathlib.Path(__file__).resolve().parent
COLUMNS = ("op policy key now_us cost allowed rate_index limit remaining retry_us reset_us why"
           .split())
NOW = 1790000000 * oracle.US  # 2026-09-21 13:33:20 UTC; 20 s into a minute, 800 s into an hour
S, MS = oracle.US, 1000


def story(policy, key, *steps):
    """Steps are (op, microseconds after NOW, cost, why)."""
    return [(op, policy, key, NOW + after, cost, why) for op, after, cost, why in steps]


def token_bucket():
    calls = story("5/min", "burst",
                  ("peek", 0, 1, "nothing stored yet: full"),
                  ("check", 0, 1, "the burst passes at once"),
                  ("check", 0, 3, ""), ("check", 0, 1, "the last of it"),
                  ("check", 0, 1, "empty: one unit comes back every 12 s"),
                  ("peek", 0, 1, "asking changes nothing"),
                  ("check", 12 * S - 1, 1, "one microsecond early"),
                  ("check", 12 * S, 1, "exactly at retry-after"),
                  ("check", 12 * S, 6, "above the capacity: never"),
                  ("check", 500 * S, 0, "cost 0 asks"),
                  ("check", 500 * S, 5, "idle for long: full, not more"),
                  ("check", 500 * S, 1, ""))
    calls += story("10/s burst=20", "wide",
                   ("check", 0, 20, "the burst is the whole capacity"),
                   ("check", 0, 1, ""), ("check", 100 * MS, 1, ""), ("check", S, 9, ""),
                   ("check", S, 1, ""))
    calls += story("10/s burst=1", "smooth",
                   ("check", 0, 1, "no burst: one by one"), ("check", 99999, 1, ""),
                   ("check", 100000, 1, ""), ("check", 100000, 2, "never: capacity 1"))
    calls += story("7/s", "seventh",
                   ("check", 0, 7, "a rate whose interval is no whole microsecond"),
                   ("check", 142857, 1, "one tick early"), ("check", 142858, 1, "in time"),
                   ("check", 285714, 1, "no error adds up"), ("check", 285715, 1, ""),
                   ("check", S - 1, 5, ""), ("check", S, 5, "7 a second, on the second"),
                   ("check", S, 1, ""))
    calls += story("1/day", "daily",
                   ("check", 0, 1, ""), ("check", 86399 * S + 999999, 1, ""),
                   ("check", 86400 * S, 1, ""))
    calls += story("1000000000/30day", "huge",
                   ("check", 0, 1000000000, "a billion at once"), ("check", 0, 1, ""),
                   ("check", 2592, 1, "2,592 microseconds a unit"), ("check", 2592, 1, ""),
                   ("refund", 2592, 999999999, ""), ("peek", 2592, 1, ""))
    calls += story("100/min", "back",
                   ("check", 0, 50, ""), ("check", -10 * S, 10, "the clock went back a little"),
                   ("check", -3600 * S, 1, "and an hour: clamped to empty, no worse"),
                   ("check", -3600 * S + 600 * MS, 1, "refills from there"),
                   ("check", -3600 * S + 600 * MS, 1, ""), ("check", 0, 100, "time caught up"))
    calls += story("10/min", "after",
                   ("charge", 0, 4, "known only afterwards"), ("charge", 0, 100, "down to empty"),
                   ("check", 0, 1, ""), ("refund", 0, 2, "given back"), ("check", 0, 2, ""),
                   ("refund", 0, 0, "nothing"), ("refund", 0, 1000, "up to full"),
                   ("charge", 0, 0, "nothing"), ("check", 0, 10, ""), ("reset", 0, 0, "forgotten"),
                   ("check", 0, 10, ""))
    calls += story("10/s,30/min", "stack",
                   ("check", 0, 10, "the second binds"), ("check", 0, 1, "wait for a second's"),
                   ("check", S, 10, ""), ("check", 2 * S, 10, ""),
                   ("check", 3 * S, 10, "the minute binds: nothing charged to the second"),
                   ("check", 3 * S, 2, ""), ("check", 3 * S, 11, "never, by the first"),
                   ("refund", 3 * S, 5, "to both"), ("charge", 3 * S, 4, "to both"),
                   ("peek", 3 * S, 1, ""))
    return calls


def fixed_window():
    fw = " algorithm=fixed-window"
    calls = story("5/min" + fw, "first",
                  ("peek", 0, 1, "nothing stored yet"), ("check", 0, 1, "40 s are left"),
                  ("check", 1, 4, ""), ("check", 2, 1, "over: until the minute ends"),
                  ("check", 40 * S - 1, 1, "one microsecond early"),
                  ("check", 40 * S, 1, "a new window"), ("check", 40 * S, 6, "never"),
                  ("check", 40 * S, 4, ""), ("check", 99 * S, 1, ""), ("check", 100 * S, 5, ""))
    calls += story("3/15min" + fw, "quarter",
                   ("check", 0, 2, ""), ("check", 100 * S - 1, 1, "100 s to the quarter"),
                   ("check", 100 * S - 1, 1, ""), ("check", 100 * S, 3, ""))
    calls += story("1000000000/week" + fw, "billion",
                   ("check", 0, 999999999, "nine digits"), ("check", 1, 1, "and one more"),
                   ("check", 2, 1, ""), ("refund", 3, 1, ""), ("check", 4, 1, ""),
                   ("refund", 5, 1000000000, ""), ("check", 6, 1000000000, "all in one"))
    calls += story("10/min" + fw, "back",
                   ("check", 0, 4, ""), ("check", -60 * S, 4, "a minute back: still counted"),
                   ("check", -60 * S, 3, ""), ("check", -20 * S, 10, "that window is over"),
                   ("check", -3600 * S, 1, "an hour back: clamped, until the window's end"),
                   ("check", -3560 * S, 1, "and no longer"))
    calls += story("10/min" + fw, "after",
                   ("charge", 0, 4, ""), ("charge", 0, 100, "down to empty"), ("check", 0, 1, ""),
                   ("refund", 0, 3, ""), ("check", 0, 3, ""), ("check", 0, 1, ""),
                   ("refund", 40 * S, 5, "the window is over: nothing to give back"),
                   ("check", 40 * S, 10, ""), ("reset", 40 * S, 0, ""), ("check", 40 * S, 10, ""),
                   ("charge", 40 * S, 0, "nothing"), ("refund", 40 * S, 0, "nothing"))
    calls += story("5/s,8/min" + fw, "stack",
                   ("check", 0, 5, ""), ("check", 0, 1, "the second"), ("check", S, 3, ""),
                   ("check", S, 1, "the minute"), ("check", S, 6, "never"),
                   ("refund", S, 2, ""), ("charge", S, 1, ""), ("peek", S, 1, ""))
    return calls


def sliding_window():
    sw = " algorithm=sliding-window"
    calls = story("10/min" + sw, "slide",
                  ("peek", 0, 1, "nothing stored yet"), ("check", 0, 10, ""),
                  ("check", 0, 1, "full: fades in the next window"),
                  ("check", 40 * S, 1, "the whole window before weighs"),
                  ("check", 46 * S - 1, 1, "one microsecond early"),
                  ("check", 46 * S, 1, "a tenth has faded"),
                  ("check", 46 * S, 1, ""), ("check", 70 * S, 4, "half"), ("check", 70 * S, 1, ""),
                  ("check", 70 * S, 11, "never"), ("check", 300 * S, 10, "all forgotten"))
    calls += story("100/day" + sw, "coarse",
                   ("check", 0, 60, "weighed in steps of 10,300 us"),
                   ("check", 86400 * S, 60, ""), ("check", 86400 * S, 30, ""),
                   ("peek", 100000 * S, 50, ""), ("check", 140000 * S, 50, ""))
    calls += story("1000000000/365day" + sw, "year",
                   ("check", 0, 1000000000, ""), ("check", 31536000 * S, 1, ""),
                   ("check", 31536000 * S, 500000000, ""), ("peek", 50000000 * S, 1000000000, ""))
    calls += story("10/min" + sw, "back",
                   ("check", 0, 4, ""), ("check", 40 * S, 4, ""),
                   ("check", 0, 3, "back over the edge: both still counted"),
                   ("check", 0, 2, ""), ("check", -3600 * S, 1, "an hour back: clamped"),
                   ("check", -3500 * S, 5, "two windows on: forgotten"))
    calls += story("10/min" + sw, "after",
                   ("charge", 0, 4, ""), ("charge", 0, 100, "down to empty"), ("check", 0, 1, ""),
                   ("refund", 0, 3, ""), ("check", 0, 3, ""),
                   ("refund", 70 * S, 5, "not what an earlier window counted"),
                   ("peek", 70 * S, 1, ""), ("charge", 70 * S, 100, ""),
                   ("refund", 70 * S, 2, ""), ("check", 70 * S, 2, ""), ("reset", 70 * S, 0, ""),
                   ("check", 70 * S, 10, ""), ("charge", 70 * S, 0, "nothing"))
    calls += story("5/s,8/min" + sw, "stack",
                   ("check", 0, 5, ""), ("check", 0, 1, "the second"), ("check", S, 1, ""),
                   ("check", 2 * S, 3, ""), ("check", 2 * S, 1, "the minute"),
                   ("check", 2 * S, 6, "never"), ("refund", 2 * S, 2, ""),
                   ("charge", 2 * S, 1, ""), ("peek", 2 * S, 1, ""))
    return calls


def walk(algorithm, seed, rows=240):
    """A seeded walk over awkward policies: times mostly forward, costs mostly small."""
    draw = random.Random(seed)
    suffix = "" if algorithm == "token-bucket" else " algorithm=" + algorithm
    policies = ["7/s", "10/min", "333/17min", "11/3s,40/min", "6/s,1001/h,9999/day", "97/97s",
                "1000000/day", "123456/7day"]
    calls, now = [], NOW
    for _ in range(rows):
        policy = draw.choice(policies)
        now += draw.choice([0, 1, 999, 12345, 142857, 500000, S, 7 * S, 61 * S, -1, -3 * S])
        quota = int(policy.split("/")[0])
        cost = draw.choice([0, 1, 1, 2, 3, max(quota // 3, 1), quota, quota + 1])
        op = draw.choice(["check"] * 8 + ["peek", "charge", "refund", "reset"])
        calls.append((op, policy + suffix, "walk", now, 0 if op == "reset" else cost, ""))
    return calls


def rows(calls):
    answers = oracle.Oracle()
    yield "\t".join(COLUMNS)
    for op, policy, key, now, cost, why in calls:
        # Two policies of one key are two limits; here the policy is part of the key.
        told = answers.call(op, policy, (policy, key), now, cost)
        if told is None:
            told = ["-"] * 6
        else:
            told = [int(told[0]), *("never" if one is None else one for one in told[1:])]
            told = ["-" if one == "never" else one for one in told]
        yield "\t".join(str(one) for one in (op, policy, key, now, cost, *told, why))


def main():
    stale = []
    for name, calls in (("token-bucket", token_bucket()), ("fixed-window", fixed_window()),
                        ("sliding-window", sliding_window())):
        text = "\n".join(rows(calls + walk(name, "rlcore " + name))) + "\n"
        path = HERE / (name + ".tsv")
        if "--check" in sys.argv[1:]:
            if not path.exists() or path.read_text() != text:
                stale.append(path.name)
        else:
            path.write_text(text)
    if stale:
        sys.exit("differ from what the oracle says: " + ", ".join(stale))


if __name__ == "__main__":
    main()
