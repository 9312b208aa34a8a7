"""`store.url: auto`: a Redis of Forebay's own, from its start to every way in which either may end."""

import os
import re
import shutil
import signal
import stat
import subprocess

import pytest

from conftest import FOREBAY, to_yaml, wait_until
from resp import ReplyError

USERS = """CREATE TABLE IF NOT EXISTS users(id INTEGER PRIMARY KEY, name TEXT);
           INSERT OR IGNORE INTO users VALUES (1, 'ann');"""


@pytest.fixture(autouse=True)
def program(monkeypatch, tmp_path_factory):
    """Debian's redis-tools hold the server's program under another name; it goes by how it is called."""
    if shutil.which("redis-server") is None and shutil.which("redis-check-rdb") is not None:
        folder = tmp_path_factory.mktemp("bin")
        os.symlink(shutil.which("redis-check-rdb"), folder / "redis-server")
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


@pytest.fixture
def auto(forebay, database, tmp_path):
    """auto(**store): a Forebay with a private store; its data is in `state`."""
    def start(state="state", **store):
        return forebay({
            "server": {"threads": 1, "state_dir": str(tmp_path / state)},
            "store": {"url": "auto", **store},
            "sources": {"shop": {"url": f"sqlite:{database(USERS, 'shop-' + state + '.db')}"}},
            "keyspaces": {"user:{id:int}": {"table": "users"}},
        })
    return start


def pid_of(server):
    """The process id of its Redis, as INFO of that Redis says it."""
    with server.wire() as wire:
        return int(re.search(rb"process_id:(\d+)", wire.ask("EVAL", "return redis.call('INFO', 'server')", "0")).group(1))


def is_there(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def ask(server, *words):
    with server.wire() as wire:
        return wire.ask(*words)


def test_it_is_started_used_and_stopped(auto, tmp_path):
    server = auto()
    with server.wire() as wire:
        assert wire.ask("LPUSH", "queue", "a", "b") == 2 and wire.ask("GET", "user:1") == b'{"id":1,"name":"ann"}'
        told = wire.ask("EVAL", "return redis.call('INFO', 'everything')", "0").decode().split("\r\n")
    assert {"aof_enabled:1", "tcp_port:0", f"maxmemory:{256 << 20}", "maxmemory_policy:volatile-lru"} <= set(told)
    pid, data = pid_of(server), tmp_path / "state" / "store"
    assert f"data is in {data}" in server.log() and str(pid) in server.log()
    server.stop()
    assert not is_there(pid)


def test_nobody_else_can_use_it(auto, tmp_path):
    """Its folder and socket are the owner's, who asks without the password is refused, and no process list shows it."""
    server = auto()
    data = tmp_path / "state" / "store"
    for path, kind in ((data, 0o040700), (data / "redis.sock", 0o140700)):
        assert path.stat().st_mode == kind, oct(path.stat().st_mode)
    for path in data.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    asked = subprocess.run(["redis-cli", "-s", str(data / "redis.sock"), "KEYS", "*"], capture_output=True, text=True,
                           check=False)
    assert "NOAUTH" in asked.stdout + asked.stderr
    pid = pid_of(server)
    for name in ("cmdline", "environ"):
        with open(f"/proc/{pid}/{name}", "rb") as file:
            assert not re.search(rb"[0-9a-f]{32}|FOREBAY", file.read())
    assert not re.search(r"[0-9a-f]{64}", server.log())
    assert os.getpgid(pid) == pid  # a Ctrl-C in the terminal is not for it


def test_it_is_started_again_when_it_dies(auto):
    server = auto()
    with server.wire() as wire:
        wire.ask("SET", "kept", "x")
    for _ in range(2):
        pid = pid_of(server)
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not is_there(pid), "it is gone")
        wait_until(lambda: ask(server, "GET", "kept") == b"x", "it is back with its data")
        assert ask(server, "GET", "user:1") == b'{"id":1,"name":"ann"}'
    assert server.log().count("event=store.ended") == 2 and "signal 9" in server.log()


def test_it_ends_when_forebay_is_killed(auto):
    server = auto()
    assert ask(server, "SET", "kept", "x") == "OK"
    pid = pid_of(server)
    server.kill()
    wait_until(lambda: not is_there(pid), "the kernel tells it")
    again = auto()
    wait_until(lambda: ask(again, "GET", "kept") == b"x", "what was written is there")


def test_a_restart_keeps_what_was_written(auto):
    server = auto()
    with server.wire() as wire:
        for i in range(1000):
            wire.ask("RPUSH", "list", i)
    server.stop()
    again = auto()
    assert ask(again, "LLEN", "list") == 1000 and ask(again, "LINDEX", "list", -1) == b"999"


def test_two_do_not_share_a_directory(auto, tmp_path):
    server = auto()
    assert ask(server, "SET", "a", "1") == "OK"
    second = subprocess.run([FOREBAY, "serve", "-c", server.config_path], capture_output=True, text=True, check=False,
                            stdin=subprocess.DEVNULL, timeout=60)
    assert second.returncode == 73 and "in use by another Forebay" in second.stderr and "state_dir" in second.stderr
    other = auto(state="another")
    assert ask(other, "GET", "a") is None and ask(server, "GET", "a") == b"1"


def test_it_has_a_bound(auto):
    """Keys without a life never leave for room; the error says so in Redis' words."""
    server = auto(memory_max="2mb")
    with server.wire() as wire:
        replies = [wire.ask("SET", f"k{i}", "x" * 10000) for i in range(300)]
        assert isinstance(replies[-1], ReplyError) and str(replies[-1]).startswith("OOM command not allowed")
        assert wire.ask("GET", "k0") == b"x" * 10000


def test_without_a_program_for_it(auto, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    server = auto()
    assert "event=store.absent" in server.log()
    with server.wire() as wire:
        assert wire.ask("GET", "user:1") == b'{"id":1,"name":"ann"}'
        assert str(wire.ask("LPUSH", "a", "b")) == ("STOREDOWN store 'auto' cannot be reached: neither redis-server nor "
                                                    "valkey-server is installed (Debian's package: redis-server)")


def test_valkey_does_as_well(auto, monkeypatch, tmp_path):
    """By its name alone; what is started here is the redis-server of this machine."""
    program = shutil.which("redis-server") or shutil.which("redis-check-rdb")
    os.makedirs(tmp_path / "bin")
    os.symlink(os.path.realpath(program), tmp_path / "bin" / "valkey-server")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    server = auto()
    assert f"program={tmp_path}/bin/valkey-server" in server.log()


def test_it_needs_a_directory(database, tmp_path):
    path = tmp_path / "f.yaml"
    path.write_text(to_yaml({"store": {"url": "auto"}, "sources": {"shop": {"url": f"sqlite:{database(USERS)}"}},
                             "keyspaces": {"user:{id:int}": {"table": "users"}}}) + "\n")
    environment = {name: value for name, value in os.environ.items() if name != "STATE_DIRECTORY"}

    def check(**more):
        return subprocess.run([FOREBAY, "check", "-c", str(path)], capture_output=True, text=True, check=False,
                              env={**environment, **more})
    without = check()
    assert without.returncode == 78 and "a private store has no directory for its data" in without.stderr
    assert "server.state_dir" in without.stderr
    assert check(STATE_DIRECTORY=str(tmp_path)).returncode == 0
