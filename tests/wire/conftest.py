"""What the wire tests share: a real server on a port of its own in front of a database in a folder of its own.

The program under test is $FOREBAY_BUILD/forebay (default: build/). Waiting is always for a condition with a deadline.
A server that does not stop cleanly, or that left a sanitizer's report, fails the test that used it; what it printed is
shown with the failure."""

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys

import pytest

from resp import Wire

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(TOP, "tests", folder) for folder in ("db", "store")]

import databases  # noqa: E402  (from tests/db)
import servers  # noqa: E402
from servers import free_port, wait_until  # noqa: E402, F401
BUILD = os.environ.get("FOREBAY_BUILD", os.path.join(TOP, "build"))
FOREBAY = os.path.join(BUILD, "forebay")
DATA = os.environ.get("FOREBAY_TEST_DATA", os.path.join(os.path.dirname(TOP), "shared", "data"))
NODE_MODULES = os.path.join(TOP, "build", "npm", "node_modules")
IS_FULL = os.environ.get("FOREBAY_TEST_FULL") == "1"

START_S = 60.0  # a sanitizer build on a busy machine needs some
STOP_S = 60.0


def pytest_configure(config):
    config.addinivalue_line("markers", "short: also run in short form on the sanitizer builds")
    config.addinivalue_line("markers", "hasty: the source's timeouts are short")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    report = (yield).get_result()
    if report.failed:
        item.has_failed = True
        for process in filter(lambda process: os.path.exists(process.log_path), getattr(item, "processes", [])):
            report.sections.append((f"{process.name} printed", process.log()))


def to_yaml(node, indent=""):
    """A tree of dicts, lists and scalars as the YAML that users write."""
    lines = []
    for key, value in node.items():
        if isinstance(value, dict):
            lines += [f"{indent}{key}:", to_yaml(value, indent + "  ")]
        elif isinstance(value, list):
            lines.append(f"{indent}{key}: [{', '.join(str(item) for item in value)}]")
        elif "\n" in str(value):
            lines += [f"{indent}{key}: |"] + [f"{indent}  {line}" for line in str(value).strip().split("\n")]
        else:
            lines.append(f"{indent}{key}: {value}")
    return "\n".join(lines)


def clean_environment():
    """The environment without what would configure Forebay."""
    return {"TSAN_OPTIONS": f"suppressions={os.path.join(TOP, 'tests', 'wire', 'tsan.supp')}",
            **{name: value for name, value in os.environ.items() if not name.startswith("FOREBAY_")}}


def find_program(name):
    """Where a program is: installed, or unpacked by tools/setup.sh; None: nowhere."""
    return shutil.which(name) or shutil.which(name, path=os.path.join(TOP, "build", "tools", "bin"))


class Process:
    """A program that runs beside a test and is stopped by its id; `started` learns of it at once."""

    def __init__(self, started, name, command, folder):
        self.name, self.log_path = name, os.path.join(folder, f"{name}.log")
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder,
                                            env=clean_environment())
        self.pid = self.process.pid
        started.append(self)

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return log.read()

    def is_running(self):
        return self.process.poll() is None

    def wait_for(self, condition, what, seconds=START_S):
        """condition() while the program lives."""
        def holds():
            value = condition()
            if not value and not self.is_running():
                raise AssertionError(f"{self.name} ended with status {self.process.returncode} before {what}:\n"
                                     + self.log())
            return value
        return wait_until(holds, f"{self.name}: {what}", seconds)

    def kill(self):
        """At once, as a crash would."""
        if self.is_running():
            self.process.kill()
        self.process.wait()

    def stop(self):
        """Politely; returns the exit status."""
        if self.is_running():
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} did not stop within {STOP_S} s of SIGTERM:\n" + self.log()) from None


class Forebay(Process):
    """`forebay serve` with a configuration given as a dict; it takes any free port and says which."""

    def __init__(self, started, config, folder, flags=()):
        name = f"forebay-{len(started)}"
        if not os.path.exists(FOREBAY):
            pytest.fail(f"{FOREBAY} is not built; run make build")
        config = dict(config)
        config["server"] = {"listen": "127.0.0.1:0", "admin": "off", **config.get("server", {})}
        self.config_path = os.path.join(folder, f"{name}.yaml")
        with open(self.config_path, "w", encoding="utf-8") as file:
            file.write(to_yaml(config) + "\n")
        super().__init__(started, name, [FOREBAY, "serve", "-c", self.config_path, *flags], folder)
        self.host = "127.0.0.1"
        ready = self.wait_for(lambda: re.search(READY, self.log()), "its ready line")
        self.port = int(ready.group(1))

    def wire(self, **more):
        """A raw connection."""
        return Wire(self.host, self.port, **more)

    def client(self, **more):
        """The client of Debian's python3-redis."""
        import redis
        return redis.Redis(self.host, self.port, **more)

    def info(self, section=None):
        """INFO as a dict of dicts: section name in lower case, then field."""
        with self.wire() as wire:
            text = wire.ask(*(["INFO"] + ([section] if section else []))).decode()
        sections, current = {}, None
        for line in text.split("\r\n"):
            if line.startswith("#"):
                current = sections.setdefault(line[1:].strip().lower(), {})
            elif ":" in line:
                field, value = line.split(":", 1)  # of a keyspace: "ks0", "pattern=user:{id:int},keys=…"
                current[field] = value
        return sections

    def source(self, name="shop"):
        """The counters of a source."""
        line = self.info("forebay_sources")["forebay_sources"][f"source_{name}"]
        return {field: int(number) for field, number in (part.split("=") for part in line.split(","))}

    def finish(self):
        """What the fixture asks of every server at the end of its test."""
        if self.process.returncode == -signal.SIGKILL:
            return
        status = self.stop()
        log = self.log()
        assert not re.search(r"ERROR: \w*Sanitizer|WARNING: ThreadSanitizer|runtime error:", log), log
        assert status == 0, f"{self.name} ended with status {status}:\n{log}"


