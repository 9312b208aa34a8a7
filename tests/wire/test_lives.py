"""What a fresh pair of eyes found once: lives that clients give a copy, writes that are ignored, a drain that must end,
and files that are nobody's socket. Each is a claim now."""

import subprocess
import time

import pytest

from conftest import FOREBAY, clean_environment, query
from resp import ReplyError

ITEMS = """
CREATE TABLE items(id INTEGER PRIMARY KEY, n INTEGER);
WITH RECURSIVE i(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM i WHERE x < 200) INSERT INTO items SELECT x, x FROM i;
"""


@pytest.fixture
def shop(forebay, database):
    """shop(keyspace settings, source settings, server settings) → the server."""
    def start(keyspace=None, source=None, server=None):
        start.path = database(ITEMS)
        return forebay({
            "server": server or {},
            "sources": {"shop": {"url": f"sqlite:{start.path}", **(source or {})}},
            "keyspaces": {"item:{id}": {"table": "items", "as": "column:n", "write": "write-through",
                                        **(keyspace or {})}},
        })
    return start


def test_getex_gives_the_copy_a_new_life(shop):
    with shop().wire() as wire:
        assert wire.ask("GETEX", "item:1", "EX", "5") == b"1"
        assert 1 <= wire.ask("TTL", "item:1") <= 5
        assert wire.ask("GETEX", "item:1", "PERSIST") == b"1"
        assert wire.ask("TTL", "item:1") > 3000


def test_keepttl_keeps_what_is_left_of_it(shop):
    with shop().wire() as wire:
        wire.ask("GET", "item:1")
        assert wire.ask("EXPIRE", "item:1", "20") == 1
        assert wire.ask("SET", "item:1", "7", "KEEPTTL") == "OK"
        assert 1 <= wire.ask("TTL", "item:1") <= 20
        assert wire.ask("SET", "item:1", "8") == "OK"
        assert wire.ask("TTL", "item:1") > 3000


@pytest.mark.parametrize("command", [("EXPIRE", "9300000000"), ("EXPIREAT", "253402300799"),
                                     ("PEXPIRE", "9223372036854")])
def test_a_life_of_centuries_forgets_nothing(shop, command):
    with shop().wire() as wire:
        wire.ask("GET", "item:1")
        assert wire.ask(command[0], "item:1", command[1]) == 1
        assert wire.ask("TTL", "item:1") > 3000


def test_ignored_writes_never_answer_what_did_not_happen(shop):
    server = shop({"write": "off", "on_set": "ignore"})
    with server.wire() as wire:
        assert wire.ask("SET", "item:1", "9") == "OK"
        assert wire.ask("SETEX", "item:1", "60", "9") == "OK"
        for words in (("INCR", "item:1"), ("SETNX", "item:1", "9"), ("SET", "item:999", "tok", "NX", "PX", "5000"),
                      ("GETSET", "item:1", "9")):
            reply = wire.ask(*words)
            assert isinstance(reply, ReplyError) and str(reply).startswith("MAPRO keyspace 'item:{id:int}'"), words
        assert wire.ask("GET", "item:1") == b"1"


def test_a_stop_waits_for_one_round_trip_and_not_for_the_queue(shop):
    server = shop(source={"added_latency": "500ms", "batch_max": 1, "pool": 1, "read_timeout": "2m"}, server={"drain_timeout": "0s"})
    with server.wire() as wire:
        wire.send(b"".join(b"*2\r\n$3\r\nGET\r\n$%d\r\nitem:%d\r\n" % (5 + len(str(i)), i) for i in range(1, 101)))
        assert wire.read() == b"1"  # the others are queued behind it: fifty seconds of work
        begun = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - begun < 25


def test_a_file_that_is_no_socket_is_left_alone(database, tmp_path):
    path = database(ITEMS)
    precious = tmp_path / "precious.txt"
    precious.write_text("x")
    done = subprocess.run([FOREBAY, "serve", "--listen", f"unix:{precious}", "--source", f"sqlite:{path}",
                           "--map", "item:{id}=items"], capture_output=True, text=True, timeout=30,
                          env=clean_environment(), check=False)
    assert done.returncode != 0
    assert "in use" in done.stderr
    assert precious.read_text() == "x"


def test_mget_of_one_large_value_many_times_has_a_bound(forebay, database):
    path = database("CREATE TABLE big(id INTEGER PRIMARY KEY, v TEXT);"
                    "INSERT INTO big VALUES (1, printf('%.*c', 20000, 'x')), (2, 'y')")
    server = forebay({"server": {"output_buffer_max": "1mb"}, "sources": {"shop": {"url": f"sqlite:{path}"}},
                      "keyspaces": {"big:{id}": {"table": "big", "as": "column:v"}}})

    def peak():
        with open(f"/proc/{server.process.pid}/status", encoding="ascii") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    before = peak()
    with server.wire() as wire:
        wire.ask("GET", "big:1")
        try:
            wire.ask("MGET", "big:2", *["big:1"] * 20000)
        except OSError:
            pass
        except Exception as error:  # closed by the server
            assert "closed" in str(error)
    assert peak() - before < 600_000  # kilobytes, a sanitizer's own among them; it was 1.7 million


def test_a_row_is_in_the_database_before_the_reply(shop):
    server = shop()
    with server.wire() as wire:
        for i in range(1, 30):
            assert wire.ask("SET", f"item:{i}", str(1000 + i)) == "OK"
            assert query(shop.path, "SELECT n FROM items WHERE id = ?", i)[0]["n"] == 1000 + i
