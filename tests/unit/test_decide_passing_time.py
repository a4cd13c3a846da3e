"""What time does to a state: streaks grow, break or stand still, old heals drop out."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from alpimonitor_watchdog.core.model import HealRecord, Incident, Policy, State, Streak
from alpimonitor_watchdog.core.passing import advance
from alpimonitor_watchdog.core.seen import DatabaseSeen, Finding, Findings, Loss, Observation
from alpimonitor_watchdog.core.words import CONTEXT_LOSS, Phase, Symptom
from tests.unit.episodes import EXPECTED, START

EMPTY = Finding(Symptom.CONTEXT_EMPTY, "empty")
BLIND = Finding(Symptom.INGESTION_BLIND, "blind")
OUT_OF_SIGHT = Findings(undetermined=CONTEXT_LOSS)
POLICY = Policy(heal_window=3600.0, backoff_reset_after=600.0)
LIVED = 10_000.0


def passed(state: State, findings: Findings, elapsed: float = 1.0) -> State:
    return advance(state, Observation(START, elapsed, DatabaseSeen()), findings, EXPECTED, POLICY)


def with_streak(**changes: Any) -> State:
    streak = Streak(Symptom.CONTEXT_EMPTY, START - timedelta(seconds=5), probes=4, lasted=5.0)
    return State(streaks=(replace(streak, **changes),))


def test_a_first_sighting_has_lasted_no_time() -> None:
    assert passed(State(), Findings((EMPTY,)), elapsed=60.0).streaks == (
        Streak(Symptom.CONTEXT_EMPTY, START, probes=1, lasted=0.0),
    )


def test_each_further_sighting_adds_a_probe_and_the_time_since_the_one_before() -> None:
    before = replace(with_streak(), episode=1)
    after = passed(before, Findings((EMPTY,)), elapsed=2.0)
    assert after == replace(before, streaks=with_streak(probes=5, lasted=7.0).streaks, lived=2.0)


def test_a_streak_stands_still_while_it_is_out_of_sight_and_goes_on_afterwards() -> None:
    hidden = passed(with_streak(), OUT_OF_SIGHT, elapsed=100.0)
    assert hidden.streaks == with_streak(stalled=True).streaks
    again = passed(hidden, Findings((EMPTY,)), elapsed=100.0)
    assert again.streaks == with_streak(probes=5).streaks
    assert passed(again, Findings((EMPTY,)), elapsed=3.0).streaks[0].lasted == 8.0


@pytest.mark.parametrize(
    "findings",
    [
        pytest.param(Findings(), id="it was looked at"),
        pytest.param(Findings(undetermined=frozenset({Symptom.API_UNHEALTHY})), id="another was not"),
        pytest.param(Findings((BLIND,)), id="another is wrong"),
    ],
)
def test_a_streak_breaks_where_its_symptom_is_not_seen(findings: Findings) -> None:
    after = passed(with_streak(), findings)
    assert [streak.symptom for streak in after.streaks] == [finding.symptom for finding in findings.found]


def test_a_clock_that_runs_backwards_takes_no_time_back() -> None:
    assert passed(State(lived=LIVED), Findings(), elapsed=-5.0).lived == LIVED
    assert passed(State(lived=LIVED), Findings(), elapsed=0.0).lived == LIVED


INCIDENT = Incident("one", START, 0.0, (Symptom.INGESTION_BLIND,))


@pytest.mark.parametrize(
    ("state", "findings", "clear_probes"),
    [
        pytest.param(State(clear_probes=1), Findings(), 2, id="nothing is wrong"),
        pytest.param(State(clear_probes=7), Findings((BLIND,)), 0, id="something is wrong"),
        pytest.param(State(clear_probes=7), OUT_OF_SIGHT, 8, id="out of sight what nobody suspected"),
        pytest.param(replace(with_streak(), clear_probes=7), OUT_OF_SIGHT, 0, id="suspected, out of sight"),
        pytest.param(State(clear_probes=7, incident=INCIDENT), OUT_OF_SIGHT, 8, id="of no concern to it"),
        pytest.param(
            replace(with_streak(), clear_probes=7, incident=INCIDENT),
            OUT_OF_SIGHT,
            8,
            id="in an incident its own symptoms count",
        ),
        pytest.param(
            State(clear_probes=7, incident=INCIDENT),
            Findings(undetermined=frozenset({Symptom.INGESTION_BLIND})),
            0,
            id="what it is about was out of sight",
        ),
    ],
)
def test_a_probe_is_clear_when_nothing_is_wrong_and_what_concerns_it_was_seen(
    state: State, findings: Findings, clear_probes: int
) -> None:
    assert passed(state, findings).clear_probes == clear_probes


@pytest.mark.parametrize(("age", "kept"), [(0.0, True), (3598.0, True), (3599.0, False), (9000.0, False)])
def test_a_heal_is_forgotten_a_window_after_its_end(age: float, kept: bool) -> None:
    heal = HealRecord(LIVED - age - 100.0, LIVED - age, succeeded=True)
    assert passed(State(lived=LIVED, heals=(heal,)), Findings(), elapsed=1.0).heals == (
        (heal,) if kept else ()
    )


@pytest.mark.parametrize(
    ("phase", "since", "series"),
    [
        (Phase.HEALTHY, 599.0, 3),
        (Phase.HEALTHY, 600.0, 0),
        (Phase.HEALTHY, 601.0, 0),
        (Phase.SUSPECTED, 600.0, 3),
        (Phase.RESOLVED, 600.0, 3),
    ],
)
def test_the_back_off_starts_anew_after_a_long_healthy_stretch(
    phase: Phase, since: float, series: int
) -> None:
    state = State(phase=phase, lived=LIVED, phase_lived=LIVED + 1.0 - since, series=3)
    assert passed(state, Findings()).series == series


@pytest.mark.parametrize(
    ("before", "found", "changed"),
    [
        pytest.param(0, (0,), False, id="as lost as before"),
        pytest.param(1, (0,), True, id="more"),
        pytest.param(0, (1,), True, id="less"),
    ],
)
def test_rows_that_are_still_being_lost_are_not_quiet(
    before: int, found: tuple[int, ...], changed: bool
) -> None:
    state = State(lived=LIVED, losses=(Loss("station", before, 7),), losses_lived=1.0)
    lost = Finding(Symptom.CONTEXT_EMPTY, "", tuple(Loss("station", rows, 7) for rows in found))
    after = passed(state, Findings((lost,)), elapsed=1.0)
    assert after.losses_lived == (LIVED + 1.0 if changed else 1.0)


def test_a_loss_that_comes_back_is_a_new_one_unless_it_was_only_out_of_sight() -> None:
    lost = Findings((Finding(Symptom.CONTEXT_EMPTY, "", (Loss("station", 0, 7),)),))
    state = passed(State(lived=LIVED), lost)
    assert passed(passed(state, OUT_OF_SIGHT), lost).losses_lived == LIVED + 1.0
    assert passed(passed(state, Findings()), lost).losses_lived == LIVED + 3.0
