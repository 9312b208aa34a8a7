"""Shows what write-behind promises to clients: they read what they wrote at once, also after a crash and on top of rows
that the database changed meanwhile; the database gets one row for many writes; what it refuses is kept aside and can be
tried again; a missing column or a database that is away costs nothing but time; limits, owners and a stop are told in
words that say what to do."""

import contextlib
import os
import signal
import subprocess
import threading

import pytest

from conftest import FOREBAY, wait_until
from resp import Closed, ReplyError, encode

SCHEMA = """
CREATE TABLE users(id {int} PRIMARY KEY, name {text} NOT NULL, age {int}, city {text});
INSERT INTO users VALUES (1, 'Ann', 30, 'Bern'), (2, 'Bob', 40, 'Basel'), (3, 'Cyn', 50, NULL);
CREATE TABLE hits(path {key} PRIMARY KEY, n {int});
CREATE TABLE posts(id {int} PRIMARY KEY, title {text}, price {numeric});
"""
LATER = "1h"

pytestmark = pytest.mark.short  # threads of the journal, the flusher and the loops meet here


class Shop:
    def __init__(self, forebay, database, folder, interval="50ms", **server):
        behind = {"source": "shop", "write": "write-behind", "flush_interval": interval}
        self.database, self.start = database, forebay
        self.config = {
            "server": {"journal_dir": os.path.join(folder, "journal"), "drain_timeout": "20s", **server},
            "sources": {"shop": database.source()},
            "keyspaces": {
                "user:{id:int}": {**behind, "table": "users", "as": "hash", "on_del": "delete-row"},
                "hits:{path}": {**behind, "table": "hits", "as": "column:n", "add_columns": "n", "on_del": "delete-row"},
                "post:{id:int}": {**behind, "table": "posts", "on_del": "delete-row"}}}
        self.server = None

    def run(self, flags=()):
        self.server = self.start(self.config, flags)
        return self.server.wire(timeout=90)

    def crash(self):
        self.server.process.send_signal(signal.SIGKILL)
        self.server.process.wait()

    def figures(self):
        line = self.server.info("forebay_write_behind")["forebay_write_behind"]["behind_shop"]
        pairs = (part.split("=") for part in line.split(","))
        return {name: int(value) if value.isdigit() else value for name, value in pairs}

    def pending(self):
        return self.figures()["pending_writes"]

    def flushed(self):
        wait_until(lambda: self.pending() == 0, "everything is flushed", 60)

    def tool(self, *words, status=0):
        """What `forebay dead` says."""
        words = [word.decode() if isinstance(word, bytes) else word for word in words]
        result = subprocess.run([FOREBAY, "dead", *words, "--address", f"127.0.0.1:{self.server.port}", "-c",
                                 self.server.config_path], capture_output=True, text=True, timeout=90)
        assert result.returncode == status, result
        return result.stdout + result.stderr

    def row(self, id):
        rows = self.database.rows("SELECT name, age, city FROM users WHERE id = %s", id)
        return tuple(rows[0][name] for name in ("name", "age", "city")) if rows else None


@pytest.fixture
def shop(world, forebay, tmp_path):
    """shop(interval=…) makes one over a database of its own, once for each kind."""
    return lambda **more: Shop(forebay, world(SCHEMA), str(tmp_path), **more)


def hash_of(wire, key):
    flat = wire.ask("HGETALL", key)
    return {flat[i].decode(): flat[i + 1].decode() for i in range(0, len(flat), 2)}


