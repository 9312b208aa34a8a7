"""Two Forebays that write behind, one Redis, one PostgreSQL, sixteen clients of both: one of the two owns the rows, the other
forwards to it, and everything that can be killed is, the owner too. No read is older than the last write acknowledged before
it began (with copies, by no more than a second), everybody reads the own writes, and in the end the database has counted
every acknowledged write once.

The programs and what happens to them are those of test_fleet_live.py."""

import pytest

from conftest import wait_until
from fleet import fleet  # noqa: F401
from test_fleet_live import KEYSPACES, READ_ERRORS, REDIS, SCHEMA, TTL_S, WRITE_ERRORS, Disturber, show, stale_at_rest
from test_fleet_live import SECONDS as FLEET_SECONDS

SECONDS = (FLEET_SECONDS + 1) // 2
BEHIND = {name: {**options, "write": "write-behind", "flush_interval": "200ms"} for name, options in KEYSPACES.items()}
ROWS = 64
# While the owner is away nobody else has what it had pending.
AWAY = {"read.NOTOWNER", "write.NOTOWNER", "del.NOTOWNER", "read.UNKNOWN"}
LIVES = {
    "no-l1": (False, {"evict": 0.05, "flush": 1.0, "kill": 3.0}),
    "l1": (True, {"evict": 0.05, "flush": 1.0, "kill": 3.0}),
    "redis-dies": (True, {"flush": 2.0, "kill": 6.0, "kill_redis": 5.0, "pause_redis": 4.0}),
}


def counted(database):
    """All that was ever counted: each row began with 1."""
    return sum(row["n"] for table in "sh" for row in database.rows(f"SELECT n FROM {table}")) - ROWS


def settle(two):
    """The owner brings to the database what waits; True when it has."""
    for server in two.servers:
        line = server.info("forebay_write_behind")["forebay_write_behind"]["behind_db"]
        if "state=owner" in line:
            with server.wire(timeout=30) as wire:
                return wire.ask("WAIT", 1, 20000) == 1
    return False


@pytest.mark.parametrize("life", LIVES)
def test_no_read_of_what_is_written_behind_is_older_than_what_was_acknowledged(fleet, life):  # noqa: F811
    has_l1, kinds = LIVES[life]
    two = fleet(SCHEMA, BEHIND, count=2, store={"copies": str(has_l1).lower()}, redis=REDIS)
    checker = two.checker(SECONDS)
    try:
        disturber = Disturber(two, checker, 1, kinds)
        disturber.run()
        seen = checker.figures()
    finally:
        checker.stop()
    errors = show(f"behind, {life}", seen, disturber)
    assert seen["reads"] > 100 * SECONDS and seen["writes"] > 5 * SECONDS, "too little happened to say anything"
    assert seen["not_own"] == 0
    assert seen["older_than_1s"] == 0
    if not has_l1:
        assert seen["older"] == 0
    assert set(errors) <= READ_ERRORS | WRITE_ERRORS | AWAY, errors
    wait_until(lambda: settle(two), "the owner to flush", 30)
    most = seen["writes"] + seen["write_errors"] + seen["abandoned"] + seen["killed"]
    assert seen["writes"] <= counted(two.database) <= most
    wait_until(lambda: stale_at_rest(two) == [], lambda: f"the last copies to end: {stale_at_rest(two)[:3]}", 3 * TTL_S)
