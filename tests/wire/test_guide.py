"""The patterns of the usual caching guide, as applications write them with python3-redis, against one Forebay.

Each runs three times: against a redis-server alone, which shows that the pattern is one; against Forebay with that Redis
behind it and nothing mapped, where all must be the same; and, where a pattern is about rows, against Forebay with these
rows mapped, where the code stays as it is and the database is asked less. Where a pattern has a flaw of its own the
comment says so: pass-through keeps it, since bytes go through untouched; mapped keys do not have it."""

import json
import math
import random
import re
import subprocess
import threading

import pytest

from conftest import find_program, wait_until

SHOP = """CREATE TABLE users(id INTEGER PRIMARY KEY, name TEXT, email TEXT);
          INSERT INTO users VALUES (1, 'ann', 'ann@example.com'), (2, 'bob', 'bob@example.com');
          CREATE TABLE products(id INTEGER PRIMARY KEY, name TEXT, price INTEGER);
          INSERT INTO products VALUES (7, 'lamp', 30);
          CREATE TABLE inventory(product_id INTEGER PRIMARY KEY, quantity INTEGER);
          INSERT INTO inventory VALUES (7, 5);"""
MAPPED = {
    "user:{id:int}": {"table": "users", "write": "off", "on_set": "ignore", "ttl": "1h"},
    "product:{id:int}": {"table": "products", "write": "off", "on_set": "ignore", "ttl": "1h"},
    "inventory:{product_id:int}": {"table": "inventory", "write": "write-through"},
}


class Application:
    """A shop whose database counts the queries that the application itself sends."""

    def __init__(self, path):
        import sqlite3
        self.path, self.queries, self.lock = path, 0, threading.Lock()
        self.connect = lambda: sqlite3.connect(path)

    def query(self, sql, *parameters):
        import sqlite3
        with self.lock:
            self.queries += 1
        connection = self.connect()
        connection.row_factory = sqlite3.Row
        try:
            with connection:
                row = connection.execute(sql, parameters).fetchone()
            return dict(row) if row is not None else None
        finally:
            connection.close()


@pytest.fixture
def app(database):
    return Application(database(SHOP))


@pytest.fixture(params=["redis", "passed", "mapped"])
def r(request, forebay, redis_server, app):
    """python3-redis at each of the three; r.kind says at which."""
    import redis
    behind = redis_server()
    if request.param == "redis":
        client = redis.Redis(behind.host, behind.port, decode_responses=True)
    else:
        server = forebay({
            "store": {"url": f"redis://127.0.0.1:{behind.port}"},
            "sources": {"shop": {"url": f"sqlite:{app.path}"}},
            "keyspaces": MAPPED if request.param == "mapped" else {"row:{id:int}": {"table": "users"}},
        })
        client = server.client(decode_responses=True)
    client.kind = request.param
    yield client
    client.close()


def only(r, *kinds):
    if r.kind not in kinds:
        pytest.skip(f"not about {r.kind}")


# ---- 1. cache-aside

class Users:
    def __init__(self, r, app):
        self.r, self.app = r, app

    def get(self, user_id):
        key = f"user:{user_id}"
        cached = self.r.get(key)
        if cached:  # flawed: an empty value would be a miss for ever
            return json.loads(cached)
        user = self.app.query("SELECT * FROM users WHERE id = ?", user_id)
        if not user:
            self.r.setex(key, 60, json.dumps(None))
            return None
        self.r.setex(key, 3600, json.dumps(user))
        return user

    def update(self, user_id, name):
        self.app.query("UPDATE users SET name = ? WHERE id = ?", name, user_id)
        self.r.delete(f"user:{user_id}")


