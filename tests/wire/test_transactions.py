"""MULTI, EXEC and WATCH: the shapes of Redis' replies, one transaction at the source, and no lost update.

Where the two differ on purpose (a failing write takes the others back; two sources are refused) the test says so."""

import threading

import pytest

from resp import encode

redis = pytest.importorskip("redis")

SCHEMA = """
CREATE TABLE kv(k {key} PRIMARY KEY, v {text});
CREATE TABLE number(k {key} PRIMARY KEY, n {int} CHECK (n < 1000));
CREATE TABLE person(id {int} PRIMARY KEY, name {text}, age {int});
CREATE TABLE side(k {key} PRIMARY KEY, v {text});
"""


def serve(forebay, database, archive):
    server = forebay({
        "sources": {"shop": database.source(), "archive": archive.source()},
        "keyspaces": {
            "k:{k}": {"source": "shop", "table": "kv", "as": "column:v", "write": "write-through",
                      "on_del": "delete-row"},
            "n:{k}": {"source": "shop", "table": "number", "as": "column:n", "write": "write-through"},
            "person:{id:int}": {"source": "shop", "table": "person", "as": "hash", "write": "write-through"},
            "side:{k}": {"source": "shop", "table": "side", "as": "column:v", "write": "off", "on_set": "ignore"},
            "old:{k}": {"source": "archive", "table": "kv", "as": "column:v", "write": "write-through"},
        },
    })
    server.database, server.archive = database, archive
    return server


@pytest.fixture
def shop(forebay, world):
    """Once for each kind of database."""
    return serve(forebay, world(SCHEMA), world(SCHEMA))


@pytest.fixture
def sqlite_shop(forebay, make_database):
    return serve(forebay, make_database("sqlite").make(SCHEMA), make_database("sqlite").make(SCHEMA))


def rows(server, text):
    return [tuple(row.values()) for row in server.database.rows(text)]


# ---- the same as Redis ------------------------------------------------------------------------------------------------

ALIKE = [
    ["MULTI", "SET k:a 1", "GET k:a", "SET k:a 2 GET", "STRLEN k:a", "EXISTS k:a k:b", "DEL k:a", "GET k:a", "EXEC",
     "GET k:a"],
    ["MULTI", "INCR n:a", "INCRBY n:a 4", "GET n:a", "DECR n:a", "EXEC", "GET n:a"],
    ["MULTI", "HSET person:1 name Ann age 41", "HMGET person:1 name age", "HSET person:1 name Bob", "HINCRBY person:1 age 1",
     "HGET person:1 age", "HDEL person:1 name", "HEXISTS person:1 name", "HMGET person:1 name age", "EXEC"],
    ["SET k:a old", "MULTI", "SETNX k:a x", "SETNX k:b y", "SET k:a z XX", "SET k:c z XX", "MGET k:a k:b k:c", "EXEC"],
    ["SET k:a old", "MULTI", "MSETNX k:c 1 k:a 2", "MSETNX k:c 1 k:d 2", "MGET k:a k:c k:d", "MSET k:a 5 k:a 6",
     "GET k:a", "EXEC"],
    ["MULTI", "GETDEL k:a", "SET k:a 1", "GETDEL k:a", "GETDEL k:a", "EXEC", "EXISTS k:a"],
    ["MULTI", "PING", "ECHO x", "SET k:a 1", "PING y", "GET k:a", "EXEC"],
    ["MULTI", "SET k:a 1", "EXPIRE k:a 100", "TTL k:a", "EXEC", "MULTI", "TYPE k:a", "TYPE k:b", "EXEC"],
    ["MULTI", "EXEC"],
    ["MULTI", "MULTI", "WATCH k:a", "PING", "EXEC"],
    ["EXEC", "DISCARD", "UNWATCH", "WATCH", "MULTI x"],
    ["MULTI", "SET k:a 1", "DISCARD", "GET k:a", "EXEC"],
    ["MULTI", "NONSENSE x", "SET k:a 1", "EXEC", "GET k:a"],
    ["MULTI", "SET k:a", "SET k:a 1", "EXEC", "GET k:a"],
    ["MULTI", "SET k:a 1", "EXEC now", "EXEC", "GET k:a"],
    ["MULTI", "CLIENT NOSUCH", "EXEC"],
    ["MULTI", "SHUTDOWN", "EXEC"],
    ["MULTI", "SET k:a 1", "RESET", "EXEC", "GET k:a"],
    ["WATCH k:a", "SET k:a 1", "MULTI", "PING", "EXEC", "MULTI", "PING", "EXEC"],
    ["SET k:a 1", "WATCH k:a k:b", "MULTI", "GET k:a", "SET k:b 2", "EXEC"],
    ["WATCH k:a", "SET k:a 1", "UNWATCH", "MULTI", "SET k:b 2", "EXEC"],
    ["WATCH k:a", "SET k:a 1", "MULTI", "DISCARD", "MULTI", "GET k:a", "EXEC"],
    ["SET k:a 1", "WATCH k:a", "MULTI", "GET k:a", "EXEC", "SET k:a 2", "MULTI", "GET k:a", "EXEC"],
    ["MULTI", "UNWATCH", "SELECT 0", "EXEC"],
    ["MULTI", "SET k:a x", "GETRANGE k:a 0 -1", "GETEX k:a EX 10", "EXEC"],
]


