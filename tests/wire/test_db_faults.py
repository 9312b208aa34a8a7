"""Shows what PostgreSQL's and MariaDB's faults come to, with real servers and a proxy that cuts at the worst moment:
each gives the promised error, UNKNOWN only where COMMIT may have arrived; whatever else is answered is the truth; no
stale row stays cached; and service is back soon after the server.

Where nothing is said, time runs out for nothing but what a test holds back for ever: a busy machine is no fault. Where a
timeout is what is shown ("hasty"), it is short, and what it is shown of is brought about however often that takes."""

import contextlib
import random
import subprocess
import threading
import time

import pytest

import databases
import proxy as proxies
from conftest import FOREBAY, IS_FULL, clean_environment, to_yaml, wait_until
from databases import as_hash
from resp import ReplyError

BACK_S = 30.0  # the breaker looks again every second or so
READ_MS, WRITE_MS = 10000, 4900  # the latter is the longest there is
HASTY_READ_MS, HASTY_WRITE_MS = 3000, 3000  # enough for a busy machine to start a server with
SLACK_S = 10.0  # of those who wait for a timeout; without one they would for ever
ROWS = 20
WRITERS = 2  # connections that write at once
NEVER_APPLIED = {"SRCDOWN", "SRCTIMEOUT", "SRCERR"}
SCHEMA = """
CREATE TABLE t(id {int} PRIMARY KEY, n {int}, name {text});
INSERT INTO t(id, n, name) VALUES %s;
""" % ", ".join(f"({i}, {i * 10}, 'row {i}')" for i in range(1, ROWS + 1))


class Shop:
    """A table of twenty rows behind Forebay behind a proxy; `direct` goes past both."""

    def __init__(self, forebay, database, is_hasty):
        self.database, self.server = database, database.server
        self.read_ms, self.write_ms = (HASTY_READ_MS, HASTY_WRITE_MS) if is_hasty else (READ_MS, WRITE_MS)
        self.proxy = proxies.Proxy(database.kind, self.server.port)
        self.forebay_of = forebay  # to start another one
        source = database.source(self.proxy.port, pool=2, read_timeout=f"{self.read_ms}ms",
                                 write_timeout=f"{self.write_ms}ms")
        self.forebay = forebay({
            "sources": {"shop": source},
            "keyspaces": {"t:{id}": {"source": "shop", "table": "t", "as": "hash", "write": "write-through",
                                     "on_del": "delete-row"}}})
        self.wire = self.forebay.wire(timeout=30)

    def row(self, id):
        rows = self.database.rows("SELECT * FROM t WHERE id = %s", id)
        return as_hash(rows[0]) if rows else []

    def get(self, id):
        return self.wire.ask("HGETALL", f"t:{id}")

    def set(self, id, n):
        return self.wire.ask("HSET", f"t:{id}", "n", n)

    def warm(self):
        """Row 1 is cached from now on; where time is short, after some attempts."""
        wait_until(lambda: not isinstance(self.get(1), ReplyError), "row 1", BACK_S)
        assert self.get(1) == self.row(1)

    def connections_in_transaction(self):
        if self.database.kind == "postgresql":
            return self.database.one("SELECT count(*) AS n FROM pg_stat_activity WHERE datname = %s AND "
                                     "application_name = 'forebay' AND xact_start IS NOT NULL", self.database.name)
        return self.database.one("SELECT count(*) AS n FROM information_schema.innodb_trx")

    def waiting(self):
        """Operations that wait in front of the source, as INFO counts them."""
        return self.forebay.source()["waiting"]

    def kill_connections(self):
        with self.database.connect() as direct:
            for id in self.database.connections():
                with contextlib.suppress(Exception):  # it went by itself
                    direct.run(f"SELECT pg_terminate_backend({id})" if self.database.kind == "postgresql"
                               else f"KILL CONNECTION {id}")

    @contextlib.contextmanager
    def transaction(self, *statements):
        """Locks that somebody else holds."""
        with self.database.connect() as direct:
            direct.run("BEGIN")
            for statement in statements:
                direct.run(statement)
            yield direct
            direct.run("ROLLBACK")

    @contextlib.contextmanager
    def locked_table(self):
        if self.database.kind == "postgresql":
            with self.transaction("LOCK TABLE t IN ACCESS EXCLUSIVE MODE"):
                yield
            return
        with self.database.connect() as direct:
            direct.run("LOCK TABLES t WRITE")
            yield
            direct.run("UNLOCK TABLES")

    def begin(self, *words):
        """In a thread with a connection of its own; join() gives the reply and the seconds it took."""
        return Begun(self, words)

    def check_truth(self, ids=range(1, ROWS + 1)):
        """Every row is served again, and nothing that is not so is ever said."""
        def is_served(id):
            reply = self.get(id)
            if isinstance(reply, ReplyError):
                assert reply.word in NEVER_APPLIED, reply
                return False
            assert reply == self.row(id), f"t:{id}"
            return True
        deadline = time.monotonic() + BACK_S
        for id in ids:
            wait_until(lambda: is_served(id), f"service of t:{id}", deadline - time.monotonic())
        for id in ids:  # again, from the cache or not: the same
            assert self.get(id) == self.row(id), f"t:{id}"