def test_cache_aside(r, app):
    users = Users(r, app)
    for _ in range(3):
        assert users.get(1) == {"id": 1, "name": "ann", "email": "ann@example.com"}
    assert app.queries == (0 if r.kind == "mapped" else 1)  # mapped: Forebay asks, the code behind the miss is dead
    users.update(1, "eve")
    assert users.get(1)["name"] == "eve" and 0 < r.ttl("user:1") <= 3600
    # An absent user. Unmapped, the application's own "null" is the negative entry; a mapped key has Forebay's, reads as
    # nothing, and so this code asks the database each time: with rows mapped its branch for a miss is to go.
    assert users.get(99) is None and users.get(99) is None
    assert r.get("user:99") == (None if r.kind == "mapped" else "null")


def test_cache_aside_may_store_an_old_row_but_not_a_mapped_one(r, app):
    """The flaw of the pattern: a load that began before an update stores what it read behind the delete."""
    key = "user:1"
    assert r.kind == "mapped" or r.get(key) is None
    old = app.query("SELECT * FROM users WHERE id = 1")
    Users(r, app).update(1, "eve")
    r.setex(key, 3600, json.dumps(old))
    assert json.loads(r.get(key))["name"] == ("eve" if r.kind == "mapped" else "ann")


# ---- 2. read-through in the application

class ReadThrough:
    def __init__(self, r, ttl=3600):
        self.r, self.ttl = r, ttl

    def get(self, key, loader=None):
        cached = self.r.get(key)
        if cached:
            return json.loads(cached)
        if loader is None:
            return None
        data = loader()
        if data is not None:
            self.r.setex(key, self.ttl, json.dumps(data))
        return data


def test_read_through(r, app):
    def product(n):
        return ReadThrough(r).get(f"product:{n}", lambda: app.query("SELECT * FROM products WHERE id = ?", n))
    assert [product(7) for _ in range(3)] == 3 * [{"id": 7, "name": "lamp", "price": 30}]
    assert app.queries == (0 if r.kind == "mapped" else 1)
    # Flawed: what is absent is asked for each time.
    before = app.queries
    assert product(8) is None and product(8) is None and app.queries == before + 2


# ---- 3. write-through in the application

def test_write_through(r, app):
    def write(n, quantity):
        data = {"product_id": n, "quantity": quantity}
        # Flawed: the cache first, so a database that fails leaves a value that never was.
        r.setex(f"inventory:{n}", 3600, json.dumps(data))
        if r.kind != "mapped":  # there the line above has written the row
            app.query("UPDATE inventory SET quantity = ? WHERE product_id = ?", quantity, n)
    write(7, 4)
    assert json.loads(r.get("inventory:7")) == {"product_id": 7, "quantity": 4}
    assert app.query("SELECT quantity FROM inventory WHERE product_id = 7") == {"quantity": 4}


def test_a_write_that_the_database_refuses_is_not_cached_for_mapped_keys(r):
    import redis
    only(r, "mapped")
    with pytest.raises(redis.ResponseError):
        r.setex("inventory:7", 3600, json.dumps({"product_id": 7, "quantity": "many", "nonsense": 1}))
    assert json.loads(r.get("inventory:7")) == {"product_id": 7, "quantity": 5}


# ---- 4. write-behind in the application

def test_write_behind(r):
    """Marks in a set, a flusher that takes them. Flawed: a write between its GET and its SREM is not flushed."""
    flushed = {}

    def write(key, data):
        r.setex(key, 7200, json.dumps(data))
        r.sadd("dirty_keys", key)

    def flush(between=lambda: None):
        keys = r.smembers("dirty_keys")
        for key in keys:
            value = r.get(key)
            if value:
                flushed[key] = json.loads(value)
        between()
        if keys:
            r.srem("dirty_keys", *keys)
    write("counter:1", {"n": 1})
    write("counter:2", {"n": 1})
    flush()
    assert flushed == {"counter:1": {"n": 1}, "counter:2": {"n": 1}} and r.smembers("dirty_keys") == set()
    write("counter:1", {"n": 2})
    flush(between=lambda: write("counter:1", {"n": 3}))
    assert r.smembers("dirty_keys") == set() and flushed["counter:1"] == {"n": 2}  # the flaw: 3 is never flushed


