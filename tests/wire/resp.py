"""A small Redis client for tests: it can send any bytes, and shows replies as they are, not as a library likes them."""

import socket


class ReplyError(Exception):
    """An error reply; `text` is the whole line, `word` its first word."""

    def __init__(self, text):
        super().__init__(text)
        self.text = text
        self.word = text.split(" ")[0]

    def __eq__(self, other):
        return isinstance(other, ReplyError) and other.text == self.text

    __hash__ = Exception.__hash__


class Push(list):
    """An out-of-band message of RESP3."""


class Closed(Exception):
    """The server closed the connection."""


def encode(*words):
    """A command as clients send it."""
    out = b"*%d\r\n" % len(words)
    for word in words:
        word = word if isinstance(word, bytes) else str(word).encode()
        out += b"$%d\r\n%s\r\n" % (len(word), word)
    return out


class Wire:
    """One connection. Simple strings come back as str, bulk strings as bytes, nil as None, errors as ReplyError
    (returned, not raised, so that a test can compare them)."""

    def __init__(self, host, port, timeout=60.0):
        self.socket = socket.create_connection((host, port), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, data):
        self.socket.sendall(data)

    def _more(self):
        data = self.socket.recv(65536)
        if not data:
            raise Closed(f"closed by the server; unread so far: {self.buffer!r}")
        self.buffer += data

    def read_bytes(self, count):
        """Exactly `count` bytes, as they came."""
        while len(self.buffer) < count:
            self._more()
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def _line(self):
        while b"\r\n" not in self.buffer:
            self._more()
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line

    def read(self):
        """One reply."""
        line = self._line()
        kind, rest = line[:1], line[1:].decode(errors="surrogateescape")
        if kind == b"+":
            return rest
        if kind == b"-":
            return ReplyError(rest)
        if kind == b":":
            return int(rest)
        if kind in b"$=" and kind:
            return None if rest == "-1" else self.read_bytes(int(rest) + 2)[:-2]
        if kind in b"*~" and kind:
            return None if rest == "-1" else [self.read() for _ in range(int(rest))]
        if kind == b">":
            return Push(self.read() for _ in range(int(rest)))
        if kind == b"%":
            return {_key(self.read()): self.read() for _ in range(int(rest))}
        if kind == b"_":
            return None
        if kind == b"#":
            return rest == "t"
        if kind == b",":
            return float(rest)
        if kind == b"(":
            return int(rest)
        raise AssertionError(f"no reply begins like this: {line!r}")

    def ask(self, *words):
        """One command, its reply."""
        self.send(encode(*words))
        return self.read()

    def pipeline(self, commands):
        """Many commands in one go, their replies in order."""
        self.send(b"".join(encode(*words) for words in commands))
        return [self.read() for _ in commands]

    def exchange(self, sent, expected):
        """Byte for byte: send, and require exactly this answer."""
        self.send(sent)
        got = b""
        try:
            got = self.read_bytes(len(expected))
        except (Closed, socket.timeout) as error:
            raise AssertionError(f"expected {expected!r}, got {self.buffer!r} and then {error!r}") from error
        assert got == expected

    def expect_closed(self):
        """The server closes the connection and sends nothing more."""
        assert self.buffer == b""
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            data = b""
        assert data == b"", f"expected the end of the connection, got {data!r}"


def _key(value):
    return value.decode(errors="surrogateescape") if isinstance(value, bytes) else value
