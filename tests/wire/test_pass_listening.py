"""Listening and publishing with a store: channels are Redis' own, for our clients and for everybody else's."""

import pytest

from conftest import wait_until
from resp import ReplyError, encode
from test_pass_through import both  # noqa: F401


def messages(wire, n):
    return [wire.read() for _ in range(n)]


@pytest.mark.short
@pytest.mark.parametrize("version", [2, 3])
def test_channels_are_shared_with_the_store(both, version):  # noqa: F811
    """Confirmations, messages from either side, counts, and nothing behind the end."""
    server, redis = both()
    with server.wire() as ours, server.wire() as other, redis.wire() as direct:
        if version == 3:
            ours.ask("HELLO", 3)
        ours.send(encode("SUBSCRIBE", "news", "more") + encode("PSUBSCRIBE", "n*") + encode("SSUBSCRIBE", "shard"))
        assert messages(ours, 4) == [[b"subscribe", b"news", 1], [b"subscribe", b"more", 2], [b"psubscribe", b"n*", 3],
                                     [b"ssubscribe", b"shard", 1]]
        assert direct.ask("PUBLISH", "news", "from there") == 2
        assert messages(ours, 2) == [[b"message", b"news", b"from there"], [b"pmessage", b"n*", b"news", b"from there"]]
        assert other.ask("PUBLISH", "more", "from here") == 1 and ours.read() == [b"message", b"more", b"from here"]
        assert direct.ask("SPUBLISH", "shard", "x") == 1 and ours.read() == [b"smessage", b"shard", b"x"]
        assert other.ask("PUBSUB", "NUMSUB", "news", "nope") == [b"news", 1, b"nope", 0]
        assert sorted(other.ask("PUBSUB", "CHANNELS")) == [b"more", b"news"] and other.ask("PUBSUB", "NUMPAT") == 1
        direct.ask("SUBSCRIBE", "there")
        assert other.ask("PUBLISH", "there", "hello") == 1 and direct.read() == [b"message", b"there", b"hello"]
        ours.send(encode("UNSUBSCRIBE") + encode("PUNSUBSCRIBE", "n*", "never") + encode("SUNSUBSCRIBE"))
        left = messages(ours, 5)
        assert sorted(left[:2]) == sorted([[b"unsubscribe", left[0][1], 2], [b"unsubscribe", left[1][1], 1]])
        assert left[2:] == [[b"punsubscribe", b"n*", 0], [b"punsubscribe", b"never", 0], [b"sunsubscribe", b"shard", 0]]
        assert other.ask("PUBLISH", "news", "nobody") == 0 and ours.ask("ECHO", "x") == b"x"
        wait_until(lambda: server.info("forebay")["forebay"]["store_connections"] == "1", "its connection is closed")


@pytest.mark.parametrize("version", [2, 3])
def test_the_bytes_are_the_stores(both, redis_server, version):  # noqa: F811
    """Of a stream of requests on one connection, byte for byte what a Redis alone says."""
    server, _ = both()
    lines = ["UNSUBSCRIBE", "PUNSUBSCRIBE a", "SUBSCRIBE a a b", "PSUBSCRIBE a*", "UNSUBSCRIBE a", "SUBSCRIBE", "PING",
             "PING x", "UNSUBSCRIBE b", "UNSUBSCRIBE", "PUNSUBSCRIBE", "ECHO done"]
    if version == 3:
        lines[6:6] = ["LPUSH l x", "GET nope", "BLPOP l 0"]
    got = []
    for one in (server, redis_server()):
        with one.wire() as wire:
            wire.ask("HELLO", version)
            data = b""
            for line in lines:  # one after the other: between pushes and replies RESP3 promises no order
                wire.send(encode(*line.split(" ")) + (encode("PING", "end") if version == 3 else b""))
                end = b"$3\r\nend\r\n" if version == 3 else None
                part = wire.socket.recv(1 << 16)
                while end is not None and not part.endswith(end):
                    part += wire.socket.recv(1 << 16)
                data += part
                if line.startswith("SUBSCRIBE a a"):
                    while version == 2 and data.count(b"subscribe\r\n") < 5:
                        data += wire.socket.recv(1 << 16)
            got.append(data)
    assert got[0] == got[1]


def test_messages_keep_their_order_with_replies(both):  # noqa: F811
    """A publisher's thousand messages, while the listener asks and joins and leaves: none lost, none out of turn."""
    server, redis = both()
    with server.wire(timeout=60) as ours, redis.wire() as direct:
        ours.ask("HELLO", 3)
        ours.ask("SUBSCRIBE", "count")
        direct.send(b"".join(encode("PUBLISH", "count", i) for i in range(1000)))
        ours.send(b"".join(encode("SUBSCRIBE", f"c{i}") + encode("GET", "user:1") + encode("UNSUBSCRIBE", f"c{i}")
                           for i in range(100)))
        seen, rows, confirmed = [], 0, []
        while len(seen) < 1000 or rows < 100 or len(confirmed) < 200:
            got = ours.read()
            if got == b'{"id":1,"name":"ann"}':
                rows += 1
            elif got[0] == b"message":
                seen.append(int(got[2]))
            else:
                confirmed.append((got[0], got[1]))
        assert seen == list(range(1000))
        assert confirmed == [(word, b"c%d" % i) for i in range(100) for word in (b"subscribe", b"unsubscribe")]


