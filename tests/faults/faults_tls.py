# SPDX-License-Identifier: Apache-2.0
"""TLS that must not be trusted: the server shows another certificate, or speaks none at all."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import time

from harness import Fault, free_port, tool
from proxy import Proxy
from redis_env import LOGIN, Redis

CONF = """[ca]
default_ca = it
[it]
dir = .
database = index
serial = serial
new_certs_dir = .
default_md = sha256
policy = any
copy_extensions = copy
unique_subject = no
[any]
commonName = supplied
"""


class Certificates:
    """An authority of the test's own, and certificates by it: PEM files in a folder."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="rlcore-certs-"))
        (self.folder / "conf").write_text(CONF)
        (self.folder / "index").touch()
        (self.folder / "serial").write_text("01\n")
        self.ca = self.folder / "ca.crt"
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                     "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=faults", "-days", "2")

    def openssl(self, *words):
        subprocess.run([tool("openssl"), *words], cwd=self.folder, check=True, capture_output=True,
                       env=dict(os.environ, OPENSSL_CONF=""))

    def make(self, name, host, dates=("-days", "2")):
        """Returns (certificate, key)."""
        files = self.folder / (name + ".crt"), self.folder / (name + ".key")
        self.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                     files[1].name, "-out", name + ".csr", "-subj", "/CN=" + host, "-addext",
                     "subjectAltName=DNS:" + host)
        self.openssl("ca", "-batch", "-config", "conf", "-in", name + ".csr", "-cert", "ca.crt",
                     "-keyfile", "ca.key", "-out", files[0].name, "-notext", *dates)
        return files

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)


class Expired(Fault):
    name = "expired certificate"
    certificates = None

    def prepare(self):
        self.certificates = Certificates()
        self.right = self.certificates.make("right", "localhost")
        self.wrong = self.make_wrong()
        self.port = free_port()
        self.server = Redis("--tls-port", str(self.port), "--tls-auth-clients", "no",
                            "--tls-ca-cert-file", str(self.certificates.ca),
                            "--tls-cert-file", str(self.right[0]),
                            "--tls-key-file", str(self.right[1]))

    def make_wrong(self):
        return self.certificates.make("wrong", "localhost", ("-startdate", "20200101000000Z",
                                                             "-enddate", "20200201000000Z"))

    def url(self):
        return "rediss://%s@localhost:%d?ca=%s" % (LOGIN, self.port, self.certificates.ca)

    def show(self, files):
        """What the server shows from now on, to connections that are made now."""
        self.server.command("CONFIG", "SET", "tls-cert-file", files[0], "tls-key-file", files[1])
        self.server.command("CLIENT", "KILL", "TYPE", "normal")

    def happen(self):
        self.show(self.wrong)
        time.sleep(self.lasts)
        self.show(self.right)

    def cleanup(self):
        super().cleanup()
        if self.certificates is not None:
            self.certificates.remove()


class WrongName(Expired):
    """Of the right authority, for another host."""
    name = "wrong host name"

    def make_wrong(self):
        return self.certificates.make("wrong", "other.example")


class Plaintext(Expired):
    """The port speaks Redis, and no TLS."""
    name = "plaintext port"
    proxy = None

    def prepare(self):
        super().prepare()
        self.proxy = Proxy(("127.0.0.1", self.port))

    def url(self):
        return "rediss://%s@localhost:%d?ca=%s" % (LOGIN, self.proxy.port, self.certificates.ca)

    def happen(self):
        self.proxy.target = ("127.0.0.1", self.server.port)
        self.proxy.hang_up()
        time.sleep(self.lasts)
        self.proxy.target = ("127.0.0.1", self.port)

    def cleanup(self):
        if self.proxy is not None:
            self.proxy.stop()
        super().cleanup()


FAULTS = [Expired, WrongName, Plaintext]
