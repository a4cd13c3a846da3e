"""The circuit: healing stops itself, one heal may try again after a while, a trial that lasts closes it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from alpimonitor_watchdog.core.acts import ActKind
from alpimonitor_watchdog.core.brakes import Circuit
from alpimonitor_watchdog.core.guards import circuit_open
from alpimonitor_watchdog.core.model import HealRecord
from alpimonitor_watchdog.core.passing import resumed
from alpimonitor_watchdog.core.words import HealOutcome, Kind, Phase, Reason, Tag
from tests.unit.episodes import Episode, episode, wiped

OFTEN: dict[str, Any] = {"heal_budget": 99, "backoff_first": 1.0, "backoff_max": 1.0, "confirm_for": 1.0}


def tripped(**changes: Any) -> Episode:
    """Three heals in a row have failed; the rows are still gone."""
    world = wiped(**{**OFTEN, "heal_outcome": HealOutcome.FAILED, "circuit_trial_after": 1800.0, **changes})
    for _ in range(200):
        world.tick()
        if world.state.circuit is not None:
            return world
    raise AssertionError("the circuit did not open")


def opened_at(world: Episode) -> float:
    assert world.state.circuit is not None
    return world.state.circuit.opened_lived


def test_the_circuit_opens_with_the_failure_that_is_one_too_many_and_stays_open() -> None:
    world = tripped()
    assert len(world.heals_started) == 3
    assert world.state.circuit == Circuit(world.state.lived)
    world.run(1700)
    assert len(world.heals_started) == 3
    assert world.decisions[-1].refusal is world.decisions[-1].obstacle is Reason.CIRCUIT_OPEN
    refused = [n for n in world.told if n.kind is Kind.HEAL_REFUSED]
    assert [(n.reason, Tag.PAGE in n.tags) for n in refused] == [(Reason.CIRCUIT_OPEN, True)]


def test_the_circuit_opens_with_the_wipe_that_is_one_too_many() -> None:
    world = episode(**OFTEN, circuit_after_wipes=3)
    for number in range(4):
        assert world.state.circuit is None
        world.wipe()
        if number < 3:
            world.until(Phase.RESOLVED)
            world.run(5)
    world.run(2)
    assert world.state.circuit == Circuit(world.state.lived)
    world.run(100)
    assert len(world.heals_started) == 3


def test_one_heal_tries_again_to_the_second() -> None:
    world = tripped(heal_outcome=HealOutcome.FAILED)
    opened = opened_at(world)
    world.tick(elapsed=1799.0)
    assert len(world.heals_started) == 3
    world.tick()
    assert world.heals_started[3:] == [opened + 1800.0]
    assert world.state.circuit == Circuit(opened, tried=True)


def test_a_trial_that_fails_opens_the_circuit_for_twice_as_long_each_time() -> None:
    world = tripped(heal_window=10.0)
    lasted = []
    for _ in range(4):
        opened, trials = opened_at(world), len(world.heals_started)
        while len(world.heals_started) == trials:
            world.tick(elapsed=100.0)
        lasted.append(world.state.lived - opened)
        world.tick()
    assert lasted == [1800.0, 3600.0, 7200.0, 14400.0]
    assert world.state.circuit is not None
    assert world.state.circuit.times == 5


def tried(**changes: Any) -> Episode:
    """The trial has put the rows back, and ingestion has proven it."""
    world = tripped(heal_window=90_000.0, **changes)
    world.heal_outcome = HealOutcome.SUCCEEDED
    world.tick(elapsed=1800.0)
    return world.until(Phase.RESOLVED)


def test_a_trial_that_is_undone_opens_the_circuit_for_twice_as_long() -> None:
    world = tried()
    world.wipe()
    world.run(2)
    opened = opened_at(world)
    assert world.state.circuit == Circuit(opened, times=2)
    world.run(1)
    world.tick(elapsed=3598.0)
    assert len(world.heals_started) == 4
    world.tick()
    assert len(world.heals_started) == 5


def test_a_trial_that_is_undone_when_its_heal_is_long_forgotten_has_failed_all_the_same() -> None:
    world = tried(backoff_reset_after=90_000.0)
    world.policy = replace(world.policy, heal_window=60.0)
    world.tick(elapsed=100.0)
    assert world.state.heals == ()
    world.wipe()
    world.run(2)
    assert world.state.circuit == Circuit(world.state.lived, times=2)
    world.tick(elapsed=3600.0)  # asks for a plan: the last one is an hour old
    world.tick()
    assert len(world.heals_started) == 5


def test_after_its_trial_no_other_heal_runs_before_its_outcome_is_known() -> None:
    world = tried()
    assert world.state.circuit is not None
    assert world.state.circuit.tried
    assert circuit_open(replace(world.state, lived=world.state.lived + 90_000.0), world.policy)


def test_a_trial_that_lasts_closes_the_circuit_to_the_second_and_nothing_before_counts() -> None:
    world = tried(backoff_reset_after=600.0, heal_outcome=HealOutcome.FAILED)
    world.tick()
    assert world.state.phase is Phase.HEALTHY
    world.tick(elapsed=599.0)
    assert world.state.circuit is not None
    world.tick()
    assert world.state.circuit is None
    assert world.state.circuit_since == world.state.lived
    assert len(world.state.heals) == 4
    world.heal_outcome = HealOutcome.FAILED
    world.wipe()
    world.run(20)
    assert world.state.circuit is not None
    assert len(world.heals_started) == 4 + 3


def test_rows_put_back_by_hand_close_the_circuit_when_the_time_of_a_trial_has_come() -> None:
    world = tripped(circuit_trial_after=1800.0, backoff_reset_after=600.0)
    opened = opened_at(world)
    world.restore()
    world.ingestion_started = world.at
    world.until(Phase.HEALTHY)
    world.tick(elapsed=1000.0)
    assert world.state.circuit is not None
    world.tick(elapsed=opened + 1799.0 - world.state.lived)
    assert world.state.circuit is not None
    world.tick()
    assert world.state.circuit is None


def test_undone_heals_that_left_the_window_no_longer_open_the_circuit() -> None:
    world = episode(**OFTEN, heal_window=3600.0)
    old = HealRecord(0.0, 0.0, succeeded=True, undone=True)
    recent = HealRecord(3000.0, 3000.0, succeeded=True)
    world.state = replace(world.state, lived=3000.0, heals=(old, old, recent))
    world.tick(elapsed=600.0)
    world.wipe()
    world.run(2)
    assert world.state.heals == (replace(recent, undone=True),)
    assert world.state.circuit is None


@pytest.mark.parametrize("moment", ["open", "trying", "tried"])
def test_the_circuit_survives_a_restart(moment: str) -> None:
    world = tripped() if moment != "tried" else tried()
    if moment == "trying":
        world.heal_outcome = None
        world.tick()
        world.tick(elapsed=1800.0)  # asks for a plan: the last one is of long ago
        world.tick()
        assert world.state.phase is Phase.HEALING
    before = world.state
    world.restart()
    assert world.state == resumed(before)
    assert world.state.circuit == before.circuit
    started = len(world.heals_started)
    world.run(60)
    assert len(world.heals_started) == started


@pytest.mark.parametrize(("budget", "says"), [(3, "put the rows back by hand"), (4, "lets one heal try.")])
def test_a_resume_promises_a_trial_only_as_far_as_the_budget_does(budget: int, says: str) -> None:
    world = tripped(heal_budget=budget)
    answer = world.say(ActKind.RESUME)
    assert answer.refused is None
    assert says in answer.sentence
    world.run(60)
    assert len(world.heals_started) == budget
