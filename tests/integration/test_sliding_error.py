# SPDX-License-Identifier: Apache-2.0
"""How far sliding windows are from the log of all requests that they stand for: on a real access log,
and on requests made to be the worst. The figures are those that spec.md and the README state."""

import os
import pathlib

import pytest

from stepper_env import TOP, VECTORS, Stepper, oracle

import exact

US = oracle.US
SOURCES = pathlib.Path(os.environ.get("RLC_SRCDIR", TOP))
POLICIES = ["5/10s", "20/min", "60/h", "100/day"]


@pytest.fixture(scope="module")
def stepper():
    made = Stepper("memory:")
    yield made
    made.close()


def words(name):
    """A page as one line of words, to look for sentences in."""
    return " ".join((SOURCES / name).read_text().split())


def read_log():
    """The requests in the order of time, spread over their seconds as test_replay.c does."""
    rows = (VECTORS / "traffic.tsv").read_text().splitlines()[1:]
    requests = []
    for i, row in enumerate(rows):
        second, client = row.split("\t")
        requests.append((int(second) * US + i % 1000 * 997, client))
    return sorted(requests)


class Figures:
    def __init__(self):
        self.decisions = self.passed_wrongly = self.refused_wrongly = self.most = 0

    def take(self, passed, fits, used):
        self.decisions += 1
        self.passed_wrongly += passed and not fits
        self.refused_wrongly += fits and not passed
        self.most = max(self.most, used)

    @property
    def wrong(self):
        return self.passed_wrongly + self.refused_wrongly


def measure(stepper, text, requests):
    """Decides all by the sliding window. Each decision is held against a log of what that has passed."""
    rate = oracle.parse(text)[1][0]
    lines = ["check\t%d\t%s\t%s algorithm=sliding-window\t%s\t1" % (now, "n", text, client)
             for now, client in requests]
    lines += ["reset\t1\tn\t%s algorithm=sliding-window\t%s\t0" % (text, client)
              for client in {client for _, client in requests}]
    logs, figures = {}, Figures()
    for (now, client), answer in zip(requests, stepper.ask(lines, len(lines))):
        log = logs.setdefault(client, exact.Log(rate.quota, rate.window))
        fits, passed = log.fits(now, 1), answer.startswith("0 1 ")
        assert passed or answer.startswith("0 0 ")
        if passed:
            log.take(now, 1)
        figures.take(passed, fits, log.used(now))
    return rate, figures


@pytest.mark.parametrize("text", POLICIES)
def test_a_real_log(stepper, text):
    """Which of 10,000 decisions were wrong, and the most in any window: the rows of spec.md."""
    rate, figures = measure(stepper, text, read_log())
    assert figures.decisions == 10000
    row = "%s %d %d %d" % (text, figures.passed_wrongly, figures.refused_wrongly, figures.most)
    assert " %s " % row in words("libcore/algorithm/spec.md"), row
    assert figures.most < 2 * rate.quota


def test_the_readme(stepper):
    """It tells the largest share of wrong decisions, and the bound."""
    wrong = max(measure(stepper, text, read_log())[1].wrong for text in POLICIES)
    sentence = "at most %d in a thousand decisions otherwise than a log" % -(-wrong // 10)
    assert sentence in words("README.md"), sentence


def bound(rate, longer=0):
    """Most in a span of the window's length, less |longer| microseconds: spec.md."""
    weight = min(oracle.ceil_div(1 + longer, rate.step), rate.steps)
    return 2 * rate.quota - oracle.ceil_div(rate.quota * weight, rate.steps)


@pytest.mark.parametrize("text", ["1/s", "2/s", "20/min", "60/h", "999/17min", "5000/day", "7/3660day"])
def test_the_most_that_passes_wrongly(stepper, text):
    """A whole quota in a window's last microsecond, and what fits just before a window's length is
    over: the bound is reached, and is less than twice the quota."""
    rate = oracle.parse(text)[1][0]
    edge = (1790000000 // rate.window_s + 1) * rate.window
    requests = [(edge - 1, "a")] * rate.quota
    requests += [(edge + rate.window - 2, "a")] * (2 * rate.quota)
    _, figures = measure(stepper, text, requests)
    assert figures.most == bound(rate, 1) < 2 * rate.quota
    if rate.step > 1:
        assert figures.most == bound(rate)


@pytest.mark.parametrize("text", ["1/s", "20/min", "5000/day"])
def test_the_most_that_is_refused_wrongly(stepper, text):
    """A whole quota in a window's first microsecond: from its end on a log would pass as much again,
    all of which is refused then; it passes when one more window is over, and no later."""
    rate = oracle.parse(text)[1][0]
    edge = 1790000000 // rate.window_s * rate.window
    requests = [(edge, "a")] * rate.quota
    _, figures = measure(stepper, text, requests + [(edge + rate.window, "a")] * rate.quota)
    assert (figures.passed_wrongly, figures.refused_wrongly) == (0, rate.quota)
    _, figures = measure(stepper, text, requests + [(edge + 2 * rate.window, "a")] * rate.quota)
    assert figures.wrong == 0
