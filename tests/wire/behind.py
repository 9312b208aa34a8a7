"""Write-behind under test: a Forebay that is killed and comes back, writers who remember what they were answered, and
what must follow from that.

Every key but the counters belongs to one writer, so what it may hold is known exactly: the last acknowledged state, or one
that an unanswered write may have made, in the order of sending. Counters are shared: each answer is given once, and the
value lies between what was acknowledged and that plus what was not answered. After a restart what is read is final."""

import functools
import json
import os
import random
import subprocess
import tempfile
import threading

import pytest

from conftest import FOREBAY, Forebay, clean_environment
from resp import Closed, ReplyError, Wire, encode

MODE = os.environ.get("FOREBAY_TEST_WRITE", "write-behind")  # write-through: to try the harness itself
LOST = (OSError, Closed, EOFError)
UNSURE = {"UNKNOWN"}  # first words of errors after which a write may be there

SCHEMA = """
CREATE TABLE counters(id {int} PRIMARY KEY, n {int}, m {int});
CREATE TABLE items(id {int} PRIMARY KEY, v {int}, w {text}, x {text});
CREATE TABLE docs(id {int} PRIMARY KEY, v {int}, w {text}, x {text});
CREATE TABLE pairs(id {int} PRIMARY KEY, v {int}, w {text}, x {text});
"""
WRITERS, COUNTERS, ROWS = 4, 6, 12  # ROWS: of each table and writer
PIPELINE_MAX = 12


def keyspaces(flush="50ms", **more):
    """The four tables; everything is written behind."""
    common = {"source": "db", "write": MODE, "on_del": "delete-row", **more}
    if MODE == "write-behind":
        common["flush_interval"] = flush
    adds = {"add_columns": ["m"]} if MODE == "write-behind" else {}
    return {"c:{id:int}": {"table": "counters", "as": "hash", **common, **adds},
            "r:{id:int}": {"table": "items", "as": "hash", **common},
            "d:{id:int}": {"table": "docs", "as": "json", **common},
            "p:{id:int}": {"table": "pairs", "as": "hash", **common}}