def said(server, lines, version):
    """All bytes that a server answers."""
    with socket_of(server) as wire:
        wire.sendall(f"HELLO {version}\r\n".encode() + b"".join(line.encode() + b"\r\n" for line in lines)
                     + b"ECHO --end\r\n")
        out = b""
        while not out.endswith(b"$5\r\n--end\r\n"):
            more = wire.recv(65536)
            assert more, out
            out += more
    return out[out.index(b"modules\r\n*0\r\n"):].decode()


@pytest.mark.short
@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("lines", ALIKE, ids=lambda lines: " ".join(lines)[:60])
def test_replies_are_those_of_redis(sqlite_shop, redis_server, lines, version):
    assert said(sqlite_shop, lines, version) == said(redis_server(), lines, version)


def test_replies_are_those_of_redis_whatever_the_database(shop, redis_server):
    theirs = redis_server()
    with shop.wire() as ours, theirs.wire() as wire, shop.database.connect() as direct:
        for lines in ALIKE:
            for version in (2, 3):
                assert said(shop, lines, version) == said(theirs, lines, version), lines
                for table in ("kv", "number", "person", "side"):
                    direct.run(f"DELETE FROM {table}")
                assert ours.ask("FLUSHALL") == wire.ask("FLUSHALL") == "OK"


def socket_of(server):
    import socket
    return socket.create_connection((server.host, server.port), timeout=20)


# ---- one transaction at the source ------------------------------------------------------------------------------------

def test_a_failing_write_takes_the_others_back(shop):
    client = shop.client(decode_responses=True)
    client.set("n:b", 999)
    pipe = client.pipeline()
    pipe.set("k:a", "1").incr("n:b").set("k:c", "1")
    with pytest.raises(redis.ResponseError) as error:
        pipe.execute()
    said = {"sqlite": "CHECK constraint failed: n < 1000",
            "postgresql": '23514 new row for relation "number" violates check constraint "number_n_check"',
            "mariadb": f"23000 (4025) CONSTRAINT `number.n` failed for `{shop.database.name}`.`number`"}
    assert str(error.value) == ("Transaction rolled back: command 2 ('incrby'): CONFLICT keyspace 'n:{k}': "
                                + said[shop.database.kind])
    assert isinstance(error.value, redis.exceptions.ExecAbortError)
    assert rows(shop, "SELECT count(*) FROM kv") == [(0,)]
    assert client.mget("k:a", "n:b", "k:c") == [None, "999", None]


