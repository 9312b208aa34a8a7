"""Shows every error of docs/errors.md: each row of the table that the server prints is provoked here and found in a reply,
or names the test that shows it. A row without either fails, and so does what provokes nothing that is in the table."""

import os
import re
import subprocess

import pytest

from conftest import FOREBAY, TOP, clean_environment
from resp import ReplyError, encode
from test_wrong_requests import replies, the_end

TABLES = """
CREATE TABLE kv(k TEXT PRIMARY KEY, v NOT NULL);
CREATE TABLE hash(k TEXT PRIMARY KEY, a TEXT, n INTEGER, x REAL);
CREATE TABLE item(id INTEGER PRIMARY KEY, name TEXT UNIQUE, stock INTEGER CHECK (stock >= 0));
INSERT INTO item VALUES (1, 'tea', 3), (2, 'salt', 5);
CREATE TABLE fixed(id INTEGER PRIMARY KEY, name TEXT);
"""

WRITES = {"write": "write-through", "on_del": "delete-row"}
KEYSPACES = {
    "s:{k:rest}": {"table": "kv", "as": "column:v", **WRITES},
    "h:{k:rest}": {"table": "hash", "as": "hash", "hide_columns": "[k]", **WRITES},
    "item:{id:int}": {"table": "item", "as": "json", **WRITES},
    "fixed:{id:int}": {"table": "fixed", "as": "column:name"},
}

USERS = """user default on nopass ~* &* +@all
user narrow on nopass ~s:1 &news +get +publish
"""

HALF = "x" * 33000

