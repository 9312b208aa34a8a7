"""The store is paused, killed, failed over and moved under load: real servers on loopback, 17 workers with the protocol and
with copies in their process (tests/live/coherence.c).

What is claimed each time: the store answers again for every key within 5 s of when it was there again; nothing stale is left
when all is quiet; no error but those that a retry mends; no read is older than what was acknowledged before it, and no copy is older than the
proof's second, but for the moment between a failover that lost something and the re-assertion of what was written. `make store-moves DURATION=…` runs longer; what was seen is printed."""

import contextlib
import os
import re
import signal
import subprocess
import threading
import time

import pytest

import redises
from conftest import BUILD, IS_FULL

COHERENCE = os.path.join(BUILD, "tests", "live", "coherence")
SECONDS = int(os.environ.get("FOREBAY_MOVES_SECONDS", "0")) or (12 if IS_FULL else 5)
SECONDS_MAX = SECONDS + 240
BACK_MS = 5000 if os.path.basename(BUILD.rstrip("/")) == "build" else 20000  # sanitizers make all of it slow
# What a retry mends, or mends as soon as the store is whole.
MENDED = ("TRYAGAIN", "CLUSTERDOWN", "MOVED", "ASK", "LOADING", "READONLY", "MASTERDOWN")


def crc16(data):
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc


SLOTS = sorted({crc16(b"row:1:%d" % i) % redises.SLOTS for i in range(16)})


class Load:
    """The program under load, until its result is asked for; what disturbs it runs beside it."""

    def __init__(self, group):
        self.process = subprocess.Popen([COHERENCE, str(SECONDS_MAX), getattr(group, "url_with_passwords", group.url),
                                         *([group.ca] if group.ca else [])],
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                        text=True, preexec_fn=redises.die_with_starter)
        self.lines = []
        self.reader = threading.Thread(target=lambda: self.lines.extend(self.process.stdout))
        self.reader.start()

    def goes_on(self, seconds):
        """For so long, unless it ends before."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)

    def is_running(self):
        return self.process.poll() is None

    def has_judged(self):
        """The watch has found out that a history ended, and what became of it."""
        return not self.is_running() or any("the history is judged" in line for line in self.lines)

    def result(self):
        self.process.terminate()
        assert self.process.wait(timeout=120) == 0, "".join(self.lines)
        self.reader.join()
        refusals = [line.split(": ", 1)[1].strip() for line in self.lines if line.startswith("# refused: ")]
        print("".join(line for line in self.lines if not line.startswith("# refused")))
        for text in refusals:
            assert text.startswith(MENDED) or any(word in text for word in MENDED), text
        return {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)", self.lines[-1])}


def check(result, is_lossless, away_s=0.0):
    """`away_s`: for how long there was no store to answer."""
    assert result["reads"] > 300 and result["writes"] > 30 and result["copies"] > 30, result
    assert result["stale_at_rest"] == 0, result
    assert result["longest_ms"] < away_s * 1000 + BACK_MS, result
    assert result["not_regular_after"] == 0 and result["copies_too_old_after"] == 0, result
    if is_lossless:
        assert result["not_regular"] == 0 and result["copies_too_old"] == 0, result
        assert result["reassert"] == 0 and result["distrust"] == 0, result


@pytest.fixture(name="group")
def fixture_group(request):
    if redises.PROGRAM is None:
        pytest.skip("no redis-server here")
    kind, more = request.param
    with redises.KINDS[kind](**more) as group:
        yield group


def kinds(*names, **more):
    return pytest.mark.parametrize("group", [(name, more) for name in names], indirect=True, ids=names)


def die_with_what_the_replica_lacks(load, primary, replica, seconds=0.4):
    """What the primary acknowledges meanwhile is lost, deletes among it: replication is asynchronous."""
    replica.signal(signal.SIGSTOP)
    primary.ask("CLIENT", "KILL", "TYPE", "replica")
    load.goes_on(seconds)
    primary.kill()
    replica.signal(signal.SIGCONT)


@pytest.mark.skipif(not IS_FULL, reason="the long form; the others show it too")
@kinds("single", "tls", "sentinel", "guarded", "cluster")
def test_every_kind_of_store_keeps_the_promises(group):
    load = Load(group)
    load.goes_on(SECONDS)
    check(load.result(), is_lossless=True)


@kinds("single")
def test_a_pause_of_the_store_loses_nothing(group):
    """Longer than the proof, and longer than a session's patience."""
    load = Load(group)
    for pause in (1.3, 2.5):
        load.goes_on(0.7)
        group.primary.signal(signal.SIGSTOP)
        load.goes_on(pause)
        group.primary.signal(signal.SIGCONT)
    load.goes_on(SECONDS - 2)
    result = load.result()
    check(result, is_lossless=True, away_s=2.5)
    assert result["unknown"] > 0


