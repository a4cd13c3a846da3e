"""Which recorded statements explain a loss, and which sessions ran them. Pure.

The newest statements come first: what was deleted and inserted again before the loss does not explain it. A
transaction is one act; the transactions of one backend are one session.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from .evidence import DESTRUCTIVE, Attribution, Event, Operation, SessionSeen
from .seen import Loss
from .sentences import NAME_LENGTH, REASON_LENGTH, count, listed, moment, plain

_EMPTIES = frozenset({Operation.TRUNCATE, Operation.DROP})
_SHORT_NAME = 28  # characters of an application_name in a title
_AT_REST = frozenset({"idle", "disabled"})  # "disabled": the server does not track what its sessions do
_TOLD = 5  # sessions
_NAMED = 21  # sessions
_REASONS = 1000  # characters


@dataclass(frozen=True)
class Taken:
    """A statement that took of what is lost; `rows` as recorded, else what was left to explain."""

    event: Event
    rows: int


@dataclass(frozen=True)
class Explained:
    """How far recorded statements explain what one table lost; `taken` in their order."""

    lost: int
    taken: tuple[Taken, ...] = ()
    whole: bool = False
    put_back: int = 0  # rows that were inserted meanwhile, by whom and when is not known

    @property
    def rows(self) -> int:
        return sum(taken.rows for taken in self.taken)

    @property
    def certain(self) -> bool:
        """All of it, and whatever the order in which rows came and went."""
        return self.whole and not self.put_back

    @property
    def operation(self) -> Operation | None:
        """The kind of statement that took most of it; None: no statement explains any of it."""
        by_kind = {
            kind: sum(taken.rows for taken in self.taken if taken.event.operation is kind)
            for kind in (Operation.DROP, Operation.DELETE, Operation.TRUNCATE)
            if any(taken.event.operation is kind for taken in self.taken)
        }
        return max(by_kind, key=lambda kind: by_kind[kind], default=None)


@dataclass(frozen=True)
class Session:
    """One backend's share of the loss; `taken` in their order, at least one."""

    taken: tuple[Taken, ...]

    @property
    def rows(self) -> int:
        return sum(taken.rows for taken in self.taken)

    @property
    def newest(self) -> Event:
        return self.taken[-1].event


def explain(
    events: Iterable[Event], table: str, lost: int, *, made_anew: bool = False, put_back: int = 0
) -> Explained:
    """The newest statements on `table` that together took the `lost` rows, at least one.

    `made_anew`: the table is gone, or another one of its name; then only a DROP explains it. `put_back`: rows
    known to have been inserted since, where statements may be missing among `events`.
    """
    wanted = frozenset({Operation.DROP}) if made_anew else DESTRUCTIVE
    ours = [
        event
        for event in _in_order(events)
        if event.table == table
        and event.operation in wanted
        and (event.rows != 0 or event.operation is Operation.DROP)
    ]
    if made_anew:
        return Explained(lost, tuple(Taken(event, _rows(event, lost)) for event in ours[-1:]), bool(ours))
    available = sum(_rows(event, lost) for event in ours) - put_back
    taken: list[Taken] = []
    open_rows = lost
    for event in reversed(ours):
        if open_rows <= 0 or available <= 0:
            break
        taken.append(Taken(event, _rows(event, open_rows)))
        open_rows -= taken[-1].rows
    whole = open_rows <= 0 and available >= lost
    return Explained(lost, tuple(reversed(taken)), whole, put_back)


def explains(events: tuple[Event, ...], losses: tuple[Loss, ...]) -> bool:
    """Whether recorded statements took all that is missing of at least one of these tables."""
    return any(
        explain(events, loss.table, missing(loss, loss.expected), made_anew=loss.rows is None).whole
        for loss in losses
    )


def missing(loss: Loss, expected: int) -> int:
    """The rows that are gone, at least one."""
    return max(1, expected - (loss.rows or 0))


def sessions(explained: Iterable[Explained], gravest: Iterable[Explained] = ()) -> tuple[Session, ...]:
    """Who took what is lost: first who is behind the `gravest`, then who took most, then who did last."""
    worst = {taken.event for of_table in gravest for taken in of_table.taken}
    by_backend: dict[tuple[object, ...], list[Taken]] = {}
    for taken in sorted(
        (taken for of_table in explained for taken in of_table.taken), key=lambda taken: _place(taken.event)
    ):
        by_backend.setdefault(_backend(taken.event), []).append(taken)
    found = [Session(tuple(taken)) for taken in by_backend.values()]

    def weight(session: Session) -> tuple[object, ...]:
        behind = any(taken.event in worst for taken in session.taken)
        return behind, session.rows, _place(session.newest)

    return tuple(sorted(found, key=weight, reverse=True))


def named(found: tuple[Session, ...]) -> tuple[Attribution, ...]:
    """Who they are, most first; of very many not all. Only the first with its statement: each may be long."""
    first, rest = found[:1], found[1:_NAMED]
    return *map(attributed, first), *(replace(attributed(session), statement="") for session in rest)


def attributed(session: Session) -> Attribution:
    """The session by its newest statement; its reason only if each of its statements states one."""
    event = session.newest
    reasons = [_reason(taken.event) for taken in session.taken]
    return Attribution(
        role=event.role,
        application_name=event.application_name,
        client_addr=event.client_addr,
        pid=event.pid,
        transaction=event.transaction,
        statement=event.statement,
        reason=None if None in reasons else reasons[-1],
        at=event.at,
        session_role=event.session_role if event.session_role != event.role else None,
    )


