"""A Forebay that writes behind is killed at random moments, also while the database commits a flush, and brought back: in
the end the database holds exactly what was acknowledged. Nothing is lost, nothing is applied twice, the order of a key is
kept, transactions are whole; and what was acknowledged is read right after every restart.

FOREBAY_KILL_COUNT cycles (40; `make test-kill COUNT=…`) with FOREBAY_KILL_SEED; what fails names its cycle."""

import os
import random
import sys
import time

import pytest

import behind
import proxy as proxies
from behind import Behind, World
from conftest import FOREBAY, Process, wait_until

COUNT = int(os.environ.get("FOREBAY_KILL_COUNT", "40"))
SEED = int(os.environ.get("FOREBAY_KILL_SEED", "1"))
MOMENTS = 800         # on average, before the kill: requests sent and answered
COMMIT_S = 2.0        # so long a COMMIT is waited for, if one is to be hit
STARTING = 8          # looks at a server that starts, before it is killed
FLUSHES = ["10ms", "50ms", "200ms", "5s"]

# How often each way of dying is taken: at any time; with a COMMIT held before or behind it; with its connection cut.
WAYS = {"sqlite": ["any"] * 4 + ["early"],
        "postgresql": ["any"] * 3 + ["early", "hold before", "hold after", "cut before", "cut after"]}

# First words of errors that may be: of rows that have to be read first, while the proxy stands still.
UNREADABLE = {"SRCDOWN", "SRCTIMEOUT", "EXECABORT"}
ALLOWED = {"write-behind": {"sqlite": set(), "postgresql": UNREADABLE},
           "write-through": {"sqlite": set(), "postgresql": UNREADABLE | {"UNKNOWN"}}}


class Killer:
    """The cycles of one run."""

    def __init__(self, world, servers, proxy, seed):
        self.world, self.servers, self.proxy, self.rng = world, servers, proxy, random.Random(seed)
        self.ways, self.seed = {}, seed

    def some(self, mean):
        return int(self.rng.expovariate(1 / mean)) + 1

    def cycle(self, number):
        way = self.rng.choice(WAYS["postgresql" if self.proxy else "sqlite"])
        self.ways[way] = self.ways.get(way, 0) + 1
        when = f"cycle {number} of seed {self.seed} ({way})"
        flushes = FLUSHES if way in ("any", "early") else FLUSHES[:2]
        for space in self.servers.config["keyspaces"].values():
            if behind.MODE == "write-behind":
                space["flush_interval"] = self.rng.choice(flushes)
        if way == "early" and self.servers.server:
            self.die_starting()
        server = self.servers.start()
        self.world.check(server, when)
        kill, arm = server.process.kill, lambda: self.proxy.when("sent", "COMMIT", way)
        self.world.after(self.some(MOMENTS), kill if way in ("any", "early") else arm)
        writers = behind.write(self.world, server)
        try:
            if way not in ("any", "early"):
                self.proxy.fired.wait(COMMIT_S)
                self.world.after(self.some(MOMENTS / 8), kill)
            wait_until(lambda: not server.is_running() or any(writer.failure for writer in writers), "the kill", 60)
            assert server.process.returncode in (None, -9), f"{when}: it has ended by itself:\n{server.log()}"
        finally:
            self.servers.kill()
            if self.proxy:
                self.proxy.heal()
                self.proxy.fired.clear()
            try:
                behind.over(writers)
            except AssertionError as error:
                raise AssertionError(f"{when}: {error}") from error

    def die_starting(self):
        """Killed while it recovers, or before."""
        server, looks = self.servers, iter(range(self.rng.randrange(STARTING)))
        process = Process(server.started, "early", [FOREBAY, "serve", "-c", server.server.config_path], server.folder)
        wait_until(lambda: next(looks, None) is None, "the moment to come")
        process.kill()
        server.started.remove(process)


def show(killer, number, began, is_end):
    """Progress for whom a long run is started by hand."""
    world, minutes = killer.world, (time.monotonic() - began) / 60
    text = (f"{number} of {COUNT} kills, {world.acknowledged:,} writes acknowledged, {world.unanswered:,} unanswered, "
            f"{minutes:.1f} min")
    if sys.stdout.isatty():
        print("\r" + text, end="\n" if is_end else "", flush=True)
    elif is_end or number % 100 == 0:
        print(text, flush=True)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_the_database_ends_as_acknowledged(kind, make_database, processes, tmp_path):
    database = make_database(kind).make(behind.SCHEMA)
    proxy = proxies.Proxy(kind, database.server.port) if kind != "sqlite" else None
    servers = Behind(processes, str(tmp_path), database, behind.keyspaces(), proxy and proxy.port)
    world, began = World(SEED), time.monotonic()
    killer = Killer(world, servers, proxy, SEED)
    try:
        for number in range(1, COUNT + 1):
            killer.cycle(number)
            show(killer, number, began, number == COUNT)
        server = servers.start()
        world.check(server, "the last start")
        writers = behind.write(world, server)
        wait_until(lambda: sum(writer.acknowledged for writer in writers) > 500, "some writes")
        behind.over(writers)
        world.check(server, "before the end")
        assert servers.stop() == 0
    finally:
        if proxy:
            proxy.close()
    world.check_database(database)
    print(f"{kind}: {killer.ways}; {world.acknowledged:,} acknowledged, {world.unanswered:,} unanswered; "
          f"errors {world.errors or 'none'}")
    assert world.acknowledged > 20 * COUNT, "too little happened to say anything"
    assert set(world.errors) <= ALLOWED[behind.MODE][kind], f"{world.errors}: {world.last_error}"
    if behind.MODE == "write-behind":
        assert database.one("SELECT count(*) FROM fb_dead") == 0
        assert database.one("SELECT state AS s FROM fb_partition") == "clean"
