"""The plan: what a seed inserts, updates and prunes, and what it refuses to prune."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpimonitor_api import ids
from alpimonitor_api.tables import SeedMode
from alpimonitor_seed.fixture_models import Row
from alpimonitor_seed.fixtures import TABLES, Fixtures, load
from alpimonitor_seed.plan import (
    Found,
    Plan,
    PruneRefusal,
    Wish,
    contradictions,
    labels,
    plan,
    prune_refusals,
)

SHIPPED = load()
BRIG = str(ids.station_id("2346"))
BRIG_THRESHOLD = str(ids.threshold_id("2346", "DISCHARGE"))
CONVERGE = Wish(mode=SeedMode.CONVERGE)
TUNED = {"tuned_at": "2026-04-20T18:00:00+00:00", "tuned_by": "operator"}


def as_found(fixtures: Fixtures, **used_by: frozenset[str]) -> Found:
    """A database that holds exactly these fixtures."""
    return Found(
        {
            table: {
                str(row["id"]): {"tuned_at": None, "tuned_by": None, **row} if table == "threshold" else row
                for row in rows
            }
            for table, rows in fixtures.rows.items()
        },
        used_by,
    )


def changed(found: Found, table: str, identifier: str, **values: Any) -> Found:
    rows = {name: dict(by_id) for name, by_id in found.rows.items()}
    rows[table][identifier] = {**rows[table][identifier], **values}
    return Found(rows, found.used_by)


def without(fixtures: Fixtures, code: str) -> Fixtures:
    """The fixtures without one station and all that hangs on it."""
    gone = str(ids.station_id(code))
    return Fixtures(
        {
            table: tuple(row for row in rows if gone not in (row["id"], row.get("station_id")))
            for table, rows in fixtures.rows.items()
        }
    )


def applied(planned: Plan, found: Found) -> Found:
    """What a database holds after a plan was carried out."""
    rows: dict[str, dict[str, Row]] = {table: dict(by_id) for table, by_id in found.rows.items()}
    for table in TABLES:
        for row in planned.inserts.get(table, ()):
            rows[table][str(row["id"])] = (
                {"tuned_at": None, "tuned_by": None, **row} if table == "threshold" else row
            )
        for update in planned.updates.get(table, ()):
            rows[table][update.id] = {**rows[table][update.id], **update.after}
        for row in planned.prunes.get(table, ()):
            del rows[table][str(row["id"])]
    return Found(rows, found.used_by)


EMPTY = Found({table: {} for table in TABLES})


@pytest.mark.parametrize("mode", list(SeedMode))
def test_an_empty_database_gets_every_row(mode: SeedMode) -> None:
    planned = plan(SHIPPED, EMPTY, Wish(mode=mode))
    assert planned.inserts == SHIPPED.rows
    assert not planned.updates
    assert not planned.prunes


@pytest.mark.parametrize(
    "wish", [Wish(), CONVERGE, Wish(SeedMode.CONVERGE, prune=True, overwrite_tuned=True)]
)
def test_a_complete_database_gets_nothing(wish: Wish) -> None:
    planned = plan(SHIPPED, as_found(SHIPPED), wish)
    assert planned.empty
    assert planned.as_json() == {"inserts": {}, "updates": {}, "deletes": {}}


def test_missing_leaves_a_changed_value_alone() -> None:
    assert plan(SHIPPED, changed(as_found(SHIPPED), "station", BRIG, name="Brigue"), Wish()).empty


def test_converge_puts_a_changed_value_back_and_names_only_what_differs() -> None:
    found = changed(as_found(SHIPPED), "station", BRIG, name="Brigue", altitude_m=1)
    assert plan(SHIPPED, found, CONVERGE).as_json()["updates"] == {
        "station": [
            {
                "key": {"id": BRIG},
                "before": {"name": "Brigue", "altitude_m": 1},
                "after": {"name": "Brig", "altitude_m": 677},
            }
        ]
    }


def test_an_operators_values_stay_and_are_counted() -> None:
    found = changed(as_found(SHIPPED), "threshold", BRIG_THRESHOLD, alert_value=300.0, **TUNED)
    planned = plan(SHIPPED, found, CONVERGE)
    assert planned.empty
    assert [row["id"] for row in planned.kept_tuned] == [BRIG_THRESHOLD]


def test_overwriting_an_operators_values_also_clears_who_tuned_them() -> None:
    found = changed(as_found(SHIPPED), "threshold", BRIG_THRESHOLD, alert_value=300.0, **TUNED)
    planned = plan(SHIPPED, found, Wish(SeedMode.CONVERGE, overwrite_tuned=True))
    (update,) = planned.updates["threshold"]
    assert update.before == {"alert_value": 300.0, **TUNED}
    assert update.after == {"alert_value": 400.0, "tuned_at": None, "tuned_by": None}


def test_rows_are_pruned_only_on_request() -> None:
    fewer = without(SHIPPED, "2346")
    assert plan(fewer, as_found(SHIPPED), CONVERGE).empty
    planned = plan(fewer, as_found(SHIPPED), Wish(prune=True))
    assert {table: len(rows) for table, rows in planned.prunes.items()} == {
        "station": 1,
        "sensor": 2,
        "threshold": 1,
    }
    assert planned.as_json()["deletes"]["station"] == [{"id": BRIG}]


fixture_sets = st.builds(
    lambda gone: Fixtures(
        {table: tuple(row for row in rows if row["id"] not in gone) for table, rows in SHIPPED.rows.items()}
    ),
    st.sets(st.sampled_from([str(row["id"]) for rows in SHIPPED.rows.values() for row in rows])),
)
tunings = st.sets(st.sampled_from([str(row["id"]) for row in SHIPPED.rows["threshold"]]))
wishes = st.builds(Wish, mode=st.sampled_from(SeedMode), prune=st.booleans(), overwrite_tuned=st.booleans())


def some_database(declared: Fixtures, tuned: set[str]) -> Found:
    found = as_found(declared)
    for identifier in tuned & set(found.rows["threshold"]):
        found = changed(found, "threshold", identifier, alert_value=9999.0, **TUNED)
    return found


@given(fixture_sets, fixture_sets, tunings, wishes)
def test_after_a_plan_there_is_nothing_left_to_plan(
    declared: Fixtures, present: Fixtures, tuned: set[str], wish: Wish
) -> None:
    found = some_database(present, tuned)
    after = applied(plan(declared, found, wish), found)
    assert plan(declared, after, wish).empty


@given(fixture_sets, fixture_sets, tunings, wishes)
def test_a_plan_never_takes_more_than_the_wish_allows(
    declared: Fixtures, present: Fixtures, tuned: set[str], wish: Wish
) -> None:
    found = some_database(present, tuned)
    planned = plan(declared, found, wish)
    after = applied(planned, found)
    if not wish.prune:
        assert all(after.rows[table].keys() >= found.rows[table].keys() for table in TABLES)
    if wish.mode is SeedMode.MISSING:
        kept: Mapping[str, Mapping[str, Row]] = after.rows
        assert all(
            kept[table].get(key, row) == row for table in TABLES for key, row in found.rows[table].items()
        )
    if not wish.overwrite_tuned:
        for key, row in found.rows["threshold"].items():
            if row["tuned_at"] is not None:
                assert after.rows["threshold"].get(key, row) == row


def test_without_permission_not_a_single_row_is_pruned() -> None:
    fewer, found, wish = without(SHIPPED, "2346"), as_found(SHIPPED), Wish(prune=True)
    (refused,) = prune_refusals(plan(fewer, found, wish), found, wish)
    assert refused.reason is PruneRefusal.TOO_MANY
    assert "4 rows would be deleted" in refused.text
    assert "station 2346" in refused.text
    assert "--max-prune allows 0" in refused.text


@pytest.mark.parametrize(("max_prune", "refused"), [(3, True), (4, False)])
def test_as_many_rows_are_pruned_as_are_allowed(max_prune: int, refused: bool) -> None:
    found, wish = as_found(SHIPPED), Wish(prune=True, max_prune=max_prune)
    assert bool(prune_refusals(plan(without(SHIPPED, "2346"), found, wish), found, wish)) is refused


@pytest.mark.parametrize(
    ("users", "reason"),
    [
        ("measurement", PruneRefusal.MEASURED),
        ("alert", PruneRefusal.REFERRED_TO),
        ("threshold_audit", PruneRefusal.REFERRED_TO),
    ],
)
def test_a_station_with_a_history_is_never_pruned(users: str, reason: PruneRefusal) -> None:
    found = as_found(SHIPPED, **{users: frozenset([BRIG])})
    wish = Wish(prune=True, max_prune=100)
    (refused,) = prune_refusals(plan(without(SHIPPED, "2346"), found, wish), found, wish)
    assert refused.reason is reason
    assert refused.text == f"rows of {users} refer to station 2346"


def test_a_history_of_a_station_that_stays_is_no_obstacle() -> None:
    found = as_found(SHIPPED, measurement=frozenset([str(ids.station_id("2011"))]))
    wish = Wish(prune=True, max_prune=100)
    assert not prune_refusals(plan(without(SHIPPED, "2346"), found, wish), found, wish)


@pytest.mark.parametrize(("overwrite", "refused"), [(False, True), (True, False)])
def test_a_tuned_threshold_is_pruned_only_if_tuned_values_may_go(overwrite: bool, refused: bool) -> None:
    found = changed(as_found(SHIPPED), "threshold", BRIG_THRESHOLD, **TUNED)
    wish = Wish(SeedMode.CONVERGE, prune=True, overwrite_tuned=overwrite, max_prune=100)
    refusals = prune_refusals(plan(without(SHIPPED, "2346"), found, wish), found, wish)
    assert [refusal.reason for refusal in refusals] == ([PruneRefusal.TUNED] if refused else [])


def test_a_plan_without_prunes_is_never_refused() -> None:
    found = as_found(without(SHIPPED, "2346"), measurement=frozenset([BRIG]))
    assert not prune_refusals(plan(SHIPPED, found, Wish()), found, Wish())


def test_a_natural_key_under_another_identifier_is_a_contradiction() -> None:
    other = "00000000-0000-0000-0000-000000000001"
    rows = {table: dict(by_id) for table, by_id in as_found(without(SHIPPED, "2346")).rows.items()}
    rows["station"][other] = {**SHIPPED.rows["station"][0], "id": other}
    found = Found(rows)
    (text,) = contradictions(plan(SHIPPED, found, Wish()), found)
    assert text == (f"station 2346 exists under the identifier {other}, its fixture declares {BRIG}")
    assert not contradictions(plan(SHIPPED, as_found(SHIPPED), Wish()), as_found(SHIPPED))


def test_rows_are_called_what_people_call_them() -> None:
    names = labels(SHIPPED.rows)
    assert names[BRIG] == "station 2346"
    assert names[BRIG_THRESHOLD] == "threshold 2346 DISCHARGE"
    link = str(ids.station_glacier_id("TBD-EVOLENE", "Mont Miné"))
    assert names[link] == "station_glacier TBD-EVOLENE Mont Miné"
    assert names[str(ids.withdrawal_id("Station de pompage d'Arolla"))] == (
        "withdrawal Station de pompage d'Arolla"
    )
