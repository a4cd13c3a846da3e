"""Installs the flight recorder: the recorder first, then each table by itself, waiting for nobody for long.

A trigger needs a lock that waits for every writer of its table and makes the next ones wait. So each table
has a short transaction of its own, gives up after a moment and is tried again. What is there already stays as
it is, so that an installation that ended half-way is finished by running it again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

import psycopg
from psycopg.sql import Composed

from ..probe.link import Link, is_lost, unseen
from ..probe.names import TableName
from .statements import functions, queries, recorder_sql, relations
from .wishes import Wish, granting, guarding, spelled

LOCK_MILLISECONDS = 250
ATTEMPTS = 40
PAUSE_SECONDS = 0.25
BUSY = ("55P03", "40P01")  # a lock was not to be had; a deadlock
_T = TypeVar("_T")
_REMEDIES = {
    "42501": "run it as the owner of the tables, with CREATE on the database, or as a superuser",
    "25006": "the database is read-only, perhaps a standby: install on the primary, standbys follow",
    "55P03": "a transaction holds it for long: look for it in pg_stat_activity, then run this again",
    "3F000": "create the schema first, or correct its name",
    "42704": "create the role first, or correct its name",
}


class Outcome(StrEnum):
    """What became of one table."""

    GUARDED = "guarded"  # now
    ALREADY = "already_guarded"  # as it should be; nothing was changed
    MISSING = "missing"  # there is no such table
    BUSY = "busy"  # its lock was not to be had
    REFUSED = "refused"  # the server says why
    RELEASED = "released"  # no longer guarded
    UNGUARDED = "was_not_guarded"


@dataclass(frozen=True)
class Guarded:
    """One table, as it is declared, and what became of it."""

    table: str
    outcome: Outcome
    detail: str = ""

    @property
    def holds(self) -> bool:
        return self.outcome not in (Outcome.MISSING, Outcome.BUSY, Outcome.REFUSED)


@dataclass(frozen=True)
class Installed:
    """What an installation did. `owner` is whom the evidence belongs to; `notices` are the server's words."""

    owner: str
    drops: bool  # whether DROP and disarming are recorded
    tables: tuple[Guarded, ...]
    notices: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        return all(table.holds for table in self.tables)


class Refused(Exception):
    """The recorder could not be installed, and nothing of it is left behind. The text says what to do."""


def install(
    link: Link,
    wishes: Sequence[Wish],
    *,
    reader: str | None,
    wait: Callable[[float], object],
    say: Callable[[str], object],
) -> Installed:
    """`wait` pauses for that many seconds. Raises Unseeable without a connection, Refused, and psycopg.Error
    when the connection is lost."""
    connection = link.open()
    notices: list[str] = []
    connection.add_notice_handler(lambda notice: _keep(notice, notices))
    trying = Trying(connection, wait, say)
    try:
        trying.run(lambda: _make(connection), "the evidence")
        owner = trying.run(lambda: value(connection, "SELECT flight_recorder.hand_over()"), "the evidence")
        drops = trying.run(lambda: value(connection, "SELECT flight_recorder.watch_drops()"), "DROP")
        if reader:
            trying.run(lambda: _grant(connection, reader), "the evidence")
    except psycopg.Error as error:
        if is_lost(connection):
            raise
        raise Refused(explained(error)) from error
    tables = tuple(_guard(connection, wish, trying) for wish in wishes)
    return Installed(str(owner), bool(drops), tables, tuple(notices))


def resolved(connection: psycopg.Connection, table: TableName) -> str | None:
    """A declared table as PostgreSQL spells it; None where there is none."""
    names = {"exact": spelled(table, exact=True), "folded": spelled(table)}
    row = connection.execute(queries()["resolve"].text, names).fetchone()
    return None if row is None else row[0]


def explained(error: psycopg.Error) -> str:
    """The server's words, and what to do where that is known."""
    said = unseen(error)[1]
    remedy = _REMEDIES.get(error.sqlstate or "")
    return f"{said}; {remedy}" if remedy else said


@dataclass(frozen=True)
class Trying:
    """Runs something in a transaction that gives up on a lock quickly, again and again, and not for ever."""

    connection: psycopg.Connection
    wait: Callable[[float], object]
    say: Callable[[str], object]

    def run(self, work: Callable[[], _T], what: str) -> _T:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with self.connection.transaction():
                    self.connection.execute(f"SET LOCAL lock_timeout = {LOCK_MILLISECONDS}")
                    return work()
            except psycopg.Error as error:
                if error.sqlstate not in BUSY or attempt == ATTEMPTS:
                    raise
                if attempt == 1 or attempt % 10 == 0:
                    self.say(f"{what}: somebody holds its lock; tried {attempt} of {ATTEMPTS} times")
            self.wait(PAUSE_SECONDS)
        raise AssertionError("the last attempt returns or raises")


def _make(connection: psycopg.Connection) -> None:
    """Run the frozen SQL, unless all that it makes is there: it would lock evidence that is being written."""
    named = {"functions": functions(), "relations": relations()}
    if connection.execute(queries()["missing"].text, named).fetchone() is not None:
        connection.execute(recorder_sql().encode())


def _grant(connection: psycopg.Connection, reader: str) -> None:
    connection.execute(queries()["become_owner"].text)
    connection.execute(granting(reader))


def _guard(connection: psycopg.Connection, wish: Wish, trying: Trying) -> Guarded:
    declared = wish.table.declared
    try:
        name = resolved(connection, wish.table)
        if name is None:
            return Guarded(
                declared, Outcome.MISSING, "there is no such table: create it, or correct its name"
            )
        changed = trying.run(lambda: value(connection, guarding(wish, name)), declared)
    except psycopg.Error as error:
        if is_lost(connection):
            raise
        return Guarded(
            declared, Outcome.BUSY if error.sqlstate in BUSY else Outcome.REFUSED, explained(error)
        )
    trying.say(f"{declared}: {'guarded' if changed else 'guarded already'}")
    return Guarded(declared, Outcome.GUARDED if changed else Outcome.ALREADY)


def value(
    connection: psycopg.Connection, statement: str | Composed, given: Mapping[str, object] | None = None
) -> Any:
    """The one value that a statement returns."""
    row = connection.execute(
        statement.encode() if isinstance(statement, str) else statement, given
    ).fetchone()
    return None if row is None else row[0]


def _keep(notice: psycopg.errors.Diagnostic, notices: list[str]) -> None:
    """What the server warns of; that something exists already is no news."""
    if notice.severity_nonlocalized == "WARNING" and notice.message_primary:
        notices.append("; ".join(filter(None, (notice.message_primary, notice.message_hint))))
