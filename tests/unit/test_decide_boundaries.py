"""When a decision tips: the second in which an incident opens, a phase ends, a page or a reminder is due."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from alpimonitor_watchdog.core.decide import decide
from alpimonitor_watchdog.core.model import Incident, Policy, State, Streak
from alpimonitor_watchdog.core.seen import DatabaseSeen, Findings, PlanSeen
from alpimonitor_watchdog.core.step import Step
from alpimonitor_watchdog.core.words import Kind, Phase, Reason, Symptom, Tag, Unseen
from tests.unit.episodes import EXPECTED, HERE, START, Episode, episode

POLICY = Policy()
INCIDENT = Incident("one", START, 0.0, (Symptom.INGESTION_BLIND,))


def unreachable(world: Episode) -> None:
    world.database = DatabaseSeen(unseen=Unseen.UNREACHABLE, detail="connection refused")


def migrated(world: Episode) -> None:
    world.database = DatabaseSeen(revision="0009", identity=HERE)


def blind(world: Episode) -> None:
    world.stations_seen = 2


def straggling(world: Episode) -> None:
    world.stations_seen = 3


def unhealthy(world: Episode) -> None:
    world.health_ok = False


def out_of_sight(world: Episode) -> None:
    world.wipe(station=Unseen.LOCKED)


@pytest.mark.parametrize(
    ("trouble", "symptom", "seconds"),
    [
        (unreachable, Symptom.DATABASE_UNREACHABLE, 30),
        (migrated, Symptom.SCHEMA_OUTDATED, 10),
        (blind, Symptom.INGESTION_BLIND, 10),
        (straggling, Symptom.INGESTION_BLIND, 7200),
        (unhealthy, Symptom.API_UNHEALTHY, 120),
        (out_of_sight, Symptom.CONTEXT_UNSEEN, 120),
        (Episode.wipe, Symptom.CONTEXT_EMPTY, 1),
    ],
)
def test_a_symptom_opens_an_incident_in_the_second_in_which_it_has_lasted_long_enough(
    trouble: Any, symptom: Symptom, seconds: int
) -> None:
    world = episode()
    trouble(world)
    world.tick()
    world.tick(elapsed=seconds - 1)
    assert world.state.phase is (Phase.SUSPECTED if seconds > 1 else Phase.OPEN)
    world.tick()
    assert world.state.phase is Phase.OPEN
    assert world.incident.symptoms == (symptom,)
    lost = symptom is Symptom.CONTEXT_EMPTY
    assert world.path()[-1][1] is (Reason.LOSS_CONFIRMED if lost else Reason.SYMPTOM_LASTED)


def test_a_single_probe_opens_nothing_however_long_ago_the_one_before() -> None:
    world = episode()
    world.wipe()
    assert world.tick(elapsed=3600.0).state.phase is Phase.SUSPECTED


def test_what_is_suspected_and_then_out_of_sight_stays_suspected() -> None:
    world = episode()
    world.wipe()
    world.tick()
    world.wipe(station=Unseen.LOCKED, sensor=Unseen.LOCKED)
    world.run(5)
    assert world.path() == [(Phase.SUSPECTED, Reason.SYMPTOM_SEEN)]
    world.restore()
    world.tick()
    assert world.path()[-1] == (Phase.HEALTHY, Reason.SYMPTOMS_CLEARED)


def test_a_suspicion_of_what_is_no_longer_looked_at_stays() -> None:
    world = episode()
    unhealthy(world)
    world.tick()
    world.looks_outside = False
    world.run(5)
    assert world.state.phase is Phase.SUSPECTED
    world.health_ok = world.looks_outside = True
    assert world.tick().state.phase is Phase.HEALTHY


def test_a_suspicion_is_noted_once_with_what_was_seen() -> None:
    world = episode()
    unhealthy(world)
    world.run(50)
    (transition,) = [t for decision in world.decisions for t in decision.transitions]
    assert transition.detail == "http://api/health: 503"


def test_the_first_look_outside_may_be_missing() -> None:
    world = episode()
    seen = replace(world.observation(1.0), outside=None)
    decision = decide(State(), seen, EXPECTED, POLICY)
    assert decision.state.phase is Phase.HEALTHY
    assert decision.transitions == ()


@pytest.mark.parametrize(
    ("trouble", "after"),
    [(None, Phase.HEALTHY), (Episode.wipe, Phase.SUSPECTED)],
    ids=["nothing is wrong", "something is wrong again"],
)
def test_an_incident_that_is_over_is_left_at_the_next_look(trouble: Any, after: Phase) -> None:
    world = episode()
    world.wipe()
    world.until(Phase.RESOLVED)
    if trouble:
        trouble(world)
    assert world.tick().state.phase is after
    reason = Reason.EPISODE_OVER if after is Phase.HEALTHY else Reason.SYMPTOM_SEEN
    assert world.path()[-1] == (after, reason)


def test_an_incident_that_is_over_opens_another_when_a_symptom_lasted_out_of_sight() -> None:
    world = episode()
    streak = Streak(Symptom.CONTEXT_EMPTY, START, probes=2, lasted=2.0, stalled=True)
    world.state = replace(world.state, phase=Phase.RESOLVED, streaks=(streak,))
    world.wipe()
    assert world.tick().state.phase is Phase.OPEN
    assert world.path() == [(Phase.OPEN, Reason.LOSS_CONFIRMED)]


def test_a_change_of_phase_that_is_not_in_the_table_is_refused() -> None:
    world = episode()
    step = Step(world.state, world.observation(1.0), Findings(), EXPECTED, POLICY)
    with pytest.raises(AssertionError, match="healthy -> verifying because context_restored"):
        step.move(Phase.VERIFYING, Reason.CONTEXT_RESTORED)
    with pytest.raises(AssertionError, match="healthy -> open because guards_hold"):
        step.move(Phase.OPEN, Reason.GUARDS_HOLD)
    with pytest.raises(AssertionError, match="no incident in phase healthy"):
        step.worsen()


def test_a_phase_begins_when_it_is_entered() -> None:
    world = episode()
    world.wipe()
    world.tick(elapsed=30.0)
    assert world.state.phase_lived == world.state.lived
    world.tick(elapsed=5.0)
    assert world.state.phase_lived == world.state.lived


@pytest.mark.parametrize("phase", [Phase.OPEN, Phase.HEALTHY])
def test_a_phase_and_its_incident_belong_together(phase: Phase) -> None:
    state = State(phase=phase, incident=None if phase is Phase.OPEN else INCIDENT)
    with pytest.raises(AssertionError):
        decide(state, episode().observation(1.0), EXPECTED, POLICY)


@pytest.mark.parametrize(
    ("planning", "number", "taken"),
    [
        pytest.param(True, 2, True, id="the answer to the newest request"),
        pytest.param(True, 1, False, id="the answer to an older one"),
        pytest.param(False, 2, False, id="an answer that nobody waits for"),
    ],
)
def test_a_plan_is_taken_when_it_answers_the_newest_request(planning: bool, number: int, taken: bool) -> None:
    world = episode()
    plan = PlanSeen(number, inserts=(("station", 7),))
    seen = replace(world.observation(1.0), plan=plan)
    after = decide(replace(world.state, planning=planning, plan_number=2), seen, EXPECTED, POLICY).state
    assert after.plan == (plan if taken else None)
    assert after.planning is (planning and not taken)


def pages(world: Episode) -> list[Kind]:
    return world.kinds(Tag.PAGE)


def test_what_is_open_is_paged_in_the_second_in_which_it_is_late_and_told_again_from_there() -> None:
    world = episode(confirm_for=90_000.0, escalate_after=90_000.0, page_after=60.0, reminder_every=1800.0)
    world.wipe()
    world.until(Phase.OPEN)
    world.tick(elapsed=59.0)
    assert pages(world) == []
    world.tick()
    assert world.told[-1].tags == {Tag.PAGE}
    assert (world.told[-1].kind, world.told[-1].reason) == (Kind.OPENED, Reason.NOT_RESTORED_IN_TIME)
    assert world.incident.paged
    for _ in range(2):
        heard = len(world.told)
        world.tick(elapsed=1799.0)
        assert len(world.told) == heard
        world.tick()
        assert world.told[-1].kind is Kind.REMINDER
        assert world.told[-1].tags == {Tag.PAGE, Tag.NOTIFY}
        world.tick(elapsed=0.0)
        assert len(world.told) == heard + 1


def test_what_wakes_nobody_is_repeated_to_those_who_were_told() -> None:
    world = episode(straggler_after=10.0, reminder_every=1800.0)
    straggling(world)
    world.until(Phase.OPEN)
    world.tick(elapsed=1799.0)
    assert world.kinds() == [Kind.OPENED]
    world.tick()
    assert world.kinds() == [Kind.OPENED, Kind.REMINDER]
    assert pages(world) == []


def test_what_is_restored_is_not_paged_for_being_late() -> None:
    world = episode(ingests_after=False)
    world.wipe()
    world.until(Phase.VERIFYING)
    world.run(120)
    assert pages(world) == []


@pytest.mark.parametrize(
    ("changes", "database", "detail"),
    [
        ({}, {"change_held_by": 4711}, "the lock is held by backend pid 4711"),
        ({"plan": PlanSeen(failed="exit 2")}, {}, "exit 2"),
        ({"plan": PlanSeen()}, {"change_held_by": None}, ""),
    ],
)
def test_a_late_page_says_what_stands_in_the_way(
    changes: dict[str, Any], database: dict[str, Any], detail: str
) -> None:
    world = episode(**changes)
    world.database = replace(world.database, **database)
    world.wipe()
    world.until(Phase.OPEN)
    world.run(2)
    world.tick(elapsed=60.0)
    paged = [notify for notify in world.told if Tag.PAGE in notify.tags]
    assert paged[-1].detail == detail
