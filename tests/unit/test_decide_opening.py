"""An incident begins and grows: what joins it, what is told, and to whom."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from alpimonitor_watchdog.core.model import HealRecord, MakePlan, Notify
from alpimonitor_watchdog.core.seen import Loss, PlanSeen
from alpimonitor_watchdog.core.words import Kind, Mode, Phase, Reason, Symptom, Tag
from tests.unit.episodes import START, Episode, episode, wiped

BOTH = {Tag.NOTIFY, Tag.PAGE}
STATION_AND_SENSOR = (Loss("station", 0, 7), Loss("sensor", 0, 14))


def told(world: Episode, kind: Kind) -> Notify:
    """The last notification of this kind."""
    return [notify for notify in world.told if notify.kind is kind][-1]


def plans(world: Episode) -> list[int]:
    return [e.number for d in world.decisions for e in d.effects if isinstance(e, MakePlan)]


# ---- an incident begins -----------------------------------------------------------------------------------


def test_an_incident_says_what_when_and_what_was_known_before() -> None:
    world = wiped()
    world.until(Phase.OPEN)
    incident = world.incident
    assert incident.id == "20260421T120004Z-1"
    assert incident.opened_at == world.at == START + timedelta(seconds=4)
    assert incident.opened_lived == incident.reminded_lived == world.state.lived == 4.0
    assert incident.symptoms == (Symptom.CONTEXT_EMPTY,)
    assert incident.losses == STATION_AND_SENSOR
    assert incident.known_run == world.ingestion_started
    assert incident.pages
    assert not incident.repeated
    opened = told(world, Kind.OPENED)
    assert opened == Notify(
        Kind.OPENED, frozenset({Tag.NOTIFY}), Reason.LOSS_CONFIRMED, "without any row: station, sensor"
    )
    assert [t.detail for t in world.decisions[-1].transitions] == [opened.detail]
    assert world.decisions[-1].incident == incident


def test_the_next_incident_has_the_next_number() -> None:
    world = wiped()
    world.until(Phase.RESOLVED)
    world.wipe()
    world.until(Phase.OPEN)
    assert world.incident.id.endswith("-2")


def test_a_plan_is_asked_for_as_soon_as_the_incident_opens() -> None:
    world = wiped()
    world.until(Phase.OPEN)
    assert MakePlan(1) in world.decisions[-1].effects
    assert world.state.planned_for == STATION_AND_SENSOR


def test_a_plan_of_an_earlier_incident_is_forgotten() -> None:
    world = wiped()
    stale = PlanSeen(inserts=(("station", 7),))
    world.state = replace(
        world.state, plan=stale, planning=True, planned_for=STATION_AND_SENSOR, plan_number=5
    )
    world.until(Phase.OPEN)
    assert world.state.plan is None
    assert plans(world) == [6]


@pytest.mark.parametrize(
    ("heal", "trouble", "repeated", "undone"),
    [
        pytest.param(HealRecord(0.0, 1.0, True), "wiped", True, True, id="the context is lost after a heal"),
        pytest.param(HealRecord(0.0, 1.0, False), "wiped", False, False, id="after a heal that failed"),
        pytest.param(HealRecord(0.0, 1.0, True), "blind", False, False, id="ingestion is blind after a heal"),
    ],
)
def test_a_loss_after_a_heal_is_a_repeat_and_pages(
    heal: HealRecord, trouble: str, repeated: bool, undone: bool
) -> None:
    world = episode()
    world.state = replace(world.state, heals=(heal,))
    if trouble == "wiped":
        world.wipe()
    else:
        world.stations_seen = 0
    world.until(Phase.OPEN)
    assert world.incident.repeated is repeated
    assert world.state.heals[-1].undone is undone
    assert told(world, Kind.OPENED).tags == (BOTH if repeated else {Tag.NOTIFY})
    assert world.incident.paged is repeated


def test_an_earlier_heal_that_stood_makes_the_loss_a_repeat_though_the_last_one_failed() -> None:
    world = episode()
    heals = (HealRecord(0.0, 0.0, True), HealRecord(1.0, 1.0, False))
    world.state = replace(world.state, heals=heals)
    world.wipe()
    world.until(Phase.OPEN)
    assert world.incident.repeated
    assert world.state.heals == heals


def test_only_the_last_heal_is_undone_and_only_once() -> None:
    world = episode(backoff_first=0.0)
    heals = (HealRecord(0.0, 0.0, True), HealRecord(1.0, 1.0, True))
    world.state = replace(world.state, heals=heals)
    for _ in range(2):
        world.wipe()
        world.run(3)
        world.restore()
        world.run(3)
    assert world.state.heals == (heals[0], replace(heals[1], undone=True))
    assert world.heals_started == []


def test_a_repeat_is_told_once_as_such() -> None:
    world = episode()
    world.state = replace(world.state, heals=(HealRecord(0.0, 0.0, True),))
    world.wipe()
    world.run(8)
    assert world.kinds() == [Kind.OPENED]


# ---- an incident grows ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "symptoms", "losses", "detail"),
    [
        pytest.param(
            {"sensor": 5},
            {"station": 0},
            (Symptom.CONTEXT_SHRUNK, Symptom.CONTEXT_EMPTY),
            (Loss("sensor", 5, 14), Loss("station", 0, 7)),
            "without any row: station",
            id="another table, in another way",
        ),
        pytest.param(
            {"sensor": 5},
            {"sensor": 4},
            (Symptom.CONTEXT_SHRUNK,),
            (Loss("sensor", 4, 14),),
            "fewer rows than there have to be: sensor",
            id="another row",
        ),
        pytest.param(
            {"sensor": 0},
            {"sensor": None},
            (Symptom.CONTEXT_EMPTY, Symptom.CONTEXT_MISSING),
            (Loss("sensor", None, 14),),
            "gone from the catalog: sensor",
            id="the table itself",
        ),
        pytest.param(
            {"sensor": 0},
            {"station": 0},
            (Symptom.CONTEXT_EMPTY,),
            (Loss("sensor", 0, 14), Loss("station", 0, 7)),
            "without any row: station, sensor",
            id="another table, in the same way",
        ),
    ],
)
def test_a_larger_loss_joins_the_incident_and_is_told_once(
    before: dict[str, int],
    after: dict[str, int | None],
    symptoms: tuple[Symptom, ...],
    losses: tuple[Loss, ...],
    detail: str,
) -> None:
    world = episode(confirm_for=50.0)
    world.wipe(**before)
    world.until(Phase.OPEN)
    first = world.incident.id
    world.wipe(**after)
    world.run(10)
    assert world.incident.id == first
    assert world.incident.symptoms == symptoms
    assert world.incident.losses == losses
    assert world.kinds() == [Kind.OPENED, Kind.WORSENED]
    worse = told(world, Kind.WORSENED)
    assert (worse.tags, worse.reason, worse.detail) == ({Tag.NOTIFY}, None, detail)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param({"sensor": 5}, {"sensor": 6}, id="a row came back"),
        pytest.param({"sensor": 5}, {"sensor": 5}, id="nothing changed"),
        pytest.param({"sensor": None}, {"sensor": 0}, id="the table came back, empty"),
    ],
)
def test_a_loss_that_does_not_grow_is_not_told_again_and_the_worst_is_kept(
    before: dict[str, int | None], after: dict[str, int]
) -> None:
    world = episode(confirm_for=50.0)
    world.wipe(**before)
    world.until(Phase.OPEN)
    worst = world.incident.losses
    symptoms = len(world.incident.symptoms)
    world.wipe(**after)
    world.tick()
    assert world.incident.losses == worst
    assert Kind.WORSENED not in world.kinds() or len(world.incident.symptoms) > symptoms


def test_another_symptom_joins_the_incident_and_is_told() -> None:
    world = wiped(mode=Mode.OFF, unhealthy_after=5.0)
    world.until(Phase.OPEN)
    world.health_ok = False
    world.run(8)
    worse = [notify for notify in world.told if notify.kind is Kind.WORSENED]
    assert [notify.detail for notify in worse] == ["http://api/health: 503"]
    assert world.incident.losses == STATION_AND_SENSOR


def test_a_single_probe_worsens_nothing() -> None:
    world = episode(confirm_for=50.0)
    world.wipe(sensor=5)
    world.until(Phase.OPEN)
    world.wipe(station=0)
    world.tick()
    world.restore()
    world.wipe(sensor=5)
    world.run(5)
    assert world.kinds() == [Kind.OPENED]


def test_who_was_paged_hears_what_gets_worse() -> None:
    world = wiped(mode=Mode.OFF)
    world.run(30)
    world.wipe(station=None)
    world.run(2)
    assert told(world, Kind.WORSENED).tags == BOTH


def test_a_warning_that_becomes_a_loss_wakes_people_after_all() -> None:
    world = episode(straggler_after=5.0, mode=Mode.DRY_RUN, confirm_for=900.0)
    world.stations_seen = 3
    world.until(Phase.OPEN)
    assert not world.incident.pages
    world.run(100)
    assert world.kinds(Tag.PAGE) == []
    world.wipe()
    world.run(2)
    assert world.incident.pages
    assert world.kinds(Tag.PAGE) == [Kind.OPENED]


def test_a_loss_with_a_warning_beside_it_wakes_people() -> None:
    world = episode(straggler_after=1.0)
    world.stations_seen = 3
    world.wipe()
    world.until(Phase.OPEN)
    assert world.incident.symptoms == (Symptom.CONTEXT_EMPTY, Symptom.INGESTION_BLIND)
    assert world.incident.pages
    opened = told(world, Kind.OPENED)
    assert opened.reason is Reason.LOSS_CONFIRMED
    said = "without any row: station, sensor; the last run of ingestion saw 3 of 4 stations"
    assert opened.detail == said


def test_a_warning_that_joins_a_loss_leaves_it_to_wake_people() -> None:
    world = wiped(straggler_after=10.0, confirm_for=900.0)
    world.until(Phase.OPEN)
    world.stations_seen = 3
    world.run(20)
    assert world.incident.symptoms == (Symptom.CONTEXT_EMPTY, Symptom.INGESTION_BLIND)
    assert world.incident.pages


def test_once_restored_a_new_symptom_joins_in_silence() -> None:
    world = wiped(ingests_after=False)
    world.until(Phase.VERIFYING)
    world.stations_seen = 0
    world.run(20)
    assert Symptom.INGESTION_BLIND in world.incident.symptoms
    assert Kind.WORSENED not in world.kinds()
