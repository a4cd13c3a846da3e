"""What operators say: in every phase each act is taken, or refused with its reason; what follows from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta, timezone
from typing import Any

import pytest

from alpimonitor_watchdog.core.acts import Act, ActKind
from alpimonitor_watchdog.core.good import TableGood
from alpimonitor_watchdog.core.seen import DatabaseSeen, LeaderSeen, PlanSeen
from alpimonitor_watchdog.core.words import Kind, Phase, Reason, Symptom, Tag, Unseen
from tests.unit.episodes import EXPECTED, HERE, Episode, episode, last, wiped

HOUR = timedelta(hours=1)
ELSEWHERE = replace(HERE, system="another", deployment="d-2")


def resolved() -> Episode:
    return wiped().until(Phase.RESOLVED)


def suspected() -> Episode:
    world = episode(health_ok=False)
    assert world.state.phase is Phase.SUSPECTED
    return world


# A world in each phase; in the open ones rows are lost, but for `verifying`.
WORLDS: dict[Phase, Callable[[], Episode]] = {
    Phase.HEALTHY: episode,
    Phase.SUSPECTED: suspected,
    Phase.OPEN: lambda: wiped(confirm_for=90_000.0).run(5),
    Phase.HEALING: lambda: wiped(heal_outcome=None).until(Phase.HEALING),
    Phase.VERIFYING: lambda: wiped(ingests_after=False).until(Phase.VERIFYING),
    Phase.RESOLVED: resolved,
    Phase.ESCALATED: lambda: wiped(confirm_for=90_000.0).until(Phase.ESCALATED, within=1000),
}
RUNNING = {Phase.HEALING: Reason.HEAL_RUNNING}
NONE_OPEN = dict.fromkeys((Phase.HEALTHY, Phase.SUSPECTED, Phase.RESOLVED), Reason.NO_INCIDENT)
NOT_LOST = dict.fromkeys(
    (Phase.HEALTHY, Phase.SUSPECTED, Phase.VERIFYING, Phase.RESOLVED), Reason.NOTHING_LOST
)
# In which phases an act is refused, and why.
REFUSED: dict[ActKind, dict[Phase, Reason]] = {
    ActKind.ACCEPT: RUNNING,
    ActKind.ADOPT: RUNNING,
    ActKind.HOLD: NONE_OPEN,
    ActKind.PAUSE: {},
    ActKind.RESUME: dict.fromkeys(Phase, Reason.NOTHING_TO_RESUME),
    ActKind.HEAL: {**NOT_LOST, **RUNNING},
    ActKind.ACKNOWLEDGE: NONE_OPEN,
}
# What an act that is taken leads to: where the incident stands after the look that heard it.
AFTER: dict[tuple[ActKind, Phase], Phase] = {
    (ActKind.ACCEPT, Phase.OPEN): Phase.HEALTHY,
    (ActKind.ACCEPT, Phase.ESCALATED): Phase.HEALTHY,
    (ActKind.ACCEPT, Phase.VERIFYING): Phase.HEALTHY,
    (ActKind.HEAL, Phase.OPEN): Phase.HEALING,
    (ActKind.HEAL, Phase.ESCALATED): Phase.HEALING,
    **{(kind, Phase.RESOLVED): Phase.HEALTHY for kind in ActKind},
}


@pytest.mark.parametrize("phase", list(Phase))
@pytest.mark.parametrize("kind", list(ActKind))
def test_an_act_is_taken_or_refused_by_the_phase_it_is_said_in(kind: ActKind, phase: Phase) -> None:
    world = WORLDS[phase]()
    assert world.state.phase is phase
    before = world.state
    answer = world.say(kind, until=world.at + HOUR)
    assert answer.refused is REFUSED[kind].get(phase)
    assert answer.act.kind is kind
    assert answer.sentence.endswith(".")
    after = AFTER.get((kind, phase), phase)
    assert world.state.phase is after
    if answer.refused is not None:
        untouched = ("hold", "pause", "asked_lived", "circuit", "good")
        assert [getattr(world.state, name) for name in untouched] == [
            getattr(before, name) for name in untouched
        ]


def test_several_acts_in_one_look_are_heard_in_order_and_each_is_answered() -> None:
    world = wiped(confirm_for=90_000.0).run(5)
    for number, kind in enumerate((ActKind.HEAL, ActKind.HOLD, ActKind.HEAL, ActKind.RESUME, ActKind.HEAL)):
        world.acts.append(Act(str(number), kind, "why", "anna"))
    answers = world.tick().answers
    assert sorted((answer.act.id, answer.refused) for answer in answers) == [
        (str(number), None) for number in range(5)
    ]
    assert world.state.phase is Phase.HEALING


@pytest.mark.parametrize("kind", [ActKind.HOLD, ActKind.PAUSE])
def test_a_brake_says_that_it_does_not_reach_the_sidecar_that_leads(kind: ActKind) -> None:
    world = wiped(leader=LeaderSeen(leads=False, other=4711)).run(3)
    assert "another one leads, and heals unless you tell it, too" in world.say(kind, world.at + HOUR).sentence
    world.leader = LeaderSeen(leads=True)
    assert "another" not in world.say(kind, world.at + HOUR).sentence


def test_a_pause_says_its_end_in_utc() -> None:
    world = episode()
    ends = world.at + HOUR
    answer = world.say(ActKind.PAUSE, ends.astimezone(timezone(timedelta(hours=2))))
    assert answer.sentence == f"No heal until {ends:%Y-%m-%d %H:%M:%S} UTC."


def test_a_heal_that_is_asked_for_and_held_in_one_look_is_refused() -> None:
    world = wiped(confirm_for=90_000.0).run(5)
    world.acts += [Act("1", ActKind.HEAL, "now", "anna"), Act("2", ActKind.HOLD, "no", "bert")]
    answers = {answer.act.id: answer.refused for answer in world.tick().answers}
    assert answers == {"1": Reason.HELD, "2": None}
    assert world.heals_started == []


def test_a_heal_that_is_asked_for_and_made_needless_in_one_look_is_refused() -> None:
    world = wiped(confirm_for=90_000.0).run(5)
    world.acts += [Act("1", ActKind.HEAL, "now", "anna"), Act("2", ActKind.ACCEPT, "meant", "bert")]
    answers = {answer.act.id: answer.refused for answer in world.tick().answers}
    assert answers == {"1": Reason.NOTHING_LOST, "2": None}
    assert world.state.asked_lived is None


# ---- accept -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [0, 3, None], ids=["empty", "a few rows", "gone"])
def test_a_loss_that_is_accepted_is_over_at_once_and_stays_so(rows: int | None) -> None:
    world = wiped(confirm_for=90_000.0, settle_after=9000.0)
    world.wipe(station=rows, sensor=14)
    world.run(5)
    answer = world.say(ActKind.ACCEPT)
    shown = "gone" if rows is None else rows
    assert answer.sentence == f"Accepted as the last good state: station {shown}, sensor 14."
    assert world.path()[-2:] == [(Phase.RESOLVED, Reason.ACCEPTED), (Phase.HEALTHY, Reason.EPISODE_OVER)]
    assert (last(world).kind, last(world).reason) == (Kind.RESOLVED, Reason.ACCEPTED)
    for _ in range(20):
        world.tick(elapsed=600.0)
    assert world.kinds() == [Kind.OPENED, Kind.RESOLVED]
    assert world.heals_started == []
    assert world.state.good is not None
    assert world.state.good.table("station") == TableGood("station", rows, accepted=True)


def test_less_than_was_accepted_is_a_loss_again() -> None:
    world = episode(confirm_for=90_000.0)
    world.wipe(station=3)
    world.run(5)
    world.say(ActKind.ACCEPT)
    assert not world.tick().findings.context_lost
    world.wipe(station=2)
    world.run(2)
    assert [(loss.rows, loss.expected) for loss in world.incident.losses] == [(2, 3)]


def test_what_was_accepted_as_gone_is_not_put_back_with_what_is_lost_later() -> None:
    world = episode(confirm_for=1.0)
    world.wipe(sensor=0)
    world.run(2)
    world.say(ActKind.HOLD)
    assert world.say(ActKind.ACCEPT).refused is None
    world.wipe(station=0)
    world.run(30)
    assert world.heals_started == []
    assert world.refusals()[-1] is Reason.LOSS_ACCEPTED
    assert Kind.HEAL_REFUSED in world.kinds(Tag.PAGE)
    world.plan = PlanSeen(inserts=(("station", 7),))
    world.until(Phase.HEALING)
    assert len(world.heals_started) == 1


def test_what_was_accepted_stays_accepted_beside_another_trouble() -> None:
    world = wiped(confirm_for=90_000.0, unhealthy_after=3.0)
    world.health_ok = False
    world.run(10)
    assert world.say(ActKind.ACCEPT).refused is None
    assert world.state.phase is Phase.OPEN
    assert world.decisions[-1].refusal is None
    assert world.decisions[-1].findings.losses == ()
    world.health_ok = True
    world.until(Phase.RESOLVED, within=40)
    assert world.heals_started == []


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        pytest.param(
            {"rows": {"station": 0, "sensor": Unseen.LOCKED}}, Reason.NOT_VISIBLE, id="out of sight"
        ),
        pytest.param({"rows": {"station": 0}}, Reason.NOT_VISIBLE, id="without an answer"),
        pytest.param(
            {"database": DatabaseSeen(unseen=Unseen.UNREACHABLE)}, Reason.NOT_VISIBLE, id="not reached"
        ),
        pytest.param(
            {"database": DatabaseSeen(revision="0001")}, Reason.NOT_VISIBLE, id="nobody knows which"
        ),
        pytest.param(
            {"database": DatabaseSeen(revision="0001", identity=ELSEWHERE)},
            Reason.OTHER_DATABASE,
            id="another database",
        ),
        pytest.param({"served": "d-2"}, Reason.OTHER_DATABASE, id="the API serves another"),
    ],
)
def test_what_cannot_be_known_is_not_accepted(trouble: dict[str, Any], reason: Reason) -> None:
    world = wiped(confirm_for=90_000.0).run(5)
    before = world.state.good
    for name, value in trouble.items():
        setattr(world, name, value)
    assert world.say(ActKind.ACCEPT).refused is reason
    assert world.state.good == before
    assert world.state.incident is not None


def test_an_accepted_incident_waits_for_what_of_it_is_out_of_sight() -> None:
    world = episode(unhealthy_after=3.0)
    world.health_ok = False
    world.until(Phase.OPEN)
    world.looks_outside = False
    assert world.say(ActKind.ACCEPT).refused is None
    assert world.state.phase is Phase.OPEN


# ---- adopt ------------------------------------------------------------------------------------------------


def test_a_database_that_was_never_seen_whole_heals_once_it_is_adopted() -> None:
    world = Episode()
    world.wipe()
    world.run(30)
    assert world.refusals()[-1] is Reason.NOT_ADOPTED
    assert Kind.HEAL_REFUSED in world.kinds(Tag.PAGE)
    answer = world.say(ActKind.ADOPT)
    assert answer.refused is None
    assert "system 7012345678901234567, database oid 16384, deployment d-1" in answer.sentence
    world.until(Phase.RESOLVED)
    assert len(world.heals_started) == 1
    world.tick()
    assert world.state.good is not None
    assert [table.rows for table in world.state.good.tables] == [7, 14]


@pytest.mark.parametrize(("environment", "heals"), [("test", True), ("production", False), (None, False)])
def test_at_first_contact_the_declared_environment_does_for_an_adoption(
    environment: str | None, heals: bool
) -> None:
    world = Episode(expected=replace(EXPECTED, environment=environment))
    world.wipe()
    world.run(30)
    assert bool(world.heals_started) is heals


def test_another_database_is_never_healed_until_it_is_adopted() -> None:
    world = episode()
    world.database = replace(world.database, identity=ELSEWHERE)
    world.wipe()
    world.run(60)
    assert world.heals_started == []
    assert Symptom.IDENTITY_CHANGED in world.incident.symptoms
    assert Reason.OTHER_DATABASE in world.refusals()
    world.say(ActKind.ADOPT)
    world.until(Phase.RESOLVED)
    assert len(world.heals_started) == 1
    assert world.state.good is not None
    assert world.state.good.identity == ELSEWHERE


def test_another_database_that_is_whole_is_told_and_over_once_it_is_adopted() -> None:
    world = episode()
    world.database = replace(world.database, identity=ELSEWHERE)
    world.run(70)
    assert world.kinds(Tag.PAGE) == [Kind.OPENED]
    world.say(ActKind.ADOPT)
    world.until(Phase.RESOLVED, within=40)
    assert world.heals_started == []


def test_an_api_that_serves_another_deployment_is_not_cured_by_an_adoption() -> None:
    world = episode()
    world.served = "d-2"
    world.run(5)
    assert world.incident.symptoms == (Symptom.IDENTITY_CHANGED,)
    assert world.say(ActKind.ADOPT).refused is None
    world.wipe()
    world.run(60)
    assert world.heals_started == []
    assert Reason.OTHER_DATABASE in world.refusals()
    world.served = "d-1"
    world.until(Phase.RESOLVED)


def test_a_database_whose_identity_is_out_of_sight_is_not_adopted() -> None:
    world = episode()
    world.database = DatabaseSeen(revision="0001")
    assert world.say(ActKind.ADOPT).refused is Reason.NOT_VISIBLE
    assert world.state.good is not None
    assert world.state.good.identity == HERE


def test_a_heal_waits_while_the_identity_is_out_of_sight() -> None:
    world = wiped()
    world.database = DatabaseSeen(revision="0001")
    world.run(30)
    assert world.heals_started == []
    assert (world.decisions[-1].refusal, world.decisions[-1].obstacle) == (Reason.NOT_VISIBLE, None)


def test_every_kind_of_act_has_its_row_in_the_table() -> None:
    assert set(REFUSED) == set(ActKind)
    assert set(WORLDS) == set(Phase)
