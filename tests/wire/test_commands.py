"""Shows what each command of the reference page answers over a real database.

It is what Redis has no counterpart for: rows, columns, constraints, read-only keyspaces, and the database itself is asked
afterwards. Where Redis has one, test_differential.py compares the two."""

import json

import pytest

from conftest import query
from resp import ReplyError, encode

SHOP = """
CREATE TABLE users(id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT UNIQUE, age INTEGER, note TEXT DEFAULT 'new');
INSERT INTO users VALUES (1, 'Ada', 'ada@x', 36, NULL), (2, 'Grace', 'grace@x', 85, 'navy');
CREATE TABLE items(id INTEGER PRIMARY KEY, name TEXT NOT NULL, stock INTEGER NOT NULL DEFAULT 0 CHECK (stock >= 0));
INSERT INTO items VALUES (1, 'tea', 3), (2, 'salt', 5);
CREATE TABLE views(path TEXT PRIMARY KEY, hits INTEGER NOT NULL DEFAULT 0);
INSERT INTO views VALUES ('/a', 41);
CREATE TABLE old(id INTEGER PRIMARY KEY, name TEXT);
INSERT INTO old VALUES (1, 'kept');
CREATE TABLE legacy(id INTEGER PRIMARY KEY, name TEXT);
INSERT INTO legacy VALUES (1, 'kept');
"""


# ---- rows

@pytest.fixture
def shop(forebay, database):
    path = database(SHOP)
    server = forebay({
        "sources": {"shop": {"url": f"sqlite:{path}"}},
        "keyspaces": {
            "user:{id:int}": {"table": "users", "as": "hash", "write": "write-through"},
            "item:{id:int}": {"table": "items", "as": "json", "write": "write-through", "on_del": "delete-row"},
            "views:{path:rest}": {"table": "views", "as": "column:hits", "write": "write-through"},
            "old:{id:int}": {"table": "old", "as": "json"},
            "legacy:{id:int}": {"table": "legacy", "as": "json", "on_set": "ignore"},
        },
    })
    server.database = path
    return server


def row(shop, sql, *parameters):
    rows = query(shop.database, sql, *parameters)
    return dict(rows[0]) if rows else None


def error(reply, word, *parts):
    """Is it an error with this first word, and does it say all this?"""
    assert isinstance(reply, ReplyError), reply
    assert reply.word == word, reply.text
    for part in parts:
        assert part in reply.text, reply.text


@pytest.mark.short
def test_a_row_is_read_and_written_as_a_hash(shop):
    with shop.wire() as wire:
        assert wire.ask("HGETALL", "user:1") == [b"id", b"1", b"name", b"Ada", b"email", b"ada@x", b"age", b"36"]
        assert wire.ask("HKEYS", "user:1") == [b"id", b"name", b"email", b"age"]
        assert wire.ask("HVALS", "user:1") == [b"1", b"Ada", b"ada@x", b"36"]
        assert wire.ask("HSCAN", "user:1", "0", "MATCH", "*a*") == [b"0", [b"name", b"Ada", b"email", b"ada@x",
                                                                          b"age", b"36"]]
        assert wire.ask("HRANDFIELD", "user:1", "9") and wire.ask("HRANDFIELD", "user:404") is None
        assert wire.ask("HSET", "user:1", "age", "37", "note", "countess") == 1
        assert wire.ask("HGET", "user:1", "note") == b"countess"
        assert wire.ask("HDEL", "user:1", "note") == 1
        assert wire.ask("HINCRBY", "user:1", "age", "3") == 40
        assert row(shop, "SELECT * FROM users WHERE id = 1") == {
            "id": 1, "name": "Ada", "email": "ada@x", "age": 40, "note": None}
        assert wire.ask("HSET", "user:3", "name", "Alan") == 1  # no row before: the key and the default come along
        assert row(shop, "SELECT name, note FROM users WHERE id = 3") == {"name": "Alan", "note": "new"}
        assert wire.ask("HGETALL", "user:3") == [b"id", b"3", b"name", b"Alan", b"note", b"new"]


@pytest.mark.short
def test_a_row_is_read_and_written_as_json(shop):
    with shop.wire() as wire:
        assert json.loads(wire.ask("GET", "item:1")) == {"id": 1, "name": "tea", "stock": 3}
        assert wire.ask("SET", "item:1", '{"stock": 9}') == "OK"
        assert json.loads(wire.ask("GET", "item:1")) == {"id": 1, "name": "tea", "stock": 9}
        assert json.loads(wire.ask("SET", "item:1", '{"stock": 1}', "GET")) == {"id": 1, "name": "tea", "stock": 9}
        assert wire.ask("SET", "item:1", '{"stock": 5}', "NX") is None
        assert wire.ask("SET", "item:7", '{"name": "oil"}', "XX") is None
        assert wire.ask("SETNX", "item:7", '{"name": "oil"}') == 1
        assert row(shop, "SELECT * FROM items WHERE id = 7") == {"id": 7, "name": "oil", "stock": 0}
        assert wire.ask("MSET", "item:1", '{"stock": 11}', "item:2", '{"stock": 12}') == "OK"
        assert [r["stock"] for r in query(shop.database, "SELECT stock FROM items WHERE id < 3 ORDER BY id")] == [11, 12]
        assert wire.ask("GETDEL", "item:7") == b'{"id":7,"name":"oil","stock":0}'
        assert row(shop, "SELECT * FROM items WHERE id = 7") is None


