"""Shows on a real shop (Chinook, eleven tables, 15,607 rows) in SQLite, PostgreSQL and MariaDB that what comes over the
wire is what the database holds: every row of every table, as JSON and as a hash, equals the row that the database's own
client reads. And that a long random sequence of reads, writes, partial updates, increments and deletes does and answers
what the same statements do and answer when they are sent to a second copy of the database directly."""

import decimal
import random

import pytest

import databases
from conftest import IS_FULL
from databases import as_hash, as_json, as_text, read_json
from resp import ReplyError

BATCH = 200


def in_batches(items, size=BATCH):
    for start in range(0, len(items), size):
        yield items[start:start + size]


def keyspaces(tables, shape, **policy):
    """album:{AlbumId} and so on; the columns of the primary key in their order."""
    return {":".join([table.lower()] + ["{%s}" % name for name in key]): {"source": "shop", "table": table, "as": shape,
                                                                         **policy}
            for table, (key, _) in tables.items()}


def key_of(table, key, row):
    return ":".join([table.lower()] + [str(row[name]) for name in key])


@pytest.mark.parametrize("shape", ["json", "hash"])
def test_every_row_of_every_table_equals_the_row_read_directly(forebay, chinook_world, shape):
    database = chinook_world()
    tables = database.tables()
    assert len(tables) == 11
    server = forebay({"sources": {"shop": database.source()}, "keyspaces": keyspaces(tables, shape)})
    count = 0
    with server.wire() as wire, database.connect() as direct:
        for table, (key, _) in tables.items():
            rows = direct.rows(f"SELECT * FROM {database.quote(table)}")
            assert rows, table
            count += len(rows)
            for batch in in_batches(rows):
                verb = "GET" if shape == "json" else "HGETALL"
                for row, value in zip(batch, wire.pipeline([(verb, key_of(table, key, row)) for row in batch])):
                    assert isinstance(value, bytes if shape == "json" else list), (table, row, value)
                    if shape == "json":
                        shown = read_json(value)
                        assert shown == {name: as_json(field) for name, field in row.items()}
                        assert list(shown) == list(row)
                    else:
                        assert value == as_hash(row), table
            absent = {name: 10**6 for name in key}
            assert wire.ask("EXISTS", key_of(table, key, absent)) == 0
    assert count == 15607


# ---- the model ------------------------------------------------------------------------------------------------------

# Tables with what the sequence may do to them, by their names in SQLite and MariaDB (PostgreSQL's are in snake case).
# columns: name → how a random value is made; "!": NOT NULL
HASHES = {
    "Customer": {"FirstName!": "text", "LastName!": "text", "Company": "text", "City": "text", "Email!": "text",
                 "SupportRepId": "employee"},
    "Track": {"Name!": "text", "AlbumId": "album", "MediaTypeId!": "media", "Composer": "text", "Milliseconds!": "int",
              "Bytes": "int", "UnitPrice!": "money"},
    "InvoiceLine": {"InvoiceId!": "invoice", "TrackId!": "track", "UnitPrice!": "money", "Quantity!": "int"},
}
DOCUMENTS = {"Artist": {"Name": "text"}, "Album": {"Title!": "text", "ArtistId!": "artist"}}
COUNTED = {"Track": ["Milliseconds", "Bytes"], "InvoiceLine": ["Quantity"]}
IDS = {"employee": 9, "album": 350, "media": 6, "invoice": 415, "track": 3510, "artist": 280}  # some too large: refused
HIGHEST = {"Customer": 62, "Track": 3520, "InvoiceLine": 2260, "Artist": 290, "Album": 360}


NO_DEFAULT = 1364  # MariaDB's number for a column that must have a value and was given none


class Names:
    """Chinook's names in each database."""

    def __init__(self, kind):
        self.is_snake = kind == "postgresql"

    def __call__(self, name):
        if not self.is_snake:
            return name
        return "".join(("_" + c.lower() if c.isupper() and i > 0 else c.lower()) for i, c in enumerate(name))


