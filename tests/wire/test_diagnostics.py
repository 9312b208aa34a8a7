"""Shows that each code of docs/diagnostics.md is said, by a configuration made for it: in the stage and with the
severity that the page has, with a help line, and at its line. And that all faults of a keyspace are said, not the first."""

import json
import re

import pytest

from test_cli import EXITS, run

SCHEMA = """
    CREATE TABLE users(id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT, n REAL);
    CREATE TABLE orders(id INTEGER PRIMARY KEY, user_id INTEGER REFERENCES users(id) ON DELETE CASCADE, at TEXT);
    CREATE TABLE log(id INTEGER PRIMARY KEY, what TEXT);
    CREATE TABLE noted(id INTEGER PRIMARY KEY, v TEXT);
    CREATE TRIGGER note AFTER UPDATE ON noted BEGIN INSERT INTO log(what) VALUES (new.v); END;
"""
SHOP = "sources: {shop: {url: 'sqlite:shop.db'}}\n"
USER = "keyspaces:\n  user:{id}: {table: users}\n"
GOOD = SHOP + USER

# code: the file (bytes or text), the line of the fault, the environment
CASES = {
    "encoding": (GOOD.encode() + b"# \xff\n", 4),
    "tab": (SHOP + "keyspaces:\n\tuser:{id}: {table: users}\n", 3),
    "control": (GOOD + "# \x01\n", 4),
    "yaml": (GOOD + "server: {threads: [\n", 5),
    "key": (SHOP + "keyspaces: {[a]: {table: t}}\n", 2),
    "anchor": (GOOD + "server: &a {threads: 1}\n", 4),
    "tag": (GOOD + "server: !x {threads: 1}\n", 4),
    "repeated": (GOOD + "server: {threads: 1, threads: 2}\n", 4),
    "unknown-section": (GOOD + "sever: {}\n", 4),
    "unknown-setting": (GOOD + "server: {thread: 1}\n", 4),
    "later": (GOOD.rstrip("}\n") + ", during_write: hide}\n", 3),
    "type": (GOOD + "server: {threads: many}\n", 4),
    "unit": (GOOD + "server: {drain_timeout: 3}\n", 4),
    "range": (GOOD + "server: {threads: 1000}\n", 4),
    "choice": (GOOD + "server: {eviction: lrru}\n", 4),
    "address": (GOOD + "server: {listen: '6380'}\n", 4),
    "url": ("sources: {shop: {url: shop.db}}\n" + USER, 1),
    "secret": (GOOD + "server: {password: hunter2}\n", 4),
    "name": ("sources: {1st: {url: 'sqlite:x'}, shop: {url: 'sqlite:shop.db'}}\n" + USER, 1),
    "too-many": ("sources:\n" + "".join(f"  s{i}: {{url: 'sqlite:shop.db'}}\n" for i in range(65)), 66),
    "missing": (SHOP + "keyspaces:\n  user:{id}: {as: json}\n", 3),
    "conflict": (SHOP + "keyspaces:\n  user:{id}: {table: users, on_del: delete-row}\n", 3),
    "unprotected": (GOOD + "server: {listen: '0.0.0.0:6380'}\n", 4),
    "named-file": (GOOD + "server: {users_file: /nowhere/users}\n", 4),
    "unknown-source": (SHOP + "keyspaces:\n  user:{id}: {table: users, source: shp}\n", 3),
    "unknown-class": (SHOP + "keyspaces:\n  user:{id}: {table: users, class: nosuch}\n", 3),
    "pattern": (SHOP + "keyspaces:\n  'user:{id': {table: users}\n", 3),
    "ambiguous": (GOOD + "  'user:{no}': {table: orders}\n", 4),
    "shared-table": (GOOD + "  'person:{id}': {table: users}\n", 4),
    "unused": (GOOD + "classes: {never: {ttl: 1h}}\n", 4),
    "no-keyspaces": ("server: {threads: 1}\n", 0),
    "source": ("sources: {shop: {url: 'mongodb://h/x'}}\n" + USER, 1),
    "source-down": ("sources: {shop: {url: 'sqlite:/nowhere/x.db'}}\n" + USER, 1),
    "keyspace": (SHOP + "keyspaces:\n  user:{id}: {table: usres}\n", 3),
    "scan": (SHOP + "keyspaces:\n  o:{u}: {load: 'SELECT count(*) AS n FROM orders o WHERE user_id = :u'}\n", 3),
    "insert": (SHOP + "keyspaces:\n  u:{id}: {table: users, write: write-through, hide_columns: [name]}\n", 3),
    "cascade": (SHOP + "keyspaces:\n  u:{id}: {table: users, write: write-through, on_del: delete-row}\n"
                "  o:{id}: {table: orders}\n", 3),
    "trigger": (SHOP + "keyspaces:\n  n:{id}: {table: noted, write: write-through}\n  l:{id}: {table: log}\n", 3),
    "depends": (SHOP + "keyspaces:\n  u:{id}: {table: users, write: write-through}\n"
                "  n:{id:int}: {load: 'SELECT name FROM users WHERE id = :id'}\n", 4),
}
# Said of other things than a file, or when memory runs out; depth and size are test_conf.c's (sizes_are_bounded).
ELSEWHERE = {"file", "unknown-variable", "memory", "cache", "depth", "too-large"}


