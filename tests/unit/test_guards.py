"""Each guard rail of healing: where it holds, and where it no longer does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from alpimonitor_watchdog.core import guards
from alpimonitor_watchdog.core.brakes import Hold, Pause, Window
from alpimonitor_watchdog.core.fingerprint import Fingerprint, Identity
from alpimonitor_watchdog.core.good import LastGood, TableGood
from alpimonitor_watchdog.core.guards import GUARDS, Case, obstacle, refusal
from alpimonitor_watchdog.core.model import Policy, State, Streak
from alpimonitor_watchdog.core.seen import (
    DatabaseSeen,
    Expectation,
    Finding,
    Findings,
    LeaderSeen,
    Loss,
    Observation,
    PlanSeen,
    TableExpected,
    TableSeen,
)
from alpimonitor_watchdog.core.verdict import Circumstance, Confidence, Verdict, What
from alpimonitor_watchdog.core.words import CONTEXT_LOSS, WAITS, Mode, Reason, Symptom, Unseen

NOW = datetime(2026, 4, 21, 12, 0, tzinfo=UTC)
STATION = TableSeen("station", rows=0)
SENSOR = TableSeen("sensor", rows=14)
MEASUREMENT = TableSeen("measurement", rows=0)
LOST = Findings((Finding(Symptom.CONTEXT_EMPTY, "station", (Loss("station", 0, 7),)),))


def streak(symptom: Symptom = Symptom.CONTEXT_EMPTY, probes: int = 3, lasted: float = 10.0) -> Streak:
    return Streak(symptom, NOW, probes, lasted)


HERE = Identity(system="7", database_oid=5, deployment="d-1", environment="production")
WHOLE = (TableGood("station", 7), TableGood("sensor", 14))
# A loss that every guard rail lets a heal put right.
DATABASE = DatabaseSeen(tables=(STATION, SENSOR, MEASUREMENT), revision="0002", identity=HERE)
STATE = State(
    lived=100.0,
    streaks=(streak(),),
    plan=PlanSeen(inserts=(("station", 7),)),
    good=LastGood(NOW, HERE, WHOLE),
    losses=LOST.losses,
    losses_lived=95.0,
)
POLICY = Policy(confirm_for=10.0, confirm_probes=3, quiet_for=5.0)
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
    environment: str | None = None,
    maintenance: tuple[Window, ...] = (),
    leader: LeaderSeen | None = None,
    database: DatabaseSeen | None = None,
    state: State = STATE,
    **seen: Any,
) -> Case:
    """The loss above but for what is named; `seen` are fields of the database."""
    looked = Observation(
        NOW, 1.0, database or replace(DATABASE, **seen), recordable=recordable, leader=leader
    )
    policy = replace(POLICY, mode=mode, healer=healer, maintenance=maintenance)
    expected = replace(EXPECTED, revisions=revisions, environment=environment)
    return Case(state, looked, findings, expected, policy)


def having(**changes: Any) -> Case:
    """The loss above in another state."""
    return case(state=replace(STATE, **changes))


SECOND, NONE = timedelta(seconds=1), timedelta(0)
HOLD = Hold("anna", "I look first", NOW)


def pause(left: timedelta, until_lived: float) -> Pause:
    return Pause("anna", "planned", NOW + left, until_lived)


def window(start: timedelta, end: timedelta) -> Window:
    return Window("upgrade", NOW + start, NOW + end)


@pytest.mark.parametrize(
    ("looked_at", "reason"),
    [
        pytest.param(case(), None, id="healing is on and has a healer"),
        pytest.param(case(mode=Mode.OFF), Reason.HEALING_OFF, id="healing is off"),
        pytest.param(case(healer=None), Reason.NO_HEALER, id="no healer is declared"),
        pytest.param(case(mode=Mode.OFF, healer=None), Reason.HEALING_OFF, id="off explains more"),
        pytest.param(case(mode=Mode.DRY_RUN), None, id="a dry run goes on deciding"),
        pytest.param(case(mode=Mode.DRY_RUN, healer=None), Reason.NO_HEALER, id="a dry run needs a healer"),
        pytest.param(having(hold=HOLD), Reason.HELD, id="an operator holds it"),
        pytest.param(having(pause=pause(SECOND, 101.0)), Reason.PAUSED, id="an operator pauses it"),
        pytest.param(having(pause=pause(-SECOND, 101.0)), Reason.PAUSED, id="until it was watched as long"),
        pytest.param(having(pause=pause(SECOND, 99.0)), Reason.PAUSED, id="until the clock says so, too"),
        pytest.param(having(pause=pause(NONE, 100.0)), None, id="a pause that is over to the second"),
        pytest.param(case(maintenance=(window(-SECOND, SECOND),)), Reason.MAINTENANCE, id="planned work"),
        pytest.param(case(maintenance=(window(NONE, SECOND),)), Reason.MAINTENANCE, id="it begins"),
        pytest.param(case(maintenance=(window(-SECOND, NONE),)), None, id="it has just ended"),
        pytest.param(case(maintenance=(window(SECOND, 2 * SECOND),)), None, id="it is to come"),
        pytest.param(
            case(maintenance=(window(-2 * SECOND, -SECOND), window(-SECOND, SECOND))),
            Reason.MAINTENANCE,
            id="one of two windows",
        ),
        pytest.param(
            case(mode=Mode.OFF, state=replace(STATE, hold=HOLD)), Reason.HEALING_OFF, id="off outlasts a hold"
        ),
        pytest.param(
            having(hold=HOLD, pause=pause(SECOND, 101.0)), Reason.HELD, id="a hold outlasts a pause"
        ),
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
        pytest.param(
            replace(
                with_tables(STATION, TableSeen("sensor", exists=False), MEASUREMENT),
                state=replace(
                    STATE,
                    good=LastGood(NOW, HERE, (WHOLE[0], TableGood("sensor", None, accepted=True))),
                ),
            ),
            None,
            id="an operator accepted that a table is gone",
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


def test_only_the_leader_heals() -> None:
    assert guards.leads(case()) is None
    assert guards.leads(case(leader=LeaderSeen(True))) is None
    assert guards.leads(case(leader=LeaderSeen(False))) is Reason.NOT_LEADING
    assert guards.leads(case(leader=LeaderSeen(False, other=4711))) is Reason.NOT_LEADING


ELSEWHERE = Findings((*LOST.found, Finding(Symptom.IDENTITY_CHANGED, "another database")))
NEVER_WHOLE = replace(STATE, good=None)


@pytest.mark.parametrize(
    ("looked_at", "reason"),
    [
        pytest.param(case(), None, id="that of the last good state"),
        pytest.param(case(findings=ELSEWHERE), Reason.OTHER_DATABASE, id="another one"),
        pytest.param(case(identity=None), Reason.NOT_VISIBLE, id="nobody knows which"),
        pytest.param(case(state=NEVER_WHOLE), Reason.NOT_ADOPTED, id="never seen whole"),
        pytest.param(
            case(state=NEVER_WHOLE, environment="production"), None, id="never seen whole, but it says so"
        ),
        pytest.param(
            case(state=NEVER_WHOLE, environment="staging"), Reason.NOT_ADOPTED, id="it says another thing"
        ),
        pytest.param(
            case(state=NEVER_WHOLE, environment="production", identity=Identity(system="7")),
            Reason.NOT_ADOPTED,
            id="it says nothing",
        ),
        pytest.param(
            case(state=NEVER_WHOLE, identity=Identity(system="7")),
            Reason.NOT_ADOPTED,
            id="nothing is declared, and nothing said",
        ),
        pytest.param(
            case(state=replace(STATE, good=LastGood(NOW, HERE))), None, id="adopted, and never seen whole"
        ),
        pytest.param(
            case(state=replace(STATE, good=LastGood(NOW, None, WHOLE))),
            Reason.NOT_ADOPTED,
            id="last good nobody knows where",
        ),
        pytest.param(
            case(findings=ELSEWHERE, environment="production"),
            Reason.OTHER_DATABASE,
            id="another one that bears the right name",
        ),
    ],
)
def test_it_has_to_be_the_same_database(looked_at: Case, reason: Reason | None) -> None:
    assert guards.same_database(looked_at) is reason


@pytest.mark.parametrize(
    ("changed", "asked", "reason"),
    [
        pytest.param(95.0, None, None, id="just long enough"),
        pytest.param(95.1, None, Reason.NOT_QUIET, id="not quite"),
        pytest.param(100.0, None, Reason.NOT_QUIET, id="just now"),
        pytest.param(100.0, 100.0, None, id="just now, but an operator asks for the heal"),
    ],
)
def test_whoever_deletes_has_to_have_stopped(
    changed: float, asked: float | None, reason: Reason | None
) -> None:
    assert guards.quiet(having(losses_lived=changed, asked_lived=asked)) is reason


def accepted(*names: str, inserts: tuple[tuple[str, int], ...] = (("station", 7), ("sensor", 14))) -> Case:
    """An operator accepted these tables as they are, and the plan inserts."""
    tables = tuple(replace(table, rows=1, accepted=table.name in names) for table in WHOLE)
    return having(good=LastGood(NOW, HERE, tables), plan=PlanSeen(inserts=inserts))


@pytest.mark.parametrize(
    ("looked_at", "reason"),
    [
        pytest.param(accepted(), None, id="nothing was accepted"),
        pytest.param(accepted("sensor"), Reason.LOSS_ACCEPTED, id="it puts back what was accepted as gone"),
        pytest.param(accepted("sensor", inserts=(("station", 7),)), None, id="it leaves that alone"),
        pytest.param(
            accepted("sensor", inserts=(("station", 7), ("sensor", 0))), None, id="it names it for no row"
        ),
        pytest.param(
            accepted("sensor", inserts=(('public."sensor"', 1),)),
            Reason.LOSS_ACCEPTED,
            id="in another spelling",
        ),
        pytest.param(having(good=None), None, id="nothing was ever good"),
        pytest.param(having(plan=None), None, id="there is no plan yet"),
    ],
)
def test_what_was_accepted_as_gone_is_not_put_back(looked_at: Case, reason: Reason | None) -> None:
    assert guards.unintended(looked_at) is reason


def print_at(seconds: float) -> Fingerprint:
    return Fingerprint(NOW + timedelta(seconds=seconds), HERE)


@pytest.mark.parametrize(
    ("what", "before", "after", "reason"),
    [
        pytest.param(What.ROWS_DELETED_IN_PLACE, 0, None, None, id="deleted: a recorded statement is enough"),
        pytest.param(What.TABLE_TRUNCATED, 0, 1, None, id="truncated"),
        pytest.param(What.NEVER_SEEDED, None, 1, None, id="never seeded"),
        pytest.param(What.UNKNOWN, None, None, None, id="nothing was ever known to compare with"),
        pytest.param(What.UNKNOWN, 0, 1, None, id="nothing speaks for anything"),
        pytest.param(What.UNKNOWN, 0, None, Reason.VERDICT_PENDING, id="nobody has looked yet"),
        pytest.param(What.UNKNOWN, 0, 0, Reason.VERDICT_PENDING, id="nobody has looked since"),
        *(
            pytest.param(what, 0, 1, Reason.VERDICT_FORBIDS, id=what)
            for what in What
            if what
            not in (
                What.ROWS_DELETED_IN_PLACE,
                What.TABLE_TRUNCATED,
                What.NEVER_SEEDED,
                What.UNKNOWN,
            )
        ),
    ],
)
def test_only_what_putting_rows_back_can_mend_is_healed(
    what: What, before: float | None, after: float | None, reason: Reason | None
) -> None:
    known = None if before is None else print_at(before)
    good = LastGood(NOW, HERE, WHOLE, fingerprint=known)
    looked_at = having(good=good, fingerprint=None if after is None else print_at(after))
    judged = replace(looked_at, verdict=Verdict(what, Confidence.LIKELY))
    assert guards.verdict_allows(judged) is reason


def test_a_loss_for_which_a_reason_was_stated_is_not_healed() -> None:
    meant = Verdict(
        What.ROWS_DELETED_IN_PLACE, Confidence.CERTAIN, circumstances=(Circumstance.INTENDED,), reason="prune"
    )
    assert guards.unintended(replace(case(), verdict=meant)) is Reason.LOSS_INTENDED


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


@pytest.mark.parametrize(
    ("streaks", "reason"),
    [
        pytest.param((streak(lasted=0.0),), None, id="however short"),
        pytest.param((streak(probes=2),), Reason.NOT_PROVEN_YET, id="but not with a probe too few"),
        pytest.param((), Reason.NOT_PROVEN_YET, id="and not without any"),
    ],
)
def test_a_heal_that_an_operator_asks_for_needs_its_probes_but_not_their_time(
    streaks: tuple[Streak, ...], reason: Reason | None
) -> None:
    assert guards.proven(having(streaks=streaks, asked_lived=100.0)) is reason


def breaks(**changes: Any) -> Callable[[Case], Case]:
    """The same case with another state, or with other fields of what a case is made of."""

    def broken(looked_at: Case) -> Case:
        state = {name: value for name, value in changes.items() if name in State.__dataclass_fields__}
        seen = {name: value for name, value in changes.items() if name in Observation.__dataclass_fields__}
        database = {name: value for name, value in changes.items() if name in DATABASE.__dataclass_fields__}
        policy = {name: value for name, value in changes.items() if name in Policy.__dataclass_fields__}
        judged = {name: value for name, value in changes.items() if name == "verdict"}
        assert len({*state, *seen, *database, *policy, *judged}) == len(changes)
        looked = replace(looked_at.seen, database=replace(looked_at.seen.database, **database), **seen)
        return replace(
            looked_at,
            state=replace(looked_at.state, **state),
            seen=looked,
            policy=replace(looked_at.policy, **policy),
            **judged,
        )

    return broken


# What keeps each guard rail from holding, the first asked first.
BREAKS: list[tuple[Reason, Callable[[Case], Case]]] = [
    (Reason.NO_HEALER, breaks(healer=None)),
    (Reason.UNREACHABLE, breaks(unseen=Unseen.UNREACHABLE)),
    (Reason.NOT_ADOPTED, breaks(good=None)),
    (Reason.NOT_LEADING, breaks(leader=LeaderSeen(False))),
    (Reason.CHANGE_IN_PROGRESS, breaks(change_held_by=4711)),
    (Reason.REVISION_NOT_ALLOWED, breaks(revision="0003")),
    (Reason.READ_ONLY, breaks(read_only=True)),
    (Reason.NOT_RECORDABLE, breaks(recordable=False)),
    (Reason.NOT_PROVEN_YET, breaks(streaks=())),
    (Reason.NOT_QUIET, breaks(losses_lived=100.0)),
    (Reason.PLAN_EMPTY, breaks(plan=PlanSeen())),
    (Reason.LOSS_ACCEPTED, breaks(good=LastGood(NOW, HERE, (TableGood("station", 0, accepted=True),)))),
    (Reason.VERDICT_FORBIDS, breaks(verdict=Verdict(What.TABLE_DROPPED, Confidence.CERTAIN))),
    (Reason.DRY_RUN, breaks(mode=Mode.DRY_RUN)),
]


def test_a_heal_may_run_when_every_guard_rail_holds() -> None:
    assert refusal(case()) is None
    assert obstacle(case()) is None
    assert len(BREAKS) == len(GUARDS)


@pytest.mark.parametrize(("reason", "broken"), BREAKS, ids=[reason for reason, _ in BREAKS])
def test_one_guard_rail_that_does_not_hold_refuses_the_heal(
    reason: Reason, broken: Callable[[Case], Case]
) -> None:
    assert refusal(broken(case())) is reason
    assert obstacle(broken(case())) is (None if reason in WAITS else reason)


@pytest.mark.parametrize("first", range(len(BREAKS)))
def test_of_several_reasons_the_first_is_told_and_the_first_that_stays_is_the_obstacle(first: int) -> None:
    looked_at = case()
    for _, broken in reversed(BREAKS[first:]):
        looked_at = broken(looked_at)
    assert refusal(looked_at) is BREAKS[first][0]
    assert obstacle(looked_at) is next(reason for reason, _ in BREAKS[first:] if reason not in WAITS)


def test_a_guard_rail_asks_in_the_order_of_the_list_and_of_no_other() -> None:
    assert [guard(broken(case())) for guard, (_, broken) in zip(GUARDS, BREAKS, strict=True)] == [
        reason for reason, _ in BREAKS
    ]


def test_rows_that_nothing_took_though_all_was_recorded_are_not_put_back() -> None:
    older = Verdict(What.UNKNOWN, Confidence.OPEN, circumstances=(Circumstance.UNEXPLAINED,))
    assert guards.verdict_allows(replace(case(), verdict=older)) is Reason.VERDICT_FORBIDS
