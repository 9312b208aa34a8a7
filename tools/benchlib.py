"""What the benchmarks share: starting servers, asking Forebay for figures, naming the machine."""

import contextlib
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
START_SECONDS = 10


def fail(text):
    sys.exit(f"{os.path.basename(sys.argv[0])}: {text}")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def info(port, section):
    """The lines of INFO as a dictionary."""
    with socket.create_connection(("127.0.0.1", port), 5) as s:
        s.sendall(b"INFO %s\r\nQUIT\r\n" % section.encode())
        data = b"".join(iter(lambda: s.recv(65536), b"")).decode()
    return dict(line.split(":", 1) for line in data.splitlines() if ":" in line and not line.startswith("$"))


def pin_to(core):
    return lambda: os.sched_setaffinity(0, {core})


def redis_program():
    """Debian's redis-tools carries the server too, under the name of a tool that is the same program."""
    return shutil.which("redis-server") or shutil.which("redis-check-rdb")


@contextlib.contextmanager
def server(command, program, port, log_path, core=None):
    """A process id, once the port answers; stopped at the end. `core`: it runs on this one only."""
    name = command[0]
    with open(log_path, "w") as log:
        process = subprocess.Popen(command, executable=program, stdout=log, stderr=log,
                                   preexec_fn=pin_to(core) if core is not None else None)
    try:
        end = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            if process.poll() is not None or time.monotonic() > end:
                fail(f"{name} does not start:\n{open(log_path).read()}")
            time.sleep(0.05)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def machine():
    with open("/proc/cpuinfo") as f:
        model = next((l.split(":", 1)[1].strip() for l in f if l.startswith("model name")), platform.machine())
    return f"{model}, {os.cpu_count()} cores, Linux {platform.release()}"
