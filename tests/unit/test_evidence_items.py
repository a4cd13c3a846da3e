"""What of a look at the database is kept as evidence, and what is none."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from alpimonitor_watchdog.core.evidence import Activity, Event, Operation, Record, RecorderSeen
from alpimonitor_watchdog.core.fingerprint import Fingerprint, Identity, TablePrint
from alpimonitor_watchdog.core.seen import DatabaseSeen
from alpimonitor_watchdog.core.verdict import Confidence, Verdict, What
from alpimonitor_watchdog.core.words import Unseen
from alpimonitor_watchdog.store import Copied, EvidenceKind, Item, items_of, verdict_item
from alpimonitor_watchdog.store.chain import canonical

AT = datetime(2026, 4, 21, 12, 10, tzinfo=UTC)
SECOND = timedelta(seconds=1)
STATION = TablePrint("station", oid=1, filenode=1, rows=7, inserted=7, deleted=0)
PRINT = Fingerprint(AT, Identity(system="s"), lsn=100, next_transaction=700, tables=(STATION,))
EMPTIED = replace(PRINT, tables=(replace(STATION, rows=0, deleted=7),))
ARMED = RecorderSeen(installed=True, arming="a")
EVENT = Event(
    id=1, at=AT, operation=Operation.DELETE, table="station", rows=7, remaining=0, session_role="app",
    role="app", application_name="psql", client_addr="10.0.0.5", pid=812, backend_start=AT, transaction=751,
    statement="DELETE FROM station",
)  # fmt: skip
BACKEND = Activity(812, "app", "psql", None, AT, None, "idle", None)


def looks(*seen: DatabaseSeen, incident: str | None = None, every: timedelta = SECOND) -> list[list[Item]]:
    """What is kept of each of `seen`, one after the other."""
    copied, kept = Copied(), []
    for number, database in enumerate(seen):
        items, copied = items_of(database, copied, incident=incident, at=AT + number * every)
        kept.append(items)
    return kept


def kinds(items: list[Item]) -> list[EvidenceKind]:
    return [item.kind for item in items]


# ---- fingerprints ---


def test_a_healthy_look_is_no_evidence_whatever_its_counters_say() -> None:
    later = replace(
        PRINT, at=AT + SECOND, lsn=900, next_transaction=800,
        tables=(replace(STATION, inserted=9, updated=3, deleted=2),),
    )  # fmt: skip
    first, second = looks(
        DatabaseSeen(fingerprint=PRINT, recorder=ARMED), DatabaseSeen(fingerprint=later, recorder=ARMED)
    )
    assert kinds(first) == [EvidenceKind.FINGERPRINT]
    assert second == []


def test_a_change_is_kept_with_what_it_was_just_before() -> None:
    counted = replace(PRINT, next_transaction=750)
    _, quiet, changed, again = looks(
        *(DatabaseSeen(fingerprint=each, recorder=ARMED) for each in (PRINT, counted, EMPTIED, EMPTIED))
    )
    assert (quiet, again) == ([], [])
    assert [item.body["next_transaction"] for item in changed] == [750, 700]
    assert [item.body["tables"][0]["rows"] for item in changed] == [7, 0]


def test_a_new_process_begins_with_the_fingerprint_of_the_last_one() -> None:
    items, _ = items_of(DatabaseSeen(fingerprint=EMPTIED), Copied(newest=PRINT), incident=None, at=AT)
    assert [item.body["tables"][0]["rows"] for item in items] == [7, 0]


def test_while_an_incident_is_open_a_fingerprint_is_kept_once_a_minute() -> None:
    seen = [DatabaseSeen(fingerprint=replace(PRINT, lsn=number), recorder=ARMED) for number in range(13)]
    open_ = looks(*seen, incident="i", every=timedelta(seconds=10))
    assert [number for number, items in enumerate(open_) if items] == [0, 6, 12]
    assert {item.incident for items in open_ for item in items} == {"i"}
    assert [number for number, items in enumerate(looks(*seen, every=timedelta(hours=1))) if items] == [0]


# ---- events, activity, records ---


def test_events_stand_between_the_fingerprints_before_and_after_them() -> None:
    _, items = looks(
        DatabaseSeen(fingerprint=PRINT, recorder=ARMED),
        DatabaseSeen(
            fingerprint=EMPTIED,
            recorder=replace(ARMED, events=(EVENT, replace(EVENT, id=2, table="sensor"))),
            activity=(BACKEND,),
            records=(Record("seed_run", '{"mode": "missing"}'), Record("odd", "no json")),
        ),
    )
    assert kinds(items) == [
        EvidenceKind.EVENT, EvidenceKind.EVENT, EvidenceKind.FINGERPRINT, EvidenceKind.ACTIVITY,
        EvidenceKind.RECORD, EvidenceKind.RECORD,
    ]  # fmt: skip
    assert items[0].body["statement"] == "DELETE FROM station"
    assert '"at":"2026-04-21T12:10:00Z"' in canonical(items[0].body)
    assert [item.body["row"] for item in items[4:]] == [{"mode": "missing"}, "no json"]


def test_activity_is_kept_with_each_event_and_else_when_other_backends_are_there() -> None:
    idle = DatabaseSeen(recorder=ARMED, activity=(BACKEND,))
    recorded = replace(idle, recorder=replace(ARMED, events=(EVENT,)))
    other = replace(idle, activity=(replace(BACKEND, pid=813),))
    quick = looks(recorded, idle, recorded, other)
    assert [EvidenceKind.ACTIVITY in kinds(items) for items in quick] == [True, False, True, False]
    slow = looks(recorded, idle, other, other, every=timedelta(seconds=10))
    assert [EvidenceKind.ACTIVITY in kinds(items) for items in slow] == [True, False, True, False]


def test_a_verdict_is_kept_with_its_evidence() -> None:
    item = verdict_item(Verdict(What.TABLE_TRUNCATED, Confidence.LIKELY, ("x",)), incident="i", at=AT)
    assert (item.kind, item.incident) == (EvidenceKind.VERDICT, "i")
    assert '"what":"table_truncated"' in canonical(item.body)


# ---- gaps ---

UNARMED = replace(ARMED, unarmed=("station",), arming="b")


@pytest.mark.parametrize(
    ("recorder", "recording"),
    [
        (UNARMED, "unarmed"),
        (RecorderSeen(installed=False), "absent"),
        (replace(ARMED, readable=False), "unreadable"),
    ],
)
def test_where_statements_are_not_recorded_a_gap_says_so_once(recorder: RecorderSeen, recording: str) -> None:
    first, second = looks(DatabaseSeen(recorder=recorder), DatabaseSeen(recorder=recorder))
    assert [(item.kind, item.body["recording"]) for item in first] == [(EvidenceKind.GAP, recording)]
    assert second == []


def test_a_recorder_that_is_disarmed_and_armed_again_leaves_both_times() -> None:
    armed, unarmed = DatabaseSeen(recorder=ARMED), DatabaseSeen(recorder=UNARMED)
    begun, _, disarmed, rearmed = looks(
        armed, armed, unarmed, DatabaseSeen(recorder=replace(ARMED, arming="c"))
    )
    assert begun == []
    (gap,) = disarmed
    assert (gap.body["from"], gap.body["until"]) == (AT + SECOND, AT + 2 * SECOND)
    assert gap.body["unarmed"] == ("station",)
    (end,) = rearmed
    assert (end.body["recording"], end.body["before"]) == ("armed", "unarmed")
    assert "2026-04-21T12:10:02.000Z" in end.body["says"]


def test_a_recorder_that_was_changed_between_two_looks_leaves_a_gap() -> None:
    _, changed, same = looks(
        *(DatabaseSeen(recorder=replace(ARMED, arming=arming)) for arming in ("a", "b", "b"))
    )
    assert "may not be recorded" in changed[0].body["says"]
    assert same == []


def test_a_recorder_that_could_not_be_asked_says_nothing_of_it() -> None:
    assert looks(DatabaseSeen(recorder=ARMED), DatabaseSeen(), DatabaseSeen(recorder=ARMED)) == [[], [], []]


def test_a_recorder_that_cannot_be_asked_for_several_looks_is_a_gap_once_and_so_is_its_end() -> None:
    armed, unasked = DatabaseSeen(recorder=ARMED), DatabaseSeen()
    first, second, third, fourth, fifth, asked, later, again = looks(
        armed, unasked, unasked, unasked, unasked, armed, armed, unasked
    )
    assert (first, second, third, fifth, later, again) == ([], [], [], [], [], [])
    (begun,) = fourth
    assert (begun.body["recording"], begun.body["from"], begun.body["until"]) == (
        "unread",
        AT,
        AT + 3 * SECOND,
    )
    assert "the recorder's events could not be read since 2026-04-21T12:10:00.000Z" in begun.body["says"]
    (ended,) = asked
    assert (ended.body["recording"], ended.body["from"]) == ("armed", AT)
    assert "They can be read again" in ended.body["says"]


def test_a_recorder_that_could_never_be_asked_is_a_gap_since_the_first_look() -> None:
    *_, last = looks(DatabaseSeen(), DatabaseSeen(), DatabaseSeen())
    assert [item.body["from"] for item in last] == [AT]


def test_looks_that_did_not_see_the_database_say_nothing_of_its_recorder() -> None:
    unasked, unseen = DatabaseSeen(), DatabaseSeen(unseen=Unseen.UNREACHABLE)
    assert looks(DatabaseSeen(recorder=ARMED), unasked, unseen, unseen, unasked, unseen) == [[]] * 6


def test_a_database_that_cannot_be_seen_is_evidence_of_an_open_incident_alone() -> None:
    unseen = DatabaseSeen(unseen=Unseen.UNREACHABLE, detail='database "hydro" does not exist', recorder=ARMED)
    assert looks(DatabaseSeen(recorder=ARMED), unseen, DatabaseSeen(recorder=ARMED)) == [[], [], []]
    _, begun, still, ended = looks(
        DatabaseSeen(recorder=ARMED), unseen, unseen, DatabaseSeen(recorder=ARMED), incident="i"
    )
    assert begun[0].body["detail"] == 'database "hydro" does not exist'
    assert still == []
    assert (ended[0].body["recording"], ended[0].body["from"]) == ("armed", AT + 2 * SECOND)
