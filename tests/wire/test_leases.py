"""Shows cache-aside over the wire: one client loads while the others wait for what it hands in, a write in between makes the
fill too late, and a lost lease goes to the next. And locks by name: one holder, tokens, numbers that grow."""

import threading

import pytest

from conftest import wait_until
from resp import ReplyError, Wire

SHOP = "CREATE TABLE names(id INTEGER PRIMARY KEY, name TEXT); INSERT INTO names VALUES (1, 'Ada');"


@pytest.fixture
def server(forebay, database):
    return forebay({
        "sources": {"shop": {"url": f"sqlite:{database(SHOP)}"}},
        "keyspaces": {"name:{id:int}": {"table": "names", "as": "column:name", "read": "cache-aside", "on_set": "ignore"}},
    })


def later(server, *words):
    """Ask on a connection of its own; call the result for the answer."""
    answers = []

    def ask():
        with Wire(server.host, server.port) as wire:
            answers.append(wire.ask(*words))
    thread = threading.Thread(target=ask)
    thread.start()

    def answer():
        thread.join(10)
        assert answers, f"{words} was never answered"
        return answers[0]
    answer.thread = thread
    return answer


def waiters(server, wire, key):
    page = wire.ask("FB.EXPLAIN", key)
    items = page if isinstance(page, list) else list(page.items()) if isinstance(page, dict) else [page]
    return repr(items)


@pytest.mark.short
def test_who_gets_the_lease_loads_and_the_others_get_what_it_hands_in(server):
    with server.wire() as wire:
        assert wire.ask("GET", "name:1") is None  # nothing is loaded by itself
        value, token = wire.ask("FB.LEASE", "name:1")
        assert value is None and int(token) > 0
        others = [later(server, "FB.LEASE", "name:1", "5000") for _ in range(5)]
        wait_until(lambda: b"5 waiting" in b"".join(flat(wire.ask("FB.EXPLAIN", "name:1"))), "five to wait")
        assert wire.ask("FB.FILL", "name:1", token, "Ada") == 1
        assert [other() for other in others] == [[b"Ada"]] * 5
        assert wire.ask("FB.LEASE", "name:1") == [b"Ada"]
        assert wire.ask("GET", "name:1") == b"Ada"
        assert wire.ask("FB.FILL", "name:1", token, "twice") == 0


def flat(reply):
    if isinstance(reply, (list, tuple)):
        return [x for item in reply for x in flat(item)]
    if isinstance(reply, dict):
        return [x for item in reply.items() for x in flat(list(item))]
    return [reply if isinstance(reply, bytes) else str(reply).encode()]


def test_a_fill_that_an_invalidation_has_overtaken_is_refused(server):
    with server.wire() as one, server.wire() as two:
        _, token = one.ask("FB.LEASE", "name:1")
        assert two.ask("FB.INVAL", "name:1") == 0  # after its own UPDATE; nothing was cached
        assert one.ask("FB.FILL", "name:1", token, "old") == 0
        assert one.ask("GET", "name:1") is None
        assert len(two.ask("FB.LEASE", "name:1")) == 2  # and can be loaded at once


def test_absence_is_handed_in_and_a_lease_given_back(server):
    with server.wire() as wire:
        _, token = wire.ask("FB.LEASE", "name:2")
        assert wire.ask("FB.ABSENT", "name:2", token) == 1
        assert wire.ask("FB.LEASE", "name:2") == [None]
        _, token = wire.ask("FB.LEASE", "name:3")
        other = later(server, "FB.LEASE", "name:3", "5000")
        wait_until(lambda: b"1 waiting" in b"".join(flat(wire.ask("FB.EXPLAIN", "name:3"))), "one to wait")
        assert wire.ask("FB.UNLEASE", "name:3", token) == 1
        value, second = other()
        assert value is None and second != token
        assert wire.ask("FB.UNLEASE", "name:3", token) == 0
        assert wire.ask("FB.FILL", "name:3", second, "Joan", "PX", "60000") == 1
        assert 0 < wire.ask("PTTL", "name:3") <= 60000


