"""Redis' own tests, those of tests/redis-tcl/allowed.txt: each must pass against Forebay in front of a SQLite table.

A unit runs once for all of its tests, several units at a time, each with a server and a table of its own. Afterwards
everything that is still cached must be what the table has. The tests come from Debian's source package of redis
(tools/redis-tests); README.md in tests/redis-tcl says what is changed."""

import os
import shutil
import sys
import warnings

import pytest

from conftest import IS_FULL, TOP, Forebay, query

sys.path.insert(0, os.path.join(TOP, "tests", "redis-tcl"))
import suite  # noqa: E402

ALLOWED, EXCLUDED = suite.read_list("allowed.txt"), suite.read_list("excluded.txt")
SKIPPED, SLOW, TIMED = [suite.read_list(f"{name}.txt") for name in ("skipped", "slow", "timed")]
LEFT_OUT = {} if IS_FULL else SLOW
AT_LEAST = 360  # tests of Redis' that pass; the list never gets shorter than this


def cached_and_stored(server, path, world):
    """Every cached key with its value, and what the table has for it."""
    with server.wire() as wire:
        cursor, keys = None, []
        while cursor != b"0":
            cursor, some = wire.ask("SCAN", cursor or "0", "COUNT", "1000")
            keys += some
        for key in keys:
            table, name, is_hash = suite.row_of(world, key.decode())
            rows = query(path, f"SELECT * FROM {table} WHERE redis_key = ?", name)
            if is_hash:
                flat = wire.ask("HGETALL", key)
                cached = dict(zip(flat[::2], flat[1::2]))
                stored = {field.encode(): text(rows[0][field]) for field in (rows[0].keys() if rows else [])
                          if field != "redis_key" and rows[0][field] is not None}
            else:
                cached, stored = wire.ask("GET", key), text(rows[0]["v"]) if rows else None
            yield key, cached, stored


def text(value):
    """A value of the table as the cache shows it: a number in a column without a type may be stored as a real."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if value is None or isinstance(value, bytes) else str(value).encode()


def run_once(folder, unit, world):
    """The results of a unit, and every cached key at its end with both of its values."""
    path = os.path.join(folder, "kv.db")
    server = Forebay([], suite.make_database(world, path), folder)
    try:
        results = suite.run_unit(server.port, path, world, unit, LEFT_OUT.get((unit, world), []))
        compared = list(cached_and_stored(server, path, world))
        server.finish()
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)
    return results, compared


def failed(results, names):
    return {name for name in names if results.get(name, ("err", ""))[0] != "ok"}


@pytest.fixture(scope="module")
def outcomes(request, tmp_path_factory):
    """{(unit, world): what run_once says of it}, for the units whose tests were asked for. A unit in which nothing
    failed but tests of timed.txt is run once more, since a machine that is busy elsewhere is no fault of Forebay's."""
    missing = suite.why_missing()
    if missing is not None:
        pytest.skip(missing)

    def run(unit, world):
        results, compared = run_once(folders.pop(), unit, world)
        late = failed(results, ALLOWED[unit, world]) - set(LEFT_OUT.get((unit, world), []))
        if late and late <= set(TIMED.get((unit, world), [])):
            warned.append(f"{unit}: a second run, since time was short for {', '.join(sorted(late))}")
            results, compared = run_once(folders.pop(), unit, world)
        return results, compared

    asked = [item.callspec.params for item in request.session.items
             if item.module is request.module and hasattr(item, "callspec")]
    sections = [section for section in ALLOWED if any(section == (one["unit"], one["world"]) for one in asked)]
    folders, warned = [str(tmp_path_factory.mktemp("tcl")) for _ in range(2 * len(sections))], []
    known = suite.run_all(sections, run)
    for text in warned:
        warnings.warn(text)
    return known


@pytest.mark.parametrize("unit, world, name", [(*section, name) for section, names in ALLOWED.items()
                                               for name in names if name not in LEFT_OUT.get(section, [])],
                         ids=lambda text: text.replace("unit/", ""))
def test_redis_own(outcomes, unit, world, name):
    results, _ = outcomes[unit, world]
    word, what = results.get(name, ("err", f"was not run; {results.get('(the unit)', ('', ''))[1]}"))
    assert word == "ok", what


@pytest.mark.parametrize("unit, world", ALLOWED, ids=lambda text: text.replace("unit/", ""))
def test_what_is_cached_afterwards_is_what_the_table_has(outcomes, unit, world):
    results, compared = outcomes[unit, world]
    assert results
    assert [(key, cached, stored) for key, cached, stored in compared if cached != stored] == []


def test_the_lists_are_whole():
    """Long enough, no test on both or twice, and a known reason for each that is left out; the other lists name tests
    of these, and README.md says how many there are."""
    assert sum(map(len, ALLOWED.values())) >= AT_LEAST
    words = set(suite.reasons()[0])
    assert set(ALLOWED) | set(EXCLUDED) == set(suite.UNITS)
    for section in suite.UNITS:
        excluded = [line.split(": ", 1) for line in EXCLUDED.get(section, [])]
        assert {word for word, _ in excluded} <= words
        names = ALLOWED.get(section, []) + [name for _, name in excluded]
        assert len(names) == len(set(names)), sorted(name for name in names if names.count(name) > 1)
        assert set(SKIPPED.get(section, [])) <= {name for _, name in excluded}
        assert set(SLOW.get(section, []) + TIMED.get(section, [])) <= set(ALLOWED.get(section, []))
    assert suite.read_readme()[1] == suite.figures(), "suite.py --write writes the figures"
