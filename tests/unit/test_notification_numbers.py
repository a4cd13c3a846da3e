"""Every notification of an incident has the number of its kind, so that no two of them are the same."""

from __future__ import annotations

from collections import Counter

from alpimonitor_watchdog.core.seen import PlanSeen
from alpimonitor_watchdog.core.words import Kind, Mode, Phase
from tests.unit.episodes import Episode, episode, wiped


def numbers(world: Episode) -> list[tuple[Kind, int]]:
    return [(notify.kind, notify.number) for notify in world.told]


def test_each_kind_is_numbered_by_itself() -> None:
    world = wiped(plan=PlanSeen(failed="exit 2"), reminder_every=100.0)
    world.run(70)
    world.wipe(station=None)
    world.run(250)
    told = numbers(world)
    assert len(set(told)) == len(told)
    assert (Kind.HEAL_REFUSED, 2) in told
    assert (Kind.WORSENED, 1) in told
    assert [number for kind, number in told if kind is Kind.REMINDER] == [1, 2, 3]


def test_a_page_that_comes_late_is_the_second_of_its_kind() -> None:
    world = wiped(confirm_for=90_000.0).run(70)
    assert numbers(world) == [(Kind.OPENED, 1), (Kind.OPENED, 2)]


def test_numbers_go_on_through_a_restart() -> None:
    world = wiped(mode=Mode.OFF, reminder_every=100.0, escalate_after=90_000.0).run(150)
    world.restart()
    world.run(200)
    assert [number for kind, number in numbers(world) if kind is Kind.REMINDER] == [1, 2, 3]


def test_numbers_begin_anew_with_the_next_incident() -> None:
    world = episode()
    for _ in range(2):
        world.wipe()
        world.until(Phase.RESOLVED)
    assert Counter(numbers(world)) == {(Kind.OPENED, 1): 2, (Kind.RESTORED, 1): 2, (Kind.RESOLVED, 1): 2}


def test_what_is_told_is_noted_in_the_incident_it_belongs_to() -> None:
    world = wiped()
    world.until(Phase.RESOLVED)
    ended = world.decisions[-1].incident
    assert ended is not None
    assert ended.told == (Kind.OPENED, Kind.RESTORED, Kind.RESOLVED)
