"""Shows that clients of any Forebay are served, whichever of them owns the write-behind of a source: writes and reads are
passed on to the owner and answered in order with its answers, counters written through all of them come out exactly, an
owner that dies costs nothing that was acknowledged, and what turns around when another takes over is the forwarding. And
that it is safe: nothing goes in circles, a wrong password is told, and what may have happened is not done twice."""

import contextlib
import os
import socket
import threading
import time

import pytest

from conftest import Forebay, free_port, wait_until
from resp import ReplyError

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


def test_own_writes_are_read_through_a_shared_store(lite, redis_server):
    it = lite(store=redis_server(), interval=LATER)
    owner, other = it.start(), it.start()
    with owner.wire(timeout=20) as first, other.wire(timeout=20) as second:
        for n in range(200):
            assert second.ask("HSET", "t:1", "n", n) in FIELDS
            assert second.ask("HGET", "t:1", "n") == b"%d" % n  # not the copy that was kept of the one before
            assert second.ask("HGET", "t:1", "n") == b"%d" % n
        assert first.ask("HGET", "t:1", "n") == b"199"
    assert it.figure(1, "forwarded") < 500, "reads are answered by the store and the copies of it"


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


def test_nothing_goes_in_circles(lite):
    it = lite()
    port = free_port()
    it.start(journal_address=f"127.0.0.1:{port}")  # the owner names an address that is another's, who names it again
    it.ports.append(port)
    it.servers.append(None)
    with it.start(1).wire(timeout=20) as wire:
        assert wire.ask("HSET", "t:1", "n", 1).text.startswith("NOTOWNER partition 'db' is owned by 127.0.0.1:")
        assert wire.ask("PING") == "PONG"
        assert wire.ask("FB.PEER") == "OK"
        assert wire.ask("HSET", "t:1", "n", 1).word == "NOTOWNER"
    assert it.figure(1, "forwarded") == 1


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
        time.sleep(0.3)
        assert [words[0] for words in one.asked] == [b"HINCRBY", b"HGET"]


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


def test_it_can_be_switched_off(lite):
    it = lite(server={"forward": "false"})
    it.start()
    with it.start().wire(timeout=20) as wire:
        assert wire.ask("HSET", "t:1", "n", 1).text.startswith("NOTOWNER partition 'db' is owned by 127.0.0.1:")
        assert wire.ask("HGET", "t:1", "n") is None
    assert it.figure(1, "forwarded") == 0
