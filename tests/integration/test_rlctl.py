# SPDX-License-Identifier: Apache-2.0
"""The command line: what it asks of stores, and how it ends."""

import json
import pathlib
import re
import signal
import subprocess
import time

import pytest

from fake_redis import FakeRedis
from redis_env import LOGIN, RLCTL, Redis, hammer
from rlctl_env import FLAGS, PASSWORD, SLOW, given, rules_of, run


@pytest.fixture(scope="module")
def redis():
    server = Redis()
    yield server
    server.stop()


# --- what it prints ---------------------------------------------------------------------------


@pytest.mark.parametrize("words, status, sentence", [
    ([], 2, "expected a command"),
    (["ack"], 2, 'did you mean "acl"?'),
    (["nonsense"], 2, '"rlctl help" lists them'),
    (["--stroe", "x", "acl"], 2, 'did you mean "--store"?'),
    (["--store"], 2, "--store expects a URL"),
    (["--json=1", "acl"], 2, "--json takes no value"),
    (["acl"], 2, "RLCTL_STORE"),
    (["acl", "--store", "redis:/h"], 2, 'as in "redis://localhost"'),
    (["acl", "--store", "shm:"], 2, 'URLs that begin with "redis"'),
    (["acl", "--store", "redis://default:s3cret@h"], 2, "name another"),
    (["acl", "--store", "redis://a%20b:s3cret@h"], 2, "name another"),
    (["acl", "sentinel", "--store", "redis://app:s3cret@h"], 2, "this store has no sentinels"),
    (["acl", "sentinle", "--store", "redis://h"], 2, 'did you mean "sentinel"?'),
    (["acl", "redis", "sentinel", "--store", "redis://h"], 2, 'leave out "sentinel"'),
    (["help", "--file"], 2, "help takes no --file"),
    (["reset", "10/s", "k", "--cost", "2"], 2, "reset takes no --cost"),
    (["policy", "10/s", "--name", "x"], 2, "policy takes no --name"),
    (["policy"], 2, "policy expects one policy, in quotes"),
    (["policy", "10/s", "burst=20"], 2, "in quotes"),
    (["policy", "10/fortnight"], 2, 'the policy "10/fortnight": column 4'),
    (["stats", "now"], 2, 'leave out "now"'),
    (["grant", "10/s", "k", "--cost", "0"], 2, "grant expects a cost of at least 1"),
    (["check"], 2, "check expects a policy and a key, as in"),
    (["peek", "10/s"], 2, "for each limit"),
    (["check", "10/s", "k"], 2, "RLCTL_STORE"),
    (["check", "10/s", "k", "--store", "shm:"], 2, "write a store that programs share, shm:/path"),
    (["check", "10/s", "k", "--store", "shm:?size=9"], 2, "memory of one program"),
    (["stats", "--store", "memory:"], 2, "memory of one program"),
    (["check", "10/s", "k", "--store", "reids://h"], 2, "the store's URL: "),
    (["check", "10/s", "k", "--store", "redis://app:s3cret@h?timeuot=1s"], 2, "timeout"),
    (["check", "alice", "10/s", "--store", "redis://h"], 2, 'the policy "alice": '),
    (["check", "10/s", "k", "--cost", "-1"], 2, 'from 0 to 1000000000, found "-1"'),
    (["check", "10/s", "k", "--cost", "1000000001"], 2, "from 0 to 1000000000"),
    (["check", "10/s", "k", "--cost", "1e3"], 2, 'found "1e3"'),
    (["check", "10/s", "k", "--cost"], 2, "--cost expects a whole number"),
    (["check", "10/s", "k", "--name", "a b\x1b"], 2, r'found "a b\x1b"'),
    (["check", "10/s", "--cost", "2", "k"], 2, "--cost stands between a policy and its key"),
    (["check", *(["10/s", "k"] * 17)], 2, "at most 16 limits"),
    (["check", "--name=x", "10/s", "k", "9/s", "k", "--store", "redis://h"], 2, "different policies"),
    (["check", "10/s", "k" * 65537], 2, "a key is at most 65536 bytes"),
    (["check", "10/s", "k", "--group", "g" * 65537], 2, "a group is at most 65536 bytes"),
    (["peek", "10/s", "k", "--store", "redis://h", "--secret-file", "/nowhere"], 2, "cannot be read"),
    (["peek", "10/s", "k", "--store", "redis://h", "--secret-file", "/"], 2, "no regular file"),
    (["stats", "--store", "shm:/tmp/no%20such%2etable"], 3, "there is no table"),
    (["check", "10/s", "k", "--store", "shm:/dev/null"], 3, "the store cannot be used: "),
    (["help", "acll"], 2, 'did you mean "acl"?'),
    (["a\x1b[31m"], 2, r'no command "a\x1b[31m"'),
    (["help", "a\x1b[31m"], 2, r'no command "a\x1b[31m"'),
    (["help", "acl", "a\x1b[31m"], 2, r'leave out "a\x1b[31m"'),
    (["--a\x1b[31m"], 2, r'no option "--a\x1b[31m"'),
    (["ban", "", "k", "1h", "--store", "redis://h"], 2, "a limit's name, a letter and then"),
    (["ban", "1abc", "k", "1h", "--store", "redis://h"], 2, "a limit's name, a letter and then"),
    (["tier", "pro", "", "1/s", "--store", "redis://h"], 2, "a limit's name, a letter and then"),
])
def test_mistakes(words, status, sentence):
    """Each is a sentence that says what to write instead."""
    found, out, err = run(*words)
    assert (found, out) == (status, "")
    assert err.startswith("rlctl: ") and err.count("\n") == 1 and sentence in err