class Begun:
    def __init__(self, shop, words):
        self.shop, self.words, self.reply, self.seconds = shop, words, None, None
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        began = time.monotonic()
        with self.shop.forebay.wire(timeout=30) as wire:
            self.reply = wire.ask(*self.words)
        self.seconds = time.monotonic() - began

    def join(self):
        self.thread.join(30)
        assert not self.thread.is_alive(), f"no reply to {self.words}"
        return self.reply


@pytest.fixture(params=["postgresql", "mariadb"])
def shop(request, forebay, make_database):
    database = make_database(request.param)
    if request.param not in databases.WRITERS:
        pytest.skip(f"the driver of {request.param} does not write yet")
    made = Shop(forebay, database.make(SCHEMA), "hasty" in request.keywords)
    yield made
    made.proxy.close()
    made.wire.close()


def failed(reply, words=NEVER_APPLIED):
    return isinstance(reply, ReplyError) and reply.word in words


# ---- reading --------------------------------------------------------------------------------------------------------

def test_killed_backend_in_the_middle_of_a_read(shop):
    with shop.locked_table():
        reads = [shop.begin("HGETALL", f"t:{id}") for id in (1, 2)]
        wait_until(shop.database.busy, "the reads to wait for the lock", READ_MS / 1000)
        shop.kill_connections()
        for read in reads:
            assert failed(read.join(), {"SRCDOWN", "SRCTIMEOUT"}), read.reply
    shop.check_truth()


def test_connections_that_died_unused_cost_no_error(shop):
    assert shop.get(1) == shop.row(1)
    assert shop.set(2, 21) == 0
    shop.kill_connections()
    assert shop.get(3) == shop.row(3)
    assert shop.set(4, 41) == 0
    shop.proxy.cut()
    assert shop.get(5) == shop.row(5)
    assert shop.set(6, 61) == 0
    shop.check_truth()


def test_answer_that_is_lost_on_its_way(shop):
    assert shop.get(1) == shop.row(1)
    shop.proxy.when("answered", "SELECT", "cut before")
    reply = shop.get(2)
    assert shop.proxy.fired.is_set()
    assert reply == shop.row(2) or failed(reply, {"SRCDOWN"}), reply
    shop.check_truth()


@pytest.mark.hasty
def test_locked_table_is_a_timeout_and_no_statement_stays_behind(shop):
    shop.warm()
    with shop.locked_table():
        began = time.monotonic()
        reply = shop.get(2)
        assert failed(reply, {"SRCTIMEOUT"}), reply
        assert shop.read_ms / 1000 * 0.9 < time.monotonic() - began < shop.read_ms / 1000 + SLACK_S
        assert shop.get(1)[1] == b"1"  # what is cached is served
        wait_until(lambda: not shop.database.busy(), "the end of the statement that nobody waits for", SLACK_S)
    shop.check_truth()


