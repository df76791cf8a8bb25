# SPDX-License-Identifier: Apache-2.0
"""One file for httpd and the command line: the same policies, store and secret, and so one counter."""

import json
import subprocess

import httpd_env
import redis_env

FILE = """# shared by all
store shm:@ROOT@/table?size=4096
secret-file @ROOT@/secret
policy api "5/365day"
policy other 9/day algorithm=fixed-window
"""
CONF = """
RateLimitPolicyFile @ROOT@/shared
RateLimit api key="%{HTTP:X-Key}"
"""


def rlctl(httpd, *words):
    done = subprocess.run([redis_env.RLCTL, "--config", str(httpd.root / "shared"), "--json", *words],
                          capture_output=True, text=True, timeout=30)
    return done.returncode, done.stdout, done.stderr


def prepare():
    httpd = httpd_env.Httpd(CONF)
    httpd.write("shared", FILE.replace("@ROOT@", str(httpd.root)), httpd.root)
    httpd.write("secret", "s" * 32, httpd.root).chmod(0o600)
    return httpd


# What httpd has charged, rlctl finds charged, by the policy's name.
def test_one_counter():
    httpd = prepare().start()
    try:
        assert [httpd.get("/page.html", X_Key="alice").status for _ in range(3)] == [200] * 3
        code, out, _ = rlctl(httpd, "check", "api", "alice")
        assert code == 0 and json.loads(out)["allowed"] is True
        assert httpd.get("/page.html", X_Key="alice").items("RateLimit")[0][1]["r"] == 0
        assert httpd.get("/page.html", X_Key="alice").status == 429
        assert rlctl(httpd, "check", "api", "alice")[0] == 1
        assert rlctl(httpd, "peek", "5/365day", "bob")[0] == 0
    finally:
        httpd.finish()


# A name that is not there, and a file that is wrong, are told.
def test_wrong():
    httpd = prepare()
    try:
        code, _, said = rlctl(httpd, "check", "apu", "alice")
        assert code == 2 and "no policy is called apu" in said
        httpd.write("shared", "policy a 1/s\npolice b\n", httpd.root)
        code, _, said = rlctl(httpd, "check", "api", "alice")
        assert code == 2 and "/shared:2: expected" in said
        code, _, said = rlctl(httpd, "policy", "a")
        assert code == 2
    finally:
        httpd.finish()
