"""Shows list keyspaces from the outside, over SQLite, PostgreSQL and MariaDB: a key that stands for many rows, read with
GET as one JSON array; and that a write of a row is seen in every list it was in and is in."""

import json
import random
import subprocess
import threading
import urllib.parse

import pytest
import redis

import proxy as proxies
from conftest import FOREBAY
from resp import ReplyError

SHOP = """
CREATE TABLE orders(id {int} PRIMARY KEY, user_id {int}, placed_at {key}, total {int}, note {text});
CREATE INDEX orders_user ON orders(user_id);
INSERT INTO orders VALUES (1, 7, '2026-01-01', 15, 'a'), (2, 7, '2026-01-02', 25, NULL), (3, 8, '2026-01-03', 3, 'c');
"""
LISTS = {
    "orders:by-user:{user_id}": {"table": "orders", "rows": "many", "order": "[placed_at desc]",
                                 "hide_columns": "[note]"},
    "ids:{user_id}": {"table": "orders", "rows": "many", "as": "column:id"},
    "order:{id}": {"table": "orders", "as": "hash", "write": "write-through", "on_del": "delete-row"},
    "count:{user_id}": {"load": "SELECT count(*) AS n FROM orders WHERE user_id = :user_id", "as": "text",
                        "depends": "[orders(user_id)]"},
    "sums:{user_id:int}": {"rows": "many", "load": "SELECT user_id, min(total) AS total FROM orders "
                                                   "WHERE user_id = :user_id GROUP BY user_id"},
}


@pytest.fixture
def shop(forebay, world, writing):
    database = world(SHOP)
    server = forebay({"sources": {"shop": database.source()}, "keyspaces": LISTS})
    server.database = database
    return server


@pytest.mark.short
def test_a_list_is_a_json_array_of_its_rows(shop):
    client = shop.client()
    assert json.loads(client.get("orders:by-user:7")) == [
        {"id": 2, "user_id": 7, "placed_at": "2026-01-02", "total": 25},
        {"id": 1, "user_id": 7, "placed_at": "2026-01-01", "total": 15}]
    assert client.get("ids:7") == b"[1,2]"
    assert client.mget("ids:8", "ids:7", "sums:7") == [b"[3]", b"[1,2]", b'[{"user_id":7,"total":15}]']
    assert client.type("ids:7") == b"string"
    assert client.strlen("ids:7") == 5
    with client.pipeline(transaction=True) as block:
        assert block.get("ids:7").get("ids:8").execute() == [b"[1,2]", b"[3]"]


def test_a_list_without_rows_is_an_empty_array_and_is_cached(shop):
    client = shop.client()
    assert client.get("ids:99") == b"[]"
    assert client.exists("ids:99") == 1
    shop.database.run("INSERT INTO orders VALUES (99, 99, NULL, NULL, NULL)")
    assert client.get("ids:99") == b"[]"
    assert client.delete("ids:99") == 1
    assert client.get("ids:99") == b"[99]"


def test_a_list_cannot_be_written(shop):
    with shop.wire() as wire:
        for command in (["SET", "ids:7", "[]"], ["SETNX", "ids:7", "[]"], ["INCR", "ids:7"], ["HSET", "ids:7", "a", "b"]):
            assert wire.ask(*command) == ReplyError(
                "MAPRO keyspace 'ids:{user_id:int}' is a list of rows, which is read-only; write its rows as "
                "'order:{id:int}'")
        assert wire.ask("SET", "sums:7", "[]") == ReplyError(
            "MAPRO keyspace 'sums:{user_id:int}' is a list of rows, which is read-only; write the rows by keys of their "
            "own")
        assert wire.ask("GET", "ids:7") == b"[1,2]"


def test_the_keys_of_a_list_can_be_warmed(shop):
    with shop.wire() as wire:
        wire.ask("FB.WARM", "ids:{user_id:int}", "10")
        assert wire.ask("DBSIZE") == 2


# ---- what depends on a table

