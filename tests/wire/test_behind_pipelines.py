"""A pipeline of writes that are written behind is one of Redis' all the same: each sees what those before it did, reads see
them all, and replies come in order; but they share the syncs of the journal, and nothing else may begin between them."""

import pytest

from conftest import wait_until
from resp import ReplyError

SCHEMA = """
CREATE TABLE t(id {int} PRIMARY KEY, n {int}, name {text});
CREATE TABLE through(id {int} PRIMARY KEY, n {int});
"""


@pytest.fixture
def server(make_database, forebay, tmp_path):  # in this order: the database outlives who drains into it
    database = make_database("sqlite").make(SCHEMA)
    behind = {"source": "db", "write": "write-behind", "flush_interval": "1h", "table": "t", "on_del": "delete-row"}
    one = forebay({"server": {"journal_dir": str(tmp_path / "journal")}, "sources": {"db": database.source()},
                   "keyspaces": {"t:{id:int}": {**behind, "as": "hash"},
                                 "w:{id:int}": {"source": "db", "table": "through", "as": "hash", "write": "write-through"}}})
    one.database = database
    return one


def syncs(server):
    line = server.info("forebay_write_behind")["forebay_write_behind"]["behind_db"]
    return int(dict(part.split("=", 1) for part in line.split(","))["syncs"])


def test_many_writes_share_a_sync(server):
    with server.wire(timeout=30) as wire:
        assert wire.ask("HSET", "t:0", "n", 0, "name", "x") in (0, 1, 2)
        before = syncs(server)
        replies = wire.pipeline([("HSET", f"t:{id}", "n", id, "name", "x") for id in range(1, 1001)])
        assert not [reply for reply in replies if isinstance(reply, ReplyError)]
        assert syncs(server) - before < 500
        assert wire.pipeline([("HGET", f"t:{id}", "n") for id in range(1, 1001)]) == [b"%d" % id for id in range(1, 1001)]


def test_each_sees_those_before_it(server):
    with server.wire(timeout=30) as wire:
        assert wire.pipeline([("HINCRBY", "t:1", "n", 1) for _ in range(200)]) == list(range(1, 201))
        got = wire.pipeline([
            ("HSET", "t:2", "n", 1), ("HSET", "t:2", "n", 2), ("HGET", "t:2", "n"), ("DEL", "t:2"), ("HGET", "t:2", "n"),
            ("HSETNX", "t:2", "n", 3), ("HSETNX", "t:2", "n", 4), ("HINCRBY", "t:2", "n", 5), ("HGET", "t:2", "n"),
            ("HSET", "t:3", "name", "behind"), ("HSET", "w:3", "n", 3), ("HGET", "w:3", "n"), ("HGET", "t:3", "name")])
        assert got[2:6] == [b"2", 1, None, 1] and got[6:9] == [0, 8, b"8"] and got[11:] == [b"3", b"behind"]


def test_what_is_no_such_write_waits_for_them(server):
    with server.wire(timeout=30) as wire:
        got = wire.pipeline([("HSET", "t:5", "n", 1), ("MULTI",), ("HINCRBY", "t:5", "n", 1), ("HGET", "t:5", "n"), ("EXEC",),
                             ("HINCRBY", "t:5", "n", 1), ("EXPIRE", "t:5", 100), ("HINCRBY", "t:5", "name", 1),
                             ("WAIT", 1, 10000), ("PING",)])
        assert got[4] == [2, b"2"] and got[5] == 3 and got[8:] == [1, "PONG"]
        assert server.database.one("SELECT n FROM t WHERE id = 5") == 3


def test_who_leaves_in_between_leaves_whole_writes(server):
    wire = server.wire()
    wire.send(b"".join(b"*4\r\n$7\r\nHINCRBY\r\n$3\r\nt:9\r\n$1\r\nn\r\n$1\r\n1\r\n" for _ in range(500)))
    wire.read()
    wire.close()
    with server.wire(timeout=30) as other:
        seen = []

        def is_at_rest():
            seen.append(other.ask("HGET", "t:9", "n"))
            return len(seen) > 5 and len(set(seen[-5:])) == 1
        wait_until(is_at_rest, "the rest to be carried out")
        n = int(seen[-1])
        assert 1 <= n <= 500 and other.ask("HINCRBY", "t:9", "n", 1) == n + 1
