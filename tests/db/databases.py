"""Databases of tests, used the same way whatever holds them: SQLite, PostgreSQL or MariaDB.

A test that takes the fixture `world` runs once for each. `world(schema)` makes a database of the test's own and returns
it; a schema names types as {text}, {key}, {int}, {real}, {numeric}, {bytes}. What this machine or this build does not
have is skipped, and said so."""

import atexit
import contextlib
import datetime
import decimal
import functools
import itertools
import json
import os
import shutil
import sqlite3
import subprocess
import tempfile

import servers

KINDS = ["sqlite", "postgresql", "mariadb"]
SCHEMES = {"sqlite": "sqlite", "postgresql": "postgresql", "mariadb": "mysql"}
TYPES = {
    "sqlite": {"text": "TEXT", "key": "TEXT", "int": "INTEGER", "real": "REAL", "numeric": "NUMERIC", "bytes": "BLOB"},
    "postgresql": {"text": "text", "key": "text", "int": "bigint", "real": "double precision",
                   "numeric": "numeric(38,10)", "bytes": "bytea"},
    "mariadb": {"text": "LONGTEXT", "key": "VARCHAR(700) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin",
                "int": "BIGINT", "real": "DOUBLE", "numeric": "DECIMAL(38,10)", "bytes": "LONGBLOB"},
}
WRITERS = {"sqlite", "postgresql", "mariadb"}  # the drivers that can write already
numbers = itertools.count(1)
sqlite3.register_adapter(decimal.Decimal, float)  # what SQLite keeps of them


@functools.lru_cache(maxsize=None)
def is_built_in(program, scheme):
    """Can this Forebay speak to such a database?"""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "forebay.yaml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"sources: {{a: {{url: '{scheme}://nobody@127.0.0.1:1/none'}}}}\n"
                       "keyspaces: {'a:{b}': {source: a, table: a}}\n")
        result = subprocess.run([program, "check", "-c", path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                stdin=subprocess.DEVNULL, text=True, timeout=30)
    return "unknown kind of source" not in result.stdout


class Cluster:
    """The throw-away servers of a test run, each started when the first test asks for it."""

    def __init__(self):
        self.servers = {}
        self.password = self.folder = None

    def server(self, kind):
        """Raises servers.Unavailable. A server that a test left stopped or frozen runs again."""
        if kind not in self.servers:
            self.servers[kind] = servers.KINDS[kind][0]().start()
        server = self.servers[kind]
        server.thaw()
        if not server.is_running():
            server.start()
        return server

    def scratch(self):
        """A folder for files of SQLite."""
        if self.folder is None:
            self.folder = tempfile.TemporaryDirectory(prefix="forebay-sqlite-", dir=servers.quick_folder())
        return self.folder.name

    def password_file(self):
        if self.password is None:
            handle, self.password = tempfile.mkstemp(prefix="forebay-password-")
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(servers.PASSWORD)
            atexit.register(self.forget_password)
        return self.password

    def forget_password(self):
        if self.password is not None:
            atexit.unregister(self.forget_password)
            os.unlink(self.password)
            self.password = None

    def remove(self):
        for server in self.servers.values():
            server.remove()
        self.servers.clear()
        if self.folder is not None:
            self.folder.cleanup()
        self.forget_password()


class Database:
    """One database of one test."""

    def __init__(self, kind, cluster):
        self.kind, self.cluster = kind, cluster
        self.types = TYPES[kind]
        self.name = f"test_{next(numbers)}"
        if kind == "sqlite":
            self.path = os.path.join(cluster.scratch(), self.name + ".db")
            return
        self.server = cluster.server(kind)
        with self.server.connect() as connection:
            connection.run(f"CREATE DATABASE {self.name}")

    def source(self, port=None, **more):
        """Its entry in a configuration; by another port when something stands in between."""
        if self.kind == "sqlite":
            return {"url": f"sqlite:{self.path}", **more}
        return {"url": self.server.url(self.name, port, with_password=False),
                "password": f"file:{self.cluster.password_file()}", **more}

    def connect(self):
        """A direct connection, not through Forebay."""
        if self.kind == "sqlite":
            raw = sqlite3.connect(self.path, isolation_level=None, timeout=10)
            raw.execute("PRAGMA foreign_keys=ON")
            raw.execute("PRAGMA synchronous=OFF")
            return servers.Connection(raw, "?")
        return self.server.connect(self.name)

    def script(self, schema):
        if not schema.strip():
            return
        with self.connect() as connection:
            connection.script(schema)

    def make(self, schema):
        for name, text in self.types.items():
            schema = schema.replace("{" + name + "}", text)
        self.script(schema)
        return self

    def rows(self, sql, *parameters):
        with self.connect() as connection:
            return connection.rows(sql, *parameters)

    def one(self, sql, *parameters):
        with self.connect() as connection:
            return connection.one(sql, *parameters)

    def run(self, sql, *parameters):
        with self.connect() as connection:
            return connection.run(sql, *parameters)

    def quote(self, name):
        return f"`{name}`" if self.kind == "mariadb" else f'"{name}"'

    def tables(self):
        """Each table with its primary key's columns and its other columns, in their order."""
        found = {}
        with self.connect() as connection:
            if self.kind == "sqlite":
                for table in connection.rows("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY 1"):
                    columns = connection.rows(f"PRAGMA table_info({self.quote(table['name'])})")
                    key = sorted((column["pk"], column["name"]) for column in columns if column["pk"])
                    found[table["name"]] = [name for _, name in key], [c["name"] for c in columns if not c["pk"]]
                return found
            schema = "current_schema()" if self.kind == "postgresql" else "database()"
            for row in connection.rows(f"""
                    SELECT c.table_name AS t, c.column_name AS c, k.ordinal_position AS k
                    FROM information_schema.columns c LEFT JOIN information_schema.key_column_usage k
                      ON k.table_schema = c.table_schema AND k.table_name = c.table_name
                     AND k.column_name = c.column_name
                     AND k.constraint_name IN ('PRIMARY', concat(c.table_name, '_pkey'))
                    WHERE c.table_schema = {schema} ORDER BY c.table_name, c.ordinal_position"""):
                key, others = found.setdefault(row["t"], ([], []))
                (others if row["k"] is None else key).append((row["k"], row["c"]))
        return {table: ([name for _, name in sorted(key)], [name for _, name in others])
                for table, (key, others) in found.items()}

    def connections(self):
        """The numbers of Forebay's connections, as the server sees them."""
        if self.kind == "postgresql":
            rows = self.rows("SELECT pid AS id FROM pg_stat_activity WHERE datname = %s AND "
                                      "application_name = 'forebay'", self.name)
        else:
            rows = self.rows("SELECT id AS id FROM information_schema.processlist WHERE db = %s AND "
                                      "id <> connection_id() AND host NOT LIKE 'localhost%%'", self.name)
        return [row["id"] for row in rows]

    def busy(self):
        """Statements of Forebay's that the server is working on, or waits with."""
        if self.kind == "postgresql":
            rows = self.rows("SELECT query AS q FROM pg_stat_activity WHERE datname = %s AND "
                                      "application_name = 'forebay' AND state = 'active'", self.name)
        else:
            rows = self.rows("SELECT info AS q FROM information_schema.processlist WHERE db = %s AND id <> "
                                      "connection_id() AND host NOT LIKE 'localhost%%' AND info IS NOT NULL",
                                      self.name)
        return [row["q"] for row in rows]

    def drop(self):
        if self.kind == "sqlite":
            for end in ("", "-wal", "-shm"):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self.path + end)
            return
        with self.cluster.server(self.kind).connect() as connection:
            connection.run(f"DROP DATABASE {self.name}" + (" WITH (FORCE)" if self.kind == "postgresql" else ""))


