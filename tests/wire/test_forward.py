"""Shows that clients of any Forebay are served, whichever of them owns the write-behind of a source: writes and reads are
passed on to the owner and answered in order with its answers, counters written through all of them come out exactly, an
owner that dies costs nothing that was acknowledged, and what turns around when another takes over is the forwarding. And
that it is safe: nothing goes in circles, a wrong password is told, and what may have happened is not done twice."""

import contextlib
import hashlib
import os
import socket
import threading

import pytest

from conftest import Forebay, free_port, wait_until
from resp import Closed, encode
from test_tls import Certificates

SCHEMA = """
CREATE TABLE t(id {int} PRIMARY KEY, n {int}, name {text});
CREATE TABLE docs(id {int} PRIMARY KEY, title {text});
CREATE TABLE through(id {int} PRIMARY KEY, n {int});
"""
LATER = "1h"
FIELDS = (0, 1, 2)  # of a row that nobody has read none is counted


class Houses:
    """Forebays over one database, each with a journal and a port that it keeps. The first to start is the owner."""

    def __init__(self, started, folder, database, interval="50ms", store=None, server=None):
        self.started, self.folder, self.database = started, folder, database
        behind = {"source": "db", "write": "write-behind", "flush_interval": interval, "on_del": "delete-row"}
        self.config = {
            "server": {"threads": 2, "drain_timeout": "10s", **(server or {})},
            "sources": {"db": database.source()},
            "keyspaces": {"t:{id:int}": {**behind, "table": "t", "as": "hash"},
                          "d:{id:int}": {**behind, "table": "docs"},
                          "w:{id:int}": {"source": "db", "table": "through", "as": "hash", "write": "write-through"}}}
        if store is not None:
            self.config["store"] = {"url": f"redis://127.0.0.1:{store.port}/0"}
        self.ports, self.servers = [], []

    def start(self, index=None, **server):
        """A new one, or one that was there before."""
        if index is None:
            index = len(self.ports)
            self.ports.append(free_port())
            self.servers.append(None)
        own = {"listen": f"127.0.0.1:{self.ports[index]}", "journal_dir": os.path.join(self.folder, f"journal-{index}")}
        config = {**self.config, "server": {**self.config["server"], **own, **server}}
        self.servers[index] = Forebay(self.started, config, self.folder)
        return self.servers[index]

    def figure(self, index, name):
        return int(self.servers[index].info("forebay")["forebay"][name])

    def is_owner(self, index):
        line = self.servers[index].info("forebay_write_behind")["forebay_write_behind"]["behind_db"]
        return dict(part.split("=", 1) for part in line.split(","))["state"] == "owner"

    def n(self, id):
        rows = self.database.rows("SELECT n FROM t WHERE id = %s", id)
        return rows[0]["n"] if rows else None


@pytest.fixture
def houses(world, processes, tmp_path):
    """On each kind of database."""
    return lambda **more: Houses(processes, str(tmp_path), world(SCHEMA), **more)


@pytest.fixture
def lite(make_database, processes, tmp_path):
    return lambda **more: Houses(processes, str(tmp_path), make_database("sqlite").make(SCHEMA), **more)


@pytest.mark.short
def test_clients_of_any_are_served(houses):
    it = houses()
    owner, other = it.start(), it.start()
    with owner.wire(timeout=20) as first, other.wire(timeout=20) as second:
        assert second.ask("HSET", "t:1", "n", 7, "name", "x") in FIELDS
        assert first.ask("HGET", "t:1", "n") == b"7"
        assert second.ask("HGETALL", "t:1") == [b"id", b"1", b"n", b"7", b"name", b"x"]
        assert first.ask("HINCRBY", "t:1", "n", 1) == 8 and second.ask("HINCRBY", "t:1", "n", 1) == 9
        assert second.ask("HGET", "t:1", "n") == b"9" and first.ask("HGET", "t:1", "n") == b"9"
        assert second.ask("DEL", "t:1") == 1 and first.ask("EXISTS", "t:1") == 0 and second.ask("EXISTS", "t:1") == 0
        assert second.ask("SET", "d:1", '{"title":"one"}') == "OK" and second.ask("GET", "d:1") == b'{"id":1,"title":"one"}'
        assert second.ask("HSET", "w:1", "n", 1) in FIELDS and second.ask("HGET", "w:1", "n") == b"1"  # nobody's but its own
        assert second.ask("HSET", "t:1", "n", "no number").word == first.ask("HSET", "t:1", "n", "no number").word
        assert second.ask("HGET", "d:1", "title") == first.ask("HGET", "d:1", "title")  # WRONGTYPE from both
    assert it.figure(1, "forwarded") >= 9 and it.figure(0, "forwarded") == 0 and it.figure(1, "forward_errors") == 0


