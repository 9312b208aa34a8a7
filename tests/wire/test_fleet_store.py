"""Three Forebays and one PostgreSQL while their store is paused, killed, failed over or resharded: copies in the processes
stop being served within a second, reads go on from the database, nobody waits for as long as five seconds, errors are
those that a retry mends, nothing stale is left, and all of it heals by itself."""

import os
import signal
import threading
import time

import pytest

import redises
from conftest import IS_FULL, wait_until
from fleet import fleet  # noqa: F401
from test_fleet_live import KEYSPACES, SCHEMA, show_figures, stale_at_rest

SECONDS = 20 if IS_FULL else 8
PROOF_S = 1.0
BACK_S = 5.0
BACK_US = BACK_S * 1e6
ROW = "CREATE TABLE t(id {int} PRIMARY KEY, n {int}); INSERT INTO t VALUES (1, 0), (2, 0);"
# What a retry mends, sooner or later: the store is away, or it is not known whether a write arrived.
MENDED = {f"{what}.{word}" for what in ("read", "write", "del") for word in ("STOREDOWN", "UNKNOWN", "SRCTIMEOUT", "SRCBUSY")}


class Reader(threading.Thread):
    """Reads one key of one Forebay without a pause; notes when it saw what, and how long it waited."""

    def __init__(self, server):
        super().__init__()
        self.server, self.is_over, self.last, self.longest, self.errors = server, False, {}, 0.0, []
        self.start()

    def run(self):
        with self.server.wire(timeout=30) as wire:
            while not self.is_over:
                began = time.monotonic()
                value = wire.ask("GET", "t:1")
                self.longest = max(self.longest, time.monotonic() - began)
                self.last[value] = began
                if not isinstance(value, bytes):
                    self.errors.append(value)

    def stop(self):
        self.is_over = True
        self.join()


def local_hits(server):
    line = server.info("forebay_keyspaces")["forebay_keyspaces"]["ks0"]
    return int(dict(part.split("=", 1) for part in line.split(",") if "=" in part)["hits"])


def is_served_from_here(server):
    """Does a read of a key that nobody changes hit in the process?"""
    before = local_hits(server)
    with server.wire() as wire:
        wire.ask("GET", "t:2")
        wire.ask("GET", "t:2")
    return local_hits(server) > before


@pytest.mark.parametrize("how", ["paused", "killed"])
def test_copies_are_served_for_a_second_and_reads_go_on(fleet, how):  # noqa: F811
    three = fleet(ROW, {"t:{id}": {"table": "t", "as": "column:n", "write": "write-through"}})
    for server in three.servers:
        wait_until(lambda server=server: is_served_from_here(server), "a hit in the process")
    readers = [Reader(server) for server in three.servers]
    try:
        wait_until(lambda: all(reader.last for reader in readers), "the readers")
        if how == "paused":
            os.kill(three.redis.pid, signal.SIGSTOP)
        else:
            three.kill_redis()
        gone = time.monotonic()
        three.database.run("UPDATE t SET n = 1 WHERE id = 1")  # nobody is told of it
        changed = time.monotonic()  # until then the database has the old value as well
        for reader in readers:
            wait_until(lambda reader=reader: b"1" in reader.last, "a read of the database", BACK_S)
        with three.servers[0].wire(timeout=30) as wire:
            reply = wire.ask("SET", "t:2", "7")
            assert reply.word == "STOREDOWN", reply
        wait_until(lambda: time.monotonic() > gone + 2.5, "what would be served too long")
        for reader in readers:
            late = reader.last[b"0"] - gone
            print(f"{reader.server.name}: the last old copy after {late * 1000:.0f} ms, the longest wait "
                  f"{reader.longest * 1000:.0f} ms")
            assert late <= max(PROOF_S, changed - gone), late
            assert reader.errors == [] and reader.longest < BACK_S, (reader.errors[:3], reader.longest)
        if how == "paused":
            os.kill(three.redis.pid, signal.SIGCONT)
        else:
            three.start_redis()
        back = time.monotonic()
        with three.servers[0].wire(timeout=30) as wire:
            wait_until(lambda: wire.ask("SET", "t:2", "7") == "OK", "a write")
        for server in three.servers:
            wait_until(lambda server=server: is_served_from_here(server), "a hit in the process again")
        print(f"back after {time.monotonic() - back:.2f} s")
        assert three.database.one("SELECT n FROM t WHERE id = 2") == 7
    finally:
        for reader in readers:
            reader.stop()


def run_moved(fleet, group, disturb, seconds=SECONDS):  # noqa: F811
    three = fleet(SCHEMA, KEYSPACES, url=group.url)
    checker = three.checker(seconds)
    try:
        wait_until(lambda: not checker.ends_within(1.5), "the load")
        disturb(checker)
        seen = checker.figures()
    finally:
        checker.stop()
    errors = show_figures(f"{type(group).__name__}: {seconds} s", seen)
    assert seen["reads"] > 100 * seconds and seen["writes"] > 5 * seconds, "too little happened to say anything"
    assert seen["longest_read_us"] < BACK_US and seen["longest_write_us"] < BACK_US, seen
    assert set(errors) <= MENDED, errors
    seconds = [int(n) for n in str(seen["each_second"]).split(",")]
    assert all(sum(seconds[i:i + 5]) > 0 for i in range(len(seconds) - 4)), seconds
    wait_until(lambda: stale_at_rest(three) == [], "the last copies to end", 15)
    return seen


@pytest.fixture(name="group")
def fixture_group(request):
    if redises.PROGRAM is None:
        pytest.skip("no redis-server here")
    kind, more = request.param
    with redises.KINDS[kind](**more) as group:
        yield group


@pytest.mark.parametrize("group", [("sentinel", {"down_ms": 1000})], indirect=True, ids=["sentinel"])
def test_sentinels_replace_a_primary_under_load(fleet, group):  # noqa: F811
    def disturb(_):
        dead = group.primary()
        dead.kill()
        redises.wait_until(lambda: group.primary() is not dead, "the failover", redises.CLUSTER_S)
    run_moved(fleet, group, disturb)


@pytest.mark.parametrize("group", [("cluster", {})], indirect=True, ids=["cluster"])
def test_slots_of_a_cluster_move_under_load(fleet, group):  # noqa: F811
    from test_store_moves import crc16
    slots = sorted({crc16(b"%c:%d" % (b"sh"[i % 2], i)) % redises.SLOTS for i in range(24)})

    def disturb(checker):
        moves, end = 0, time.monotonic() + SECONDS - 4
        while checker.is_running() and time.monotonic() < end:
            slot = slots[moves % len(slots)]
            source = group.owner(slot)
            target = group.nodes[(group.nodes.index(source) + 1) % 3]
            group.move(slot, source, target)
            moves += 1
        print(f"{moves} slots moved")
        assert moves > 2  # under load some 30, on a machine of one's own hundreds
    seen = run_moved(fleet, group, disturb)
    assert seen["older_than_1s"] == 0 and seen["not_own"] == 0
