"""Shows that unchanged Redis clients work: each connects with its defaults, uses Forebay as a cache from end to end,
and must get the asserted values; what was written is then looked up in the database itself."""

import json
import os
import shutil
import subprocess

import pytest

from conftest import NODE_MODULES, query

HERE = os.path.dirname(os.path.abspath(__file__))

SHOP = """
CREATE TABLE product(id INTEGER PRIMARY KEY, name TEXT NOT NULL, stock INTEGER NOT NULL DEFAULT 0);
INSERT INTO product VALUES (1, 'tea', 3), (2, 'salt', 5);
CREATE TABLE user(id INTEGER PRIMARY KEY, name TEXT NOT NULL, city TEXT, visits INTEGER NOT NULL DEFAULT 0);
INSERT INTO user VALUES (1, 'Ada', NULL, 0);
CREATE TABLE counter(name TEXT PRIMARY KEY, n INTEGER NOT NULL DEFAULT 0);
INSERT INTO counter VALUES ('pages', 41);
"""

# What every client of the same scenario must have seen.
EXPECTED = {
    "ping": "PONG",
    "product": {"id": 1, "name": "tea", "stock": 3},
    "absent": None,
    "set": "OK",
    "written": {"id": 2, "name": "sea salt", "stock": 7},
    "ttl": 60,
    "expire": [1, 30],
    "many": ["tea", None, "sea salt"],
    "user": {"id": "1", "name": "Ada", "visits": "0"},
    "hset": 1,
    "hincrby": 2,
    "incr": 42,
    "pipeline": ["OK", '{"id":3,"name":"oil","stock":0}', 0],
    "transaction": [44, "2"],
    "del": 1,
    "error": "NOMAP",
}


@pytest.fixture
def shop(forebay, database):
    path = database(SHOP)
    server = forebay({
        "sources": {"shop": {"url": f"sqlite:{path}"}},
        "keyspaces": {
            "product:{id:int}": {"table": "product", "as": "json", "write": "write-through"},
            "user:{id:int}": {"table": "user", "as": "hash", "write": "write-through"},
            "counter:{name}": {"table": "counter", "as": "column:n", "write": "write-through"},
        },
    })
    server.database = path
    return server


def check(got, server):
    assert 55 <= got["ttl"] <= 60 and 25 <= got["expire"][1] <= 30
    assert {**got, "ttl": 60, "expire": [got["expire"][0], 30]} == EXPECTED
    assert [tuple(row) for row in query(server.database, "SELECT * FROM product ORDER BY id")] == \
        [(1, "tea", 3), (2, "sea salt", 7), (3, "oil", 0)]
    assert [tuple(row) for row in query(server.database, "SELECT city, visits FROM user")] == [("Paris", 2)]
    assert query(server.database, "SELECT n FROM counter")[0][0] == 44


def run(command, **more):
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, **more)
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.short
def test_python_redis(shop):
    import redis
    client = shop.client(client_name="shop", decode_responses=True)
    got = {"ping": "PONG" if client.ping() else None}
    got["product"] = json.loads(client.get("product:1"))
    got["absent"] = client.get("product:999")
    got["set"] = "OK" if client.set("product:2", json.dumps({"name": "sea salt", "stock": 7}), ex=60) else None
    got["written"] = json.loads(client.get("product:2"))
    got["ttl"] = client.ttl("product:2")
    got["expire"] = [int(client.expire("product:2", 30)), client.ttl("product:2")]
    got["many"] = [text and json.loads(text)["name"] for text in client.mget("product:1", "product:999", "product:2")]
    got["user"] = client.hgetall("user:1")
    got["hset"] = client.hset("user:1", "city", "Paris")
    got["hincrby"] = client.hincrby("user:1", "visits", 2)
    got["incr"] = client.incr("counter:pages")
    pipeline = client.pipeline(transaction=False)
    done, *rest = pipeline.set("product:3", '{"name": "oil"}').get("product:3").exists("product:999").execute()
    got["pipeline"] = ["OK" if done else None, *rest]
    got["transaction"] = client.transaction(
        lambda pipe: (pipe.multi(), pipe.incrby("counter:pages", 2), pipe.hget("user:1", "visits")), "counter:pages")
    got["del"] = client.delete("product:1")
    with pytest.raises(redis.ResponseError) as error:
        client.set("nobody:1", "x")
    got["error"] = str(error.value).split(" ")[0]
    check(got, shop)
    client.close()


