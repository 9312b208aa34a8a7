"""Shows that every type a row can hold comes back without loss, edges included, and goes back in: what is read as JSON,
as a hash and as a single column is exactly what is expected, and written to another row it makes an equal value there.

What a database cannot hold or we cannot show faithfully is refused with an error that names the column."""

import base64
import json

import pytest

from resp import ReplyError

BINARY = {"bytea", "LONGBLOB", "VARBINARY(20)", "BINARY(3)"}
NOTHING = object()  # no field of the hash: NULL


class Case:
    """A value of a type: how SQL writes it, and how it looks as JSON (its text, exactly) and as a hash field."""

    def __init__(self, kind, literal, as_json, as_text=None, back=True):
        self.kind, self.literal, self.json, self.back = kind, literal, as_json, back
        if as_text is None:
            as_text = NOTHING if as_json == "null" else json.loads(as_json) if as_json[0] == '"' else as_json
        self.text = as_text if as_text is NOTHING else as_text.encode()

    def as_column(self):
        """As the value of a keyspace of one column: bytes are as they are."""
        if self.text is NOTHING:
            return None
        return base64.b64decode(self.text) if self.kind in BINARY else self.text

    def __repr__(self):
        return f"{self.kind} {self.literal}"


def text(string):
    return json.dumps(string, ensure_ascii=False)


def b64(data):
    return text(base64.b64encode(data).decode())


def at(value):
    """A bytea literal."""
    return "'\\x%s'" % value.hex()


LONG = "9" * 28 + "." + "9" * 10  # all that numeric(38,10) holds

