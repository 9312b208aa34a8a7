"""Shows that a wrong request gets from Forebay the bytes that Redis answers.

Each line of CASES is a conversation on a connection of its own, with Forebay and with a redis-server; all replies are
compared byte for byte, to the end of the connection where there is one. Beside them the few that differ, each with the
reason."""

import shlex

import pytest

from resp import Closed, Wire, encode

TABLES = """
CREATE TABLE kv(k TEXT PRIMARY KEY, v NOT NULL);
CREATE TABLE hash(k TEXT PRIMARY KEY, a TEXT, b TEXT, n INTEGER, x REAL);
"""

KEYSPACES = {
    "s:{k:rest}": {"table": "kv", "as": "column:v", "write": "write-through", "on_del": "delete-row"},
    "h:{k:rest}": {"table": "hash", "as": "hash", "write": "write-through", "on_del": "delete-row",
                   "hide_columns": "[k]"},
}

# Both begin with these.
BEFORE = ["SET s:text hello", "SET s:number 10", "SET s:largest 9223372036854775807", "SET s:float 1.5",
          "HSET h:1 a hello n 5"]

# Words as a shell reads them, \\r and \\n as in C; a word / ends a request.
CASES = """
NOSUCH
nosuch
NoSuch a b c
NOSUCH ''
NOSUCH 'a b' c
NOSUCH "two\\r\\nlines" x
"NO\\r\\nSUCH" x
"NO SUCH" x
'' x
''
GETT s:text
GET|SET s:text
CLIENT|LIST
CLIENT NOSUCH
client nosuch x
CLIENT ''
CLIENT "a\\r\\nb"
CONFIG NOSUCH
COMMAND NOSUCH
OBJECT NOSUCH s:text
PUBSUB NOSUCH
SLOWLOG NOSUCH
LATENCY NOSUCH
MEMORY NOSUCH
ACL NOSUCH
SCRIPT NOSUCH
FUNCTION NOSUCH
MODULE NOSUCH
DEBUG
CLIENT
CONFIG
OBJECT
PUBSUB
SLOWLOG
LATENCY
MEMORY
ACL
SCRIPT
FUNCTION
MODULE
GET
GET s:text s:number
get s:text s:number
SET s:text
SET
SETNX s:text
SETEX s:text 10
PSETEX s:text 10
GETSET s:text
GETDEL
GETDEL s:text s:number
GETEX
MGET
MSET
MSET s:text
MSET s:text a s:number
MSETNX
MSETNX s:text
MSETNX s:text a s:number
INCR
INCR s:number 1
INCRBY s:number
INCRBY s:number 1 2
DECRBY s:number
INCRBYFLOAT s:number
STRLEN
STRLEN s:text s:number
GETRANGE s:text 0
GETRANGE s:text 0 1 2
SUBSTR s:text 0
DEL
UNLINK
EXISTS
TOUCH
TYPE
TYPE s:text s:number
EXPIRE s:text
PEXPIRE s:text
EXPIREAT s:text
PEXPIREAT s:text
TTL
PTTL
TTL s:text s:number
EXPIRETIME
PEXPIRETIME
PERSIST
KEYS
KEYS a b
SCAN
RANDOMKEY x
DBSIZE x
HGET
HGET h:1
HGET h:1 a b
HSET h:1
HSET h:1 a
HSET h:1 a 1 b
HMSET h:1 a
HMSET h:1 a 1 b
HSETNX h:1 a
HDEL h:1
HEXISTS h:1
HGETALL
HGETALL h:1 a
HKEYS
HVALS
HLEN
HLEN h:1 a
HMGET h:1
HINCRBY h:1 n
HINCRBY h:1 n 1 2
HINCRBYFLOAT h:1 x
HSTRLEN h:1
HSCAN h:1
HRANDFIELD
ECHO
ECHO a b
PING a b
PING a b c
SELECT
SELECT 0 1
AUTH
QUIT x
RESET x
TIME x
LASTSAVE x
ROLE x
WAIT 0
WAIT 0 0 0
SUBSCRIBE
PSUBSCRIBE
SSUBSCRIBE
PUBLISH x
PUBLISH x y z
SPUBLISH x
MULTI x
DISCARD x
EXEC x
WATCH
UNWATCH x
MONITOR x
CLIENT ID x
CLIENT GETNAME x
CLIENT SETNAME
CLIENT SETNAME a b
CLIENT INFO x
CLIENT REPLY
CLIENT TRACKING
CLIENT CACHING
CLIENT TRACKINGINFO x
CLIENT GETREDIR x
CLIENT PAUSE
CLIENT UNPAUSE x
CLIENT UNBLOCK
CLIENT KILL
CLIENT NO-EVICT
CLIENT NO-EVICT maybe
CONFIG GET
CONFIG SET
CONFIG SET timeout
CONFIG RESETSTAT x
CONFIG REWRITE x
COMMAND COUNT x
COMMAND GETKEYS
COMMAND LIST x
OBJECT ENCODING
OBJECT FREQ
OBJECT IDLETIME
OBJECT REFCOUNT
OBJECT ENCODING s:text s:number
MEMORY USAGE
MEMORY USAGE s:text SAMPLES
MEMORY USAGE s:text SAMPLES x
MEMORY USAGE s:text SAMPLES -1
MEMORY USAGE s:text NOSUCH 5
MEMORY USAGE s:text SAMPLES 5 6
MEMORY DOCTOR x
SLOWLOG LEN x
SLOWLOG RESET x
SLOWLOG GET x
SLOWLOG GET -2
SLOWLOG GET 1 2
SLOWLOG GET 1.5
SLOWLOG GET ''
LATENCY HISTORY
LATENCY LATEST x
LATENCY DOCTOR x
LATENCY GRAPH
LATENCY GRAPH nosuch
LATENCY HISTORY nosuch
LATENCY RESET nosuch
PUBSUB CHANNELS a b
PUBSUB NUMPAT x
PUBSUB SHARDCHANNELS a b
SET s:text v NOSUCH
SET s:text v EX
SET s:text v PX
SET s:text v EX 10 PX 10
SET s:text v EX 10 EX 10
SET s:text v NX XX
SET s:text v XX NX
SET s:text v KEEPTTL EX 10
SET s:text v EX 10 KEEPTTL
SET s:text v GET GET NOSUCH
SET s:text v EX x
SET s:text v EX 0
SET s:text v EX -1
SET s:text v PX 0
SET s:text v EXAT 0
SET s:text v PXAT -1
SET s:text v EX 9223372036854775807
SET s:text v PX 9223372036854775807
SET s:text v EX 9223372036854775808
SET s:text v EX 1.5
SET s:text v EX ' 1'
SET s:text v EX 01
SETEX s:text 0 v
SETEX s:text -1 v
SETEX s:text x v
SETEX s:text 9223372036854775807 v
PSETEX s:text 0 v
PSETEX s:text x v
PSETEX s:text 9223372036854775807 v
GETEX s:text NOSUCH
GETEX s:text EX
GETEX s:text EX 0
GETEX s:text EX x
GETEX s:text EX 10 PX 10
GETEX s:text PERSIST EX 10
GETEX s:text EX 10 PERSIST
GETEX s:text PXAT 0
GETEX s:text KEEPTTL
GETEX s:text EX 9223372036854775807
INCR s:text
DECR s:text
INCR s:float
INCR s:largest
INCRBY s:number x
INCRBY s:number 1.5
INCRBY s:number ''
INCRBY s:number 9223372036854775808
INCRBY s:number ' 1'
INCRBY s:number '1 '
INCRBY s:number +1
INCRBY s:number 01
INCRBY s:number -0
INCRBY s:number 0x10
INCRBY s:number 1e3
INCRBY s:number 9223372036854775807
INCRBY s:largest 1
INCRBY s:text 1
DECRBY s:number x
DECRBY s:number -9223372036854775808
DECRBY s:number 9223372036854775808
INCRBYFLOAT s:number x
INCRBYFLOAT s:number ''
INCRBYFLOAT s:number ' 1'
INCRBYFLOAT s:number 1x
INCRBYFLOAT s:number 1..5
INCRBYFLOAT s:text 1
INCRBYFLOAT s:number nan
GETRANGE s:text x 1
GETRANGE s:text 0 x
GETRANGE s:text 0 1.5
GETRANGE s:text 0 9223372036854775808
SUBSTR s:text a b
INCR h:1
GET h:1
GETSET h:1 v
GETDEL h:1
GETEX h:1
STRLEN h:1
GETRANGE h:1 0 1
HGET s:text a
HGETALL s:text
HLEN s:text
HKEYS s:text
HVALS s:text
HMGET s:text a b
HEXISTS s:text a
HSTRLEN s:text a
HSCAN s:text 0
HRANDFIELD s:text
HINCRBY h:1 a 1
HINCRBY h:1 n x
HINCRBY h:1 n 1.5
HINCRBY h:1 n 9223372036854775807
HINCRBYFLOAT h:1 a 1
HINCRBYFLOAT h:1 x y
HRANDFIELD h:1 x
HRANDFIELD h:1 1 NOSUCH
HRANDFIELD h:1 1 WITHVALUES x
HRANDFIELD h:1 -9223372036854775808
HRANDFIELD h:1 -9223372036854775807 WITHVALUES
HRANDFIELD h:1 9223372036854775808
EXPIRE s:text x
EXPIRE s:text 1.5
EXPIRE s:text ''
EXPIRE s:text 9223372036854775807
EXPIRE s:text -9223372036854775808
EXPIRE s:text 9223372036854775
EXPIRE s:text 10 NOSUCH
EXPIRE s:text 10 NX XX
EXPIRE s:text 10 NX GT
EXPIRE s:text 10 LT NX
EXPIRE s:text 10 GT LT
EXPIRE s:text 10 XX GT LT
EXPIRE s:text 10 ''
EXPIRE s:text x NOSUCH
PEXPIRE s:text 9223372036854775807
PEXPIRE s:text x
EXPIREAT s:text 9223372036854775807
EXPIREAT s:text x
PEXPIREAT s:text x
PEXPIREAT s:text 10 NOSUCH
SCAN x
SCAN 1.5
SCAN 18446744073709551616
SCAN ' 0'
SCAN 0 NOSUCH
SCAN 0 MATCH
SCAN 0 COUNT
SCAN 0 COUNT 0
SCAN 0 COUNT -1
SCAN 0 COUNT x
SCAN 0 COUNT 1.5
SCAN 0 TYPE
SCAN 0 MATCH a COUNT
SCAN x COUNT x
HSCAN h:1 x
HSCAN h:1 0 COUNT 0
HSCAN h:1 0 COUNT x
HSCAN h:1 0 MATCH
HSCAN h:1 0 NOSUCH 1
HSCAN h:1 0 TYPE string
HSCAN h:1 x NOSUCH
HSCAN h:none x
SELECT x
SELECT -1
SELECT 16
SELECT 1.5
SELECT ''
SELECT 99999999999999999999
SELECT 2147483648
WAIT x 0
WAIT 0 x
WAIT 0 -1
AUTH x
AUTH default x
AUTH nobody x
AUTH a b c
HELLO 1
HELLO 4
HELLO x
HELLO ''
HELLO 2.5
HELLO 3 NOSUCH
HELLO 3 AUTH
HELLO 3 AUTH a
HELLO 3 AUTH nobody x
HELLO 3 SETNAME
HELLO 3 SETNAME 'a b'
HELLO 99999999999999999999
HELLO 2 SETNAME "a\\nb" / CLIENT GETNAME
CLIENT SETNAME 'a b'
CLIENT SETNAME "a\\nb"
CLIENT SETNAME "ä"
CLIENT REPLY maybe
CLIENT LIST NOSUCH
CLIENT LIST TYPE
CLIENT LIST TYPE nosuch
CLIENT LIST TYPE normal x
CLIENT LIST ID
CLIENT LIST ID x
CLIENT LIST ID 0
CLIENT LIST ID -1
CLIENT LIST ID 1 x
CLIENT LIST ID 1.5
CLIENT KILL x
CLIENT KILL 127.0.0.1:1
CLIENT KILL ID
CLIENT KILL ID x
CLIENT KILL ID 0
CLIENT KILL ID -1
CLIENT KILL ID 999999999
CLIENT KILL NOSUCH 1
CLIENT KILL TYPE nosuch
CLIENT KILL TYPE
CLIENT KILL USER nosuch
CLIENT KILL SKIPME maybe
CLIENT KILL ADDR 127.0.0.1:1
CLIENT KILL ID 1 ADDR
CLIENT PAUSE x
CLIENT PAUSE -1
CLIENT PAUSE 1.5
CLIENT PAUSE 0 NOSUCH
CLIENT PAUSE x NOSUCH
CLIENT PAUSE 0 WRITE x
CLIENT UNBLOCK x
CLIENT UNBLOCK 999999999
CLIENT UNBLOCK 1 NOSUCH
CLIENT UNBLOCK 1 TIMEOUT x
CLIENT TRACKING maybe
CLIENT TRACKING on NOSUCH
CLIENT TRACKING on REDIRECT
CLIENT TRACKING on REDIRECT x
CLIENT TRACKING on REDIRECT 999999999
CLIENT TRACKING on REDIRECT 1.5
CLIENT TRACKING on PREFIX
CLIENT TRACKING on PREFIX a
CLIENT TRACKING on BCAST PREFIX a PREFIX ab
CLIENT TRACKING on BCAST PREFIX a PREFIX b / CLIENT TRACKING on BCAST PREFIX bc
CLIENT TRACKING on BCAST OPTIN
CLIENT TRACKING on OPTIN OPTOUT
CLIENT TRACKING on OPTIN / CLIENT TRACKING on OPTOUT
CLIENT TRACKING on / CLIENT TRACKING on BCAST
CLIENT TRACKING on BCAST / CLIENT TRACKING on
CLIENT TRACKING off NOSUCH
CLIENT CACHING yes
CLIENT CACHING maybe
CLIENT TRACKING on OPTIN / CLIENT CACHING no / CLIENT CACHING maybe
CLIENT TRACKING on OPTOUT / CLIENT CACHING yes
CLIENT TRACKING on / CLIENT CACHING yes
CONFIG SET nosuch 1
CONFIG SET nosuch 1 timeout 2
CONFIG SET timeout 1 nosuch 2
CONFIG SET timeout 1 timeout 2
CONFIG SET port 1 x
CONFIG SET daemonize yes
CONFIG SET databases 17
CONFIG SET aclfile /x
CONFIG SET unixsocket /x
CONFIG SET io-threads 5
CONFIG SET cluster-enabled yes
CONFIG SET logfile /x
CONFIG SET rename-command x
CONFIG SET timeout x
CONFIG SET maxmemory x
CONFIG SET slowlog-log-slower-than x
CONFIG SET slowlog-max-len x
CONFIG SET maxclients x
CONFIG GET nosuch
COMMAND INFO nosuch
COMMAND DOCS nosuch
COMMAND GETKEYS nosuch
COMMAND GETKEYS nosuch s:text
COMMAND GETKEYS get
COMMAND GETKEYS get s:text s:number
COMMAND GETKEYS ping
COMMAND GETKEYS mset s:text
COMMAND GETKEYS config get x
COMMAND GETKEYS client nosuch
COMMAND GETKEYS set s:text v
COMMAND GETKEYS mset a 1 b 2
COMMAND GETKEYS object encoding k
COMMAND GETKEYSANDFLAGS
COMMAND GETKEYSANDFLAGS nosuch
COMMAND GETKEYSANDFLAGS ping
COMMAND GETKEYSANDFLAGS get
COMMAND GETKEYSANDFLAGS get k
COMMAND GETKEYSANDFLAGS set k v
COMMAND GETKEYSANDFLAGS mset a 1 b 2
COMMAND GETKEYSANDFLAGS del a b
COMMAND LIST FILTERBY
COMMAND LIST FILTERBY nosuch x
COMMAND LIST FILTERBY ACLCAT nosuch
COMMAND LIST FILTERBY PATTERN nosuch*
COMMAND LIST FILTERBY MODULE nosuch
COMMAND LIST FILTERBY PATTERN
EXEC
DISCARD
MULTI / MULTI / EXEC
MULTI / WATCH s:text / EXEC
MULTI / NOSUCH / EXEC
MULTI / GET / EXEC
MULTI / GET s:text / NOSUCH / EXEC / GET s:text
MULTI / EXEC x
MULTI / EXEC x / EXEC
MULTI / DISCARD x / EXEC
MULTI / MULTI x / EXEC
MULTI / SUBSCRIBE
MULTI / CLIENT NOSUCH / EXEC
MULTI / DISCARD / EXEC
MULTI / DISCARD / DISCARD
MULTI / SELECT x / EXEC
MULTI / SET s:text v NOSUCH
MULTI / GET h:1 / EXEC
MULTI / MONITOR / EXEC
MULTI / SUBSCRIBE x / EXEC
MULTI / QUIT
SUBSCRIBE x / GET s:text
SUBSCRIBE x / CLIENT ID
SUBSCRIBE x / NOSUCH
SUBSCRIBE x / GET
SUBSCRIBE x / PING a b
SUBSCRIBE x / MULTI
SUBSCRIBE x / CONFIG GET x
PSUBSCRIBE x / PUBLISH x y
SSUBSCRIBE x / GET s:text
ACL CAT nosuch
ACL GENPASS x
ACL GENPASS 0
ACL GENPASS 5000
ACL LOG x
ACL LOG -1
ACL GETUSER nobody
ACL DRYRUN nobody get x
ACL DRYRUN default nosuch
ACL DRYRUN default get
ACL WHOAMI x
ACL USERS x
FUNCTION FLUSH x
SCRIPT FLUSH x
SCRIPT FLUSH sync async
SCRIPT EXISTS
FLUSHALL x
FLUSHDB x
FLUSHALL sync async
SHUTDOWN x
SHUTDOWN ABORT
SHUTDOWN save nosave
SHUTDOWN ABORT SAVE
INFO nosuch
CLUSTER INFO
READONLY
READWRITE
ASKING
"""

