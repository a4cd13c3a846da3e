"""Notifications on their way to people: stored with the decision they follow from, cleared after delivery."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from ..core.messages import Message
from ..core.words import Kind, Tag
from .connection import Connection
from .errors import Damaged
from .timeline import TimelineItem, stamp, write_timeline


class Severity(StrEnum):
    """How grave a notification is, for channels that can show it."""

    INFO = "info"
    SUCCESS = "success"
    WARNING = "warning"
    FAILURE = "failure"


SEVERITY = {
    Kind.OPENED: Severity.WARNING,
    Kind.WORSENED: Severity.WARNING,
    Kind.HEAL_REFUSED: Severity.FAILURE,
    Kind.HEAL_FAILED: Severity.FAILURE,
    Kind.RESTORED: Severity.SUCCESS,
    Kind.RESOLVED: Severity.SUCCESS,
    Kind.REMINDER: Severity.WARNING,
    Kind.ESCALATED: Severity.FAILURE,
    Kind.DRILL: Severity.INFO,
}


SELECT = """
SELECT id AS number, key, incident, channel, kind, severity, title, body, created_at, attempts
FROM outbox NOT INDEXED WHERE status = 'queued'
"""


@dataclass(frozen=True)
class Outgoing:
    """A notification as it was decided, not yet addressed to channels. `severity` None: by its kind.

    `key` tells it from every other; it is the same in all sidecars that watch the database. "": any.
    """

    incident: str
    kind: Kind
    tags: frozenset[Tag]
    message: Message
    severity: Severity | None = None
    key: str = ""


@dataclass(frozen=True)
class Queued:
    """A notification for one channel. Every attempt carries the same `key`, which tells a repeat."""

    key: str
    incident: str
    channel: str
    kind: Kind
    severity: Severity
    message: Message
    created_at: datetime
    attempts: int = 0


@dataclass(frozen=True)
class Settled:
    """How a notification ended: `status` is "delivered" or "dead"."""

    queued: Queued
    status: str
    at: datetime
    error: str = ""


def address(outgoing: Outgoing, channels: Mapping[str, frozenset[Tag]], at: datetime) -> list[Queued]:
    """One row a channel that carries any of the notification's tags."""
    severity = outgoing.severity or SEVERITY[outgoing.kind]
    return [
        Queued(_key(outgoing, name), outgoing.incident, name, outgoing.kind, severity, outgoing.message, at)
        for name, tags in channels.items()
        if tags & outgoing.tags
    ]


def _key(outgoing: Outgoing, channel: str) -> str:
    return f"{outgoing.key}-{channel}" if outgoing.key else uuid.uuid4().hex


