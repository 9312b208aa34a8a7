"""Runs units of Redis' own tests against a Forebay in front of a table, and reads the lists of this folder.

    suite.py [UNIT@WORLD ...]      all tests of these units (default: all units), with what goes wrong
    suite.py --write [UNIT@WORLD]  the same, and writes their parts of allowed.txt and excluded.txt anew, and the figures

A world is the table, the keyspace and the settings that a unit runs with."""

import concurrent.futures
import os
import re
import sqlite3
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
REDIS = os.path.join(TOP, "build", "redis-tests", "redis")
MISSING = os.path.join(TOP, "build", "redis-tests", ".missing")
UNIT_TIMEOUT_S = 240
EVEN_IF_PASSED = {"hollow", "no-times", "relative", "loads"}  # reasons for tests that pass, or pass now and then
UNITS_AT_ONCE = 6  # most of their time is waiting

# The columns of the unit of hashes: those it names, and "f1", "f2" … for those it draws (500 columns are the limit).
FIELDS = ("a b c d e x y z float foo foo1 foo2 bar tmp str field field1 field2 field3 key1 key2 key3 n f new_field "
          "abcdefgh abcdefghi __123123123__ __foobar123__").split()
DRAWN = [f"f{i}" for i in range(1, 200)] + [f"__avoid_collisions__f{i}" for i in range(1, 200)]

TEXT = {"table": "kv", "as": "column:v", "write": "write-through", "on_del": "delete-row", "jitter": "0%"}
HASH = {**TEXT, "as": "hash", "hide_columns": "[redis_key]"}
WORLDS = {
    # name: (columns besides the key, what the keyspace says, settings of the server)
    "any": ("v", TEXT, {"monitor_values": "true"}),  # no type: text and numbers
    "bytes": ("v BLOB", TEXT, {}),     # any bytes
    "lru": ("v", TEXT, {"eviction": "lru"}),
    "hash": (", ".join(f'"{name}"' for name in FIELDS + DRAWN),
             HASH, {}),
}
# The hashes of units that work with strings: their keys, which are the names of their tables, and the columns.
HASH_KEYS = ("myhash", "hash")
HASH_COLUMNS = ["f", "yes", "no"] + [f"key:{i}" for i in range(30)]
UNITS = [
    ("unit/protocol", "any"), ("unit/type/string", "bytes"), ("unit/type/incr", "any"), ("unit/type/hash", "hash"),
    ("unit/keyspace", "any"), ("unit/scan", "any"), ("unit/expire", "any"), ("unit/multi", "any"),
    ("unit/pubsub", "any"), ("unit/tracking", "any"), ("unit/info", "any"), ("unit/info-command", "any"),
    ("unit/slowlog", "any"), ("unit/latency-monitor", "any"), ("unit/introspection", "any"),
    ("unit/introspection-2", "lru"), ("unit/pause", "any"), ("unit/other", "bytes"), ("unit/quit", "any"),
]


def why_missing():
    """None when the suite can run; else what is missing."""
    if not os.path.isdir(REDIS):
        if os.path.exists(MISSING):
            with open(MISSING, encoding="utf-8") as file:
                return file.read().strip()
        return "Redis' tests are not there; run tools/redis-tests"
    check = subprocess.run(["tclsh"], input="package require sqlite3", capture_output=True, text=True) \
        if any(os.access(os.path.join(path, "tclsh"), os.X_OK) for path in os.environ["PATH"].split(":")) else None
    if check is None or check.stderr:
        return "no tclsh with sqlite3; run tools/setup.sh test"
    return None


def make_database(world, path):
    """The table of a world, and the configuration of a server in front of it. As Redis it has one thread for all
    clients: the tests rely on what one connection sent being done before what another sends next."""
    columns, keyspace, settings = WORLDS[world]
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"CREATE TABLE kv(redis_key TEXT PRIMARY KEY, {columns})")
        for key in HASH_KEYS:
            connection.execute(f"CREATE TABLE {key}(redis_key TEXT PRIMARY KEY, "
                               + ", ".join(f'"{name}"' for name in HASH_COLUMNS) + ")")
    connection.close()
    keyspaces = {'"{redis_key:rest}"': keyspace}
    if keyspace is not HASH:
        keyspaces |= {f'"{key[:-1]}{{redis_key:rest}}"': {**HASH, "table": key} for key in HASH_KEYS}
    return {"sources": {"kv": {"url": f"sqlite:{path}"}}, "keyspaces": keyspaces, "server": {"threads": 1, **settings}}


def row_of(world, key):
    """The table of a key, what its row is called there, and whether it is a hash."""
    if WORLDS[world][1] is HASH:
        return "kv", key, True
    table = next((name for name in HASH_KEYS if key.startswith(name[:-1])), None)
    return (table, key[len(table) - 1:], True) if table is not None else ("kv", key, False)


def run_unit(port, path, world, unit, passed_over=()):
    """The result of each test: name → (word, what went wrong). All of a unit runs, since its tests build on what others
    left behind; those of skipped.txt are passed over, and more if asked for."""
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".txt") as file:
        names = [*read_list("skipped.txt").get((unit, world), []), *passed_over]
        file.write("".join(f"{name}\n" for name in names))
        file.flush()
        command = ["tclsh", os.path.join(HERE, "prelude.tcl"), str(port), path, world, unit, file.name]
        with subprocess.Popen(command, cwd=REDIS, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT) as process:
            try:
                out = process.communicate(timeout=UNIT_TIMEOUT_S)[0]
            except subprocess.TimeoutExpired:
                process.kill()
                out = process.communicate()[0] + f"\ndid not end within {UNIT_TIMEOUT_S} s\n".encode()
    results, other, has_ended = {}, [], False
    for line in out.decode("utf-8", "replace").split("\n"):
        fields = line.split("\t", 2)
        if len(fields) == 3 and fields[0] in ("ok", "err", "ignore", "skip"):
            name = re.sub(r": (Tag: \S+ denied|Not supported on .*)$", "", fields[1]) \
                if fields[0] == "ignore" else fields[1]
            if results.get(name, ("ok", ""))[0] != "err":  # some names occur twice
                results[name] = (fields[0], fields[2] or fields[1])
        elif fields[0] == "end":
            has_ended = True
        elif line:
            other.append(line)
    if not has_ended:
        last = next(reversed(results), "its beginning")
        results["(the unit)"] = ("err", f"it broke off after {last}: " + " | ".join(other[-20:]))
    return results


