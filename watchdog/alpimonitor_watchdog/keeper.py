"""Keeps what a tick saw of recorder and database as evidence: at once, before anything is decided."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

from .core.attribution import who_in_full
from .core.evidence import DESTRUCTIVE, Attribution, Event
from .core.messages import Chain
from .core.model import Decision, State
from .core.seen import Expectation, Observation
from .core.sentences import REASON_LENGTH, plain
from .core.verdict import Verdict, same
from .store import StoreError
from .store.chain import Head
from .store.copying import Copied, items_of, verdict_item
from .store.evidence import Item

log = logging.getLogger(__name__)
_ACTS_TOLD = 10  # transactions of one look that get a line of their own in the timeline


class KeepsEvidence(Protocol):
    """The part of the store that this writes to. Each raises StoreError, and has kept it all the same."""

    @property
    def evidence_head(self) -> Head: ...
    def keep(self, items: Sequence[Item], at: datetime) -> None: ...
    def attach(self, incident: str, since: datetime) -> None: ...
    def note(self, incident: str | None, at: datetime, event: str, source: str, detail: str = "") -> None: ...


class Keeper:
    """Belongs to the loop's thread."""

    def __init__(self, store: KeepsEvidence, state: State) -> None:
        """`state` is the saved one: what it knows needs no keeping again."""
        self._store = store
        self._copied = Copied(newest=state.fingerprint, fingerprint=state.fingerprint)
        self._judged: Verdict | None = state.incident.verdict if state.incident else None
        self._incident = state.incident.id if state.incident else None

    @property
    def chain(self) -> Chain:
        """The end of the chain, for notifications."""
        head = self._store.evidence_head
        return Chain(head.hash, head.count)

    def copy(self, seen: Observation, state: State) -> None:
        """Before the decision: a sidecar that is killed in between has it all the same."""
        incident = state.incident.id if state.incident else None
        items, self._copied = items_of(seen.database, self._copied, incident=incident, at=seen.at)
        self._keep(items, seen.at)

    def conclude(self, decision: Decision, at: datetime) -> None:
        """After the decision: what was seen before the incident had a name is its own, and its verdict."""
        incident = decision.state.incident
        if incident is None:
            self._incident = self._judged = None
            return
        if incident.id != self._incident:
            since = at - timedelta(seconds=decision.state.lived - decision.state.whole_lived)
            try:
                self._store.attach(incident.id, since)
            except StoreError as error:
                self._say(error)
            self._incident, self._judged = incident.id, None
        if incident.verdict is not None and not same(incident.verdict, self._judged):
            self._judged = incident.verdict
            self._keep([verdict_item(incident.verdict, incident=incident.id, at=at)], at)

    def tell(self, seen: Observation, incident: str | None, expected: Expectation) -> None:
        """A line in the timeline for each transaction that took context rows. Raises StoreError."""
        recorder = seen.database.recorder
        context = {table.name for table in expected.tables if table.context}
        acts: dict[int, list[Event]] = {}
        for event in recorder.events if recorder else ():
            if event.operation in DESTRUCTIVE and event.table in context:
                acts.setdefault(event.transaction, []).append(event)
        for events in list(acts.values())[:_ACTS_TOLD]:
            self._store.note(incident, events[0].at, "recorded", "recorder", _told(events))
        if len(acts) > _ACTS_TOLD:
            more = f"and {len(acts) - _ACTS_TOLD} more transactions"
            self._store.note(incident, seen.at, "recorded", "recorder", more)

    def _keep(self, items: Sequence[Item], at: datetime) -> None:
        if not items:
            return
        try:
            self._store.keep(items, at)
        except StoreError as error:
            self._say(error)

    def _say(self, error: StoreError) -> None:
        log.error("Evidence waits in memory: %s", error, extra={"action": "evidence_waits"})


def _told(events: Sequence[Event]) -> str:
    """What one transaction did, and who ran it."""
    did = ", ".join(
        f"{event.operation} on {event.table}" + (f" took {event.rows}" if event.rows is not None else "")
        for event in events
    )
    last = events[-1]
    session = Attribution(
        role=last.role,
        application_name=last.application_name,
        client_addr=last.client_addr,
        pid=last.pid,
        transaction=last.transaction,
        statement="",
        session_role=last.session_role if last.session_role != last.role else None,
    )
    stated = f"; reason stated: {plain(last.reason, REASON_LENGTH)}" if last.reason else ""
    return f"{did}: {who_in_full(session)}{stated}"
