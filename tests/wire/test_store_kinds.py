"""Two Forebays share rows through every kind of store: one server, one with TLS and a user who may do just enough, the
primary of Sentinels, a Cluster. And what a failover brings back is invalidated again."""

import os
import signal
import sqlite3
import subprocess

import pytest

import redises
from conftest import FOREBAY, to_yaml, wait_until
from fleet import PATIENT

ROWS = "CREATE TABLE users(id INTEGER PRIMARY KEY, name TEXT);" + "".join(
    f"INSERT INTO users VALUES({i}, 'first');" for i in range(1, 31))


def secret(group, name, text):
    path = os.path.join(group.folder, name)
    with open(path, "w", encoding="ascii", opener=lambda *to: os.open(*to, mode=0o600)) as file:
        file.write(text)
    return f"file:{path}"


def configure(group, path):
    store = {"url": group.url}
    if group.ca:
        store = {"url": group.url.replace(f":{group.PASSWORD}@", "@"), "tls_ca": group.ca,
                 "password": secret(group, "secret", group.PASSWORD)}
    if getattr(group, "is_guarded", False):
        store.update(password=secret(group, "secret", group.PASSWORD),
                     sentinel_password=secret(group, "gate", group.SENTINEL_PASSWORD))
    store["share_timeout"] = PATIENT
    return {"store": store, "server": {"threads": 1}, "sources": {"shop": {"url": f"sqlite:{path}"}},
            "keyspaces": {"user:{id:int}": {"table": "users", "as": "hash", "write": "write-through"}}}


@pytest.fixture(name="group")
def fixture_group(request):
    if redises.PROGRAM is None:
        pytest.skip("no redis-server here")
    kind, more = request.param if isinstance(request.param, tuple) else (request.param, {})
    with redises.KINDS[kind](**more) as group:
        yield group


def figure(wire, name):
    lines = dict(line.split(":", 1) for line in wire.ask("INFO", "forebay").decode().split("\r\n") if ":" in line)
    return int(lines[name])


@pytest.mark.parametrize("group", ["single", "tls", "sentinel", "guarded", "cluster"], indirect=True)
def test_rows_are_shared_through_every_kind_of_store(group, forebay, database):
    path = database(ROWS)
    one, two = forebay(configure(group, path)), forebay(configure(group, path))
    with one.wire() as a, two.wire() as b:
        for i in range(1, 31):
            assert a.ask("HGET", f"user:{i}", "name") == b"first"
        before = figure(b, "sharing_hits")
        for i in range(1, 31):
            assert b.ask("HGET", f"user:{i}", "name") == b"first"
        assert figure(b, "sharing_hits") == before + 30
        for i in range(1, 31):
            assert a.ask("HSET", f"user:{i}", "name", "second") == 0
        for i in range(1, 31): # a copy that nobody takes back would serve for an hour
            wait_until(lambda i=i: b.ask("HGET", f"user:{i}", "name") == b"second", "the write to be seen", 20)
    with sqlite3.connect(path) as shop:
        assert shop.execute("SELECT count(*) FROM users WHERE name = 'second'").fetchone() == (30,)


