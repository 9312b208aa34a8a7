"""Shows what reaches clients without being asked for: messages, notifications, invalidations, lines of MONITOR, with the
clients that people use and beside a real redis-server."""

import json
import os
import re
import shutil
import subprocess
import time

import pytest

from conftest import NODE_MODULES, wait_until
from resp import Push, ReplyError, encode

HERE = os.path.dirname(os.path.abspath(__file__))
SEEN_WITHIN_S = 10.0  # what is not told would be seen when its copy ends, in an hour
TABLES = """CREATE TABLE kv(k TEXT PRIMARY KEY, v TEXT);
            INSERT INTO kv VALUES ('a', 'one'), ('b', 'two');
            CREATE TABLE ints(k TEXT PRIMARY KEY, v INTEGER);
            CREATE TABLE reals(k TEXT PRIMARY KEY, v REAL);
            CREATE TABLE users(id INTEGER PRIMARY KEY, name TEXT, visits INTEGER);
            INSERT INTO users VALUES (1, 'Ada', 3);"""


@pytest.fixture
def shop(forebay, database):
    def start(kv=None, **settings):
        server = forebay({
            "server": {"threads": 2, **settings},
            "sources": {"shop": {"url": "sqlite:" + database(TABLES)}},
            "keyspaces": {"kv:{k}": {"table": "kv", "as": "column:v", "write": "write-through", **(kv or {})},
                          "int:{k}": {"table": "ints", "as": "column:v", "write": "write-through"},
                          "real:{k}": {"table": "reals", "as": "column:v", "write": "write-around"},
                          "user:{id:int}": {"table": "users", "as": "hash", "write": "write-through"}}})
        return server
    return start


