"""What the flight recorder wrote down of destructive statements, and what can be said of who ran them.

One transaction is one act: a cascade, a script or a function leaves several events, which share its number.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Operation(StrEnum):
    """What a recorded statement did."""

    DELETE = "delete"
    TRUNCATE = "truncate"
    UPDATE = "update"
    DROP = "drop"  # the table, or a schema that held it
    DISARM = "disarm"  # a trigger of the recorder was dropped or disabled


DESTRUCTIVE = frozenset({Operation.DELETE, Operation.TRUNCATE, Operation.DROP})


@dataclass(frozen=True)
class Event:
    """One row of flight_recorder.event. Counts are rows; None: not known."""

    id: int
    at: datetime  # by the database's clock, when the statement had run; aware UTC
    operation: Operation
    table: str  # as it is declared, where it is; else "schema.table"
    rows: int | None  # that it took or changed
    remaining: int | None  # after it, of context tables
    session_role: str  # who logged in
    role: str  # whom it had become by SET ROLE; the same as `session_role` where it had not
    application_name: str
    client_addr: str | None  # None: a local socket
    pid: int
    backend_start: datetime | None
    transaction: int
    statement: str  # what the client sent; bounded, its literals masked unless the recorder keeps them
    inner: str = ""  # where a function ran it: PostgreSQL's context, bounded
    reason: str | None = None  # as `SET LOCAL watchdog.reason` stated it


@dataclass(frozen=True)
class Attribution:
    """The session behind a loss. Sessions and addresses, not persons."""

    role: str
    application_name: str
    client_addr: str | None
    pid: int
    transaction: int
    statement: str
    reason: str | None = None
    at: datetime | None = None
    session_role: str | None = None  # where it is not `role`


@dataclass(frozen=True)
class SessionSeen:
    """A backend that a recorded event names, as it is now. A backend that is gone is not listed."""

    pid: int
    backend_start: datetime | None
    state: str | None  # pg_stat_activity's: "active", "idle", "idle in transaction"…; None: not for us to see


@dataclass(frozen=True)
class Activity:
    """A client's backend, sampled around a loss. Without its statement, which may hold data."""

    pid: int
    role: str
    application_name: str
    client_addr: str | None
    backend_start: datetime | None
    transaction_start: datetime | None
    state: str | None
    waits_for: str | None  # wait event, such as "Lock: relation"


@dataclass(frozen=True)
class Record:
    """A row that a query of `[evidence]` returned, such as one of `seed_run`. `body` is its JSON object."""

    name: str  # of the query
    body: str


@dataclass(frozen=True)
class RecorderSeen:
    """The flight recorder in one look. `installed` False: nothing else in it means anything."""

    installed: bool
    readable: bool = True  # whether the sidecar's role may read its events
    unarmed: tuple[str, ...] = ()  # guarded tables of which not every statement is recorded, as declared
    drops: bool = False  # whether DROP and disarming are recorded: event triggers need a superuser
    arming: str = ""  # another one when any of its triggers was made, dropped, disabled or enabled
    events: tuple[Event, ...] = ()  # not seen by an earlier look, in the order of their ids
    cursor: int | None = None  # transactions before it are known: where the next look, or process, begins
    sessions: tuple[SessionSeen, ...] = ()  # of the events of the last minutes

    @property
    def armed(self) -> bool:
        """Whether every destructive statement on a guarded table is recorded."""
        return self.installed and not self.unarmed
