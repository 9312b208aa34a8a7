"""Bytes that no client would send: mutations of recorded sessions, drawn from a seed, and ways of sending them."""

import os
import re
import select
import shlex
import socket
import struct
import time

from conftest import TOP
from resp import encode

SESSIONS = os.path.join(TOP, "tests", "fuzz", "sessions.txt")

# What would end the test and not the stream: it stops the server, holds up everybody, closes others, changes limits,
# forgets what has been counted.
LEFT_OUT = {b"shutdown", b"client|pause", b"client|kill", b"config|set", b"config|rewrite", b"config|resetstat"}

NUMBERS = [b"-1", b"0", b"-0", b"1", b"2", b"00", b"+1", b"-2", b"", b"x", b"1e3", b"65536", b"65537", b"1048576",
           b"1048577", b"8388609", b"536870912", b"2147483647", b"2147483648", b"-2147483648", b"4294967295",
           b"4294967296", b"9223372036854775807", b"9223372036854775808", b"-9223372036854775808",
           b"18446744073709551615", b"99999999999999999999999999"]
PIECES = [b"\0", b"\r\n", b"\n", b"\r", b"*", b"$", b"*-1\r\n", b"$-1\r\n", b"*0\r\n", b"*1\r\n" * 300,
          b"*1\r\n$0\r\n\r\n",
          b"%1\r\n", b">2\r\n", b"~1\r\n", b"_\r\n", b'"', b"'", b"\\x", b"\xff" * 20, b" " * 5000, b"A" * 70000,
          b"*65537\r\n", b"$9000000\r\n", b"*3\r\n$3\r\nSET\r\n$3\r\ns:1\r\n$200000\r\n", b"PING\r\n" * 3000,
          encode("MULTI"), encode("EXEC"), encode("RESET"), encode("HELLO", "3"), encode("QUIT")]


def recorded(commands, handshakes):
    """Sessions as bytes: those of sessions.txt as lines and as arrays, handshakes, and all commands of the server's own
    table, which is COMMAND's answer."""
    with open(SESSIONS, encoding="ascii") as file:
        text = re.sub(r"(?m)^#.*\n", "", file.read())
    sessions = []
    for block in text.strip().split("\n\n"):
        lines = [line for line in block.split("\n") if line]
        sessions.append("".join(f"{line}\r\n" for line in lines).encode())
        sessions.append(b"".join(encode(*shlex.split(line)) for line in lines))
    sessions += [b"".join(encode(*words) for words, _ in handshake) for handshake in handshakes]
    lines = [b"".join(encode(*words) for words in plausible(row)) for row in allowed(commands)
             if row[0] not in (b"quit", b"monitor")]
    # In RESP3 a subscriber may say everything.
    sessions += [encode("HELLO", "3") + b"".join(lines[i:i + 8]) for i in range(0, len(lines), 8)]
    return sessions


def allowed(commands):
    """The rows of commands and subcommands that are not left out."""
    rows = [sub for row in commands for sub in row[9] or [row]]
    return [row for row in rows if row[0] not in LEFT_OUT]


def names(commands):
    return {row[0] for row in allowed(commands)}


def plausible(row):
    """A command with as few arguments as it takes, and with more; keys where keys belong."""
    name, arity, _, first, last, step = row[:6]
    for count in {abs(arity), abs(arity) + (arity < 0), abs(arity) + 3 * (arity < 0)}:
        words = name.split(b"|")
        while len(words) < count:
            at = len(words)
            is_key = first and at >= first and (last < 0 or at <= last) and (at - first) % max(step, 1) == 0
            words.append(b"%s:%d" % (b"h" if name.startswith(b"h") else b"s", at % 3) if is_key else b"%d" % at)
        yield words


# A server that syncs each write to the disk does some thousands a second: a session of writes, 20 times 20 times over, is
# answered, but not in STREAM_S.
REPEATED_MAX = 400_000