def run(command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
    return done.stdout


def node_module(module):
    node = shutil.which("node")
    if node is None or not os.path.isdir(os.path.join(NODE_MODULES, module)):
        pytest.skip(f"{module} is not installed; run tools/setup.sh test")
    major = int(run([node, "--version"]).lstrip("v").split(".")[0])
    if module.endswith("6") and major < 20:
        pytest.skip(f"{module} needs Node 20, this is {major}")
    return node, os.path.join(NODE_MODULES, module)


# ---- beside Redis ----------------------------------------------------------------------------------------------------


def talk(server, commands):
    """Each command's answer as bytes, with what came in its wake: a PING's answer ends it."""
    answers = []
    with server.wire() as wire:
        for words in commands:
            wire.send(encode(*words.split(" ")) + encode("PING", "=end="))
            while b"=end=\r\n" not in wire.buffer:
                wire._more()
            answers.append((words, wire.buffer))
            wire.buffer = b""
    return answers


PUBSUB = ["UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE x", "SUBSCRIBE a a", "PSUBSCRIBE a*", "PING", "PING hi", "GET kv:a",
          "CLIENT ID", "HELLO 3", "UNSUBSCRIBE zz", "SSUBSCRIBE q", "FOO", "SUBSCRIBE", "RESET", "PUBSUB NUMSUB a b",
          "PUBSUB NUMPAT", "PUBSUB CHANNELS", "PUBSUB CHANNELS b*", "PUBSUB SHARDCHANNELS", "PUBSUB SHARDNUMSUB q",
          "PUBSUB FOO", "PUBSUB", "PUBSUB NUMPAT x", "PUBSUB CHANNELS a b", "SPUBLISH q m", "PUBLISH a m", "PUBLISH a"]
PUBSUB3 = ["UNSUBSCRIBE", "SUBSCRIBE c", "PING", "GET kv:nobody", "PUBSUB NUMSUB a c", "PUBSUB CHANNELS", "UNSUBSCRIBE",
           "SUBSCRIBE c d", "UNSUBSCRIBE c x", "MONITOR extra"]
TRACKING = [
    "CLIENT TRACKING ON", "CLIENT TRACKINGINFO", "CLIENT GETREDIR", "CLIENT TRACKING OFF", "CLIENT TRACKINGINFO",
    "CLIENT GETREDIR", "CLIENT TRACKING FOO", "CLIENT TRACKING ON FOO", "CLIENT TRACKING ON REDIRECT",
    "CLIENT TRACKING ON REDIRECT x", "CLIENT TRACKING ON REDIRECT 999", "CLIENT TRACKING ON PREFIX a",
    "CLIENT TRACKING ON BCAST OPTIN", "CLIENT TRACKING ON OPTIN OPTOUT", "CLIENT CACHING YES", "CLIENT CACHING foo",
    "CLIENT TRACKING ON OPTIN", "CLIENT TRACKING ON OPTOUT", "CLIENT TRACKING ON BCAST", "CLIENT CACHING YES",
    "CLIENT CACHING NO", "CLIENT CACHING foo", "CLIENT TRACKING OFF", "CLIENT TRACKING ON OPTOUT", "CLIENT CACHING YES",
    "CLIENT CACHING NO", "CLIENT TRACKING OFF", "CLIENT TRACKING ON BCAST PREFIX foo PREFIX foobar",
    "CLIENT TRACKING ON BCAST PREFIX foo", "CLIENT TRACKING ON BCAST PREFIX foob", "CLIENT TRACKINGINFO",
    "CLIENT TRACKING ON BCAST PREFIX foo", "CLIENT TRACKING ON", "CLIENT TRACKING OFF", "CLIENT TRACKING ON PREFIX",
    "CLIENT TRACKING ON REDIRECT 0", "CLIENT TRACKING ON REDIRECT -1", "CLIENT TRACKING OFF FOO",
    "CLIENT TRACKING OFF BCAST", "CLIENT TRACKING ON BCAST", "CLIENT TRACKINGINFO", "CLIENT TRACKING ON BCAST PREFIX z",
    "CLIENT TRACKING OFF", "CLIENT TRACKING ON NOLOOP", "CLIENT TRACKING", "CLIENT CACHING", "CLIENT GETREDIR x"]


@pytest.mark.short
@pytest.mark.parametrize("script", [PUBSUB, ["HELLO 3"] + PUBSUB3, TRACKING], ids=["resp2", "resp3", "tracking"])
def test_answers_are_those_of_redis(shop, redis_server, script):
    ours, theirs = talk(shop(), script), talk(redis_server(), script)
    for mine, redis in zip(ours, theirs):
        if mine[0] != "HELLO 3":
            assert mine == redis


def test_what_is_pushed_is_what_redis_pushes(shop, redis_server):
    """The same changes, the same bytes: to a client in RESP3, and through a redirection to one in RESP2."""
    def observe(server):
        with server.wire() as writer, server.wire() as cache, server.wire() as listener, server.wire() as teller:
            writer.ask("SET", "kv:a", "1")
            cache.ask("HELLO", "3")
            cache.ask("CLIENT", "TRACKING", "ON")
            listener.ask("SUBSCRIBE", "__redis__:invalidate")
            teller.ask("CLIENT", "TRACKING", "ON", "REDIRECT", _id_of(writer, listener))
            for wire in (cache, teller):
                assert wire.ask("GET", "kv:a") == b"1"
                assert wire.ask("GET", "kv:missing") is None
            seen = []
            for words in (["SET", "kv:a", "2"], ["SET", "kv:missing", "x"]):
                writer.ask(*words)
                seen += [cache.read(), listener.read()]
            return seen
    assert observe(shop()) == observe(redis_server())


def _id_of(asker, wire):
    """A listener in RESP2 cannot be asked."""
    address = "addr=%s:%d " % wire.socket.getsockname()
    line = next(line for line in asker.ask("CLIENT", "LIST").decode().split("\n") if address in line)
    return re.match(r"id=(\d+) ", line).group(1)


def test_notifications_have_the_names_of_redis(shop, redis_server):
    """A row's changes on both; a row outlives its cached copy, so DEL and EXPIRE are left out."""
    def observe(server, before):
        with server.wire() as writer, server.wire() as listener:
            for words in before:
                assert writer.ask(*words) in ("OK", 1, 3)
            listener.ask("PSUBSCRIBE", "__key*")
            for words in (["SET", "int:n", "5"], ["INCR", "int:n"], ["GETSET", "int:n", "7"], ["SET", "real:n", "1.5"],
                          ["INCRBYFLOAT", "real:n", "0.5"], ["MSET", "kv:a", "x"], ["SETNX", "kv:a", "z"],
                          ["HSET", "user:1", "name", "Bob"], ["HINCRBY", "user:1", "visits", "2"],
                          ["HDEL", "user:1", "name"], ["PERSIST", "kv:nobody"]):
                assert not isinstance(writer.ask(*words), ReplyError), words
            writer.ask("PUBLISH", "__key_end", "")
            return list(iter(listener.read, [b"pmessage", b"__key*", b"__key_end", b""]))
    ours = observe(shop(notify_keyspace_events="KEA"), [])
    theirs = observe(redis_server(["--notify-keyspace-events", "KEA"]),
                     [["HSET", "user:1", "id", "1", "name", "Ada", "visits", "3"], ["SET", "kv:a", "one"]])
    assert ours == theirs


# ---- clients ---------------------------------------------------------------------------------------------------------


def test_python_redis_subscribes(shop):
    server = shop(notify_keyspace_events="KEAf")
    with server.client(decode_responses=True) as client, client.pubsub() as pubsub:
        def next_message():
            return wait_until(lambda: pubsub.get_message(ignore_subscribe_messages=True), "a message")
        pubsub.subscribe("news")
        pubsub.psubscribe("__keyevent@0__:*")
        wait_until(lambda: client.publish("news", "hello") == 1, "the subscription")
        message = next_message()
        assert (message["type"], message["channel"], message["data"]) == ("message", "news", "hello")
        client.get("kv:a")
        assert (message := next_message())["channel"] == "__keyevent@0__:loaded" and message["data"] == "kv:a"
        client.set("kv:a", "x")
        assert (message := next_message())["channel"] == "__keyevent@0__:set" and message["data"] == "kv:a"
        pubsub.unsubscribe()
        pubsub.punsubscribe()
        assert pubsub.ping() is None
        wait_until(lambda: client.publish("news", "x") == 0, "nobody to listen")


@pytest.mark.parametrize("module", ["ioredis4", "ioredis", "ioredis6", "redis4", "redis5", "redis6"])
def test_node_subscribes(shop, module):
    node, path = node_module(module)
    result = json.loads(run([node, os.path.join(HERE, "client_pubsub.js"), path, str(shop().port)]))
    assert sorted(result["got"]) == [["news", "one"], ["news", "one"], ["none", "two"]]
    assert result["left"] == 0


def lines_of(process, wanted):
    """Lines of a program until one holds `wanted`."""
    lines = []
    for line in process.stdout:
        lines.append(line.rstrip("\n"))
        if wanted in line:
            return lines
    raise AssertionError(f"{wanted!r} did not come: {lines}")


@pytest.mark.parametrize("command, first", [(["SUBSCRIBE", "news"], "(integer) 1"), (["MONITOR"], "OK")])
def test_redis_cli_watches(shop, command, first):
    server = shop()
    with subprocess.Popen(["redis-cli", "-p", str(server.port), *command], stdout=subprocess.PIPE, text=True) as cli, \
            server.wire() as wire:
        try:
            lines_of(cli, first.split(" ")[-1])
            wire.ask("PUBLISH", "news", "hello")
            assert lines_of(cli, "hello" if command[0] == "SUBSCRIBE" else '"PUBLISH" "news" "(…)"')
        finally:
            cli.kill()


def test_redis_benchmark_tracks(shop):
    server = shop()
    out = run(["redis-benchmark", "-3", "--enable-tracking", "-p", str(server.port), "-n", "2000", "-c", "10", "-q",
               "GET", "kv:a"])
    assert "requests per second" in out, out


# ---- client-side caching ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", ["redis5", "redis6"])
def test_node_redis_caches_on_its_side(shop, module):
    node, path = node_module(module)
    server = shop()
    result = json.loads(run([node, os.path.join(HERE, "client_cache.js"), path, str(server.port), "kv:a"]))
    assert result["first"] == "one"
    assert result["onTheNetwork"] == 0  # of 1000 reads
    assert result["seenAfterMs"] < SEEN_WITHIN_S * 1000, result


class Cache:
    """A client with a cache of its own, as RESP3 means it to be written."""

    def __init__(self, wire, *options):
        self.wire, self.values = wire, {}
        wire.ask("HELLO", "3")
        assert wire.ask("CLIENT", "TRACKING", "ON", *options) == "OK"

    def _take(self, push):
        assert push[0] == b"invalidate"
        if push[1] is None:
            self.values.clear()
        for key in push[1] or []:
            self.values.pop(key.decode(), None)

    def listen(self, seconds):
        """Pushes that come within so many seconds."""
        self.wire.socket.settimeout(seconds)
        try:
            self._take(self.wire.read())
        except TimeoutError:
            pass
        self.wire.socket.settimeout(10)

    def get(self, key):
        if key not in self.values:
            reply = self.wire.ask("GET", key)
            while isinstance(reply, Push):
                self._take(reply)
                reply = self.wire.read()
            self.values[key] = reply
        return self.values[key]


def gets(server):
    line = server.info("commandstats")["commandstats"].get("cmdstat_get", "calls=0,")
    return int(re.match(r"calls=(\d+)", line).group(1))


@pytest.mark.short
@pytest.mark.parametrize("mode", [[], ["BCAST", "PREFIX", "kv:"], ["NOLOOP"]], ids=["default", "bcast", "noloop"])
def test_a_changed_row_is_seen_at_once_and_hits_cost_no_network(shop, mode):
    server = shop()
    with server.wire() as reading, server.wire() as writing:
        cache = Cache(reading, *mode)
        assert cache.get("kv:a") == b"one"
        before = gets(server)
        for _ in range(1000):
            assert cache.get("kv:a") == b"one"
        assert gets(server) == before
        for change in range(50):
            value = b"%d" % change
            assert writing.ask("SET", "kv:a", value) == "OK"
            start = time.monotonic()
            while cache.get("kv:a") != value:
                cache.listen(SEEN_WITHIN_S)
                assert time.monotonic() - start < SEEN_WITHIN_S
        assert gets(server) <= before + 50  # one for each change


def test_a_row_changed_behind_forebays_back_is_seen_when_its_copy_ends(shop, tmp_path):
    """The client's cache lives as long as Forebay's, and no longer."""
    import sqlite3
    server = shop(kv={"ttl": "200ms", "jitter": "0%"})
    with server.wire() as reading:
        cache = Cache(reading)
        assert cache.get("kv:a") == b"one"
        with sqlite3.connect(str(tmp_path / "shop.db")) as database:
            database.execute("UPDATE kv SET v = 'behind' WHERE k = 'a'")
        database.close()

        def is_seen():
            cache.listen(0.05)
            return cache.get("kv:a") == b"behind"
        wait_until(is_seen, "the change", 10)


def test_del_by_one_client_reaches_the_cache_of_another(shop, tmp_path):
    """Cache-aside code changes the row itself and then says DEL."""
    import sqlite3
    server = shop()
    with server.wire() as reading, server.wire() as writing:
        cache = Cache(reading)
        assert cache.get("kv:a") == b"one"
        with sqlite3.connect(str(tmp_path / "shop.db")) as database:
            database.execute("UPDATE kv SET v = 'aside' WHERE k = 'a'")
        database.close()
        assert writing.ask("DEL", "kv:a") == 1
        cache.listen(SEEN_WITHIN_S)
        assert cache.get("kv:a") == b"aside"
        assert writing.ask("FLUSHALL") == "OK"
        cache.listen(SEEN_WITHIN_S)
        assert cache.values == {}
