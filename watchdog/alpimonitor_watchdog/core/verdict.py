"""What happened, concluded from fingerprints and recorded events. Pure.

The first of `What` that matches: what concerns the database as a whole, else table by table, and of several
losses the gravest, which is the first. Recorded statements name the session; physical signals never do.
"""

from __future__ import annotations

from .attribution import (
    Explained,
    attributed,
    explains,
    recorded,
    session_busy,
    sessions,
    stated_reason,
    who,
    who_in_full,
)
from .case import (
    OF_THE_DATABASE,
    Case,
    Circumstance,
    Conclusion,
    Confidence,
    Verdict,
    What,
)
from .database_verdict import not_let_in, of_database
from .evidence import DESTRUCTIVE, Event, Operation
from .sentences import count, listed, moment
from .table_verdict import explained, of_loss, of_rights, of_unseen
from .unobserved import circumstances, unobserved

__all__ = [
    "OF_THE_DATABASE",
    "Case",
    "Circumstance",
    "Confidence",
    "Verdict",
    "What",
    "conclude",
    "explains",
    "session_busy",
    "who",
    "who_in_full",
]

_ORDER = list(What)
_SURENESS = list(Confidence)
_TOLD = 12  # tables


def conclude(case: Case) -> Verdict:
    """The verdict. Never raises; `unknown` where nothing speaks for anything.

    Invariant: only who took rows of what is lost is attributed, and only where the verdict is of tables; it
    is intended only if each statement behind all of the loss states a reason.
    """
    whole = of_database(case)
    if whole is not None:
        return _verdict(case, whole, {}, {})
    by_record = explained(case)
    of_tables = {loss.table: of_loss(case, loss, by_record[loss.table]) for loss in case.losses}
    of_tables = of_unseen(case) | of_tables
    if not of_tables:
        of_tables = of_rights(case)
    if not of_tables:
        nothing = Conclusion(What.UNKNOWN, Confidence.OPEN)
        return _verdict(case, not_let_in(case) or nothing, {}, {})
    found = _gravest(of_tables)
    worst = {table: by_record[table] for table in by_record if of_tables[table].what is found.what}
    return _verdict(case, found, by_record, worst)


def _gravest(of_tables: dict[str, Conclusion]) -> Conclusion:
    """One conclusion of those of the tables; where they differ, each sentence says which is which."""
    kinds = sorted({found.what for found in of_tables.values()}, key=_ORDER.index)
    gravest = [found for found in of_tables.values() if found.what is kinds[0]]
    ordered = sorted(of_tables.items(), key=lambda item: (_ORDER.index(item[1].what), item[0]))
    evidence = [
        f"{sentence} ({found.what.value.replace('_', ' ')})" if len(kinds) > 1 else sentence
        for _, found in ordered
        for sentence in found.evidence
    ]
    if len(evidence) > _TOLD:
        evidence[_TOLD:] = [f"and {count(len(evidence) - _TOLD, 'more table')} in the same way"]
    return Conclusion(
        kinds[0],
        max((found.confidence for found in gravest), key=_SURENESS.index),
        tuple(evidence),
        tuple(sentence for _, found in ordered for sentence in found.not_observable)[:_TOLD],
    )


def _verdict(
    case: Case, found: Conclusion, by_record: dict[str, Explained], worst: dict[str, Explained]
) -> Verdict:
    who_took = sessions(by_record.values(), worst.values())
    reason = stated_reason(by_record.values())
    named = tuple(attributed(session) for session in who_took)
    beside = _beside(case, by_record) if case.same_database else ()
    return Verdict(
        found.what,
        found.confidence,
        evidence=(*recorded(who_took, case.clock), *found.evidence, *beside),
        not_observable=(*found.not_observable, *unobserved(case, found.what, who_took)),
        circumstances=circumstances(case, reason),
        attribution=named[0] if named else None,
        others=named[1:],
        reason=reason,
    )


def _beside(case: Case, by_record: dict[str, Explained]) -> tuple[str, ...]:
    """What was recorded and explains nothing that is lost: the recorder disarmed, rows since put back."""
    behind = {taken.event for of_table in by_record.values() for taken in of_table.taken}
    rest = sorted(set(case.events), key=lambda event: (event.id, repr(event)))
    disarmed = [_short(event, case) for event in rest if event.operation is Operation.DISARM]
    took = [
        _short(event, case)
        for event in rest
        if event.operation in DESTRUCTIVE and event not in behind and event.rows != 0
    ]
    said = []
    if disarmed:
        said.append(f"the recorder was disarmed: {listed(disarmed)}")
    if took:
        said.append(f"also recorded: {listed(took)}")
    return tuple(said)


def _short(event: Event, case: Case) -> str:
    rows = f", {count(event.rows, 'row')}" if event.rows is not None else ""
    return (
        f"{event.operation.value.upper()} on {event.table}{rows} at {moment(event.at, case.clock)} "
        f"by role {event.role}, pid {event.pid}"
    )