def test_writes_are_read_at_once_and_reach_the_database(shop):
    it = shop(interval=LATER)
    wire = it.run()
    assert wire.ask("HSET", "user:1", "age", 31) == 0
    assert hash_of(wire, "user:1") == {"id": "1", "name": "Ann", "age": "31", "city": "Bern"}
    assert wire.ask("HSET", "user:9", "name", "Zoe", "age", 9) >= 0
    assert hash_of(wire, "user:9") == {"id": "9", "name": "Zoe", "age": "9"}
    assert wire.ask("HINCRBY", "user:2", "age", 5) == 45 and wire.ask("HINCRBY", "user:2", "age", 5) == 50
    assert wire.ask("HDEL", "user:1", "city") == 1
    assert wire.ask("DEL", "user:3") == 1 and wire.ask("EXISTS", "user:3") == 0
    assert wire.ask("SET", "post:1", '{"title":"A","price":1.5}') == "OK"
    assert wire.ask("GET", "post:1") == b'{"id":1,"title":"A","price":1.5}'
    assert [wire.ask("INCR", "hits:a") for _ in range(3)] == [1, 2, 3]
    assert it.row(1) == ("Ann", 30, "Bern") and it.row(9) is None and it.pending() == 10
    assert wire.ask("WAIT", 1, 0) == 1
    assert it.row(1) == ("Ann", 31, None) and it.row(9) == ("Zoe", 9, None) and it.row(2) == ("Bob", 50, "Basel")
    assert it.row(3) is None
    assert int(it.database.one("SELECT n FROM hits WHERE path = %s", "a")) == 3
    figures = it.figures()
    assert figures["flushed_writes"] == 10 and figures["flushed_rows"] == 6 and figures["pending_writes"] == 0


def test_conditions_are_decided_by_the_row(shop):
    it = shop(interval=LATER)
    wire = it.run()
    assert wire.ask("HSETNX", "user:1", "city", "Rome") == 0 and wire.ask("HSETNX", "user:3", "city", "Rome") == 1
    assert wire.ask("SET", "post:1", '{"title":"A"}', "XX") is None
    assert wire.ask("SET", "post:1", '{"title":"A"}', "NX") == "OK"
    assert wire.ask("SET", "post:1", '{"title":"B"}', "NX") is None
    assert wire.ask("SET", "post:1", '{"title":"C"}', "GET") == b'{"id":1,"title":"A","price":null}'
    assert wire.ask("DEL", "post:1", "post:2") == 1
    assert wire.ask("SET", "post:1", '{"title":"D"}', "NX") == "OK"
    assert refusal(wire, "HINCRBY", "user:1", "name", 1) == "ERR hash value is not an integer"
    assert refusal(wire, "HSET", "user:1", "age", "old").startswith("BADVALUE keyspace 'user:{id:int}': field 'age' wants")
    assert wire.ask("WAIT", 1, 0) == 1
    assert it.row(3) == ("Cyn", 50, "Rome")
    assert it.database.one("SELECT title FROM posts WHERE id = 1") == "D"


def test_hset_counts_new_fields_of_rows_that_are_known_and_asks_for_none(shop):
    it = shop(interval=LATER)
    with it.run() as wire:
        def hset(key, *pairs):
            before = it.server.source()["rows_wanted"]
            reply = wire.ask("HSET", key, *pairs)
            return reply, it.server.source()["rows_wanted"] - before
        assert hset("user:3", "city", "Chur") == (0, 0)  # it is new, but nobody has read the row
        assert wire.ask("HGETALL", "user:2")
        assert wire.ask("HDEL", "user:2", "city") == 1
        assert hset("user:2", "city", "Biel", "age", 41) == (1, 0)
        assert wire.ask("HLEN", "user:99") == 0
        assert hset("user:99", "name", "Zoe", "age", 1) == (2, 0)  # known to be absent
        assert wire.pipeline([("MULTI",), ("HLEN", "user:1"), ("HDEL", "user:1", "city"), ("HSET", "user:1", "city", "Bern"),
                              ("EXEC",)])[-1] == [4, 1, 1]
    assert it.server.stop() == 0
    assert it.row(3) == ("Cyn", 50, "Chur") and it.row(2) == ("Bob", 41, "Biel") and it.row(99) == ("Zoe", 1, None)


def test_a_transaction_is_one_unit(shop):
    it = shop(interval=LATER)
    wire = it.run()
    for words in (["MULTI"], ["HSET", "user:1", "age", 1], ["HGET", "user:1", "age"], ["HINCRBY", "user:2", "age", 1],
                  ["HGETALL", "user:3"]):
        wire.ask(*words)
    reply = wire.ask("EXEC")
    assert reply[:3] == [0, b"1", 41] and b"Cyn" in reply[3]
    with it.server.wire() as other:
        assert wire.ask("WATCH", "user:1") == "OK" and other.ask("HSET", "user:1", "age", 2) == 0
    wire.ask("MULTI")
    wire.ask("HSET", "user:1", "age", 3)
    assert wire.ask("EXEC") is None
    it.crash()
    wire = it.run()
    assert hash_of(wire, "user:1")["age"] == "2" and hash_of(wire, "user:2")["age"] == "41"


