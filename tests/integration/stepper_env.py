# SPDX-License-Identifier: Apache-2.0
"""tests/integration/stepper.c, which makes calls on several stores at once, and the lines that the
oracle of tests/vectors expects of it."""

import os
import pathlib
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("RLC_BUILDDIR", TOP / "build"))
VECTORS = pathlib.Path(os.environ.get("RLC_VECTORS", TOP / "tests/vectors"))
sys.path.insert(0, str(VECTORS))

import generate  # noqa: E402  of VECTORS
import oracle  # noqa: E402


class Call:
    """One call of the verbs: |limits| are of (name, policy, key, cost); |told| is what the oracle
    says, None for a reset."""

    def __init__(self, op, now, limits, told, why=""):
        self.op, self.now, self.limits, self.told, self.why = op, now, limits, told, why

    def line(self):
        """As the stepper reads it."""
        columns = [self.op, str(self.now)]
        for name, policy, key, cost in self.limits:
            columns += [name, policy, key, str(cost)]
        return "\t".join(columns)

    def expected(self):
        """As the stepper has to answer."""
        if self.told is None:
            return "0"
        allowed, index, results = self.told
        return "0 %d %d store" % (allowed, index) + "".join(
            " (%d store %d %d %d %d %d %d %d)" % (
                one.allowed, one.rate_index, one.limit, one.remaining, one.window_us,
                -1 if one.retry_us is oracle.NEVER else one.retry_us, one.reset_us, one.charged)
            for one in results)

    def rows(self):
        """As tests/vectors has it: a row for each limit."""
        for i, (name, policy, key, cost) in enumerate(self.limits):
            told = ["-"] * 6
            if self.told is not None:
                one = self.told[2][i]
                told = [int(one.allowed), one.rate_index, one.limit, one.remaining,
                        "-" if one.retry_us is oracle.NEVER else one.retry_us, one.reset_us]
            why = self.why if i == 0 else "the same call"
            yield "\t".join(str(one) for one in (self.op, policy, name + key, self.now, cost, *told,
                                                 why))


class Settled:
    """What is done with a lease by its number: commit (with what was used, or None for all), release or
    renew. |rv| is what the oracle says."""
    told, limits = None, ()

    def __init__(self, op, now, number, used, rv):
        self.op, self.now, self.number, self.used, self.rv = op, now, number, used, rv
        self.why = "of the lease %d" % number

    def line(self):
        return "\t".join(str(one) for one in (self.op, self.now, self.number, *(self.used or ())))

    def expected(self):
        return str(self.rv)

    def rows(self):
        used = "all" if self.used is None else " ".join(map(str, self.used))
        yield "\t".join([self.op, "-", "-", str(self.now), used] + ["-"] * 6 + [self.why])


def vector(calls):
    """The calls as rows of a vector file, for people."""
    return "\n".join(["\t".join(generate.COLUMNS)] + [row for call in calls for row in call.rows()])


class Stepper:
    def __init__(self, *stores):
        self.stores = stores
        self.process = subprocess.Popen([str(BUILD / "tests/integration/stepper"), *stores],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, lines, answers):
        """What the stepper answers, a line each."""
        self.process.stdin.write("\n".join(lines) + "\n\n")
        self.process.stdin.flush()
        told = [self.process.stdout.readline() for _ in range(answers)]
        assert told[-1].endswith("\n"), "the stepper ended early"
        return [line[:-1] for line in told]

    def make(self, calls):
        """Makes all calls, and resets what they used. Each store must answer each as the oracle."""
        used = dict.fromkeys(limit[:3] for call in calls for limit in call.limits)
        if not calls:
            return
        lines = [call.line() for call in calls]
        lines += ["forget\t%d" % calls[-1].now]
        lines += ["reset\t%d\t%s\t%s\t%s\t0" % (calls[-1].now, *limit) for limit in used]
        n = len(self.stores)
        told = self.ask(lines, len(lines) * n)
        for i, call in enumerate(calls):
            expected = call.expected()
            for store, answer in zip(self.stores, told[i * n:]):
                assert answer == expected, "%s\n\nthe last of these: %s answers\n  %s\nnot\n  %s" % (
                    vector(calls[:i + 1]), store, answer, expected)

    def close(self):
        self.process.stdin.close()
        assert self.process.wait(timeout=60) == 0
