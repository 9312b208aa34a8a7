"""Shows that the tools of Redis work: every mode of redis-cli that has a meaning here, and the words with which the
others end; redis-benchmark as it is usually run."""

import csv
import fcntl
import os
import pty
import re
import select
import shutil
import struct
import subprocess
import termios
import time

import pytest

from conftest import query

SHOP = """
CREATE TABLE product(id INTEGER PRIMARY KEY, name TEXT NOT NULL);
INSERT INTO product VALUES (1, 'tea'), (2, 'sea salt');
CREATE TABLE user(id INTEGER PRIMARY KEY, name TEXT NOT NULL, visits INTEGER NOT NULL DEFAULT 0);
INSERT INTO user VALUES (1, 'Ada', 0);
CREATE TABLE counter(name TEXT PRIMARY KEY, n INTEGER NOT NULL DEFAULT 0);
INSERT INTO counter VALUES ('pages', 41);
CREATE TABLE kv(k TEXT PRIMARY KEY, v TEXT);
"""
RUN_S = 60.0
SECRET = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"  # of "secret"


@pytest.fixture
def start(forebay, database):
    """start(**settings of the server): a shop, and a table for all other keys."""
    if shutil.which("redis-cli") is None:
        pytest.skip("redis-tools is not installed; run tools/setup.sh test")

    def do(**settings):
        path = database(SHOP, f"shop{len(settings)}.db")
        maps = {"product:{id:int}": {"table": "product"}, "user:{id:int}": {"table": "user", "as": "hash"},
                "counter:{name}": {"table": "counter", "as": "column:n"},
                '"{k:rest}"': {"table": "kv", "as": "column:v"}}
        running = forebay({
            "sources": {"shop": {"url": f"sqlite:{path}"}},
            "keyspaces": {key: {**row, "write": "write-through"} for key, row in maps.items()},
            "server": settings,
        })
        running.database = path
        return running
    return do


@pytest.fixture
def shop(start):
    return start()


def tool(name, server, *words, stdin="", status=0):
    """What a tool prints, errors included; its exit status is asserted."""
    done = subprocess.run([name, "-p", str(server.port), *words], input=stdin, timeout=RUN_S, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == status, f"{name} {' '.join(words)} ended with {done.returncode}:\n{done.stdout}"
    return done.stdout


def cli(server, *words, **more):
    return tool("redis-cli", server, *words, **more)


class Terminal:
    """A program in a terminal of its own; a test types and waits for what must appear."""

    def __init__(self, command, folder):
        self.screen = ""
        self.master, inside = pty.openpty()
        # Without a size the program would ask the terminal for it, and nobody would answer.
        fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 150, 0, 0))
        self.process = subprocess.Popen(command, stdin=inside, stdout=inside, stderr=inside, close_fds=True,
                                        env=dict(os.environ, HOME=folder, TERM="xterm", REDISCLI_HISTFILE="/dev/null"))
        os.close(inside)

    def type(self, text):
        self.screen = ""
        os.write(self.master, text.encode())

    def wait_for(self, pattern):
        """The match on the screen since the last typing, colours and movements of the cursor left out."""
        deadline = time.monotonic() + RUN_S
        while True:
            plain = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", self.screen)
            found = re.search(pattern, plain)
            if found:
                return found
            left = deadline - time.monotonic()
            assert left > 0 and select.select([self.master], [], [], left)[0], f"no {pattern!r} in:\n{plain}"
            self.screen += os.read(self.master, 4096).decode(errors="replace")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self.master)


@pytest.mark.parametrize("flags", [[], ["-3"]], ids=["resp2", "resp3"])
def test_cli_as_a_command(shop, flags):
    def do(*words, **more):
        return cli(shop, *flags, *words, **more)

    assert do("PING") == "PONG\n"
    assert do("GET", "product:1") == '{"id":1,"name":"tea"}\n'
    assert do("GET", "product:999") == "\n"
    assert do("--no-raw", "GET", "product:999") == "(nil)\n"
    assert do("SET", "product:1", '{"name":"mint"}') == "OK\n"
    assert query(shop.database, "SELECT name FROM product WHERE id = 1")[0][0] == "mint"
    assert do(stdin="HSET user:1 name Eva\nHGET user:1 name\n") == "0\nEva\n"
    assert do("--json", "HGETALL", "user:1") == ('{"id":"1","name":"Eva","visits":"0"}\n')
    assert do("--csv", "MGET", "product:2", "product:9").startswith('"{\\"id\\":2,')
    assert do("-r", "3", "-i", "0", "INCR", "counter:pages") == "42\n43\n44\n"
    assert do("-x", "SET", "k:1", stdin="from stdin") == "OK\n"
    assert do("-X", "tag", "SET", "k:2", "tag", stdin="two\nlines") == "OK\n"
    assert do("GET", "k:2") == "two\nlines\n"
    assert [row["v"] for row in query(shop.database, "SELECT v FROM kv ORDER BY k")] == ["from stdin", "two\nlines"]
    assert do("--quoted-input", "SET", '"k:\\x41"', '"\\x42"') == "OK\n" and do("GET", "k:A") == "B\n"
    assert do("-d", ";", "MGET", "k:A", "k:A").startswith("B;B")
    assert "NOMAP key 'product:1' matches no keyspace" in do("-n", "3", "GET", "product:1")
    assert do("-c", "GET", "k:A") == "B\n"
    assert "wrong number of arguments for 'get' command" in do("-e", "GET", status=1)


