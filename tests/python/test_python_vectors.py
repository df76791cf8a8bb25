# SPDX-License-Identifier: Apache-2.0
"""The rows of tests/vectors through the Python package: the same answers to the last microsecond."""

import csv
import os
import pathlib

import pytest

import rlcore

FOLDER = pathlib.Path(os.environ.get("RLC_VECTORS",
                                     pathlib.Path(__file__).resolve().parents[1] / "vectors"))
# Those that list calls; a new one is taken by itself.
FILES = sorted(path.stem for path in FOLDER.glob("*.tsv") if path.read_text().startswith("op\t"))


def microseconds(seconds):
    return "-" if seconds is None else str(round(seconds * 1e6))


@pytest.mark.parametrize("file", FILES)
def test_vectors(url, file, redis):
    if url.startswith("redis"):
        redis.command("FLUSHALL")
    clock = rlcore.testing.Clock()
    name = "changing" if file == "changes" else None
    rows = 0
    with rlcore.Limiter(url, clock=clock) as limiter, open(FOLDER / f"{file}.tsv") as lines:
        verbs = {verb: getattr(limiter, verb) for verb in
                 ("check", "peek", "charge", "refund", "grant", "reset")}
        for row in csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE):
            rows += 1
            clock.now_us = int(row["now_us"])
            said = verbs[row["op"]](row["key"], row["policy"], int(row["cost"]), name=name)
            if row["op"] == "reset":
                assert said is True
                continue
            told = [str(int(said.allowed)), str(said.rate_index), str(said.limit),
                    str(said.remaining), microseconds(said.retry_after), microseconds(said.reset)]
            assert told == [row[column] for column in
                            ("allowed", "rate_index", "limit", "remaining", "retry_us",
                             "reset_us")], f"{file}.tsv:{rows + 1}: {row}"
            assert said.source == "store"
    assert rows > 20


def test_files_are_there():
    assert len(FILES) >= 8
