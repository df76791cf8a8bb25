# SPDX-License-Identifier: Apache-2.0
"""Masters with replicas and sentinels, and clusters, of the test's own: processes on loopback
ports, in temporary folders, ended by their pids.

    with Sentinel(replicas=1) as s:          # 3 sentinels
        hammer(s.url("timeout=10s"), "100/min")
        s.kill_master()
        s.wait_failover()

    with Cluster(masters=3, replicas=0) as c:
        slot = c.slot_of(c.keys()[0])
        c.move_slot(slot, to=c.masters[1])   # its keys too
        c.add_node()

Whoever uses their URLs may do what `rlctl acl` prints, and nothing else, but where a password is
given: then the default user's is in the URL. RLC_REDIS_SERVER names the server to run
(valkey-server) instead of redis-server.
"""

import binascii
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from redis_env import CONTROL, LOGIN, SERVER, Client, rlctl

SLOTS = 16384
_used = set()


def free_ports(n):
    """Ports below those that the kernel gives to clients, so that a server that was killed finds
    its own again; the ones 10000 above, of the cluster's bus, are free as well."""
    found = []
    while len(found) < n:
        port = random.randrange(10000, 22000)
        if port not in _used and all(_is_free(p) for p in (port, port + 10000)):
            _used.add(port)
            found.append(port)
    return found


def _is_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def wait_for(condition, what, seconds=30):
    """Returns what |condition| does, once that is true. Trouble on the way is waited out."""
    end = time.monotonic() + seconds
    while True:
        try:
            value = condition()
            if value:
                return value
            trouble = None
        except (OSError, EOFError, RuntimeError) as error:
            trouble = error
        assert time.monotonic() < end, "%s: not within %d s (%s)" % (what, seconds, trouble)
        time.sleep(0.02)


class Node:
    """A server process: a Redis, or with |sentinel| one that watches Redis."""

    def __init__(self, folder, port, *lines, password=None, sentinel=False):
        self.port, self.password, self.sentinel = port, password, sentinel
        self.folder = pathlib.Path(folder) / str(port)
        self.folder.mkdir()
        self.conf = self.folder / "conf"
        head = ["port %d" % port, "bind 127.0.0.1", "dir %s" % self.folder]
        if not sentinel:
            head += ['save ""', "appendonly no", "repl-diskless-sync-delay 0",
                     "repl-ping-replica-period 1"]
        if password:
            head += ["requirepass %s" % password]
        self.conf.write_text("\n".join(head + list(lines)) + "\n")
        self.process = None

    def __repr__(self):
        return "127.0.0.1:%d" % self.port

    def start(self):
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [SERVER, str(self.conf)] + ["--sentinel"] * self.sentinel, stdout=log, stderr=log)
        try:
            wait_for(self.is_up, "%s %s" % (SERVER, self))
        except AssertionError as error:
            raise AssertionError((self.folder / "log").read_text()[-2000:]) from error
        return self

    def is_up(self):
        assert self.process.poll() is None, "%s %s ended" % (SERVER, self)
        return self.command("PING") == b"PONG"

    def is_alive(self):
        return self.process is not None and self.process.poll() is None

    def command(self, *words):
        with self.client() as client:
            return client.command(*words)

    def client(self):
        return Client(("127.0.0.1", self.port), self.password)

    def role(self):
        """b"master" or b"slave"."""
        return self.command("ROLE")[0]

    def info(self, *sections):
        lines = self.command("INFO", *sections).decode().splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def calls(self):
        """How often each command ran: {"get": 12, ...}."""
        return {name[8:]: int(text.split(",")[0].split("=")[1])
                for name, text in self.info("commandstats").items()}

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        if self.is_alive():
            self.signal(signal.SIGCONT)
            self.kill()