@pytest.fixture
def shop(tmp_path, database):
    database(SCHEMA)
    return tmp_path


def check(folder, *words, **variables):
    end = run("check", "f.yaml", "--json", *words, cwd=folder, **variables)
    return end, json.loads(end.stdout)


def page():
    """code: (stage, severity) of the reference."""
    rows, stage = {}, None
    for line in run("reference", "diagnostics").stdout.split("\n"):
        if line.startswith("## Stage"):
            stage = re.match(r"## Stage \d, (\w+):", line).group(1)
        row = re.match(r"\| `([a-z-]+)` \| (\w+) \|", line)
        if row:
            rows[row.group(1)] = (stage, row.group(2))
    return rows


def test_every_code_has_a_case():
    assert set(page()) == set(CASES) | ELSEWHERE


@pytest.mark.parametrize("code", CASES)
def test_a_code_is_said_where_it_belongs(shop, code):
    text, line = CASES[code]
    (shop / "f.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    end, faults = check(shop)
    assert [fault["code"] for fault in faults] == [code], faults
    stage, severity = page()[code]
    fault = faults[0]
    assert (fault["stage"], fault["severity"], fault["line"]) == (stage, severity, line)
    assert fault["message"] and fault["help"] and fault["file"] == "f.yaml"
    expected = EXITS["unavailable"] if code == "source-down" else EXITS["config"] if severity == "error" else 0
    assert end.returncode == expected
    if severity == "warning":
        assert check(shop, "--strict")[0].returncode == EXITS["config"]


def test_a_missing_file_and_a_strange_variable_are_said(shop):
    assert [fault["code"] for fault in check(shop)[1]] == ["file"]
    (shop / "f.yaml").write_text(GOOD)
    end, faults = check(shop, FOREBAY_MEMORI_MAX="1mb")
    assert (end.returncode, [fault["code"] for fault in faults]) == (0, ["unknown-variable"])
    assert faults[0]["help"] == "did you mean FOREBAY_MEMORY_MAX?"


def test_every_fault_of_a_keyspace_is_said(shop):
    (shop / "f.yaml").write_text(
        SHOP + "keyspaces:\n"
        "  user:{nme}:{emial}: {table: users, hide_columns: [nmae, phone], as: 'column:addr'}\n"
        "  a:{id}: {load: 'SELECT id, name FROM users WHERE id = :id', write: write-through, on_del: delete-row,\n"
        "    store: 'UPDATE users SET name = :nmae WHERE id = :idd',\n"
        "    delete: 'DELETE FROM usres WHERE id = :id', hide_columns: [x]}\n"
        "  v:{at}:{user_id}: {table: orders}\n")
    _, faults = check(shop)
    assert [(fault["line"], fault["message"]) for fault in faults] == [
        (3, "parameter 'nme' is no column of table 'users'"),
        (3, "parameter 'emial' is no column of table 'users'"),
        (3, "hide_columns: there is no column 'nmae'"),
        (3, "hide_columns: there is no column 'phone'"),
        (3, "as: there is no column 'addr'"),
        (5, "store: :nmae is no parameter of the pattern and no column of load"),
        (5, "store: :idd is no parameter of the pattern and no column of load"),
        (6, "delete: no such table: usres"),
        (6, "hide_columns: there is no column 'x'"),
        (7, "the parameters are neither the primary key of table 'orders' nor all columns of a unique index, so a key "
            "could name several rows"),
    ]
    assert {fault["help"] for fault in faults} >= {"did you mean 'name'?", "did you mean 'email'?", "did you mean 'id'?"}


def test_every_fault_of_a_list_is_said(shop):
    (shop / "f.yaml").write_text(
        SHOP + "keyspaces:\n"
        "  a:{id}: {table: users, rows: many, write: write-through, as: hash}\n"
        "  b:{id}: {load: 'SELECT 1 AS x', rows: many, order: [x], limit: 4}\n"
        "  c:{id}: {load: 'SELECT 1 AS x', order: [x], limit: 4}\n"
        "  d:{id}: {table: users, write: write-through, depends: ['users(id)']}\n"
        "  e:{id}: {table: users, rows: many, depends: ['users(id)']}\n"
        "  f:{id}: {table: users, rows: many, limit: 20000}\n")
    _, faults = check(shop)
    assert [(fault["line"], fault["message"]) for fault in faults] == [
        (3, "a list is read-only"), (3, "a list is a JSON array"),
        (4, "order belongs to a list of a table"), (4, "limit belongs to a list of a table"),
        (5, "order belongs to a list"), (5, "limit belongs to a list"),
        (6, "depends belongs to a keyspace that is only read"),
        (7, "a list of a table depends on that table by itself"),
        (8, "'20000' is more than 10000"),
    ]
    assert all(fault["help"] for fault in faults)
    (shop / "f.yaml").write_text(
        SHOP + "keyspaces:\n"
        "  a:{user_id}: {table: orders, rows: many, order: [at up, wen, id desc]}\n"
        "  b:{user_id}: {load: SELECT 1 AS x, depends: [ordrs(user_id), orders(usr_id), orders,\n"
        "    'orders(user_id, id)', orders(id, user_id)]}\n"
        "  c:{user_id:uuid}: {load: SELECT 1 AS x, depends: orders(user_id)}\n"
        "  d:{usr_id}: {table: orders, rows: many}\n"
        "  e:{id}: {table: users, hide_columns: [n], rename_columns: [nme=a, name, email=name, n=m]}\n")
    _, faults = check(shop)
    assert [(fault["line"], fault["message"], fault["help"][:12]) for fault in faults] == [
        (3, "order: 'at up' is neither NAME, NAME asc nor NAME desc", "compare the "),
        (3, "order: there is no column 'wen'", "compare the "),
        (4, "depends: 'orders(id, user_id)' has 2 columns and the pattern 1 parameter: a column for each, in their "
            "order", "compare the "),
        (4, "depends: 'ordrs(user_id)': there is no table 'ordrs'", "did you mean"),
        (4, "depends: 'orders(usr_id)': there is no column 'usr_id' in table 'orders'", "did you mean"),
        (4, "depends: 'orders' is not TABLE(COLUMN), nor TABLE(COLUMN, COLUMN)", "compare the "),
        (5, "depends: 'orders(user_id, id)' has 2 columns and the pattern 1 parameter: a column for each, in their "
            "order", "compare the "),
        (6, "depends: 'orders(user_id)': column 'user_id' is an integer, parameter 'user_id' is uuid", "compare the "),
        (7, "parameter 'usr_id' is no column of table 'orders'", "did you mean"),
        (8, "rename_columns: 'nme=a': there is no column 'nme'", "did you mean"),
        (8, "rename_columns: 'name' is not COLUMN=NAME", "compare the "),
        (8, "rename_columns: 'email=name': two columns would be called 'name'", "compare the "),
        (8, "rename_columns: 'n=m': column 'n' is hidden", "compare the "),
    ]


def test_warnings_say_cause_and_help_at_their_line(shop):
    (shop / "f.yaml").write_text(
        SHOP + "keyspaces:\n"
        "  'u:{id}': {table: users, write: write-through, on_del: delete-row, hide_columns: [name]}\n"
        "  'o:{id}': {table: orders}\n"
        "  'n:{id}': {table: noted, write: write-through}\n"
        "  'l:{id}': {table: log}\n"
        "  'c:{u}': {load: SELECT count(*) AS n FROM orders WHERE user_id = :u}\n"
        "classes: {never: {ttl: 1h}}\n")
    end, faults = check(shop)
    assert end.returncode == 0
    assert [(fault["line"], fault["code"]) for fault in faults] == [
        (3, "insert"), (3, "cascade"), (5, "trigger"), (7, "scan"), (8, "unused")]
    text = run("check", "f.yaml", cwd=shop).stderr
    assert text.count("warning[") == text.count("help: ") == 5
    assert "every key reads all of 'orders'" in text and "trigger 'note' changes table 'log'" in text
    assert run("check", "f.yaml", "--offline", "--json", cwd=shop).stdout.count('"code"') == 1
