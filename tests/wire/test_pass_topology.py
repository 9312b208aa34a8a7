"""Passing to a Redis Cluster and to the primary that Sentinels name: real servers on loopback, each a process of this test."""

import contextlib
import os
import threading

import pytest

from conftest import Redis, free_port, wait_until
from resp import Closed, ReplyError, encode

USERS = "CREATE TABLE users(id INTEGER PRIMARY KEY, name TEXT); INSERT INTO users VALUES (1, 'ann'), (2, 'bob');"


def start_forebay(forebay, database, url, **more):
    return forebay({"server": {"threads": 1}, "store": {"url": url, "share": "false", "connect_timeout": "1s", **more},
                    "sources": {"shop": {"url": f"sqlite:{database(USERS)}"}},
                    "keyspaces": {"user:{id:int}": {"table": "users", "write": "write-through"}}})


class Cluster:
    """Primaries that share the slots, each with a replica if asked for."""

    def __init__(self, processes, folder, primaries=3, replicas=False):
        self.nodes, self.buses = [], []
        for i in range(primaries * (2 if replicas else 1)):
            home = os.path.join(folder, f"node-{i}")
            os.makedirs(home)
            self.buses.append(free_port())
            timeout_ms = 1000 if replicas else 10000  # without replicas nobody is to die
            self.nodes.append(Redis(processes, home, ["--cluster-enabled", "yes", "--cluster-node-timeout", str(timeout_ms),
                                                      "--cluster-port", str(self.buses[-1]),
                                                      "--cluster-config-file", "nodes.conf", "--dir", home,
                                                      "--cluster-replica-validity-factor", "0", "--repl-diskless-sync-delay", "0",
                                                      "--cluster-require-full-coverage", "no"]))
        self.primaries = self.nodes[:primaries]
        self.ids = [self.ask(node, "CLUSTER", "MYID") for node in self.nodes]
        bounds = [16384 * i // primaries for i in range(primaries + 1)]
        for i, node in enumerate(self.primaries):
            assert self.ask(node, "CLUSTER", "ADDSLOTSRANGE", bounds[i], bounds[i + 1] - 1) == "OK"
            self.ask(node, "CLUSTER", "SET-CONFIG-EPOCH", i + 1)
        for node in self.nodes[1:]:
            assert self.ask(node, "CLUSTER", "MEET", "127.0.0.1", self.nodes[0].port, self.buses[0]) == "OK"
        for i, node in enumerate(self.nodes[primaries:]):
            wait_until(lambda node=node, i=i: self.ask(node, "CLUSTER", "REPLICATE", self.ids[i]) == "OK", "a replica", 30)

        def is_whole(node):  # it is "ok" as well while it knows of a part alone
            info = self.ask(node, "CLUSTER", "INFO")
            return b"cluster_state:ok" in info and b"cluster_slots_ok:16384" in info
        for node in self.nodes:
            wait_until(lambda node=node: is_whole(node), "the cluster agrees", 60)

    def ask(self, node, *words):
        with node.wire() as wire:
            return wire.ask(*words)

    def url(self, n=1):
        return "cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes[:n])

    def move(self, slot, source, target):
        """Let a slot wander, keys and all, as redis-cli --cluster reshard does."""
        self.ask(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", self.ids[self.nodes.index(source)])
        self.ask(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", self.ids[self.nodes.index(target)])
        while True:
            keys = self.ask(source, "CLUSTER", "GETKEYSINSLOT", slot, 100)
            if not keys:
                break
            self.ask(source, "MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
        for node in (target, source, *self.primaries):
            self.ask(node, "CLUSTER", "SETSLOT", slot, "NODE", self.ids[self.nodes.index(target)])

        def agree():  # else the next move's epoch may undo this one at somebody's
            return all(any(first <= slot <= last and where[1] == target.port
                           for first, last, where, *_ in self.ask(node, "CLUSTER", "SLOTS")) for node in self.primaries)
        wait_until(agree, "all know of it", 30)


@pytest.fixture
def cluster(processes, tmp_path):
    return lambda **more: Cluster(processes, str(tmp_path), **more)


def test_keys_go_to_their_nodes(forebay, database, cluster):
    """Whatever their slot; a request of several slots is split where each key is for itself, else refused as a node does."""
    three = cluster()
    server = start_forebay(forebay, database, three.url())
    with server.wire(timeout=30) as wire:
        names = [f"k{i}" for i in range(300)]
        wire.send(b"".join(encode("SET", name, name) for name in names) + b"".join(encode("GET", name) for name in names))
        assert [wire.read() for _ in names] == ["OK"] * 300 and [wire.read() for _ in names] == [n.encode() for n in names]
        assert all(three.ask(node, "DBSIZE") > 50 for node in three.primaries)
        assert wire.ask("MGET", *names, "nope", "user:1") == [n.encode() for n in names] + [None, b'{"id":1,"name":"ann"}']
        assert wire.ask("EXISTS", *names[:50], "nope") == 50 and wire.ask("DEL", "k0", "k1", "k2", "user:1") == 4
        assert wire.ask("MSET", "a", "1", "b", "2", "user:2", '{"name":"eve"}', "c", "3") == "OK"
        assert wire.ask("MGET", "c", "user:2", "b", "a") == [b"3", b'{"id":2,"name":"eve"}', b"2", b"1"]
        assert wire.ask("RENAME", "a", "b").text == "CROSSSLOT Keys in request don't hash to the same slot"
        assert wire.ask("SUNION", "{t}a", "{t}b") == [] and wire.ask("LPUSH", "{t}l", "x") == 1
        assert wire.ask("BLPOP", "{t}l", "1") == [b"{t}l", b"x"]
        assert wire.ask("DBSIZE") == 300 and set(wire.ask("KEYS", "k1*")) == {n.encode() for n in names if n[1] == "1"} - {b"k1"}
        cursor, seen, trips = "0", [], 0
        while trips == 0 or cursor != b"0":
            cursor, some = wire.ask("SCAN", cursor, "MATCH", "k*", "COUNT", "20")
            seen, trips = seen + some, trips + 1
        assert sorted(seen) == sorted(n.encode() for n in names[3:]) and trips > 12
        assert wire.ask("SCAN", "x").text == "ERR invalid cursor"
        sha = wire.ask("SCRIPT", "LOAD", "return redis.call('get', KEYS[1])")
        assert [wire.ask("EVALSHA", sha, "1", name) for name in ("k10", "k11", "k12")] == [b"k10", b"k11", b"k12"]
        assert wire.ask("FLUSHALL") == "OK" and [three.ask(node, "DBSIZE") for node in three.primaries] == [0, 0, 0]


def test_waits_are_ended_at_their_nodes(forebay, database, cluster):
    """CLIENT UNBLOCK asks the node at which the other one waits."""
    three = cluster()
    server = start_forebay(forebay, database, three.url())
    with server.wire(timeout=30) as wire:
        for name in (f"queue{i}" for i in range(12)):
            with server.wire(timeout=30) as waiting:
                number = str(waiting.ask("CLIENT", "ID"))
                waiting.send(encode("BLPOP", name, "0"))
                wait_until(lambda: wire.ask("CLIENT", "UNBLOCK", number) == 1, f"{name} is waited for", 10)
                assert waiting.read() is None


def test_transactions_of_one_slot(forebay, database, cluster):
    three = cluster()
    server = start_forebay(forebay, database, three.url())
    with server.wire() as wire, server.wire() as other:
        for tag in ("a", "b", "c", "d"):
            assert [wire.ask(*line.split(" ")) for line in ("MULTI", f"INCR {{{tag}}}n", f"INCR {{{tag}}}m", "EXEC")] == [
                "OK", "QUEUED", "QUEUED", [1, 1]]
            wire.ask("WATCH", f"{{{tag}}}n")
            other.ask("INCR", f"{{{tag}}}n")
            assert [wire.ask(*line.split(" ")) for line in ("MULTI", f"INCR {{{tag}}}n", "EXEC")] == ["OK", "QUEUED", None]
        assert [wire.ask(*line.split(" ")) for line in ("MULTI", "INCR x", "INCR y")] == ["OK", "QUEUED", "QUEUED"]
        assert wire.ask("EXEC").word == "CROSSSLOT" and wire.ask("GET", "x") is None


def test_channels_of_a_cluster(forebay, database, cluster):
    three = cluster()
    server = start_forebay(forebay, database, three.url())
    with server.wire() as wire, server.wire() as other:
        wire.ask("SUBSCRIBE", "news")
        for node in three.primaries:
            three.ask(node, "PUBLISH", "news", "x")
            assert wire.read() == [b"message", b"news", b"x"]
        other.ask("PUBLISH", "news", "y")
        assert wire.read() == [b"message", b"news", b"y"]
    for name in ("a", "b", "c", "d"):  # sharded ones, at whichever node
        with server.wire() as wire, server.wire() as other:
            assert wire.ask("SSUBSCRIBE", name, f"{{{name}}}2") == [b"ssubscribe", name.encode(), 1]
            assert wire.read() == [b"ssubscribe", f"{{{name}}}2".encode(), 2]
            assert other.ask("SPUBLISH", name, "x") == 1 and wire.read() == [b"smessage", name.encode(), b"x"]
            elsewhere = next(word for word in ("a", "b", "c", "d", "e") if isinstance(wire.ask("SSUBSCRIBE", word), ReplyError))
            assert other.ask("SPUBLISH", name, elsewhere) == 1 and wire.read()[0] == b"smessage"


def test_slots_wander_under_load(forebay, database, cluster):
    """MOVED and ASK are followed: no client sees any of it, nothing is lost."""
    three = cluster()
    server = start_forebay(forebay, database, three.url(3))
    names, errors, stop = [f"n{i}" for i in range(60)], [], threading.Event()
    counts = {name: 0 for name in names}
    slots = {name: three.ask(three.nodes[0], "CLUSTER", "KEYSLOT", name) for name in names}

    def work(mine):
        with server.wire(timeout=30) as wire:
            while not stop.is_set():
                for name in mine:
                    got = wire.ask("INCR", name)
                    if isinstance(got, ReplyError):
                        errors.append(str(got))
                    else:
                        counts[name] += 1
    threads = [threading.Thread(target=work, args=(names[i::4],)) for i in range(4)]
    for thread in threads:
        thread.start()
    for name in [name for name in names if slots[name] < 16384 // 3][:10]:
        three.move(slots[name], three.nodes[0], three.nodes[1])
    wait_until(lambda: min(counts.values()) > 20, "all go on", 60)
    stop.set()
    for thread in threads:
        thread.join()
    assert errors == []
    with server.wire() as wire:
        assert [int(value) for value in wire.ask("MGET", *names)] == [counts[name] for name in names]


def test_a_primary_dies_and_its_replica_serves(forebay, database, cluster):
    six = cluster(replicas=True)
    server = start_forebay(forebay, database, six.url(6))
    with server.wire(timeout=30) as wire:
        names = [f"k{i}" for i in range(30)]
        for name in names:
            assert wire.ask("SET", name, name) == "OK"
        for node in six.primaries:
            wait_until(lambda node=node: b"state=online" in six.ask(node, "INFO", "replication"), "replicas follow", 30)
            six.ask(node, "WAIT", "1", "1000")
        six.nodes[0].kill()
        seen = set()

        def all_there():
            got = [wire.ask("GET", name) for name in names]
            seen.update(value.word for value in got if isinstance(value, ReplyError))
            return got == [name.encode() for name in names]
        wait_until(all_there, "the replica has taken over", 30)
        assert seen <= {"STOREDOWN", "CLUSTERDOWN", "UNKNOWN"}  # which a retry mends


def test_the_primary_that_sentinels_name(forebay, database, processes, tmp_path):
    """A failover: in-flight requests get an error that a retry mends, then the new primary serves."""
    homes = [str(tmp_path / name) for name in ("r0", "r1", "s0", "s1", "s2")]
    for home in homes:
        os.makedirs(home)
    first = Redis(processes, homes[0], ["--dir", homes[0]])
    second = Redis(processes, homes[1], ["--dir", homes[1], "--replicaof", f"127.0.0.1 {first.port}",
                                         "--repl-diskless-sync-delay", "0"])
    sentinels = []
    for home in homes[2:]:
        config, port = os.path.join(home, "s.conf"), free_port()
        with open(config, "w", encoding="ascii") as file:
            file.write(f"port {port}\nbind 127.0.0.1\ndir {home}\nsentinel monitor shop 127.0.0.1 {first.port} 2\n"
                       "sentinel down-after-milliseconds shop 1000\nsentinel failover-timeout shop 3000\n")
        sentinel = Redis.__new__(Redis)
        sentinel.host, sentinel.port = "127.0.0.1", port
        program = os.path.join(home, "redis-sentinel")
        import shutil
        os.symlink(os.path.realpath(shutil.which("redis-server") or shutil.which("redis-check-rdb")), program)
        super(Redis, sentinel).__init__(processes, f"sentinel-{len(sentinels)}", [program, config, "--sentinel"], home)
        sentinels.append(sentinel)

    def info(server, what):
        with server.wire() as wire:
            return wire.ask("INFO", what)

    def is_now(server, role):
        with contextlib.suppress(OSError, Closed):  # the Sentinels end the connections of whose role they change
            return role in info(server, "replication")
    for sentinel in sentinels:
        sentinel.wait_for(lambda sentinel=sentinel: "+monitor" in sentinel.log(), "it watches")
        wait_until(lambda sentinel=sentinel: b"slaves=1,sentinels=3" in info(sentinel, "sentinel"), "they know each other", 60)
    url = "sentinel://" + ",".join(f"127.0.0.1:{s.port}" for s in sentinels) + "/shop"
    server = start_forebay(forebay, database, url)
    with server.wire(timeout=30) as wire:
        assert wire.ask("SET", "k", "x") == "OK" and info(first, "keyspace").count(b"keys=1")
        wait_until(lambda: b"keys=1" in info(second, "keyspace"), "the replica follows")
        first.kill()
        seen = set()

        def works():
            got = wire.ask("SET", "k", "y")
            if isinstance(got, ReplyError):
                seen.add(got.word)
            return got == "OK"
        wait_until(works, "the new primary serves", 30)
        wait_until(lambda: is_now(second, b"role:master"), "the role of who serves")
        assert seen <= {"STOREDOWN", "UNKNOWN", "READONLY"}
        # A second one, by command, with everybody alive: the old primary becomes a replica and says so.
        third = Redis(processes, str(tmp_path), ["--replicaof", f"127.0.0.1 {second.port}", "--repl-diskless-sync-delay", "0"])
        wait_until(lambda: b"slaves=2" in info(sentinels[0], "sentinel") and b"master_link_status:up" in info(third, "replication"),
                   "another replica", 60)

        def ask_for_it():
            with sentinels[0].wire() as one:
                return one.ask("SENTINEL", "FAILOVER", "shop") == "OK"
        wait_until(ask_for_it, "a failover begins", 60)
        wait_until(lambda: is_now(third, b"role:master"), "it is promoted", 60)
        wait_until(lambda: wire.ask("SET", "k", "z") == "OK" and wire.ask("GET", "k") == b"z" and is_now(second, b"role:slave"),
                   "the third serves", 60)


def test_sentinels_that_know_no_such_service(forebay, database, redis_server):
    server = start_forebay(forebay, database, f"sentinel://127.0.0.1:{redis_server().port}/shop")
    with server.wire() as wire:
        assert "no primary of this service" in wire.ask("GET", "k").text
        assert wire.ask("GET", "user:1") == b'{"id":1,"name":"ann"}'
