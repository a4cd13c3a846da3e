"""Maintenance windows: inside one nothing is healed and nobody is paged; what is left is done right after."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from alpimonitor_watchdog.core.brakes import Window
from alpimonitor_watchdog.core.words import Kind, Phase, Reason, Tag
from tests.unit.episodes import NOTIFY, START, Episode, episode, last, wiped


def window(start: float, end: float) -> Window:
    """Planned work, in seconds after START."""
    return Window("upgrade", START + timedelta(seconds=start), START + timedelta(seconds=end))


@pytest.mark.parametrize(("at", "holds"), [(9.9, False), (10.0, True), (19.9, True), (20.0, False)])
def test_a_window_holds_from_its_start_to_before_its_end(at: float, holds: bool) -> None:
    assert window(10, 20).holds(START + timedelta(seconds=at)) is holds


def at_seconds(world: Episode, seconds: float) -> Episode:
    """Looked at every second up to so many seconds after START."""
    while world.at < START + timedelta(seconds=seconds):
        world.tick()
    return world


def test_inside_a_window_nothing_is_healed_and_nobody_is_paged() -> None:
    world = wiped(maintenance=(window(0, 5000),))
    at_seconds(world, 4999)
    assert world.heals_started == []
    assert world.refusals() == [Reason.MAINTENANCE]
    assert world.kinds() == [Kind.OPENED, Kind.REMINDER, Kind.REMINDER]
    assert world.kinds(Tag.PAGE) == []
    assert world.state.phase is Phase.OPEN


def test_right_after_a_window_it_is_healed_and_paged() -> None:
    world = wiped(maintenance=(window(0, 1000),), heal_outcome=None)
    at_seconds(world, 999)
    assert world.told[-1].kind is Kind.OPENED
    world.tick()
    assert len(world.heals_started) == 1
    assert world.kinds(Tag.PAGE) == [Kind.OPENED]
    assert last(world).reason is Reason.NOT_RESTORED_IN_TIME


def test_right_after_a_window_what_still_cannot_be_healed_is_handed_to_a_person() -> None:
    world = wiped(maintenance=(window(0, 1000),), healer=None)
    at_seconds(world, 999)
    assert world.state.phase is Phase.OPEN
    world.tick()
    assert world.path()[-1] == (Phase.ESCALATED, Reason.NOT_RESTORED_IN_TIME)
    assert world.kinds(Tag.PAGE).count(Kind.ESCALATED) == 1


def test_what_was_paged_before_a_window_is_repeated_inside_it_to_those_who_read_only() -> None:
    world = wiped(maintenance=(window(100, 5000),), confirm_for=90_000.0, reminder_every=600.0)
    at_seconds(world, 99)
    assert world.kinds(Tag.PAGE) == [Kind.OPENED]
    at_seconds(world, 4999)
    assert Kind.REMINDER in world.kinds()
    assert world.kinds(Tag.PAGE) == [Kind.OPENED]


def test_what_gets_worse_inside_a_window_wakes_nobody_though_they_were_paged() -> None:
    world = episode(maintenance=(window(100, 5000),), confirm_for=90_000.0)
    world.wipe(sensor=0)
    at_seconds(world, 99)
    assert world.kinds(Tag.PAGE) == [Kind.OPENED]
    at_seconds(world, 110)
    world.wipe(station=0)
    at_seconds(world, 120)
    assert (last(world).kind, last(world).tags) == (Kind.WORSENED, NOTIFY)


def test_who_was_paged_before_a_window_hears_the_end_inside_it() -> None:
    world = wiped(maintenance=(window(100, 5000),), confirm_for=90_000.0)
    at_seconds(world, 100)
    world.restore()
    world.until(Phase.RESOLVED, within=40)
    assert world.kinds(Tag.PAGE) == [Kind.OPENED, Kind.RESOLVED]


@pytest.mark.parametrize(
    ("windows", "heals_at"),
    [
        pytest.param((), 14, id="none"),
        pytest.param((window(20, 30),), 14, id="one to come"),
        pytest.param((window(0, 14),), 14, id="one that has just ended"),
        pytest.param((window(0, 20),), 20, id="one"),
        pytest.param((window(0, 20), window(10, 30)), 30, id="two that overlap"),
        pytest.param((window(0, 40), window(10, 30)), 40, id="one inside another"),
        pytest.param((window(0, 20), window(20, 30)), 30, id="two in a row"),
        pytest.param((window(0, 20), window(21, 30)), 20, id="a second between them"),
        pytest.param((window(20, 20),), 14, id="one without length"),
    ],
)
def test_a_heal_comes_in_the_first_second_outside_every_window(windows: Any, heals_at: int) -> None:
    world = wiped(maintenance=windows, confirm_for=11.0)
    world.until(Phase.HEALING)
    assert world.at == START + timedelta(seconds=heals_at)


def test_a_heal_that_runs_when_a_window_opens_is_proven_as_ever() -> None:
    world = wiped(maintenance=(window(14, 500),))
    world.until(Phase.RESOLVED)
    assert len(world.heals_started) == 1


def test_what_is_lost_again_inside_a_window_is_told_and_healed_after_it() -> None:
    world = wiped(maintenance=(window(20, 200),), ingests_after=False)
    at_seconds(world, 25)
    assert world.state.phase is Phase.VERIFYING
    world.wipe()
    at_seconds(world, 199)
    assert (last(world).kind, last(world).reason, last(world).tags) == (
        Kind.WORSENED,
        Reason.LOST_AGAIN,
        NOTIFY,
    )
    assert len(world.heals_started) == 1
    world.tick()
    assert len(world.heals_started) == 2


def test_ingestion_that_is_late_inside_a_window_is_handed_to_a_person_after_it() -> None:
    world = wiped(maintenance=(window(20, 2000),), ingests_after=False)
    at_seconds(world, 1999)
    assert world.state.phase is Phase.VERIFYING
    world.tick()
    assert world.path()[-1] == (Phase.ESCALATED, Reason.VERIFICATION_LATE)
    assert world.kinds(Tag.PAGE) == [Kind.ESCALATED]
