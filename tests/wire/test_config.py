"""Shows how a running server's configuration changes: CONFIG SET in Redis' own words, all of it or nothing; the file
read again by SIGHUP; the service manager kept informed. What Redis has, is compared with a real redis-server."""

import json
import os
import re
import signal
import socket

import pytest

from conftest import wait_until

USERS = "CREATE TABLE users(id INTEGER PRIMARY KEY, name TEXT); INSERT INTO users VALUES (42, 'Ada'), (43, 'Ben');"


@pytest.fixture
def server(forebay, database):
    path = database(USERS)
    return forebay({"sources": {"shop": {"url": f"sqlite:{path}"}}, "keyspaces": {"user:{id}": {"table": "users"}}})


def rewrite(server, before, after):
    with open(server.config_path, encoding="utf-8") as file:
        text = file.read()
    assert before in text
    with open(server.config_path, "w", encoding="utf-8") as file:
        file.write(text.replace(before, after))


def reload(server, event):
    """SIGHUP, and the line of the log that tells what came of it."""
    seen = server.log().count(f"event={event}")
    server.process.send_signal(signal.SIGHUP)
    lines = wait_until(lambda: re.findall(rf"(?m)^.*event={re.escape(event)} .*$", server.log())[seen:], event)
    return lines[-1]


def get(wire, name):
    pair = wire.ask("CONFIG", "GET", name)
    assert len(pair) == 2, pair
    return pair[1].decode()


# ---- CONFIG SET ------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("words", [
    ["nosuch", "1"], ["maxmemory"], ["maxmemory", "1", "maxmemory", "2"], ["maxmemory", "abc"], ["maxmemory", "100xb"],
    ["maxmemory", "100mb", "foo"], ["maxmemory", "100mb", "nosuch", "3"], ["maxclients", "x"], ["timeout", "x"],
    ["timeout", "10s"], ["latency-tracking", "x"], ["slowlog-log-slower-than", "x"], ["databases", "3"],
    ["maxmemory", "100mb", "databases", "5"], ["databases", "5", "nosuch", "1"], ["nosuch", "a", "nosuch", "b"],
    ["io-threads", "3"], [], ["latency-tracking", "no"], ["slowlog-log-slower-than", "-1"], ["slowlog-max-len", "7"],
    ["TIMEOUT", "30"], ["loglevel", "VERBOSE"], ["maxclients", "100", "timeout", "5"], ["save", ""],
    ["appendonly", "no"], ["slowlog-log-slower-than", "0"], ["timeout", "0"],
])
def test_config_set_answers_as_redis_does(server, redis_server, words):
    with server.wire() as ours, redis_server().wire() as theirs:
        assert ours.ask("CONFIG", "SET", *words) == theirs.ask("CONFIG", "SET", *words)
        for name in words[::2]:
            if "nosuch" not in name and name not in ("databases", "maxmemory", "maxclients", "io-threads"):
                assert ours.ask("CONFIG", "GET", name.lower()) == theirs.ask("CONFIG", "GET", name.lower())


@pytest.mark.parametrize("words, text", [
    (["maxclients", "0"], "argument must be between 1 and 1000000 inclusive"),
    (["timeout", "-1"], "argument must be between 0 and 31536000 inclusive"),
    (["port", "1"], "can't set immutable config"),
    (["listen", "127.0.0.1:1"], "can't set immutable config"),
    (["keyspaces.user:{id}.table", "x"], "can't set immutable config"),
    (["keyspaces.user:{id}.ttl", "5"], "'5' has no unit; write 5s if that is what you mean; "
                                      "a time with its unit: 250ms, 30s, 10m, 1h30m, 7d"),
    (["bulk_max", "17mb"], "the longest argument (bulk_max) does not fit into query_buffer_max"),
])
def test_config_set_says_what_is_wrong_where_we_differ(server, words, text):
    with server.wire() as wire:
        assert str(wire.ask("CONFIG", "SET", *words)) == \
            f"ERR CONFIG SET failed (possibly related to argument '{words[0]}') - {text}"


