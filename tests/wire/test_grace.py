"""Shows what clients see while the database is away: expired values within their grace, the errors at once where there is
nothing to serve, and everything as before soon after its return."""

import os
import sqlite3
import urllib.error
import urllib.request

import pytest

from conftest import free_port, query, wait_until
from resp import ReplyError

BACK_S = 30.0  # it is back within two seconds on a machine with nothing else to do
USERS = """CREATE TABLE users(id INTEGER PRIMARY KEY, name TEXT);
           INSERT INTO users VALUES (1, 'Ada'), (2, 'Grace'), (3, 'Joan');"""


@pytest.fixture
def shop(forebay, database):
    """shop(keyspace settings, source settings) → the server. away(), back(): the database's file goes and comes."""
    def start(keyspace=None, source=None, server=None):
        start.path = database(USERS)
        return forebay({
            "server": {"notify_keyspace_events": "KEAf", **(server or {})},
            "sources": {"shop": {"url": f"sqlite:{start.path}", "soft_timeout": "20ms", **(source or {})}},
            "keyspaces": {"user:{id}": {"table": "users", "as": "column:name", "write": "write-through", "ttl": "50ms",
                                        "jitter": "0%", "grace": "1h", **(keyspace or {})}},
        })
    start.away = lambda: os.rename(start.path, start.path + ".away")
    start.back = lambda: os.rename(start.path + ".away", start.path)
    return start


def expire(wire, key):
    wait_until(lambda: wire.ask("TTL", key) == -2, f"{key} to expire")


def fail(wire, key="user:3"):
    """Ask until the breaker is open: the words of its error say so."""
    def is_open():
        answer = wire.ask("GET", key)
        return isinstance(answer, ReplyError) and "(retry in " in str(answer)
    wait_until(is_open, "the breaker to open")


def test_an_expired_value_stands_in_while_the_database_is_away(shop):
    server = shop()
    with server.wire() as wire:
        assert wire.ask("GET", "user:1") == b"Ada"
        with sqlite3.connect(shop.path) as db:
            db.execute("UPDATE users SET name = 'Ada L.' WHERE id = 1")
        db.close()
        expire(wire, "user:1")
        shop.away()
        for _ in range(100):
            assert wire.ask("GET", "user:1") == b"Ada"
        answer = wire.ask("GET", "user:2")
        assert str(answer).startswith("SRCDOWN source 'shop' is unreachable: "), answer
        shop.back()
        wait_until(lambda: wire.ask("GET", "user:1") == b"Ada L.", "the new value", BACK_S)
        assert wire.ask("GET", "user:2") == b"Grace"
    assert int(server.info("forebay")["forebay"]["stale_served"]) >= 100


def test_without_grace_what_has_expired_is_not_served(shop):
    with shop({"grace": "off"}).wire() as wire:
        assert wire.ask("GET", "user:1") == b"Ada"
        expire(wire, "user:1")
        shop.away()
        assert str(wire.ask("GET", "user:1")).startswith("SRCDOWN ")


def test_the_breaker_is_seen_and_closes_when_the_database_is_back(shop):
    server = shop()
    with server.wire() as wire:
        shop.away()
        fail(wire)
        source = server.source()
        assert source["breaker_state"] in (1, 2) and source["breaker_opens"] == 1 and source["stopped"] >= 1
        page = wire.ask("FB.SOURCES")[0]
        assert page[page.index(b"breaker") + 1].startswith((b"open, retry in ", b"half-open")), page
        trips = server.source()["read_trips"]
        answers = [str(wire.ask("GET", "user:2")) for _ in range(500)]
        assert all(answer.startswith("SRCDOWN ") for answer in answers)
        assert server.source()["read_trips"] - trips < 50  # the database is left in peace
        assert str(wire.ask("SET", "user:2", "x")).startswith("SRCDOWN ")
        shop.back()
        wait_until(lambda: wire.ask("GET", "user:2") == b"Grace", "service", BACK_S)
        assert server.source()["breaker_state"] == 0
        assert wire.ask("SET", "user:2", "Hopper") == "OK"
    assert query(shop.path, "SELECT name FROM users WHERE id = 2")[0]["name"] == "Hopper"


def test_what_was_invalidated_is_not_served_again(shop):
    with shop().wire() as wire:
        for key in ("user:1", "user:2"):
            wire.ask("GET", key)
            expire(wire, key)
        shop.away()
        assert wire.ask("GET", "user:1") == b"Ada"
        assert wire.ask("DEL", "user:1") == 0  # it was no key any more, and yet it goes
        assert str(wire.ask("GET", "user:1")).startswith("SRCDOWN ")
        assert wire.ask("GET", "user:2") == b"Grace"


def test_a_stale_answer_is_told(shop):
    server = shop()
    with server.wire() as wire, server.wire() as listener, server.wire() as cache:
        listener.ask("SUBSCRIBE", "__keyevent@0__:stale")
        assert wire.ask("GET", "user:1") == b"Ada"
        expire(wire, "user:1")
        shop.away()
        cache.ask("HELLO", "3")
        cache.ask("CLIENT", "TRACKING", "ON")
        assert cache.ask("GET", "user:1") == b"Ada"
        assert cache.read() == [b"invalidate", [b"user:1"]]
        assert listener.read() == [b"message", b"__keyevent@0__:stale", b"user:1"]
        page = str(wire.ask("FB.EXPLAIN", "user:1"))
        assert "stale copy" in page and "may stand in" in page, page


@pytest.mark.parametrize("grace, status", [("1h", 200), ("off", 503)])
def test_readiness_depends_on_whether_there_is_something_to_serve(shop, grace, status):
    port = free_port()
    server = shop({"grace": grace}, server={"admin": f"127.0.0.1:{port}"})

    def ready():
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz?verbose", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refusal:
            return refusal.code, refusal.read().decode()

    assert ready()[0] == 200
    shop.away()
    with server.wire() as wire:
        fail(wire)
    wait_until(lambda: ready()[0] == status and "ok\n[+]source/shop ok" not in ready()[1], "the source to be seen down")
    text = ready()[1]
    if status == 200:
        assert "[+]source/shop (down, expired values are served) ok" in text
    else:
        assert "[-]source/shop failed: " in text
    shop.back()


def test_a_slow_database_keeps_nobody_waiting_who_has_an_expired_value(shop):
    server = shop({"ttl": "100ms"}, {"added_latency": "1s", "read_timeout": "60s"})

    def stale_served():
        return int(server.info("forebay")["forebay"]["stale_served"])

    with server.wire() as wire:
        assert wire.ask("GET", "user:1") == b"Ada"
        expire(wire, "user:1")
        assert wire.ask("GET", "user:1") == b"Ada"
        assert stale_served() == 1  # it was not the query that answered
        with sqlite3.connect(shop.path) as db:
            db.execute("UPDATE users SET name = 'Ada L.' WHERE id = 1")
        db.close()
        wait_until(lambda: wire.ask("GET", "user:1") == b"Ada L.", "a load to come home and take its place", 30)


def test_grace_can_be_changed_while_running(shop):
    with shop({"grace": "off"}).wire() as wire:
        assert wire.ask("GET", "user:1") == b"Ada"
        name = "keyspaces.user:{id}.grace"
        assert wire.ask("CONFIG", "SET", name, "10m") == "OK"
        expire(wire, "user:1")
        shop.away()
        assert wire.ask("GET", "user:1") == b"Ada"
