"""Shows that 10,000 hostile streams (hostile.py: mutations of recorded sessions) harm nobody: each ends, and meanwhile
a well-behaved client is served in time; memory stays within a bound, afterwards no connection and no descriptor is left
behind, and the database holds what it should. Half of them meet a server that asks for a password and never give it.

A failure names the seed of its stream."""

import os
import random
import re
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import hostile
from conftest import FOREBAY, IS_FULL, wait_until
from resp import ReplyError
from test_handshakes import CLIENTS

with open(FOREBAY, "rb") as program:
    SANITIZER = re.search(rb"__(asan|tsan)_init|$", program.read()).group(1)

# At each of the two servers. ThreadSanitizer needs ten times as long, so there it is a part of them.
STREAMS = 50_000 if IS_FULL else 1_000 if SANITIZER == b"tsan" else 5_000
AT_A_TIME = 16
HALF_OPEN = 50  # connections that begin a request and stay

# Cache and buffers may take 48 MiB by these settings. What is allowed is that and as much again for what buffers are
# while they grow, and 32 MiB for stacks, SQLite and the allocator. A sanitizer has shadows and keeps what was freed.
LIMITS = {"memory_max": "16mb", "client_memory_max": "32mb", "output_buffer_max": "4mb", "query_buffer_max": "1mb",
          "bulk_max": "256kb"}
GROWTH_MAX_KIB = (128 if SANITIZER is None else 1024) * 1024
# What SQLite holds of the file: it and its log for each session (4 that read, one for lists, one that writes, and the
# catalogue's), the log's index, and the file once for each FB.CONFIG CHECK that is answered at a time (by 4 threads of
# libuv): a process that closes any descriptor of a file loses its locks there, so SQLite keeps it for the next to open.
DATABASE_DESCRIPTORS_MAX = 7 * 2 + 1 + 4
LATENCY_MAX_S = 45.0  # of a command of the bystander, who shares two cores with this test and whatever else they do

SCHEMA = """
CREATE TABLE kv(k TEXT PRIMARY KEY, v);
CREATE TABLE hash(k TEXT PRIMARY KEY, a, b, c, n INTEGER);
CREATE TABLE ro(id INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE ig(id INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE own(k TEXT PRIMARY KEY, v TEXT);
CREATE TABLE unmapped(id INTEGER PRIMARY KEY, name TEXT);
INSERT INTO ro VALUES (1, 'kept'), (2, 'kept too');
INSERT INTO ig SELECT * FROM ro;
INSERT INTO unmapped SELECT * FROM ro;
INSERT INTO kv VALUES ('big', printf('%.*c', 20000, 'x'));
"""
KEYSPACES = {
    "s:{k:rest}": {"table": "kv", "as": "column:v", "write": "write-through", "on_del": "delete-row"},
    "h:{k:rest}": {"table": "hash", "as": "hash", "write": "write-through", "on_del": "delete-row"},
    "ro:{id:int}": {"table": "ro", "as": "hash"},
    "ig:{id:int}": {"table": "ig", "as": "column:name", "on_set": "ignore"},
    "own:{k:rest}": {"table": "own", "as": "column:v", "write": "write-through"},
}


UNTOUCHED = ("ro", "ig", "unmapped")


def status(server, field):
    with open(f"/proc/{server.pid}/status", encoding="ascii") as file:
        return int(re.search(rf"{field}:\s+(\d+)", file.read()).group(1))


def descriptors(server, path):
    """What they lead to: those of the database, and all others."""
    links = []
    for name in os.listdir(f"/proc/{server.pid}/fd"):
        try:
            links.append(os.readlink(f"/proc/{server.pid}/fd/{name}"))
        except FileNotFoundError:  # closed meanwhile
            pass
    database = [link for link in links if link.startswith(path)]
    return database, [link for link in links if not link.startswith(path)]


def dump(path, *tables):
    with sqlite3.connect(path) as connection:
        rows = {table: connection.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall() for table in tables}
    connection.close()
    return rows