def run_all(sections, run):
    """run(unit, world) for all of these, several at a time; {section: what it returned}."""
    with concurrent.futures.ThreadPoolExecutor(UNITS_AT_ONCE) as pool:
        futures = {section: pool.submit(run, *section) for section in sections}
        return {section: future.result() for section, future in futures.items()}


def read_list(name):
    """Sections "[unit world]" of lines; "# …" are remarks. Of excluded.txt a line is a reason, a colon, the test."""
    sections, current = {}, None
    with open(os.path.join(HERE, name), encoding="utf-8") as file:
        for line in file:
            line = line.rstrip("\n")
            if not line or line.startswith("# "):
                continue
            if line.startswith("["):
                current = sections.setdefault(tuple(line.strip("[]").split(" ")), [])
            else:
                current.append(line)
    return sections


# ---- reasons

def reasons():
    """reasons.txt: words with what they mean, and rows (word, pattern); the first row that matches holds."""
    rows, words = [], {}
    with open(os.path.join(HERE, "reasons.txt"), encoding="utf-8") as file:
        for line in file:
            line = line.rstrip("\n")
            if not line or line.startswith("# "):
                continue
            word, rest = line.split(None, 1)
            if line.startswith(" "):
                rows.append((word, re.compile(rest)))
            else:
                words[word] = rest
    return words, rows


# ---- figures

def figures():
    """How many tests are kept, by unit, and how many are not, by reason: the end of README.md."""
    allowed, excluded = read_list("allowed.txt"), read_list("excluded.txt")
    why = [line.split(": ", 1)[0] for lines in excluded.values() for line in lines]
    lines = [f"{sum(map(len, allowed.values()))} tests are kept, {len(why)} are left out.", "",
             "| unit | kept | left out |", "|---|---|---|"]
    lines += [f"| `{unit}` | {len(allowed.get((unit, world), []))} | {len(excluded.get((unit, world), []))} |"
              for unit, world in UNITS]
    lines += ["", "| left out | tests | because |", "|---|---|---|"]
    lines += [f"| {word} | {why.count(word)} | {meaning} |" for word, meaning in reasons()[0].items()]
    return "\n".join(lines) + "\n"


def read_readme():
    """README.md in front of its figures, and the figures."""
    with open(os.path.join(HERE, "README.md"), encoding="utf-8") as file:
        text, heading, was = file.read().partition("## Figures\n\n")
    return text + heading, was


# ---- the program

def measure(unit, world):
    from conftest import Forebay
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "kv.db")
        server = Forebay([], make_database(world, path), folder)
        began = time.monotonic()
        results = run_unit(server.port, path, world, unit)
        took_s = time.monotonic() - began
        server.kill()
    words = [result[0] for result in results.values()]
    print(f"{unit}@{world}: {took_s:.1f} s, " + ", ".join(f"{words.count(word)} {word}" for word in sorted(set(words))),
          flush=True)
    return results


def sort_out(section, results, rows):
    """The results of a unit as lines of allowed.txt and of excluded.txt; what has no reason is printed."""
    allowed, excluded = [], []
    for name, (word, what) in results.items():
        if name.startswith("("):
            print(f"  {section[0]}: {name}: {what[:300]}")
            continue
        why = next((reason for reason, pattern in rows if pattern.search(f"{section[0]}\t{name}\t{what}")
                    and (word != "ok" or reason in EVEN_IF_PASSED)), None)
        if word == "ok" and why is None:
            allowed.append(name)
        else:
            excluded.append(f"{why or 'open'}: {name}")
            if why is None:
                print(f"  {section[0]}: {name}\n      {what[:300]}")
    return allowed, excluded


def main():
    sys.path.insert(0, os.path.join(TOP, "tests", "wire"))
    chosen = [tuple(word.split("@")) for word in sys.argv[1:] if "@" in word] or UNITS
    words, rows = reasons()
    new = {section: sort_out(section, results, rows) for section, results in run_all(chosen, measure).items()}
    if "--write" not in sys.argv:
        return
    heads = [["# Redis' own tests that must pass. Written by suite.py --write; kept by test_redis_tcl.py."],
             ["# Redis' own tests that are not run, each with its reason. Written by suite.py --write."]
             + [f"# {word}: {meaning}" for word, meaning in words.items()]]
    for i, name in enumerate(["allowed.txt", "excluded.txt"]):
        old, out = read_list(name), heads[i]
        for section in UNITS:
            lines = new[section][i] if section in new else old.get(section, [])
            if lines:
                out += ["", f"[{' '.join(section)}]", *lines]
        with open(os.path.join(HERE, name), "w", encoding="utf-8") as target:
            target.write("\n".join(out) + "\n")
    text, _ = read_readme()
    with open(os.path.join(HERE, "README.md"), "w", encoding="utf-8") as target:
        target.write(text + figures())


if __name__ == "__main__":
    main()
