"""Shows the forms a keyspace can take, over SQLite, PostgreSQL and MariaDB: columns renamed and hidden, keys of several
columns, of text and of uuid, statements of its own with named parameters; and that a write touches the columns it names
and no others, while what is cached is always the whole row."""

import json

import pytest

from resp import ReplyError

SCHEMA = """
CREATE TABLE people(id {int} PRIMARY KEY, first_name {text} NOT NULL, last_name {text}, secret {text}, visits {int} NOT NULL
  DEFAULT 0, score {real}, note {text});
INSERT INTO people VALUES (1, 'Ada', 'Lovelace', 's1', 41, 1.5, 'first'), (2, 'Alan', NULL, 's2', 0, NULL, NULL);
CREATE TABLE order_lines(order_id {int}, product {key}, amount {int}, PRIMARY KEY(order_id, product));
INSERT INTO order_lines VALUES (1, 'tea', 2), (1, 'Tea-2', 3), (2, 'tea', 4);
CREATE TABLE tokens(token {uuid} PRIMARY KEY, owner {text});
INSERT INTO tokens VALUES ('00000000-0000-4000-8000-00000000000a', 'Ada');
CREATE TABLE words(word {key} PRIMARY KEY, n {int});
INSERT INTO words VALUES ('tea', 1), ('42', 2);
"""
PEOPLE = {"table": "people", "write": "write-through", "on_del": "delete-row", "hide_columns": "[secret]",
          "rename_columns": "[first_name=name, last_name=surname, visits=hits]"}
KEYSPACES = {
    "person:{id}": {**PEOPLE, "as": "hash"},
    "line:{order_id}:{product}": {"table": "order_lines", "write": "write-through", "on_del": "delete-row"},
    "token:{token:uuid}": {"table": "tokens", "as": "column:owner", "write": "write-through"},
    "word:{word}": {"load": "SELECT word, n FROM words WHERE word = :word",
                    "store": "UPDATE words SET n = :n WHERE word = :word",
                    "delete": "DELETE FROM words WHERE word = :word", "as": "column:n", "write": "write-through",
                    "on_del": "delete-row"},
}


def begin(forebay, world, keyspaces):
    database = world(SCHEMA.replace("{uuid}", {"sqlite": "TEXT", "postgresql": "uuid", "mariadb": "UUID"}[world.kind]))
    server = forebay({"sources": {"shop": database.source()}, "keyspaces": keyspaces})
    server.database = database
    return server


@pytest.fixture
def shop(forebay, world, writing):
    return begin(forebay, world, KEYSPACES)


def row_of(shop, number):
    return dict(shop.database.rows(f"SELECT * FROM people WHERE id = {number}")[0])


def test_clients_know_columns_by_their_own_names(shop):
    client = shop.client()
    assert client.hgetall("person:1") == {b"id": b"1", b"name": b"Ada", b"surname": b"Lovelace", b"hits": b"41",
                                          b"score": b"1.5", b"note": b"first"}
    client.hset("person:1", "name", "Augusta")
    assert client.hincrby("person:1", "hits", 1) == 42
    assert client.hdel("person:1", "surname", "note") == 2
    assert row_of(shop, 1) == {"id": 1, "first_name": "Augusta", "last_name": None, "secret": "s1", "visits": 42,
                               "score": 1.5, "note": None}
    with shop.wire() as wire:
        for field in ("first_name", "secret", "nmae"):
            reply = wire.ask("HSET", "person:1", field, "x")
            assert isinstance(reply, ReplyError) and "BADVALUE" in str(reply) and field in str(reply)
        assert wire.ask("HGET", "person:1", "first_name") is None
        assert wire.ask("HGET", "person:1", "secret") is None


def test_names_go_into_json_and_come_back(forebay, world, writing):
    shop = begin(forebay, world, {"person:{id}": PEOPLE})
    client = shop.client()
    assert json.loads(client.get("person:2")) == {"id": 2, "name": "Alan", "surname": None, "hits": 0, "score": None,
                                                  "note": None}
    client.set("person:2", '{"surname": "Turing", "hits": 7}')
    client.set("person:3", '{"name": "Grace"}')
    assert json.loads(client.get("person:3"))["hits"] == 0
    assert [(row["first_name"], row["last_name"], row["visits"], row["secret"])
            for row in shop.database.rows("SELECT * FROM people WHERE id > 1 ORDER BY id")] == [
                ("Alan", "Turing", 7, "s2"), ("Grace", None, 0, None)]


