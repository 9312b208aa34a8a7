#!/usr/bin/python3
"""Throw-away PostgreSQL and MariaDB servers: started here, used for a while, stopped by their ids.

    tests/db/servers.py run -- COMMAND…     run a command with FOREBAY_TEST_PG and FOREBAY_TEST_MYSQL set
    tests/db/servers.py check               say which servers there are to start

Each has a data directory of its own (in memory where there is room), a port of its own on 127.0.0.1 and a socket in its
folder, and runs as an ordinary user, never as root. What is committed outlives the server but not the machine, unless
asked for. When this process dies, however it dies, the kernel tells the servers to stop. Programs are taken from where
Debian installs them, or from build/tools, where tools/setup.sh unpacks what would start a daemon if it were installed."""

import atexit
import ctypes
import glob
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TOOLS = os.path.join(TOP, "build", "tools")

USER, PASSWORD = "forebay", "s3cret/%&'"  # of the user that tests connect as; awkward on purpose
START_S, STOP_S, POLL_S = 60.0, 60.0, 0.01
PR_SET_PDEATHSIG = 1
MEMORY, MEMORY_MIN = "/dev/shm", 2 << 30  # bytes that must be free there


class Unavailable(Exception):
    """There is no such server on this machine; the text says what to install."""


def free_port():
    """A port nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(condition, what, seconds=30.0):
    """The first true value of condition(); the one loop of the tests that polls. What it waits for is told when that
    was in vain, as text or by a function that looks what there is instead."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s in vain for {what() if callable(what) else what}")
        time.sleep(POLL_S)


def state_of(pid):
    """One letter, as ps shows it; X when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rsplit(")", 1)[1].split()[0]
    except OSError:
        return "X"


def processes_of(folder):
    """The processes that work in a folder or name it in their command line: what may not be left when a server stopped.
    All our servers do both, their children included."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            where = os.readlink(f"/proc/{entry}/cwd")
            with open(f"/proc/{entry}/cmdline", "rb") as file:
                words = file.read()
        except OSError:
            continue  # it is gone, or somebody else's
        is_of_it = where == folder or where.startswith(folder + "/") or folder.encode() in words
        if is_of_it and state_of(entry) not in "ZX":
            found.append(int(entry))
    return found


def quick_folder():
    """Where files of no value are made and removed quickly: in memory, where there is room; None: as usual."""
    try:
        free = shutil.disk_usage(MEMORY).free
    except OSError:
        return None
    return MEMORY if free >= MEMORY_MIN and os.access(MEMORY, os.W_OK) and "TMPDIR" not in os.environ else None


