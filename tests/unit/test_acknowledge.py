"""What is acknowledged wakes nobody, until it gets worse or is lost again."""

from __future__ import annotations

from typing import Any

from alpimonitor_watchdog.core.acts import ActKind
from alpimonitor_watchdog.core.words import HealOutcome, Kind, Phase, Reason, Tag
from tests.unit.episodes import BOTH, NOTIFY, Episode, episode, last, wiped


def acknowledged(**changes: Any) -> Episode:
    world = wiped(confirm_for=90_000.0, **changes).run(5)
    world.say(ActKind.ACKNOWLEDGE)
    assert (world.incident.acknowledged_at, world.incident.acknowledged_by) == (world.at, "anna@ops1")
    return world


def test_what_is_acknowledged_is_neither_paged_nor_repeated() -> None:
    world = acknowledged()
    for _ in range(20):
        world.tick(elapsed=600.0)
    assert world.kinds() == [Kind.OPENED, Kind.ESCALATED]
    assert world.kinds(Tag.PAGE) == []


def test_a_refusal_and_a_failure_of_what_is_acknowledged_are_told_but_wake_nobody() -> None:
    world = wiped(heal_outcome=HealOutcome.FAILED, circuit_after_failures=1).run(5)
    world.say(ActKind.ACKNOWLEDGE)
    world.run(30)
    assert world.kinds() == [Kind.OPENED, Kind.HEAL_FAILED, Kind.HEAL_REFUSED]
    assert world.kinds(Tag.PAGE) == []


def test_what_gets_worse_is_no_longer_acknowledged_and_pages_when_late() -> None:
    world = episode(confirm_for=90_000.0)
    world.wipe(sensor=0)
    world.run(5)
    world.say(ActKind.ACKNOWLEDGE)
    world.run(100)
    world.wipe(station=0)
    world.run(2)
    assert world.incident.acknowledged_at is None
    assert world.kinds() == [Kind.OPENED, Kind.WORSENED, Kind.OPENED]
    assert last(world).tags == {Tag.PAGE}


def test_who_was_paged_before_hears_of_what_gets_worse_after_an_acknowledgement() -> None:
    world = episode(confirm_for=90_000.0)
    world.wipe(sensor=0)
    world.run(70)
    world.say(ActKind.ACKNOWLEDGE)
    world.wipe(station=0)
    world.run(2)
    assert (last(world).kind, last(world).tags) == (Kind.WORSENED, BOTH)


def test_what_is_lost_again_is_no_longer_acknowledged_and_pages_at_once() -> None:
    world = wiped(ingests_after=False).run(5)
    world.say(ActKind.ACKNOWLEDGE)
    world.until(Phase.VERIFYING)
    assert last(world).tags == NOTIFY
    world.wipe()
    world.run(2)
    assert world.incident.acknowledged_at is None
    assert (last(world).reason, last(world).tags) == (Reason.LOST_AGAIN, BOTH)


def test_who_was_paged_before_an_acknowledgement_hears_the_end() -> None:
    world = wiped(confirm_for=70.0)
    world.run(65)
    world.say(ActKind.ACKNOWLEDGE)
    world.until(Phase.RESOLVED)
    assert world.kinds(Tag.PAGE) == [Kind.OPENED, Kind.RESTORED, Kind.RESOLVED]


def test_the_next_incident_is_not_acknowledged() -> None:
    world = acknowledged()
    world.restore()
    world.until(Phase.RESOLVED, within=40)
    world.wipe()
    world.run(70)
    assert world.incident.acknowledged_at is None
    assert world.kinds(Tag.PAGE) == [Kind.OPENED]
