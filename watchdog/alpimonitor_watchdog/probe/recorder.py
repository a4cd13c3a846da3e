"""What the flight recorder of the guarded database has to say: whether it is armed, and what it recorded.

Every event is read once. A look reads what its snapshot shows and that of the last whole reading did not:
exact whatever the order in which transactions commit, and however long one stays open. Numbers of events are
not in the order of commits, so none of them can be a position. A standby's snapshots do not list what is in
progress: there, whatever could have been is read again, and recognised.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import NamedTuple

import psycopg
from psycopg import sql

from ..core.evidence import Event, Operation, RecorderSeen, SessionSeen
from ..core.fingerprint import Identity
from . import names
from .catalog import Entry, Guarded
from .link import is_lost
from .queries import Query, queries

_PAGE = 500  # events a look
_MANY = 50  # tables from which on the state is not asked at each look
_STATE_EVERY = 5.0  # seconds, then
_RECENT = timedelta(minutes=10)
_MOST_SESSIONS = 100
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
class _Position:
    """What was read: all that the snapshot `known` shows; of what `reading` shows, up to the id `after`."""

    known: str
    reading: str | None = None  # None: all that was to be read was read
    after: int = 0

    @property
    def cursor(self) -> int:
        return int(self.known.partition(":")[0])


class Recorder:
    """Remembers, between looks, what was read. Belongs to one thread."""

    def __init__(self, tables: Sequence[Guarded], cursor: int | None, monotonic: Callable[[], float]) -> None:
        """`cursor`: what an earlier RecorderSeen ended with; None: begin with the newest of the last day."""
        self._tables = tuple(tables)
        self._names = [names.parse(table.name) for table in tables]
        self._needs = [_DELETE | _TRUNCATE | (_UPDATE if table.context else 0) for table in tables]
        self._position = _Position(f"{cursor}:{cursor}:") if cursor is not None else None
        self._monotonic = monotonic
        self._connection: psycopg.Connection | None = None
        self._database: tuple[str | None, int | None] | None = None
        self._state: _State | None = None
        self._asked = 0.0
        self._recent: deque[tuple[datetime, int]] = deque(maxlen=_MOST_SESSIONS)
        self._delivered: deque[int] = deque(maxlen=_RECOGNISED)

    def of(
        self,
        connection: psycopg.Connection,
        entries: Sequence[Entry],
        path: Sequence[str],
        identity: Identity | None,
        now: datetime,
        *,
        closely: bool,
    ) -> RecorderSeen | None:
        """The recorder now; None: it could not be asked. Raises psycopg.Error only when disconnected.

        `entries` belong to the tables, in their order; `path` is the search path; `now` by the database's
        clock. `closely`: something moved or is lost, so that its state is asked whenever it was asked last.
        """
        self._is_still(identity)
        try:
            state = self._state_of(connection, entries, closely=closely)
        except psycopg.Error:
            if is_lost(connection):
                raise
            return None
        if state is None:
            return RecorderSeen(installed=False)
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
            cursor=self._cursor,
        )
        if not state.readable:
            return seen
        try:
            events = self._events(connection, entries, path)
            sessions = self._sessions(connection, events, now)
        except _NOT_READABLE:
            return replace(seen, readable=False)
        except psycopg.Error:
            if is_lost(connection):
                raise
            return None
        return replace(seen, events=events, cursor=self._cursor, sessions=sessions)

    @property
    def _cursor(self) -> int | None:
        return self._position.cursor if self._position is not None else None

    def _is_still(self, identity: Identity | None) -> None:
        """Numbers of another cluster, and events of another database, are not those that were read."""
        database = (identity.system, identity.database_oid) if identity else None
        if self._database is not None and database is not None and database != self._database:
            self._begin_anew()
        self._database = database or self._database

    def _begin_anew(self) -> None:
        self._position = None
        self._recent.clear()
        self._delivered.clear()

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
        self, connection: psycopg.Connection, entries: Sequence[Entry], path: Sequence[str]
    ) -> tuple[Event, ...]:
        """What was not delivered before, at most a page of it, in the order of the ids."""
        rows = self._page(connection)
        if self._position is not None and _next_of(rows[0].snapshot) < _next_of(self._position.known):
            # Put back to a time before: what is recorded from now on has numbers that were read already.
            self._begin_anew()
            rows = self._page(connection)
        found = {row.id: row for row in rows if row.id is not None}
        before, snapshot = self._position, rows[0].snapshot
        if before is not None and len(found) == _PAGE:
            self._position = _Position(before.known, before.reading or snapshot, max(found))
        else:
            read = before.reading if before is not None and before.reading is not None else snapshot
            self._position = _Position(_from_xmin(read) if rows[0].in_recovery else read)
        fresh = {number: row for number, row in found.items() if number not in self._delivered}
        self._delivered.extend(fresh)
        declared = self._declared(entries, path)
        return tuple(
            event for number, row in fresh.items() if (event := _event(number, row, declared)) is not None
        )

    def _page(self, connection: psycopg.Connection) -> list[_Row]:
        position = self._position
        if position is None:
            cursor = connection.execute(
                _statement(queries()["newest_events"]), {"limit": _PAGE}, prepare=True
            )
        else:
            asked = {
                "from": position.cursor,
                "known": position.known,
                "reading": position.reading,
                "after": position.after,
                "limit": _PAGE,
            }
            cursor = connection.execute(_statement(queries()["events"]), asked, prepare=True)
        return [_Row._make(row) for row in cursor.fetchall()]

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

    def _sessions(
        self, connection: psycopg.Connection, events: Sequence[Event], now: datetime
    ) -> tuple[SessionSeen, ...]:
        """What became of the sessions behind the events of the last minutes."""
        self._recent.extend((event.at, event.pid) for event in events)
        pids = {pid for at, pid in self._recent if now - at <= _RECENT}
        if not pids:
            return ()
        rows = connection.execute(queries()["sessions"].text, {"pids": sorted(pids)}, prepare=True).fetchall()
        return tuple(SessionSeen(pid, _utc(start), state) for pid, start, state in rows)


@cache
def _statement(query: Query) -> str:
    return sql.SQL(query.text).format(told=sql.SQL(queries()["told"].text)).as_string()


def _next_of(snapshot: str) -> int:
    """The number of the next transaction, as a snapshot `xmin:xmax:in progress` has it."""
    return int(snapshot.split(":")[1])


def _from_xmin(snapshot: str) -> str:
    """A snapshot that shows nothing which that one, of a standby, may have missed."""
    xmin = snapshot.partition(":")[0]
    return f"{xmin}:{xmin}:"


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
