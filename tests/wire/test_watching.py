"""Shows what an operator sees: which commands ran and how long they took, what was slow and where its time went, with the
shapes and words of a real redis-server beside it."""

import re
import subprocess
import urllib.request

import pytest

from conftest import Process, find_program, free_port, wait_until
from resp import ReplyError, encode

SHOP = """CREATE TABLE users(id INTEGER PRIMARY KEY, name TEXT);
          INSERT INTO users VALUES (1, 'Ada'), (2, 'Grace');"""
LATENCY_MS = 30
SLOW_MS = 500  # so long no busy machine holds up what waits for nothing


def shop(database, name="shop.db", **source):
    return {"server": {"admin": "off"},
            "sources": {"shop": {"url": f"sqlite:{database(SHOP, name)}", **source}},
            "keyspaces": {"user:{id:int}": {"source": "shop", "table": "users", "write": "write-through"}}}


def costs(server):
    """INFO commandstats as a dict of dicts of numbers."""
    lines = server.info("commandstats")["commandstats"]
    return {name.removeprefix("cmdstat_"): {field: float(value) for field, value in
                                            (part.split("=") for part in line.split(","))}
            for name, line in lines.items()}


@pytest.mark.short
def test_commands_are_counted_as_redis_counts_them(forebay, redis_server, database):
    def talk(server):
        with server.wire() as wire:
            for words in (["GET", "user:1"], ["GET", "user:1"], ["GET"], ["SET", "user:1", "x", "y"], ["NOSUCH"],
                          ["CLIENT", "NOSUCH"], ["CONFIG", "GET", "port"], ["PING"]):
                wire.ask(*words)
            lines = wire.ask("INFO", "commandstats").decode()
        return {name: dict(part.split("=") for part in rest.split(","))
                for name, rest in re.findall(r"cmdstat_(\S+?):(\S+)", lines)}

    ours, theirs = talk(forebay(shop(database))), talk(redis_server())
    assert list(ours["get"]) == list(theirs["get"])  # the same fields in the same order
    for name in ("get", "set", "config|get", "ping"):
        for field in ("calls", "rejected_calls", "failed_calls"):
            assert ours[name][field] == theirs[name][field], (name, field)
    assert "nosuch" not in ours and "client|nosuch" not in ours


@pytest.mark.short
def test_a_request_that_waits_is_measured_until_its_reply(forebay, database):
    server = forebay(shop(database, added_latency=f"{LATENCY_MS}ms"))
    with server.wire() as wire:
        wire.ask("GET", "user:1")
        cold = costs(server)["get"]
        for _ in range(100):
            wire.ask("GET", "user:1")
        warm = costs(server)["get"]
        assert cold["calls"] == 1 and cold["usec"] >= LATENCY_MS * 1000
        assert warm["calls"] == 101

        name, spread = wire.ask("LATENCY", "HISTOGRAM", "get")
        assert name == b"get" and spread[0::2] == [b"calls", b"histogram_usec"] and spread[1] == 101
        steps = dict(zip(spread[3][0::2], spread[3][1::2]))
        assert max(steps) >= LATENCY_MS * 1000 and max(steps.values()) == 101
        assert max(calls for us, calls in steps.items() if us < LATENCY_MS * 1000) > 50  # a hit does not wait
        assert wire.ask("CONFIG", "RESETSTAT") == "OK"
        assert wire.ask("LATENCY", "HISTOGRAM", "get") == []
        assert "get" not in costs(server)


def test_commands_of_a_transaction_have_their_share_of_its_time(forebay, database):
    server = forebay(shop(database, added_latency="1s", read_timeout="60s", write_timeout="4900ms"))
    with server.wire() as wire:
        for words in (["MULTI"], ["GET", "user:1"], ["SET", "user:1", '{"name": "x"}'], ["SET", "user:2", '{"name": "y"}'],
                      ["PING"], ["EXEC"]):
            answer = wire.ask(*words)
        assert answer[1:] == ["OK", "OK", "PONG"]
        cost = costs(server)
        whole = cost["exec"]["usec"]
        assert cost["set"]["calls"] == 2 and cost["get"]["calls"] == 1
        assert cost["set"]["usec"] > cost["get"]["usec"] >= whole / 6 and cost["ping"]["usec"] < whole / 6
        assert 0.8 * whole < cost["set"]["usec"] + cost["get"]["usec"] < 1.2 * whole
        assert wire.ask("LATENCY", "HISTOGRAM", "set")[1][1] == 2


