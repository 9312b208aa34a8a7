"""Shows that clients which cannot be installed here get past their first words: what each sends when it connects, in
its order, with the answers without which it gives up. Recorded with the real clients against Redis 7.0, or read in
their sources (go-redis initConn, Jedis Connection, Lettuce RedisHandshake, StackExchange.Redis ServerEndPoint, rueidis
pipe). Every fixture is sent in three ways: request by request, all at once, and byte for byte."""

import pytest

from conftest import wait_until
from resp import ReplyError, encode

SECRET = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"  # of "secret"
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
    "Lettuce in RESP2": [(["PING"], equals("PONG")), (["SELECT", "0"], ok), *SETINFO],
    "rueidis": [(["HELLO", "3", "SETNAME", "app"], hello), (["CLIENT", "TRACKING", "ON", "OPTIN"], ok),
                (["SELECT", "0"], ok), *SETINFO],
    "redis-py 8 with a cache": [(["HELLO", "3"], hello), MAINT, *SETINFO, (["CLIENT", "TRACKING", "ON"], ok)],
    "StackExchange.Redis": [
        (["HELLO", "3"], hello), (["CLIENT", "SETNAME", "app"], ok), *SETINFO, (["CLIENT", "ID"], lambda id_: id_ > 0),
        (["CONFIG", "GET", "timeout"], lambda reply: not isinstance(reply, ReplyError)),
        (["CONFIG", "GET", "replica-read-only"], lambda reply: not isinstance(reply, ReplyError)),
        (["CONFIG", "GET", "databases"], pairs("databases")),
        (["SENTINEL", "MASTERS"], refused("ERR unknown command 'SENTINEL'")),
        (["INFO", "replication"], holds(b"role:master\r\n")), (["INFO", "server"], holds(b"redis_version:7.4.0\r\n")),
        (["CLUSTER", "NODES"], refused("ERR This instance has cluster support disabled")),
        (["GET", "__Booksleeve_TieBreak"], equals(None)), (["ECHO", "a-b-c"], equals(b"a-b-c")),
        (["PING"], equals("PONG"))],
    "RedisInsight": [
        (["INFO"], holds(b"redis_version:7.4.0\r\n")), (["HELLO"], hello),
        (["CLUSTER", "INFO"], refused("ERR This instance has cluster support disabled")),
        (["SENTINEL", "MASTERS"], refused("ERR unknown command 'SENTINEL'")), (["MODULE", "LIST"], equals([])),
        (["COMMAND", "INFO", "ft._list"], lambda reply: len(reply) == 1),
        (["CONFIG", "GET", "databases"], pairs("databases")), (["CLIENT", "LIST"], holds(b" cmd=client|list ")),
        (["DBSIZE"], equals(0)), (["SCAN", "0", "MATCH", "*", "COUNT", "500"], equals([b"0", []])),
        (["TYPE", "product:1"], lambda reply: reply in ("string", "none")),
        (["TTL", "product:1"], lambda ttl: ttl >= -2),
        (["MEMORY", "USAGE", "product:1", "SAMPLES", "0"], lambda size: size is None or size > 0),
        (["SLOWLOG", "GET", "50"], equals([])), (["FT._LIST"], refused("ERR unknown command 'FT._LIST'")),
        (["ACL", "LIST"], lambda reply: len(reply) == 1)],
    "phpredis": [(["SELECT", "0"], ok)],
    "Perl Redis": [(["CLIENT", "SETNAME", "app"], ok)],
    "redis-benchmark": [(["CONFIG", "GET", "save"], lambda reply: not isinstance(reply, ReplyError)),
                        (["CONFIG", "GET", "appendonly"], lambda reply: not isinstance(reply, ReplyError))],
    "prometheus-redis-exporter": [(["CLIENT", "SETNAME", "app"], ok), (["INFO", "ALL"], holds(b"redis_version:")),
                                  (["CONFIG", "GET", "*"], lambda reply: len(reply) > 0)],
}


