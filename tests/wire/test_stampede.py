"""Shows that a cold key asked for by many costs the database one query: 200 connections ask at the same moment for a
row whose query takes 50 ms. Queries are counted by the server."""

import selectors
import time

import pytest

from resp import Wire, encode

CLIENTS = 200
LATENCY_MS = 50
SHOP = "CREATE TABLE product(id INTEGER PRIMARY KEY, name TEXT); INSERT INTO product VALUES (1, 'tea'), (2, 'salt');"


def queries(server):
    """How often the database was asked for rows, and for how many."""
    figures = server.source()
    return figures["read_trips"], figures["rows_wanted"]


def ask_at_once(wires, key):
    """All send before any reads; returns the replies and the seconds each took, in order of arrival."""
    selector = selectors.DefaultSelector()
    for wire in wires:
        selector.register(wire.socket, selectors.EVENT_READ, wire)
    began = time.perf_counter()
    for wire in wires:
        wire.send(encode("GET", key))
    replies = []
    while len(replies) < len(wires):
        ready = selector.select(timeout=10)
        assert ready, f"only {len(replies)} of {len(wires)} were answered"
        for entry, _ in ready:
            replies.append((entry.data.read(), time.perf_counter() - began))
            selector.unregister(entry.fileobj)
    return replies


@pytest.mark.short
def test_one_query_answers_two_hundred_clients(forebay, database):
    server = forebay({
        "sources": {"shop": {"url": f"sqlite:{database(SHOP)}", "added_latency": f"{LATENCY_MS}ms"}},
        "keyspaces": {"product:{id:int}": {"source": "shop", "table": "product"}},
    })
    wires = [Wire(server.host, server.port) for _ in range(CLIENTS)]
    try:
        assert [wire.ask("PING") for wire in wires] == ["PONG"] * CLIENTS
        assert queries(server) == (0, 0)
        replies = ask_at_once(wires, "product:1")
        assert [value for value, _ in replies] == [b'{"id":1,"name":"tea"}'] * CLIENTS
        assert queries(server) == (1, 1)
        seconds = sorted(took for _, took in replies)
        assert seconds[0] >= LATENCY_MS / 1000  # the query was as slow as the test needs it to be
        assert seconds[-1] < CLIENTS * LATENCY_MS / 1000 / 2  # and nobody stood in a line of queries

        # The same for a row that is not there: absence is an answer too, and it is kept.
        assert [value for value, _ in ask_at_once(wires, "product:3")] == [None] * CLIENTS
        assert wires[0].ask("GET", "product:3") is None
        assert queries(server) == (2, 2)
    finally:
        for wire in wires:
            wire.close()
