"""What goes wrong behind write-behind's back, at a size that shows: one row in ten thousand that the database refuses, a
column that is gone, a database that is away under load until the limits are reached, a journal whose disk is full, a
million writes pending at the start. Nothing that was acknowledged is lost, whatever it was.

test_write_behind.py has the small cases, test_behind_kill.py the crashes."""

import contextlib
import os
import re
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request

import pytest

import proxy as proxies
from behind import Behind
from conftest import IS_FULL, TOP, wait_until
from resp import Closed, ReplyError

ROWS, POISONED = 10000, 7777
AWAY_S = 60 if IS_FULL else 10
RECOVER_S = 25  # of START_S; a second is usual
SCHEMA = """
CREATE TABLE t(id {int} PRIMARY KEY, n {int}, name {text}, code {int} UNIQUE);
"""
SPACE = {"source": "db", "write": "write-behind", "on_del": "delete-row"}


def spaces(interval, **more):
    return {"t:{id:int}": {"table": "t", "as": "hash", "flush_interval": interval, **SPACE, **more}}


def figures(server):
    line = server.info("forebay_write_behind")["forebay_write_behind"]["behind_db"]
    pairs = (part.split("=", 1) for part in line.split(","))
    return {name: int(value) if value.isdigit() else value for name, value in pairs}


def pending(server):
    return figures(server)["pending_writes"]


def ready(server):
    """(status, body) of /readyz."""
    port = re.search(r"admin\D*127\.0\.0\.1:(\d+)|127\.0\.0\.1:(\d+)/", server.log())
    url = f"http://127.0.0.1:{port[1] or port[2]}/readyz"
    try:
        with urllib.request.urlopen(url, timeout=10) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.fixture
def start(make_database, processes, tmp_path):
    """start(kind, interval, …) makes a database with SCHEMA and a Behind over it, which runs."""
    def make(kind, interval, port=None, server=None, spaces_of=spaces, schema=SCHEMA, **more):
        database = make_database(kind).make(schema)
        one = Behind(processes, str(tmp_path), database, spaces_of(interval), port and port(database), server, **more)
        one.database = database
        one.start()
        return one
    return make


def letters(wire):
    return [{letter[i].decode(): letter[i + 1].decode() for i in range(0, len(letter), 2)}
            for letter in wire.ask("FB.DEAD", "LIST")]


def write_rows(wire, ids, value, more=None):
    """In pipelines; all are acknowledged. more: further fields of some."""
    ids, more = list(ids), more or {}
    for i in range(0, len(ids), 500):
        replies = wire.pipeline([("HSET", f"t:{id}", "n", value(id), "name", f"row {id}", *more.get(id, ()))
                                 for id in ids[i:i + 500]])
        bad = [reply for reply in replies if isinstance(reply, ReplyError)]
        assert not bad, bad[:3]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "mariadb"])
