"""Reads fixture files, one TOML file a table, and remembers the line of every row and key.

A file `station.toml` holds a `[[station]]` for each row. The standard library's TOML reader tells no lines
but those of its own errors, so the headers and keys are found again in the text; what could make the two
disagree (rows written inline, strings over several lines) is refused.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HEADER = re.compile(r"\s*\[\[\s*\"?(?P<table>[^\]\"]+?)\"?\s*\]\]\s*(#.*)?")
KEY = re.compile(r"\s*\"?(?P<key>[A-Za-z0-9_-]+)\"?\s*[=.]")
SYNTAX_ERROR_LINE = re.compile(r"\s*\(at (?:line (?P<line>\d+), column \d+|end of document)\)$")


@dataclass(frozen=True, order=True)
class Problem:
    """What is wrong with a fixture, and where."""

    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}"


class BadFixtures(Exception):
    """The fixtures cannot be used; nothing was written. Its text has a line `file:line: reason` a problem."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(str(problem) for problem in self.problems))


@dataclass(frozen=True)
class Entry:
    """A row as its file has it."""

    file: str
    line: int  # of its header
    values: Mapping[str, Any]
    lines: Mapping[str, int]  # of its keys

    def problem(self, reason: str, key: str | None = None) -> Problem:
        """Something wrong with this row, at the line of `key` where the row has it."""
        return Problem(self.file, self.lines.get(key or "", self.line), reason)


def read_folder(folder: Path, tables: Sequence[str]) -> dict[str, list[Entry]]:
    """Read the file of each table. Raises BadFixtures.

    A missing file is refused rather than taken for "no rows", which a prune would believe.
    """
    if not folder.is_dir():
        raise BadFixtures([Problem(str(folder), 1, "there is no such folder of fixtures")])
    problems: list[Problem] = []
    entries: dict[str, list[Entry]] = {}
    for table in tables:
        try:
            entries[table] = _read_file(folder / f"{table}.toml", table)
        except BadFixtures as error:
            problems += error.problems
    for path in folder.glob("*.toml"):
        if path.stem not in tables:
            problems.append(
                Problem(str(path), 1, f"there is no table {path.stem}{nearest(path.stem, tables)}")
            )
    if problems:
        raise BadFixtures(problems)
    return entries


def nearest(word: str, known: Sequence[str]) -> str:
    """A hint for a misspelt word, or nothing."""
    found = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {found[0]}?" if found else ""


def _read_file(path: Path, table: str) -> list[Entry]:
    file = str(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadFixtures([Problem(file, 1, f"cannot be read: {error.strerror}")]) from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise BadFixtures([Problem(file, line, "is not UTF-8")]) from error
    # Not splitlines(), which also breaks at characters that are no line ends to an editor or to TOML.
    lines = text.split("\n")
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadFixtures([_syntax_problem(file, lines, error)]) from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, thousands of brackets
        raise BadFixtures([Problem(file, 1, f"cannot be read as TOML: {error}")]) from error
    rows = document.pop(table, [])
    places = _places(file, lines, table)
    if document:
        other = next(iter(document))
        raise BadFixtures(
            [Problem(file, _line_of(lines, other), f"only [[{table}]] belongs here, not {other}")]
        )
    if not isinstance(rows, list) or len(rows) != len(places):
        raise BadFixtures(
            [Problem(file, _line_of(lines, table), f"write each row under a [[{table}]] of its own")]
        )
    return [
        Entry(file, line, values, key_lines) for values, (line, key_lines) in zip(rows, places, strict=True)
    ]


def _places(file: str, lines: Sequence[str], table: str) -> list[tuple[int, dict[str, int]]]:
    """The line of each header, with the lines of the keys below it."""
    places: list[tuple[int, dict[str, int]]] = []
    for number, line in enumerate(lines, start=1):
        if '"""' in line or "'''" in line:
            raise BadFixtures([Problem(file, number, "write a text on one line, in single quotation marks")])
        header = HEADER.fullmatch(line)
        if header and header["table"] == table:
            places.append((number, {}))
        elif places and (key := KEY.match(line)):
            places[-1][1].setdefault(key["key"], number)
    return places


def _line_of(lines: Sequence[str], name: str) -> int:
    """The first line that begins with `name`, be it a header or a key."""
    begins = re.compile(rf"\s*\[*\s*\"?{re.escape(name)}\b")
    return next((number for number, line in enumerate(lines, start=1) if begins.match(line)), 1)


def _syntax_problem(file: str, lines: Sequence[str], error: tomllib.TOMLDecodeError) -> Problem:
    said = str(error)
    place = SYNTAX_ERROR_LINE.search(said)
    line = int(place["line"]) if place and place["line"] else len(lines)
    return Problem(file, line, "is not TOML: " + SYNTAX_ERROR_LINE.sub("", said))
