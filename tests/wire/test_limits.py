"""Shows the limits that need a clock or another address: connections that begin a request and do not finish it, say
nothing, do not read, or guess.

Where many wait, all wait at the same time, each for its end, so a test takes as long as its longest limit (30 s only
with FOREBAY_TEST_FULL)."""

import os
import re
import socket
import stat

import pytest

from conftest import IS_FULL, free_port, wait_until
from resp import Closed, ReplyError, Wire, encode

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


def ended_within(wire, seconds):
    """Has the connection ended, or does it end within so much time?"""
    wire.socket.settimeout(seconds)
    try:
        wire.read()
    except socket.timeout:
        return False
    except (Closed, ConnectionResetError):
        return True
    raise AssertionError("something came instead of the end")


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


def secret_of(tmp_path):
    secret = tmp_path / "secret"
    secret.touch(mode=0o600)
    secret.write_text("secret")
    return f"file:{secret}"


def test_a_stranger_must_say_something(forebay, database, tmp_path):
    """A first request within 5 s; after it, silence is allowed for longer."""
    server = server_of(forebay, database, password=secret_of(tmp_path))
    with server.wire(timeout=PATIENCE_S) as silent, server.wire(timeout=PATIENCE_S) as spoken:
        assert spoken.ask("PING").word == "NOAUTH"
        assert ends(silent)
        assert spoken.ask("AUTH", "secret") == "OK"
        stats = spoken.ask("INFO", "stats").decode()
    assert "client_slow_disconnections:1\r\n" in stats


def test_an_idle_connection_is_closed_when_that_is_set(forebay, database):
    """Live; subscribers, and those that wait for a reply, are not idle."""
    server = server_of(forebay, database)
    with server.wire(timeout=PATIENCE_S) as idle, server.wire(timeout=PATIENCE_S) as listener, server.wire() as admin:
        assert idle.ask("PING") == "PONG"
        assert listener.ask("SUBSCRIBE", "news") == [b"subscribe", b"news", 1]
        assert admin.ask("CONFIG", "SET", "timeout", "5") == "OK"
        while not ended_within(idle, 0.2):
            assert admin.ask("PING") == "PONG"
        assert admin.ask("PUBLISH", "news", "x") == 1
        assert listener.read() == [b"message", b"news", b"x"]
        assert server.info("stats")["stats"]["client_idle_disconnections"] == "1"


def test_a_reader_that_stays_behind_is_closed(forebay, database):
    """More than 8 MiB unsent for 10 s, though less than the limit at any moment."""
    server = server_of(forebay, database)
    with server.wire(timeout=PATIENCE_S) as slow, server.wire(timeout=PATIENCE_S) as bystander:
        slow.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.send(encode("ECHO", b"x" * 4_000_000) * 6)
        wait_until(lambda: server.info("stats")["stats"]["client_output_buffer_limit_disconnections"] == "1",
                   "the soft limit", PATIENCE_S)
        assert bystander.ask("GET", "t:1") == b"x"


def other_address():
    """An address of this machine that is not its loopback, or None."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
            return probe.getsockname()[0]
        except OSError:
            return None


def test_an_address_that_guesses_is_not_heard_for_a_while(forebay, database, tmp_path):
    address = other_address()
    if address is None or address.startswith("127."):
        pytest.skip("this machine has no address beside its loopback")
    path = database("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT);")
    server = forebay({"server": {"listen": ["127.0.0.1:0", f"{address}:{free_port()}"], "password": secret_of(tmp_path)},
                      "sources": {"shop": {"url": f"sqlite:{path}"}},
                      "keyspaces": {"t:{id:int}": {"table": "t", "as": "column:v"}}})
    port = int(re.search(rf"{re.escape(address)}:(\d+)", server.log()).group(1))
    for number in range(5):
        with Wire(address, port) as guesser:
            assert guesser.ask("AUTH", f"guess{number}").word == "WRONGPASS"
    with Wire(address, port) as guesser:
        assert "too many wrong passwords" in guesser.ask("AUTH", "secret").text  # even when it is right
        assert ends(guesser)
    with server.wire() as local:
        assert local.ask("AUTH", "secret") == "OK"  # this machine is not that address
    def is_heard():
        with Wire(address, port) as wire:
            return wire.ask("AUTH", "secret") == "OK"
    wait_until(is_heard, "the end of the penalty", 30.0)


@pytest.mark.parametrize("mode,wanted", [(None, 0o700), ("0770", 0o770), ("777", 0o777)])
def test_a_unix_socket_has_its_mode(forebay, database, tmp_path, mode, wanted):
    path = tmp_path / "socket"
    settings = {} if mode is None else {"unix_mode": mode}
    server_of(forebay, database, listen=["127.0.0.1:0", f"unix:{path}"], **settings)
    assert stat.S_IMODE(os.stat(path).st_mode) == wanted


def test_keepalive_finds_peers_that_have_vanished(forebay, database):
    """A vanished peer sends nothing, so the kernel has to ask; that it does is set on every connection."""
    server = server_of(forebay, database)
    with server.wire() as wire:
        assert wire.ask("PING") == "PONG"
        ours, theirs = f"0100007F:{server.port:04X}", f"0100007F:{wire.socket.getsockname()[1]:04X}"

        def timers():
            with open("/proc/net/tcp", encoding="ascii") as table:
                return [fields[5].split(":")[0] for fields in (line.split() for line in table)
                        if fields[1] == ours and fields[2] == theirs]
        # 01 until the reply is acknowledged
        wait_until(lambda: timers() == ["02"], lambda: f"the keepalive timer to run: {timers()}")
