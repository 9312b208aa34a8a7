"""Shows TLS with certificates made by the openssl program: the clients people have, certificates of clients, handshakes
that do not end, many connections coming and going, and what is said when the files are wrong."""

import os
import re
import signal
import socket
import ssl
import struct
import subprocess
import threading

import pytest

from conftest import FOREBAY, clean_environment, to_yaml, wait_until
from resp import Closed, ReplyError, Wire, encode

HANDSHAKE_S = 5
PATIENCE_S = 60.0
BIG = 3_000_000  # bytes; many records of TLS, several reads and writes


def openssl(*words, **more):
    subprocess.run(["openssl", *words], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **more)


class Certificates:
    def __init__(self, folder):
        self.folder = folder
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                "-subj", "/CN=authority", "-keyout", self.path("ca.key"), "-out", self.path("ca.crt"))
        self.make("server")
        self.make("client")

    def path(self, name):
        return os.path.join(self.folder, name)

    def make(self, name):
        """NAME.crt and NAME.key, signed; made anew when they are there."""
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={name}",
                "-keyout", self.path(f"{name}.key"), "-out", self.path(f"{name}.csr"))
        with open(self.path("names"), "w", encoding="ascii") as file:
            file.write("subjectAltName=IP:127.0.0.1\n")
        openssl("x509", "-req", "-in", self.path(f"{name}.csr"), "-CA", self.path("ca.crt"), "-CAkey",
                self.path("ca.key"), "-CAcreateserial", "-days", "2", "-extfile", self.path("names"), "-out",
                self.path(f"{name}.crt"))
        os.chmod(self.path(f"{name}.key"), 0o600)

    def context(self, with_client=False, newest=None):
        context = ssl.create_default_context(cafile=self.path("ca.crt"))
        if with_client:
            context.load_cert_chain(self.path("client.crt"), self.path("client.key"))
        if newest:
            context.maximum_version = newest
        return context

    def settings(self, **more):
        return {"tls_listen": "127.0.0.1:0", "tls_cert": self.path("server.crt"), "tls_key": self.path("server.key"),
                "tls_ca": self.path("ca.crt"), **more}


@pytest.fixture
def certificates(tmp_path):
    return Certificates(str(tmp_path))


class TlsWire(Wire):
    def __init__(self, port, context, timeout=PATIENCE_S):
        super().__init__("127.0.0.1", port, timeout=timeout)
        self.socket = context.wrap_socket(self.socket, server_hostname="127.0.0.1")


@pytest.fixture
def serve(forebay, database, certificates):
    """serve(setting=value, …) starts a server with TLS; .tls_port is where."""
    path = database("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1, 'one');")

    def start(**settings):
        server = forebay({"server": certificates.settings(**settings), "sources": {"shop": {"url": f"sqlite:{path}"}},
                          "keyspaces": {"t:{id:int}": {"table": "t", "as": "column:v", "write": "write-through"}}})
        server.tls_port = int(re.search(r"TLS on port (\d+)", server.log()).group(1))
        return server
    return start


def is_refused(port, context):
    """A client whose handshake, or whose first read after it (TLS 1.3), fails."""
    try:
        with TlsWire(port, context) as wire:
            wire.ask("PING")
    except (ssl.SSLError, ConnectionError, Closed):
        return True
    return False


# ---- clients


@pytest.mark.short
def test_requests_and_replies_of_all_sizes_come_through(serve, certificates):
    server = serve()
    for newest in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        with TlsWire(server.tls_port, certificates.context(newest=newest)) as wire:
            assert wire.socket.version() == ("TLSv1.2" if newest == ssl.TLSVersion.TLSv1_2 else "TLSv1.3")
            assert wire.ask("GET", "t:1") == b"one"
            for size in (0, 1, 16383, 16384, 16385, 65536, 65537, BIG):
                text = bytes(size % 251 for _ in range(1)) * size
                assert wire.ask("ECHO", text) == text
            assert wire.pipeline([("GET", "t:1")] * 5000) == [b"one"] * 5000


def test_replies_wait_for_a_slow_reader(serve, certificates):
    server = serve()
    with TlsWire(server.tls_port, certificates.context()) as slow, server.wire() as bystander:
        text = b"x" * 1_000_000
        slow.send(encode("ECHO", text) * 10)  # more than the sockets take, less than the limit
        assert bystander.ask("PING") == "PONG"
        assert [slow.read() for _ in range(10)] == [text] * 10


def test_single_bytes_make_requests(serve, certificates):
    server = serve()
    with TlsWire(server.tls_port, certificates.context()) as wire:
        for byte in encode("GET", "t:1"):
            wire.send(bytes([byte]))  # a record each
        assert wire.read() == b"one"