def test_slow_log_tells_where_the_time_went(forebay, database):
    server = forebay(shop(database, added_latency=f"{SLOW_MS}ms", read_timeout="60s"))
    with server.wire() as wire:
        assert wire.ask("CONFIG", "SET", "slowlog-log-slower-than", SLOW_MS * 1000) == "OK"
        wire.ask("CLIENT", "SETNAME", "till")
        wire.ask("GET", "user:1")
        wire.ask("GET", "user:1")
        wire.ask("SET", "user:2", '{"name":"Grace Hopper"}')
        wire.ask("MGET", *[f"user:{i}" for i in range(1, 41)])
        assert wire.ask("SLOWLOG", "LEN") == 3  # the second GET was a hit
        many, write, read = wire.ask("SLOWLOG", "GET")
        assert [entry[0] for entry in (many, write, read)] == [2, 1, 0]
        assert read[2] >= SLOW_MS * 1000
        assert read[3][:2] == [b"GET", b"user:1"]
        assert re.fullmatch(rb"/\* cache=.*\*/", read[3][2]), read[3][2]
        assert read[4].startswith(b"127.0.0.1:") and read[5] == b"till"
        assert write[3][:3] == [b"SET", b"user:2", b"(23 bytes)"]  # a value is nobody's business
        assert len(many[3]) == 33 and many[3][31] == b"... (10 more arguments)"
        assert wire.ask("SLOWLOG", "RESET") == "OK"
        assert wire.ask("SLOWLOG", "LEN") == 0


def test_errors_of_slowlog_and_latency_are_those_of_redis(forebay, redis_server, database):
    requests = [["SLOWLOG"], ["SLOWLOG", "GET", "x"], ["SLOWLOG", "GET", "-2"], ["SLOWLOG", "GET", "1", "2"],
                ["SLOWLOG", "NOSUCH"], ["SLOWLOG", "LEN", "x"], ["SLOWLOG", "GET"], ["SLOWLOG", "GET", "-1"],
                ["LATENCY"], ["LATENCY", "NOSUCH"], ["LATENCY", "HISTORY"], ["LATENCY", "HISTORY", "nosuch"],
                ["LATENCY", "LATEST"], ["LATENCY", "RESET"], ["LATENCY", "RESET", "x"],
                ["LATENCY", "HISTOGRAM", "nosuch"]]
    with forebay(shop(database)).wire() as ours, redis_server().wire() as theirs:
        for wire in (ours, theirs):  # a busy machine is slow at times
            assert wire.ask("CONFIG", "SET", "slowlog-log-slower-than", "-1") == "OK"
        for words in requests:
            assert ours.ask(*words) == theirs.ask(*words), words
        ours.ask("HELLO", "3"), theirs.ask("HELLO", "3")
        for wire in (ours, theirs):
            assert wire.ask("LATENCY", "HISTOGRAM", "nosuch") == {}
            (name, spread), = wire.ask("LATENCY", "HISTOGRAM", "hello").items()
            assert name == "hello" and spread["calls"] == 1 and list(spread["histogram_usec"].values()) == [1]
        assert not isinstance(ours.ask("LATENCY", "DOCTOR"), ReplyError)