def test_cli_logs_in(start, tmp_path):
    users = tmp_path / "users"
    users.write_text(f"user default off\nuser bob on #{SECRET} ~product:* +@read\n", encoding="utf-8")
    server = start(users_file=str(users))
    url = f"redis://bob:secret@127.0.0.1:{server.port}/0"
    done = subprocess.run(["redis-cli", "--no-auth-warning", "-u", url, "GET", "product:1"], capture_output=True,
                          text=True, timeout=RUN_S)
    assert done.stdout == '{"id":1,"name":"tea"}\n' and done.stderr == ""
    assert cli(server, "--user", "bob", "--pass", "secret", "--no-auth-warning", "GET", "product:1") == done.stdout
    assert "NOPERM" in cli(server, "--user", "bob", "--pass", "secret", "--no-auth-warning", "SET", "product:1", "x")
    assert "WRONGPASS invalid username-password pair or user is disabled." in \
        cli(server, "--user", "bob", "--pass", "wrong", "--no-auth-warning", "GET", "product:1")
    assert "NOAUTH Authentication required." in cli(server, "GET", "product:1")


def test_cli_inserts_masses(shop):
    rows = 1000
    stream = "".join(f"*3\r\n$3\r\nSET\r\n${len(f'm:{i}')}\r\nm:{i}\r\n${len(str(i))}\r\n{i}\r\n" for i in range(rows))
    out = cli(shop, "--pipe", stdin=stream)
    assert out.endswith(f"errors: 0, replies: {rows}\n"), out
    assert query(shop.database, "SELECT count(*), sum(v) FROM kv")[0][:] == (rows, rows * (rows - 1) // 2)
    out = cli(shop, "--pipe", stdin="SET product:1 x\r\nSET m:0 y\r\n", status=1)
    assert "BADVALUE keyspace 'product:{id:int}'" in out and out.endswith("errors: 1, replies: 2\n")


def test_cli_looks_through_the_cache(shop):
    cli(shop, "MSET", "k:1", "a", "k:2", "bb", "k:3", "c" * 100)
    cli(shop, "HGETALL", "user:1")
    assert sorted(cli(shop, "--scan", "--pattern", "k:*").split()) == ["k:1", "k:2", "k:3"]
    assert cli(shop, "--scan", "--quoted-pattern", '"k:\\x31"') == "k:1\n"
    out = cli(shop, "--bigkeys")
    assert "Sampled 4 keys in the keyspace!" in out
    assert "Biggest string found '\"k:3\"' has 100 bytes" in out
    assert "Biggest   hash found '\"user:1\"' has 3 fields" in out
    out = cli(shop, "--memkeys")
    size = cli(shop, "MEMORY", "USAGE", "k:3").strip()
    assert f"Biggest string found '\"k:3\"' has {size} bytes" in out and int(size) > 100
    assert "Biggest string" in cli(shop, "--memkeys-samples", "5")


def test_cli_finds_hot_keys_where_the_eviction_counts(start):
    counting = start()
    cli(counting, "-r", "20", "GET", "product:1")
    assert "hot key found with counter: 3" in cli(counting, "--hotkeys")
    lru = start(eviction="lru")
    cli(lru, "GET", "product:1")
    out = cli(lru, "--hotkeys", status=1)
    assert "Error: ERR An LFU maxmemory policy is not selected, access frequency not tracked." in out


def test_cli_measures(shop, tmp_path):
    cli(shop, "GET", "product:1")
    low, high, mean, count = cli(shop, "--latency", "-i", "0.1").split()
    assert 0 <= int(low) <= float(mean) <= int(high) and int(count) > 0
    for words, pattern in {
        ("--stat", "-i", "0.1"): r"keys +mem +clients +blocked +requests +connections\s+1 +[\d.]+[BKM] +1 +0 +\d+ ",
        ("--latency-history", "-i", "0.1"): r"min: \d+, max: \d+, avg: [\d.]+ \(\d+ samples\) -- 0\.\d+ seconds range",
        ("--latency-dist", "-i", "0.1"): r"From 0 to 100%:",
        ("--lru-test", "20"): r"\d+ Gets/sec \| Hits: [1-9]\d* \([\d.]+%\) \| Misses: \d+ \([\d.]+%\)",
    }.items():
        with Terminal(["redis-cli", "-p", str(shop.port), *words], str(tmp_path)) as terminal:
            terminal.wait_for(pattern)


@pytest.mark.parametrize("words, status, text", [
    (["--eval", os.devnull], 0, "ERR Forebay does not run scripts: 'eval' needs a Redis of its own"),
    (["--rdb", "/nowhere/x"], 1, "SYNC with master failed: -ERR 'sync' is not supported by Forebay"),
    (["--functions-rdb", "/nowhere/x"], 1, "Failed requesting functions only RDB from server, aborting"),
    (["--replica"], 1, "SYNC with master failed: -ERR 'sync' is not supported by Forebay"),
], ids=lambda value: value[0] if isinstance(value, list) else "")
def test_cli_is_told_what_is_not_here(shop, words, status, text):
    assert text in cli(shop, *words, status=status)


def test_cli_in_a_terminal(shop, tmp_path):
    address = rf"127\.0\.0\.1:{shop.port}"
    with Terminal(["redis-cli", "-p", str(shop.port)], str(tmp_path)) as terminal:
        def enter(line, answer, prompt="> "):
            terminal.type(line + "\r")  # what is typed before the prompt stands there is lost
            terminal.wait_for(answer + r"[\s\S]*" + address + prompt + "$")

        terminal.wait_for(address + "> $")
        terminal.type("fb.expl\t ")  # completion and hints come from COMMAND DOCS
        terminal.wait_for(r"FB\.EXPLAIN +key")
        enter("product:1", r"keyspace")
        terminal.type("SET k:1 ")
        terminal.wait_for(r"SET k:1 +value \[NX\|XX\] \[GET\]")
        enter("v EX 100", r"OK\s+")
        enter("help fb.warm", r"FB\.WARM pattern \[limit\]\s+summary: Load the rows")
        enter("help @forebay", r"FB\.EXPLAIN key\s+summary")
        enter("GET product:2", r'"\{\\"id\\":2,\\"name\\":\\"sea salt\\"\}"\s+')
        enter("HGETALL user:1", r'1\) "id"\s+2\) "1"\s+3\) "name"\s+4\) "Ada"')
        enter("GET nobody", r"\(nil\)")
        enter("SELECT 3", "OK", r"\[3\]> ")
        enter("GET k:1", r"\(error\) NOMAP key 'k:1' matches no keyspace", r"\[3\]> ")
        enter("SELECT 0", "OK")
        enter("MULTI", "OK", r"\(TX\)> ")
        enter("INCR counter:pages", "QUEUED", r"\(TX\)> ")
        enter("EXEC", r"1\) \(integer\) 42")
        enter("MULTI", "OK", r"\(TX\)> ")
        enter("DISCARD", "OK")
        enter("HELLO 3", r"1# \"server\" => \"redis\"")
        enter("HGETALL user:1", r'1# "id" => "1"')
        terminal.type("SUBSCRIBE news\r")
        terminal.wait_for(r"Reading messages\.\.\.[\s\S]*\(integer\) 1")
        assert cli(shop, "PUBLISH", "news", "hello") == "1\n"
        terminal.wait_for(r'"message"\s+2\) "news"\s+3\) "hello"')
    with Terminal(["redis-cli", "-p", str(shop.port)], str(tmp_path)) as terminal:
        terminal.wait_for(address + "> $")
        terminal.type("MONITOR\r")
        terminal.wait_for("OK")
        cli(shop, "GET", "product:1")
        terminal.wait_for(r'\d+\.\d{6} \[0 127\.0\.0\.1:\d+\] "GET" ')


def benchmark(server, *words):
    out = tool("redis-benchmark", server, "--csv", "-n", "1000", "-c", "20", *words)
    assert "Error" not in out and "WARN" not in out, out
    rows = list(csv.DictReader(line for line in out.split("\n") if line.startswith('"')))
    assert all(float(row["rps"]) > 0 for row in rows)
    return [row["test"] for row in rows]


@pytest.mark.parametrize("words", [["-P", "1"], ["-P", "16"], ["-P", "16", "--threads", "2"],
                                   ["-3", "--enable-tracking"]], ids=" ".join)
def test_benchmark(shop, words):
    assert benchmark(shop, "-t", "set,get,incr,mset,ping_mbulk", "-r", "50", *words) == \
        ["PING_MBULK", "SET", "GET", "INCR", "MSET (10 keys)"]
    stored = {row["k"]: row["v"] for row in query(shop.database, "SELECT k, v FROM kv")}
    assert len(stored) == 50
    with shop.wire() as wire:
        for key, value in stored.items():
            assert wire.ask("GET", key) == value.encode()
    counted = query(shop.database, "SELECT sum(n) FROM counter")[0][0] - 41
    assert 1000 <= counted <= 1000 + 20 * 16  # a pipeline is sent in full


def test_benchmark_of_any_command(shop):
    assert benchmark(shop, "-r", "2", "HINCRBY", "user:1", "visits", "1") == ["HINCRBY user:1 visits 1"]
    assert query(shop.database, "SELECT visits FROM user")[0][0] == 1000
    assert "Error from server: ERR 'lpush' is not supported on mapped key" in \
        tool("redis-benchmark", shop, "-t", "lpush", "-n", "10", status=1)
