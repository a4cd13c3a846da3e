"""Hold, pause and resume: what keeps healing back, for how long, and what lets it go on."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from alpimonitor_watchdog.core.acts import ActKind
from alpimonitor_watchdog.core.brakes import Circuit
from alpimonitor_watchdog.core.seen import HealSeen
from alpimonitor_watchdog.core.words import HealOutcome, Phase, Reason, Tag
from tests.unit.episodes import Episode, episode, wiped

HOUR = timedelta(hours=1)


def test_a_held_heal_waits_for_resume_and_nobody_is_paged_meanwhile() -> None:
    world = wiped().run(4)
    world.say(ActKind.HOLD)
    world.run(2000, every=10)
    assert world.heals_started == []
    assert world.decisions[-1].refusal is Reason.HELD
    assert world.kinds(Tag.PAGE) == []
    assert world.say(ActKind.RESUME).refused is None
    assert len(world.heals_started) == 1


def test_a_hold_ends_with_its_incident() -> None:
    world = wiped().run(4)
    world.say(ActKind.HOLD)
    world.restore()
    world.until(Phase.RESOLVED, within=40)
    assert world.state.hold is None
    world.wipe()
    world.until(Phase.HEALING)


def test_a_hold_does_not_stop_the_heal_that_runs_but_the_next() -> None:
    world = wiped(heal_outcome=None).until(Phase.HEALING)
    assert "not stopped" in world.say(ActKind.HOLD).sentence
    world.heal_outcome = HealOutcome.FAILED
    assert world.state.heal is not None
    world._heal = HealSeen(world.state.heal.id, HealOutcome.FAILED)
    world.run(400)
    assert len(world.heals_started) == 1
    assert world.decisions[-1].refusal is Reason.HELD


def test_a_hold_and_a_pause_survive_a_restart() -> None:
    world = wiped().run(4)
    world.say(ActKind.HOLD)
    world.say(ActKind.PAUSE, world.at + HOUR)
    world.restart()
    assert (world.state.hold is not None, world.state.pause is not None) == (True, True)
    world.run(60)
    assert world.heals_started == []


@pytest.mark.parametrize(
    ("ends_in", "refused"),
    [
        pytest.param(timedelta(seconds=2), None, id="a second from now"),
        pytest.param(timedelta(seconds=1), Reason.BAD_TIME, id="now"),
        pytest.param(timedelta(0), Reason.BAD_TIME, id="past"),
        pytest.param(timedelta(days=7, seconds=1), None, id="seven days"),
        pytest.param(timedelta(days=7, seconds=2), Reason.BAD_TIME, id="longer"),
        pytest.param(None, Reason.BAD_TIME, id="without an end"),
    ],
)
def test_a_pause_ends_at_a_time_to_come_within_a_week(
    ends_in: timedelta | None, refused: Reason | None
) -> None:
    world = episode()
    until = None if ends_in is None else world.at + ends_in  # it is heard a second later
    assert world.say(ActKind.PAUSE, until).refused is refused
    assert (world.state.pause is None) is (refused is not None)


def paused(seconds: float, **changes: Any) -> Episode:
    """Emptied and proven, but healing is paused for so many seconds from now on."""
    world = wiped(**changes)
    world.say(ActKind.PAUSE, world.at + timedelta(seconds=seconds + 1.0))
    return world


def test_a_pause_ends_to_the_second() -> None:
    world = paused(100.0)
    world.run(99)
    assert (world.heals_started, world.decisions[-1].refusal) == ([], Reason.PAUSED)
    world.tick()
    assert len(world.heals_started) == 1
    assert world.state.pause is None


@pytest.mark.parametrize(
    ("step", "seconds"),
    [
        pytest.param(timedelta(hours=5), 50, id="a clock set forward ends nothing early"),
        pytest.param(timedelta(hours=-1), 3650, id="a clock set back makes it longer"),
    ],
)
def test_a_pause_is_over_when_both_clocks_say_so(step: timedelta, seconds: int) -> None:
    world = paused(100.0)
    world.run(50)
    world.at += step
    world.run(seconds - 1)
    assert world.heals_started == []
    world.tick()
    assert len(world.heals_started) == 1


def test_time_in_which_the_sidecar_was_down_is_no_time_of_a_pause() -> None:
    world = paused(100.0)
    world.run(50)
    world.restart()
    world.at += timedelta(hours=1)
    world.tick(elapsed=0.0)
    world.run(49)
    assert world.heals_started == []
    world.tick()
    assert len(world.heals_started) == 1


def test_a_resume_ends_hold_and_pause_alike() -> None:
    world = wiped().run(4)
    world.say(ActKind.HOLD)
    world.say(ActKind.PAUSE, world.at + HOUR)
    world.run(10)
    world.say(ActKind.RESUME)
    assert (world.state.hold, world.state.pause) == (None, None)
    assert len(world.heals_started) == 1
    assert world.say(ActKind.RESUME).refused is Reason.NOTHING_TO_RESUME


def test_a_resume_lets_an_open_circuit_try_exactly_once() -> None:
    world = wiped(heal_outcome=HealOutcome.FAILED, heal_budget=99)
    world.state = replace(world.state, circuit=Circuit(world.state.lived))
    world.run(30)
    assert (world.heals_started, world.decisions[-1].refusal) == ([], Reason.CIRCUIT_OPEN)
    assert world.say(ActKind.RESUME).refused is None
    world.run(600)
    assert len(world.heals_started) == 1
    assert world.decisions[-1].refusal is Reason.CIRCUIT_OPEN
    assert world.state.circuit is not None
    assert world.state.circuit.times == 2