class Server:
    """What both have in common. `port` stays the same over restarts."""

    name = None
    memory_mb = 32  # for the database's own cache; a benchmark wants its table in it
    stop_signal, death_signal = signal.SIGTERM, signal.SIGKILL

    def __init__(self, durable=False, tls=None):
        """tls: the files of a certificate and its key; whoever connects may encrypt then."""
        self.durable, self.process, self.port = durable, None, free_port()
        self.programs()  # before anything is made
        self.folder = tempfile.mkdtemp(prefix=f"forebay-{self.name}-", dir=None if durable else quick_folder())
        atexit.register(self.remove)
        self.data, self.log_path = os.path.join(self.folder, "data"), os.path.join(self.folder, "log")
        self.user = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        if self.user is not None:
            os.chmod(self.folder, 0o755)
            os.chown(self.folder, self.user.pw_uid, self.user.pw_gid)
        self.tls = [self._keep(path) for path in tls or []]
        try:
            self.make()
        except subprocess.CalledProcessError as error:
            self.remove()
            raise RuntimeError(f"{self.name}: {error}\n{error.stdout}") from error

    def _keep(self, path):
        """A copy of a file that is the server's alone."""
        copy = shutil.copyfile(path, os.path.join(self.folder, os.path.basename(path)))
        os.chmod(copy, 0o600)
        if self.user is not None:
            os.chown(copy, self.user.pw_uid, self.user.pw_gid)
        return copy

    def _as_user(self):
        """For subprocess: as the ordinary user, in the server's folder, and without what would configure it."""
        more = {"cwd": self.folder, "stdin": subprocess.DEVNULL,
                "env": {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C.UTF-8", "TZ": "UTC",
                        "HOME": self.folder, "TMPDIR": self.folder}}
        if self.user is not None:
            more.update(user=self.user.pw_uid, group=self.user.pw_gid, extra_groups=[])
        return more

    def run(self, *command):
        """A command as the server's user, to its end."""
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              **self._as_user()).stdout

    def start(self):
        """Start, and wait until it takes connections."""
        assert self.process is None or self.process.poll() is not None, f"{self.name} runs already"
        libc = ctypes.CDLL(None)
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                self.command(), stdout=log, stderr=log, start_new_session=True,
                preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, int(self.death_signal)), **self._as_user())

        def answers():
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.name} ended with status {self.process.returncode}:\n{self.log()}")
            return self.answers()
        wait_until(answers, f"{self.name} to start", START_S)
        return self

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return log.read()

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def stop(self):
        """As an administrator would: connections are closed, the data is kept. Nothing of it runs afterwards."""
        if not self.is_running():
            return
        self.signal_all(signal.SIGCONT)
        self.process.send_signal(self.stop_signal)
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        wait_until(lambda: not processes_of(self.folder), f"the children of {self.name} to end", STOP_S)

    def kill(self):
        """At once, as the loss of its machine would."""
        if self.process is None:
            return
        self.signal_all(signal.SIGKILL)
        self.process.wait()
        wait_until(lambda: not processes_of(self.folder), f"the children of {self.name} to end", STOP_S)

    def restart(self):
        self.stop()
        return self.start()

    def signal_all(self, number):
        for pid in processes_of(self.folder):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def freeze(self):
        """It keeps its connections and says nothing, until thaw()."""
        def is_frozen():
            self.signal_all(signal.SIGSTOP)  # again: one of them may have been making a child
            return all(state_of(pid) == "T" for pid in processes_of(self.folder))
        wait_until(is_frozen, f"{self.name} to stand still", STOP_S)

    def thaw(self):
        self.signal_all(signal.SIGCONT)

    def remove(self):
        """Stop it and leave nothing behind."""
        atexit.unregister(self.remove)
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database=USER, port=None, with_password=True):
        """For the tests' user; by another port when something stands in between."""
        user = f"{USER}:{_quoted(PASSWORD)}" if with_password else USER
        return f"{self.scheme}://{user}@127.0.0.1:{port or self.port}/{database}"

    # For each kind:
    def programs(self):
        raise NotImplementedError

    def make(self):
        raise NotImplementedError

    def command(self):
        raise NotImplementedError

    def answers(self):
        raise NotImplementedError


def _quoted(text):
    return "".join(c if c.isalnum() else f"%{ord(c):02X}" for c in text)


