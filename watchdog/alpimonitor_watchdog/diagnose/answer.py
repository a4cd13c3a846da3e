"""The look and what the sidecar keeps -> what happened: now, or in the newest incident. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from ..core import recorded
from ..core.evidence import DESTRUCTIVE, Attribution, Event
from ..core.model import State
from ..core.seen import DatabaseSeen, Findings, Loss, Observation
from ..core.symptoms import find
from ..core.verdict import Case, Verdict, What, conclude
from ..core.words import CONTEXT_LOSS, Symptom
from .kept import IncidentKept, Kept
from .target import Target

_JUDGED = CONTEXT_LOSS | {
    Symptom.CONTEXT_UNSEEN,
    Symptom.DATABASE_UNREACHABLE,
    Symptom.IDENTITY_CHANGED,
}


class Of(StrEnum):
    """What the verdict is of."""

    NOW = "now"
    INCIDENT = "incident"  # one that the sidecar keeps, while of now there is nothing to tell


@dataclass(frozen=True)
class Answer:
    """What happened, and what it was concluded of. `verdict` None: nothing is lost."""

    at: datetime
    database: str
    of: Of | None
    verdict: Verdict | None
    beside: Verdict  # of the look itself: circumstances, and what could not be seen
    symptoms: tuple[str, ...]
    losses: tuple[Loss, ...]
    incident: IncidentKept | None
    wrong: bool  # something is, now
    reached: bool
    gap: str  # what the sidecar could not add
    changed: str = ""  # how values differ from what last was good

    @property
    def not_observable(self) -> tuple[str, ...]:
        said = (self.verdict or self.beside).not_observable
        return (*said, self.gap) if self.gap else said


def answered(target: Target, seen: DatabaseSeen, kept: Kept, at: datetime) -> Answer:
    """Conclude, by the look; where nothing is wrong now, or nothing can be told of it, by the incident."""
    state = kept.state or State()
    events = _events(state, seen)
    findings = find(Observation(at, 0.0, seen), target.expected, target.policy, state.good)
    losses = (
        findings.losses if target.declared else tuple(_as_recorded(loss, events) for loss in findings.losses)
    )
    own = conclude(
        Case(
            seen=seen,
            expected=target.expected,
            losses=losses,
            before=state.good.fingerprint if state.good else None,
            after=seen.fingerprint,
            events=events,
            recorder=seen.recorder,
            arming_before=state.good.arming if state.good else None,
        )
    )
    judged = any(finding.symptom in _JUDGED for finding in findings.wrong) or own.what is not What.UNKNOWN
    incident = kept.incident
    known = incident is not None and incident.open and incident.verdict is not None
    of: Of | None
    verdict: Verdict | None
    if judged and not (own.what is What.UNKNOWN and known):
        of, verdict = Of.NOW, own
    else:
        of, verdict = (Of.INCIDENT, incident.verdict) if incident is not None else (None, None)
    now = [
        finding.symptom.value for finding in findings.found if finding.symptom is not Symptom.CONTEXT_CHANGED
    ]
    before = incident.symptoms if incident is not None and of is Of.INCIDENT else ()
    return Answer(
        at=at,
        database=target.place,
        of=of,
        verdict=verdict,
        beside=own,
        symptoms=tuple(dict.fromkeys([*now, *before])),
        losses=losses if of is not Of.INCIDENT or incident is None else incident.losses,
        incident=incident,
        wrong=bool(findings.wrong) or own.what is not What.UNKNOWN,
        reached=seen.unseen is None,
        gap=kept.gap,
        changed=_changed(findings),
    )


def as_json(answer: Answer) -> dict[str, Any]:
    """The answer for programs."""
    verdict = answer.verdict
    said = verdict or answer.beside
    incident = answer.incident
    return {
        "at": answer.at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "database": answer.database,
        "of": answer.of.value if answer.of else None,
        "verdict": verdict.what.value if verdict else None,
        "confidence": verdict.confidence.value if verdict else None,
        "attribution": _session(verdict.attribution) if verdict and verdict.attribution else None,
        "others": [_session(other) for other in verdict.others] if verdict else [],
        "reason": verdict.reason if verdict else None,
        "circumstances": [circumstance.value for circumstance in said.circumstances],
        "evidence": [*said.evidence, *([answer.changed] if answer.changed else [])],
        "not_observable": list(answer.not_observable),
        "symptoms": list(answer.symptoms),
        "losses": [
            {"table": loss.table, "rows": loss.rows, "expected": loss.expected} for loss in answer.losses
        ],
        "incident": None
        if incident is None
        else {
            "id": incident.id,
            "key": incident.key,
            "phase": incident.phase.value,
            "opened_at": incident.opened_at,
            "healed": incident.healed,
        },
    }


def _session(named: Attribution) -> dict[str, Any]:
    return {
        "role": named.role,
        "application_name": named.application_name,
        "client_addr": named.client_addr,
        "pid": named.pid,
        "transaction": named.transaction,
        "statement": named.statement,
        "reason": named.reason,
    }


def _events(state: State, seen: DatabaseSeen) -> tuple[Event, ...]:
    """What was recorded since all was well: what the sidecar has of it, and what it has not read yet."""
    known = {(event.id, event.transaction) for event in state.events}
    fresh = seen.recorder.events if seen.recorder is not None else ()
    unread = (event for event in fresh if (event.id, event.transaction) not in known)
    return (*recorded.since_whole(state), *unread)


def _as_recorded(loss: Loss, events: tuple[Event, ...]) -> Loss:
    """Nobody declared how many rows there have to be: as many as recorded statements found."""
    found = [
        (event.rows or 0) + (event.remaining or 0)
        for event in events
        if event.table == loss.table and event.operation in DESTRUCTIVE
    ]
    return replace(loss, expected=max([loss.expected, *found]))


def _changed(findings: Findings) -> str:
    return next(
        (finding.detail for finding in findings.found if finding.symptom is Symptom.CONTEXT_CHANGED), ""
    )