POSTGRESQL = [
    Case("int2", "-32768", "-32768"), Case("int4", "2147483647", "2147483647"),
    Case("int8", "9223372036854775807", "9223372036854775807"),
    Case("int8", "-9223372036854775808", "-9223372036854775808"),
    Case("int8", "NULL", "null"), Case("oid", "4294967295", "4294967295"),
    Case("numeric(38,10)", LONG, LONG), Case("numeric(38,10)", "-" + LONG, "-" + LONG),
    Case("numeric(38,10)", "0.0000000001", "0.0000000001"), Case("numeric(38,10)", "0", "0.0000000000"),
    Case("numeric", "1e30", "1" + "0" * 30), Case("numeric", "1.500", "1.500"),
    Case("numeric", "'NaN'", '"NaN"'), Case("numeric", "'-Infinity'", '"-Infinity"'),
    Case("numeric", "123456789012345678901234567890.123456789", "123456789012345678901234567890.123456789"),
    Case("float8", "0.1", "0.1"), Case("float8", "5e-324", "5e-324"),
    Case("float8", "1.7976931348623157e308", "1.7976931348623157e+308"), Case("float8", "'-0'", "-0"),
    Case("float8", "'NaN'", '"NaN"'), Case("float8", "'Infinity'", '"Infinity"'),
    Case("float8", "'-Infinity'", '"-Infinity"'),
    Case("float4", "0.1", "0.1"), Case("float4", "3.4028235e38", "3.4028235e+38"), Case("float4", "1e-45", "1e-45"),
    Case("boolean", "true", "true", "1"), Case("boolean", "false", "false", "0"), Case("boolean", "NULL", "null"),
    Case("text", "''", '""'), Case("text", "NULL", "null"), Case("text", "'𝄞 𐍈 é'", text("𝄞 𐍈 é")),
    Case("text", "'null'", '"null"'), Case("text", "E'a\\n\\t\\u0001\"\\\\'", text("a\n\t\x01\"\\")),
    Case("varchar(5)", "'ééééé'", text("ééééé")), Case("char(5)", "'ab'", '"ab   "'),
    Case("bytea", "''", '""'), Case("bytea", at(b"\0"), b64(b"\0")),
    Case("bytea", at(bytes(range(256))), b64(bytes(range(256)))),
    Case("bytea", "NULL", "null"),
    Case("date", "'2024-02-29'", '"2024-02-29"'), Case("date", "'infinity'", '"infinity"'),
    Case("date", "'-infinity'", '"-infinity"'), Case("date", "'0044-03-15 BC'", '"0044-03-15 BC"'),
    Case("date", "'5874897-12-31'", '"5874897-12-31"'),
    Case("time", "'23:59:59.999999'", '"23:59:59.999999"'), Case("time", "'24:00'", '"24:00:00"'),
    Case("timetz", "'12:00:00+05:30'", '"12:00:00+05:30"'),
    Case("timestamp", "'2024-02-29 12:34:56.789'", '"2024-02-29T12:34:56.789"'),
    Case("timestamp", "'infinity'", '"infinity"'),
    Case("timestamp", "'0044-03-15 12:00 BC'", '"0044-03-15 12:00:00 BC"'),
    Case("timestamp", "'294276-12-31 23:59:59.999999'", '"294276-12-31 23:59:59.999999"'),  # RFC 3339 ends in 9999
    Case("timestamptz", "'2024-07-01 12:00:00+02'", '"2024-07-01T10:00:00+00:00"'),
    Case("timestamptz", "'2024-01-01 00:00:00.000001Z'", '"2024-01-01T00:00:00.000001+00:00"'),
    Case("timestamptz", "'-infinity'", '"-infinity"'), Case("timestamptz", "'infinity'", '"infinity"'),
    Case("interval", "'1 year 2 months 3 days 4:05:06.7'", '"P1Y2M3DT4H5M6.7S"'),
    Case("interval", "'-1 day'", '"P-1D"'), Case("interval", "'0'", '"PT0S"'),
    Case("uuid", "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'", '"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"'),
    Case("mood", "'so ''so'''", '"so \'so\'"'), Case("mood", "NULL", "null"),
    Case("positive", "7", "7"), Case("inet", "'192.168.0.1/24'", '"192.168.0.1/24"'),
    Case("json", "'{\"a\": [1, 2.50, null]}'", '{"a": [1, 2.50, null]}'),
    Case("jsonb", "'{\"b\":1,\"a\":[true,\"x\"]}'", '{"a": [true, "x"], "b": 1}'),
    Case("jsonb", "'null'", "null", "null", back=False), Case("jsonb", "NULL", "null"),
    Case("jsonb", "'12345678901234567890.5'", "12345678901234567890.5"),
    Case("int4[]", "'{1,NULL,3}'", "[1,null,3]"), Case("int4[]", "'{}'", "[]"), Case("int4[]", "NULL", "null"),
    Case("int4[]", "'{{1,2},{3,4}}'", "[[1,2],[3,4]]"),
    Case("text[]", "ARRAY['a,b', '\"', '', NULL, 'NULL', '𝄞']", '["a,b","\\"","",null,"NULL","𝄞"]'),
    Case("numeric[]", "'{1.50,2}'", "[1.50,2]"), Case("boolean[]", "'{t,f}'", "[true,false]"),
    Case("uuid[]", "'{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}'", '["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]'),
    Case("point2", "ROW(1, 'x')", '{"x":1,"name":"x"}'), Case("int4range", "'[1,5)'", '"[1,5)"'),
    Case("bit(3)", "'101'", '"101"'), Case("money", "'12.34'", '"$12.34"'), Case("tsvector", "'a b'", "\"'a' 'b'\""),
]
POSTGRESQL_TYPES = """
CREATE TYPE mood AS ENUM ('sad', 'so ''so''');
CREATE DOMAIN positive AS int4 CHECK (value > 0);
CREATE TYPE point2 AS (x int4, name text);
"""

