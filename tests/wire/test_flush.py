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
        self.part, self.keyspace, self.key, self.record, self.code, self.at, self.message = (words + [""])[3:10]


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
    return [tuple(bytes(value) if isinstance(value, memoryview) else value for value in row.values())
            for row in database.rows(f"SELECT * FROM {table} ORDER BY {order}")]


# ---- what a flush writes ----

@pytest.mark.short
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


class Model:
    """The changes of one table as plain SQL makes them one by one, and as what is left of several to one row."""

    def __init__(self, connection, table, key_columns):
        self.connection, self.table, self.keys = connection, table, key_columns
        self.where = " AND ".join(f"{name} = %s" for name in key_columns)
        self.pending = {}
        self.rows = set()

    def run(self, text, *values):
        return self.connection.run(text.replace("%table", self.table), *values)

    def upsert(self, key, columns, adds=()):
        sets = ", ".join(f"{name} = coalesce({name}, 0) + %s" if name in adds else f"{name} = %s" for name in columns)
        if key in self.rows:
            self.run(f"UPDATE %table SET {sets} WHERE {self.where}", *columns.values(), *key)
            return
        names = [*self.keys, *columns]
        marks = ", ".join(["%s"] * len(names))
        self.run(f"INSERT INTO %table ({', '.join(names)}) VALUES ({marks})", *key, *columns.values())
        self.rows.add(key)

    def delete(self, key):
        self.run(f"DELETE FROM %table WHERE {self.where}", *key)
        self.rows.discard(key)

    # ---- one change, and what it makes of those before it ----

    def merge(self, key, columns):
        self.upsert(key, columns)
        kind, before = self.pending.get(key, ("merge", {}))
        kind = "recreate" if kind == "delete" else kind
        self.pending[key] = kind, {**before, **{name: ("set", value) for name, value in columns.items()}}

    def add(self, key, name, delta):
        self.upsert(key, {name: delta}, adds=(name,))
        kind, before = self.pending.get(key, ("merge", {}))
        kind = "recreate" if kind == "delete" else kind
        how, value = before.get(name, ("add", 0) if kind == "merge" else ("set", 0))
        self.pending[key] = kind, {**before, name: (how, (value or 0) + delta)}

    def remove(self, key):
        self.delete(key)
        self.pending[key] = "delete", {}

    def flush_to(self, owner, table):
        for key, (kind, columns) in self.pending.items():
            words = [f"{name}!" if value is None else f"{name}{'+' if how == 'add' else ''}={value}"
                     for name, (how, value) in columns.items()]
            owner.item(table, ":".join(str(part) for part in key), kind, *words)
        self.pending.clear()


@pytest.mark.short
def test_what_is_flushed_is_what_plain_sql_would_have_left(shop):
    """Random changes of few rows, so that many meet; the plain twin of each table gets them one by one."""
    database, r = shop.database, random.Random(6)
    twins = "".join(SCHEMA.replace(f"TABLE {table}(", f"TABLE plain_{table}(") if table == "items" else ""
                    for table in TABLES)
    for table in ("strict", "pairs"):
        twins = twins.replace(f"CREATE TABLE {table}(", f"CREATE TABLE plain_{table}(")
    database.make(twins)
    changes = 20000 if IS_FULL else 6000
    with database.connect() as connection:
        connection.run("BEGIN")
        items = Model(connection, "plain_items", ["id"])
        strict = Model(connection, "plain_strict", ["k"])
        pairs = Model(connection, "plain_pairs", ["a", "b"])
        names = ["a", "b'", "ä", "", "x y", "\\", "{\"n\": null}"]

        def change():
            what, which = r.random(), r.random()
            key = ((r.randrange(60),) if which < .5 else (r.choice("abcdefgh") * r.randrange(1, 4),) if which < .75 else
                   (r.randrange(9), r.choice(["x", "y", "Y", "z z"])))
            model = items if which < .5 else strict if which < .75 else pairs
            if what < .2:
                model.remove(key)
            elif what < .6 and (model is not strict or key in strict.rows):
                name = {id(items): "n", id(strict): "other", id(pairs): "n"}[id(model)]
                if model is strict and "other" not in strict.pending.get(key, ("", {"other": 0}))[1]:
                    return  # what a new row has there is the database's to say
                model.add(key, name, r.randrange(-9, 10))
            elif model is items:
                some = {"n": r.randrange(99), "m": r.choice([None, 5]), "price": r.choice([None, "1.25", "-3.5"]),
                        "name": r.choice([None, *names])}
                model.merge(key, {name: some[name] for name in r.sample(sorted(some), r.randrange(1, 5))})
            elif model is strict:
                some = {"must": r.randrange(99), "other": r.choice([None, 1, 2])}
                wanted = ["other"] if key in strict.rows and r.random() < .5 else ["must", "other"]
                model.merge(key, {name: some[name] for name in wanted})
            else:
                model.merge(key, {"n": r.choice([None, 4])})
        before = 0
        for _ in range(changes):
            change()
            if r.random() < .004:
                for model, table in ((items, "items"), (strict, "strict"), (pairs, "pairs")):
                    model.flush_to(shop, table)
                connection.run("COMMIT")
                answer = shop.flushed(1, before, rows=r.choice([1, 7, 1000]))
                assert not answer.refused, answer
                before = shop.seq
                connection.run("BEGIN")
        for model, table in ((items, "items"), (strict, "strict"), (pairs, "pairs")):
            model.flush_to(shop, table)
        connection.run("COMMIT")
        shop.flushed(1, before)
    for table, order in (("items", "id"), ("strict", "k"), ("pairs", "a, b")):
        assert rows(database, table, order) == rows(database, f"plain_{table}", order), table