# What provokes a row on a server with these settings: requests as in test_wrong_requests.py, the last of which is
# answered with it. The rest stands below.
LINES = {
    "ERR unknown command '…', with args beginning with: …": "NOSUCH a",
    "ERR unknown subcommand '…'. Try … HELP.": "CLIENT NOSUCH",
    "ERR unknown subcommand or wrong number of arguments for '…'. Try … HELP.": "SLOWLOG GET 1 2",
    "ERR wrong number of arguments for '…' command": "GET",
    "ERR syntax error": "SET s:1 v NOSUCH",
    "ERR value is not an integer or out of range": "INCRBY s:1 x",
    "ERR value is out of range": "HRANDFIELD h:1 -9223372036854775807 WITHVALUES",
    "ERR value is out of range, value must between … and …": "SELECT 2147483648",
    "ERR value is not a valid float": "INCRBYFLOAT s:1 x",
    "ERR increment would produce NaN or Infinity": "INCRBYFLOAT s:1 inf",
    "ERR value is NaN or Infinity": "HINCRBYFLOAT h:1 x inf",
    "ERR invalid cursor": "SCAN x",
    "ERR decrement would overflow": "DECRBY s:1 -9223372036854775808",
    "ERR timeout is not an integer or out of range": "CLIENT PAUSE x",
    "ERR timeout is negative": "CLIENT PAUSE -1",
    "ERR invalid expire time in '…' command": "SET s:1 v EX 0",
    "ERR Unsupported option …": "EXPIRE s:1 10 NOSUCH",
    "ERR NX and XX, GT or LT options at the same time are not compatible": "EXPIRE s:1 10 NX XX",
    "ERR GT and LT options at the same time are not compatible": "EXPIRE s:1 10 GT LT",
    "ERR DB index is out of range": "SELECT 16",
    "NOMAP key '…' matches no keyspace and no store is configured…": "GET nowhere",
    "NOMAP there is no keyspace '…'; FB.KEYSPACES lists them": "FB.STATS zzzzzzzzzzzz",
    "NOMAP there is no keyspace '…' (did you mean '…'?)": "FB.STATS item:{id}",
    "WRONGTYPE Operation against a key holding the wrong kind of value": "HSET h:1 a 1 / GET h:1",
    "ERR '…' is not supported on mapped key '…' (keyspace '…', as …)": "LPUSH s:1 a",
    "ERR limit must be between 1 and …": "FB.WARM s:{k:rest} 0",
    "ERR Forebay does not run scripts: '…' needs a Redis of its own": "EVAL x 0",
    "ERR '…' is not supported by Forebay": "SAVE",
    "ERR This instance has cluster support disabled": "CLUSTER INFO",
    "ERR 'acl|…' is not supported by Forebay: the users file is yours; edit it, then ACL LOAD": "ACL SETUSER x",
    "ERR the configuration file is yours: Forebay does not rewrite it": "CONFIG REWRITE",
    "ERR No shutdown in progress.": "SHUTDOWN ABORT",
    "ERR FUNCTION FLUSH only supports SYNC|ASYNC option": "FUNCTION FLUSH x",
    "ERR SCRIPT FLUSH only support SYNC|ASYNC option": "SCRIPT FLUSH x",
    "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.": "WAITAOF 1 0 0",
    "WRONGPASS invalid username-password pair or user is disabled.": "AUTH nobody x",
    "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration "
    "is correct?": "AUTH x",
    "NOPERM this user has no permissions to run the '…' command": "AUTH narrow x / SET s:1 v",
    "NOPERM this user has no permissions to access one of the keys used as arguments": "AUTH narrow x / GET s:2",
    "NOPERM this user has no permissions to access one of the channels used as arguments": "AUTH narrow x / PUBLISH x y",
    "ERR User '…' not found": "ACL DRYRUN nobody get x",
    "ERR Command '…' not found": "ACL DRYRUN default nosuch",
    "ERR Unknown category '…'": "ACL CAT nosuch",
    "ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to …":
        "ACL GENPASS 0",
    "NOPROTO unsupported protocol version": "HELLO 4",
    "ERR Protocol version is not an integer or out of range": "HELLO x",
    "ERR Syntax error in HELLO option '…'": "HELLO 3 NOSUCH",
    "ERR … cannot contain spaces, newlines or special characters.": "CLIENT SETNAME 'a b'",
    "ERR Unrecognized option '…'": "CLIENT SETINFO NOSUCH x",
    "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR": "CLIENT UNBLOCK 1 NOSUCH",
    "ERR Unknown client type '…'": "CLIENT LIST TYPE nosuch",
    "ERR Invalid client ID": "CLIENT LIST ID x",
    "ERR client-id should be greater than 0": "CLIENT KILL ID 0",
    "ERR No such client": "CLIENT KILL 127.0.0.1:1",
    "ERR No such user '…'": "CLIENT KILL USER nobody",
    "ERR CLIENT PAUSE mode must be WRITE or ALL": "CLIENT PAUSE 0 NOSUCH",
    "ERR Can't execute '………': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context":
        "SUBSCRIBE x / GET s:1",
    "ERR A client can only redirect to a single other client": "CLIENT TRACKING on REDIRECT {id} REDIRECT {id}",
    "ERR The client ID you want redirect to does not exist": "CLIENT TRACKING on REDIRECT 999999999",
    "ERR PREFIX option requires BCAST mode to be enabled": "CLIENT TRACKING on PREFIX a",
    "ERR Prefix '…' overlaps with … prefix '…'. Prefixes for a single client must not overlap.":
        "CLIENT TRACKING on BCAST PREFIX a PREFIX ab",
    "ERR too many prefixes: at most … of one client and … of all":
        "CLIENT TRACKING on BCAST" + "".join(f" PREFIX p{n}:" for n in range(257)),
    "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it with a "
    "different mode.": "CLIENT TRACKING on / CLIENT TRACKING on BCAST",
    "ERR OPTIN and OPTOUT are not compatible with BCAST": "CLIENT TRACKING on BCAST OPTIN",
    "ERR You can't specify both OPTIN mode and OPTOUT mode": "CLIENT TRACKING on OPTIN OPTOUT",
    "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it with a "
    "different mode.": "CLIENT TRACKING on OPTIN / CLIENT TRACKING on OPTOUT",
    "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled":
        "CLIENT CACHING yes",
    "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.":
        "CLIENT TRACKING on OPTOUT / CLIENT CACHING yes",
    "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.":
        "CLIENT TRACKING on OPTIN / CLIENT CACHING no",
    "ERR MULTI calls can not be nested": "MULTI / MULTI",
    "ERR EXEC without MULTI": "EXEC",
    "ERR DISCARD without MULTI": "DISCARD",
    "ERR WATCH inside MULTI is not allowed": "MULTI / WATCH s:1",
    "ERR Command not allowed inside a transaction": "MULTI / SHUTDOWN",
    "ERR MONITOR isn't allowed for DENY BLOCKING client": "MULTI / MONITOR / EXEC",
    "EXECABORT Transaction discarded because of previous errors.": "MULTI / NOSUCH / EXEC",
    "EXECABORT Transaction discarded because of: …": "MULTI / EXEC x",
    "EXECABORT Transaction rolled back: …………": "SET s:text x / MULTI / INCR s:text / EXEC",
    "ERR the requests between MULTI and EXEC are larger than query_buffer_max allows":
        f"MULTI / ECHO {HALF} / ECHO {HALF}",
    "ERR a connection watches at most … keys": "WATCH" + "".join(f" s:{n}" for n in range(257)),
    "ERR Invalid command specified": "COMMAND GETKEYS nosuch a",
    "ERR The command has no key arguments": "COMMAND GETKEYS ping a",
    "ERR Invalid number of arguments specified for command": "COMMAND GETKEYS get a b",
    "ERR CONFIG SET failed (possibly related to argument '…') - …": "CONFIG SET daemonize yes",
    "ERR Unknown option or number of arguments for CONFIG SET - '…'": "CONFIG SET nosuch x",
    "ERR count should be greater than or equal to -1": "SLOWLOG GET -2",
    "ERR No samples available for event '…'": "LATENCY GRAPH nosuch",
    "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching between policies at "
    "runtime LRU and LFU data will take some time to adjust.": "SET s:1 v / OBJECT IDLETIME s:1",
}