class _Topology:
    """A folder, and what runs in it."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="rlcore-topology-")
        self.all = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def add(self, *args, **options):
        node = Node(self.folder, *args, **options)
        self.all.append(node)
        return node

    def stop(self):
        for node in self.all:
            node.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def _write_to_replicas(master, key, n, timeout_ms=5000):
    with master.client() as client:
        client.command("SET", key, 1)
        client.command("DEL", key)
        assert client.command("WAIT", n, timeout_ms) >= n


def _url(scheme, password, nodes, path, options):
    return "redis+%s://%s@%s%s%s" % (
        scheme, LOGIN if password == CONTROL else ":" + password, ",".join(map(repr, nodes)), path,
        "?" + options if options else "")


SENTINEL_LOGIN = "sentinel-user=%s&sentinel-password=%s" % tuple(LOGIN.split(":"))


def user_of(kind, url):
    """The line of a server's settings that makes the user of |url|."""
    return rlctl("acl", kind, "--file", store=url).strip()


class Sentinel(_Topology):
    """A master that its sentinels call "main", and replicas. |server_password| is that of the
    servers, |sentinel_password| that of the sentinels. `servers`, `sentinels`: who they are."""

    def __init__(self, sentinels=3, replicas=1, down_after_ms=700, server_password=None,
                 sentinel_password=None, servers=()):
        super().__init__()
        self.server_password = server_password = server_password or CONTROL
        self.sentinel_password = sentinel_password = sentinel_password or CONTROL
        ports = free_ports(1 + replicas + sentinels)
        url = "redis+sentinel://%s@h/main?%s" % (LOGIN, SENTINEL_LOGIN)
        lines = list(servers) + ["replica-serve-stale-data yes", "masterauth %s" % server_password,
                                 user_of("redis", url)]
        self.servers = [self.add(port, *lines, password=server_password)
                        for port in ports[:1 + replicas]]
        self._known_master = self.servers[0]
        self.sentinels = []
        ids = {port: "%040x" % random.getrandbits(160) for port in ports[1 + replicas:]}
        for port, own in ids.items():
            # All is told at once: sentinels that had to find each other would take seconds.
            lines = ["sentinel myid %s" % own,
                     "sentinel monitor main 127.0.0.1 %d %d" % (ports[0], sentinels // 2 + 1),
                     "sentinel down-after-milliseconds main %d" % down_after_ms,
                     "sentinel failover-timeout main 2000",
                     "sentinel auth-pass main %s" % server_password,
                     "sentinel sentinel-pass %s" % sentinel_password, user_of("sentinel", url)]
            lines += ["sentinel known-replica main 127.0.0.1 %d" % p for p in ports[1:1 + replicas]]
            lines += ["sentinel known-sentinel main 127.0.0.1 %d %s" % known
                      for known in ids.items() if known[0] != port]
            self.sentinels.append(self.add(port, *lines, password=sentinel_password, sentinel=True))
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self):
        master = self.servers[0].start()
        for replica in self.servers[1:]:
            replica.start().command("REPLICAOF", "127.0.0.1", master.port)
        wait_for(lambda: self.replicas_online(master) == len(self.servers) - 1, "replication")
        # A master calls a replica online, and keeps to itself what is written until that has
        # acknowledged something, up to a second later.
        _write_to_replicas(master, "rlcore-topology", len(self.servers) - 1)
        for sentinel in self.sentinels:
            sentinel.start()
        for sentinel in self.sentinels:
            wait_for(lambda s=sentinel: s.command("SENTINEL", "CKQUORUM", "main").startswith(b"OK"),
                     "the sentinels' quorum")
            wait_for(lambda s=sentinel: self._sees_replicas(s), "the sentinels' replicas")

    def _sees_replicas(self, sentinel):
        """Whether one failed over now."""
        rows = [dict(zip(row[::2], row[1::2]))
                for row in sentinel.command("SENTINEL", "REPLICAS", "main")]
        return sum(row[b"master-link-status"] == b"ok" for row in rows) >= len(self.servers) - 1

    @staticmethod
    def replicas_online(master):
        return sum("state=online" in text for name, text in master.info("replication").items()
                   if name.startswith("slave"))

    def url(self, options="", sentinels=None, name="main"):
        options += "&" * bool(options) + (
            SENTINEL_LOGIN if self.sentinel_password == CONTROL else
            "sentinel-password=%s" % self.sentinel_password)
        return _url("sentinel", self.server_password,
                    self.sentinels if sentinels is None else sentinels, "/" + name, options)

    def named_master(self, sentinel=None):
        """The server that a sentinel that lives (or |sentinel|) calls master."""
        sentinel = sentinel or next(s for s in self.sentinels if s.is_alive())
        _, port = sentinel.command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main")
        return next(s for s in self.servers if s.port == int(port))

    master = property(named_master)

    def replicas(self):
        return [s for s in self.servers if s.is_alive() and s is not self.master]

    def wait_replicated(self, timeout_ms=5000):
        """Waits until the replicas have what the master has: nothing written before is lost."""
        _write_to_replicas(self.master, "rlcore-topology", len(self.replicas()), timeout_ms)

    def kill_master(self, number=signal.SIGKILL):
        """Ends the master, or with SIGSTOP halts it. Returns it."""
        self._known_master = self.master
        self._known_master.signal(number)
        if number == signal.SIGKILL:
            self._known_master.process.wait()
        return self._known_master

    def wait_failover(self, old=None, seconds=30):
        """Waits until all sentinels that live name another master than |old|, and it is one.
        Returns it."""
        old = old or self._known_master

        def is_over():
            named = {self.named_master(s) for s in self.sentinels if s.is_alive()}
            return len(named) == 1 and old not in named and named.pop().role() == b"master"

        wait_for(is_over, "the failover", seconds)
        return self.master