class PostgreSQL(Server):
    """PostgreSQL 15. The superuser `postgres` comes in by the socket, the tests' user by TCP and with a password."""

    name = "postgresql"
    scheme = "postgresql"
    stop_signal, death_signal = signal.SIGINT, signal.SIGQUIT  # "fast" and "immediate": children are told as well
    connections_max = 40

    def programs(self):
        for tree in ("/", os.path.join(TOOLS, "postgresql-15")):
            for folder in sorted(glob.glob(os.path.join(tree, "usr/lib/postgresql/*/bin")), reverse=True):
                if os.access(os.path.join(folder, "initdb"), os.X_OK):
                    return folder
        raise Unavailable("no PostgreSQL server: install the Debian package postgresql-15, or run tools/setup.sh test")

    def _program(self, name):
        return os.path.join(self.bin, name)

    def make(self):
        self.bin = self.programs()
        if self.user is not None and not self._may_run(self._program("postgres")):
            # A clone in a home that others may not enter: the server's user gets a copy.
            tree = self.bin[:self.bin.index("/usr/lib/postgresql")]
            shutil.copytree(os.path.join(tree, "usr"), os.path.join(self.folder, "usr"))
            self.bin = os.path.join(self.folder, self.bin[len(tree) + 1:])
        self.run(self._program("initdb"), "-D", self.data, "-U", "postgres", "--no-sync", "-E", "UTF8", "--no-locale",
                 "--auth-local=trust", "--auth-host=scram-sha-256")
        with open(os.path.join(self.data, "postgresql.conf"), "a", encoding="ascii") as file:
            file.write(f"""
listen_addresses = '127.0.0.1'
port = {self.port}
unix_socket_directories = '{self.folder}'
max_connections = {self.connections_max}
shared_buffers = {self.memory_mb}MB
max_wal_size = 128MB
jit = off
autovacuum = off
dynamic_shared_memory_type = mmap
shared_preload_libraries = 'pg_stat_statements'
timezone = 'Europe/Berlin'
log_timezone = 'UTC'
fsync = {'on' if self.durable else 'off'}
full_page_writes = {'on' if self.durable else 'off'}
""")
            if self.tls:
                file.write(f"ssl = on\nssl_cert_file = '{self.tls[0]}'\nssl_key_file = '{self.tls[1]}'\n")
        self.start()
        quoted = PASSWORD.replace("'", "''")
        with self.connect(user="postgres") as connection:
            connection.run(f"CREATE USER {USER} PASSWORD '{quoted}' CREATEDB")
            connection.run(f"GRANT pg_read_all_stats, pg_signal_backend TO {USER}")
            connection.run(f"CREATE DATABASE {USER} OWNER {USER}")
        with self.connect(USER, user="postgres") as connection:
            connection.run("CREATE EXTENSION pg_stat_statements")
        self.stop()

    def _may_run(self, program):
        try:
            self.run(program, "--version")
            return True
        except (OSError, subprocess.CalledProcessError):
            return False

    def command(self):
        return [self._program("postgres"), "-D", self.data]

    def answers(self):
        try:
            self.connect("postgres", user="postgres").close()
            return True
        except _psycopg2().OperationalError:
            return False

    def connect(self, database="postgres", user=USER):
        """A direct connection, each statement a transaction of its own."""
        return Connection(_psycopg2().connect(dbname=database, user=user, host=self.folder, port=self.port))


class MariaDB(Server):
    """MariaDB 10.11, with the strictness of its defaults."""

    name = "mariadb"
    scheme = "mysql"
    connections_max = 40

    def programs(self):
        for program in ("mariadbd", "mariadb-install-db"):
            if self._find(program) is None:
                raise Unavailable("no MariaDB server: install the Debian package mariadb-server-core, or run "
                                  "tools/setup.sh test")

    @staticmethod
    def _find(program):
        return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/bin")

    def make(self):
        self.socket = os.path.join(self.folder, "socket")
        self.run(self._find("mariadb-install-db"), "--no-defaults", "--force", f"--datadir={self.data}", "--skip-test-db",
                 "--auth-root-authentication-method=normal", "--innodb-log-file-size=8M", "--skip-log-bin")
        init, quoted = os.path.join(self.folder, "init.sql"), PASSWORD.replace("'", "''")
        with open(init, "w", encoding="utf-8") as file:
            for host in ("127.0.0.1", "localhost"):
                file.write(f"CREATE USER IF NOT EXISTS '{USER}'@'{host}' IDENTIFIED BY '{quoted}';\n"
                           f"GRANT ALL ON *.* TO '{USER}'@'{host}' WITH GRANT OPTION;\n")

    def command(self):
        return [self._find("mariadbd"), "--no-defaults", f"--datadir={self.data}", f"--socket={self.socket}",
                "--bind-address=127.0.0.1", f"--port={self.port}", f"--pid-file={self.folder}/pid",
                f"--init-file={self.folder}/init.sql", f"--max-connections={self.connections_max}",
                "--skip-name-resolve", "--skip-log-bin", "--performance-schema=off", "--innodb-log-file-size=8M",
                f"--innodb-buffer-pool-size={self.memory_mb}M", "--character-set-server=utf8mb4", "--max-allowed-packet=32M",
                "--default-time-zone=+01:00", f"--innodb-flush-log-at-trx-commit={1 if self.durable else 2}",
                *([] if self.durable else ["--innodb-flush-method=nosync"]),
                *([f"--ssl-cert={self.tls[0]}", f"--ssl-key={self.tls[1]}"] if self.tls else [])]

    def answers(self):
        try:
            self.connect().close()
            return True
        except _pymysql().err.OperationalError:
            return False

    def connect(self, database=None, user=USER):
        """A direct connection, each statement a transaction of its own."""
        flags = _pymysql().constants.CLIENT
        return Connection(_pymysql().connect(unix_socket=self.socket, user=user, password=PASSWORD, database=database,
                                             charset="utf8mb4", autocommit=True,
                                             client_flag=flags.MULTI_STATEMENTS | flags.FOUND_ROWS))