@kinds("single")
def test_a_store_that_was_killed_and_starts_anew_is_distrusted(group):
    load = Load(group)
    load.goes_on(1.5)
    died = time.monotonic()
    group.primary.kill()
    load.goes_on(1.0)
    group.primary.start()
    result = after_it_is_judged(load, died)
    assert result["distrust"] == 1 and result["not_regular"] == 0  # it is empty: nothing old can come back


def after_it_is_judged(load, died):
    """The store is there again; the load goes on for a while after the watch has seen that, too."""
    away_s = time.monotonic() - died
    redises.wait_until(load.has_judged, "the watch to see it", redises.CLUSTER_S)
    load.goes_on(SECONDS - 2)
    result = load.result()
    check(result, is_lossless=False, away_s=away_s)
    return result


@kinds("sentinel", down_ms=2000)
def test_a_primary_that_dies_is_replaced_by_its_sentinels(group):
    load = Load(group)
    load.goes_on(1.5)
    dead, died = group.primary(), time.monotonic()
    die_with_what_the_replica_lacks(load, dead, next(server for server in group.data if server is not dead))
    redises.wait_until(lambda: group.primary() is not dead, "the failover", redises.CLUSTER_S)
    result = after_it_is_judged(load, died)
    assert result["reassert"] + result["distrust"] == 1


@pytest.mark.skipif(not IS_FULL, reason="the long form")
@kinds("sentinel", down_ms=2000)
def test_a_primary_that_was_only_frozen_is_not_gone_back_to(group):
    """It wakes up as a primary, and its Sentinels make it a replica."""
    load = Load(group)
    load.goes_on(1.5)
    frozen, stopped = group.primary(), time.monotonic()
    frozen.signal(signal.SIGSTOP)
    redises.wait_until(lambda: group.primary() is not frozen, "the failover", redises.CLUSTER_S)
    away_s = time.monotonic() - stopped
    load.goes_on(1.0)
    frozen.signal(signal.SIGCONT)
    load.goes_on(SECONDS)
    check(load.result(), is_lossless=False, away_s=away_s)


@pytest.mark.short
@kinds("cluster")
def test_slots_that_move_lose_nothing(group):
    """All slots of the load, from primary to primary, again and again."""
    load, moves, end = Load(group), 0, time.monotonic() + SECONDS
    while load.is_running() and (moves <= len(SLOTS) or time.monotonic() < end):
        slot = SLOTS[moves % len(SLOTS)]
        source = group.owner(slot)
        target = group.nodes[(group.nodes.index(source) + 1) % 3]
        group.move(slot, source, target)
        moves += 1
    load.goes_on(1.5)
    result = load.result()
    print(f"{moves} slots moved")
    check(result, is_lossless=True)


@kinds("cluster", timeout_ms=2000)
def test_a_primary_of_a_cluster_that_dies_is_replaced_by_its_replica(group):
    load = Load(group)
    load.goes_on(1.5)
    dead, died = group.owner(SLOTS[0]), time.monotonic()
    die_with_what_the_replica_lacks(load, dead, group.nodes[group.nodes.index(dead) + 3])
    redises.wait_until(lambda: group.owner(SLOTS[0]) is not dead, "the failover", redises.CLUSTER_S)
    result = after_it_is_judged(load, died)
    assert result["reassert"] + result["distrust"] == 1