# How much of a long one is shown.
LONG = [f"NOSUCH {'a' * n} b" for n in (127, 128, 129, 200)] + [f"NOSUCH {'a' * 64} {'b' * n} c d" for n in (55, 64)] + \
       [f"NOSUCH{'h' * n} b" for n in (121, 122, 123, 200)] + ["NOSUCH" + " a" * 60]

# What differs, and why. Each is shown to differ still.
DIFFERS = {
    "SCAN ''": "a cursor is what SCAN gave; Redis takes what strtoul takes",
    "SCAN -1": "the same",
    "HSCAN h:1 -1": "the same",
    "HSCAN h:none 0 COUNT x": "arguments are judged before a source is asked whether there is a row",
    "HELLO 3 SETNAME ok NOSUCH / CLIENT GETNAME": "HELLO does all or nothing",
    "CONFIG SET maxmemory-policy nosuch": "the eviction is chosen at the start",
    "CONFIG SET notify-keyspace-events Q": "there is a class more, Forebay's own events",
    "CONFIG SET maxclients 0": "the limit is another",
    "CONFIG SET port x y z": "the port is a part of `listen`, which cannot change while running",
    "MULTI / SET s:text v EX x / EXEC": "EXEC is one transaction of the database, which is rolled back",
}

# Bytes that are no request; what both answer, and then the end.
NO_REQUESTS = [
    b"*x\r\n", b"*\r\n", b"*1x\r\n", b"*99999999999999999999\r\n", b"*2147483648\r\n", b"*1.5\r\n", b"* 1\r\n",
    b"*1\r\nPING\r\n", b"*1\r\n:1\r\n", b"*1\r\n\r\n", b"*1\r\n$x\r\n", b"*1\r\n$-1\r\n", b"*1\r\n$\r\n",
    b"*1\r\n$536870913\r\n", b"*1\r\n$4x\r\n", b"*1\r\n$99999999999999999999\r\n", b"*2\r\n$4\r\nPING\r\nx\r\n",
    b"GET \"x\r\n", b"GET 'x\r\n", b"GET \"x\"y\r\n", b"GET 'x'y\r\n", b"SET \"\r\n", b"PING '\r\n",
    b"x" * 65537, b"PING\r\n*x\r\n", b"*1\r\n$4\r\nPING\r\n*1\r\n+\r\n", b"MULTI\r\n*y\r\n",
]