# ---- the watermark ----

def test_a_flush_that_was_committed_is_not_done_again(shop):
    shop.item("items", 1, "merge", "n+=1")
    assert shop.flush(1, 0).outcome == "applied"
    answer = shop.flush(1, 0)
    assert (answer.outcome, answer.applied) == ("already applied", 1)
    assert rows(shop.database, "items", "id") == [(1, 1, 7, None, None)]


def test_a_watermark_that_stands_elsewhere_is_told(shop):
    shop.item("items", 1, "merge", "n+=1")
    shop.database.run("UPDATE fb_partition SET applied_seq = 40 WHERE part = 'p'")
    answer = shop.flush(1, 50, 60)
    assert (answer.outcome, answer.applied) == ("astray", 40)
    answer = shop.flush(1, 30, 50)
    assert (answer.outcome, answer.applied) == ("astray", 40)
    assert rows(shop.database, "items", "id") == []
    assert shop.flush(1, 40, 50).outcome == "applied"


def test_a_flush_may_leave_the_watermark_where_it_is(shop):
    shop.item("items", 1, "merge", "n=1")
    assert shop.flush(1, 0, 0).outcome == "applied"
    assert shop.applied() == 0 and rows(shop.database, "items", "id") == [(1, 1, 7, None, None)]


def test_an_empty_flush_moves_the_watermark(shop):
    assert shop.flush(1, 0, 9).outcome == "applied"
    assert shop.applied() == 9


# ---- owners ----

def test_of_two_owners_only_the_later_one_writes(shop, flusher):
    other = flusher(shop.database, *TABLES)
    assert other.claim(OTHER)[0] == "held"
    assert other.claim(OTHER)[4][:3] == ["me", "here:1", JOURNAL]
    assert shop.ask("takeover", "p").startswith("FB_OK 1 0 0 me here:1 ")
    shop.item("items", 1, "merge", "n=1")
    assert shop.flush(1, 0).outcome == "fenced"  # nobody has it now
    assert other.claim(OTHER, start=100, owner="it")[:3] == ("new", 3, 100)
    assert shop.flush(1, 0).outcome == "fenced"
    assert shop.ask("clean", "p", 1, 0).startswith("FB_UNMET")
    assert shop.claim()[0] == "held"
    assert rows(shop.database, "items", "id") == []
    other.seq = 100
    other.item("items", 2, "merge", "n=2")
    other.flushed(3, 100)
    assert other.applied() == 101


def test_the_same_journal_comes_back_to_where_it_was(shop, flusher):
    shop.item("items", 1, "merge", "n=1")
    shop.flushed(1, 0)
    again = flusher(shop.database, *TABLES)
    assert again.claim(start=77, owner="me again")[:3] == ("mine", 2, 1)
    assert shop.flush(1, 1, 2).outcome == "fenced"
    again.seq = 1
    again.item("items", 2, "merge", "n=2")
    again.flushed(2, 1)


def test_a_clean_partition_changes_hands(shop, flusher):
    shop.item("items", 1, "merge", "n=1")
    shop.flushed(1, 0)
    other = flusher(shop.database, *TABLES)
    assert shop.ask("clean", "p", 1, 0).startswith("FB_UNMET")  # there is something beyond it
    assert other.claim(OTHER)[0] == "held"
    assert shop.ask("clean", "p", 1, 1) == "FB_OK"
    assert other.claim(OTHER, start=5)[:3] == ("new", 2, 5)
    assert other.ask("read", "p").split(" ")[1:4] == ["2", "5", "0"]
    assert shop.flush(1, 1, 2).outcome == "fenced"
    assert other.ask("read", "nobody") == "FB_NOTFOUND"
    assert other.ask("takeover", "nobody") == "FB_NOTFOUND"


def test_who_lost_a_partition_to_a_person_s_order_does_not_get_it_back_as_it_was(shop):
    assert shop.ask("takeover", "p").startswith("FB_OK 1 0 0 me ")
    assert shop.claim(start=9)[:3] == ("new", 3, 9)  # what its journal had pending is a conflict now


def test_partitions_do_not_hinder_each_other(shop, flusher):
    other = flusher(shop.database, *TABLES)
    assert other.claim(OTHER, part="q")[:2] == ("new", 1)
    other.item("items", 2, "merge", "n=2")
    shop.item("items", 1, "merge", "n=1")
    other.flushed(1, 0, part="q")
    shop.flushed(1, 0)
    assert (shop.applied("p"), shop.applied("q")) == (1, 1)


# ---- what the database refuses ----

UNIQUE = """
CREATE TABLE users(id {int} PRIMARY KEY, email {key}, n {int});
CREATE UNIQUE INDEX users_email ON users(email);
"""


@pytest.fixture
def users(world, flusher):
    database = world(UNIQUE)
    owner = flusher(database)
    owner.bind_as("users:{id}", "users")
    assert owner.claim()[0] == "new"
    return owner


