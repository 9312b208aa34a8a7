"""Shows users and passwords beside a redis-server that has the same file: refusals are the same bytes, and so is what a
user may do; then what is Forebay's own: reloading under connections, and what is said of a bad file."""

import re
import signal
import subprocess

import pytest

from conftest import FOREBAY, clean_environment, to_yaml, wait_until
from resp import Closed, ReplyError

SECRET = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"  # of "secret"

USERS = f"""user default on nopass ~* &* +@all
user reader on #{SECRET} %R~t:* +@read +@connection +acl|whoami
user writer on #{SECRET} ~t:* +@write -del +ping &news:* +publish +subscribe +psubscribe
user both on nopass ~t:1* (%R~t:2* +get) +set +get +incr +getset +exists +mget +mset +expire +getex
user narrow on nopass allkeys +config|get +client -client|kill +@string -@write
user wide on nopass allkeys allchannels +@all -@dangerous
user off off nopass allkeys +@all
"""

SETTINGS = {"keyspaces": {"t:{id:int}": {"table": "t", "as": "column:v", "write": "write-through", "on_del":
                                         "delete-row"}}}

LOGINS = [("AUTH", "secret"), ("AUTH", "reader", "wrong"), ("AUTH", "reader", "secret"), ("AUTH", "nobody", "secret"),
          ("AUTH", "off", "x"), ("AUTH", "both", "anything"), ("AUTH", "a", "b", "c"), ("AUTH",),
          ("HELLO", "3", "AUTH", "reader", "wrong"), ("HELLO", "2", "AUTH", "off", "x"), ("ACL", "WHOAMI")]

REQUESTS = [("GET", "t:1"), ("GET", "t:2"), ("SET", "t:1", "5"), ("SET", "t:2", "5"), ("SET", "t:1", "5", "GET"),
            ("SET", "t:2", "5", "GET"), ("INCR", "t:1"), ("INCR", "t:2"), ("GETSET", "t:1", "7"), ("EXISTS", "t:1"),
            ("EXISTS", "t:2"), ("MGET", "t:1", "t:2"), ("MGET", "t:1", "t:10"), ("MSET", "t:1", "1", "t:2", "2"),
            ("MSET", "t:1", "1", "t:10", "2"), ("DEL", "t:1"), ("UNLINK", "t:10"), ("STRLEN", "t:1"), ("GETEX", "t:1"),
            ("PING",), ("ECHO", "x"), ("CLIENT", "GETNAME"), ("CLIENT", "KILL", "ID", "999999"), ("CLIENT", "NOSUCH"),
            ("CONFIG", "RESETSTAT"), ("FLUSHALL",), ("NOSUCH", "t:1"), ("GET",), ("ACL", "WHOAMI"), ("ACL", "USERS"),
            ("ACL", "SETUSER"), ("PUBLISH", "news:1", "x"), ("PUBLISH", "other", "x"), ("SELECT", "0"),
            ("TTL", "t:3"), ("OBJECT", "ENCODING", "t:3"), ("ACL", "DRYRUN", "reader", "GET", "t:1"),
            ("ACL", "DRYRUN", "reader", "GET", "other"), ("ACL", "DRYRUN", "reader", "SET", "t:1", "x"),
            ("ACL", "DRYRUN", "writer", "PUBLISH", "other", "x"), ("ACL", "DRYRUN", "nobody", "GET", "t:1"),
            ("ACL", "DRYRUN", "reader", "GET"), ("ACL", "DRYRUN", "reader", "NOSUCH"), ("ACL", "CAT", "nosuch"),
            ("ACL", "GETUSER", "nobody"), ("ACL", "GENPASS", "0"), ("ACL", "GENPASS", "4097"), ("ACL", "LOG", "x")]


def make_pair(forebay, redis_server, database, tmp_path, **settings):
    path = tmp_path / "users"
    path.write_text(USERS)
    path.chmod(0o600)
    db = database("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT);")
    ours = forebay({"server": {"users_file": path, **settings}, "sources": {"shop": {"url": f"sqlite:{db}"}}, **SETTINGS})
    return ours, redis_server(["--aclfile", str(path)]), path


@pytest.fixture
def pair(forebay, redis_server, database, tmp_path):
    """Forebay and redis-server with the same users."""
    return make_pair(forebay, redis_server, database, tmp_path)


@pytest.fixture
def single(forebay, redis_server, database, tmp_path):
    """The same with one thread: connections of others learn of new rules a moment after ACL LOAD has answered."""
    return make_pair(forebay, redis_server, database, tmp_path, threads=1)