class Record(Wire):
    """A connection that keeps the bytes of its replies."""

    def __init__(self, *args, **more):
        super().__init__(*args, **more)
        self.seen = b""

    def read_bytes(self, count):
        data = super().read_bytes(count)
        self.seen += data
        return data

    def _line(self):
        line = super()._line()
        self.seen += line + b"\r\n"
        return line


def words_of(line):
    """The requests of a line."""
    requests, words = [], []
    for word in shlex.split(line):
        if word == "/":
            requests.append(words)
            words = []
        else:
            words.append(word.encode().decode("unicode_escape").encode("latin-1") if "\\" in word else word)
    return requests + [words]


def replies(server, line):
    """The bytes each request of a line is answered with; b"" at the end of the connection."""
    given = []
    with Record(server.host, server.port) as wire:
        for request in words_of(line):
            wire.seen = b""
            wire.send(encode(*request))
            try:
                wire.read()
            except (Closed, ConnectionResetError):
                given.append(b"")
                break
            given.append(wire.seen)
    return given


def the_end(server, data):
    """All bytes until the end of the connection."""
    with Record(server.host, server.port) as wire:
        wire.send(data)
        given = b""
        try:
            while chunk := wire.socket.recv(65536):
                given += chunk
        except ConnectionResetError:
            pass
        return given