class Model:
    """The rows as SQL changes them when it is sent directly; each method answers what Forebay's reply is to be."""

    REFUSED = "CONFLICT"

    def __init__(self, database):
        self.database, self.names = database, Names(database.kind)
        self.direct = database.connect()

    def refused(self, *statement):
        """The rows that a statement touched, or what Forebay answers when it is refused."""
        try:
            return self.direct.run(*statement), None
        except Exception as error:
            is_known = "Integrity" in type(error).__name__ or "Violation" in type(error).__name__
            if not is_known and error.args[0] != NO_DEFAULT:
                raise
            return 0, self.REFUSED

    def row(self, table, number):
        rows = self.direct.rows(f"SELECT * FROM {self.quote(table)} WHERE {self.quote(table + 'Id')} = %s", number)
        return rows[0] if rows else None

    def quote(self, name):
        return self.database.quote(self.names(name))

    def write(self, table, number, values):
        """Values of some columns: of the row that is there, or of a new one. (What it set that was NULL, refusal.)"""
        before = self.row(table, number)
        names = ", ".join(self.quote(name) for name in values)
        if before is not None:
            sets = ", ".join(f"{self.quote(name)} = %s" for name in values)
            _, refusal = self.refused(f"UPDATE {self.quote(table)} SET {sets} WHERE {self.quote(table + 'Id')} = %s",
                                      *values.values(), number)
        else:
            marks = ", ".join(["%s"] * (len(values) + 1))
            _, refusal = self.refused(f"INSERT INTO {self.quote(table)} ({self.quote(table + 'Id')}, {names}) "
                                      f"VALUES ({marks})", number, *values.values())
        fresh = sum(before is None or before[self.names(name)] is None for name in values)
        return fresh, refusal

    def add(self, table, number, column, step):
        row = self.row(table, number)
        if row is None:
            _, refusal = self.write(table, number, {column: step})
        else:
            _, refusal = self.refused(f"UPDATE {self.quote(table)} SET {self.quote(column)} = "
                                      f"COALESCE({self.quote(column)}, 0) + %s WHERE {self.quote(table + 'Id')} = %s",
                                      step, number)
        return refusal or self.row(table, number)[self.names(column)]

    def unset(self, table, number, columns):
        before = self.row(table, number)
        if before is None:  # what no row could do is refused all the same
            return self.REFUSED if any(name + "!" in HASHES[table] for name in columns) else 0
        present = sum(before[self.names(name)] is not None for name in columns)
        sets = ", ".join(f"{self.quote(name)} = NULL" for name in columns)
        _, refusal = self.refused(f"UPDATE {self.quote(table)} SET {sets} "
                                  f"WHERE {self.quote(table + 'Id')} = %s", number)
        return refusal or present

    def delete(self, table, number):
        count, refusal = self.refused(f"DELETE FROM {self.quote(table)} WHERE {self.quote(table + 'Id')} = %s", number)
        return refusal or count


