"""What is not mapped goes to the store: one Forebay in front of a database and a redis-server, told from that redis-server
alone only by the keys that are mapped."""

import os
import random
import re
import socket
import statistics
import threading
import time

import pytest

from conftest import TOP, free_port, query, wait_until
from resp import ReplyError, encode
from test_tls import certificates  # noqa: F401

USERS = "CREATE TABLE users(id INTEGER PRIMARY KEY, name TEXT); INSERT INTO users VALUES (1, 'ann'), (2, 'bob');"


@pytest.fixture
def both(forebay, redis_server, database):
    """both(**settings): a Forebay with users in front of a redis-server of its own, and that redis-server."""
    def start(redis=None, keyspace=None, user="", **server):
        redis = redis or redis_server()
        return forebay({
            "server": {"threads": 1, **server},
            "store": {"url": f"redis://{user}127.0.0.1:{redis.port}/0", "timeout": "2s", "share": "false"},
            "sources": {"shop": {"url": f"sqlite:{database(USERS)}"}},
            "keyspaces": {"user:{id:int}": {"table": "users", "write": "write-through", **(keyspace or {})}},
        }), redis
    return start


def test_clients_scripts_and_locks(both):
    server, _ = both()
    r = server.client(decode_responses=True)
    assert r.set("lock:1", "token", nx=True, ex=10) is True and r.set("lock:1", "other", nx=True, ex=10) is None
    release = r.register_script("if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0")
    assert release(keys=["lock:1"], args=["other"]) == 0 and release(keys=["lock:1"], args=["token"]) == 1
    with r.lock("a lock", timeout=5):
        assert r.get("a lock") is not None


STREAM = [
    "SET s 1", "INCR s", "APPEND s 23", "GET s", "GETRANGE s 0 1", "STRLEN s", "SET s x NX", "SET s y XX GET", "GETDEL s",
    "GET s", "MSET a 1 b 2 c 3", "MGET a b nope c", "EXISTS a b nope a", "DEL a b nope", "TOUCH c", "UNLINK c", "TYPE c",
    "SETBIT bits 7 1", "BITCOUNT bits", "BITOP NOT other bits", "SET n ten", "INCR n", "EXPIRE n 100", "PERSIST n",
    "OBJECT ENCODING n", "SET e v EX nonsense", "GETEX n", "SET", "GET", "HGET n f", "STRLEN", "HLEN nope", "COPY n m",
    "RENAME m o", "RENAME nope o", "DUMP nope", "SORT l BY nosort GET #", "SETRANGE r 3 x", "PFADD p a b", "PFCOUNT p",
    "RPUSH l a b c 1", "LRANGE l 0 -1", "LPOP l 2", "LINSERT l BEFORE 1 z", "LLEN l", "LPOS l z", "LMOVE l k LEFT RIGHT",
    "LMPOP 2 none k LEFT", "LSET l 10 x", "LRANGE l a b", "LPUSH n x", "LPUSH", "RPOPLPUSH l l", "BLPOP l 1", "BLPOP k 0.01",
    "SADD t 3 1 2", "SMEMBERS t", "SISMEMBER t 1", "SMISMEMBER t 1 9", "SCARD t", "SINTERCARD 2 t t LIMIT 1",
    "SUNIONSTORE u t t", "SORT u DESC STORE sorted", "LRANGE sorted 0 -1", "SSCAN u 0", "SREM u 1 2", "SPOP nope",
    "ZADD z 1 a 2.5 b 3 c", "ZRANGE z 0 -1 WITHSCORES", "ZREVRANGE z 0 0 WITHSCORES", "ZSCORE z b", "ZINCRBY z 0.5 b",
    "ZRANGEBYSCORE z (1 +inf", "ZUNIONSTORE zz 2 z z WEIGHTS 1 2", "ZUNION 2 z zz WITHSCORES", "ZPOPMIN z", "ZMPOP 1 z MAX",
    "ZCARD z", "ZADD z nan x", "ZRANGESTORE zs zz 0 1", "ZDIFF 2 zz zs", "ZRANDMEMBER nope", "ZMSCORE zz a nope",
    "XADD x 1-1 f v", "XADD x 1-2 f v g w", "XADD x 1-1 f v", "XLEN x", "XRANGE x - +", "XREVRANGE x + - COUNT 1",
    "XREAD COUNT 1 STREAMS x 0", "XREAD BLOCK 10 STREAMS x $", "XGROUP CREATE x g 0", "XREADGROUP GROUP g c STREAMS x >",
    "XACK x g 1-1", "XPENDING x g", "XINFO STREAM x", "XTRIM x MAXLEN 1", "XDEL x 1-2", "XGROUP DESTROY x g",
    "GEOADD geo 13.361389 38.115556 Palermo 15.087269 37.502669 Catania", "GEODIST geo Palermo Catania km",
    "GEOSEARCH geo FROMLONLAT 15 37 BYRADIUS 200 km ASC WITHDIST", "GEORADIUS geo 15 37 200 km STORE geo2",
    "HSET h a 1 b 2", "HGETALL h", "HINCRBYFLOAT h a 0.5", "HMGET h a nope", "HSCAN h 0", "HDEL h a b", "HSTRLEN h a",
    "EVAL return{1,{2,{3,'x'}},redis.call('get',KEYS[1])} 1 n", "EVAL return'x' 0", "EVALSHA 00 0", "EVAL bad( 0",
    "SCRIPT LOAD return'x'", "SCRIPT EXISTS ff", "EVAL return{double=1.5} 0", "FUNCTION LIST", "FCALL none 0",
    "XAUTOCLAIM nope g c 0 0", "NOSUCHCOMMAND a b", "LPUSH l \r\n", "RPUSH l ''", "LRANGE l 0 -1",
]