@pytest.fixture
def both(forebay, redis_server, database):
    ours = forebay({"sources": {"shop": {"url": f"sqlite:{database(TABLES)}"}}, "keyspaces": KEYSPACES})
    theirs = redis_server()
    for server in (ours, theirs):
        for line in BEFORE:
            assert not any(reply.startswith(b"-") for reply in replies(server, line))
    return ours, theirs


def show(line, ours, theirs):
    return f"{line}\n  Forebay {ours!r}\n  Redis   {theirs!r}"


def test_wrong_requests_get_the_bytes_that_redis_sends(both):
    ours, theirs = both
    cases = CASES.strip().split("\n") + LONG
    assert len(cases) > 500 and len(set(cases)) == len(cases)
    different = [show(line, a, b) for line in cases if (a := replies(ours, line)) != (b := replies(theirs, line))]
    assert not different, f"{len(different)} of {len(cases)}:\n" + "\n".join(different)


def test_what_differs_from_redis_is_known(both):
    ours, theirs = both
    assert [line for line in DIFFERS if replies(ours, line) == replies(theirs, line)] == []


def test_what_is_no_request_ends_the_connection_as_in_redis(both):
    ours, theirs = both
    different = [show(data[:60], a, b) for data in NO_REQUESTS if (a := the_end(ours, data)) != (b := the_end(theirs, data))]
    assert not different, "\n".join(different)


def specs(rows):
    """What COMMAND says of the keys of each command and subcommand, without Redis' notes."""
    found = {}
    for row in rows:
        found[row[0].decode()] = [{name: spec[2 * i + 1] for i, name in enumerate(spec[::2]) if name != b"notes"}
                                  for spec in row[8]]
        found.update(specs(row[9]))
    return found


# Sharded channels are found like keys there, for a cluster.
CHANNELS = {"spublish", "ssubscribe", "sunsubscribe"}


def test_keys_are_specified_as_in_redis(both):
    ours, theirs = both
    with ours.wire() as a, theirs.wire() as b:
        ours, theirs = specs(a.ask("COMMAND")), specs(b.ask("COMMAND"))
        for name in (ours.keys() & theirs.keys()) - CHANNELS:
            assert ours[name] == theirs[name], name
        assert sum(bool(spec) for spec in ours.values()) > 50
        for request in ("set k v", "set k v get", "set k v nx GET", "getex k", "mget a b c", "del a b", "hset h a 1",
                        "object encoding k", "incr k", "setnx k v", "exists a b", "watch a b", "hdel h a", "getdel k"):
            words = ["COMMAND", "GETKEYSANDFLAGS", *request.split()]
            assert a.ask(*words) == b.ask(*words), request