def test_redis_cli_speaks_it(serve, certificates):
    server = serve()
    def run(*words):
        return subprocess.run(["redis-cli", "--tls", "--cacert", certificates.path("ca.crt"), "-p",
                               str(server.tls_port), *words], capture_output=True, text=True, timeout=PATIENCE_S)
    assert run("SET", "t:2", "two").stdout == "OK\n"
    assert run("GET", "t:2").stdout == "two\n"
    assert run("-3", "HGETALL", "nothing").stdout.startswith(("NOMAP", "\n", "(error) NOMAP"))
    unknown = subprocess.run(["redis-cli", "--tls", "-p", str(server.tls_port), "PING"], capture_output=True, text=True,
                             timeout=PATIENCE_S)
    assert "SSL" in unknown.stderr + unknown.stdout  # it does not know our authority


def test_python_redis_speaks_it(serve, certificates):
    redis = pytest.importorskip("redis")
    server = serve()
    client = redis.Redis(port=server.tls_port, ssl=True, ssl_ca_certs=certificates.path("ca.crt"))
    assert client.set("t:3", "three")
    assert client.get("t:3") == b"three"
    with client.pipeline(transaction=False) as pipe:
        for _ in range(1000):
            pipe.get("t:3")
        assert pipe.execute() == [b"three"] * 1000
    client.close()


def test_the_end_is_said(serve, certificates):
    """With a close_notify, so that a client can tell an end from a cut."""
    server = serve()
    context = certificates.context()
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    with TlsWire(server.tls_port, context) as wire:
        assert wire.ask("QUIT") == "OK"
        assert wire.socket.recv(100) == b""  # else: ssl.SSLEOFError


# ---- certificates of clients


def test_required_certificates_are_required(serve, certificates):
    server = serve(tls_clients="required")
    assert is_refused(server.tls_port, certificates.context())
    with TlsWire(server.tls_port, certificates.context(with_client=True)) as wire:
        assert wire.ask("GET", "t:1") == b"one"
    assert "client.refused" in server.log()


def test_optional_certificates_are_checked(serve, certificates, tmp_path):
    server = serve(tls_clients="optional")
    for with_client in (False, True):
        with TlsWire(server.tls_port, certificates.context(with_client=with_client)) as wire:
            assert wire.ask("GET", "t:1") == b"one"
    (tmp_path / "other").mkdir()
    stranger = Certificates(str(tmp_path / "other"))
    context = certificates.context()
    context.load_cert_chain(stranger.path("client.crt"), stranger.path("client.key"))
    assert is_refused(server.tls_port, context)


def test_the_oldest_version_can_be_chosen(serve, certificates):
    server = serve(tls_min="1.3")
    assert is_refused(server.tls_port, certificates.context(newest=ssl.TLSVersion.TLSv1_2))
    with TlsWire(server.tls_port, certificates.context()) as wire:
        assert wire.socket.version() == "TLSv1.3"
        assert wire.ask("PING") == "PONG"


def test_a_password_is_asked_through_tls_too(serve, certificates, tmp_path):
    secret = tmp_path / "secret"
    secret.touch(mode=0o600)
    secret.write_text("secret")
    server = serve(password=f"file:{secret}")
    with TlsWire(server.tls_port, certificates.context()) as wire:
        assert wire.ask("GET", "t:1").word == "NOAUTH"
        assert wire.ask("AUTH", "secret") == "OK"
        assert wire.ask("GET", "t:1") == b"one"


# ---- who does not play along


@pytest.mark.short
def test_handshakes_must_end(serve, certificates):
    """Silent ones, one that stops in the middle of its hello, and one that says something else."""
    server = serve()
    halves = [socket.create_connection(("127.0.0.1", server.tls_port), timeout=PATIENCE_S) for _ in range(40)]
    for number, half in enumerate(halves):
        half.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[:number % 12])
    with TlsWire(server.tls_port, certificates.context()) as wire:
        assert wire.ask("GET", "t:1") == b"one"  # others are served meanwhile
        for half in halves:
            try:
                assert half.recv(100)[:1] in (b"", b"\x15")  # the end, perhaps with an alert before
            except ConnectionResetError:
                pass
            half.close()
        assert wire.ask("GET", "t:1") == b"one"
    with socket.create_connection(("127.0.0.1", server.tls_port), timeout=PATIENCE_S) as plain:
        plain.sendall(b"PING\r\n")
        try:
            assert b"PONG" not in plain.recv(100)
        except ConnectionResetError:
            pass
    assert int(server.info("stats")["stats"]["tls_handshake_disconnections"]) >= 30


def test_handshakes_take_a_quarter_of_the_places_at_most(serve, certificates):
    server = serve(clients_max=16)
    halves = [socket.create_connection(("127.0.0.1", server.tls_port), timeout=PATIENCE_S) for _ in range(5)]
    one_more = socket.create_connection(("127.0.0.1", server.tls_port), timeout=PATIENCE_S)
    assert one_more.recv(100) == b""
    with server.wire() as plain:
        assert plain.ask("PING") == "PONG"
    for half in halves:
        half.close()
    wait_until(lambda: not is_refused(server.tls_port, certificates.context()), "a place for a handshake")
    one_more.close()


