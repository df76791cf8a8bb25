# SPDX-License-Identifier: Apache-2.0
"""`httpd -t` refuses every wrong setting with a sentence that says what to write instead."""

import re

import pytest

import httpd_env

LONG_NAME = "a" * 33

# What is written, and a part of the sentence it is answered with.
WRONG = [
    ("RateLimitStore redis", 'RateLimitStore: column 1: expected "shm:"'),
    ("RateLimitStore redis://h/zero", "RateLimitStore: column"),
    ("RateLimitStore redis://h?timout=5s", 'unknown option "timout"'),
    ("RateLimitStore redis+sentinel://h", "the name that the sentinels know the master by"),
    ("RateLimitStore redis+cluster://h,h", "this is host 1 once more"),
    ("RateLimitStore redis://h?ca=/ca.pem", '"ca=" belongs to "rediss://"'),
    ("RateLimitStore rediss://h?ca=ca.pem", 'expected an absolute path after "ca="'),
    ("RateLimitStore rediss://h?ca=@ROOT@/missing", 'RateLimitStore: the file "'),
    ("RateLimitStore shm:?size=none", "RateLimitStore: column"),
    ("RateLimitStore shm:/@ROOT@/table?siz=1", "RateLimitStore: column"),
    ("RateLimitStore shm:@ROOT@/nowhere/table", "RateLimitStore: there is no folder"),
    ("RateLimitStore shm: shm:", "RateLimitStore takes one argument"),
    ("<Location />\nRateLimitStore shm:\n</Location>", "RateLimitStore not allowed"),
    ("<VirtualHost *:@PORT@>\nRateLimitStore shm:\n</VirtualHost>",
     "RateLimitStore cannot occur within <VirtualHost>"),
    ("RateLimitSecretFile @ROOT@/missing", "RateLimitSecretFile: the file"),
    ("RateLimitSecretFile @ROOT@/docs", "is no regular file"),
    ("RateLimitSecretFile @ROOT@/short", "holds fewer bytes than a secret has"),
    ("RateLimitSecretFile @ROOT@/long", "holds more bytes than a secret has"),
    ("RateLimitSecretFile @ROOT@/open", "is open to every user: take that away with chmod 600"),
    ("<VirtualHost *:@PORT@>\nRateLimitSecretFile @ROOT@/good\n</VirtualHost>",
     "RateLimitSecretFile cannot occur within <VirtualHost>"),
    ('RateLimitPolicy 1st "100/min"', 'RateLimitPolicy: "1st" cannot name a policy'),
    (f'RateLimitPolicy {LONG_NAME} "100/min"', "cannot name a policy"),
    ('RateLimitPolicy api "100/mni"',
     'RateLimitPolicy: the policy "100/mni" cannot be used: column'),
    ('RateLimitPolicy api "100/min algoritm=fixed-window"', "cannot be used: column 9"),
    ('RateLimitPolicy api "9/month"', "cannot be used: column 3: windows of months and years follow"),
    ('RateLimitPolicy api "9/month algorithm=fixed-window tz=Europe/Pari"',
     'no time zone is called "Europe/Pari" - did you mean "Europe/Paris"?'),
    ('RateLimitPolicy api "9/month algorithm=fixed-window anchor=32"', "expected a day of the month"),
    ('RateLimitPolicy api "1/s"\nRateLimitPolicy api "2/s"',
     "RateLimitPolicy: the name api is taken"),
    ('<Location />\nRateLimitPolicy api "1/s"\n</Location>', "RateLimitPolicy not allowed"),
    ("RateLimitPolicy api", "RateLimitPolicy takes two arguments"),
    ("RateLimitPolicyFile @ROOT@/missing", 'RateLimitPolicyFile: the file "'),
    ("RateLimitPolicyFile @ROOT@/docs", "is no regular file"),
    ("RateLimitPolicyFile @ROOT@/wrong", "/wrong:2: the policy b cannot be used: column 3"),
    ("RateLimitPolicyFile @ROOT@/nosecret", "RateLimitPolicyFile: the file \"/nowhere/secret\" cannot"),
    ("RateLimitPolicyFile @ROOT@/shared\nRateLimitPolicy shared 1/s",
     "RateLimitPolicy: the name shared is taken"),
    ("RateLimitPolicy shared 1/s\nRateLimitPolicyFile @ROOT@/shared",
     "RateLimitPolicyFile: the name shared is taken"),
    ("<VirtualHost *:@PORT@>\nRateLimitPolicyFile @ROOT@/shared\n</VirtualHost>",
     "RateLimitPolicyFile cannot occur within <VirtualHost>"),
    ("RateLimitPageAccess all",
     'RateLimitPageAccess: "all" is no kind of access: write local or require'),
    ("RateLimitPageAccess", "RateLimitPageAccess takes one argument"),
    ("<Location />\n<Limit GET>\nRateLimitPageAccess require\n</Limit>\n</Location>",
     "RateLimitPageAccess cannot occur within <Limit>"),
    ("RateLimitPageKeys all",
     'RateLimitPageKeys: "all" is no way to show keys: write address, hashed or plain'),
    ("<Location />\nRateLimitPageKeys plain\n</Location>", "RateLimitPageKeys not allowed"),
    ("<VirtualHost *:@PORT@>\nRateLimitPageKeys plain\n</VirtualHost>",
     "RateLimitPageKeys cannot occur within <VirtualHost>"),
    ("RateLimitMode enfroce",
     'RateLimitMode: "enfroce" is no mode: write enforce, dry-run or off'),
    ('RateLimitMode ""', "RateLimitMode takes one argument, enforce, dry-run or off"),
    ("RateLimitFail close",
     'RateLimitFail: "close" is no fail policy: write local, open or closed'),
    ("RateLimitHeaders draft-09",
     'RateLimitHeaders: "draft-09" is no form of the fields: write draft-08, draft-07, draft-06, '
     'x-ratelimit, x-ratelimit-epoch, pk or off'),
    ("RateLimitHeaders", "RateLimitHeaders takes one argument or more"),
    ("RateLimitHeaders draft-08 off", "RateLimitHeaders: off stands alone"),
    ("RateLimitHeaders draft-08 draft-07", "write one of draft-08, draft-07 and draft-06"),
    ("RateLimitHeaders x-ratelimit x-ratelimit-epoch", "write x-ratelimit or x-ratelimit-epoch"),
    ("RateLimitHeaders draft-07 pk", 'only draft-08 has a partition key: write "draft-08 pk"'),
    ("RateLimitHeaders draft-08 pk", "RateLimitHeaders: pk needs a secret"),
    ("<VirtualHost *:@PORT@>\n<Location />\nRateLimitHeaders draft-08 pk\n</Location>\n"
     "</VirtualHost>", "httpd.conf:"),
    ("RateLimitStatus 200", 'RateLimitStatus: "200" is no status of a refusal: write 429, or'),
    ("RateLimitStatus 600", 'RateLimitStatus: "600" is no status'),
    ("RateLimitStatus 418", 'RateLimitStatus: "418" is no status'),
    ("RateLimitStatus 401", "no challenge (401, 407, 426)"),
    ("RateLimitStatus 429x", 'RateLimitStatus: "429x" is no status'),
    ("RateLimitRedirect slow.html", 'RateLimitRedirect: "slow.html" is no place to lead people to'),
    ("RateLimitRedirect //evil.example", "write a path such as /slow.html"),
    ("RateLimitRedirect https:///x", "is no place to lead people to"),
    ('RateLimitRedirect "/a b"', "is no place to lead people to"),
    ("RateLimitRedirect %{HTTP:Referer}", "is no place to lead people to"),
    ("RateLimitRedirect https://h%{HTTP:X}", "an expression may follow these and a slash"),
    ("RateLimitRedirect /x?%{nonsense", 'RateLimitRedirect: "/x?%{nonsense":'),
    ("RateLimitClose yes", 'RateLimitClose: "yes" is neither on nor off: write one of them'),
    ("RateLimit 1/s v4prefix=33", 'RateLimit: v4prefix="33" is no length of a prefix: write a number '
     'from 1 to 32'),
    ("RateLimit 1/s v4prefix=/24", 'RateLimit: v4prefix="/24" is no length of a prefix'),
    ("RateLimit 1/s v6prefix=0", "write a number from 1 to 128"),
    ("RateLimit 1/s v6prefix=129", 'RateLimit: v6prefix="129" is no length'),
    ("RateLimit 1/s v6prefix=", 'RateLimit: v6prefix="" is no length'),
    ('RateLimit 1/s v6prefix=48 key="%{HTTP:X}"', "which this key= does not read: leave them out"),
    ('RateLimit 1/s key="%{HTTP:X}" v4prefix=24', "put %{RATELIMIT_ADDRESS} into the key"),
    ("RateLimit 1/s phase=middle",
     'RateLimit: "middle" is no phase of a request: write early or late'),
    ('RateLimit 1/s key="%{RATELIMIT_ADRESS}"', 'RateLimit: in key="%{RATELIMIT_ADRESS}":'),
    ("RateLimit 1/s status=302", 'RateLimit: status="302" is no status of a refusal'),
    ("RateLimit 1/s redirect=javascript:x", 'RateLimit: redirect="javascript:x" is no place'),
    ("RateLimit 1/s close=1", 'RateLimit: close="1" is neither on nor off'),
    ("<Location />\n<Limit GET>\nRateLimitStatus 403\n</Limit>\n</Location>",
     "RateLimitStatus cannot occur within <Limit>"),
    ("<Location />\n<Limit GET>\nRateLimitRedirect /x\n</Limit>\n</Location>",
     "RateLimitRedirect cannot occur within <Limit>"),
    ("<Location />\n<Limit GET>\nRateLimitClose on\n</Limit>\n</Location>",
     "RateLimitClose cannot occur within <Limit>"),
    ("RateLimitLog 60", 'RateLimitLog: "60" is no time between lines: write one from 1s to 1day'),
    ("RateLimitLog 0s", 'RateLimitLog: "0s" is no time'),
    ("RateLimitLog 2day", "such as 60s, 10min or 1h, or off"),
    ("<Location />\n<Limit GET>\nRateLimitLog off\n</Limit>\n</Location>",
     "RateLimitLog cannot occur within <Limit>"),
    ("RateLimitWarn 80", 'RateLimitWarn: "80" is no part of a quota: write one from 1% to 100%'),
    ("RateLimitWarn 0%", 'RateLimitWarn: "0%" is no part of a quota'),
    ("RateLimitWarn 101%", 'RateLimitWarn: "101%" is no part of a quota'),
    ("RateLimitWarn %", 'RateLimitWarn: "%" is no part of a quota'),
    ("<Location />\n<Limit GET>\nRateLimitWarn off\n</Limit>\n</Location>",
     "RateLimitWarn cannot occur within <Limit>"),
    ("RateLimit 1/s warn=0.8", 'RateLimit: warn="0.8" is no part of a quota: write one from 1%'),
    ("RateLimitExempt", "RateLimitExempt: it does not say whom: write an address such as"),
    ("RateLimitExempt 10.0.0.1/8",
     '"10.0.0.1/8" is an address in a network: write 10.0.0.0/8 for the network or 10.0.0.1 for'),
    ("RateLimitExempt 2001:DB8::1/32", "write 2001:db8::/32 for the network or 2001:db8::1 for"),
    ("RateLimitExempt 10.1/16", 'RateLimitExempt: "10.1/16" is no network: write an address such'),
    ("RateLimitExempt 10.0.0.0/33", "the prefix is no number from 1 to 32"),
    ("RateLimitExempt 10.0.0.0/255.0.0.0", "the prefix is no number from 1 to 32"),
    ("RateLimitExempt 0.0.0.0/0", "the prefix is no number from 1 to 32"),
    ("RateLimitExempt ::/129", "the prefix is no number from 1 to 128"),
    ("RateLimitExempt 10.0.0.0/", "the prefix is no number from 1 to 32"),
    ("RateLimitExempt ::ffff:10.0.0.0/104", "is an IPv4 address in IPv6: write it as 10.0.0.0"),
    ("RateLimitExempt fe80::1%eth0", 'RateLimitExempt: "fe80::1%eth0" is no network'),
    ("RateLimitExempt host.example", 'RateLimitExempt: "host.example" is no network'),
    ("RateLimitExempt none 10.0.0.1", "RateLimitExempt: none stands alone"),
    ("RateLimitExempt if=x", "RateLimitExempt: there is no option if=: write an address such as"),
    ('RateLimitExempt when="a"b', "RateLimitExempt: text follows a closing quote"),
    ('RateLimitExempt when="a', "RateLimitExempt: a quote is not closed"),
    ('RateLimitExempt when="%{REQUEST_URI} ="', "RateLimitExempt: in when="),
    ('RateLimitExempt when="true" when="false"', "RateLimitExempt: when= is there twice"),
    ("<Location />\n<Limit GET>\nRateLimitExempt ::1\n</Limit>\n</Location>",
     "RateLimitExempt cannot occur within <Limit>"),
    ("RateLimitShed", "RateLimitShed: it does not say from when on: write a part of the workers"),
    ('RateLimitShed when="true"', "RateLimitShed: it does not say from when on"),
    ("RateLimitShed 80", 'RateLimitShed: "80" is no part of the workers: write a part of the workers '
     'from 1% to 100%, such as 80%, and when='),
    ("RateLimitShed 0%", 'RateLimitShed: "0%" is no part of the workers'),
    ("RateLimitShed 101%", 'RateLimitShed: "101%" is no part of the workers'),
    ("RateLimitShed %", 'RateLimitShed: "%" is no part of the workers'),
    ("RateLimitShed 80% 90%", 'RateLimitShed: "90%" is one argument too many'),
    ("RateLimitShed off 90%", 'RateLimitShed: "90%" is one argument too many'),
    ("RateLimitShed 80% if=x", "RateLimitShed: there is no option if=: write a part of the workers"),
    ('RateLimitShed off when="true"', "RateLimitShed: off stands alone"),
    ('RateLimitShed 80% when="true" when="false"', "RateLimitShed: when= is there twice"),
    ('RateLimitShed 80% when="%{REQUEST_URI} ="', "RateLimitShed: in when="),
    ('RateLimitShed 80% when="-n %{REMOTE_USER}"', "RateLimitShed: when= reads the user"),
    ('RateLimitShed 80% when="a', "RateLimitShed: a quote is not closed"),
    ('RateLimitShed 80% when="a"b', "RateLimitShed: text follows a closing quote"),
    ("<Location />\n<Limit GET>\nRateLimitShed off\n</Limit>\n</Location>",
     "RateLimitShed cannot occur within <Limit>"),
    ("RateLimitDelay 10", 'RateLimitDelay: "10" is no part of the workers: write one from 1% to 50%'),
    ("RateLimitDelay 0%", 'RateLimitDelay: "0%" is no part of the workers'),
    ("RateLimitDelay 51%", 'RateLimitDelay: "51%" is no part of the workers'),
    ("RateLimitDelay %", 'RateLimitDelay: "%" is no part of the workers'),
    ("<VirtualHost *:@PORT@>\nRateLimitDelay 5%\n</VirtualHost>",
     "RateLimitDelay cannot occur within <VirtualHost>"),
    ("RateLimit 1/s delay=0s", 'RateLimit: delay="0s" is no time to wait: write one from 1ms to 30s'),
    ("RateLimit 1/s delay=2", 'RateLimit: delay="2" is no time to wait'),
    ("RateLimit 1/s delay=31s", 'RateLimit: delay="31s" is no time to wait'),
    ("RateLimit 1/s delay=30001ms", 'RateLimit: delay="30001ms" is no time to wait'),
    ("RateLimit 1/s delay=s", 'RateLimit: delay="s" is no time to wait'),
    ('RateLimit "1/s delay=2s"', '"delay=" is no part of a policy: in Apache write it beside the policy'),
    ('RateLimit "2/30s algorithm=concurrency" name=c delay=1s',
     "RateLimit: delay= waits until a quota is there again, and algorithm=concurrency"),
    ("RateLimitExpose maybe", "RateLimitExpose must be On or Off"),
    ("<Location />\n<Limit GET>\nRateLimitExpose on\n</Limit>\n</Location>",
     "RateLimitExpose cannot occur within <Limit>"),
    ("RateLimit", "RateLimit: the policy comes first"),
    ('RateLimit ""', 'RateLimit: "" is no policy'),
    ('RateLimit "100/min', "RateLimit: a quote is not closed"),
    ('RateLimit key=x "100/min"', "RateLimit: the policy comes first"),
    ("RateLimit 100/mim", 'RateLimit: the policy "100/mim" cannot be used: column'),
    ("RateLimit 100/min burst=20",
     'RateLimit: burst= belongs to the policy: write both in one pair of quotes, as in "100/min'),
    ("RateLimit 100/min 10/s", 'RateLimit: "10/s" is one argument too many'),
    ("RateLimit 100/min kye=x", "RateLimit: there is no option kye=: write name=, key=, v4prefix="),
    ("RateLimit 100/min name=a name=b", "RateLimit: name= is there twice"),
    ("RateLimit 100/min name=1st", 'RateLimit: name="1st" cannot name a limit'),
    ("RateLimit 100/min name=", 'RateLimit: name="" cannot name a limit'),
    ("RateLimit -x", 'RateLimit: "-x" is no policy'),
    ('RateLimit 100/min key="%{HTTP:X', 'RateLimit: a quote is not closed'),
    ('RateLimit 100/min key="a"b', "RateLimit: text follows a closing quote"),
    ('RateLimit 100/min key="%{HTTP:X"', 'RateLimit: in key="%{HTTP:X":'),
    ('RateLimit 100/min key="%{NO_SUCH_VARIABLE}"', 'RateLimit: in key="%{NO_SUCH_VARIABLE}":'),
    ('RateLimit 100/min group="%{HTTP:X"', 'RateLimit: in group="%{HTTP:X":'),
    ("RateLimit 100/min group=a group=b", "RateLimit: group= is there twice"),
    ("RateLimit 100/min gruop=a", "v6prefix=, cost=, when=, phase=, fail=, group=, status=, redirect=, close=, warn=, charge= or delay="),
    ('RateLimit 100/min when="%{REQUEST_METHOD} ="', "RateLimit: in when="),
    ("RateLimit 100/min cost=-1", 'RateLimit: cost="-1" is no cost: write a whole number from 0'),
    ("RateLimit 100/min cost=1.5", 'RateLimit: cost="1.5" is no cost'),
    ("RateLimit 100/min cost=1000000001", 'RateLimit: cost="1000000001" is no cost'),
    ('RateLimit 100/min cost=""', 'RateLimit: cost="" is no cost'),
    ("RateLimit 100/min cost=%{nonsense", "RateLimit: in cost="),
    ("RateLimit 100/min fail=never", 'RateLimit: "never" is no fail policy: write local, open or'),
    ("RateLimitForward maybe", "RateLimitForward must be On or Off"),
    ("RateLimitForward on", "RateLimitForward: an application can only tell by a secret that the field"),
    ("<Location />\n<Limit GET>\nRateLimitForward on\n</Limit>\n</Location>",
     "RateLimitForward cannot occur within <Limit>"),
    ("RateLimit 100/min charge=byte",
     'RateLimit: charge="byte" is nothing that a limit can charge: write status:401, bytes, kbytes, time, '
     'header:X-Cost, or an expression such as "%{resp:X-Cost}"'),
    ('RateLimit 100/min charge=""', 'RateLimit: charge="" is nothing that a limit can charge'),
    ("RateLimit 100/min charge=status:",
     'RateLimit: in charge="status:" is no list of statuses: write numbers from 200 to 599, or classes'),
    ("RateLimit 100/min charge=status:401,", "is no list of statuses"),
    ("RateLimit 100/min charge=status:600", "is no list of statuses"),
    ("RateLimit 100/min charge=status:1xx", "is no list of statuses"),
    ("RateLimit 100/min charge=status:4x", "is no list of statuses"),
    ('RateLimit 100/min charge="status:401 403"', "is no list of statuses"),
    ("RateLimit 100/min charge=header:",
     'RateLimit: in charge="header:" is no name of a field: write one, as in charge=header:X-Cost, or'),
    ("RateLimit 100/min charge=header:X-Cost,hide", "is no name of a field"),
    ('RateLimit 100/min charge="header:X Cost"', "is no name of a field"),
    ("RateLimit 100/min charge=header:content-length,remove",
     'RateLimit: an answer cannot do without content-length: leave ",remove" out of charge='),
    ('RateLimit 100/min charge="%{resp:X"',
     'RateLimit: in charge="%{resp:X": '),
    ("RateLimit 100/min charge=bytes charge=time", "RateLimit: charge= is there twice"),
    ('RateLimit "9/s algorithm=concurrency" charge=bytes',
     "RateLimit: charge= is not for algorithm=concurrency, whose slots are free again when the request"),
    ('RateLimitPolicy p "9/s algorithm=concurrency"\nRateLimit p charge=status:401',
     "RateLimit: charge= is not for algorithm=concurrency"),
    ("<Location />\n<Limit GET>\nRateLimit 100/min\n</Limit>\n</Location>",
     "RateLimit cannot occur within <Limit>"),
    ("<Location />\n<Limit GET>\nRateLimitMode off\n</Limit>\n</Location>",
     "RateLimitMode cannot occur within <Limit>"),
    ("RateLimit api", "RateLimit: no policy is called api: write \"RateLimitPolicy api 100/min\""),
    ('RateLimitPolicy login "5/min"\nRateLimit api', "name one that is there (login)"),
    ('<VirtualHost *:@PORT@>\nRateLimitPolicy api "1/s"\n</VirtualHost>\nRateLimit api',
     "RateLimit: no policy is called api"),
    ('RateLimit 1/s name=a\n<Location /x>\nRateLimit 2/s name=a\n</Location>',
     'RateLimit: the name a stands for "2/s" here and for "1/s" at'),
    ('RateLimit 1/s name=a\n<VirtualHost *:@PORT@>\nRateLimit 2/s name=a\n</VirtualHost>',
     "one counter cannot obey two policies"),
]