def test_help_and_version():
    assert "acl " in run("help")[1]
    assert run("--help") == run("help") and run("-h")[0] == 0
    assert run("help", "acl") == run("acl", "--help") and "--file" in run("help", "acl")[1]
    assert run("--version")[1].startswith("rlctl 0.")


def test_full_disk():
    """An answer that was not written is no success."""
    with open("/dev/full", "w") as full:
        done = subprocess.run([RLCTL, "help"], stdout=full, stderr=subprocess.PIPE, **FLAGS)
    assert done.returncode == 2 and "could not be written" in done.stderr


# --- what it asks -----------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["redis", "shm"])
def store(request, tmp_path_factory):
    """Each in turn, where everybody may do what `rlctl acl` says and nothing more."""
    if request.param == "shm":
        yield "shm:%s/table" % tmp_path_factory.mktemp("rlctl")
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


def test_verbs(store):
    """A week's quota refills nothing while this runs."""
    limit = ["3/week", "verbs"]
    assert ask(store, "check", *limit, "--cost", "2") == (
        0, "allowed: 1 of 3 left, full again in 4 days 16 h\n")
    assert ask(store, "peek", *limit)[0] == 0
    assert ask(store, "peek", *limit)[1].startswith("would be allowed: 1 of 3 left, full again in ")
    assert ask(store, "check", *limit, "--cost", "2") == (
        1, 'denied by "3/week": 1 of 3 left, the cost is 2; try again in 2 days 8 h\n')
    assert ask(store, "peek", *limit, "--cost=2")[1].startswith('would be denied by "3/week": 1 of 3')
    assert ask(store, "charge", *limit, "--cost", "9")[1].startswith("charged 1 of 9: 0 of 3 left, full")
    assert ask(store, "check", *limit) == (
        1, 'denied by "3/week": 0 of 3 left; try again in 2 days 8 h\n')
    assert ask(store, "refund", *limit)[1].startswith("given back: 1 of 3 left, full again in ")
    assert ask(store, "reset", *limit) == (0, "reset: the full capacity is there again\n")
    assert ask(store, "peek", *limit) == (0, "would be allowed: 3 of 3 left\n")
    assert ask(store, "check", *limit, "--cost", "4") == (
        1, "never: the cost 4 is above the capacity 3\n")
    assert ask(store, "check", *limit, "--cost", "0") == (0, "allowed: 3 of 3 left\n")


