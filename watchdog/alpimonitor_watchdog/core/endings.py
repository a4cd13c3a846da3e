"""How an incident ends: with a proof, or with a person."""

from __future__ import annotations

from datetime import datetime

from .passing import next_episode
from .step import CLEAR_PROBES, Step, details
from .words import Kind, Phase, Reason


def ingestion_proven(step: Step) -> bool:
    """A run of ingestion that started after the heal saw every station, and nothing is wrong."""
    if not step.findings.context_whole or step.findings.wrong:
        return False
    if step.expected.stations is None:
        return step.state.clear_probes >= CLEAR_PROBES
    ingestion = step.seen.outside.ingestion if step.seen.outside else None
    started, since = last_run(step), step.incident.proof_since
    return (
        ingestion is not None
        and started is not None
        and since is not None
        and started >= since
        and started != step.incident.known_run
        and ingestion.stations_seen >= step.expected.stations
    )


def resolved_because(step: Step) -> Reason:
    return Reason.SYMPTOMS_CLEARED if step.expected.stations is None else Reason.INGESTION_COMPLETE


def last_run(step: Step) -> datetime | None:
    """When the last finished run of ingestion started, by the clock of whoever ran it."""
    ingestion = step.seen.outside.ingestion if step.seen.outside else None
    return ingestion.started_at if ingestion else None


def resolve(step: Step, reason: Reason) -> None:
    step.tell(Kind.RESOLVED, step.audience(), reason)
    step.about = step.incident
    step.move(Phase.RESOLVED, reason)
    by_itself = reason is Reason.SYMPTOMS_CLEARED and step.incident.proof_since is None
    step.set(
        cleared_lived=step.lived if by_itself else None,
        recurrence=step.incident.recurrence,
        episode=next_episode(step.state, step.seen),
        hold=None,
        asked_lived=None,
        incident=None,
        plan=None,
        planning=False,
    )


def escalate(step: Step, reason: Reason) -> None:
    step.move(Phase.ESCALATED, reason, details(step.findings.found))
    step.tell(Kind.ESCALATED, step.loud, reason, details(step.findings.found))