def test_a_lost_lease_ends_and_the_next_gets_one(server):
    with server.wire() as wire:
        _, token = wire.ask("FB.LEASE", "name:1")
        value, second = wire.ask("FB.LEASE", "name:1", "10000")  # waits until the first is over, 3 s
        assert value is None and second != token
        assert wire.ask("FB.FILL", "name:1", token, "late") == 0
        assert wire.ask("FB.FILL", "name:1", second, "Ada") == 1
        _, third = wire.ask("FB.LEASE", "name:4")
        answer = wire.ask("FB.LEASE", "name:4", "20")
        assert isinstance(answer, ReplyError) and str(answer).startswith("SRCTIMEOUT"), answer
        assert wire.ask("FB.FILL", "name:4", third, "x") == 1


@pytest.mark.parametrize("words", [
    ["FB.LEASE"], ["FB.LEASE", "name:1", "x"], ["FB.LEASE", "name:1", "0"], ["FB.LEASE", "name:1", "-1"],
    ["FB.LEASE", "name:1", "60001"], ["FB.LEASE", "name:1", "1", "2"], ["FB.LEASE", "other"],
    ["FB.FILL", "name:1", "1"], ["FB.FILL", "name:1", "x", "v"], ["FB.FILL", "name:1", "0", "v"],
    ["FB.FILL", "name:1", "-1", "v"], ["FB.FILL", "name:1", "9223372036854775808", "v"],
    ["FB.FILL", "name:1", "1", "v", "EX"], ["FB.FILL", "name:1", "1", "v", "EX", "0"],
    ["FB.FILL", "name:1", "1", "v", "EXAT", "1"], ["FB.FILL", "name:1", "1", "v", "NX", "1"], ["FB.FILL", "other", "1", "v"],
    ["FB.ABSENT", "name:1"], ["FB.ABSENT", "name:1", "x"], ["FB.UNLEASE", "name:1", "0"], ["FB.INVAL"],
    ["FB.LOCK", "l"], ["FB.LOCK", "l", "0"], ["FB.LOCK", "l", "86400001"], ["FB.LOCK", "", "10"],
    ["FB.LOCK", "n" * 1025, "10"], ["FB.LOCK", "l", "10", "WAIT"], ["FB.LOCK", "l", "10", "WAIT", "60001"],
    ["FB.LOCK", "l", "10", "NAP", "1"], ["FB.UNLOCK", "l"], ["FB.UNLOCK", "l", "x"], ["FB.UNLOCK", "", "1"],
])
def test_what_makes_no_sense_is_refused(server, words):
    with server.wire() as wire:
        assert isinstance(wire.ask(*words), ReplyError)
        assert wire.ask("PING") == "PONG"


def test_they_are_refused_inside_a_transaction(server):
    with server.wire() as wire:
        assert wire.ask("MULTI") == "OK"
        for words in (["FB.LEASE", "name:1"], ["FB.LOCK", "l", "10"]):
            assert isinstance(wire.ask(*words), ReplyError)


@pytest.mark.short
def test_a_lock_has_one_holder_and_its_numbers_grow(server):
    with server.wire() as one, server.wire() as two:
        token, fence = one.ask("FB.LOCK", "report", "60000")
        assert two.ask("FB.LOCK", "report", "60000") is None
        assert two.ask("FB.LOCK", "report", "60000", "WAIT", "20") is None
        other = two.ask("FB.LOCK", "other", "60000")
        assert other[1] > fence
        waiting = later(server, "FB.LOCK", "report", "60000", "WAIT", "10000")
        assert two.ask("FB.UNLOCK", "report", other[0]) == 0  # the token of another lock
        waiting.thread.join(0.1)
        assert waiting.thread.is_alive()
        assert one.ask("FB.UNLOCK", "report", token) == 1
        second = waiting()
        assert second[1] > other[1] and second[0] != token
        assert one.ask("FB.UNLOCK", "report", token) == 0  # it has ended: not the next holder's
        assert two.ask("FB.LOCK", "report", "10") is None
        assert two.ask("FB.UNLOCK", "report", second[0]) == 1


def test_a_lock_ends_by_itself_and_waiters_are_granted_in_order(server):
    with server.wire() as wire:
        token, fence = wire.ask("FB.LOCK", "l", "50")
        first = wire.ask("FB.LOCK", "l", "60000", "WAIT", "10000")
        assert first[1] > fence
        assert wire.ask("FB.UNLOCK", "l", token) == 0
        assert wire.ask("FB.UNLOCK", "l", first[0]) == 1