def _psycopg2():
    try:
        import psycopg2
    except ImportError:
        raise Unavailable("no client of PostgreSQL: install the Debian package python3-psycopg2") from None
    return psycopg2


def _pymysql():
    try:
        import pymysql
    except ImportError:
        raise Unavailable("no client of MariaDB: install the Debian package python3-pymysql") from None
    import pymysql.constants.CLIENT
    return pymysql


class Connection:
    """A connection of a client library, used the same way for all databases: parameters are %s."""

    def __init__(self, raw, mark="%s"):
        self.raw, self.mark = raw, mark
        if hasattr(raw, "set_session"):
            raw.set_session(autocommit=True)

    def run(self, sql, *parameters):
        """A statement; the number of rows it touched."""
        cursor = self.raw.cursor()
        try:
            if parameters:
                cursor.execute(sql.replace("%s", self.mark), parameters)
            else:
                cursor.execute(sql)
            return cursor.rowcount
        finally:
            cursor.close()

    def script(self, sql):
        """Statements without parameters, as many as there are."""
        cursor = self.raw.cursor()
        try:
            if hasattr(cursor, "executescript"):
                cursor.executescript(sql)
                return
            cursor.execute(sql)
            while hasattr(cursor, "_result") and cursor.nextset():  # PyMySQL: each statement has a result of its own
                pass
        finally:
            cursor.close()

    def rows(self, sql, *parameters):
        """All rows of a query, as dicts in the order of their columns."""
        cursor = self.raw.cursor()
        try:
            if parameters:
                cursor.execute(sql.replace("%s", self.mark), parameters)
            else:
                cursor.execute(sql)
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row)) for row in cursor.fetchall()]
        finally:
            cursor.close()

    def one(self, sql, *parameters):
        """The only value of the only row."""
        [row] = self.rows(sql, *parameters)
        [value] = row.values()
        return value

    def close(self):
        self.raw.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


KINDS = {"postgresql": (PostgreSQL, "FOREBAY_TEST_PG"), "mariadb": (MariaDB, "FOREBAY_TEST_MYSQL")}


def main(words):
    if words == ["check"]:
        for name, (kind, _) in KINDS.items():
            try:
                server = kind().start()
                server.remove()
                print(f"{name}: starts and stops; nothing is left: {processes_of(server.folder) == []}")
            except Unavailable as error:
                print(f"{name}: {error}")
        return 0
    if words[:2] != ["run", "--"] or len(words) < 3:
        print(__doc__, file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    env, servers = dict(os.environ), []
    try:
        for kind, variable in KINDS.values():
            try:
                servers.append(kind().start())
            except Unavailable as error:
                print(f"servers: {error}", file=sys.stderr)
                continue
            if kind is MariaDB:
                with servers[-1].connect() as connection:
                    connection.run(f"CREATE DATABASE {USER}")
            env[variable] = servers[-1].url()
        return subprocess.run(words[2:], env=env).returncode
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    finally:
        for server in servers:
            server.remove()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