@pytest.mark.short
def test_one_bad_row_of_thousands_is_a_letter_and_the_others_arrive(users):
    count = 10000 if IS_FULL else 2000
    users.database.run("INSERT INTO users(id, email) VALUES (-1, 'taken')")
    seqs = {i: users.item("users", i, "merge", f"email={'taken' if i == 777 else i}", "n+=1") for i in range(count)}
    answer = users.flush(1, 0)
    assert (answer.outcome, answer.dead, list(answer.refused)) == ("applied", 1, [seqs[777]])
    assert answer.statements < 100
    assert users.database.one("SELECT count(*) AS n FROM users WHERE n = 1") == count - 1
    assert users.applied() == count
    letter, = users.letters("p")
    assert (letter.part, letter.seq, letter.keyspace) == ("p", seqs[777], "users:{id:int}")
    assert (letter.key, letter.record, letter.attempts) == ("users:777", "users:777", 0)
    assert letter.code == {"sqlite": "2067", "postgresql": "23505", "mariadb": "1062"}[users.database.kind]
    assert answer.refused[seqs[777]] == ("FB_CONFLICT", letter.message)
    assert letter.at[:2] == "20" and letter.at[-1] == "Z" and len(letter.at) == len("2026-01-01T00:00:00Z")
    assert users.letters("q") == []

    users.clear()
    users.item("users", 777, "merge", "email=taken", "n+=1")
    assert users.ask("deadretry", "p", 1, letter.id).startswith("FB_CONFLICT ")
    again, = users.letters()
    assert (again.id, again.attempts, again.message) == (letter.id, 1, letter.message)
    users.database.run("DELETE FROM users WHERE id = -1")
    assert users.ask("deadretry", "p", 2, letter.id).startswith("FB_UNMET ")
    assert users.ask("deadretry", "p", 1, letter.id) == "FB_OK"
    assert users.letters() == []
    assert users.database.one("SELECT n FROM users WHERE email = 'taken'") == 1
    assert users.ask("deadretry", "p", 1, letter.id).rstrip() == "FB_NOTFOUND"


def test_letters_are_listed_shown_and_dropped_but_never_numbered_twice(users):
    users.database.run("INSERT INTO users(id, email) VALUES (-1, 'taken')")
    for i in range(5):
        users.item("users", i, "merge", "email=taken")
    users.flushed(1, 0)
    ids = [letter.id for letter in users.letters()]
    assert ids == sorted(set(ids)) and len(ids) == 5
    assert [letter.id for letter in users.letters(after=ids[1], limit=2)] == ids[2:4]
    users.tell("deadget", ids[3])
    users.process.stdin.flush()
    (line,), end = users.lines()
    assert Letter(line).key == "users:3" and end == "end FB_OK"
    for i in reversed(ids):
        assert users.ask("deaddrop", i) == "FB_OK"
    assert users.ask("deaddrop", ids[0]).rstrip() == "FB_NOTFOUND"
    users.item("users", 7, "merge", "email=taken")
    assert users.ask("deadadd", "p") == "FB_OK"
    letter, = users.letters()
    assert letter.id > ids[-1] and letter.code == "FENCED"


def test_too_many_bad_rows_stop_everything(users):
    users.database.run("INSERT INTO users(id, email) VALUES (-1, 'taken')")
    for i in range(20):
        users.item("users", i, "merge", "n=1" if i < 10 else "email=taken")
    answer = users.flush(1, 0, dead_max=9)
    assert (answer.outcome, answer.dead, len(answer.refused)) == ("data", 10, 10)
    assert users.database.one("SELECT count(*) AS n FROM users") == 1
    assert users.letters() == [] and users.applied() == 0
    assert users.flush(1, 0, dead_max=10).outcome == "applied"


@pytest.mark.short
def test_a_unique_value_may_move_from_row_to_row(users):
    for i in range(10):
        users.database.run("INSERT INTO users(id, email) VALUES (%s, %s)", i, f"e{i}")
    users.item("users", 3, "merge", "email=free")   # in this order they fit; by key they do not
    users.item("users", 2, "merge", "email=e3")
    users.item("users", 1, "merge", "email=e2")
    users.item("users", 5, "delete")
    users.item("users", 4, "merge", "email=e5")
    users.item("users", 7, "recreate", "email=e4")
    answer = users.flushed(1, 0)
    assert not answer.refused
    found = dict((row[0], row[1]) for row in rows(users.database, "users", "id"))
    assert (found[1], found[2], found[3], found[4], found[7]) == ("e2", "e3", "free", "e5", "e4")


FAMILY = """
CREATE TABLE parents(id {int} PRIMARY KEY, n {int});
CREATE TABLE children(id {int} PRIMARY KEY, parent {int} REFERENCES parents(id)%s);
"""
FAMILY_MARIADB = """
CREATE TABLE parents(id {int} PRIMARY KEY, n {int});
CREATE TABLE children(id {int} PRIMARY KEY, parent {int}, FOREIGN KEY (parent) REFERENCES parents(id));
"""


@pytest.mark.parametrize("deferred", [False, True])
def test_parents_and_children_may_come_in_any_order(world, flusher, deferred):
    if world.kind == "mariadb" and deferred:
        pytest.skip("MariaDB has no deferred constraints")
    database = world(FAMILY_MARIADB if world.kind == "mariadb"
                     else FAMILY % (" DEFERRABLE INITIALLY DEFERRED" if deferred else ""))
    owner = flusher(database)
    owner.bind_as("parents:{id}", "parents")
    owner.bind_as("children:{id}", "children")
    owner.claim()
    for i in range(1, 31):  # a parent's newest change is younger than its child
        owner.item("children", i, "merge", f"parent={i if i != 13 else 4711}")
        owner.item("parents", i, "merge", "n=1")
    answer = owner.flushed(1, 0)
    assert [status for status, _ in answer.refused.values()] == ["FB_CONFLICT"]
    assert [letter.key for letter in owner.letters()] == ["children:13"]
    assert database.one("SELECT count(*) AS n FROM children") == 29
    before = owner.seq
    for i in range(1, 31):
        owner.item("parents", i, "delete")
        if i not in (13, 20):
            owner.item("children", i, "delete")
    answer = owner.flushed(1, before)
    assert len(answer.refused) == 1 and [letter.key for letter in owner.letters()][-1] == "parents:20"
    assert rows(database, "parents", "id") == [(20, 1)]


