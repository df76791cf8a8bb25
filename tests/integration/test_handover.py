# SPDX-License-Identifier: Apache-2.0
"""What applications are told of limits that httpd has charged for them: in their environment, and in a
field that is verified here from its description in ratelimit_redis.conf alone."""

import base64
import hashlib
import hmac
import json
import time

import pytest

import application
import httpd_env

SECRET = b"0123456789abcdef0123456789abcdef"
CONF = """
RateLimitSecretFile @ROOT@/secret
<Location "/app">
  ProxyPass "http://127.0.0.1:@APP@"
  RateLimitForward on
  RateLimit "90/365day" name=early
</Location>
<Location "/app/two">
  RateLimit "90/365day" name=late phase=late key="%{HTTP:X-Key}" group="%{HTTP:X-Group}" cost=3
  RateLimit "90/365day" name=failures charge=status:401 cost=2
</Location>
<Location "/app/off">
  RateLimitForward off
</Location>
<Location "/app/dry">
  RateLimitMode dry-run
  RateLimit "1/365day" name=dry
</Location>
<Location "/open">
  ProxyPass "http://127.0.0.1:@APP@"
</Location>
<Directory "@DOCS@">
  AllowOverride Limit
</Directory>
<Location "/env.shtml">
  RateLimit "90/365day" name=page
</Location>
RewriteEngine On
<Directory "@DOCS@/moved">
  RewriteEngine On
  RewriteBase /moved/
  RewriteRule ^x$ /env.shtml
  RateLimit "90/365day" name=moved
</Directory>
"""


@pytest.fixture(scope="module")
def site():
    app = application.Application()
    httpd = httpd_env.Httpd(CONF.replace("@APP@", str(app.port)),
                            extra_modules=["proxy", "proxy_http"])
    httpd.write("secret", SECRET.decode() + "\n", httpd.root).chmod(0o600)
    httpd.write("env.shtml", '<!--#echo var="RATELIMIT_CHARGED" -->')
    httpd.write("own/env.shtml", '<!--#echo var="RATELIMIT_CHARGED" -->')
    httpd.write("own/.htaccess", "RateLimit 9/365day name=early\n")
    httpd.write("moved/y", "y\n")
    httpd.start()
    yield httpd
    httpd.finish()
    app.stop()


def base64url(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def hash_of(text):
    return base64url(hmac.digest(SECRET, text.encode(), "sha256")[:12])


def told(httpd, path, ip, **fields):
    """What the application behind was told: {name: (hash, units)}, verified; None: nothing."""
    body = json.loads(httpd.get(path + "?echo=1", ip, **fields).body)
    found = [value for name, value in body if name.lower().replace("_", "-") == "ratelimit-charged"]
    if not found:
        return None
    text, = found
    head, _, mac = text.rpartition(" ")
    assert mac == base64url(hmac.digest(SECRET, b"ratelimit-charged " + head.encode(), "sha256"))
    version, seconds, limits = head.split(" ")
    assert version == "v1" and abs(int(seconds) - time.time()) < 30
    parts = [limit.split(":") for limit in limits.split(",")]
    return {name: (key, int(units)) for name, key, units in parts}


# Names, keys and units of all that was charged, before authentication and after it.
def test_field(site, ip):
    assert told(site, "/app/x", ip) == {"early": (hash_of(ip), 1)}
    assert told(site, "/app/two", ip, X_Key="k", X_Group="g") == {
        "early": (hash_of(ip), 1), "failures": (hash_of(ip), 2),
        "late": (hash_of("k") + "." + hash_of("g"), 3)}
    assert told(site, "/app/two", ip) == {"early": (hash_of(ip), 1), "failures": (hash_of(ip), 2)}


# What would have been refused has charged nothing: of that decision nothing is told.
def test_dry_run(site, ip):
    assert set(told(site, "/app/dry", ip)) == {"early", "dry"}
    assert told(site, "/app/dry", ip) is None


# What clients send is taken away: where the field is sent, where it is off, and where no limit is.
@pytest.mark.parametrize("path", ["/app/x", "/app/off", "/open/x"])
@pytest.mark.parametrize("name", ["RateLimit-Charged", "ratelimit-charged", "RATELIMIT_CHARGED",
                                  "RateLimit_Charged"])
def test_forged(site, ip, path, name):
    connection = site.connect()
    connection.putrequest("GET", path + "?echo=1")
    for value in ["v1 1 early:x:1 y", "v1 2 early:x:1 y"]:
        connection.putheader(name, value)
    connection.putheader("X-Forwarded-For", ip)
    connection.endheaders()
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    if answer.status == 400:
        return  # httpd itself refuses the name
    got = [value for field, value in json.loads(body)
           if field.lower().replace("_", "-") == "ratelimit-charged"]
    assert len(got) == (path == "/app/x") and "early:x" not in body


# Variables of programs in httpd: the list; also behind a redirect; not of a folder's own counters.
def test_variable(site, ip):
    assert site.get("/env.shtml", ip).body == f"page:{hash_of(ip)}:1"
    assert site.get("/own/env.shtml", ip).body == "(none)"
    names = [part.split(":")[0] for part in site.get("/moved/x", ip).body.split(",")]
    assert names == ["moved", "page"]


# Without a secret the list has SHA-256.
def test_variable_without_secret(start, ip):
    httpd = start('<Location "/env.shtml">\nRateLimit 9/365day name=page\n</Location>')
    httpd.write("env.shtml", '<!--#echo var="RATELIMIT_CHARGED" -->')
    digest = hashlib.sha256(ip.encode()).digest()
    assert httpd.get("/env.shtml", ip).body == f"page:{base64url(digest[:12])}:1"
