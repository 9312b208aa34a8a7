"""Shows what is MariaDB's own: texts that compare loosely, character sets, unsigned numbers, engines without transactions,
triggers that refuse, and many writes in one transaction with each its own outcome."""

import json
import subprocess
import threading

import pytest

from conftest import FOREBAY
from resp import ReplyError

PARTS = 40


@pytest.fixture
def serve(forebay, make_database):
    """serve(schema, keyspaces) gives a server in front of a fresh database: server.database."""
    def make(schema, keyspaces, **source):
        database = make_database("mariadb").make(schema)
        server = forebay({"sources": {"shop": database.source(**source)},
                          "keyspaces": {pattern: {"source": "shop", "write": "write-through", "on_del": "delete-row",
                                                  **keyspace} for pattern, keyspace in keyspaces.items()}})
        server.database = database
        return server
    return make


def test_key_is_exact_where_the_database_compares_loosely(serve):
    server = serve("CREATE TABLE p(name varchar(20) COLLATE utf8mb4_general_ci PRIMARY KEY, n int);"
                   "INSERT INTO p VALUES ('Bob', 1), ('eve', 2);", {"p:{name}": {"table": "p"}})
    with server.wire() as wire:
        assert wire.ask("MGET", "p:bob", "p:Bob", "p:Bob ", "p:EVE", "p:eve", "p:evé") == [
            None, b'{"name":"Bob","n":1}', None, None, b'{"name":"eve","n":2}', None]
        reply = wire.ask("SET", "p:bob", '{"n":5}')
        assert isinstance(reply, ReplyError) and reply.word == "CONFLICT" and "Duplicate entry" in reply.text
        assert wire.ask("DEL", "p:BOB") == 0 and wire.ask("DEL", "p:Bob") == 1
        assert wire.ask("SET", "p:bob", '{"n":5}') == "OK"
    assert server.database.rows("SELECT * FROM p ORDER BY n") == [{"name": "eve", "n": 2}, {"name": "bob", "n": 5}]


def test_key_that_the_character_set_cannot_hold_fails_alone(serve):
    server = serve("CREATE TABLE p(name varchar(20) CHARACTER SET latin1 PRIMARY KEY, n int);"
                   "INSERT INTO p SELECT concat('n', seq), seq FROM seq_1_to_50;", {"p:{name}": {"table": "p"}})
    keys = [f"p:n{i}" for i in range(1, 51)] + ["p:漢", "p:n1"]
    with server.wire() as wire:
        rows = wire.ask("MGET", *keys)
        assert [json.loads(row)["n"] for row in rows[:50]] == list(range(1, 51)) and rows[50:] == [None, rows[0]]
        assert wire.ask("GET", "p:漢") is None
        assert wire.ask("SET", "p:漢", '{"n":1}').word == "BADVALUE"


def test_value_beyond_max_allowed_packet_is_refused_and_the_connection_stays(forebay, make_database):
    database = make_database("mariadb").make("CREATE TABLE big(id int PRIMARY KEY, v longtext);")
    most = int(database.one("SELECT @@max_allowed_packet AS n"))
    server = forebay({"server": {"bulk_max": "64mb", "query_buffer_max": "128mb"}, "sources": {"s": database.source()},
                      "keyspaces": {"b:{id}": {"source": "s", "table": "big", "as": "column:v",
                                               "write": "write-through"}}})
    with server.wire(timeout=60) as wire:
        assert wire.ask("SET", "b:1", "x" * 1000000) == "OK"
        for _ in range(6):  # more than would open the breaker
            reply = wire.ask("SET", "b:2", "x" * most)
            assert isinstance(reply, ReplyError) and reply.word == "BADVALUE" and "max_allowed_packet" in reply.text
        assert wire.ask("SET", "b:2", "small") == "OK" and wire.ask("GET", "b:2") == b"small"
    assert server.source("s")["breaker_opens"] == 0


