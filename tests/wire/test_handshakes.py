"""Shows that clients which cannot be installed here get past their first words: what each sends when it connects, in
its order, with the answers without which it gives up. Recorded with the real clients against Redis 7.0, or read in
their sources (go-redis initConn, Jedis Connection, Lettuce RedisHandshake, StackExchange.Redis ServerEndPoint)."""

import pytest

from resp import ReplyError

SHOP = "CREATE TABLE product(id INTEGER PRIMARY KEY, name TEXT); INSERT INTO product VALUES (1, 'tea');"


def ok(reply):
    return reply == "OK"


def hello(reply):
    """A map (an array of pairs in RESP2) whose fields clients read before anything else."""
    if isinstance(reply, list):
        reply = {name.decode(): value for name, value in zip(reply[::2], reply[1::2])}
    return (reply["server"] == b"redis" and reply["role"] == b"master" and reply["mode"] == b"standalone"
            and tuple(map(int, reply["version"].split(b"."))) >= (7, 4, 0) and isinstance(reply["id"], int)
            and reply["proto"] in (2, 3) and reply["modules"] == [])


def refused(text):
    """An error that begins like this: the client goes on without."""
    return lambda reply: isinstance(reply, ReplyError) and reply.text.startswith(text)


def pairs(name):
    """CONFIG GET: the setting and a value, in RESP2 as an array."""
    return lambda reply: (list(reply) == [name] if isinstance(reply, dict) else reply[::2] == [name.encode()])


def holds(text):
    return lambda reply: text in reply


def equals(value):
    return lambda reply: reply == value


SETINFO = [(["CLIENT", "SETINFO", "LIB-NAME", "some-client"], ok), (["CLIENT", "SETINFO", "LIB-VER", "9.9.9"], ok)]
MAINT = (["CLIENT", "MAINT_NOTIFICATIONS", "ON"], refused("ERR unknown subcommand 'MAINT_NOTIFICATIONS'"))

CLIENTS = {
    "redis-py 8": [(["HELLO", "3"], hello), MAINT, (["CLIENT", "SETNAME", "app"], ok), *SETINFO, (["SELECT", "1"], ok)],
    "node-redis 6": [(["HELLO", "3", "SETNAME", "app"], hello), *SETINFO, MAINT],
    "ioredis 4": [(["info"], holds(b"loading:0\r\n")), (["client", "setname", "app"], ok)],
    "ioredis 6": [(["hello", "3"], hello), (["client", "setname", "app"], ok), *SETINFO,
                  (["info"], holds(b"loading:0\r\n"))],
    "go-redis 9": [(["HELLO", "3", "SETNAME", "app"], hello), (["SELECT", "0"], ok), (["CLIENT", "SETNAME", "app"], ok),
                   *SETINFO],
    "Jedis": [(["HELLO", "3"], hello), (["CLIENT", "SETNAME", "app"], ok), *SETINFO, (["SELECT", "0"], ok)],
    "Lettuce": [(["HELLO", "3", "SETNAME", "app"], hello), (["SELECT", "0"], ok), *SETINFO],
    "StackExchange.Redis": [
        (["HELLO", "3"], hello), (["CLIENT", "SETNAME", "app"], ok), *SETINFO, (["CLIENT", "ID"], lambda id_: id_ > 0),
        (["CONFIG", "GET", "timeout"], lambda reply: not isinstance(reply, ReplyError)),
        (["CONFIG", "GET", "databases"], pairs("databases")),
        (["SENTINEL", "MASTERS"], refused("ERR unknown command 'SENTINEL'")),
        (["INFO", "replication"], holds(b"role:master\r\n")), (["INFO", "server"], holds(b"redis_version:7.4.0\r\n")),
        (["CLUSTER", "NODES"], refused("ERR This instance has cluster support disabled")),
        (["GET", "__Booksleeve_TieBreak"], equals(None)), (["ECHO", "a-b-c"], equals(b"a-b-c"))],
    "phpredis": [(["SELECT", "0"], ok)],
    "Perl Redis": [(["CLIENT", "SETNAME", "app"], ok)],
    "redis-benchmark": [(["CONFIG", "GET", "save"], lambda reply: not isinstance(reply, ReplyError)),
                        (["CONFIG", "GET", "appendonly"], lambda reply: not isinstance(reply, ReplyError))],
    "prometheus-redis-exporter": [(["CLIENT", "SETNAME", "app"], ok), (["INFO", "ALL"], holds(b"redis_version:")),
                                  (["CONFIG", "GET", "*"], lambda reply: len(reply) > 0)],
}


@pytest.fixture
def server(forebay, database):
    return forebay({
        "sources": {"shop": {"url": f"sqlite:{database(SHOP)}"}},
        "keyspaces": {"product:{id:int}": {"table": "product"}},
    })


@pytest.mark.parametrize("name", CLIENTS)
def test_handshake_is_accepted(server, name):
    for pipelined in (False, True):
        with server.wire() as wire:
            commands = [words for words, _ in CLIENTS[name]]
            replies = wire.pipeline(commands) if pipelined else [wire.ask(*words) for words in commands]
            for (words, is_right), reply in zip(CLIENTS[name], replies):
                assert is_right(reply), f"{' '.join(words)}: {reply!r}"
            # The connection is good for use afterwards.
            assert wire.ask("SELECT", "0") == "OK"
            assert wire.ask("GET", "product:1") == b'{"id":1,"name":"tea"}'


def test_cross_protocol_request_is_cut_off(server):
    """A browser that is made to POST to this port must not get a command through (Redis closes likewise)."""
    for line in (b"POST / HTTP/1.1\r\n", b"Host: localhost\r\n"):
        with server.wire() as wire:
            wire.send(line + b"SET product:1 x\r\n")
            wire.expect_closed()