@pytest.mark.hasty
def test_frozen_server_is_a_timeout_and_the_cache_serves_on(shop):
    shop.warm()
    expected = shop.row(1)
    shop.server.freeze()
    try:
        for words in (("HGETALL", "t:2"), ("HSET", "t:3", "n", 1)):
            began = time.monotonic()
            reply = shop.wire.ask(*words)
            assert failed(reply, {"SRCTIMEOUT", "SRCDOWN"}), reply
            assert time.monotonic() - began < shop.write_ms / 1000 + SLACK_S
        assert shop.get(1) == expected
    finally:
        shop.server.thaw()
    shop.check_truth()
    assert shop.row(3)[3] == b"30"  # what was said not to be applied is not applied afterwards


def test_read_of_a_frozen_server_takes_one_timeout_and_not_a_second(shop):
    source = shop.database.source(read_timeout="6s", pool=1)
    patient = shop.forebay_of({"sources": {"s": source}, "keyspaces": {"t:{id}": {"source": "s", "table": "t"}}})
    with patient.wire(timeout=30) as wire:
        assert b"row 1" in wire.ask("GET", "t:1")  # the connection is there, and is not new any more
        shop.server.freeze()
        try:
            began = time.monotonic()
            assert failed(wire.ask("GET", "t:2"), {"SRCTIMEOUT"})
            assert 5.5 < time.monotonic() - began < 11.5
        finally:
            shop.server.thaw()


def test_giving_up_on_a_frozen_server_has_an_end(shop):
    """Whoever asks it to give a query up would wait for its answer as well, and no worker would be left."""
    source = shop.database.source(read_timeout="3s", pool=1, breaker_failures=2)
    hasty = shop.forebay_of({"sources": {"s": source}, "keyspaces": {"t:{id}": {"source": "s", "table": "t"}}})
    with hasty.wire(timeout=30) as wire:
        wait_until(lambda: not isinstance(wire.ask("GET", "t:1"), ReplyError), "a connection", BACK_S)
        shop.server.freeze()
        try:
            assert failed(wire.ask("GET", "t:2"), {"SRCTIMEOUT"})
            wait_until(lambda: hasty.source("s")["under_way"] == 0, "the worker to come home", BACK_S)
            wait_until(lambda: failed(wire.ask("GET", "t:3"), {"SRCDOWN"}), "the breaker to open", BACK_S)
        finally:
            shop.server.thaw()
        wait_until(lambda: not isinstance(wire.ask("GET", "t:2"), ReplyError), "the server to be asked again", BACK_S)


def check(tmp_path, source, **keyspace):
    path = tmp_path / "check.yaml"
    path.write_text(to_yaml({"sources": {"s": source}, "keyspaces": {"t:{id}": {"source": "s", **keyspace}}}) + "\n")
    return subprocess.run([FOREBAY, "check", "-c", str(path)], capture_output=True, text=True, timeout=60,
                          env=clean_environment())


@pytest.mark.parametrize("words", ["SET", "SELECT"])
@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_a_database_that_is_silent_at_the_start_is_no_fault_of_the_file(make_database, kind, words, tmp_path):
    """Whoever starts Forebay tries again; a faulty file would end that."""
    database = make_database(kind).make(SCHEMA)
    proxy = proxies.Proxy(kind, database.server.port)
    proxy.when("answered", words, "hold before")
    try:
        run = check(tmp_path, database.source(proxy.port, read_timeout="1s"), table="t")
    finally:
        proxy.close()
    assert proxy.fired.is_set()
    assert run.returncode == 69 and "error[source-down]" in run.stderr and "no answer within" in run.stderr, run


@pytest.mark.hasty
@pytest.mark.parametrize("keyspace", [{"table": "t"}, {"load": "'SELECT n FROM t WHERE id = :id'"}], ids=["table", "load"])
def test_a_table_that_is_locked_at_the_start_is_no_fault_of_the_file(shop, keyspace, tmp_path):
    with shop.locked_table():
        run = check(tmp_path, shop.database.source(read_timeout="3s"), **keyspace)
    assert run.returncode == 0 or run.returncode == 69 and "error[source-down]" in run.stderr, run
    assert check(tmp_path, shop.database.source(), **keyspace).returncode == 0


