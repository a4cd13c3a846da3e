"""What the flight recorder of the guarded database has to say: whether it is armed, and what it recorded.

Every event is handed over once. A look reads what its snapshot shows and that of the last whole reading did
not: exact whatever the order in which transactions commit, and however long one stays open. Numbers of events
are not in the order of commits, so none of them can be a position. A standby's snapshots do not list what is
in progress: there, whatever could have been is read again, and recognised.

Nothing counts as read before the look that read it was handed over: it may fail after it, or end too late.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, NamedTuple

import psycopg
from psycopg import sql

from ..core.evidence import DESTRUCTIVE, Event, Operation, RecorderSeen, SessionSeen
from ..core.fingerprint import Identity
from . import names
from .catalog import Entry, Guarded
from .link import is_lost
from .queries import Query, queries
from .unread import Position, Snapshot

_PAGE = 500  # events a look
_NEWEST = 5000  # events among which those are looked for that do not wait for their turn
_MANY = 50  # tables from which on the state is not asked at each look
_STATE_EVERY = 5.0  # seconds, then
_RECENT = timedelta(minutes=10)
_MOST_SESSIONS = 500
_RECOGNISED = 2 * _PAGE
_DELETE, _UPDATE, _TRUNCATE = 8, 16, 32  # bits of pg_trigger.tgtype
_NOT_READABLE = (
    psycopg.errors.InsufficientPrivilege,
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedColumn,
    psycopg.errors.InvalidSchemaName,
)


class _State(NamedTuple):
    """The row of the statement `recorder`."""

    readable: bool
    unarmed: list[int]
    drops: bool
    arming: str


class _Row(NamedTuple):
    """A row of the statements `events` and `newest_events`; from `id` on all None where there is no event."""

    snapshot: str
    in_recovery: bool
    id: int | None
    at: datetime
    operation: str
    schema: str
    name: str
    rows: int | None
    remaining: int | None
    session_role: str
    role: str
    application_name: str
    client_addr: str | None
    pid: int
    backend_start: datetime | None
    transaction: int
    statement: str
    inner: str
    reason: str | None


@dataclass(frozen=True)
class Progress:
    """What was read once the look that it came with is handed over."""

    position: Position | None = None  # None: nothing
    database: tuple[str | None, int | None] | None = None  # that it was read in
    recognised: tuple[int, ...] = ()  # the last ids
    early: frozenset[int] = frozenset()  # ids that were read, and whose turn is still to come
    recent: Mapping[int, datetime] = field(default_factory=dict)  # pid -> when it last took context rows
    sessions: tuple[SessionSeen, ...] = ()  # as they were seen last


class Recorder:
    """Remembers, between looks, what was handed over. Belongs to one thread."""

    def __init__(self, tables: Sequence[Guarded], cursor: int | None, monotonic: Callable[[], float]) -> None:
        """`cursor`: what an earlier RecorderSeen ended with; None: begin with the newest of the last day."""
        self._tables = tuple(tables)
        self._names = [names.parse(table.name) for table in tables]
        self._needs = [_DELETE | _TRUNCATE | (_UPDATE if table.context else 0) for table in tables]
        self._context = {table.name for table in tables if table.context}
        self._progress = Progress(Position.at(cursor) if cursor is not None else None)
        self._monotonic = monotonic
        self._connection: psycopg.Connection | None = None
        self._caught_up: psycopg.Connection | None = None  # on which it was asked who took rows before
        self._state: _State | None = None
        self._asked = 0.0

    def handed_over(self, progress: Progress) -> None:
        """A look reached its caller: what it read is not read again."""
        self._progress = progress

    def of(
        self,
        connection: psycopg.Connection,
        entries: Sequence[Entry],
        path: Sequence[str],
        identity: Identity | None,
        now: datetime,
        *,
        closely: bool,
    ) -> tuple[RecorderSeen | None, Progress]:
        """The recorder now, and what is then read; None: it could not be asked.

        Raises psycopg.Error only when disconnected. `entries` belong to the tables, in their order; `path` is
        the search path; `now` by the database's clock. `closely`: something moved or is lost, so that its
        state is asked whenever it was asked last.
        """
        progress = _still(self._progress, identity)
        try:
            state = self._state_of(connection, entries, closely=closely)
        except psycopg.Error:
            if is_lost(connection):
                raise
            return None, progress
        if state is None:
            return RecorderSeen(installed=False), progress
        seen = RecorderSeen(
            installed=True,
            readable=state.readable,
            unarmed=tuple(
                table.name
                for table, entry in zip(self._tables, entries, strict=True)
                if entry.oid in state.unarmed
            ),
            drops=state.drops,
            arming=state.arming,
            cursor=_cursor(progress),
        )
        if not state.readable:
            return seen, progress
        try:
            events, progress = self._events(connection, entries, path, progress)
        except _NOT_READABLE:
            return replace(seen, readable=False), progress
        except psycopg.Error:
            if is_lost(connection):
                raise
            return None, progress
        progress = self._with_sessions(connection, entries, events, progress, now)
        return replace(seen, events=events, cursor=_cursor(progress), sessions=progress.sessions), progress

    def _state_of(
        self, connection: psycopg.Connection, entries: Sequence[Entry], *, closely: bool
    ) -> _State | None:
        now = self._monotonic()
        if (
            connection is self._connection
            and not closely
            and len(self._tables) > _MANY
            and now - self._asked < _STATE_EVERY
        ):
            return self._state
        there = [(entry.oid, needs) for entry, needs in zip(entries, self._needs, strict=True) if entry.oid]
        row = connection.execute(
            queries()["recorder"].text,
            {"oids": [oid for oid, _ in there], "needs": [needs for _, needs in there]},
            prepare=True,
        ).fetchone()
        self._connection, self._asked = connection, now
        self._state = _State._make(row) if row is not None else None
        return self._state

    def _events(
        self,
        connection: psycopg.Connection,
        entries: Sequence[Entry],
        path: Sequence[str],
        progress: Progress,
    ) -> tuple[tuple[Event, ...], Progress]:
        """What was not handed over before, at most a page of it and some losses, in the order of the ids."""
        before = progress.position
        try:
            rows = _page(connection, before)
        except psycopg.errors.QueryCanceled:
            before = _apart(connection, before)
            rows = _page(connection, before)
        snapshot = rows[0].snapshot
        if before is not None and Snapshot.of(snapshot).end < Snapshot.of(before.known).end:
            # Put back to a time before: what is recorded from now on has numbers that were read already.
            progress, before = Progress(database=progress.database), None
            rows = _page(connection, None)
            snapshot = rows[0].snapshot
        page = {row.id: row for row in rows if row.id is not None}
        more = before is not None and len(page) == _PAGE
        newest = max((row.transaction, number) for number, row in page.items()) if more else None
        position = (before or Position(snapshot)).next(snapshot, newest, in_recovery=rows[0].in_recovery)
        read = progress.early.union(progress.recognised)
        fresh = {number: row for number, row in page.items() if number not in read}
        early = progress.early.difference(page)
        if more:
            losses = self._early_losses(connection, entries, position, early)
            fresh |= losses
            early |= losses.keys()
        declared = self._declared(entries, path)
        events = tuple(
            event
            for number in sorted(fresh)
            if (event := _event(number, fresh[number], declared)) is not None
        )
        return events, replace(
            progress,
            position=position,
            recognised=(*progress.recognised, *sorted(page.keys() - set(progress.recognised)))[-_RECOGNISED:],
            early=early,
        )

    def _early_losses(
        self,
        connection: psycopg.Connection,
        entries: Sequence[Entry],
        position: Position,
        early: frozenset[int],
    ) -> dict[int, _Row]:
        """Losses that have others waiting before them; none where they could not be asked for."""
        transaction, after = position.after
        asked = {
            **self._of_context(entries),
            "known": position.known,
            "reading": position.reading,
            "transaction": transaction,
            "after": after,
            "early": sorted(early)[-_NEWEST:],
        }
        try:
            cursor = connection.execute(_statement(queries()["early_losses"]), asked, prepare=True)
        except psycopg.Error:
            if is_lost(connection):
                raise
            return {}
        return {row[0]: _Row._make(("", False, *row)) for row in cursor.fetchall()}

    def _of_context(self, entries: Sequence[Entry]) -> dict[str, Any]:
        """The context tables for the statement `losses`: those that are there, and all by their names."""
        of_context = [
            (entry.oid, name.table)
            for table, entry, name in zip(self._tables, entries, self._names, strict=True)
            if table.context
        ]
        return {
            "oids": [oid for oid, _ in of_context if oid is not None],
            "names": sorted({spelled for _, name in of_context for spelled in name}),
        }

    def _declared(self, entries: Sequence[Entry], path: Sequence[str]) -> Callable[[str, str], str]:
        """How a table of that schema and name is declared, also when it is gone; else `schema.table`."""
        there = {
            (entry.schema, entry.name): table.name
            for table, entry in zip(self._tables, entries, strict=True)
            if entry.oid is not None
        }

        def name(schema: str, table: str) -> str:
            if (schema, table) in there:
                return there[schema, table]
            for declared in self._names:
                if table in declared.table and schema in (declared.schema or path):
                    return declared.declared
            return f"{schema}.{table}"

        return name

    def _with_sessions(
        self,
        connection: psycopg.Connection,
        entries: Sequence[Entry],
        events: Sequence[Event],
        progress: Progress,
        now: datetime,
    ) -> Progress:
        """What became of the sessions that took context rows in the last minutes, also before a restart.

        Where they cannot be asked for: as they were seen last, or without a state.
        """
        took = [event for event in events if event.operation in DESTRUCTIVE and event.table in self._context]
        recent = {**progress.recent, **{event.pid: event.at for event in took}}
        if connection is not self._caught_up:
            self._caught_up = connection
            recent = {**self._recent_losses(connection, entries), **recent}
        newest = sorted(((at, pid) for pid, at in recent.items() if now - at <= _RECENT), reverse=True)
        recent = {pid: at for at, pid in newest[:_MOST_SESSIONS]}
        if not recent:
            return replace(progress, recent=recent, sessions=())
        try:
            cursor = connection.execute(queries()["sessions"].text, {"pids": sorted(recent)}, prepare=True)
            sessions = tuple(SessionSeen(pid, _utc(start), state) for pid, start, state in cursor.fetchall())
        except psycopg.Error:
            if is_lost(connection):
                raise
            last = {session.pid: session for session in progress.sessions}
            sessions = tuple(last.get(pid, SessionSeen(pid, None, None)) for pid in sorted(recent))
        return replace(progress, recent=recent, sessions=sessions)

    def _recent_losses(self, connection: psycopg.Connection, entries: Sequence[Entry]) -> dict[int, datetime]:
        """Who took context rows in the last minutes: pid -> when. Nobody, where it cannot be asked for."""
        try:
            cursor = connection.execute(_statement(queries()["recent_losses"]), self._of_context(entries))
        except psycopg.Error:
            if is_lost(connection):
                raise
            return {}
        return dict(cursor.fetchall())


@cache
def _statement(query: Query) -> str:
    parts = {"page": sql.Literal(_PAGE), "newest": sql.Literal(_NEWEST)}
    told = sql.SQL(queries()["told"].text)
    losses = sql.SQL(queries()["losses"].text).format(**parts)
    return sql.SQL(query.text).format(told=told, losses=losses, **parts).as_string()


def _page(connection: psycopg.Connection, position: Position | None) -> list[_Row]:
    if position is None:
        cursor = connection.execute(_statement(queries()["newest_events"]), prepare=True)
    else:
        spans = position.unread()
        asked = {
            "first": [span.first for span in spans],
            "last": [span.last for span in spans],
            "after": [span.after for span in spans],
        }
        cursor = connection.execute(_statement(queries()["events"]), asked, prepare=True)
    return [_Row._make(row) for row in cursor.fetchall()]


def _apart(connection: psycopg.Connection, position: Position | None) -> Position | None:
    """After a page that took too long: the next is planned for the table as it has become meanwhile.

    And it leaves alone what is in progress now, however many events that has.
    """
    connection.execute("DISCARD PLANS")
    row = connection.execute(queries()["snapshot"].text).fetchone()
    if position is None or position.reading is not None or row is None:
        return position
    return replace(position, reading=row[0])


def _still(progress: Progress, identity: Identity | None) -> Progress:
    """Numbers of another cluster, and events of another database, are not those that were read."""
    database = (identity.system, identity.database_oid) if identity else None
    if progress.database is not None and database is not None and database != progress.database:
        return Progress(database=database)
    return replace(progress, database=database or progress.database)


def _cursor(progress: Progress) -> int | None:
    return progress.position.cursor if progress.position is not None else None


def _event(number: int, row: _Row, declared: Callable[[str, str], str]) -> Event | None:
    """None for what a newer recorder records, and this sidecar has no word for."""
    if row.operation not in set(Operation):
        return None
    return Event(
        id=number,
        at=row.at.astimezone(UTC),
        operation=Operation(row.operation),
        table=declared(row.schema, row.name),
        rows=row.rows,
        remaining=row.remaining,
        session_role=row.session_role,
        role=row.role,
        application_name=row.application_name,
        client_addr=row.client_addr,
        pid=row.pid,
        backend_start=_utc(row.backend_start),
        transaction=row.transaction,
        statement=row.statement,
        inner=row.inner,
        reason=row.reason,
    )


def _utc(at: datetime | None) -> datetime | None:
    return at.astimezone(UTC) if at is not None else None
