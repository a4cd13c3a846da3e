"""The incidents, as rows and as the JSON that the web surface serves."""

from __future__ import annotations

import json
import sqlite3
from datetime import datetime
from typing import Any, NamedTuple

from pydantic import TypeAdapter

from ..core.model import Decision, Incident
from ..core.verdict import Verdict
from ..core.words import OPEN_PHASES, Phase
from . import evidence
from .connection import Connection
from .timeline import adopt_suspicion, stamp

_VERDICT = TypeAdapter(Verdict)


class Row(NamedTuple):
    """An incident in the order of `_INCIDENT`."""

    id: str
    opened_at: str
    restored_at: str | None
    resolved_at: str | None
    phase: str
    symptoms: str
    losses: str
    repeated: bool
    key: str
    acknowledged_at: str | None
    acknowledged_by: str | None
    verdict: str | None


def newest(connection: Connection, limit: int) -> list[dict[str, Any]]:
    rows = connection.rows("SELECT * FROM incident ORDER BY opened_at DESC, id DESC LIMIT ?", limit)
    return [_incident(row) for row in rows]


def one(connection: Connection, id: str) -> dict[str, Any] | None:
    with connection.lock:
        rows = connection.rows("SELECT * FROM incident WHERE id = ?", id)
        if not rows:
            return None
        return _incident(rows[0]) | {
            "timeline": connection.rows(_TIMELINE, id),
            "notifications": connection.rows(_NOTIFICATIONS, id),
            "heals": connection.rows(_HEALS, id),
            "evidence": evidence.tally(connection, id),
        }


def events(connection: Connection, limit: int) -> list[dict[str, Any]]:
    """The newest events of all, those outside any incident included."""
    return connection.rows(_EVENTS, limit)


def as_row(decision: Decision, incident: Incident, at: datetime) -> Row:
    """`incident` as `decision` left it, to be written now or later."""
    resolved = any(change.after is Phase.RESOLVED for change in decision.transitions)
    if not resolved and decision.state.phase not in OPEN_PHASES:
        raise AssertionError(f"incident {incident.id} in phase {decision.state.phase}")
    losses = [{"table": loss.table, "rows": loss.rows, "expected": loss.expected} for loss in incident.losses]
    return Row(
        incident.id,
        stamp(incident.opened_at),
        stamp(incident.restored_at) if incident.restored_at else None,
        stamp(at) if resolved else None,
        (Phase.RESOLVED if resolved else decision.state.phase).value,
        json.dumps(incident.symptoms),
        json.dumps(losses),
        incident.repeated,
        incident.key,
        stamp(incident.acknowledged_at) if incident.acknowledged_at else None,
        incident.acknowledged_by or None,
        _VERDICT.dump_json(incident.verdict).decode() if incident.verdict else None,
    )


def write(sqlite: sqlite3.Connection, row: Row) -> None:
    """Insert or update an incident, in an open transaction."""
    if not sqlite.execute("SELECT 1 FROM incident WHERE id = ?", (row.id,)).fetchone():
        adopt_suspicion(sqlite, row.id)
    sqlite.execute(_INCIDENT, row)


def _incident(row: dict[str, Any]) -> dict[str, Any]:
    return row | {
        "symptoms": json.loads(row["symptoms"]),
        "losses": json.loads(row["losses"]),
        "repeated": bool(row["repeated"]),
        "verdict": json.loads(row["verdict"]) if row["verdict"] else None,
    }


_TIMELINE = "SELECT at, event, source, detail FROM timeline WHERE incident = ? ORDER BY at, id"

_EVENTS = "SELECT incident, at, event, source, detail FROM timeline ORDER BY id DESC LIMIT ?"

_NOTIFICATIONS = """
SELECT channel, kind, severity, title, body, status, attempts, created_at, tried_at, settled_at, error
FROM outbox WHERE incident = ? ORDER BY id
"""

_HEALS = """
SELECT id, reserved_at, ended_at, outcome, detail FROM heal WHERE incident = ? ORDER BY reserved_at, id
"""

_INCIDENT = """
INSERT INTO incident (
    id, opened_at, restored_at, resolved_at, phase, symptoms, losses, repeated, key,
    acknowledged_at, acknowledged_by, verdict
)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET
    restored_at = excluded.restored_at, resolved_at = excluded.resolved_at, phase = excluded.phase,
    symptoms = excluded.symptoms, losses = excluded.losses, repeated = excluded.repeated, key = excluded.key,
    acknowledged_at = excluded.acknowledged_at, acknowledged_by = excluded.acknowledged_by,
    verdict = excluded.verdict
"""
