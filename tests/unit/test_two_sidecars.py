"""Two sidecars on one database: one heals, both tell, under one key; budget and back-off are shared."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from alpimonitor_watchdog.core.seen import Attempt, LeaderSeen
from alpimonitor_watchdog.core.words import HealOutcome, Kind, Phase, Reason, Tag, Unseen
from tests.unit.episodes import START, Episode, episode, last, wiped


def follower(**changes: Any) -> Episode:
    """A sidecar that does not lead; nothing is wrong yet."""
    return episode(leader=LeaderSeen(False, other=4711, episode=77, attempts=()), **changes)


def attempts(world: Episode, *ages: float, ours: bool = False) -> None:
    """The database has recorded heals that began so many seconds ago."""
    assert world.leader is not None
    recorded = tuple(Attempt(f"h{number}", age, ours=ours) for number, age in enumerate(ages))
    world.leader = replace(world.leader, attempts=recorded)


# ---- who heals --------------------------------------------------------------------------------------------


def test_who_does_not_lead_tells_and_pages_but_never_heals() -> None:
    world = follower()
    world.wipe()
    world.run(2000)
    assert world.heals_started == []
    assert world.refusals() == [Reason.NOT_LEADING]
    assert world.decisions[-1].obstacle is None
    assert world.kinds() == [Kind.OPENED, Kind.OPENED, Kind.ESCALATED, Kind.REMINDER]
    assert world.kinds(Tag.PAGE) == [Kind.OPENED, Kind.ESCALATED, Kind.REMINDER]


def test_who_takes_over_heals_at_the_next_look() -> None:
    world = follower()
    world.wipe()
    world.run(30)
    assert world.leader is not None
    world.leader = replace(world.leader, leads=True)
    world.tick()
    assert len(world.heals_started) == 1


def test_who_loses_the_lead_while_it_heals_tells_how_it_ends_and_heals_no_more() -> None:
    world = wiped(leader=LeaderSeen(True), heal_outcome=HealOutcome.INTERRUPTED)
    world.until(Phase.HEALING)
    world.leader = LeaderSeen(False)
    world.run(100)
    assert (Phase.OPEN, Reason.HEAL_INTERRUPTED) in world.path()
    assert len(world.heals_started) == 1
    assert world.decisions[-1].refusal is Reason.NOT_LEADING


def test_without_another_sidecar_nobody_has_to_lead() -> None:
    world = wiped(leader=None)
    world.until(Phase.RESOLVED)
    assert len(world.heals_started) == 1


# ---- what both count --------------------------------------------------------------------------------------


def leading(*ages: float, **changes: Any) -> Episode:
    """Just took over a database that others have healed, and that is empty again."""
    world = wiped(leader=LeaderSeen(True, attempts=()), **changes)
    attempts(world, *ages)
    return world


def older(world: Episode) -> None:
    """A second passes for the heals on record, too."""
    assert world.leader is not None
    recorded = tuple(replace(attempt, age=attempt.age + 1) for attempt in world.leader.attempts or ())
    world.leader = replace(world.leader, attempts=recorded)
    world.tick()


def test_heals_of_another_sidecar_spend_the_budget_until_they_leave_the_window() -> None:
    world = leading(3570.0, 3000.0, 2000.0, heal_budget=3, heal_window=3600.0)
    for _ in range(29):
        older(world)
    assert (world.heals_started, world.decisions[-1].refusal) == ([], Reason.BUDGET_SPENT)
    older(world)
    assert len(world.heals_started) == 1


def test_who_takes_over_backs_off_as_the_other_would_have() -> None:
    world = leading(30.0, 0.0, backoff_first=10.0, confirm_for=0.0, quiet_for=0.0)
    for _ in range(19):
        older(world)
    assert (world.heals_started, world.decisions[-1].refusal) == ([], Reason.BACKING_OFF)
    older(world)
    assert len(world.heals_started) == 1


def test_who_takes_over_again_counts_what_the_other_did_since() -> None:
    world = wiped(leader=LeaderSeen(True, attempts=()), backoff_first=10.0)
    world.until(Phase.RESOLVED)
    world.run(100)
    attempts(world, 100.0, 20.0, 0.0)
    world.wipe()
    for _ in range(39):
        older(world)
    assert (len(world.heals_started), world.decisions[-1].refusal) == (1, Reason.BUDGET_SPENT)
    world.policy = replace(world.policy, heal_budget=9)
    older(world)
    assert len(world.heals_started) == 2


def test_what_was_recorded_is_remembered_while_nobody_can_say() -> None:
    world = leading(100.0, 90.0, 80.0, heal_window=3600.0)
    world.tick()
    world.leader = LeaderSeen(True, attempts=None)
    world.run(60)
    assert (world.heals_started, world.decisions[-1].refusal) == ([], Reason.BUDGET_SPENT)
    world.restart()
    world.run(60)
    assert world.heals_started == []
    world.tick(elapsed=3600.0)
    assert world.state.ledger == ()


# ---- how a follower's incident ends -----------------------------------------------------------------------


def healed_by_the_other(**changes: Any) -> Episode:
    """The leader has put the rows back; this one sees them."""
    world = follower(**changes)
    world.wipe()
    world.run(20)
    attempts(world, 2.0)
    world.restore()
    world.run(2)
    return world


def test_what_another_put_back_is_proven_by_ingestion_as_after_a_heal_of_its_own() -> None:
    world = healed_by_the_other()
    world.run(100)
    assert world.state.phase is Phase.OPEN
    world.ingestion_started = world.at
    world.tick()
    assert world.path()[-1] == (Phase.RESOLVED, Reason.INGESTION_COMPLETE)
    assert world.kinds(Tag.PAGE) == [Kind.OPENED, Kind.RESOLVED]


def test_what_is_lost_again_after_anothers_heal_is_told_as_that() -> None:
    world = healed_by_the_other()
    world.wipe()
    world.run(2)
    assert (last(world).kind, last(world).reason) == (Kind.WORSENED, Reason.LOST_AGAIN)


@pytest.mark.parametrize(
    ("age", "ours", "reason"),
    [
        pytest.param(2.0, False, Reason.INGESTION_COMPLETE, id="in this incident"),
        pytest.param(900.0, False, Reason.SYMPTOMS_CLEARED, id="long before it"),
        pytest.param(2.0, True, Reason.SYMPTOMS_CLEARED, id="this sidecar's own, under an earlier name"),
    ],
)
def test_rows_that_come_back_were_put_back_when_another_healed_in_the_incident(
    age: float, ours: bool, reason: Reason
) -> None:
    world = follower()
    world.wipe()
    world.run(20)
    attempts(world, age, ours=ours)
    world.restore()
    world.run(2)
    world.ingestion_started = world.at
    world.until(Phase.RESOLVED, within=40)
    assert world.path()[-1] == (Phase.RESOLVED, reason)


@pytest.mark.parametrize(
    ("outcome", "ended", "resolved"),
    [
        pytest.param(HealOutcome.SUCCEEDED, 14.0, True, id="it began after that heal"),
        pytest.param(HealOutcome.SUCCEEDED, 9.0, False, id="it began before its end"),
        pytest.param(HealOutcome.FAILED, 14.0, False, id="that heal says that it failed"),
        pytest.param(None, None, False, id="nobody knows how that heal ended"),
    ],
)
def test_a_run_of_ingestion_while_this_sidecar_was_cut_off_proves_anothers_heal_when(
    outcome: HealOutcome | None, ended: float | None, resolved: bool
) -> None:
    world = follower()
    world.wipe()
    world.run(5)
    world.leader = LeaderSeen(False)
    world.database = replace(world.database, unseen=Unseen.UNREACHABLE)
    world.run(20)
    world.ingestion_started = world.at - timedelta(seconds=10)
    world.restore()
    world.leader = LeaderSeen(False, 4712, 77, (Attempt("h0", 16.0, outcome, ours=False, ended=ended),))
    world.database = replace(world.database, unseen=None)
    world.run(5)
    assert (world.state.phase is Phase.HEALTHY) == resolved
    if resolved:
        assert (Phase.RESOLVED, Reason.INGESTION_COMPLETE) in world.path()


def test_a_heal_while_this_sidecar_was_down_counts_as_in_the_incident() -> None:
    world = follower()
    world.wipe()
    world.run(5)
    world.restart()
    world.at += timedelta(minutes=10)
    attempts(world, 300.0)
    world.restore()
    world.tick(elapsed=0.0)
    world.run(60)
    assert world.state.phase is Phase.OPEN
    world.ingestion_started = world.at
    world.until(Phase.RESOLVED, within=3)
    assert world.path()[-1] == (Phase.RESOLVED, Reason.INGESTION_COMPLETE)


# ---- one key ----------------------------------------------------------------------------------------------


def keys(world: Episode) -> list[str]:
    """Every key this sidecar ever gave an incident."""
    by_id = {d.incident.id: d.incident.key for d in world.decisions if d.incident is not None}
    return list(by_id.values())


def test_leader_and_follower_tell_under_one_key() -> None:
    leader = episode(leader=LeaderSeen(True))
    other = Episode(at=START + timedelta(minutes=7))
    for _ in range(3):
        other.leader = LeaderSeen(False, episode=leader.state.episode)
        other.run(2)
        for world in (leader, other):
            world.wipe()
            world.run(4)
            world.restore()
            world.run(100)
        leader.run(50)
    assert len(keys(leader)) == len(set(keys(leader))) == 3
    assert keys(leader) == keys(other)


def test_a_number_is_agreed_before_an_incident_and_stays_through_it() -> None:
    world = follower()
    assert world.state.episode == 77
    world.wipe()
    world.run(3)
    assert world.incident.key == f"{77:08x}"
    assert world.leader is not None
    world.leader = replace(world.leader, episode=99)
    world.run(10)
    assert (world.state.episode, world.incident.key) == (77, f"{77:08x}")


def test_a_leader_goes_by_its_own_number_and_a_follower_without_one_to_take_by_its_own() -> None:
    for leader in (LeaderSeen(True, episode=99), LeaderSeen(False, episode=None), None):
        world = episode(leader=leader)
        assert world.state.episode == int((START + timedelta(seconds=1)).timestamp())


def test_the_next_number_grows_though_the_clock_is_set_back() -> None:
    world = wiped()
    before = world.state.episode
    world.until(Phase.OPEN)
    world.at -= timedelta(days=1)
    world.until(Phase.RESOLVED)
    assert world.state.episode == before + 1


@pytest.mark.parametrize(
    "numbers",
    [
        pytest.param((5, 5, 5), id="the leader still counts the same incident"),
        pytest.param((5, 6, 5, 6), id="a new leader knows less than its predecessor"),
        pytest.param((6, 5, 5, 6, 7), id="it goes back and forth"),
    ],
)
def test_no_key_is_given_twice_whatever_the_leaders_say(numbers: tuple[int, ...]) -> None:
    world = follower()
    assert world.leader is not None
    for number in numbers:
        world.leader = replace(world.leader, episode=number)
        world.run(2)
        world.wipe()
        world.run(3)
        world.restore()
        world.until(Phase.RESOLVED, within=1000)
    assert len(keys(world)) == len(set(keys(world))) == len(numbers)
    assert keys(world)[0] == f"{numbers[0]:08x}"


def test_the_key_of_an_open_incident_survives_a_restart() -> None:
    world = follower()
    world.wipe()
    world.run(4)
    key = world.incident.key
    world.restart()
    world.run(4)
    assert world.incident.key == key
    world.restore()
    world.until(Phase.RESOLVED, within=40)
    world.restart()
    world.wipe()
    world.run(4)
    assert world.incident.key != key
