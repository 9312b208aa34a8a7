"""Shows the admin listener to those who watch from outside: health as orchestrators ask for it, metrics as Prometheus
reads them, and nothing else for anybody."""

import http.client
import re
import signal
import sqlite3
import subprocess

import pytest

from conftest import FOREBAY, find_program, wait_until

SHOP = """CREATE TABLE users(id INTEGER PRIMARY KEY, name TEXT);
          INSERT INTO users VALUES (1, 'Ada'), (2, 'Grace');"""


def shop(path, admin="127.0.0.1:0"):
    return {"server": {"admin": admin}, "sources": {"shop": {"url": f"sqlite:{path}"}},
            "keyspaces": {"user:{id:int}": {"source": "shop", "table": "users", "write": "write-through"}}}


def admin_port(server):
    return int(re.search(r"event=serve\.ready .*admin=127\.0\.0\.1:(\d+)", server.log()).group(1))


def fetch(server, path, method="GET", **headers):
    """Status, headers, text."""
    connection = http.client.HTTPConnection("127.0.0.1", admin_port(server), timeout=10)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()
    finally:
        connection.close()


@pytest.mark.short
def test_pages_and_what_is_refused(forebay, database):
    server = forebay(shop(database(SHOP)))
    for path, text in (("/livez", "ok\n"), ("/healthz", "ok\n"), ("/readyz", "ok\n"),
                       ("/readyz?verbose", "[+]server ok\n[+]source/shop ok\nreadyz check passed\n")):
        status, headers, body = fetch(server, path)
        assert (status, body) == (200, text), path
        assert headers["X-Content-Type-Options"] == "nosniff" and headers["Cache-Control"] == "no-store"
    assert fetch(server, "/")[0] == 200
    assert fetch(server, "/metrics", "HEAD")[2] == ""
    assert fetch(server, "/nosuch")[0] == 404
    status, headers, _ = fetch(server, "/livez", "POST")
    assert status == 405 and headers["Allow"] == "GET, HEAD"
    # a page in a browser whose name was made to mean this machine
    assert fetch(server, "/metrics", Host="evil.example")[0] == 421
    assert fetch(server, "/metrics", Host="evil.example:9380")[0] == 421
    for host in ("localhost", "localhost:9380", "127.0.0.1", "[::1]:9380", "10.0.0.7"):
        assert fetch(server, "/livez", Host=host)[0] == 200, host
    assert fetch(server, "/livez", Filler="x" * 100000)[0] in (400, 413, 431)


def test_readiness_follows_the_source_and_liveness_does_not(forebay, database):
    """A database that somebody keeps locked answers nobody."""
    path = database(SHOP)
    config = shop(path)
    config["sources"]["shop"]["read_timeout"] = "1s"
    server = forebay(config)
    def look(status):
        got = fetch(server, "/readyz")
        return got[0] == status and got

    wait_until(lambda: look(200), "readiness")
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    _, _, body = wait_until(lambda: look(503), "readiness to go", 30)
    assert re.search(r"(?m)^\[-\]source/shop failed: .", body), body
    assert fetch(server, "/livez")[0] == 200
    assert server.source()["up"] == 0
    wait_until(lambda: "event=source.down" in server.log(), "a line in the log")
    assert 'forebay_source_up{source="shop"} 0' in fetch(server, "/metrics")[2]
    holder.execute("ROLLBACK")
    holder.close()
    wait_until(lambda: look(200), "readiness to come back", 30)
    assert server.source()["up"] == 1
    wait_until(lambda: "event=source.up" in server.log(), "another one")


def test_a_stopping_server_is_not_ready_and_alive(forebay, database):
    path = database(SHOP)
    server = forebay({**shop(path), "sources": {"shop": {"url": f"sqlite:{path}", "read_timeout": "60s"}}})
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with server.wire() as wire:
        wire.send(b"GET user:1\r\n")
        wait_until(lambda: server.info("clients")["clients"]["blocked_clients"] == "1", "the load to begin")
        server.process.terminate()
        status, _, body = wait_until(lambda: (lambda got: got[0] == 503 and got)(fetch(server, "/readyz")), "503")
        assert body.startswith("[-]server failed: stopping\n")
        assert fetch(server, "/livez")[0] == 200
        assert fetch(server, "/metrics")[0] == 200
        holder.execute("ROLLBACK")
        holder.close()
        assert b"Ada" in wire.read()
    assert server.process.wait(timeout=30) == 0