@pytest.mark.parametrize("version", [2, 3])
def test_replies_are_the_stores(both, redis_server, version):
    """Other kinds of data, scripts and errors: byte for byte what a redis-server of the same history says."""
    server, _ = both()
    alone = redis_server()
    got = []
    for one in (server, alone):
        with one.wire() as wire:
            wire.ask("HELLO", version)
            wire.send(b"".join(encode(*line.split(" ")) for line in STREAM) + encode("ECHO", "the end"))
            data = b""
            while not data.endswith(b"$7\r\nthe end\r\n"):
                data += wire.socket.recv(1 << 16)
            got.append(data)
    assert got[0] == got[1]


@pytest.mark.short
def test_order_holds_over_both(both):
    """Mapped and unmapped, hit and miss, written and read, in one pipeline."""
    server, _ = both()
    rng = random.Random(1)
    with server.wire(timeout=60) as wire:
        names = ["user:1", "user:2", "a", "b", "user:77"]
        wire.ask("SET", "a", "A")
        wire.ask("SET", "b", "B")
        values = {"user:1": b'{"id":1,"name":"ann"}', "user:2": b'{"id":2,"name":"bob"}', "a": b"A", "b": b"B", "user:77": None}
        expected, requests = [], []
        for i in range(3000):
            kind = rng.randrange(5)
            name, other = rng.choice(names), rng.choice(names)
            if kind == 0:
                requests.append(encode("MGET", name, other, "nope"))
                expected.append([values[name], values[other], None])
            elif kind == 1:
                requests.append(encode("ECHO", i))
                expected.append(str(i).encode())
            elif kind == 2 and ":" not in name:
                values[name] = b"%d" % i
                requests.append(encode("SET", name, i))
                expected.append("OK")
            elif kind == 3:
                requests.append(encode("DEL", "user:1", "never"))
                expected.append(None)
            else:
                requests.append(encode("GET", name))
                expected.append(values[name])
        sender = threading.Thread(target=lambda: wire.send(b"".join(requests)))
        sender.start()
        for i, value in enumerate(expected):
            got = wire.read()
            assert got == value or (value is None and got in (0, 1)), (i, requests[i], got)
        sender.join()


@pytest.mark.short
def test_six_commands_are_split(both):
    server, redis = both()
    with server.wire() as wire, redis.wire() as direct:
        assert wire.ask("MSET", "k", "1", "user:1", '{"name":"eve"}', "m", "2") == "OK"
        assert direct.ask("MGET", "k", "m", "user:1") == [b"1", b"2", None]
        assert wire.ask("MGET", "m", "user:1", "user:9", "none", "k") == [b"2", b'{"id":1,"name":"eve"}', None, None, b"1"]
        assert wire.ask("EXISTS", "k", "user:1", "user:9", "none", "k") == 3
        assert wire.ask("TOUCH", "user:2", "m") == 2
        assert wire.ask("DEL", "k", "user:1", "none") == 2
        assert wire.ask("UNLINK", "m", "user:2") == 2
        assert direct.ask("DBSIZE") == 0
        assert wire.ask("GET", "user:1") == b'{"id":1,"name":"eve"}'


def test_a_split_has_a_bound(both):
    server, _ = both()
    with server.wire() as wire:
        reply = wire.ask("EXISTS", "a", *[f"user:{i}" for i in range(1025)])
        assert reply == ReplyError("ERR at most 1024 mapped keys at a time beside unmapped ones")