@pytest.mark.short
def test_a_pipeline_keeps_its_order(lite):
    it = lite(interval=LATER)
    it.start()
    with it.start().wire(timeout=30) as wire:
        got = wire.pipeline([("HINCRBY", "t:1", "n", 1) for _ in range(300)])
        assert got == list(range(1, 301))
        got = wire.pipeline([("HSET", "t:2", "n", 1), ("HGET", "t:2", "n"), ("HSET", "w:2", "n", 2), ("HGET", "w:2", "n"),
                             ("HSET", "t:2", "n", 3), ("PING",), ("HGET", "t:2", "n"), ("DEL", "t:2"), ("HGET", "t:2", "n")])
        assert [got[i] for i in (1, 3, 5, 6, 7, 8)] == [b"1", b"2", "PONG", b"3", 1, None]


def test_both_protocols_and_long_values(lite):
    it = lite()
    it.start()
    with it.start().wire(timeout=30) as wire:
        long = "x" * 3_000_000
        assert wire.ask("HSET", "t:1", "n", 1, "name", long) in FIELDS
        assert wire.ask("HGET", "t:1", "name") == long.encode()
        wire.ask("HELLO", 3)
        assert wire.ask("HGETALL", "t:1")["n"] == b"1" and wire.ask("HGET", "t:9", "n") is None
        wire.ask("HELLO", 2)
        assert isinstance(wire.ask("HGETALL", "t:1"), list)