@pytest.mark.short
def test_metrics_are_what_promtool_and_readers_want(forebay, database):
    server = forebay(shop(database(SHOP)))
    with server.wire() as wire:
        wire.pipeline([["GET", "user:1"], ["GET", "user:1"], ["GET", "user:3"], ["SET", "user:1", "{}"], ["GET"],
                       ["NOSUCH"], ["MGET", "user:1", "user:2"]])
    _, headers, text = fetch(server, "/metrics")
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    samples = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert len(samples) == sum(not line.startswith("#") for line in text.splitlines())  # no sample twice
    assert samples['forebay_commands_total{command="get"}'] == "3"
    assert samples['forebay_commands_rejected_total{command="get"}'] == "1"
    assert samples['forebay_cache_requests_total{keyspace="user:{id:int}",result="hit"}'] >= "1"
    assert samples['forebay_command_duration_seconds_bucket{command="get",le="+Inf"}'] == "3"
    assert samples['forebay_command_duration_seconds_count{command="get"}'] == "3"
    assert "user:1" not in text and "Ada" not in text
    _, headers, open_text = fetch(server, "/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert open_text.endswith("# EOF\n") and "# TYPE forebay_commands counter\n" in open_text
    promtool = find_program("promtool")
    if promtool is None:
        pytest.skip("no promtool (Debian package prometheus)")
    check = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True)
    assert (check.returncode, check.stdout + check.stderr) == (0, "")


def test_a_reload_that_was_rejected_is_a_metric(forebay, database):
    server = forebay(shop(database(SHOP)))
    metric = "forebay_config_last_reload_successful"
    with open(server.config_path, encoding="utf-8") as file:
        good = file.read()
    for text, value in ((good + "nonsense: 1\n", 0), (good, 1)):
        with open(server.config_path, "w", encoding="utf-8") as file:
            file.write(text)
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: f"\n{metric} {value}\n" in fetch(server, "/metrics")[2], f"{metric} {value}")


def test_slow_log_settings_are_live(forebay, database):
    server = forebay(shop(database(SHOP)))
    with server.wire() as wire:
        assert wire.ask("CONFIG", "GET", "slowlog-log-slower-than") == [b"slowlog-log-slower-than", b"10000"]
        assert wire.ask("CONFIG", "SET", "slowlog-log-slower-than", "0") == "OK"
        wire.ask("PING")
        assert wire.ask("SLOWLOG", "LEN") >= 1
        assert wire.ask("CONFIG", "SET", "slowlog-log-slower-than", "-1", "latency-tracking", "no") == "OK"
        wire.ask("SLOWLOG", "RESET")
        wire.ask("ECHO", "x")
        assert wire.ask("SLOWLOG", "LEN") == 0
        assert wire.ask("LATENCY", "HISTOGRAM", "echo") == []
        assert wire.ask("CONFIG", "SET", "latency-monitor-threshold", "10") == "OK"
        assert wire.ask("CONFIG", "GET", "latency-monitor-threshold")[1] == b"10"


@pytest.mark.short
def test_ping_says_whether_a_server_answers(forebay, database, tmp_path):
    def ping(*words):
        return subprocess.run([FOREBAY, "ping", *words], capture_output=True, text=True, timeout=30, cwd=tmp_path)

    server = forebay(shop(database(SHOP)), flags=["--listen", f"127.0.0.1:0,unix:{tmp_path}/f.sock"])
    address = f"127.0.0.1:{server.port}"
    for words in ([address], [f"unix:{tmp_path}/f.sock"],
                  ["--listen", address, "--source", "sqlite:shop.db", "--map", "user:{id:int}=users"]):
        run = ping(*words)
        assert (run.returncode, run.stdout, run.stderr) == (0, "", ""), words
    other = f"127.0.0.1:{admin_port(server)}"
    assert ping(other).returncode == 1  # HTTP is something else
    assert server.stop() == 0
    run = ping(address)
    assert run.returncode == 1 and "Connection refused" in run.stderr


def test_an_address_that_was_asked_for_must_be_free(forebay, database, tmp_path):
    first = forebay(shop(database(SHOP)))
    taken = f"127.0.0.1:{admin_port(first)}"
    run = subprocess.run([FOREBAY, "serve", "--listen", "127.0.0.1:0", "--admin", taken, "--source",
                          f"sqlite:{database(SHOP, 'c.db')}", "--map", "user:{id:int}=users"],
                         capture_output=True, text=True, timeout=30, cwd=tmp_path)
    assert run.returncode == 73
    assert f"cannot listen on {taken}" in run.stderr and "--admin" in run.stderr
