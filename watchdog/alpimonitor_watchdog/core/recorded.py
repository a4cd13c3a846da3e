"""What the flight recorder says of an observation: kept while it may explain something, and no longer."""

from __future__ import annotations

from typing import Any

from .evidence import DESTRUCTIVE, Event, Operation
from .model import State
from .seen import Expectation, Findings, Observation

KEPT_FOR = 600.0  # seconds, where no incident is open
_MOST = 200  # events: of a flood the newest


def follow(
    state: State, seen: Observation, findings: Findings, expected: Expectation, lived: float
) -> dict[str, Any]:
    """What changes in the state: the events kept, when the last destructive one came, and the cursor."""
    recorder = seen.database.recorder
    if seen.database.unseen is not None or recorder is None:
        return {}
    known = {(event.id, event.transaction) for event in state.events}
    fresh = [event for event in recorder.events if (event.id, event.transaction) not in known]
    kept = list(zip(state.events, state.events_lived, strict=True))
    if state.incident is None and not findings.context_lost:
        kept = [(event, at) for event, at in kept if at >= min(lived - KEPT_FOR, state.whole_lived)]
    kept = [*kept, *((event, lived) for event in fresh)][-_MOST:]
    destroyed = destructive(tuple(fresh), expected)
    changes: dict[str, Any] = {
        "events": tuple(event for event, _ in kept),
        "events_lived": tuple(at for _, at in kept),
        "destroyed_lived": lived if destroyed else state.destroyed_lived,
    }
    if recorder.cursor is not None:
        changes["cursor"] = recorder.cursor
    return changes


def destructive(events: tuple[Event, ...], expected: Expectation) -> bool:
    """Whether any of these took rows of a context table."""
    context = {table.name for table in expected.tables if table.context}
    return any(event.operation in DESTRUCTIVE and event.table in context for event in events)


def since_whole(state: State) -> tuple[Event, ...]:
    """What was read since the context was last seen as it was good: what may explain that it no longer is.

    By when it was read: a transaction may have run its statement long before it was committed.
    """
    both = zip(state.events, state.events_lived, strict=True)
    return tuple(event for event, at in both if at >= state.whole_lived)


def updated(events: tuple[Event, ...]) -> frozenset[str]:
    """The tables of which a recorded statement changed values: other values there are explained."""
    return frozenset(event.table for event in events if event.operation is Operation.UPDATE)