def test_rows_that_need_each_other_arrive_together(world, flusher):
    if world.kind == "mariadb":
        pytest.skip("MariaDB has no deferred constraints")
    database = world("CREATE TABLE t(id {int} PRIMARY KEY, n {int}, other {int} REFERENCES t(id) "
                     "DEFERRABLE INITIALLY DEFERRED);")
    owner = flusher(database)
    owner.bind_as("t:{id}", "t")
    owner.claim()
    others = {5: 6, 6: 5, 8: 4711}  # eight rows, so that halving leaves the pair together
    for i in range(1, 9):
        more = ["n=1"] if i == 6 else []  # so the two are written by two statements
        owner.item("t", i, "merge", f"other={others[i]}" if i in others else "other!", *more)
    answer = owner.flushed(1, 0)
    assert list(answer.refused) == [8], answer
    assert [row[0] for row in rows(database, "t", "id")] == list(range(1, 8))


def test_unique_values_change_places_where_the_constraint_waits(world, flusher):
    if world.kind != "postgresql":
        pytest.skip("only PostgreSQL's unique constraints can wait")
    database = world("CREATE TABLE t(id int PRIMARY KEY, v text UNIQUE DEFERRABLE);")
    database.run("INSERT INTO t VALUES (1, 'a'), (2, 'b')")
    owner = flusher(database)
    owner.bind_as("t:{id}", "t")
    owner.claim()
    owner.item("t", 1, "merge", "v=b")
    owner.item("t", 2, "merge", "v=a")
    assert not owner.flushed(1, 0).refused
    assert rows(database, "t", "id") == [(1, "b"), (2, "a")]


def test_a_row_whose_key_the_database_alone_gives_is_changed_but_not_made(world, flusher):
    if world.kind != "postgresql":
        pytest.skip("only PostgreSQL refuses it")
    database = world("CREATE TABLE t(id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v text);")
    database.run("INSERT INTO t(v) VALUES ('old')")
    owner = flusher(database)
    owner.bind_as("t:{id}", "t")
    owner.claim()
    owner.item("t", 1, "merge", "v=new")
    bad = owner.item("t", 2, "merge", "v=new")
    assert list(owner.flushed(1, 0).refused) == [bad]
    assert rows(database, "t", "id") == [(1, "new")]


# ---- other failures ----

def test_a_dropped_column_stops_and_loses_nothing(shop):
    shop.item("items", 1, "merge", "n=1")
    shop.flushed(1, 0)
    shop.item("items", 2, "merge", "n=2", "name=two")
    shop.item("pairs", "1:x", "merge", "n=1")
    with shop.database.connect() as connection:
        connection.run("ALTER TABLE items RENAME COLUMN name TO title")
        answer = shop.flush(1, 1)
        assert answer.outcome == "schema" and not answer.refused, answer
        assert shop.applied() == 1 and rows(shop.database, "pairs", "a") == [] and shop.letters() == []
        connection.run("ALTER TABLE items RENAME COLUMN title TO name")
    shop.flushed(1, 1)
    assert shop.database.one("SELECT name FROM items WHERE id = 2") == "two"


def test_a_table_that_is_gone_stops(shop):
    shop.item("items", 2, "merge", "n=2")
    shop.database.run("ALTER TABLE items RENAME TO elsewhere")
    assert shop.flush(1, 0).outcome == "schema"
    shop.database.run("ALTER TABLE elsewhere RENAME TO items")
    shop.flushed(1, 0)


def test_a_table_altered_in_between_holds_nothing_up(shop):
    before = 0
    for i, ddl in enumerate(["ALTER TABLE items ADD COLUMN more {int}", "CREATE INDEX items_n ON items(n)",
                             "ALTER TABLE items DROP COLUMN more"]):
        shop.item("items", 1, "merge", "n+=1")
        shop.item("items", i + 2, "recreate", "n=1")
        shop.flushed(1, before)
        before = shop.seq
        shop.database.make(ddl + ";")
    shop.item("items", 1, "merge", "n+=1")
    shop.flushed(1, before)
    assert shop.database.one("SELECT n FROM items WHERE id = 1") == 4


def test_without_the_table_of_letters_nothing_is_lost(users):
    users.database.run("INSERT INTO users(id, email) VALUES (-1, 'taken')")
    users.item("users", 1, "merge", "email=taken")
    users.item("users", 2, "merge", "email=free")
    users.database.run("ALTER TABLE fb_dead RENAME TO elsewhere")
    assert users.flush(1, 0).outcome == "schema"
    assert users.applied() == 0 and users.database.one("SELECT count(*) AS n FROM users") == 1
    users.database.run("ALTER TABLE elsewhere RENAME TO fb_dead")
    assert users.flushed(1, 0).dead == 1


class Stranger:
    """A user of a database who may do nothing but what is granted."""

    def __init__(self, database):
        self.database, self.name = database, f"stranger_{database.name}"
        self.is_mariadb = database.kind == "mariadb"
        self.role = f"'{self.name}'@'127.0.0.1'" if self.is_mariadb else self.name
        password = servers.PASSWORD.replace("'", "''")
        if self.is_mariadb:
            self.order(f"CREATE USER {self.role} IDENTIFIED BY '{password}'")
        else:
            self.order(f"CREATE ROLE {self.role} LOGIN PASSWORD '{password}'",
                       "REVOKE CREATE ON SCHEMA public FROM PUBLIC")

    def order(self, *statements):
        """As who may do everything."""
        user = servers.USER if self.is_mariadb else "postgres"
        with self.database.server.connect(self.database.name, user=user) as connection:
            for statement in statements:
                connection.run(statement)

    def grant(self, *what):
        self.order(*(f"GRANT {one} TO {self.role}" for one in what))

    def remove(self):
        if not self.is_mariadb:
            self.order(f"DROP OWNED BY {self.role}")
        self.order(f"DROP USER {self.role}")