RIGHT = """
RateLimitStore shm:?size=4096
RateLimitSecretFile good
RateLimitPolicyFile shared
RateLimit shared
RateLimit later
RateLimitPolicy later "10/s,1000/h burst=20"
RateLimit "100/min" name=a key="%{HTTP:X-API-Key}" cost="%{ENV:api_cost}"
RateLimit '100/min' "when=%{REQUEST_METHOD} == 'POST'" name=b fail=closed
RateLimit 100/min name=c when="%{REQUEST_URI} =~ m#^/\\"quoted\\"#" cost=1000000000
RateLimit 100/min name=d cost=0
RateLimit 100/min name=e group=all
RateLimit "9/min,9/day,9/month algorithm=fixed-window align=calendar tz=Asia/Tokyo anchor=31" name=h
RateLimit 100/min name=f group="" key="%{REMOTE_USER}"
RateLimit 100/min name=g group="%{tolower:%{HTTP:X-Tenant}}"
RateLimitMode dry-run
RateLimitFail Open
RateLimitHeaders OFF
RateLimitStatus 503
RateLimitRedirect "https://example.org/slow?from=%{escape:%{REQUEST_URI}}"
RateLimitClose On
RateLimitExempt 127.0.0.1 ::1 10.0.0.0/8 128.0.0.0/1 8000::/1 2001:DB8:0::/33
RateLimitExempt preflight when="%{HTTP:Origin} == 'https://a.example'"
RateLimitExempt NONE
RateLimitExpose on
RateLimitShed 80% when="%{REQUEST_URI} =~ m#^/search#"
RateLimitShed 100%
RateLimitShed OFF
RateLimitDelay 50%
RateLimit 100/min name=n delay=1ms
RateLimit 100/min name=o delay=30S
RateLimitLog 1h
RateLimitLog off
RateLimitWarn 100%
RateLimitWarn Off
RateLimit 100/min name=j v4prefix=1 v6prefix=128 phase=late
RateLimit 100/min name=k v6prefix=1 phase=EARLY key="%{RATELIMIT_ADDRESS} %{REMOTE_USER}"
RateLimit 100/min name=l warn=1%
RateLimit 100/min name=m warn=off
RateLimit 100/min name=i status=403 redirect=off close=off
<VirtualHost *:@PORT@>
  RateLimitPolicy own "1/s"
  RateLimit own
  RateLimit later
  RateLimitMode off
  RateLimitHeaders draft-08 x-ratelimit-epoch pk
</VirtualHost>
<Location /x>
  RateLimit later key="%{REMOTE_USER}"
  <If "%{REQUEST_METHOD} == 'GET'">
    RateLimit 5/s
    RateLimitFail local
  </If>
</Location>
<Directory />
  RateLimit 5/s
</Directory>
"""


