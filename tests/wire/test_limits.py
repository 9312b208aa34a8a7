"""Shows the limits that need a clock: connections that begin a request and do not finish it.

All wait at the same time, each for its end, so the test takes as long as the longest limit (30 s only with
FOREBAY_TEST_FULL)."""

import pytest

from conftest import IS_FULL
from resp import Closed, ReplyError

PATIENCE_S = 60.0  # more than any limit shown here


def server_of(forebay, database, **settings):
    path = database("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1, 'x');")
    return forebay({"server": settings, "sources": {"shop": {"url": f"sqlite:{path}"}},
                    "keyspaces": {"t:{id:int}": {"table": "t", "as": "column:v"}}})


def ends(wire):
    """Waits for the end of a connection."""
    with pytest.raises((Closed, ConnectionResetError)):
        wire.read()
    return True


def test_a_stranger_cannot_leave_a_request_unfinished(forebay, database, tmp_path):
    secret = tmp_path / "secret"
    secret.touch(mode=0o600)
    secret.write_text("secret")
    server = server_of(forebay, database, password=f"file:{secret}")
    halves = [server.wire(timeout=PATIENCE_S) for _ in range(50)]
    for number, wire in enumerate(halves):
        wire.send(b"*2\r\n$4\r\nAUTH\r\n$6\r\nsecret\r\n"[:1 + number % 20])
    with server.wire() as bystander:
        assert isinstance(bystander.ask("PING"), ReplyError)
        assert bystander.ask("AUTH", "secret") == "OK"
        assert all(ends(wire) for wire in halves)
        assert bystander.ask("GET", "t:1") == b"x"
    for wire in halves:
        wire.close()


@pytest.mark.skipif(not IS_FULL, reason="takes 30 s; FOREBAY_TEST_FULL=1")
def test_nobody_can_leave_a_request_unfinished(forebay, database):
    server = server_of(forebay, database)
    with server.wire(timeout=PATIENCE_S) as half, server.wire() as bystander:
        half.send(b"*2\r\n$3\r\nGET\r\n$3\r\nt")
        assert bystander.ask("GET", "t:1") == b"x"
        assert ends(half)
        assert bystander.ask("GET", "t:1") == b"x"  # idle between requests is no fault


def test_keepalive_finds_peers_that_have_vanished(forebay, database):
    """A vanished peer sends nothing, so the kernel has to ask; that it does is set on every connection."""
    server = server_of(forebay, database)
    with server.wire() as wire:
        assert wire.ask("PING") == "PONG"
        with open("/proc/net/tcp", encoding="ascii") as table:
            ours = f"0100007F:{server.port:04X}"
            theirs = f"0100007F:{wire.socket.getsockname()[1]:04X}"
            timers = [fields[5] for fields in (line.split() for line in table)
                      if fields[1] == ours and fields[2] == theirs]
    assert [timer.split(":")[0] for timer in timers] == ["02"], timers  # 02: the keepalive timer runs