def test_notifications_come_from_both_sides(both):  # noqa: F811
    """Of mapped keys from Forebay, of others from the store."""
    server, redis = both()
    with server.wire() as ours, server.wire() as other, redis.wire() as direct:
        other.ask("CONFIG", "SET", "notify-keyspace-events", "KEA")
        direct.ask("CONFIG", "SET", "notify-keyspace-events", "KEA")
        ours.ask("PSUBSCRIBE", "__keyspace@0__:*")
        assert other.ask("SET", "user:1", '{"name":"eve"}') == "OK"
        assert ours.read() == [b"pmessage", b"__keyspace@0__:*", b"__keyspace@0__:user:1", b"set"]
        assert other.ask("LPUSH", "list", "x") == 1
        assert ours.read() == [b"pmessage", b"__keyspace@0__:*", b"__keyspace@0__:list", b"lpush"]


def test_who_listens_is_closed_when_the_store_goes(both):  # noqa: F811
    """Messages may have been missed, which silence would hide; afterwards the refusal says why."""
    server, redis = both()
    with server.wire() as ours, server.wire() as other:
        ours.ask("SUBSCRIBE", "a")
        redis.kill()
        assert ours.socket.recv(1) == b""
        wait_until(lambda: "STOREDOWN" in str(other.ask("SUBSCRIBE", "a")), "the store is known to be gone")
        assert str(other.ask("PUBLISH", "a", "x")).startswith("STOREDOWN")
        assert other.ask("GET", "user:1") == b'{"id":1,"name":"ann"}'  # and it listens to nothing


def test_a_store_that_forbids_a_channel(both):  # noqa: F811
    """Its refusal is the answer; nothing is joined, what was is kept."""
    server, redis = both()
    with redis.wire() as direct:
        direct.ask("ACL", "SETUSER", "default", "resetchannels", "&open*")
    with server.wire() as wire:
        assert wire.ask("SUBSCRIBE", "open1") == [b"subscribe", b"open1", 1]
        refused = wire.ask("SUBSCRIBE", "open2", "closed")
        assert isinstance(refused, ReplyError) and refused.word == "NOPERM"
        wire.send(encode("UNSUBSCRIBE"))
        assert wire.read() == [b"unsubscribe", b"open1", 0] and wire.ask("ECHO", "x") == b"x"


def test_in_a_transaction(both):  # noqa: F811
    """PUBLISH belongs to the store's part of it; listening is not begun there."""
    server, _ = both()
    with server.wire() as ours, server.wire() as other:
        ours.ask("SUBSCRIBE", "a")
        assert [other.ask(*line.split(" ")) for line in ("MULTI", "INCR n", "PUBLISH a x", "EXEC")] == [
            "OK", "QUEUED", "QUEUED", [1, 1]]
        assert ours.read() == [b"message", b"a", b"x"]
        other.ask("MULTI")
        assert isinstance(other.ask("SUBSCRIBE", "a"), ReplyError)
        assert other.ask("EXEC").word == "EXECABORT"


def test_one_that_goes_leaves_nothing_behind(both):  # noqa: F811
    server, redis = both()
    with redis.wire() as direct:
        for how in ("close", "RESET", "QUIT"):
            with server.wire() as wire:
                wire.ask("SUBSCRIBE", "a")
                assert direct.ask("PUBSUB", "NUMSUB", "a") == [b"a", 1]
                if how != "close":
                    wire.send(encode(how))
                    assert wire.read() in ("RESET", "OK")
            wait_until(lambda: direct.ask("PUBSUB", "NUMSUB", "a") == [b"a", 0], f"the store knows of {how}")


def test_a_tracking_client_is_told_not_to_keep_what_is_passed(both):  # noqa: F811
    """Of rows it is told when they change; of the store's keys, whose changes nobody tells us, at once."""
    server, _ = both()
    with server.wire() as wire, server.wire() as other:
        wire.ask("HELLO", 3)
        wire.ask("CLIENT", "TRACKING", "ON")
        other.ask("MSET", "a", "1", "b", "2")
        wire.send(encode("GET", "a"))
        assert wire.read() == b"1" and wire.read() == [b"invalidate", [b"a"]]
        wire.send(encode("MGET", "a", "user:1", "b"))
        assert wire.read() == [b"1", b'{"id":1,"name":"ann"}', b"2"]
        assert sorted(sum((wire.read()[1] for _ in range(2)), [])) == [b"a", b"b"]
        other.ask("SET", "user:1", '{"name":"eve"}')
        assert wire.read() == [b"invalidate", [b"user:1"]]
