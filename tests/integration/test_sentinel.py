# SPDX-License-Identifier: Apache-2.0
"""Sentinel: who is master is found out, followed and checked. Quotas refill nothing while a test
runs, so counts are exact."""

import signal
import time

import pytest

from fake_redis import FakeRedis
from redis_env import CONTROL, LOGIN, Hammer, hammer
from test_laws import POLICIES
from topology_env import Node, Sentinel, free_ports, user_of, wait_for

QUOTA = 1000
POLICY = "%d/3650day" % QUOTA
MANY = {"processes": 4, "threads": 4}
SLOW = "timeout=10s&fail=closed"


def all_by_store(result):
    """Nothing was lost and nobody but the store decided."""
    assert result["lost"] == 0
    assert result["calls"] == result["returned"]
    assert result["returned"] == result["allowed"]["store"] + result["denied"]["store"]
    return result["allowed"]["store"]


def lines(log, number):
    """The lines of a hammer's log with that id that are no debug messages."""
    split = (line.split(" ", 2) for line in log.read_text().splitlines())
    return [text for name, level, text in split if name == number and int(level) < 4]


def test_never_over_admits():
    """Law 1 for every algorithm, behind sentinels."""
    with Sentinel(replicas=1) as s:
        for name, policy in POLICIES.items():
            result = hammer(s.url(SLOW), policy % 40, key=name.replace(" ", "-"), calls=10, **MANY)
            assert all_by_store(result) == 40, name


class Fake:
    """The place of a sentinel that answers |reply| to everything."""

    def __init__(self, reply):
        self.fake = FakeRedis([{"steps": [{"reply": reply}]}], path=None)

    def __enter__(self):
        self.fake.__enter__()
        return self

    def __exit__(self, *what):
        self.fake.__exit__(*what)

    def __repr__(self):
        return self.fake.url.split("//")[1]


def names(node):
    return "*2\r\n$9\r\n127.0.0.1\r\n$5\r\n%d\r\n" % node.port


class Nowhere:
    """The place of one that is not there."""

    def __init__(self):
        self.port, = free_ports(1)

    def __repr__(self):
        return "127.0.0.1:%d" % self.port


def test_discovery(tmp_path):
    """The first sentinels are dead, know nothing, lie, talk nonsense: the next one is asked, each
    is complained of once by each process, and no replica decides anything."""
    log = tmp_path / "log"
    with Sentinel(replicas=1) as s, Fake("*-1\r\n") as knows_nothing, \
            Fake(names(s.servers[1])) as lies, Fake(":1\r\n") as nonsense:
        order = [Nowhere(), knows_nothing, nonsense, lies] + s.sentinels
        result = hammer(s.url(SLOW, sentinels=order), POLICY, log=log, calls=200, **MANY)
        assert all_by_store(result) == QUOTA
        assert result["breaker_opened"] == 0
        text = "\n".join(lines(log, "RLC0305"))
        assert text.count("cannot connect") == 4
        for who, what in ((knows_nothing, "it knows no master of that name"),
                          (nonsense, "it answered with something else")):
            assert text.count("the sentinel at %r: %s" % (who, what)) == 4
        assert text.count("\n") == 11
        refused, = set(lines(log, "RLC0302"))
        assert refused == ("no connection to redis at %r: the sentinel names it, but it is no "
                           "master" % s.servers[1])
        assert "evalsha" not in s.servers[1].calls() and "eval" not in s.servers[1].calls()


def test_unknown_master(tmp_path):
    """No sentinel knows the name: each is named once, and decisions do not wait for them."""
    log = tmp_path / "log"
    with Sentinel(replicas=0) as s:
        result = hammer(s.url("fail=closed&timeout=2s", name="nobody"), POLICY, calls=50, log=log)
        assert result["denied"]["fail-closed"] == 50 and result["lost"] == 0
        assert result["seconds"] < 2
        said = lines(log, "RLC0305")
        assert sorted(said) == sorted(
            "the sentinel at %r: it knows no master of that name: write in the URL the name that "
            "stands after \"sentinel monitor\" in its settings" % one for one in s.sentinels)
        assert "it knows no master of that name" in lines(log, "RLC0301")[0]


