"""A TCP proxy in front of a database, for faults at the worst moment: it reads along in PostgreSQL's and MariaDB's
protocols well enough to know which statement is sent and which is answered, and can cut, hold or delay right there."""

import socket
import struct
import threading

CANCEL, SSL, GSS = 80877102, 80877103, 80877104  # PostgreSQL's requests that come without a type


class Cut(Exception):
    """The connection ends here."""


class Postgresql:
    """What the two sides say: client() and server() take bytes, and give whole messages, each with what it means, an
    (event, text) or None, and the bytes that are left."""

    def __init__(self):
        self.statements, self.in_order = {}, []
        self.is_started, self.awaits_byte = False, False

    def client(self, data):
        found = []
        while True:
            if not self.is_started:
                if len(data) < 8:
                    return found, data
                length, code = struct.unpack("!II", data[:8])
                if len(data) < length:
                    return found, data
                self.awaits_byte = code in (SSL, GSS)
                self.is_started = code not in (SSL, GSS)
                found.append((data[:length], ("cancel", "") if code == CANCEL else None))
                data = data[length:]
                continue
            if len(data) < 5 or len(data) < 1 + struct.unpack("!I", data[1:5])[0]:
                return found, data
            end = 1 + struct.unpack("!I", data[1:5])[0]
            found.append((data[:end], self.sent(data[:1], data[5:end])))
            data = data[end:]

    def sent(self, kind, body):
        if kind == b"Q":
            return "sent", body[:-1].decode(errors="replace")
        if kind == b"P":
            name, text = body.split(b"\0")[:2]
            self.statements[name] = text.decode(errors="replace")
        elif kind == b"B":
            self.bound = self.statements.get(body.split(b"\0")[1], "")
        elif kind == b"E":
            return "sent", self.bound
        return None

    def server(self, data):
        found = []
        while data:
            if self.awaits_byte:
                self.awaits_byte = False
                found.append((data[:1], None))
                data = data[1:]
                continue
            if len(data) < 5 or len(data) < 1 + struct.unpack("!I", data[1:5])[0]:
                break
            end = 1 + struct.unpack("!I", data[1:5])[0]
            event = ("answered", data[5:end - 1].decode(errors="replace")) if data[:1] == b"C" else None
            found.append((data[:end], event))
            data = data[end:]
        return found, data


class Mariadb:
    """Commands begin with sequence number 0; the next packet of the server answers the last of them."""

    QUERY, PREPARE, EXECUTE = 0x03, 0x16, 0x17

    def __init__(self):
        self.statements, self.preparing, self.last = {}, None, None

    @staticmethod
    def packets(data):
        found = []
        while len(data) >= 4:
            end = 4 + int.from_bytes(data[:3], "little")
            if len(data) < end:
                break
            found.append(data[:end])
            data = data[end:]
        return found, data

    def client(self, data):
        packets, rest = self.packets(data)
        return [(packet, self.sent(packet)) for packet in packets], rest

    def sent(self, packet):
        if packet[3] != 0 or len(packet) < 5:
            return None
        command, body = packet[4], packet[5:]
        if command == self.PREPARE:
            self.preparing = body.decode(errors="replace")
            return None
        if command == self.QUERY:
            self.last = body.decode(errors="replace")
        elif command == self.EXECUTE:
            number = struct.unpack("<I", body[:4])[0]
            self.last = self.preparing if number == 0xFFFFFFFF else self.statements.get(number, "")
        else:
            return None
        return "sent", self.last

    def server(self, data):
        packets, rest = self.packets(data)
        return [(packet, self.answered(packet)) for packet in packets], rest

    def answered(self, packet):
        if self.preparing is not None and packet[3] == 1 and packet[4] == 0 and len(packet) >= 9:
            self.statements[struct.unpack("<I", packet[5:9])[0]] = self.preparing
            self.preparing = None
        elif packet[3] == 1 and self.last is not None:
            text, self.last = self.last, None
            return "answered", text
        return None


PROTOCOLS = {"postgresql": Postgresql, "mariadb": Mariadb}


class Proxy:
    """Forwards 127.0.0.1:port to the server's port. Every way of failing is undone by heal()."""

    def __init__(self, kind, target):
        self.protocol, self.target = PROTOCOLS[kind], target
        self.lock = threading.Condition()
        self.links, self.rule, self.is_held, self.is_closed = set(), None, False, False
        self.fired = threading.Event()
        self.listener = self._listen(0)
        self.port = self.listener.getsockname()[1]

    def _listen(self, port):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(64)
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return listener

    def _accept(self, listener):
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.target), timeout=10)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link, protocol = (client, server), self.protocol()
            with self.lock:
                self.links.add(link)
            for source, sink, reader in ((client, server, protocol.client), (server, client, protocol.server)):
                threading.Thread(target=self._pump, args=(link, source, sink, reader), daemon=True).start()

    def _pump(self, link, source, sink, reader):
        rest = b""
        try:
            while True:
                data = source.recv(65536)
                if not data:
                    raise Cut
                messages, rest = reader(rest + data)
                for message, event in messages:
                    self._forward(sink, message, event)
        except (OSError, Cut):
            self._end(link)

    def _forward(self, sink, message, event):
        action = self._fires(event)
        if action == "hold before":
            self.hold()  # before `fired`: who waits for it may heal at once
        if action in ("cut before", "hold before"):
            self.fired.set()
        if action == "cut before":
            raise Cut
        with self.lock:
            while self.is_held and not self.is_closed:
                self.lock.wait()
        sink.sendall(message)
        if action in ("cut after", "hold after"):
            if action == "hold after":
                self.hold()
            self.fired.set()
        if action == "cut after":
            raise Cut

    def _fires(self, event):
        """The action of the rule that waits for this event; it happens once."""
        if event is None:
            return None
        with self.lock:
            if self.rule is None or self.rule[0] != event[0] or not event[1].lstrip().upper().startswith(self.rule[1]):
                return None
            action, self.rule = self.rule[2], None
            return action

    def _end(self, link):
        with self.lock:
            if link not in self.links:
                return
            self.links.discard(link)
        for end in link:
            try:
                end.shutdown(socket.SHUT_RDWR)  # what was sent arrives before the end
            except OSError:
                pass
            end.close()

    # ---- what tests say ----

    def when(self, event, words, action):
        """Once, when a statement that begins with one of these words is sent, or answered: "cut before" or "cut after"
        it is passed on, "hold before" or "hold after" it. `fired` is set then."""
        with self.lock:
            self.fired.clear()
            self.rule = (event, words if isinstance(words, tuple) else (words,), action)

    def cut(self):
        """Every connection ends now; new ones are taken."""
        for link in list(self.links):
            self._end(link)

    def hold(self):
        """Nothing goes through in either direction; connections stay open."""
        with self.lock:
            self.is_held = True

    def refuse(self):
        """Every connection ends now, and new ones are refused."""
        listener, self.listener = self.listener, None
        if listener is not None:
            try:
                listener.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            listener.close()
        self.cut()

    def heal(self):
        with self.lock:
            self.is_held, self.rule = False, None
            self.lock.notify_all()
        if self.listener is None:
            self.listener = self._listen(self.port)

    def close(self):
        self.refuse()
        with self.lock:
            self.is_closed = True
            self.lock.notify_all()
