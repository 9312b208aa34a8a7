"""Shows, on SQLite, PostgreSQL and MariaDB alike: a write answers and caches the whole row as the database made it
(defaults, generated columns, triggers); keys of every kind find their row and no other; statements of the
configuration's own get their parameters by name; misses that come together travel together, a key that fails fails
alone, and a key that is asked for twice is asked once."""

import json
import threading

import pytest

import databases
from conftest import wait_until
from resp import ReplyError

MADE = {
    "sqlite": """
CREATE TABLE made(id INTEGER PRIMARY KEY, name TEXT NOT NULL, n INTEGER DEFAULT 7, twice INTEGER AS (n * 2) STORED,
  shown TEXT, changes INTEGER NOT NULL DEFAULT 0);
CREATE TRIGGER made_i AFTER INSERT ON made BEGIN UPDATE made SET shown = upper(new.name) WHERE id = new.id; END;
CREATE TRIGGER made_u AFTER UPDATE OF name, n ON made BEGIN
  UPDATE made SET shown = upper(new.name), changes = old.changes + 1 WHERE id = new.id; END;
""",
    "postgresql": """
CREATE TABLE made(id int PRIMARY KEY, name text NOT NULL, n int DEFAULT 7, twice int GENERATED ALWAYS AS (n * 2) STORED,
  shown text, changes int NOT NULL DEFAULT 0);
CREATE FUNCTION made() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  UPDATE made SET shown = upper(new.name), changes = changes + (TG_OP = 'UPDATE')::int WHERE id = new.id; RETURN NULL;
END $$;
CREATE TRIGGER made_i AFTER INSERT ON made FOR EACH ROW EXECUTE FUNCTION made();
CREATE TRIGGER made_u AFTER UPDATE OF name, n ON made FOR EACH ROW EXECUTE FUNCTION made();
""",
    "mariadb": """
CREATE TABLE made(id INT PRIMARY KEY, name VARCHAR(20) NOT NULL, n INT DEFAULT 7, twice INT AS (n * 2) STORED,
  shown VARCHAR(20), changes INT NOT NULL DEFAULT 0);
CREATE TRIGGER made_i BEFORE INSERT ON made FOR EACH ROW SET new.shown = upper(new.name);
CREATE TRIGGER made_u BEFORE UPDATE ON made FOR EACH ROW SET new.shown = upper(new.name), new.changes = old.changes + 1;
""",
}


def loads(server):
    return server.source()["rows_wanted"]


def serve(forebay, database, keyspaces, **source):
    return forebay({"sources": {"shop": database.source(**source)}, "keyspaces": {
        pattern: {"source": "shop", "write": "write-through", "on_del": "delete-row", **space}
        for pattern, space in keyspaces.items()}})


def test_write_answers_and_caches_the_row_as_the_database_made_it(forebay, world):
    database = world()
    database.script(MADE[world.kind])
    server = serve(forebay, database, {"made:{id}": {"table": "made", "as": "hash"}})

    def truth(id):
        return databases.as_hash(database.rows("SELECT * FROM made WHERE id = %s", id)[0])
    with server.wire() as wire:
        assert wire.ask("HSET", "made:1", "name", "ann") == 1
        assert truth(1) == [b"id", b"1", b"name", b"ann", b"n", b"7", b"twice", b"14", b"shown", b"ANN",
                            b"changes", b"0"]
        assert wire.ask("HGETALL", "made:1") == truth(1)
        assert wire.ask("HSET", "made:1", "name", "bob", "n", 8) == 0
        assert wire.ask("HGETALL", "made:1") == truth(1)
        assert dict(zip(truth(1)[::2], truth(1)[1::2]))[b"changes"] == b"1"
        assert wire.ask("HINCRBY", "made:1", "n", 2) == 10
        assert wire.ask("HMGET", "made:1", "twice", "changes") == [b"20", b"2"]
        assert wire.ask("HDEL", "made:1", "n") == 1
        assert wire.ask("HGETALL", "made:1") == truth(1) and b"twice" not in truth(1)
        assert loads(server) == 0  # all of it came from the writes themselves
        assert wire.ask("HSET", "made:1", "twice", 4).word == "BADVALUE"
        assert wire.ask("HSET", "made:2", "n", 1).word in ("BADVALUE", "CONFLICT")  # name is NOT NULL
        assert wire.ask("HGETALL", "made:2") == []


def test_set_that_replaces_brings_the_other_columns_back_to_their_defaults(forebay, world):
    database = world()
    database.script(MADE[world.kind])
    server = serve(forebay, database, {"made:{id}": {"table": "made", "as": "json", "write_mode": "replace"}})
    with server.wire() as wire:
        assert wire.ask("SET", "made:1", '{"name": "ann", "n": 1, "changes": 5}') == "OK"
        assert wire.ask("SET", "made:1", '{"name": "bob"}') == "OK"
        [row] = database.rows("SELECT * FROM made")
        assert (row["name"], row["n"], row["twice"], row["shown"]) == ("bob", 7, 14, "BOB")
        assert json.loads(wire.ask("GET", "made:1")) == row
        assert wire.ask("SET", "made:1", '{"n": 2}').word == "BADVALUE"  # name has no default


