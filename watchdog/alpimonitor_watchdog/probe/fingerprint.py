"""Takes fingerprints: when the database may have become another, and now and then while nothing happens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import NamedTuple, TypeVar

import psycopg

from ..core.fingerprint import Fingerprint, Identity, TablePrint
from ..core.seen import DatabaseSeen, TableSeen
from .catalog import TABLE_KINDS, Entry, Guarded
from .link import is_lost
from .queries import queries

Item = TypeVar("Item")
_TAKE_EVERY = 30.0  # seconds
_CLOSELY_EVERY = 1.0


class _Server(NamedTuple):
    """The row of the statement `fingerprint`."""

    timeline: int
    lsn: int | None
    next_transaction: int
    started: datetime
    statistics_reset: datetime | None
    server_version: int


class _Table(NamedTuple):
    """A row of the statement `table_prints`."""

    oid: int
    filenode: int | None
    inserted: int | None
    updated: int | None
    deleted: int | None
    secured: bool
    application_reads: bool | None


class Fingerprinting:
    """Remembers, between looks, what the last fingerprint was taken of."""

    def __init__(
        self, tables: Sequence[Guarded], application_role: str | None, monotonic: Callable[[], float]
    ) -> None:
        self._context = [number for number, table in enumerate(tables) if table.context]
        self._application_role = application_role
        self._monotonic = monotonic
        self._connection: psycopg.Connection | None = None
        self._of: tuple[object, ...] = ()
        self._taken = 0.0

    def moved(self, connection: psycopg.Connection, seen: DatabaseSeen, entries: Sequence[Entry]) -> bool:
        """Whether database or context tables may be others than at the last fingerprint."""
        return connection is not self._connection or self._of != self._signs(seen, entries)

    def take(
        self,
        connection: psycopg.Connection,
        seen: DatabaseSeen,
        entries: Sequence[Entry],
        *,
        now: bool,
        closely: bool,
    ) -> Fingerprint | None:
        """A fingerprint where one is due: `now`, by time, or in the rhythm of `closely`; else None.

        Raises psycopg.Error only when the connection is lost.
        """
        at = self._monotonic()
        if seen.clock is None:
            return None
        if not now and at - self._taken < (_CLOSELY_EVERY if closely else _TAKE_EVERY):
            return None
        signs = self._signs(seen, entries)
        context = self._of_context(entries)
        asked = {
            "database": seen.identity.database_oid if seen.identity else None,
            "oids": [entry.oid for entry in context if _is_table(entry)],
            "application": self._application_role,
        }
        try:
            row = connection.execute(queries()["fingerprint"].text, asked, prepare=True).fetchall()[0]
            found = connection.execute(queries()["table_prints"].text, asked, prepare=True).fetchall()
        except psycopg.Error:
            if is_lost(connection):
                raise
            return None
        self._connection, self._of, self._taken = connection, signs, at
        server, tables = _Server._make(row), {table.oid: table for table in map(_Table._make, found)}
        return Fingerprint(
            at=seen.clock,
            identity=seen.identity or Identity(),
            in_recovery=seen.in_recovery,
            timeline=server.timeline,
            lsn=server.lsn,
            next_transaction=server.next_transaction,
            started=server.started.astimezone(UTC),
            statistics_reset=server.statistics_reset.astimezone(UTC) if server.statistics_reset else None,
            server_version=server.server_version,
            revision=seen.revision,
            tables=tuple(
                _print(table, entry, tables.get(entry.oid or 0))
                for table, entry in zip(self._of_context(seen.tables), context, strict=True)
            ),
        )

    def _of_context(self, every: Sequence[Item]) -> list[Item]:
        return [every[number] for number in self._context]

    def _signs(self, seen: DatabaseSeen, entries: Sequence[Entry]) -> tuple[object, ...]:
        """What is another one when a new fingerprint is due. Counters alone lag behind the rows."""
        return (
            seen.identity,
            seen.in_recovery,
            seen.revision,
            [(entry.oid, entry.mark, entry.readable, entry.hidden) for entry in self._of_context(entries)],
            [table.rows for table in self._of_context(seen.tables)],
        )


def _print(seen: TableSeen, entry: Entry, found: _Table | None) -> TablePrint:
    if not _is_table(entry):
        return TablePrint(seen.name)
    told = TablePrint(
        seen.name,
        oid=entry.oid,
        rows=seen.rows,
        capped=seen.capped,
        readable=bool(entry.readable),
        hidden=bool(entry.hidden),
    )
    if found is None:
        return told
    return replace(
        told,
        filenode=found.filenode,
        inserted=found.inserted,
        updated=found.updated,
        deleted=found.deleted,
        secured=found.secured,
        application_reads=found.application_reads,
    )


def _is_table(entry: Entry) -> bool:
    """Whether it is in the catalog, and no view that has taken the name."""
    return entry.oid is not None and entry.kind in TABLE_KINDS