def test_one_poisoned_row_among_ten_thousand(kind, start):
    it = start(kind, "1h")
    it.database.run("INSERT INTO t VALUES (%s, 0, 'who has the code', 666)", ROWS)
    with it.server.wire(timeout=120) as wire:
        write_rows(wire, range(ROWS), lambda id: id + 1000, {POISONED: ("code", 666)})
        assert wire.ask("WAIT", 1, 100000) == 1
        assert it.database.one("SELECT count(*) FROM t WHERE n = id + 1000") == ROWS - 1
        [letter] = letters(wire)
        assert letter["key"] == f"t:{POISONED}"
        assert "unique" in letter["message"].lower() or "duplicate" in letter["message"].lower()
        assert wire.ask("FB.DEAD", "GET", letter["id"]) is not None
        assert wire.ask("HGETALL", f"t:{POISONED}") == []  # readers are told the truth
        assert wire.ask("FB.DEAD", "RETRY", letter["id"]).word == "CONFLICT"
        assert letters(wire)[0]["attempts"] != letter["attempts"]
        it.database.run("DELETE FROM t WHERE id = %s", ROWS)
        assert wire.ask("FB.DEAD", "RETRY", letter["id"]) == 1 and letters(wire) == []
        assert wire.ask("HGET", f"t:{POISONED}", "code") == b"666"
    assert it.database.one("SELECT count(*) FROM t WHERE n = id + 1000") == ROWS and it.stop() == 0


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_dropped_column_stops_the_partition_and_alarms(kind, start):
    it = start(kind, "20ms", server={"admin": "127.0.0.1:0"})
    with it.server.wire(timeout=90) as wire:
        write_rows(wire, range(10), lambda id: id)
        assert wire.ask("WAIT", 1, 60000) == 1 and ready(it.server)[0] == 200
        it.database.run("ALTER TABLE t DROP COLUMN name")
        write_rows(wire, range(2000), lambda id: id + 1000)
        wait_until(lambda: figures(it.server)["stopped"] == 1, "the partition is stopped", 60)
        status, body = ready(it.server)
        assert status == 503 and "stopped" in body and "name" in body, body
        wait_until(lambda: "behind.stopped" in it.server.log() or "refuses what was written" in it.server.log(), "the log")
        assert letters(wire) == [] and pending(it.server) > 0
        it.kill()
    it.database.run("ALTER TABLE t ADD COLUMN name TEXT")
    it.start()
    with it.server.wire(timeout=90) as wire:
        assert wire.ask("HMGET", "t:1999", "n", "name") == [b"2999", b"row 1999"]
        assert wire.ask("WAIT", 1, 60000) == 1 and letters(wire) == []
    assert it.database.one("SELECT count(*) FROM t WHERE n = id + 1000 AND name IS NOT NULL") == 2000
    assert it.stop() == 0


class Hammer(threading.Thread):
    """Writes one row again and again, and reads each back; remembers what was acknowledged and what was refused."""

    def __init__(self, server, id, size=10):
        super().__init__(daemon=True)
        self.server, self.id, self.size, self.is_over = server, id, size, threading.Event()
        self.last, self.worst_s, self.refused, self.failure, self.writes = None, 0.0, [], None, 0
        self.start()

    def run(self):
        n = 0
        try:
            with self.server.wire(timeout=90) as wire:
                while not self.is_over.is_set():
                    n += 1
                    began = time.monotonic()
                    reply = wire.ask("HSET", f"t:{self.id}", "n", n * 1000, "name", f"{n}" * self.size)
                    self.worst_s = max(self.worst_s, time.monotonic() - began)
                    if isinstance(reply, ReplyError):
                        self.refused.append(reply.text)
                        self.is_over.wait(0.05)
                    else:
                        self.last = n * 1000
                        self.writes += 1
                    seen = wire.ask("HGET", f"t:{self.id}", "n")
                    assert seen == b"%d" % self.last, f"t:{self.id} is {seen!r}, and {self.last} was acknowledged"
        except Exception as error:
            self.failure = error

    def stop(self):
        self.is_over.set()
        self.join(60)
        if self.failure is not None:
            raise self.failure


