"""Shows what the program `forebay` promises on the command line: exit statuses, where output goes, help and hints made
from the tables, signals, the ready line, and that a wrong configuration is told from a wrong address. The real program,
run as a user would; no test waits for time."""

import json
import os
import re
import signal
import sqlite3
import subprocess

import pytest
from hypothesis import HealthCheck, example, given, settings, strategies as st

from conftest import BUILD, FOREBAY, TOP, Process, free_port, wait_until
from resp import Wire

USERS = "CREATE TABLE users(id INTEGER PRIMARY KEY, name TEXT); INSERT INTO users VALUES (42, 'Ada'), (43, 'Ben');"
COMMANDS = ["serve", "demo", "bench", "init", "check", "print-config", "reference", "version", "help"]
EXITS = {"ok": 0, "failure": 1, "usage": 2, "unavailable": 69, "cantcreat": 73, "config": 78}


def run(*words, cwd=None, **variables):
    """The program's end: returncode, stdout, stderr. The environment has no FOREBAY_ variables but these."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FOREBAY_")}
    environment.update({"NO_COLOR": ""}, **variables)
    return subprocess.run([FOREBAY, *words], cwd=cwd, env=environment, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, errors="replace", timeout=60, check=False)


@pytest.fixture
def folder(tmp_path, database):
    """A folder with a database and a configuration that fits it."""
    database(USERS)
    (tmp_path / "forebay.yaml").write_text("sources:\n  shop: {url: 'sqlite:shop.db'}\n"
                                           "keyspaces:\n  user:{id:int}: {table: users}\n")
    return tmp_path


# ---- help and hints --------------------------------------------------------------------------------------------------

@pytest.mark.short
@pytest.mark.parametrize("command", COMMANDS)
def test_every_subcommand_has_help(command):
    shown = [run(command, "--help"), run("help", command), run(command, "-h")]
    assert [end.returncode for end in shown] == [0, 0, 0]
    assert shown[0].stdout == shown[1].stdout == shown[2].stdout
    assert shown[0].stdout.startswith(f"usage: forebay {command}")
    assert re.search(rf"(?m)^  {command} ", run("help").stdout)


def test_help_wins_over_everything_else():
    assert run("serve", "--nonsense", "--help").returncode == 0
    assert run("check", "--", "--help").returncode == EXITS["config"], "behind -- it is a file"


@pytest.mark.parametrize("words, hint", [
    (["srve"], "did you mean 'serve'?"),
    (["serve", "--sorce", "x"], "did you mean '--source'?"),
    (["serve", "--memori-max", "1mb"], "did you mean '--memory-max'?"),
    (["check", "--ofline"], "did you mean '--offline'?"),
    (["reference", "setings"], "did you mean 'settings'?"),
    (["help", "chek"], "did you mean 'check'?"),
])
def test_a_misspelled_word_gets_the_nearest_one(words, hint):
    end = run(*words)
    assert (end.returncode, end.stdout) == (EXITS["usage"], "")
    assert hint in end.stderr


@pytest.mark.parametrize("words", [
    [], ["serve", "-c"], ["serve", "--map"], ["serve", "word"], ["serve", "--port", "70000"], ["serve", "--port", "x"],
    ["serve", "--check=1"], ["serve", "-x"], ["check", "a.yaml", "b.yaml"], ["check", "--json", "--effective"],
    ["serve", "--port", "1", "--listen", "127.0.0.1:2"], ["serve", "--server.ttl", "1s"], ["serve", "--sources.x", "1"],
    ["reference"], ["reference", "settings", "more"], ["version", "x"], ["help", "serve", "x"],
])
def test_a_wrong_command_line_is_status_2(words):
    end = run(*words)
    assert (end.returncode, end.stdout) == (EXITS["usage"], "")
    assert "forebay" in end.stderr


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.text(alphabet=st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=12),
                min_size=1, max_size=4))
@example(["--"])
@example(["-"])
@example(["--=", "-c="])
@example(["--keyspaces.=.ttl=1s"])
def test_no_words_bring_it_down(words):
    end = run("check", "--offline", *words)
    assert end.returncode in (0, EXITS["usage"], EXITS["config"]), end
    assert "Sanitizer" not in end.stderr


# ---- what is printed from tables -------------------------------------------------------------------------------------

def test_reference_pages_are_up_to_date():
    words = [os.path.join(TOP, "tools", "docs"), "--check", BUILD]
    end = subprocess.run(words, capture_output=True, text=True, check=False)
    assert end.returncode == 0, end.stdout + end.stderr


def test_the_log_has_three_forms_and_nothing_steers_a_terminal(serve):
    """A client's nonsense is an event with its address, in each form, without control characters."""
    for form in ["logfmt", "json", "text"]:
        server = serve("--port", "0", "--log-format", form)
        port = server.wait_for(lambda: re.search(r"ready on localhost:(\d+)", server.log()), "its ready line").group(1)
        with Wire("127.0.0.1", int(port)) as wire:
            wire.send(b"*1\r\n\x1b[2Jnonsense\r\n")
        server.wait_for(lambda: "no request" in server.log(), "the event")
        log = server.log()
        assert "\x1b" not in log
        if form == "json":
            events = [json.loads(line) for line in log.splitlines()]
            assert [event["event"] for event in events] == ["serve.ready", "client.protocol"]
            assert events[1]["address"].startswith("127.0.0.1:") and events[1]["level"] == "warning"
        elif form == "logfmt":
            assert re.search(r"(?m)^ts=\S+Z level=warning event=client\.protocol msg=\".*\" address=127\S+ reason=", log)
        else:
            assert re.search(r"(?m)^\S+Z warning a client sent what is no request", log)