def test_stack(store):
    """Which of the rates binds is told."""
    limit = ["9/week,4/day", "stack", "--cost"]
    assert ask(store, "check", *limit, "4")[1] == (
        'allowed: 0 of 4 left by "4/day", full again in 1 day\n')
    assert ask(store, "check", *limit, "1")[1].startswith('denied by "4/day": 0 of 4 left; try')
    assert ask(store, "check", *limit, "5")[1] == (
        'never: the cost 5 is above the capacity 4 of "4/day"\n')


def test_several(store):
    """All or nothing, each with its own options, or with those before the first."""
    limits = ["5/week", "several", "--name", "a", "2/week", "several", "--name=b", "--cost=2"]
    assert ask(store, "check", *limits) == (
        0, 'allowed\n  "5/week" of several: 4 of 5 left, full again in 1 day 10 h\n'
        '  "2/week" of several: 0 of 2 left, full again in 7 days\n')
    status, out = ask(store, "check", *limits)
    assert status == 1 and out.startswith('denied\n  "5/week" of several: 4 of 5 left, full')
    assert "0 of 2 left, the cost is 2; try again in 7 days" in out
    status, got = ask_json(store, "peek", "--cost", "3", "--name", "a", *limits[:2], "2/week",
                           "several", "--cost", "1", "--name", "b")
    assert (status, got["allowed"], got["index"]) == (1, False, 1)
    assert [(each["cost"], each["remaining"], each["allowed"]) for each in got["limits"]] == [
        (3, 4, True), (1, 0, False)]


def test_json(store):
    """Every member that the man page names, and no other."""
    status, got = ask_json(store, "check", "8/day,20/week", 'j"\xe9\\', "--name", "n", "--group", "g")
    each = got["limits"][0]
    assert (status, got["allowed"], got["index"], len(got["limits"])) == (0, True, 0, 1)
    assert each.pop("reset_us") == pytest.approx(10800e6, abs=10)
    assert each == {"policy": "8/day,20/week", "name": "n", "key": r"j\x22\xc3\xa9\x5c", "group": "g",
                    "cost": 1, "allowed": True, "rate": "8/day", "limit": 8, "remaining": 7,
                    "window_us": 86400000000, "retry_us": 0, "charged": 1}
    status, got = ask_json(store, "check", "8/day", "j", "--cost", "9")
    assert status == 1 and got["limits"][0]["retry_us"] is None and not got["allowed"]
    name = json.loads(run("policy", "8/day", "--json")[1])["name"]
    assert ask_json(store, "reset", "8/day", "j") == (
        0, {"limits": [{"policy": "8/day", "name": name, "key": "j"}]})


def test_grant_and_debt(store):
    """As much as there is, and how much that was; what charges go beyond is owed first."""
    policy = "10/week debt=5"
    assert ask(store, "grant", policy, "g", "--cost", "7")[1].startswith("granted 7 of 7: 3 of 10 left")
    status, got = ask_json(store, "grant", policy, "g", "--cost", "7", "9/week", "other", "--cost", "8")
    assert (status, got["allowed"]) == (0, True)
    assert [(each["charged"], each["remaining"]) for each in got["limits"]] == [(3, 0), (3, 6)]
    status, out = ask(store, "grant", policy, "g", "--cost", "7")
    assert status == 1 and out.startswith('denied by "10/week": 0 of 10 left; try again in')
    assert ask(store, "charge", policy, "g", "--cost", "9")[1].startswith("charged 5 of 9: 0 of 10 left")
    assert ask(store, "check", policy, "g")[0] == 1
    assert ask(store, "grant", "2/week", "a", "3/week", "b", "--cost", "5")[1].startswith("granted 1\n")


