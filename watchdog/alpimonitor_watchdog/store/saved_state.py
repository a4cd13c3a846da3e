"""core.model.State in the store, and what begins in its place when there is none that can be read."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime

from pydantic import TypeAdapter, ValidationError

from ..core.model import HealRecord, State
from ..core.words import HealOutcome
from .heals import HealRow
from .timeline import stamp

_STATE = TypeAdapter(State)


def readable(body: str | bytes) -> State | None:
    """The state that `body` holds; None when this version cannot read it."""
    try:
        return _STATE.validate_json(body)
    except ValidationError:
        return None


def write(sqlite: sqlite3.Connection, state: State, at: datetime) -> None:
    """Save `state`, in an open transaction."""
    sqlite.execute(
        """
        INSERT INTO state (one, saved_at, body) VALUES (1, ?, ?)
        ON CONFLICT (one) DO UPDATE SET saved_at = excluded.saved_at, body = excluded.body
        """,
        (stamp(at), _STATE.dump_json(state).decode()),
    )


def fresh(heals: Sequence[HealRow], now: datetime) -> State:
    """A state that knows of nothing but earlier heals, which count in the budget as they did.

    Its `lived` is 0, so they lie before it. One without an outcome counts as failed.
    """
    records = tuple(
        HealRecord(
            lived=-_age(heal.reserved_at, now),
            ended_lived=-_age(heal.ended_at or heal.reserved_at, now),
            succeeded=heal.outcome is HealOutcome.SUCCEEDED,
        )
        for heal in sorted(heals, key=lambda heal: heal.reserved_at)
    )
    return State(heals=records, series=len(records))


def _age(at: datetime, now: datetime) -> float:
    """Seconds since `at`; none when the clock was set back since."""
    return max(0.0, (now - at).total_seconds())