class Outbox:
    """The queue of every channel, in order for an incident and channel: only the oldest is ever pending.

    It is held in memory, and the store is its copy for the next process: what the store cannot take (a full
    disk) is sent all the same, a delivery it cannot record is not repeated, and both are stored by the next
    write that works. They are lost only if the process ends before that.
    """

    def __init__(self, connection: Connection) -> None:
        """Raises StoreError; Damaged when a notification in the store cannot be read."""
        self._connection = connection
        try:
            stored = [queued_from(row) for row in connection.rows(f"{SELECT} ORDER BY id")]
        except (ValueError, TypeError) as error:
            raise Damaged("a notification that waits in it cannot be read") from error
        self._waiting = {queued.key: queued for queued in stored}
        self._unsaved: dict[str, Queued] = {}
        self._unsettled: dict[str, Settled] = {}

    def pending(self, channel: str) -> list[Queued]:
        """What `channel` may be sent now: of each incident the oldest not settled."""
        with self._connection.lock:
            heads: dict[str, Queued] = {}
            for queued in self._waiting.values():
                if queued.channel == channel:
                    heads.setdefault(queued.incident, queued)
            return list(heads.values())

    def delivered(self, queued: Queued, at: datetime) -> None:
        """It arrived. Holds for this process even when the store refuses it with StoreError."""
        self._settle(Settled(queued, "delivered", at))

    def dead(self, queued: Queued, at: datetime, error: str) -> None:
        """It is given up, and counted. Holds for this process even when the store raises StoreError."""
        self._settle(Settled(queued, "dead", at, error))

    def failed(self, queued: Queued, at: datetime, error: str) -> None:
        """An attempt failed and will be repeated. Counts for this process even when it raises StoreError."""
        with self._connection.lock:
            if queued.key not in self._waiting:
                return
            tried = replace(queued, attempts=queued.attempts + 1)
            self._waiting[queued.key] = tried
            if queued.key in self._unsaved:
                self._unsaved[queued.key] = tried
                return
            with self._connection.transaction() as sqlite:
                sqlite.execute(_FAILED, (tried.attempts, stamp(at), error, queued.key))
                if queued.attempts == 0:
                    write_timeline(sqlite, [_item(queued, at, "notification_failing", f": {error}")])

    def queue_length(self) -> int:
        """Notifications neither delivered nor given up."""
        with self._connection.lock:
            return len(self._waiting)

    def counts(self) -> dict[str, dict[str, int]]:
        """For each channel that ever had one: {"queued": n, "delivered": n, "dead": n}. Raises StoreError."""
        with self._connection.lock:
            counts: dict[str, dict[str, int]] = {}
            for row in self._connection.rows(_ENDED):
                _zero(counts, row["channel"])[row["status"]] = row["n"]
            for queued in self._waiting.values():
                _zero(counts, queued.channel)["queued"] += 1
            for settled in self._unsettled.values():
                _zero(counts, settled.queued.channel)[settled.status] += 1
            return counts

    # ---- for the store's own transactions ------------------------------------------------------------------

    def keep(self, rows: Iterable[Queued]) -> None:
        """Hold what a failed save could not store."""
        with self._connection.lock:
            kept = {queued.key: queued for queued in rows}
            self._unsaved |= kept
            self._waiting |= kept

    def write(self, sqlite: sqlite3.Connection, rows: Iterable[Queued] = ()) -> None:
        """Write what is held, `rows`, and how they ended, into an open transaction."""
        for queued in (*self._unsaved.values(), *rows):
            insert(sqlite, queued)
        for settled in self._unsettled.values():
            _write_settled(sqlite, settled)

    def written(self, rows: Iterable[Queued] = ()) -> None:
        """The transaction of `write` was committed."""
        self._waiting |= {queued.key: queued for queued in rows}
        self._unsaved.clear()
        self._unsettled.clear()

    def _settle(self, settled: Settled) -> None:
        with self._connection.lock:
            if self._waiting.pop(settled.queued.key, None) is None:
                return
            self._unsettled[settled.queued.key] = settled
            with self._connection.transaction() as sqlite:
                self.write(sqlite)
            self.written()


def queued_from(row: Any) -> Queued:
    """A row by column name. Raises ValueError or TypeError when it holds what this version never wrote."""
    created_at = datetime.fromisoformat(row["created_at"])
    if created_at.tzinfo is None or not all(
        isinstance(row[name], str) and row[name] for name in ("key", "incident", "channel", "title")
    ):
        raise ValueError("not a notification")
    return Queued(
        key=row["key"],
        incident=row["incident"],
        channel=row["channel"],
        kind=Kind(row["kind"]),
        severity=Severity(row["severity"]),
        message=Message(row["title"], str(row["body"])),
        created_at=created_at,
        attempts=int(row["attempts"]),
    )


def insert(sqlite: sqlite3.Connection, queued: Queued) -> None:
    """Queue a notification, in an open transaction. One whose key is there already is the same: it stays."""
    message = queued.message
    sqlite.execute(
        """
        INSERT INTO outbox (key, incident, channel, kind, severity, title, body, created_at, attempts)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING
        """,
        (
            queued.key, queued.incident, queued.channel, queued.kind.value, queued.severity.value,
            message.title, message.body, stamp(queued.created_at), queued.attempts,
        ),
    )  # fmt: skip


_ENDED = "SELECT channel, status, count(*) AS n FROM outbox WHERE status <> 'queued' GROUP BY 1, 2"

_FAILED = """
UPDATE outbox SET attempts = ?, tried_at = ?, error = ? WHERE key = ? AND status = 'queued'
"""

# Guarded: what was settled once stays as it was settled.
_SETTLE = """
UPDATE outbox SET status = ?, attempts = attempts + 1, tried_at = ?, settled_at = ?, error = ?
WHERE key = ? AND status = 'queued'
"""


def _write_settled(sqlite: sqlite3.Connection, settled: Settled) -> None:
    at = stamp(settled.at)
    values = (settled.status, at, at, settled.error, settled.queued.key)
    if sqlite.execute(_SETTLE, values).rowcount:
        event = "notification_delivered" if settled.status == "delivered" else "notification_given_up"
        detail = f": {settled.error}" if settled.error else ""
        write_timeline(sqlite, [_item(settled.queued, settled.at, event, detail)])


def _item(queued: Queued, at: datetime, event: str, detail: str) -> TimelineItem:
    return TimelineItem(
        queued.incident, at, event, "notification", f"{queued.kind} to {queued.channel}{detail}"
    )


def _zero(counts: dict[str, dict[str, int]], channel: str) -> dict[str, int]:
    return counts.setdefault(channel, {"queued": 0, "delivered": 0, "dead": 0})
