# SPDX-License-Identifier: Apache-2.0
"""What the status page and its formats look like for counts that were made up: none, very many, with
hostile names, and while the store is away."""

import html.parser
import json
import os
import pathlib
import re
import subprocess

import pytest

BUILD = pathlib.Path(os.environ["RLC_BUILDDIR"])
SCENES = ["none", "quiet", "busy", "hostile", "full", "away", "dry"]
EMPTY = {"area", "br", "col", "hr", "img", "input", "link", "meta"}


def sample(scene, form):
    return subprocess.run([BUILD / "tests/integration/status_sample", scene, form], check=True,
                          capture_output=True, timeout=60).stdout.decode()


class Document(html.parser.HTMLParser):
    """A page, taken apart; complains about tags that do not match."""

    def __init__(self, page):
        super().__init__()
        self.open, self.elements, self.text = [], [], {}
        self.feed(page)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attributes):
        names = [name for name, _ in attributes]
        assert len(names) == len(set(names)), f"<{tag}> has an attribute twice"
        self.elements.append((tag, dict(attributes)))
        if tag not in EMPTY:
            self.open.append((tag, len(self.elements) - 1))

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open and self.open[-1][0] == tag, f"</{tag}> closes {self.open[-1:]}"
        self.open.pop()

    def handle_data(self, data):
        for _, at in self.open[-1:]:
            self.text[at] = self.text.get(at, "") + data

    def all(self, tag):
        return [(attributes, self.text.get(at, "").strip())
                for at, (name, attributes) in enumerate(self.elements) if name == tag]


# --- HTML

# Well-formed, and nothing in it that could act or ask anybody else.
@pytest.mark.parametrize("scene", SCENES)
def test_page(scene):
    page = sample(scene, "html")
    document = Document(page)
    assert page.startswith("<!DOCTYPE html>")
    tags = {tag for tag, _ in document.elements}
    assert not tags & {"script", "img", "iframe", "object", "embed", "form", "link", "base", "use",
                       "foreignobject", "image"}
    for tag, attributes in document.elements:
        for name, value in attributes.items():
            assert not name.startswith("on") and name not in ["src", "style", "xlink:href"]
            assert name != "href" or re.fullmatch(r"\?[a-z]+=[a-z0-9]+", value)
    assert len(document.all("style")) == 1
    style = document.all("style")[0][1]
    assert "url(" not in style and "@import" not in style and "</" not in style


# For those who do not see it, or see it small: a language, a title, one heading of the first level,
# tables with captions and headers, pictures with a text or hidden, ids that are there once.
@pytest.mark.parametrize("scene", SCENES)
def test_accessible(scene):
    document = Document(sample(scene, "html"))
    assert document.all("html")[0][0]["lang"] == "en"
    assert document.all("title")[0][1].startswith("Rate limits: ")
    assert len(document.all("h1")) == len(document.all("main")) == 1
    assert any(a.get("name") == "viewport" and "user-scalable" not in a["content"]
               for a, _ in document.all("meta"))
    ids = [a["id"] for _, a in document.elements if "id" in a]
    assert len(ids) == len(set(ids))
    assert len(document.all("caption")) == len(document.all("table"))
    assert all(a.get("scope") in ["row", "col"] for a, _ in document.all("th"))
    for attributes, _ in document.all("svg"):
        named = attributes.get("role") == "img" and (
            "aria-label" in attributes or
            set(attributes["aria-labelledby"].split()) <= set(ids))
        assert named != (attributes.get("aria-hidden") == "true")
    for attributes, _ in document.all("table"):
        assert attributes["aria-labelledby"] in ids


def luminance(colour):
    parts = [int(colour[i:i + 2], 16) / 255 for i in (1, 3, 5)]
    parts = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def contrast(a, b):
    light, dark = sorted([luminance(a), luminance(b)], reverse=True)
    return (light + 0.05) / (dark + 0.05)


# In light as in dark text has the contrast that WCAG 2.2 asks for (4.5), and bars 3 to what they
# stand on.
def test_contrast():
    style = Document(sample("none", "html")).all("style")[0][1]
    schemes = [dict(re.findall(r"--([a-z-]+):(#[0-9a-f]{6})", block))
               for block in re.findall(r":root\{(.*?)\}", style)]
    assert len(schemes) == 2 and schemes[0].keys() == schemes[1].keys()
    for scheme in schemes:
        for ground in ["paper", "card"]:
            for text in ["ink", "soft", "link"]:
                assert contrast(scheme[text], scheme[ground]) >= 4.5, (text, ground)
            for bar in ["allowed", "denied", "dry"]:
                assert contrast(scheme[bar], scheme[ground]) >= 3, (bar, ground)
        for state in ["good", "warn", "bad"]:
            assert contrast(scheme[state], scheme[state + "-bg"]) >= 4.5, state
        assert contrast(scheme["soft"], scheme["track"]) >= 4.5
        for bar in ["allowed", "denied", "dry"]:
            assert contrast(scheme[bar], scheme["track"]) >= 2.5, bar


