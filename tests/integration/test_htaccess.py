# SPDX-License-Identifier: Apache-2.0
"""What .htaccess may do: add limits of its own and tighten; never loosen what the server set, never
reach the counters of another folder. For every directive and every option there is."""

import re

import pytest

import httpd_env

MODULE = httpd_env.TOP / "mod_ratelimit_redis"
DIRECTIVES = sorted(set(re.findall(r'^ *AP_INIT_\w+\("(\w+)"', (MODULE / "config.c").read_text(),
                                   re.M)) - {"RateLimit"})
# How each is written, in the way that would loosen most.
SETTINGS = {
    "RateLimitClose": "off", "RateLimitDelay": "50%", "RateLimitExempt": "when=true",
    "RateLimitExpose": "on", "RateLimitFail": "open", "RateLimitForward": "off", "RateLimitHeaders": "off",
    "RateLimitLog": "off",
    "RateLimitMode": "off", "RateLimitPageAccess": "require", "RateLimitPageKeys": "plain",
    "RateLimitPolicy": "strict 1000/s", "RateLimitPolicyFile": "/etc/passwd",
    "RateLimitRedirect": "/x", "RateLimitSecretFile": "/etc/passwd", "RateLimitStatus": "503",
    "RateLimitShed": "off", "RateLimitStore": "memory:", "RateLimitWarn": "off",
}
# Options of RateLimit, one of each at least.
OPTIONS = ["name=strict", "key=x", 'key="%{RATELIMIT_ADDRESS}"', "cost=0", "cost=9", "when=false",
           "fail=open", "group=all", "status=503", "redirect=/page.html", "close=off", "close=on",
           "warn=off", "v4prefix=1 v6prefix=1", "phase=early", "phase=late",
           "charge=status:404", "charge=bytes", "charge=header:X-Cost,remove", 'charge="%{ENV:X}"']
OPTION_NAMES = set(re.findall(r"(\w+)=", " ".join(OPTIONS)))
FILES = ['key="%{file:/etc/passwd}"', 'when="%{file:/etc/passwd} == 1"', 'cost="%{file:/etc/passwd}"',
         'group="%{file:/etc/passwd}"', 'redirect="/?%{file:/etc/passwd}"', 'key="%{filesize:/}"',
         'charge="%{file:/etc/passwd}"']

CONF = f"""
RateLimitPolicy strict 2/365day
RateLimitStatus 429
<Directory "@DOCS@/all">
  AllowOverride All
</Directory>
<Directory "@DOCS@/listed">
  AllowOverride None
  AllowOverrideList RateLimit {" ".join(DIRECTIVES)}
</Directory>
<Directory "@DOCS@/under">
  AllowOverride Limit
  RateLimit strict key="%{{HTTP:X-Key}}"
</Directory>
<Directory "@DOCS@/own">
  AllowOverride Limit
</Directory>
"""


def PREPARE(httpd):
    httpd.expect("AH02304")  # httpd itself keeps some out of AllowOverrideList
    def place(folder, line):
        httpd.write(".htaccess", line + "\n", httpd.docs / folder)
        httpd.write("page.html", "page\n", httpd.docs / folder)

    for name in DIRECTIVES:
        place(f"all/{name}", f"{name} {SETTINGS.get(name)}")
        place(f"listed/{name}", f"{name} {SETTINGS.get(name)}")
    place("listed/RateLimit", "RateLimit 1/365day name=listed")
    for i, option in enumerate(OPTIONS):
        name = "" if "name=" in option else "name=strict "
        place(f"under/{i}", f"RateLimit 1000000/s {name}{option}")
        if "name=" in option:  # one name is one policy
            place(f"under/{i}", f"RateLimit strict {option} cost=0")
        for half in "ab":
            place(f"own/{i}{half}", f"RateLimit strict {name}{option}")
    place("own/delay", "RateLimit strict delay=1s")
    for i, option in enumerate(FILES):
        place(f"own/file{i}", f"RateLimit strict {option}")


# The lists above leave no directive and no option out.
def test_complete():
    assert DIRECTIVES == sorted(SETTINGS)
    names = re.search(r"option_names\[OPTIONS\] = \{(.*?)\};",
                      "".join(path.read_text() for path in MODULE.glob("*.c")), re.S).group(1)
    assert set(re.findall(r'"(\w+)"', names)) - {"delay"} == OPTION_NAMES


# No setting of the server's can be changed there, whatever AllowOverride says.
@pytest.mark.parametrize("name", DIRECTIVES)
def test_settings(site, ip, name):
    assert site.get(f"/all/{name}/page.html", ip).status == 500
    site.logged(f"{name} not allowed here")


# Nor where AllowOverrideList names it: httpd or the module refuses.
@pytest.mark.parametrize("name", DIRECTIVES)
def test_settings_listed(site, ip, name):
    assert [site.get(f"/listed/{name}/page.html", ip).status for _ in range(3)] == [500] * 3
    said = [line for line in site.error_log().splitlines() if f"/listed/{name}/" in line]
    assert said and all(re.search(rf"{name} (not allowed here|cannot occur within htaccess)", line)
                        for line in said), said
    site.expect(f"/listed/{name}/")


# RateLimit can be allowed by its name.
def test_listed(site, ip):
    assert site.statuses(2, "/listed/RateLimit/page.html", ip=ip) == [200, 429]


# Whatever a line of a folder says, the server's limit goes on to count and to refuse.
@pytest.mark.parametrize("i", range(len(OPTIONS)), ids=OPTIONS)
def test_never_loosens(site, ip, i):
    answers = [site.get(f"/under/{i}/page.html", ip, X_Key=f"{ip}-{i}") for _ in range(3)]
    assert [a.status for a in answers] == [200, 200, 429]
    told = [a.items("RateLimit")[0] for a in answers]
    assert [(name, parameters["r"]) for name, parameters in told] == [
        ("strict", 1), ("strict", 0), ("strict", 0)]


# And what it counts by itself is no other folder's, whatever its name, key, group and prefix.
@pytest.mark.parametrize("i", range(len(OPTIONS)), ids=OPTIONS)
def test_own_counters(site, ip, i):
    first = [site.get(f"/own/{i}a/page.html", ip).status for _ in range(3)]
    second = [site.get(f"/own/{i}b/page.html", ip).status for _ in range(3)]
    assert first == second


# Workers to wait in are the server's to give.
def test_no_delay(site, ip):
    assert site.get("/own/delay/page.html", ip).status == 500
    site.logged("RateLimit: delay= gives requests workers to wait in, which are the server's to give")


# Expressions there read no files.
@pytest.mark.parametrize("i", range(len(FILES)), ids=FILES)
def test_no_files(site, ip, i):
    assert site.get(f"/own/file{i}/page.html", ip).status == 500
    said = [line for line in site.error_log().splitlines() if f"/own/file{i}/" in line]
    assert said and all("RateLimit: " in line and "restricted" in line for line in said), said
    site.expect(f"/own/file{i}/")