def prepare(conf, **more):
    httpd = httpd_env.Httpd(conf, **more)
    for name, mode, size in [("good", 0o600, 32), ("short", 0o600, 15), ("long", 0o600, 1025),
                             ("open", 0o644, 32)]:
        path = httpd.write(name, "s" * size + "\n", httpd.root)
        path.chmod(mode)
    httpd.write("shared", f"store shm:?size=1024\nsecret-file {httpd.root}/good\n"
                "policy shared 10/s,100/h\n", httpd.root)
    httpd.write("wrong", "policy a 1/s\npolicy b 1/fortnight\n", httpd.root)
    httpd.write("nosecret", "secret-file /nowhere/secret\n", httpd.root)
    return httpd


# Each wrong line is refused, by its name and with what to write.
@pytest.mark.parametrize("conf, sentence", WRONG, ids=[repr(c[0])[1:60] for c in WRONG])
def test_wrong(conf, sentence):
    httpd = prepare(conf)
    passed, said = httpd.configtest()
    httpd.finish()
    assert sentence in said
    assert not passed


# Everything that is documented passes, in each place where it may stand.
def test_right():
    httpd = prepare(RIGHT)
    passed, said = httpd.configtest()
    httpd.finish()
    assert passed, said


# The annotated file passes as it is, and so does each line that it shows commented out.
def test_annotated_file():
    path = httpd_env.TOP / "mod_ratelimit_redis/ratelimit_redis.conf"
    text = path.read_text().replace("/etc/apache2/ratelimit.secret", "good")
    text = text.replace("/etc/ratelimit.conf", "shared")
    shown = re.sub(r"^#(?=[A-Z<]|  RateLimit)(?!LoadModule)", "", text, flags=re.M)
    assert shown.count("\n  RateLimit ") == 15
    for conf in [text, shown]:
        httpd = prepare(conf, extra_modules=["ssl"])
        passed, said = httpd.configtest()
        httpd.finish()
        assert passed, said