def answers(server, login, requests):
    """Each request on a connection of its own, as this user."""
    given = []
    for request in requests:
        with server.wire() as wire:
            if login:
                assert wire.ask("AUTH", *login) == "OK"
            given.append(wire.ask(*request))
    return given


def test_logging_in_is_answered_as_by_redis(pair):
    ours, redis, _ = pair
    with ours.wire() as a, redis.wire() as b:
        for request in LOGINS:
            first, second = a.ask(*request), b.ask(*request)
            if isinstance(first, dict):
                first, second = sorted(first), sorted(second)
            assert first == second, request
            if isinstance(first, ReplyError) and first.word == "WRONGPASS":
                a.ask("AUTH", "both", "x")  # a right one: Forebay counts wrong ones in a row
                b.ask("AUTH", "both", "x")


@pytest.mark.parametrize("user", ["default", "reader", "writer", "both", "narrow", "wide"])
def test_the_same_is_refused_in_the_same_words(pair, user):
    ours, redis, _ = pair
    login = () if user == "default" else (user, "secret")
    for request, first, second in zip(REQUESTS, answers(ours, login, REQUESTS), answers(redis, login, REQUESTS)):
        is_refused = isinstance(second, ReplyError) and second.word == "NOPERM"
        assert (isinstance(first, ReplyError) and first.word == "NOPERM") == is_refused, (user, request, first, second)
        if is_refused or request[0] == "ACL":
            assert first == second, (user, request)


def test_a_password_is_asked_for_in_the_same_words(forebay, redis_server, database, tmp_path):
    secret = tmp_path / "secret"
    secret.touch(mode=0o600)
    secret.write_text("secret")
    db = database("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT);")
    ours = forebay({"server": {"password": f"file:{secret}"}, "sources": {"shop": {"url": f"sqlite:{db}"}}, **SETTINGS})
    redis = redis_server(["--requirepass", "secret"])
    with ours.wire() as a, redis.wire() as b:
        for request in [("GET", "t:1"), ("PING",), ("NOSUCH",), ("HELLO", "3"), ("HELLO",), ("ACL", "WHOAMI"),
                        ("AUTH", "wrong"), ("AUTH", "default", "wrong"), ("AUTH", "default", "secret"), ("PING",),
                        ("ACL", "WHOAMI"), ("RESET",), ("PING",), ("AUTH", "secret"), ("ACL", "GETUSER", "default")]:
            first, second = a.ask(*request), b.ask(*request)
            if request == ("ACL", "GETUSER", "default"):
                first, second = first[2:], second[2:]  # Redis 7.0 has one flag more
            elif isinstance(first, ReplyError):  # later versions of Redis say more about HELLO
                first = ReplyError(first.text.replace("HELLO <proto> AUTH", "HELLO AUTH"))
            assert first == second, request


def categories(server):
    """Command, or command|subcommand, to its categories."""
    found = {}
    with server.wire() as wire:
        for category in wire.ask("ACL", "CAT"):
            for name in wire.ask("ACL", "CAT", category):
                found.setdefault(name.decode(), set()).add(category.decode())
    return found


def test_commands_are_sorted_as_in_redis(pair):
    ours, redis, _ = pair
    first, second = categories(ours), categories(redis)
    common = (set(first) & set(second)) - {"debug"}  # which has subcommands here
    assert len(common) > 130
    different = {name: (sorted(first[name]), sorted(second[name])) for name in common if first[name] != second[name]}
    assert not different


def test_a_file_is_taken_over_while_clients_are_there(pair):
    ours, _, path = pair
    with ours.wire() as both, ours.wire() as narrow, ours.wire() as admin:
        assert both.ask("AUTH", "both", "x") == "OK"
        assert narrow.ask("AUTH", "narrow", "x") == "OK"
        path.write_text("user both on nopass ~t:* +get +nosuch\n")
        with pytest.raises(AssertionError, match="Unknown command"):
            reply = admin.ask("ACL", "LOAD")
            assert not isinstance(reply, ReplyError), reply.text
        assert narrow.ask("CONFIG", "GET", "nothing") == []
        path.write_text("user both on nopass ~t:* +get\n")
        ours.process.send_signal(signal.SIGHUP)
        wait_until(lambda: isinstance(both.ask("SET", "t:1", "x"), ReplyError), "the new rules")
        assert both.ask("GET", "t:99") is None
        with pytest.raises((Closed, ConnectionResetError)):
            narrow.read()


CHANGES = [("~t:* &* +@all -get", "-get"), ("~t:1 &* +@all", "resetkeys ~t:1"), ("~t:* +@all", "resetchannels"),
           ("~t:* &* +@all -publish", "-publish"), ("~t:* &* +@all -exec", "-exec"), ("~t:* &* +@all -multi", "-multi")]
