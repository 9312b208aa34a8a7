"""Shows what an operator sees: which commands ran and how long they took, what was slow and where its time went, with the
shapes and words of a real redis-server beside it."""

import re

import pytest

from resp import ReplyError

SHOP = """CREATE TABLE users(id INTEGER PRIMARY KEY, name TEXT);
          INSERT INTO users VALUES (1, 'Ada'), (2, 'Grace');"""
LATENCY_MS = 30


def shop(database, name="shop.db", **source):
    return {"server": {"admin": "off"},
            "sources": {"shop": {"url": f"sqlite:{database(SHOP, name)}", **source}},
            "keyspaces": {"user:{id:int}": {"source": "shop", "table": "users", "write": "write-through"}}}


def costs(server):
    """INFO commandstats as a dict of dicts of numbers."""
    lines = server.info("commandstats")["commandstats"]
    return {name.removeprefix("cmdstat_"): {field: float(value) for field, value in
                                            (part.split("=") for part in line.split(","))}
            for name, line in lines.items()}


@pytest.mark.short
def test_commands_are_counted_as_redis_counts_them(forebay, redis_server, database):
    def talk(server):
        with server.wire() as wire:
            for words in (["GET", "user:1"], ["GET", "user:1"], ["GET"], ["SET", "user:1", "x", "y"], ["NOSUCH"],
                          ["CLIENT", "NOSUCH"], ["CONFIG", "GET", "port"], ["PING"]):
                wire.ask(*words)
            lines = wire.ask("INFO", "commandstats").decode()
        return {name: dict(part.split("=") for part in rest.split(","))
                for name, rest in re.findall(r"cmdstat_(\S+?):(\S+)", lines)}

    ours, theirs = talk(forebay(shop(database))), talk(redis_server())
    assert list(ours["get"]) == list(theirs["get"])  # the same fields in the same order
    for name in ("get", "set", "config|get", "ping"):
        for field in ("calls", "rejected_calls", "failed_calls"):
            assert ours[name][field] == theirs[name][field], (name, field)
    assert "nosuch" not in ours and "client|nosuch" not in ours


@pytest.mark.short
def test_a_request_that_waits_is_measured_until_its_reply(forebay, database):
    server = forebay(shop(database, added_latency=f"{LATENCY_MS}ms"))
    with server.wire() as wire:
        wire.ask("GET", "user:1")
        cold = costs(server)["get"]
        for _ in range(100):
            wire.ask("GET", "user:1")
        warm = costs(server)["get"]
        assert cold["calls"] == 1 and cold["usec"] >= LATENCY_MS * 1000
        assert warm["calls"] == 101 and warm["usec"] < 2 * cold["usec"]

        name, spread = wire.ask("LATENCY", "HISTOGRAM", "get")
        assert name == b"get" and spread[0::2] == [b"calls", b"histogram_usec"] and spread[1] == 101
        steps = dict(zip(spread[3][0::2], spread[3][1::2]))
        assert max(steps) >= LATENCY_MS * 1000 and max(steps.values()) == 101
        assert wire.ask("CONFIG", "RESETSTAT") == "OK"
        assert wire.ask("LATENCY", "HISTOGRAM", "get") == []
        assert "get" not in costs(server)


def test_slow_log_tells_where_the_time_went(forebay, database):
    server = forebay(shop(database, added_latency=f"{LATENCY_MS}ms"))
    with server.wire() as wire:
        wire.ask("CLIENT", "SETNAME", "till")
        wire.ask("GET", "user:1")
        wire.ask("GET", "user:1")
        wire.ask("SET", "user:2", '{"name":"Grace Hopper"}')
        wire.ask("MGET", *[f"user:{i}" for i in range(1, 41)])
        assert wire.ask("SLOWLOG", "LEN") == 3  # the second GET was a hit
        many, write, read = wire.ask("SLOWLOG", "GET")
        assert [entry[0] for entry in (many, write, read)] == [2, 1, 0]
        assert read[2] >= LATENCY_MS * 1000
        assert read[3][:2] == [b"GET", b"user:1"]
        assert re.fullmatch(rb"/\* cache=.*\*/", read[3][2]), read[3][2]
        assert read[4].startswith(b"127.0.0.1:") and read[5] == b"till"
        assert write[3][:3] == [b"SET", b"user:2", b"(23 bytes)"]  # a value is nobody's business
        assert len(many[3]) == 33 and many[3][31] == b"... (10 more arguments)"
        assert wire.ask("SLOWLOG", "RESET") == "OK"
        assert wire.ask("SLOWLOG", "LEN") == 0


def test_errors_of_slowlog_and_latency_are_those_of_redis(forebay, redis_server, database):
    requests = [["SLOWLOG"], ["SLOWLOG", "GET", "x"], ["SLOWLOG", "GET", "-2"], ["SLOWLOG", "GET", "1", "2"],
                ["SLOWLOG", "NOSUCH"], ["SLOWLOG", "LEN", "x"], ["SLOWLOG", "GET"], ["SLOWLOG", "GET", "-1"],
                ["LATENCY"], ["LATENCY", "NOSUCH"], ["LATENCY", "HISTORY"], ["LATENCY", "HISTORY", "nosuch"],
                ["LATENCY", "LATEST"], ["LATENCY", "RESET"], ["LATENCY", "RESET", "x"],
                ["LATENCY", "HISTOGRAM", "nosuch"]]
    with forebay(shop(database)).wire() as ours, redis_server().wire() as theirs:
        for words in requests:
            assert ours.ask(*words) == theirs.ask(*words), words
        ours.ask("HELLO", "3"), theirs.ask("HELLO", "3")
        for wire in (ours, theirs):
            assert wire.ask("LATENCY", "HISTOGRAM", "nosuch") == {}
            (name, spread), = wire.ask("LATENCY", "HISTOGRAM", "hello").items()
            assert name == "hello" and spread["calls"] == 1 and list(spread["histogram_usec"].values()) == [1]
        assert not isinstance(ours.ask("LATENCY", "DOCTOR"), ReplyError)


def test_names_of_a_histogram_are_those_of_redis(forebay, redis_server, database):
    """Every step a histogram can have is one that Redis has too: doubled from a microsecond on."""
    steps = set()
    for server in (forebay(shop(database)), redis_server()):
        with server.wire() as wire:
            wire.pipeline([["ECHO", "x" * 1000 * (i % 50)] for i in range(2000)])
            _, spread = wire.ask("LATENCY", "HISTOGRAM", "echo")
            assert spread[3][1::2] == sorted(spread[3][1::2]) and spread[3][-1] == 2000
            steps |= set(spread[3][0::2])
    assert steps <= {((1024 << k) + max(1, (1024 << k) >> 7) - 1) // 1000 for k in range(30)}
