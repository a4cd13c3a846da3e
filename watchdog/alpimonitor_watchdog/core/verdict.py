"""What happened, concluded from fingerprints and recorded events. Pure.

The first of `What` that matches: what concerns the database as a whole, else table by table, and of several
losses the gravest, which is the first. Recorded statements name the session; physical signals never do.
"""

from __future__ import annotations

from dataclasses import replace

from .attribution import (
    Explained,
    any_reason,
    explains,
    named,
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
from .sentences import NAME_LENGTH, count, listed, moment, plain
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
    "same",
    "session_busy",
    "who",
    "who_in_full",
]

_ORDER = list(What)
_SURENESS = list(Confidence)
_TOLD = 12  # tables
_SENTENCES, _LENGTH = 40, 1000  # of one kind; characters of each


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


def same(one: Verdict | None, other: Verdict | None) -> bool:
    """Whether both say the same, whatever the figures that they quote."""
    if one is None or other is None:
        return one is other
    return _without_figures(one) == _without_figures(other)


def _without_figures(verdict: Verdict) -> Verdict:
    return replace(verdict, evidence=(), not_observable=())


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
        unexplained=any(found.unexplained for found in of_tables.values()),
    )


def _verdict(
    case: Case, found: Conclusion, by_record: dict[str, Explained], worst: dict[str, Explained]
) -> Verdict:
    who_took = sessions(by_record.values(), worst.values())
    reason = stated_reason(by_record.values())
    partly = any_reason(by_record.values()) if reason is None else None
    stated = (f"a reason was stated for a part of it, not for all: {partly}",) if partly else ()
    took = named(who_took)
    beside = _beside(case, by_record) if case.same_database else ()
    return Verdict(
        found.what,
        found.confidence,
        evidence=_bounded((*recorded(who_took, case.clock), *stated, *found.evidence, *beside)),
        not_observable=_bounded((*found.not_observable, *unobserved(case, found.what, who_took))),
        circumstances=circumstances(
            case, intended=reason is not None, partly=partly is not None, unexplained=found.unexplained
        ),
        attribution=took[0] if took else None,
        others=took[1:],
        reason=reason,
    )


def _bounded(sentences: tuple[str, ...]) -> tuple[str, ...]:
    """They quote names and what the server said, which may be anything."""
    told = tuple(plain(sentence, _LENGTH) for sentence in sentences[:_SENTENCES])
    more = len(sentences) - _SENTENCES
    return (*told, f"and {more} more") if more > 0 else told


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
        f"by role {plain(event.role, NAME_LENGTH)}, pid {event.pid}"
    )
