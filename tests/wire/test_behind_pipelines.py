"""A pipeline of writes that are written behind is one of Redis' all the same: each sees what those before it did, reads see
them all, and replies come in order; but they share the syncs of the journal, and nothing else may begin between them."""

import random

import pytest

from conftest import wait_until
from resp import ReplyError

SCHEMA = """
CREATE TABLE t(id {int} PRIMARY KEY, n {int}, name {text});
CREATE TABLE through(id {int} PRIMARY KEY, n {int});
"""

pytestmark = pytest.mark.short


@pytest.fixture
def server(make_database, forebay, tmp_path):  # in this order: the database outlives who drains into it
    database = make_database("sqlite").make(SCHEMA)
    behind = {"source": "db", "write": "write-behind", "flush_interval": "1h", "table": "t", "on_del": "delete-row"}
    one = forebay({"server": {"journal_dir": str(tmp_path / "journal")}, "sources": {"db": database.source()},
                   "keyspaces": {"t:{id:int}": {**behind, "as": "hash"},
                                 "w:{id:int}": {"source": "db", "table": "through", "as": "hash", "write": "write-through"}}})
    one.database = database
    return one


def figure(server, name):
    line = server.info("forebay_write_behind")["forebay_write_behind"]["behind_db"]
    return int(dict(part.split("=", 1) for part in line.split(","))[name])


def syncs(server):
    return figure(server, "syncs")


def test_many_writes_share_a_sync(server):
    with server.wire(timeout=90) as wire:
        assert wire.ask("HSET", "t:0", "n", 0, "name", "x") in (0, 1, 2)
        before = syncs(server)
        replies = wire.pipeline([("HSET", f"t:{id}", "n", id, "name", "x") for id in range(1, 1001)])
        assert not [reply for reply in replies if isinstance(reply, ReplyError)]
        assert syncs(server) - before < 500
        assert wire.pipeline([("HGET", f"t:{id}", "n") for id in range(1, 1001)]) == [b"%d" % id for id in range(1, 1001)]


def test_each_sees_those_before_it(server):
    with server.wire(timeout=90) as wire:
        assert wire.pipeline([("HINCRBY", "t:1", "n", 1) for _ in range(200)]) == list(range(1, 201))
        got = wire.pipeline([
            ("HSET", "t:2", "n", 1), ("HSET", "t:2", "n", 2), ("HGET", "t:2", "n"), ("DEL", "t:2"), ("HGET", "t:2", "n"),
            ("HSETNX", "t:2", "n", 3), ("HSETNX", "t:2", "n", 4), ("HINCRBY", "t:2", "n", 5), ("HGET", "t:2", "n"),
            ("HSET", "t:3", "name", "behind"), ("HSET", "w:3", "n", 3), ("HGET", "w:3", "n"), ("HGET", "t:3", "name")])
        assert got[2:6] == [b"2", 1, None, 1] and got[6:9] == [0, 8, b"8"] and got[11:] == [b"3", b"behind"]


def test_what_is_no_such_write_waits_for_them(server):
    with server.wire(timeout=90) as wire:
        got = wire.pipeline([("HSET", "t:5", "n", 1), ("MULTI",), ("HINCRBY", "t:5", "n", 1), ("HGET", "t:5", "n"), ("EXEC",),
                             ("HINCRBY", "t:5", "n", 1), ("EXPIRE", "t:5", 100), ("HINCRBY", "t:5", "name", 1),
                             ("WAIT", 1, 60000), ("PING",)])
        assert got[4] == [2, b"2"] and got[5] == 3 and got[8:] == [1, "PONG"]
        assert server.database.one("SELECT n FROM t WHERE id = 5") == 3


