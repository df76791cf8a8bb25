# SPDX-License-Identifier: Apache-2.0
"""A small httpd of the tests' own: a server root in a temporary folder, a free port on 127.0.0.1,
the module from the build tree. It ends with the test, and its error log has to be clean by then."""

import http.client
import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import structured_fields

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parent.parent
BUILD = pathlib.Path(os.environ.get(
    "RLC_BUILDDIR", TOP / "build" if (TOP / "build").is_dir() else TOP))
MODULE = pathlib.Path(os.environ.get(
    "RATELIMIT_MODULE", BUILD / "mod_ratelimit_redis/.libs/mod_ratelimit_redis.so")).resolve()
LIBRARY = pathlib.Path(os.environ.get("RATELIMIT_LIBDIR", BUILD / "libcore/.libs")).resolve()

MPMS = ["event", "worker", "prefork"]
BASE_MODULES = ["authz_core", "authn_core", "authz_user", "authz_host", "auth_basic", "authn_file",
                "access_compat", "alias", "dir", "env", "headers", "include", "mime", "remoteip",
                "rewrite", "setenvif"]
# What a distribution may have built in.
COMMON_MODULES = ["log_config", "unixd"]
# A line of the error log that no test may leave unclaimed: bad levels, and children that crash.
BAD_LINE = re.compile(r"\[[^\]\s]*(?:^|:|\[)(?:warn|error|crit|alert|emerg)\]|exit signal")

# httpd's own noise: a connection that ends just as the server does; a slow end on a busy machine.
NOISE = ["AH03092", "AH03093", "AH00045"]