def chinook_script(kind, path):
    """The statements that make Chinook in an empty database."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    head = text.index("CREATE TABLE")  # before it a database is made and chosen
    # MariaDB's NVARCHAR is of three bytes a character at most
    return text[head:].replace("NVARCHAR", "VARCHAR") if kind == "mariadb" else text[head:]


CHINOOK = {"sqlite": "Chinook_Sqlite.sqlite", "postgresql": "Chinook_PostgreSql.sql", "mariadb": "Chinook_MySql.sql"}


def make_chinook(database, data):
    """Chinook in a fresh database, from the folder of test data."""
    path = os.path.join(data, "chinook", CHINOOK[database.kind])
    if database.kind == "sqlite":
        shutil.copyfile(path, database.path)
    else:
        database.script(chinook_script(database.kind, path))
    return database


# ---- how values of the client libraries look in Forebay's answers ---------------------------------------------------

def as_text(value):
    """As a hash field; NULL has none."""
    if isinstance(value, float):
        return repr(value).encode()
    if isinstance(value, (datetime.datetime, datetime.date)):
        return value.isoformat().encode()
    return str(value).encode()


def as_json(value):
    """As json.loads(…, parse_float=decimal.Decimal) gives it."""
    if isinstance(value, float):
        return decimal.Decimal(repr(value))
    if isinstance(value, (datetime.datetime, datetime.date)):
        return value.isoformat()
    return value


def read_json(text):
    return json.loads(text, parse_float=decimal.Decimal)


def as_hash(row):
    """As HGETALL answers in RESP2."""
    return [part for name, value in row.items() if value is not None for part in (name.encode(), as_text(value))]


@contextlib.contextmanager
def expect_refusal():
    """The database refuses the statement."""
    errors = [sqlite3.Error]
    with contextlib.suppress(servers.Unavailable):
        errors.append(servers._psycopg2().Error)
    with contextlib.suppress(servers.Unavailable):
        errors.append(servers._pymysql().err.Error)
    try:
        yield
    except tuple(errors):
        return
    raise AssertionError("the database took it")
