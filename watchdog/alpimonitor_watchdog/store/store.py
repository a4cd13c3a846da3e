"""The sidecar's memory: where an incident stands, what happened, whom it told, which heals it began."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from ..core.model import Decision, StartHeal, State
from ..core.seen import HealSeen
from ..core.words import HealOutcome, Tag
from . import directory, evidence, heals, incidents, saved_state
from .chain import Head
from .directory import Claim
from .errors import StoreError
from .evidence import Evidence, Item
from .heals import KEPT, Ended
from .opening import Opened, in_memory, opened
from .outbox import Outbox, Outgoing, Queued, address
from .retention import Retention
from .timeline import TimelineItem, from_decision, write_timeline

FILE = "watchdog.sqlite"
log = logging.getLogger(__name__)


class Store:
    """SQLite in the state directory; every method may be called from any thread.

    Invariant: whatever happened before the process ended, a reopened store holds the state of one save,
    the last that returned or the one after it, with every notification and reservation up to that save and
    none of a later one. Where that cannot be promised, `trouble` and `heals_unknown` say so.
    """

    def __init__(
        self, found: Opened, claim: Claim, channels: Mapping[str, frozenset[Tag]], now: datetime
    ) -> None:
        """Raises StoreError, Damaged."""
        self._connection = found.connection
        self._claim = claim
        self._channels = channels
        self._now = now
        self._unsaved: list[TimelineItem] = []
        self._unwritten: dict[str, incidents.Row] = {}
        self._unended: dict[str, Ended] = {}
        self._evidence = Evidence(found.connection)
        self._retention = Retention(found.connection, self._evidence)
        self.outbox = Outbox(found.connection)
        self.trouble = found.trouble  # why nothing of it outlives this process; "": it does
        self.warnings = found.warnings  # sentences for people, found while opening
        self.heals_unknown_since = self._gap()

    @classmethod
    def open(cls, state_dir: Path, now: datetime, channels: Mapping[str, frozenset[Tag]]) -> Store:
        """Open the store in `state_dir` for this process alone; `channels` says which tags each carries.

        A damaged store is moved aside and a new one begun with what can be read of it; in place of one that
        is newer or takes no write there is one in memory, with `trouble` set. Raises StoreInUse, and
        StoreError when the path leads through a file.
        """
        claim = directory.claim(state_dir)
        path = state_dir / FILE
        try:
            closing = "" if claim.trouble else directory.close_to_others(state_dir)
            found = in_memory(claim.trouble, path, now) if claim.trouble else opened(path, now)
            store = cls(found, claim, dict(channels), now)
        except BaseException:
            claim.release()
            raise
        store.warnings = tuple(warning for warning in (closing, *found.warnings) if warning)
        for warning in store.warnings:
            log.error(warning, extra={"action": "store_opened"})
        store.load()  # for its warning
        return store

    @property
    def recordable(self) -> bool:
        """Whether what is saved outlives this process: no heal may begin that is forgotten with it."""
        return not self.trouble

    @property
    def heals_unknown(self) -> bool:
        """Whether heals before `heals_unknown_since` may be missing from the budget."""
        return self.heals_unknown_since is not None

    def close(self) -> None:
        """Give the state directory back. May be called again."""
        self._connection.close()
        self._claim.release()
        self._claim = Claim()

    def load(self) -> State:
        """The state last saved; else a fresh one that knows the heals of the last day. Raises StoreError.

        A state that this version cannot read counts as none; it stays in the store until the next save.
        """
        rows = self._connection.rows("SELECT body FROM state")
        state = saved_state.readable(rows[0]["body"]) if rows else None
        if state is not None:
            return state
        if rows:
            warning = (
                "The saved state cannot be read: the sidecar begins afresh, with the heals of the last day "
                "counted in the budget. If an operator had held or paused healing, say it again."
            )
            if warning not in self.warnings:
                log.error(warning, extra={"action": "state_rejected"})
                self.warnings = (*self.warnings, warning)
        return saved_state.fresh(heals.recent(self._connection, self._now), self._now)

    def save(self, decision: Decision, at: datetime, outgoing: Sequence[Outgoing] = ()) -> None:
        """Store a decision in one transaction: state, timeline, incident, outbox, and the heal's reservation.

        Raises StoreFull or StoreError: then nothing of it is stored and no heal may be started. Its
        incident, events and notifications are kept in memory all the same, sent from there, and stored by the
        next save that works: the caller must not hand them in again. Evidence that waits is stored with it.
        """
        items = from_decision(decision, at)
        queued: list[Queued] = []
        for message in outgoing:
            rows = address(message, self._channels, at)
            queued += rows
            if not rows:
                items.append(_to_nobody(message, at))
        incident = decision.incident
        about = {incident.id: incidents.as_row(decision, incident, at)} if incident else {}
        begun = [effect.id for effect in decision.effects if isinstance(effect, StartHeal)]
        with self._connection.lock:
            try:
                if begun and not self.recordable:
                    raise StoreError(f"Heal {begun[0]} could not be recorded. {self.trouble}")
                with self._connection.transaction() as sqlite:
                    saved_state.write(sqlite, decision.state, at)
                    write_timeline(sqlite, (*self._unsaved, *items))
                    for row in (self._unwritten | about).values():
                        incidents.write(sqlite, row)
                    self.outbox.write(sqlite, queued)
                    for ended in self._unended.values():
                        heals.end(sqlite, ended)
                    self._evidence.write(sqlite)
                    for id in begun:
                        heals.reserve(sqlite, id, incident, at)
            except StoreError:
                self._unsaved += items
                self._unwritten |= about
                self.outbox.keep(queued)
                raise
            self._unsaved.clear()
            self._unwritten.clear()
            self._unended.clear()
            self.outbox.written(queued)
            self._evidence.written()

    def keep(self, items: Sequence[Item], at: datetime) -> None:
        """Append evidence to the chain, at once; what was read before is kept once.

        Raises StoreError; then it is in the chain all the same, held in memory, and stored by the next call
        or save that works: the caller must not hand it in again.
        """
        self._evidence.keep(items, at)

    @property
    def evidence_head(self) -> Head:
        """The end of the chain of evidence, with what is held in memory."""
        return self._evidence.head

    def attach(self, incident: str, since: datetime) -> None:
        """Give `incident` the evidence that was seen since `since` while none was open; the chain stays.

        Raises StoreError; then it is done by the next call or save that works.
        """
        self._evidence.attach(incident, since)

    def evidence(self, incident: str | None = None, limit: int = 1000) -> list[dict[str, Any]]:
        """The newest rows of the chain, of `incident` or of all, in order; at most `limit`.

        Each is {id, at, kind, incident, key, body, previous, hash}. Raises StoreError.
        """
        return [evidence.as_json(row) for row in evidence.newest(self._connection, incident, limit)]

    def prune(self, now: datetime) -> None:
        """Let go of what is too old, for a few milliseconds and once an hour. Raises nothing."""
        self._retention.prune(now)

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
        """Record how a reserved heal ended; the first outcome stays.

        Raises StoreError; then it is kept in memory and stored by the next save that works.
        """
        with self._connection.lock:
            self._unended.setdefault(id, Ended(id, outcome, detail, at))
            with self._connection.transaction() as sqlite:
                for ended in self._unended.values():
                    heals.end(sqlite, ended)
            self._unended.clear()

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
        """The newest first: {id, key, opened_at, restored_at, resolved_at, phase, symptoms, losses, repeated,
        acknowledged_at, acknowledged_by, verdict}. Raises StoreError.
        """
        return incidents.newest(self._connection, limit)

    def incident(self, id: str) -> dict[str, Any] | None:
        """One incident with its `timeline`, `notifications` and `heals`, each in order.

        Its `evidence` is {count, head}: how many rows it has, and the hash of the last. Raises StoreError.
        """
        return incidents.one(self._connection, id)

    def timeline(self, limit: int = 50) -> list[dict[str, Any]]:
        """The newest events first, of any incident and of none: {incident, at, event, source, detail}.

        Raises StoreError.
        """
        return incidents.events(self._connection, limit)

    def _gap(self) -> datetime | None:
        rows = self._connection.rows("SELECT at FROM salvage WHERE heals_unknown")
        since = datetime.fromisoformat(rows[0]["at"]) if rows else None
        return since if since and self._now - since < KEPT else None


def _to_nobody(message: Outgoing, at: datetime) -> TimelineItem:
    tags = ", ".join(sorted(message.tags))
    detail = f"{message.kind}: no channel carries any of its tags ({tags})"
    return TimelineItem(message.incident, at, "notification_to_nobody", "notification", detail)