# On a server with room for them.
LARGE = {
    "ERR too many subscriptions: at most … of one connection, with names of at most … bytes": f"SUBSCRIBE {'x' * 70000}",
    "ERR EXEC prepares at most … operations":
        "MULTI" + (" / MSET" + "".join(f" s:{n} v" for n in range(1000))) * 5 + " / EXEC",
    "ERR MULTI holds at most … requests": "MULTI" + " / PING" * 1025,
}

# Bytes that are no request.
BYTES = {
    "ERR Protocol error: invalid multibulk length": b"*x\r\n",
    "ERR Protocol error: invalid bulk length": b"*1\r\n$x\r\n",
    "ERR Protocol error: expected '$', got '…'": b"*1\r\nPING\r\n",
    "ERR Protocol error: expected CRLF after a bulk string": b"*1\r\n$4\r\nPINGxx",
    "ERR Protocol error: too big inline request": b"x" * 70000,
    "ERR Protocol error: unbalanced quotes in request": b"GET 'x\r\n",
    "ERR Protocol error: too big request": b"*3\r\n" + b"$30000\r\n%s\r\n" % (b"x" * 30000) * 2 + b"$30000\r\n" + b"x" * 9999,
}

# With a password.
LOCKED = {
    "NOAUTH Authentication required.": "GET s:1",
    "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> "
    "option can be used to authenticate the client and select the RESP protocol version at the same time": "HELLO 3",
    "ERR Protocol error: unauthenticated multibulk length": b"*11\r\n",
    "ERR Protocol error: unauthenticated bulk length": b"*1\r\n$5000\r\n",
}

# Shown elsewhere: the file, and what stands there.
ELSEWHERE = {
    "NOTOWNER the Forebay that owns these rows cannot be asked: …":
        ("tests/wire/test_forward.py", "the Forebay that owns these rows cannot be asked"),
    "NOTOWNER another Forebay took this one for the owner of these rows, which is …":
        ("tests/wire/test_forward.py", "another Forebay took this one for the owner of these rows"),
    "ERR this transaction names rows that different Forebays own":
        ("tests/wire/test_forward.py", "this transaction names rows that different Forebays own"),
    "UNKNOWN the Forebay that owns these rows was lost before it answered: …":
        ("tests/wire/test_forward.py", "the Forebay that owns these rows was lost before it answered"),
    "ERR this server was started without a configuration that could be read again":
        ("tests/unit/test_inspect.c", "could be read again"),
    "ERR this server is stopped by the program that it is part of":
        ("tests/unit/test_inspect.c", "by the program that it is part of"),
    "ERR too many wrong passwords from this address; try again in … seconds":
        ("tests/wire/test_limits.py", "too many wrong passwords"),
    "ERR '…' cannot use mapped key '…' and unmapped key '…' together":
        ("tests/wire/test_pass_through.py", "cannot use mapped key 'user:1' and unmapped key 'a' together"),
    "ERR '…' cannot be in this transaction: all its keys are rows, or all are keys of one database of the store":
        ("tests/wire/test_pass_through.py", "all are keys of one database of the store"),
    "ERR at most … mapped keys at a time beside unmapped ones":
        ("tests/wire/test_pass_through.py", "mapped keys at a time beside unmapped ones"),
    "ERR script touches mapped key '…' (keyspace '…'); scripts run in the store and cannot see it":
        ("tests/wire/test_pass_through.py", "script touches mapped key"),
    "STOREDOWN store '…' cannot be reached: …": ("tests/wire/test_pass_through.py", '"STOREDOWN"'),
    "CROSSSLOT Keys in request don't hash to the same slot": ("tests/wire/test_pass_topology.py", "CROSSSLOT Keys in"),
    "UNKNOWN store '…' was lost before it answered: …": ("tests/wire/test_pass_through.py", '"UNKNOWN"'),
    "ERR max number of clients reached": ("tests/wire/test_config.py", "max number of clients reached"),
}

OWN = {  # tests of their own: below, and in test_users.py
    "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This command is no "
    "longer allowed for the following reason: …",
    "ERR …", "ERR the reply would be longer than output_buffer_max allows; ask for less at a time",
    "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between "
    "policies at runtime LRU and LFU data will take some time to adjust.",
}


def reference(page):
    done = subprocess.run([FOREBAY, "reference", page], capture_output=True, text=True, check=True,
                          env=clean_environment())
    return [re.split(r"(?<!\\) \| ", row.strip("| ")) for row in done.stdout.splitlines() if row.startswith("| `")]