def test_passwords(tmp_path):
    """Sentinels and servers have passwords of their own; a wrong one is told, and not repeated."""
    log = tmp_path / "log"
    with Sentinel(replicas=0, server_password="right1", sentinel_password="right2") as s:
        assert all_by_store(hammer(s.url(SLOW), POLICY, calls=100, **MANY)) == QUOTA
        for right in ("right1", "right2"):
            wrong = s.url("fail=closed&timeout=2s").replace(right, "wrong3")
            result = hammer(wrong, POLICY, calls=20, log=log)
            assert result["denied"]["fail-closed"] == 20
        said = log.read_text()
        assert "the server rejected the user name or password (WRONGPASS)" in said
        assert lines(log, "RLC0302") and lines(log, "RLC0305")
        assert "right" not in said and "wrong3" not in said


def test_failover_keeps_what_was_replicated():
    """What the replica has counts: the master dies and comes back as a master that nobody asks."""
    with Sentinel(replicas=1) as s:
        assert all_by_store(hammer(s.url(SLOW), POLICY, calls=300)) == 300
        s.wait_replicated()
        old = s.kill_master()
        load = Hammer(s.url("timeout=25ms&fail=closed"), POLICY, seconds=60, pace=2000, **MANY).go()
        s.wait_failover()
        old.start()
        time.sleep(2)
        result = load.stop().result()
        assert result["lost"] == 0 and result["calls"] == result["returned"]
        # An answer that came late may have been a yes that nobody heard.
        late = result["store_timeouts"]
        assert QUOTA - 300 - late <= result["allowed"]["store"] <= QUOTA - 300
        assert result["denied"]["store"] > 0
        assert "evalsha" not in old.calls() and "eval" not in old.calls()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_failover_under_load(number):
    """The master dies, or hangs: every call returns in its time, and decisions go back to the store
    by themselves within a second of the failover. Of the writes those of one turn of the master's
    may be lost, one of each caller; and as many may have been charged whose answer was, or came
    late. A master that wakes up as one decides nothing."""
    with Sentinel(replicas=1) as s:
        load = Hammer(s.url("timeout=50ms&fail=closed"), "8000/3650day", seconds=60, pace=500,
                      **MANY).go()
        time.sleep(0.4)
        begun = time.monotonic()
        old = s.kill_master(number)
        s.wait_failover()
        spent = time.monotonic() - begun
        if number == signal.SIGSTOP:
            old.signal(signal.SIGCONT)
        time.sleep(2)
        result = load.stop().result()
        assert result["lost"] == 0 and result["calls"] == result["returned"]
        assert result["denied"]["store"] > 0  # the quota was used up by the end
        late = result["store_timeouts"]
        assert 8000 - 16 - late <= result["allowed"]["store"] <= 8000 + 16
        assert result["longest_gap_us"] < (spent + 1) * 1e6
        print("failover %.2f s, gap %.2f s" % (spent, result["longest_gap_us"] / 1e6))


def test_sentinels_away():
    """All sentinels die, then the master's replica: the master goes on to decide."""
    with Sentinel(replicas=1) as s:
        load = Hammer(s.url("timeout=1s&fail=closed"), "1000000/3650day", seconds=2, pace=1000,
                      **MANY).go()
        time.sleep(0.3)
        for node in s.sentinels + [s.servers[1]]:
            node.kill()
        assert all_by_store(load.result()) > 1000


def test_switch_by_hand():
    """The sentinels name another master while the old one lives, split off: it is left within two
    seconds."""
    with Sentinel(replicas=0) as s:
        other = Node(s.folder, free_ports(1)[0],
                     user_of("redis", "redis+sentinel://%s@h/main" % LOGIN),
                     password=CONTROL).start()
        s.all.append(other)
        fakes = s.servers[0], other
        with FakeRedis([{"steps": [{"reply": names(fakes[0])}] * 2 + [{"reply": names(other)}]}],
                       path=None) as fake:
            url = "redis+sentinel://%s@%s/main?%s" % (LOGIN, fake.url.split("//")[1], SLOW)
            load = Hammer(url, "1000000/3650day", seconds=3, pace=1000).go()
            wait_for(lambda: other.calls().get("evalsha"), "the switch", 2.5)
            time.sleep(0.2)
            before = s.servers[0].calls()["evalsha"]
            assert load.result()["lost"] == 0
            assert s.servers[0].calls()["evalsha"] == before