def test_the_database_away_under_load(start):
    """Behind a proxy that refuses: writes go on, are delayed beyond the soft limit, refused beyond the hard one; what was
    acknowledged arrives."""
    made = []

    def proxied(database):
        made.append(proxies.Proxy("postgresql", database.server.port))
        return made[0].port
    soft, hard = AWAY_S * 0.4, AWAY_S * 0.7
    it = start("postgresql", "50ms", port=proxied,
               server={"flush_soft_age": f"{soft * 1000:.0f}ms", "flush_hard_age": f"{hard * 1000:.0f}ms"})
    [proxy] = made
    hammers = []
    try:
        with it.server.wire() as wire:
            write_rows(wire, range(8), lambda id: 0)
            assert wire.ask("WAIT", 1, 60000) == 1
        hammers = [Hammer(it.server, id) for id in range(8)]
        wait_until(lambda: all(h.writes > 20 for h in hammers), "the load to begin", 60)
        proxy.refuse()
        gone = time.monotonic()
        wait_until(lambda: figures(it.server)["oldest_ms"] > soft * 500, "half of the soft limit", AWAY_S)
        early = max(h.worst_s for h in hammers)
        assert not any(h.refused for h in hammers) and not any(h.failure for h in hammers)
        wait_until(lambda: figures(it.server)["oldest_ms"] > (soft + hard) * 500, "the middle of the limits", AWAY_S)
        for h in hammers:
            h.worst_s = 0.0
        wait_until(lambda: any(h.refused for h in hammers), "the hard limit", AWAY_S)
        delayed = max(h.worst_s for h in hammers)
        assert delayed > 0.3, f"held back for {delayed} s at most, before that for {early} s"
        assert all(text.startswith("DIRTY ") for h in hammers for text in h.refused)
        wait_until(lambda: time.monotonic() - gone > AWAY_S, "the time to be over", AWAY_S + 1)
        proxy.heal()
        wait_until(lambda: pending(it.server) < 1000 and figures(it.server)["oldest_ms"] < 1000, "the backlog to go", 30)
        refused = [len(h.refused) for h in hammers]
        wait_until(lambda: all(h.writes > 0 for h in hammers), "writes")
    finally:
        for h in hammers:
            h.stop()
    with it.server.wire(timeout=90) as wire:
        assert wire.ask("WAIT", 1, 60000) == 1 and letters(wire) == []
    assert it.stop() == 0
    proxy.close()
    found = {row["id"]: row["n"] for row in it.database.rows("SELECT id, n FROM t")}
    assert found == {h.id: h.last for h in hammers}
    print(f"away {AWAY_S} s: {sum(h.writes for h in hammers)} writes, {sum(refused)} refused, worst {delayed:.2f} s")


def test_a_full_disk_of_the_journal(start, tmp_path):
    """It is a file system of its own with room for two segments."""
    mount = tmp_path / "small"
    mount.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200m", "none", str(mount)], capture_output=True).returncode != 0:
        pytest.skip("no file system can be mounted here")
    try:
        it = start("sqlite", "1h", journal=str(mount / "journal"))
        value, said, last = "x" * 200000, None, {}
        with it.server.wire(timeout=90) as wire:
            for n in range(2000):
                reply = wire.ask("HSET", f"t:{n % 50}", "n", n, "name", value)
                if isinstance(reply, ReplyError):
                    said = reply.text
                    break
                last[n % 50] = n
            assert said is not None and said.startswith("DIRTY "), said
            assert all(wire.ask("HGET", f"t:{id}", "n") == b"%d" % n for id, n in last.items())
        it.kill()
        subprocess.run(["mount", "-o", "remount,size=600m", str(mount)], check=True)
        it.start()
        with it.server.wire(timeout=120) as wire:
            assert all(wire.ask("HGET", f"t:{id}", "n") == b"%d" % n for id, n in last.items())
            assert wire.ask("WAIT", 1, 60000) == 1
        found = {row["id"]: row["n"] for row in it.database.rows("SELECT id, n FROM t")}
        assert found == last and it.stop() == 0
    finally:
        it.server.kill()
        subprocess.run(["umount", str(mount)], check=False)


def test_pending_rows_are_never_dropped_for_want_of_memory(start):
    it = start("sqlite", "1h", server={"memory_max": "1mb"}, spaces_of=lambda interval: spaces(interval, ttl="100ms"))
    others = [f"t:{id}" for id in range(10000, 14000)]
    with it.database.connect() as db:
        db.run("BEGIN")
        for id in range(10000, 14000):
            db.run("INSERT INTO t(id, n, name) VALUES (%s, 1, %s)", id, "y" * 500)
        db.run("COMMIT")
    with it.server.wire(timeout=90) as wire:
        replies = wire.pipeline([("HSET", f"t:{id}", "n", id + 1000, "name", "x" * 500) for id in range(5000)])
        assert not [r for r in replies if isinstance(r, ReplyError)]
        wire.pipeline([("HGET", key, "n") for key in others])
        stats = lambda: it.server.info("stats")["stats"]  # noqa: E731
        wait_until(lambda: int(stats()["evicted_keys"]) > 0 and int(stats()["expired_keys"]) > 0, "evictions and expiries")
        check_all(wire)
        assert pending(it.server) == 5000 and it.database.one("SELECT count(*) FROM t") == 4000
    it.kill()
    it.start()
    with it.server.wire(timeout=90) as wire:
        check_all(wire)
    assert it.stop() == 0 and it.database.one("SELECT count(*) FROM t WHERE n = id + 1000") == 5000