def test_a_stranger_cannot_fill_the_log(serve):
    server = serve("--port", "0")
    for _ in range(100):
        with Wire("127.0.0.1", server.port()) as wire:
            wire.send(b"*1\r\n!\r\n")
            assert wire.read().word == "ERR"
    assert 0 < server.log().count("event=client.protocol") <= 20 * 2


def test_the_log_has_priorities_for_the_journal(serve, monkeypatch):
    monkeypatch.setenv("JOURNAL_STREAM", "8:1")
    server = serve("--port", "0")
    server.ready()
    assert re.match(r"<5>ts=\S+ level=notice event=serve\.ready ", server.log())


def test_log_level_decides_what_is_written(serve, folder):
    """At 'error' there is no ready line, so the socket's appearance tells that it has started."""
    socket = str(folder / "f.sock")
    server = serve("--listen", f"unix:{socket}", "--log-level", "error")
    server.wait_for(lambda: os.path.exists(socket), "its socket")
    server.process.send_signal(signal.SIGTERM)
    assert server.end() == 0
    assert server.log() == ""


def test_every_setting_is_a_flag():
    shown = run("help", "serve").stdout
    for section, name in re.findall(r"(?m)^### (\w+)\.(?:[A-Z]+\.)?(\w+)$", run("reference", "settings").stdout):
        flag = name.replace("_", "-") if section == "server" else name
        assert re.search(rf"(?m)^  --(?:{section}\.(?:[A-Z]+\.)?)?{flag} ", shown), name


# ---- check -----------------------------------------------------------------------------------------------------------

@pytest.mark.short
def test_a_good_configuration_is_status_0(folder):
    end = run("check", cwd=folder)
    assert (end.returncode, end.stderr) == (0, "")
    assert end.stdout == "forebay.yaml: 1 source, 1 keyspace: all is well\n"


def test_the_example_fits_the_shop_of_the_demonstration(tmp_path):
    assert run("demo", "--once", "--seconds", "1", "--keep", str(tmp_path)).returncode == 0
    for path in [os.path.join(TOP, "examples", "forebay.yaml"), "forebay.yaml"]:
        end = run("check", path, cwd=tmp_path)
        assert (end.returncode, end.stderr) == (0, "")


