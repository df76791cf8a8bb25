# SPDX-License-Identifier: Apache-2.0
"""The access list that rlctl prints, which is enough for every verb, and of which no word can go."""

import hashlib
import json
import pathlib
import struct

import pytest

from redis_env import LOGIN, Client, Redis, hammer
from rlctl_env import PASSWORD, SLOW, USER, given, rules_of, run
from topology_env import Cluster, Sentinel

HASH = "#" + hashlib.sha256(PASSWORD.encode()).hexdigest()
COMMANDS = ("+evalsha +eval +time +get +set +incrby +append +pexpireat +del +hget +hgetall +hset +hdel +hlen "
            "+hexists +hmget +mget +zadd +zrem +zcard +zcount +zmscore +zrangebyscore +info")


# --- what it prints ---------------------------------------------------------------------------


@pytest.mark.parametrize("store, rules", [
    ("redis://app:s3cret@h", f"{HASH} resetchannels ~rl:* {COMMANDS} +client|setname"),
    ("redis://app:s3cret@h/3?prefix=shop.eu",
     f"{HASH} resetchannels ~shop.eu:* {COMMANDS} +select +client|setname"),
    ("redis+unix://app:s3cret@/s?db=1",
     f"{HASH} resetchannels ~rl:* {COMMANDS} +select +client|setname"),
    ("redis+cluster://app:s3cret@h1,h2",
     f"{HASH} resetchannels ~rl:* {COMMANDS} +cluster|slots +asking +client|setname"),
])
def test_acl(store, rules):
    assert run("--store", store, "acl") == (0, f"ACL SETUSER app reset on {rules}\n", "")
    assert run("acl", "--file", "--store=" + store) == (0, f"user app reset on {rules}\n", "")


def test_acl_of_sentinels():
    """A line for the servers, one for the sentinels, each alone too."""
    store = "redis+sentinel://app:s3cret@h1,h2/main?sentinel-user=s&sentinel-password=s3cret"
    status, out, err = run("--store", store, "acl")
    servers, sentinels = out.splitlines()
    assert status == 0 and "the second for each sentinel" in err
    assert servers == (f"ACL SETUSER app reset on {HASH} resetchannels ~rl:* {COMMANDS} +role "
                       "+client|setname")
    assert sentinels == (f"ACL SETUSER s reset on {HASH} resetchannels "
                         "+sentinel|get-master-addr-by-name +client|setname")
    assert run("--store", store, "acl", "redis") == (0, servers + "\n", "")
    assert run("--store", store, "acl", "sentinel") == (0, sentinels + "\n", "")


def test_acl_as_json():
    status, out, err = run("--json", "--store", "redis://app:s3cret@h", "acl")
    rules = f"reset on {HASH} resetchannels ~rl:* {COMMANDS} +client|setname"
    assert (status, err) == (0, "")
    assert json.loads(out) == {"redis": {
        "user": "app", "password": True, "rules": rules.split(),
        "command": "ACL SETUSER app " + rules, "file": "user app " + rules}}


def test_acl_without_a_user():
    """It says what is missing; and what it prints is refused until that is there."""
    status, out, err = run("--store", "redis://:s3cret@h", "acl")
    assert status == 0 and "the URL names no user" in err
    server = Redis()
    try:
        words = out.split()
        with pytest.raises(RuntimeError, match="#SHA256-OF-THE-PASSWORD"):
            server.command(*words)
        words[words.index("#SHA256-OF-THE-PASSWORD")] = ">elephant"
        assert server.command(*words) == b"OK"
        url = "redis+unix://rlcore:elephant@%s" % server.socket
        assert hammer(url + SLOW, "9/day", calls=5)["allowed"]["store"] == 5
    finally:
        server.stop()


# --- enough, and no more ----------------------------------------------------------------------


def all_verbs(url):
    """Everything that a store does, with every script, each known to the server and not. Returns
    how many calls the store answered."""
    answered = 0
    for policy in ("9/day", "9/day algorithm=fixed-window", "9/day algorithm=sliding-window",
                   "9/day,20/week", "5/day,9/week algorithm=fixed-window",
                   "5/day,9/week algorithm=sliding-window", "9/day algorithm=sliding-log",
                   "5/day,9/week algorithm=sliding-log", "9/day algorithm=concurrency",
                   "999/day algorithm=sliding-log"):
        for op in ("check", "peek", "charge", "refund", "reset"):
            done = hammer(url, policy, op=op, calls=2, cost=70 if "999" in policy else 1)
            answered += done["allowed"]["store"] + done["denied"]["store"]
    return answered


def index_verbs(server):
    """All that the script of the index does, as the URL's user. Returns how often that worked."""
    script = (pathlib.Path(__file__).resolve().parents[2] / "lua/index.lua").read_text()
    now, answered = 1800057600000000, 0
    keys = ["rl:{index}:" + tag for tag in ("e", "v", "u", "g", "dhash-of-16-bytesn")]

    def put(field, lasts):
        return b"P" + bytes([len(field)]) + field + struct.pack("<dIBBB", lasts, 0, 0, 0, 0)

    def news(version):
        return b"N" + struct.pack("<dd", version, version)

    with Client(server.socket) as client:
        try:
            client.command("AUTH", *LOGIN.split(":"))
        except RuntimeError:
            return 0
        for later, arg in ((0, put(b"2hash-of-16-bytesn", 0)), (1, put(b"1hash-of-16-bytesn", 60e6)),
                           (2, news(0)), (3, put(b"3pro:n", 0)), (4, news(now + 1)),
                           (5, b"D1hash-of-16-bytesn"), (6, b"D3pro:n"),
                           (7, b"C" + struct.pack("<IIdddB", 5, 5, 60e6, 60e6, 60e6, 0)),
                           (3600000000, put(b"3pro:n", 0))):
            if later == 3600000000:
                server.command("DEL", keys[1])  # as evicted: it is made anew
            try:
                client.command("EVAL", script, len(keys), *keys, arg, now + later)
                answered += 1
            except RuntimeError:
                pass
    return answered


