"""The names of tables as people declare them: station, public.station, "Station", Station. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

_PART = r'(?:"(?:[^"]|"")+"|[^\s".]+)'
_NAME = re.compile(rf"(?:(?P<schema>{_PART})\.)?(?P<table>{_PART})")
_LONGEST = 63  # bytes: PostgreSQL cuts what is longer


class Identifier(NamedTuple):
    """One part of a name. A quoted part is meant as written; another may also stand for its lower case."""

    exact: str
    folded: str


@dataclass(frozen=True)
class TableName:
    """A declared name. Without a schema the search path of the sidecar's role decides."""

    declared: str
    schema: Identifier | None
    table: Identifier


def parse(declared: str) -> TableName:
    """Raises ValueError for what cannot be the name of a table."""
    found = _NAME.fullmatch(declared.strip())
    if found is None:
        raise ValueError('not the name of a table; write it as station, public.station or public."Station"')
    schema = _identifier(found["schema"]) if found["schema"] else None
    return TableName(declared, schema, _identifier(found["table"]))


def _identifier(part: str) -> Identifier:
    quoted = part.startswith('"')
    exact = part[1:-1].replace('""', '"') if quoted else part
    if "\0" in exact:
        raise ValueError("a name with a NUL character; PostgreSQL has none")
    if len(exact.encode()) > _LONGEST:
        raise ValueError(f"a name of more than {_LONGEST} bytes; PostgreSQL has none that long")
    return Identifier(exact, exact if quoted else exact.lower())