def test_faults_are_on_stderr_with_their_place_and_status_78(folder):
    (folder / "forebay.yaml").write_text("server:\n  evicton: lru\n")
    end = run("check", cwd=folder)
    assert (end.returncode, end.stdout) == (EXITS["config"], "")
    assert end.stderr == ("forebay.yaml:2:3: error[unknown-setting]: there is no setting 'evicton' in server\n"
                          "    |   evicton: lru\n"
                          "    |   ^^^^^^^\n"
                          "help: did you mean 'eviction'?\n"
                          "\n1 error, 0 warnings\n")


def test_stages_are_syntax_then_schema_then_sources(folder):
    path = folder / "forebay.yaml"
    good = path.read_text()
    path.write_text(good.replace("table: users", "table: usres") + "server: {threads: x}\n")
    assert re.findall(r"error\[(\S+)\]", run("check", cwd=folder).stderr) == ["type"]
    path.write_text(good.replace("table: users", "table: usres"))
    assert run("check", "--offline", cwd=folder).returncode == 0
    end = run("check", cwd=folder)
    assert end.returncode == EXITS["config"]
    assert "forebay.yaml:4:26: error[keyspace]: there is no table 'usres'\n" in end.stderr
    path.write_text(good + "server: {threads: [\n")
    assert re.findall(r"error\[(\S+)\]", run("check", cwd=folder).stderr) == ["yaml"]


def test_json_lists_the_same_faults(folder):
    (folder / "forebay.yaml").write_text("server:\n  evicton: \"\\x01\"\n  threads: '\"'\n")
    end = run("check", "--json", cwd=folder)
    faults = json.loads(end.stdout)
    assert end.returncode == EXITS["config"]
    assert [(fault["line"], fault["column"], fault["code"]) for fault in faults] == [(2, 3, "unknown-setting"),
                                                                                    (3, 12, "type")]
    (folder / "forebay.yaml").write_text("sources: {s: {url: 'sqlite:shop.db'}}\n"
                                         "keyspaces: {'u:{id}': {table: users}}\n")
    end = run("check", "--json", cwd=folder)
    assert (end.returncode, json.loads(end.stdout)) == (0, [])


def test_warnings_are_errors_when_strict(folder):
    with open(folder / "forebay.yaml", "a", encoding="utf-8") as file:
        file.write("classes: {never: {ttl: 1h}}\n")
    assert run("check", cwd=folder).returncode == 0
    end = run("check", "--strict", cwd=folder)
    assert end.returncode == EXITS["config"]
    assert "warning[unused]" in end.stderr


def test_a_source_that_is_away_is_status_69(folder):
    os.unlink(folder / "shop.db")
    for command in ["check", "serve"]:
        end = run(command, "--listen", "127.0.0.1:0", cwd=folder)
        assert end.returncode == EXITS["unavailable"], end.stderr
        assert "error[source-down]" in end.stderr


def test_effective_values_name_their_origin(folder):
    end = run("check", "--effective", "--memory-max", "2mb", cwd=folder, FOREBAY_THREADS="3")
    assert end.returncode == 0
    for line in ["  memory_max: 2mb  # --server.memory_max", "  threads: 3  # FOREBAY_THREADS",
                 "    url: sqlite:shop.db  # forebay.yaml:2", "  eviction: s3fifo  # default"]:
        assert line in end.stdout.split("\n")


def test_what_is_printed_can_be_read_again(folder):
    first = run("print-config", "--memory-max", "3mb", cwd=folder)
    (folder / "again.yaml").write_text(first.stdout)
    again = run("print-config", "-c", "again.yaml", cwd=folder)
    assert (first.returncode, again.returncode) == (0, 0)
    assert first.stdout == again.stdout
    assert run("serve", "--print-config", "--memory-max", "3mb", cwd=folder).stdout == first.stdout
    values = json.loads(run("print-config", "--json", cwd=folder).stdout)
    assert values["keyspaces.user:{id:int}.table"] == {"value": "users", "origin": "forebay.yaml:4"}