def visit(port, context, number, errors):
    try:
        for turn in range(5):
            with TlsWire(port, context) as wire:
                text = bytes([number % 256]) * (1 + number * 331 % 40000)
                assert wire.ask("ECHO", text) == text
                assert wire.ask("GET", "t:1") == b"one"
                if (number + turn) % 3 == 0:  # gone in the middle of a reply, with a reset
                    wire.send(encode("ECHO", b"y" * 200000) * 3)
                    wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                elif (number + turn) % 3 == 1:
                    assert wire.ask("QUIT") == "OK"
    except Exception as error:  # reported by the test's own thread
        errors.append(f"{number}: {error!r}")


@pytest.mark.short
def test_200_clients_come_and_go(serve, certificates):
    server = serve()
    context, errors = certificates.context(), []
    threads = [threading.Thread(target=visit, args=(server.tls_port, context, number, errors)) for number in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors, errors[:5]
    wait_until(lambda: server.info("clients")["clients"]["connected_clients"] == "1", "all of them to be gone")


# ---- files


def test_a_new_certificate_is_taken_over(serve, certificates):
    server = serve()

    def serial():
        with TlsWire(server.tls_port, certificates.context()) as wire:
            assert wire.ask("PING") == "PONG"
            return wire.socket.getpeercert()["serialNumber"]
    old = serial()
    with TlsWire(server.tls_port, certificates.context()) as wire:
        certificates.make("server")
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: serial() != old, "the new certificate")
        assert wire.ask("GET", "t:1") == b"one"  # those that are there go on


WRONG = [
    ("missing certificate", {"tls_cert": "/nowhere/server.crt"}, r"tls_cert /nowhere/server.crt: No such file"),
    ("certificate that is none", {"tls_cert": "{ca_key}"}, r"tls_cert \S*ca.key: "),
    ("missing key", {"tls_key": "/nowhere/server.key"}, r"tls_key /nowhere/server.key: No such file"),
    ("key of another", {"tls_key": "{client_key}"}, r"tls_key \S*client.key: key values mismatch"),
    ("key for all to read", {"tls_key": "{open_key}"}, r"tls_key \S*open.key: others than its owner may read"),
    ("no authority", {"tls_clients": "required", "tls_ca": "/nowhere/ca.crt"}, r"tls_ca /nowhere/ca.crt: No such file"),
    ("no address", {"tls_listen": "nonsense"}, r"nonsense"),
]


@pytest.mark.parametrize("name,settings,text", WRONG, ids=[row[0] for row in WRONG])
def test_what_is_wrong_with_a_file_is_said(database, certificates, tmp_path, name, settings, text):
    path = database("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT);")
    with open(certificates.path("open.key"), "wb") as file, open(certificates.path("server.key"), "rb") as key:
        file.write(key.read())
    os.chmod(certificates.path("open.key"), 0o644)
    names = {"ca_key": certificates.path("ca.key"), "client_key": certificates.path("client.key"),
             "open_key": certificates.path("open.key")}
    settings = {key: value.format(**names) for key, value in settings.items()}
    config = tmp_path / "wrong.yaml"
    config.write_text(to_yaml({"server": {"listen": "127.0.0.1:0", "admin": "off", **certificates.settings(**settings)},
                               "sources": {"shop": {"url": f"sqlite:{path}"}},
                               "keyspaces": {"t:{id:int}": {"table": "t", "as": "column:v"}}}) + "\n")
    for command in ("serve", "check"):
        done = subprocess.run([FOREBAY, command, "-c", str(config)], capture_output=True, text=True, timeout=PATIENCE_S,
                              env=clean_environment())
        assert done.returncode == 78, done.stderr
        assert re.search(text, done.stderr), done.stderr


def test_tls_alone_keeps_nobody_out(forebay, database, certificates, tmp_path):
    """Protected mode: an address that others reach needs a password or clients' certificates."""
    path = database("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT);")
    def config(**more):
        return {"server": certificates.settings(tls_listen="0.0.0.0:0", **more),
                "sources": {"shop": {"url": f"sqlite:{path}"}}, "keyspaces": {"t:{id:int}": {"table": "t", "as": "json"}}}
    refused = tmp_path / "refused.yaml"
    refused.write_text(to_yaml(config(listen="127.0.0.1:0", admin="off")) + "\n")
    done = subprocess.run([FOREBAY, "serve", "-c", str(refused)], capture_output=True, text=True, timeout=PATIENCE_S,
                          env=clean_environment())
    assert done.returncode == 78 and "can be reached from other machines" in done.stderr, done.stderr
    server = forebay(config(tls_clients="required"))
    assert "TLS on port" in server.log()
