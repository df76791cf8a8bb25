# SPDX-License-Identifier: Apache-2.0
"""Grants, debts, reservations and slots in every store, from several processes and threads at once; and
what becomes of a slot whose holder is killed. The quotas refill nothing while a test runs, so that counts
are exact; where a moment matters, the time is passed in."""

import itertools
import time

import pytest

from redis_env import Hammer, Redis, hammer
from stepper_env import Call, Stepper, oracle
from topology_env import Cluster

SLOW = "?timeout=10s&fail=closed"
MANY = {"processes": 2, "threads": 8}
QUOTA = 1000
KINDS = {"token-bucket": "%d/3650day", "stack": "%d/3650day,100000/3640day",
         "fixed-window": "%d/520week algorithm=fixed-window",
         "calendar": "%d/year algorithm=fixed-window tz=America/St_Johns anchor=02-29",
         "sliding-window": "%d/520week algorithm=sliding-window",
         "sliding-log": "%d/520week algorithm=sliding-log"}
numbers = itertools.count()


@pytest.fixture(scope="module")
def servers():
    redis = Redis()
    with Cluster(masters=3) as cluster:
        yield {"redis": redis.url + SLOW, "cluster": cluster.url(SLOW[1:])}
    redis.stop()


@pytest.fixture(params=["memory:", "shm:/path", "redis", "cluster"])
def store(request, servers, tmp_path):
    """A URL, and how many processes can share the store."""
    if request.param == "shm:/path":
        return "shm:%s/table" % tmp_path, 2
    return servers.get(request.param, request.param), 1 if request.param == "memory:" else 2


def run(store, *policies, key=None, **options):
    """Drives the store, on a key of its own; nobody but it decides."""
    url, processes = store
    threads = 8 if processes == 2 else 16
    result = hammer(url, *policies, processes=processes, threads=threads,
                    key=key or "key%d" % next(numbers), **options)
    assert result["lost"] == 0
    assert result["returned"] == result["allowed"]["store"] + result["denied"]["store"]
    return result


@pytest.mark.parametrize("kind", KINDS)
def test_grants_grant_all_and_no_more(store, kind):
    """As much as there is, to the last unit, each unit once."""
    assert run(store, KINDS[kind] % QUOTA, op="grant", cost=7, calls=20)["charged"] == QUOTA


@pytest.mark.parametrize("kind", ["token-bucket", "fixed-window", "sliding-window", "sliding-log"])
def test_grants_of_several_limits(store, kind):
    """The same number of each, also where the limits lie on several servers: of those that one server has
    granted, what another has not is taken back."""
    wide, narrow = (KINDS[kind] % n for n in (QUOTA, QUOTA - 300))
    key = "several%d" % next(numbers)
    done = run(store, wide, narrow, key=key, key_each=True, op="grant", cost=7, calls=20)
    assert done["charged"] <= QUOTA - 300
    if store[0] != "memory:":
        # What was taken back lost nothing but, of a bucket, the refill of a round trip.
        rest = run(store, wide, narrow, key=key, key_each=True, op="grant", cost=1000, calls=1)
        assert done["charged"] + rest["charged"] in (QUOTA - 300, QUOTA - 301)
        assert 299 <= run(store, wide, key=key, key_each=True, op="grant", cost=7,
                          calls=20)["charged"] <= 300


@pytest.mark.parametrize("kind", [*KINDS, "concurrency"])
def test_grants_across_servers_tell_the_truth(servers, kind):
    """What one server granted and had to give back again is not told of: the results are those of a store
    that grants in one step, to the last member."""
    policy = KINDS.get(kind, "%d/3600s algorithm=concurrency")
    key, now, own, calls = "truth%d" % next(numbers), 1790000000 * oracle.US, oracle.Oracle(), []
    made = Stepper(servers["cluster"])

    def call(op, *costs):
        limits = [("n%d" % i, policy % quota, "%s/%d" % (key, i), cost)
                  for i, (quota, cost) in enumerate(zip((900, 50, 70), costs))]
        calls.append(Call(op, now, limits, own.decide(op, limits, now)))

    call("check", 1, 2, 3)
    for costs in ((7, 9, 8), (500, 40, 500), (1000, 1, 1000), (5, 5, 5), (3, 3, 3)):
        now += 1000
        call("grant", *costs)
        call("peek", *costs)
    made.make(calls)
    made.close()