def check_all(wire):
    for first in range(0, 5000, 500):
        got = wire.pipeline([("HGET", f"t:{id}", "n") for id in range(first, first + 500)])
        assert got == [b"%d" % (id + 1000) for id in range(first, first + 500)]


def test_waiting_says_how_safe(start):
    made = []

    def proxied(database):
        made.append(proxies.Proxy("postgresql", database.server.port))
        return made[0].port
    it = start("postgresql", "1h", port=proxied)
    [proxy] = made
    with it.server.wire(timeout=90) as wire:
        assert wire.ask("HSET", "t:1", "n", 1) in (0, 1)
        assert wire.ask("WAITAOF", 1, 0, 1000) == [1, 0]
        assert it.database.one("SELECT count(*) FROM t") == 0
        proxy.refuse()
        assert wire.ask("HSET", "t:1", "n", 2) == 0
        assert wire.ask("WAITAOF", 1, 0, 1000) == [1, 0]
        assert wire.ask("WAIT", 1, 300) == 0, "it is not in the database"
        proxy.heal()
        assert wire.ask("WAIT", 1, 60000) == 1
        assert it.database.one("SELECT n FROM t WHERE id = 1") == 2
    assert it.stop() == 0
    proxy.close()


def test_a_second_signal_stops_at_once_and_the_next_start_finishes(start):
    it = start("postgresql", "1h", server={"drain_timeout": "60s"})
    with it.server.wire(timeout=90) as wire:
        write_rows(wire, range(100), lambda id: id + 1)
    with it.database.connect() as lock:
        lock.run("BEGIN")
        lock.run("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        it.server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: it.database.busy(), "the flush to wait for the lock", 60)
        it.server.process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        it.server.process.wait(30)
        assert time.monotonic() - began < 30  # half of what it would wait for
        lock.run("ROLLBACK")
    it.started.remove(it.server)
    it.start()
    with it.server.wire(timeout=90) as wire:
        assert wire.ask("HGET", "t:99", "n") == b"100"
    assert it.stop() == 0 and it.database.one("SELECT count(*) FROM t WHERE n = id + 1") == 100


def test_a_million_pending_writes_are_recovered_in_seconds(start):
    count = 1000000 if IS_FULL else 100000
    it = start("sqlite", "1h", server={"threads": 2})
    rows = 9000  # more than 10,000 are flushed at once
    with it.server.wire(timeout=300) as wire:
        for first in range(0, count, 10000):
            replies = wire.pipeline([("HSET", f"t:{n % rows}", "n", n, "name", "x" * 60) for n in range(first, first + 10000)])
            bad = [reply for reply in replies if isinstance(reply, ReplyError)]
            assert not bad, bad[:3]
    assert pending(it.server) == count
    it.kill()
    began = time.monotonic()
    it.start()
    took = time.monotonic() - began
    with it.server.wire(timeout=90) as wire:
        assert wire.ask("HGET", f"t:{(count - 1) % rows}", "n") == b"%d" % (count - 1)
    seen = figures(it.server)  # what was recovered is due at once, and on its way to the database
    assert seen["pending_writes"] + seen["flushed_writes"] == count
    print(f"{count:,} pending writes: ready {took:.2f} s after the start")
    assert took < RECOVER_S
    it.kill()


@pytest.fixture
def breaks(tmp_path, monkeypatch):
    """breaks(): from now on the disk under servers started in this test can sync nothing; breaks(False): it can again."""
    program, name = str(tmp_path / "failing_sync.so"), tmp_path / "the disk is broken"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", program, os.path.join(TOP, "tests", "wire", "failing_sync.c")], check=True)
    monkeypatch.setenv("LD_PRELOAD", program)
    monkeypatch.setenv("ASAN_OPTIONS", "verify_asan_link_order=0")  # it would have to be the first library
    monkeypatch.setenv("FAILING_SYNC", str(name))
    return lambda is_broken=True: name.touch() if is_broken else name.unlink()


@pytest.mark.parametrize("kind", ["postgresql"])  # SQLite would sync in this process
def test_a_journal_that_cannot_be_synced_is_not_overtaken(kind, start, breaks):
    """What was answered UNKNOWN may be written by the next start; nothing newer of its key may have been answered."""
    it = start(kind, "1h", server={"flush_on_full": "write-through", "drain_timeout": "10s"})
    acknowledged = {1, 2}
    with it.server.wire(timeout=90) as wire:
        assert isinstance(wire.ask("HSET", "t:1", "n", 1), int) and wire.ask("WAIT", 1, 60000) == 1
        assert isinstance(wire.ask("HSET", "t:2", "n", 5), int)
        breaks()
        assert wire.ask("HSET", "t:1", "n", 2).word == "UNKNOWN"
        with contextlib.suppress(OSError, EOFError, Closed):
            if not isinstance(wire.ask("HSET", "t:1", "n", 3), ReplyError):
                acknowledged = {3}
            assert wire.ask("HGET", "t:2", "n") == b"5"
    if it.server.is_running():
        it.server.process.terminate()
        it.server.process.wait()
        assert it.database.one("SELECT n FROM t WHERE id = 2") == 5  # what could be brought there was
    it.kill()  # however it has ended
    breaks(False)
    it.start()
    with it.server.wire(timeout=90) as wire:
        assert int(wire.ask("HGET", "t:1", "n")) in acknowledged
        assert wire.ask("HGET", "t:2", "n") == b"5"
    assert it.stop() == 0 and it.database.one("SELECT n FROM t WHERE id = 1") in acknowledged


def test_a_failed_sync_of_the_journal_ends_the_process_and_says_what_to_do(start, breaks):
    it = start("postgresql", "1h")
    with it.server.wire(timeout=90) as wire:
        assert isinstance(wire.ask("HSET", "t:1", "n", 1), int)
        breaks()
        together = wire.pipeline([("HINCRBY", "t:2", "n", 1)] * 50)  # some of them share a record
        assert {reply.word for reply in together} <= {"UNKNOWN", "DIRTY"} and together[0].word == "UNKNOWN"
        status = it.server.process.wait(30)
    assert status == 70
    it.started.remove(it.server)
    assert it.database.one("SELECT n FROM t WHERE id = 1") == 1  # what could be brought there was
    last = it.server.log().splitlines()[-1]
    assert "behind.broken" in last and "syncing: Input/output error" in last
    assert "everything that was acknowledged is in the database" in last and "start Forebay again" in last
    breaks(False)
    it.start()
    with it.server.wire(timeout=90) as wire:
        unknown = sum(reply.word == "UNKNOWN" for reply in together)
        assert wire.ask("HGET", "t:1", "n") == b"1" and int(wire.ask("HGET", "t:2", "n") or 0) <= unknown
    assert it.stop() == 0


def test_where_a_failed_sync_only_refuses_reads_and_flushes_go_on(start, breaks):
    it = start("postgresql", "1h", server={"on_fsync_error": "refuse"})
    with it.server.wire(timeout=90) as wire:
        assert isinstance(wire.ask("HSET", "t:1", "n", 1), int)
        breaks()
        assert wire.ask("HSET", "t:2", "n", 1).word == "UNKNOWN"
        wait_until(lambda: "behind.broken" in it.server.log(), "the log to say so", 60)
        assert wire.ask("HSET", "t:3", "n", 1).word == "DIRTY"
        together = wire.pipeline([("HINCRBY", "t:4", "n", 1)] * 50)  # they would share a record
        assert {reply.word for reply in together} <= {"UNKNOWN", "DIRTY"} and wire.ask("HGET", "t:4", "n") is None
        assert wire.ask("HGET", "t:1", "n") == b"1" and wire.ask("WAIT", 1, 60000) == 1
        assert figures(it.server)["state"] == "broken"
    assert it.server.is_running() and it.database.one("SELECT n FROM t WHERE id = 1") == 1
    it.server.process.send_signal(signal.SIGTERM)
    assert it.server.process.wait(30) == 70
    it.started.remove(it.server)
