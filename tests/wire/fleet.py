"""Several Forebays over one Redis and one PostgreSQL: how they are started, killed and brought back, and the programs
that ask them (tests/live/herd.c, tests/live/fleet.c)."""

import contextlib
import os
import subprocess
import tempfile

import pytest

import servers
from conftest import BUILD, Forebay, Redis, free_port

LIVE = os.path.join(BUILD, "tests", "live")
PATIENT = "700ms"  # store.share_timeout where a store that is only slow would be taken for one that is away


def figures(text):
    """name=number lines as a dict."""
    pairs = (part.split("=", 1) for part in text.split() if "=" in part)
    return {name: int(value) if value.isdigit() else value for name, value in pairs}


class Fleet:
    """`count` Forebays with the same configuration, each on a port that it keeps, and with a journal of its own."""

    def __init__(self, started, folder, make_database, schema, keyspaces, count=3, store=None, server=None, redis=None,
                 source=None, url=None):
        self.started, self.folder = started, folder
        self.has_journals = any(more.get("write") == "write-behind" for more in keyspaces.values())
        self.database = make_database("postgresql").make(schema)
        self.redis, self.redis_flags, self.redis_port = None, list(redis or []), 0
        if url is None:
            self.redis_port = free_port()
            self.start_redis()
        self.config = {
            "store": {"url": url or f"redis://127.0.0.1:{self.redis_port}/0", **(store or {})},
            "server": {"threads": 1, **(server or {})},
            "sources": {"db": self.database.source(**(source or {"pool": 3}))},
            "keyspaces": {name: {"source": "db", **more} for name, more in keyspaces.items()},
        }
        self.ports = [free_port() for _ in range(count)]
        self.servers = [None] * count
        for i in range(count):
            self.start(i)

    def start_redis(self):
        self.redis = Redis(self.started, self.folder, ["--port", str(self.redis_port), *self.redis_flags])
        self.redis.port = self.redis_port

    def kill_redis(self):
        self.redis.kill()

    def start(self, index):
        own = {"listen": f"127.0.0.1:{self.ports[index]}"}
        if self.has_journals:
            own["journal_dir"] = os.path.join(self.folder, f"journal-{index}")
        config = {**self.config, "server": {**self.config["server"], **own}}
        self.servers[index] = Forebay(self.started, config, self.folder)
        return self.servers[index]

    def kill(self, index):
        self.servers[index].kill()

    def total(self, section, field):
        """A figure of INFO over all of them."""
        return sum(int(server.info(section)[section][field]) for server in self.servers)

    def herd(self, seconds, clients, key):
        """Runs tests/live/herd; its figures."""
        done = subprocess.run([os.path.join(LIVE, "herd"), str(seconds), str(clients), key, *map(str, self.ports)],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=seconds + 60)
        assert done.returncode == 0, done.stderr
        return figures(done.stdout)

    def checker(self, seconds):
        """Starts tests/live/fleet and returns it."""
        return Checker(self, seconds)


class Checker:
    """tests/live/fleet while it runs."""

    def __init__(self, fleet, seconds):
        database = fleet.database
        where = (f"host={database.server.folder} port={database.server.port} dbname={database.name} user={servers.USER} "
                 f"password={_quoted(servers.PASSWORD)}")
        self.errors = tempfile.TemporaryFile("w+", encoding="utf-8")
        self.process = subprocess.Popen(
            [os.path.join(LIVE, "fleet"), str(seconds), str(fleet.redis_port), where, *map(str, fleet.ports)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True, bufsize=1)
        self.early = ""

    def say_down(self, index):
        """Before a Forebay is killed."""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(f"down {index}\n")
        line = self.process.stdout.readline()
        self.early += line if line != "noted\n" else ""  # its time is over: these are figures

    def is_running(self):
        return self.process.poll() is None

    def ends_within(self, seconds):
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
        return not self.is_running()

    def stop(self):
        """For when the test has failed."""
        if self.is_running():
            self.process.kill()
        self.process.wait()

    def figures(self):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait(120)
        out = self.process.stdout.read()  # and not communicate(), which leaves out what readline() has read too far
        self.errors.seek(0)
        err = self.errors.read()
        print(err, end="")
        assert self.process.returncode == 0, err
        return figures(self.early + out)


def _quoted(text):
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


@pytest.fixture
def fleet(processes, tmp_path, make_database):
    """fleet(schema, keyspaces, count=3, store={}, …) starts one."""
    return lambda schema, keyspaces, **more: Fleet(processes, str(tmp_path), make_database, schema, keyspaces, **more)