def test_what_is_pending_is_shown_after_a_crash_and_on_top_of_changed_rows(shop):
    it = shop(interval=LATER)
    wire = it.run()
    assert wire.ask("HSET", "user:1", "age", 31) == 0 and wire.ask("INCRBY", "hits:a", 5) == 5
    it.crash()
    it.database.run("UPDATE users SET city = 'Thun', age = 99 WHERE id = 1")
    wire = it.run()
    assert hash_of(wire, "user:1") == {"id": "1", "name": "Ann", "age": "31", "city": "Thun"}
    assert wire.ask("GET", "hits:a") == b"5" and wire.ask("INCR", "hits:a") == 6
    assert it.server.stop() == 0
    assert it.row(1) == ("Ann", 31, "Thun") and int(it.database.one("SELECT n FROM hits")) == 6
    assert it.database.one("SELECT state FROM fb_partition") == "clean"


def test_refused_rows_are_kept_aside_and_can_be_tried_again(shop):
    it = shop(interval=LATER)
    it.database.run("CREATE TABLE small(id INTEGER PRIMARY KEY, n INTEGER CHECK (n < 100))")
    it.config["keyspaces"]["s:{id:int}"] = {**it.config["keyspaces"]["user:{id:int}"], "table": "small"}
    wire = it.run()
    n = 10000
    wire.send(b"".join(b"HSET s:%d n %d\r\n" % (i, 1000 if i == 77 else i % 100) for i in range(n)))
    assert [wire.read() for _ in range(n)].count(0) == n
    assert wire.ask("HGET", "s:77", "n") == b"1000"
    assert wire.ask("WAIT", 1, 0) == 1
    assert int(it.database.one("SELECT count(*) AS n FROM small")) == n - 1
    letter, = wire.ask("FB.DEAD", "LIST")
    letter = {letter[i].decode(): letter[i + 1] for i in range(0, len(letter), 2)}
    assert letter["key"] == b"s:77" and letter["message"] and b"1000" in letter["change"]
    assert it.figures()["dead"] == 1
    assert wire.ask("HGETALL", "s:77") == []  # readers see what the database has
    assert refusal(wire, "FB.DEAD", "RETRY", letter["id"]) is not None
    it.database.run("INSERT INTO small(id, n) VALUES (77, 1)")
    again, = wire.ask("FB.DEAD", "LIST", "COUNT", 5)
    assert again[again.index(b"attempts") + 1] != letter["attempts"]
    assert it.tool("list").startswith("id        " + letter["id"].decode()) and "s:77" in it.tool("get", letter["id"])
    assert it.tool("retry", letter["id"], status=1).startswith("forebay dead: ")
    assert wire.ask("FB.DEAD", "DROP", letter["id"]) == 1 and wire.ask("FB.DEAD", "LIST") == []
    assert wire.ask("FB.DEAD", "DROP", letter["id"]) == 0


def test_what_was_refused_is_not_shown_for_ever_below_later_writes(world, forebay, tmp_path):
    """A row that is refused while more waits for its key: when all has arrived, readers see what the database has."""
    database = world("CREATE TABLE t(id {int} PRIMARY KEY, code {int} UNIQUE, n {int}, d {int} DEFAULT 7);"
                     "INSERT INTO t(id, code) VALUES (1, 1), (2, 2);")
    space = {"source": "db", "table": "t", "as": "hash", "write": "write-behind", "flush_interval": LATER}
    server = forebay({"server": {"journal_dir": os.path.join(str(tmp_path), "journal")},
                      "sources": {"db": database.source(write_timeout="2s")}, "keyspaces": {"t:{id:int}": space}})

    def retries():
        line = server.info("forebay_write_behind")["forebay_write_behind"]["behind_db"]
        return int(dict(part.split("=") for part in line.split(","))["retries"])
    with server.wire(timeout=90) as wire, server.wire(timeout=90) as waiter, database.connect() as connection:
        assert hash_of(wire, "t:1")["code"] == "1"
        assert not isinstance(wire.ask("HSET", "t:1", "code", 2), ReplyError)  # another row has it
        assert not isinstance(wire.ask("HSET", "t:3", "code", 3), ReplyError)  # the database has a default
        connection.run("BEGIN IMMEDIATE" if database.kind == "sqlite" else "BEGIN")
        connection.run("UPDATE fb_partition SET owner = owner")
        waiter.send(encode("WAIT", 1, 60000))
        wait_until(lambda: retries() > 0, "a flush is under way", 60)
        assert not isinstance(wire.ask("HSET", "t:1", "n", 5), ReplyError)
        assert not isinstance(wire.ask("HSET", "t:3", "n", 5), ReplyError)
        connection.run("ROLLBACK")
        assert waiter.read() == 1  # the later writes still wait, and are read
        assert hash_of(wire, "t:1")["n"] == hash_of(wire, "t:3")["n"] == "5"
        assert wire.ask("WAIT", 1, 60000) == 1
        wait_until(lambda: hash_of(wire, "t:1") == {"id": "1", "code": "1", "n": "5", "d": "7"}, "the row as it is", 30)
        wait_until(lambda: hash_of(wire, "t:3") == {"id": "3", "code": "3", "n": "5", "d": "7"}, "the default", 30)


