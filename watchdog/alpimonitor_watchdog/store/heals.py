"""The heals that were begun: reserved with the decision, ended once."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ..core.model import Incident
from ..core.words import HealOutcome
from .connection import Connection
from .errors import Damaged, StoreError
from .timeline import TimelineItem, stamp, write_timeline

KEPT = timedelta(days=1)  # a heal may count in the budget for so long; windows are shorter

SELECT = "SELECT rowid AS number, id, incident, reserved_at, ended_at, outcome, detail FROM heal NOT INDEXED"


@dataclass(frozen=True)
class HealRow:
    """A heal as the store has it. `outcome` None: it runs, or its end was never recorded."""

    id: str
    incident: str | None
    reserved_at: datetime
    ended_at: datetime | None
    outcome: HealOutcome | None
    detail: str


@dataclass(frozen=True)
class Ended:
    """How a reserved heal ended."""

    id: str
    outcome: HealOutcome
    detail: str
    at: datetime


def heal_from(row: Any) -> HealRow:
    """A row by column name. Raises ValueError or TypeError when it holds what this version never wrote."""
    return HealRow(
        id=str(row["id"]),
        incident=row["incident"],
        reserved_at=datetime.fromisoformat(row["reserved_at"]),
        ended_at=datetime.fromisoformat(row["ended_at"]) if row["ended_at"] else None,
        outcome=HealOutcome(row["outcome"]) if row["outcome"] else None,
        detail=str(row["detail"]),
    )


def recent(connection: Connection, now: datetime) -> list[HealRow]:
    """Those reserved within the last day. Raises StoreError; Damaged when one cannot be read."""
    try:
        heals = [heal_from(row) for row in connection.rows(SELECT)]
        return [heal for heal in heals if heal.reserved_at >= now - KEPT]
    except (ValueError, TypeError) as error:
        raise Damaged("the record of a heal cannot be read") from error


def reserve(sqlite: sqlite3.Connection, id: str, incident: Incident | None, at: datetime) -> None:
    """Note that heal `id` begins, in an open transaction. Raises StoreError when it began before."""
    try:
        sqlite.execute(
            "INSERT INTO heal (id, incident, reserved_at) VALUES (?, ?, ?)",
            (id, incident.id if incident else None, stamp(at)),
        )
    except sqlite3.IntegrityError as error:
        raise StoreError(f"Heal {id} was already reserved: it is not started a second time.") from error


def end(sqlite: sqlite3.Connection, ended: Ended) -> None:
    """Note how a heal ended, in an open transaction; the first outcome stays."""
    changed = sqlite.execute(
        "UPDATE heal SET outcome = ?, detail = ?, ended_at = ? WHERE id = ? AND outcome IS NULL",
        (ended.outcome.value, ended.detail, stamp(ended.at), ended.id),
    )
    if changed.rowcount:
        ((incident,),) = sqlite.execute("SELECT incident FROM heal WHERE id = ?", (ended.id,))
        item = TimelineItem(incident, ended.at, f"heal_{ended.outcome}", "heal", ended.detail)
        write_timeline(sqlite, [item])


def insert(sqlite: sqlite3.Connection, heal: HealRow) -> None:
    """Take over a heal of another store, in an open transaction."""
    sqlite.execute(
        """
        INSERT OR IGNORE INTO heal (id, incident, reserved_at, ended_at, outcome, detail)
        VALUES (?, ?, ?, ?, ?, ?)
        """,
        (
            heal.id,
            heal.incident,
            stamp(heal.reserved_at),
            stamp(heal.ended_at) if heal.ended_at else None,
            heal.outcome.value if heal.outcome else None,
            heal.detail,
        ),
    )