READS = [("GET", "t:1"), ("GET", "t:2"), ("PUBLISH", "news", "x"), ("EXISTS", "t:1", "t:2")]


def ask_over_a_change(server, requests, change):
    """Queue requests as the user `late`, change what it may do, and then EXEC."""
    with server.wire() as wire:
        assert wire.ask("AUTH", "late", "x") == "OK"
        assert wire.ask("MULTI") == "OK"
        assert [wire.ask(*request) for request in requests] == ["QUEUED"] * len(requests)
        change()
        return [wire.ask("EXEC"), wire.ask("DISCARD")]


@pytest.mark.parametrize("rules, change", CHANGES)
def test_rules_that_change_before_exec_are_obeyed_as_in_redis(single, rules, change):
    ours, redis, path = single
    with ours.wire() as a, redis.wire() as b:
        b.ask("ACL", "SETUSER", "late", "on", "nopass", "~t:*", "&*", "+@all")
        path.write_text(USERS + "user late on nopass ~t:* &* +@all\n")
        assert a.ask("ACL", "LOAD") == "OK"

        def change_ours():
            path.write_text(USERS + f"user late on nopass {rules}\n")
            assert a.ask("ACL", "LOAD") == "OK"

        def change_theirs():
            assert b.ask("ACL", "SETUSER", "late", *change.split()) == "OK"

        first, second = (ask_over_a_change(server, READS, do)
                         for server, do in ((ours, change_ours), (redis, change_theirs)))
        assert first == second
        logged = [entry[entry.index(name) + 1] for entry in a.ask("ACL", "LOG")[:1] for name in (b"context", b"username")]
        assert logged in ([], [b"multi", b"late"])


def test_a_write_that_is_no_longer_allowed_undoes_the_transaction(single):
    ours, _, path = single
    with ours.wire() as admin:
        path.write_text(USERS + "user late on nopass ~t:* +@all\n")
        assert admin.ask("ACL", "LOAD") == "OK"

        def change():
            path.write_text(USERS + "user late on nopass ~t:1 +@all\n")
            assert admin.ask("ACL", "LOAD") == "OK"

        answer, _ = ask_over_a_change(ours, [("SET", "t:1", "a"), ("SET", "t:2", "b")], change)
        assert answer == ReplyError(
            "EXECABORT Transaction rolled back: command 2 ('set'): NOPERM ACLs rules changed between the moment the "
            "transaction was accumulated and the EXEC call. This command is no longer allowed for the following reason: no "
            "permission to touch the specified keys")
        assert admin.ask("GET", "t:1") is None


def test_every_fault_of_a_file_is_listed(database, tmp_path):
    users = tmp_path / "users"
    users.write_text("user a on nopass +get\nuser b >secret +nosuch\nfoo\nuser a off\n")
    users.chmod(0o600)
    db = database("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT);")
    config = tmp_path / "bad.yaml"
    config.write_text(to_yaml({"server": {"listen": "127.0.0.1:0", "admin": "off", "users_file": users},
                               "sources": {"shop": {"url": f"sqlite:{db}"}}, **SETTINGS}) + "\n")
    done = subprocess.run([FOREBAY, "check", "-c", str(config)], capture_output=True, text=True, timeout=60,
                          env=clean_environment())
    assert done.returncode == 78
    for wanted in (r"users:2.*password in plain text", r"users:2.*'\+nosuch'", r"users:3.*begins with",
                   r"users:4.*has a line already"):
        assert re.search(wanted, done.stderr), done.stderr
    assert "secret" not in done.stderr


def test_no_secret_is_shown(forebay, database, tmp_path):
    secret = tmp_path / "password"
    secret.touch(mode=0o600)
    secret.write_text("hunter2hunter2")
    db = database("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT);")
    server = forebay({"server": {"password": f"file:{secret}", "log_level": "debug"},
                      "sources": {"shop": {"url": f"sqlite:{db}"}}, **SETTINGS})
    with server.wire() as wire:
        wire.ask("AUTH", "someone", "hunter3")
        assert wire.ask("AUTH", "hunter2hunter2") == "OK"
        shown = [wire.ask("CONFIG", "GET", "*"), wire.ask("INFO", "everything"), wire.ask("ACL", "LIST"),
                 wire.ask("ACL", "LOG"), wire.ask("CLIENT", "LIST"), wire.ask("SLOWLOG", "GET"), server.log()]
    assert not re.search("hunter[23]", repr(shown))
    assert "auth.failed" in server.log()
    with open(f"/proc/{server.pid}/status", encoding="ascii") as status:
        assert "State" in status.read()
