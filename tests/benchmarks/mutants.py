"""Guarantees that are taken away one by one: each time an assertion of the tests has to fail.

A mutant is a patch in `mutants/`, made by `diff -U1` and applied to a copy of the checkout. Its first line
says which guarantee it removes, `# tests:` which files notice; when they do not, the whole unit suite may.

A mutant survives unless an assertion fails: by a patch that no longer applies, by code that cannot be
imported, by tests that do not end. The unmutated copy has to pass everything first.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from tests.benchmarks.figures import Row, Say, Unmeasurable

ROOT = Path(__file__).resolve().parents[2]
PATCHES = Path(__file__).with_name("mutants")
SUITE = "tests/unit"
_SOURCES = ("api", "seed", "watchdog", "cli", "rehearsal")
_AT_ONCE = 2
_DEADLINE = 300.0  # seconds for one run of pytest
_TESTS_FAILED = 1  # pytest's exit code; 2 and more: interrupted, or not even collected
_NOT_BEGUN = 3
_HEADER = re.compile(r"# Removes: (?P<guarantee>.+)\n# tests: (?P<tests>.+)\n(?P<diff>--- a/(?P<file>.+)\n)")


@dataclass(frozen=True)
class Mutant:
    """One patch. `tests` are files of the checkout, those that fail first; `file` is the one it changes."""

    name: str
    guarantee: str
    tests: tuple[str, ...]
    file: str
    patch: Path


@dataclass(frozen=True)
class _Ended:
    """One run of pytest: its exit code, the test that an assertion failed, those that broke otherwise."""

    code: int
    output: str
    failed: str = ""
    broken: tuple[str, ...] = ()


def mutants() -> list[Mutant]:
    """Every patch, by name. Raises Unmeasurable for one that does not say what it removes and who notices."""
    return [_read(patch) for patch in sorted(PATCHES.glob("*.patch"))]


def apply(mutant: Mutant, copy: Path) -> str:
    """Apply it to `copy`: "" or why it does not apply. Lines may have moved, their text may not."""
    # No repository around the copy may be mistaken for its own.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(
        ["git", "apply", "--whitespace=nowarn", str(mutant.patch)],
        cwd=copy,
        env=environ | {"GIT_CEILING_DIRECTORIES": str(copy.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stderr.strip() if done.returncode else ""


def run(_: int | None, say: Say) -> list[Row]:
    """One row a mutant: {mutant, guarantee, killed: 0 | 1, by: a test's id, seconds}; a survivor's has `why`.

    Raises Unmeasurable when the unmutated copy cannot be made, or does not pass.
    """
    tried = mutants()
    rows = []
    with tempfile.TemporaryDirectory(prefix="mutants-") as name, ThreadPoolExecutor(_AT_ONCE) as turns:
        unmutated = Path(name).resolve() / "unmutated"
        _copy_checkout(unmutated)
        say(f"the unmutated copy: {SUITE}, and what else {len(tried)} mutants name")
        _has_to_pass(unmutated, tried)
        try:
            for row in turns.map(lambda mutant: _try(mutant, unmutated), tried):
                rows.append(row)
                outcome = f"killed by {row['by']}" if row["by"] else f"SURVIVES, {row['why']}"
                say(f"{row['seconds']:5.1f} s  {row['mutant']}: {outcome}")
        except BaseException:
            turns.shutdown(wait=False, cancel_futures=True)
            raise
    return rows


def verdict(rows: Sequence[Row]) -> tuple[bool, str]:
    """Whether every mutant was killed, and the sentence that says so."""
    killed = sum(row["killed"] == 1 for row in rows)
    return bool(rows) and killed == len(rows), f"killed {killed}/{len(rows)}"


def _read(patch: Path) -> Mutant:
    header = _HEADER.match(patch.read_text())
    if header is None:
        raise Unmeasurable(f"{patch}: it has to begin with `# Removes: …`, `# tests: …`, `--- a/FILE`")
    return Mutant(patch.stem, header["guarantee"], tuple(header["tests"].split()), header["file"], patch)


def _copy_checkout(copy: Path) -> None:
    """What is tracked, and what is new and not ignored, as it is now."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listed.returncode != 0:
        raise Unmeasurable(f"{ROOT} is no git checkout: {os.fsdecode(listed.stderr).strip()}")
    for name in filter(None, os.fsdecode(listed.stdout).split("\0")):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)


def _has_to_pass(copy: Path, tried: Sequence[Mutant]) -> None:
    beyond = {test for mutant in tried for test in mutant.tests if not test.startswith(f"{SUITE}/")}
    ended = _pytest(copy, ("-x", "-n", str(_AT_ONCE), SUITE, *sorted(beyond)))
    if ended.code != 0:
        raise Unmeasurable(f"{ended.output}\nThe unmutated copy does not pass: mend that first.")


def _try(mutant: Mutant, unmutated: Path) -> Row:
    began = perf_counter()
    copy = unmutated.with_name(mutant.name)
    shutil.copytree(unmutated, copy)
    try:
        by, why = _judge(mutant, copy)
    finally:
        shutil.rmtree(copy)
    row: Row = {"mutant": mutant.name, "guarantee": mutant.guarantee, "killed": int(bool(by)), "by": by}
    return row | ({} if by else {"why": why}) | {"seconds": round(perf_counter() - began, 1)}


def _judge(mutant: Mutant, copy: Path) -> tuple[str, str]:
    """The test that killed it, or "" and why it survives."""
    why = apply(mutant, copy)
    if why:
        return "", f"it does not apply: {why}"
    broken: tuple[str, ...] = ()
    for tests in (mutant.tests, (SUITE,)):
        try:
            ended = _pytest(copy, tests)
        except subprocess.TimeoutExpired:
            return "", f"its tests did not end in {_DEADLINE:g} s"
        if ended.code not in (0, _TESTS_FAILED):
            return "", f"no test was asked, pytest ended with {ended.code}"
        if ended.failed:
            return ended.failed, ""
        broken += ended.broken
    return "", f"no assertion failed, but {', '.join(broken[:3])}" if broken else "no test failed"


def _pytest(copy: Path, arguments: Sequence[str]) -> _Ended:
    """Run the tests of `copy` that `arguments` name, on the packages of `copy`.

    PYTHONPATH goes before an editable install, which would lead to the checkout.
    Raises subprocess.TimeoutExpired, and Unmeasurable when they ran on any other packages.
    """
    report = copy / "first-failure.json"
    report.unlink(missing_ok=True)
    ended = subprocess.run(
        [
            sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0",
            "-p", "tests.benchmarks.first_failure", "--first-failure", str(report), *arguments,
        ],
        cwd=copy,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(str(copy / part) for part in (*_SOURCES, "."))},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_DEADLINE,
        check=False,
    )  # fmt: skip
    output = ended.stdout + ended.stderr
    if not report.is_file():
        return _Ended(ended.returncode or _NOT_BEGUN, output)
    found = json.loads(report.read_text())
    if not Path(found["package"]).resolve().is_relative_to(copy):
        raise Unmeasurable(f"The tests ran on {found['package']}, not on the copy in {copy}.")
    return _Ended(ended.returncode, output, found["failed"], tuple(found["broken"]))