def test_same_counters(store):
    """What another program counts is what it sees; another name or group is another counter."""
    assert hammer(store, "50/week", key="shared", calls=20)["allowed"]["store"] == 20
    assert ask_json(store, "peek", "50/week", "shared")[1]["limits"][0]["remaining"] == 30
    for other in (["--group", "g"], ["--name", "n"]):
        assert ask_json(store, "peek", "50/week", "shared", *other)[1]["limits"][0]["remaining"] == 50


def test_keys_that_look_like_options(store):
    got = ask_json(store, "check", "9/week", "-", "--name", "x", "--store", store)[1]
    assert got["limits"][0]["key"] == "-"
    status, out, err = run("--json", "--store", store, "check", "9/week", "--", "--cost")
    assert (status, err, json.loads(out)["limits"][0]["key"]) == (0, "", "--cost")


def test_stats(store):
    ask(store, "check", "9/week", "stats")
    status, out = ask(store, "stats")
    got = ask_json(store, "stats")[1]
    if store.startswith("shm"):
        assert re.fullmatch(r"\d+ of \d+ slots used\nno key was forgotten too early\n", out)
        assert got["store"] == "shm" and 0 < got["slots_used"] < got["slots"]
        assert got["evicted_live"] == 0
    else:
        assert out.startswith("it answers: a decision takes ") and "note: redis at " in out
        assert set(got) == {"store", "decision_us", "first_us", "notes"}
        assert 0 < got["decision_us"] and "appendonly" in got["notes"][0]


def test_asking_makes_no_table(tmp_path):
    """A mistyped path is told, not made."""
    url = "shm:%s/a%%20table" % tmp_path
    for words in (["peek", "1/s", "k"], ["refund", "1/s", "k"], ["reset", "1/s", "k"], ["stats"]):
        status, out, err = run(*words, "--store", url)
        assert (status, out) == (3, "") and "there is no table" in err
    assert list(tmp_path.iterdir()) == []
    assert run("check", "1/s", "k", "--store", url)[0] == 0
    assert [path.name for path in tmp_path.iterdir()] == ["a table"]
    assert run("stats", "--store", url)[0] == 0


def test_secret_file(redis, tmp_path):
    """The secret decides where a key counts; a newline at its end is none of it."""
    given(redis, rules_of("redis://%s@h" % LOGIN))
    secret = tmp_path / "secret"

    def left(text, mode=0o600):
        secret.write_text(text)
        secret.chmod(mode)
        return run("check", "9/week", "k", "--json", "--store", redis.url + SLOW, "--secret-file",
                   str(secret))

    assert [json.loads(left(text)[1])["limits"][0]["remaining"] for text in (
        "0123456789abcdef", "0123456789abcdef\n", "another secret of many bytes")] == [8, 7, 8]
    for text, mode, why in (("0123456789abcde\n", 0o600, "holds fewer bytes"),
                            ("x" * 1025, 0o600, "holds more bytes"),
                            ("0123456789abcdef", 0o644, "open to every user")):
        status, out, err = left(text, mode)
        assert (status, out) == (2, "") and why in err and text.strip() not in err


# --- a store that does not answer -------------------------------------------------------------


def timed(*words):
    begun = time.monotonic()
    return (*run(*words), time.monotonic() - begun)


VERBS = [[verb, "9/week", "k"] for verb in ("check", "peek", "charge", "refund", "reset")] + [["stats"]]


@pytest.mark.parametrize("fail", ["", "&fail=open", "&fail=local"])
def test_stopped_server(fail):
    """No fail policy answers in its place, and who waits does not wait longer than said."""
    server = Redis()
    try:
        server.signal(signal.SIGSTOP)
        times = []
        for words in VERBS:
            status, out, err, took = timed(*words, "--store", server.url + "?timeout=300ms" + fail)
            assert (status, out) == (3, "")
            assert err.startswith("rlctl: the store did not answer: ") and err.count("\n") == 1
            times.append(took)
        assert min(times) < 1.5 # the others: this machine may have much to do
        assert timed(*VERBS[0], "--store", server.url)[3] > 0.8
        server.signal(signal.SIGCONT)
        server.kill()
        for words in VERBS:
            status, out, err, took = timed(*words, "--store", server.url + "?timeout=9s" + fail)
            assert (status, out) == (3, "") and took < 8 and "cannot connect" in err
    finally:
        server.stop()


