"""The ledger of heals in the guarded database: whether it can be kept, what it holds, who may write it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from ..core.seen import Attempt
from ..core.words import HealOutcome
from ..probe.bounded import Bounded, Late
from ..probe.link import CONNECT_SECONDS, Link, Unseeable, is_lost, unseen
from ..probe.rights import Right, Standing
from .statements import queries

LEDGER_SQL = Path(__file__).with_name("ledger_v1.sql")
TABLE = "alpimonitor_watchdog.heal_attempt"
_STATEMENT_SECONDS = 2.0


@dataclass(frozen=True)
class Gap:
    """Why there is no ledger to keep, and what an operator can do about it."""

    said: str
    remedy: str


@dataclass(frozen=True)
class Kept:
    """What was found of the ledger. `attempts` is None when it cannot be read; `gap` says why it is not kept.

    Without a gap and without attempts it is there, and could not be read this time: `failed` says why.
    """

    attempts: tuple[Attempt, ...] | None = None
    gap: Gap | None = None
    failed: str = ""


@dataclass(frozen=True)
class _Rights:
    """The row of the statement `ledger`."""

    role: str
    lacking: list[str]


@dataclass(frozen=True)
class _Row:
    """One row of the statement `attempts`."""

    id: str
    age: float
    outcome: str | None
    ours: bool
    ended: float | None


def grants(role: str) -> str:
    """The statements that let a sidecar's role keep the ledger: add to it, end an attempt, delete nothing."""
    name = sql.Identifier(role).as_string()
    return (
        f"GRANT USAGE ON SCHEMA alpimonitor_watchdog TO {name}; "
        f"GRANT SELECT, INSERT, UPDATE (outcome, ended_at) ON {TABLE} TO {name};"
    )


def read(connection: psycopg.Connection, *, sidecar: str, window: float) -> Kept:
    """The attempts of the last `window` seconds. Raises psycopg.Error only when the connection is lost."""
    try:
        gap = _gap(connection)
        if gap is not None:
            return Kept(gap=gap)
        with connection.cursor(row_factory=class_row(_Row)) as cursor:
            rows = cursor.execute(
                queries()["attempts"].text, {"sidecar": sidecar, "window": window}, prepare=True
            ).fetchall()
    except psycopg.Error as error:
        if is_lost(connection):
            raise
        return Kept(failed=unseen(error)[1])
    return Kept(tuple(Attempt(row.id, row.age, _outcome(row.outcome), row.ours, row.ended) for row in rows))


def check_ledger(url: str, *, application_name: str) -> tuple[Right, ...]:
    """What `alpimonitor watchdog check` says of the ledger: one line, or none without a connection.

    Only reads, takes no lock of the registry, ends in a few seconds, never raises.
    """
    link = Link(url, timeout=_STATEMENT_SECONDS, application_name=application_name)
    checking = Bounded(
        lambda: tuple(_checked(link.open())),
        link.sever,
        within=CONNECT_SECONDS + 2 * _STATEMENT_SECONDS,
        name="check-ledger",
    )
    try:
        return checking.run()
    except (Late, Unseeable, psycopg.Error):
        return ()  # the check of the connection says it
    finally:
        checking.stop()
        link.drop()


def _checked(connection: psycopg.Connection) -> Iterator[Right]:
    gap = _gap(connection)
    if gap is None:
        yield Right("heal ledger", Standing.HOLDS, f"{TABLE} can be kept")
    else:
        yield Right(
            "heal ledger",
            Standing.WARNING,
            gap.said,
            costs="each sidecar counts only its own heals: two of them may spend the budget twice",
            remedy=gap.remedy,
        )


def _gap(connection: psycopg.Connection) -> Gap | None:
    with connection.cursor(row_factory=class_row(_Rights)) as cursor:
        found = cursor.execute(queries()["ledger"].text, prepare=True).fetchone()
    if found is None:
        return Gap(
            f"there is no table {TABLE}",
            "let the database's owner make it: `alpimonitor watchdog ledger --role ROLE --apply`, where ROLE "
            "is the sidecar's; for AlpiMonitor `alpimonitor db upgrade` does",
        )
    if found.lacking:
        return Gap(f"{found.role} lacks {', '.join(found.lacking)} of {TABLE}", grants(found.role))
    return None


def _outcome(written: str | None) -> HealOutcome | None:
    if written is None:
        return None
    try:
        return HealOutcome(written)
    except ValueError:
        return HealOutcome.FAILED  # a word of another version; that it ended is what counts
