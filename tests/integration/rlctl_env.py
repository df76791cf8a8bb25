# SPDX-License-Identifier: Apache-2.0
"""What the tests of rlctl have in common."""

import json
import os
import subprocess

from redis_env import LOGIN, RLCTL, rlctl

USER, PASSWORD = LOGIN.split(":")
SLOW = "?timeout=2s&fail=closed"
FLAGS = {"env": {key: value for key, value in os.environ.items() if key != "RLCTL_STORE"},
         "text": True, "timeout": 60}


def run(*words, **more):
    """rlctl's exit status, its answer and its messages."""
    done = subprocess.run([RLCTL, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          **{**FLAGS, **more})
    assert PASSWORD not in done.stdout + done.stderr
    return done.returncode, done.stdout, done.stderr


def rules_of(store, kind="redis"):
    return json.loads(rlctl("acl", "--json", store=store))[kind]["rules"]


def given(redis, rules):
    """The user gets |rules|; the server forgets its scripts, its keys and its log."""
    for words in (["ACL", "SETUSER", USER, *rules], ["FLUSHALL"], ["SCRIPT", "FLUSH"],
                  ["ACL", "LOG", "RESET"]):
        redis.command(*words)