def test_config_set_is_all_or_nothing(server):
    with server.wire() as wire:
        assert wire.ask("CONFIG", "SET", "timeout", "5", "maxclients", "x").word == "ERR"
        assert get(wire, "timeout") == "0"
        assert wire.ask("CONFIG", "SET", "timeout", "5", "clients_max", "77") == "OK"
        assert (get(wire, "timeout"), get(wire, "maxclients")) == ("5", "77")


def test_config_set_changes_the_life_of_entries_at_once(server):
    with server.wire() as wire:
        wire.ask("GET", "user:42")
        assert wire.ask("PTTL", "user:42") > 60000
        assert wire.ask("CONFIG", "SET", "keyspaces.user:{id:int}.ttl", "2s", "keyspaces.user:{id}.jitter", "0%") == "OK"
        assert wire.ask("PTTL", "user:42") <= 2000
        assert get(wire, "keyspaces.user:{id}.ttl") == "2s"


def test_the_password_can_be_changed_and_taken_away(server):
    with server.wire() as wire:
        assert wire.ask("CONFIG", "SET", "requirepass", "hunter2") == "OK"
        assert get(wire, "requirepass") == ""
        with server.wire() as other:
            assert other.ask("GET", "user:42").word == "NOAUTH"
            assert other.ask("AUTH", "hunter2") == "OK"
        assert "changed=server.password" in reload(server, "config.reload.applied"), "the file has none"
        with server.wire() as other:
            assert other.ask("PING") == "PONG"
        assert "changed=nothing" in reload(server, "config.reload.applied")
        assert wire.ask("CONFIG", "SET", "requirepass", "x") == "OK"
        assert wire.ask("CONFIG", "SET", "requirepass", "") == "OK"
        with server.wire() as other:
            assert other.ask("PING") == "PONG"
    assert "hunter2" not in server.log()


def test_config_set_memory_in_both_units(server):
    with server.wire() as wire:
        assert wire.ask("CONFIG", "SET", "maxmemory", "100mb") == "OK"
        assert (get(wire, "memory_max"), get(wire, "maxmemory")) == ("100mb", "104857600")
        assert wire.ask("CONFIG", "SET", "memory_max", "2mb") == "OK"
        assert get(wire, "maxmemory") == str(2 << 20)
        assert b"maxmemory:2097152" in wire.ask("INFO", "memory")


def test_a_connection_beyond_a_lowered_clients_max_is_refused(server):
    with server.wire() as wire:
        assert wire.ask("CONFIG", "SET", "maxclients", "1") == "OK"
        with server.wire() as other:
            assert str(other.read()) == "ERR max number of clients reached"
        wait_until(lambda: "event=client.refused" in server.log(), "the event")


# ---- reading the file again ------------------------------------------------------------------------------------------

def test_sighup_applies_what_is_live_and_names_the_rest(server):
    with server.wire() as wire:
        wire.ask("GET", "user:42")
        rewrite(server, "    table: users", "    table: users\n    ttl: 3s\n    write: write-through")
        rewrite(server, "server:", "server:\n  idle_timeout: 9m\n  threads: 3")
        line = reload(server, "config.reload.applied")
        assert 'changed="server.idle_timeout, keyspaces.user:{id}.ttl"' in line
        assert 'needs_restart="server.threads, keyspaces.user:{id}.write"' in line
        assert get(wire, "timeout") == "540"
        assert get(wire, "keyspaces.user:{id}.write") == "off", "what needs a restart is not said to be in force"
        assert wire.ask("PTTL", "user:42") <= 3000