# ---- 5. refresh-ahead in the application

def test_refresh_ahead(r):
    threads, loads = [], []

    def load():
        loads.append(1)
        return {"n": len(loads)}

    def refresh(key, ttl, lock):
        try:
            r.setex(key, ttl, json.dumps(load()))
        finally:
            r.delete(lock)  # flawed: after 30 s this may be another's

    def get(key, ttl, factor=0.8):
        cached = r.get(key)
        if not cached:
            data = load()
            r.setex(key, ttl, json.dumps(data))
            return data
        if r.ttl(key) < ttl * (1 - factor) and r.set(f"refresh_lock:{key}", "1", nx=True, ex=30):
            threads.append(threading.Thread(target=refresh, args=(key, ttl, f"refresh_lock:{key}")))
            threads[-1].start()
        return json.loads(cached)
    assert get("rates", 100) == {"n": 1} and get("rates", 100) == {"n": 1} and len(loads) == 1
    r.expire("rates", 10)  # its last tenth has begun
    assert get("rates", 100) == {"n": 1}
    for thread in threads:
        thread.join()
    assert get("rates", 100) == {"n": 2} and r.ttl("rates") > 90 and r.exists("refresh_lock:rates") == 0


# ---- 6. stampedes

def test_one_of_many_gets_the_lock(r):
    loads, results, together = [], [], threading.Barrier(20)

    def get():
        together.wait()
        if r.set("lock:report", "1", nx=True, ex=10):
            loads.append(1)
            r.setex("report", 60, json.dumps({"rows": 3}))
            results.append({"rows": 3})
            return  # the lock stays, so that nobody of these comes too late for it
        wait_until(lambda: r.get("report"), "the report is there")
        results.append(json.loads(r.get("report")))
    threads = [threading.Thread(target=get) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert loads == [1] and results == 20 * [{"rows": 3}]
    assert r.set("lock:report", "1", nx=True, ex=10) is None and r.delete("lock:report") == 1


def test_probabilistic_refresh(r):
    """Flawed: it takes the time since the last load for the cost of a load, and so refreshes far too early."""
    loads, rng = [], random.Random(1)

    def get(key, ttl, beta=1.0):
        cached = r.get(key)
        if cached:
            remaining = r.ttl(key)
            delta = ttl - remaining
            if delta <= 0 or rng.random() >= math.exp(-remaining / (beta * delta)):
                return json.loads(cached)
        loads.append(1)
        r.setex(key, ttl, json.dumps({"n": len(loads)}))
        return {"n": len(loads)}
    assert get("hot", 100) == {"n": 1} and get("hot", 100) == {"n": 1}
    r.expire("hot", 1)
    wait_until(lambda: get("hot", 100)["n"] == 2, "an early refresh")


# ---- times to live, data structures

def test_times_to_live(r):
    times = {"session": 1800, "rate_limit": 60, "realtime_stats": 10, "user_profile": 3600, "country_list": 604800,
             "static_content": 2592000, "not_found": 60}
    for name, base in times.items():
        ttl = base + random.randint(-base // 10, base // 10)
        r.setex(f"{name}:1", ttl, "value")
        assert ttl - 5 <= r.ttl(f"{name}:1") <= ttl


def test_data_structures(r):
    import redis
    only(r, "redis", "passed")
    assert r.setex("user:123", 3600, json.dumps({"name": "Youngju"})) is True
    # Flawed as it is printed: the same key as a string and as a hash.
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        r.hset("user:123", mapping={"name": "Youngju"})
    r.delete("user:123")
    assert r.hset("user:123", mapping={"name": "Youngju", "email": "yj@example.com", "login_count": 42}) == 3
    assert r.hincrby("user:123", "login_count", 1) == 43


def test_more_data_structures(r):
    assert r.zadd("leaderboard", {"player1": 100, "player2": 85, "player3": 92}) == 3
    assert r.zrevrange("leaderboard", 0, 2, withscores=True) == [("player1", 100.0), ("player3", 92.0), ("player2", 85.0)]
    for i in range(120):
        assert r.lpush("feed:user:123", json.dumps({"activity": i})) == min(i, 100) + 1
        assert r.ltrim("feed:user:123", 0, 99) is True
    assert r.llen("feed:user:123") == 100 and json.loads(r.lindex("feed:user:123", 0)) == {"activity": 119}
    assert r.sadd("online_users", "user:123", "user:456", "user:123") == 2 and r.scard("online_users") == 2
    entry = r.xadd("events:orders", {"action": "created", "order_id": "ORD-123"})
    assert r.xrange("events:orders") == [(entry, {"action": "created", "order_id": "ORD-123"})]


def test_hash_of_a_row(forebay, redis_server, app):
    """The hash snippet with the key mapped: HINCRBY is an UPDATE."""
    app.query("ALTER TABLE users ADD COLUMN login_count INTEGER NOT NULL DEFAULT 0")
    server = forebay({
        "store": {"url": f"redis://127.0.0.1:{redis_server().port}"},
        "sources": {"shop": {"url": f"sqlite:{app.path}"}},
        "keyspaces": {"user:{id:int}": {"table": "users", "as": "hash", "write": "write-through"}},
    })
    r = server.client(decode_responses=True)
    r.hset("user:123", mapping={"name": "Youngju", "email": "yj@example.com", "login_count": 42})
    assert r.hincrby("user:123", "login_count", 1) == 43
    assert app.query("SELECT name, login_count FROM users WHERE id = 123") == {"name": "Youngju", "login_count": 43}


# ---- looking at it

def test_monitoring(r):
    for key in ("user:1", "user:1", "product:7", "row:1", "row:1"):
        r.get(key)
    stats = r.info("stats")
    hits, misses = stats["keyspace_hits"], stats["keyspace_misses"]
    # Of mapped keys; what is passed is counted where it lives, so nothing mapped and read means nothing to divide by.
    assert hits + misses == {"redis": 5, "passed": 2, "mapped": 3}[r.kind]
    assert 0 <= hits / (hits + misses) * 100 < 100
    # Copies of shared rows are kept here only when the store has shown what it is, a moment after the start.
    wait_until(lambda: (r.get("user:1"), r.get("row:1"), r.info("memory")["used_memory"] > 0)[2], "a copy is kept")
    memory = r.info("memory")
    assert re.fullmatch(r"[\d.]+[BKMG]", memory["used_memory_human"])
    assert re.fullmatch(r"[\d.]+[BKMG]", memory["used_memory_peak_human"]) and memory["mem_fragmentation_ratio"] > 0
    r.config_set("slowlog-log-slower-than", 0)
    r.get("slow:1")
    assert any("slow:1" in str(entry["command"]) for entry in r.slowlog_get(10))


def test_monitoring_from_a_shell(r, tmp_path):
    cli = find_program("redis-cli")
    port = r.connection_pool.connection_kwargs["port"]

    def ask(*words):
        return subprocess.run([cli, "-p", str(port), *words], capture_output=True, text=True, timeout=20, check=True).stdout
    assert re.search(r"keyspace_hits:\d+", ask("info", "stats")) and "used_memory_human" in ask("info", "memory")
    assert isinstance(ask("slowlog", "get", "10"), str)
    lines = tmp_path / "monitor"
    with open(lines, "wb") as out, subprocess.Popen([cli, "-p", str(port), "monitor"], stdout=out) as monitor:
        try:
            wait_until(lambda: b"OK" in lines.read_bytes(), "MONITOR answers")
            r.set("watched:1", "x")
            r.zadd("leaderboard", {"player1": 1})
            wait_until(lambda: b'"leaderboard"' in lines.read_bytes(), "MONITOR shows what is passed")
        finally:
            monitor.kill()
    assert re.search(rb'\d+\.\d+ \[0 127\.0\.0\.1:\d+\] "SET" "watched:1"', lines.read_bytes())