def test_who_leaves_in_between_leaves_whole_writes(server):
    wire = server.wire()
    wire.send(b"".join(b"*4\r\n$7\r\nHINCRBY\r\n$3\r\nt:9\r\n$1\r\nn\r\n$1\r\n1\r\n" for _ in range(500)))
    wire.read()
    wire.close()
    with server.wire(timeout=90) as other:
        def is_alone():
            return b"connected_clients:1\r\n" in other.ask("INFO", "clients")
        wait_until(is_alone, "who has left to be gone", 30)
        n = other.ask("HINCRBY", "t:9", "n", 1)  # behind what was begun
        assert 2 <= n <= 501 and other.ask("HGET", "t:9", "n") == b"%d" % n
        assert other.ask("HINCRBY", "t:9", "n", 1) == n + 1


def some_write(rng, key):
    """One of everything that is decided by the row: sums, counts, conditions, old values, refusals."""
    name = rng.choice(["a", "b", "7", ""])
    return rng.choice([
        ("HINCRBY", key, "n", rng.randint(-5, 5)), ("HINCRBY", key, "name", 1), ("HSET", key, "name", name),
        ("HSET", key, "n", rng.randint(0, 9), "name", name), ("HSETNX", key, "n", 1), ("HDEL", key, "name"), ("HDEL", key, "n"),
        ("DEL", key), ("HSET", key, "n", "no number"), ("HSET", key, "nowhere", 1), ("HINCRBY", key, "n", 2 ** 62)])


@pytest.mark.parametrize("seed", range(4))
def test_writes_that_share_a_record_do_what_they_do_alone(server, seed):
    """The same writes of one key, in pipelines and one by one; what is acknowledged is one and the same, and so are the rows."""
    rng = random.Random(seed)

    def told(reply):
        return str(reply) if isinstance(reply, ReplyError) else reply

    with server.wire(timeout=90) as wire:
        for round in range(20):
            both = {}
            writes = [some_write(rng, "KEY") for _ in range(rng.randint(2, 60))]
            for key in (f"t:{100 + round}", f"t:{200 + round}"):
                wire.ask("HSET", key, "n", 1, "name", "x")
                wire.ask("HGET", key, "n")
                commands = [[key if word == "KEY" else word for word in write] for write in writes]
                replies = wire.pipeline(commands) if key < "t:2" else [wire.ask(*command) for command in commands]
                rest = wire.ask("HGETALL", key)
                both[key] = [told(reply).replace(key, "") if isinstance(told(reply), str) else told(reply)
                             for reply in replies], [part for part in rest if part != key[2:].encode()]
            joined, alone = both.values()
            assert joined == alone, f"seed {seed}, round {round}: {writes}"
        assert figure(server, "joined") > 100
        assert wire.ask("WAIT", 1, 60000) == 1
    assert figure(server, "acknowledged") == figure(server, "flushed_writes")
    rows = {row["id"]: (row["n"], row["name"]) for row in server.database.rows("SELECT id, n, name FROM t")}
    assert all(rows.get(100 + round) == rows.get(200 + round) for round in range(20))


def test_many_clients_share_a_mark(server):
    """Each is given its own sum; whoever's condition fails leaves the row to the others."""
    wires = [server.wire(timeout=90) for _ in range(16)]
    with server.wire() as wire:
        wire.ask("HSET", "t:1", "n", 0, "name", "x")
    increment = b"*4\r\n$7\r\nHINCRBY\r\n$3\r\nt:1\r\n$1\r\nn\r\n$1\r\n1\r\n"
    for wire in wires:
        wire.send((increment + b"*4\r\n$6\r\nHSETNX\r\n$3\r\nt:2\r\n$1\r\nn\r\n$1\r\n1\r\n") * 50)
    replies = [[wire.read() for _ in range(100)] for wire in wires]
    for wire in wires:
        wire.close()
    assert sorted(sum for one in replies for sum in one[::2]) == list(range(1, 801))
    assert all(one[::2] == sorted(one[::2]) for one in replies), "in the order of each client"
    assert sum(reply for one in replies for reply in one[1::2]) == 1
