"""The fixtures: what the context tables have to hold, read from data files and validated on load."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from alpimonitor_api.tables import CONTEXT_TABLES
from alpimonitor_seed.fixture_files import BadFixtures, Entry, Problem, nearest, read_folder
from alpimonitor_seed.fixture_models import MODELS, Fixture, Row

SHIPPED = Path(__file__).resolve().parent / "fixtures"
"""The folder of the fixtures that belong to this version."""

LONGEST_VALUE = 80
"""Characters of a bad value that are repeated in a message."""

TABLES = tuple(table.name for table in CONTEXT_TABLES)


@dataclass(frozen=True)
class Fixtures:
    """Valid fixtures: for each context table, in the order of the foreign keys, its rows in file order."""

    rows: Mapping[str, tuple[Row, ...]]

    @property
    def count(self) -> int:
        return sum(len(rows) for rows in self.rows.values())


def load(folder: Path = SHIPPED) -> Fixtures:
    """Read and validate a folder of fixtures. Raises BadFixtures with every problem: file, line, reason."""
    entries = read_folder(folder, TABLES)
    problems: list[Problem] = []
    declared: dict[str, list[tuple[Entry, Fixture]]] = {}
    for table in TABLES:
        declared[table] = []
        for entry in entries[table]:
            try:
                declared[table].append((entry, MODELS[table].model_validate(dict(entry.values))))
            except ValidationError as error:
                problems += _described(entry, MODELS[table], error)
    # A row that is no row would make each reference to it look wrong as well.
    problems = problems or _inconsistencies(declared)
    if problems:
        raise BadFixtures(problems)
    return Fixtures({table: tuple(fixture.row() for _, fixture in declared[table]) for table in TABLES})


def _described(entry: Entry, model: type[Fixture], error: ValidationError) -> Iterator[Problem]:
    for found in error.errors(include_url=False):
        key = str(found["loc"][0]) if found["loc"] else None
        yield entry.problem(_reason(key, found, tuple(model.model_fields)), key)


def _reason(key: str | None, found: ErrorDetails, known: Sequence[str]) -> str:
    """One of pydantic's errors in a sentence, with the value that it is about."""
    shown = _clipped(found["input"])
    match found["type"]:
        case "missing":
            return f"{key} is missing"
        case "extra_forbidden":
            return f"unknown key {key}{nearest(str(key), known)}"
        case "value_error":
            said = found["msg"].removeprefix("Value error, ")
            return f"{key} {said}: {shown}" if key else said
        case _:
            return f"{key}: {found['msg'][0].lower()}{found['msg'][1:]}, not {shown}"


def _clipped(value: object) -> str:
    try:
        shown = repr(value)
    except ValueError:  # a hexadecimal number of more decimal digits than Python writes
        return "a number of thousands of digits"
    return shown if len(shown) <= LONGEST_VALUE else f"{shown[:LONGEST_VALUE]}…"


def _inconsistencies(declared: Mapping[str, Sequence[tuple[Entry, Fixture]]]) -> list[Problem]:
    """What no row shows alone: two rows with one natural key, references to rows that are not declared."""
    problems: list[Problem] = []
    hints = 20  # looking for the nearest name is slow, and a file of wrong references needs no more
    seen: dict[tuple[str, ...], Entry] = {}
    for table, rows in declared.items():
        for entry, fixture in rows:
            first = seen.setdefault((table, *fixture.keys()), entry)
            if first is not entry:
                name = " / ".join(fixture.keys())
                problems.append(
                    entry.problem(f"{table} {name} is declared twice, first in line {first.line}")
                )
    for rows in declared.values():
        for entry, fixture in rows:
            for reference, (table, key) in fixture.parents().items():
                if (table, key) not in seen:
                    names = [other.keys()[0] for _, other in declared[table]]
                    hint = nearest(key, names) if len(problems) < hints else ""
                    problems.append(entry.problem(f"{table} {key} is not declared{hint}", reference))
    return problems