@functools.lru_cache(maxsize=None)
def is_built():
    """Can this build write behind?"""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "forebay.yaml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"server: {{journal_dir: {folder}}}\n")
        result = subprocess.run([FOREBAY, "check", "-c", path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                stdin=subprocess.DEVNULL, text=True, timeout=30, env=clean_environment())
    return "unknown" not in result.stdout


class Behind:
    """`forebay serve` with one configuration, started again and again; its journal stays where it is."""

    def __init__(self, started, folder, database, spaces, port=None, server=None, source=None, journal=None):
        """port: of a proxy before the database."""
        if MODE == "write-behind" and not is_built():
            pytest.skip("this build does not write behind")
        self.started, self.folder, self.server = started, folder, None
        self.journal = journal or os.path.join(folder, "journal")
        self.config = {"server": {"threads": 2, **({"journal_dir": self.journal} if MODE == "write-behind" else {}),
                                  **(server or {})},
                       "sources": {"db": database.source(**({"port": port} if port else {}), **(source or {}))},
                       "keyspaces": spaces}

    def start(self, **server):
        config = {**self.config, "server": {**self.config["server"], **server}}
        self.server = Forebay(self.started, config, self.folder)
        return self.server

    def kill(self):
        self.server.kill()
        self.started.remove(self.server)  # thousands of them would be kept

    def stop(self):
        """Its exit status."""
        status = self.server.stop()
        self.started.remove(self.server)
        return status


class Row:
    """What a key may hold: states, None where there is no row. The first is what was acknowledged."""

    def __init__(self, key):
        self.key, self.states = key, [None]

    def done(self, effect):
        self.states = unique(effect(state) for state in self.states)

    def unsure(self, effects):
        """Writes whose answer is lost, in the order in which they were sent: any number of them from the first on."""
        found = list(self.states)
        for state in self.states:
            for effect in effects:
                state = effect(state)
                found.append(state)
        self.states = unique(found)

    def seen(self, state):
        """Is it one of them? From now on it is this one."""
        if state not in self.states:
            return False
        self.states = [state]
        return True


def unique(states):
    found = []
    for state in states:
        if state not in found:
            found.append(state)
    return found


class Counter:
    """Of two columns; each (acknowledged, unanswered, answers)."""

    def __init__(self, key):
        self.key, self.lock = key, threading.Lock()
        self.sure, self.open, self.answers = {"n": 0, "m": 0}, {"n": 0, "m": 0}, {"n": set(), "m": set()}

    def acknowledged(self, column, by, answer):
        """False: somebody else was given the same value."""
        with self.lock:
            self.sure[column] += by
            if answer in self.answers[column]:
                return False
            self.answers[column].add(answer)
            return True

    def unanswered(self, column, by):
        with self.lock:
            self.open[column] += by

    def seen(self, state):
        state = state or {}
        for column in "nm":
            value = int(state.get(column) or 0)
            if not self.sure[column] <= value <= self.sure[column] + self.open[column]:
                return False
            self.sure[column], self.open[column], self.answers[column] = value, 0, set()
        return True

    @property
    def states(self):
        return [f"{c}: {self.sure[c]} … {self.sure[c] + self.open[c]}" for c in "nm"]


def assigned(**columns):
    return lambda state: {"v": None, "w": None, "x": None, **(state or {}), **columns}


def deleted(_state):
    return None


def as_state(kind, reply):
    """What a key holds, from HGETALL or GET."""
    if kind == "d":
        if reply is None:
            return None
        found = json.loads(reply)
        found.pop("id", None)
        return {"v": None, "w": None, "x": None, **found}
    if isinstance(reply, list):
        found = {reply[i].decode(): reply[i + 1].decode() for i in range(0, len(reply), 2)}
        if not found:
            return None
        found.pop("id", None)
        if kind == "c":
            return found
        found = {"v": None, "w": None, "x": None, **found}
        found["v"] = None if found["v"] is None else int(found["v"])
        return found
    raise AssertionError(f"{kind}: {reply!r}")


def reading(key):
    return ("GET", key) if key[0] == "d" else ("HGETALL", key)


class World:
    """All keys, and what is known of them."""

    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.counters = [Counter(f"c:{i}") for i in range(COUNTERS)]
        self.rows = [{kind: [Row(f"{kind}:{writer * 1000 + i}") for i in range(ROWS)] for kind in "rdp"}
                     for writer in range(WRITERS)]
        self.serials = [writer * 10 ** 9 for writer in range(WRITERS)]  # each value is written once
        self.errors, self.wrong = {}, []
        self.acknowledged = self.unanswered = self.moments = 0
        self.lock, self.fuse = threading.Lock(), None

    def after(self, moments, action):
        """Moments are counted: each time something is sent or answered."""
        with self.lock:
            self.fuse = (self.moments + moments, action)

    def moment(self):
        with self.lock:
            self.moments += 1
            if self.fuse is None or self.moments < self.fuse[0]:
                return
            (_, action), self.fuse = self.fuse, None
        action()

    def keys(self):
        yield from self.counters
        for own in self.rows:
            for rows in own.values():
                yield from rows

    def check(self, server, when):
        """Every key, as the server answers."""
        keys = list(self.keys())
        with server.wire() as wire:
            replies = wire.pipeline([reading(one.key) for one in keys])
        for one, reply in zip(keys, replies):
            states = list(one.states)
            assert not isinstance(reply, ReplyError), f"{when}: {one.key}: {reply.text}"
            state = as_state(one.key[0], reply)
            assert one.seen(state), f"{when}: {one.key} is {state}, which is none of {states}"
        self.check_pairs(when)

    def check_pairs(self, when):
        """What one transaction wrote is there as a whole."""
        for own in self.rows:
            for one, other in zip(own["p"][::2], own["p"][1::2]):
                assert one.states == other.states, f"{when}: {one.key} is {one.states}, {other.key} is {other.states}"

    def check_database(self, database):
        """Every row, as the database has it."""
        tables = {"c": "counters", "r": "items", "d": "docs", "p": "pairs"}
        for kind, table in tables.items():
            found = {}
            for row in database.rows(f"SELECT * FROM {table}"):
                row = dict(row)
                found[f"{kind}:{row.pop('id')}"] = row
            for one in self.keys():
                if one.key[0] == kind:
                    states, state = list(one.states), found.pop(one.key, None)
                    assert one.seen(state), f"in the database: {one.key} is {state}, which is none of {states}"
            assert not found, f"in the database, and nobody's: {found}"
        self.check_pairs("in the database")


class Writer(threading.Thread):
    """One connection that writes until it is cut off or told to stop."""

    def __init__(self, world, number, server, pause=0.0):
        super().__init__(daemon=True)
        self.world, self.number, self.pause = world, number, pause
        self.rng = random.Random(world.rng.random())
        self.own, self.is_over = world.rows[number], threading.Event()
        self.address = (server.host, server.port)
        self.failure, self.acknowledged = None, 0
        self.start()

    def serial(self):
        self.world.serials[self.number] += 1
        return self.world.serials[self.number]

    # A step: commands, and what they do to rows (or a counter), or the row they read. Only the last reply counts.

    def step(self):
        rng, draw = self.rng, self.rng.random()
        if draw < 0.25:
            counter, column, by = rng.choice(self.world.counters), rng.choice("nm"), rng.choice([1, 1, 2, 5])
            return [("HINCRBY", counter.key, column, by)], ("count", counter, column, by)
        if draw < 0.35:
            i, n = rng.randrange(ROWS // 2) * 2, self.serial()
            two, is_end = self.own["p"][i:i + 2], rng.random() < 0.2
            inner = [("DEL", row.key) if is_end else ("HSET", row.key, "v", n, "w", f"w{n}") for row in two]
            effect = deleted if is_end else assigned(v=n, w=f"w{n}")
            return [("MULTI",), *inner, ("EXEC",)], ("write", two, effect)
        row = rng.choice(self.own["r" if draw < 0.7 else "d"])
        draw, n = rng.random(), self.serial()
        if draw < 0.15:
            return [("DEL", row.key)], ("write", [row], deleted)
        if draw < 0.3:
            return [reading(row.key)], ("read", row)
        columns = rng.choice([{"v": n, "w": f"w{n}"}, {"v": n}, {"x": f"x{n}" * rng.choice([1, 40])}])
        if row.key[0] == "d":
            command = ("SET", row.key, json.dumps(columns))
        else:
            command = ("HSET", row.key, *(word for pair in columns.items() for word in pair))
        return [command], ("write", [row], assigned(**columns))

    def answered(self, what, reply):
        if isinstance(reply, list):
            reply = next((part for part in reply if isinstance(part, ReplyError)), reply)
        if isinstance(reply, ReplyError):
            with self.world.lock:
                self.world.errors[reply.word] = self.world.errors.get(reply.word, 0) + 1
                self.world.last_error = reply.text
            if reply.word in UNSURE:
                self.lost([what])
        elif what[0] == "count":
            _, counter, column, by = what
            if not counter.acknowledged(column, by, reply):
                raise AssertionError(f"{counter.key}: two increments of {column} were answered {reply}")
        elif what[0] == "write":
            for row in what[1]:
                row.done(what[2])
        else:
            row, states = what[1], list(what[1].states)
            state = as_state(row.key[0], reply)
            if state not in states:
                raise AssertionError(f"{row.key} is {state} to its only writer, who left {states}")

    def lost(self, whats):
        effects = {}
        for what in whats:
            if what[0] == "count":
                what[1].unanswered(what[2], what[3])
            elif what[0] == "write":
                for row in what[1]:
                    effects.setdefault(row, []).append(what[2])
        for row, chain in effects.items():
            row.unsure(chain)

    def run(self):
        open_steps = []
        try:
            with Wire(*self.address, timeout=30) as wire:
                while not self.is_over.is_set():
                    steps = [self.step() for _ in range(self.rng.randint(1, PIPELINE_MAX))]
                    open_steps = [what for _, what in steps]
                    wire.send(b"".join(encode(*words) for commands, _ in steps for words in commands))
                    self.world.moment()
                    for commands, what in steps:
                        for _ in commands:
                            reply = wire.read()
                        open_steps.pop(0)
                        self.answered(what, reply)
                        self.acknowledged += what[0] != "read"
                        self.world.moment()
                    if self.pause:
                        self.is_over.wait(self.rng.random() * self.pause)
        except LOST:
            self.lost(open_steps)
        except Exception as error:  # a thread's own death would go unseen
            self.failure = error
            self.lost(open_steps)
        with self.world.lock:
            self.world.acknowledged += self.acknowledged
            self.world.unanswered += sum(what[0] != "read" for what in open_steps)


def write(world, server, pause=0.0):
    """All writers at once, until `over` ends them."""
    return [Writer(world, number, server, pause) for number in range(WRITERS)]


def over(writers):
    """They end after what they have sent; what they have seen that cannot be is raised here."""
    for writer in writers:
        writer.is_over.set()
    for writer in writers:
        writer.join(60)
        assert not writer.is_alive(), "a writer waits for an answer"
    for writer in writers:
        if writer.failure is not None:
            raise writer.failure