def mutate(draw, sessions):
    data = draw.choice(sessions)
    for _ in range(draw.choice([0, 1, 1, 2, 3, 6, 12])):
        at, end = sorted(draw.randrange(len(data) + 1) for _ in range(2))
        piece = data[at:min(end, at + draw.choice([1, 4, 20, 500]))]
        kind = draw.randrange(11)
        if kind == 0 and data:  # bits
            bad = bytearray(data)
            for _ in range(draw.choice([1, 3, 30])):
                bad[draw.randrange(len(bad))] ^= 1 << draw.randrange(8)
            data = bytes(bad)
        elif kind == 1:  # lengths and counts
            spots = [match.span(1) for match in re.finditer(rb"[*$](-?\d+)\r\n", data)]
            if spots:
                left, right = draw.choice(spots)
                data = data[:left] + draw.choice(NUMBERS) + data[right:]
        elif kind == 2:
            data = data[:at]
        elif kind == 3:
            data = data[:at] + data[at + len(piece):]
        elif kind == 4:
            data = data[:end] + piece + data[end:]
        elif kind == 5:
            other = draw.randrange(len(data) + 1)
            data = data[:other] + piece + data[other:at] + data[at + len(piece):]
        elif kind == 6:
            data = data[:at] + draw.choice(PIECES) + data[at:]
        elif kind == 7:
            data = data[:at] + draw.randbytes(draw.choice([1, 10, 200])) + data[at:]
        elif kind == 8:
            data += draw.choice(sessions)
        elif kind == 9:
            data = (data * draw.choice([2, 5, 20]))[:max(len(data), REPEATED_MAX)]
        else:  # numbers anywhere
            spots = [match.span() for match in re.finditer(rb"\d+", data)]
            if spots:
                left, right = draw.choice(spots)
                data = data[:left] + draw.choice(NUMBERS) + data[right:]
        if len(data) > 2_000_000:
            break
    return data


# ---- ways of sending

STREAM_S = 60.0        # in which something must come of a stream: an answer, or its end
ENDLESS_S = 600.0      # in which it must have ended; hundreds of its writes wait for a commit each, beside fifteen others
NEVER_READS_S = 0.05   # for which one that does not read waits for its bytes to be taken
SLOW_BYTES = 20000     # of which a slow reader takes its time

class Stuck(AssertionError):
    """The server neither answered nor ended the connection."""


def connect(server, narrow=False):
    end = socket.socket()
    end.settimeout(STREAM_S)
    if narrow:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    end.connect((server.host, server.port))
    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return end


def reset(end):
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def to_the_end(end, at_a_time=1 << 20, pause=0.0):
    """Everything the server says until it ends the connection."""
    total, deadline = 0, time.monotonic() + ENDLESS_S
    try:
        while got := end.recv(at_a_time):
            total += len(got)
            if time.monotonic() > deadline:
                raise Stuck(f"not at its end after {ENDLESS_S} s and {total} bytes")
            if pause and total < SLOW_BYTES:
                time.sleep(pause)
    except socket.timeout:
        raise Stuck(f"silent for {STREAM_S} s after {total} bytes") from None
    except ConnectionError:
        pass
    return total


def send(end, data):
    """False: the server has closed, or reads no more because its answers are not read, which is no fault."""
    try:
        end.sendall(data)
        return True
    except (ConnectionError, socket.timeout):
        return False


def drain_while_sending(end, data):
    """Sends all and reads meanwhile, as a client with a pipeline does."""
    end.setblocking(False)
    view = memoryview(data)
    deadline = time.monotonic() + ENDLESS_S
    while view:
        if time.monotonic() > deadline:
            raise Stuck(f"{len(view)} bytes were not taken for {ENDLESS_S} s")
        readable, writable, _ = select.select([end], [end], [], 1.0)
        try:
            if readable and not end.recv(1 << 20):
                break
            if writable:
                view = view[end.send(view):]
        except BlockingIOError:
            pass
        except ConnectionError:
            break
    end.settimeout(STREAM_S)


def whole(server, draw, data):
    with connect(server) as end:
        drain_while_sending(end, data)
        half_close(end)
        to_the_end(end)


def in_pieces(server, draw, data):
    """Split anywhere; short ones after every byte."""
    data = data[:20000]
    with connect(server) as end:
        at = 0
        while at < len(data):
            size = 1 if len(data) < 300 else draw.choice([1, 2, 7, 100, 4096])
            if not send(end, data[at:at + size]):
                break
            at += size
        half_close(end)
        to_the_end(end)


def half_close(end):
    try:
        end.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def abandoned(server, draw, data):
    """Gone with a reset in the middle, nothing read."""
    with connect(server) as end:
        end.settimeout(NEVER_READS_S)
        send(end, data)
        reset(end)


def never_read(server, draw, data):
    """A pipeline of many answers, of which none is read."""
    with connect(server, narrow=True) as end:
        end.settimeout(NEVER_READS_S)
        send(end, data + encode("MGET", *["s:big"] * 20) * 50)
        if draw.random() < 0.5:
            reset(end)


def read_slowly(server, draw, data):
    with connect(server, narrow=True) as end:
        end.settimeout(NEVER_READS_S)
        send(end, data + encode("GET", "s:big") * 20)
        end.settimeout(STREAM_S)
        half_close(end)
        to_the_end(end, 1000, 0.002)


WAYS = [whole] * 55 + [in_pieces] * 25 + [abandoned] * 12 + [never_read] * 4 + [read_slowly] * 4
