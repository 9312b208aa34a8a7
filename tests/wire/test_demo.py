"""Shows that the demonstration keeps its word: the table it prints, the lines it asks the reader to try, another port
when its own is taken, and nothing left behind however it ends. The real program and shop, short measurements."""

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess

import pytest

from conftest import FOREBAY, STOP_S, Process
from resp import Wire

ROW = r"(?m)^  app -> {} +([\d,]+) +([\d,]+) +[\d.]+ [um]s +[\d.]+ [um]s$"

WHOLE_S = 300.0  # a sanitizer build on a busy machine takes a minute


class Demo(Process):
    """`forebay demo` with a temporary directory of its own."""

    def __init__(self, started, folder, *flags):
        self.temporary = os.path.join(folder, "tmp")
        os.makedirs(self.temporary, exist_ok=True)
        super().__init__(started, f"demo-{len(started)}",
                         ["env", f"TMPDIR={self.temporary}", FOREBAY, "demo", "--seconds", "1", *flags], folder)

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(STOP_S)

    def finish(self):
        if self.is_running():
            self.kill()
        assert not re.search(r"ERROR: \w*Sanitizer|WARNING: ThreadSanitizer|runtime error:", self.log()), self.log()


@pytest.fixture
def demo(processes, tmp_path):
    return lambda *flags: Demo(processes, str(tmp_path), *flags)


def numbers(log, name):
    return [tuple(int(n.replace(",", "")) for n in row) for row in re.findall(ROW.format(name), log)]


@pytest.mark.short
def test_demo_once_prints_its_table_and_leaves_nothing(demo):
    run = demo("--once")
    assert run.process.wait(WHOLE_S) == 0, run.log()
    log = run.log()
    straight, served = numbers(log, "database"), numbers(log, "forebay, (?:empty|warm)")
    assert len(straight) == 2 and len(served) == 4, log
    for requests, queries in straight:
        assert queries == requests > 0  # without a cache each request is a query
    for requests, queries in served:
        assert 0 < queries < requests
    assert len(re.findall(r"(?m)^  per request [\d.]+ x fewer queries", log)) == 2
    assert "all 10000 stock figures of Forebay were those of the database" in log
    assert max(len(line) for line in log.splitlines() if "/shop.db" not in line and "removed" not in line) <= 80, log
    assert os.listdir(run.temporary) == []


@pytest.mark.short
def test_demo_does_what_it_invites_to_try(demo):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        run = demo("--port", str(port))
        ready = run.wait_for(lambda: re.search(r"Serving on localhost:(\d+)", run.log()), "its invitation", WHOLE_S)
        run.wait_for(lambda: "WHERE product_id" in run.log(), "the end of its invitation", WHOLE_S)
    assert int(ready.group(1)) != port
    assert f"Port {port} is taken" in run.log()

    database = re.search(r"sqlite3 (\S+/shop\.db)", run.log()).group(1)
    line_key = re.search(r"GET (order_line:\d+:\d+)", run.log()).group(1)
    with Wire("127.0.0.1", int(ready.group(1))) as wire, sqlite3.connect(database) as db:
        db.row_factory = sqlite3.Row
        row = dict(db.execute("SELECT * FROM products WHERE id = 17").fetchone())
        assert json.loads(wire.ask("GET", "product:17")) == row

        fields = wire.ask("HGETALL", "user:42")
        user = dict(db.execute("SELECT * FROM users WHERE id = 42").fetchone())
        assert dict(zip(fields[::2], fields[1::2])) == {k.encode(): str(v).encode() for k, v in user.items()}

        assert wire.ask("HINCRBY", "user:42", "login_count", "1") == user["login_count"] + 1
        assert db.execute("SELECT login_count FROM users WHERE id = 42").fetchone()[0] == user["login_count"] + 1

        assert wire.ask("SET", "inventory:17", '{"product_id":17,"quantity":9}') in (b"OK", "OK")
        assert db.execute("SELECT quantity FROM inventory WHERE product_id = 17").fetchone()[0] == 9

        order_id, product_id = map(int, line_key.split(":")[1:])
        assert json.loads(wire.ask("GET", line_key))["product_id"] == product_id and order_id > 0
        assert wire.ask("GET", "user:999999999") is None
    assert run.interrupt() == 0, run.log()
    assert re.search(r"reads from the cache, \d+ known absent, \d+ from the database; 2 writes", run.log()), run.log()
    assert os.listdir(run.temporary) == []


def test_demo_interrupted_while_it_measures_leaves_nothing(demo):
    run = demo("--seconds", "600")
    run.wait_for(lambda: "The same load" in run.log(), "its first measurement", WHOLE_S)
    assert run.interrupt() == 0, run.log()
    assert os.listdir(run.temporary) == []


def test_demo_keeps_a_shop_with_a_configuration_that_holds(demo, tmp_path):
    run = demo("--once", "--keep", str(tmp_path / "kept"))
    assert run.process.wait(WHOLE_S) == 0, run.log()
    again = demo("--once", "--keep", str(tmp_path / "kept"))
    assert again.process.wait(WHOLE_S) == 1
    assert "exists already" in again.log()
    check = subprocess.run([FOREBAY, "check", "-c", str(tmp_path / "kept" / "forebay.yaml")], capture_output=True)
    assert check.returncode == 0, check.stdout + check.stderr
