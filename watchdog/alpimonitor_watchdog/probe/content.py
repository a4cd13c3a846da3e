"""What the rows of the context tables amount to: a hash of each, taken when they may have changed.

A count notices lost rows; only a hash notices rows changed in place. It is taken when a table's counters
moved (which they do up to ten seconds after a change, and at a reset), and now and then whatever they say. It
never decides whether a look saw something: what takes too long, or cannot be hashed, has no content.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import psycopg
from psycopg import sql

from .brief import ask_briefly
from .catalog import Countable
from .link import is_lost
from .queries import queries

_TAKE_EVERY = 60.0  # seconds: not everything that changes rows moves counters, a partition's for instance
_TRY_EVERY = 10.0  # seconds, where it could not be taken
_STATEMENT_SECONDS = 0.015
_BEGIN_WITHIN = 0.005  # seconds of a look after which no further table is begun
LOOK_SECONDS = _BEGIN_WITHIN + _STATEMENT_SECONDS
"""What all of it adds to a look at most, network aside."""


@dataclass(frozen=True)
class Readable:
    """A context table, all rows of which were just counted. `mark` differs when they may have changed."""

    table: Countable
    mark: str
    rows: int


@dataclass(frozen=True)
class _Taken:
    at: float
    mark: str
    rows: int | None  # None: it could not be taken
    content: str | None


class Contents:
    """Remembers what was taken, between looks."""

    def __init__(self, timeout: float, monotonic: Callable[[], float]) -> None:
        """`timeout`, in seconds, is that of every statement of a look."""
        self._within = min(timeout, _STATEMENT_SECONDS)
        self._monotonic = monotonic
        self._connection: psycopg.Connection | None = None
        self._taken: dict[int, _Taken] = {}  # by oid
        self._only_as_text: dict[int, str | None] = {}  # by oid: the types of its columns, one without a hash

    def of(self, connection: psycopg.Connection, tables: Sequence[Readable]) -> Mapping[str, str]:
        """The content of tables by name, where it is known: `rows:hash:server version`.

        The one last taken, as long as the table has as many rows as it had then. Raises psycopg.Error only
        when the connection is lost.
        """
        began = self._monotonic()
        if connection is not self._connection:
            # The server may have been restored, or be another one, with the same oids and counters.
            self._connection, self._taken, self._only_as_text = connection, {}, {}
        # What is gone, or can no longer be counted, is forgotten.
        self._taken = {
            table.table.oid: self._taken[table.table.oid]
            for table in tables
            if table.table.oid in self._taken
        }
        due = [table for table in tables if self._is_due(table, began)]
        for table in sorted(due, key=self._last_taken):
            if self._monotonic() - began > _BEGIN_WITHIN:
                break
            self._taken[table.table.oid] = self._take(connection, table)
        return {
            table.table.name: taken.content
            for table in tables
            if (taken := self._taken.get(table.table.oid)) is not None
            and taken.content is not None
            and taken.rows == table.rows
        }

    def _is_due(self, table: Readable, now: float) -> bool:
        taken = self._taken.get(table.table.oid)
        if taken is None:
            return True
        if taken.content is None:
            return now - taken.at >= _TRY_EVERY
        return (taken.mark, taken.rows) != (table.mark, table.rows) or now - taken.at >= _TAKE_EVERY

    def _last_taken(self, table: Readable) -> float:
        taken = self._taken.get(table.table.oid)
        return taken.at if taken is not None else -math.inf

    def _take(self, connection: psycopg.Connection, table: Readable) -> _Taken:
        at = self._monotonic()
        try:
            rows, hashed = self._hashed(connection, table.table)
        except psycopg.Error:
            if is_lost(connection):
                raise
            return _Taken(at, table.mark, None, None)
        return _Taken(at, table.mark, rows, f"{rows}:{hashed}:{connection.info.server_version}")

    def _hashed(self, connection: psycopg.Connection, table: Countable) -> tuple[int, str]:
        name = sql.Identifier(table.schema, table.table)
        if table.oid not in self._only_as_text:
            statement = sql.SQL(queries()["content"].text).format(table=name)
            try:
                ((rows, hashed, _),) = ask_briefly(connection, statement, within=self._within)
            except psycopg.errors.UndefinedFunction:
                pass  # of the type of one of its columns
            else:
                return rows, hashed
        statement = sql.SQL(queries()["content_as_text"].text).format(table=name, oid=sql.Literal(table.oid))
        ((rows, hashed, types),) = ask_briefly(connection, statement, within=self._within)
        if self._only_as_text.setdefault(table.oid, types) == types:
            return rows, hashed
        # The column without a hash may be gone. Which hash is taken must not depend on what was there once.
        del self._only_as_text[table.oid]
        return self._hashed(connection, table)