class Cluster(_Topology):
    """A Redis Cluster. `masters` and `replicas` are those it was made with, in this order; what
    became of them tells `owner`."""

    def __init__(self, masters=3, replicas=0, node_timeout_ms=1500, password=None, options=()):
        super().__init__()
        self.password, self.node_timeout_ms = password or CONTROL, node_timeout_ms
        self.options = [*options, user_of("redis", "redis+cluster://%s@h" % LOGIN)]
        try:
            nodes = [self._make(port).start() for port in free_ports(masters + replicas)]
            self.masters, self.replicas = nodes[:masters], nodes[masters:]
            self._join(nodes)
        except BaseException:
            self.stop()
            raise

    def _make(self, port):
        lines = ["cluster-enabled yes", "cluster-config-file nodes.conf",
                 "cluster-node-timeout %d" % self.node_timeout_ms,
                 # A node whose last slot goes away stays a master.
                 "cluster-allow-replica-migration no", "cluster-replica-validity-factor 0",
                 "masterauth %s" % self.password]
        return self.add(port, *lines, *self.options, password=self.password)

    def _join(self, nodes):
        n = len(self.masters)
        for i, node in enumerate(self.masters):
            slots = range(SLOTS * i // n, SLOTS * (i + 1) // n)
            node.command("CLUSTER", "SET-CONFIG-EPOCH", i + 1)
            node.command("CLUSTER", "ADDSLOTS", *slots)
        for node in nodes[1:]:
            node.command("CLUSTER", "MEET", "127.0.0.1", nodes[0].port)
        self.wait_known(len(nodes))
        for i, node in enumerate(self.replicas):
            self.replicate(node, self.masters[i % n])
        self.wait_ok()
        for master in self.masters[:len(self.replicas)]:
            self.wait_replicated(master)

    def replicate(self, replica, master):
        """Makes |replica| one of |master|, in step with it."""
        replica.command("CLUSTER", "REPLICATE", self.id(master))
        wait_for(lambda: replica.info("replication").get("master_link_status") == "up",
                 "replication")

    def wait_replicated(self, master, replicas=1, timeout_ms=5000):
        """Waits until the replicas of |master| have what it has: see Sentinel."""
        for i in range(1000):
            key = "rlcore-topology-%d" % i
            if self.owner(self.slot_of(key), master) is master:
                return _write_to_replicas(master, key, replicas, timeout_ms)
        raise AssertionError("%s owns no slots" % master)

    def wait_known(self, n, seconds=30):
        """Waits until every node that lives knows |n|, and none in the middle of a handshake."""

        def know_all():
            tables = [self.table(node) for node in self.alive()]
            return all(len(table) == n and not any("handshake" in row[2] for row in table)
                       for table in tables)

        wait_for(know_all, "the nodes' meeting", seconds)

    def wait_ok(self, seconds=30):
        """Waits until every node that lives serves."""
        wait_for(lambda: all(b"cluster_state:ok" in node.command("CLUSTER", "INFO")
                             for node in self.alive()), "the cluster", seconds)

    def alive(self):
        return [node for node in self.all if node.is_alive()]

    def url(self, options="", nodes=None):
        return _url("cluster", self.password, nodes or self.masters, "", options)

    def id(self, node):
        return node.command("CLUSTER", "MYID").decode()

    def table(self, node):
        """CLUSTER NODES, a list of words for each."""
        return [line.split() for line in node.command("CLUSTER", "NODES").decode().splitlines()]

    # --- slots and keys

    @staticmethod
    def slot_of(key):
        key = key if isinstance(key, bytes) else key.encode()
        begin = key.find(b"{")
        end = key.find(b"}", begin + 1)
        if begin >= 0 and end > begin + 1:
            key = key[begin + 1:end]
        return binascii.crc_hqx(key, 0) % SLOTS

    def owner(self, slot, seen_by=None):
        """The node that owns |slot|, as any that lives says."""
        for first, last, master, *_ in (seen_by or self.alive()[0]).command("CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return next(node for node in self.all if node.port == master[1])
        return None

    def owners(self):
        """The nodes that own slots, as the first that lives says."""
        ports = [master[1] for _, _, master, *_ in self.alive()[0].command("CLUSTER", "SLOTS")]
        return [node for node in self.all if node.port in ports]

    def keys(self):
        return sorted(key for node in self.owners() for key in node.command("KEYS", "*"))

    def command_at(self, key, *words):
        """Runs a command where |key| lives."""
        return self.owner(self.slot_of(key)).command(*words)

    def flush(self):
        for node in self.owners():
            node.command("FLUSHALL")

    def begin_move(self, slot, to):
        """From now on the slot's keys are in two places: ASK, TRYAGAIN. Returns the owner."""
        owner = self.owner(slot)
        to.command("CLUSTER", "SETSLOT", slot, "IMPORTING", self.id(owner))
        owner.command("CLUSTER", "SETSLOT", slot, "MIGRATING", self.id(to))
        return owner

    def move_keys(self, slot, owner, to, count=100):
        """Moves up to |count| keys of it. Returns how many."""
        keys = owner.command("CLUSTER", "GETKEYSINSLOT", slot, count)
        if keys:
            owner.command("MIGRATE", "127.0.0.1", to.port, "", 0, 5000, "AUTH", self.password,
                          "KEYS", *keys)
        return len(keys)

    def end_move(self, slot, owner, to):
        # First where it goes, so that it is never nobody's; then all others.
        for node in [to, owner] + [n for n in self.owners() if n not in (to, owner)]:
            node.command("CLUSTER", "SETSLOT", slot, "NODE", self.id(to))

    def move_slot(self, slot, to, pause=0):
        """Moves |slot| and its keys, as a resharding does, with |pause| seconds between steps."""
        owner = self.begin_move(slot, to)
        time.sleep(pause)
        while self.move_keys(slot, owner, to):
            pass
        time.sleep(pause)
        self.end_move(slot, owner, to)
        return owner

    # --- nodes

    def add_node(self, master=None):
        """A new node, a master without slots, or a replica of |master|. Returns it."""
        node = self._make(free_ports(1)[0]).start()
        known = len(self.table(self.alive()[0]))
        other = next(n for n in self.alive() if n is not node)
        node.command("CLUSTER", "MEET", "127.0.0.1", other.port)
        self.wait_known(known + 1)
        if master:
            self.replicate(node, master)
        wait_for(lambda: b"cluster_state:ok" in node.command("CLUSTER", "INFO"), "the new node")
        return node

    def remove_node(self, node):
        """Ends |node|, whose slots were moved away, and lets the others forget it."""
        own = self.id(node)
        node.kill()
        for other in self.alive():
            other.command("CLUSTER", "FORGET", own)

    def wait_promoted(self, slot, old, seconds=30):
        """Waits until all that live say that |slot| is another's than |old|'s, and serve. Returns
        the new owner."""

        def is_over():
            owners = {self.owner(slot, node) for node in self.alive()}
            return len(owners) == 1 and old not in owners

        wait_for(is_over, "the promotion", seconds)
        self.wait_ok(seconds)
        return self.owner(slot)