class Bystander(threading.Thread):
    """A client that does what clients do, over and over; what it is answered and how long that takes."""

    def __init__(self, server, password):
        super().__init__()
        self.wire, self.password = server.wire(timeout=60), password
        self.is_over, self.error, self.rounds, self.slowest = threading.Event(), None, 0, 0.0

    def ask(self, expected, *words):
        began = time.monotonic()
        got = self.wire.ask(*words)
        self.slowest = max(self.slowest, time.monotonic() - began)
        assert got == expected, (words, got)

    def run(self):
        try:
            if self.password:
                self.ask("OK", "AUTH", self.password)
            while not self.is_over.is_set():
                value = b"%d" % self.rounds
                self.ask("OK", "SET", "own:1", value)
                self.ask(value, "GET", "own:1")
                self.ask([b"id", b"1", b"name", b"kept"], "HGETALL", "ro:1")
                self.rounds += 1
        except Exception as error:  # shown by the test
            self.error = error
        finally:
            self.wire.close()

    def stop(self):
        self.is_over.set()
        self.join(60)

    def check(self):
        assert self.error is None, f"the bystander: {self.error!r}"
        assert self.rounds > 0 and self.slowest < LATENCY_MAX_S, f"the bystander waited {self.slowest:.1f} s once"


def run_stream(server, sessions, seed):
    draw = random.Random(seed)
    data, way = hostile.mutate(draw, sessions), draw.choice(hostile.WAYS)
    try:
        way(server, draw, data)
    except Exception as error:
        raise AssertionError(f"stream {seed}, sent {way.__name__}, {len(data)} bytes: {data[:300]!r}…: {error!r}"
                             ) from error


@pytest.mark.short
@pytest.mark.parametrize("password", [None, "5f1c9a" * 6], ids=["open", "guarded"])
def test_ten_thousand_hostile_streams_harm_nobody(forebay, database, tmp_path, password):
    path = database(SCHEMA)
    settings = dict(LIMITS)
    if password:
        secret = tmp_path / "secret"
        secret.touch(mode=0o600)
        secret.write_text(password)
        settings["password"] = f"file:{secret}"
    server = forebay({"server": settings, "sources": {"shop": {"url": f"sqlite:{path}"}}, "keyspaces": KEYSPACES})

    def client():
        wire = server.wire(timeout=60)
        assert password is None or wire.ask("AUTH", password) == "OK"
        return wire

    with client() as wire:
        commands = wire.ask("COMMAND")
        sessions = hostile.recorded(commands, CLIENTS.values())
        before = dump(path, "kv", "hash", *UNTOUCHED)
        at_rest, (_, before_others) = status(server, "VmRSS"), descriptors(server, path)
        half_open = [hostile.connect(server) for _ in range(HALF_OPEN)]
        for number, end in enumerate(half_open):
            end.sendall(b"*2\r\n$4\r\nECHO\r\n$9\r\nx"[:number % 20])
        bystander = Bystander(server, password)
        bystander.start()
        began = time.monotonic()
        first = 0 if password is None else STREAMS
        try:
            with ThreadPoolExecutor(AT_A_TIME) as pool:
                list(pool.map(lambda seed: run_stream(server, sessions, seed), range(first, first + STREAMS)))
        finally:
            seconds = time.monotonic() - began
            bystander.stop()
        bystander.check()
        for end in half_open:
            end.close()
        def left():
            return "\n".join([wire.ask("CLIENT", "LIST").decode(), *sum(descriptors(server, path), [])])
        wait_until(lambda: b"connected_clients:1\r\n" in wire.ask("INFO", "clients"),
                   lambda: f"the last of them to be gone:\n{left()}", 60)
        wait_until(lambda: len(descriptors(server, path)[1]) <= len(before_others),
                   lambda: f"their descriptors to be closed, {len(before_others)} were there before:\n{left()}", 60)
        assert len(descriptors(server, path)[0]) <= DATABASE_DESCRIPTORS_MAX, left()
        peak = status(server, "VmHWM")
        print(f"{STREAMS} streams in {seconds:.1f} s, {STREAMS / seconds:.0f}/s; memory {at_rest} KiB at rest, {peak} "
              f"at its peak; bystander {bystander.rounds} rounds, slowest answer {bystander.slowest * 1000:.0f} ms")
        assert peak - at_rest < GROWTH_MAX_KIB
        after = dump(path, "kv", "hash", *UNTOUCHED)
        assert all(after[table] == before[table] for table in UNTOUCHED)
        if password:
            assert after == before
        else:
            # Enough of it was well-formed: every command has been carried out.
            called = set(re.findall(rb"(?m)^cmdstat_([^:]+):calls=[1-9]", wire.ask("INFO", "commandstats")))
            assert STREAMS < 5_000 or hostile.names(commands) - called == set()
            assert after["kv"] != before["kv"]
            for key, value in after["kv"]:
                reply = wire.ask("GET", f"s:{key}")
                assert not isinstance(reply, ReplyError) and text(value) == reply, key


def text(value):
    """As the cache shows it: a number in a column without a type may be a real that is whole."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        value = int(value)
    return value if isinstance(value, bytes) else str(value).encode()
