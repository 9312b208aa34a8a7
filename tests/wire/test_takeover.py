"""Shows that pending writes belong to one process: another one is refused and told whom to ask; when the owner does not
come back, `forebay takeover` says what that would cost and takes the source only when told so; and when the old owner
comes back after all, its writes become dead letters and nothing newer is overwritten."""

import json
import os
import shutil
import subprocess
import time

import pytest

from conftest import FOREBAY, clean_environment, wait_until
from resp import ReplyError

pytestmark = pytest.mark.short


def takeover(server, *words):
    result = subprocess.run([FOREBAY, "takeover", "-c", server.config_path, *words], stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True, timeout=60,
                            env=clean_environment())
    return result.returncode, result.stdout


def test_a_source_is_taken_from_an_owner_that_does_not_come_back(world, forebay, tmp_path):
    database = world("CREATE TABLE t(id {int} PRIMARY KEY, v {int});")

    def start(name):
        return forebay({"server": {"journal_dir": os.path.join(str(tmp_path), name)},
                        "sources": {"db": database.source()},
                        "keyspaces": {"t:{id:int}": {"source": "db", "table": "t", "as": "hash",
                                                     "write": "write-behind", "flush_interval": "60s"}}})

    def value(id):
        found = database.rows("SELECT v FROM t WHERE id = %s", id)
        return found[0]["v"] if found else None

    first = start("first")
    with first.wire() as wire:
        assert not isinstance(wire.ask("HSET", "t:5", "v", "5"), ReplyError) and wire.ask("WAIT", 1, 20000) == 1
        assert not isinstance(wire.ask("HSET", "t:1", "v", "1"), ReplyError)
    first.kill()
    second = start("second")
    wire = second.wire()

    def refused():
        answer = wire.ask("HSET", "t:1", "v", "2")
        return answer.word if isinstance(answer, ReplyError) else None
    assert refused() == "NOTOWNER"

    status, text = takeover(second)
    assert status == 1 and "--accept-loss db" in text and "belongs to pid" in text, text
    assert refused() == "NOTOWNER"
    status, text = takeover(second, "--accept-loss", "elsewhere")
    assert status == 2, text
    status, text = takeover(second, "--accept-loss", "db")
    assert status == 0 and "has been taken from" in text, text

    wait_until(lambda: refused() is None, "the second to claim the source", 30)
    wire.close()
    assert second.stop() == 0 and value(1) == 2
    status, text = takeover(second)
    assert status == 0, text  # nothing is pending now

    again = start("first")  # its journal has the write of the beginning
    letter = wait_until(lambda: database.rows("SELECT key_name, code FROM fb_dead"), "the conflict to be a letter", 30)
    assert [(bytes(row["key_name"]), row["code"]) for row in letter] == [(b"t:1", "FENCED")]
    with again.wire() as wire:
        assert wire.ask("HGET", "t:1", "v") == b"2"
        assert not isinstance(wire.ask("HSET", "t:1", "v", "3"), ReplyError)
    assert again.stop() == 0 and value(1) == 3


def test_a_journal_that_was_away_writes_nothing_again(world, forebay, tmp_path):
    """What another owner has written since stays, also when the first one comes back and dies before it has flushed."""
    database = world("CREATE TABLE t(id {int} PRIMARY KEY, v {int}, n {int});")

    def start(name):
        return forebay({"server": {"journal_dir": os.path.join(str(tmp_path), name)},
                        "sources": {"db": database.source()},
                        "keyspaces": {"t:{id:int}": {"source": "db", "table": "t", "as": "hash", "add_columns": ["n"],
                                                     "write": "write-behind", "flush_interval": "60s"}}})

    def owned(name, value):
        server = start(name)
        with server.wire() as wire:
            assert not isinstance(wire.ask("HSET", "t:1", "v", value), ReplyError)
            assert not isinstance(wire.ask("HINCRBY", "t:1", "n", 1), ReplyError)
        assert server.stop() == 0
    owned("first", 1)
    owned("second", 2)
    for _ in range(2):
        back = start("first")
        with back.wire() as wire:
            assert wire.ask("HMGET", "t:1", "v", "n") == [b"2", b"2"]
            assert wire.ask("WAIT", 1, 20000) == 1
        back.kill()
    assert start("first").stop() == 0
    assert [(row["v"], row["n"]) for row in database.rows("SELECT v, n FROM t")] == [(2, 2)]
    assert database.rows("SELECT id FROM fb_dead") == []


def test_a_start_that_fails_leaves_the_source_free(world, forebay, tmp_path):
    """A journal that could not be begun owns nothing: there would be nobody to come back."""
    database, folder = world("CREATE TABLE t(id {int} PRIMARY KEY, v {int});"), os.path.join(str(tmp_path), "journal")
    in_the_way = os.path.join(folder, "db", "spare.tmp")
    os.makedirs(in_the_way)
    config = {"server": {"journal_dir": folder}, "sources": {"db": database.source()},
              "keyspaces": {"t:{id:int}": {"source": "db", "table": "t", "as": "hash", "write": "write-behind"}}}
    path = os.path.join(str(tmp_path), "forebay.yaml")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(config, file)
    failed = subprocess.run([FOREBAY, "serve", "-c", path, "--listen", "127.0.0.1:0"], capture_output=True, text=True,
                            timeout=60, env=clean_environment())
    assert failed.returncode == 73 and "cannot make the next segment" in failed.stderr, failed
    os.rmdir(in_the_way)
    server = forebay(config)
    with server.wire() as wire:
        assert not isinstance(wire.ask("HSET", "t:1", "v", 1), ReplyError)
    assert server.stop() == 0 and database.rows("SELECT v FROM t")[0]["v"] == 1