@pytest.mark.parametrize("kind", KINDS)
def test_debts_have_a_bound(store, kind):
    """Charges go as far as the debt and not further; and then nothing passes."""
    policy = KINDS[kind] % (QUOTA - 150) + " debt=150"
    key = "debt%d" % next(numbers)
    done = run(store, policy, key=key, op="charge", cost=3, calls=40)
    if kind == "stack":  # which tells of the rate that takes most
        policy = policy.replace("100000/3640day", "%d/3640day" % (QUOTA - 150))
        key = "debt%d" % next(numbers)
        done = run(store, policy, key=key, op="charge", cost=3, calls=40)
    assert done["charged"] == QUOTA
    if store[0] != "memory:":
        assert run(store, policy, key=key, calls=2)["allowed"]["store"] == 0
        assert run(store, policy, key=key, op="charge", cost=3, calls=2)["charged"] == 0


@pytest.mark.parametrize("kind", KINDS)
def test_reservations_come_back(store, kind):
    """Of 5 reserved 2 are used: never more than the quota, and in the end all that was not used is there
    again. A bucket does not get the refill of the time between."""
    key = "reserve%d" % next(numbers)
    policy = KINDS[kind] % QUOTA
    done = run(store, policy, key=key, op="reserve", cost=5, used=2, calls=25)
    assert done["charged"] == 2 * done["allowed"]["store"] and 0 < done["charged"] <= QUOTA
    if store[0] != "memory:":
        rest = run(store, policy, key=key, op="grant", cost=7, calls=20)["charged"]
        assert QUOTA - done["charged"] - rest in ((0,) if "bucket" not in kind and kind != "stack"
                                                  else (0, 1))


def test_no_more_slots_than_there_are(store):
    """Leases are taken, held, kept and given back, and at no moment are there more than the quota."""
    policy = "5/60s algorithm=concurrency"
    key = "slots%d" % next(numbers)
    done = run(store, policy, key=key, op="hold", hold=300, calls=40, keep=True)
    assert done["most_held"] == 5
    assert done["leases_lost"] == 0
    if store[0] != "memory:":
        assert run(store, policy, key=key, op="grant", cost=9, calls=1)["charged"] == 5


@pytest.fixture(params=["shm:/path", "redis", "cluster"])
def shared(request, servers, tmp_path):
    return servers.get(request.param, "shm:%s/table" % tmp_path)


def test_killed_holders_get_back(shared):
    """kill -9 of who holds slots: each is back at the end of its own lease, and not a microsecond before;
    a reservation stays the charge that it was."""
    policy, plain = "5/30s algorithm=concurrency", "10/year algorithm=fixed-window"
    key, now = "killed%d" % next(numbers), 1790000000 * oracle.US

    def acquire(cost):
        return "acquire\t%d\tn\t%s\t%s\t%d\tp\t%s\t%s\t%d" % (now, policy, key, cost, plain, key, cost)

    def free(then):
        limits = [("n", policy, key, 0), ("p", plain, key, 0)]
        line = "peek\t%d\t" % then + "\t".join("%s\t%s\t%s\t%d" % one for one in limits)
        told = other.ask([line], 1)[0]
        return [int(one.split()[4]) for one in told.replace(")", "").split("(")[1:]]

    holder, other = Stepper(shared), Stepper(shared)
    assert holder.ask([acquire(2)], 1)[0].startswith("0 1 ")
    now += 4 * oracle.US
    assert holder.ask([acquire(3)], 1)[0].startswith("0 1 ")
    now += 10 * oracle.US
    assert holder.ask(["renew\t%d\t0" % now], 1) == ["0"]
    holder.process.kill()
    holder.process.wait()
    assert free(now) == [0, 5]
    assert free(1790000034 * oracle.US - 1) == [0, 5]
    assert free(1790000034 * oracle.US) == [3, 5]  # those that were not renewed
    assert free(1790000044 * oracle.US - 1) == [3, 5]
    assert free(1790000044 * oracle.US) == [5, 5]
    other.close()


def test_killed_keepers_get_back(shared):
    """The same where the helper thread renews, in real time: while the process lives its slots outlast their
    windows, and once it is killed all are back within one."""
    policy, key = "6/1s algorithm=concurrency", "keeper%d" % next(numbers)
    holder = Hammer(shared, policy, key=key, op="hold", hold=60000000, keep=True, threads=6, calls=1)
    holder.go()

    def free():
        return hammer(shared, policy, key=key, op="grant", cost=9, calls=1)["charged"]

    def is_held():
        return hammer(shared, policy, key=key, op="peek", calls=1)["denied"]["store"] == 1

    begun = time.monotonic()
    while not is_held():
        assert time.monotonic() < begun + 10
    begun = time.monotonic()
    while time.monotonic() < begun + 1.5:
        assert is_held()
    killed = time.monotonic()
    holder.kill()
    while is_held():
        assert time.monotonic() < killed + 10
    gone = time.monotonic() - killed
    assert 0.5 < gone < 1.5  # the last renewal was a third of the window ago at most
    time.sleep(max(killed + 1.1 - time.monotonic(), 0))
    assert free() == 6
