"""A process that goes on where another ended: what it takes over, and what it has to see for itself."""

from __future__ import annotations

from dataclasses import replace

from alpimonitor_watchdog.core.model import State, Streak
from alpimonitor_watchdog.core.passing import resumed
from alpimonitor_watchdog.core.seen import Loss, PlanSeen
from alpimonitor_watchdog.core.words import Phase, Symptom
from tests.unit.episodes import START, wiped

EMPTY = Streak(Symptom.CONTEXT_EMPTY, START, probes=4, lasted=5.0)
BLIND = Streak(Symptom.INGESTION_BLIND, START, probes=4, lasted=5.0)


def test_it_keeps_the_time_of_a_loss_and_counts_its_looks_anew() -> None:
    assert resumed(State(streaks=(EMPTY, BLIND))).streaks == (replace(EMPTY, probes=0), BLIND)


def test_it_forgets_what_the_old_process_had_begun() -> None:
    left = State(
        lived=9.0,
        clear_probes=1,
        clear_lasted=1.0,
        plan=PlanSeen(),
        planning=True,
        losses=(Loss("station", 0, 7),),
    )
    assert resumed(left) == State(lived=9.0)


def test_a_loss_is_proven_by_looks_of_its_own() -> None:
    world = wiped(confirm_for=1.0, confirm_probes=3, quiet_for=0.0).run(2)
    world.restart()
    assert world.run(2).heals_started == []
    assert world.tick().state.phase is Phase.HEALING


def test_an_incident_is_clear_by_looks_of_its_own() -> None:
    world = wiped(clear_for=0.0).run(2)
    world.restore()
    assert world.tick().state.clear_probes == 1
    world.restart()
    assert world.tick().state.phase is Phase.OPEN
    assert world.tick().state.phase is Phase.RESOLVED