U64 = "18446744073709551615"
MARIADB = [
    Case("TINYINT", "-128", "-128"), Case("TINYINT UNSIGNED", "255", "255"), Case("BOOLEAN", "TRUE", "1"),
    Case("SMALLINT", "-32768", "-32768"), Case("MEDIUMINT UNSIGNED", "16777215", "16777215"),
    Case("INT", "-2147483648", "-2147483648"), Case("INT UNSIGNED", "4294967295", "4294967295"),
    Case("INT(5) ZEROFILL", "42", "42"),
    Case("BIGINT", "9223372036854775807", "9223372036854775807"),
    Case("BIGINT", "-9223372036854775808", "-9223372036854775808"), Case("BIGINT", "NULL", "null"),
    Case("BIGINT UNSIGNED", U64, U64), Case("BIGINT UNSIGNED", "9223372036854775808", "9223372036854775808"),
    Case("BIGINT UNSIGNED", "0", "0"),
    Case("DECIMAL(38,10)", LONG, LONG), Case("DECIMAL(38,10)", "-" + LONG, "-" + LONG),
    Case("DECIMAL(38,10)", "0.0000000001", "0.0000000001"), Case("DECIMAL(38,10)", "0", "0.0000000000"),
    Case("DECIMAL(65,0)", "9" * 65, "9" * 65), Case("DECIMAL(10,2) UNSIGNED ZEROFILL", "1.5", "1.50"),
    Case("DOUBLE", "0.1", "0.1"), Case("DOUBLE", "5e-324", "5e-324"),
    Case("DOUBLE", "1.7976931348623157e308", "1.7976931348623157e+308"),
    Case("FLOAT", "0.1", "0.1"), Case("FLOAT", "3.40282e38", "3.40282e+38"), Case("FLOAT", "16777216", "16777216"),
    Case("BIT(1)", "b'1'", "1"), Case("BIT(10)", "b'1000000001'", "513"), Case("BIT(64)", "b'" + "1" * 64 + "'", U64),
    Case("BIT(8)", "b'0'", "0"), Case("YEAR", "2024", "2024"), Case("YEAR", "0", "0"), Case("YEAR", "1901", "1901"),
    Case("LONGTEXT", "''", '""'), Case("LONGTEXT", "NULL", "null"), Case("LONGTEXT", "'𝄞 𐍈 é'", text("𝄞 𐍈 é")),
    Case("LONGTEXT", "'a\\n\\t\x01\"\\\\'", text("a\n\t\x01\"\\")), Case("LONGTEXT", "'null'", '"null"'),
    Case("VARCHAR(5)", "'ééééé'", text("ééééé")), Case("CHAR(5)", "'ab'", '"ab"'),
    Case("VARCHAR(20) CHARACTER SET latin1", "'é'", text("é")), Case("VARCHAR(10)", "'ab  '", '"ab  "'),
    Case("LONGBLOB", "''", '""'), Case("LONGBLOB", "x'00'", b64(b"\0")), Case("LONGBLOB", "NULL", "null"),
    Case("LONGBLOB", "x'%s'" % bytes(range(256)).hex(), b64(bytes(range(256)))),
    Case("VARBINARY(20)", "x'ff00ff'", b64(b"\xff\0\xff")), Case("BINARY(3)", "x'61'", b64(b"a\0\0")),
    Case("DATE", "'2024-02-29'", '"2024-02-29"'), Case("DATE", "'9999-12-31'", '"9999-12-31"'),
    Case("DATE", "'0001-01-01'", '"0001-01-01"'),
    Case("TIME", "'-838:59:59'", '"-838:59:59"'), Case("TIME(6)", "'23:59:59.999999'", '"23:59:59.999999"'),
    Case("TIME", "'00:00:00'", '"00:00:00"'),
    Case("DATETIME", "'2024-02-29 12:34:56'", '"2024-02-29T12:34:56"'), Case("DATETIME", "NULL", "null"),
    Case("DATETIME(6)", "'2024-02-29 12:34:56.789'", '"2024-02-29T12:34:56.789000"'),
    Case("DATETIME", "'9999-12-31 23:59:59'", '"9999-12-31T23:59:59"'),
    Case("TIMESTAMP NULL", "'2024-07-01 12:00:00'", '"2024-07-01T11:00:00+00:00"'),  # the server's zone is +01:00
    Case("TIMESTAMP(3) NULL", "'2024-01-01 00:00:00.5'", '"2023-12-31T23:00:00.500+00:00"'),
    Case("TIMESTAMP NULL", "'2038-01-19 04:14:07'", '"2038-01-19T03:14:07+00:00"'),
    Case("TIMESTAMP NULL", "NULL", "null"),
    Case("ENUM('sad','so ''so''')", "'so ''so'''", '"so \'so\'"'), Case("ENUM('sad','so')", "NULL", "null"),
    Case("SET('a','b','c')", "'a,c'", '"a,c"'), Case("SET('a','b','c')", "''", '""'),
    Case("JSON", "'{\"a\": [1, 2.50, null]}'", '{"a": [1, 2.50, null]}'), Case("JSON", "NULL", "null"),
    Case("JSON", "'12345678901234567890.5'", "12345678901234567890.5"),
    Case("JSON", "'null'", "null", "null", back=False),
    Case("UUID", "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'", '"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"'),
    Case("INET6", "'2001:db8::1'", '"2001:db8::1"'),
]

SHAPES = ["json", "hash", "column:v"]
CASES = {"postgresql": POSTGRESQL, "mariadb": MARIADB}
BEFORE = {"postgresql": POSTGRESQL_TYPES}