def cpu_s(server):
    with open(f"/proc/{server.pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_an_owner_that_lost_the_source_says_so_and_shows_what_the_database_has(world, forebay, tmp_path):
    """A source is taken while its owner lives: what it had pending are letters, and nobody is shown it any more."""
    database = world("CREATE TABLE t(id {int} PRIMARY KEY, v {int}); INSERT INTO t VALUES (1, 0);")

    def start(name):
        return forebay({"server": {"journal_dir": os.path.join(str(tmp_path), name)},
                        "sources": {"db": database.source()},
                        "keyspaces": {"t:{id:int}": {"source": "db", "table": "t", "as": "hash",
                                                     "write": "write-behind", "flush_interval": "60s"}}})
    first, second = start("first"), start("second")
    with first.wire(timeout=20) as wire, second.wire(timeout=20) as other:
        assert not isinstance(wire.ask("HSET", "t:1", "v", 1), ReplyError)
        assert takeover(second, "--accept-loss", "db")[0] == 0
        wait_until(lambda: not isinstance(other.ask("HSET", "t:1", "v", 2), ReplyError), "the second to own it", 30)
        assert other.ask("WAIT", 1, 20000) == 1
        assert wire.ask("WAIT", 1, 2000) == 0  # its flush finds out, if not by then
        wait_until(lambda: "behind.lost" in first.log(), "the first to find out", 30)
        refused = wire.ask("HSET", "t:1", "v", 3)
        assert refused.word == "NOTOWNER", refused
        before, began = cpu_s(first), time.monotonic()
        wait_until(lambda: wire.ask("HGET", "t:1", "v") == b"2", "the first to show what the database has", 20)
        assert cpu_s(first) - before < max(1, (time.monotonic() - began) / 4)
        letters = wait_until(lambda: database.rows("SELECT key_name, code FROM fb_dead"), "the letter", 20)
        assert [(bytes(row["key_name"]), row["code"]) for row in letters] == [(b"t:1", "FENCED")]
    assert second.stop() == 0
    with first.wire(timeout=20) as wire:  # and it gets the source when it is free
        wait_until(lambda: not isinstance(wire.ask("HSET", "t:1", "v", 4), ReplyError), "the first to own it again", 30)
    assert first.stop() == 0 and database.rows("SELECT v FROM t")[0]["v"] == 4
    assert len(database.rows("SELECT id FROM fb_dead")) == 1


def test_two_with_copies_of_one_journal_do_not_write_in_turns(world, forebay, tmp_path):
    """A machine that was cloned: the second one has the source, and the first one keeps off, or it would lose writes whose
    numbers the other one has passed."""
    database = world("CREATE TABLE t(id {int} PRIMARY KEY, v {int});")

    def start(name):
        return forebay({"server": {"journal_dir": os.path.join(str(tmp_path), name)},
                        "sources": {"db": database.source()},
                        "keyspaces": {"t:{id:int}": {"source": "db", "table": "t", "as": "hash",
                                                     "write": "write-behind", "flush_interval": "60s"}}})
    first = start("first")
    with first.wire(timeout=20) as wire:
        assert not isinstance(wire.ask("HSET", "t:1", "v", 1), ReplyError) and wire.ask("WAIT", 1, 20000) == 1
        shutil.copytree(os.path.join(str(tmp_path), "first"), os.path.join(str(tmp_path), "second"))
        second = start("second")
        with second.wire(timeout=20) as other:
            for value in range(2, 12):
                assert not isinstance(other.ask("HSET", "t:1", "v", value), ReplyError)
            assert other.ask("WAIT", 1, 20000) == 1
            assert not isinstance(wire.ask("HSET", "t:2", "v", 1), ReplyError)  # it does not know yet
            assert wire.ask("WAIT", 1, 3000) == 0
            wait_until(lambda: "behind.lost" in first.log(), "the log", 30)
            assert wire.ask("HSET", "t:2", "v", 2).word == "NOTOWNER"
            wait_until(lambda: "copy of this journal" in wire.ask("HSET", "t:2", "v", 2).text, "the reason", 20)
            assert not isinstance(other.ask("HSET", "t:1", "v", 12), ReplyError)
    assert second.stop() == 0 and first.stop() == 0
    assert [(row["id"], row["v"]) for row in database.rows("SELECT id, v FROM t")] == [(1, 12)]
    assert [bytes(row["key_name"]) for row in database.rows("SELECT key_name FROM fb_dead")] == [b"t:2"]
