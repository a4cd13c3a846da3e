"""What a heal that failed, was undone or saw too little leads to; blindness, plans, and waiting."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from alpimonitor_watchdog.core.seen import DatabaseSeen, HealSeen, PlanSeen
from alpimonitor_watchdog.core.words import HealOutcome, Kind, Mode, Phase, Reason, Symptom, Tag, Unseen
from tests.unit.episodes import HERE, episode


def test_an_api_that_is_down_after_a_heal_is_no_failed_heal() -> None:
    world = episode()
    world.wipe()
    world.health_ok = False
    world.until(Phase.ESCALATED, within=100)
    assert world.path()[-1] == (Phase.ESCALATED, Reason.CONSUMERS_NOT_SERVED)
    assert [heal.succeeded for heal in world.state.heals] == [True]
    assert world.kinds(Tag.PAGE) == [Kind.ESCALATED]
    world.health_ok = True
    world.until(Phase.RESOLVED)
    assert world.path()[-1] == (Phase.RESOLVED, Reason.INGESTION_COMPLETE)


def test_a_heal_past_its_deadline_that_put_the_rows_back_is_proven_by_ingestion() -> None:
    world = episode(heal_outcome=HealOutcome.DEADLINE, ingests_after=False)
    world.wipe()
    world.until(Phase.HEALING)
    world.restore()
    world.run(30)
    assert world.state.phase is Phase.OPEN
    world.ingestion_started = world.at
    world.until(Phase.RESOLVED, within=3)


def test_reloads_that_clear_by_themselves_never_open_the_circuit() -> None:
    world = episode()
    for _ in range(6):
        world.wipe()
        world.run(4)
        world.restore()
        world.run(20)
    assert world.heals_started == []
    world.wipe()
    world.until(Phase.RESOLVED)
    assert len(world.heals_started) == 1


def test_a_wipe_inside_another_incident_is_a_repeat_and_pages_at_once() -> None:
    world = episode()
    world.wipe()
    world.until(Phase.RESOLVED)
    world.stations_seen = 0
    world.until(Phase.OPEN)
    assert world.kinds(Tag.PAGE) == []
    world.wipe()
    world.run(2)
    assert world.kinds(Tag.PAGE) == [Kind.WORSENED]
    assert [heal.undone for heal in world.state.heals] == [True]


def test_a_refusal_is_not_told_before_the_loss_is_proven() -> None:
    world = episode(mode=Mode.OFF)
    world.wipe()
    world.run(5)
    world.restore()
    world.until(Phase.RESOLVED)
    assert world.kinds() == [Kind.OPENED, Kind.RESOLVED]


def test_tables_that_are_recreated_under_the_change_lock_page_nobody() -> None:
    world = episode()
    world.database = DatabaseSeen(revision="0001", identity=HERE, change_held_by=4711)
    world.wipe(station=None, sensor=None)
    world.run(30)
    world.restore()
    world.until(Phase.RESOLVED)
    assert world.kinds(Tag.PAGE) == []
    assert set(world.refusals()) == {Reason.CHANGE_IN_PROGRESS}


def test_a_context_table_that_cannot_be_read_for_long_is_told_and_paged() -> None:
    world = episode()
    world.wipe(station=Unseen.LOCKED)
    world.run(119)
    assert world.told == []
    world.run(70)
    assert world.state.incident is not None
    assert world.state.incident.symptoms == (Symptom.CONTEXT_UNSEEN,)
    assert world.kinds(Tag.PAGE) == [Kind.OPENED]
    world.restore()
    world.until(Phase.RESOLVED)
    assert world.heals_started == []


def test_time_in_which_nothing_was_seen_does_not_count_towards_the_confirmation() -> None:
    world = episode(confirm_for=10.0)
    world.wipe()
    world.run(4)
    world.wipe(station=Unseen.TIMEOUT, sensor=Unseen.TIMEOUT)
    world.run(100)
    world.wipe()
    world.run(5)
    assert world.heals_started == []
    world.until(Phase.HEALING, within=6)


def test_one_missing_station_wakes_nobody() -> None:
    world = episode()
    world.stations_seen = 3
    world.run(9000, every=10)
    assert world.kinds() == [Kind.OPENED]
    assert world.kinds(Tag.PAGE) == []


def test_an_empty_plan_is_asked_for_again() -> None:
    world = episode(plan=PlanSeen())
    world.wipe()
    world.run(15)
    world.plan = PlanSeen(inserts=(("station", 7),))
    world.until(Phase.RESOLVED)
    assert len(world.heals_started) == 1


def test_a_plan_for_a_smaller_loss_is_not_carried_out() -> None:
    world = episode(confirm_for=0.0, confirm_probes=4)
    world.wipe(sensor=0)
    world.run(2)
    world.plan = PlanSeen(inserts=(("station", 7), ("sensor", 14)))
    world.wipe(sensor=0, station=0)
    world.until(Phase.HEALING)
    assert "+7 station" in world.decisions[-1].transitions[-1].detail


def test_an_answer_to_an_older_request_for_a_plan_is_dropped() -> None:
    world = episode()
    world.wipe(sensor=0)
    world.run(2)
    world._plan = replace(world.plan, number=99)
    world.tick()
    assert world.state.plan is None


def test_a_loss_that_clears_takes_its_refusal_along() -> None:
    world = episode(ingests_after=False, mode=Mode.OFF)
    world.wipe()
    world.stations_seen = 0
    world.run(20)
    world.restore()
    world.run(5)
    assert world.state.incident is not None
    assert world.state.incident.refused is None
    assert world.decisions[-1].refusal is None


def test_a_straggler_that_becomes_blindness_is_told_as_worse_and_paged() -> None:
    world = episode()
    world.stations_seen = 3
    world.until(Phase.OPEN, within=7300)
    world.stations_seen = 0
    world.run(70)
    assert world.kinds() == [Kind.OPENED, Kind.WORSENED, Kind.OPENED]
    assert world.kinds(Tag.PAGE) == [Kind.OPENED]


def test_heals_that_take_longer_than_the_window_still_back_off() -> None:
    world = episode(heal_window=60.0, heal_outcome=None, heal_budget=2, backoff_first=1.0, backoff_max=5.0)
    world.wipe()
    for _ in range(3000):
        world.tick()
        heal = world.state.heal
        if heal is not None and world.state.lived - heal.started_lived >= 65 and world._heal is None:
            world._heal = HealSeen(heal.id, HealOutcome.FAILED, "too slow")
    assert len(world.heals_started) > 5
    assert all(after - before >= 66 for before, after in pairwise(world.heals_started))


def test_rows_that_a_failed_heal_had_put_back_and_that_are_lost_again_are_told() -> None:
    world = episode(heal_outcome=HealOutcome.DEADLINE, ingests_after=False)
    world.wipe()
    world.until(Phase.HEALING)
    world.restore()
    world.run(5)
    world.wipe()
    world.run(3)
    assert Kind.WORSENED in world.kinds(Tag.PAGE)
    assert world.state.incident is not None
    assert world.state.incident.proof_since is None


def test_a_database_that_goes_away_while_verifying_is_told_and_paged() -> None:
    world = episode(ingests_after=False)
    world.wipe()
    world.until(Phase.VERIFYING)
    world.database = DatabaseSeen(unseen=Unseen.UNREACHABLE, detail="connection refused")
    world.run(90)
    assert world.state.phase is Phase.VERIFYING
    assert world.kinds()[-2:] == [Kind.WORSENED, Kind.OPENED]
    assert world.kinds(Tag.PAGE) == [Kind.OPENED]


def test_a_blind_run_of_ingestion_while_verifying_is_awaited_and_not_told() -> None:
    world = episode(ingests_after=False)
    world.wipe()
    world.until(Phase.VERIFYING)
    world.stations_seen = 0
    world.run(90)
    assert world.kinds() == [Kind.OPENED, Kind.RESTORED]
