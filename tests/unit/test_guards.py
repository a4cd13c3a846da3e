"""Each guard rail of healing: where it holds, and where it no longer does."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from alpimonitor_watchdog.core import guards
from alpimonitor_watchdog.core.guards import GUARDS, Case, obstacle, refusal
from alpimonitor_watchdog.core.model import Policy, State, Streak
from alpimonitor_watchdog.core.seen import (
    DatabaseSeen,
    Expectation,
    Finding,
    Findings,
    Loss,
    Observation,
    PlanSeen,
    TableExpected,
    TableSeen,
)
from alpimonitor_watchdog.core.words import CONTEXT_LOSS, WAITS, Mode, Reason, Symptom, Unseen

NOW = datetime(2026, 4, 21, 12, 0, tzinfo=UTC)
STATION = TableSeen("station", rows=0)
SENSOR = TableSeen("sensor", rows=14)
MEASUREMENT = TableSeen("measurement", rows=0)
LOST = Findings((Finding(Symptom.CONTEXT_EMPTY, "station", (Loss("station", 0, 7),)),))


def streak(symptom: Symptom = Symptom.CONTEXT_EMPTY, probes: int = 3, lasted: float = 10.0) -> Streak:
    return Streak(symptom, NOW, probes, lasted)


# A loss that every guard rail lets a heal put right.
DATABASE = DatabaseSeen(tables=(STATION, SENSOR, MEASUREMENT), revision="0002")
STATE = State(streaks=(streak(),), plan=PlanSeen(inserts=(("station", 7),)))
POLICY = Policy(confirm_for=10.0, confirm_probes=3)
EXPECTED = Expectation(
    tables=(
        TableExpected("station", context=True, floor=7, expected=7),
        TableExpected("sensor", context=True, floor=10, expected=14),
        TableExpected("measurement", context=False, floor=0, expected=0),
    ),
    revisions=frozenset({"0001", "0002"}),
)


def case(
    *,
    mode: Mode = Mode.ON,
    healer: str | None = "command",
    findings: Findings = LOST,
    recordable: bool = True,
    revisions: frozenset[str] = EXPECTED.revisions,
    database: DatabaseSeen | None = None,
    state: State = STATE,
    **seen: Any,
) -> Case:
    """The loss above but for what is named; `seen` are fields of the database."""
    looked = Observation(NOW, 1.0, database or replace(DATABASE, **seen), recordable=recordable)
    policy = replace(POLICY, mode=mode, healer=healer)
    return Case(state, looked, findings, replace(EXPECTED, revisions=revisions), policy)


def having(**changes: Any) -> Case:
    """The loss above in another state."""
    return case(state=replace(STATE, **changes))


@pytest.mark.parametrize(
    ("looked_at", "reason"),
    [
        pytest.param(case(), None, id="healing is on and has a healer"),
        pytest.param(case(mode=Mode.OFF), Reason.HEALING_OFF, id="healing is off"),
        pytest.param(case(healer=None), Reason.NO_HEALER, id="no healer is declared"),
        pytest.param(case(mode=Mode.OFF, healer=None), Reason.HEALING_OFF, id="off explains more"),
        pytest.param(case(mode=Mode.DRY_RUN), None, id="a dry run goes on deciding"),
        pytest.param(case(mode=Mode.DRY_RUN, healer=None), Reason.NO_HEALER, id="a dry run needs a healer"),
    ],
)
def test_a_heal_has_to_be_enabled(looked_at: Case, reason: Reason | None) -> None:
    assert guards.enabled(looked_at) is reason


def with_tables(*tables: TableSeen) -> Case:
    return case(tables=tables)


def unseen(name: str, why: Unseen) -> TableSeen:
    return TableSeen(name, unseen=why)


@pytest.mark.parametrize(
    ("looked_at", "reason"),
    [
        pytest.param(case(), None, id="every table was counted"),
        pytest.param(
            case(database=DatabaseSeen(unseen=Unseen.UNREACHABLE)),
            Reason.UNREACHABLE,
            id="the database was not reached",
        ),
        pytest.param(
            case(unseen=Unseen.TIMEOUT), Reason.UNREACHABLE, id="tables of a database that was not seen"
        ),
        pytest.param(
            with_tables(unseen("station", Unseen.ROW_SECURITY), SENSOR, MEASUREMENT),
            Reason.ROWS_HIDDEN,
            id="row security hides rows",
        ),
        pytest.param(
            with_tables(STATION, unseen("sensor", Unseen.FORBIDDEN), MEASUREMENT),
            Reason.FORBIDDEN,
            id="a context table may not be read",
        ),
        *(
            pytest.param(
                with_tables(STATION, unseen("sensor", why), MEASUREMENT), Reason.NOT_VISIBLE, id=f"{why}"
            )
            for why in Unseen
            if why not in {Unseen.ROW_SECURITY, Unseen.FORBIDDEN}
        ),
        pytest.param(
            with_tables(unseen("station", Unseen.FORBIDDEN), unseen("sensor", Unseen.ROW_SECURITY)),
            Reason.ROWS_HIDDEN,
            id="row security explains more than a missing grant",
        ),
        pytest.param(
            with_tables(unseen("station", Unseen.LOCKED), unseen("sensor", Unseen.FORBIDDEN)),
            Reason.FORBIDDEN,
            id="a missing grant will not pass as a lock does",
        ),
        pytest.param(
            with_tables(STATION, MEASUREMENT), Reason.NOT_VISIBLE, id="a context table was left out"
        ),
        *(
            pytest.param(
                with_tables(STATION, SENSOR, unseen("measurement", why)), None, id=f"operational, {why}"
            )
            for why in Unseen
        ),
        pytest.param(with_tables(STATION, SENSOR), None, id="an operational table was left out"),
        pytest.param(
            with_tables(STATION, replace(SENSOR, exists=False, rows=None)),
            None,
            id="a table is seen to be gone",
        ),
    ],
)
def test_every_context_table_has_to_be_visible(looked_at: Case, reason: Reason | None) -> None:
    assert guards.visible(looked_at) is reason


@pytest.mark.parametrize(
    ("looked_at", "reason"),
    [
        pytest.param(case(), None, id="tables, columns and an allowed revision"),
        pytest.param(case(revision="0001"), None, id="another allowed revision"),
        pytest.param(
            with_tables(TableSeen("station", exists=False), SENSOR, MEASUREMENT),
            Reason.TABLE_MISSING,
            id="a context table is gone",
        ),
        pytest.param(
            with_tables(STATION, SENSOR, TableSeen("measurement", exists=False)),
            Reason.TABLE_MISSING,
            id="an operational table is gone",
        ),
        pytest.param(
            with_tables(STATION, replace(SENSOR, missing_columns=("unit",)), MEASUREMENT),
            Reason.COLUMN_MISSING,
            id="a declared column is gone",
        ),
        pytest.param(
            with_tables(replace(STATION, missing_columns=("name",)), TableSeen("sensor", exists=False)),
            Reason.TABLE_MISSING,
            id="a table explains more than a column",
        ),
        pytest.param(case(revision="0003"), Reason.REVISION_NOT_ALLOWED, id="another revision"),
        pytest.param(case(revision=None), Reason.REVISION_NOT_ALLOWED, id="no revision at all"),
        pytest.param(
            case(revision=None, revision_unseen=Unseen.LOCKED),
            Reason.NOT_VISIBLE,
            id="the revision could not be read",
        ),
        pytest.param(case(revision="0003", revisions=frozenset()), None, id="any revision is allowed"),
        pytest.param(
            case(revision=None, revision_unseen=Unseen.LOCKED, revisions=frozenset()),
            None,
            id="a revision that nobody asked for",
        ),
    ],
)
def test_the_schema_has_to_be_the_right_one(looked_at: Case, reason: Reason | None) -> None:
    assert guards.right_schema(looked_at) is reason


@pytest.mark.parametrize(
    ("looked_at", "reason"),
    [
        pytest.param(case(), None, id="a primary that takes writes"),
        pytest.param(case(in_recovery=True), Reason.IN_RECOVERY, id="a standby"),
        pytest.param(case(read_only=True), Reason.READ_ONLY, id="read-only"),
        pytest.param(case(subscribed=("station",)), Reason.SUBSCRIBED, id="a subscription fills a table"),
        pytest.param(case(in_recovery=True, read_only=True), Reason.IN_RECOVERY, id="standbys are read-only"),
    ],
)
def test_the_database_has_to_be_writable(looked_at: Case, reason: Reason | None) -> None:
    assert guards.writable(looked_at) is reason


@pytest.mark.parametrize(
    ("looked_at", "reason"),
    [
        pytest.param(case(), None, id="just enough probes over just long enough"),
        pytest.param(having(streaks=(streak(probes=4, lasted=11.0),)), None, id="more of both"),
        pytest.param(having(streaks=(streak(probes=2),)), Reason.NOT_PROVEN_YET, id="one probe too few"),
        pytest.param(
            having(streaks=(streak(lasted=9.9),)), Reason.NOT_PROVEN_YET, id="not quite long enough"
        ),
        pytest.param(having(streaks=()), Reason.NOT_PROVEN_YET, id="no streak"),
        pytest.param(case(findings=Findings()), Reason.NOT_PROVEN_YET, id="the loss is not seen now"),
        pytest.param(
            case(findings=Findings(undetermined=CONTEXT_LOSS)),
            Reason.NOT_PROVEN_YET,
            id="the loss cannot be seen now",
        ),
        pytest.param(
            having(streaks=(streak(Symptom.CONTEXT_UNSEEN), streak(Symptom.API_UNHEALTHY))),
            Reason.NOT_PROVEN_YET,
            id="what else is wrong proves no loss",
        ),
        pytest.param(
            having(streaks=(streak(lasted=0.0), streak(Symptom.CONTEXT_SHRUNK, probes=2))),
            Reason.NOT_PROVEN_YET,
            id="probes of one and seconds of another do not add up",
        ),
        *(
            pytest.param(having(streaks=(streak(probes=1), streak(loss))), None, id=f"{loss} alone")
            for loss in sorted(CONTEXT_LOSS)
        ),
    ],
)
def test_the_loss_has_to_be_proven(looked_at: Case, reason: Reason | None) -> None:
    assert guards.proven(looked_at) is reason


def test_nobody_else_may_be_changing_the_database() -> None:
    assert guards.alone(case()) is None
    assert guards.alone(case(change_held_by=4711)) is Reason.CHANGE_IN_PROGRESS


SEVEN = (("station", 7),)


@pytest.mark.parametrize(
    ("plan", "reason"),
    [
        pytest.param(PlanSeen(inserts=SEVEN), None, id="it only inserts"),
        pytest.param(None, Reason.PLANNING, id="there is none yet"),
        pytest.param(PlanSeen(inserts=SEVEN, failed="exit 2"), Reason.PLAN_FAILED, id="it failed"),
        pytest.param(PlanSeen(inserts=SEVEN, deletes=SEVEN), Reason.PLAN_DELETES, id="it deletes"),
        pytest.param(PlanSeen(inserts=SEVEN, updates=SEVEN), Reason.PLAN_UPDATES, id="it updates"),
        pytest.param(PlanSeen(updates=SEVEN, deletes=SEVEN), Reason.PLAN_DELETES, id="deleting is worse"),
        pytest.param(PlanSeen(), Reason.PLAN_EMPTY, id="it is empty"),
        pytest.param(PlanSeen(inserts=(("station", 0),)), Reason.PLAN_EMPTY, id="it inserts no row"),
        pytest.param(PlanSeen(inserts=(("station", 0), ("sensor", 1))), None, id="it inserts a single row"),
    ],
)
def test_the_plan_has_to_be_harmless(plan: PlanSeen | None, reason: Reason | None) -> None:
    assert guards.harmless(having(plan=plan)) is reason


def test_a_dry_run_ends_before_the_heal() -> None:
    assert guards.not_dry_run(case()) is None
    assert guards.not_dry_run(case(mode=Mode.DRY_RUN)) is Reason.DRY_RUN


# What keeps each guard rail from holding, the first asked first.
BREAKS: list[tuple[Reason, dict[str, Any]]] = [
    (Reason.NO_HEALER, {"healer": None}),
    (Reason.UNREACHABLE, {"unseen": Unseen.UNREACHABLE}),
    (Reason.CHANGE_IN_PROGRESS, {"change_held_by": 4711}),
    (Reason.REVISION_NOT_ALLOWED, {"revision": "0003"}),
    (Reason.READ_ONLY, {"read_only": True}),
    (Reason.NOT_RECORDABLE, {"recordable": False}),
    (Reason.NOT_PROVEN_YET, {"findings": Findings()}),
    (Reason.PLAN_EMPTY, {"state": replace(STATE, plan=PlanSeen())}),
    (Reason.DRY_RUN, {"mode": Mode.DRY_RUN}),
]


def test_a_heal_may_run_when_every_guard_rail_holds() -> None:
    assert refusal(case()) is None
    assert obstacle(case()) is None
    assert len(BREAKS) == len(GUARDS)


@pytest.mark.parametrize(("reason", "change"), BREAKS, ids=str)
def test_one_guard_rail_that_does_not_hold_refuses_the_heal(reason: Reason, change: dict[str, Any]) -> None:
    assert refusal(case(**change)) is reason
    assert obstacle(case(**change)) is (None if reason in WAITS else reason)


@pytest.mark.parametrize("first", range(len(BREAKS)))
def test_of_several_reasons_the_first_is_told_and_the_first_that_stays_is_the_obstacle(first: int) -> None:
    broken = BREAKS[first:]
    looked_at = case(**{name: value for _, change in broken for name, value in change.items()})
    assert refusal(looked_at) is broken[0][0]
    assert obstacle(looked_at) is next(reason for reason, _ in broken if reason not in WAITS)
