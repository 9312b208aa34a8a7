"""Shows list keyspaces from the outside: a key that stands for many rows, read with GET as one JSON array."""

import json
import sqlite3

import pytest

from resp import ReplyError

SHOP = """
CREATE TABLE orders(id INTEGER PRIMARY KEY, user_id INTEGER, placed_at TEXT, total REAL, note TEXT);
CREATE INDEX orders_user ON orders(user_id, placed_at);
INSERT INTO orders VALUES (1, 7, '2026-01-01', 1.5, 'a'), (2, 7, '2026-01-02', 2.5, NULL), (3, 8, '2026-01-03', 3, 'c');
"""
LISTS = {
    "orders:by-user:{user_id}": {"table": "orders", "rows": "many", "order": "[placed_at desc]",
                                 "hide_columns": "[note]"},
    "ids:{user_id}": {"table": "orders", "rows": "many", "as": "column:id"},
    "sums:{user_id:int}": {"rows": "many", "load": "SELECT user_id, sum(total) AS total FROM orders "
                                                   "WHERE user_id = :user_id GROUP BY user_id"},
}


@pytest.fixture
def shop(forebay, database):
    path = database(SHOP)
    server = forebay({"sources": {"shop": {"url": f"sqlite:{path}"}}, "keyspaces": LISTS})
    server.path = path
    return server


def behind(shop, sql):
    """A statement that Forebay does not see."""
    with sqlite3.connect(shop.path) as connection:
        connection.execute(sql)


@pytest.mark.short
def test_a_list_is_a_json_array_of_its_rows(shop):
    client = shop.client()
    assert json.loads(client.get("orders:by-user:7")) == [
        {"id": 2, "user_id": 7, "placed_at": "2026-01-02", "total": 2.5},
        {"id": 1, "user_id": 7, "placed_at": "2026-01-01", "total": 1.5}]
    assert client.get("ids:7") == b"[1,2]"
    assert client.mget("ids:8", "ids:7", "sums:7") == [b"[3]", b"[1,2]", b'[{"user_id":7,"total":4}]']
    assert client.type("ids:7") == b"string"
    assert client.strlen("ids:7") == 5
    with client.pipeline(transaction=True) as block:
        assert block.get("ids:7").get("ids:8").execute() == [b"[1,2]", b"[3]"]


def test_a_list_without_rows_is_an_empty_array_and_is_cached(shop):
    client = shop.client()
    assert client.get("ids:99") == b"[]"
    assert client.exists("ids:99") == 1
    behind(shop, "INSERT INTO orders VALUES (99, 99, NULL, NULL, NULL)")
    assert client.get("ids:99") == b"[]"
    assert client.delete("ids:99") == 1
    assert client.get("ids:99") == b"[99]"


def test_a_list_cannot_be_written(shop):
    with shop.wire() as wire:
        for command in (["SET", "ids:7", "[]"], ["SETNX", "ids:7", "[]"], ["INCR", "ids:7"], ["HSET", "ids:7", "a", "b"]):
            assert wire.ask(*command) == ReplyError(
                "MAPRO keyspace 'ids:{user_id:int}' is a list of rows, which is read-only; write the rows by keys of "
                "their own")
        assert wire.ask("GET", "ids:7") == b"[1,2]"


def test_the_keys_of_a_list_can_be_warmed(shop):
    with shop.wire() as wire:
        wire.ask("FB.WARM", "ids:{user_id:int}", "10")
        assert wire.ask("DBSIZE") == 2
