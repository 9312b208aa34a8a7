"""Shows that write-behind loses nothing and does nothing twice: several clients write values and count while the server is
killed again and again at random moments, in its flushes too; after every start they read what they were promised, and in
the end the database has exactly what was acknowledged, and of what was not answered nothing or all, once.

A request that a kill left unanswered may have happened: its writer takes it as one that is open. COUNT sets the number of
kills (make test-kill)."""

import contextlib
import os
import random
import signal
import threading
import time

import pytest

from resp import Closed

KILLS = int(os.environ.get("COUNT", "40"))
WRITERS, COUNTERS = 4, 3
RUN_S = (0.02, 0.35)  # between a start and its kill
SCHEMA = """
CREATE TABLE t(id {int} PRIMARY KEY, n {int}, note {text});
CREATE TABLE c(name {key} PRIMARY KEY, n {int}, shared {int});
"""


class Counter:
    """What is known of a number that all writers count up: answers, and questions without one."""

    def __init__(self):
        self.lock = threading.Lock()
        self.answers, self.open, self.outside = set(), 0, 0

    def answered(self, value):
        with self.lock:
            assert value not in self.answers, f"{value} was answered twice"
            self.answers.add(value)

    def left_open(self):
        with self.lock:
            self.open += 1


class Writer(threading.Thread):
    """One client with a row of its own and a part in every counter."""

    def __init__(self, world, number):
        super().__init__(daemon=True)
        self.world, self.number = world, number
        self.sent = self.acknowledged = 0  # of the row: what it was last told to be, and what of that was answered
        self.is_there = None               # None: a DEL or a SET after it is open
        self.failure = None
        self.rng = random.Random(number)

    def run(self):
        try:
            while not self.world.is_over:
                server = self.world.server
                if server is None:
                    time.sleep(0.002)
                    continue
                with contextlib.suppress(OSError, Closed):
                    with server.wire(timeout=20) as wire:
                        self.check(wire)
                        while self.world.server is server and not self.world.is_over:
                            self.step(wire)
        except BaseException as error:  # of the test: shown by it
            self.failure = error
            raise

    def ask(self, wire, *words):
        """None: there was no answer."""
        try:
            return wire.ask(*words)
        except (OSError, Closed):
            return None

    def check(self, wire):
        """After a start a client sees what it was promised."""
        value = wire.ask("HGET", f"t:{self.number}", "n")
        seen = int(value) if value is not None else 0
        assert self.acknowledged <= seen <= self.sent, (self.number, self.acknowledged, seen, self.sent)
        self.acknowledged = seen  # somebody has read it

    def step(self, wire):
        if self.rng.random() < 0.5:
            self.sent += 1
            words = ["HSET", f"t:{self.number}", "n", self.sent]
            if self.rng.random() < 0.3:
                words += ["note", f"note {self.sent}"]
            if self.ask(wire, *words) is None:
                raise ConnectionError
            self.acknowledged = self.sent
            return
        name, field = f"c:{self.rng.randrange(COUNTERS)}", self.rng.choice(["n", "shared"])
        counter = self.world.counters[name, field]
        answer = self.ask(wire, "HINCRBY", name, field, 1)
        if answer is None:
            counter.left_open()
            raise ConnectionError
        if field == "n":
            counter.answered(answer)
        else:
            with counter.lock:
                counter.answers.add((self.number, len(counter.answers)))


class World:
    def __init__(self, forebay, database, folder):
        self.start_one, self.database = forebay, database
        self.config = {
            "server": {"journal_dir": os.path.join(folder, "journal")},
            "sources": {"shop": database.source(pool=2)},
            "keyspaces": {
                "t:{id}": {"source": "shop", "table": "t", "as": "hash", "write": "write-behind", "flush_interval": "30ms"},
                "c:{name}": {"source": "shop", "table": "c", "as": "hash", "write": "write-behind",
                             "flush_interval": "20ms", "add_columns": "shared"}}}
        self.server, self.is_over = None, False
        self.counters = {(f"c:{i}", field): Counter() for i in range(COUNTERS) for field in ("n", "shared")}
        self.writers = [Writer(self, i) for i in range(WRITERS)]

    def count_outside(self):
        """Somebody else adds to the shared column as well."""
        i = random.randrange(COUNTERS)
        if self.database.one("SELECT count(*) AS n FROM c WHERE name = %s", str(i)) == 1:
            with contextlib.suppress(Exception):  # a lock: then it is not counted
                self.database.run("UPDATE c SET shared = COALESCE(shared, 0) + 1000000 WHERE name = %s", str(i))
                self.counters[f"c:{i}", "shared"].outside += 1

    def check_database(self):
        for writer in self.writers:
            rows = self.database.rows("SELECT n, note FROM t WHERE id = %s", writer.number)
            n = int(rows[0]["n"] or 0) if rows else 0
            assert writer.acknowledged <= n <= writer.sent, (writer.number, writer.acknowledged, n, writer.sent)
        for (name, field), counter in self.counters.items():
            rows = self.database.rows(f"SELECT {field} AS n FROM c WHERE name = %s", name[2:])
            total = (int(rows[0]["n"] or 0) if rows else 0) - counter.outside * 1000000
            known = len(counter.answers)
            assert known <= total <= known + counter.open, (name, field, known, total, counter.open)
            if field == "n" and counter.answers:
                assert max(counter.answers) <= total


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_killed_at_random_moments(forebay, make_database, tmp_path, kind):
    database = make_database(kind).make(SCHEMA)
    world = World(forebay, database, str(tmp_path))
    for writer in world.writers:
        writer.start()
    rng = random.Random(os.urandom(8))
    for _ in range(KILLS):
        server = forebay(world.config)
        world.server = server
        if kind != "sqlite":
            world.count_outside()
        time.sleep(rng.uniform(*RUN_S))
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
        world.server = None
        for writer in world.writers:
            assert writer.failure is None, writer.failure
    world.server = forebay(world.config)
    time.sleep(0.3)
    world.is_over = True
    for writer in world.writers:
        writer.join(30)
        assert not writer.is_alive() and writer.failure is None, writer.failure
    assert world.server.stop() == 0
    world.check_database()
    written = sum(writer.sent for writer in world.writers) + sum(len(c.answers) for c in world.counters.values())
    print(f"{kind}: {KILLS} kills, {written} writes, {sum(c.open for c in world.counters.values())} left open")
    assert written > KILLS * 10
