"""What one observation shows: which symptoms, how long each has to last, what it could not tell."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from alpimonitor_watchdog.core.fingerprint import Identity
from alpimonitor_watchdog.core.good import LastGood
from alpimonitor_watchdog.core.model import Policy
from alpimonitor_watchdog.core.seen import (
    DatabaseSeen,
    Expectation,
    Finding,
    Findings,
    HealthSeen,
    IngestionSeen,
    Loss,
    Observation,
    OutsideSeen,
    TableExpected,
    TableSeen,
)
from alpimonitor_watchdog.core.symptoms import find
from alpimonitor_watchdog.core.words import CONTEXT_LOSS, Symptom, Unseen

NOW = datetime(2026, 4, 21, 12, 0, tzinfo=UTC)
POLICY = Policy(unreachable_after=30.0, unhealthy_after=120.0, settle_after=10.0, straggler_after=7200.0)
HEALTHY = OutsideSeen(
    0.0, (HealthSeen("http://api/health", True),), IngestionSeen(4, NOW, archive_failures=0)
)
WHOLE = (TableSeen("station", rows=7), TableSeen("sensor", rows=14), TableSeen("measurement", rows=0))
UNSEEN_TABLE = CONTEXT_LOSS | {Symptom.CONTEXT_CHANGED}
INGESTION = {Symptom.INGESTION_BLIND, Symptom.INGESTION_STALE, Symptom.ARCHIVE_FAILING}
EXPECTED = Expectation(
    tables=(
        TableExpected("station", context=True, floor=7, expected=7),
        TableExpected("sensor", context=True, floor=10, expected=14),
        TableExpected("measurement", context=False, floor=5, expected=5),
    ),
    revisions=frozenset({"0002", "0001"}),
    stations=4,
    health_watched=True,
)


def found(
    *tables: TableSeen,
    outside: OutsideSeen | None = HEALTHY,
    expected: Expectation = EXPECTED,
    **database: Any,
) -> Findings:
    """What is found in a world that is healthy but for what is named; `database` are fields of it."""
    named = {table.name for table in tables}
    seen = (*tables, *(table for table in WHOLE if table.name not in named))
    looked = replace(DatabaseSeen(tables=seen, revision="0001", identity=Identity(system="7")), **database)
    return find(Observation(NOW, 1.0, looked, outside), expected, POLICY)


def test_a_healthy_world_shows_nothing_and_leaves_nothing_open() -> None:
    assert found() == Findings()


@pytest.mark.parametrize(
    ("table", "symptom", "detail"),
    [
        pytest.param(TableSeen("sensor", rows=10), None, "", id="at its floor"),
        pytest.param(
            TableSeen("sensor", rows=9),
            Symptom.CONTEXT_SHRUNK,
            "fewer rows than there have to be: sensor",
            id="below its floor",
        ),
        pytest.param(TableSeen("sensor", rows=9, capped=True), None, "", id="counting ended below the floor"),
        pytest.param(
            TableSeen("sensor", rows=1),
            Symptom.CONTEXT_SHRUNK,
            "fewer rows than there have to be: sensor",
            id="a row",
        ),
        pytest.param(
            TableSeen("sensor", rows=0), Symptom.CONTEXT_EMPTY, "without any row: sensor", id="no row"
        ),
        pytest.param(
            TableSeen("sensor", exists=False),
            Symptom.CONTEXT_MISSING,
            "gone from the catalog: sensor",
            id="gone from the catalog",
        ),
        pytest.param(TableSeen("sensor", rows=99), None, "", id="more rows than expected"),
    ],
)
def test_a_context_table_is_whole_down_to_its_floor(
    table: TableSeen, symptom: Symptom | None, detail: str
) -> None:
    losses = (Loss("sensor", table.rows, 14),)
    expected = () if symptom is None else (Finding(symptom, detail, losses),)
    assert found(table) == Findings(expected)


@pytest.mark.parametrize(
    ("floor", "expected", "symptom"),
    [
        pytest.param(0, 0, None, id="a table that may be empty"),
        pytest.param(1, 0, Symptom.CONTEXT_SHRUNK, id="only a floor is declared"),
        pytest.param(0, 1, Symptom.CONTEXT_EMPTY, id="no floor is declared, but a row is expected"),
        pytest.param(7, 7, Symptom.CONTEXT_EMPTY, id="empty says more than below the floor"),
    ],
)
def test_an_empty_table_is_lost_when_rows_are_expected(
    floor: int, expected: int, symptom: Symptom | None
) -> None:
    declared = replace(EXPECTED, tables=(TableExpected("station", True, floor, expected),))
    shown = found(TableSeen("station", rows=0), expected=declared)
    assert [finding.symptom for finding in shown.found] == ([symptom] if symptom else [])


def test_tables_lost_in_the_same_way_share_a_finding() -> None:
    shown = found(TableSeen("station", rows=0), TableSeen("sensor", rows=0))
    losses = (Loss("station", 0, 7), Loss("sensor", 0, 14))
    assert shown == Findings((Finding(Symptom.CONTEXT_EMPTY, "without any row: station, sensor", losses),))
    assert shown.losses == losses


def test_tables_lost_in_different_ways_are_told_apart() -> None:
    shown = found(TableSeen("station", exists=False), TableSeen("sensor", rows=3))
    assert [(finding.symptom, finding.losses) for finding in shown.found] == [
        (Symptom.CONTEXT_MISSING, (Loss("station", None, 7),)),
        (Symptom.CONTEXT_SHRUNK, (Loss("sensor", 3, 14),)),
    ]


@pytest.mark.parametrize(
    "table",
    [
        pytest.param(TableSeen("measurement", rows=0), id="empty"),
        pytest.param(TableSeen("measurement", exists=False), id="gone"),
        pytest.param(TableSeen("measurement", unseen=Unseen.LOCKED), id="locked"),
    ],
)
def test_an_operational_table_is_no_context(table: TableSeen) -> None:
    assert found(table) == Findings()


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (TableSeen("station", unseen=Unseen.TIMEOUT), "station (timeout)"),
        (TableSeen("station", unseen=Unseen.ROW_SECURITY), "station (row security)"),
        (TableSeen("station", unseen=Unseen.LOCKED, locked_by=12), "station (locked by backend pid 12)"),
        (TableSeen("station", rows=0, unseen=Unseen.ERROR), "station (error)"),
        (TableSeen("station", exists=False, unseen=Unseen.FORBIDDEN), "station (forbidden)"),
    ],
)
def test_a_table_that_could_not_be_seen_is_neither_empty_nor_whole(table: TableSeen, words: str) -> None:
    finding = Finding(Symptom.CONTEXT_UNSEEN, f"could not be read: {words}", opens_after=120.0)
    shown = found(table)
    assert shown == Findings((finding,), UNSEEN_TABLE)
    assert not shown.context_lost
    assert not shown.context_whole


def test_a_table_without_an_answer_was_not_seen() -> None:
    shown = found(tables=(TableSeen("sensor", rows=14),))
    assert shown.found[0].detail == "could not be read: station"
    assert shown.undetermined == UNSEEN_TABLE


def test_all_tables_out_of_sight_are_named() -> None:
    shown = found(TableSeen("station", unseen=Unseen.LOCKED), TableSeen("sensor", unseen=Unseen.TIMEOUT))
    assert [finding.detail for finding in shown.found] == [
        "could not be read: station (locked), sensor (timeout)"
    ]


def test_a_loss_beside_a_table_out_of_sight_is_found_and_the_rest_left_open() -> None:
    shown = found(
        TableSeen("station", rows=0),
        TableSeen("sensor", unseen=Unseen.LOCKED),
        TableSeen("measurement", rows=0),
    )
    assert [f.symptom for f in shown.found] == [Symptom.CONTEXT_EMPTY, Symptom.CONTEXT_UNSEEN]
    assert shown.undetermined == UNSEEN_TABLE
    assert shown.context_lost


@pytest.mark.parametrize("why", list(Unseen))
def test_an_unreachable_database_says_nothing_about_its_tables_and_schema(why: Unseen) -> None:
    shown = found(TableSeen("station", rows=0), unseen=why, detail="no route", revision="0009")
    assert shown.found == (
        Finding(Symptom.DATABASE_UNREACHABLE, f"database {why.value}: no route", opens_after=30.0),
    )
    assert shown.undetermined == UNSEEN_TABLE | {
        Symptom.SCHEMA_OUTDATED,
        Symptom.CONTEXT_UNSEEN,
        Symptom.IDENTITY_CHANGED,
    }


@pytest.mark.parametrize(
    ("database", "detail"),
    [
        pytest.param({"revision": "0002"}, None, id="an allowed one"),
        pytest.param({"revision": "0003"}, "schema revision 0003, allowed: 0001, 0002", id="another one"),
        pytest.param({"revision": None}, "schema revision none, allowed: 0001, 0002", id="none"),
    ],
)
def test_a_schema_at_another_revision_is_outdated(database: dict[str, Any], detail: str | None) -> None:
    finding = Finding(Symptom.SCHEMA_OUTDATED, detail or "", opens_after=10.0)
    assert found(**database) == Findings((finding,) if detail else ())


def test_a_revision_that_could_not_be_read_is_left_open() -> None:
    shown = found(revision=None, revision_unseen=Unseen.LOCKED)
    assert shown == Findings((), frozenset({Symptom.SCHEMA_OUTDATED}))


def test_any_revision_will_do_when_none_is_declared() -> None:
    declared = replace(EXPECTED, revisions=frozenset())
    assert found(revision="0003", expected=declared) == Findings()
    assert found(revision=None, revision_unseen=Unseen.LOCKED, expected=declared) == Findings()


def saw(stations: int) -> OutsideSeen:
    return replace(HEALTHY, ingestion=IngestionSeen(stations, NOW, archive_failures=0))


@pytest.mark.parametrize(
    ("stations", "expected", "opens_after", "pages"),
    [
        pytest.param(3, 4, 7200.0, False, id="one station missing is a straggler"),
        pytest.param(2, 4, 10.0, True, id="two stations missing"),
        pytest.param(0, 4, 10.0, True, id="no station at all"),
        pytest.param(0, 1, 10.0, True, id="the only station missing is no straggler"),
        pytest.param(1, 2, 7200.0, False, id="one of two missing"),
    ],
)
def test_ingestion_that_misses_stations_is_blind(
    stations: int, expected: int, opens_after: float, pages: bool
) -> None:
    shown = found(outside=saw(stations), expected=replace(EXPECTED, stations=expected))
    assert shown == Findings(
        (
            Finding(
                Symptom.INGESTION_BLIND,
                f"the last run of ingestion saw {stations} of {expected} stations",
                opens_after=opens_after,
                pages=pages,
            ),
        )
    )


@pytest.mark.parametrize("stations", [4, 5])
def test_ingestion_that_sees_every_station_or_more_is_not_blind(stations: int) -> None:
    assert found(outside=saw(stations)) == Findings()


@pytest.mark.parametrize(
    ("outside", "undetermined"),
    [
        pytest.param(None, INGESTION | {Symptom.API_UNHEALTHY}, id="no look yet"),
        pytest.param(replace(HEALTHY, ingestion=None), INGESTION, id="no run was reported"),
        pytest.param(
            replace(HEALTHY, ingestion=IngestionSeen(4, NOW)),
            {Symptom.ARCHIVE_FAILING},
            id="nothing was said of the archive",
        ),
    ],
)
def test_what_was_not_seen_outside_is_left_open(
    outside: OutsideSeen | None, undetermined: set[Symptom]
) -> None:
    assert found(outside=outside) == Findings((), frozenset(undetermined))


def test_ingestion_that_is_not_watched_is_neither_blind_nor_left_open() -> None:
    unwatched = replace(EXPECTED, stations=None)
    assert found(outside=saw(0), expected=unwatched) == Findings()
    assert found(outside=replace(HEALTHY, ingestion=None), expected=unwatched) == Findings()


OK = HealthSeen("http://api/ok", True, "200")
DOWN = HealthSeen("http://api/down", False, "connection refused")
EMPTY = HealthSeen("http://api/empty", False, "503 CONTEXT_EMPTY", context_empty=True)


def answers(*health: HealthSeen) -> OutsideSeen:
    return replace(HEALTHY, health=health)


@pytest.mark.parametrize(
    ("health", "detail"),
    [
        pytest.param((OK, OK), None, id="every address answers"),
        pytest.param((OK, DOWN), "http://api/down: connection refused", id="one does not"),
        pytest.param(
            (DOWN, DOWN),
            "http://api/down: connection refused; http://api/down: connection refused",
            id="none does",
        ),
        pytest.param((EMPTY,), None, id="an empty context belongs to the context incident"),
        pytest.param((EMPTY, DOWN), "http://api/down: connection refused", id="beside it another is down"),
    ],
)
def test_an_address_that_does_not_answer_is_unhealthy(
    health: tuple[HealthSeen, ...], detail: str | None
) -> None:
    finding = Finding(Symptom.API_UNHEALTHY, detail or "", opens_after=120.0)
    assert found(outside=answers(*health)) == Findings((finding,) if detail else ())


def test_an_empty_context_that_the_probe_cannot_see_stays_the_apis_word() -> None:
    shown = found(outside=answers(EMPTY), unseen=Unseen.UNREACHABLE)
    assert [finding.symptom for finding in shown.found] == [
        Symptom.DATABASE_UNREACHABLE,
        Symptom.API_UNHEALTHY,
    ]
    assert shown.found[1].detail == "http://api/empty: 503 CONTEXT_EMPTY"


@pytest.mark.parametrize("outside", [answers(DOWN), None], ids=["down", "no look yet"])
def test_health_that_is_not_watched_is_neither_unhealthy_nor_left_open(outside: OutsideSeen | None) -> None:
    declared = replace(EXPECTED, stations=None, health_watched=False)
    assert found(outside=outside, expected=declared) == Findings()


# ---- what ingestion and the database say of themselves ----------------------------------------------------


@pytest.mark.parametrize(
    ("age", "stale_after", "detail"),
    [
        pytest.param(600.0, 600.0, None, id="just recent enough"),
        pytest.param(660.0, 600.0, "no run of ingestion has succeeded for 11 min", id="too old"),
        pytest.param(None, 600.0, None, id="nobody knows"),
        pytest.param(9000.0, None, None, id="nobody asks"),
    ],
)
def test_ingestion_that_has_not_succeeded_for_long_is_stale(
    age: float | None, stale_after: float | None, detail: str | None
) -> None:
    run = IngestionSeen(4, NOW, success_age=age, archive_failures=0)
    shown = found(
        outside=replace(HEALTHY, ingestion=run), expected=replace(EXPECTED, stale_after=stale_after)
    )
    finding = Finding(Symptom.INGESTION_STALE, detail or "", opens_after=10.0)
    assert shown == Findings((finding,) if detail else ())


@pytest.mark.parametrize(
    ("failures", "error", "detail"),
    [
        pytest.param(0, "", None, id="none"),
        pytest.param(1, "disk full", None, id="one may pass"),
        pytest.param(2, "", "2 payloads in a row were not archived", id="two"),
        pytest.param(9, "disk full", "9 payloads in a row were not archived: disk full", id="with its error"),
    ],
)
def test_an_archive_that_fails_again_and_again_is_told_but_wakes_nobody(
    failures: int, error: str, detail: str | None
) -> None:
    run = IngestionSeen(4, NOW, archive_failures=failures, archive_error=error)
    finding = Finding(Symptom.ARCHIVE_FAILING, detail or "", opens_after=10.0, pages=False)
    assert found(outside=replace(HEALTHY, ingestion=run)) == Findings((finding,) if detail else ())


HERE = Identity(system="7", database_oid=5, deployment="d-1")


@pytest.mark.parametrize(
    ("identity", "served", "detail"),
    [
        pytest.param(HERE, None, None, id="the same"),
        pytest.param(HERE, "d-1", None, id="and the API serves it"),
        pytest.param(replace(HERE, database_oid=6), None, "database oid 6, was 5", id="another one"),
        pytest.param(
            replace(HERE, system="8", deployment="d-2"),
            None,
            "system identifier 8, was 7; deployment d-2, was d-1",
            id="another cluster",
        ),
        pytest.param(
            HERE, "d-2", "the API serves deployment d-2, this database is d-1", id="the API serves another"
        ),
        pytest.param(replace(HERE, deployment=None), "d-2", None, id="it has no deployment to compare"),
    ],
)
def test_another_database_is_told_apart(identity: Identity, served: str | None, detail: str | None) -> None:
    database = DatabaseSeen(tables=WHOLE, revision="0001", identity=identity)
    seen = Observation(NOW, 1.0, database, replace(HEALTHY, deployment=served))
    shown = find(seen, EXPECTED, POLICY, LastGood(NOW, HERE))
    finding = Finding(Symptom.IDENTITY_CHANGED, f"another database: {detail}")
    assert shown == Findings((finding,) if detail else ())
    assert shown.other_database is (detail is not None)


@pytest.mark.parametrize(
    ("written", "good", "strange"),
    [
        pytest.param("staging", None, False, id="as declared"),
        pytest.param(None, None, False, id="it says nothing"),
        pytest.param("production", None, True, id="another one"),
        pytest.param("production", LastGood(NOW, HERE), False, id="which an operator has adopted"),
    ],
)
def test_at_first_contact_the_deployment_row_must_not_name_another_environment(
    written: str | None, good: LastGood | None, strange: bool
) -> None:
    database = DatabaseSeen(tables=WHOLE, revision="0001", identity=replace(HERE, environment=written))
    expected = replace(EXPECTED, environment="staging")
    shown = find(Observation(NOW, 1.0, database, HEALTHY), expected, POLICY, good)
    assert shown.other_database is strange
    if strange:
        assert "says production, [database] environment staging" in shown.found[0].detail


def test_a_database_whose_identity_is_out_of_sight_is_neither_this_nor_another() -> None:
    assert found(identity=None) == Findings((), frozenset({Symptom.IDENTITY_CHANGED}))