KEYS = """
CREATE TABLE by_text(k {key} PRIMARY KEY, v {int});
CREATE TABLE by_both(a {int}, b {key}, v {int}, PRIMARY KEY(b, a));
CREATE TABLE by_unique(id {int} PRIMARY KEY, mail {key} NOT NULL UNIQUE, v {int});
INSERT INTO by_text VALUES ('a', 1), ('A', 2), ('é', 3), ('a b', 4), ('1', 5);
INSERT INTO by_both VALUES (1, 'x', 1), (2, 'x', 2), (1, 'y', 3), (-9223372036854775807, 'z', 4);
INSERT INTO by_unique VALUES (1, 'a@x', 1), (2, 'b@x', 2);
"""


def test_keys_of_every_kind_find_their_row_and_no_other(forebay, world):
    database = world(KEYS)
    server = serve(forebay, database, {
        "text:{k}": {"table": "by_text", "as": "column:v"}, "both:{a}:{b}": {"table": "by_both", "as": "column:v"},
        "mail:{mail}": {"table": "by_unique", "as": "column:v"}})
    expected = {"text:a": b"1", "text:A": b"2", "text:é": b"3", "text:e\u0301": None, "text:a b": b"4", "text:a ": None,
                "text: a": None, "text:1": b"5", "text:01": None, "text:b": None,
                "both:1:x": b"1", "both:2:x": b"2", "both:1:y": b"3", "both:2:y": None, "both:1:X": None,
                "both:-9223372036854775807:z": b"4", "mail:a@x": b"1", "mail:A@x": None, "mail:c@x": None}
    with server.wire() as wire:
        for _ in range(2):
            assert dict(zip(expected, wire.ask("MGET", *expected))) == expected
            assert wire.ask("FLUSHALL") == "OK"
            assert {key: wire.ask("GET", key) for key in expected} == expected
        for key in ("both:01:x", "both:9223372036854775808:x", "both:x:1"):
            assert wire.ask("GET", key).word == "NOMAP"
        assert wire.ask("INCRBY", "both:1:x", 10) == 11 and wire.ask("SET", "text:é", 33) == "OK"
        assert wire.ask("SET", "both:5:new", 5) == "OK" and wire.ask("DEL", "both:2:x", "text:A", "text:none") == 2
    assert {(row["a"], row["b"]): row["v"] for row in database.rows("SELECT * FROM by_both")} == {
        (1, "x"): 11, (1, "y"): 3, (-9223372036854775807, "z"): 4, (5, "new"): 5}
    assert {row["k"]: row["v"] for row in database.rows("SELECT * FROM by_text")} == {"a": 1, "é": 33, "a b": 4, "1": 5}


def test_row_that_the_database_finds_by_a_looser_comparison_is_not_this_keys(forebay, make_database):
    database = make_database("mariadb").make("""
        CREATE TABLE t(k VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci PRIMARY KEY, v INT);
        INSERT INTO t VALUES ('Ann', 1), ('é', 2);""")
    server = serve(forebay, database, {"t:{k}": {"table": "t", "as": "column:v"}})
    with server.wire() as wire:
        keys = ["t:Ann", "t:ann", "t:ANN", "t:Ann ", "t:é", "t:e", "t:É"]
        assert wire.ask("MGET", *keys) == [b"1", None, None, None, b"2", None, None]
        assert [wire.ask("GET", key) for key in keys] == [b"1", None, None, None, b"2", None, None]
        for key in ("t:ann", "t:Ann ", "t:E"):  # it would be another row's
            assert isinstance(wire.ask("SET", key, 9), ReplyError), key
            assert wire.ask("DEL", key) in (0, 1)
        assert wire.ask("GET", "t:Ann") == b"1"
    assert database.rows("SELECT * FROM t ORDER BY v") == [{"k": "Ann", "v": 1}, {"k": "é", "v": 2}]


def test_hidden_columns_are_neither_shown_nor_written(forebay, world):
    database = world("CREATE TABLE person(id {int} PRIMARY KEY, name {text}, secret {text});"
                     "INSERT INTO person VALUES (1, 'Ann', 'x');")
    server = serve(forebay, database, {"p:{id}": {"table": "person", "as": "hash", "hide_columns": ["secret"]}})
    with server.wire() as wire:
        assert wire.ask("HGETALL", "p:1") == [b"id", b"1", b"name", b"Ann"]
        assert wire.ask("HGET", "p:1", "secret") is None
        assert wire.ask("HSET", "p:1", "secret", "y").word == "BADVALUE"
        assert wire.ask("HSET", "p:1", "name", "Bob") == 0
    assert database.rows("SELECT * FROM person") == [{"id": 1, "name": "Bob", "secret": "x"}]