def test_many_refused_rows_stop_the_flush_until_somebody_accepts_them(shop):
    """A whole table that refuses is thought to be at fault. The reason is told, and there is a way out."""
    it = shop(interval=LATER)
    it.database.run("CREATE UNIQUE INDEX ages ON users(age)")
    with it.run() as wire:
        replies = wire.pipeline([("HSET", f"user:{id}", "name", "x", "age", 40) for id in range(100, 250)])
        assert not any(isinstance(reply, ReplyError) for reply in replies)
        assert not isinstance(wire.ask("HSET", "user:3", "city", "Chur"), ReplyError)
        assert wire.ask("WAIT", 1, 100) == 0  # all of them go at once
        wait_until(lambda: it.figures()["stopped"] == 1, "the flush is stopped", 60)
        log = wait_until(lambda: "flush_dead_max" in it.server.log() and it.server.log(), "the log", 60)
        assert "150 of 151 rows were refused" in log and "unique" in log.lower() or "duplicate" in log.lower(), log
    it.crash()
    it.config["server"]["flush_dead_max"] = 150
    with it.run() as wire:
        it.flushed()
        assert len(wire.ask("FB.DEAD", "LIST", "COUNT", 1000)) == 150 and it.row(3)[2] == "Chur"


UPPER = {
    "postgresql": "CREATE FUNCTION up() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.v = upper(NEW.v); RETURN NEW; END $$;"
                  "CREATE TRIGGER up BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION up();",
    "mariadb": "CREATE TRIGGER up BEFORE UPDATE ON t FOR EACH ROW SET NEW.v = upper(NEW.v);",
    "sqlite": "CREATE TRIGGER up AFTER UPDATE ON t WHEN NEW.v <> upper(NEW.v) BEGIN "
              "UPDATE t SET v = upper(v) WHERE id = NEW.id; END;"}
KINDS = {"postgresql": ("uuid", "0A0B0C0D-0000-4000-8000-00000000ABCD", b"0a0b0c0d-0000-4000-8000-00000000abcd"),
         "mariadb": ("ENUM('Ann', 'Bob')", "ann", b"Ann"), "sqlite": ("TEXT", "ann", b"ann")}


def test_what_the_database_makes_of_a_write_is_shown_when_it_is_there(world, forebay, tmp_path):
    """Triggers change what was written, and some types show it in another form."""
    form, given, shown = KINDS[world.kind]
    database = world("CREATE TABLE t(id {int} PRIMARY KEY, v {text}); CREATE TABLE u(id {int} PRIMARY KEY, v " + form + ");"
                     "INSERT INTO t VALUES (1, 'A'); INSERT INTO u VALUES (1, NULL);")
    database.run(UPPER[world.kind])
    space = {"source": "db", "as": "hash", "write": "write-behind", "flush_interval": LATER}
    server = forebay({"server": {"journal_dir": os.path.join(str(tmp_path), "journal")}, "sources": {"db": database.source()},
                      "keyspaces": {"t:{id:int}": {**space, "table": "t"}, "u:{id:int}": {**space, "table": "u"}}})
    with server.wire(timeout=90) as wire:
        assert wire.ask("HGET", "t:1", "v") == b"A" and wire.ask("HGET", "u:1", "v") is None
        assert not isinstance(wire.ask("HSET", "t:1", "v", "abc"), ReplyError)
        assert not isinstance(wire.ask("HSET", "u:1", "v", given), ReplyError)
        assert wire.ask("HGET", "t:1", "v") == b"abc" and wire.ask("WAIT", 1, 60000) == 1
        wait_until(lambda: wire.ask("HGET", "t:1", "v") == b"ABC", "what the trigger made", 30)
        wait_until(lambda: wire.ask("HGET", "u:1", "v") == shown, "the form of its type", 30)


