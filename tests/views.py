"""Views of a sidecar in each phase, as the loop would publish them, for the tests of its web surface."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from alpimonitor_watchdog.core.brakes import Hold, Pause, Window
from alpimonitor_watchdog.core.model import (
    Decision,
    Heal,
    Incident,
    Policy,
    StartHeal,
    State,
    Streak,
    Transition,
)
from alpimonitor_watchdog.core.seen import (
    DatabaseSeen,
    Expectation,
    Finding,
    Findings,
    HealthSeen,
    IngestionSeen,
    Loss,
    Observation,
    OutsideSeen,
    PlanSeen,
    TableExpected,
    TableSeen,
)
from alpimonitor_watchdog.core.words import Phase, Reason, Symptom, Unseen
from alpimonitor_watchdog.web.view import View

AT = datetime(2026, 4, 21, 12, 10, tzinfo=UTC)
CONTEXT = {
    "catchment": 1,
    "station": 7,
    "sensor": 14,
    "threshold": 7,
    "glacier": 2,
    "station_glacier": 6,
    "withdrawal": 2,
}
EXPECTATION = Expectation(
    tables=(
        *(TableExpected(name, context=True, floor=rows, expected=rows) for name, rows in CONTEXT.items()),
        TableExpected("measurement", context=False, floor=0, expected=0),
    ),
    stations=4,
    health_watched=True,
)
LOSSES = tuple(Loss(name, 0, rows) for name, rows in CONTEXT.items())
INCIDENT = Incident(
    id="20260421T121000Z-1",
    opened_at=AT,
    opened_lived=100.0,
    symptoms=(Symptom.CONTEXT_EMPTY,),
    losses=LOSSES,
)
EMPTY = Findings((Finding(Symptom.CONTEXT_EMPTY, "7 context tables are empty", LOSSES),))
PLAN = PlanSeen(inserts=tuple(CONTEXT.items()))
STATIONS_URL = "http://user:sesame@127.0.0.1:8000/api/v1/stations?key=sesame"


def observation(at: datetime = AT, **changes: int | None) -> Observation:
    """All rows there, except as `changes` say by table; None: the table could not be counted."""
    rows: dict[str, int | None] = {**CONTEXT, "measurement": 10000, **changes}
    tables = tuple(
        TableSeen(name, rows=count, capped=name == "measurement")
        if count is not None
        else TableSeen(name, unseen=Unseen.LOCKED, locked_by=4711)
        for name, count in rows.items()
    )
    return Observation(
        at=at,
        elapsed=1.0,
        database=DatabaseSeen(tables=tables, revision="0001", name="hydro", duration=0.0021),
        outside=OutsideSeen(
            age=0.4,
            health=(HealthSeen(STATIONS_URL, ok=True),),
            ingestion=IngestionSeen(4, at - timedelta(minutes=3), at - timedelta(minutes=3)),
        ),
    )


HEALTHY = View(
    at=AT,
    lived=7200.0,
    state=State(lived=7200.0),
    observation=observation(),
    findings=Findings(),
    refusal=None,
    expectation=EXPECTATION,
    policy=Policy(),
    database="hydro@db.example:5432 (production)",
)

WIPED = dict.fromkeys(CONTEXT, 0)


def _wiped(at: datetime) -> Observation:
    seen = observation(at, **WIPED)
    stations = HealthSeen(STATIONS_URL, ok=False, detail="503 CONTEXT_EMPTY", context_empty=True)
    outside = OutsideSeen(age=0.4, health=(stations,), ingestion=IngestionSeen(0, at - timedelta(minutes=1)))
    return replace(seen, outside=outside)


OPEN = replace(
    HEALTHY,
    lived=103.0,
    state=State(
        phase=Phase.OPEN,
        lived=103.0,
        phase_lived=100.0,
        streaks=(Streak(Symptom.CONTEXT_EMPTY, AT, probes=5, lasted=4.0),),
        incident=INCIDENT,
        plan=PLAN,
    ),
    observation=_wiped(AT),
    findings=EMPTY,
    refusal=Reason.NOT_PROVEN_YET,
)
BRAKED = replace(
    OPEN,
    state=replace(
        OPEN.state,
        hold=Hold("anna@ops1", "looking first", AT),
        pause=Pause("ben@ops2", "loading by hand", AT + timedelta(hours=1), OPEN.lived + 3600.0),
        incident=replace(INCIDENT, acknowledged_at=AT, acknowledged_by="anna@ops1"),
    ),
    policy=Policy(maintenance=(Window("new disks", AT, AT + timedelta(hours=2)),)),
    refusal=Reason.HELD,
)
REFUSED = replace(OPEN, refusal=Reason.CIRCUIT_OPEN, obstacle=Reason.CIRCUIT_OPEN)
HEALING = replace(
    OPEN,
    state=replace(OPEN.state, phase=Phase.HEALING, heal=Heal("h1", AT, 103.0)),
    refusal=Reason.CHANGE_IN_PROGRESS,
)
RESTORED = replace(
    INCIDENT,
    restored_at=AT + timedelta(seconds=12),
    restored_lived=112.0,
    proof_since=AT + timedelta(seconds=11),
)
VERIFYING = replace(
    HEALTHY,
    lived=115.0,
    state=State(phase=Phase.VERIFYING, lived=115.0, phase_lived=112.0, incident=RESTORED),
)
ESCALATED = replace(VERIFYING, state=replace(VERIFYING.state, phase=Phase.ESCALATED))
RESOLVED = replace(HEALTHY, state=State(phase=Phase.RESOLVED, lived=130.0))
SUSPECTED = replace(
    HEALTHY,
    state=State(phase=Phase.SUSPECTED, lived=50.0),
    findings=Findings((Finding(Symptom.API_UNHEALTHY, "/stations answers 500"),)),
)
UNREACHABLE = replace(
    HEALTHY,
    observation=replace(
        observation(), database=DatabaseSeen(unseen=Unseen.UNREACHABLE, detail="connection refused")
    ),
)

OPENING = Decision(
    OPEN.state,
    EMPTY,
    transitions=(Transition(Phase.HEALTHY, Phase.OPEN, Reason.LOSS_CONFIRMED, "7 context tables are empty"),),
    refusal=Reason.NOT_PROVEN_YET,
    refusal_is_new=True,
    incident=INCIDENT,
)
STARTING_HEAL = Decision(
    HEALING.state,
    EMPTY,
    transitions=(Transition(Phase.OPEN, Phase.HEALING, Reason.GUARDS_HOLD, "plan: +6 station_glacier"),),
    effects=(StartHeal("h1"),),
    incident=INCIDENT,
)
RESTORING = Decision(
    VERIFYING.state,
    Findings(),
    transitions=(Transition(Phase.HEALING, Phase.VERIFYING, Reason.CONTEXT_RESTORED),),
    incident=RESTORED,
)
RESOLVING = Decision(
    RESOLVED.state,
    Findings(),
    transitions=(Transition(Phase.VERIFYING, Phase.RESOLVED, Reason.INGESTION_COMPLETE),),
    incident=RESTORED,
)
