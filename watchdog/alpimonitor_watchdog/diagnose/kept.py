"""What a sidecar keeps of the database: its last good state, its newest incident. Read, never written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ..core.model import State
from ..core.seen import Loss
from ..core.verdict import Verdict
from ..core.words import OPEN_PHASES, HealOutcome, Phase
from ..store import incidents as stored
from ..store.reading import reading
from ..store.saved_state import readable

UNKNOWN_BEFORE = "what a sidecar saw before"
_VERDICT = TypeAdapter(Verdict)
_NEWEST = 10  # incidents among which one with a verdict is looked for


@dataclass(frozen=True)
class IncidentKept:
    """An incident as the sidecar saved it. `healed`: a heal of it succeeded."""

    id: str
    key: str
    phase: Phase
    opened_at: str
    symptoms: tuple[str, ...]
    losses: tuple[Loss, ...]  # the worst seen
    verdict: Verdict | None
    healed: bool

    @property
    def open(self) -> bool:
        return self.phase in OPEN_PHASES


@dataclass(frozen=True)
class Kept:
    """What is known beforehand. `incident`: the newest with a verdict, else the newest.

    `gap`: why nothing is known, for people.
    """

    state: State | None = None
    incident: IncidentKept | None = None
    gap: str = ""


def read(state_dir: Path) -> Kept:
    """What the sidecar of `state_dir` saved last. Raises StoreError, and NoStore where there is none."""
    with reading(state_dir) as connection:
        bodies = connection.rows("SELECT body FROM state")
        newest = stored.newest(connection, _NEWEST)
        # Another symptom may have opened one since, of which there is nothing to conclude.
        told = next((row for row in newest if row["verdict"] is not None), newest[0] if newest else None)
        incident = stored.one(connection, told["id"]) if told is not None else None
    state = readable(bodies[0]["body"]) if bodies else None
    gap = "" if state is not None else f"{UNKNOWN_BEFORE}: its saved state cannot be read"
    return Kept(state, _incident(incident) if incident else None, gap)


def _incident(row: dict[str, Any]) -> IncidentKept:
    return IncidentKept(
        row["id"],
        row["key"],
        Phase(row["phase"]),
        row["opened_at"],
        tuple(row["symptoms"]),
        tuple(Loss(loss["table"], loss["rows"], loss["expected"]) for loss in row["losses"]),
        _verdict(row["verdict"]),
        any(heal["outcome"] == HealOutcome.SUCCEEDED for heal in row["heals"]),
    )


def _verdict(saved: object) -> Verdict | None:
    try:
        return _VERDICT.validate_python(saved, strict=False) if saved is not None else None
    except ValidationError:
        return None