def count(server, key, times, done):
    with server.wire(timeout=30) as wire:
        for _ in range(times // 10):
            done.extend(wire.pipeline([("HINCRBY", key, "n", 1)] * 10))


@pytest.mark.parametrize("is_shared", [False, True])
def test_counters_from_all_at_once_are_exact(houses, redis_server, is_shared):
    it = houses(store=redis_server() if is_shared else None)
    servers = [it.start() for _ in range(3)]
    done, threads = [], []
    for server in servers:
        threads += [threading.Thread(target=count, args=(server, "t:1", 100, done)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == list(range(1, 601))
    for server in servers:
        with server.wire() as wire:
            assert wire.ask("HGET", "t:1", "n") == b"600"
    wait_until(lambda: it.n(1) == 600, "the database to have it", 20)


class Held:
    """Stands before a Redis, and keeps what it tells of changes back until it is let go."""

    def __init__(self, target):
        self.target, self.is_free = target, threading.Event()
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                client, server = self.socket.accept()[0], socket.create_connection(("127.0.0.1", self.target))
                for pair in ((client, server, False), (server, client, True)):
                    threading.Thread(target=self.pump, args=pair, daemon=True).start()

    def pump(self, source, sink, may_hold):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if may_hold and b"invalidate" in data:
                    self.is_free.wait(10)
                sink.sendall(data)
            sink.shutdown(socket.SHUT_RDWR)


@pytest.mark.short
def test_own_writes_are_read_through_a_shared_store(lite, redis_server):
    """Also while the news of the change is still on its way."""
    it = lite(store=redis_server(), interval=LATER)
    owner = it.start()
    held = Held(int(it.config["store"]["url"].split(":")[2].split("/")[0]))
    held.is_free.set()
    it.config["store"]["url"] = f"redis://127.0.0.1:{held.port}/0"
    with owner.wire(timeout=20) as first, it.start().wire(timeout=20) as second:
        for n in range(20):
            held.is_free.clear()
            got = second.pipeline([("HSET", "t:1", "n", n), ("HGET", "t:1", "n")])
            assert got[1] == b"%d" % n  # not the copy that was kept of the one before
            held.is_free.set()
            assert second.pipeline([("HGET", "t:1", "n")] * 3) == [b"%d" % n] * 3
        assert first.ask("HGET", "t:1", "n") == b"19"
    held.socket.close()


def test_reads_are_answered_by_the_store(lite, redis_server):
    it = lite(store=redis_server(), interval=LATER)
    it.start()
    with it.start().wire(timeout=20) as wire:
        assert wire.ask("HSET", "t:1", "n", 1) in FIELDS
        before = it.figure(1, "forwarded")
        assert [wire.ask("HGET", "t:1", "n") for _ in range(100)] == [b"1"] * 100
        assert it.figure(1, "forwarded") - before < 10


def test_an_owner_that_is_not_there(lite):
    it = lite(interval=LATER)
    owner, other = it.start(), it.start()
    with other.wire(timeout=20) as wire:
        assert wire.ask("HSET", "t:1", "n", 1) in FIELDS
        owner.kill()
        for words in (("HSET", "t:1", "n", 2), ("HGET", "t:1", "n"), ("DEL", "t:1")):
            answer = wait_until(lambda words=words: wire.ask(*words), "an answer")
            assert answer.word in ("NOTOWNER", "UNKNOWN"), answer
        assert wire.ask("HGET", "w:1", "n") is None  # its own go on
        assert it.figure(1, "forward_errors") > 0
        it.start(0)
        wait_until(lambda: wire.ask("HGET", "t:1", "n") == b"1", "the owner to be found again", 20)
        assert wire.ask("HINCRBY", "t:1", "n", 1) == 2


def test_when_another_takes_over_the_forwarding_turns_around(houses):
    it = houses()
    first, second = it.start(), it.start()
    with second.wire(timeout=20) as wire:
        assert wire.ask("HSET", "t:1", "n", 1) in FIELDS
        assert first.stop() == 0
        wait_until(lambda: it.is_owner(1), "the second to take over", 20)
        assert wire.ask("HINCRBY", "t:1", "n", 1) == 2
        with it.start(0).wire(timeout=20) as back:
            assert back.ask("HINCRBY", "t:1", "n", 1) == 3 and wire.ask("HGET", "t:1", "n") == b"3"
            assert back.ask("HGET", "t:1", "n") == b"3"
    assert it.figure(0, "forwarded") == 2


@pytest.mark.short
def test_nothing_goes_in_circles(lite):
    it = lite()
    port = free_port()
    it.start(journal_address=f"127.0.0.1:{port}")  # the owner names an address that is another's, who names it again
    it.ports.append(port)
    it.servers.append(None)
    with it.start(1).wire(timeout=20) as wire:
        said = f"NOTOWNER another Forebay took this one for the owner of these rows, which is 127.0.0.1:{port}"
        commands = (("HSET", "t:1", "n", 1), ("HGET", "t:1", "n"), ("MGET", "d:1", "w:1"), ("DEL", "t:1"))
        assert [wire.ask(*words).text for words in commands] == [said] * 4
        assert it.figure(1, "forwarded") == 4
        assert wire.pipeline([("MULTI",), ("HSET", "t:1", "n", 1), ("EXEC",)])[2].word == "EXECABORT"
        assert wire.ask("FB.PEER") == "OK" and wire.ask("HGET", "t:1", "n").text == said
        assert wire.ask("HGET", "w:1", "n") is None


def secret(folder, text):
    path = os.path.join(str(folder), text)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    return f"file:{path}"


def test_passwords(lite, tmp_path):
    it = lite(server={"password": secret(tmp_path, "one")})
    it.start()
    same, wrong = it.start(), it.start(forward_password=secret(tmp_path, "two"))
    with same.wire(timeout=20) as wire:
        assert wire.ask("AUTH", "one") == "OK" and wire.ask("HSET", "t:1", "n", 1) in FIELDS
    with wrong.wire(timeout=20) as wire:
        assert wire.ask("AUTH", "one") == "OK"
        text = wire.ask("HSET", "t:1", "n", 2).text
        assert text.startswith("NOTOWNER the Forebay that owns these rows cannot be asked: ") and "WRONGPASS" in text, text


class Impostor:
    """Listens where the owner says it does, greets like one, and answers what is asked with what it is told, or leaves."""

    def __init__(self, answer=None):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.socket.getsockname()[1]
        self.answer, self.asked = answer, []
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                client = self.socket.accept()[0]
                with client, client.makefile("rb") as lines:
                    self.serve(client, lines)

    def serve(self, client, lines):
        for head in lines:
            words = []
            for _ in range(int(head[1:])):
                words.append(lines.read(int(lines.readline()[1:]) + 2)[:-2])
            if words[0] in (b"FB.PEER", b"CLIENT", b"HELLO", b"AUTH"):
                client.sendall(b"+OK\r\n")
                continue
            self.asked.append(words)
            if self.answer is None:
                return
            client.sendall(self.answer)


@pytest.fixture
def impostor():
    made = []

    def make(answer=None):
        made.append(Impostor(answer))
        return made[-1]
    yield make
    for one in made:
        one.socket.close()


def test_what_may_have_happened_is_not_done_twice(lite, impostor):
    it, one = lite(), impostor()
    it.start(journal_address=one.address)
    with it.start().wire(timeout=20) as wire:
        text = wire.ask("HINCRBY", "t:1", "n", 1).text
        assert text.startswith("UNKNOWN the Forebay that owns these rows was lost before it answered: "), text
        assert wire.ask("HGET", "t:1", "n").word == "NOTOWNER"
        assert [words[0] for words in one.asked] == [b"HINCRBY", b"HGET"]


def test_a_transaction_that_is_lost(lite, impostor):
    it, one = lite(), impostor()
    it.start(journal_address=one.address)
    with it.start().wire(timeout=20) as wire:
        for _ in range(3):
            got = wire.pipeline([("MULTI",), ("HSET", "t:1", "n", 1), ("PING",), ("EXEC",), ("PING",)])
            assert got[:3] == ["OK", "QUEUED", "QUEUED"] and got[3].word == "UNKNOWN" and got[4] == "PONG", got
        assert wire.ask("WATCH", "t:1").word == "UNKNOWN"
        assert wire.pipeline([("MULTI",), ("PING",), ("EXEC",)])[2] == ["PONG"]
        assert wire.ask("WAIT", 1, 100).word == "UNKNOWN"


def test_an_owner_that_is_silent(lite, impostor):
    it, one = lite(), impostor(b"")
    it.start(journal_address=one.address)
    with it.start(forward_timeout="300ms").wire(timeout=20) as wire:
        assert "no answer within 300 ms" in wire.ask("HSET", "t:1", "n", 1).text
        assert wire.ask("PING") == "PONG"


def test_errors_are_the_owners(lite, impostor):
    it, one = lite(), impostor(b"-DIRTY source 'db' is full\r\n")
    it.start(journal_address=one.address)
    with it.start().wire(timeout=20) as wire:
        assert wire.ask("HSET", "t:1", "n", 1).text == "DIRTY source 'db' is full"
        assert [reply.word for reply in wire.pipeline([("HSET", f"t:{id}", "n", 1) for id in range(50)])] == ["DIRTY"] * 50


def test_users_of_both_are_looked_at(lite, tmp_path):
    users = os.path.join(str(tmp_path), "users.acl")
    with open(os.open(users, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as file:
        file.write("user default on nopass ~* &* +@all\n"
                   f"user reader on #{hashlib.sha256(b'r').hexdigest()} ~* +@read\n"
                   f"user peer on #{hashlib.sha256(b'peer').hexdigest()} ~t:* +@all\n")
    it = lite(server={"users_file": users})
    it.start()
    more = {"forward_user": "peer", "forward_password": secret(tmp_path, "peer")}
    with it.start(**more).wire(timeout=20) as wire:
        assert wire.ask("HSET", "t:1", "n", 1) in FIELDS
        assert wire.ask("SET", "d:1", "{}").word == "NOPERM"  # says the owner, of the user as whom it is asked
        assert wire.ask("AUTH", "reader", "r") == "OK" and wire.ask("HGET", "t:1", "n") == b"1"
        assert wire.ask("HSET", "t:1", "n", 2).word == "NOPERM"  # says this one
        assert it.figure(1, "forwarded") == 3


def test_an_owner_on_a_socket(lite, tmp_path):
    it = lite()
    path = os.path.join(str(tmp_path), "owner.sock")
    port = free_port()
    it.start(listen=[f"127.0.0.1:{port}", f"unix:{path}"], journal_address=f"unix:{path}")
    with it.start().wire(timeout=20) as wire:
        assert wire.ask("HSET", "t:1", "n", 1) in FIELDS and wire.ask("HGET", "t:1", "n") == b"1"


def test_an_owner_with_tls(lite, tmp_path):
    it, certificates, port = lite(), Certificates(str(tmp_path)), free_port()
    it.start(**certificates.settings(tls_listen=f"127.0.0.1:{port}"), journal_address=f"rediss://127.0.0.1:{port}")
    with it.start(forward_tls_ca=certificates.path("ca.crt")).wire(timeout=20) as wire:
        long = "x" * 1_000_000
        assert wire.ask("HSET", "t:1", "n", 1, "name", long) in FIELDS and wire.ask("HGET", "t:1", "name") == long.encode()
    with it.start().wire(timeout=20) as wire:
        text = wire.ask("HSET", "t:1", "n", 2).text
        assert text.startswith("NOTOWNER the Forebay that owns") and "certificate" in text, text


def test_it_can_be_switched_off(lite):
    it = lite(server={"forward": "false"})
    it.start()
    with it.start().wire(timeout=20) as wire:
        assert wire.ask("HSET", "t:1", "n", 1).text.startswith("NOTOWNER partition 'db' is owned by 127.0.0.1:")
        assert wire.ask("HGET", "t:1", "n") is None
    assert it.figure(1, "forwarded") == 0


def test_transactions(houses, redis_server):
    it = houses()
    owner, other = it.start(), it.start()
    with owner.wire(timeout=20) as first, other.wire(timeout=20) as second:
        def run(*commands):
            assert second.ask("MULTI") == "OK"
            assert [second.ask(*words) for words in commands] == ["QUEUED"] * len(commands)
            return second.ask("EXEC")
        assert run(("HSET", "t:1", "n", 1), ("PING",), ("HINCRBY", "t:1", "n", 1), ("HGET", "t:1", "n"))[1:] == ["PONG", 2, b"2"]
        assert first.ask("HGET", "t:1", "n") == b"2"
        assert run(("HGET", "t:1", "n"), ("EXISTS", "t:1"), ("HGET", "w:1", "n")) == [b"2", 1, None]  # nothing is written
        assert second.ask("WATCH", "t:1") == "OK"
        assert run(("HINCRBY", "t:1", "n", 1)) == [3]
        assert second.ask("WATCH", "t:1") == "OK"
        assert first.ask("HSET", "t:1", "n", 10) in FIELDS
        assert run(("HINCRBY", "t:1", "n", 1)) is None
        assert run(("HINCRBY", "t:1", "n", 1)) == [11]
        assert second.ask("WATCH", "t:1") == "OK" and second.ask("UNWATCH") == "OK"
        assert first.ask("HSET", "t:1", "n", 20) in FIELDS
        assert run(("HINCRBY", "t:1", "n", 1)) == [21]
        assert run(("HSET", "t:1", "n", "no number"), ("HSET", "t:1", "n", 5)).word == "EXECABORT"
        assert "written behind" in run(("HSET", "t:1", "n", 1), ("HSET", "w:1", "n", 1)).text
        assert second.ask("MSET", "d:1", '{"title":"a"}', "d:2", '{"title":"b"}') == "OK"
        assert first.ask("MGET", "d:1", "d:2") == second.ask("MGET", "d:1", "d:2")
        assert second.ask("WATCH", "t:1") == "OK"
        assert owner.stop() == 0
        wait_until(lambda: it.is_owner(1), "the second to take over", 20)
        assert run(("HINCRBY", "t:1", "n", 1)) is None  # nobody watched meanwhile
        assert run(("HINCRBY", "t:1", "n", 1)) == [22]


@pytest.mark.short
def test_transactions_with_a_shared_store(lite, redis_server):
    it = lite(store=redis_server())
    owner, other = it.start(), it.start()
    with owner.wire(timeout=20) as first, other.wire(timeout=20) as second:
        for n in range(20):
            assert second.ask("WATCH", "t:1") == "OK"
            assert second.pipeline([("MULTI",), ("HSET", "t:1", "n", n), ("EXEC",), ("HGET", "t:1", "n")])[3] == b"%d" % n
        assert second.ask("WATCH", "t:1") == "OK" and first.ask("HSET", "t:1", "n", 5) in FIELDS
        assert second.pipeline([("MULTI",), ("HSET", "t:1", "n", 1), ("EXEC",)])[2] is None
        assert second.pipeline([("MULTI",), ("SET", "x", 1), ("GET", "x"), ("EXEC",)])[3] == ["OK", b"1"]  # the store's
        assert second.ask("WATCH", "x") == "OK"
        assert second.ask("WATCH", "t:1").word == "ERR"
        second.ask("UNWATCH")
        assert second.ask("WATCH", "w:1") == "OK"
        assert second.ask("WATCH", "t:1").text == "ERR this transaction names rows that different Forebays own"
        second.ask("UNWATCH")
        second.ask("WATCH", "t:1")
        second.ask("MULTI")
        assert second.ask("SET", "x", 1).word == "ERR" and second.ask("EXEC").word == "EXECABORT"


@pytest.mark.short
def test_who_watches_reads_at_the_owner(lite, redis_server):
    """A copy of the other's may be older than what the owner has watched."""
    it = lite(store=redis_server())
    owner, other = it.start(), it.start()
    with owner.wire(timeout=20) as first, other.wire(timeout=20) as second:
        assert first.ask("HSET", "t:1", "n", 5) in FIELDS
        reads = [("HGET", "t:1", "n"), ("HGETALL", "t:1"), ("HMGET", "t:1", "n"), ("EXISTS", "t:1")]
        answers = [second.ask(*read) for read in reads]
        forwarded = it.figure(1, "forwarded")
        assert [second.ask(*read) for read in reads[:3]] == answers[:3]
        assert it.figure(1, "forwarded") == forwarded, "these were not cached"
        assert second.ask("WATCH", "t:1") == "OK"
        assert [second.ask(*read) for read in reads] == answers
        assert it.figure(1, "forwarded") == forwarded + len(reads)
        assert second.pipeline([("MULTI",), ("HSET", "t:1", "n", 6), ("EXEC",)])[2] == [0]
        assert second.ask("HGET", "t:1", "n") == b"6"
        assert second.pipeline([("WATCH", "t:1"), ("HGET", "t:1", "n"), ("MULTI",), ("HINCRBY", "t:1", "n", 1), ("EXEC",),
                                ("HGET", "t:1", "n")]) == ["OK", b"6", "OK", "QUEUED", [7], b"7"]


@pytest.mark.parametrize("is_shared", [False, True])
def test_keys_of_several_owners(lite, redis_server, make_database, is_shared):
    it = lite(store=redis_server() if is_shared else None, interval=LATER)
    others = make_database("sqlite").make(SCHEMA)
    it.config["sources"]["two"] = others.source()
    behind = {"source": "two", "write": "write-behind", "flush_interval": LATER, "on_del": "delete-row"}
    it.config["keyspaces"]["e:{id:int}"] = {**behind, "table": "docs"}
    of_two = {name: value for name, value in it.config["keyspaces"].items() if value["source"] == "two"}
    everything, it.config["keyspaces"] = it.config["keyspaces"], of_two
    it.start()  # owns 'two' alone, knows nothing else
    it.config["keyspaces"] = everything
    it.start()  # owns 'db', and not 'two'
    it.start()  # owns nothing
    for index in (1, 2):
        with it.servers[index].wire(timeout=20) as wire:
            assert wire.ask("SET", "e:1", '{"title":"e"}') == "OK" and wire.ask("SET", "d:1", '{"title":"d"}') == "OK"
            e, d = b'{"id":1,"title":"e"}', b'{"id":1,"title":"d"}'
            assert wire.ask("MGET", "e:1", "d:1", "d:9", "e:1", "e:9", "d:1") == [e, d, None, e, None, d]
            assert wire.ask("EXISTS", "e:1", "d:1", "d:9", "e:9") == 2
            if is_shared:
                assert wire.ask("SET", "x", 1) == "OK"
                assert wire.ask("MGET", "e:1", "x", "d:1") == [e, b"1", d] and wire.ask("EXISTS", "x", "e:1", "d:1") == 3
            else:
                assert wire.ask("MGET", "e:1", "x", "d:1").word == "NOMAP"
            assert wire.ask("DEL", "e:1", "d:1", "d:9") == 2 and wire.ask("EXISTS", "e:1", "d:1") == 0
            assert wire.ask("SET", "d:2", '{"title":"d"}') == "OK" and wire.ask("SET", "e:2", '{"title":"e"}') == "OK"
            assert wire.ask("WAITAOF", 1, 0, 5000) == [1, 0]
            assert wire.ask("WAIT", 1, 10000) == 1
            assert wire.ask("MGET", "e:2", "d:2") == [e.replace(b"1", b"2", 1), d.replace(b"1", b"2", 1)]
            assert others.one("SELECT title FROM docs WHERE id = 2") == "e"
            assert it.database.one("SELECT title FROM docs WHERE id = 2") == "d"
            assert wire.ask("DEL", "e:2", "d:2") == 2 and wire.ask("WAIT", 1, 10000) == 1
    it.servers[0].kill()
    with it.servers[1].wire(timeout=20) as wire:
        assert wire.ask("MGET", "e:1", "d:1").word == "NOTOWNER"


def test_waiting_covers_what_was_forwarded(houses):
    it = houses(interval=LATER)
    it.start()
    with it.start().wire(timeout=30) as wire:
        with it.servers[0].wire() as first:  # like WAIT at the owner, it means what anybody was answered before
            assert first.ask("HSET", "t:1", "n", 77) in FIELDS
        assert wire.ask("WAIT", 1, 0) == 1 and it.n(1) == 77
        for n in range(3):
            assert wire.ask("HSET", "t:1", "n", n) in FIELDS
            assert wire.ask("WAITAOF", 1, 0, 0) == [1, 0]
            assert wire.ask("WAIT", 1, 0) == 1 and it.n(1) == n
        it.servers[0].kill()
        assert wait_until(lambda: wire.ask("WAIT", 1, 500), "an answer").word in ("NOTOWNER", "UNKNOWN")


def test_many_clients_share_syncs(lite):
    """What many clients of another Forebay write is under way together at the owner."""
    it = lite(interval=LATER)
    owner, other = it.start(), it.start(threads=1)

    def syncs():
        line = owner.info("forebay_write_behind")["forebay_write_behind"]["behind_db"]
        return int(dict(part.split("=", 1) for part in line.split(","))["syncs"])
    wires = [other.wire(timeout=30) for _ in range(40)]
    before = syncs()
    for round in range(20):
        for id, wire in enumerate(wires):
            wire.send(encode("HSET", f"t:{id}", "n", round) + encode("HGET", f"t:{id}", "n"))
        for wire in wires:
            assert wire.read() in FIELDS and wire.read() == b"%d" % round
    assert syncs() - before < 400, "of 800 writes"
    for wire in wires:
        wire.close()


def test_tracking_clients_keep_nothing_of_another(lite):
    it = lite()
    owner, other = it.start(), it.start()
    with owner.wire(timeout=20) as first, other.wire(timeout=20) as wire:
        first.ask("HSET", "t:1", "n", 1)
        wire.ask("HELLO", 3)
        assert wire.ask("CLIENT", "TRACKING", "ON") == "OK"
        assert wire.ask("HGET", "t:1", "n") == b"1"
        assert wire.read() == [b"invalidate", [b"t:1"]]


def test_an_owner_killed_again_and_again_loses_nothing(houses):
    it = houses(interval="20ms")
    it.start(), it.start(), it.start()
    sure, unsure, is_over = [0] * 3, [0] * 3, threading.Event()

    def write(index):
        while not is_over.is_set():
            with contextlib.suppress(OSError, Closed), it.servers[index].wire(timeout=20) as wire:
                while not is_over.is_set():
                    unsure[index] += 1
                    answer = wire.ask("HINCRBY", "t:1", "n", 1)
                    if isinstance(answer, int):
                        sure[index] += 1
                    if isinstance(answer, int) or answer.word != "UNKNOWN":
                        unsure[index] -= 1
    threads = [threading.Thread(target=write, args=(index,)) for index in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(5):
        reached = sum(sure) + 50
        wait_until(lambda reached=reached: sum(sure) > reached, "some writes", 30)
        it.servers[0].kill()
        it.start(0)
    reached = sum(sure) + 50
    wait_until(lambda: sum(sure) > reached, "some writes", 30)
    is_over.set()
    for thread in threads:
        thread.join()
    for index in range(3):
        with it.servers[index].wire(timeout=20) as wire:
            n = int(wire.ask("HGET", "t:1", "n"))
            assert sum(sure) <= n <= sum(sure) + sum(unsure), (sure, unsure, n)
    assert it.servers[0].stop() == 0 and it.n(1) == n