def test_what_can_be_known_before_is_refused_in_the_same_words(shop):
    client = shop.client(decode_responses=True)
    for request, error_text in [
            (("incr", "k:a"), "command 2 ('incr'): ERR value is not an integer or out of range"),
            (("incrby", "n:a", "many"), "command 2 ('incrby'): ERR value is not an integer or out of range"),
            (("set", "n:a", "many"), "command 2 ('set'): BADVALUE"),
            (("set", "person:1", "x"), "command 2 ('set'): WRONGTYPE"),
            (("hset", "person:1", "nosuch", "x"), "command 2 ('hset'): BADVALUE"),
            (("set", "old:a", "x"), "command 2 ('set'): ERR keys of sources 'shop' and 'archive' cannot be in one")]:
        pipe = client.pipeline()
        pipe.set("k:z", "1").execute_command(*request)
        with pytest.raises(redis.ResponseError) as error:
            pipe.execute()
        assert f"Transaction rolled back: {error_text}" in str(error.value)
        assert rows(shop, "SELECT count(*) FROM kv") == [(0,)]
    assert shop.archive.one("SELECT count(*) FROM kv") == 0


def test_an_unmapped_key_is_told_when_it_is_queued(shop):
    client = shop.wire()
    client.ask("MULTI")
    assert "NOMAP" in str(client.ask("SET", "nobody:1", "x"))
    assert str(client.ask("EXEC")) == "EXECABORT Transaction discarded because of previous errors."


def test_a_reading_transaction_is_plain_reads(shop):
    client = shop.client(decode_responses=True)
    client.set("k:a", "1")
    client.set("old:a", "2")
    pipe = client.pipeline()
    pipe.get("k:a").get("old:a").hgetall("person:1").mget("k:a", "k:b").get("person:1")
    assert pipe.execute() == ["1", "2", {}, ["1", None], None]
    client.hset("person:1", mapping={"name": "Ann"})
    answers = pipe.get("person:1").get("k:a").execute(raise_on_error=False)
    assert "WRONGTYPE" in str(answers[0]) and answers[1] == "1"


def test_ignored_writes_are_answered_ok(shop):
    client = shop.client()
    pipe = client.pipeline()
    pipe.set("side:a", "x", px=1000).set("side:b", "y", px=1000).delete("side:a")
    assert pipe.execute() == [True, True, 0]
    assert rows(shop, "SELECT count(*) FROM side") == [(0,)]


def test_ten_thousand_bytes_and_a_thousand_requests_in_one_buffer(shop):
    """set_many of Django and keyv: MULTI, SET … PX, EXEC, all in one write; beyond the bound it is refused."""
    client = shop.client(decode_responses=True)
    pipe = client.pipeline()
    for i in range(1024):
        pipe.set(f"k:{i}", "v" * 10 + str(i), px=60000)
    assert pipe.execute() == [True] * 1024
    assert rows(shop, "SELECT count(*), max(length(v)) FROM kv") == [(1024, 14)]
    assert 0 < client.pttl("k:7") <= 60000
    for i in range(1025):
        pipe.set(f"k:{i}", "new")
    with pytest.raises(redis.ResponseError, match="MULTI holds at most 1024 requests"):
        pipe.execute()
    assert rows(shop, "SELECT count(*) FROM kv WHERE v = 'new'") == [(0,)]


def test_replies_may_be_switched_off(shop):
    client = shop.wire()
    client.send(encode("CLIENT", "REPLY", "OFF"))
    for line in ["MULTI", "SET k:a 1", "GET k:a", "PING", "EXEC"]:
        client.send(encode(*line.split()))
    client.send(encode("CLIENT", "REPLY", "ON"))
    assert client.read() == "OK"
    assert client.ask("GET", "k:a") == b"1"


# ---- watching -----------------------------------------------------------------------------------------------------------

