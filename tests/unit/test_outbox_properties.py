"""The outbox against a store that fails at random: nothing is lost, or sent again once settled."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from alpimonitor_watchdog.core.messages import Message
from alpimonitor_watchdog.core.words import Kind
from alpimonitor_watchdog.store import Queued, Store, StoreError, StoreFull
from alpimonitor_watchdog.store.connection import Connection
from alpimonitor_watchdog.store.directory import Claim
from alpimonitor_watchdog.store.opening import Opened
from tests.stored import AT, CHANNELS, OPENED, opening

INCIDENTS = ("first", "second")


class Brittle(Connection):
    """A connection whose transactions fail as on a full disk: before they begin, or when they are to end."""

    full = ""  # "", "begin" or "commit"

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        if self.full == "begin":
            raise StoreFull("full")
        with super().transaction() as sqlite:
            yield sqlite
            if self.full == "commit":
                raise StoreFull("full")


class OutboxMachine(RuleBasedStateMachine):
    """The model: for each channel and incident, the titles that wait, in order; and how the others ended."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.number = 0
        self.waiting: dict[tuple[str, str], list[str]] = {}
        self.ended = {channel: {"delivered": 0, "dead": 0} for channel in CHANNELS}
        self.keys: dict[tuple[str, str], str] = {}
        self.open()

    def open(self) -> None:
        self.connection = Brittle(Path(self.folder.name) / "watchdog.sqlite")
        self.connection.prepare()
        self.connection._sqlite.execute("PRAGMA synchronous = OFF")  # no power is cut here
        self.store = Store(Opened(self.connection), Claim(), CHANNELS, AT)

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
            self.folder.cleanup()

    @rule(full=st.sampled_from(["", "begin", "commit"]))
    def disk(self, full: str) -> None:
        self.connection.full = full

    @rule(incidents=st.lists(st.sampled_from(INCIDENTS), max_size=3))
    def save(self, incidents: list[str]) -> None:
        outgoing = []
        for incident in incidents:
            self.number += 1
            title = str(self.number)
            outgoing.append(replace(OPENED, incident=incident, message=Message(title, "")))
            for channel in CHANNELS:
                self.waiting.setdefault((channel, incident), []).append(title)
        with suppress(StoreError):
            self.store.save(opening(), AT, outgoing)

    def head(self, channel: str, incident: str) -> Queued | None:
        heads = [queued for queued in self.store.outbox.pending(channel) if queued.incident == incident]
        return heads[0] if heads else None

    @rule(
        channel=st.sampled_from(sorted(CHANNELS)),
        incident=st.sampled_from(INCIDENTS),
        end=st.sampled_from(["delivered", "dead", "failed"]),
    )
    def attempt(self, channel: str, incident: str, end: str) -> None:
        queued = self.head(channel, incident)
        if queued is None:
            return
        with suppress(StoreError):
            match end:
                case "delivered":
                    self.store.outbox.delivered(queued, AT)
                case "dead":
                    self.store.outbox.dead(queued, AT, "answered 410")
                case _:
                    self.store.outbox.failed(queued, AT, "answered 500")
        if end == "failed":
            again = self.head(channel, incident)
            assert again == replace(queued, attempts=queued.attempts + 1)
        else:
            self.waiting[channel, incident].pop(0)
            self.ended[channel][end] += 1

    @precondition(lambda self: not self.connection.full)
    @rule()
    def restart_once_it_could_write(self) -> None:
        self.store.save(opening(), AT)
        self.store.close()
        self.open()

    @invariant()
    def what_waits_is_what_is_sent_next(self) -> None:
        if not hasattr(self, "store"):
            return
        for (channel, incident), titles in self.waiting.items():
            queued = self.head(channel, incident)
            assert (queued.message.title if queued else None) == (titles[0] if titles else None)
            if queued is not None:
                assert queued.kind is Kind.OPENED
                assert self.keys.setdefault((channel, queued.message.title), queued.key) == queued.key
        counts = self.store.outbox.counts()
        for channel, ended in self.ended.items():
            left = sum(len(titles) for (name, _), titles in self.waiting.items() if name == channel)
            expected = {"queued": left, **ended}
            assert counts.get(channel, {"queued": 0, "delivered": 0, "dead": 0}) == expected
        assert self.store.outbox.queue_length() == sum(map(len, self.waiting.values()))


OutboxMachine.TestCase.settings = settings(
    database=None, max_examples=60, stateful_step_count=30, deadline=None
)
TestOutbox = OutboxMachine.TestCase


def test_what_a_kill_takes_along_is_only_what_was_never_stored(tmp_path: Path) -> None:
    """The other side of the promise: after a kill on a full disk, the last thing stored is what there is."""
    connection = Brittle(tmp_path / "watchdog.sqlite")
    connection.prepare()
    store = Store(Opened(connection), Claim(), CHANNELS, AT)
    store.save(opening(), AT, [OPENED])
    (queued,) = store.outbox.pending("ops")
    connection.full = "commit"
    with suppress(StoreError):
        store.outbox.delivered(queued, AT)
    assert store.outbox.pending("ops") == []
    store.close()  # as a kill would: nothing is written
    with closing(Connection(tmp_path / "watchdog.sqlite")) as again:
        again.prepare()
        repeated = Store(Opened(again), Claim(), CHANNELS, AT).outbox.pending("ops")
        assert [each.key for each in repeated] == [queued.key], "a repeat carries the same key"
