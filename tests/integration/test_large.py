# SPDX-License-Identifier: Apache-2.0
"""Large sites: many virtual hosts, .htaccess for each request, more keys than a table holds."""

import pathlib
import statistics
import time

import httpd_env

HTACCESS = """
RateLimitPolicy named "1000000/month algorithm=fixed-window tz=America/New_York"
<Directory "@DOCS@">
  AllowOverride Limit
</Directory>
"""
FOLDERS = {
    "plain": 'RateLimit "1000000/day algorithm=fixed-window"',
    "zone": 'RateLimit "1000000/month algorithm=fixed-window tz=Europe/Paris"',
    "name": "RateLimit named name=mine",
}


def bytes_read(httpd):
    found = 0
    for child in httpd.children():
        io = pathlib.Path(f"/proc/{child}/io").read_text()
        found += int(io.split("rchar: ")[1].split()[0])
    return found


# A policy in .htaccess is read for each request and parsed once: its time zone is no file to read again.
def test_htaccess_once(start, ip):
    httpd = httpd_env.Httpd(HTACCESS + "ServerLimit 1\nStartServers 1\nThreadsPerChild 10\n"
                            "MaxRequestWorkers 10\nMinSpareThreads 1\nMaxSpareThreads 10", mpm="worker")
    for name, line in FOLDERS.items():
        httpd.write(".htaccess", line + "\n", httpd.docs / name)
        httpd.write("page.html", "page\n", httpd.docs / name)
    httpd.start()
    try:
        cost = {}
        for name in FOLDERS:
            assert httpd.statuses(3, f"/{name}/page.html", ip=ip) == [200] * 3
            before = bytes_read(httpd)
            assert httpd.statuses(50, f"/{name}/page.html", ip=ip) == [200] * 50
            cost[name] = (bytes_read(httpd) - before) / 50
        answer = httpd.get("/name/page.html", ip)
        assert answer.items("RateLimit")[0][0] == "mine"
        assert answer.items("RateLimit")[0][1]["r"] == 1000000 - 54
    finally:
        httpd.finish()
    # Europe/Paris has 2,962 bytes.
    assert cost["zone"] - cost["plain"] < 500 and cost["name"] - cost["plain"] < 500, cost


# What differs between folders is not what is kept: names and policies are each line's own.
def test_htaccess_apart(start, ip):
    httpd = httpd_env.Httpd(HTACCESS)
    for i, line in enumerate(['RateLimit "2/day" name=a', 'RateLimit "2/day" name=b',
                              'RateLimit "3/day" name=a', 'RateLimit "2/day"']):
        httpd.write(".htaccess", line + "\n", httpd.docs / str(i))
        httpd.write("page.html", "page\n", httpd.docs / str(i))
    httpd.start()
    try:
        for _ in range(2):
            told = [httpd.get(f"/{i}/page.html", ip).items("RateLimit-Policy")[0] for i in range(4)]
            assert [name for name, _ in told][:3] == ["a", "b", "a"]
            assert [p["q"] for _, p in told] == [2, 2, 3, 2]
            assert told[3][0] not in ("a", "b")
    finally:
        httpd.finish()


# More texts than the cache has room for are parsed each time, and hold as well.
def test_htaccess_many(start, ip):
    httpd = httpd_env.Httpd(HTACCESS, mpm="worker")
    for i in range(1300):
        httpd.write(".htaccess", f'RateLimit "1/{i + 1}day"\n', httpd.docs / str(i))
        httpd.write("page.html", "page\n", httpd.docs / str(i))
    httpd.start()
    try:
        connection = httpd.connect()
        found = [httpd.send(connection, f"/{i}/page.html", ip).status
                 for i in range(1300) for _ in range(2)]
        connection.close()
    finally:
        httpd.finish()
    assert found == [200, 429] * 1300


# A thousand virtual hosts with limits of their own start in about the time they take without.
def test_many_hosts():
    def seconds(limits):
        hosts = "".join(
            f"<VirtualHost *:@PORT@>\nServerName h{i}.example\n{limits.replace('@I@', str(i))}\n"
            "</VirtualHost>\n" for i in range(1000))
        times = []
        for _ in range(3):
            httpd = httpd_env.Httpd(hosts)
            begun = time.monotonic()
            passed, said = httpd.configtest()
            times.append(time.monotonic() - begun)
            httpd.finish()
            assert passed, said
        return statistics.median(times)

    bare = seconds("")
    limited = seconds('RateLimitPolicy own@I@ "10/s,1000/h burst=20"\nRateLimit own@I@\n'
                      'RateLimit "9/month algorithm=fixed-window tz=Europe/Paris" name=m@I@ '
                      'key="%{REMOTE_USER}"\nRateLimitMode dry-run')
    print(f"1,000 virtual hosts: {bare:.2f} s without limits, {limited:.2f} s with 2,000")
    assert limited < bare + 1.0


# A table has as many keys as it was given slots, in as much memory, and refuses nobody for that.
def test_most_keys(start):
    httpd = start("RateLimitStore shm:?size=256\nRateLimit 1/365day\n<Location /status>\n"
                  "SetHandler ratelimit-status\nRateLimitMode off\n</Location>")
    connection = httpd.connect()
    found = [httpd.send(connection, "/page.html", f"198.19.{i // 250}.{i % 250 + 1}").status
             for i in range(1000)]
    connection.close()
    connection = httpd.connect()
    table = httpd.send(connection, "/status?format=prometheus").body
    connection.close()
    assert found == [200] * 1000
    values = dict(line.split(" ") for line in table.splitlines()
                  if line.startswith("ratelimit_table_"))
    assert 0 < int(values["ratelimit_table_used_slots"]) <= int(values["ratelimit_table_slots"]) <= 512
    assert int(values["ratelimit_table_evicted_live_total"]) >= 1000 - 512
    httpd.expect("RLR0009")