def test_a_row_changed_behind_our_back_is_seen_by_watch(shop):
    """Redis can only see its own changes; here the transaction compares with what the database has."""
    client = shop.client(decode_responses=True)
    client.set("n:a", 5)
    with client.pipeline() as pipe:
        pipe.watch("n:a")
        assert pipe.get("n:a") == "5"
        shop.database.run("UPDATE number SET n = 6 WHERE k = 'a'")
        pipe.multi()
        pipe.set("n:a", 7)
        with pytest.raises(redis.WatchError):
            pipe.execute()
        pipe.watch("n:a")
        assert pipe.get("n:a") == "6"
        pipe.multi()
        pipe.set("n:a", 7)
        assert pipe.execute() == [True]
    assert rows(shop, "SELECT n FROM number") == [(7,)]


def test_a_watch_over_reads_only_is_checked_too(shop):
    client = shop.client(decode_responses=True)
    client.set("k:a", "1")
    with client.pipeline() as pipe:
        pipe.watch("k:a")
        shop.database.run("UPDATE kv SET v = '2'")
        pipe.multi()
        pipe.get("k:a")
        with pytest.raises(redis.WatchError):
            pipe.execute()
        pipe.watch("k:a", "k:none")
        pipe.multi()
        pipe.get("k:a")
        assert pipe.execute() == ["2"]


@pytest.mark.short
def test_no_update_is_lost(shop):
    """Several clients increment one number, each by WATCH, GET, MULTI, SET, EXEC; one of them by SQL."""
    clients, rounds = 6, 20
    shop.client().set("n:a", 0)
    failures = []

    def increment():
        client = shop.client(decode_responses=True)
        try:
            for _ in range(rounds):
                client.transaction(lambda pipe: (value := int(pipe.get("n:a")), pipe.multi(), pipe.set("n:a", value + 1)),
                                   "n:a")
        except Exception as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=increment) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for _ in range(rounds):
        shop.database.run("UPDATE number SET n = n + 1 WHERE k = 'a'")
    for thread in threads:
        thread.join()
    assert not failures
    assert rows(shop, "SELECT n FROM number") == [((clients + 1) * rounds,)]


def test_transfers_keep_their_sum(shop):
    clients, rounds = 4, 30
    shop.client().mset({"n:a": 100, "n:b": 100})
    sums, failures = [], []

    def move(which):
        client = shop.client(decode_responses=True)
        try:
            for i in range(rounds):
                source, target = ("n:a", "n:b") if (i + which) % 2 else ("n:b", "n:a")
                *_, a, b = client.pipeline().decr(source).incr(target).get("n:a").get("n:b").execute()
                sums.append(int(a) + int(b))
        except Exception as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=move, args=(i,)) for i in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert sums == [200] * (clients * rounds)


def test_client_list_shows_what_is_kept(shop):
    client = shop.client(decode_responses=True)
    wire = shop.wire()
    wire.ask("CLIENT", "SETNAME", "keeper")
    assert [c["multi"] for c in client.client_list() if c["name"] == "keeper"] == ["-1"]
    wire.ask("MULTI")
    wire.ask("SET", "k:a", "1")
    assert [c["multi"] for c in client.client_list() if c["name"] == "keeper"] == ["1"]
    wire.ask("EXEC")
    assert [c["multi"] for c in client.client_list() if c["name"] == "keeper"] == ["-1"]


def test_a_pause_of_writes_holds_exec_and_not_what_is_kept(shop):
    admin, client = shop.wire(), shop.wire()
    admin.ask("CLIENT", "PAUSE", "100000", "WRITE")
    assert client.pipeline([("MULTI",), ("GET", "k:a"), ("EXEC",)]) == ["OK", "QUEUED", [None]]
    assert client.pipeline([("MULTI",), ("SET", "k:a", "1")]) == ["OK", "QUEUED"]
    client.send(encode("EXEC"))
    assert admin.ask("GET", "k:a") is None
    assert admin.ask("CLIENT", "UNPAUSE") == "OK"
    assert client.read() == ["OK"]
    assert client.ask("GET", "k:a") == b"1"