STATEMENTS = {
    "sqlite": "INSERT INTO t(id, name) VALUES (:id, :title) ON CONFLICT (id) DO UPDATE SET name = excluded.name",
    "postgresql": "INSERT INTO t(id, name) VALUES (:id, :title) ON CONFLICT (id) DO UPDATE SET name = excluded.name",
    "mariadb": "INSERT INTO t(id, name) VALUES (:id, :title) ON DUPLICATE KEY UPDATE name = values(name)",
}


def test_statements_of_the_configurations_own(forebay, world):
    """Renamed columns, joins, and text that only looks like a parameter."""
    database = world("CREATE TABLE t(id {int} PRIMARY KEY, name {text}); CREATE TABLE u(id {int}, n {int});"
                     "INSERT INTO t VALUES (1, 'one'), (2, 'two'); INSERT INTO u VALUES (1, 10), (1, 20), (2, 5);")
    load = ("SELECT t.id AS id, t.name AS title, ':id' AS literal, (SELECT sum(n) FROM u WHERE u.id = :id) AS total "
            "FROM t WHERE t.id = :id -- :nothing")
    server = serve(forebay, database, {"t:{id:int}": {
        "load": "'%s'" % load.replace("'", "''"), "store": "'%s'" % STATEMENTS[world.kind],
        "delete": "'DELETE FROM t WHERE id = :id'", "as": "hash"}})
    with server.wire() as wire:
        assert wire.ask("HMGET", "t:1", "title", "literal", "total") == [b"one", b":id", b"30"]
        assert wire.ask("HSET", "t:1", "title", "uno; :id") == 0
        assert wire.ask("HMGET", "t:1", "title", "total") == [b"uno; :id", b"30"]
        assert wire.ask("HSET", "t:3", "title", "new") == 1
        assert wire.ask("HGETALL", "t:3") == [b"id", b"3", b"title", b"new", b"literal", b":id"]
        assert wire.ask("DEL", "t:2", "t:9") == 1
    assert {row["id"]: row["name"] for row in database.rows("SELECT * FROM t")} == {1: "uno; :id", 3: "new"}


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_misses_of_many_clients_travel_together_and_twice_asked_is_once_asked(forebay, make_database, kind):
    database = make_database(kind).make("CREATE TABLE t(id {int} PRIMARY KEY, v {int});")
    database.run("INSERT INTO t VALUES " + ", ".join(f"({i}, {i})" for i in range(1, 201)))
    server = serve(forebay, database, {"t:{id}": {"table": "t", "as": "column:v"}}, pool=1, read_timeout="10s")
    answers = {}

    def ask(n, ids):
        with server.wire(timeout=30) as own:
            answers[n] = own.pipeline([("GET", f"t:{id}") for id in ids])
    with server.wire() as wire, database.connect() as other:
        assert wire.ask("GET", "t:200") == b"200"
        before = server.source()
        other.run("BEGIN" if kind == "postgresql" else "LOCK TABLES t WRITE")
        if kind == "postgresql":
            other.run("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        threads = [threading.Thread(target=ask, args=("first", [150]))]
        threads[0].start()
        wait_until(database.busy, "the first to wait for the lock")
        threads += [threading.Thread(target=ask, args=(n, range(1, 101))) for n in range(8)]
        for thread in threads[1:]:
            thread.start()
        wait_until(lambda: server.source()["waiting"] >= 100, "the misses to gather behind the first")
        other.run("ROLLBACK" if kind == "postgresql" else "UNLOCK TABLES")
        for thread in threads:
            thread.join(30)
        after = server.source()
    assert answers.pop("first") == [b"150"]
    assert list(answers.values()) == [[b"%d" % id for id in range(1, 101)]] * 8
    assert after["rows_wanted"] - before["rows_wanted"] == 101
    assert after["read_trips"] - before["read_trips"] <= 3, (before, after)


def test_key_that_fails_fails_alone(forebay, make_database):
    database = make_database("postgresql").make(
        "CREATE TABLE t(id int PRIMARY KEY, n int);"
        "CREATE FUNCTION hundredth(t) RETURNS int LANGUAGE sql AS 'SELECT 100 / $1.n';"
        "INSERT INTO t SELECT i, i % 10 FROM generate_series(1, 50) i;")
    load = "'SELECT id, hundredth(t) AS h FROM t WHERE id = :id'"
    server = forebay({"sources": {"shop": database.source(pool=1)},
                      "keyspaces": {"t:{id:int}": {"load": load, "as": "hash"}}})
    with server.wire() as wire:
        for id, reply in enumerate(wire.pipeline([("HGET", f"t:{id}", "h") for id in range(1, 51)]), 1):
            if id % 10 == 0:
                assert isinstance(reply, ReplyError) and reply.word in ("SRCERR", "BADVALUE"), reply
                assert "22012" in reply.text
            else:
                assert reply == b"%d" % (100 // (id % 10))