def ask_apxs(name, otherwise):
    try:
        answer = subprocess.run(["apxs", "-q", name], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return otherwise
    return answer.stdout.strip() or otherwise


APACHE = os.environ.get("RATELIMIT_HTTPD") or os.path.join(
    ask_apxs("SBINDIR", "/usr/sbin"), ask_apxs("PROGNAME", "apache2"))
MODULES = pathlib.Path(ask_apxs("LIBEXECDIR", "/usr/lib/apache2/modules"))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def temp_folder():
    """A folder that httpd's children can enter, whoever they run as."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="ratelimit-"))
    folder.chmod(0o755)
    return folder


class Response:
    def __init__(self, raw):
        self.status = raw.status
        self.headers = raw.headers
        self.body = raw.read().decode("utf-8", "replace")

    def field(self, name):
        """The values of a field as one list; None where there is none."""
        values = self.headers.get_all(name)
        return ", ".join(values) if values else None

    def items(self, name):
        """A list such as RateLimit, parsed: [(name, {parameter: value}), ...]."""
        return structured_fields.parse_list(self.field(name) or "")


class Httpd:
    def __init__(self, conf, mpm="event", extra_modules=(), without=(), module=MODULE):
        self.root = temp_folder()
        self.docs = self.root / "docs"
        self.docs.mkdir(exist_ok=True)
        self.port = free_port()
        self.mpm = mpm
        self.extra_modules = extra_modules
        self.without = without  # of BASE_MODULES
        self.module = module  # None: an httpd as it is without
        self.process = None
        self.claimed = list(NOISE)
        self.set_conf(conf)
        self.write("index.html", "index\n")
        self.write("page.html", "page\n")

    # --- files

    def write(self, name, text, folder=None):
        path = (folder or self.docs) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o644)
        return path

    def set_conf(self, conf):
        self.conf = conf
        lines = [f'ServerRoot "{self.root}"', f'DefaultRuntimeDir "{self.root}"',
                 f'PidFile "{self.root}/httpd.pid"', f'Mutex "file:{self.root}" default',
                 "ServerName localhost", f"Listen 127.0.0.1:{self.port}",
                 f'ErrorLog "{self.root}/error.log"',
                 "LogLevel warn ratelimit_redis:info" if self.module else "LogLevel warn",
                 f'LoadModule mpm_{self.mpm}_module "{MODULES}/mod_mpm_{self.mpm}.so"']
        for name in [n for n in [*BASE_MODULES, *self.extra_modules] if n not in self.without]:
            lines.append(f'LoadModule {name}_module "{MODULES}/mod_{name}.so"')
        for name in COMMON_MODULES:
            lines += [f"<IfModule !mod_{name}.c>",
                      f'  LoadModule {name}_module "{MODULES}/mod_{name}.so"', "</IfModule>"]
        if self.module:
            lines.append(f'LoadModule ratelimit_redis_module "{self.module}"')
        if os.geteuid() == 0:
            user = pwd.getpwnam("www-data")
            lines += [f"User #{user.pw_uid}", f"Group #{user.pw_gid}"]
        if self.mpm == "prefork":
            lines += ["StartServers 4", "MinSpareServers 4", "MaxSpareServers 16",
                      "MaxRequestWorkers 64"]
        else:
            # More threads than a test has connections: a child without an idle one closes
            # connections that are kept alive.
            lines += ["StartServers 2", "ThreadsPerChild 25", "MinSpareThreads 25",
                      "MaxSpareThreads 75", "MaxRequestWorkers 75"]
        lines += ["GracefulShutdownTimeout 1", "KeepAliveTimeout 5", "MaxKeepAliveRequests 0",
                  "TypesConfig /dev/null", "AddType text/html .html", "AddType text/html .shtml",
                  "AddOutputFilter INCLUDES .shtml",
                  "<IfModule remoteip_module>", "RemoteIPHeader X-Forwarded-For",
                  "RemoteIPInternalProxy 127.0.0.1", "</IfModule>",
                  f'DocumentRoot "{self.docs}"',
                  f'<Directory "{self.docs}">', "  Options +Includes +FollowSymLinks",
                  "</Directory>", "DirectoryIndex index.html",
                  'LogFormat "%s %{RATELIMIT_ALLOWED}n %{RATELIMIT_SOURCE}n %{RATELIMIT_NAME}n '
                  '%{RATELIMIT_LIMIT}n %{RATELIMIT_REMAINING}n %{RATELIMIT_RESET}n %U" decisions',
                  f'CustomLog "{self.root}/access.log" decisions']
        conf = conf.replace("@ROOT@", str(self.root)).replace("@DOCS@", str(self.docs))
        conf = conf.replace("@PORT@", str(self.port))
        (self.root / "httpd.conf").write_text("\n".join(lines) + "\n" + conf + "\n")

    # --- life

    def environment(self):
        env = dict(os.environ, LANG="C")
        paths = [str(LIBRARY), env.get("LD_LIBRARY_PATH", "")]
        env["LD_LIBRARY_PATH"] = ":".join(p for p in paths if p)
        return env

    def command(self, *more):
        return [APACHE, "-f", str(self.root / "httpd.conf"), *more]

    def configtest(self):
        """Runs `httpd -t`; returns whether it passed, and what it said."""
        done = subprocess.run(self.command("-t"), capture_output=True, text=True, timeout=30,
                              env=self.environment())
        return done.returncode == 0, done.stdout + done.stderr

    def start(self):
        assert MODULE.exists(), f"{MODULE} is not built: run make, or set RATELIMIT_MODULE"
        for _ in range(3):
            self.launch()
            try:
                self.wait_for(self.answers, "httpd does not answer")
                break
            except AssertionError as error:
                if "AH00072" not in str(error):
                    raise
                self.port = free_port()  # somebody was faster
                self.set_conf(self.conf)
        return self

    def launch(self):
        self.process = subprocess.Popen(self.command("-DFOREGROUND"), env=self.environment(),
                                        stdin=subprocess.DEVNULL, start_new_session=True,
                                        stdout=open(self.root / "stdout", "wb"),
                                        stderr=subprocess.STDOUT)

    def answers(self):
        if self.process.poll() is not None:
            raise AssertionError("httpd has ended: " + (self.root / "stdout").read_text()
                                 + self.error_log())
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return "resuming normal operations" in self.error_log() or self.mpm == "prefork"

    @staticmethod
    def wait_for(ready, otherwise, seconds=20.0):
        end = time.monotonic() + seconds
        while not ready():
            assert time.monotonic() < end, otherwise
            time.sleep(0.02)

    def children(self):
        """The ids of the parent's children."""
        found = set()
        for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it has ended meanwhile
            if fields[1] == str(self.process.pid) and fields[0] != "Z":
                found.add(int(stat.parent.name))
        return found

    def connections(self):
        """How many connections httpd has open, in the states that /proc/net/tcp gives: established,
        and those in which one end is not closed yet."""
        rows = pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]
        ours = [row.split() for row in rows]
        return sum(row[1].endswith(f":{self.port:04X}") and row[3] in ("01", "04", "05", "08", "09")
                   for row in ours)

    def graceful(self):
        """Restarts, and waits until no child of before can take a request."""
        before = self.error_log().count("resuming normal operations")
        old = self.children()
        self.process.send_signal(signal.SIGUSR1)
        self.wait_for(lambda: self.error_log().count("resuming normal operations") > before
                      and not old & self.children(),
                      "httpd does not come back from a graceful restart")

    def stop(self):
        """Stops when no connection is left. While one is closing, the event MPM of httpd 2.4 may
        crash at its end: seen in 2 of 1,000 stops of an httpd without this module."""
        if self.process is not None and self.process.poll() is None:
            self.wait_for(lambda: not self.connections(), "connections stay open")
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait(5)
                raise
        self.process = None

    def finish(self):
        """Stops, and says whether the error log was clean."""
        try:
            self.stop()
            dirt = self.unclaimed()
        finally:
            shutil.rmtree(self.root, ignore_errors=True)
        assert not dirt, "the error log holds lines that no test claimed:\n" + "\n".join(dirt)

    # --- the logs

    def error_log(self):
        path = self.root / "error.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def expect(self, *ids):
        """Claims messages: lines of the error log that hold one of these texts are wanted."""
        self.claimed += ids

    def unclaimed(self):
        return [line for line in self.error_log().splitlines()
                if BAD_LINE.search(line) and not any(text in line for text in self.claimed)]

    def logged(self, text, seconds=5.0):
        """Waits for a text in the error log, and claims it."""
        self.expect(text)
        self.wait_for(lambda: text in self.error_log(), f"the error log lacks {text!r}", seconds)

    def access_log(self, path):
        """The words of the last line for |path|; httpd logs when the answer is on its way."""
        found = []

        def ready():
            nonlocal found
            text = (self.root / "access.log").read_text()
            found = [line.split() for line in text.splitlines() if line.endswith(" " + path)]
            return bool(found)
        self.wait_for(ready, f"the access log lacks {path}")
        return found[-1]

    # --- requests

    def connect(self, timeout=20):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def get(self, path, ip=None, method="GET", body=None, **headers):
        """One request on a connection of its own. X_Key=... becomes the field X-Key."""
        connection = self.connect()
        try:
            return self.send(connection, path, ip, method, body, **headers)
        finally:
            connection.close()

    @staticmethod
    def send(connection, path, ip=None, method="GET", body=None, **headers):
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        if ip:
            fields["X-Forwarded-For"] = ip
        connection.request(method, path, body=body, headers=fields)
        return Response(connection.getresponse())

    def statuses(self, n, path, **more):
        """The statuses of |n| requests on one connection."""
        connection = self.connect()
        try:
            return [self.send(connection, path, **more).status for _ in range(n)]
        finally:
            connection.close()