@pytest.mark.parametrize("group", ["tls", "cluster"], indirect=True)
def test_a_keyspace_is_forgotten_by_all(group, forebay, database):
    """Values and absences; what belongs to nobody, or to another keyspace, stays."""
    path = database(ROWS + ROWS.replace("users", "others"))
    config = configure(group, path)
    config["keyspaces"]["other:{id:int}"] = {"table": "others", "as": "hash"}
    one, two = forebay(config), forebay(config)
    with one.wire(timeout=30) as a, two.wire(timeout=30) as b:
        assert a.ask("SET", "user:x", "mine") == "OK"
        for i in range(1, 41):
            expected = b"first" if i <= 30 else None
            assert all(wire.ask("HGET", f"user:{i}", "name") == expected for wire in (a, b))
            assert a.ask("HGET", f"other:{i}", "name") == expected
        with sqlite3.connect(path) as shop:
            shop.execute("UPDATE users SET name = 'second'")
            shop.executemany("INSERT INTO users VALUES (?, 'second')", [(i,) for i in range(31, 41)])
        assert b.ask("HGET", "user:1", "name") == b"first" and b.ask("HGET", "user:40", "name") is None
        assert a.ask("FB.INVALIDATE", "KEYSPACE", "user:{id:int}") >= 30
        for i in range(1, 41):
            assert a.ask("HGET", f"user:{i}", "name") == b"second"
            wait_until(lambda i=i: b.ask("HGET", f"user:{i}", "name") == b"second", "the change to be seen", 20)
        assert a.ask("GET", "user:x") == b"mine" and b.ask("HGET", "other:1", "name") == b"first"


def test_a_keyspace_cannot_be_forgotten_without_the_store(forebay, database, redis_server):
    redis = redis_server()
    server = forebay({"store": {"url": f"redis://127.0.0.1:{redis.port}"}, "sources": {"shop": {"url": f"sqlite:{database(ROWS)}"}},
                      "keyspaces": {"user:{id:int}": {"table": "users", "as": "hash"}}})
    with server.wire(timeout=30) as wire:
        assert wire.ask("HGET", "user:1", "name") == b"first"
        assert wire.ask("FB.INVALIDATE", "KEYSPACE", "user:{id:int}") >= 1
        redis.kill()
        assert wire.ask("FB.INVALIDATE", "KEYSPACE", "user:{id:int}").text.startswith("STOREDOWN ")


def test_passwords_of_sentinels_do_not_stand_in_the_file(tmp_path, database):
    config = {"store": {"url": "sentinel://127.0.0.1/shop?sentinel_password=x"},
              "sources": {"shop": {"url": f"sqlite:{database(ROWS)}"}}, "keyspaces": {"user:{id:int}": {"table": "users"}}}
    path = tmp_path / "forebay.yaml"
    path.write_text(to_yaml(config), encoding="utf-8")
    result = subprocess.run([FOREBAY, "check", "-c", str(path)], capture_output=True, text=True, check=False)
    assert result.returncode != 0 and "a password does not belong into a URL" in result.stdout + result.stderr
    assert "sentinel_password=x" not in result.stdout + result.stderr


@pytest.mark.parametrize("group", [("sentinel", {"down_ms": 1000})], indirect=True, ids=["sentinel"])
def test_what_a_failover_brings_back_is_invalidated_again(group, forebay, database):
    primary = group.primary()
    replica = next(server for server in group.data if server is not primary)
    server = forebay(configure(group, database(ROWS)))
    with server.wire() as wire:
        for i in range(1, 31):
            assert wire.ask("HGET", f"user:{i}", "name") == b"first"
        wait_until(lambda: replica.ask("DBSIZE") >= 30, "the replica to have the rows")
        replica.signal(signal.SIGSTOP)
        primary.ask("CLIENT", "KILL", "TYPE", "replica")
        for i in range(1, 31):
            assert wire.ask("HSET", f"user:{i}", "name", "second") == 0
        assert primary.ask("HGET", "user:30", "name") == "second"
        primary.kill()
        replica.signal(signal.SIGCONT)
        assert replica.ask("HGET", "user:1", "name") == "first" # it has lost all of that
        wait_until(lambda: group.primary() is replica, "the failover", redises.START_S)
        wait_until(lambda: all(replica.ask("HGET", f"user:{i}", "name") != "first" for i in range(1, 31)),
                   "the old rows to be gone", redises.START_S)
        for i in range(1, 31):
            assert wire.ask("HGET", f"user:{i}", "name") == b"second"
        wait_until(lambda: wire.ask("HSET", "user:1", "name", "third") == 0, "writes to go on")
        assert wire.ask("HGET", "user:1", "name") == b"third"