def test_composite_keys_are_loaded_in_one_statement(serve):
    server = serve("CREATE TABLE p(a int, b varchar(20) COLLATE utf8mb4_nopad_bin, v int, PRIMARY KEY(a, b));"
                   "INSERT INTO p SELECT seq MOD 10, concat('k', seq), seq FROM seq_1_to_300;",
                   {"p:{a}:{b}": {"table": "p"}})
    with server.wire() as wire:
        keys = [f"p:{i % 10}:k{i}" for i in range(1, 301)] + ["p:1:k2", "p:99:k1"]
        rows = wire.ask("MGET", *keys)
    assert [json.loads(row)["v"] for row in rows[:300]] == list(range(1, 301)) and rows[300:] == [None, None]


def test_unsigned_numbers_count_to_the_last(serve):
    server = serve("CREATE TABLE c(id int unsigned PRIMARY KEY, n bigint unsigned, d decimal(30,2));"
                   "INSERT INTO c VALUES (1, 18446744073709551610, 9999999999999999999999999999.98);",
                   {"c:{id}": {"table": "c", "as": "hash"}})
    with server.wire() as wire:
        assert wire.ask("HINCRBY", "c:1", "n", 5) == 18446744073709551615 or \
            wire.ask("HGET", "c:1", "n") == b"18446744073709551615"
        reply = wire.ask("HINCRBY", "c:1", "n", 1)
        assert reply.text == "ERR increment or decrement would overflow"
        assert wire.ask("HINCRBYFLOAT", "c:1", "d", "0.01") == b"9999999999999999999999999999.99"
        assert wire.ask("HSET", "c:1", "n", "1.5").word == "BADVALUE"
        assert wire.ask("HSET", "c:1", "n", "3") == 0 and wire.ask("HINCRBY", "c:1", "n", -2) == 1
        assert wire.ask("HINCRBY", "c:1", "n", -2).text == "ERR increment or decrement would overflow"
        assert wire.ask("HINCRBY", "c:2", "n", 7) == 7
    assert server.database.rows("SELECT id, n FROM c ORDER BY id") == [{"id": 1, "n": 1}, {"id": 2, "n": 7}]


def test_triggers_have_the_last_word(serve):
    server = serve("CREATE TABLE p(id int PRIMARY KEY, n int, m int AS (n + 1) STORED, name varchar(20) DEFAULT 'x');"
                   "CREATE TRIGGER u BEFORE UPDATE ON p FOR EACH ROW SET NEW.name = concat('n', NEW.n);"
                   "INSERT INTO p(id, n) VALUES (1, 1), (2, 2);", {"p:{id}": {"table": "p"}})
    server.database.run("CREATE TRIGGER i BEFORE INSERT ON p FOR EACH ROW IF NEW.n > 99 THEN "
                        "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no more than 99'; END IF")
    with server.wire() as wire:
        assert wire.ask("SET", "p:1", '{"n":7}') == "OK"
        assert wire.ask("GET", "p:1") == b'{"id":1,"n":7,"m":8,"name":"n7"}'
        reply = wire.ask("SET", "p:3", '{"n":100}')
        assert reply.word == "CONFLICT" and "no more than 99" in reply.text
        assert wire.ask("SET", "p:3", '{"m":1}').word == "BADVALUE"  # generated
        assert wire.ask("GET", "p:3") is None