class Play:
    """The random sequence. A step is a command, and a function that does the same to the model and says the answer."""

    def __init__(self, seed, model):
        self.random, self.model, self.names = random.Random(seed), model, model.names
        self.tables = sorted(HASHES) + sorted(DOCUMENTS)

    def value(self, kind):
        r = self.random
        if kind in IDS:
            return r.randint(1, IDS[kind])
        if kind == "int":
            return r.choice([0, 1, -1, r.randint(-10**6, 10**6), 2**31 - 10**7])
        if kind == "money":
            return decimal.Decimal(r.randint(0, 400)) / 4  # quarters: what a double holds as well
        return "".join(r.choice("aeé'\"\\;-ß€𝄞 %_") for _ in range(r.randint(0, 12)))

    def values(self, columns, is_whole):
        """For all columns, or for some."""
        names = sorted(columns)
        if not is_whole:
            names = self.random.sample(names, self.random.randint(1, len(names)))
        return {name.rstrip("!"): self.value(columns[name]) for name in names}

    def step(self):
        r, model, names = self.random, self.model, self.names
        table = r.choice(self.tables)
        number = r.randint(1, HIGHEST[table]) if r.random() < 0.5 else r.randint(1, 12)  # some keys again and again
        key = f"{table.lower()}:{number}"
        columns = HASHES.get(table) or DOCUMENTS[table]
        nullable = sorted(name for name in columns if not name.endswith("!"))
        dice = r.random()
        if dice < 0.45:
            if table in DOCUMENTS:
                return ("GET", key), lambda: (lambda row: row and {n: as_json(v) for n, v in row.items()})(
                    model.row(table, number))
            if dice < 0.25:
                return ("HGETALL", key), lambda: as_hash(model.row(table, number) or {})
            asked = [name.rstrip("!") for name in r.sample(sorted(columns), 2)]
            return ("HMGET", key, *map(names, asked)), lambda: [
                as_text(row[names(n)]) if row and row[names(n)] is not None else None
                for row in [model.row(table, number)] for n in asked]
        if dice < 0.50:
            return ("EXISTS", key), lambda: int(model.row(table, number) is not None)
        if dice < 0.57:
            return ("DEL", key), lambda: model.delete(table, number)
        if table in COUNTED and dice < 0.72:
            column, step = r.choice(COUNTED[table]), r.randint(-50, 50)
            return ("HINCRBY", key, names(column), step), lambda: model.add(table, number, column, step)
        if table in HASHES and nullable and dice < 0.80:
            unset = [name.rstrip("!") for name in r.sample(sorted(columns) if r.random() < 0.2 else nullable, 1)]
            return ("HDEL", key, *map(names, unset)), lambda: model.unset(table, number, unset)
        values = self.values(columns, is_whole=r.random() < 0.5)
        if table in DOCUMENTS:
            if nullable and r.random() < 0.2:
                values[nullable[0]] = None
            text = databases.json.dumps({names(n): v for n, v in values.items()})
            return ("SET", key, text), lambda: model.write(table, number, values)[1] or "OK"
        words = [word for name, value in values.items() for word in (names(name), str(value))]
        return ("HSET", key, *words), lambda: (lambda fresh, refusal: refusal or fresh)(
            *model.write(table, number, values))


def outcome(words, reply):
    """A reply as the model would give it."""
    if isinstance(reply, ReplyError):
        return "CONFLICT" if reply.word in ("CONFLICT", "BADVALUE") else reply.text
    return read_json(reply) if words[0] == "GET" and reply is not None else reply


@pytest.mark.parametrize("seed", range(1, 6 if IS_FULL else 2))
def test_random_sequence_equals_the_same_statements_sent_directly(forebay, chinook_world, writing, seed):
    served, mirror = chinook_world(), chinook_world()
    tables = served.tables()
    names = Names(served.kind)
    snake = {names(table): table for table in [*HASHES, *DOCUMENTS]}
    spaces = {}
    for table, original in snake.items():
        shape = "hash" if original in HASHES else "json"
        spaces["%s:{%s}" % (original.lower(), tables[table][0][0])] = {
            "source": "shop", "table": table, "as": shape, "write": "write-through", "on_del": "delete-row"}
    server = forebay({"sources": {"shop": served.source()}, "keyspaces": spaces})
    model = Model(mirror)
    play = Play(seed, model)
    with server.wire() as wire, model.direct:
        for batch in in_batches([None] * 20000, 100):
            steps = [play.step() for _ in batch]
            for (words, expected), reply in zip(steps, wire.pipeline([words for words, _ in steps])):
                assert outcome(words, reply) == expected(), (words, reply)
    for table, (key, _) in tables.items():
        order = ", ".join(served.quote(name) for name in key)
        asked = f"SELECT * FROM {served.quote(table)} ORDER BY {order}"
        assert served.rows(asked) == mirror.rows(asked), table