@pytest.mark.parametrize("line, text", [
    ("RENAME a user:1", "ERR 'rename' cannot use mapped key 'user:1' and unmapped key 'a' together"),
    ("SORT a STORE user:1", "ERR 'sort' cannot use mapped key 'user:1' and unmapped key 'a' together"),
    ("MSETNX a 1 user:1 2", "ERR 'msetnx' cannot use mapped key 'user:1' and unmapped key 'a' together"),
    ("ZUNIONSTORE a 2 b user:1", "ERR 'zunionstore' cannot use mapped key 'user:1' and unmapped key 'a' together"),
    ("XREAD STREAMS a user:1 0 0", "ERR 'xread' cannot use mapped key 'user:1' and unmapped key 'a' together"),
    ("GEORADIUS a 1 1 1 m STORE user:1", "ERR 'georadius' cannot use mapped key 'user:1' and unmapped key 'a' together"),
    ("LPUSH user:1 x", "ERR 'lpush' is not supported on mapped key 'user:1' (keyspace 'user:{id:int}', as json)"),
    ("EVAL x 2 a user:1", "ERR script touches mapped key 'user:1' (keyspace 'user:{id:int}'); scripts run in the store "
                          "and cannot see it"),
    ("EVAL x nonsense user:1", "ERR script touches mapped key 'user:1' (keyspace 'user:{id:int}'); scripts run in the "
                               "store and cannot see it"),
    ("NOSUCH user:1", "ERR 'unknown' is not supported on mapped key 'user:1' (keyspace 'user:{id:int}', as json)"),
    ("BGSAVE", "ERR 'bgsave' is not supported by Forebay"),
])
def test_what_would_touch_a_mapped_key_is_refused(both, line, text):
    server, _ = both()
    with server.wire() as wire:
        assert wire.ask(*line.split(" ")) == ReplyError(text)


@pytest.mark.short
def test_transactions_of_unmapped_keys_are_the_stores(both):
    server, redis = both()
    with server.wire() as wire, redis.wire() as direct:
        wire.send(b"".join(encode(*line.split(" ")) for line in [
            "SET n 1", "MULTI", "INCR n", "PING", "LPUSH l a b", "SET n x", "INCR n", "GET n", "EXEC", "GET user:1", "GET n"]))
        got = [wire.read() for _ in range(11)]
        assert got[:8] == ["OK", "OK"] + ["QUEUED"] * 6
        assert got[8] == [2, "PONG", 2, "OK", ReplyError("ERR value is not an integer or out of range"), b"x"]
        assert got[9:] == [b'{"id":1,"name":"ann"}', b"x"]
        assert wire.ask("MULTI") == "OK" and wire.ask("LPUSH", "l").word == "ERR"
        assert wire.ask("EXEC").word == "EXECABORT" and direct.ask("LLEN", "l") == 2
        assert wire.ask("MULTI") == "OK" and wire.ask("DEL", "l") == "QUEUED" and wire.ask("DISCARD") == "OK"
        assert direct.ask("LLEN", "l") == 2


def test_transactions_do_not_mix(both):
    server, redis = both()
    error = "ERR 'get' cannot be in this transaction: all its keys are rows, or all are keys of one database of the store"
    with server.wire() as wire, redis.wire() as direct:
        assert wire.ask("MULTI") == "OK" and wire.ask("SET", "a", "1") == "QUEUED"
        assert wire.ask("GET", "user:1") == ReplyError(error) and wire.ask("EXEC").word == "EXECABORT"
        assert direct.ask("GET", "a") is None
        assert wire.ask("MULTI") == "OK" and wire.ask("GET", "user:1") == "QUEUED"
        assert wire.ask("GET", "a") == ReplyError(error) and wire.ask("EXEC").word == "EXECABORT"
        assert wire.ask("MULTI") == "OK" and wire.ask("SET", "user:1", '{"name":"eve"}') == "QUEUED"
        assert wire.ask("EXEC") == ["OK"] and wire.ask("GET", "user:1") == b'{"id":1,"name":"eve"}'
        assert wire.ask("WATCH", "a", "user:1").word == "ERR"
        assert wire.ask("WATCH", "a") == "OK" and wire.ask("WATCH", "user:1").word == "ERR"


