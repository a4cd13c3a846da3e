"""Reads the files of statements: `-- name: NAME`, then comment lines that describe it, then the statement."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

QUERIES = Path(__file__).with_name("queries.sql")
EVIDENCE = Path(__file__).with_name("evidence.sql")
_BEGIN = re.compile(r"^-- name: *(?P<name>\S*) *$", re.MULTILINE)


class QueriesError(Exception):
    """The file of statements is not what it should be. The text names the statement."""


@dataclass(frozen=True)
class Query:
    """One statement, without its closing semicolon."""

    name: str
    description: str
    text: str


def parse(written: str) -> dict[str, Query]:
    """Every statement by its name. Raises QueriesError for one that is there twice or not whole."""
    _, *parts = _BEGIN.split(written)
    found: dict[str, Query] = {}
    for name, body in zip(parts[::2], parts[1::2], strict=True):
        lines = body.strip().splitlines()
        begins = next((n for n, line in enumerate(lines) if not line.startswith("--")), len(lines))
        query = Query(
            name=name,
            description=" ".join(line.removeprefix("--").strip() for line in lines[:begins]),
            text="\n".join(lines[begins:]).strip().removesuffix(";"),
        )
        if not re.fullmatch(r"[a-z_]+", name):
            raise QueriesError(f"{name or 'a statement'}: a name is lower-case letters and underscores")
        if name in found:
            raise QueriesError(f"{name} is there twice")
        if not query.description or not query.text:
            raise QueriesError(f"{name} needs a description in comment lines, and then a statement")
        found[name] = query
    return found


@cache
def queries() -> Mapping[str, Query]:
    """The statements of both files, read once. Raises QueriesError for a name that both have."""
    looks, evidence = (parse(file.read_text(encoding="utf-8")) for file in (QUERIES, EVIDENCE))
    if looks.keys() & evidence.keys():
        raise QueriesError(f"{min(looks.keys() & evidence.keys())} is in both files")
    return looks | evidence
