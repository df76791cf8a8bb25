# SPDX-License-Identifier: Apache-2.0
"""Writes tests/vectors/*.tsv: hand-picked stories and a seeded walk for each algorithm, answered by
the oracle. `generate.py --check` fails if a file differs from what it would write."""

import datetime
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


def at(text):
    """The second since 1970 of "2024-02-29 12:00:00", in UTC."""
    when = datetime.datetime.fromisoformat(text)
    return int(when.replace(tzinfo=datetime.timezone.utc).timestamp())


# What is awkward about calendars: the policy's window and options, the first second of what
# happens, and why. Past years alone: laws of the future may change.
CASES = [
    ("day tz=Europe/Paris", "2023-03-25 23:00:00", "a spring day of 23 hours"),
    ("day tz=Europe/Paris", "2023-03-26 01:00:00", "in its missing hour"),
    ("day tz=Europe/Paris", "2023-10-28 22:00:00", "an autumn day of 25 hours"),
    ("day tz=Europe/Paris", "2023-10-29 01:00:00", "in its second 2 o'clock"),
    ("day tz=America/New_York", "2023-03-12 07:00:00", "spring in New York"),
    ("day tz=America/New_York", "2023-11-05 06:00:00", "autumn in New York"),
    ("day tz=Australia/Lord_Howe", "2023-09-30 15:30:00", "a change of half an hour"),
    ("day tz=Australia/Lord_Howe", "2023-04-01 15:00:00", "and back"),
    ("day tz=America/Sao_Paulo", "2018-11-04 03:00:00", "a day that begins at 1 o'clock"),
    ("day tz=America/Sao_Paulo", "2019-02-17 02:00:00", "midnight comes an hour late"),
    ("day tz=America/Havana", "2022-11-06 05:00:00", "two midnights: the first"),
    ("day tz=America/St_Johns", "2010-11-07 02:31:00", "back to yesterday, a minute past midnight"),
    ("day tz=America/St_Johns", "2010-11-07 02:30:30", "in that minute"),
    ("day tz=Asia/Kathmandu", "2023-06-30 18:15:00", "5 hours and 45 minutes ahead"),
    ("day tz=Asia/Kolkata", "2023-06-30 18:30:00", "half an hour"),
    ("day tz=Pacific/Apia", "2011-12-30 10:00:00", "a day that never was"),
    ("day tz=Pacific/Kiritimati", "2023-12-31 10:00:00", "14 hours ahead"),
    ("day tz=Pacific/Pago_Pago", "2023-12-31 11:00:00", "11 hours behind"),
    ("day tz=Africa/Casablanca", "2023-03-19 02:00:00", "clocks go back for Ramadan"),
    ("day tz=Europe/Dublin", "2023-03-26 01:00:00", "summer time is the standard"),
    ("day tz=America/Nuuk", "2023-03-25 22:00:00", "Greenland moved its standard time"),
    ("day tz=Asia/Gaza", "2023-10-28 00:00:00", ""),
    ("week", "2023-01-02 00:00:00", "weeks begin on Monday"),
    ("week tz=Europe/Paris", "2023-03-26 22:00:00", "a week of 167 hours ends"),
    ("week tz=America/New_York anchor=sun", "2023-11-05 04:00:00", "one of 169 begins on Sunday"),
    ("week anchor=thu tz=Asia/Kolkata", "2023-06-28 18:30:00", ""),
    ("week tz=Asia/Kathmandu anchor=sat", "2024-02-23 18:15:00", "with a leap day"),
    ("month", "2024-02-01 00:00:00", "a February of 29 days"),
    ("month", "2023-02-01 00:00:00", "of 28"),
    ("month", "2000-02-01 00:00:00", "2000 had one of 29"),
    ("month tz=Europe/Paris", "2023-03-31 22:00:00", "31 days less an hour have passed"),
    ("month tz=America/New_York", "2023-10-01 04:00:00", ""),
    ("month tz=America/Sao_Paulo", "2018-11-01 03:00:00", ""),
    ("month anchor=31", "2023-01-31 00:00:00", "February has no 31st: its last day"),
    ("month anchor=31", "2024-02-29 00:00:00", "in a leap year the 29th"),
    ("month anchor=31", "2023-04-30 00:00:00", "the 30th of April"),
    ("month anchor=31 tz=Europe/Paris", "2023-03-30 22:00:00", ""),
    ("month anchor=30", "2023-02-28 00:00:00", ""),
    ("month anchor=29", "2023-02-28 00:00:00", ""),
    ("month anchor=29", "2024-02-29 00:00:00", ""),
    ("month anchor=15 tz=Asia/Kolkata", "2023-06-14 18:30:00", ""),
    ("2month", "2024-03-01 00:00:00", "60 days of January and February"),
    ("3month", "2023-04-01 00:00:00", "a quarter"),
    ("3month tz=America/New_York", "2023-04-01 04:00:00", ""),
    ("3month anchor=31", "2023-04-30 00:00:00", "April has 30 days"),
    ("4month", "2023-05-01 00:00:00", ""),
    ("6month anchor=10", "2023-07-10 00:00:00", ""),
    ("year", "2024-01-01 00:00:00", "366 days"),
    ("year tz=Australia/Lord_Howe", "2022-12-31 13:00:00", ""),
    ("year anchor=04-06 tz=Europe/London", "2023-04-05 23:00:00", "a tax year"),
    ("year anchor=02-29", "2023-02-28 00:00:00", "a year without that day: the 28th"),
    ("year anchor=02-29", "2024-02-29 00:00:00", ""),
    ("year anchor=12-31", "2023-12-31 00:00:00", ""),
]