def test_parents_and_children_that_are_made_again_arrive(world, forebay, tmp_path):
    """Within one flush, in an order that the database has taken from anybody who wrote it through."""
    database = world("CREATE TABLE a(id {int} PRIMARY KEY, n {int});"
                     "CREATE TABLE b(id {int} PRIMARY KEY, a_id {int} REFERENCES a(id));")
    space = {"source": "db", "as": "hash", "write": "write-behind", "flush_interval": LATER, "on_del": "delete-row"}
    server = forebay({"server": {"journal_dir": os.path.join(str(tmp_path), "journal")}, "sources": {"db": database.source()},
                      "keyspaces": {"a:{id:int}": {**space, "table": "a"}, "b:{id:int}": {**space, "table": "b"}}})
    steps = [
        [("HSET", f"a:{i}", "n", i) for i in range(300)] + [("HSET", f"b:{i}", "a_id", i) for i in range(300)],
        [("DEL", f"b:{i}") for i in range(100)] + [("DEL", f"a:{i}") for i in range(100)] +
        [("HSET", f"a:{i}", "n", 7) for i in range(50)] + [("HSET", f"b:{i}", "a_id", i) for i in range(50)],
        [("HSET", f"b:{i}", "a_id", 100) for i in range(200, 250)] + [("DEL", f"a:{i}") for i in range(200, 250)]]
    with server.wire(timeout=90) as wire:
        for step in steps:
            assert not any(isinstance(reply, ReplyError) for reply in wire.pipeline(step))
            assert wire.ask("WAIT", 1, 60000) == 1 and wire.ask("FB.DEAD", "LIST") == []
    assert (database.one("SELECT count(*) FROM a"), database.one("SELECT count(*) FROM b")) == (200, 250)


@pytest.fixture
def small_packets(make_database):
    """A MariaDB that takes no statement beyond a mebibyte."""
    database = make_database("mariadb").make("CREATE TABLE t(id BIGINT PRIMARY KEY, v LONGTEXT, w LONGTEXT, n INT);")
    before = database.one("SELECT @@global.max_allowed_packet")
    database.run("SET GLOBAL max_allowed_packet = 1048576")
    yield database
    with database.connect() as connection:
        connection.run(f"SET GLOBAL max_allowed_packet = {before}")


def test_a_value_that_the_database_cannot_take_holds_nothing_up(small_packets, forebay, tmp_path):
    """It is refused at once. What has become too large by merging stops the flush until the server takes it."""
    space = {"source": "db", "table": "t", "as": "hash", "write": "write-behind", "flush_interval": "50ms"}
    server = forebay({"server": {"journal_dir": os.path.join(str(tmp_path), "journal")},
                      "sources": {"db": small_packets.source()}, "keyspaces": {"t:{id:int}": space}})
    with server.wire(timeout=90) as wire:
        refused = wire.ask("HSET", "t:1", "v", "x" * (1 << 20))
        assert refused.word == "BADVALUE" and "max_allowed_packet" in refused.text
        assert not isinstance(wire.ask("HSET", "t:2", "n", 1), ReplyError) and wire.ask("WAIT", 1, 60000) == 1
        replies = wire.pipeline([("MULTI",), ("HSET", "t:3", "v", "x" * 600000), ("HSET", "t:3", "w", "x" * 600000),
                                 ("HSET", "t:4", "n", 1), ("EXEC",)])
        assert not isinstance(replies[-1], ReplyError), replies
        assert wire.ask("WAIT", 1, 300) == 0
        with small_packets.connect() as connection:
            connection.run("SET GLOBAL max_allowed_packet = 16777216")
        assert wire.ask("WAIT", 1, 60000) == 1
    assert small_packets.one("SELECT length(v) + length(w) FROM t WHERE id = 3") == 1200000
    assert small_packets.rows("SELECT id FROM fb_dead") == []


