"""Takes the flight recorder away from tables, and old evidence or all of it out of the database."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import psycopg
from psycopg import sql

from ..probe.link import Link, is_lost
from ..probe.names import TableName
from .install import BUSY, Guarded, Outcome, Refused, Trying, explained, resolved, value
from .statements import queries

BATCH = 10_000  # events


def release(
    link: Link, tables: Sequence[TableName], *, wait: Callable[[float], object], say: Callable[[str], object]
) -> tuple[Guarded, ...]:
    """Guard these tables no longer; the evidence stays.

    Raises Unseeable, and psycopg.Error when the connection is lost.
    """
    connection = link.open()
    trying = Trying(connection, wait, say)
    return tuple(_released(connection, table, trying) for table in tables)


def unwatch(link: Link) -> bool:
    """Record DROP and disarming no longer. False: event triggers are not this role's to drop."""
    connection = link.open()
    try:
        with connection.transaction():
            for name in ("flight_recorder_drop", "flight_recorder_ddl"):
                connection.execute(sql.SQL("DROP EVENT TRIGGER IF EXISTS {}").format(sql.Identifier(name)))
    except psycopg.errors.InsufficientPrivilege:
        return False
    return True


def drop_evidence(link: Link) -> None:
    """Drop everything that was recorded, and the recorder with it. Raises Refused."""
    connection = link.open()
    try:
        with connection.transaction():
            connection.execute(queries()["become_owner"].text)
            connection.execute("DROP SCHEMA IF EXISTS flight_recorder CASCADE")
    except psycopg.Error as error:
        if is_lost(connection):
            raise
        raise Refused(explained(error)) from error


def prune(link: Link, *, older_than: float, dry_run: bool, say: Callable[[str], object]) -> int:
    """Delete events older than so many seconds, by the database's clock, a batch a transaction; how many.

    Raises Unseeable, Refused, and psycopg.Error when the connection is lost.
    """
    connection = link.open()
    given = {"seconds": older_than, "batch": BATCH}
    gone = 0
    try:
        while True:
            with connection.transaction():
                connection.execute(queries()["become_owner"].text)
                count = int(value(connection, queries()["count_older" if dry_run else "prune"].text, given))
            gone += count
            if dry_run or count < BATCH:
                return gone
            say(f"{gone} events deleted")
    except psycopg.Error as error:
        if is_lost(connection):
            raise
        raise Refused(explained(error)) from error


def _released(connection: psycopg.Connection, table: TableName, trying: Trying) -> Guarded:
    declared = table.declared
    try:
        name = resolved(connection, table)
        if name is None:
            return Guarded(declared, Outcome.MISSING, "there is no such table")
        statement = sql.SQL("SELECT flight_recorder.release({}::regclass)").format(sql.Literal(name))
        changed = trying.run(lambda: value(connection, statement), declared)
    except psycopg.Error as error:
        if is_lost(connection):
            raise
        return Guarded(
            declared, Outcome.BUSY if error.sqlstate in BUSY else Outcome.REFUSED, explained(error)
        )
    return Guarded(declared, Outcome.RELEASED if changed else Outcome.UNGUARDED)
