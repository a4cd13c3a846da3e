"""What comes and goes: it opens once, is told once, and is the later over the more often it came."""

from __future__ import annotations

from typing import Any

import pytest

from alpimonitor_watchdog.core.words import Kind, Phase, Reason, Tag
from tests.unit.episodes import Episode, episode, wiped


def set_trouble(world: Episode, trouble: str, wrong: bool) -> None:
    match trouble:
        case "rows":
            if wrong:
                world.wipe()
            else:
                world.restore()
        case "api":
            world.health_ok = not wrong


def flap(world: Episode, trouble: str, *, wrong: int, clear: int, times: int) -> None:
    """Wrong for some seconds, then clear for some, again and again."""
    for _ in range(times):
        set_trouble(world, trouble, True)
        world.run(wrong)
        set_trouble(world, trouble, False)
        world.run(clear)


@pytest.mark.parametrize("trouble", ["rows", "api"])
@pytest.mark.parametrize(("wrong", "clear"), [(2, 1), (3, 3), (2, 10), (2, 29), (5, 30)])
def test_flapping_faster_than_clear_for_opens_and_is_told_once(trouble: str, wrong: int, clear: int) -> None:
    world = episode(clear_for=30.0, unhealthy_after=1.0, page_after=90_000.0, escalate_after=90_000.0)
    flap(world, trouble, wrong=wrong, clear=clear, times=20)
    assert world.kinds() == [Kind.OPENED]
    assert world.heals_started == []
    world.run(31)
    assert world.kinds() == [Kind.OPENED, Kind.RESOLVED]


def test_flapping_that_lasts_is_paged_while_it_is_wrong_and_told_once() -> None:
    world = episode(clear_for=30.0)
    flap(world, "rows", wrong=3, clear=20, times=20)
    assert world.kinds() == [Kind.OPENED, Kind.OPENED]
    assert world.kinds(Tag.PAGE) == [Kind.OPENED]


def test_what_has_cleared_and_only_has_to_stay_so_is_neither_paged_nor_handed_over() -> None:
    world = episode(clear_for=90.0, page_after=60.0, escalate_after=70.0)
    world.wipe()
    world.run(5)
    world.restore()
    world.until(Phase.RESOLVED)
    assert world.kinds() == [Kind.OPENED, Kind.RESOLVED]
    assert world.kinds(Tag.PAGE) == []


@pytest.mark.parametrize("trouble", ["rows", "api"])
def test_what_alternates_with_each_look_opens_nothing(trouble: str) -> None:
    world = episode(unhealthy_after=1.0)
    flap(world, trouble, wrong=1, clear=1, times=50)
    assert world.told == []
    assert {phase for phase, _ in world.path()} == {Phase.SUSPECTED, Phase.HEALTHY}


def test_a_loss_that_alternates_with_each_look_within_an_incident_heals_nothing() -> None:
    world = wiped(confirm_for=0.0, quiet_for=0.0, confirm_probes=3)
    world.run(2)
    assert world.state.phase is Phase.OPEN
    flap(world, "rows", wrong=0, clear=1, times=1)
    flap(world, "rows", wrong=1, clear=1, times=50)
    assert world.heals_started == []


def cleared(world: Episode, **changes: Any) -> float:
    """The seconds that a short loss has to stay clear before it is over."""
    world.wipe()
    world.run(3)
    assert world.state.phase is Phase.OPEN
    world.restore()
    world.tick()
    since = world.state.lived
    world.until(Phase.RESOLVED, within=2000)
    return world.state.lived - since


def test_what_comes_back_soon_has_to_be_clear_for_twice_as_long_each_time_up_to_the_window() -> None:
    world = episode(clear_for=30.0, flap_window=200.0)
    seconds = []
    for _ in range(6):
        seconds.append(cleared(world))
        world.run(100)
    assert seconds == [30.0, 60.0, 120.0, 200.0, 200.0, 200.0]
    assert world.state.recurrence == 5


def test_the_longest_wait_is_never_shorter_than_the_first() -> None:
    world = episode(clear_for=30.0, flap_window=10.0)
    assert [cleared(world), cleared(world)] == [30.0, 30.0]


@pytest.mark.parametrize(("pause", "recurs"), [(598, True), (599, True), (600, False)])
def test_it_comes_back_when_it_opens_within_the_flap_window(pause: int, recurs: bool) -> None:
    world = episode(clear_for=30.0, flap_window=600.0)
    cleared(world)
    world.tick(elapsed=pause - 1.0)
    world.wipe()
    world.run(2)  # the second opens it: so many seconds after the end, and one
    assert world.incident.recurrence == (1 if recurs else 0)


def test_what_was_put_back_and_proven_has_not_cleared_by_itself() -> None:
    world = wiped()
    world.until(Phase.RESOLVED)
    assert world.state.cleared_lived is None
    world.wipe()
    world.until(Phase.OPEN)
    assert world.incident.recurrence == 0


def test_a_look_that_sees_too_little_begins_the_wait_anew() -> None:
    world = episode(clear_for=30.0, unhealthy_after=1.0)
    world.health_ok = False
    world.until(Phase.OPEN)
    world.health_ok = True
    world.run(20)
    world.looks_outside = False
    world.run(1)
    world.looks_outside = True
    world.run(30)
    assert world.state.phase is Phase.OPEN
    world.tick()
    assert world.path()[-1] == (Phase.RESOLVED, Reason.SYMPTOMS_CLEARED)


def test_recurrence_survives_a_restart() -> None:
    world = episode(clear_for=30.0)
    cleared(world)
    world.restart()
    assert cleared(world) == 60.0
