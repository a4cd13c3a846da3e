"""Says whether the flight recorder is armed: what it records of each guarded table, and what it does not."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg.rows import class_row

from ..probe.link import Link, is_lost
from .install import Refused, explained
from .statements import functions, queries, relations


@dataclass(frozen=True)
class TableStatus:
    """A guarded table, or a partition or child of one; `kind` is None where that came later, unguarded."""

    name: str
    kind: str | None
    keep_literals: bool | None
    journal_rows: int | None
    exists: bool
    unrecorded: list[str]  # statements that are not recorded: delete, truncate, update
    not_in_replicas: bool  # not under session_replication_role = replica

    @property
    def wrong(self) -> str:
        """What is wrong with it, for a person; empty where nothing is."""
        if not self.exists:
            return "dropped; once it is made anew it has to be guarded anew"
        if self.kind is None:
            return "came after its parent was guarded, and is not"
        if self.unrecorded:
            return f"{', '.join(self.unrecorded).upper()} not recorded: a trigger is missing or disabled"
        if self.not_in_replicas:
            return "not recorded under session_replication_role = replica: only its owner can change that"
        return ""


@dataclass(frozen=True)
class Status:
    """The recorder of one database. `missing`: what it consists of and is not there."""

    version: int
    owner: str
    owner_may_log_in: bool
    drops: bool  # whether DROP and disarming are recorded
    tables: tuple[TableStatus, ...]
    missing: tuple[str, ...] = ()
    events: int | None = None  # None: not for this role to read
    oldest: datetime | None = None

    @property
    def armed(self) -> bool:
        """Whether every destructive statement on a guarded table is recorded; DROP is a matter apart."""
        return bool(self.tables) and not self.missing and not any(table.wrong for table in self.tables)


@dataclass(frozen=True)
class _Installed:
    """The row of the statement `installed`."""

    version: int
    owner: str
    owner_may_log_in: bool


@dataclass(frozen=True)
class _Evidence:
    """The row of the statement `evidence`."""

    events: int
    oldest: datetime | None


def status(link: Link) -> Status | None:
    """None: it is not installed. Only reads.

    Raises Unseeable without a connection, Refused where this role may not look, and psycopg.Error when the
    connection is lost.
    """
    connection = link.open()
    try:
        with connection.transaction():
            connection.execute("SET TRANSACTION READ ONLY")
            return _status(connection)
    except psycopg.Error as error:
        if is_lost(connection):
            raise
        raise Refused(explained(error)) from error


def _status(connection: psycopg.Connection) -> Status | None:
    with connection.cursor() as cursor:
        named = {"functions": functions(), "relations": relations()}
        missing = tuple(name for (name,) in cursor.execute(queries()["missing"].text, named))
        if "version" in missing:
            return None
        drops = cursor.execute(queries()["event_triggers"].text).fetchone()
    with connection.cursor(row_factory=class_row(_Installed)) as installed:
        found = installed.execute(queries()["installed"].text).fetchone()
    if found is None:
        return None
    tables: tuple[TableStatus, ...] = ()
    if "guarded" not in missing:
        with connection.cursor(row_factory=class_row(TableStatus)) as guarded:
            tables = tuple(guarded.execute(queries()["guarded"].text))
    evidence = None if "event" in missing else _evidence(connection)
    return Status(
        version=found.version,
        owner=found.owner,
        owner_may_log_in=found.owner_may_log_in,
        drops=bool(drops and drops[0]),
        tables=tables,
        missing=missing,
        events=evidence.events if evidence else None,
        oldest=evidence.oldest if evidence else None,
    )


def _evidence(connection: psycopg.Connection) -> _Evidence | None:
    try:
        with connection.transaction(), connection.cursor(row_factory=class_row(_Evidence)) as cursor:
            return cursor.execute(queries()["evidence"].text).fetchone()
    except psycopg.errors.InsufficientPrivilege:
        return None  # who installs it need not be who reads it