# With a password: user and password in HELLO, or AUTH before anything else.
HELLO_AUTH = (["HELLO", "3", "AUTH", "default", "secret"], hello)
LOGINS = {
    "redis-py 8": [HELLO_AUTH, (["CLIENT", "SETNAME", "app"], ok), *SETINFO],
    "Jedis": [HELLO_AUTH, (["CLIENT", "SETNAME", "app"], ok), *SETINFO],
    "Lettuce, go-redis, rueidis": [(["HELLO", "3", "AUTH", "default", "secret", "SETNAME", "app"], hello), *SETINFO],
    "StackExchange.Redis": [(["AUTH", "secret"], ok), (["HELLO", "3", "AUTH", "default", "secret"], hello),
                            (["CLIENT", "SETNAME", "app"], ok)],
    "phpredis": [(["AUTH", "default", "secret"], ok)],
    "without one": [(["HELLO", "3"], refused("NOAUTH HELLO must be called with the client already authenticated")),
                    (["PING"], refused("NOAUTH Authentication required.")), (["AUTH", "secret"], ok)],
}


@pytest.fixture
def start(forebay, database):
    return lambda **settings: forebay({
        "sources": {"shop": {"url": f"sqlite:{database(SHOP)}"}},
        "keyspaces": {"product:{id:int}": {"table": "product"}},
        "server": {"slowlog_slower_than": "off", **settings},  # what a busy machine holds up would be in it
    })


@pytest.fixture
def server(start):
    return start()


def one_by_one(wire, commands):
    return [wire.ask(*words) for words in commands]


def at_once(wire, commands):
    return wire.pipeline(commands)


def byte_for_byte(wire, commands):
    for byte in b"".join(encode(*words) for words in commands):
        wire.send(bytes([byte]))
    return [wire.read() for _ in commands]


def replay(wire, rows, way):
    for (words, is_right), reply in zip(rows, way(wire, [words for words, _ in rows])):
        assert is_right(reply), f"{' '.join(words)}: {reply!r}"
    # The connection is good for use afterwards.
    assert wire.ask("SELECT", "0") == "OK"
    assert wire.ask("GET", "product:1") == b'{"id":1,"name":"tea"}'


WAYS = pytest.mark.parametrize("way", [one_by_one, at_once, byte_for_byte])


@WAYS
@pytest.mark.parametrize("name", CLIENTS)
def test_handshake_is_accepted(server, name, way):
    with server.wire() as wire:
        replay(wire, CLIENTS[name], way)


@WAYS
@pytest.mark.parametrize("name", LOGINS)
def test_login_is_accepted(start, tmp_path, name, way):
    users = tmp_path / "users"
    users.write_text(f"user default on #{SECRET} ~* &* +@all\n", encoding="utf-8")
    with start(users_file=str(users)).wire() as wire:
        replay(wire, LOGINS[name], way)


def test_second_connection_of_stackexchange_listens(server):
    with server.wire() as wire:
        assert wire.ask("SUBSCRIBE", "__Booksleeve_MasterChanged") == [b"subscribe", b"__Booksleeve_MasterChanged", 1]
        assert wire.ask("PING") == [b"pong", b""]


@pytest.mark.parametrize("is_cached", [True, False])
def test_rueidis_reads_for_its_cache(server, is_cached):
    """DoCache: the value and how long it may be kept, in one tracked transaction; then it hears of the change."""
    with server.wire() as wire, server.wire() as other:
        replay(wire, CLIENTS["rueidis"], at_once)
        if not is_cached:
            assert other.ask("FB.INVALIDATE", "product:1") == 1
        *queued, (ttl, value) = at_once(wire, [["CLIENT", "CACHING", "YES"], ["MULTI"], ["PTTL", "product:1"],
                                               ["GET", "product:1"], ["EXEC"]])
        assert queued == ["OK", "OK", "QUEUED", "QUEUED"]
        assert 0 < ttl <= 3600000 if is_cached else ttl == -2  # the life is the copy's; without one its own limit holds
        assert value == b'{"id":1,"name":"tea"}'
        assert other.ask("FB.INVALIDATE", "product:1") == 1
        assert wire.read() == [b"invalidate", [b"product:1"]]


def test_cross_protocol_request_is_cut_off(server):
    """A browser that is made to POST to this port must not get a command through (Redis closes likewise)."""
    for line in (b"POST / HTTP/1.1\r\n", b"Host: localhost\r\n"):
        with server.wire() as wire:
            wire.send(line + b"SET product:1 x\r\n")
            wire.expect_closed()
    assert server.info("stats")["stats"]["http_disconnections"] == "2"
    wait_until(lambda: "event=client.protocol" in server.log() and "it spoke HTTP" in server.log(), "the event")