def test_names_of_a_histogram_are_those_of_redis(forebay, redis_server, database):
    """Every step a histogram can have is one that Redis has too: doubled from a microsecond on."""
    steps = set()
    for server in (forebay(shop(database)), redis_server()):
        with server.wire() as wire:
            wire.pipeline([["ECHO", "x" * 1000 * (i % 50)] for i in range(2000)])
            _, spread = wire.ask("LATENCY", "HISTOGRAM", "echo")
            assert spread[3][1::2] == sorted(spread[3][1::2]) and spread[3][-1] == 2000
            steps |= set(spread[3][0::2])
    assert steps <= {((1024 << k) + max(1, (1024 << k) >> 7) - 1) // 1000 for k in range(30)}


EXPORTER = find_program("prometheus-redis-exporter")


def exported(processes, tmp_path, server):
    """The series of Debian's prometheus-redis-exporter for a server: names with their labels' names."""
    port = free_port()
    exporter = Process(processes, f"exporter-{len(processes)}",
                       [EXPORTER, "-redis.addr", f"redis://127.0.0.1:{server.port}", "-web.listen-address",
                        f"127.0.0.1:{port}"], str(tmp_path))
    exporter.finish = exporter.kill

    def page():
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
                return answer.read().decode()
        except OSError:
            return None

    text = exporter.wait_for(page, "its page")
    samples = {}
    for line in text.splitlines():
        match = re.match(r"(redis_\w+)(?:\{(.*)\})? (\S+)$", line)
        if match:
            samples.setdefault(match.group(1), []).append((match.group(2) or "", float(match.group(3))))
    return samples


# What a real redis-server has and a cache in front of a database has not, by reason.
NOT_OURS = {
    "no files and forks": """aof_current_rewrite_duration_sec aof_last_cow_size_bytes aof_last_rewrite_duration_sec
        aof_last_write_status aof_rewrite_scheduled latest_fork_seconds module_fork_in_progress
        module_fork_last_cow_size rdb_current_bgsave_duration_sec rdb_last_bgsave_duration_sec rdb_last_cow_size_bytes
        dump_payload_sanitizations cpu_sys_children_seconds_total cpu_user_children_seconds_total""",
    "no replication and no cluster": """cluster_connections mem_clients_slaves migrate_cached_sockets_total
        repl_backlog_first_byte_offset repl_backlog_history_bytes repl_backlog_is_active
        replica_partial_resync_accepted replica_partial_resync_denied replica_resyncs_full replication_backlog_bytes
        second_repl_offset slave_expires_tracked_keys""",
    "no scripts": "memory_used_lua_bytes memory_used_scripts_bytes number_of_cached_scripts",
    "the inside of its allocator": """active_defrag_running allocator_active_bytes allocator_allocated_bytes
        allocator_frag_bytes allocator_frag_ratio allocator_resident_bytes allocator_rss_bytes allocator_rss_ratio
        defrag_hits defrag_key_hits defrag_key_misses defrag_misses lazyfree_pending_objects mem_clients_normal
        mem_fragmentation_bytes mem_not_counted_for_eviction_bytes memory_used_startup_bytes""",
    "the inside of its one thread": """client_recent_max_input_buffer_bytes client_recent_max_output_buffer_bytes
        clients_in_timeout_table cpu_sys_main_thread_seconds_total cpu_user_main_thread_seconds_total
        expired_stale_percentage expired_time_cap_reached_total io_threaded_reads_processed
        io_threaded_writes_processed total_reads_processed total_writes_processed unexpected_error_replies""",
}


@pytest.mark.skipif(EXPORTER is None, reason="no prometheus-redis-exporter (Debian package of that name)")
def test_the_redis_exporter_finds_what_it_finds_at_redis(forebay, redis_server, database, processes, tmp_path):
    def used(server):
        with server.wire() as wire:
            wire.pipeline([["SET", "user:1", '{"name":"x"}'], ["GET", "user:1"], ["GET", "user:7"], ["NOSUCH"]])
        return exported(processes, tmp_path, server)

    ours, theirs = used(forebay(shop(database))), used(redis_server())
    assert ours["redis_up"] == [("", 1)] == theirs["redis_up"]
    assert ours["redis_exporter_last_scrape_error"][0][1] == 0
    excused = {"redis_" + name for names in NOT_OURS.values() for name in names.split()}
    assert set(theirs) - set(ours) - excused == set()
    assert excused & set(ours) == set()  # an excuse that is not needed any more
    assert ours["redis_db_keys"][0][1] >= 1
    calls = dict(ours["redis_commands_total"])
    assert calls['cmd="get"'] == 2


def cli(server, *words, seconds=30):
    return subprocess.run(["redis-cli", "-p", str(server.port), *words], capture_output=True, text=True,
                          timeout=seconds, stdin=subprocess.DEVNULL)


def test_redis_cli_watches(forebay, database):
    server = forebay(shop(database))
    with server.wire() as wire:
        wire.ask("MGET", "user:1", "user:2")
    big = cli(server, "--bigkeys")
    assert big.returncode == 0 and "Sampled 2 keys in the keyspace!" in big.stdout, big.stdout + big.stderr
    latency = cli(server, "--latency", "--raw", "-i", "0.2")
    assert latency.returncode == 0 and re.match(r"\d+ \d+ \d", latency.stdout), latency.stdout
    stat = subprocess.Popen(["redis-cli", "-p", str(server.port), "--stat", "-i", "0.1"], stdout=subprocess.PIPE, text=True)
    try:
        lines = [stat.stdout.readline() for _ in range(5)]
    finally:
        stat.kill()
        stat.stdout.close()
        stat.wait()
    rows = [line.split() for line in lines if re.match(r"\d", line)]
    assert rows and all(row[0] == "2" for row in rows), lines  # keys cached


def listed(wire, name):
    """The line of CLIENT LIST about the client of this name, as a dict; numbers as numbers."""
    for line in wire.ask("CLIENT", "LIST").decode().splitlines():
        fields = dict(part.split("=", 1) for part in line.split(" "))
        if fields["name"] == name:
            return {field: int(value) if value.isdigit() else value for field, value in fields.items()}
    return None


def test_client_list_tells_what_others_keep_in_their_buffers(forebay, database):
    server = forebay(shop(database))
    with server.wire() as wire, server.wire() as sender, server.wire() as reader, server.wire() as keeper:
        for client, name in ((sender, "sender"), (reader, "reader"), (keeper, "keeper")):
            assert client.ask("CLIENT", "SETNAME", name) == "OK"
        quiet = listed(wire, "sender")
        assert (quiet["qbuf"], quiet["qbuf-free"], quiet["obl"], quiet["oll"], quiet["omem"]) == (0, 0, 0, 0, 0)
        assert quiet["events"] == "r" and quiet["multi-mem"] == 0

        half = b"*2\r\n$4\r\nECHO\r\n$200000\r\n" + b"x" * 100000
        sender.send(half)
        wait_until(lambda: listed(wire, "sender")["qbuf"] == len(half), "the half request")
        busy = listed(wire, "sender")
        assert busy["tot-mem"] >= quiet["tot-mem"] + busy["qbuf"] + busy["qbuf-free"] and busy["obl"] == 0
        sender.send(b"x" * 100000 + b"\r\n")
        assert sender.read() == b"x" * 200000
        wait_until(lambda: listed(wire, "sender")["qbuf"] == 0, "the end of it")

        reader.send(encode("ECHO", b"x" * 1000000) * 16)  # and does not read the replies
        wait_until(lambda: listed(wire, "reader")["obl"] > 0, "replies that nobody reads")
        slow = listed(wire, "reader")
        assert slow["events"] == "rw" and slow["omem"] >= slow["obl"] and slow["tot-mem"] > slow["omem"]
        assert [len(reader.read()) for _ in range(16)] == [1000000] * 16
        wait_until(lambda: listed(wire, "reader")["omem"] == 0, "the end of them")

        assert keeper.ask("MULTI") == "OK" and keeper.ask("ECHO", "x" * 5000) == "QUEUED"
        kept = listed(wire, "keeper")
        assert kept["multi"] == 1 and kept["multi-mem"] >= 5000 and kept["tot-mem"] >= quiet["tot-mem"] + 5000
        assert keeper.ask("DISCARD") == "OK" and listed(wire, "keeper")["multi-mem"] == 0