def run_node(client, module, *words, node_min=18):
    """The JSON that a script prints which uses a module; skips where the module or a Node for it is missing."""
    node = shutil.which("node")
    if node is None or not os.path.isdir(os.path.join(NODE_MODULES, module)):
        pytest.skip(f"{module} is not installed; run tools/setup.sh test")
    major = int(run([node, "--version"]).lstrip("v").split(".")[0])
    if major < node_min:
        pytest.skip(f"{module} needs Node {node_min}, this is {major}")
    return json.loads(run([node, os.path.join(HERE, client), os.path.join(NODE_MODULES, module), *words]))


@pytest.mark.parametrize("client, module, node_min", [
    ("client_ioredis.js", "ioredis4", 18), ("client_ioredis.js", "ioredis", 18), ("client_ioredis.js", "ioredis6", 20),
    ("client_redis.js", "redis4", 18), ("client_redis.js", "redis5", 18), ("client_redis.js", "redis6", 20),
    ("client_ioredis.js", "iovalkey", 18),
])
def test_node_client(shop, client, module, node_min):
    check(run_node(client, module, str(shop.port), node_min=node_min), shop)


# package: the program and its script, and the words with which the program ends well only if the package is there
DEBIAN = {
    "php-redis": ("php", "client_phpredis.php", ["-r", "exit(class_exists('Redis') ? 0 : 1);"]),
    "php-predis": ("php", "client_predis.php", ["-r", "exit((@include 'Predis/autoload.php') ? 0 : 1);"]),
    "ruby-redis": ("ruby", "client_redis.rb", ["-e", "require 'redis'"]),
    "libredis-perl": ("perl", "client_redis.pl", ["-MRedis", "-e", "1"]),
}


def needs(package):
    """Skips where a package of Debian is not installed; else its program and script."""
    program, script, probe = DEBIAN[package]
    if shutil.which(program) is None or subprocess.run([program, *probe], capture_output=True).returncode != 0:
        pytest.skip(f"{package} is not installed; run tools/setup.sh test")
    return program, script


@pytest.mark.parametrize("package", DEBIAN)
def test_client_of_debian(shop, package):
    program, script = needs(package)
    check(json.loads(run([program, os.path.join(HERE, script), str(shop.port)])), shop)


def test_hiredis(shop, tmp_path):
    program = str(tmp_path / "client")
    run(["cc", "-Wall", "-Wextra", "-Werror", "-o", program, os.path.join(HERE, "client_hiredis.c"), "-lhiredis"])
    run([program, str(shop.port)])
    assert query(shop.database, "SELECT stock FROM product WHERE id = 2")[0][0] == 9


@pytest.fixture
def values(forebay, database):
    """values(prefix): a server for a framework's keys, a table of any bytes where DEL deletes the row."""
    def start(prefix):
        path = database("CREATE TABLE kv(k TEXT PRIMARY KEY, v BLOB);")
        server = forebay({
            "sources": {"shop": {"url": f"sqlite:{path}"}},
            "keyspaces": {f'"{prefix}{{k:rest}}"': {"table": "kv", "as": "column:v", "write": "write-through",
                                                    "on_del": "delete-row"}},
        })
        server.rows = lambda: [row["k"] for row in query(path, "SELECT k FROM kv ORDER BY k")]
        return server
    return start


def test_keyv(values):
    server = values("keyv::")
    got = run_node("client_keyv.js", "keyv", str(server.port))
    assert got == {
        "absent": None, "set": True, "get": {"name": "Paris"}, "has": [True, False],
        "getMany": [{"name": "Paris"}, "Rome", None], "expired": None, "deleted": [True, None, False], "cleared": None,
        "error": "NOMAP",
    }
    assert server.rows() == ["keyv:city:4"]


def test_bentocache(values):
    server = values("bentocache:")
    got = run_node("client_bentocache.js", "bentocache", str(server.port), node_min=20)
    assert got == {
        "loads": 1, "absent": None, "first": {"name": "Paris"}, "second": {"name": "Paris"},
        "seen": {"name": "Lutetia"}, "has": [True, False], "deleted": [True, None], "tagged": None,
        "cleared": None, "namespace": "Rome",
    }
    assert server.rows() == ["town:5"]


def test_php_sessions(values):
    needs("php-redis")
    server = values("PHPREDIS_SESSION:")
    got = json.loads(run(["php", "-d", "session.save_handler=redis",
                          "-d", f"session.save_path=tcp://127.0.0.1:{server.port}",
                          os.path.join(HERE, "client_sessions.php")]))
    assert got == {"new": [], "seen": True, "changed": 2, "destroyed": []}