def test_slow_connection(redis):
    """What is enough for a decision need not be enough for connecting too."""
    given(redis, rules_of("redis://%s@h" % LOGIN))
    for _ in range(5):
        redis.command("CLIENT", "PAUSE", "150")
        status, out, err, took = timed("peek", "9/week", "k", "--store", redis.url + "?timeout=40ms")
        assert took > 0.1
        if status == 0:
            return
    pytest.fail(err)


def test_asks_once():
    """Before a verb is sent, the store has answered a peek: one that is silent gets no charge."""
    steps = [{"reply": "$0\r\n\r\n"}, {"reply": "$0\r\n\r\n"}, {"silent": True}]
    with FakeRedis([{"steps": steps}]) as fake:
        status, out, err, took = timed("check", "9/week", "k", "--store", fake.url + "?timeout=100ms")
        peeks = [command.words for command in fake.commands if command.verb == "EVALSHA"]
        assert (status, out) == (3, "") and took < 8 and 1 <= len(peeks) <= 3
        assert all(words == peeks[0] for words in peeks)


@pytest.mark.parametrize("rules, sentence", [
    (["off"], "WRONGPASS"),
    (["resetkeys", "~other:*"], "NOPERM"),
    (["-evalsha", "-del"], "NOPERM"),
])
def test_refused_by_rules(redis, rules, sentence):
    given(redis, rules_of("redis://%s@h" % LOGIN) + rules)
    for words in VERBS:
        status, out, err = run(*words, "--store", redis.url + SLOW)
        assert (status, out) == (4, "") and sentence in err and err.count("\n") == 1


def test_wrong_password(redis):
    """It is named as the reason, and not shown."""
    given(redis, rules_of("redis://%s@h" % LOGIN))
    for words in VERBS:
        status, out, err = run(*words, "--store", redis.url.replace(PASSWORD, "elephant") + SLOW)
        assert (status, out) == (4, "") and "WRONGPASS" in err and "elephant" not in err


@pytest.mark.parametrize("code", ["OOM", "MISCONF", "BUSY"])
def test_refused_by_the_server(code):
    with FakeRedis([{"steps": [{"reply": "$0\r\n\r\n"}] * 2 + [{"error": code}]}]) as fake:
        status, out, err = run("check", "9/week", "k", "--store", fake.url + SLOW)
        assert (status, out) == (4, "") and code in err


def test_foreign_key(redis):
    """A key that holds something else is told with the server's words, and reset."""
    given(redis, rules_of("redis://%s@h" % LOGIN))
    assert run("check", "9/week", "k", "--store", redis.url + SLOW)[0] == 0
    key, = redis.command("KEYS", "*")
    redis.command("DEL", key)
    redis.command("LPUSH", key, "1")
    status, out, err = run("check", "9/week", "k", "--store", redis.url + SLOW)
    assert (status, out) == (4, "") and "WRONGTYPE" in err
    assert run("reset", "9/week", "k", "--store", redis.url + SLOW)[0] == 0
    assert run("check", "9/week", "k", "--store", redis.url + SLOW)[0] == 0


def test_damaged_table(tmp_path):
    table = tmp_path / "table"
    table.write_bytes(b"nonsense" * 4096)
    for words in VERBS:
        status, out, err = run(*words, "--store", "shm:%s" % table)
        assert (status, out) == (3, "") and "the store cannot be used: " in err


# --- policies ---------------------------------------------------------------------------------


