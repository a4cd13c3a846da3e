"""A heal that an operator asks for: it skips what only waits for time, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from alpimonitor_watchdog.core.acts import ActKind
from alpimonitor_watchdog.core.brakes import Circuit
from alpimonitor_watchdog.core.model import HealRecord
from alpimonitor_watchdog.core.seen import LeaderSeen, PlanSeen
from alpimonitor_watchdog.core.words import HealOutcome, Mode, Phase, Reason, Unseen
from tests.unit.episodes import Episode, wiped


def test_a_heal_asked_for_skips_the_confirmation_and_the_quiet_but_no_probe() -> None:
    world = wiped(confirm_for=90_000.0, quiet_for=90_000.0, confirm_probes=4)
    world.run(2)
    assert world.say(ActKind.HEAL).refused is None
    assert (world.heals_started, world.decisions[-1].refusal) == ([], Reason.NOT_PROVEN_YET)
    world.tick()
    assert len(world.heals_started) == 1


def test_a_heal_asked_for_skips_the_back_off() -> None:
    world = wiped(heal_outcome=HealOutcome.FAILED, backoff_first=900.0).until(Phase.HEALING)
    world.run(5)
    assert world.decisions[-1].refusal is Reason.BACKING_OFF
    world.say(ActKind.HEAL)
    world.run(2)
    assert len(world.heals_started) == 2


def stands(world: Episode, **changes: Any) -> None:
    """The state is another in these fields."""
    world.state = replace(world.state, **changes)


def decides(world: Episode, **changes: Any) -> None:
    """The policy is another in these fields."""
    world.policy = replace(world.policy, **changes)


def spent(world: Episode) -> None:
    decides(world, heal_budget=1)
    stands(world, heals=(HealRecord(0.0, 0.0, succeeded=False),))


def looks(world: Episode, **changes: Any) -> None:
    """The database is another in these fields."""
    world.database = replace(world.database, **changes)


REFUSING: list[tuple[Reason, Callable[[Episode], Any]]] = [
    (Reason.HEALING_OFF, lambda world: decides(world, mode=Mode.OFF)),
    (Reason.DRY_RUN, lambda world: decides(world, mode=Mode.DRY_RUN)),
    (Reason.NO_HEALER, lambda world: decides(world, healer=None)),
    (Reason.NOT_LEADING, lambda world: setattr(world, "leader", LeaderSeen(False))),
    (Reason.OTHER_DATABASE, lambda world: setattr(world, "served", "d-2")),
    (Reason.NOT_RECORDABLE, lambda world: setattr(world, "recordable", False)),
    (Reason.CHANGE_IN_PROGRESS, lambda world: looks(world, change_held_by=4711)),
    (Reason.READ_ONLY, lambda world: looks(world, read_only=True)),
    (Reason.NOT_VISIBLE, lambda world: world.wipe(station=Unseen.LOCKED)),
    (Reason.BUDGET_SPENT, spent),
    (Reason.PLAN_EMPTY, lambda world: stands(world, plan=replace(world.plan, inserts=()))),
]


@pytest.mark.parametrize(("reason", "hinder"), REFUSING, ids=[reason for reason, _ in REFUSING])
def test_a_heal_asked_for_is_refused_by_every_other_guard_rail(
    reason: Reason, hinder: Callable[[Episode], Any]
) -> None:
    world = wiped(confirm_for=90_000.0).run(5)
    hinder(world)
    answer = world.say(ActKind.HEAL)
    assert answer.refused is reason
    assert answer.sentence.startswith("No heal: ")
    assert (world.heals_started, world.state.asked_lived) == ([], None)


def test_a_heal_asked_for_and_refused_is_not_remembered() -> None:
    world = wiped(confirm_for=90_000.0).run(5)
    world.database = replace(world.database, read_only=True)
    world.say(ActKind.HEAL)
    world.database = replace(world.database, read_only=False)
    world.run(60)
    assert world.heals_started == []


def test_a_heal_asked_for_that_is_refused_leaves_the_circuit_as_it_was() -> None:
    world = wiped().run(5)
    world.state = replace(world.state, circuit=Circuit(world.state.lived))
    world.database = replace(world.database, read_only=True)
    assert world.say(ActKind.HEAL).refused is Reason.READ_ONLY
    world.database = replace(world.database, read_only=False)
    world.run(120)
    assert (world.heals_started, world.decisions[-1].refusal) == ([], Reason.CIRCUIT_OPEN)


def test_a_heal_asked_for_is_the_trial_of_an_open_circuit() -> None:
    world = wiped(heal_outcome=HealOutcome.FAILED).run(5)
    world.state = replace(world.state, circuit=Circuit(world.state.lived))
    assert world.say(ActKind.HEAL).refused is None
    assert len(world.heals_started) == 1
    world.tick()
    assert world.state.circuit == Circuit(world.state.lived, times=2)


def test_a_heal_asked_for_is_forgotten_when_its_time_is_over() -> None:
    world = wiped(confirm_for=90_000.0, proof_within=30.0)
    world.until(Phase.OPEN)
    world._plan = None
    assert world.say(ActKind.HEAL).refused is None
    world.tick(elapsed=30.0)
    assert world.state.asked_lived is not None
    world.tick(elapsed=0.5)
    assert world.state.asked_lived is None
    world._plan = PlanSeen(world.state.plan_number, inserts=(("station", 7),))
    world.run(60)
    assert world.heals_started == []


def test_a_heal_asked_for_waits_for_its_plan() -> None:
    world = wiped(confirm_for=90_000.0)
    world.until(Phase.OPEN)
    world._plan = None
    world.say(ActKind.HEAL)
    world.run(3)
    assert (world.heals_started, world.decisions[-1].refusal) == ([], Reason.PLANNING)
    world._plan = PlanSeen(world.state.plan_number, inserts=(("station", 7),))
    world.tick()
    assert len(world.heals_started) == 1


def test_a_loss_that_a_single_look_saw_is_not_healed_on_demand() -> None:
    world = wiped()
    assert world.say(ActKind.HEAL).refused is Reason.NOT_PROVEN_YET
    assert world.run(5).heals_started == []


def test_rows_out_of_sight_are_not_healed_on_demand() -> None:
    world = wiped(confirm_for=90_000.0).run(5)
    world.wipe(station=Unseen.LOCKED, sensor=Unseen.LOCKED)
    assert world.say(ActKind.HEAL).refused is Reason.NOT_VISIBLE
