#!/usr/bin/python3
"""Throw-away Redis servers of every kind a store can be: one, one with TLS and users, a primary and a replica under three
Sentinels, a Cluster of six nodes.

    tests/store/redises.py run single|tls|sentinel|cluster -- COMMAND…   with FOREBAY_TEST_STORE (a URL) and …_CA set

Each server has a port of its own on 127.0.0.1 and a folder of its own, and is stopped by its id. When this process dies,
however it dies, the kernel ends them."""

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests", "db"))

from servers import wait_until  # noqa: E402

PR_SET_PDEATHSIG = 1
START_S, CLUSTER_S = 30.0, 60.0
PATIENT_MS = 10000  # without a sign of life: a busy machine is none that has died; who wants a failover says when
SLOTS = 16384
# Debian's redis-tools holds the server's program under another name; it goes by how it is called.
PROGRAM = next((name for name in ("redis-server", "valkey-server", "redis-check-rdb") if shutil.which(name)), None)


class Unavailable(Exception):
    """There is no Redis here."""


def free_ports(count):
    """Ports nobody listens on at this moment: all different."""
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def die_with_starter():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def encode(words):
    request = b"*%d\r\n" % len(words)
    for word in words:
        data = word if isinstance(word, bytes) else str(word).encode()
        request += b"$%d\r\n%s\r\n" % (len(data), data)
    return request


def talk(port, *words, path=None, timeout=5.0, password=None):
    """One request, one reply: a text, an int, a list, None; errors are raised."""
    with socket.socket(socket.AF_UNIX if path else socket.AF_INET) as line:
        line.settimeout(timeout)
        line.connect(path or ("127.0.0.1", port))
        line.sendall((encode(["AUTH", password]) if password else b"") + encode(words))
        with line.makefile("rb") as file:
            if password:
                read_reply(file)
            return read_reply(file)


def read_reply(file):
    head = file.readline()
    if not head:
        raise ConnectionError("hung up")
    kind, rest = head[:1], head[1:-2].decode()
    if kind == b"-":
        raise RuntimeError(rest)
    if kind == b"+":
        return rest
    if kind == b":":
        return int(rest)
    if kind == b"$":
        return None if rest == "-1" else file.read(int(rest) + 2)[:-2].decode(errors="replace")
    return None if rest == "-1" else [read_reply(file) for _ in range(int(rest))]


class Server:
    """One process. `words`: its arguments besides port and folder."""

    def __init__(self, folder, name, words=(), port=None, is_sentinel=False, tls=None, password=None):
        self.port, self.is_sentinel, self.tls = port or free_ports(1)[0], is_sentinel, tls
        self.password = password
        self.folder, self.words, self.process = os.path.join(folder, name), list(words), None
        self.path = os.path.join(self.folder, "socket")
        os.makedirs(self.folder, exist_ok=True)
        self.start()

    def start(self):
        if PROGRAM is None:
            raise Unavailable("neither redis-server nor valkey-server is installed")
        ports = ["--port", "0", "--tls-port", str(self.port), *self.tls] if self.tls else ["--port", str(self.port)]
        program = PROGRAM
        if PROGRAM == "redis-check-rdb":
            program = os.path.join(self.folder, "redis-server")
            if not os.path.lexists(program):
                os.symlink(shutil.which(PROGRAM), program)
        if self.is_sentinel:
            command = [program, os.path.join(self.folder, "sentinel.conf"), "--sentinel", *ports]
        else:
            command = [program, *ports, "--bind", "127.0.0.1", "--save", "", "--unixsocket", self.path, *self.words]
        command += ["--dir", self.folder, "--unixsocket", self.path]
        with open(os.path.join(self.folder, "log"), "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            preexec_fn=die_with_starter)
        wait_until(self._answers, f"{self.folder} to answer", START_S)

    def _answers(self):
        if self.process.poll() is not None:
            with open(os.path.join(self.folder, "log"), encoding="utf-8", errors="replace") as log:
                raise AssertionError(f"{PROGRAM} ended at once: {log.read()[-2000:]}")
        try:
            return self.ask("PING") in ("PONG", None)
        except RuntimeError as error:
            return str(error).startswith(("NOAUTH", "LOADING", "NOPERM"))
        except OSError:
            return False

    def ask(self, *words, timeout=5.0):
        return talk(self.port, *words, path=self.path, timeout=timeout, password=self.password)

    def signal(self, number):
        os.kill(self.process.pid, number)

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()


class Group:
    """Servers in a folder of their own; `url` is where the store is."""

    ca = None

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="fb-redis-")
        self.servers = []

    def server(self, name, **more):
        server = Server(self.folder, name, **more)
        self.servers.append(server)
        return server

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        for server in self.servers:
            server.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