@pytest.mark.short
def test_watched_keys_of_the_store(both, redis_server):
    server, redis = both()
    with server.wire() as wire, redis.wire() as direct:
        def attempt(between=None, words=("EXEC",)):
            assert wire.ask("WATCH", "w", "v") == "OK"
            assert wire.ask("GET", "w") in (None, b"1", b"2")
            if between:
                between()
            assert wire.ask("MULTI") == "OK" and wire.ask("SET", "w", "2") == "QUEUED"
            return wire.ask(*words)
        assert attempt() == ["OK"]
        assert attempt(lambda: direct.ask("SET", "v", "1")) is None
        assert attempt() == ["OK"]
        assert attempt(words=("DISCARD",)) == "OK"
        assert wire.ask("WATCH", "w") == "OK" and wire.ask("UNWATCH") == "OK"
        direct.ask("SET", "w", "1")
        assert wire.ask("MULTI") == "OK" and wire.ask("GET", "w") == "QUEUED" and wire.ask("EXEC") == [b"1"]
        # A connection that was lost watches no more: what it watched counts as changed.
        assert attempt(lambda: [wire.ask("PING"), direct.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")]) in (None,)
        assert attempt() == ["OK"]


def test_a_lost_transaction_is_one_error(both):
    server, redis = both()
    with server.wire() as wire, server.wire() as other:
        redis.process.send_signal(19)
        wire.send(encode("MULTI") + encode("SET", "a", "1") + encode("SET", "b", "1") + encode("EXEC") + encode("PING"))
        wait_until(lambda: b"cmd=exec" in other.ask("CLIENT", "LIST"), "EXEC is read", 10)
        redis.process.kill()
        assert [wire.read() for _ in range(3)] == ["OK", "QUEUED", "QUEUED"]
        assert wire.read().word in ("UNKNOWN", "STOREDOWN") and wire.read() == "PONG"


def test_databases_and_versions_do_not_mix(both):
    server, redis = both()
    with server.wire() as two, server.wire() as three, redis.wire() as direct:
        three.ask("HELLO", "3")
        three.ask("SELECT", "5")
        assert three.ask("HSET", "h", "a", "1") == 1 and three.ask("HGETALL", "h") == {"a": b"1"}
        assert two.ask("HGETALL", "h") == [] and two.ask("SELECT", "5") == "OK" and two.ask("HGETALL", "h") == [b"a", b"1"]
        assert two.ask("SET", "user:1", "not a row here") == "OK"
        direct.ask("SELECT", "5")
        assert direct.ask("GET", "user:1") == b"not a row here"
        assert two.ask("SELECT", "0") == "OK" and two.ask("GET", "user:1") == b'{"id":1,"name":"ann"}'


def test_blocking_commands_block_only_their_connection(both):
    server, redis = both()
    with server.wire() as waiting, server.wire() as other:
        waiting.send(encode("RPUSH", "own", "1") + encode("BLPOP", "queue", "20") + encode("GET", "user:1")
                     + encode("LPOP", "own"))
        assert waiting.read() == 1
        assert other.ask("LLEN", "own") == 1
        started = time.monotonic()
        assert other.ask("RPUSH", "queue", "job") == 1
        assert waiting.read() == [b"queue", b"job"] and time.monotonic() - started < 10
        assert waiting.read() == b'{"id":1,"name":"ann"}' and waiting.read() == b"1"


@pytest.mark.short
def test_a_client_that_goes_takes_its_blocked_command_along(both):
    server, redis = both()
    with server.wire() as waiting, redis.wire() as direct:
        waiting.send(encode("BLPOP", "queue", "0"))
        wait_until(lambda: b"blocked_clients:1" in direct.ask("INFO", "clients"), "BLPOP at the store", 10)
        waiting.close()
        wait_until(lambda: b"blocked_clients:0" in direct.ask("INFO", "clients"), "its end", 10)
        assert direct.ask("RPUSH", "queue", "job") == 1 and direct.ask("LLEN", "queue") == 1


@pytest.mark.short
def test_who_is_gone_gets_nothing_of_a_queue(both):
    """A worker that ends while it waits is gone at once: the next job is not taken for it. But an end behind a request that
    is answered at once does not cost the answer."""
    server, redis = both()
    with redis.wire() as direct:
        def count():
            started = time.monotonic()
            found = re.search(rb"blocked_clients:(\d+)", direct.ask("INFO", "clients"))[1]
            asked.append(time.monotonic() - started)
            return found
        asked, gone = [], []
        for _ in range(7):
            with server.wire() as waiting:
                waiting.send(encode("BLPOP", "queue", "0"))
                wait_until(lambda: count() == b"1", "BLPOP at the store", 10)
                direct.ask("BLPOP", "never", "0.6")  # by the Redis' clock: BLOCKED_LONG_MS have passed
            started = time.monotonic()
            wait_until(lambda: count() == b"0", "its end", 10)
            gone.append(time.monotonic() - started)
        assert statistics.median(gone) < 0.1 + 10 * statistics.median(asked), "not by the tick of a second"
        for i in range(20):
            assert direct.ask("RPUSH", "queue", str(i)) == 1
            with server.wire() as wire:
                wire.send(encode("BLPOP", "queue", "0"))
                wire.socket.shutdown(socket.SHUT_WR)
                assert wire.read() == [b"queue", str(i).encode()]


def blocked(server, direct, count, *words, version=2):
    """A connection that waits at the store, and its number."""
    wire = server.wire()
    if version == 3:
        wire.ask("HELLO", "3")
    number = wire.ask("CLIENT", "ID")
    wire.send(encode(*words))
    wait_until(lambda: b"blocked_clients:%d\r" % count in direct.ask("INFO", "clients"), "it waits at the store", 10)
    return wire, str(number)


@pytest.mark.short
@pytest.mark.parametrize("threads", [1, 3])
def test_client_unblock_ends_the_wait(both, threads):
    """As at a Redis, whichever loops the two clients are of; and it says of whom it does not know, or who does not wait."""
    server, redis = both(threads=threads)
    with server.wire() as wire, redis.wire() as direct:
        several = [blocked(server, direct, i + 1, "BLPOP", "queue", "0", version=2 + i % 2) for i in range(6)]
        assert wire.ask("CLIENT", "UNBLOCK", several[0][1]) == 1 and several[0][0].read() is None
        assert wire.ask("CLIENT", "UNBLOCK", several[1][1], "TIMEOUT") == 1 and several[1][0].read() is None
        for one, number in several[2:4]:
            assert wire.ask("CLIENT", "UNBLOCK", number, "ERROR") == 1
            assert one.read().text == "UNBLOCKED client unblocked via CLIENT UNBLOCK"
        assert wire.ask("CLIENT", "UNBLOCK", several[0][1]) == 0, "it waits no more"
        assert wire.ask("CLIENT", "UNBLOCK", "4711") == wire.ask("CLIENT", "UNBLOCK", str(wire.ask("CLIENT", "ID"))) == 0
        assert several[0][0].ask("PING") == "PONG" and wire.ask("RPUSH", "queue", "a", "b", "c") == 3
        assert several[4][0].read() == [b"queue", b"a"] and several[5][0].read() == [b"queue", b"b"]
        several[0][0].send(encode("XREAD", "BLOCK", "0", "STREAMS", "s", "$"))  # on the same connection again
        wait_until(lambda: wire.ask("CLIENT", "UNBLOCK", several[0][1]) == 1, "it waits again", 10)
        assert several[0][0].read() is None
        assert wire.ask("MULTI") == "OK" and wire.ask("CLIENT", "UNBLOCK", "1").text.startswith("ERR ")
        for one, _ in several:
            one.close()


def test_a_store_that_says_no_number_ends_no_wait(both, redis_server):
    """A user of the store without CLIENT: commands that block work, and nobody can be let go."""
    redis = redis_server()
    with redis.wire() as direct:
        assert direct.ask("ACL", "SETUSER", "few", "on", "nopass", "~*", "+@list", "+@connection", "-client") == "OK"
        server, _ = both(redis, user="few@")
        with server.wire() as wire:
            one, number = blocked(server, direct, 1, "BLPOP", "queue", "0")
            assert wire.ask("CLIENT", "UNBLOCK", number) == 0 and wire.ask("RPUSH", "queue", "a") == 1
            assert one.read() == [b"queue", b"a"]
            one.close()


def test_a_user_without_a_password_is_itself(forebay, redis_server, database):
    """Nobody is "default" there, neither on the connections that pass requests on nor on those that share rows."""
    redis = redis_server()
    with redis.wire() as direct:
        assert direct.ask("ACL", "SETUSER", "few", "on", "nopass", "~*", "&*", "+@all") == "OK"
        assert direct.ask("ACL", "SETUSER", "default", "off") == "OK"
        server = forebay({"store": {"url": f"redis://few@127.0.0.1:{redis.port}"},
                          "sources": {"shop": {"url": f"sqlite:{database(USERS)}"}},
                          "keyspaces": {"user:{id:int}": {"table": "users"}}})
        with server.wire() as wire:
            assert wire.ask("LPUSH", "queue", "a") == 1
            wait_until(lambda: (wire.ask("FB.INVALIDATE", "user:1"), wire.ask("GET", "user:1"),
                                direct.ask("EXISTS", "user:1") == 1)[2], "a row is shared", 30)


def test_large_values_go_through(both):
    server, _ = both(bulk_max="64mb", query_buffer_max="64mb", output_buffer_max="128mb", client_memory_max="512mb")
    value = os.urandom(1 << 20) * 32
    with server.wire(timeout=60) as wire:
        assert wire.ask("SET", "big", value) == "OK"
        assert wire.ask("GET", "big") == value
        assert wire.ask("GET", "user:1") == b'{"id":1,"name":"ann"}'


GETKEYS = ["EVAL x 2 a b c", "ZUNIONSTORE d 2 a b WEIGHTS 1 2", "XREAD COUNT 2 STREAMS a b 0 0", "SORT a STORE b",
           "LMPOP 2 a b LEFT", "BLPOP a b 1", "BITOP AND d a b", "XGROUP CREATE s g 0", "SET a 1", "GEORADIUS a 1 1 1 m STORE b"]


def test_command_knows_what_the_store_does(both):
    server, redis = both()
    with server.wire() as wire, redis.wire() as direct:
        for line in GETKEYS:
            assert wire.ask("COMMAND", "GETKEYS", *line.split(" ")) == direct.ask("COMMAND", "GETKEYS", *line.split(" "))
        ours, theirs = (one.ask("COMMAND", "INFO", "lpush", "zunion", "get", "nosuch") for one in (wire, direct))
        assert [entry and entry[:2] + entry[3:6] for entry in ours] == [entry and entry[:2] + entry[3:6] for entry in theirs]
        names = {name.decode() for name in wire.ask("COMMAND", "LIST")}
        missing = {name.decode() for name in direct.ask("COMMAND", "LIST") if b"|" not in name} - names
        assert missing <= {"cluster", "asking", "readonly", "readwrite", "save", "bgsave", "bgrewriteaof", "failover", "migrate",
                           "psync", "replconf", "replicaof", "slaveof", "restore-asking", "swapdb", "sync", "lolwut",
                           "pfdebug", "pfselftest", "georadius_ro", "georadiusbymember_ro", "substr", "xsetid"}, missing
        assert wire.ask("COMMAND", "COUNT") == len(wire.ask("COMMAND"))


def test_figures_tell_of_the_store(both):
    server, _ = both()
    with server.wire() as wire:
        for words in (("SET", "a", "1"), ("MGET", "a", "user:1"), ("RENAME", "a", "user:1"), ("GET", "user:1")):
            wire.ask(*words)
    figures = server.info("forebay")["forebay"]
    assert [figures[name] for name in ("store_requests", "store_split", "store_refused", "store_errors", "store_connections")] \
        == ["1", "1", "1", "0", "1"]
    assert int(figures["store_sent_bytes"]) > 0 and int(figures["store_received_bytes"]) > 0


def test_a_store_that_is_not_there_does_not_stop_us(forebay, database):
    port = free_port()
    server = forebay({
        "store": {"url": f"redis://127.0.0.1:{port}"}, "sources": {"shop": {"url": f"sqlite:{database(USERS)}"}},
        "keyspaces": {"user:{id:int}": {"table": "users"}}})
    with server.wire() as wire:
        assert wire.ask("GET", "user:1") == b'{"id":1,"name":"ann"}'
        reply = wire.ask("GET", "foo")
        assert reply.word == "STOREDOWN" and "refused" in reply.text and str(port) in reply.text
        assert wire.ask("LPUSH", "foo", "1").word == "STOREDOWN"
        assert wire.ask("MGET", "user:1", "foo").word == "STOREDOWN"
        assert wire.ask("GET", "user:2") == b'{"id":2,"name":"bob"}'


@pytest.mark.short
def test_a_store_that_comes_back_is_used_again(both, redis_server, processes):
    server, redis = both()
    with server.wire() as wire, server.wire() as other:
        assert wire.ask("SET", "a", "1") == "OK"
        redis.process.send_signal(19)  # SIGSTOP
        wire.send(encode("GET", "a") + encode("GET", "user:1") + encode("LPUSH", "l", "x"))
        wait_until(lambda: b"cmd=lpush" in other.ask("CLIENT", "LIST"), "all of it is read", 10)
        assert other.ask("PING") == "PONG"  # a turn of the loop later it is sent
        redis.process.kill()
        redis.process.wait()
        first, second, third = wire.read(), wire.read(), wire.read()
        assert first.word == "STOREDOWN" and second == b'{"id":1,"name":"ann"}' and third.word == "UNKNOWN"
        assert wire.ask("GET", "a").word == "STOREDOWN"
        again = redis_server(("--port", str(redis.port)))
        wait_until(lambda: not isinstance(wire.ask("GET", "a"), ReplyError), "the store is used again", 10)
        assert again.is_running()


def test_silence_is_not_waited_for(both):
    server, redis = both()
    with server.wire() as wire:
        assert wire.ask("SET", "a", "1") == "OK"
        redis.process.send_signal(19)
        try:
            reply = wire.ask("GET", "a")
            assert reply.word == "STOREDOWN" and "within 2000 ms" in reply.text
        finally:
            redis.process.send_signal(18)
        wait_until(lambda: wire.ask("GET", "a") == b"1", "the store is used again", 10)


def resident(server):
    with open(f"/proc/{server.pid}/status", encoding="utf-8") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def test_a_slow_reader_does_not_fill_the_memory(both):
    server, redis = both(output_buffer_max="256mb", client_memory_max="1gb")
    value = b"x" * 10_000
    with server.wire(timeout=60) as wire:
        assert wire.ask("SET", "v", value) == "OK"
        requests = encode("GET", "v") * 10_000
        sender = threading.Thread(target=lambda: wire.send(requests))
        sender.start()
        sizes = [resident(server)]

        def is_steady():
            sizes.append(resident(server))
            return len(sizes) > 10 and len(set(sizes[-10:])) == 1
        wait_until(is_steady, "the server waits for the reader", 20)
        for _ in range(10_000):
            assert wire.read() == value
        sender.join()
        with open(f"/proc/{server.pid}/maps", encoding="utf-8") as maps:
            is_plain = "san.so" not in maps.read()
        if is_plain:
            assert max(sizes) < 64 * 1024, f"{max(sizes)} KiB"


@pytest.mark.short
def test_the_store_may_speak_tls(forebay, redis_server, database, certificates):  # noqa: F811
    port = free_port()
    certificates.make("store")
    redis = redis_server(("--tls-port", str(port), "--tls-cert-file", certificates.path("store.crt"), "--tls-key-file",
                          certificates.path("store.key"), "--tls-ca-cert-file", certificates.path("ca.crt"),
                          "--tls-auth-clients", "no"))

    def start(host, **store):
        return forebay({
            "server": {"bulk_max": "16mb", "query_buffer_max": "32mb"},
            "store": {"url": f"rediss://{host}:{port}/2", **store},
            "sources": {"shop": {"url": f"sqlite:{database(USERS, name=f'{len(store)}{host}.db')}"}},
            "keyspaces": {"user:{id:int}": {"table": "users"}}})
    server = start("127.0.0.1", tls_ca=certificates.path("ca.crt"))
    with server.wire(timeout=60) as wire, redis.wire() as direct:
        value = os.urandom(8 << 20)
        assert wire.ask("SET", "big", value) == "OK" and wire.ask("GET", "big") == value
        wire.send(encode("RPUSH", "l", "x" * 100) * 2000)
        assert [wire.read() for _ in range(2000)] == list(range(1, 2001))
        assert direct.ask("SELECT", "2") == "OK" and direct.ask("LLEN", "l") == 2000
    # An authority that nobody here knows, and a certificate of another name.
    for other in (start("127.0.0.1"), start("localhost", tls_ca=certificates.path("ca.crt"))):
        with other.wire() as wire:
            reply = wire.ask("GET", "a")
            assert reply.word == "STOREDOWN" and "certificate" in reply.text


def test_strangers_reach_no_store(both, tmp_path):
    secret = tmp_path / "secret"
    secret.touch(mode=0o600)
    secret.write_text("s3cret")
    server, redis = both(password=f"file:{secret}")
    with server.wire() as wire, redis.wire() as direct:
        for line in ("LPUSH l 1", "XREAD STREAMS s 0", "SCRIPT LOAD x", "FUNCTION LIST", "EVAL x 0", "GET a", "SET a 1",
                     "MGET a user:1", "BLPOP l 1", "WATCH a", "SORT a"):
            assert wire.ask(*line.split(" ")).word == "NOAUTH", line
        assert wire.ask("NOSUCHCOMMAND", "a").word == "ERR"
        assert b"forebay" not in direct.ask("CLIENT", "LIST")
        assert wire.ask("AUTH", "s3cret") == "OK" and wire.ask("LPUSH", "l", "1") == 1


def test_users_may_only_what_their_rules_say(forebay, redis_server, database, tmp_path):
    users = tmp_path / "users.acl"
    users.write_text("user default on nopass ~* &* +@all\n"
                     "user narrow on nopass ~job:* resetchannels -@all +lpush +get +eval +sort\n")
    redis = redis_server()
    server = forebay({
        "server": {"users_file": str(users)}, "store": {"url": f"redis://127.0.0.1:{redis.port}"},
        "sources": {"shop": {"url": f"sqlite:{database(USERS)}"}}, "keyspaces": {"user:{id:int}": {"table": "users"}}})
    with server.wire() as wire:
        assert wire.ask("AUTH", "narrow", "x") == "OK"
        assert wire.ask("LPUSH", "job:1", "x") == 1
        assert wire.ask("LPUSH", "other", "x").word == "NOPERM"
        assert wire.ask("RPUSH", "job:1", "x").word == "NOPERM"
        assert wire.ask("EVAL", "return 1", "2", "job:1", "other").word == "NOPERM"
        assert wire.ask("SORT", "job:1", "ALPHA", "STORE", "other").word == "NOPERM"
        assert wire.ask("NOSUCHCOMMAND", "x").word == "ERR"
    with server.wire() as wire:
        assert wire.ask("ACL", "DRYRUN", "narrow", "LPUSH", "job:1", "x") == "OK"
        assert b"no permissions" in wire.ask("ACL", "DRYRUN", "narrow", "LPUSH", "other", "x")


def test_what_is_listed_is_what_the_store_holds(both):
    """SCAN, KEYS, DBSIZE, RANDOMKEY: its keys, and the rows that are shared there, without what coordinates them."""
    server, redis = both()
    with server.wire() as wire, redis.wire() as direct:
        for i in range(50):
            direct.ask("SET", f"k{i}", "x")
        for companion in ("fb:n:{user:9}:user:9", "fb:c:{k1}:k1"):
            direct.ask("SET", companion, "1")
        wire.ask("GET", "user:1")
        expected = {b"k%d" % i for i in range(50)} | {key for key in direct.ask("KEYS", "user:*")}
        assert set(wire.ask("KEYS", "*")) == expected
        assert wire.ask("KEYS", "nothing*") == [] and wire.ask("KEYS", "fb:*") == []
        cursor, seen = b"0", []
        while True:
            cursor, some = wire.ask("SCAN", cursor, "COUNT", "7")
            seen += some
            if cursor == b"0":
                break
        assert sorted(seen) == sorted(expected)
        assert wire.ask("SCAN", "0", "MATCH", "k1", "COUNT", "1000") == [b"0", [b"k1"]]
        assert wire.ask("DBSIZE") == direct.ask("DBSIZE") >= 52 and wire.ask("RANDOMKEY") is not None
        assert wire.ask("SCAN", "x").text == "ERR invalid cursor"


def test_flushing_is_for_both(both):
    """FLUSHALL and FLUSHDB empty the store and the cache, also in a transaction; a row stays, and is loaded again."""
    server, redis = both()
    with server.wire() as wire, redis.wire() as direct:
        for how in (["FLUSHALL"], ["FLUSHDB"], ["FLUSHALL", "ASYNC"], ["MULTI"]):
            wire.ask("SET", "k", "x")
            assert wire.ask("GET", "user:1") == b'{"id":1,"name":"ann"}'
            loads = server.source()["read_trips"]
            if how == ["MULTI"]:
                assert [wire.ask(*line) for line in (["MULTI"], ["FLUSHDB"], ["DBSIZE"], ["EXEC"])] == [
                    "OK", "QUEUED", "QUEUED", ["OK", 0]]
            else:
                assert wire.ask(*how) == "OK"
            assert direct.ask("DBSIZE") == 0 and wire.ask("GET", "k") is None
            assert wire.ask("GET", "user:1") == b'{"id":1,"name":"ann"}' and server.source()["read_trips"] == loads + 1
        assert wire.ask("FLUSHALL", "nonsense").text == "ERR syntax error"


def test_a_script_can_be_ended(both):
    """SCRIPT KILL does not wait behind the script that it is to end."""
    server, redis = both()
    with server.wire() as wire, server.wire() as other, redis.wire() as direct:
        direct.ask("CONFIG", "SET", "busy-reply-threshold", "10")
        wire.send(encode("EVAL", "while true do end", "0"))
        wait_until(lambda: str(direct.ask("GET", "x")).startswith("BUSY"), "the script runs")
        assert other.ask("SCRIPT", "KILL") == "OK" and "killed by user" in str(wire.read())


def table_of_commands():
    """The rows of docs/commands.md about the store, {name: what becomes of (mapped, other) keys}; and the other lists."""
    with open(os.path.join(TOP, "docs", "commands.md"), encoding="utf-8") as file:
        section = file.read().partition("## With a store")[2]
    rows = {name.lower().replace(" ", "|"): (mapped, other) for name, mapped, other in
            re.findall(r"^\| `([A-Z_.0-9 ]+)` \| (\w+) \| (\w+) \|", section, re.M)}
    return rows, {name.replace(" ", "|") for name in re.findall(r" `([a-z|_.0-9 -]+)`", section)}


def test_the_table_names_every_command_of_redis(both):
    """COMMAND LIST of a real one says which there are."""
    _, redis = both()
    rows, others = table_of_commands()
    named = {name.split("|")[0] for name in {*rows, *others}} | {"lolwut"}  # which is passed as one that nobody knows
    with redis.wire() as direct:
        assert {name.decode().split("|")[0] for name in direct.ask("COMMAND", "LIST")} - named == set()


def test_the_table_is_true(both):
    """Each command that names keys, with a mapped one and with one that is not: refused and passed as it says."""
    server, redis = both()
    rows, _ = table_of_commands()
    with server.wire() as wire, redis.wire() as direct:
        known = {one[0].decode(): one for one in direct.ask("COMMAND")}
        tried = 0
        for name, (mapped, other) in rows.items():
            one = known.get(name)
            if one is None or one[3] < 1 or "blocking" in one[2]:
                continue
            words = [name] + ["1"] * max(abs(one[1]) - 1, one[3])
            for key, said in (("user:1", mapped), ("plain", other)):
                words[one[3]:] = [key] * (len(words) - one[3])
                got = wire.ask(*words)
                is_refused = isinstance(got, ReplyError) and "mapped key" in got.text
                assert is_refused == (said == "refused"), (words, got)
                wire.ask("DEL", "plain")
            tried += 1
        assert tried > 100