def test_options_of_the_url_go_before_ours(shop):
    if shop.database.kind != "postgresql":
        pytest.skip("the driver of MariaDB sets nothing that a URL could set")
    source = shop.database.source(pool=1)
    source["url"] += ("&" if "?" in source["url"] else "?") + "application_name=till%3F"
    own = shop.forebay_of({"sources": {"s": source}, "keyspaces": {"t:{id}": {"source": "s", "table": "t"}}})
    with own.wire() as wire:
        assert b"row 1" in wire.ask("GET", "t:1")
        assert shop.database.one("SELECT count(*) AS n FROM pg_stat_activity WHERE application_name = 'till?'") == 2


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_server_that_restarts(shop, how):
    assert shop.get(1) == shop.row(1)
    expected = shop.row(1)
    getattr(shop.server, how)()
    for id in (2, 3):
        began = time.monotonic()
        reply = shop.get(id)
        assert failed(reply, {"SRCDOWN"}), reply
        assert time.monotonic() - began < READ_MS / 1000 / 2
    assert failed(shop.set(4, 5), {"SRCDOWN"})
    assert shop.get(1) == expected
    shop.server.start()
    shop.check_truth()
    assert shop.row(4)[3] == b"40"
    assert shop.set(4, 5) == 0 and shop.row(4)[3] == b"5"


def test_unreachable_server_says_so_at_once(shop):
    shop.proxy.refuse()
    began = time.monotonic()
    for id in range(1, 6):
        assert failed(shop.get(id), {"SRCDOWN"})
    assert time.monotonic() - began < READ_MS / 1000 / 2  # and nobody waited for a timeout
    shop.proxy.heal()
    shop.check_truth()


def test_exhausted_connections(shop):
    assert shop.get(1) == shop.row(1)
    others = []
    shop.proxy.refuse()
    try:
        with contextlib.suppress(Exception):
            for _ in range(100):
                others.append(shop.database.connect())
        assert 10 < len(others) < 100
        shop.proxy.heal()
        reply = shop.get(2)
        assert failed(reply, {"SRCDOWN"}) and "onnection" in reply.text, reply
        assert shop.get(1)[1] == b"1"
    finally:
        for other in others:
            other.close()
    shop.check_truth()


def test_pool_never_exceeds_its_size(shop):
    begun = [shop.begin("HGETALL", f"t:{id}") for id in range(1, ROWS + 1)]
    begun += [shop.begin("HSET", f"t:{id}", "n", id) for id in range(1, ROWS + 1)]
    for one in begun:
        one.join()
    assert len(shop.database.connections()) <= 2 + WRITERS + 1  # pool, writers, the catalogue
    shop.check_truth()


def test_column_that_is_dropped_while_running(shop):
    assert shop.get(1) == shop.row(1)
    shop.database.run("ALTER TABLE t DROP COLUMN name")
    for _ in range(2):
        reply = shop.get(2)
        assert failed(reply, {"SRCERR"}) and "name" in reply.text, reply
        reply = shop.set(3, 31)
        assert failed(reply, {"SRCERR"}), reply
    assert shop.database.one("SELECT n FROM t WHERE id = 3") == 30
    shop.database.run("ALTER TABLE t ADD COLUMN name varchar(20) DEFAULT 'back'")
    shop.check_truth(range(2, ROWS + 1))
    assert shop.set(3, 31) == 0 and shop.get(3) == shop.row(3)


def test_column_that_is_added_or_widened_while_running_changes_nothing(shop):
    assert shop.get(1) == shop.row(1) and shop.set(1, 11) == 0
    shop.database.run("ALTER TABLE t ADD COLUMN more varchar(20) DEFAULT 'x'")
    known = lambda id: shop.row(id)[:6]  # noqa: E731
    assert shop.get(2) == known(2)
    assert shop.set(3, 33) == 0 and shop.get(3) == known(3)
    shop.database.run("ALTER TABLE t " + ("ALTER n TYPE numeric(20)" if shop.database.kind == "postgresql"
                                          else "MODIFY n DECIMAL(20)"))
    for id in (4, 5):
        assert shop.get(id) == known(id)
        assert shop.set(id, 7) == 0 and shop.get(id) == known(id)