@pytest.fixture(params=sorted(CASES))
def typed(request, make_database, forebay):
    """Three tables for each type (one table may be one keyspace's only) with a row for each case, and their server."""
    kind = request.param
    database = make_database(kind).make(BEFORE.get(kind, ""))
    cases = CASES[kind]
    kinds = list(dict.fromkeys(case.kind for case in cases))
    spaces, script = {}, []
    for n, type_name in enumerate(kinds):
        for shape in SHAPES:
            script.append(f"CREATE TABLE {shape[0]}{n}(id int PRIMARY KEY, v {type_name});")
            spaces[f"{shape[0]}{n}:{{id}}"] = {"source": "shop", "table": f"{shape[0]}{n}", "as": shape,
                                               "write": "write-through"}
    for i, case in enumerate(cases):
        for shape in SHAPES:
            script.append(f"INSERT INTO {shape[0]}{kinds.index(case.kind)} VALUES ({i + 1}, {case.literal});")
    database.script("\n".join(script))
    server = forebay({"sources": {"shop": database.source()}, "keyspaces": spaces})
    server.database, server.cases = database, [(kinds.index(case.kind), i + 1, case) for i, case in enumerate(cases)]
    return server


def gather(claims):
    """All that does not hold, not only the first."""
    wrong = [f"{case!r}: expected {expected!r}, got {got!r}" for case, expected, got in claims if expected != got]
    assert not wrong, "\n" + "\n".join(wrong)


def test_every_value_is_shown_exactly(typed):
    claims = []
    with typed.wire() as wire:
        for n, id, case in typed.cases:
            claims.append((case, b'{"id":%d,"v":%s}' % (id, case.json.encode()), wire.ask("GET", f"j{n}:{id}")))
            hash = [b"id", b"%d" % id] + ([] if case.text is NOTHING else [b"v", case.text])
            claims.append((case, hash, wire.ask("HGETALL", f"h{n}:{id}")))
            claims.append((case, case.as_column(), wire.ask("GET", f"c{n}:{id}")))
    gather(claims)


TEXT_OF = {"postgresql": "v::text", "mariadb": "HEX(CAST(v AS BINARY))"}


@pytest.mark.short
def test_what_is_shown_goes_back_in_and_makes_an_equal_value(typed, writing_typed):
    database, claims = typed.database, []
    with typed.wire() as wire, database.connect() as direct:
        for n, id, case in typed.cases:
            if not case.back:
                continue
            shown = wire.ask("GET", f"j{n}:{id}").decode()
            value = shown[shown.index(',"v":') + 5:-1]
            for at, (verb, *words) in enumerate([
                    ("SET", f"j{n}:{id + 1000}", '{"v":%s}' % value),
                    ("HSET", f"h{n}:{id + 2000}", "v", case.text), ("SET", f"c{n}:{id + 3000}", case.as_column())]):
                if at > 0 and case.text is NOTHING:
                    continue
                claims.append((case, "OK" if verb == "SET" else 1, wire.ask(verb, *words)))
                table = f"{SHAPES[at][0]}{n}"
                # compared as the database's own text of them, for types that know no "="
                rows = direct.rows(f"SELECT {TEXT_OF[database.kind]} AS v FROM {table} WHERE id IN (%s, %s) "
                                   "ORDER BY id", id, id + 1000 * (at + 1))
                claims.append((case, rows[:1] * 2, rows))
    gather(claims)


@pytest.fixture
def writing_typed(typed):
    import databases
    if typed.database.kind not in databases.WRITERS:
        pytest.skip(f"the driver of {typed.database.kind} does not write yet")


# ---- what cannot be shown, or not be held ---------------------------------------------------------------------------

def test_zero_dates_are_errors_that_name_the_column(forebay, make_database):
    database = make_database("mariadb").make("""
        SET sql_mode = '';
        CREATE TABLE t(id INT PRIMARY KEY, good INT, day DATE, moment DATETIME, stamp TIMESTAMP NULL);
        INSERT INTO t VALUES (1, 1, '0000-00-00', NULL, NULL), (2, 2, '2024-00-01', NULL, NULL),
          (3, 3, NULL, '0000-00-00 00:00:00', NULL), (4, 4, NULL, NULL, '0000-00-00 00:00:00'),
          (5, 5, '2024-01-01', '2024-01-01', '2024-01-01');""")
    server = forebay({"sources": {"shop": database.source()},
                      "keyspaces": {"t:{id}": {"source": "shop", "table": "t", "as": "hash"}}})
    with server.wire() as wire:
        for replies in (wire.pipeline([("HGETALL", f"t:{id}") for id in range(1, 6)]),
                        [wire.ask("HGETALL", f"t:{id}") for id in range(1, 6)]):
            for reply, column in zip(replies, ["day", "day", "moment", "stamp"]):
                assert reply.word == "SRCERR" and f"'{column}'" in reply.text, reply
            assert replies[4][:4] == [b"id", b"5", b"good", b"5"]


