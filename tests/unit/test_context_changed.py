"""A change of the context that lost nothing: it is told once, and stands in the way of nothing."""

from __future__ import annotations

import pytest

from alpimonitor_watchdog.core.acts import ActKind
from alpimonitor_watchdog.core.symptoms import find
from alpimonitor_watchdog.core.words import Kind, Phase, Reason, Symptom, Tag, Unseen
from tests.unit.episodes import EXPECTED, Episode, episode, last

INFORMED = frozenset({Tag.NOTIFY})


def tampered(**changes: float) -> Episode:
    """The values of a table are others, for as long as it takes to say so."""
    world = episode(settle_after=10.0, **changes)
    world.content["sensor"] = "as it was"
    world.tick()
    world.content["sensor"] = "other"
    return world.until(Phase.OPEN)


def test_a_change_is_told_once_pages_nobody_and_is_not_repeated() -> None:
    world = tampered(accept_after=90_000.0)
    assert world.incident.symptoms == (Symptom.CONTEXT_CHANGED,)
    for _ in range(40):
        world.tick(elapsed=600.0)
    assert world.kinds() == [Kind.OPENED]
    assert world.kinds(Tag.PAGE) == []
    assert world.state.phase is Phase.OPEN
    assert world.heals_started == []
    assert world.refusals() == []
    assert last(world).detail == "not as it last was good: sensor other values"


def test_a_change_is_told_to_the_second_when_it_has_settled() -> None:
    world = episode(settle_after=10.0)
    world.rows["sensor"] = 15
    world.tick()
    world.tick(elapsed=9.0)
    assert world.told == []
    world.tick()
    assert world.kinds() == [Kind.OPENED]


def test_a_change_is_over_when_it_has_become_good_by_staying() -> None:
    world = tampered(accept_after=600.0, clear_for=30.0)
    world.tick(elapsed=600.0)
    world.run(30)
    assert world.state.phase is Phase.OPEN
    world.run(2)
    assert world.path()[-2:] == [
        (Phase.RESOLVED, Reason.SYMPTOMS_CLEARED),
        (Phase.HEALTHY, Reason.EPISODE_OVER),
    ]
    assert last(world).tags == INFORMED


def test_a_change_is_over_when_it_goes_back() -> None:
    world = tampered()
    world.content["sensor"] = "as it was"
    world.until(Phase.RESOLVED, within=40)
    assert world.kinds() == [Kind.OPENED, Kind.RESOLVED]


def test_a_change_is_over_at_once_when_an_operator_accepts_it() -> None:
    world = tampered()
    assert world.say(ActKind.ACCEPT).refused is None
    assert (Phase.RESOLVED, Reason.ACCEPTED) in world.path()
    assert world.run(50).kinds() == [Kind.OPENED, Kind.RESOLVED]


def test_a_change_beside_a_loss_hinders_neither_its_heal_nor_its_end() -> None:
    world = tampered()
    world.wipe(station=0)
    world.until(Phase.RESOLVED)
    assert len(world.heals_started) == 1
    assert world.path()[-1] == (Phase.RESOLVED, Reason.INGESTION_COMPLETE)
    assert [f.symptom for f in world.decisions[-1].findings.found] == [Symptom.CONTEXT_CHANGED]


def test_a_change_beside_another_trouble_does_not_keep_it_open() -> None:
    world = episode(unhealthy_after=5.0)
    world.health_ok = False
    world.until(Phase.OPEN)
    world.rows["sensor"] = 15
    world.run(15)
    assert set(world.incident.symptoms) == {Symptom.API_UNHEALTHY, Symptom.CONTEXT_CHANGED}
    world.health_ok = True
    world.until(Phase.RESOLVED, within=40)


def test_a_change_that_joins_a_paged_incident_is_told_to_nobody_who_sleeps() -> None:
    world = episode(unhealthy_after=5.0, page_after=10.0)
    world.health_ok = False
    world.until(Phase.OPEN)
    world.run(20)
    assert world.kinds(Tag.PAGE) == [Kind.OPENED]
    world.rows["sensor"] = 15
    world.run(20)
    assert (last(world).kind, last(world).tags) == (Kind.WORSENED, INFORMED)


def test_a_change_leaves_an_acknowledgement_as_it_is() -> None:
    world = episode(unhealthy_after=5.0)
    world.health_ok = False
    world.until(Phase.OPEN)
    world.say(ActKind.ACKNOWLEDGE)
    world.rows["sensor"] = 15
    world.run(200)
    assert Symptom.CONTEXT_CHANGED in world.incident.symptoms
    assert world.incident.acknowledged_at is not None
    assert world.kinds(Tag.PAGE) == []


def test_a_loss_that_joins_a_change_wakes_people_after_all() -> None:
    world = tampered(confirm_for=900.0)
    world.wipe(station=0)
    world.run(65)
    assert world.kinds(Tag.PAGE) == [Kind.OPENED]


def test_a_table_that_has_lost_its_rows_has_not_also_changed() -> None:
    world = episode()
    world.wipe(sensor=0)
    assert [f.symptom for f in world.tick().findings.found] == [Symptom.CONTEXT_EMPTY]


def test_a_table_out_of_sight_has_not_changed_and_another_has() -> None:
    world = episode()
    world.rows["sensor"] = 15
    world.wipe(station=Unseen.LOCKED)
    found = world.tick().findings
    assert [f.symptom for f in found.found] == [Symptom.CONTEXT_UNSEEN, Symptom.CONTEXT_CHANGED]
    assert Symptom.CONTEXT_CHANGED in found.undetermined


@pytest.mark.parametrize(
    ("concerned", "clear"),
    [
        (frozenset[Symptom](), True),
        (frozenset({Symptom.CONTEXT_CHANGED}), False),
        (frozenset({Symptom.API_UNHEALTHY}), True),
        (frozenset({Symptom.CONTEXT_CHANGED, Symptom.API_UNHEALTHY}), True),
    ],
)
def test_a_look_with_a_change_is_clear_of_all_that_is_not_about_it(
    concerned: frozenset[Symptom], clear: bool
) -> None:
    world = episode()
    world.rows["sensor"] = 15
    found = find(world.observation(1.0), EXPECTED, world.policy, world.state.good)
    assert found.wrong == ()
    assert found.clear_of(concerned) is clear