# ---- writing --------------------------------------------------------------------------------------------------------

WRITES = ("INSERT", "UPDATE")


def test_backend_that_is_killed_before_commit_was_sent(shop):
    """The statement has been done, COMMIT is held back; the server rolls back."""
    assert shop.set(1, 11) == 0
    shop.proxy.when("answered", WRITES, "hold before")
    write = shop.begin("HSET", "t:2", "n", 99)
    assert shop.proxy.fired.wait(20)
    shop.proxy.is_held = True
    shop.kill_connections()
    shop.proxy.cut()
    shop.proxy.heal()
    reply = write.join()
    assert failed(reply, NEVER_APPLIED) and shop.row(2)[3] == b"20" or reply == 0 and shop.row(2)[3] == b"99", reply
    shop.check_truth()


@pytest.mark.parametrize("moment", ["cut before", "cut after"])
def test_connection_lost_when_the_write_is_sent(shop, moment):
    assert shop.set(1, 11) == 0
    shop.proxy.when("sent", WRITES, moment)
    reply = shop.set(2, 99)
    assert shop.proxy.fired.is_set()
    assert failed(reply, NEVER_APPLIED) and shop.row(2)[3] == b"20" or reply == 0 and shop.row(2)[3] == b"99", reply
    shop.check_truth()


def test_answer_to_commit_that_is_lost_is_unknown_and_the_row_is_the_new_one(shop):
    assert shop.get(2) == shop.row(2) and shop.set(1, 11) == 0
    shop.proxy.when("answered", "COMMIT", "cut before")
    reply = shop.set(2, 99)
    assert shop.proxy.fired.is_set()
    assert failed(reply, {"UNKNOWN"}), reply
    assert shop.row(2)[3] == b"99"
    shop.check_truth()


def test_commit_that_is_lost_is_unknown_and_the_row_is_the_old_one(shop):
    assert shop.get(2) == shop.row(2) and shop.set(1, 11) == 0
    shop.proxy.when("sent", "COMMIT", "cut before")
    reply = shop.set(2, 99)
    assert shop.proxy.fired.is_set()
    assert failed(reply, {"UNKNOWN"}), reply
    assert shop.row(2)[3] == b"20"
    shop.check_truth()


def test_commit_that_arrives_late_leaves_nothing_stale(shop):
    """COMMIT is held back until the writer has given up. Reads before it arrives see the old row, which is not kept."""
    assert shop.get(2) == shop.row(2) and shop.set(1, 11) == 0
    shop.proxy.when("sent", "COMMIT", "hold before")
    write = shop.begin("HSET", "t:2", "n", 99)
    assert shop.proxy.fired.wait(20)
    assert failed(write.join(), {"UNKNOWN"}), write.reply
    assert write.seconds < shop.write_ms / 1000 + SLACK_S
    shop.proxy.heal()

    def is_decided():
        reply = shop.get(2)
        assert failed(reply, NEVER_APPLIED) or reply[3] in (b"20", b"99"), reply
        return shop.row(2)[3] == b"99" or not shop.connections_in_transaction()
    wait_until(is_decided, "the server to commit, or to give the transaction up", BACK_S)
    shop.check_truth()


def test_locked_row_is_a_timeout_and_is_never_written_afterwards(shop):
    assert shop.get(2) == shop.row(2)
    with shop.transaction("UPDATE t SET n = 77 WHERE id = 2"):
        began = time.monotonic()
        others = [shop.begin("HSET", f"t:{id}", "n", id + 1) for id in range(3, 9)]
        reply = shop.set(2, 99)
        assert failed(reply, {"SRCTIMEOUT"}), reply
        assert time.monotonic() - began < shop.write_ms / 1000 * 2 + SLACK_S
        for other in others:  # one lock holds up nobody else's write
            assert other.join() == 0, (other.words, other.reply)
        assert shop.get(2) == shop.row(2)
    wait_until(lambda: not shop.database.busy(), "the end of the statement that nobody waits for", SLACK_S)
    assert shop.row(2)[3] == b"20"
    shop.check_truth()