def refused(server):
    """What |server| has refused, by reason and object."""
    return {(entry[3].decode(), entry[7].decode()) for entry in server.command("ACL", "LOG")}


@pytest.fixture(scope="module")
def redis():
    server = Redis()
    yield server
    server.stop()


SINGLE = rules_of("redis://%s@h/3" % LOGIN)


def test_enough(redis):
    """Every verb is answered, and the server has refused nothing."""
    given(redis, SINGLE)
    assert all_verbs(redis.url + SLOW + "&db=3") == 100
    assert index_verbs(redis) == 9
    assert refused(redis) == set()


# "reset" and "resetchannels" take away, and are looked at below.
@pytest.mark.parametrize("word", [w for w in SINGLE if not w.startswith("reset")])
def test_no_word_can_go(redis, word):
    """Without it the server refuses something, and tells what in its log."""
    given(redis, [w for w in SINGLE if w != word])
    all_verbs(redis.url + SLOW.replace("2s", "100ms") + "&db=3")
    index_verbs(redis)
    log = refused(redis)
    if word in ("on", HASH):
        assert ("auth", "AUTH") in log
    elif word.startswith("~"):
        assert {reason for reason, _ in log} == {"key"}
    else:
        assert log == {("command", word[1:])}


def test_takes_rights_away(redis):
    """Whatever the user might do before, and whatever new users may, nothing else is left."""
    redis.command("CONFIG", "SET", "acl-pubsub-default", "allchannels")

    def rights(rules):
        redis.command("ACL", "DELUSER", USER)
        redis.command("ACL", "SETUSER", USER, "on", "nopass", "~old:*", "&*", "+@all")
        redis.command("ACL", "SETUSER", USER, *rules)
        got = redis.command("ACL", "GETUSER", USER)
        return {got[i]: got[i + 1] for i in range(0, len(got), 2)}

    fresh = rights(SINGLE)
    assert fresh[b"channels"] == b"" and fresh[b"keys"] == b"~rl:*"
    assert b"nopass" not in fresh[b"flags"] and fresh[b"passwords"] == [HASH[1:].encode()]
    assert b"-@all " in fresh[b"commands"] and b"+@all" not in fresh[b"commands"]
    for word in ("reset", "resetchannels"):
        assert rights([w for w in SINGLE if w != word]) != fresh


# --- sentinels and clusters -------------------------------------------------------------------


def allow(servers, rules, missing):
    """The user gets |rules| but for |missing|; what was refused so far is forgotten."""
    for server in servers:
        server.command("ACL", "SETUSER", USER, *(w for w in rules if w != missing))
        server.command("ACL", "LOG", "RESET")


@pytest.fixture(scope="module")
def watched():
    with Sentinel(sentinels=1, replicas=0) as sentinel:
        yield sentinel


SENTINEL = rules_of("redis+sentinel://%s@h/main?sentinel-user=%s&sentinel-password=%s" % (
    LOGIN, USER, PASSWORD), "sentinel")


@pytest.mark.parametrize("kind, missing", [("redis", None), ("redis", "+role")] + [
    ("sentinel", word) for word in SENTINEL if not word.startswith("reset")])
def test_sentinel(watched, kind, missing):
    """The master is found, and what is allowed is what that takes."""
    url = watched.url(SLOW[1:] if missing is None else SLOW[1:].replace("2s", "200ms"))
    servers = {"redis": watched.servers, "sentinel": watched.sentinels}
    for name in servers:
        allow(servers[name], rules_of(url, name), missing if name == kind else None)
    done = hammer(url, "9/day", calls=2)
    log = {name: refused(servers[name][0]) for name in servers}
    if missing is None:
        assert done["allowed"]["store"] == 2
        assert log == {"redis": set(), "sentinel": set()}
    elif missing in ("on", HASH):
        assert ("auth", "AUTH") in log[kind]
        assert run("peek", "9/day", "k", "--store", url)[0] == 4
    else:
        assert log[kind] == {("command", missing[1:])}


@pytest.fixture(scope="module")
def cluster():
    with Cluster(masters=2) as nodes:
        yield nodes


@pytest.mark.parametrize("missing", [None, "+cluster|slots", "+asking"])
def test_cluster(cluster, missing):
    """Also a key whose slot is on its way to another master is found."""
    url = cluster.url(SLOW[1:] if missing is None else SLOW[1:].replace("2s", "300ms"))
    allow(cluster.masters, rules_of(url), None)
    hammer(cluster.url(SLOW[1:]), "9/day", calls=1)
    key, = cluster.keys()
    slot = cluster.slot_of(key)
    to = next(node for node in cluster.masters if node is not cluster.owner(slot))
    owner = cluster.begin_move(slot, to)
    assert cluster.move_keys(slot, owner, to) == 1
    allow(cluster.masters, rules_of(url), missing)
    before = to.calls().get("asking", 0)
    done = hammer(url, "9/day", calls=2)
    log = refused(owner) | refused(to)
    cluster.end_move(slot, owner, to)
    cluster.flush()
    if missing is None:
        assert done["allowed"]["store"] == 2 and log == set()
        assert to.calls()["asking"] > before
    else:
        assert done["allowed"]["store"] == 0 and log == {("command", missing[1:])}