@pytest.mark.short
def test_a_write_of_a_row_is_seen_in_the_lists_it_leaves_and_comes_to(shop):
    client = shop.client()
    lists = ["ids:7", "ids:8", "ids:9", "count:7", "count:8", "count:9"]
    assert client.mget(*lists) == [b"[1,2]", b"[3]", b"[]", b"2", b"1", b"0"]
    client.hset("order:1", "user_id", 8)
    assert client.mget(*lists) == [b"[2]", b"[1,3]", b"[]", b"1", b"2", b"0"]
    client.hset("order:10", mapping={"user_id": 9, "total": 4})
    assert client.get("ids:9") == b"[10]"
    client.delete("order:10")
    assert client.get("ids:9") == b"[]"
    with client.pipeline(transaction=True) as block:
        block.hset("order:2", "user_id", 9).hset("order:3", "user_id", 9).get("ids:9").execute()
    assert client.mget(*lists) == [b"[]", b"[1]", b"[2,3]", b"0", b"1", b"2"]
    assert client.get("sums:7") == b"[]"


def test_a_client_that_keeps_a_list_is_told(shop):
    with shop.wire() as keeper, shop.wire() as writer:
        keeper.ask("HELLO", "3")
        keeper.ask("CLIENT", "TRACKING", "ON")
        assert keeper.ask("GET", "ids:7") == b"[1,2]"
        assert keeper.ask("GET", "ids:8") == b"[3]"
        assert keeper.ask("GET", "ids:9") == b"[]"
        writer.ask("HSET", "order:1", "user_id", "8")
        told = [keeper.read(), keeper.read()]
        assert sorted(push[1][0] for push in told) == [b"ids:7", b"ids:8"]
        assert keeper.ask("GET", "ids:8") == b"[1,3]"


def test_readers_of_row_and_list_agree_under_load(shop):
    """Whoever has seen the row in a list's place never finds an older list: many moves, many readers."""
    stop, wrong = threading.Event(), []

    def read():
        client = shop.client()
        while not stop.is_set():
            owner = client.hget("order:1", "user_id").decode()
            total = client.hget("order:1", "total").decode()
            rows = json.loads(client.get(f"orders:by-user:{owner}"))
            mine = [row for row in rows if row["id"] == 1]
            # It may have moved on since; but while it is there, it is not older than what was seen.
            if mine and mine[0]["total"] < float(total):
                wrong.append((owner, total, rows))

    readers = [threading.Thread(target=read) for _ in range(4)]
    client = shop.client()
    client.hset("order:1", mapping={"user_id": 7, "total": 0})
    for reader in readers:
        reader.start()
    for step in range(1, 300):
        client.hset("order:1", mapping={"user_id": 7 + step % 2, "total": step})
        ids = json.loads(client.get(f"ids:{7 + step % 2}"))
        assert 1 in ids, "read your writes"
        assert 1 not in json.loads(client.get(f"ids:{8 - step % 2}"))
    stop.set()
    for reader in readers:
        reader.join()
    assert not wrong


def test_many_writers_at_once_leave_no_list_behind(shop):
    """Rows move between lists by many clients at once, so that their writes share transactions; some fail."""
    stop, names = threading.Event(), [f"{kind}:{user}" for kind in ("ids", "count") for user in range(7, 11)]

    def write(seed):
        client, r = shop.client(), random.Random(seed)
        for _ in range(60):
            row = f"order:{r.randrange(1, 12)}"
            try:
                r.choice([lambda: client.hset(row, "user_id", r.randrange(7, 11)),
                          lambda: client.hset(row, mapping={"user_id": r.randrange(7, 11), "total": 1}),
                          lambda: client.hdel(row, "user_id"),
                          lambda: client.hincrby(row, "user_id", r.choice([-1, 1])),
                          lambda: client.delete(row)])()
            except redis.ResponseError as error:
                assert str(error).startswith(("CONFLICT", "SRCBUSY", "BADVALUE")), error

    def read():
        client = shop.client()
        while not stop.is_set():
            client.mget(*names)

    writers = [threading.Thread(target=write, args=(seed,)) for seed in range(6)]
    readers = [threading.Thread(target=read) for _ in range(2)]
    for thread in readers + writers:
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    for thread in readers:
        thread.join()
    client = shop.client()
    for user in range(7, 11):
        ids = [row["id"] for row in shop.database.rows(f"SELECT id FROM orders WHERE user_id = {user} ORDER BY id")]
        assert json.loads(client.get(f"ids:{user}")) == ids
        assert int(client.get(f"count:{user}")) == len(ids)