def test_writes_of_all_kinds_share_transactions_and_have_their_own_outcome(serve):
    server = serve("CREATE TABLE p(id int PRIMARY KEY, n int NOT NULL, u int UNIQUE, CHECK (n < 1000));"
                   f"INSERT INTO p SELECT seq, seq, seq FROM seq_1_to_{PARTS};",
                   {"p:{id}": {"table": "p", "as": "hash"}})
    commands, expected = [], []
    for i in range(1, PARTS + 1):
        kind = i % 8
        command, reply = [
            (("HSET", f"p:{i}", "n", i + 500), 0), (("HINCRBY", f"p:{i}", "n", 3), i + 3), (("DEL", f"p:{i}"), 1),
            (("HSET", f"p:{i + 100}", "n", 5), 1), (("HSET", f"p:{i}", "n", 1000), "CONFLICT"),
            (("HSET", f"p:{i}", "u", i - 1), "CONFLICT"), (("HDEL", f"p:{i}", "u"), 1),
            (("HSETNX", f"p:{i}", "n", 9), 0)][kind]
        commands.append(command)
        expected.append(reply)
    replies = [None] * len(commands)

    def ask(i):
        with server.wire() as wire:
            replies[i] = wire.ask(*commands[i])
    threads = [threading.Thread(target=ask, args=(i,)) for i in range(len(commands))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [r.word if isinstance(r, ReplyError) else r for r in replies] == expected
    rows = {row["id"]: (row["n"], row["u"]) for row in server.database.rows("SELECT * FROM p")}
    for i in range(1, PARTS + 1):
        wanted = [(i + 500, i), (i + 3, i), None, (i, i), (i, i), (i, i), (i, None), (i, i)][i % 8]
        assert rows.get(i) == wanted, i
        assert rows.get(i + 100) == ((5, None) if i % 8 == 3 else None)


def test_locked_row_holds_up_no_other(serve):
    server = serve(f"CREATE TABLE p(id int PRIMARY KEY, n int); INSERT INTO p SELECT seq, 0 FROM seq_1_to_{PARTS};",
                   {"p:{id}": {"table": "p", "as": "hash"}}, write_timeout="4s")
    replies = {}

    def ask(i):
        with server.wire(timeout=30) as wire:
            replies[i] = wire.ask("HSET", f"p:{i}", "n", 1)
    with server.database.connect() as direct:
        direct.run("BEGIN")
        direct.run("UPDATE p SET n = 7 WHERE id = 5")
        threads = {i: threading.Thread(target=ask, args=(i,)) for i in range(1, PARTS + 1)}
        for thread in threads.values():
            thread.start()
        for i, thread in threads.items():
            if i != 5:
                thread.join()
        assert {i for i, reply in replies.items() if reply != 0} - {5} == set()
        threads[5].join()
        assert replies[5].word == "SRCTIMEOUT"
        direct.run("ROLLBACK")
    rows = server.database.rows("SELECT id, n FROM p")
    assert all(row["n"] == (0 if row["id"] == 5 else 1) for row in rows)


def test_set_replace_goes_back_to_defaults(serve):
    server = serve("CREATE TABLE p(id int PRIMARY KEY, a int DEFAULT 3, b timestamp(3) NULL, c text);"
                   "INSERT INTO p VALUES (1, 1, from_unixtime(1704103200), 'x');", {"p:{id}": {"table": "p", "write_mode": "replace"}})
    with server.wire() as wire:
        assert wire.ask("GET", "p:1") == b'{"id":1,"a":1,"b":"2024-01-01T10:00:00.000+00:00","c":"x"}'
        assert wire.ask("SET", "p:1", '{"c":"y"}') == "OK"
        assert wire.ask("GET", "p:1") == b'{"id":1,"a":3,"b":null,"c":"y"}'
        assert wire.ask("SET", "p:1", '{"b":"2024-07-01T12:00:00+02:00"}') == "OK"
        assert wire.ask("GET", "p:1") == b'{"id":1,"a":3,"b":"2024-07-01T10:00:00.000+00:00","c":null}'


def test_statements_of_ones_own(serve):
    load = "SELECT hits, `at` FROM views -- :no\n WHERE path = :path # :nor this\n AND ':path' <> \"it's \\':path\""
    server = serve("CREATE TABLE views(path varchar(50) COLLATE utf8mb4_nopad_bin PRIMARY KEY, hits int, "
                   "`at` timestamp NULL);", {"v:{path:rest}": {
                       "load": load, "as": "hash",
                       "store": "INSERT INTO views(path, hits, `at`) VALUES (:path, :hits, :at) "
                                "ON DUPLICATE KEY UPDATE hits = :hits, `at` = :at",
                       "delete": "DELETE FROM views WHERE path = :path"}})
    with server.wire() as wire:
        assert wire.ask("HGETALL", "v:/a:b") == []
        assert wire.ask("HSET", "v:/a:b", "hits", 1, "at", "2024-01-01T00:00:00+00:00") == 2
        assert wire.ask("HINCRBY", "v:/a:b", "hits", 4) == 5
        assert wire.ask("HGETALL", "v:/a:b") == [b"hits", b"5", b"at", b"2024-01-01T00:00:00+00:00"]
        assert wire.ask("DEL", "v:/a:b") == 1
    assert server.database.rows("SELECT * FROM views") == []


def test_lists_hold_the_rows_of_exactly_this_key(serve):
    server = serve("CREATE TABLE o(id int PRIMARY KEY, who varchar(9) COLLATE utf8mb4_general_ci, n int, KEY(who));"
                   "INSERT INTO o VALUES (1, 'bob', 3), (2, 'Bob', 1), (3, 'bob', 2);",
                   {"o:{who}": {"table": "o", "rows": "many", "order": ["n desc"], "write": "off", "on_del": "invalidate"}})
    with server.wire() as wire:
        assert json.loads(wire.ask("GET", "o:bob")) == [{"id": 1, "who": "bob", "n": 3}, {"id": 3, "who": "bob", "n": 2}]
        assert wire.ask("GET", "o:nobody") == b"[]"


def test_two_caches_that_insert_the_same_rows_at_once(forebay, make_database):
    database = make_database("mariadb").make("CREATE TABLE p(id int PRIMARY KEY, n int NOT NULL DEFAULT 0);")
    spaces = {"p:{id}": {"source": "shop", "table": "p", "as": "hash", "write": "write-through"}}
    servers = [forebay({"sources": {"shop": database.source()}, "keyspaces": spaces}) for _ in range(2)]
    replies = [None, None]
    start = threading.Barrier(2)

    def ask(i):
        with servers[i].wire(timeout=60) as wire:
            start.wait()
            replies[i] = wire.pipeline([("HINCRBY", f"p:{id}", "n", 1) for id in range(300)])
    threads = [threading.Thread(target=ask, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [sorted(pair) for pair in zip(*replies)] == [[1, 2]] * 300  # each added to what the other had made
    assert database.rows("SELECT min(n) AS a, max(n) AS b, count(*) AS c FROM p") == [{"a": 2, "b": 2, "c": 300}]


def test_table_without_transactions_is_read_and_not_written(forebay, make_database, tmp_path):
    database = make_database("mariadb").make("CREATE TABLE p(id int PRIMARY KEY, n int) ENGINE=MyISAM;"
                                             "INSERT INTO p VALUES (1, 2);")
    source = {"sources": {"shop": database.source()}}
    server = forebay({**source, "keyspaces": {"p:{id}": {"source": "shop", "table": "p"}}})
    with server.wire() as wire:
        assert wire.ask("GET", "p:1") == b'{"id":1,"n":2}'
    path = tmp_path / "writes.yaml"
    path.write_text(json.dumps({**source, "keyspaces": {"p:{id}": {"source": "shop", "table": "p",
                                                                   "write": "write-through"}}}))
    result = subprocess.run([FOREBAY, "check", "-c", path], capture_output=True, text=True, check=False)
    assert result.returncode == 78 and "knows no transactions" in result.stdout + result.stderr


@pytest.fixture
def small_packets(serve, mariadb):
    """The server takes packets of a MiB, from connections that are made now."""
    with mariadb.connect() as direct:
        before = direct.one("SELECT @@global.max_allowed_packet AS n")
        direct.run(f"SET GLOBAL max_allowed_packet = {1 << 20}")
        yield
        direct.run(f"SET GLOBAL max_allowed_packet = {before}")


def test_larger_than_the_server_takes_is_refused_and_the_rest_goes_on(small_packets, serve):
    server = serve("CREATE TABLE p(id int PRIMARY KEY, v longblob);", {"p:{id}": {"table": "p", "as": "column:v"}})
    with server.wire(timeout=60) as wire:
        assert wire.ask("SET", "p:1", b"x" * 900000) == "OK" and len(wire.ask("GET", "p:1")) == 900000
        reply = wire.ask("SET", "p:2", b"x" * (2 << 20))
        assert isinstance(reply, ReplyError) and reply.word in ("BADVALUE", "SRCDOWN"), reply
        assert wire.ask("SET", "p:3", b"y") == "OK" and wire.ask("GET", "p:3") == b"y"
    assert server.database.rows("SELECT id, length(v) AS n FROM p ORDER BY id") == [{"id": 1, "n": 900000},
                                                                                   {"id": 3, "n": 1}]