@pytest.fixture
def stranger(world, flusher):
    if world.kind == "sqlite":
        pytest.skip("SQLite has no users")
    made = []

    def make(database):
        made.append(Stranger(database))
        return made[-1]
    yield make
    for one in made:
        one.remove()


def test_who_may_not_make_the_tables_is_told_what_to_run(world, flusher, stranger):
    database = world(SCHEMA)
    user = stranger(database)
    user.grant("SELECT, INSERT, UPDATE, DELETE ON items")
    one = flusher(database, user=user.name)
    kind, *_, rest = one.claim()
    assert kind == "error" and "CREATE TABLE IF NOT EXISTS fb_partition (part " in rest[3]
    owner = flusher(database)
    assert owner.claim(OTHER)[0] == "new" and owner.ask("clean", "p", 1, 0) == "FB_OK"
    assert one.claim()[0] == "error"  # the tables are there, but not for this one
    user.grant(*(f"SELECT, INSERT, UPDATE, DELETE ON {table}" for table in ("fb_partition", "fb_dead")))
    assert one.claim()[:2] == ("new", 2)


def test_what_one_may_not_write_stops(world, flusher, stranger):
    database = world(SCHEMA)
    database.run("INSERT INTO items(id, n) VALUES (1, 0)")
    flusher(database).claim(JOURNAL)
    user = stranger(database)
    user.grant("SELECT, INSERT, UPDATE, DELETE ON fb_partition", "SELECT, INSERT, UPDATE, DELETE ON fb_dead",
               "SELECT, INSERT, DELETE ON items")
    one = flusher(database, "items", user=user.name)
    assert one.claim()[:2] == ("mine", 2)
    one.item("items", 1, "merge", "n=1")
    answer = one.flush(2, 0)
    assert answer.outcome == "permission" and not answer.refused, answer
    assert one.applied() == 0
    user.grant("UPDATE ON items")
    one.flushed(2, 0)


def test_a_locked_row_is_waited_for_and_then_tried_again(world, flusher):
    database = world(SCHEMA)
    database.run("INSERT INTO items(id, n) VALUES (1, 0), (2, 0)")
    owner = flusher(database, *TABLES, write_ms=2000)
    owner.claim()
    owner.item("items", 1, "merge", "n+=1")
    owner.item("items", 2, "merge", "n+=1")
    with database.connect() as connection:
        connection.run("BEGIN IMMEDIATE" if database.kind == "sqlite" else "BEGIN")
        connection.run("UPDATE items SET n = 100 WHERE id = 2")
        answer = owner.flush(1, 0)
        assert answer.outcome == "transient", answer
        connection.run("COMMIT")
    owner.flushed(1, 0)
    assert [row[1] for row in rows(database, "items", "id")] == [1, 101]


SLOW = {
    "postgresql": "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.05); "
                  "RETURN NEW; END $$; CREATE TRIGGER slow BEFORE INSERT ON items FOR EACH ROW EXECUTE FUNCTION slow();",
    "mariadb": "CREATE TRIGGER slow BEFORE INSERT ON items FOR EACH ROW DO SLEEP(0.05);",
}


def test_statements_that_take_too_long_become_smaller(world, flusher):
    if world.kind not in SLOW:
        pytest.skip("SQLite's statements are of one row")
    database = world(SCHEMA)
    with database.connect() as connection:
        connection.script(SLOW[world.kind])
    owner = flusher(database, "items", write_ms=2000)
    owner.claim()
    for i in range(100):
        owner.item("items", i, "merge", f"n={i}")
    outcomes = [owner.flush(1, 0, rows=1000).outcome]
    while outcomes[-1] == "transient" and len(outcomes) < 8:  # a hundredth is enough for any machine
        outcomes.append(owner.flush(1, 0, rows="same").outcome)
    assert outcomes[0] == "transient" and outcomes[-1] == "applied", outcomes
    assert database.one("SELECT count(*) AS n FROM items") == 100


# ---- connections ----

@pytest.fixture
def behind_proxy(world, flusher):
    """An owner whose way to the database can be cut."""
    if world.kind == "sqlite":
        pytest.skip("SQLite has no connections")
    database = world(SCHEMA)
    proxy = proxies.Proxy(database.kind, database.server.port)
    owner = flusher(database, *TABLES, port=proxy.port, write_ms=8000)
    assert owner.claim()[0] == "new"
    owner.proxy = proxy
    yield owner
    proxy.close()


@pytest.mark.parametrize("event, action", [("sent", "cut before"), ("sent", "cut after"), ("answered", "cut before")])
def test_a_lost_commit_is_told_by_the_watermark(behind_proxy, event, action):
    owner = behind_proxy
    for round in range(3):
        before = owner.seq
        owner.item("items", 1, "merge", "n+=1")
        owner.item("items", 2 + round, "merge", "n+=1")
        owner.proxy.when(event, "COMMIT", action)
        answer = owner.flush(1, before)
        assert owner.proxy.fired.is_set()
        if action == "cut after" and answer.outcome == "applied":
            pass  # the answer was faster than the cut
        else:
            assert answer.outcome == "unknown", answer
            again = owner.flush(1, before)
            possible = {("sent", "cut before"): ["applied"], ("answered", "cut before"): ["already applied"]}
            assert again.outcome in possible.get((event, action), ["applied", "already applied"]), again
        owner.clear()
        assert owner.applied() == owner.seq
        assert owner.database.one("SELECT n FROM items WHERE id = 1") == round + 1
        assert owner.database.one("SELECT n FROM items WHERE id = %s", 2 + round) == 1


