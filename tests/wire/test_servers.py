"""Shows that the throw-away database servers of the tests are what they say: theirs alone, no root's, and gone when
they are stopped, killed, or when who started them died."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys

import pytest

import servers
from conftest import TOP, wait_until

PROGRAM = os.path.join(TOP, "tests", "db", "servers.py")


@pytest.fixture(scope="module", params=["postgresql", "mariadb"])
def server(request):
    """One for the tests of this file, which use it up in their order."""
    try:
        made = servers.KINDS[request.param][0]()
    except servers.Unavailable as error:
        pytest.skip(str(error))
    made.start()
    yield made
    made.remove()


def user_of(pid):
    """None when it has ended meanwhile, as a connection's process may."""
    try:
        return os.stat(f"/proc/{pid}").st_uid
    except FileNotFoundError:
        return None


def test_server_is_nobodys_but_ours_and_never_roots(server):
    pids = servers.processes_of(server.folder)
    assert server.process.pid in pids
    expected = os.geteuid() or server.user.pw_uid
    assert {user_of(pid) for pid in pids} - {None} == {expected} and expected != 0
    with server.connect() as connection:
        assert connection.one("SELECT 1") == 1


def test_data_outlives_a_restart_and_a_crash_ends_all_processes(server):
    with server.connect() as connection:
        connection.run("CREATE DATABASE kept")
    port = server.port
    server.restart()
    assert server.port == port
    server.connect("kept").close()
    server.kill()
    assert servers.processes_of(server.folder) == []
    server.start().connect("kept").close()


def test_frozen_server_answers_again_when_it_is_thawed(server):
    server.freeze()
    assert {servers.state_of(pid) for pid in servers.processes_of(server.folder)} == {"T"}
    server.thaw()
    server.connect().close()


def test_nothing_is_left_of_a_server_that_was_removed(server):
    server.remove()
    assert servers.processes_of(server.folder) == []
    assert not os.path.exists(server.folder)
    with pytest.raises(OSError):
        os.kill(server.process.pid, 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_servers_end_with_the_program_that_started_them(postgres, mariadb, number, tmp_path):
    shown = tmp_path / "shown"
    script = (f"echo $FOREBAY_TEST_PG > {shown}.new; echo $FOREBAY_TEST_MYSQL >> {shown}.new; mv {shown}.new {shown}; "
              "exec sleep 60")
    command = subprocess.Popen([sys.executable, PROGRAM, "run", "--", "sh", "-c", script], start_new_session=True,
                               stdin=subprocess.DEVNULL)
    try:
        wait_until(lambda: shown.exists() or command.poll() is not None, "the servers", 180)
        pg, maria = shown.read_text().split()
        assert pg.startswith("postgresql://") and maria.startswith("mysql://")
        children = [pid for pid in all_processes() if parent_of(pid) == command.pid]
        assert len(children) == 3, [command_line(pid) for pid in children]  # two servers and the command
        folders = {os.readlink(f"/proc/{pid}/cwd") for pid in children if user_of(pid) or os.geteuid()}
        folders = {folder[:-len("/data")] if folder.endswith("/data") else folder for folder in folders}
        folders = {folder for folder in folders if "/forebay-" in folder}
        assert len(folders) == 2
        command.send_signal(number)
        command.wait(90)
        for folder in folders:
            wait_until(lambda: not servers.processes_of(folder), f"the end of what works in {folder}", 60)
            assert os.path.exists(folder) == (number == signal.SIGKILL)  # nobody was left to remove it
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        for pid in servers_group(command.pid):
            with contextlib.suppress(ProcessLookupError):  # it went by itself
                os.kill(pid, signal.SIGKILL)
        command.kill()
        command.wait()


def all_processes():
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]


def command_line(pid):
    """For who wonders what it is."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return pid, file.read().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return pid, None


def parent_of(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return int(file.read().rsplit(")", 1)[1].split()[1])
    except OSError:
        return None


def servers_group(session):
    """What is left of the session that the command began."""
    found = []
    for pid in all_processes():
        try:
            if os.getsid(pid) == session and pid != session:
                found.append(pid)
        except OSError:
            pass
    return found
