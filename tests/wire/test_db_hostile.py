"""Shows that no SQL text is ever made from a key or a value: a thousand hostile keys and values (quotes, comments, NUL,
bytes that are no text, a megabyte) are written and read through SQLite, PostgreSQL and MariaDB, and afterwards the
tables hold exactly those rows and no other table has changed. What a database cannot hold is refused, and nothing else.

Where they can be, they are sent by two clients at once, so that they also travel in batches."""

import random

import pytest

from resp import ReplyError

MIB = 1 << 20
SCHEMA = """
CREATE TABLE kv(k {key} PRIMARY KEY, v {text});
CREATE TABLE pair(a {key2}, b {key2}, v {bytes}, PRIMARY KEY(a, b));
CREATE TABLE victim(id {int} PRIMARY KEY, v {text});
INSERT INTO victim VALUES (1, 'untouched');
"""
BITS = ["'", '"', "`", "\\", "\\'", "''", ";", "--", "-- ", "/*", "*/", "#", "%", "%s", "_", "$1", "$$", "?", "?1",
        ":a", "@x", "{k}", "{", "}", "(", ")", ",", "\n", "\r\n", "\t", "\x1a", "\x01", "\x7f", " ", "é", "ß",
        "\u202e", "\ufeff", "𝄞", "\u0000", "NULL", "DEFAULT", "E'", "U&'", "0x00", "\\x00", "\\000", "a", "Z", "0",
        "'; DROP TABLE victim; --", "' OR '1'='1", "\\'; DELETE FROM victim; #", "1); UPDATE victim SET v = 'x'; --",
        "'||(SELECT v FROM victim)||'", "${k}", "$1::text", "';COMMIT;--", "/*!50000 DROP TABLE victim */"]