# Bars stay in their picture, and are as high as what they tell of.
@pytest.mark.parametrize("scene", SCENES)
def test_charts(scene):
    page = sample(scene, "html")
    for width, chart in re.findall(r'<svg[^>]*viewBox="0 0 (\d+) 100"[^>]*>(.*?)</svg>', page, re.S):
        for x, y, w, h in re.findall(r"M(\d+) ([\d.]+)h(\d+)v([\d.]+)h-\d+z", chart):
            assert int(x) + int(w) <= int(width)
            assert float(h) > 0 and float(y) >= 0 and float(y) + float(h) <= 100.15
    chart = re.search(r'aria-labelledby="fast fast-sum".*?</svg>', page, re.S).group(0)
    top = int(re.search(r'aria-hidden="true"><span>([\d,]+)</span>', page).group(1).replace(",", ""))
    allowed = json.loads(sample(scene, "json"))["minutes"]["allowed"]
    path = re.search(r'<path class="a" d="([^"]*)"', chart)
    bars = dict(re.findall(r"M(\d+) [\d.]+h5v([\d.]+)", path.group(1))) if path else {}
    assert len(bars) == sum(n > 0 for n in allowed)
    for x, height in bars.items():
        share = 100 * allowed[int(x) // 6] / top
        assert share > 100 or abs(float(height) - max(share, 1.5)) < 0.06


# With nothing to tell it says so, in words.
def test_empty_states():
    none = sample("none", "html")
    for text in ["No limit is configured.", "Nobody was denied lately.", "Nothing was decided lately.",
                 "No requests just now"]:
        assert text in none
    quiet = sample("quiet", "html")
    assert "No limit is configured." not in quiet and '<th scope="row">site' in quiet


# In a flood from everywhere those who stand out are named, and those who came last are not.
def test_flood():
    rows = re.findall(r"<code>([\d.]+)</code>", sample("full", "html"))
    assert sorted(rows) == [f"10.0.0.{i}" for i in range(5)]
    view = json.loads(sample("full", "json"))
    assert len(view["offenders"]) == 20 and view["offenders"][5]["error"] > 0
    assert len(view["limits"]) == 255


# --- JSON

# The members are those that ratelimit_redis.conf tells of; what programs read does not go away.
@pytest.mark.parametrize("scene", SCENES)
def test_json(scene):
    view = json.loads(sample(scene, "json"))
    assert list(view) == ["module", "server", "now", "since", "restarted", "total", "recent",
                          "shed", "delayed", "busy_percent", "sources", "store", "limits", "offenders", "offenders_missed", "latency",
                          "minutes", "hours"]
    assert list(view["store"]) == [
        "kind", "state", "last_failure_s", "last_failure", "breaker", "breaker_opened", "errors",
        "timeouts", "unavailable", "refused", "connects", "connections_lost", "resent",
        "late_replies", "slots", "slots_used", "evicted_live"]
    for entry in view["limits"]:
        assert list(entry) == ["name", "policy", "configured", "total", "recent"]
    for entry in view["offenders"]:
        assert list(entry) == ["key", "shown", "limit", "denied", "error"]
        assert entry["shown"] in ["address", "plain", "hashed"]
    for entry in [view["total"], view["recent"], *(e["total"] for e in view["limits"])]:
        assert list(entry) == ["allowed", "denied", "dry_run"]
    assert list(view["latency"]) == ["p50_ns", "p99_ns", "p999_ns", "buckets"]
    bounds = [bucket["le_ns"] for bucket in view["latency"]["buckets"]]
    assert bounds[-1] is None and bounds[:-1] == sorted(bounds[:-1])
    for name, n, step in [("minutes", 120, 5), ("hours", 144, 600)]:
        assert view[name].pop("step_s") == step
        assert list(view[name]) == ["allowed", "denied", "dry_run", "degraded"]
        assert {len(steps) for steps in view[name].values()} == {n}
    assert {name: sum(view["minutes"][name]) for name in view["recent"]} == view["recent"]


# Every member is described in the manual.
def test_json_is_documented():
    manual = (pathlib.Path(os.environ["RLC_SRCDIR"]) /
              "mod_ratelimit_redis/ratelimit_redis.conf").read_text()
    text = manual.partition("?format=json")[2].partition("?format=prometheus")[0]

    def members(value):
        if isinstance(value, dict):
            for name, inner in value.items():
                yield name
                yield from members(inner)
        elif isinstance(value, list) and value:
            yield from members(value[0])

    missing = {name for name in members(json.loads(sample("busy", "json")))
               if not re.search(rf"\b{name}\b", text)}
    assert not missing


# Keys that are no text, and such that pretend to be other text, are shown for what they are.
def test_hostile_keys():
    shown = {entry["key"] for entry in json.loads(sample("hostile", "json"))["offenders"]}
    assert "\\xe2\\x80\\xaegnp.exe\\xe2\\x81\\xa6" in shown
    assert "\\xff\\xfe\\x00\\x01\\x1b[31m" in shown
    assert "J\u00fcrgen M\u00fcller \u6771\u4eac" in shown
    assert "a" * 62 + "..." in shown


# --- mod_status

# Its section is plain text and tables, without keys.
@pytest.mark.parametrize("scene", SCENES)
def test_section(scene):
    Document(sample(scene, "section"))
    assert "<script" not in sample(scene, "section")
    for line in sample(scene, "auto").splitlines():
        assert re.fullmatch(r"RateLimit[A-Za-z]+: (\d+|answers|idle|away|unsteady)", line)