def test_policy():
    assert run("policy", "10/s,1000/h burst=20") == (0, """\
10/s,1000/h burst=20
  token-bucket; named P7Wy3tA where it is given no name

10/s
  20 at once; one comes back each 100 ms, all in 2 s
  at most 30 in any second, 864020 in any day

1000/h
  1000 at once; one comes back each 3.6 s, all in 1 h
  at most 2000 in any hour, 25000 in any day

together
  20 at once; at most 25000 in any day
""", "")


def test_policy_of_windows():
    out = run("policy", "5000/day algorithm=fixed-window")[1]
    assert "5000 at once; all come back when a window begins: each day from 1970 on, UTC" in out
    assert "at most 10000 in any day\n" in out
    out = run("policy", "600/min algorithm=sliding-window")[1]
    assert "at most 1199 in any minute, 863160 in any day" in out and "all in 2 min at most" in out


def test_policy_of_logs():
    """What a time stamp for each unit takes is told, and of concurrency what frees a slot."""
    out = run("policy", "10/s,100/h algorithm=sliding-log")[1]
    assert "100 at once; each unit comes back 1 h after it was taken\n  at most 200 in any hour, " in out
    assert "8 bytes a unit in Redis: 808 a key" in out
    assert "blocks of 128 bytes for 14 units: 1024 a key" in out
    out = run("policy", "20/30s algorithm=concurrency")[1]
    assert "20 at once; a slot is free when it is given back, or 30 s after it\n" in out
    assert "in any" not in out
    got = json.loads(run("policy", "--json", "20/30s algorithm=concurrency")[1])
    assert got["most_at_once"] == 20 and got["most_in_day"] is None
    assert got["redis_bytes"] == 168 and got["shm_bytes"] == 256
    assert got["rates"][0]["most_in_window"] is None


def test_policy_with_debt():
    out = run("policy", "10/s,100/h debt=30")[1]
    assert "charges may go 30 beyond that, and nothing passes until it is paid back: in 3 s\n" in out
    assert "paid back: in 18 min\n" in out
    out = run("policy", "10/s debt=30 algorithm=fixed-window")[1]
    assert "beyond that, and nothing passes until it is paid back\n" in out
    assert json.loads(run("policy", "--json", "10/s debt=30")[1])["debt"] == 30
    out = run("policy", "10/s debt=30 algorithm=sliding-log")[1]
    assert "8 bytes a unit in Redis: 328 a key" in out


def test_policy_in_ticks():
    """What the tick lets pass earlier is told where there is a tick to tell of."""
    assert "  a request may pass a tick too early" in run("policy", "7/s")[1]
    assert "tick" not in run("policy", "8/s")[1]


def test_policy_as_json():
    got = json.loads(run("policy", "--json", "20/2s burst=30")[1])
    assert re.fullmatch("[A-Za-z0-9_-]{7}", got.pop("name"))
    assert got == {
        "policy": "20/2s burst=30", "algorithm": "token-bucket", "most_at_once": 30,
        "most_in_day": 864030, "rates": [{
            "rate": "20/2s", "quota": 20, "window_us": 2000000, "capacity": 30, "refill_us": 3000000,
            "early_us": 0, "most_in_window": 50, "most_at_once": 30, "most_in_day": 864030}]}


def test_man_page():
    """It has every command and option, and what it shows `policy` print is what that prints."""
    page = pathlib.Path(__file__).resolve().parents[2] / "libcore/rlctl/rlctl.1"
    text = page.read_text().replace("\\-", "-")
    for command in re.findall(r"^  (\w+) ", run("help")[1].split("commands:")[1], re.M):
        assert re.search(r"^\.SS %s\b" % command, text, re.M)
    shown, = re.findall(r"^    \$ rlctl policy '(.*)'\n((?:    .*\n|\n)*)", text, re.M)
    assert re.sub("^    ", "", shown[1], flags=re.M) == run("policy", shown[0])[1]
