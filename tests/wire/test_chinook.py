"""Shows on a real shop (Chinook, six tables, 6,836 rows) that what comes over the wire is what the database holds:
every row is read as JSON and as a hash and compared with the row that Python's sqlite3 reads from the same file. Then
that a write's reply comes after the database has it: the file is asked on another connection once the reply is here."""

import json

import pytest

from conftest import query

TABLES = ["Artist", "Album", "Track", "Customer", "Invoice", "InvoiceLine"]


def config(path, shape, **policy):
    """All six tables as keyspaces: Artist as artist:{ArtistId:int} and so on."""
    return {
        "sources": {"shop": {"url": f"sqlite:{path}"}},
        "keyspaces": {pattern(table): {"source": "shop", "table": table, "as": shape, **policy} for table in TABLES},
    }


def pattern(table):
    return f"{table.lower()}:{{{table}Id:int}}"


def key(table, number):
    return f"{table.lower()}:{number}"


def rows(path, table):
    return query(path, f"SELECT * FROM {table} ORDER BY 1")


def as_field(value):
    """A column as a hash field: what Redis clients expect, text."""
    return repr(value).encode() if isinstance(value, float) else str(value).encode()


def in_batches(items, size=200):
    for start in range(0, len(items), size):
        yield items[start:start + size]


@pytest.mark.parametrize("turn", ["cold", "warm"])
def test_every_row_as_json_equals_the_database(forebay, chinook, turn):
    server = forebay(config(chinook, "json"))
    with server.wire() as wire:
        for table in TABLES:
            found = rows(chinook, table)
            assert found, table
            for _ in range(2 if turn == "warm" else 1):
                for batch in in_batches(found):
                    values = wire.pipeline([("GET", key(table, row[0])) for row in batch])
                    for row, value in zip(batch, values):
                        assert isinstance(value, bytes), (table, row[0], value)
                        assert json.loads(value) == dict(row)
                        assert list(json.loads(value)) == row.keys()
            assert wire.ask("GET", key(table, found[-1][0] + 1)) is None


def test_every_row_as_hash_equals_the_database(forebay, chinook):
    server = forebay(config(chinook, "hash"))
    with server.wire() as wire:
        for table in TABLES:
            for batch in in_batches(rows(chinook, table)):
                values = wire.pipeline([("HGETALL", key(table, row[0])) for row in batch])
                for row, value in zip(batch, values):
                    expected = [part for name in row.keys() if row[name] is not None
                                for part in (name.encode(), as_field(row[name]))]
                    assert value == expected


def test_many_keys_at_once_come_back_in_order(forebay, chinook):
    server = forebay(config(chinook, "json"))
    names = [row["Name"] for row in rows(chinook, "Artist")]
    numbers = list(range(len(names) + 1, 0, -1))  # the first is in no row
    with server.wire() as wire:
        values = wire.ask("MGET", *[key("Artist", number) for number in numbers])
    assert values[0] is None
    assert [json.loads(value)["Name"] for value in values[1:]] == names[::-1]


def test_set_is_in_the_database_before_its_reply(forebay, chinook):
    server = forebay(config(chinook, "json", write="write-through", on_del="delete-row"))
    with server.wire() as wire:
        for number in range(1, 51):
            assert wire.ask("SET", key("Artist", number), json.dumps({"Name": f"Künstler {number}"})) == "OK"
            [row] = query(chinook, "SELECT * FROM Artist WHERE ArtistId = ?", number)
            assert row["Name"] == f"Künstler {number}"
            assert json.loads(wire.ask("GET", key("Artist", number))) == dict(row)
        # a new row, and one that changes one column only
        assert wire.ask("SET", key("Artist", 100001), '{"Name": null}') == "OK"
        [row] = query(chinook, "SELECT * FROM Artist WHERE ArtistId = 100001")
        assert tuple(row) == (100001, None)
        before = dict(query(chinook, "SELECT * FROM Track WHERE TrackId = 7")[0])
        assert wire.ask("SET", key("Track", 7), '{"UnitPrice": 1.29}') == "OK"
        after = dict(query(chinook, "SELECT * FROM Track WHERE TrackId = 7")[0])
        assert after == {**before, "UnitPrice": 1.29}
        assert json.loads(wire.ask("GET", key("Track", 7))) == after