class Single(Group):
    def __init__(self, words=()):
        super().__init__()
        try:
            self.primary = self.server("one", words=words)
        except BaseException:
            self.stop()
            raise
        self.url = f"redis://127.0.0.1:{self.primary.port}"


def make_certificates(folder):
    """An authority, and a certificate of 127.0.0.1 that it has signed: (ca, cert, key)."""
    ca, key, cert = (os.path.join(folder, name) for name in ("ca.crt", "server.key", "server.crt"))
    request, ca_key, extra = (os.path.join(folder, name) for name in ("server.csr", "ca.key", "extra"))
    with open(extra, "w", encoding="ascii") as file:
        file.write("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
    for command in (
            ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", ca_key, "-out", ca, "-days", "2", "-subj",
             "/CN=test authority"],
            ["req", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", request, "-subj", "/CN=localhost"],
            ["x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca_key, "-CAcreateserial", "-out", cert, "-days", "2",
             "-extfile", extra]):
        subprocess.run(["openssl", *command], check=True, capture_output=True)
    return ca, cert, key


class Tls(Group):
    """One server that speaks TLS only, with a password and a user who may do what a store needs."""

    PASSWORD = "s3cret"
    ACL = ["~*", "&*", "-@all", "+@read", "+@write", "+@scripting", "+@connection", "+info", "+time", "+role"]

    def __init__(self):
        super().__init__()
        try:
            self.ca, cert, key = make_certificates(self.folder)
            tls = ["--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", self.ca, "--tls-auth-clients",
                   "no"]
            self.primary = self.server("tls", tls=tls)
            self.primary.ask("ACL", "SETUSER", "forebay", "on", ">" + self.PASSWORD, *self.ACL)
            self.primary.ask("ACL", "SETUSER", "default", "off")
        except BaseException:
            self.stop()
            raise
        self.url = f"rediss://forebay:{self.PASSWORD}@127.0.0.1:{self.primary.port}/2"


class Sentinels(Group):
    """A primary, a replica, and three Sentinels that call them `shop`; `down_ms` is how soon they find it dead. Guarded:
    the servers and the Sentinels have passwords of their own."""

    PASSWORD, SENTINEL_PASSWORD = "s3cret", "g4te"

    CONF = """port {port}
sentinel monitor shop 127.0.0.1 {primary} 2
sentinel down-after-milliseconds shop {down_ms}
sentinel failover-timeout shop 3000
sentinel parallel-syncs shop 1
"""

    def __init__(self, down_ms=PATIENT_MS, words=(), is_guarded=False):
        super().__init__()
        self.is_guarded, password = is_guarded, self.PASSWORD if is_guarded else None
        try:
            # What a replica missed is asked of the primary's backlog; both are quick to notice each other.
            common = ["--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1", *words]
            if is_guarded:
                common += ["--requirepass", password, "--masterauth", password]
            self.data = [self.server("a", words=common, password=password)]
            self.data.append(self.server("b", words=[*common, "--replicaof", "127.0.0.1", str(self.data[0].port)],
                                         password=password))
            wait_until(lambda: "slave0" in self.data[0].ask("INFO", "replication"), "the replica", START_S)
            self.sentinels = [self._sentinel(i, down_ms) for i in range(3)]
            wait_until(lambda: all(self._knows_all(s) for s in self.sentinels), "the Sentinels to know each other",
                       START_S)
        except BaseException:
            self.stop()
            raise
        addresses = ",".join(f"127.0.0.1:{s.port}" for s in self.sentinels)
        self.url = f"sentinel://{addresses}/shop"
        self.url_with_passwords = (f"sentinel://:{self.PASSWORD}@{addresses}/shop?sentinel_password="
                                   f"{self.SENTINEL_PASSWORD}") if is_guarded else self.url

    def _sentinel(self, i, down_ms):
        port = free_ports(1)[0]
        folder = os.path.join(self.folder, f"sentinel{i}")
        os.makedirs(folder)
        with open(os.path.join(folder, "sentinel.conf"), "w", encoding="ascii") as file:
            file.write(self.CONF.format(port=port, primary=self.data[0].port, down_ms=down_ms))
            if self.is_guarded:
                file.write(f"sentinel auth-pass shop {self.PASSWORD}\nrequirepass {self.SENTINEL_PASSWORD}\n"
                           f"sentinel sentinel-pass {self.SENTINEL_PASSWORD}\n")
        return self.server(f"sentinel{i}", port=port, is_sentinel=True,
                           password=self.SENTINEL_PASSWORD if self.is_guarded else None)

    @staticmethod
    def _knows_all(sentinel):
        words = sentinel.ask("SENTINEL", "MASTER", "shop")
        facts = dict(zip(words[::2], words[1::2]))
        return facts["num-other-sentinels"] == "2" and facts["num-slaves"] == "1"

    def primary(self):
        """The server that most Sentinels name."""
        ports = [int(s.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "shop")[1]) for s in self.sentinels]
        [port] = {port for port in ports if ports.count(port) > 1}
        return next(s for s in self.data if s.port == port)


