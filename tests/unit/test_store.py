"""The sidecar's store: what it keeps, in which order it lets go of it, and how it refuses."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from alpimonitor_watchdog.core.messages import Message
from alpimonitor_watchdog.core.model import (
    Decision,
    Heal,
    HealRecord,
    StartHeal,
    State,
    Streak,
    Transition,
)
from alpimonitor_watchdog.core.seen import Findings, PlanSeen
from alpimonitor_watchdog.core.words import HealOutcome, Kind, Phase, Reason, Symptom, Tag
from alpimonitor_watchdog.store import (
    Severity,
    Store,
    StoreError,
    StoreFull,
    StoreInUse,
)
from tests.stored import AT, CHANNELS, INCIDENT, OPENED, RESOLVED, opening, resolving


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path / "state", AT, CHANNELS)
    yield opened
    opened.close()


def reopened(store: Store, tmp_path: Path) -> Store:
    store.close()
    return Store.open(tmp_path / "state", AT, CHANNELS)


def suspecting(after: Phase, before: Phase) -> Decision:
    return Decision(State(phase=after), Findings(), (Transition(before, after, Reason.SYMPTOM_SEEN),))


# ---- state ---


def test_a_new_store_begins_with_a_fresh_state(store: Store) -> None:
    assert store.load() == State()
    assert store.warnings == ()


def test_every_field_of_the_state_survives(store: Store, tmp_path: Path) -> None:
    state = State(
        phase=Phase.HEALING,
        lived=1234.5,
        phase_lived=1230.0,
        streaks=(Streak(Symptom.CONTEXT_EMPTY, AT, probes=3, lasted=2.5, stalled=True),),
        clear_probes=1,
        incident=replace(INCIDENT, refused=Reason.BUDGET_SPENT, restored_at=AT, restored_lived=7.0),
        plan=PlanSeen(number=3, inserts=(("station", 7),)),
        plan_number=4,
        planning=True,
        planned_for=INCIDENT.losses,
        planned_lived=1230.5,
        heal=Heal("h1", AT, 1231.0),
        heals=(HealRecord(1.0, 2.0, succeeded=True, undone=True),),
        series=2,
        next_id=3,
        next_heal=4,
    )
    store.save(replace(opening(), state=state), AT)
    again = reopened(store, tmp_path)
    assert again.load() == state
    again.close()


def test_a_state_that_cannot_be_read_begins_afresh_and_keeps_the_outbox(store: Store, tmp_path: Path) -> None:
    store.save(opening(), AT, [OPENED])
    store.close()
    with sqlite3.connect(tmp_path / "state" / "watchdog.sqlite") as sqlite:
        sqlite.execute("UPDATE state SET body = ?", (json.dumps({"phase": "levitating"}),))
    sqlite.close()
    again = Store.open(tmp_path / "state", AT, CHANNELS)
    assert again.load() == State()
    assert again.outbox.queue_length() == 2
    assert "begins afresh" in again.warnings[0]
    assert "budget" in again.warnings[0]
    assert "say it again" in again.warnings[0]
    assert not again.heals_unknown
    again.close()


def test_without_a_state_the_heals_of_the_last_day_count_as_they_did(store: Store, tmp_path: Path) -> None:
    for hours, id in ((30, "long ago"), (2, "h1"), (1, "h2")):
        begun = AT - timedelta(hours=hours)
        store.save(opening(StartHeal(id), phase=Phase.HEALING), begun)
        outcome = HealOutcome.FAILED if id == "h1" else HealOutcome.SUCCEEDED
        store.finish_heal(id, outcome, "", begun + timedelta(seconds=5))
    store.save(opening(StartHeal("h3"), phase=Phase.HEALING), AT - timedelta(seconds=7))
    store.close()
    with sqlite3.connect(tmp_path / "state" / "watchdog.sqlite") as sqlite:
        sqlite.execute("UPDATE state SET body = 'torn'")
    sqlite.close()
    again = Store.open(tmp_path / "state", AT, CHANNELS)
    state = again.load()
    assert state.lived == 0
    assert state.heals == (
        HealRecord(-7200, -7195, succeeded=False),
        HealRecord(-3600, -3595, succeeded=True),
        HealRecord(-7, -7, succeeded=False),
    )
    assert state.series == 3
    again.close()


# ---- incidents and their timeline ---


def test_an_incident_is_told_from_suspicion_to_end(store: Store) -> None:
    store.save(suspecting(Phase.SUSPECTED, Phase.HEALTHY), AT - timedelta(seconds=3))
    store.save(suspecting(Phase.HEALTHY, Phase.SUSPECTED), AT - timedelta(seconds=2))
    store.save(suspecting(Phase.SUSPECTED, Phase.HEALTHY), AT - timedelta(seconds=1))
    store.save(opening(), AT, [OPENED])
    store.note(INCIDENT.id, AT + timedelta(seconds=1), "after_heal", "heal", "ingestion ran once")
    store.save(resolving(), AT + timedelta(seconds=10), [RESOLVED])
    found = store.incident(INCIDENT.id)
    assert found is not None
    assert [(item["at"], item["event"], item["source"], item["detail"]) for item in found["timeline"]] == [
        ("2026-04-21T12:09:59.000Z", "suspected", "decision", "symptom_seen"),
        ("2026-04-21T12:10:00.000Z", "open", "decision", "loss_confirmed: station 0 of 7"),
        ("2026-04-21T12:10:01.000Z", "after_heal", "heal", "ingestion ran once"),
        ("2026-04-21T12:10:10.000Z", "resolved", "decision", "ingestion_complete"),
    ]
    apart = {"timeline", "notifications", "heals", "evidence"}
    assert {name: found[name] for name in found.keys() - apart} == {
        "id": INCIDENT.id,
        "opened_at": "2026-04-21T12:10:00.000Z",
        "restored_at": "2026-04-21T12:10:09.000Z",
        "resolved_at": "2026-04-21T12:10:10.000Z",
        "phase": "resolved",
        "symptoms": ["context_empty"],
        "losses": [
            {"table": "station", "rows": 0, "expected": 7},
            {"table": "glacier", "rows": None, "expected": 2},
        ],
        "repeated": False,
        "key": "",
        "acknowledged_at": None,
        "acknowledged_by": None,
        "verdict": None,
    }
    assert found["evidence"] == {"count": 0, "head": None}
    assert [(row["channel"], row["kind"], row["status"]) for row in found["notifications"]] == [
        ("ops", "opened", "queued"),
        ("pager", "opened", "queued"),
        ("ops", "resolved", "queued"),
        ("pager", "resolved", "queued"),
    ]


def test_an_incident_carries_its_shared_key_and_who_acknowledged_it(store: Store) -> None:
    keyed = replace(INCIDENT, key="hydro-7")
    store.save(replace(opening(), incident=keyed), AT)
    known = replace(keyed, acknowledged_at=AT + timedelta(seconds=30), acknowledged_by="anna@ops1")
    store.save(replace(opening(), incident=known), AT + timedelta(seconds=30))
    (found,) = store.incidents()
    assert (found["key"], found["acknowledged_at"], found["acknowledged_by"]) == (
        "hydro-7",
        "2026-04-21T12:10:30.000Z",
        "anna@ops1",
    )


def test_the_newest_incident_is_listed_first(store: Store) -> None:
    later = replace(INCIDENT, id="later", opened_at=AT + timedelta(hours=1))
    store.save(opening(), AT)
    store.save(replace(opening(), incident=later), AT)
    assert [found["id"] for found in store.incidents(limit=10)] == ["later", INCIDENT.id]
    assert [found["id"] for found in store.incidents(limit=1)] == ["later"]
    assert store.incident("none such") is None


def test_a_refusal_is_an_event_once(store: Store) -> None:
    refused = replace(opening(), transitions=(), refusal=Reason.BUDGET_SPENT, refusal_is_new=True)
    waiting = replace(refused, refusal=Reason.NOT_PROVEN_YET)
    for decision in (waiting, replace(waiting, refusal_is_new=False), refused):
        store.save(decision, AT)
    found = store.incident(INCIDENT.id)
    assert found is not None
    assert [(item["event"], item["detail"]) for item in found["timeline"]] == [
        ("heal_waits", "not_proven_yet"),
        ("heal_refused", "budget_spent"),
    ]


def test_suspicions_that_came_to_nothing_do_not_pile_up(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alpimonitor_watchdog.store.timeline.ORPHANS_KEPT", 5)
    for _ in range(20):
        store.note(None, AT, "suspected", "decision")
    with sqlite3.connect(tmp_path / "state" / "watchdog.sqlite") as sqlite:
        assert sqlite.execute("SELECT count(*) FROM timeline").fetchone() == (5,)
    sqlite.close()


# ---- heals ---


def test_a_heal_is_reserved_with_its_decision_and_has_one_outcome(store: Store, tmp_path: Path) -> None:
    store.save(opening(StartHeal("h1"), phase=Phase.HEALING), AT)
    again = reopened(store, tmp_path)
    assert again.unfinished_heal() == "h1"
    assert again.finished_heal("h1") is None
    again.finish_heal("h1", HealOutcome.FAILED, "exit code 1", AT)
    again.finish_heal("h1", HealOutcome.SUCCEEDED, "too late", AT)
    assert again.unfinished_heal() is None
    ended = again.finished_heal("h1")
    assert ended is not None
    assert (ended.outcome, ended.detail) == (HealOutcome.FAILED, "exit code 1")
    found = again.incident(INCIDENT.id)
    assert found is not None
    assert [item["event"] for item in found["timeline"]] == ["open", "healing", "heal_failed"]
    assert [heal["outcome"] for heal in found["heals"]] == ["failed"]
    again.close()


def test_a_heal_cannot_be_reserved_twice(store: Store) -> None:
    heal = opening(StartHeal("h1"), phase=Phase.HEALING)
    store.save(heal, AT)
    with pytest.raises(StoreError, match="h1 was already reserved"):
        store.save(replace(heal, state=replace(heal.state, next_id=99)), AT)
    assert store.load().next_id == 2, "nothing of the refused save is stored"


# ---- outbox ---


def test_a_notification_goes_to_each_channel_that_carries_one_of_its_tags(store: Store) -> None:
    store.save(opening(), AT, [replace(OPENED, tags=frozenset({Tag.PAGE}))])
    assert store.outbox.pending("ops") == []
    (queued,) = store.outbox.pending("pager")
    assert (queued.kind, queued.message, queued.severity) == (Kind.OPENED, OPENED.message, Severity.WARNING)
    assert queued.created_at == AT


def test_a_notification_that_no_channel_carries_is_said_on_the_timeline(tmp_path: Path) -> None:
    store = Store.open(tmp_path, AT, {"pager": frozenset({Tag.PAGE})})
    store.save(opening(), AT, [OPENED])
    found = store.incident(INCIDENT.id)
    assert found is not None
    assert found["timeline"][-1]["event"] == "notification_to_nobody"
    assert found["timeline"][-1]["detail"] == "opened: no channel carries any of its tags (notify)"
    store.close()


def test_only_the_oldest_of_an_incident_is_pending_and_other_incidents_go_on(store: Store) -> None:
    store.save(opening(), AT, [OPENED, RESOLVED, replace(OPENED, incident="other")])
    pending = store.outbox.pending("ops")
    assert [(row.incident, row.kind) for row in pending] == [
        (INCIDENT.id, Kind.OPENED),
        ("other", Kind.OPENED),
    ]
    first = pending[0]
    store.outbox.failed(first, AT, "answered 500")
    assert [row.kind for row in store.outbox.pending("ops")] == [Kind.OPENED, Kind.OPENED]
    store.outbox.delivered(first, AT)
    assert [row.kind for row in store.outbox.pending("ops")] == [Kind.RESOLVED, Kind.OPENED]
    assert [row.kind for row in store.outbox.pending("pager")] == [Kind.OPENED, Kind.OPENED]


def test_a_key_that_all_sidecars_share_names_the_channel_too_and_may_come_again(store: Store) -> None:
    keyed = replace(OPENED, key="hydro-7-opened-1")
    store.save(opening(), AT, [keyed])
    (ops,) = store.outbox.pending("ops")
    (pager,) = store.outbox.pending("pager")
    assert (ops.key, pager.key) == ("hydro-7-opened-1-ops", "hydro-7-opened-1-pager")
    store.outbox.delivered(ops, AT)
    store.save(opening(), AT, [keyed, RESOLVED])
    kinds = [(row["channel"], row["kind"], row["status"]) for row in found_notifications(store)]
    assert kinds == [
        ("ops", "opened", "delivered"),
        ("pager", "opened", "queued"),
        ("ops", "resolved", "queued"),
        ("pager", "resolved", "queued"),
    ]


def found_notifications(store: Store) -> list[dict[str, Any]]:
    found = store.incident(INCIDENT.id)
    assert found is not None
    return list(found["notifications"])


def test_attempts_and_key_survive_a_restart(store: Store, tmp_path: Path) -> None:
    store.save(opening(), AT, [OPENED])
    (queued,) = store.outbox.pending("ops")
    store.outbox.failed(queued, AT, "answered 500")
    again = reopened(store, tmp_path)
    assert again.outbox.pending("ops") == [replace(queued, attempts=1)]
    again.close()


def test_what_was_settled_stays_as_it_was_settled(store: Store) -> None:
    store.save(opening(), AT, [OPENED])
    (ops,) = store.outbox.pending("ops")
    (pager,) = store.outbox.pending("pager")
    store.outbox.delivered(ops, AT + timedelta(seconds=1))
    store.outbox.dead(ops, AT, "too late")
    store.outbox.dead(pager, AT + timedelta(seconds=2), "answered 410")
    assert store.outbox.counts() == {
        "ops": {"queued": 0, "delivered": 1, "dead": 0},
        "pager": {"queued": 0, "delivered": 0, "dead": 1},
    }
    assert store.outbox.queue_length() == 0
    found = store.incident(INCIDENT.id)
    assert found is not None
    assert [(item["event"], item["detail"]) for item in found["timeline"][1:]] == [
        ("notification_delivered", "opened to ops"),
        ("notification_given_up", "opened to pager: answered 410"),
    ]


# ---- faults ---


@pytest.fixture
def full(store: Store) -> Store:
    """A store that holds one open incident and cannot grow by a single page."""
    store.save(opening(), AT, [OPENED])
    keep_full(store)
    return store


def keep_full(store: Store) -> None:
    sqlite = store._connection._sqlite
    (pages,) = sqlite.execute("PRAGMA page_count").fetchone()
    sqlite.execute(f"PRAGMA max_page_count = {pages}")


def make_room(store: Store) -> None:
    store._connection._sqlite.execute("PRAGMA max_page_count = 1073741823")


LONG = replace(RESOLVED, message=Message("resolved", "x" * 100_000))


def test_a_full_disk_stores_nothing_and_still_sends(full: Store, tmp_path: Path) -> None:
    before = full.load()
    with pytest.raises(StoreFull, match="Free some space"):
        full.save(replace(opening(), state=replace(before, next_id=99)), AT, [LONG])
    assert full.load() == before
    (opened,) = full.outbox.pending("ops")
    make_room(full)
    full.outbox.delivered(opened, AT)
    (resolved,) = full.outbox.pending("ops")
    assert resolved.kind is Kind.RESOLVED
    assert full.outbox.counts()["ops"] == {"queued": 1, "delivered": 1, "dead": 0}


def test_what_a_full_disk_refused_is_stored_by_the_next_save_in_order(full: Store, tmp_path: Path) -> None:
    with pytest.raises(StoreFull):
        full.save(resolving(), AT + timedelta(seconds=10), [LONG])
    first, then = full.outbox.pending("ops")[0], full.outbox.counts()["ops"]
    assert (first.kind, then["queued"]) == (Kind.OPENED, 2)
    make_room(full)
    full.save(resolving(), AT + timedelta(seconds=11))
    again = reopened(full, tmp_path)
    assert [row["kind"] for row in again.incident(INCIDENT.id)["notifications"]] == [  # type: ignore[index]
        "opened", "opened", "resolved", "resolved",
    ]  # fmt: skip
    events = [item["event"] for item in again.incident(INCIDENT.id)["timeline"]]  # type: ignore[index]
    assert events == ["open", "resolved", "resolved"]
    again.close()


def test_an_incident_that_ends_on_a_full_disk_is_stored_as_ended_later(full: Store, tmp_path: Path) -> None:
    other = replace(INCIDENT, id="other", opened_at=AT + timedelta(hours=1))
    with pytest.raises(StoreFull):
        full.save(resolving(), AT + timedelta(seconds=10), [LONG])
    with pytest.raises(StoreFull):
        full.save(replace(opening(), incident=other), AT + timedelta(hours=1), [LONG])
    make_room(full)
    full.save(suspecting(Phase.HEALTHY, Phase.RESOLVED), AT + timedelta(hours=2))
    again = reopened(full, tmp_path)
    found = [(each["id"], each["phase"], each["resolved_at"]) for each in again.incidents()]
    assert found == [("other", "open", None), (INCIDENT.id, "resolved", "2026-04-21T12:10:10.000Z")]
    again.close()


def test_a_delivery_that_the_disk_refuses_is_not_repeated_and_stored_later(
    full: Store, tmp_path: Path
) -> None:
    with pytest.raises(StoreFull):
        full.save(resolving(), AT, [LONG])
    (opened,) = full.outbox.pending("ops")
    with pytest.raises(StoreFull):
        full.outbox.delivered(opened, AT)  # it would write what the save could not, too
    (resolved,) = full.outbox.pending("ops")
    assert resolved.kind is Kind.RESOLVED
    with pytest.raises(StoreFull):
        full.outbox.delivered(resolved, AT)
    assert full.outbox.pending("ops") == []
    make_room(full)
    full.save(resolving(), AT)
    again = reopened(full, tmp_path)
    assert again.outbox.counts()["ops"] == {"queued": 0, "delivered": 2, "dead": 0}
    again.close()


def test_the_end_of_a_heal_that_the_disk_refuses_is_stored_later(full: Store, tmp_path: Path) -> None:
    make_room(full)
    full.save(opening(StartHeal("h1"), phase=Phase.HEALING), AT)
    keep_full(full)
    with pytest.raises(StoreFull):
        full.finish_heal("h1", HealOutcome.SUCCEEDED, "x" * 100_000, AT)
    with pytest.raises(StoreFull):
        full.finish_heal("h1", HealOutcome.FAILED, "too late", AT)
    assert full.unfinished_heal() == "h1"
    make_room(full)
    full.save(resolving(), AT)
    again = reopened(full, tmp_path)
    ended = again.finished_heal("h1")
    assert ended is not None
    assert ended.outcome is HealOutcome.SUCCEEDED
    assert again.unfinished_heal() is None
    again.close()


def test_a_second_store_in_the_same_directory_is_refused_and_says_who_has_it(
    store: Store, tmp_path: Path
) -> None:
    with pytest.raises(StoreInUse, match=rf"process {os.getpid()}.*WATCHDOG_STATE_DIR"):
        Store.open(tmp_path / "state", AT, CHANNELS)
    again = reopened(store, tmp_path)
    again.close()


def test_only_the_owner_may_read_the_store(store: Store, tmp_path: Path) -> None:
    store.save(opening(), AT)
    directory = tmp_path / "state"
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {file.name: stat.S_IMODE(file.stat().st_mode) for file in directory.iterdir()} == {
        "lock": 0o600,
        "watchdog.sqlite": 0o600,
        "watchdog.sqlite-shm": 0o600,
        "watchdog.sqlite-wal": 0o600,
    }


def test_a_directory_that_others_could_enter_is_closed(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    Store.open(tmp_path, AT, CHANNELS).close()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def test_a_state_directory_that_is_a_file_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("not a directory")
    with pytest.raises(StoreError, match=r"cannot be used: .*WATCHDOG_STATE_DIR"):
        Store.open(tmp_path / "state", AT, CHANNELS)


def test_a_store_that_fails_altogether_still_sends_what_waits(store: Store, tmp_path: Path) -> None:
    store.save(opening(), AT, [OPENED])
    again = reopened(store, tmp_path)
    again._connection.close()
    with pytest.raises(StoreError):
        again.save(resolving(), AT, [RESOLVED])
    with pytest.raises(StoreError):
        again.incidents()
    for kind in (Kind.OPENED, Kind.RESOLVED):
        (queued,) = again.outbox.pending("ops")
        assert queued.kind is kind
        with suppress(StoreError):
            again.outbox.failed(queued, AT, "answered 500")
        (queued,) = again.outbox.pending("ops")
        assert queued.attempts == 1
        with pytest.raises(StoreError):
            again.outbox.delivered(queued, AT)
    assert again.outbox.pending("ops") == []
    assert again.outbox.queue_length() == 2, "those of the other channel"
    again.close()
