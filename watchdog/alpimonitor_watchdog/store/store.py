"""The sidecar's memory: where an incident stands, what happened, whom it told, which heals it began."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ..core.model import Decision, Incident, StartHeal, State
from ..core.seen import HealSeen
from ..core.words import HealOutcome, Tag
from . import directory, incidents
from .connection import Connection, Damaged
from .errors import StoreError
from .outbox import Outbox, Outgoing, Queued, address
from .timeline import TimelineItem, from_decision, stamp, write_timeline

FILE = "watchdog.sqlite"
log = logging.getLogger(__name__)
_STATE = TypeAdapter(State)


class Store:
    """SQLite in the state directory; every method may be called from any thread.

    Invariant: whatever happened before the process ended, a reopened store holds the state of one save,
    the last that returned or the one after it, with every notification and reservation up to that save and
    none of a later one.
    """

    def __init__(self, connection: Connection, lock: int, channels: Mapping[str, frozenset[Tag]]) -> None:
        self._connection = connection
        self._lock: int | None = lock
        self._channels = channels
        self._unsaved: list[TimelineItem] = []
        self.outbox = Outbox(connection)
        self.warnings: tuple[str, ...] = ()  # sentences for people, found while opening

    @classmethod
    def open(cls, state_dir: Path, now: datetime, channels: Mapping[str, frozenset[Tag]]) -> Store:
        """Open the store in `state_dir` for this process alone; `channels` says which tags each carries.

        A damaged store is moved aside and a new one begun: the sidecar must not die of it in a loop. Raises
        StoreInUse, StoreTooNew, or StoreError when the directory or the file cannot be used.
        """
        lock = directory.claim(state_dir)
        try:
            warnings = [directory.close_to_others(state_dir)]
            path = state_dir / FILE
            try:
                connection = _open(path)
            except Damaged as damage:
                aside = directory.move_aside(path, now)
                connection = _open(path)
                warnings.append(
                    f"The store was damaged ({damage}); it was moved to {aside} and a new one begun. Its "
                    "incidents, the heals it counted, and what it had not delivered are in the old one."
                )
        except BaseException:
            os.close(lock)
            raise
        store = cls(connection, lock, dict(channels))
        store.warnings = tuple(warning for warning in warnings if warning)
        for warning in store.warnings:
            log.error(warning, extra={"action": "store_opened"})
        try:
            store.load()  # for its warning
        except StoreError:
            store.close()
            raise
        return store

    def close(self) -> None:
        """Give the state directory back. May be called again."""
        self._connection.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def load(self) -> State:
        """The state last saved, or a fresh one. Raises StoreError.

        A state that this version cannot read counts as none; it stays in the store until the next save.
        """
        rows = self._connection.rows("SELECT body FROM state")
        if not rows:
            return State()
        try:
            return _STATE.validate_json(rows[0]["body"])
        except ValidationError as error:
            warning = (
                f"The saved state cannot be read ({error.error_count()} fields differ); the sidecar begins "
                "afresh. Heals before this start are not counted in the budget."
            )
            if warning not in self.warnings:
                log.error(warning, extra={"action": "state_rejected"})
                self.warnings = (*self.warnings, warning)
            return State()

    def save(self, decision: Decision, at: datetime, outgoing: Sequence[Outgoing] = ()) -> None:
        """Store a decision in one transaction: state, timeline, incident, outbox, and the heal's reservation.

        Raises StoreFull or StoreError: then nothing of it is stored and no heal may be started. Its
        notifications and events are kept in memory all the same, sent from there, and stored by the next save
        that works: the caller must not hand them in again.
        """
        items = from_decision(decision, at)
        queued: list[Queued] = []
        for message in outgoing:
            rows = address(message, self._channels, at)
            queued += rows
            if not rows:
                items.append(_to_nobody(message, at))
        with self._connection.lock:
            try:
                with self._connection.transaction() as sqlite:
                    _write_state(sqlite, decision.state, at)
                    write_timeline(sqlite, (*self._unsaved, *items))
                    if decision.incident is not None:
                        incidents.write(sqlite, decision, decision.incident, at)
                    self.outbox.write(sqlite, queued)
                    for effect in decision.effects:
                        if isinstance(effect, StartHeal):
                            _reserve(sqlite, effect.id, decision.incident, at)
            except StoreError:
                self._unsaved += items
                self.outbox.keep(queued)
                raise
            self._unsaved.clear()
            self.outbox.written()

    def note(self, incident: str | None, at: datetime, event: str, source: str, detail: str = "") -> None:
        """Add an event to a timeline; kept in memory while the store cannot take it. Raises StoreError."""
        item = TimelineItem(incident, at, event, source, detail)
        with self._connection.lock:
            try:
                with self._connection.transaction() as sqlite:
                    write_timeline(sqlite, (*self._unsaved, item))
            except StoreError:
                self._unsaved.append(item)
                raise
            self._unsaved.clear()

    def finish_heal(self, id: str, outcome: HealOutcome, detail: str, at: datetime) -> None:
        """Record how a reserved heal ended; the first outcome stays. Raises StoreError."""
        with self._connection.transaction() as sqlite:
            changed = sqlite.execute(
                "UPDATE heal SET outcome = ?, detail = ?, ended_at = ? WHERE id = ? AND outcome IS NULL",
                (outcome.value, detail, stamp(at), id),
            )
            if changed.rowcount:
                ((incident,),) = sqlite.execute("SELECT incident FROM heal WHERE id = ?", (id,))
                write_timeline(sqlite, [TimelineItem(incident, at, f"heal_{outcome}", "heal", detail)])

    def unfinished_heal(self) -> str | None:
        """The heal reserved without an outcome: after a start, an interrupted one. Raises StoreError."""
        rows = self._connection.rows(
            "SELECT id FROM heal WHERE outcome IS NULL ORDER BY reserved_at DESC, id DESC"
        )
        return str(rows[0]["id"]) if rows else None

    def finished_heal(self, id: str) -> HealSeen | None:
        """How heal `id` ended: for a sidecar killed between its end and the next save. Raises StoreError."""
        rows = self._connection.rows(
            "SELECT outcome, detail FROM heal WHERE id = ? AND outcome IS NOT NULL", id
        )
        return HealSeen(id, HealOutcome(rows[0]["outcome"]), rows[0]["detail"]) if rows else None

    def incidents(self, limit: int = 50) -> list[dict[str, Any]]:
        """The newest first: {id, opened_at, restored_at, resolved_at, phase, symptoms, losses, repeated}.

        Raises StoreError.
        """
        return incidents.newest(self._connection, limit)

    def incident(self, id: str) -> dict[str, Any] | None:
        """One incident with its `timeline`, `notifications` and `heals`, each in order. Raises StoreError."""
        return incidents.one(self._connection, id)


def _open(path: Path) -> Connection:
    directory.create_private(path)
    connection = Connection(path)
    try:
        connection.prepare()
    except BaseException:
        connection.close()
        raise
    return connection


def _to_nobody(message: Outgoing, at: datetime) -> TimelineItem:
    tags = ", ".join(sorted(message.tags))
    detail = f"{message.kind}: no channel carries any of its tags ({tags})"
    return TimelineItem(message.incident, at, "notification_to_nobody", "notification", detail)


def _write_state(sqlite: sqlite3.Connection, state: State, at: datetime) -> None:
    sqlite.execute(
        """
        INSERT INTO state (one, saved_at, body) VALUES (1, ?, ?)
        ON CONFLICT (one) DO UPDATE SET saved_at = excluded.saved_at, body = excluded.body
        """,
        (stamp(at), _STATE.dump_json(state).decode()),
    )


def _reserve(sqlite: sqlite3.Connection, id: str, incident: Incident | None, at: datetime) -> None:
    try:
        sqlite.execute(
            "INSERT INTO heal (id, incident, reserved_at) VALUES (?, ?, ?)",
            (id, incident.id if incident else None, stamp(at)),
        )
    except sqlite3.IntegrityError as error:
        raise StoreError(f"Heal {id} was already reserved: it is not started a second time.") from error