READY = r"(?m)\bready\b.*\b127\.0\.0\.1:(\d+)"


@pytest.fixture(autouse=True)
def leaves_little_behind(request, tmp_path):
    """Journals are made of segments of 64 MiB: hundreds of tests would fill a disk. What has failed stays to be looked at."""
    yield
    if not getattr(request.node, "has_failed", False):
        shutil.rmtree(tmp_path, ignore_errors=True)


@pytest.fixture
def processes(request):
    """Everything started for this test; stopped, newest first, when it ends."""
    started = []
    request.node.processes = started
    yield started
    errors = []
    for process in reversed(started):
        try:
            process.finish()
        except AssertionError as error:
            errors.append(str(error))
        finally:
            process.kill()
    request.node.has_failed = getattr(request.node, "has_failed", False) or bool(errors)
    assert not errors, "\n".join(errors)


@pytest.fixture
def forebay(processes, tmp_path):
    """forebay(config, flags=()) starts a server and returns it."""
    return lambda config, flags=(): Forebay(processes, config, str(tmp_path), flags)


class Redis(Process):
    """A real redis-server without persistence, as the oracle of a test."""

    def __init__(self, started, folder, flags=()):
        program = shutil.which("redis-server")
        if program is None:
            # Debian's redis-tools holds the server's program under another name; it goes by how it is called.
            program = os.path.join(folder, "redis-server")
            if not os.path.exists(program):
                os.symlink(shutil.which("redis-check-rdb"), program)
        self.host, self.port = "127.0.0.1", free_port()
        super().__init__(started, f"redis-{len(started)}", [program, "--port", str(self.port), "--bind", self.host,
                                                            "--save", "", "--appendonly", "no", *flags], folder)
        self.wait_for(lambda: "eady to accept connections" in self.log(), "its ready line")

    def wire(self, **more):
        return Wire(self.host, self.port, **more)

    def finish(self):
        self.stop()


@pytest.fixture
def redis_server(processes, tmp_path):
    """redis_server(flags=()) starts a redis-server and returns it."""
    return lambda flags=(): Redis(processes, str(tmp_path), flags)


@pytest.fixture
def database(tmp_path):
    """database(sql, name="shop.db") makes a SQLite database and returns its path."""
    def make(sql, name="shop.db"):
        path = str(tmp_path / name)
        with sqlite3.connect(path) as connection:
            connection.executescript(sql)
        connection.close()
        return path
    return make


@pytest.fixture
def chinook(tmp_path):
    """A copy of the Chinook database that may be written."""
    origin = os.path.join(DATA, "chinook", "Chinook_Sqlite.sqlite")
    if not os.path.exists(origin):
        pytest.skip(f"no Chinook database at {origin}; set FOREBAY_TEST_DATA")
    return shutil.copyfile(origin, str(tmp_path / "chinook.db"))


@pytest.fixture(scope="session")
def cluster():
    """The throw-away PostgreSQL and MariaDB of this run; nothing of them is left at its end."""
    made = databases.Cluster()
    yield made
    folders = [server.folder for server in made.servers.values()]
    made.remove()
    for folder in folders:
        assert servers.processes_of(folder) == [] and not os.path.exists(folder), folder


def server_or_skip(cluster, kind):
    try:
        return cluster.server(kind)
    except servers.Unavailable as error:
        return pytest.skip(str(error))


@pytest.fixture
def postgres(cluster):
    """The running PostgreSQL server (servers.PostgreSQL); it runs again for the next test, whatever this one does."""
    return server_or_skip(cluster, "postgresql")


@pytest.fixture
def mariadb(cluster):
    """The running MariaDB server (servers.MariaDB)."""
    return server_or_skip(cluster, "mariadb")


@pytest.fixture
def make_database(cluster):
    """make_database(kind) makes an empty database that lives as long as the test."""
    made = []

    def make(kind):
        if not databases.is_built_in(FOREBAY, databases.SCHEMES[kind]):
            pytest.skip(f"this build of Forebay has no driver for {databases.SCHEMES[kind]}: URLs")
        if kind != "sqlite":
            server_or_skip(cluster, kind)
        made.append(databases.Database(kind, cluster))
        return made[-1]
    yield make
    for database in made:
        database.drop()


@pytest.fixture(params=databases.KINDS)
def world(request, make_database):
    """world(schema) makes a database; the test runs once for each kind of database. world.kind says which it is."""
    def make(schema=""):
        return make_database(request.param).make(schema)
    make.kind = request.param
    return make


@pytest.fixture
def writing(world):
    """For tests that write through the driver."""
    if world.kind not in databases.WRITERS:
        pytest.skip(f"the driver of {world.kind} does not write yet")


@pytest.fixture
def chinook_world(world):
    """chinook_world() makes a Chinook, once for each kind of database."""
    def make():
        if not os.path.exists(os.path.join(DATA, "chinook", databases.CHINOOK[world.kind])):
            pytest.skip(f"no Chinook database in {DATA}; set FOREBAY_TEST_DATA")
        return databases.make_chinook(world(), DATA)
    make.kind = world.kind
    return make


def query(path, sql, *parameters):
    """All rows of a query, asked of the database file itself and not through Forebay."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    connection.row_factory = sqlite3.Row
    try:
        return connection.execute(sql, parameters).fetchall()
    finally:
        connection.close()
