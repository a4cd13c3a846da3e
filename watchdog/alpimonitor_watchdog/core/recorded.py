"""What the flight recorder says of an observation: kept while it may explain something, and no longer.

Only what takes rows of context tables, or disarms the recorder, is kept whole; of statements that change
values the newest of each table. So a flood of others drives nothing out that a loss is explained by.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .evidence import DESTRUCTIVE, Event, Operation
from .model import State
from .seen import Expectation, Findings, Observation

KEPT_FOR = 600.0  # seconds, where no incident is open
_MOST = 200  # events; beyond it those of one session count as one
_Kept = tuple[Event, float]  # and when it was read


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
    kept = _worth_keeping([*kept, *((event, lived) for event in fresh)], expected)
    if len(kept) > _MOST:
        kept = _fewer(kept, state.whole_lived)
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
    context = _context(expected)
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


def _worth_keeping(events: list[_Kept], expected: Expectation) -> list[_Kept]:
    context = _context(expected)
    newest_update = {event.table: event for event, _ in events if event.operation is Operation.UPDATE}
    return [
        (event, at)
        for event, at in events
        if event.operation is Operation.DISARM
        or (event.table in context and event.operation in DESTRUCTIVE)
        or (event.table in context and newest_update.get(event.table) is event)
    ]


def _fewer(events: list[_Kept], whole_lived: float) -> list[_Kept]:
    """The statements of one session on one table as one, its newest, with the rows of all.

    Those from before the context was last whole stay apart, for they explain nothing. What is too much even
    so goes, first of all what states no reason: that a loss was meant must not be forgotten.
    """
    merged: dict[tuple[object, ...], _Kept] = {}
    for event, at in events:
        of_one = (event.pid, event.backend_start, event.role, event.application_name, event.client_addr)
        key = (*of_one, event.operation, event.table, event.reason, at >= whole_lived)
        before = merged.pop(key, None)  # so that the newest come last
        rows = (event.rows or 0) + ((before[0].rows or 0) if before else 0)
        known = event.rows is not None or (before is not None and before[0].rows is not None)
        merged[key] = (replace(event, rows=rows if known else None), at)
    kept = list(merged.values())
    excess = len(kept) - _MOST
    for reasoned in (False, True):
        going = [item for item in kept if (item[0].reason is not None) is reasoned][: max(0, excess)]
        kept = [item for item in kept if item not in going]
        excess -= len(going)
    return kept


def _context(expected: Expectation) -> frozenset[str]:
    return frozenset(table.name for table in expected.tables if table.context)