def test_two_columns_may_change_their_names(forebay, world, writing):
    shop = begin(forebay, world, {"person:{id}": {**PEOPLE, "rename_columns": "[note=score, score=note]"}})
    client = shop.client()
    row = json.loads(client.get("person:1"))
    assert (row["note"], row["score"]) == (1.5, "first")
    client.set("person:1", '{"note": 2.5}')
    assert (row_of(shop, 1)["score"], row_of(shop, 1)["note"]) == (2.5, "first")


def test_keys_of_several_columns_of_text_and_of_uuid_are_exact(shop):
    client = shop.client()
    assert json.loads(client.get("line:1:tea")) == {"order_id": 1, "product": "tea", "amount": 2}
    assert client.get("line:1:Tea") is None
    assert client.get("line:3:tea") is None
    client.set("line:2:tea", '{"amount": 9}')
    assert client.get("token:00000000-0000-4000-8000-00000000000a") == b"Ada"
    with shop.wire() as wire:
        for key in ("token:00000000-0000-4000-8000-00000000000A", "line:01:tea", "line:x:tea", "person:01", "person:x"):
            assert str(wire.ask("GET", key)).startswith("NOMAP"), key
    assert [(row["order_id"], row["product"], row["amount"])
            for row in shop.database.rows("SELECT * FROM order_lines ORDER BY order_id, product")] == [
                (1, "Tea-2", 3), (1, "tea", 2), (2, "tea", 9)]


def test_statements_of_ones_own_have_named_parameters(shop):
    client = shop.client()
    assert client.get("word:tea") == b"1"
    assert client.incrby("word:tea", 4) == 5
    client.set("word:42", 7)
    assert client.get("word:none") is None
    assert client.delete("word:tea") == 1
    assert [(row["word"], row["n"]) for row in shop.database.rows("SELECT * FROM words")] == [("42", 7)]


def test_a_write_touches_only_the_columns_it_names(shop):
    """Others change the row meanwhile: what the write does not name stays theirs, and the copy is the whole row."""
    client = shop.client()
    client.hgetall("person:1")
    shop.database.run("UPDATE people SET note = 'behind', visits = 100 WHERE id = 1")
    client.hset("person:1", "name", "Augusta")
    assert row_of(shop, 1)["note"] == "behind"
    assert client.hgetall("person:1") == {b"id": b"1", b"name": b"Augusta", b"surname": b"Lovelace", b"hits": b"100",
                                          b"score": b"1.5", b"note": b"behind"}
    shop.database.run("UPDATE people SET visits = 200, score = 2.25 WHERE id = 1")
    assert client.hincrby("person:1", "hits", 5) == 205  # the database's number, not the copy's
    assert float(client.hincrbyfloat("person:1", "score", 0.5)) == 2.75
    assert client.hget("person:1", "hits") == b"205"
    assert client.hlen("person:1") == 6
    assert client.hincrby("person:2", "hits", -3) == -3
    assert client.hincrbyfloat("person:2", "score", 1.5) == 1.5  # NULL counts as 0


def test_hdel_sets_null_and_says_where_it_cannot(shop):
    client = shop.client()
    assert client.hdel("person:1", "note", "surname") == 2
    assert client.hdel("person:1", "note") == 0
    assert client.hexists("person:1", "note") is False
    with shop.wire() as wire:
        reply = wire.ask("HDEL", "person:1", "name")
        assert isinstance(reply, ReplyError) and "name" in str(reply)
        reply = wire.ask("HDEL", "person:1", "id")
        assert isinstance(reply, ReplyError) and "id" in str(reply)
    row = row_of(shop, 1)
    assert (row["first_name"], row["last_name"], row["note"]) == ("Ada", None, None)
    assert client.hlen("person:1") == 4
