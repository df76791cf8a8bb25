# SPDX-License-Identifier: Apache-2.0
"""The command line and the index: list, ban, unban, override, tier, member, and what check makes of them."""

import json
import os
import re
import subprocess

import pytest

from redis_env import RLCTL, Redis

FLAGS = {"env": {key: value for key, value in os.environ.items() if key != "RLCTL_STORE"},
         "text": True, "timeout": 60}


def run(*words):
    done = subprocess.run([RLCTL, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, **FLAGS)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(params=["redis", "shm"])
def store(request, tmp_path):
    """Each in turn, empty, where everybody may do what `rlctl acl` says and nothing more."""
    if request.param == "shm":
        url = "shm:%s/table" % tmp_path
        assert run("check", "1/s", "x", "--store", url)[0] == 0
        yield url
        return
    server = Redis()
    yield server.url + "?timeout=5s"
    server.stop()


def ask(store, *words):
    """The exit status and the answer, which nothing is said about."""
    status, out, err = run(*words, "--store", store)
    assert err == ""
    return status, out


def ask_json(store, *words):
    status, out = ask(store, *words, "--json")
    assert out.count("\n") == 1
    return status, json.loads(out)


@pytest.mark.parametrize("words, sentence", [
    (["ban"], "ban expects a limit's name, a key and how long, as in"),
    (["ban", "login", "k"], "ban expects a limit's name"),
    (["ban", "a b\x1b", "k", "1h"], r'found "a b\x1b"'),
    (["ban", "x" * 33, "k", "1h"], "a limit's name, a letter and then at most 31"),
    (["ban", "login", "k", "month"], 'as in "90s", "10min", "1h" or "7day"'),
    (["ban", "login", "k", "1h burst=2"], 'found "1h burst=2"'),
    (["ban", "login", "k", "0s"], 'found "0s"'),
    (["ban", "login", "k", "3661day"], 'found "3661day"'),
    (["ban", "login", "k", "\x1b"], r'found "\x1b"'),
    (["ban", "login", "k", "1h", "--remove"], "ban takes no --remove"),
    (["ban", "login", "k" * 65537, "1h"], "a key is at most 65536 bytes"),
    (["unban", "login"], "unban expects a limit's name and a key"),
    (["unban", "login", "k", "--display", "x"], "unban takes no --display"),
    (["override", "api", "k"], "override expects a limit's name, a key and a policy in quotes, or --remove"),
    (["override", "api", "k", "10/fortnight"], 'the policy "10/fortnight": column 4'),
    (["override", "api", "k", "1/s", "--remove"], "override expects"),
    (["override", "api", "k", "--remove", "--display", "x"], "no meaning with --remove"),
    (["override", "api", "k", "1/s", "--remove=1"], "--remove takes no value"),
    (["override", "api", "k", "1/s", "--display"], "--display expects what to call the key"),
    (["tier", "pro", "api"], "tier expects a tier, a limit's name and a policy"),
    (["tier", "7", "api", "1/s"], "tier expects a tier's name"),
    (["member", "k"], "member expects a key and a tier, or --remove"),
    (["member", "k", "7"], "member expects a tier's name"),
    (["list", "ban"], 'found "ban" - did you mean "bans"?'),
    (["list", "bans", "tiers"], 'leave out "tiers"'),
    (["check", "1/s", "k", "--tier", "7"], "--tier expects a letter"),
    (["unbann", "login", "k"], 'did you mean "unban"?'),
])
def test_mistakes(words, sentence):
    status, out, err = run("--store", "redis://h", *words)
    assert (status, out) == (2, "")
    assert err.startswith("rlctl: ") and err.count("\n") == 1 and sentence in err


def test_away(tmp_path):
    """A store that does not answer, and one that is not there."""
    for store, sentence in (("redis+unix://%s/none" % tmp_path, "the store did not answer: "),
                            ("shm:%s/none" % tmp_path, "there is no table")):
        for words in (["list"], ["ban", "a", "k", "1h"], ["unban", "a", "k"], ["tier", "t", "a", "1/s"],
                      ["override", "a", "k", "1/s"], ["member", "k", "t"]):
            status, out, err = run(*words, "--store", store)
            assert (status, out) == (3, "") and sentence in err and err.count("\n") == 1


def test_ban(store):
    limit = ["9/week", "alice", "--name", "login"]
    assert ask(store, "list") == (0, "there are no tiers, members, overrides or bans\n")
    assert ask(store, "list", "bans") == (0, "there are no bans\n")
    assert ask(store, "ban", "login", "alice", "90min") == (
        0, 'banned: alice by "login" for 1 h 30 min\n')
    assert ask(store, "check", *limit) == (1, "denied: banned; try again in 1 h 30 min\n")
    assert ask(store, "peek", *limit) == (1, "would be denied: banned; try again in 1 h 30 min\n")
    assert ask(store, "check", *limit, "9/week", "bob") == (
        1, 'denied\n  "9/week" of alice: banned; try again in 1 h 30 min\n'
           '  "9/week" of bob: 9 of 9 left\n')
    status, got = ask_json(store, "check", *limit)
    assert (status, got["allowed"], got["limits"][0]["banned"]) == (1, False, True)
    assert 5399e6 < got["limits"][0]["retry_us"] <= 5400e6
    assert ask(store, "check", "9/week", "alice")[0] == 0
    assert ask(store, "reset", *limit)[0] == 0
    assert ask(store, "check", *limit)[0] == 1
    assert ask(store, "unban", "login", "alice") == (0, 'alice: no longer banned by "login"\n')
    assert ask(store, "unban", "login", "alice") == (1, 'alice is not banned by "login"\n')
    assert ask(store, "check", *limit)[0] == 0


def test_denials_of_many_runs(store):
    """Each run is a process of its own; together they make the ban."""
    limit = ["1/week ban=3/10min:1h", "eve", "--name", "login"]
    assert ask(store, "check", *limit)[0] == 0
    for _ in range(3):
        assert "banned" not in ask(store, "check", *limit)[1]
    assert ask(store, "check", *limit) == (1, "denied: banned; try again in 1 h\n")
    assert "  login  " in ask(store, "list", "bans")[1]


def test_list(store):
    """Aligned, and nothing in a key's name reaches the terminal as it is."""
    ask(store, "tier", "pro", "api", "1000/60s")
    ask(store, "tier", "free", "api", "10/min")
    ask(store, "member", "bob", "pro", "--display", "Bob")
    ask(store, "override", "api", "alice", "100/min burst=200")
    ask(store, "ban", "login", "eve", "7day", "--display", "Eve\x1b[31m\xe9")
    hash_of = {entry["kind"]: entry.get("hash") for entry in ask_json(store, "list")[1]["entries"]}
    assert ask(store, "list") == (0, "\n".join([
        "tiers",
        "  tier  name  policy",
        "  free  api   10/min",
        "  pro   api   1000/min",
        "",
        "members",
        "  key               tier  who",
        "  %s  pro   Bob" % hash_of["member"],
        "",
        "overrides",
        "  name  key               policy",
        "  api   %s  100/min burst=200" % hash_of["override"],
        "",
        "bans",
        "  name   key               left    in a row  who",
        r"  login  %s  7 days  -         Eve\x1b[31m\xc3\xa9" % hash_of["ban"], ""]))
    assert ask(store, "list", "members")[1].startswith("members\n") and "tiers" not in ask(
        store, "list", "members")[1]
    status, got = ask_json(store, "list")
    assert status == 0 and all(re.fullmatch("[A-Za-z0-9_-]{16}", entry["hash"])
                               for entry in got["entries"] if entry["kind"] != "tier")
    left = got["entries"][-1].pop("left_us")
    assert 604700e6 < left <= 604800e6
    assert got["entries"] == [
        {"kind": "tier", "name": "api", "tier": "free", "policy": "10/min"},
        {"kind": "tier", "name": "api", "tier": "pro", "policy": "1000/min"},
        {"kind": "member", "hash": hash_of["member"], "display": "Bob", "tier": "pro"},
        {"kind": "override", "hash": hash_of["override"], "display": "", "name": "api",
         "policy": "100/min burst=200"},
        {"kind": "ban", "hash": hash_of["ban"], "display": r"Eve\x1b[31m\xc3\xa9", "name": "login",
         "level": 0}]


def test_override(store):
    limit = ["3/week", "alice", "--name", "api"]
    assert ask(store, "check", *limit, "--cost", "2")[0] == 0
    assert ask(store, "override", "api", "alice", "9/week burst=5") == (
        0, 'alice: "api" is "9/week burst=5"\n')
    status, got = ask_json(store, "peek", *limit, "--cost", "6")
    assert (status, got["limits"][0]["limit"], got["limits"][0]["rate"]) == (1, 5, None)
    assert got["limits"][0]["policy"] == "3/week"
    assert ask(store, "charge", *limit, "--cost", "9")[0] == 0
    assert ask(store, "check", *limit)[1].startswith(
        "denied by an override or tier: 0 of 5 left; try again in ")
    assert ask_json(store, "override", "api", "alice", "--remove")[1]["found"] is True
    assert ask(store, "override", "api", "alice", "--remove") == (
        1, 'alice has no policy of its own for "api"\n')
    assert ask(store, "check", *limit)[1].startswith('denied by "3/week": 0 of 3 left')


def test_tier(store):
    limit = ["3/week", "alice", "--name", "api"]
    assert ask(store, "tier", "pro", "api", "7/week") == (0, 'tier pro: "api" is "7/week"\n')
    assert ask_json(store, "peek", *limit)[1]["limits"][0]["limit"] == 3
    assert ask_json(store, "peek", *limit, "--tier", "pro")[1]["limits"][0]["limit"] == 7
    assert ask(store, "member", "alice", "pro") == (0, "alice is of tier pro\n")
    assert ask_json(store, "peek", *limit)[1]["limits"][0]["limit"] == 7
    assert ask_json(store, "member", "alice", "--remove")[1]["tier"] is None
    assert ask(store, "member", "alice", "--remove") == (1, "alice is of no tier\n")
    assert ask_json(store, "peek", *limit)[1]["limits"][0]["limit"] == 3
    assert ask(store, "tier", "pro", "api", "--remove") == (
        0, 'tier pro: "api" is as for all others again\n')
    assert ask(store, "tier", "pro", "api", "--remove")[0] == 1


def test_json(store):
    """Every member that the man page names, and no other."""
    status, got = ask_json(store, "ban", "login", 'j"\\', "1h")
    hash_of = got.pop("hash")
    assert (status, got) == (0, {"key": r"j\x22\x5c", "name": "login", "left_us": 3600000000})
    assert ask_json(store, "unban", "login", 'j"\\') == (
        0, {"key": r"j\x22\x5c", "hash": hash_of, "name": "login", "found": True})
    assert ask_json(store, "override", "api", 'j"\\', "60/60s") == (
        0, {"key": r"j\x22\x5c", "hash": hash_of, "name": "api", "policy": "60/min", "found": True})
    assert ask_json(store, "tier", "t", "api", "60/60s") == (
        0, {"tier": "t", "name": "api", "policy": "60/min", "found": True})
    assert ask_json(store, "member", 'j"\\', "t") == (
        0, {"key": r"j\x22\x5c", "hash": hash_of, "tier": "t", "found": True})


def test_refused():
    """A user who may not read the index: who asks for it is told, and decisions go without."""
    server = Redis()
    try:
        server.command("ACL", "SETUSER", "app", "-hget", "-hset", "-hmget", "-zrangebyscore")
        store = server.url + "?timeout=5s"
        status, out, err = run("list", "--store", store)
        assert (status, out) == (4, "") and "the server refused" in err
        status, out, err = run("check", "9/week", "alice", "--store", store)
        assert status == 0 and out.startswith("allowed: 8 of 9 left")
        assert "bans, overrides and tiers could not be read" in err
    finally:
        server.stop()


def test_policy():
    """A policy's ban= is told in words and in numbers."""
    assert run("policy", "5/min ban=5/10min:1h")[1].endswith(
        "\nbans\n  a key that is denied 5 times within 10 min is banned for 1 h;\n"
        "  twice as long at each repeat, up to 16 h, until it kept quiet for as long\n")
    assert run("policy", "5/min ban=1/s:1h:1h")[1].endswith(
        "\nbans\n  a key that is denied 1 time within 1 s is banned for 1 h\n")
    assert json.loads(run("policy", "5/min ban=5/10min:1h", "--json")[1])["ban"] == {
        "denials": 5, "window_us": 600000000, "first_us": 3600000000, "longest_us": 57600000000}
    assert "ban" not in json.loads(run("policy", "5/min", "--json")[1])