RAW = [b"\xff", b"\xc0\xaf", b"\xe2\x82", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xbf\x27", b"\x80'--", b"\xbf\x5c"]


def hostile(seed, count):
    """Distinct texts of all kinds, as bytes; about one in six is no text."""
    r, found = random.Random(seed), {}
    for bit in [bit.encode() for bit in BITS] + RAW + [b"a" + raw + b"b" for raw in RAW]:
        found[bit] = None
    while len(found) < count:
        text = "".join(r.choice(BITS) for _ in range(r.randint(1, 9))).encode()
        if r.random() < 0.1:
            at = r.randint(0, len(text))
            text = text[:at] + r.choice(RAW) + text[at:]
        found[text] = None
    return list(found)[:count]


def is_text(data):
    """What keys and columns of text take."""
    try:
        return "\0" not in data.decode()
    except UnicodeDecodeError:
        return False


def as_bytes(value):
    return value.encode() if isinstance(value, str) else bytes(value)


def begin(forebay, world):
    database = world(SCHEMA.replace("{key2}", "VARCHAR(300) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin"
                                    if world.kind == "mariadb" else "{key}"))
    server = forebay({"sources": {"shop": database.source()}, "keyspaces": {
        "kv:{k:rest}": {"source": "shop", "table": "kv", "as": "column:v", "write": "write-through",
                        "on_del": "delete-row"},
        "pair:{a}/{b:rest}": {"source": "shop", "table": "pair", "as": "column:v", "write": "write-through",
                         "on_del": "delete-row"}}})
    return database, server


def test_thousand_hostile_keys_and_values_are_rows_and_nothing_else(forebay, world, writing):
    database, server = begin(forebay, world)
    keys = [key for key in hostile(1, 1000) if 0 < len(key) <= 512]
    values = hostile(2, len(keys))
    random.Random(3).shuffle(values)
    values[7], values[8] = b"'" * MIB, "𝄞\\".encode() * (MIB // 5)
    expected, refused = {}, 0
    with server.wire(timeout=60) as wire:
        replies = wire.pipeline([("SET", b"kv:" + key, value) for key, value in zip(keys, values)])
        for key, value, reply in zip(keys, values, replies):
            if reply == "OK":
                expected[key] = value
            else:
                refused += 1
                assert isinstance(reply, ReplyError), (key, reply)
                assert not is_text(key) or not is_text(value), (key, value, reply)
                assert reply.word in ("BADVALUE", "NOMAP", "SRCERR", "CONFLICT") and "\r" not in reply.text, reply
        assert refused < len(keys) / 2 and len(expected) > 500
        rows = database.rows("SELECT k, v FROM kv")
        assert {as_bytes(row["k"]): as_bytes(row["v"]) for row in rows} == expected and len(rows) == len(expected)
        assert wire.ask("FLUSHALL") == "OK"
        held = [key for key in keys if is_text(key)]
        for key, reply in zip(held, wire.pipeline([("GET", b"kv:" + key) for key in held])):
            assert reply == expected.get(key), key
        for key in keys:
            if not is_text(key):
                reply = wire.ask("GET", b"kv:" + key)
                assert reply is None or isinstance(reply, ReplyError), (key, reply)
        gone = held[::2]
        assert wire.ask("DEL", *[b"kv:" + key for key in gone]) == sum(key in expected for key in gone)
        left = {key: value for key, value in expected.items() if key not in gone}
        assert {as_bytes(row["k"]): as_bytes(row["v"]) for row in database.rows("SELECT k, v FROM kv")} == left
    assert database.rows("SELECT * FROM victim") == [{"id": 1, "v": "untouched"}]


def test_hostile_composite_keys_and_bytes(forebay, world, writing):
    database, server = begin(forebay, world)
    parts = [part for part in hostile(4, 500) if is_text(part) and 0 < len(part) <= 250]
    first = [part for part in parts if b"/" not in part and b":" not in part]
    pairs = list(zip(first, parts[::-1]))
    values = hostile(5, len(pairs))
    values[3] = bytes(range(256)) * (MIB // 256)
    with server.wire(timeout=60) as wire, server.wire(timeout=60) as other:
        for pair, value in zip(pairs, values):
            client = wire if len(value) % 2 else other
            assert client.ask("SET", b"pair:%s/%s" % pair, value) == "OK", (pair, value)
        rows = database.rows("SELECT a, b, v FROM pair")
        assert {(row["a"].encode(), row["b"].encode()): bytes(row["v"]) for row in rows} == dict(zip(pairs, values))
        assert wire.ask("FLUSHALL") == "OK"
        for start in range(0, len(pairs), 50):
            some = pairs[start:start + 50]
            assert other.ask("MGET", *[b"pair:%s/%s" % pair for pair in some]) == values[start:start + 50]
    assert database.rows("SELECT * FROM victim") == [{"id": 1, "v": "untouched"}]


@pytest.mark.parametrize("shape", ["hash", "json"])
def test_hostile_field_names_are_unknown_columns(forebay, world, writing, shape):
    database = world("CREATE TABLE t(id {int} PRIMARY KEY, v {text}); INSERT INTO t VALUES (1, 'x');")
    server = forebay({"sources": {"shop": database.source()},
                      "keyspaces": {"t:{id}": {"source": "shop", "table": "t", "as": shape, "write": "write-through"}}})
    with server.wire() as wire:
        for name in hostile(6, 200):
            if name.lower() in (b"v", b"id"):
                continue
            if shape == "hash":
                reply = wire.ask("HSET", "t:1", name, "1")
            elif is_text(name):
                escaped = name.decode().translate({i: f"\\u{i:04x}" for i in [*range(32), 34, 92]})
                reply = wire.ask("SET", "t:1", '{"%s": 1}' % escaped)
            else:
                continue
            assert isinstance(reply, ReplyError) and reply.word == "BADVALUE", (name, reply)
        for key in (b"t:1 OR 1=1", b"t:1;", b"t:0x1", b"t:1e0", b"t:'1'", b"t:1--", b"t: 1", b"t:1\0"):
            reply = wire.ask("HGETALL" if shape == "hash" else "GET", key)
            assert reply in ([], None) or isinstance(reply, ReplyError), (key, reply)
    assert database.rows("SELECT * FROM t") == [{"id": 1, "v": "x"}]
