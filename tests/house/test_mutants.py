"""The mutants of `./dev bench mutants` fit the present tree: what no longer applies would prove nothing."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from alpimonitor_watchdog.core.guards import GUARDS
from tests.benchmarks.figures import Row
from tests.benchmarks.mutants import ROOT, Mutant, apply, mutants, verdict

MUTANTS = mutants()
AT_LEAST = 35
GUARDS_FILE = "watchdog/alpimonitor_watchdog/core/guards.py"
_HUNK = re.compile(r"^@@ .*?@@ ?(?P<under>.*)$")
_FUNCTION = re.compile(r"def (?P<name>\w+)\(")


def test_there_are_enough() -> None:
    assert len(MUTANTS) >= AT_LEAST


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_it_applies_to_the_present_tree_and_its_tests_exist(mutant: Mutant, tmp_path: Path) -> None:
    assert mutant.file.startswith("watchdog/"), "a test is no guarantee"
    copy = tmp_path / mutant.file
    copy.parent.mkdir(parents=True)
    shutil.copy2(ROOT / mutant.file, copy)
    before = copy.read_text()
    assert apply(mutant, tmp_path) == ""
    assert copy.read_text() != before
    compile(copy.read_text(), mutant.file, "exec")
    assert [test for test in mutant.tests if not (ROOT / test).is_file()] == []


def test_every_guard_rail_has_one() -> None:
    in_guards = [mutant.patch.read_text() for mutant in MUTANTS if mutant.file == GUARDS_FILE]
    assert {guard.__name__ for guard in GUARDS} - set().union(*map(changed_functions, in_guards)) == set()


def test_each_removes_another_guarantee_and_says_so_in_a_sentence() -> None:
    guarantees = [mutant.guarantee for mutant in MUTANTS]
    assert len(set(guarantees)) == len(guarantees)
    assert [guarantee for guarantee in guarantees if not guarantee.endswith(".")] == []


def test_no_test_knows_of_any() -> None:
    """A test that is made for a mutant proves the test, not the guarantee."""
    names = {mutant.name for mutant in MUTANTS}
    sources = {path: path.read_text() for path in (ROOT / "tests").rglob("*.py")}
    assert [(path.name, name) for path, text in sources.items() for name in names if name in text] == []


def test_only_all_of_them_killed_is_good_enough() -> None:
    killed: Row = {"killed": 1}
    survives: Row = {"killed": 0}
    assert verdict([killed, killed]) == (True, "killed 2/2")
    assert verdict([killed, survives]) == (False, "killed 1/2")
    assert verdict([]) == (False, "killed 0/0")


def changed_functions(patch: str) -> set[str]:
    """The functions in which a patch changes lines: of each change the last `def` before it."""
    changed, inside = set(), ""
    for line in patch.splitlines():
        hunk = _HUNK.match(line)
        found = _FUNCTION.search(hunk["under"] if hunk else line[1:])
        if found is not None:
            inside = found["name"]
        if re.match(r"[-+](?!--|\+\+)", line):
            changed.add(inside)
    return changed