def stated_reason(explained: Iterable[Explained]) -> str | None:
    """Why rows were taken, if all that is lost is explained and each statement of it states why."""
    of_tables = list(explained)
    reasons = [_reason(taken.event) for of_table in of_tables for taken in of_table.taken]
    if None in reasons or not all(of_table.whole for of_table in of_tables):
        return None
    return any_reason(of_tables)


def any_reason(explained: Iterable[Explained]) -> str | None:
    """The reasons that are stated for any of what is lost."""
    reasons = {_reason(taken.event) for of_table in explained for taken in of_table.taken}
    return plain("; ".join(sorted(reason for reason in reasons if reason)), _REASONS) or None


def session_busy(events: tuple[Event, ...], sessions: tuple[SessionSeen, ...]) -> SessionSeen | None:
    """The first recorded session that took rows and is seen at work, or in a transaction.

    One whose state is not for the sidecar to see counts as at rest: a pooled session may live for days.
    """
    took = [event for event in events if event.operation in DESTRUCTIVE]
    return next(
        (
            session
            for session in sorted(sessions, key=lambda session: session.pid)
            if session.state is not None
            and session.state not in _AT_REST
            and any(_is_of(event, session) for event in took)
        ),
        None,
    )


def who(attribution: Attribution) -> str:
    """For a title: `alpimonitor_owner, ops-shell, 10.0.0.7, pid 4242`."""
    name = plain(attribution.application_name, _SHORT_NAME)
    parts = (
        plain(attribution.role, NAME_LENGTH),
        name,
        attribution.client_addr or "local socket",
        f"pid {attribution.pid}",
    )
    return ", ".join(part for part in parts if part)


def who_in_full(attribution: Attribution) -> str:
    """For a body: role, application, address, pid, transaction and time."""
    when = f", at {moment(attribution.at)} UTC" if attribution.at is not None else ""
    return f"{_client(attribution)}, transaction {attribution.transaction}{when}"


def recorded(found: tuple[Session, ...], now: datetime | None) -> tuple[str, ...]:
    """A sentence for each of the sessions that took most, and one for the rest."""
    told = [_told(session, now) for session in found[:_TOLD]]
    if rest := found[_TOLD:]:
        rows = sum(session.rows for session in rest)
        unnamed = f", {len(found) - _NAMED} of them are not named" if len(found) > _NAMED else ""
        told.append(f"recorded: {count(len(rest), 'more session')} took {count(rows, 'row')}{unnamed}")
    return tuple(told)


def _told(session: Session, now: datetime | None) -> str:
    acts: dict[tuple[Operation, str], list[Taken]] = {}
    for taken in session.taken:
        acts.setdefault((taken.event.operation, taken.event.table), []).append(taken)
    said = listed([_act(kind, table, taken) for (kind, table), taken in acts.items()])
    first, last = session.taken[0].event, session.newest
    until = f" to {moment(last.at, now)}" if last.at != first.at else ""
    transactions = sorted({taken.event.transaction for taken in session.taken})
    which = (
        f"transaction {transactions[0]}"
        if len(transactions) == 1
        else f"{len(transactions)} transactions, {transactions[0]} to {transactions[-1]}"
    )
    return f"recorded {moment(first.at, now)}{until}: {said}; {_client(attributed(session))}, {which}"


def _client(attribution: Attribution) -> str:
    became = attribution.session_role
    login = f" (logged in as {plain(became, NAME_LENGTH)})" if became else ""
    return (
        f"role {plain(attribution.role, NAME_LENGTH)}{login}, "
        f"application {plain(attribution.application_name, NAME_LENGTH) or 'not named'}, "
        f"from {attribution.client_addr or 'a local socket'}, pid {attribution.pid}"
    )


def _act(kind: Operation, table: str, taken: list[Taken]) -> str:
    if kind is Operation.DROP:
        return f"DROP took {table}"
    times = f"{len(taken)} × " if len(taken) > 1 else ""
    known = [of_one.event.rows for of_one in taken if of_one.event.rows is not None]
    rows = count(sum(known), "row") if len(known) == len(taken) else "rows that were not counted"
    return f"{times}{kind.value.upper()} on {table} took {rows}"


def _rows(event: Event, otherwise: int) -> int:
    """As recorded; a statement that empties a table took whatever was left, any other at least one."""
    if event.rows is not None and (event.rows > 0 or event.operation is not Operation.DROP):
        return event.rows
    return otherwise if event.operation in _EMPTIES else 1


def _reason(event: Event) -> str | None:
    return plain(event.reason or "", REASON_LENGTH) or None


def _in_order(events: Iterable[Event]) -> list[Event]:
    """Each once, in the order in which they were written down."""
    return sorted(set(events), key=_place)


def _place(event: Event) -> tuple[int, int, datetime, str]:
    return event.id, event.transaction, event.at, repr(event)


def _backend(event: Event) -> tuple[object, ...]:
    if event.backend_start is not None:
        return event.pid, event.backend_start
    # A pid alone may be another session's by now.
    return event.pid, event.session_role, event.application_name, event.client_addr


def _is_of(event: Event, session: SessionSeen) -> bool:
    known = event.backend_start is not None and session.backend_start is not None
    return event.pid == session.pid and (not known or event.backend_start == session.backend_start)
