"""The first statement of a look: the state of the server, and what its catalog knows of each table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg.rows import class_row

from ..core.seen import TableSeen
from ..core.words import Unseen
from . import names
from .queries import queries

_TABLE_KINDS = frozenset("rpf")  # plain, partitioned, foreign


@dataclass(frozen=True)
class Guarded:
    """A declared table: its name as declared, and the columns it has to have."""

    name: str
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class Countable:
    """A table that can be counted, as far as the catalog knows."""

    name: str
    oid: int
    schema: str
    table: str


@dataclass(frozen=True)
class Entry:
    """One row of the statement `catalog`: the same state of the server in each, and one declared table."""

    clock: datetime
    database: str
    in_recovery: bool
    read_only: bool
    change_held_by: int | None
    may_be_subscribed: bool
    oid: int | None
    schema: str | None
    name: str | None
    kind: str | None
    readable: bool | None
    hidden: bool | None
    columns: list[str] | None

    def countable(self, table: Guarded) -> Countable | TableSeen:
        """The table as it can be counted, or what there is to say of one that cannot."""
        if self.oid is None or self.schema is None or self.name is None:
            return TableSeen(table.name, exists=False, detail="it is not in the catalog")
        if self.kind not in _TABLE_KINDS:
            return TableSeen(table.name, exists=False, detail="a view has taken its name")
        if not self.readable:
            detail = "the sidecar's role has no SELECT on it"
            return TableSeen(table.name, unseen=Unseen.FORBIDDEN, detail=detail)
        if self.hidden:
            detail = "row security would hide rows from the sidecar's role"
            return TableSeen(table.name, unseen=Unseen.ROW_SECURITY, detail=detail)
        return Countable(table.name, self.oid, self.schema, self.name)

    def missing_columns(self, table: Guarded) -> tuple[str, ...]:
        if self.columns is None:
            return ()
        return tuple(name for name in table.columns if not {name, name.lower()} & set(self.columns))


class Catalog:
    """Reads the entries of the declared tables, in their order."""

    def __init__(self, tables: Sequence[Guarded], lock_prefix: str) -> None:
        """Raises ValueError for what cannot be the name of a table."""
        parsed = [names.parse(table.name) for table in tables]
        self._parameters: Mapping[str, object] = {
            "schemas": [name.schema and name.schema.exact for name in parsed],
            "folded_schemas": [name.schema and name.schema.folded for name in parsed],
            "tables": [name.table.exact for name in parsed],
            "folded_tables": [name.table.folded for name in parsed],
            "with_columns": [bool(table.columns) for table in tables],
            "lock_prefix": lock_prefix,
        }

    def read(self, connection: psycopg.Connection) -> list[Entry]:
        """One entry a table. Raises psycopg.Error."""
        with connection.cursor(row_factory=class_row(Entry)) as cursor:
            return cursor.execute(queries()["catalog"].text, self._parameters, prepare=True).fetchall()
