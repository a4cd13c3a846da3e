"""The incidents, as rows and as the JSON that the web surface serves."""

from __future__ import annotations

import json
import sqlite3
from datetime import datetime
from typing import Any

from ..core.model import Decision, Incident
from ..core.words import OPEN_PHASES, Phase
from .connection import Connection
from .timeline import adopt_suspicion, stamp


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
        }


def write(sqlite: sqlite3.Connection, decision: Decision, incident: Incident, at: datetime) -> None:
    """Insert or update `incident` as `decision` left it, in an open transaction."""
    resolved = any(change.after is Phase.RESOLVED for change in decision.transitions)
    if not resolved and decision.state.phase not in OPEN_PHASES:
        raise AssertionError(f"incident {incident.id} in phase {decision.state.phase}")
    if not sqlite.execute("SELECT 1 FROM incident WHERE id = ?", (incident.id,)).fetchone():
        adopt_suspicion(sqlite, incident.id)
    losses = [{"table": loss.table, "rows": loss.rows, "expected": loss.expected} for loss in incident.losses]
    sqlite.execute(
        _INCIDENT,
        (
            incident.id,
            stamp(incident.opened_at),
            stamp(incident.restored_at) if incident.restored_at else None,
            stamp(at) if resolved else None,
            (Phase.RESOLVED if resolved else decision.state.phase).value,
            json.dumps(incident.symptoms),
            json.dumps(losses),
            incident.repeated,
        ),
    )


def _incident(row: dict[str, Any]) -> dict[str, Any]:
    return row | {
        "symptoms": json.loads(row["symptoms"]),
        "losses": json.loads(row["losses"]),
        "repeated": bool(row["repeated"]),
    }


_TIMELINE = "SELECT at, event, source, detail FROM timeline WHERE incident = ? ORDER BY at, id"

_NOTIFICATIONS = """
SELECT channel, kind, severity, title, body, status, attempts, created_at, tried_at, settled_at, error
FROM outbox WHERE incident = ? ORDER BY id
"""

_HEALS = """
SELECT id, reserved_at, ended_at, outcome, detail FROM heal WHERE incident = ? ORDER BY reserved_at, id
"""

_INCIDENT = """
INSERT INTO incident (id, opened_at, restored_at, resolved_at, phase, symptoms, losses, repeated)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET
    restored_at = excluded.restored_at, resolved_at = excluded.resolved_at, phase = excluded.phase,
    symptoms = excluded.symptoms, losses = excluded.losses, repeated = excluded.repeated
"""