def test_a_faulty_file_changes_nothing_and_names_every_fault(server):
    rewrite(server, "    table: users", "    table: users\n    ttl: 3\n    jiter: 1%")
    rewrite(server, "server:", "server:\n  idle_timeout: 9m")
    line = reload(server, "config.reload.rejected")
    assert "is not valid, the old one stays: " in line
    faults = re.findall(r"event=config\.diagnostic .* code=(\S+) .* line=(\d+)", server.log())
    assert [code for code, _ in faults] == ["unit", "unknown-setting"]
    with server.wire() as wire:
        assert get(wire, "timeout") == "0"
        assert wire.ask("GET", "user:42") == b'{"id":42,"name":"Ada"}'


def test_keyspaces_that_come_and_go_need_a_restart(server):
    rewrite(server, "user:{id}:", "person:{id}:")
    line = reload(server, "config.reload.applied")
    assert 'needs_restart="keyspaces.user:{id} (gone), keyspaces.person:{id} (new)"' in line
    with server.wire() as wire:
        assert wire.ask("GET", "user:42") == b'{"id":42,"name":"Ada"}'
        assert wire.ask("GET", "person:42").word == "NOMAP"


def test_a_reload_goes_back_from_config_set_to_the_file(server):
    with server.wire() as wire:
        assert wire.ask("CONFIG", "SET", "timeout", "77") == "OK"
        assert "changed=server.idle_timeout" in reload(server, "config.reload.applied")
        assert get(wire, "timeout") == "0"
        assert "changed=nothing" in reload(server, "config.reload.applied")


def test_flags_still_win_after_a_reload(forebay, database):
    path = database(USERS)
    server = forebay({"sources": {"shop": {"url": f"sqlite:{path}"}}, "keyspaces": {"user:{id}": {"table": "users"}}},
                     flags=["--idle-timeout", "7s"])
    rewrite(server, "server:", "server:\n  idle_timeout: 9m")
    assert "changed=nothing" in reload(server, "config.reload.applied")
    with server.wire() as wire:
        assert get(wire, "timeout") == "7"


def test_the_state_is_dumped_into_the_log(server):
    with server.wire() as wire:
        wire.ask("GET", "user:42")
    server.process.send_signal(signal.SIGUSR1)
    server.process.send_signal(signal.SIGUSR2)
    wait_until(lambda: "event=serve.state.source" in server.log(), "the dump")
    assert re.search(r"event=serve\.state\.keyspace .*keyspace=user:\{id:int\} keys=1 hits=0 misses=1", server.log())
    assert "Ada" not in server.log() and "user:42 " not in server.log().split("\n", 1)[1]


# ---- the service manager ---------------------------------------------------------------------------------------------

@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path, monkeypatch):
    """The socket that systemd would read; messages() are the datagrams so far, each as its lines."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@forebay-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(name.replace("@", "\0"))
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        monkeypatch.setenv("WATCHDOG_USEC", "1000000")  # few enough for the queue that the kernel keeps for us (10)
        listener.setblocking(False)
        seen = []

        def messages():
            try:
                while True:
                    seen.append(listener.recv(4096).decode().split("\n"))
            except BlockingIOError:
                return seen
        yield messages


def test_the_service_manager_is_told(manager, server):
    def lines():
        return [line for message in manager() for line in message]
    wait_until(lambda: "READY=1" in lines(), "READY=1")
    wait_until(lambda: lines().count("WATCHDOG=1") > 2, "signs of life")
    assert any(re.match(r"STATUS=\d+ keys, ", line) for line in lines())
    server.process.send_signal(signal.SIGHUP)
    wait_until(lambda: lines().count("READY=1") == 2, "the end of the reload")
    reloading = next(message for message in manager() if "RELOADING=1" in message)
    assert re.fullmatch(r"MONOTONIC_USEC=\d+", reloading[1])
    assert server.stop() == 0
    assert "STOPPING=1" in lines()
    order = [line for line in lines() if line.endswith("=1") and line != "WATCHDOG=1"]
    assert order == ["READY=1", "RELOADING=1", "READY=1", "STOPPING=1"]