def test_a_connection_that_died_while_idle_costs_nothing(behind_proxy):
    owner = behind_proxy
    owner.item("items", 1, "merge", "n+=1")
    owner.proxy.cut()
    owner.flushed(1, 0)


@pytest.mark.parametrize("words", ["UPDATE FB_PARTITION", ("WITH D", "INSERT INTO", "UPDATE `")])
def test_a_connection_that_dies_under_way_has_written_nothing(behind_proxy, words):
    owner = behind_proxy
    owner.item("items", 0, "merge", "n=1")
    owner.flushed(1, 0)  # the connection is in use
    owner.item("items", 1, "merge", "n+=1")
    owner.proxy.when("sent", words, "cut after")
    first = owner.flush(1, 1)
    assert owner.proxy.fired.is_set()
    assert first.outcome in ("transient", "unknown")  # unknown: its answer was faster than the cut
    if first.outcome == "transient":
        assert owner.applied() == 1
    assert owner.flush(1, 1).outcome in ("applied", "already applied")
    assert owner.database.one("SELECT n FROM items WHERE id = 1") == 1


@pytest.mark.parametrize("event", ["sent", "answered"])
def test_a_database_that_crashes_in_commit_has_done_it_once_in_the_end(behind_proxy, event):
    owner, server = behind_proxy, behind_proxy.database.server
    owner.item("items", 1, "merge", "n+=1")
    owner.flushed(1, 0)
    owner.item("items", 1, "merge", "n+=1")
    owner.proxy.when(event, "COMMIT", "hold before")
    owner.tell("flush", "p", 1, 1, 2, 1000, 100)
    owner.process.stdin.flush()
    assert owner.proxy.fired.wait(10)
    server.kill()
    owner.proxy.cut()
    answer = Answer(owner.line(), owner.lines()[0])
    assert answer.outcome == "unknown", answer
    assert owner.flush(1, 1).outcome == "transient"
    server.start()
    owner.proxy.heal()
    assert owner.flush(1, 1).outcome == ("applied" if event == "sent" else "already applied")
    assert owner.applied() == 2 and owner.database.one("SELECT n FROM items WHERE id = 1") == 2


def test_an_unreachable_database_is_transient_and_everything_arrives_later(behind_proxy):
    owner = behind_proxy
    owner.item("items", 1, "merge", "n+=1")
    owner.proxy.refuse()
    assert [owner.flush(1, 0).outcome for _ in range(3)] == ["transient"] * 3
    owner.proxy.heal()
    owner.flushed(1, 0)


def test_a_deadlock_is_transient(world, flusher):
    """Somebody else writes the same rows in another order, until one of the two has to give way."""
    if world.kind == "sqlite":
        pytest.skip("SQLite has one writer")
    database, r = world(SCHEMA), random.Random(1)
    database.run("INSERT INTO items(id, n) VALUES (1, 0), (2, 0), (3, 0)")
    owner = flusher(database, *TABLES, write_ms=8000)
    owner.claim()
    outcomes, others, before = [], 0, 0
    with database.connect() as connection:
        for round in range(4):
            connection.run("BEGIN")
            connection.run("UPDATE items SET n = n + 1000 WHERE id = 3")
            for i in (1, 2, 3):
                owner.item("items", i, "merge", "n+=1")
            owner.tell("flush", "p", 1, before, owner.seq, 1, 100)  # row by row
            owner.process.stdin.flush()
            servers.wait_until(lambda: is_waiting(database), "the flush to wait for the row")
            try:
                connection.run("UPDATE items SET n = n + 1000 WHERE id = 1")
                connection.run("COMMIT")
                others += 1
            except Exception as error:  # the victim is ours; libraries differ in what they raise
                assert "eadlock" in str(error)
                connection.run("ROLLBACK")
            answer = Answer(owner.line(), owner.lines()[0])
            outcomes.append(answer.outcome)
            assert answer.outcome in ("applied", "transient"), answer
            if answer.outcome == "transient":
                owner.flush(1, before)
            owner.clear()
            before = owner.seq
    assert [row[1] for row in rows(database, "items", "id")] == [4 + 1000 * others, 4, 4 + 1000 * others]
    assert "transient" in outcomes or others < 4


def is_waiting(database):
    if database.kind == "postgresql":
        return database.one("SELECT count(*) AS n FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND "
                            "datname = %s", database.name) > 0
    return database.one("SELECT count(*) AS n FROM information_schema.processlist WHERE info LIKE '%FOR UPDATE' AND "
                        "command = 'Execute' AND time_ms > 100") > 0  # (innodb_trx is not renewed while it is read)


# ---- values, and what databases do with them ----