# A check of the configuration makes no table, and finds what is wrong with one that is there.
def test_configtest_makes_no_file():
    httpd = prepare("RateLimitStore shm:@ROOT@/table?size=4096")
    assert httpd.configtest()[0]
    assert not (httpd.root / "table").exists()
    httpd.write("table", "something else" * 1000, httpd.root)
    passed, said = httpd.configtest()
    httpd.finish()
    assert not passed and "RateLimitStore: " in said


# Servers are not asked for, nor their names looked up: both may be away for now.
@pytest.mark.parametrize("url", [
    "redis://nobody.invalid", "rediss://nobody.invalid:6380/1?sni=redis.example&connections=4",
    "redis+unix://@ROOT@/nobody.sock?db=1", "redis+sentinel://a.invalid,b.invalid:1/main/1",
    "rediss+sentinel://a.invalid/main?sentinel-user=u&sentinel-password=p",
    "redis+cluster://a.invalid,b.invalid,[::1]:7000", "rediss+cluster://u:p@a.invalid"])
def test_servers_away(url):
    httpd = prepare(f'RateLimitStore "{url}"')
    passed, said = httpd.configtest()
    httpd.finish()
    assert passed, said


# No sentence repeats a password.
@pytest.mark.parametrize("url", [
    "redis://user:hunter2@h:99999/0", "rediss://user:hunter2/0",
    "redis+sentinel://h/main?sentinel-password=a&hunter2", "redis+cluster://user:hunter2@h,h"])
def test_password_stays_in(url):
    httpd = prepare(f'RateLimitStore "{url}"')
    passed, said = httpd.configtest()
    httpd.finish()
    assert not passed and "RateLimitStore: " in said and "hunter2" not in said


# The server does not start either, and the error log says why.
def test_start_fails(start):
    with pytest.raises(AssertionError, match="no policy is called api"):
        start("RateLimit api")
