"""After a heal: what proves that it worked, and what follows when nothing does."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from alpimonitor_watchdog.core.model import HealRecord, Notify, RunAfter, Transition
from alpimonitor_watchdog.core.seen import HealSeen
from alpimonitor_watchdog.core.words import HealOutcome, Kind, Phase, Reason, Unseen
from tests.unit.episodes import BOTH, EXPECTED, NOTIFY, START, Episode, last, wiped


def healing(**changes: Any) -> Episode:
    """A heal has just been started; how it ends is seen at the next tick."""
    return wiped(**changes).until(Phase.HEALING)


def ran_after(world: Episode) -> int:
    return sum(isinstance(e, RunAfter) for d in world.decisions for e in d.effects)


# ---- the heal ends ----------------------------------------------------------------------------------------


def test_a_heal_that_runs_is_waited_for() -> None:
    world = healing(heal_outcome=None)
    world.restore()
    world.run(50)
    assert world.state.phase is Phase.HEALING
    assert world.state.heal is not None
    assert world.state.heal.ended_lived is None


def test_another_heals_end_is_not_this_ones() -> None:
    world = healing(heal_outcome=None)
    world._heal = HealSeen("another-h1", HealOutcome.FAILED)
    world.tick()
    assert world.state.phase is Phase.HEALING
    assert world.state.heal is not None
    assert world.state.heal.ended_lived is None


def test_a_phase_of_healing_needs_a_heal() -> None:
    world = healing()
    world.state = replace(world.state, heal=None)
    with pytest.raises(AssertionError, match="phase healing without a heal"):
        world.tick()


def test_a_heal_ends_once() -> None:
    world = healing(heal_puts_back=False)
    world.tick()
    heal = world.state.heal
    assert heal is not None
    for outcome in HealOutcome:
        world._heal = HealSeen(heal.id, outcome)
        world.tick()
        assert world.state.heal == heal


@pytest.mark.parametrize("clock", [None, START + timedelta(hours=2)], ids=["without a clock", "with a clock"])
def test_a_heal_ends_by_the_clock_of_the_database_where_it_is_known(clock: Any) -> None:
    world = healing(ingests_after=False)
    world.database = replace(world.database, clock=clock)
    world.tick()
    assert world.state.phase is Phase.VERIFYING
    assert world.incident.proof_since == (clock or world.at)
    assert world.incident.restored_at == world.at
    assert world.incident.restored_lived == world.state.lived


def test_a_restored_context_is_told_recorded_and_followed_by_what_is_declared() -> None:
    world = healing(ingests_after=False)
    started = world.state.lived
    decision = world.tick(elapsed=7.0)
    assert decision.state.phase is Phase.VERIFYING
    assert decision.effects == (Notify(Kind.RESTORED, NOTIFY, Reason.CONTEXT_RESTORED), RunAfter())
    assert decision.transitions == (Transition(Phase.HEALING, Phase.VERIFYING, Reason.CONTEXT_RESTORED),)
    assert decision.state.heals == (HealRecord(started, started + 7.0, succeeded=True),)
    assert decision.state.heal is None
    assert decision.state.plan is None


def test_who_was_paged_hears_that_the_context_is_restored() -> None:
    world = wiped(confirm_for=70.0)
    world.until(Phase.VERIFYING)
    assert last(world) == Notify(Kind.RESTORED, BOTH, Reason.CONTEXT_RESTORED)


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (HealOutcome.FAILED, Reason.HEAL_FAILED),
        (HealOutcome.DEADLINE, Reason.HEAL_FAILED),
        (HealOutcome.INTERRUPTED, Reason.HEAL_INTERRUPTED),
    ],
)
def test_a_heal_that_failed_is_told_and_recorded_as_such(outcome: HealOutcome, reason: Reason) -> None:
    world = healing(heal_outcome=outcome)
    started = world.state.lived
    decision = world.tick(elapsed=3.0)
    assert decision.state.phase is Phase.OPEN
    assert decision.effects == (Notify(Kind.HEAL_FAILED, BOTH, reason, f"{outcome.value}: as told"),)
    assert decision.transitions[0].detail == f"{outcome.value}: as told"
    assert decision.state.heals == (HealRecord(started, started + 3.0, succeeded=False),)
    assert decision.state.heal is None
    assert decision.state.plan is None
    assert world.incident.proof_since == world.at


def test_a_failure_without_words_is_named() -> None:
    world = healing()
    heal = world.state.heal
    assert heal is not None
    world.wipe()
    world._heal = HealSeen(heal.id, HealOutcome.FAILED)
    assert [t.detail for t in world.tick().transitions] == ["failed"]


@pytest.mark.parametrize("outcome", [HealOutcome.FAILED, HealOutcome.DEADLINE, HealOutcome.INTERRUPTED])
def test_a_heal_that_failed_with_the_rows_back_wakes_nobody_and_awaits_ingestion(
    outcome: HealOutcome,
) -> None:
    world = healing(heal_outcome=outcome, ingests_after=False)
    world.restore()
    decision = world.tick()
    assert decision.effects == (RunAfter(),)
    world.run(20)
    assert world.state.phase is Phase.OPEN
    world.ingestion_started = world.at
    world.tick()
    assert world.state.phase is Phase.RESOLVED
    assert (last(world).kind, last(world).reason) == (Kind.RESOLVED, Reason.INGESTION_COMPLETE)


def test_a_heal_that_failed_with_the_rows_out_of_sight_is_told() -> None:
    world = healing(heal_outcome=HealOutcome.FAILED)
    world.wipe(station=Unseen.LOCKED, sensor=Unseen.LOCKED)
    world.tick()
    assert last(world).kind is Kind.HEAL_FAILED
    assert ran_after(world) == 0


# ---- the rows and the consumers have to prove it ----------------------------------------------------------


def test_a_heal_is_given_its_time_to_the_second() -> None:
    world = healing(heal_puts_back=False, proof_within=30.0)
    started = world.state.lived
    world.tick(elapsed=2.0)
    ended = world.at
    world.tick(elapsed=29.0)
    assert world.state.phase is Phase.HEALING
    decision = world.tick()
    detail = "without any row: station, sensor"
    assert decision.state.phase is Phase.OPEN
    assert decision.effects == (Notify(Kind.HEAL_FAILED, BOTH, Reason.PROOF_FAILED, detail),)
    assert decision.transitions[0].detail == detail
    assert decision.state.heals == (HealRecord(started, started + 2.0, succeeded=False),)
    assert world.incident.proof_since == ended


def test_rows_out_of_sight_are_no_proof() -> None:
    world = healing(proof_within=30.0)
    world.wipe(station=Unseen.LOCKED)
    world.tick()
    world.tick(elapsed=29.0)
    assert world.state.phase is Phase.HEALING
    world.tick()
    assert world.path()[-1] == (Phase.OPEN, Reason.PROOF_FAILED)
    assert [heal.succeeded for heal in world.state.heals] == [False]


def test_rows_that_come_back_without_consumers_are_handed_to_a_person_in_time() -> None:
    world = wiped(proof_within=30.0, ingests_after=False)
    world.health_ok = False
    world.until(Phase.HEALING)
    started = world.state.lived
    world.tick()
    ended = world.at
    world.tick(elapsed=29.0)
    assert world.state.phase is Phase.HEALING
    decision = world.tick()
    assert decision.state.phase is Phase.ESCALATED
    assert decision.effects == (
        RunAfter(),
        Notify(Kind.ESCALATED, BOTH, Reason.CONSUMERS_NOT_SERVED, "http://api/health: 503"),
    )
    assert decision.state.heals == (HealRecord(started, started + 1.0, succeeded=True),)
    assert world.incident.proof_since == ended


@pytest.mark.parametrize(
    ("age", "served"),
    [
        pytest.param(0.0, True, id="a look that began just now"),
        pytest.param(5.0, True, id="a look that began when the heal had ended"),
        pytest.param(5.1, False, id="a look that began before"),
    ],
)
def test_consumers_are_served_when_a_look_after_the_heal_says_so(age: float, served: bool) -> None:
    world = wiped(ingests_after=False)
    world.outside_age = 600.0
    world.until(Phase.HEALING)
    world.tick()
    world.outside_age = age
    world.tick(elapsed=5.0)
    assert world.state.phase is (Phase.VERIFYING if served else Phase.HEALING)


def test_what_ingestion_has_confirmed_by_then_is_over_in_the_same_look() -> None:
    world = wiped(ingests_after=False)
    world.health_ok = False
    world.until(Phase.HEALING)
    world.run(3)
    world.ingestion_started = world.at
    world.health_ok = True
    decision = world.tick()
    assert [t.after for t in decision.transitions] == [Phase.VERIFYING, Phase.RESOLVED]


def test_without_a_look_outside_nothing_is_proven() -> None:
    world = healing(ingests_after=False)
    world.looks_outside = False
    world.run(10)
    assert world.state.phase is Phase.HEALING
    world.looks_outside = True
    world.tick()
    assert world.state.phase is Phase.VERIFYING


def test_where_health_is_not_watched_the_rows_alone_prove_it() -> None:
    world = wiped(expected=replace(EXPECTED, health_watched=False), ingests_after=False)
    world.health_ok = False
    world.until(Phase.HEALING)
    assert world.tick().state.phase is Phase.VERIFYING