def test_explain_shows_what_a_list_depends_on(shop):
    with shop.wire() as wire:
        page = wire.ask("FB.EXPLAIN", "count:7")
        words = dict(zip(page[::2], page[1::2]))
        assert words[b"depends"] == b"orders(user_id)"
        page = wire.ask("FB.EXPLAIN", "ids:7")
        words = dict(zip(page[::2], page[1::2]))
        assert words[b"rows"] == b"many"


@pytest.fixture(params=["postgresql", "mariadb"])
def far(request, forebay, make_database):
    """The same shop behind a proxy that can lose what it is told."""
    database = make_database(request.param).make(SHOP)
    proxy = proxies.Proxy(database.kind, database.server.port)
    server = forebay({"sources": {"shop": database.source(proxy.port, read_timeout="20s", write_timeout="4900ms")},
                      "keyspaces": LISTS})
    server.database, server.proxy = database, proxy
    yield server
    proxy.close()


@pytest.mark.parametrize("moment, user", [("answered", 8), ("sent", 7)])
def test_a_write_of_unknown_outcome_leaves_no_list_cached(far, moment, user):
    """COMMIT, or its answer, is lost. The lists show what the database has, and are not kept while it may still land."""
    lists = ["ids:7", "ids:8", "count:7", "count:8"]
    with far.wire(timeout=30) as wire:
        assert [wire.ask("GET", name) for name in lists] == [b"[1,2]", b"[3]", b"2", b"1"]
        assert wire.ask("HSET", "order:3", "total", "4") == 0  # the connections are there
        assert wire.ask("MGET", *lists) == [b"[1,2]", b"[3]", b"2", b"1"]
        far.proxy.when(moment, "COMMIT", "cut before")
        reply = wire.ask("HSET", "order:1", "user_id", "8")
        assert far.proxy.fired.is_set()
        assert isinstance(reply, ReplyError) and reply.word == "UNKNOWN", reply
        expected = [b"[2]", b"[1,3]", b"1", b"2"] if user == 8 else [b"[1,2]", b"[3]", b"2", b"1"]
        assert wire.ask("MGET", *lists) == expected
        far.database.run("UPDATE orders SET user_id = 9 WHERE id = 2")  # past Forebay: seen, since nothing is cached
        assert wire.ask("GET", "ids:7") == (b"[]" if user == 8 else b"[1]")
        assert wire.ask("MGET", *lists) == ([b"[]", b"[1,3]", b"0", b"2"] if user == 8 else [b"[1]", b"[3]", b"1", b"1"])


def test_init_proposes_lists_of_what_refers_to_other_rows(world, tmp_path):
    database = world("""
        CREATE TABLE makers(id {int} PRIMARY KEY, country {int}, city {int}, UNIQUE(country, city));
        CREATE TABLE things(id {int} PRIMARY KEY, maker_id {int}, country {int}, city {int},
          FOREIGN KEY (maker_id) REFERENCES makers(id), FOREIGN KEY (country, city) REFERENCES makers(country, city));
    """)
    source = database.source()
    url = source["url"]
    if "password" in source:
        with open(source["password"].removeprefix("file:"), encoding="utf-8") as file:
            url = url.replace("@", f":{urllib.parse.quote(file.read().strip(), safe='')}@", 1)
    end = subprocess.run([FOREBAY, "init", url], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert end.returncode == 0, end.stderr
    assert ("  # things:by-maker_id:{maker_id:int}:   # all its rows as a JSON array\n"
            "  #   table: things\n  #   rows: many\n") in end.stdout
    assert end.stdout.count("rows: many") == 1
