"""While an incident is open: a heal is planned, refused or started; the incident clears or is handed over."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from alpimonitor_watchdog.core.model import Heal, MakePlan, Notify, StartHeal
from alpimonitor_watchdog.core.seen import Loss, PlanSeen
from alpimonitor_watchdog.core.words import HealOutcome, Kind, Mode, Phase, Reason, Tag, Unseen
from tests.unit.episodes import Episode, episode, wiped

BOTH = {Tag.NOTIFY, Tag.PAGE}
STATION_AND_SENSOR = (Loss("station", 0, 7), Loss("sensor", 0, 14))


def told(world: Episode, kind: Kind) -> Notify:
    """The last notification of this kind."""
    return [notify for notify in world.told if notify.kind is kind][-1]


def plans(world: Episode) -> list[int]:
    return [e.number for d in world.decisions for e in d.effects if isinstance(e, MakePlan)]


# ---- a heal is planned ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "asked"),
    [
        pytest.param({}, True, id="healing is on"),
        pytest.param({"mode": Mode.DRY_RUN}, True, id="a dry run"),
        pytest.param({"mode": Mode.OFF}, False, id="healing is off"),
        pytest.param({"healer": None}, False, id="no healer"),
    ],
)
def test_a_plan_is_made_where_a_healer_may_act(changes: dict[str, Any], asked: bool) -> None:
    assert bool(plans(wiped(**changes).run(8))) is asked


def test_one_harmless_plan_is_enough() -> None:
    world = wiped(confirm_for=120.0)
    world.run(50)
    assert plans(world) == [1]


def test_a_plan_of_long_ago_is_made_again_before_it_is_carried_out() -> None:
    world = wiped(confirm_for=200.0)
    world.run(150)
    assert plans(world) == [1, 2, 3]
    assert world.heals_started == []
    world.plan = PlanSeen(deletes=(("station", 1),))
    world.run(100)
    assert (world.heals_started, world.decisions[-1].refusal) == ([], Reason.PLAN_DELETES)


def test_after_an_outage_no_heal_begins_on_the_plan_from_before_it() -> None:
    world = wiped(confirm_for=5.0).run(4)
    world.wipe(station=Unseen.LOCKED, sensor=Unseen.LOCKED)
    world.run(300)
    world.wipe()
    world.plan = PlanSeen(deletes=(("station", 1),))
    world.run(20)
    assert (world.heals_started, world.decisions[-1].refusal) == ([], Reason.PLAN_DELETES)


def test_a_plan_that_is_not_answered_is_not_asked_for_again() -> None:
    world = wiped(confirm_for=120.0)
    world.until(Phase.OPEN)
    world._plan = None
    world.run(60)
    assert plans(world) == [1]
    assert world.decisions[-1].refusal is Reason.NOT_PROVEN_YET


def test_a_refused_plan_stands_until_its_successor_is_there() -> None:
    world = wiped(plan=PlanSeen(failed="exit 2"), backoff_first=10.0)
    world.until(Phase.OPEN)
    asked = world.state.lived
    world.run(9)
    assert plans(world) == [1]
    world.tick()
    assert plans(world) == [1, 2]
    assert world.state.planned_lived == asked + 10
    assert world.state.plan is not None
    assert world.state.plan.number == 1
    assert world.decisions[-1].obstacle is Reason.PLAN_FAILED
    world.run(1)
    assert world.state.plan.number == 2


def test_another_loss_needs_another_plan_at_once() -> None:
    world = episode(confirm_for=60.0)
    world.wipe(sensor=0)
    world.until(Phase.OPEN)
    world.tick()
    assert world.state.plan is not None
    world.wipe(sensor=0, station=0)
    world.tick()
    assert plans(world) == [1, 2]
    assert world.state.plan is None
    assert world.state.planned_for == STATION_AND_SENSOR


def test_a_loss_inside_another_incident_is_not_planned_for_before_it_is_confirmed() -> None:
    world = episode()
    world.stations_seen = 0
    world.until(Phase.OPEN)
    world.wipe()
    world.tick()
    assert plans(world) == []
    assert world.decisions[-1].refusal is None
    world.tick()
    assert plans(world) == [1]


# ---- a heal is started ------------------------------------------------------------------------------------


def test_a_heal_is_reserved_with_the_state_before_it_starts() -> None:
    world = wiped(heal_outcome=None)
    world.until(Phase.HEALING)
    heal = world.state.heal
    assert heal is not None
    assert heal.id == f"{world.incident.id}-h1"
    assert (heal.started_at, heal.started_lived) == (world.at, world.state.lived)
    assert heal.ended_lived is None
    assert (world.state.next_heal, world.state.series) == (2, 1)
    assert world.decisions[-1].effects == (StartHeal(heal.id),)
    assert world.decisions[-1].transitions[0].detail == "plan: +7 station, +14 sensor"
    assert world.decisions[-1].refusal is None
    assert world.incident.refused is None


def test_each_heal_has_a_number_of_its_own() -> None:
    world = wiped(heal_outcome=HealOutcome.FAILED)
    world.until(Phase.HEALING)
    world.tick()
    world.until(Phase.HEALING)
    assert world.state.heal is not None
    assert world.state.heal.id == f"{world.incident.id}-h2"
    assert world.state.series == 2


def test_two_heals_never_run_at_once() -> None:
    world = wiped()
    world.run(10)
    world.state = replace(world.state, heal=Heal("another", world.at, 0.0))
    with pytest.raises(AssertionError, match="two heals at once"):
        world.tick()


# ---- a heal is refused ------------------------------------------------------------------------------------


def test_a_refusal_is_new_once_and_stays_in_sight() -> None:
    world = wiped(mode=Mode.OFF)
    world.until(Phase.OPEN)
    assert world.decisions[-1].refusal_is_new
    world.tick()
    assert not world.decisions[-1].refusal_is_new
    assert world.decisions[-1].refusal is world.decisions[-1].obstacle is Reason.HEALING_OFF
    assert world.incident.refused is Reason.HEALING_OFF


def test_each_refusal_is_told_once_though_they_take_turns() -> None:
    world = wiped()
    healthy = world.database
    reasons = (
        (replace(healthy, read_only=True), Reason.READ_ONLY),
        (replace(healthy, in_recovery=True), Reason.IN_RECOVERY),
    )
    for _ in range(3):
        for database, _reason in reasons:
            world.database = database
            world.run(12)
    refused = [notify for notify in world.told if notify.kind is Kind.HEAL_REFUSED]
    assert [notify.reason for notify in refused] == [reason for _, reason in reasons]
    assert [notify.tags for notify in refused] == [BOTH, BOTH]
    assert len(world.refusals()) == 6
    assert world.incident.refusals_notified == (Reason.READ_ONLY, Reason.IN_RECOVERY)


def test_a_refusal_says_what_is_known_of_it_and_nothing_of_another() -> None:
    world = wiped(plan=PlanSeen(failed="exit 2"))
    world.run(12)
    assert told(world, Kind.HEAL_REFUSED).detail == "exit 2"
    world.database = replace(world.database, read_only=True)
    world.tick()
    assert told(world, Kind.HEAL_REFUSED).reason is Reason.READ_ONLY
    assert told(world, Kind.HEAL_REFUSED).detail == ""


def test_a_wait_is_shown_and_not_told() -> None:
    world = wiped(confirm_for=50.0)
    world.run(40)
    assert world.refusals() == [Reason.NOT_PROVEN_YET]
    assert world.decisions[-1].obstacle is None
    assert world.kinds() == [Kind.OPENED]


def test_a_plan_in_the_making_is_shown_and_not_told() -> None:
    world = wiped()
    world.until(Phase.OPEN)
    world._plan = None
    world.run(30)
    assert (world.decisions[-1].refusal, world.decisions[-1].obstacle) == (Reason.PLANNING, None)
    assert world.kinds() == [Kind.OPENED]


def test_the_back_off_is_shown_and_not_told() -> None:
    world = wiped(heal_outcome=HealOutcome.FAILED)
    world.until(Phase.HEALING)
    world.run(9)
    assert (world.decisions[-1].refusal, world.decisions[-1].obstacle) == (Reason.BACKING_OFF, None)
    assert world.kinds() == [Kind.OPENED, Kind.HEAL_FAILED]


def test_a_refusal_is_told_in_the_second_in_which_the_loss_is_proven() -> None:
    world = wiped(mode=Mode.OFF, confirm_for=10.0)
    world.run(10)
    assert Kind.HEAL_REFUSED not in world.kinds()
    world.tick()
    assert world.kinds()[-1] is Kind.HEAL_REFUSED


@pytest.mark.parametrize(
    ("unseen", "reason", "obstacle"),
    [
        (Unseen.LOCKED, Reason.NOT_VISIBLE, None),
        (Unseen.FORBIDDEN, Reason.FORBIDDEN, Reason.FORBIDDEN),
        (Unseen.ROW_SECURITY, Reason.ROWS_HIDDEN, Reason.ROWS_HIDDEN),
    ],
)
def test_lost_tables_that_go_out_of_sight_are_refused(
    unseen: Unseen, reason: Reason, obstacle: Reason | None
) -> None:
    world = wiped()
    world.run(4)
    world.wipe(station=unseen, sensor=unseen)
    world.tick()
    assert world.decisions[-1].refusal is reason
    assert world.decisions[-1].obstacle is obstacle
    told_now = [notify.reason for notify in world.told if notify.kind is Kind.HEAL_REFUSED]
    assert told_now == ([reason] if obstacle else [])
    world.run(30)
    assert world.heals_started == []


def test_tables_out_of_sight_without_a_loss_before_are_no_refused_heal() -> None:
    world = episode()
    world.stations_seen = 0
    world.until(Phase.OPEN)
    world.wipe(station=Unseen.FORBIDDEN)
    world.run(30)
    assert world.refusals() == []
    assert Kind.HEAL_REFUSED not in world.kinds()


# ---- an incident ends by itself, or is handed to a person -------------------------------------------------


def test_what_cleared_by_itself_is_over_when_it_has_stayed_clear_to_the_second() -> None:
    world = wiped(clear_for=30.0)
    world.run(4)
    world.restore()
    world.tick()
    world.tick(elapsed=29.0)
    assert world.state.phase is Phase.OPEN
    incident = world.incident
    decision = world.tick()
    assert decision.state.phase is Phase.RESOLVED
    assert decision.incident == replace(incident, told=(Kind.OPENED, Kind.RESOLVED))
    assert decision.state.incident is None
    assert decision.state.plan is None
    assert told(world, Kind.RESOLVED).reason is Reason.SYMPTOMS_CLEARED


def test_it_takes_two_clear_probes_however_long_ago_the_one_before() -> None:
    world = wiped(clear_for=0.0)
    world.run(4)
    world.restore()
    world.tick(elapsed=3600.0)
    assert world.state.phase is Phase.OPEN
    world.tick(elapsed=0.0)
    assert world.path()[-1] == (Phase.RESOLVED, Reason.SYMPTOMS_CLEARED)


def test_a_loss_that_clears_is_over_though_nothing_is_seen_outside() -> None:
    world = wiped(clear_for=30.0)
    world.run(4)
    world.looks_outside = False
    world.restore()
    world.run(30)
    assert world.state.phase is Phase.OPEN
    world.tick()
    assert world.path()[-1] == (Phase.RESOLVED, Reason.SYMPTOMS_CLEARED)


def test_a_request_for_a_plan_ends_with_its_incident() -> None:
    world = wiped()
    world.until(Phase.OPEN)
    world._plan = None
    world.restore()
    world.until(Phase.RESOLVED)
    assert not world.state.planning


@pytest.mark.parametrize("straggling", [False, True], ids=["a loss", "a warning"])
def test_what_is_not_restored_is_handed_to_a_person_to_the_second_unless_it_is_a_warning(
    straggling: bool,
) -> None:
    world = episode(confirm_for=90_000.0, straggler_after=1.0, escalate_after=900.0)
    if straggling:
        world.stations_seen = 3
    else:
        world.wipe()
    world.until(Phase.OPEN)
    world.tick(elapsed=899.0)
    assert world.state.phase is Phase.OPEN
    world.tick()
    assert world.state.phase is (Phase.OPEN if straggling else Phase.ESCALATED)
    if not straggling:
        assert told(world, Kind.ESCALATED) == Notify(
            Kind.ESCALATED,
            frozenset(BOTH),
            Reason.NOT_RESTORED_IN_TIME,
            "without any row: station, sensor",
        )
        assert world.decisions[-1].transitions[0].detail == "without any row: station, sensor"
    world.run(5)
    assert world.kinds().count(Kind.ESCALATED) == (0 if straggling else 1)


def test_an_escalated_incident_that_clears_is_over_and_the_paged_hear_it() -> None:
    world = wiped(confirm_for=90_000.0)
    world.until(Phase.ESCALATED, within=1000)
    world.restore()
    world.run(31)
    assert world.state.phase is Phase.RESOLVED
    assert told(world, Kind.RESOLVED).tags == BOTH
