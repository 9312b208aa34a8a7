"""Shows that `forebay bench` counts what happened, against a real Redis and a real Forebay, and that tools/bench-hit
runs from end to end in its short form. Nothing here judges speed."""

import json
import os
import subprocess

import pytest

from conftest import BUILD, FOREBAY, TOP


def bench(port, *flags, status=0):
    done = subprocess.run([FOREBAY, "bench", "--port", str(port), "--warm-up", "0", "--json", *flags],
                          capture_output=True, text=True, timeout=180)
    assert done.returncode == status, done.stdout + done.stderr
    return json.loads(done.stdout) if done.stdout else done.stderr


@pytest.fixture
def numbers(forebay, database):
    """A server in front of 1,000 rows."""
    path = database("CREATE TABLE kv(id INTEGER PRIMARY KEY, v TEXT NOT NULL);"
                    "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 1000)"
                    "  INSERT INTO kv SELECT i, 'value ' || i FROM n;")
    return forebay({"sources": {"s": {"url": f"sqlite:{path}"}},
                    "keyspaces": {"kv:{id:int}": {"source": "s", "table": "kv", "as": "column:v",
                                                  "write": "write-through"}}})


@pytest.mark.short
def test_filling_loads_each_row_once_and_the_rest_are_hits(numbers):
    result = bench(numbers.port, "--keys", "kv:{1..1000}", "--fill", "read", "--requests", "5000", "--pipeline", "16",
                   "--pid", str(numbers.pid))
    assert (result["requests"], result["errors"], result["nils"]) == (5000, 0, 0)
    assert result["server_cpu_us_per_request"] > 0
    stats = numbers.info("stats")["stats"]
    assert int(stats["keyspace_misses"]) == 1000
    assert int(stats["keyspace_hits"]) == 5000


@pytest.mark.short
def test_rows_that_are_absent_are_counted_as_nil(numbers):
    result = bench(numbers.port, "--keys", "kv:{1001..1100}", "--requests", "2000", "--connections", "5")
    assert (result["requests"], result["errors"], result["nils"]) == (2000, 0, 2000)


def test_errors_are_counted_and_the_first_is_shown(numbers):
    result = bench(numbers.port, "--keys", "nobody:{1..10}", "--requests", "100", status=1)
    assert result["errors"] == 100
    assert result["first_error"].startswith("NOMAP")


def test_writes_reach_the_database_in_the_share_that_was_asked_for(numbers):
    result = bench(numbers.port, "--keys", "kv:{1..1000}", "--requests", "2000", "--writes", "10", "--zipf", "0.99",
                   "--connections", "8", "--value", "written")
    assert result["errors"] == 0
    assert 120 <= result["writes"] <= 280  # 200 expected; six standard deviations


def test_the_same_load_runs_against_redis(redis_server):
    result = bench(redis_server().port, "--keys", "k{000..999}", "--fill", "write", "--size", "32", "--requests", "3000",
                   "--pipeline", "7")
    assert (result["requests"], result["errors"], result["nils"]) == (3000, 0, 0)


def test_nobody_there_is_said(tmp_path):
    text = bench(1, status=69)
    assert "cannot connect to 127.0.0.1:1" in text


def test_bench_hit_runs_in_short_form(tmp_path):
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one core: server and load cannot be kept apart")
    done = subprocess.run([os.path.join(TOP, "tools", "bench-hit"), "--build", os.path.abspath(BUILD), "--short",
                           "--json", str(tmp_path / "out.json")], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads((tmp_path / "out.json").read_text())
    assert [row["pipeline"] for row in rows] == [1, 16, 64]
    assert all(row["forebay_cpu_us"] > 0 and row["redis_cpu_us"] > 0 for row in rows)
