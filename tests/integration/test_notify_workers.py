"""Draining the outbox into real targets: order, repetition, patience, and nothing lost."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from alpimonitor_rehearsal.pager import Fault, Pager
from alpimonitor_watchdog.core.messages import Message
from alpimonitor_watchdog.core.model import Decision, State
from alpimonitor_watchdog.core.seen import Findings
from alpimonitor_watchdog.core.words import Kind, Tag
from alpimonitor_watchdog.notify import Channel, Notifier, Persistence
from alpimonitor_watchdog.notify.channel import Parcel, Sends
from alpimonitor_watchdog.notify.notifier import ChannelWorker
from alpimonitor_watchdog.store import Outgoing, Store

AT = datetime(2026, 4, 21, 12, 10, tzinfo=UTC)
CHANNELS = {"ops": frozenset({Tag.NOTIFY}), "pager": frozenset({Tag.NOTIFY, Tag.PAGE})}
QUIET = Decision(State(), Findings())


@dataclass
class Meter:
    counts: Counter[str] = field(default_factory=Counter)
    length: int | None = None

    def delivered(self, channel: str) -> None:
        self.counts[f"{channel} delivered"] += 1

    def delivery_failed(self, channel: str) -> None:
        self.counts[f"{channel} failed"] += 1

    def given_up(self, channel: str) -> None:
        self.counts[f"{channel} given up"] += 1

    def queued(self, length: int) -> None:
        self.length = length


@dataclass
class Clocks:
    """Both clocks, moved by hand."""

    seconds: float = 0.0

    def utc(self) -> datetime:
        return AT + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds


@dataclass
class Desk:
    """A store, a pager, and one worker that is drained by hand."""

    store: Store
    pager: Pager
    clocks: Clocks = field(default_factory=Clocks)
    meter: Meter = field(default_factory=Meter)
    persistence: Persistence = field(default_factory=Persistence)

    def worker(self, channel: Sends | None = None) -> ChannelWorker:
        return ChannelWorker(
            "ops",
            channel or Channel("ops", f"{self.pager.apprise_url}ops"),
            self.store.outbox,
            clock=self.clocks.utc,
            monotonic=self.clocks.monotonic,
            meter=self.meter,
            persistence=self.persistence,
        )

    def decide(self, *titles: str, incident: str = "i1", tags: frozenset[Tag] = CHANNELS["ops"]) -> None:
        messages = [Message(title, "Nothing to do.") for title in titles]
        outgoing = [Outgoing(incident, Kind.OPENED, tags, message) for message in messages]
        self.store.save(QUIET, self.clocks.utc(), outgoing)

    @property
    def received(self) -> list[str]:
        return [receipt.title for receipt in self.pager.receipts]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    store = Store.open(tmp_path, AT, CHANNELS)
    with Pager() as pager:
        yield Desk(store, pager)
    store.close()


def join_senders() -> None:
    for thread in threading.enumerate():
        if thread.name == "send":
            thread.join(10)


def notifier(desk: Desk, *channels: Channel) -> Notifier:
    return Notifier(
        channels,
        desk.store.outbox,
        clock=desk.clocks.utc,
        monotonic=desk.clocks.monotonic,
        meter=desk.meter,
        persistence=desk.persistence,
    )


# ---- one channel, drained by hand ---


def test_notifications_of_an_incident_arrive_in_order(desk: Desk) -> None:
    desk.decide("opened", "restored", "resolved")
    assert desk.worker().drain() is None
    assert desk.received == ["opened", "restored", "resolved"]
    assert desk.meter.counts == {"ops delivered": 3}


def test_a_failed_notification_holds_back_those_after_it_and_no_other_incident(desk: Desk) -> None:
    desk.decide("opened", "resolved")
    desk.decide("another opened", incident="i2")
    desk.pager.fault(Fault.ERROR_500, times=1)
    worker = desk.worker()
    assert worker.drain() == 1.0
    assert desk.received == ["another opened"]
    desk.clocks.seconds = 1.0
    assert worker.drain() is None
    assert desk.received == ["another opened", "opened", "resolved"]


def test_every_attempt_carries_the_same_key_and_every_notification_its_own(desk: Desk) -> None:
    desk.decide("opened", "resolved")
    desk.pager.fault(Fault.TOO_MANY_429, times=2)
    worker = desk.worker()
    for seconds in (0.0, 1.0, 3.0):
        desk.clocks.seconds = seconds
        worker.drain()
    keys = [attempt.idempotency_key for attempt in desk.pager.attempts]
    assert [attempt.title for attempt in desk.pager.attempts] == ["opened"] * 3 + ["resolved"]
    assert keys[0] == keys[1] == keys[2] != keys[3]
    assert all(keys)


def test_the_wait_doubles_up_to_a_minute_and_nothing_is_sent_before_it_is_over(desk: Desk) -> None:
    desk.decide("opened")
    desk.pager.fault(Fault.ERROR_500)
    worker = desk.worker()
    waits = []
    for _ in range(9):
        wait = worker.drain()
        assert wait is not None
        waits.append(wait)
        desk.clocks.seconds += wait - 0.5
        attempts = len(desk.pager.attempts)
        assert worker.drain() == 0.5
        assert len(desk.pager.attempts) == attempts
        desk.clocks.seconds += 0.5
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_a_restart_tries_at_once_and_goes_on_waiting_as_long_as_before(desk: Desk) -> None:
    desk.decide("opened")
    desk.pager.fault(Fault.ERROR_500)
    worker = desk.worker()
    for _ in range(4):
        desk.clocks.seconds += worker.drain() or 0.0
    assert desk.worker().drain() == 16.0
    assert len(desk.pager.attempts) == 5


@pytest.mark.parametrize(
    ("tries", "age", "given_up"),
    [
        (2, timedelta(hours=25), False),  # a sidecar that was stopped for a day
        (5, timedelta(minutes=1), False),  # a target that is down for the night
        (3, timedelta(hours=24), True),
    ],
)
def test_a_notification_is_given_up_only_when_it_is_old_and_was_often_tried(
    desk: Desk, tries: int, age: timedelta, given_up: bool
) -> None:
    desk.persistence = Persistence(give_up_tries=3)
    desk.decide("opened", "resolved")
    desk.pager.fault(Fault.ERROR_500, times=tries)
    worker = desk.worker()
    for attempt in range(tries):
        if attempt == tries - 1:
            desk.clocks.seconds = max(age.total_seconds(), desk.clocks.seconds)
        wait = worker.drain()
        desk.clocks.seconds += wait or 0.0
    assert desk.store.outbox.counts()["ops"]["dead"] == (1 if given_up else 0)
    assert desk.meter.counts["ops given up"] == (1 if given_up else 0)
    assert desk.received == (["resolved"] if given_up else [])
    if given_up:
        incident_events = desk.store._connection.rows("SELECT event, detail FROM timeline ORDER BY id")
        assert incident_events[1]["event"] == "notification_given_up"
        assert incident_events[1]["detail"].endswith("answered 500")


def test_an_attempt_that_ends_late_counts_and_is_not_repeated(desk: Desk) -> None:
    """A mail server that takes twelve seconds must not deliver the same mail all night."""
    answer = threading.Event()
    sent = []

    class Slow:
        def send(self, parcel: Parcel) -> str:
            sent.append(parcel.key)
            answer.wait(30)
            return ""

    desk.persistence = Persistence(deadline=0.05)
    desk.decide("opened")
    worker = desk.worker(Slow())
    assert worker.drain() == 1.0
    assert desk.store.outbox.queue_length() == 2, "unknown is not delivered"
    desk.clocks.seconds = 1.0
    assert worker.drain() == 2.0
    answer.set()
    join_senders()
    desk.clocks.seconds = 3.0
    assert worker.drain() is None
    assert len(sent) == 1
    assert desk.store.outbox.counts()["ops"]["delivered"] == 1


def test_an_attempt_that_hangs_on_is_begun_again_with_the_same_key_and_not_without_end(desk: Desk) -> None:
    end = threading.Event()
    sent: list[str] = []

    class Hangs:
        def send(self, parcel: Parcel) -> str:
            sent.append(parcel.key)
            end.wait(30)
            return "hung up"

    desk.persistence = Persistence(deadline=0.01, patience=60.0)
    desk.decide("opened")
    worker = desk.worker(Hangs())
    for minute in range(12):
        desk.clocks.seconds = minute * 60.0
        worker.drain()
    assert len(sent) == 4, "one a minute, until too many hang"
    assert len(set(sent)) == 1
    end.set()
    join_senders()
    desk.clocks.seconds = 12 * 60.0
    worker.drain()
    assert len(sent) == 5, "once they have ended, it goes on"


def test_a_full_disk_does_not_keep_people_from_being_told_once(desk: Desk) -> None:
    desk.decide("opened")
    sqlite = desk.store._connection._sqlite
    (pages,) = sqlite.execute("PRAGMA page_count").fetchone()
    sqlite.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(Exception, match="disk is full"):
        desk.decide("x" * 100_000)
    worker = desk.worker()
    for seconds in range(5):
        desk.clocks.seconds = float(seconds)
        worker.drain()
    assert [title[:6] for title in desk.received] == ["opened", "xxxxxx"]
    assert desk.store.outbox.counts()["ops"] == {"queued": 0, "delivered": 2, "dead": 0}


# ---- all channels, in their threads ---


def test_a_target_that_hangs_delays_no_other(desk: Desk) -> None:
    with Pager() as hanging:
        hanging.fault(Fault.HANG)
        desk.decide("opened", tags=frozenset({Tag.NOTIFY}))
        running = notifier(
            desk,
            Channel("ops", hanging.apprise_url),
            Channel("pager", desk.pager.apprise_url),
        )
        running.start()
        hanging.wait_for(lambda receipts: len(receipts) == 1)
        desk.pager.wait_for(lambda receipts: len(receipts) == 1)
        desk.decide("resolved")
        running.wake()
        desk.pager.wait_for(lambda receipts: len(receipts) == 2)
        running.stop(deadline=0.0)
    assert desk.received == ["opened", "resolved"]
    assert len(hanging.receipts) == 1


def test_each_channel_gets_what_carries_its_tags(desk: Desk) -> None:
    running = notifier(
        desk,
        Channel("ops", f"{desk.pager.apprise_url}ops"),
        Channel("pager", f"{desk.pager.apprise_url}pager"),
    )
    running.start()
    desk.decide("told", tags=frozenset({Tag.NOTIFY}))
    running.wake()
    desk.pager.wait_for(lambda receipts: len(receipts) == 2)
    desk.decide("paged", tags=frozenset({Tag.PAGE}))
    running.wake()
    desk.pager.wait_for(lambda receipts: len(receipts) == 3)
    running.stop(deadline=10.0)
    assert sorted((receipt.title, receipt.path) for receipt in desk.pager.receipts) == [
        ("paged", "/pager"),
        ("told", "/ops"),
        ("told", "/pager"),
    ]
    assert desk.meter.length == 0


def test_stopping_delivers_what_is_due(desk: Desk) -> None:
    running = notifier(desk, Channel("ops", desk.pager.apprise_url))
    running.start()
    desk.decide("resolved")
    running.stop(deadline=10.0)
    assert desk.received == ["resolved"]


def test_a_channel_taken_out_of_the_settings_loses_nothing_silently(desk: Desk) -> None:
    desk.decide("opened")
    running = notifier(desk, Channel("pager", desk.pager.apprise_url))
    running.start()
    running.stop(deadline=10.0)
    rows = desk.store._connection.rows("SELECT channel, status, error FROM outbox ORDER BY id")
    assert [(row["channel"], row["status"], row["error"]) for row in rows] == [
        ("ops", "queued", "no channel ops is declared any more"),
        ("pager", "delivered", ""),
    ]
    again = notifier(desk, Channel("ops", desk.pager.apprise_url), Channel("pager", desk.pager.apprise_url))
    again.start()
    again.stop(deadline=10.0)
    assert desk.received == ["opened", "opened"]


def test_without_any_channel_nothing_is_queued_and_the_timeline_says_so(tmp_path: Path) -> None:
    store = Store.open(tmp_path, AT, {})
    outgoing = Outgoing("i1", Kind.OPENED, frozenset({Tag.NOTIFY}), Message("opened", ""))
    store.save(QUIET, AT, [outgoing])
    clocks = Clocks()
    running = Notifier([], store.outbox, clock=clocks.utc, monotonic=clocks.monotonic, meter=Meter())
    running.start()
    running.stop(deadline=1.0)
    assert store.outbox.queue_length() == 0
    rows = store._connection.rows("SELECT event, detail FROM timeline")
    assert rows == [
        {
            "event": "notification_to_nobody",
            "detail": "opened: no channel carries any of its tags (notify)",
        }
    ]
    store.close()