class Cluster(Group):
    """Three primaries with a replica each."""

    def __init__(self, timeout_ms=PATIENT_MS, words=()):
        super().__init__()
        try:
            ports = free_ports(12)
            self.nodes = []
            for i in range(6):
                own = ["--cluster-enabled", "yes", "--cluster-node-timeout", str(timeout_ms), "--cluster-port",
                       str(ports[6 + i]), "--cluster-config-file", "nodes.conf", "--repl-diskless-sync-delay", "0",
                       "--cluster-replica-validity-factor", "0", *words]
                self.nodes.append(self.server(f"node{i}", words=own, port=ports[i]))
            self._form(ports)
        except BaseException:
            self.stop()
            raise
        self.url = "cluster://" + ",".join(f"127.0.0.1:{n.port}" for n in self.nodes[:3])

    def _form(self, ports):
        for i, node in enumerate(self.nodes):
            node.id = node.ask("CLUSTER", "MYID")
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", i + 1)
            if i < 3:
                node.ask("CLUSTER", "ADDSLOTSRANGE", SLOTS * i // 3, SLOTS * (i + 1) // 3 - 1)
            if i > 0:
                node.ask("CLUSTER", "MEET", "127.0.0.1", ports[0], ports[6])
        wait_until(lambda: all(n.ask("CLUSTER", "INFO").count("cluster_known_nodes:6") for n in self.nodes),
                   "the nodes to meet", CLUSTER_S)
        for i in range(3):
            wait_until(lambda i=i: self.nodes[3 + i].ask("CLUSTER", "REPLICATE", self.nodes[i].id) == "OK",
                       "a replica", CLUSTER_S)
        wait_until(lambda: all("cluster_state:ok" in n.ask("CLUSTER", "INFO") for n in self.nodes), "the Cluster",
                   CLUSTER_S)
        wait_until(lambda: all("master_link_status:up" in n.ask("INFO", "replication") for n in self.nodes[3:]),
                   "the replicas", CLUSTER_S)
        wait_until(self._agree, "the primaries to agree", CLUSTER_S)

    def owner(self, slot):
        """The node that says of itself that it serves a slot: what others say of it may be from before a moment ago. Where
        nobody does, as between a death and what comes of it, the one that a node that is alive names."""
        named = None
        for node in self.nodes:
            if node.process.poll() is not None:
                continue
            for first, last, (_, port, *_), *_ in node.ask("CLUSTER", "SLOTS"):
                if first <= slot <= last and port == node.port:
                    return node
                if first <= slot <= last and named is None:
                    named = next(n for n in self.nodes if n.port == port)
        return named

    def _primaries(self):
        return [node for node in self.nodes
                if node.process.poll() is None and "role:master" in node.ask("INFO", "replication")]

    def _agree(self):
        """Do all primaries say the same of each primary: its configuration's epoch, and its slots?"""
        maps = set()
        for node in self._primaries():
            lines = [line.split() for line in node.ask("CLUSTER", "NODES").splitlines()]
            maps.add(frozenset((words[0], words[6], *(word for word in words[8:] if word[0] != "["))
                               for words in lines if "master" in words[2]))
        return len(maps) == 1

    def move(self, slot, source, target):
        """As redis-cli moves it; one move at a time, all primaries must have heard of the one before. Else the target may
        take an epoch that is below the source's, whose claim from before then counts: each names the other as the owner,
        neither does itself, and nothing in Redis mends that."""
        target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", source.id)
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", target.id)
        while True:
            keys = source.ask("CLUSTER", "GETKEYSINSLOT", slot, 10)
            if not keys:
                break
            source.ask("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
        for node in (target, source, *self._primaries()):
            node.ask("CLUSTER", "SETSLOT", slot, "NODE", target.id)
        wait_until(self._agree, "the primaries to agree on a move", CLUSTER_S)


class Guarded(Sentinels):
    def __init__(self, **more):
        super().__init__(is_guarded=True, **more)


KINDS = {"single": Single, "tls": Tls, "sentinel": Sentinels, "guarded": Guarded, "cluster": Cluster}


def main():
    if len(sys.argv) < 5 or sys.argv[1] != "run" or sys.argv[2] not in KINDS or sys.argv[3] != "--":
        sys.exit(__doc__)
    with KINDS[sys.argv[2]]() as group:
        env = dict(os.environ, FOREBAY_TEST_STORE=group.url, FOREBAY_TEST_STORE_CA=group.ca or "")
        sys.exit(subprocess.run(sys.argv[4:], env=env, check=False).returncode)


if __name__ == "__main__":
    main()
