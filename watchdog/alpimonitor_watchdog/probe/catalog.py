"""The first statement of a look: the state of the server, and what its catalog knows of each table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import psycopg
from psycopg import sql

from ..core.seen import TableSeen
from ..core.words import Unseen
from . import names
from .names import TableName
from .queries import queries

TABLE_KINDS = frozenset("rpf")  # plain, partitioned, foreign


@dataclass(frozen=True)
class Guarded:
    """A declared table: its name as declared, the columns it has to have, and whether its content matters."""

    name: str
    columns: tuple[str, ...] = ()
    context: bool = False


class Countable(NamedTuple):
    """A table that can be counted, as far as the catalog knows."""

    name: str  # as declared
    oid: int
    schema: str
    table: str


class Entry(NamedTuple):
    """What the catalog knows of one declared table; all None when it has nothing of that name."""

    oid: int | None = None
    schema: str | None = None
    name: str | None = None
    kind: str | None = None
    readable: bool | None = None
    hidden: bool | None = None
    columns: list[str] | None = None  # of tables that have to have some
    mark: str | None = None  # of tables whose content matters: another one when rows may have changed

    def countable(self, table: Guarded) -> Countable | TableSeen:
        """The table as it can be counted, or what there is to say of one that cannot."""
        if self.oid is None or self.schema is None or self.name is None:
            return TableSeen(table.name, exists=False, detail="it is not in the catalog")
        if self.kind not in TABLE_KINDS:
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


_NOTHING = Entry()


class Server(NamedTuple):
    """The state of the server, as the statement `catalog` returns it."""

    clock: datetime
    database: str
    database_oid: int
    search_path: list[str]
    in_recovery: bool
    read_only: bool
    change_held_by: int | None
    may_be_subscribed: bool


class Catalog:
    """Reads the entries of the declared tables, in their order."""

    def __init__(self, tables: Sequence[Guarded], lock_prefix: str) -> None:
        """Raises ValueError for what cannot be the name of a table."""
        declared = [(table, names.parse(table.name)) for table in tables]
        self._names = [name for _, name in declared]
        self._statement = (
            sql.SQL(queries()["catalog"].text)
            .format(
                lock_prefix=sql.Literal(lock_prefix),
                names=_spellings(name for _, name in declared),
                with_columns=_spellings(name for table, name in declared if table.columns),
                with_mark=_spellings(name for table, name in declared if table.context),
                schemas=sql.Literal(
                    sorted({part for name in self._names if name.schema for part in name.schema})
                ),
            )
            .as_string()
        )

    def read(self, connection: psycopg.Connection) -> tuple[Server, list[Entry]]:
        """The server, and one entry a table. Raises psycopg.Error."""
        rows = connection.execute(self._statement, prepare=True).fetchall()
        width = len(Server._fields)
        # One row is the server's, with nothing beside it; all others have nothing where the server's has.
        (server,) = (Server._make(row[:width]) for row in rows if row[0] is not None)
        entries = (Entry._make(row[width:]) for row in rows if row[0] is None)
        found = {(entry.schema, entry.name): entry for entry in entries}
        return server, [_entry_of(name, found, server.search_path) for name in self._names]


def _entry_of(
    name: TableName, found: Mapping[tuple[str | None, str | None], Entry], path: Sequence[str]
) -> Entry:
    """What a declared name means: the first of its schemas decides, and there as written before folded."""
    for schema in path if name.schema is None else name.schema:
        for table in name.table:
            entry = found.get((schema, table))
            if entry is not None:
                return entry
    return _NOTHING


def _spellings(declared: Iterable[TableName]) -> sql.Literal:
    return sql.Literal(sorted({table for name in declared for table in name.table}))