def test_refused_rows_have_their_own_outcome_among_many(shop):
    shop.database.run("ALTER TABLE t ADD CONSTRAINT small CHECK (n < 1000)")
    first = []
    with shop.transaction("UPDATE t SET n = 77 WHERE id IN (19, 20)"):
        for id in (19, 20):  # both connections for writing wait for a lock; the others gather behind them
            first.append(shop.begin("HSET", f"t:{id}", "n", id))
            wait_until(lambda: len(shop.database.busy()) >= len(first) and shop.waiting() == 0, "the write to wait")
        writes = {id: shop.begin("HSET", f"t:{id}", "n", 5000 if id % 5 == 0 else id + 1) for id in range(1, 19)}
        wait_until(lambda: shop.waiting() >= 18, "the others to wait behind them")
    assert [one.join() for one in first] == [0, 0]
    for id, write in writes.items():
        reply = write.join()
        if id % 5 == 0:
            assert failed(reply, {"CONFLICT"}) and "small" in reply.text, reply
            assert ("23514" if shop.database.kind == "postgresql" else "23000") in reply.text
        else:
            assert reply == 0, (id, reply)
    shop.check_truth()
    for id in range(1, 19):
        assert shop.row(id)[3] == (b"%d" % (id * 10) if id % 5 == 0 else b"%d" % (id + 1))


# ---- all of it at random --------------------------------------------------------------------------------------------

CHAOS_S = 20.0 if IS_FULL else 4.0  # and longer, until enough has happened
CHAOS_MAX_S = 60.0


class Writer(threading.Thread):
    """The only one who writes its row, ever larger numbers; knows which it may hold, and reads it back."""

    def __init__(self, shop, id, end):
        super().__init__(daemon=True)
        self.shop, self.id, self.end = shop, id, end
        self.possible, self.next, self.wrong, self.counts = {id * 10}, 1000, None, {}

    def run(self):
        try:
            with self.shop.forebay.wire(timeout=30) as wire:
                while not self.end.is_set():
                    self.write(wire)
                    self.read(wire)
        except BaseException as error:  # shown by the test's own thread
            self.wrong = repr(error)

    def write(self, wire):
        self.next += 1
        reply = wire.ask("HSET", f"t:{self.id}", "n", self.next)
        word = reply.word if isinstance(reply, ReplyError) else "OK"
        self.counts[word] = self.counts.get(word, 0) + 1
        if word == "OK":
            self.possible = {self.next}
        elif word == "UNKNOWN":
            self.possible.add(self.next)
        else:
            assert word in NEVER_APPLIED | {"SRCBUSY"}, reply

    def read(self, wire):
        reply = wire.ask("HGETALL", f"t:{self.id}")
        if isinstance(reply, ReplyError):
            assert reply.word in NEVER_APPLIED | {"SRCBUSY"}, reply
            return
        got = int(reply[3])
        assert got in self.possible, f"t:{self.id}: {got}, but it can only be one of {sorted(self.possible)}"
        self.possible = {number for number in self.possible if number >= got}  # a late COMMIT may still come


class Mover(threading.Thread):
    """Moves amounts between rows, in transactions: their sum stays what it was, whatever becomes of each."""

    ROWS = range(15, ROWS + 1)

    def __init__(self, shop, seed, end):
        super().__init__(daemon=True)
        self.shop, self.random, self.end, self.wrong, self.done = shop, random.Random(seed), end, None, 0

    def run(self):
        try:
            with self.shop.forebay.wire(timeout=30) as wire:
                while not self.end.is_set():
                    self.move(wire, *self.random.sample(self.ROWS, 2), self.random.randint(1, 9))
        except BaseException as error:
            self.wrong = repr(error)

    def move(self, wire, giver, taker, amount):
        *_, reply = wire.pipeline([("MULTI",), ("HINCRBY", f"t:{giver}", "n", -amount),
                                   ("HINCRBY", f"t:{taker}", "n", amount), ("EXEC",)])
        if isinstance(reply, ReplyError):
            assert reply.word == "EXECABORT" or reply.word in NEVER_APPLIED | {"UNKNOWN", "SRCBUSY", "CONFLICT"}, reply
        else:
            assert len(reply) == 2 and all(isinstance(number, int) for number in reply), reply
            self.done += 1


