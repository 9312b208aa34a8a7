"""Shows that with refresh_ahead no client of a hot key waits after the first load, though its value ends every second and its
query takes 100 ms; and that without it they do, so that the measurement can tell."""

import sqlite3
import threading
import time

import pytest

from conftest import wait_until
from resp import Wire

LATENCY_MS = 100
CLIENTS = 8
SHOP = "CREATE TABLE product(id INTEGER PRIMARY KEY, name TEXT); INSERT INTO product VALUES (1, 'tea'), (2, 'salt');"


@pytest.fixture
def shop(forebay, database):
    def start(**keyspace):
        start.path = database(SHOP)
        return forebay({
            "sources": {"shop": {"url": f"sqlite:{start.path}", "added_latency": f"{LATENCY_MS}ms"}},
            "keyspaces": {"product:{id:int}": {"table": "product", "as": "column:name", "ttl": "1s", **keyspace}},
        })
    return start


def slowest(server, seconds):
    """The seconds that the slowest of all GETs took, with how often each value was seen, after the first load."""
    worst, seen, ends = [], {}, time.monotonic() + seconds

    def ask():
        most = 0
        with Wire(server.host, server.port) as wire:
            while time.monotonic() < ends:
                began = time.perf_counter()
                value = wire.ask("GET", "product:1")
                most = max(most, time.perf_counter() - began)
                seen[value] = seen.get(value, 0) + 1
                time.sleep(0.002)
        worst.append(most)

    with server.wire() as wire:
        assert wire.ask("GET", "product:1") == b"tea"
    threads = [threading.Thread(target=ask) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(worst) == CLIENTS
    return max(worst), seen


def figures(server):
    own = server.info("forebay")["forebay"]
    return {"refreshes": int(own["refreshes"]), "early_refreshes": int(own["early_refreshes"]),
            "misses": int(server.info("stats")["stats"]["keyspace_misses"])}


@pytest.mark.short
def test_nobody_waits_for_a_hot_key_after_its_first_load(shop):
    server = shop(refresh_ahead="80%")
    worst, seen = slowest(server, 5)
    count = figures(server)
    assert worst < LATENCY_MS / 1000 * 0.8, f"somebody waited {worst * 1000:.0f} ms"
    assert list(seen) == [b"tea"]
    assert count["misses"] == 1
    assert 4 <= count["refreshes"] <= 8  # every 650 to 900 ms
    assert server.source()["rows_wanted"] == count["refreshes"] + 1  # one query for each, whoever found it due


def test_without_it_somebody_waits_every_second(shop):
    worst, _ = slowest(shop(), 2.5)
    assert worst >= LATENCY_MS / 1000


def test_with_xfetch_hardly_anybody_waits(shop):
    """120 ms of a load, 8 clients every 2 ms: the chance that none of 4000 draws a second comes early enough is nil."""
    server = shop(early_refresh="1")
    worst, _ = slowest(server, 4)
    count = figures(server)
    assert worst < LATENCY_MS / 1000 * 0.8, f"somebody waited {worst * 1000:.0f} ms"
    assert count["early_refreshes"] >= 4
    assert (count["refreshes"], count["misses"]) == (0, 1)


def test_a_refresh_shows_what_has_changed_and_does_not_outlast_a_write(shop):
    server = shop(refresh_ahead="50%", write="write-through", ttl="2s")
    with server.wire() as wire:
        assert wire.ask("GET", "product:1") == b"tea"
        with sqlite3.connect(shop.path) as db:
            db.execute("UPDATE product SET name = 'green tea' WHERE id = 1")
        db.close()
        began = time.monotonic()
        wait_until(lambda: wire.ask("GET", "product:1") == b"green tea", "the refresh")
        assert time.monotonic() - began < 1.5  # before the end of its life
        time.sleep(1.1)  # past the refresh point
        assert wire.ask("GET", "product:1") == b"green tea"  # begins a refresh, which takes 100 ms
        assert wire.ask("SET", "product:1", "black tea") == "OK"
        for _ in range(100):
            assert wire.ask("GET", "product:1") == b"black tea"
            time.sleep(0.002)


def test_it_is_set_while_running_and_explained(shop):
    server = shop()
    with server.wire() as wire:
        assert wire.ask("GET", "product:1") == b"tea"
        assert b"\nrefresh\n" not in wire.ask("FB.EXPLAIN", "product:1")
        assert wire.ask("CONFIG", "SET", "keyspaces.product:{id:int}.ttl", "1h",
                        "keyspaces.product:{id:int}.refresh_ahead", "80%",
                        "keyspaces.product:{id:int}.early_refresh", "0.5") == "OK"
        page = wire.ask("FB.EXPLAIN", "product:1")
        text = page.decode() if isinstance(page, bytes) else repr(page)
        assert "refresh_ahead 80 %" in text and "early_refresh 0.5" in text