KINDS_OF_VALUES = {
    "sqlite": {
        "id INTEGER PRIMARY KEY, i INTEGER, r REAL, d DECIMAL(10,2), t TEXT, b BLOB, j JSON, o BOOLEAN, w TIMESTAMP": [
            ["i=9223372036854775807", "r=0.1", "d=12.5", "t=ä\"'\\", "b=AP9cJyI=", "j={\"a\": [1, null]}", "o=1"],
            ["r=-1e300", "t=", "b=", "w=2026-01-02 03:04:05"], ["i!", "t!", "j=null"]],
    },
    "postgresql": {
        "id int PRIMARY KEY, s smallint, i int, b bigint, r real, f double precision, d numeric(10,2), o boolean": [
            ["s=-32768", "i=2147483647", "b=-9223372036854775808", "r=0.1", "f=1e-300", "d=99999999.99", "o=1"],
            ["f=Infinity", "d=0.005", "o=0"], ["f=NaN", "r=-Infinity", "d=NaN", "i!"]],
        "id int PRIMARY KEY, t text, v varchar(5), c char(5), y bytea, u uuid, e mood, x inet": [
            ["t={NULL,\"a\"}", "v=abc", "c=ab", "y=AP9cJyI=", "u=8d7a9b9e-1111-2222-3333-444455556666", "e=happy",
             "x=10.0.0.1"], ["t=", "v=", "c=abcde", "y="], ["t=NULL", "v=null", "e=sad"], ["t!", "y!"]],
        "id int PRIMARY KEY, a timestamptz, b timestamp, d date, m time, v interval": [
            ["a=2026-01-02T03:04:05.5+02:00", "b=2026-01-02T03:04:05", "d=2026-02-28", "m=12:00", "v=P1DT2H"],
            ["a=1999-12-31T23:59:60Z", "v=P-1M"]],
        "id int PRIMARY KEY, j json, k jsonb, n int[], s text[], z char(3)[], p pair": [
            ["j={\"a\":  1}", "k={\"b\": [\"\\\\\"]}", "n=[1,null,3]", "s=[\"a\",\"{\",\"\\\"\"]", "z=[\"abc\",\"x\"]",
             "p={\"x\":1,\"y\":\"two\"}"], ["n=[]", "s=[]", "j=null", "k=1"], ["n!", "k!"]],
    },
    "mariadb": {
        "id INT PRIMARY KEY, s SMALLINT UNSIGNED, i INT, b BIGINT, u BIGINT UNSIGNED, f FLOAT, r DOUBLE, d DECIMAL(10,2), "
        "o BOOLEAN, k BIT(9)": [
            ["s=65535", "i=-2147483648", "b=9223372036854775807", "u=18446744073709551615", "f=0.1", "r=1e300",
             "d=99999999.99", "o=1", "k=511"], ["d=-0.01", "k=0"], ["u!", "k!"]],
        "id INT PRIMARY KEY, t TEXT, v VARCHAR(5), c CHAR(5), y VARBINARY(20), e ENUM('happy','sad'), j JSON, g UUID": [
            ["t=ä\\'\"`", "v=abc", "c=ab", "y=AP9cJyI=", "e=sad", "j={\"a\": 1}", "g=8d7a9b9e-1111-2222-3333-444455556666"],
            ["t=", "v=", "y="], ["t!", "e!"]],
        "id INT PRIMARY KEY, a TIMESTAMP(3) NULL, b DATETIME(6), d DATE, m TIME(2), y YEAR": [
            ["a=2026-01-02T03:04:05.5+02:00", "b=2026-01-02T03:04:05.123456", "d=2026-02-28", "m=12:00:00.25", "y=2026"],
            ["a!", "m=-100:00:00"]],
    },
}


@pytest.mark.parametrize("number", range(4))
def test_values_of_all_types_arrive_as_single_writes_bring_them(world, flusher, number):
    tables = list(KINDS_OF_VALUES[world.kind].items())
    if number >= len(tables):
        pytest.skip("no more types")
    columns, many = tables[number]
    more = ("CREATE TYPE mood AS ENUM ('happy', 'sad'); CREATE TYPE pair AS (x int, y text);"
            if world.kind == "postgresql" else "")
    database = world(f"{more} CREATE TABLE flushed({columns}); CREATE TABLE stored({columns});")
    owner = flusher(database)
    owner.bind_as("flushed:{id}", "flushed")
    owner.bind_as("stored:{id}", "stored")
    owner.claim()
    before = 0
    for round in range(2):  # made, then changed
        for i, words in enumerate(many if round == 0 else many[1:] + many[:1]):
            owner.item("flushed", i, "merge", *words)
        owner.flushed(1, before)
        before = owner.seq
        for i, words in enumerate(many if round == 0 else many[1:] + many[:1]):
            owner.item("stored", i, "merge", *words)
        owner.ask("store")
        owner.clear()
        assert repr(rows(database, "flushed", "id")) == repr(rows(database, "stored", "id"))
    assert len(rows(database, "flushed", "id")) == len(many)


TOO_MUCH = {"sqlite": [], "postgresql": ["v=123456", "s=32768", "d=1e10"], "mariadb": ["v=123456", "s=32768", "d=1e10"]}


def test_a_value_that_does_not_fit_is_a_letter_and_is_never_cut(world, flusher):
    wrong = TOO_MUCH[world.kind]
    if not wrong:
        pytest.skip("SQLite takes everything")
    database = world("CREATE TABLE t(id {int} PRIMARY KEY, v varchar(5), s smallint, d numeric(10,2));")
    owner = flusher(database)
    owner.bind_as("t:{id}", "t")
    owner.claim()
    for i, one in enumerate(wrong):
        owner.item("t", i, "merge", one)
        owner.item("t", 100 + i, "merge", "v=12345")
    answer = owner.flushed(1, 0)
    assert [status for status, _ in answer.refused.values()] == ["FB_BADVALUE"] * len(wrong), answer
    assert [row[1] for row in rows(database, "t", "id")] == ["12345"] * len(wrong)