class Reader(threading.Thread):
    """Reads the writers' rows; no number ever becomes smaller."""

    def __init__(self, shop, end):
        super().__init__(daemon=True)
        self.shop, self.end, self.wrong, self.seen = shop, end, None, {}

    def run(self):
        try:
            with self.shop.forebay.wire(timeout=30) as wire:
                while not self.end.is_set():
                    for id in range(1, Mover.ROWS[0]):
                        reply = wire.ask("HGETALL", f"t:{id}")
                        if not isinstance(reply, ReplyError):
                            got = int(reply[3])
                            assert got >= self.seen.get(id, 0), f"t:{id}: {got} after {self.seen[id]}"
                            self.seen[id] = got
        except BaseException as error:
            self.wrong = repr(error)


def play_havoc(shop, seed, is_over):
    """One fault after the other."""
    r = random.Random(seed)

    def for_a_moment(begin, finish):
        begin()
        threading.Event().wait(r.uniform(0.02, 0.3))
        finish()

    def locked():
        with shop.transaction(f"SELECT n FROM t WHERE id = {r.randint(1, ROWS)} FOR UPDATE"):
            threading.Event().wait(r.uniform(0.02, 0.3))
    faults = [
        shop.proxy.cut, shop.kill_connections, locked,
        lambda: for_a_moment(shop.proxy.hold, shop.proxy.heal),
        lambda: for_a_moment(shop.proxy.refuse, shop.proxy.heal),
        lambda: for_a_moment(shop.server.freeze, shop.server.thaw),
        lambda: shop.proxy.when("sent", "COMMIT", r.choice(["cut before", "cut after"])),
        lambda: shop.proxy.when("answered", "COMMIT", "cut before"),
        lambda: shop.proxy.when("sent", WRITES, r.choice(["cut before", "cut after"])),
        lambda: for_a_moment(lambda: shop.proxy.when("sent", "COMMIT", "hold before"), shop.proxy.heal),
    ]
    while not is_over():
        r.choice(faults)()
        threading.Event().wait(r.uniform(0.0, 0.15))
    shop.proxy.heal()


@pytest.mark.short
@pytest.mark.hasty
@pytest.mark.parametrize("seed", range(1, 4 if IS_FULL else 2))
def test_random_faults_never_show_what_is_not_so(shop, seed):
    end, began = threading.Event(), time.monotonic()
    writers = [Writer(shop, id, end) for id in range(1, 13)]
    movers = [Mover(shop, n, end) for n in range(3)]
    readers = [Reader(shop, end) for _ in range(2)] + movers

    def is_enough():
        return sum(writer.counts.get("OK", 0) for writer in writers) > 12 and sum(mover.done for mover in movers) > 0

    def is_over():
        seconds = time.monotonic() - began
        return seconds > CHAOS_MAX_S or seconds > CHAOS_S and is_enough() or \
            any(thread.wrong for thread in writers + readers)
    total = f"SELECT sum(n) FROM t WHERE id >= {Mover.ROWS[0]}"
    before = shop.database.one(total)
    for thread in writers + readers:
        thread.start()
    try:
        play_havoc(shop, seed, is_over)
    finally:
        end.set()
        for thread in writers + readers:
            thread.join(30)
    assert [thread.wrong for thread in writers + readers if thread.wrong] == []
    assert is_enough(), "too little happened to say anything"
    shop.check_truth()
    assert shop.database.one(total) == before
    for writer in writers:
        assert int(shop.row(writer.id)[3]) in writer.possible