def test_hash_writes_are_in_the_database_before_their_replies(forebay, chinook):
    server = forebay(config(chinook, "hash", write="write-through", on_del="delete-row"))
    with server.wire() as wire:
        assert wire.ask("HSET", key("Customer", 3), "Company", "Forêt", "City", "Québec") == 1  # City was not NULL
        [row] = query(chinook, "SELECT * FROM Customer WHERE CustomerId = 3")
        assert (row["Company"], row["City"]) == ("Forêt", "Québec")
        assert wire.ask("HGET", key("Customer", 3), "City") == "Québec".encode()
        quantity = query(chinook, "SELECT Quantity FROM InvoiceLine WHERE InvoiceLineId = 9")[0][0]
        for step in (5, -3, 40):
            quantity += step
            assert wire.ask("HINCRBY", key("InvoiceLine", 9), "Quantity", step) == quantity
            assert query(chinook, "SELECT Quantity FROM InvoiceLine WHERE InvoiceLineId = 9")[0][0] == quantity
        assert wire.ask("HGET", key("InvoiceLine", 9), "Quantity") == str(quantity).encode()
        assert wire.ask("HDEL", key("Customer", 3), "Company", "Fax") == 1  # there was no Fax
        [row] = query(chinook, "SELECT * FROM Customer WHERE CustomerId = 3")
        assert (row["Company"], row["Fax"]) == (None, None)
        assert wire.ask("HEXISTS", key("Customer", 3), "Company") == 0


def test_del_deletes_the_row_where_the_keyspace_says_so(forebay, chinook):
    server = forebay(config(chinook, "json", write="write-through", on_del="delete-row"))
    with server.wire() as wire:
        assert wire.ask("GET", key("InvoiceLine", 2240)) is not None
        assert wire.ask("DEL", key("InvoiceLine", 2240), key("InvoiceLine", 99999)) == 1
        assert query(chinook, "SELECT * FROM InvoiceLine WHERE InvoiceLineId = 2240") == []
        assert wire.ask("GET", key("InvoiceLine", 2240)) is None


def test_del_only_forgets_where_the_keyspace_does_not_say_so(forebay, chinook):
    server = forebay(config(chinook, "json", write="write-through"))
    with server.wire() as wire:
        before = wire.ask("GET", key("Artist", 1))
        assert wire.ask("DEL", key("Artist", 1)) == 1
        assert len(query(chinook, "SELECT * FROM Artist WHERE ArtistId = 1")) == 1
        assert wire.ask("GET", key("Artist", 1)) == before


def test_refused_write_changes_neither_database_nor_cache(forebay, chinook):
    server = forebay(config(chinook, "json", write="write-through"))
    with server.wire() as wire:
        before, row = wire.ask("GET", key("Track", 1)), dict(query(chinook, "SELECT * FROM Track WHERE TrackId = 1")[0])
        for value in ['{"Name": null}', '{"Nmae": "x"}', '{"TrackId": 2}', '{"Milliseconds": "long"}', "not json"]:
            assert wire.ask("SET", key("Track", 1), value).word == "BADVALUE", value
        assert dict(query(chinook, "SELECT * FROM Track WHERE TrackId = 1")[0]) == row
        assert wire.ask("GET", key("Track", 1)) == before


def test_read_only_keyspace_refuses_writes(forebay, chinook):
    server = forebay(config(chinook, "json"))
    with server.wire() as wire:
        assert wire.ask("SET", key("Artist", 1), '{"Name": "x"}').word == "MAPRO"
        assert query(chinook, "SELECT Name FROM Artist WHERE ArtistId = 1")[0][0] == "AC/DC"