def test_a_sum_out_of_range_is_a_letter(shop):
    shop.item("items", 1, "merge", "n=9223372036854775807")
    shop.flushed(1, 0)
    shop.item("items", 1, "merge", "n+=1")
    shop.item("items", 2, "merge", "n+=1")
    answer = shop.flushed(1, 1)
    assert list(answer.refused) == [2], answer
    assert [row[1] for row in rows(shop.database, "items", "id")] == [2 ** 63 - 1, 1]


def test_sums_of_decimals_keep_every_digit(shop):
    if shop.database.kind == "sqlite":
        pytest.skip("SQLite keeps doubles")
    shop.item("items", 1, "merge", "price=12345678901234567890.1")
    shop.flushed(1, 0)
    shop.item("items", 1, "merge", "price+=0.0000000001")
    shop.flushed(1, 1)
    assert str(shop.database.one("SELECT price FROM items")) == "12345678901234567890.1000000001"


def test_a_change_of_nothing_makes_the_row_that_is_not_there(shop):
    shop.database.run("INSERT INTO items(id, n) VALUES (1, 10)")
    shop.item("items", 1, "merge")
    shop.item("items", 2, "merge")
    shop.item("items", 3, "hdel", "n!")
    shop.flushed(1, 0)
    assert rows(shop.database, "items", "id") == [(1, 10, 7, None, None), (2, None, 7, None, None)]


KEEPS_OUT = {
    "sqlite": "CREATE TRIGGER keep BEFORE UPDATE ON items WHEN OLD.id = 13 BEGIN SELECT RAISE(IGNORE); END;",
    "postgresql": "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN CASE WHEN NEW.id = 13 THEN "
                  "NULL ELSE NEW END; END $$; CREATE TRIGGER keep BEFORE INSERT OR UPDATE ON items FOR EACH ROW "
                  "EXECUTE FUNCTION keep();",
    "mariadb": "CREATE TRIGGER keep BEFORE UPDATE ON items FOR EACH ROW IF NEW.id = 13 THEN SIGNAL SQLSTATE '45000' "
               "SET MESSAGE_TEXT = 'no'; END IF;",
}


@pytest.mark.short
def test_what_a_trigger_keeps_out_is_not_said_to_be_written(shop):
    shop.database.run("INSERT INTO items(id, n) VALUES (12, 0), (13, 0)")
    with shop.database.connect() as connection:
        connection.script(KEEPS_OUT[shop.database.kind])
    shop.item("items", 12, "merge", "n=1")
    bad = shop.item("items", 13, "merge", "n=1")
    answer = shop.flushed(1, 0)
    assert list(answer.refused) == [bad] and answer.refused[bad][0] == "FB_CONFLICT", answer
    assert [row[1] for row in rows(shop.database, "items", "id")] == [1, 0]


def test_keys_that_only_look_alike_to_the_database_are_different_rows(world, flusher):
    if world.kind != "mariadb":
        pytest.skip("keyspaces compare keys exactly there")
    database = world("CREATE TABLE t(k VARCHAR(20) COLLATE utf8mb4_general_ci PRIMARY KEY, n INT);")
    database.run("INSERT INTO t VALUES ('Bob', 1), ('Ann', 1)")
    owner = flusher(database)
    owner.bind_as("t:{k}", "t")
    owner.claim()
    bob = owner.item("t", "bob", "merge", "n=2")
    owner.item("t", "ann", "delete")
    owner.item("t", "Ann", "merge", "n=3")
    answer = owner.flushed(1, 0)
    assert list(answer.refused) == [bob]
    assert rows(database, "t", "k") == [("Ann", 3), ("Bob", 1)]


@pytest.mark.short
def test_statements_of_the_configuration_s_own_are_flushed_too(world, flusher):
    database = world("CREATE TABLE t(id {int} PRIMARY KEY, n {int}, name {text});")
    database.run("INSERT INTO t VALUES (1, 10, 'one'), (2, 20, 'two'), (3, 30, 'three')")
    upsert = ("REPLACE INTO t(id, n, name) VALUES (:id, :n, :name)" if world.kind == "mariadb" else
              "INSERT INTO t(id, n, name) VALUES (:id, :n, :name) ON CONFLICT (id) DO UPDATE SET n = :n, name = :name")
    owner = flusher(database)
    owner.tables["t"] = owner.ask("bindsql", "t:{id:int}", "SELECT id, n, name FROM t WHERE id = :id", upsert,
                                  "DELETE FROM t WHERE id = :id")
    owner.claim()
    owner.item("t", 1, "merge", "n+=1")
    owner.item("t", 2, "delete")
    owner.item("t", 3, "recreate", "n=3")
    owner.item("t", 4, "merge", "name=four")
    owner.flushed(1, 0)
    assert rows(database, "t", "id") == [(1, 11, "one"), (3, 3, None), (4, None, "four")]


def test_rows_of_many_shapes_arrive(world, flusher):
    columns = [f"c{i}" for i in range(12)]
    table = "(id {int} PRIMARY KEY, " + ", ".join(f"{one} {{int}}" for one in columns) + ")"
    database, r = world(f"CREATE TABLE t{table};"), random.Random(5)
    owner = flusher(database)
    owner.bind_as("t:{id}", "t")
    owner.claim()
    wanted, before = {}, 0
    for round in range(3):
        for i in range(300):
            some = {name: r.randrange(1000) for name in r.sample(columns, r.randrange(1, 12))}
            wanted.setdefault(i, dict.fromkeys(columns)).update(some)
            owner.item("t", i, "merge", *(f"{name}={value}" for name, value in some.items()))
        owner.flushed(1, before)
        before = owner.seq
    assert rows(database, "t", "id") == [(i, *wanted[i].values()) for i in range(300)]
