"""What the tests of the sidecar's store put into it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path

from alpimonitor_watchdog.core.messages import Message
from alpimonitor_watchdog.core.model import Decision, Incident, StartHeal, State, Transition
from alpimonitor_watchdog.core.seen import Findings, Loss
from alpimonitor_watchdog.core.words import Kind, Phase, Reason, Symptom, Tag
from alpimonitor_watchdog.store import Outgoing

AT = datetime(2026, 4, 21, 12, 10, tzinfo=UTC)
CHANNELS = {"ops": frozenset({Tag.NOTIFY}), "pager": frozenset({Tag.NOTIFY, Tag.PAGE})}
INCIDENT = Incident(
    id="20260421T121000Z-1",
    opened_at=AT,
    opened_lived=5.0,
    symptoms=(Symptom.CONTEXT_EMPTY,),
    losses=(Loss("station", 0, 7), Loss("glacier", None, 2)),
)
OPENED = Outgoing(INCIDENT.id, Kind.OPENED, frozenset({Tag.NOTIFY}), Message("7 rows lost", "Nothing to do."))
RESOLVED = replace(OPENED, kind=Kind.RESOLVED, message=Message("resolved", "Nothing to do."))


def opening(*effects: StartHeal, phase: Phase = Phase.OPEN) -> Decision:
    moves = [Transition(Phase.HEALTHY, Phase.OPEN, Reason.LOSS_CONFIRMED, "station 0 of 7")]
    if phase is Phase.HEALING:
        moves.append(Transition(Phase.OPEN, Phase.HEALING, Reason.GUARDS_HOLD))
    state = State(phase=phase, lived=5.0, incident=INCIDENT, next_id=2)
    return Decision(state, Findings(), tuple(moves), effects, incident=INCIDENT)


def resolving() -> Decision:
    move = Transition(Phase.VERIFYING, Phase.RESOLVED, Reason.INGESTION_COMPLETE)
    restored = replace(INCIDENT, restored_at=AT + timedelta(seconds=9))
    return Decision(State(phase=Phase.RESOLVED, next_id=2), Findings(), (move,), incident=restored)


# ---- a store as version 1 left it ----

V1_STATE = (
    '{"phase":"open","lived":1234.5,"phase_lived":1230.0,"streaks":[],"clear_probes":0,"incident":{"id":'
    '"20260421T121000Z-1","opened_at":"2026-04-21T12:10:00Z","opened_lived":5.0,"symptoms":["context_empty"],'
    '"losses":[{"table":"station","rows":0,"expected":7}],"repeated":false,"pages":true,"refused":'
    '"backing_off","refusals_notified":[],"paged":false,"reminded_lived":0.0,"rows_back":false,'
    '"restored_at":null,"restored_lived":null,"proof_since":null,"known_run":null},"plan":null,'
    '"plan_number":0,"planning":false,"planned_for":[],"planned_lived":0.0,"heal":null,"heals":[{"lived":1200.0,'
    '"ended_lived":1201.0,"succeeded":true,"undone":true}],"series":1,"next_id":2,"next_heal":2}'
)

_V1_ROWS = """
INSERT INTO incident VALUES ('20260421T121000Z-1', '2026-04-21T12:10:00.000Z', NULL, NULL, 'open',
    '["context_empty"]', '[{"table": "station", "rows": 0, "expected": 7}]', 0);
INSERT INTO timeline (incident, at, event, source, detail)
    VALUES ('20260421T121000Z-1', '2026-04-21T12:10:00.000Z', 'open', 'decision', 'loss_confirmed');
INSERT INTO outbox (key, incident, channel, kind, severity, title, body, created_at, status, attempts)
VALUES
    ('k1', '20260421T121000Z-1', 'ops', 'opened', 'warning', 'lost', 'Act.', '2026-04-21T12:10:00.000Z',
    'delivered', 1),
    ('k2', '20260421T121000Z-1', 'pager', 'opened', 'warning', 'lost', 'Act.', '2026-04-21T12:10:00.000Z',
    'queued', 3);
INSERT INTO heal VALUES ('h1', '20260421T121000Z-1', '2026-04-21T12:09:25.000Z', '2026-04-21T12:09:26.000Z',
    'succeeded', 'exit code 0');
"""


def store_of_version_1(directory: Path) -> Path:
    """The path of a store in which an incident is open, one notification undelivered, one heal done."""
    directory.mkdir(mode=0o700, exist_ok=True)
    path = directory / "watchdog.sqlite"
    script = resources.files("alpimonitor_watchdog.store").joinpath("v1.sql").read_text()
    with closing(sqlite3.connect(path, isolation_level=None)) as sqlite:
        sqlite.execute("PRAGMA journal_mode = WAL")
        sqlite.executescript(f"{script};{_V1_ROWS};PRAGMA user_version = 1")
        sqlite.execute("INSERT INTO state VALUES (1, '2026-04-21T12:10:00.000Z', ?)", (V1_STATE,))
    path.chmod(0o600)
    return path