def test_a_counter_counts_in_the_database(shop):
    with shop.wire() as wire:
        assert wire.ask("INCR", "views:/a") == 42
        assert wire.ask("INCRBY", "views:/a", "8") == 50
        assert wire.ask("DECR", "views:/a") == 49
        assert wire.ask("DECRBY", "views:/a", "9") == 40
        assert wire.ask("GET", "views:/a") == b"40"
        assert row(shop, "SELECT hits FROM views") == {"hits": 40}
        assert wire.ask("INCR", "views:/b/c") == 1  # no row yet
        assert row(shop, "SELECT hits FROM views WHERE path = '/b/c'") == {"hits": 1}


def test_all_or_nothing_of_mset_goes_to_one_transaction(shop):
    with shop.wire() as wire:
        error(wire.ask("MSET", "item:1", '{"stock": 70}', "item:2", '{"stock": -1}'), "CONFLICT")
        assert [r["stock"] for r in query(shop.database, "SELECT stock FROM items ORDER BY id")] == [3, 5]
        assert json.loads(wire.ask("GET", "item:1"))["stock"] == 3
        assert wire.ask("MSETNX", "item:8", '{"name": "a"}', "item:1", '{"name": "b"}') == 0
        assert row(shop, "SELECT * FROM items WHERE id = 8") is None
        assert wire.ask("MSETNX", "item:8", '{"name": "a"}', "item:9", '{"name": "b"}') == 1
        assert row(shop, "SELECT count(*) AS n FROM items")["n"] == 4


@pytest.mark.short
def test_refusals_say_what_is_wrong_and_change_nothing(shop):
    before = [tuple(r) for r in query(shop.database, "SELECT * FROM users ORDER BY id")]
    with shop.wire() as wire:
        error(wire.ask("SET", "user:1", "{}"), "WRONGTYPE")
        error(wire.ask("GET", "user:1"), "WRONGTYPE")
        error(wire.ask("HGET", "item:1", "name"), "WRONGTYPE")
        error(wire.ask("HSET", "user:1", "nmae", "x"), "BADVALUE", "nmae", "name")
        error(wire.ask("HSET", "user:1", "age", "old"), "BADVALUE", "age")
        error(wire.ask("HSET", "user:2", "email", "ada@x"), "CONFLICT")
        error(wire.ask("HDEL", "user:1", "name"), "BADVALUE", "name")
        error(wire.ask("SET", "item:1", "no json"), "BADVALUE")
        error(wire.ask("SET", "item:1", '{"id": 2}'), "BADVALUE")
        error(wire.ask("SET", "item:1", '{"stock": -5}'), "CONFLICT")
        error(wire.ask("INCR", "item:1"), "ERR", "not an integer")
        error(wire.ask("SET", "old:1", '{"name": "x"}'), "MAPRO", "old:{id:int}")
        error(wire.ask("GET", "nowhere:1"), "NOMAP", "nowhere:1")
        error(wire.ask("GET", "item:abc"), "NOMAP")
        error(wire.ask("GET", "item:01"), "NOMAP")
        error(wire.ask("LPUSH", "item:1", "x"), "ERR", "'lpush' is not supported on mapped key 'item:1'")
        assert wire.ask("SET", "legacy:1", '{"name": "x"}') == "OK"  # accepted and ignored
        assert wire.ask("GET", "legacy:1") == b'{"id":1,"name":"kept"}'
    assert [tuple(r) for r in query(shop.database, "SELECT * FROM users ORDER BY id")] == before
    assert row(shop, "SELECT name FROM legacy") == {"name": "kept"}
    assert row(shop, "SELECT stock FROM items WHERE id = 1") == {"stock": 3}


def test_lives_concern_copies_and_never_rows(shop):
    with shop.wire() as wire:
        assert wire.ask("TTL", "old:1") == -2
        assert wire.ask("EXPIRE", "old:1", "10") == 0
        wire.ask("GET", "old:1")
        assert 3200 < wire.ask("TTL", "old:1") <= 3600
        assert wire.ask("EXPIRE", "old:1", "100") == 1
        assert 60 < wire.ask("TTL", "old:1") <= 100
        assert wire.ask("EXPIRE", "old:1", "200", "LT") == 0
        assert wire.ask("EXPIRE", "old:1", "200", "GT") == 1
        assert wire.ask("EXPIRE", "old:1", "50", "NX") == 0
        assert 0 < wire.ask("PTTL", "old:1") <= 200000
        assert wire.ask("PERSIST", "old:1") == 1
        assert wire.ask("PERSIST", "old:1") == 0
        assert wire.ask("TTL", "old:1") > 3000
        assert wire.ask("DEL", "old:1") == 1
        assert wire.ask("TTL", "old:1") == -2
        assert wire.ask("EXISTS", "old:1") == 1
        assert wire.ask("FLUSHALL") == "OK" and wire.ask("DBSIZE") == 0
        assert wire.ask("GET", "old:1") == b'{"id":1,"name":"kept"}'
    assert row(shop, "SELECT name FROM old") == {"name": "kept"}


def test_a_pipeline_of_misses_travels_together(forebay, database):
    path = database("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT);"
                    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)"
                    "INSERT INTO t SELECT i, 'v' || i FROM n;")
    server = forebay({"sources": {"shop": {"url": f"sqlite:{path}", "added_latency": "20ms"}},
                      "keyspaces": {"t:{id:int}": {"table": "t", "as": "column:v"}}})
    with server.wire() as wire:
        wire.send(b"".join(encode("GET", f"t:{i}") for i in range(1, 501)))
        assert [wire.read() for _ in range(500)] == [b"v%d" % i for i in range(1, 501)]
        assert wire.ask("MGET", *(f"t:{i}" for i in range(1, 501))) == [b"v%d" % i for i in range(1, 501)]
    counters = server.source()
    assert counters["rows_wanted"] == 500
    assert counters["read_trips"] <= 60  # one at a time it would be 500
