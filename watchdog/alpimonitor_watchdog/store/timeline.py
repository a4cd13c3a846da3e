"""What happened to an incident, in order, each with the time it happened."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from ..core.model import Decision
from ..core.words import WAITS

ORPHANS_KEPT = 1000  # events of suspicions that never became an incident


@dataclass(frozen=True)
class TimelineItem:
    """One event of an incident, or of a suspicion that is none yet (`incident` None).

    `source`: probe, recorder, decision, heal, notification, operator or api.
    """

    incident: str | None
    at: datetime
    event: str
    source: str
    detail: str = ""


def stamp(at: datetime) -> str:
    """UTC with milliseconds, as the store and its JSON have it: "2026-04-21T12:10:00.000Z"."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def from_decision(decision: Decision, at: datetime) -> list[TimelineItem]:
    """What operators said, the phases entered, with their reasons, and a new refusal."""
    incident = decision.incident.id if decision.incident else None
    items = []
    for answer in decision.answers:
        said = f"{answer.act.by}: {answer.act.reason}" + (
            f" (refused: {answer.refused})" if answer.refused else ""
        )
        items.append(TimelineItem(incident, at, answer.act.kind.value, "operator", said))
    for change in decision.transitions:
        detail = f"{change.reason}: {change.detail}" if change.detail else change.reason.value
        items.append(TimelineItem(incident, at, change.after.value, "decision", detail))
    if decision.refusal is not None and decision.refusal_is_new:
        event = "heal_waits" if decision.refusal in WAITS else "heal_refused"
        items.append(TimelineItem(incident, at, event, "decision", decision.refusal.value))
    return items


def adopt_suspicion(sqlite: sqlite3.Connection, incident: str) -> None:
    """The suspicion that led to `incident` becomes the beginning of its timeline."""
    sqlite.execute(
        """
        UPDATE timeline SET incident = ? WHERE incident IS NULL AND id >
        coalesce((SELECT max(id) FROM timeline WHERE incident IS NULL AND event = 'healthy'), 0)
        """,
        (incident,),
    )


def write_timeline(sqlite: sqlite3.Connection, items: Iterable[TimelineItem]) -> None:
    """Append `items`, in an open transaction; old suspicions make room for new ones."""
    for item in items:
        sqlite.execute(
            "INSERT INTO timeline (incident, at, event, source, detail) VALUES (?, ?, ?, ?, ?)",
            (item.incident, stamp(item.at), item.event, item.source, item.detail),
        )
        if item.incident is None:
            sqlite.execute(
                """
                DELETE FROM timeline WHERE incident IS NULL AND id <=
                (SELECT id FROM timeline WHERE incident IS NULL ORDER BY id DESC LIMIT 1 OFFSET ?)
                """,
                (ORPHANS_KEPT,),
            )
