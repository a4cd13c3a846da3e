"""The settings reference is current, complete, and its examples work."""

from __future__ import annotations

import ast
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from alpimonitor_cli import boot, settings_reference
from alpimonitor_rehearsal import variables as rehearsal
from alpimonitor_seed import variables as seed
from alpimonitor_watchdog import durations, variables
from alpimonitor_watchdog.declaration import Declaration
from alpimonitor_watchdog.reference import Section, sections
from alpimonitor_watchdog.settings import SHIPPED_PROFILE

CHECKOUT = Path(__file__).resolve().parents[2]
PAGE = CHECKOUT / "runbooks" / "settings.md"
WRITE_AGAIN = "./dev settings reference --output runbooks/settings.md"
SECTIONS = sections()
TABLE = '[[table]]\nname = "station"\nexpected = 7\n'

LIBPQ = re.compile(r"PG(?!_)[A-Z]+")
# The system's: nobody sets them for us.
THE_SYSTEMS = {"PATH", "HOME", "LANG", "TZ", "SUDO_USER"}


def test_the_page_is_current() -> None:
    found = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    assert found == settings_reference.page(), f"runbooks/settings.md is not current; run: {WRITE_AGAIN}"


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.heading)
def test_a_section_and_each_of_its_keys_says_what_it_is_for(section: Section) -> None:
    assert section.meaning
    assert [key.name for key in section.keys if not key.meaning] == [], (
        f"{section.heading}: give these a description in declaration/, then run: {WRITE_AGAIN}"
    )


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.heading)
def test_the_example_of_a_section_is_one_and_can_be_used(section: Section) -> None:
    assert section.example.startswith(section.heading)
    read(section.example if section.heading == "[[table]]" else TABLE + section.example)


def test_all_examples_together_can_be_used() -> None:
    read("\n".join(section.example for section in SECTIONS))


def test_every_section_of_the_declaration_is_there() -> None:
    told = {section.heading.strip("[]").split(".")[0] for section in SECTIONS}
    assert told == set(Declaration.model_fields)


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.heading)
def test_a_default_can_be_written_as_it_is_shown(section: Section) -> None:
    head = section.example.split("\n\n")[0]
    given = set(re.findall(r"^(\w+) =", head, re.MULTILINE))
    given |= {"environment"}  # of a heal's programs: a table, which comes last
    lines = [f"{key.name} = {key.default}" for key in section.keys if key.default and key.name not in given]
    above = "" if section.heading == "[[table]]" else TABLE
    assert read("\n".join([above, head, *lines])) == read("\n".join([above, head]))


SAID = ["500ms", "50ms", "1s", "10s", "1m", "90s", "90m", "1h", "2h", "7d", "0s", "0.5ms"]


@pytest.mark.parametrize("said", SAID)
def test_a_duration_is_written_as_it_was_read(said: str) -> None:
    assert durations.written(durations.seconds(said)) == said


def test_the_shipped_profile_reads_the_variables_that_are_told_of_it() -> None:
    profile = tomllib.loads(SHIPPED_PROFILE.read_text(encoding="utf-8"))
    written = json.dumps(profile)
    references = dict(re.findall(r"\$\{(\w+):-([^}]*)\}", written))
    named = {channel["url_env"]: None for channel in profile["channel"]}
    named |= {asked["token_env"]: None for asked in (profile["ingestion"], *profile["health"])}
    told = {name: read.default for name, read in variables.PROFILE_VARIABLES.items()}
    assert told == references | named
    assert profile["database"]["url_env"] in variables.VARIABLES


def test_every_variable_that_is_read_is_told_of() -> None:
    told = {variable.name for part in settings_reference.parts() for variable in part.variables}
    packages = ("api", "seed", "watchdog", "cli", "rehearsal", "migrations")
    files = [file for folder in packages for file in (CHECKOUT / folder).rglob("*.py")]
    # Other files of the tests hand variables to programs of their own.
    files += [CHECKOUT / "tests" / name for name in ("conftest.py", "databases.py")]
    for file in files:
        unknown = {name for name in read_by(file) - told - THE_SYSTEMS if not LIBPQ.fullmatch(name)}
        assert not unknown, f"{file.relative_to(CHECKOUT)} reads {unknown}: declare it where it is read"


def test_every_variable_that_is_told_of_is_read() -> None:
    sources = "\n".join(
        file.read_text(encoding="utf-8")
        for folder in ("api", "seed", "watchdog", "cli", "rehearsal", "tests")
        for file in (CHECKOUT / folder).rglob("*")
        if file.suffix in (".py", ".toml") and file.name != "variables.py" and file != Path(__file__)
    ) + (CHECKOUT / "dev").read_text(encoding="utf-8")
    declared = {*boot.VARIABLES, *seed.VARIABLES, *variables.VARIABLES, *rehearsal.DEMO, *rehearsal.TESTS}
    by_the_system = {"TMPDIR"}  # the tempfile module's
    unread = {name for name in declared - by_the_system if not re.search(rf"\b{name}\b", sources)}
    assert unread == set()


def read(text: str) -> Declaration:
    return Declaration.model_validate_json(json.dumps(tomllib.loads(text), default=str))


def read_by(file: Path) -> set[str]:
    """The variables that a file takes out of an environment by a name that is written there."""
    return set(_names(ast.parse(file.read_text(encoding="utf-8"))))


def _names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=function, args=arguments) if any(map(_is_environment, [function, *arguments])):
                yield from _named(arguments)
            case ast.Subscript(value=of, slice=index) if _is_environment(of):
                yield from _named([index])
            case ast.Compare(left=left, comparators=[of]) if _is_environment(of):
                yield from _named([left])


def _named(nodes: list[ast.expr]) -> Iterator[str]:
    for node in nodes:
        match node:
            case ast.Constant(value=str(name)) if re.fullmatch(r"[A-Z][A-Z0-9_]+", name):
                yield name


def _is_environment(node: Any) -> bool:
    """`environ`, `os.environ`, or a method of it."""
    return bool(re.search(r"(^|\.)environ(\.get)?$", ast.unparse(node)))
