"""Shows what write-behind does at each database, with the program live/flusher.c in place of the engine: what a flush
writes is what the same changes written one by one by plain SQL leave behind; the watermark always tells the truth, also
when COMMIT gets lost; of two owners only one writes; what the database refuses becomes a dead letter and nothing else
is held up by it; and every other failure writes nothing and says of which kind it is."""

import os
import random
import subprocess
import urllib.parse

import pytest

import proxy as proxies
import servers
from conftest import BUILD, IS_FULL

WRITE_MS = 3000
JOURNAL, OTHER = "11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"

SCHEMA = """
CREATE TABLE items(id {int} PRIMARY KEY, n {int}, m {int} DEFAULT 7, price {numeric}, name {text});
CREATE TABLE strict(k {key} PRIMARY KEY, must {int} NOT NULL, other {int} DEFAULT 3);
CREATE TABLE pairs(a {int}, b {key}, n {int}, blobs {bytes}, PRIMARY KEY (a, b));
"""
TABLES = {"items": "items:{id}", "strict": "strict:{k}", "pairs": "pairs:{a}:{b}"}


def word(text):
    return urllib.parse.quote(str(text), safe="")


def plain(text):
    return urllib.parse.unquote(text)


class Answer:
    """Of a flush: outcome, where the watermark stands, how many were refused, and which."""

    def __init__(self, line, refused):
        outcome, applied, self.dead, self.statements, self.us, *text = line.split(" ")
        self.outcome, self.applied, self.text = plain(outcome), int(applied), plain(text[0]) if text else ""
        self.dead, self.statements, self.us = int(self.dead), int(self.statements), int(self.us)
        self.refused = {int(seq): (status, plain(why[0]) if why else "")
                        for seq, status, *why in (line.split(" ") for line in refused)}

    def __repr__(self):
        return f"{self.outcome} (applied {self.applied}, dead {self.dead}): {self.text} {self.refused}"


class Letter:
    def __init__(self, line):
        words = [plain(one) for one in line.split(" ")]
        self.id, self.seq, self.attempts = (int(one) for one in words[:3])
        self.part, self.keyspace, self.key, self.record, self.code, self.at, self.message = words[3:10]


