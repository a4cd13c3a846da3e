"""A view as JSON: what /api/state serves and the status page shows."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any
from urllib.parse import urlsplit

from pydantic import TypeAdapter

from ..core.good import expected_now
from ..core.guards import circuit_open, heals_spent
from ..core.seen import HealthSeen, PlanSeen, TableExpected, TableSeen
from ..core.verdict import Verdict
from ..store.timeline import stamp
from .sentences import how_it_stands, label, seconds_to_heal, tone, what_to_do
from .view import View

_VERDICT = TypeAdapter(Verdict)  # the same form in which the store keeps it


def as_json(view: View, age: float, *, stale_after: float, version: str) -> dict[str, Any]:
    """All that one tick knows, in snake_case values; times as UTC text, durations in seconds.

    `age`: seconds since the tick; beyond `stale_after` the answer says that the loop is dead.
    """
    act, todo = what_to_do(view)
    return {
        "at": stamp(view.at),
        "age_seconds": round(age, 1),
        "stale": age > stale_after,
        "version": version,
        "database": view.database,
        "phase": view.state.phase.value,
        "label": label(view),
        "tone": tone(view),
        "sentence": how_it_stands(view),
        "act": act,
        "must_do": todo,
        "healing": {
            "mode": view.policy.mode.value,
            "healer": view.policy.healer,
            "refusal": view.refusal,
            "obstacle": view.obstacle,
            "seconds_until_heal": round(seconds_to_heal(view), 1),
            "circuit_open": circuit_open(view.state, view.policy),
            "circuit": _circuit(view),
            "heals_in_window": heals_spent(view.state, view.policy) + (view.state.heal is not None),
            "budget": view.policy.heal_budget,
            "window_seconds": view.policy.heal_window,
            **_brakes(view),
        },
        "leader": _leader(view),
        "last_good": stamp(view.state.good.at) if view.state.good else None,
        "incident": _incident(view),
        "findings": [
            {"symptom": finding.symptom.value, "detail": finding.detail} for finding in view.findings.found
        ],
        "undetermined": sorted(view.findings.undetermined),
        "look": _look(view),
        "recorder": _recorder(view),
        "tables": _tables(view),
        "health": _health(view),
        "ingestion": _ingestion(view),
        "watched_seconds": round(view.lived),
        "warnings": list(view.warnings),
        "store_error": view.store_error,
    }


def _incident(view: View) -> dict[str, Any] | None:
    incident = view.state.incident
    if incident is None:
        return None
    return {
        "id": incident.id,
        "key": incident.key,
        "opened_at": stamp(incident.opened_at),
        "restored_at": stamp(incident.restored_at) if incident.restored_at else None,
        "symptoms": [symptom.value for symptom in incident.symptoms],
        "losses": [
            {"table": loss.table, "rows": loss.rows, "expected": loss.expected} for loss in incident.losses
        ],
        "repeated": incident.repeated,
        "paged": incident.paged,
        "acknowledged": (
            {"at": stamp(incident.acknowledged_at), "by": incident.acknowledged_by}
            if incident.acknowledged_at
            else None
        ),
        "plan": plan_as_json(view.state.plan) if view.state.plan else None,
        "verdict": _VERDICT.dump_python(incident.verdict, mode="json") if incident.verdict else None,
    }


def _recorder(view: View) -> dict[str, Any] | None:
    """How the flight recorder stands; null when it could not be asked."""
    recorder = view.observation.database.recorder if view.observation else None
    if recorder is None:
        return None
    return {
        "installed": recorder.installed,
        "armed": recorder.armed,
        "readable": recorder.readable,
        "unarmed": list(recorder.unarmed),
        "drops": recorder.drops,
    }


def _brakes(view: View) -> dict[str, Any]:
    """Who holds or pauses healing, and the maintenance window that is open; null: nobody, none."""
    hold, pause = view.state.hold, view.state.pause
    paused = pause is not None and pause.holds(view.at, view.lived)
    window = next((window for window in view.policy.maintenance if window.holds(view.at)), None)
    return {
        "hold": {"at": stamp(hold.at), "by": hold.by, "reason": hold.reason} if hold else None,
        "pause": (
            {"until": stamp(pause.until), "by": pause.by, "reason": pause.reason}
            if pause and paused
            else None
        ),
        "maintenance": {"until": stamp(window.end), "reason": window.reason} if window else None,
    }


def _circuit(view: View) -> str:
    """closed, open, half-open (one heal may try) or trial (one has tried, and has to last)."""
    circuit = view.state.circuit
    if circuit is None:
        return "closed"
    if circuit.tried:
        return "trial"
    return "open" if circuit_open(view.state, view.policy) else "half-open"


def _leader(view: View) -> dict[str, Any] | None:
    """Who of several sidecars heals; null before the first look."""
    leader = view.observation.leader if view.observation else None
    if leader is None:
        return None
    recorded = None if leader.attempts is None else len(leader.attempts)
    return {"leads": leader.leads, "other_pid": leader.other, "heals_recorded": recorded}


def plan_as_json(plan: PlanSeen) -> dict[str, Any]:
    """Rows by table; `failed` says why there is no plan."""
    return {
        "inserts": dict(plan.inserts),
        "updates": dict(plan.updates),
        "deletes": dict(plan.deletes),
        "failed": plan.failed,
    }


def _look(view: View) -> dict[str, Any] | None:
    if view.observation is None:
        return None
    database = view.observation.database
    return {
        "at": stamp(view.observation.at),
        "seen": database.unseen is None,
        "unseen": database.unseen,
        "detail": database.detail,
        "milliseconds": round(database.duration * 1000, 2),
        "revision": database.revision,
        "identity": asdict(database.identity) if database.identity else None,
    }


def _tables(view: View) -> list[dict[str, Any]]:
    """In the order of their declaration, with what is expected since the last good state.

    `condition`: ok, empty, short, gone or unseen.
    """
    database = view.observation.database if view.observation else None
    seen: dict[str, TableSeen] = {}
    if database is not None and database.unseen is None:
        seen = {table.name: table for table in database.tables}
    return [
        _table(
            expected_now(declared, view.state.good),
            seen.get(declared.name),
            database.unseen if database else None,
        )
        for declared in view.expectation.tables
    ]


def _table(declared: TableExpected, seen: TableSeen | None, database_unseen: str | None) -> dict[str, Any]:
    table: dict[str, Any] = {
        "name": declared.name,
        "kind": "context" if declared.context else "operational",
        "expected": declared.expected,
        "floor": declared.floor,
        "rows": None,
        "capped": False,
        "condition": "unseen",
        "detail": database_unseen or "",
    }
    if seen is None:
        return table
    if not seen.exists:
        return table | {"condition": "gone"}
    if seen.unseen is not None or seen.rows is None:
        holder = f" by pid {seen.locked_by}" if seen.locked_by else ""
        return table | {"detail": f"{seen.unseen or 'not counted'}{holder}"}
    short = seen.rows < declared.floor
    condition = "empty" if short and seen.rows == 0 else "short" if short else "ok"
    return table | {"rows": seen.rows, "capped": seen.capped, "condition": condition, "detail": seen.detail}


def _health(view: View) -> list[dict[str, Any]]:
    outside = view.observation.outside if view.observation else None
    return [
        {"url": _shown(each), "ok": each.ok, "detail": each.detail, "context_empty": each.context_empty}
        for each in (outside.health if outside else ())
    ]


def _shown(health: HealthSeen) -> str:
    """The address without user, password and query."""
    parts = urlsplit(health.url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _ingestion(view: View) -> dict[str, Any] | None:
    """None when ingestion is not watched; null figures when its last run is not known."""
    if view.expectation.stations is None:
        return None
    outside = view.observation.outside if view.observation else None
    seen = outside.ingestion if outside else None
    return {
        "stations_expected": view.expectation.stations,
        "stations_seen": seen.stations_seen if seen else None,
        "started_at": stamp(seen.started_at) if seen and seen.started_at else None,
        "last_success_at": stamp(seen.last_success_at) if seen and seen.last_success_at else None,
    }
