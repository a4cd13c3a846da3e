"""The last good state: what is learned at once, what has to stay first, what only an operator accepts."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from alpimonitor_watchdog.core.fingerprint import Identity
from alpimonitor_watchdog.core.good import (
    Candidate,
    LastGood,
    TableGood,
    absorb,
    changed,
    expected_now,
    follow,
    present,
    stays,
)
from alpimonitor_watchdog.core.model import Policy
from alpimonitor_watchdog.core.seen import (
    DatabaseSeen,
    Expectation,
    Observation,
    TableExpected,
    TableSeen,
)
from alpimonitor_watchdog.core.symptoms import find
from alpimonitor_watchdog.core.words import Phase, Reason, Symptom, Unseen
from tests.unit.episodes import EXPECTED, HERE, START, Episode, episode, wiped

STATION = TableExpected("station", context=True, floor=7, expected=7)
LATER = START + timedelta(hours=1)


def good(*tables: TableGood) -> LastGood:
    return LastGood(START, HERE, tables)


def held(world: Episode) -> dict[str, int | None]:
    """Rows of the last good state."""
    assert world.state.good is not None
    return {table.name: table.rows for table in world.state.good.tables}


# ---- what has to be there ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("last", "floor", "expected"),
    [
        pytest.param(None, 7, 7, id="never seen"),
        pytest.param(TableGood("station", 7), 7, 7, id="as declared"),
        pytest.param(TableGood("station", 9), 7, 9, id="more than declared"),
        pytest.param(TableGood("station", 5), 7, 7, id="fewer, and nobody accepted it"),
        pytest.param(TableGood("station", 5, accepted=True), 5, 5, id="fewer, accepted"),
        pytest.param(TableGood("station", 0, accepted=True), 0, 0, id="empty, accepted"),
        pytest.param(TableGood("station", None, accepted=True), 0, 0, id="gone, accepted"),
        pytest.param(TableGood("sensor", 0, accepted=True), 7, 7, id="of another table"),
    ],
)
def test_what_has_to_be_there_is_what_is_declared_or_what_was_last_good(
    last: TableGood | None, floor: int, expected: int
) -> None:
    wanted = expected_now(STATION, good(last) if last else None)
    assert (wanted.floor, wanted.expected) == (floor, expected)
    assert (wanted.name, wanted.context) == ("station", True)


def symptom(seen: TableSeen, last: TableGood | None, floor: int = 0, fraction: float = 0.5) -> Symptom | None:
    """The loss that one look at one table shows."""
    declared = Expectation((TableExpected("t", context=True, floor=floor, expected=floor),))
    looked = Observation(START, 1.0, DatabaseSeen(tables=(seen,), identity=HERE))
    found = find(looked, declared, Policy(shrink_fraction=fraction), good(last) if last else None)
    losses = [finding.symptom for finding in found.found if finding.losses]
    return losses[0] if losses else None


@pytest.mark.parametrize(
    ("rows", "last", "fraction", "lost"),
    [
        pytest.param(50, 100, 0.5, None, id="exactly the fraction"),
        pytest.param(49, 100, 0.5, Symptom.CONTEXT_SHRUNK, id="a row more"),
        pytest.param(2, 3, 0.5, None, id="a third"),
        pytest.param(1, 3, 0.5, Symptom.CONTEXT_SHRUNK, id="two thirds"),
        pytest.param(1, 2, 0.5, None, id="one of two"),
        pytest.param(0, 1, 0.5, Symptom.CONTEXT_EMPTY, id="the only one"),
        pytest.param(99, 100, 0.0, Symptom.CONTEXT_SHRUNK, id="any row counts"),
        pytest.param(100, 100, 0.0, None, id="none was lost"),
        pytest.param(1, 100, 1.0, None, id="no fraction counts"),
        pytest.param(0, 100, 1.0, Symptom.CONTEXT_EMPTY, id="but emptiness does"),
        pytest.param(49, None, 0.5, None, id="it was gone before"),
        pytest.param(0, 0, 0.5, None, id="it was empty before"),
        pytest.param(101, 100, 0.5, None, id="it grew"),
    ],
)
def test_a_loss_is_measured_against_what_was_last_good(
    rows: int, last: int | None, fraction: float, lost: Symptom | None
) -> None:
    before = TableGood("t", last, accepted=last is None)
    assert symptom(TableSeen("t", rows=rows), before, fraction=fraction) is lost


@pytest.mark.parametrize(
    ("seen", "last", "lost"),
    [
        pytest.param(TableSeen("t", rows=10, capped=True), 100, None, id="counting ended before the half"),
        pytest.param(TableSeen("t", rows=100, capped=True), 100, None, id="both were capped"),
        pytest.param(
            TableSeen("t", rows=10), 100, Symptom.CONTEXT_SHRUNK, id="it was capped, and is counted"
        ),
        pytest.param(TableSeen("t", unseen=Unseen.LOCKED), 100, None, id="out of sight"),
        pytest.param(TableSeen("t", exists=False), 100, Symptom.CONTEXT_MISSING, id="gone"),
        pytest.param(TableSeen("t", exists=False), None, None, id="gone, as was accepted"),
    ],
)
def test_a_capped_count_proves_no_loss_and_an_accepted_absence_is_none(
    seen: TableSeen, last: int | None, lost: Symptom | None
) -> None:
    assert symptom(seen, TableGood("t", last, accepted=last is None)) is lost


# ---- what is seen -----------------------------------------------------------------------------------------


def seen(*tables: TableSeen, **changes: Any) -> tuple[TableGood, ...] | None:
    declared = Expectation((STATION, TableExpected("log", context=False, floor=9, expected=9)))
    return present(DatabaseSeen(tables=tables, **changes), declared)


@pytest.mark.parametrize(
    ("table", "rows", "accepted"),
    [
        (TableSeen("station", rows=7), 7, False),
        (TableSeen("station", rows=6), 6, True),
        (TableSeen("station", rows=0), 0, True),
        (TableSeen("station", exists=False), None, True),
        (TableSeen("station", rows=6, capped=True), 6, False),
    ],
)
def test_fewer_rows_than_are_declared_are_good_only_where_they_are_accepted(
    table: TableSeen, rows: int | None, accepted: bool
) -> None:
    assert seen(table) == (TableGood("station", rows, accepted=accepted),)


def test_an_empty_table_without_a_floor_is_accepted_as_empty() -> None:
    declared = Expectation((TableExpected("t", context=True, floor=0, expected=5),))
    database = DatabaseSeen(tables=(TableSeen("t", rows=0),), identity=HERE)
    now = present(database, declared)
    assert now == (TableGood("t", 0, accepted=True),)
    assert find(Observation(START, 1.0, database), declared, Policy(), good(*now)).found == ()


@pytest.mark.parametrize(
    ("tables", "changes"),
    [
        pytest.param((), {}, id="it has no answer"),
        pytest.param((TableSeen("station", unseen=Unseen.LOCKED),), {}, id="it was locked"),
        pytest.param((TableSeen("station"),), {}, id="it was not counted"),
        pytest.param(
            (TableSeen("station", rows=7),), {"unseen": Unseen.TIMEOUT}, id="the database was not reached"
        ),
    ],
)
def test_a_context_of_which_a_part_is_out_of_sight_is_not_known(
    tables: tuple[TableSeen, ...], changes: dict[str, Any]
) -> None:
    assert seen(*tables, **changes) is None


@pytest.mark.parametrize(
    ("now", "how"),
    [
        pytest.param(TableSeen("t", rows=3, content="a"), {}, id="as it was"),
        pytest.param(TableSeen("t", rows=3, content="3:7:180001"), {}, id="hashed by another server version"),
        pytest.param(TableSeen("t", rows=4, content="a"), {"t": "t 4 rows, was 3"}, id="a row more"),
        pytest.param(TableSeen("t", rows=2), {"t": "t 2 rows, was 3"}, id="a row less"),
        pytest.param(TableSeen("t", rows=3, content="b"), {"t": "t other values"}, id="other values"),
        pytest.param(TableSeen("t", rows=3), {}, id="its content was not taken"),
        pytest.param(TableSeen("t", unseen=Unseen.LOCKED), {}, id="out of sight"),
        pytest.param(TableSeen("t", exists=False), {}, id="gone: a loss"),
        pytest.param(TableSeen("other", rows=9), {}, id="another table"),
    ],
)
def test_a_change_is_what_is_seen_to_differ(now: TableSeen, how: dict[str, str]) -> None:
    assert changed(good(TableGood("t", 3, "a")), DatabaseSeen(tables=(now,))) == how


@pytest.mark.parametrize(
    ("last", "differs"), [(TableGood("t", None, accepted=True), False), (TableGood("t", 3), False)]
)
def test_a_table_that_comes_back_and_a_content_never_taken_are_no_change(
    last: TableGood, differs: bool
) -> None:
    database = DatabaseSeen(tables=(TableSeen("t", rows=3, content="a"),))
    assert bool(changed(good(last), database)) is differs


@pytest.mark.parametrize(
    ("before", "same"),
    [
        ((TableGood("t", 3, "a"),), True),
        ((TableGood("t", 3),), True),
        ((TableGood("t", 3, "b"),), False),
        ((TableGood("t", 4, "a"),), False),
        ((TableGood("u", 3, "a"),), False),
        ((TableGood("t", 3, "a"), TableGood("u", 1)), False),
        ((), False),
    ],
)
def test_two_looks_saw_the_same_when_every_table_is_as_it_was(
    before: tuple[TableGood, ...], same: bool
) -> None:
    assert stays((TableGood("t", 3, "a"),), before) is same


# ---- what becomes good ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "learned"),
    [
        pytest.param(TableGood("t", 4, "b"), TableGood("t", 4, "b"), id="more rows"),
        pytest.param(TableGood("t", 3, "b"), TableGood("t", 3, "b"), id="other values"),
        pytest.param(TableGood("t", 2, "b"), TableGood("t", 3, "a"), id="fewer rows"),
        pytest.param(TableGood("t", None), TableGood("t", 3, "a"), id="gone"),
        pytest.param(TableGood("t", 3), TableGood("t", 3, "a"), id="a content not taken is not forgotten"),
        pytest.param(TableGood("t", 4), TableGood("t", 4), id="the content of other rows is not known"),
        pytest.param(TableGood("u", 1), TableGood("u", 1), id="a table declared later"),
    ],
)
def test_a_table_is_learned_unless_it_has_fewer_rows_than_were_good(
    now: TableGood, learned: TableGood
) -> None:
    before = good(TableGood("t", 3, "a"))
    after = absorb(before, (now,), LATER)
    assert after == (before if learned in before.tables else replace(before, at=LATER, tables=(learned,)))


LAST = good(TableGood("t", 3, "a"), TableGood("u", 5, "x"))
MORE = (TableGood("t", 4, "b"), TableGood("u", 5, "x"))
MIXED = (TableGood("t", 4, "b"), TableGood("u", 4, "y"))


def after(
    now: tuple[TableGood, ...], candidate: Candidate | None = None, lived: float = 0.0
) -> tuple[LastGood, Candidate | None]:
    return follow(LAST, candidate, now, at=LATER, lived=lived, accept_after=600.0)


def test_a_change_is_a_candidate_first_and_good_to_the_second_when_it_has_stayed() -> None:
    last, candidate = after(MORE, lived=10.0)
    assert (last, candidate) == (LAST, Candidate(MORE, 10.0))
    assert after(MORE, candidate, lived=609.9) == (LAST, candidate)
    assert after(MORE, candidate, lived=610.0) == (replace(LAST, at=LATER, tables=MORE), None)


def test_another_change_begins_anew() -> None:
    other = (TableGood("t", 4, "c"), TableGood("u", 5, "x"))
    assert after(other, Candidate(MORE, 0.0), lived=600.0) == (LAST, Candidate(other, 600.0))


def test_a_change_that_goes_back_is_forgotten() -> None:
    assert after(LAST.tables, Candidate(MORE, 0.0), lived=600.0) == (LAST, None)


def test_of_a_change_that_lost_rows_only_the_rest_becomes_good() -> None:
    candidate = Candidate(MIXED, 0.0)
    last, left = after(MIXED, candidate, lived=600.0)
    assert last.tables == (TableGood("t", 4, "b"), TableGood("u", 5, "x"))
    assert left == candidate
    again, left = follow(last, left, MIXED, at=LATER + timedelta(1), lived=9000.0, accept_after=600.0)
    assert (again, left) == (last, candidate)


def test_a_content_that_is_taken_later_is_learned() -> None:
    blank = good(TableGood("t", 3), TableGood("u", 5, "x"))
    now = (TableGood("t", 3, "a"), TableGood("u", 5))
    last, candidate = follow(blank, None, now, at=LATER, lived=0.0, accept_after=600.0)
    assert last.tables == (TableGood("t", 3, "a"), TableGood("u", 5, "x"))
    assert candidate is None


def test_a_candidate_of_unknown_content_stays_only_while_its_content_does() -> None:
    blank = (TableGood("t", 4), TableGood("u", 5, "x"))
    _, candidate = after(MORE, Candidate(blank, 0.0), lived=1.0)
    assert candidate == Candidate(MORE, 0.0)
    other = (TableGood("t", 4, "c"), TableGood("u", 5, "x"))
    assert after(other, candidate, lived=2.0) == (LAST, Candidate(other, 2.0))


# ---- as the sidecar lives it ------------------------------------------------------------------------------


def test_the_first_whole_look_is_the_first_last_good_state() -> None:
    world = Episode()
    world.wipe()
    world.run(3)
    assert world.state.good is None
    world.restore()
    world.tick()
    assert world.state.good == LastGood(world.at, HERE, (TableGood("station", 7), TableGood("sensor", 14)))


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param({"rows": {"station": 7, "sensor": Unseen.LOCKED}}, id="a table out of sight"),
        pytest.param({"database": DatabaseSeen(revision="0001")}, id="which database nobody knows"),
        pytest.param({"database": DatabaseSeen(unseen=Unseen.TIMEOUT)}, id="no database in sight"),
        pytest.param({"served": "d-2"}, id="the API serves another"),
    ],
)
def test_what_is_not_wholly_seen_is_no_last_good_state(trouble: dict[str, Any]) -> None:
    world = Episode(**trouble)
    world.run(700)
    assert world.state.good is None


def test_rows_that_were_added_are_good_after_a_while_and_their_loss_is_one_then() -> None:
    world = episode(accept_after=600.0, settle_after=9000.0)
    world.rows["sensor"] = 40
    world.tick()
    world.tick(elapsed=599.0)
    assert held(world)["sensor"] == 14
    world.tick()
    assert held(world)["sensor"] == 40
    world.rows["sensor"] = 20
    world.run(2)
    assert world.state.phase is Phase.SUSPECTED  # of a change: the half is no loss
    world.rows["sensor"] = 19
    world.run(2)
    assert world.incident.losses[0].expected == 40


def test_a_loss_is_never_good_by_itself_however_long_it_lasts() -> None:
    world = wiped(healer=None)
    for _ in range(10):
        world.tick(elapsed=3600.0)
    assert held(world) == {"station": 7, "sensor": 14}


def test_a_few_rows_less_are_never_good_by_themselves() -> None:
    world = episode()
    world.rows["sensor"] = 13
    for _ in range(10):
        world.tick(elapsed=3600.0)
    assert held(world) == {"station": 7, "sensor": 14}


def test_slow_erosion_adds_up() -> None:
    world = episode(expected=replace(EXPECTED, tables=(TableExpected("sensor", True, 0, 14),)))
    for rows in range(13, 6, -1):
        world.rows["sensor"] = rows
        world.tick(elapsed=3600.0)
        assert not world.decisions[-1].findings.context_lost
    world.rows["sensor"] = 6
    assert world.tick().findings.context_lost


def test_another_database_changes_nothing_of_what_was_last_good() -> None:
    world = episode()
    before = world.state.good
    world.database = replace(world.database, identity=replace(HERE, database_oid=1))
    world.rows["sensor"] = 99
    for _ in range(5):
        world.tick(elapsed=600.0)
    assert (world.state.good, world.state.candidate) == (before, None)


def test_what_a_heal_put_back_is_good_at_once() -> None:
    world = wiped(ingests_after=False)
    world.content["station"] = "as seeded"
    world.rows["sensor"] = 0
    world.until(Phase.VERIFYING)
    assert world.state.good is not None
    assert world.state.good.table("station") == TableGood("station", 7, "as seeded")
    assert world.state.candidate is None


def test_a_heal_explains_no_change_of_a_table_that_had_lost_nothing() -> None:
    world = episode(ingests_after=False)
    world.content["sensor"] = "as it was"
    world.tick()
    world.wipe(station=0)
    world.content["sensor"] = "tampered with"
    world.until(Phase.VERIFYING)
    assert world.state.good is not None
    assert world.state.good.table("sensor") == TableGood("sensor", 14, "as it was")
    assert [finding.symptom for finding in world.tick().findings.found] == [Symptom.CONTEXT_CHANGED]


def test_a_heal_that_puts_fewer_rows_back_than_were_good_lowers_nothing() -> None:
    world = episode(accept_after=10.0, ingests_after=False, heal_puts_back=False)
    world.rows["sensor"] = 15
    world.run(12)
    assert held(world)["sensor"] == 15
    world.wipe(sensor=0)
    world.until(Phase.HEALING)
    world.restore()
    world.until(Phase.VERIFYING)
    assert held(world)["sensor"] == 15


def test_a_heal_is_not_proven_by_the_rows_of_another_database() -> None:
    world = wiped()
    world.until(Phase.HEALING)
    world.database = replace(world.database, identity=replace(HERE, system="another"))
    world.run(20)
    assert world.state.phase is Phase.HEALING
    world.run(20)
    assert world.path()[-1] == (Phase.OPEN, Reason.PROOF_FAILED)
    assert [heal.succeeded for heal in world.state.heals] == [False]


def test_what_a_heal_put_back_is_good_though_consumers_do_not_see_it() -> None:
    world = wiped(health_ok=False)
    world.content["station"] = "as seeded"
    world.until(Phase.ESCALATED)
    assert world.state.good is not None
    assert world.state.good.table("station") == TableGood("station", 7, "as seeded")


def test_a_table_that_is_declared_later_is_learned() -> None:
    world = episode(settle_after=9000.0)
    world.expected = replace(EXPECTED, tables=(*EXPECTED.tables, TableExpected("glacier", True, 2, 2)))
    world.rows["glacier"] = 2
    world.tick()
    assert "glacier" not in held(world)
    assert world.decisions[-1].findings.found == ()
    world.tick(elapsed=600.0)
    assert held(world)["glacier"] == 2


def test_a_long_quiet_stretch_changes_nothing_in_what_is_saved_of_it() -> None:
    world = episode()
    world.rows["sensor"] = 13
    world.run(2)
    world.tick(elapsed=600.0)
    before = (world.state.good, world.state.candidate)
    world.run(5)
    assert (world.state.good, world.state.candidate) == before


@pytest.mark.parametrize(
    ("now", "differences"),
    [
        (Identity("s", 1, "d", "e"), []),
        (Identity(), []),
        (Identity("s", 2, "d", "e"), ["database oid 2, was 1"]),
        (Identity("t", 1, "d", "e"), ["system identifier t, was s"]),
        (Identity("s", 1, "c", "e"), ["deployment c, was d"]),
        (Identity("s", 1, "d", "renamed"), []),
    ],
)
def test_databases_differ_in_what_both_know(now: Identity, differences: list[str]) -> None:
    assert now.differences(Identity("s", 1, "d", "e")) == differences