def test_a_missing_column_stops_the_flush_and_loses_nothing(shop):
    it = shop()
    wire = it.run()
    assert [hash_of(wire, f"user:{id}")["age"] for id in (1, 2, 3)] == ["30", "40", "50"]
    it.database.run("ALTER TABLE users RENAME COLUMN age TO years")
    for id in (1, 2, 3):
        assert wire.ask("HSET", f"user:{id}", "age", 60 + id) == 0
    wait_until(lambda: it.figures()["stopped"] == 1, "the partition is stopped", 60)
    assert wire.ask("HGET", "user:1", "age") == b"61" and it.pending() == 3
    it.database.run("ALTER TABLE users RENAME COLUMN years TO age")
    it.flushed()
    assert [it.row(id)[1] for id in (1, 2, 3)] == [61, 62, 63] and it.figures()["stopped"] == 0


@pytest.mark.parametrize("is_before_the_claim", [False, True])
def test_a_database_that_goes_back_is_brought_forward_again(shop, is_before_the_claim):
    """A failover to a replica that was behind, or a backup: with the rows, the watermark is an older one."""
    it = shop(interval=LATER)
    with it.run() as wire:
        assert wire.ask("HSET", "user:1", "age", 31) == 0 and wire.ask("INCR", "hits:a") == 1 and wire.ask("WAIT", 1, 60000) == 1
        partition = it.database.rows("SELECT epoch, applied_seq FROM fb_partition")[0]
        assert wire.ask("HSET", "user:1", "age", 32, "city", "Chur") == 0 and wire.ask("INCR", "hits:a") == 2
        assert wire.ask("DEL", "user:2") == 1 and wire.ask("WAIT", 1, 60000) == 1
        assert it.row(1) == ("Ann", 32, "Chur") and it.row(2) is None
        wire.ask("HSET", "user:1", "name", "Anna")  # waits
        it.database.run("UPDATE users SET age = 31, city = 'Bern' WHERE id = 1")
        it.database.run("INSERT INTO users VALUES (2, 'Bob', 40, 'Basel')")
        it.database.run("UPDATE hits SET n = 1")
        it.database.run(f"UPDATE fb_partition SET applied_seq = {partition['applied_seq']}, "
                        f"epoch = {partition['epoch'] - is_before_the_claim}")
        assert wire.ask("WAIT", 1, 60000) == 1
        assert it.row(1) == ("Anna", 32, "Chur") and it.row(2) is None
        assert it.database.rows("SELECT n FROM hits")[0]["n"] == 2
        assert wire.ask("HMGET", "user:1", "name", "age") == [b"Anna", b"32"] and wire.ask("EXISTS", "user:2") == 0
        assert wire.ask("INCR", "hits:a") == 3 and it.figures()["went_back"] == 1
        wait_until(lambda: "behind.again" in it.server.log(), "the log to say so", 60)
    assert it.server.stop() == 0 and it.database.rows("SELECT n FROM hits")[0]["n"] == 3


def test_limits_are_told(shop):
    it = shop(interval=LATER, flush_soft_age="100ms", flush_hard_age="400ms")
    wire = it.run()
    assert wire.ask("HSET", "user:1", "age", 31) == 0
    refused = wait_until(lambda: refusal(wire, "HSET", "user:2", "age", 1), "it is refused", 60)
    assert refused.startswith("DIRTY source 'shop' has ")
    assert hash_of(wire, "user:1")["age"] == "31"
    assert wire.ask("WAIT", 1, 0) == 1 and refusal(wire, "HSET", "user:2", "age", 1) is None


def refusal(wire, *words):
    reply = wire.ask(*words)
    return reply.text if isinstance(reply, ReplyError) else None


def test_one_process_owns_the_partition(shop, tmp_path):
    it = shop()
    wire = it.run()
    assert wire.ask("HSET", "user:1", "age", 31) == 0
    config = {**it.config, "server": {**it.config["server"], "journal_dir": str(tmp_path / "other")}}
    other = it.start(config)
    with other.wire() as second:
        said = refusal(second, "HSET", "user:1", "age", 7)
        assert said.startswith("NOTOWNER partition 'shop' is owned by 127.0.0.1:")
        it.flushed()
        assert hash_of(second, "user:1")["age"] == "31"
        assert wire.ask("HSET", "user:1", "age", 32) == 0
        it.flushed()
        assert hash_of(second, "user:1")["age"] == "32"  # it keeps no copies
        assert it.server.stop() == 0
        wait_until(lambda: refusal(second, "HSET", "user:1", "age", 8) is None, "the other takes it over", 60)
        assert second.ask("WAIT", 1, 0) == 1
    assert it.row(1)[1] == 8


