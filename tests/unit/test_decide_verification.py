"""After the rows are back: ingestion has to confirm it, and the context may be lost again."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from alpimonitor_watchdog.core.model import Notify
from alpimonitor_watchdog.core.seen import DatabaseSeen
from alpimonitor_watchdog.core.words import HealOutcome, Kind, Phase, Reason, Symptom, Unseen
from tests.unit.episodes import BOTH, EXPECTED, HERE, NOTIFY, START, Episode, last, wiped


def healing(**changes: Any) -> Episode:
    """A heal has just been started; how it ends is seen at the next tick."""
    return wiped(**changes).until(Phase.HEALING)


# ---- ingestion has to confirm it --------------------------------------------------------------------------


def verifying(**changes: Any) -> Episode:
    return wiped(ingests_after=False, **changes).until(Phase.VERIFYING)


@pytest.mark.parametrize(
    ("began", "stations", "proven"),
    [
        pytest.param(0.0, 4, True, id="a run that began as the heal ended"),
        pytest.param(-0.1, 4, False, id="a run that began before"),
        pytest.param(0.0, 3, False, id="a run that missed a station"),
        pytest.param(0.0, 5, True, id="a run that saw more"),
        pytest.param(None, 4, False, id="a run without a beginning"),
    ],
)
def test_a_run_of_ingestion_proves_it_when_it_began_after_the_heal_and_saw_every_station(
    began: float | None, stations: int, proven: bool
) -> None:
    world = verifying()
    since = world.incident.proof_since
    assert since is not None
    world.stations_seen = stations
    world.ingestion_started = None if began is None else since + timedelta(seconds=began)
    world.tick()
    assert world.state.phase is (Phase.RESOLVED if proven else Phase.VERIFYING)
    if proven:
        assert last(world) == Notify(Kind.RESOLVED, NOTIFY, Reason.INGESTION_COMPLETE)


def test_a_run_that_was_known_before_the_loss_proves_nothing_whatever_its_clock_says() -> None:
    ahead = START + timedelta(hours=1)
    world = verifying(ingestion_started=ahead)
    world.run(5)
    assert world.state.phase is Phase.VERIFYING
    world.ingestion_started = ahead + timedelta(seconds=1)
    world.tick()
    assert world.state.phase is Phase.RESOLVED


def test_a_run_proves_nothing_while_something_else_is_wrong() -> None:
    world = verifying()
    world.ingestion_started = world.at
    world.health_ok = False
    world.run(5)
    assert world.state.phase is Phase.VERIFYING
    world.health_ok = True
    world.tick()
    assert world.state.phase is Phase.RESOLVED


def test_a_run_proves_nothing_while_the_rows_are_out_of_sight() -> None:
    world = verifying()
    world.ingestion_started = world.at
    world.wipe(station=Unseen.LOCKED)
    world.run(5)
    assert world.state.phase is Phase.VERIFYING


def test_without_ingestion_two_clear_probes_prove_it() -> None:
    world = verifying(expected=replace(EXPECTED, stations=None))
    assert world.state.phase is Phase.VERIFYING
    world.tick()
    assert last(world) == Notify(Kind.RESOLVED, NOTIFY, Reason.SYMPTOMS_CLEARED)


def test_without_ingestion_a_failed_heal_that_put_the_rows_back_ends_with_two_clear_probes() -> None:
    world = healing(heal_outcome=HealOutcome.FAILED, expected=replace(EXPECTED, stations=None))
    world.restore()
    world.tick()
    assert world.state.phase is Phase.OPEN
    world.tick()
    assert world.path()[-1] == (Phase.RESOLVED, Reason.SYMPTOMS_CLEARED)


def test_the_run_that_the_last_look_outside_does_not_name_is_no_proof() -> None:
    world = verifying()
    world.looks_outside = False
    world.run(5)
    assert world.state.phase is Phase.VERIFYING


def test_ingestion_is_given_its_interval_and_a_grace_to_the_second() -> None:
    world = verifying(verify_grace=120.0)
    world.tick(elapsed=719.0)
    assert world.state.phase is Phase.VERIFYING
    decision = world.tick()
    assert decision.state.phase is Phase.ESCALATED
    assert decision.effects == (Notify(Kind.ESCALATED, BOTH, Reason.VERIFICATION_LATE),)


# ---- the context is lost again ----------------------------------------------------------------------------


def test_a_single_empty_probe_while_verifying_neither_reopens_nor_ends_it() -> None:
    world = verifying()
    world.wipe()
    world.ingestion_started = world.at
    world.tick(elapsed=800.0)
    assert world.state.phase is Phase.VERIFYING
    assert world.told[-1].kind is Kind.RESTORED


def test_what_is_lost_again_while_verifying_begins_anew_within_the_incident() -> None:
    world = verifying()
    first = world.incident
    world.ingestion_started = world.at - timedelta(minutes=1)
    world.wipe(sensor=3)
    world.run(2)
    again = world.incident
    assert world.decisions[-1].transitions[0].detail == "fewer rows than there have to be: sensor"
    assert again.id == first.id
    assert [(loss.table, loss.rows) for loss in again.losses] == [("sensor", 3)]
    assert (again.restored_at, again.restored_lived, again.proof_since) == (None, None, None)
    assert again.known_run == world.ingestion_started
    assert again.repeated
    assert again.pages
    worse = [notify for notify in world.told if notify.kind is Kind.WORSENED]
    assert worse == [
        Notify(Kind.WORSENED, BOTH, Reason.LOST_AGAIN, "fewer rows than there have to be: sensor")
    ]
    assert world.state.planned_for == again.losses
    assert world.state.planning


def test_a_refusal_is_told_anew_when_the_context_is_lost_again() -> None:
    world = wiped(ingests_after=False)
    healthy = world.database
    world.database = DatabaseSeen(revision="0001", identity=HERE, read_only=True)
    world.run(20)
    world.database = healthy
    world.until(Phase.VERIFYING)
    world.database = DatabaseSeen(revision="0001", identity=HERE, read_only=True)
    world.wipe()
    world.run(20)
    assert world.kinds().count(Kind.HEAL_REFUSED) == 2


def test_a_loss_long_after_an_unconfirmed_heal_is_told_though_the_heal_is_forgotten() -> None:
    world = verifying(heal_window=900.0)
    world.until(Phase.ESCALATED, within=800)
    world.tick(elapsed=900.0)
    assert world.state.heals == ()
    world.wipe()
    world.run(2)
    assert last(world).reason is Reason.LOST_AGAIN
    world.run(20)
    assert len(world.heals_started) == 2


def test_a_wipe_inside_an_incident_that_wakes_nobody_wakes_people() -> None:
    world = wiped(straggler_after=1.0)
    world.until(Phase.RESOLVED)
    world.stations_seen = 3
    world.until(Phase.OPEN)
    assert not world.incident.pages
    world.wipe()
    world.run(2)
    assert world.incident.pages
    assert Symptom.CONTEXT_EMPTY in world.incident.symptoms