def rows():
    return [row[0].strip("`").replace("\\|", "|") for row in reference("errors")]


def matches(row, reply):
    """Is the reply of this row? EXEC may quote what was wrong."""
    pattern = ".*".join(re.escape(part) for part in re.split("…+", row)) + "$"
    return re.match(pattern, reply.split("): ", 1)[-1] if "rolled back" not in row else reply) is not None


def server_of(forebay, database, **settings):
    return forebay({"server": settings, "sources": {"shop": {"url": f"sqlite:{database(TABLES)}"}},
                    "keyspaces": KEYSPACES})


def secret_file(folder, name, text):
    path = folder / name
    path.touch(mode=0o600)
    path.write_text(text)
    return path


def said(answer):
    """An error reply as the page shows it."""
    text = answer.decode(errors="replace")
    assert text.startswith("-") and text.endswith("\r\n"), text
    return text[1:-2]


def differing(server, provocations):
    found = []
    for row, provocation in provocations.items():
        if isinstance(provocation, bytes):
            answer = the_end(server, provocation)
        else:
            answer = replies(server, provocation.replace("{id}", "1"))[-1]
        if row.startswith("ERR MONITOR"):
            answer = answer[len("*1\r\n"):]
        if not answer.startswith(b"-") or not matches(row, said(answer)):
            found.append(f"{row}\n  {provocation[:80]!r}: {answer[:200]!r}")
    return found


def test_every_error_has_what_provokes_it():
    known = [*LINES, *LARGE, *BYTES, *LOCKED, *ELSEWHERE, *OWN]
    assert len(set(known)) == len(known)
    assert set(rows()) - set(known) == set(), "rows without a provocation"
    assert set(known) - set(rows()) == set(), "provocations of nothing"
    assert len(rows()) > 100
    for path, text in ELSEWHERE.values():
        with open(os.path.join(TOP, path), encoding="utf-8") as file:
            assert text in file.read(), (path, text)


def test_every_error_is_said(forebay, database, tmp_path):
    users = secret_file(tmp_path, "users", USERS)
    small = server_of(forebay, database, users_file=users, query_buffer_max="64kb", bulk_max="48kb")
    large = forebay({"sources": {"shop": {"url": f"sqlite:{database(TABLES, 'large.db')}"}}, "keyspaces": KEYSPACES})
    with small.wire() as wire:
        assert wire.ask("CLIENT", "ID") == 1  # somebody to redirect to
        differing_rows = differing(small, LINES) + differing(small, BYTES) + differing(large, LARGE)
    assert not differing_rows, "\n".join(differing_rows)


def test_strangers_are_told_the_same(forebay, database, tmp_path):
    server = server_of(forebay, database, password=f"file:{secret_file(tmp_path, 'secret', 'x')}")
    differing_rows = differing(server, LOCKED)
    assert not differing_rows, "\n".join(differing_rows)


def test_a_users_file_that_is_wrong_is_explained(forebay, database, tmp_path):
    users = secret_file(tmp_path, "users", USERS)
    server = server_of(forebay, database, users_file=users)
    users.write_text("user default on nopass ~* &* +@nosuch\n")
    with server.wire() as wire:
        answer = wire.ask("ACL", "LOAD")
        assert isinstance(answer, ReplyError) and answer.word == "ERR" and "nosuch" in answer.text and "1" in answer.text
        assert wire.ask("ACL", "USERS") == [b"default", b"narrow"]  # the old ones stay


def test_a_reply_that_is_too_long_is_refused(forebay, database):
    server = server_of(forebay, database, output_buffer_max="64kb")
    with server.wire() as wire:
        for n in range(3):
            wire.ask("SET", f"s:{n}", "x" * 30000)
        assert wire.ask("MGET", "s:0", "s:1", "s:2").text in rows()
        assert wire.ask("PING") == "PONG"


def test_an_order_of_use_counts_no_frequency(forebay, database):
    server = server_of(forebay, database, eviction="lru")
    with server.wire() as wire:
        wire.ask("SET", "s:1", "v")
        assert wire.ask("OBJECT", "FREQ", "s:1").text in rows()


# ---- what a keyspace or its source refuses begins with the word of its status

STATUSES = {
    "CONFLICT": """SET item:1 '{"name": "salt"}'""",
    "BADVALUE": "SET item:1 no-json",
    "MAPRO": "SET fixed:1 v",
    "NOMAP": "GET nowhere",
    "WRONGTYPE": "HSET h:1 a 1 / GET h:1",
}


def test_what_is_refused_begins_with_the_word_of_its_status(forebay, database):
    server = server_of(forebay, database)
    words = {row[2].strip("`") for row in reference("statuses") if len(row) == 5}
    for word, line in STATUSES.items():
        assert word in words
        assert replies(server, line)[-1].startswith(b"-%s " % word.encode()), line