def windows():
    """Where the window begins and ends, around each case and at random."""
    draw = random.Random("rlcore windows")
    yield "policy\tat_s\tstart_s\tend_s\twhy"
    for text, when, why in CASES:
        for after in (-1, 0, 1800, 3600, 86399, 86400):
            yield window_row(text, at(when) + after, why if after == 0 else "")
    texts = sorted({text for text, _, _ in CASES})
    for _ in range(600):
        yield window_row(draw.choice(texts), draw.randrange(at("1971-01-01"), at("2024-01-01")), "")


def calendar_policy(quota, text):
    window, _, options = text.partition(" ")
    align = " align=calendar" if window in ("day", "week") else ""
    return "%d/%s algorithm=fixed-window%s%s" % (quota, window, align, options and " " + options)


def window_row(text, second, why):
    policy = calendar_policy(5, text)
    start, end = oracle.parse(policy)[1][0].calendar.window(second)
    return "\t".join([policy, str(second), str(start), str(end), why])


def calendar():
    calls = []
    for i, (text, when, why) in enumerate(CASES):
        now = at(when) * S
        start, end = oracle.parse(calendar_policy(5, text))[1][0].calendar.window(now // S)
        for op, then, cost, note in (
                ("check", start * S - 1, 5, why), ("check", start * S, 4, "a new window"),
                ("check", now + S, 2, ""), ("charge", now + S, 3, ""), ("peek", now + 2 * S, 1, ""),
                ("refund", now + 3 * S, 2, ""), ("check", end * S - 1, 3, "one microsecond is left"),
                ("check", start * S - 1, 1, "the clock went back over the edge"),
                ("check", end * S, 5, "the next window"), ("check", end * S, 6, "never")):
            calls.append((op, calendar_policy(5, text), "case%d" % i, then, cost, note))
    stack = ("9/min,20/day,30/month algorithm=fixed-window align=calendar tz=Europe/Paris "
             "anchor=29")
    began = at("2024-02-28 22:59:00") * S
    for op, after, cost, why in (
            ("check", 0, 9, ""), ("check", 1, 1, "the minute"), ("check", 60 * S, 9, "a new day, "
             "and a new month"), ("check", 120 * S, 9, ""), ("check", 180 * S, 3, "the day"),
            ("check", 86460 * S, 9, ""), ("check", 86520 * S, 4, "the month"),
            ("refund", 86520 * S, 1, ""), ("charge", 86520 * S, 9, ""), ("peek", 86520 * S, 1, ""),
            ("check", -86400 * S, 1, "back"), ("reset", 0, 0, ""), ("check", 0, 9, "")):
        calls.append((op, stack, "stack", began + after, cost, why))
    draw = random.Random("rlcore calendar")
    policies = [calendar_policy(7, text) for text, _, _ in CASES[::4]] + [stack]
    now = at("2022-10-25 00:00:00") * S
    for _ in range(240):
        now += draw.choice([0, 1, 999999, 1800 * S, 3600 * S, 20000 * S, 86400 * S, -1, -7200 * S])
        op = draw.choice(["check"] * 8 + ["peek", "charge", "refund", "reset"])
        cost = draw.choice([0, 1, 1, 2, 3, 7, 8])
        calls.append((op, draw.choice(policies), "walk", now, 0 if op == "reset" else cost, ""))
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


def sliding_log():
    sl = " algorithm=sliding-log"
    calls = story("5/min" + sl, "exact",
                  ("peek", 0, 1, "nothing stored yet"), ("check", 0, 2, ""), ("check", 10 * S, 2, ""),
                  ("check", 20 * S, 1, "the last of it"),
                  ("check", 20 * S, 1, "until the oldest is a minute old"),
                  ("check", 20 * S, 3, "and for three, the third oldest"),
                  ("peek", 60 * S - 1, 1, "one microsecond early"), ("check", 60 * S, 2, "in time"),
                  ("check", 60 * S, 1, ""), ("check", 60 * S, 6, "never"),
                  ("check", 60 * S, 0, "cost 0 asks"), ("peek", 119999999, 3, ""),
                  ("check", 500 * S, 5, "idle for long: all"), ("check", 500 * S, 1, ""))
    calls += story("1000/day" + sl, "long",
                   ("check", 0, 600, ""), ("check", 1, 400, ""), ("check", 2, 1, ""),
                   ("check", 86400 * S - 1, 601, ""), ("check", 86400 * S, 600, ""),
                   ("check", 86400 * S, 1, ""), ("refund", 86400 * S, 399, "the oldest"),
                   ("check", 86400 * S, 400, ""), ("check", 86400 * S + 1, 399, ""),
                   ("check", 86400 * S + 1, 2, ""))
    calls += story("10/min" + sl, "back",
                   ("check", 0, 4, ""), ("check", -10 * S, 4, "a little back: the four count as of then"),
                   ("check", -10 * S, 3, "they are of that time from now on"),
                   ("check", 49999999, 3, ""), ("check", 50 * S, 10, "all gone at once"),
                   ("check", -3600 * S, 1, "an hour back: full for a minute, no worse"),
                   ("peek", -3540 * S - 1, 1, ""), ("check", -3540 * S, 1, ""))
    calls += story("10/min" + sl, "after",
                   ("charge", 0, 4, ""), ("charge", S, 100, "down to empty"), ("check", S, 1, ""),
                   ("refund", 2 * S, 3, "the oldest three"), ("check", 2 * S, 3, ""),
                   ("check", 60 * S, 1, "the fourth"), ("check", 60 * S, 2, ""),
                   ("refund", 60 * S, 100, "all"), ("check", 60 * S, 10, ""), ("reset", 60 * S, 0, ""),
                   ("check", 60 * S, 10, ""), ("charge", 60 * S, 0, "nothing"),
                   ("refund", 60 * S, 0, "nothing"))
    calls += story("5/s,8/min" + sl, "stack",
                   ("check", 0, 5, "one log, two windows"), ("check", 0, 1, "the second"),
                   ("check", S, 3, ""), ("check", S, 1, "the minute"), ("check", S, 6, "never"),
                   ("refund", S, 2, ""), ("charge", S, 100, "what fits both"), ("peek", S, 1, ""),
                   ("check", 60 * S, 3, ""), ("check", 61 * S, 3, ""))
    return calls


def concurrency():
    calls = story("3/30s algorithm=concurrency", "slots",
                  ("check", 0, 1, ""), ("check", S, 1, ""), ("check", 2 * S, 1, "three are under way"),
                  ("check", 3 * S, 1, "a hint: when the first lease ends by itself"),
                  ("refund", 3 * S, 1, "given back without a receipt: the oldest"),
                  ("check", 3 * S, 1, ""), ("check", 31 * S - 1, 1, "a holder died"),
                  ("check", 31 * S, 1, "its slot is back, and not before"), ("check", 31 * S, 4, "never"),
                  ("charge", 31 * S, 2, "there is no room"), ("peek", 33 * S, 2, ""))
    calls += story("1000/h algorithm=concurrency", "many",
                   ("check", 0, 999, ""), ("check", 1, 1, ""), ("check", 2, 1, ""),
                   ("refund", 3, 500, ""), ("check", 4, 500, ""), ("check", 3600 * S - 1, 1, ""),
                   ("check", 3600 * S, 500, "of those at first 499 are left: one too many"),
                   ("check", 3600 * S, 499, ""))
    return calls


def walk(algorithm, seed, rows=240):
    """A seeded walk over awkward policies: times mostly forward, costs mostly small."""
    draw = random.Random(seed)
    suffix = "" if algorithm == "token-bucket" else " algorithm=" + algorithm
    policies = ["7/s", "10/min", "333/17min", "11/3s,40/min", "6/s,1001/h,9999/day", "97/97s",
                "1000000/day", "123456/7day"]
    if algorithm in oracle.LOGS:
        policies = ["7/s", "10/min", "333/17min", "97/97s", "1000/day"]
    if algorithm == "sliding-log":
        policies += ["11/3s,40/min", "6/s,100/min,999/day"]
    calls, now = [], NOW
    for _ in range(rows):
        policy = draw.choice(policies)
        now += draw.choice([0, 1, 999, 12345, 142857, 500000, S, 7 * S, 61 * S, -1, -3 * S])
        quota = int(policy.split("/")[0])
        cost = draw.choice([0, 1, 1, 2, 3, max(quota // 3, 1), quota, quota + 1])
        op = draw.choice(["check"] * 8 + ["peek", "charge", "refund", "reset"])
        calls.append((op, policy + suffix, "walk", now, 0 if op == "reset" else cost, ""))
    return calls


def changes():
    """Policies that change under their name: what is used stays used."""
    def turn(key, *steps):
        return [(op, policy, key, NOW + after, cost, why) for op, policy, after, cost, why in steps]

    calls = turn("slower", ("check", "100/min", 0, 100, "all of it"),
                 ("check", "100/h", 0, 1, "still all of it: the state refills as it was made"),
                 ("check", "100/h", 600 * MS - 1, 1, ""), ("check", "100/h", 600 * MS, 1, "now this"),
                 ("check", "100/h", 36 * S, 1, ""), ("check", "100/h", 36600 * MS, 1, ""),
                 ("peek", "100/min", 36600 * MS, 1, "and back"))
    calls += turn("faster", ("check", "100/h", 0, 100, ""), ("peek", "100/min", 0, 1, "asking leaves it"),
                  ("check", "100/min", 0, 1, "refills nearly as this does from now on"),
                  ("check", "100/min", 628 * MS - 1, 1, ""), ("check", "100/min", 628 * MS, 1, ""),
                  ("check", "100/min", 1228 * MS, 1, "and so from now on"))
    calls += turn("smaller", ("check", "100/min", 0, 100, ""),
                  ("check", "10/min", 0, 1, "90 more than there may be"),
                  ("check", "100/min", 0, 1, "not forgotten"), ("check", "10/min", 54 * S, 1, ""),
                  ("check", "10/min", 54600 * MS, 1, ""), ("check", "10/min", 54600 * MS, 11, "never"))
    calls += turn("larger", ("check", "10/min", 0, 7, ""), ("check", "1000/day", 0, 993, ""),
                  ("check", "1000/day", 0, 1, ""), ("check", "10/min", 0, 1, ""))
    calls += turn("uneven", ("check", "7/s", 0, 7, ""), ("peek", "9/s", 0, 3, "7.2 used: rounded up"),
                  ("check", "9/s", 0, 2, ""), ("check", "9/s", 0, 1, ""), ("check", "9/s", 111111, 1, ""),
                  ("peek", "7/s", 111111, 1, ""))
    calls += turn("after", ("check", "10/min", 0, 10, ""), ("refund", "10/h", 0, 3, "three minutes' worth"),
                  ("check", "10/min", 0, 3, ""), ("charge", "10/h", 0, 3, "there is no room"),
                  ("charge", "10/s", 0, 3, ""), ("refund", "10/s", 0, 100, "all"), ("check", "10/h", 0, 10, ""),
                  ("charge", "20/day", 0, 4, ""), ("charge", "20/day", 0, 400, "what fits"),
                  ("check", "10/h", 0, 1, "twice as much as there may be"),
                  ("reset", "10/h", 0, 0, ""), ("check", "10/h", 0, 10, ""))
    calls += turn("stack", ("check", "10/s,30/min", 0, 10, ""), ("check", "10/s,30/h", 0, 1, "the second"),
                  ("check", "10/s,30/h", S, 10, ""), ("check", "20/min,30/h", S, 10, ""),
                  ("check", "20/min,30/h", S, 1, ""), ("check", "10/s,30/min", S, 1, ""),
                  ("check", "10/s,30/2s", S, 1, ""), ("check", "10/s,30/2s", 3 * S, 1, ""))
    draw = random.Random("rlcore changes")
    families = [["10/min", "100/min", "100/h", "7/s", "1000/day burst=40", "333/17min", "3/min burst=50"],
                ["11/3s,40/min", "11/s,40/h", "2/min,1000/day", "7/s,99/min", "40/h,11/97s"],
                ["11/3s,40/min,70/h", "5/s,40/h,100/day", "7/s,99/min,1000/day"],
                [one + " algorithm=fixed-window" for one in ("10/min", "30/h", "4/s")],
                [one + " algorithm=sliding-window" for one in ("10/min", "30/h", "4/s")],
                [one + " algorithm=sliding-log" for one in ("10/min", "30/h", "4/s", "90/min")],
                [one + " algorithm=sliding-log" for one in ("5/s,30/min", "9/min,70/h", "8/s,5/min")],
                [one + " algorithm=concurrency" for one in ("10/min", "30/h", "4/s")]]
    now = NOW
    for i in range(1300):
        which = draw.choice([0, 0, 0, 1, 1, 2, 3, 4, 5, 5, 6, 7])
        if i % 9 == 0:
            now_policy = [draw.choice(family) for family in families]
        policy = draw.choice(families[which]) if draw.random() < 0.2 else now_policy[which]
        now += draw.choice([0, 0, 0, 1, 12345, 142857, S, S, 7 * S, 61 * S, 3600 * S, -1, -3 * S])
        op = draw.choice(["check"] * 9 + ["peek", "charge", "refund", "refund"] + ["reset"] * (i % 7 == 0))
        cost = draw.choice([0, 1, 1, 2, 3, 7, 10, 40])
        calls.append((op, policy, "walk%d" % which, now, 0 if op == "reset" else cost, ""))
    return calls


def debts():
    """Charges beyond the capacity, which is all that debt= is for; and grants."""
    calls = []
    for kind, rate in (("", "10/min"), (" burst=4", "10/min"), (" algorithm=fixed-window", "10/min"),
                       (" algorithm=sliding-window", "10/min"), (" algorithm=sliding-log", "10/min"),
                       ("", "10/min,15/h"), (" algorithm=fixed-window", "10/min,15/h"),
                       (" algorithm=sliding-window", "10/min,15/h"),
                       (" algorithm=sliding-log", "10/min,15/h"), ("", "7/s"),
                       (" algorithm=fixed-window", "10/month"),
                       (" algorithm=fixed-window align=calendar tz=Europe/Paris", "10/day")):
        calls += story(rate + kind + " debt=6", "owed",
                       ("check", 0, 3, ""), ("charge", 0, 11, "beyond the capacity"),
                       ("peek", 0, 1, "nothing is left"), ("check", 0, 1, "until that is paid back"),
                       ("charge", 0, 5, "as far as the debt goes"), ("charge", 0, 1, "and no further"),
                       ("grant", 0, 3, "there is none"), ("refund", 0, 2, "of what is owed"),
                       ("check", 20 * S, 1, ""), ("check", 36 * S, 1, ""), ("check", 39999999, 1, ""),
                       ("check", 40 * S, 1, "where windows begin"), ("check", 55 * S, 2, ""),
                       ("check", 80 * S, 4, ""), ("charge", 80 * S, 100, ""), ("check", 80 * S, 0, ""),
                       ("check", -60 * S, 1, "back by more than the debt explains"),
                       ("check", 110 * S, 10, ""), ("check", 110 * S, 11, "never: debts are for charges"),
                       ("grant", 400 * S, 11, "all there is, or what was asked for"),
                       ("grant", 401 * S, 1, ""), ("refund", 401 * S, 17, ""),
                       ("grant", 402 * S, 3, ""), ("reset", 402 * S, 0, ""), ("check", 402 * S, 10, ""))
    draw = random.Random("rlcore debts")
    policies = ["7/s", "10/min", "333/17min burst=20", "11/3s,40/min", "6/s,1001/h", "97/97s", "123456/7day"]
    policies = [policy + " debt=%d" % owed for policy in policies for owed in (1, 7, 500)]
    policies += [rate + " algorithm=%s debt=%d" % (kind, owed) for rate in ("7/s", "10/min", "11/3s,40/min")
                 for kind in ("fixed-window", "sliding-window", "sliding-log") for owed in (3, 70)]
    now = NOW
    for _ in range(400):
        policy = draw.choice(policies)
        now += draw.choice([0, 0, 1, 999, 12345, 142857, 500000, S, 7 * S, 61 * S, -1, -3 * S])
        op = draw.choice(["check"] * 4 + ["charge"] * 4 + ["grant", "grant", "peek", "refund"] + ["reset"])
        cost = draw.choice([1, 1, 2, 3, 7, 10, 40, 500])
        calls.append((op, policy, "walk", now, 0 if op == "reset" else cost, ""))
    return calls


def rows(calls, named=False):
    answers = oracle.Oracle()
    yield "\t".join(COLUMNS)
    for op, policy, key, now, cost, why in calls:
        # Two policies of one key are two limits, unless they have one name.
        told = answers.call(op, policy, key if named else (policy, key), now, cost)
        if told is None:
            told = ["-"] * 6
        else:
            told = [int(told[0]), *("never" if one is None else one for one in told[1:])]
            told = ["-" if one == "never" else one for one in told]
        yield "\t".join(str(one) for one in (op, policy, key, now, cost, *told, why))


def main():
    stale = []
    files = {name: rows(calls + walk(name, "rlcore " + name)) for name, calls in (
        ("token-bucket", token_bucket()), ("fixed-window", fixed_window()),
        ("sliding-window", sliding_window()), ("sliding-log", sliding_log()),
        ("concurrency", concurrency()))}
    files["changes"] = rows(changes(), named=True)
    files["debt"] = rows(debts())
    files["calendar"] = rows(calendar())
    files["windows"] = windows()
    for name, lines in files.items():
        text = "\n".join(lines) + "\n"
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