OUT_OF_RANGE = {
    "postgresql": [("int2", "32768"), ("int8", "9223372036854775808"), ("numeric(4,2)", "100.00"),
                   ("date", "2023-02-29"), ("date", "0000-00-00"), ("uuid", "no-uuid"), ("boolean", "2"), ("json", "{"),
                   ("varchar(3)", "long"),
                   ("float4", "1e39"), ("bytea", "no base64!"), ("text", "nul\0"), ("text", b"\xff\xfe"),
                   ("int4[]", "[1,\"x\"]"), ("mood", "glad"), ("positive", "-1"), ("timestamptz", "yesterday at noon")],
    "mariadb": [("TINYINT", "128"), ("BIGINT UNSIGNED", "-1"), ("BIGINT UNSIGNED", "18446744073709551616"),
                ("DECIMAL(4,2)", "100.00"), ("DATE", "2023-02-29"), ("DATE", "0000-00-00"), ("UUID", "no-uuid"),
                ("JSON", "{"), ("VARCHAR(3)", "long"), ("FLOAT", "1e39"), ("DOUBLE", "Infinity"), ("DOUBLE", "NaN"),
                ("LONGBLOB", "no base64!"), ("VARCHAR(9)", b"\xff\xfe"), ("ENUM('a')", "b"), ("SET('a')", "b"),
                ("YEAR", "1900"), ("BIT(3)", "8"), ("TIME", "839:00:00"), ("DATETIME", "2024-01-01T25:00:00")],
}


@pytest.mark.parametrize("kind", sorted(OUT_OF_RANGE))
def test_value_that_the_column_does_not_take_is_refused_and_changes_nothing(forebay, make_database, kind):
    import databases
    database = make_database(kind).make(BEFORE.get(kind, ""))
    if kind not in databases.WRITERS:
        pytest.skip(f"the driver of {kind} does not write yet")
    columns = [f"v{i} {type_name}" for i, (type_name, _) in enumerate(OUT_OF_RANGE[kind])]
    database.script("CREATE TABLE t(id int PRIMARY KEY, %s); INSERT INTO t(id) VALUES (1);" % ", ".join(columns))
    before = database.rows("SELECT * FROM t")
    server = forebay({"sources": {"shop": database.source()}, "keyspaces": {
        "t:{id}": {"source": "shop", "table": "t", "as": "hash", "write": "write-through"}}})
    claims = []
    with server.wire() as wire:
        for i, (type_name, value) in enumerate(OUT_OF_RANGE[kind]):
            reply = wire.ask("HSET", "t:1", f"v{i}", value)
            word = reply.word if isinstance(reply, ReplyError) else reply
            claims.append((f"{type_name} {value!r} → {reply!r}", True, word in ("BADVALUE", "CONFLICT")))
        assert wire.ask("HGETALL", "t:1") == [b"id", b"1"]
    gather(claims)
    assert database.rows("SELECT * FROM t") == before


def test_increments_of_exact_numbers_stay_exact(forebay, world, writing):
    database = world("CREATE TABLE t(id {int} PRIMARY KEY, n {int}, v {numeric}, r {real});"
                     "INSERT INTO t VALUES (1, 9223372036854775000, 0.1, 0.1);")
    if world.kind == "sqlite":
        pytest.skip("SQLite keeps decimals as doubles")
    server = forebay({"sources": {"shop": database.source()}, "keyspaces": {
        "t:{id}": {"source": "shop", "table": "t", "as": "hash", "write": "write-through"}}})
    with server.wire() as wire:
        assert wire.ask("HINCRBYFLOAT", "t:1", "v", "0.2") == b"0.3000000000"
        assert wire.ask("HINCRBYFLOAT", "t:1", "v", "1234567890123456789012345678") == \
            b"1234567890123456789012345678.3000000000"
        assert wire.ask("HINCRBYFLOAT", "t:1", "v", "-0.0000000001") == b"1234567890123456789012345678.2999999999"
        assert wire.ask("HINCRBY", "t:1", "n", "807") == 9223372036854775807
        reply = wire.ask("HINCRBY", "t:1", "n", "1")
        assert isinstance(reply, ReplyError) and "overflow" in reply.text, reply
        assert wire.ask("HINCRBYFLOAT", "t:1", "r", "0.2") == b"0.30000000000000004"
        assert str(database.one("SELECT v FROM t")) == "1234567890123456789012345678.2999999999"
        assert wire.ask("HGET", "t:1", "n") == b"9223372036854775807"
