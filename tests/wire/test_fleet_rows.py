"""Two Forebays over one Redis: whatever is written through one is what the other reads next, as rows, hashes, absences,
lists, in transactions and by commands about copies. Copies in the processes are off: "next" is at once."""

import json

import pytest

from conftest import wait_until
from fleet import PATIENT, fleet  # noqa: F401
from resp import ReplyError

SCHEMA = """
CREATE TABLE users(id {int} PRIMARY KEY, name {text}, team {int});
CREATE TABLE carts(id {int} PRIMARY KEY, apples {int}, pears {int});
INSERT INTO users VALUES (1, 'ann', 7), (2, 'bob', 7), (3, 'cid', 8);
INSERT INTO carts VALUES (1, 1, 2);
"""
KEYSPACES = {
    "user:{id:int}": {"table": "users", "write": "write-through", "on_del": "delete-row"},
    "team:{team:int}": {"table": "users", "rows": "many", "order": "[id]", "as": "column:name"},
    "cart:{id:int}": {"table": "carts", "as": "hash", "write": "write-through"},
}


@pytest.fixture(name="two")
def fixture_two(fleet):  # noqa: F811
    two = fleet(SCHEMA, KEYSPACES, count=2, store={"copies": "false", "share_timeout": PATIENT})
    a, b = (server.wire(timeout=30) for server in two.servers)
    two.a, two.b = a, b
    yield two
    a.close()
    b.close()


def name(reply):
    return json.loads(reply)["name"]


def loads(two):
    return sum(server.source("db")["rows_wanted"] for server in two.servers)


def test_one_loads_for_both(two):
    assert name(two.a.ask("GET", "user:1")) == "ann" and name(two.b.ask("GET", "user:1")) == "ann"
    assert two.b.ask("HGETALL", "cart:1") == two.a.ask("HGETALL", "cart:1")
    assert two.a.ask("GET", "user:99") is None and two.b.ask("GET", "user:99") is None
    assert loads(two) == 3


@pytest.mark.short
def test_a_row_is_inserted_changed_and_deleted(two):
    for writer, reader in ((two.a, two.b), (two.b, two.a)):
        assert reader.ask("GET", "user:50") is None and writer.ask("GET", "user:50") is None
        assert writer.ask("SET", "user:50", '{"name":"eve","team":8}') == "OK"
        assert name(reader.ask("GET", "user:50")) == "eve"
        assert reader.ask("SET", "user:50", '{"name":"eva"}') == "OK"
        assert name(writer.ask("GET", "user:50")) == "eva"
        assert writer.ask("DEL", "user:50") == 1
        assert reader.ask("GET", "user:50") is None and reader.ask("EXISTS", "user:50") == 0


def test_a_hash_is_counted_up_by_both(two):
    for i in range(20):
        writer, reader = (two.a, two.b) if i % 2 else (two.b, two.a)
        assert writer.ask("HINCRBY", "cart:1", "apples", 1) == i + 2
        assert reader.ask("HGET", "cart:1", "apples") == b"%d" % (i + 2)
    assert two.a.ask("HSET", "cart:1", "pears", 9) in (0, 1)
    assert two.b.ask("HMGET", "cart:1", "apples", "pears") == [b"21", b"9"]


@pytest.mark.short
def test_a_list_shows_what_the_other_wrote(two):
    assert two.a.ask("GET", "team:7") == two.b.ask("GET", "team:7") == b'["ann","bob"]'
    assert two.a.ask("GET", "team:8") == two.b.ask("GET", "team:8") == b'["cid"]'
    assert two.a.ask("SET", "user:2", '{"team":8}') == "OK"
    assert two.b.ask("GET", "team:7") == b'["ann"]' and two.b.ask("GET", "team:8") == b'["bob","cid"]'
    assert two.b.ask("SET", "user:2", '{"name":"rob"}') == "OK"
    assert two.a.ask("GET", "team:8") == b'["rob","cid"]'
    assert two.a.ask("DEL", "user:3") == 1
    assert two.b.ask("GET", "team:8") == b'["rob"]'


def test_a_transaction_is_seen_as_a_whole(two):
    assert [name(two.b.ask("GET", f"user:{i}")) for i in (1, 2)] == ["ann", "bob"]
    assert two.a.pipeline([("MULTI",), ("SET", "user:1", '{"name":"x"}'), ("SET", "user:2", '{"name":"y"}'), ("EXEC",)])[-1] \
        == ["OK", "OK"]
    assert [name(two.b.ask("GET", f"user:{i}")) for i in (1, 2)] == ["x", "y"]
    assert two.b.ask("MSET", "user:1", '{"name":"p"}', "user:2", '{"name":"q"}') == "OK"
    assert [name(row) for row in two.a.ask("MGET", "user:1", "user:2")] == ["p", "q"]


def test_a_write_that_fails_changes_nothing_for_anybody(two):
    two.database.run("ALTER TABLE users ADD CONSTRAINT short CHECK (length(name) < 10)")
    assert name(two.b.ask("GET", "user:1")) == "ann"
    assert isinstance(two.a.ask("SET", "user:1", '{"name":"much too long a name"}'), ReplyError)
    assert name(two.b.ask("GET", "user:1")) == name(two.a.ask("GET", "user:1")) == "ann"


def test_what_sql_changed_is_seen_after_a_refresh_by_either(two):
    assert name(two.a.ask("GET", "user:1")) == name(two.b.ask("GET", "user:1")) == "ann"
    two.database.run("UPDATE users SET name = 'new' WHERE id = 1")
    assert name(two.b.ask("GET", "user:1")) == "ann"  # within its TTL
    assert two.a.ask("FB.INVALIDATE", "user:1") == 1
    assert name(two.b.ask("GET", "user:1")) == "new"


def test_values_lie_in_redis_plainly(two):
    two.a.ask("GET", "user:1"), two.a.ask("HGETALL", "cart:1")
    with two.redis.wire() as wire:
        assert json.loads(wire.ask("GET", "user:1"))["name"] == "ann"
        assert sorted(wire.ask("HGETALL", "cart:1")) == sorted([b"id", b"1", b"apples", b"1", b"pears", b"2"])
        assert 3000 < wire.ask("TTL", "user:1") <= 3600


def test_a_life_given_to_a_copy_is_the_fleets(two):
    assert name(two.a.ask("GET", "user:1")) == "ann"
    two.database.run("UPDATE users SET name = 'new' WHERE id = 1")
    assert two.a.ask("PEXPIRE", "user:1", 60) == 1
    wait_until(lambda: name(two.b.ask("GET", "user:1")) == "new", "the end of the copy")
