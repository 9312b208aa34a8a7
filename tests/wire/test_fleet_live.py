"""Three Forebays, one Redis, one PostgreSQL, sixteen clients, and everything that can be killed is: no read is older than
the last write acknowledged before it began; with a first level, by no more than a second. Plain cache-aside with the same
Redis and database, in the same run, is seen to fail.

Redis is too small for what it holds, so it evicts; it is flushed every second or so, killed, and stopped for a while.
`make fleet DURATION=600` is the long run; it prints the table."""

import os
import random
import signal
import time

import pytest

from conftest import wait_until
from fleet import PATIENT, fleet  # noqa: F401
from resp import ReplyError

SECONDS = int(os.environ.get("FOREBAY_FLEET_SECONDS", "60")) // 3
SCHEMA = """
CREATE TABLE s(id {int} PRIMARY KEY, n {int}, pad {text});
CREATE TABLE h(id {int} PRIMARY KEY, n {int}, pad {text});
CREATE TABLE plain(id {int} PRIMARY KEY, n {int});
INSERT INTO s SELECT g, 1, repeat('s', 200) FROM generate_series(0, 31) AS g;
INSERT INTO h SELECT g, 1, repeat('h', 200) FROM generate_series(0, 31) AS g;
INSERT INTO plain SELECT g, 1 FROM generate_series(0, 31) AS g;
"""
TTL_S = 10
TTL = f"{TTL_S}s"
KEYSPACES = {"s:{id}": {"table": "s", "as": "column:n", "write": "write-through", "ttl": TTL},
             "h:{id}": {"table": "h", "as": "hash", "write": "write-through", "ttl": TTL}}
REDIS = ["--maxmemory", "3mb", "--maxmemory-policy", "allkeys-lru"]
NOISE = "x" * 4000
READ_ERRORS = {"read.lost"}                       # of a Forebay that was killed
WRITE_ERRORS = {"write.lost", "del.lost", "write.STOREDOWN", "write.UNKNOWN", "del.STOREDOWN", "del.UNKNOWN"}
TABLE = ["reads", "writes", "invalidations", "abandoned", "killed", "read_errors", "write_errors", "older", "older_than_1s",
         "not_own", "backwards", "new_then_old", "longest_stale_us", "longest_read_us", "longest_write_us"]


class Disturber:
    """What happens to a fleet meanwhile, by a seed; each kind with its own mean time between two."""

    def __init__(self, fleet, checker, seed, kinds):  # noqa: F811
        self.fleet, self.checker, self.rng = fleet, checker, random.Random(seed)
        self.count = {kind: 0 for kind in kinds}
        self.every = kinds
        self.due = {kind: time.monotonic() + self.rng.expovariate(1 / mean) for kind, mean in kinds.items()}

    def run(self):
        while self.checker.is_running():
            now = time.monotonic()
            for kind, due in self.due.items():
                if now >= due and self.checker.is_running():
                    getattr(self, kind)()
                    self.count[kind] += 1
                    self.due[kind] = time.monotonic() + self.rng.expovariate(1 / self.every[kind])
            self.checker.ends_within(0.01)

    def pause(self, seconds):
        """Long enough for something to go wrong meanwhile."""
        self.checker.ends_within(self.rng.random() * seconds)

    def evict(self):
        """Other people's values push ours out."""
        with self.fleet.redis.wire() as wire:
            wire.pipeline([("SET", f"noise:{self.rng.randrange(10 ** 9)}", NOISE) for _ in range(40)])

    def flush(self):
        with self.fleet.redis.wire() as wire:
            assert wire.ask("FLUSHALL") == "OK"

    def kill(self):
        index = self.rng.randrange(len(self.fleet.servers))
        self.checker.say_down(index)
        self.fleet.kill(index)
        self.pause(0.3)
        self.fleet.start(index)

    def kill_redis(self):
        self.fleet.kill_redis()
        self.pause(1.0)
        self.fleet.start_redis()

    def pause_redis(self):
        os.kill(self.fleet.redis.pid, signal.SIGSTOP)
        self.pause(1.5)
        os.kill(self.fleet.redis.pid, signal.SIGCONT)


def show_figures(title, seen):
    """Prints the table; what errors there were, by their first words."""
    lines = [f"\n{title}", f"    {'':18}{'Forebay':>14}{'plain cache-aside':>22}"]
    for row in TABLE:
        plain = seen[f"plain_{row}"]
        lines.append(f"    {row:18}{seen[row]:>14}{plain if plain else '':>22}")
    errors = {name[6:]: count for name, count in seen.items() if name.startswith("error.")}
    lines.append("    errors: " + (", ".join(f"{name} {count}" for name, count in errors.items()) or "none"))
    print("\n".join(lines), flush=True)
    return errors


def show(name, seen, disturber):
    done = ", ".join(f"{count} × {kind}" for kind, count in disturber.count.items())
    return show_figures(f"{name}: {SECONDS} s; {done}", seen)


LIVES = {
    "no-l1": (False, {"evict": 0.05, "flush": 1.0, "kill": 3.0}),
    "l1": (True, {"evict": 0.05, "flush": 1.0, "kill": 3.0}),
    "redis-dies": (True, {"flush": 2.0, "kill": 6.0, "kill_redis": 5.0, "pause_redis": 4.0}),
}


def stale_at_rest(three):
    """Copies in Redis that are not what the database has, once everybody has gone home: keys, and what they hold, or why
    nobody says."""
    truth = {f"{table}:{row['id']}": row["n"] for table in "sh" for row in three.database.rows(f"SELECT id, n FROM {table}")}
    found = []
    for asked in [*([three.redis] if three.redis else []), *three.servers]:
        with asked.wire() as wire:
            for key, n in truth.items():
                copy = wire.ask("GET", key) if key[0] == "s" else wire.ask("HGET", key, "n")
                if isinstance(copy, ReplyError) or copy is not None and int(copy) != n:
                    found.append((asked.name, key, copy, n))
    return found


@pytest.mark.parametrize("life", LIVES)
def test_no_read_is_older_than_what_was_acknowledged(fleet, life):  # noqa: F811
    has_l1, kinds = LIVES[life]
    store = {"copies": str(has_l1).lower(), **({} if "kill_redis" in kinds else {"share_timeout": PATIENT})}
    three = fleet(SCHEMA, KEYSPACES, store=store, redis=REDIS)
    checker = three.checker(SECONDS)
    try:
        disturber = Disturber(three, checker, 1, kinds)
        disturber.run()
        seen = checker.figures()
    finally:
        checker.stop()
    errors = show(life, seen, disturber)
    assert seen["reads"] > 100 * SECONDS and seen["writes"] > 5 * SECONDS, "too little happened to say anything"
    assert seen["plain_older"] > 0, "the control did not fail: this run proves nothing"
    assert seen["not_own"] == 0
    assert seen["older_than_1s"] == 0
    if not has_l1:
        assert seen["older"] == 0
    assert set(errors) <= READ_ERRORS | WRITE_ERRORS, errors
    if "kill_redis" not in kinds:  # then only a machine that stalls for as long as store.share_timeout makes some
        others = sum(count for name, count in errors.items() if not name.endswith(".lost"))
        assert others <= seen["writes"] // 1000, errors
    # Who dies while the coordination key is lost may leave a copy that only its TTL ends.
    wait_until(lambda: stale_at_rest(three) == [], "the last copies to end", TTL_S + 5)