def test_the_file_is_looked_for_in_its_places(folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    path = str(folder / "forebay.yaml")
    shop = f"sqlite:{folder / 'shop.db'}"
    assert run("check", "-c", path, "--sources.shop.url", shop, cwd=elsewhere).returncode == 0
    assert run("check", cwd=elsewhere, FOREBAY_CONFIG=path, FOREBAY_SOURCE_SHOP_URL=shop).returncode == 0
    end = run("check", "-c", "nothing.yaml", cwd=folder)
    assert end.returncode == EXITS["config"]
    assert "nothing.yaml: error[file]: cannot be opened" in end.stderr


# ---- serve -----------------------------------------------------------------------------------------------------------

class Serve(Process):
    """`forebay serve` with words of one's own, in a folder."""

    def __init__(self, started, folder, *words):
        super().__init__(started, f"serve-{len(started)}", [FOREBAY, "serve", "--admin", "off", *words],
                         str(folder))

    def ready(self):
        match = self.wait_for(lambda: re.search(r"(?m)event=serve\.ready .* listen=(\S+)", self.log()),
                              "its ready line")
        return match.group(1)

    def port(self):
        return int(self.ready().split(",")[0].rsplit(":", 1)[1])

    def end(self):
        return self.process.wait(30)

    def finish(self):
        if self.is_running():
            self.kill()
        assert not re.search(r"ERROR: \w*Sanitizer|WARNING: ThreadSanitizer|runtime error:", self.log()), self.log()


@pytest.fixture
def serve(processes, folder):
    """serve(*words) starts the program in the folder and returns it."""
    return lambda *words: Serve(processes, folder, *words)


@pytest.mark.short
def test_flags_alone_serve_a_database(serve, folder):
    os.unlink(folder / "forebay.yaml")
    server = serve("--source", "sqlite:shop.db", "--map", "user:{id:int}=users", "--port", "0")
    with Wire("127.0.0.1", server.port()) as wire:
        assert wire.ask("GET", "user:42") == b'{"id":42,"name":"Ada"}'


def test_the_ready_line_stays_short_with_many_keyspaces(serve, folder):
    os.unlink(folder / "forebay.yaml")
    with sqlite3.connect(folder / "shop.db") as database:
        for name in "abcde":
            database.execute(f"CREATE TABLE t{name}(id INTEGER PRIMARY KEY)")
    maps = [word for name in "abcde" for word in ("--map", f"{name}:{{id:int}}=t{name}")]
    server = serve("--source", "sqlite:shop.db", *maps, "--port", "0")
    server.ready()
    assert "keyspaces: a:{id:int},b:{id:int} and 3 more" in server.log()


def test_the_ready_line_says_what_to_type(serve, folder):
    socket = str(folder / "f.sock")
    server = serve("--listen", f"127.0.0.1:0,unix:{socket}")
    address = server.ready()
    port = server.port()
    assert address == f"127.0.0.1:{port},unix:{socket}"
    assert f"redis-cli -p {port} GET user:42" in server.log()
    assert "keyspaces=user:{id:int}" in server.log()
    assert len(server.log().strip().split("\n")) == 1
    out = subprocess.run(["redis-cli", "-p", str(port), "GET", "user:42"], capture_output=True, text=True, check=True)
    assert out.stdout == '{"id":42,"name":"Ada"}\n'


@pytest.mark.short
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_in_order(serve, number):
    server = serve("--port", "0")
    with Wire("127.0.0.1", server.port()) as wire:
        wire.ask("GET", "user:42")
        server.process.send_signal(number)
        assert server.end() == 0
    assert "event=serve.stopped" in server.log()


def test_a_second_signal_stops_it_at_once(serve):
    """A query that takes long keeps the first stop waiting; the second does not wait."""
    slow = "--sources.shop.added_latency", "10s", "--sources.shop.read_timeout", "60s"
    server = serve("--port", "0", *slow)
    with Wire("127.0.0.1", server.port()) as wire:
        wire.send(b"GET user:42\r\n")
        with Wire("127.0.0.1", server.port()) as other:
            wait_until(lambda: b"misses=1," in other.ask("INFO", "all"), "the query to begin")
            server.process.send_signal(signal.SIGTERM)
            wait_until(lambda: "event=serve.stopping" in server.log(), "the first signal")
            server.process.send_signal(signal.SIGTERM)
            assert server.end() == -signal.SIGTERM


def test_a_taken_port_names_who_has_it(serve, folder):
    first = serve("--port", "0")
    port = first.port()
    end = run("serve", "--port", str(port), cwd=folder)
    assert end.returncode == EXITS["cantcreat"]
    assert f"port {port} is taken by forebay (pid {first.pid})" in end.stderr
    assert "--port" in end.stderr


def test_serve_check_starts_nothing(folder):
    port = free_port()
    end = run("serve", "--check", "--port", str(port), cwd=folder)
    assert end.returncode == 0
    assert "ready" not in end.stderr


def test_a_password_is_asked_beyond_this_machine(serve, folder):
    end = run("serve", "--listen", "0.0.0.0:0", cwd=folder)
    assert end.returncode == EXITS["config"]
    assert "error[unprotected]" in end.stderr
    secret = folder / "secret"
    secret.write_text("hunter2\n")
    secret.chmod(0o644)
    end = run("serve", "--port", "0", "--password", f"file:{secret}", cwd=folder)
    assert end.returncode == EXITS["config"]
    assert f"help: chmod 600 {secret}" in end.stderr
    secret.chmod(0o600)
    server = serve("--port", "0", "--password", f"file:{secret}")
    with Wire("127.0.0.1", server.port()) as wire:
        assert wire.ask("GET", "user:42").word == "NOAUTH"
        assert wire.ask("AUTH", "hunter2") == "OK"
        assert wire.ask("GET", "user:42") == b'{"id":42,"name":"Ada"}'
        assert wire.ask("CONFIG", "GET", "requirepass") == [b"requirepass", b""]
    assert "hunter2" not in server.log()


# ---- init ------------------------------------------------------------------------------------------------------------

NASTY = """
    CREATE TABLE "order"("select" INTEGER PRIMARY KEY, "group" TEXT);
    CREATE TABLE "odd name"("a b" INTEGER PRIMARY KEY, c TEXT);
    CREATE TABLE boxes("a b" INTEGER PRIMARY KEY, c TEXT);
    CREATE TABLE user(id INTEGER PRIMARY KEY);
    CREATE TABLE users(id INTEGER PRIMARY KEY);
    CREATE TABLE nopk(a, b);
    CREATE TABLE OrderLine(k TEXT, n INTEGER, v, PRIMARY KEY(k, n)) WITHOUT ROWID;
    CREATE TABLE gen(id INTEGER PRIMARY KEY, a INT, b INT GENERATED ALWAYS AS (a * 2) STORED);
    CREATE TABLE blobs(k BLOB PRIMARY KEY, v);
    CREATE TABLE nocase(k TEXT COLLATE NOCASE PRIMARY KEY, v);
    CREATE TABLE comp("x y" INTEGER, z INTEGER, PRIMARY KEY("x y", z));
    CREATE TABLE "line
break: # x"(id INTEGER PRIMARY KEY);
    CREATE VIEW v AS SELECT * FROM nopk;
    CREATE VIEW broken AS SELECT * FROM gone;
    INSERT INTO "order" VALUES (7, 'g');
    INSERT INTO OrderLine VALUES ('a', 1, 'b');
"""


def test_init_writes_what_check_accepts(tmp_path, database, serve):
    database(NASTY, "nasty.db")
    end = run("init", "sqlite:nasty.db", "-o", "new.yaml", cwd=tmp_path)
    assert (end.returncode, end.stdout) == (0, ""), end.stderr
    assert end.stderr == "6 tables mapped, 8 left as comments\n"
    text = (tmp_path / "new.yaml").read_text()
    assert re.findall(r"(?m)^  (\S+):$", text) == [
        "main", "order_line:{k}:{n:int}", "box:{id:int}", "gen:{id:int}", "order:{select:int}", "user:{id:int}",
        "users:{id:int}"]
    assert "  # table blobs: key column 'k' is declared BLOB; keys are text or integers\n" in text
    assert "  # table nopk: it has no primary key, so no key could name one row\n" in text
    assert "  # view v: a view has no key; a statement says what a key means\n" in text
    end = run("check", "--strict", "new.yaml", cwd=tmp_path)
    assert (end.returncode, end.stderr) == (0, "")
    writing = text.replace("    # write: write-through", "    write: write-through")
    (tmp_path / "new.yaml").write_text(writing)
    assert run("check", "--strict", "new.yaml", cwd=tmp_path).returncode == 0
    server = serve("-c", str(tmp_path / "new.yaml"), "--port", "0", "--sources.main.url", f"sqlite:{tmp_path}/nasty.db")
    with Wire("127.0.0.1", server.port()) as wire:
        assert wire.ask("GET", "order:7") == b'{"select":7,"group":"g"}'
        assert wire.ask("GET", "order_line:a:1") == b'{"k":"a","n":1,"v":"b"}'


def test_init_maps_all_of_chinook(tmp_path, chinook):
    end = run("init", f"sqlite:{chinook}", cwd=tmp_path)
    assert (end.returncode, end.stderr) == (0, "11 tables mapped, 0 left as comments\n")
    (tmp_path / "c.yaml").write_text(end.stdout)
    assert run("check", "--strict", "c.yaml", cwd=tmp_path).returncode == 0
    assert "playlist_track:{PlaylistId:int}:{TrackId:int}:" in end.stdout
    assert ("  # album:by-ArtistId:{ArtistId:int}:   # all its rows as a JSON array\n"
            "  #   table: Album\n  #   rows: many\n") in end.stdout
    (tmp_path / "c.yaml").write_text(re.sub(r"(?m)^  # (  )?(\S+:by-\S+:|table: |rows: many)", r"  \1\2", end.stdout))
    end = run("check", "c.yaml", cwd=tmp_path)
    assert (end.returncode, end.stdout) == (0, "c.yaml: 1 source, 22 keyspaces: all is well\n"), end.stderr


def test_init_overwrites_nothing_and_leaves_nothing_half_done(tmp_path, database):
    database(USERS)
    (tmp_path / "mine.yaml").write_text("# edited\n")
    end = run("init", "sqlite:shop.db", "-o", "mine.yaml", cwd=tmp_path)
    assert end.returncode == EXITS["cantcreat"] and "File exists" in end.stderr
    assert (tmp_path / "mine.yaml").read_text() == "# edited\n"
    end = run("init", "sqlite:gone.db", "-o", "new.yaml", cwd=tmp_path)
    assert end.returncode == EXITS["unavailable"] and "gone.db" in end.stderr
    assert not (tmp_path / "new.yaml").exists()
    assert run("init", "mongodb://h", cwd=tmp_path).returncode == EXITS["usage"]
    assert run("init", cwd=tmp_path).returncode == EXITS["usage"]
    database("CREATE TABLE nopk(a);", "empty.db")
    end = run("init", "sqlite:empty.db", cwd=tmp_path)
    assert end.returncode == EXITS["failure"] and "no table could be mapped" in end.stderr
