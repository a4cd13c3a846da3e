"""What the store lets go of, and when; and that the chain holds at every moment."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from alpimonitor_watchdog.core.model import Decision, Incident, StartHeal, State, Transition
from alpimonitor_watchdog.core.seen import Findings
from alpimonitor_watchdog.core.words import HealOutcome, Phase, Reason
from alpimonitor_watchdog.store import EvidenceKind, Item, Store, StoreFull, retention
from alpimonitor_watchdog.store import evidence as kept
from alpimonitor_watchdog.store.chain import Verified, verify
from alpimonitor_watchdog.store.connection import Connection
from alpimonitor_watchdog.store.reading import reading
from tests.stored import AT, CHANNELS, INCIDENT, OPENED

DAY = timedelta(days=1)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path, AT, CHANNELS)
    yield opened
    opened.close()


def incident(id: str) -> Incident:
    return replace(INCIDENT, id=id)


def begin(store: Store, id: str, at: datetime) -> None:
    """Open an incident with a heal, a notification to each channel and a piece of evidence."""
    moves = (Transition(Phase.HEALTHY, Phase.OPEN, Reason.LOSS_CONFIRMED),)
    state = State(phase=Phase.OPEN, incident=incident(id))
    decision = Decision(state, Findings(), moves, (StartHeal(f"{id}-h"),), incident=incident(id))
    store.save(decision, at, [replace(OPENED, incident=id)])
    store.finish_heal(f"{id}-h", HealOutcome.SUCCEEDED, "", at)
    store.keep([piece(at, id)], at)


def resolve(store: Store, id: str, at: datetime) -> None:
    moves = (Transition(Phase.OPEN, Phase.RESOLVED, Reason.SYMPTOMS_CLEARED),)
    store.save(Decision(State(phase=Phase.RESOLVED), Findings(), moves, incident=incident(id)), at)


def deliver(store: Store, at: datetime) -> None:
    for channel in CHANNELS:
        for queued in store.outbox.pending(channel):
            store.outbox.delivered(queued, at)


def piece(at: datetime, incident: str | None = None, body: str = "") -> Item:
    return Item(EvidenceKind.ACTIVITY, incident, at, {"backends": [body]})


def verified(directory: Path, sought: str | None = None) -> Verified:
    with reading(directory) as connection:
        return verify(kept.anchor(connection), kept.every(connection), sought)


def tables(directory: Path) -> dict[str, int]:
    with closing(sqlite3.connect(directory / "watchdog.sqlite")) as sqlite:
        return {
            table: sqlite.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("incident", "timeline", "outbox", "heal", "evidence", "evidence_of_incident")
        }


def test_what_is_older_than_30_days_goes_with_its_incident(store: Store, tmp_path: Path) -> None:
    store.note(None, AT, "suspected", "decision")
    store.keep([piece(AT)], AT)
    begin(store, "old", AT)
    store.attach("old", AT)
    resolve(store, "old", AT)
    deliver(store, AT)
    store.prune(AT + 30 * DAY)
    assert 0 not in tables(tmp_path).values(), "it is 30 days old, and not older"
    store.prune(AT + 31 * DAY)
    store.prune(AT + 31 * DAY)
    assert set(tables(tmp_path).values()) == {0}
    assert store.evidence_head.count == 2
    store.keep([piece(AT + 31 * DAY)], AT + 31 * DAY)
    found = verified(tmp_path)
    assert found.holds
    assert (found.rows, found.head.count) == (1, 3)


@pytest.mark.parametrize("resolved", [False, True])
def test_an_incident_that_is_open_or_was_until_lately_keeps_all_it_has(
    store: Store, tmp_path: Path, resolved: bool
) -> None:
    store.keep([piece(AT - DAY), piece(AT)], AT)
    begin(store, "open", AT)
    store.attach("open", AT)
    store.keep([piece(AT)], AT)
    deliver(store, AT)
    if resolved:
        resolve(store, "open", AT + 35 * DAY)
    before = tables(tmp_path)
    store.prune(AT + 40 * DAY)
    assert tables(tmp_path) == before | {"evidence": 3}, "the first alone is no evidence of it"
    assert verified(tmp_path).holds


def test_what_waits_for_delivery_stays(store: Store, tmp_path: Path) -> None:
    begin(store, "old", AT)
    resolve(store, "old", AT)
    (queued,) = store.outbox.pending("ops")
    store.outbox.delivered(queued, AT)
    store.prune(AT + 40 * DAY)
    store.prune(AT + 40 * DAY)
    assert tables(tmp_path)["outbox"] == 1
    assert [left.channel for left in store.outbox.pending("pager")] == ["pager"]


def test_a_heal_without_an_end_stays(store: Store, tmp_path: Path) -> None:
    begin(store, "old", AT)
    moves = (Transition(Phase.OPEN, Phase.HEALING, Reason.GUARDS_HOLD),)
    state = State(phase=Phase.HEALING, incident=incident("old"))
    store.save(Decision(state, Findings(), moves, (StartHeal("h2"),), incident=incident("old")), AT)
    resolve(store, "old", AT)
    store.prune(AT + 40 * DAY)
    store.prune(AT + 40 * DAY)
    assert store.unfinished_heal() == "h2"
    assert tables(tmp_path)["heal"] == 1


def test_it_is_done_in_turns_and_then_once_an_hour(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 3)
    monkeypatch.setattr(retention, "BATCHES", 2)
    store.keep([piece(AT) for _ in range(14)], AT)
    now = AT + 31 * DAY
    left = []
    for minute in range(4):
        store.prune(now + timedelta(minutes=minute))
        left.append(tables(tmp_path)["evidence"])
        assert verified(tmp_path).holds
    assert left == [8, 2, 0, 0]
    store.keep([piece(AT)], AT)
    for minutes, found in ((30, 1), (59, 1), (70, 0)):
        store.prune(now + timedelta(minutes=minutes))
        assert tables(tmp_path)["evidence"] == found, minutes


def test_of_too_many_pieces_the_oldest_go_and_one_gap_says_so(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "ROWS_AT_MOST", 100)
    begin(store, "open", AT)
    for _ in range(6):
        store.keep([piece(AT, "open") for _ in range(60)], AT)
        head = store.evidence_head
        store.prune(AT)
        assert tables(tmp_path)["evidence"] <= 100
        found = verified(tmp_path, head.hash)
        assert found.holds
        assert found.after_sought == store.evidence_head.count - head.count <= 1
    gaps = [row["body"] for row in store.evidence() if row["kind"] == "gap"]
    assert {gap["cause"] for gap in gaps} == {"too_much"}
    assert gaps[-1]["says"].startswith(f"The oldest {gaps[-1]['pieces']} pieces")


def test_a_store_that_evidence_makes_too_large_lets_the_oldest_go(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BYTES_AT_MOST", 2_000_000)
    monkeypatch.setattr(retention, "_FEW", 10)
    store.keep([piece(AT, body="x" * 20_000) for _ in range(150)], AT)
    counts = []
    for minute in range(12):
        store.prune(AT + timedelta(minutes=minute))
        counts.append(tables(tmp_path)["evidence"])
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] == counts[-2] < 100
    assert verified(tmp_path).holds


def test_a_store_that_cannot_be_written_is_pruned_later(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store.keep([piece(AT)], AT)
    now = AT + 31 * DAY

    def full(connection: Connection) -> None:
        raise StoreFull("no space left")

    with monkeypatch.context() as disk:
        disk.setattr(Connection, "transaction", full)
        store.prune(now)
        store.prune(now)
    assert [record.message for record in caplog.records] == [
        "What is too old could not be pruned: no space left"
    ]
    assert (tables(tmp_path)["evidence"], verified(tmp_path).holds) == (1, True)
    store.prune(now + timedelta(hours=1))
    assert tables(tmp_path)["evidence"] == 0


def test_an_anchor_outlives_the_process(store: Store, tmp_path: Path) -> None:
    store.keep([piece(AT), piece(AT), piece(AT + DAY)], AT)
    store.prune(AT + 31 * DAY)
    store.close()
    with closing(Store.open(tmp_path, AT, CHANNELS)) as again:
        again.keep([piece(AT)], AT)
        assert again.evidence_head.count == 4
    with reading(tmp_path) as connection:
        anchor = kept.anchor(connection)
    assert (anchor.id, anchor.pieces, anchor.until) == (2, 2, "2026-04-21T12:10:00.000Z")
    assert verified(tmp_path).holds