class Flusher:
    """A session for writing, with bindings by the name of their table."""

    def __init__(self, database, port=None, write_ms=WRITE_MS, user=None):
        self.database, self.seq, self.tables = database, 0, {}
        url = f"sqlite:{database.path}" if database.kind == "sqlite" else database.server.url(database.name, port)
        if user is not None:
            url = url.replace(servers.USER + ":", user + ":", 1)
        self.process = subprocess.Popen([os.path.join(BUILD, "tests", "live", "flusher"), url, str(write_ms)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def close(self):
        self.process.stdin.close()
        assert self.process.wait(30) == 0

    def tell(self, *words):
        self.process.stdin.write(" ".join(word(one) if one != "" else "" for one in words) + "\n")

    def ask(self, *words):
        self.tell(*words)
        self.process.stdin.flush()
        return self.line()

    def line(self):
        line = self.process.stdout.readline()
        assert line, "the flusher has ended"
        return line.rstrip("\n").rstrip(" ")

    def lines(self):
        found = []
        while not (line := self.line()).startswith("end"):
            found.append(line)
        return found, line

    def bind(self, *tables):
        for table in tables:
            self.tables[table] = self.ask("bind", TABLES[table], table)
        return self

    def bind_as(self, pattern, table):
        self.tables[table] = self.ask("bind", pattern, table)

    def item(self, table, key, verb, *changes):
        """Note a change of a row for the next flush; its sequence number."""
        self.seq += 1
        self.tell("item", self.tables[table], f"{table}:{key}", self.seq, verb, *changes)
        return self.seq

    def clear(self):
        self.tell("clear")

    def flush(self, epoch, before, after=None, rows=1000, dead_max=100, part="p"):
        first = self.ask("flush", part, epoch, before, self.seq if after is None else after, rows, dead_max)
        return Answer(first, self.lines()[0])

    def flushed(self, epoch, before, **more):
        """All of it is applied, and forgotten here."""
        answer = self.flush(epoch, before, **more)
        assert answer.outcome == "applied", answer
        self.clear()
        return answer

    def claim(self, journal=JOURNAL, start=0, owner="me", addr="here:1", part="p"):
        kind, epoch, applied, clean, *rest = self.ask("claim", part, owner, addr, journal, start).split(" ")
        return kind, int(epoch), int(applied), clean == "1", [plain(one) for one in rest]

    def applied(self, part="p"):
        return int(self.ask("read", part).split(" ")[2])

    def letters(self, part="*", after=0, limit=1000):
        self.tell("deadlist", part, after, limit)
        self.process.stdin.flush()
        lines, end = self.lines()
        assert end == "end FB_OK", end
        return [Letter(line) for line in lines]


@pytest.fixture
def flusher():
    """flusher(database, …) starts one; all end with the test."""
    started = []

    def start(database, *tables, **more):
        one = Flusher(database, **more).bind(*tables)
        started.append(one)
        return one
    yield start
    for one in started:
        if one.process.poll() is None:
            one.close()
        assert one.process.returncode == 0, one.process.returncode


@pytest.fixture
def shop(world, flusher):
    """A database with the three tables, and an owner of partition p."""
    database = world(SCHEMA)
    owner = flusher(database, *TABLES)
    assert owner.claim()[:3] == ("new", 1, 0)
    return owner


def rows(database, table, order):
    return [tuple(row.values()) for row in database.rows(f"SELECT * FROM {table} ORDER BY {order}")]


# ---- what a flush writes ----

def test_rows_are_made_changed_counted_and_deleted(shop):
    database = shop.database
    database.run("INSERT INTO items(id, n, m, price, name) VALUES (1, 10, 1, 1.5, 'one'), (2, 20, 2, 2.5, 'two'), "
                 "(3, 30, 3, 3.5, 'three'), (4, 40, 4, 4.5, 'four')")
    shop.item("items", 1, "merge", "n=11")
    shop.item("items", 2, "delete")
    shop.item("items", 3, "replace", "n=33")
    shop.item("items", 4, "recreate", "name=new")
    shop.item("items", 5, "merge", "n+=5", "name=it's \"five\" \\ {,} NULL")
    shop.item("items", 6, "hdel", "n!")
    shop.item("items", 7, "delete")
    shop.flushed(1, 0)
    found = {row[0]: row[1:] for row in rows(database, "items", "id")}
    assert found == {1: (11, 1, 1.5, "one"), 3: (33, 7, None, None), 4: (None, 7, None, "new"),
                     5: (5, 7, None, "it's \"five\" \\ {,} NULL")}
    assert shop.applied() == shop.seq
    shop.item("items", 1, "merge", "n+=-1", "price+=0.25", "name!")
    shop.item("items", 5, "hdel", "n!")
    shop.item("items", 4, "merge", "n+=2")
    shop.flushed(1, 7)
    found = {row[0]: row[1:] for row in rows(database, "items", "id")}
    assert found == {1: (10, 1, 1.75, None), 3: (33, 7, None, None), 4: (2, 7, None, "new"),
                     5: (None, 7, None, "it's \"five\" \\ {,} NULL")}


def test_columns_that_must_not_be_null_need_not_be_named_where_there_is_a_row(shop):
    shop.database.run("INSERT INTO strict(k, must) VALUES ('there', 1)")
    shop.item("strict", "there", "merge", "other=5")
    gone = shop.item("strict", "new", "merge", "other=6")
    answer = shop.flushed(1, 0)
    assert rows(shop.database, "strict", "k") == [("there", 1, 5)]
    assert list(answer.refused) == [gone] and answer.refused[gone][0] == "FB_CONFLICT"
    assert [(letter.seq, letter.key) for letter in shop.letters()] == [(gone, "strict:new")]