def test_keys_of_two_kinds_are_not_one_transaction(shop):
    it = shop()
    it.database.run("CREATE TABLE through(id INTEGER PRIMARY KEY, n INTEGER)")
    it.config["keyspaces"]["w:{id:int}"] = {"source": "shop", "table": "through", "as": "hash", "write": "write-through"}
    wire = it.run()
    wire.ask("MULTI")
    wire.ask("HSET", "user:1", "age", 1)
    wire.ask("HSET", "w:1", "n", 1)
    assert "written behind" in refusal(wire, "EXEC")


def test_a_stop_under_load_takes_everything_along(shop):
    it = shop(interval=LATER)
    for _ in range(5):
        it.run().close()
        last = {}

        def write(id):
            with contextlib.suppress(OSError, Closed), it.server.wire(timeout=90) as wire:
                for n in range(1000000):
                    if not isinstance(wire.ask("HSET", f"user:{id}", "age", n), int):
                        break
                    last[id] = n
        writers = [threading.Thread(target=write, args=(id,)) for id in (1, 2, 3)]
        for writer in writers:
            writer.start()
        wait_until(lambda: len(last) == 3 and min(last.values()) > 20, "some writes", 30)
        assert it.server.stop() == 0
        for writer in writers:
            writer.join()
        for id, n in last.items():  # the answer to the last one may have been lost
            assert it.row(id)[1] in (n, n + 1), (id, n, it.row(id))


def test_a_stop_that_cannot_drain_says_what_is_left(make_database, forebay, tmp_path):
    database = make_database("postgresql").make(SCHEMA)
    it = Shop(forebay, database, str(tmp_path), interval=LATER, drain_timeout="300ms")
    wire = it.run()
    assert wire.ask("HSET", "user:1", "age", 31) == 0
    with database.connect() as lock:
        lock.run("BEGIN")
        lock.run("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
        it.server.process.send_signal(signal.SIGTERM)
        assert it.server.process.wait(20) == 75
        lock.run("ROLLBACK")
    assert "1 acknowledged writes are not in the database yet" in it.server.log()
    it.server.finish = lambda: None  # 75 is what was asked for
    wire = it.run()
    assert wire.ask("HGET", "user:1", "age") == b"31" and wire.ask("WAIT", 1, 0) == 1
    assert it.row(1)[1] == 31


def test_a_database_that_is_away_costs_time_only(make_database, forebay, tmp_path):
    database = make_database("postgresql").make(SCHEMA)
    it = Shop(forebay, database, str(tmp_path))
    wire = it.run()
    assert hash_of(wire, "user:1")["age"] == "30"
    database.server.freeze()
    try:
        for age in range(100, 400):
            assert wire.ask("HSET", "user:1", "age", age) == 0
            assert wire.ask("HGET", "user:1", "age") == b"%d" % age
        assert it.pending() > 0
    finally:
        database.server.thaw()
    it.flushed()
    assert it.row(1)[1] == 399


def test_a_write_that_changes_nothing_gives_no_copy_a_new_life(shop, redis_server):
    """The copy that its mark hides is of some age: it leaves the shared store, and whoever asks next reads the row."""
    it, redis = shop(interval=LATER), redis_server()
    it.config["store"] = {"url": f"redis://127.0.0.1:{redis.port}"}
    with it.run() as wire, redis.wire() as store:
        assert wire.ask("HGET", "user:1", "city") == b"Bern"
        wait_until(lambda: store.ask("EXISTS", "user:1") == 1, "the row to be shared")
        assert wire.ask("HGET", "user:1", "city") == b"Bern"
        it.database.run("UPDATE users SET city = 'Brig' WHERE id = 1")  # behind our back
        assert wire.ask("HSETNX", "user:1", "name", "Eve") == 0
        assert store.ask("EXISTS", "user:1") == 0 and wire.ask("HGET", "user:1", "city") == b"Brig"
