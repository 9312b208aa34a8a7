"""Redis' own tests with all keys passed through (tests/interop): the shorter units, of which every test passes that is not
on the list of exceptions. `make test-interop` runs all of them."""

import importlib.machinery
import importlib.util
import os

import pytest

from conftest import IS_FULL, TOP

LOADER = importlib.machinery.SourceFileLoader("interop", os.path.join(TOP, "tests", "interop", "run"))
interop = importlib.util.module_from_spec(importlib.util.spec_from_loader("interop", LOADER))
LOADER.exec_module(interop)

TREE = os.path.join(TOP, "build", "redis-tests", "redis")
UNITS = [unit for unit in interop.UNITS if IS_FULL or unit not in interop.LONG]


@pytest.fixture(scope="module")
def outcomes(request):
    missing = interop.why_missing(TREE)
    if missing is not None:
        pytest.skip(f"{missing}; run tools/redis-tests")
    asked = [item.callspec.params["unit"] for item in request.session.items
             if item.module is request.module and hasattr(item, "callspec")]
    return interop.run_all(TREE, asked)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.replace("unit/", ""))
def test_redis_own_tests_pass_through(outcomes, unit):
    results = outcomes[unit]
    assert interop.unexpected(unit, results) == {}
    passed = sum(word == "ok" for word, _ in results.values())
    assert passed > 0 or all(word == "ignore" for word, _ in results.values()), results


def test_the_list_is_whole():
    """Each exception has a reason that is explained, and its unit is one that runs; no reason is left over."""
    words, listed = interop.reasons()[0], interop.excluded()
    used = {why for tests in listed.values() for why in tests.values()}
    assert used == set(words) and set(listed) <= set(interop.UNITS)
    with open(os.path.join(TOP, "tests", "interop", "README.md"), encoding="utf-8") as file:
        assert f"{sum(map(len, listed.values()))} are left out" in file.read()
