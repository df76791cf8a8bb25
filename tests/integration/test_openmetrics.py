# SPDX-License-Identifier: Apache-2.0
"""?format=prometheus, read by the parser of Prometheus' own client library, which is strict."""

import math
import os
import pathlib
import re
import subprocess

from prometheus_client.openmetrics import parser
import pytest

BUILD = pathlib.Path(os.environ["RLC_BUILDDIR"])
SCENES = ["none", "quiet", "busy", "hostile", "full", "away", "dry"]


def families(text):
    return {family.name: family for family in parser.text_string_to_metric_families(text)}


def sample(scene):
    done = subprocess.run([BUILD / "tests/integration/status_sample", scene, "prometheus"],
                          check=True, capture_output=True, timeout=60)
    return done.stdout.decode()


def values(family, name=""):
    return {tuple(s.labels.values()): s.value for s in family.samples
            if s.name == family.name + name}


# Whatever has been counted, all families are there, with a help text, their type and their unit.
@pytest.mark.parametrize("scene", SCENES)
def test_families(scene):
    text = sample(scene)
    found = families(text)
    assert text.endswith("# EOF\n")
    types = {name: family.type for name, family in found.items()}
    assert types == {
        "ratelimit": "info", "ratelimit_counting_since_seconds": "gauge",
        "ratelimit_decisions": "counter", "ratelimit_source_decisions": "counter",
        "ratelimit_shed_requests": "counter", "ratelimit_delayed_requests": "counter",
        "ratelimit_busy_workers_ratio": "gauge",
        "ratelimit_limit_decisions": "counter", "ratelimit_decision_seconds": "histogram",
        "ratelimit_store_state": "stateset", "ratelimit_store_errors": "counter",
        "ratelimit_breaker_openings": "counter", "ratelimit_store_connects": "counter",
        "ratelimit_store_connections_lost": "counter", "ratelimit_store_resent": "counter",
        "ratelimit_store_late_replies": "counter", "ratelimit_table_slots": "gauge",
        "ratelimit_table_used_slots": "gauge", "ratelimit_table_evicted_live": "counter"}
    assert all(family.documentation for family in found.values())
    assert all(family.unit == "seconds" for name, family in found.items()
               if name.endswith("_seconds"))


# Labels are few, and none is a client's: no more limits than rows, whatever asks.
@pytest.mark.parametrize("scene", SCENES)
def test_labels(scene):
    found = families(sample(scene))
    labels = {name for family in found.values() for s in family.samples for name in s.labels}
    assert labels <= {"store", "version", "result", "source", "limit", "le", "reason",
                      "ratelimit_store_state"}
    assert len(found["ratelimit_limit_decisions"].samples) <= 3 * 255
    text = sample(scene)
    assert "203.0.113" not in text and "10.0.0" not in text and "script" not in text


# A name that would need escapes comes through them whole.
def test_escapes():
    names = {s.labels["limit"] for s in families(sample("hostile"))[
        "ratelimit_limit_decisions"].samples}
    assert 'a"b\\c\n<b>&' in names


# The histogram adds up: buckets that grow, the last of which has all.
@pytest.mark.parametrize("scene", SCENES)
def test_histogram(scene):
    family = families(sample(scene))["ratelimit_decision_seconds"]
    buckets = [(float(s.labels["le"]), s.value) for s in family.samples if "le" in s.labels]
    assert buckets == sorted(buckets) and buckets[-1][0] == math.inf
    assert [round(bound * 4e6) for bound, _ in buckets[:-1]] == [1 << i for i in range(23)]
    count = values(family, "_count")[()]
    assert buckets[-1][1] == count
    assert count == sum(values(families(sample(scene))["ratelimit_decisions"], "_total").values())
    assert (values(family, "_sum")[()] > 0) == (count > 0)


# One state holds at a time, and it is the page's.
def test_state():
    for scene, state in [("none", "idle"), ("busy", "answers"), ("away", "away")]:
        states = values(families(sample(scene))["ratelimit_store_state"])
        assert [name for (name,), value in states.items() if value == 1] == [state]


# The same from httpd, with counts that went up.
def test_httpd(start, ip):
    httpd = start('RateLimit "3/365day" name=three\n<Location "/ratelimit-status">\n'
                  "SetHandler ratelimit-status\nRateLimitMode off\n</Location>")
    httpd.statuses(5, "/page.html", ip=ip)
    answer = httpd.get("/ratelimit-status?format=prometheus")
    found = families(answer.body)
    assert values(found["ratelimit_decisions"], "_total") == {
        ("allowed",): 3, ("denied",): 2, ("dry_run",): 0}
    assert values(found["ratelimit_limit_decisions"], "_total")[("three", "denied")] == 2
    assert values(found["ratelimit_store_state"])[("answers",)] == 1
    assert re.fullmatch(r"application/openmetrics-text; version=1\.0\.0; charset=utf-8",
                        answer.field("Content-Type"))
