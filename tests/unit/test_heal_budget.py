"""How often the sidecar heals: the budget, the back-off, the circuit."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from alpimonitor_watchdog.core.brakes import Circuit
from alpimonitor_watchdog.core.guards import Case, circuit_trips, heals_spent, in_budget, seconds_to_heal
from alpimonitor_watchdog.core.model import HealRecord, Policy, State
from alpimonitor_watchdog.core.seen import DatabaseSeen, Expectation, Findings, Observation
from alpimonitor_watchdog.core.words import Reason

NOW = datetime(2026, 4, 21, 12, 0, tzinfo=UTC)
LIVED = 10_000.0
WINDOW = 3600.0
POLICY = Policy(
    heal_budget=2,
    heal_window=WINDOW,
    backoff_first=10.0,
    backoff_max=300.0,
    circuit_after_failures=3,
    circuit_after_wipes=3,
)


def ago(seconds: float, *, succeeded: bool = True, undone: bool = False, took: float = 0.0) -> HealRecord:
    """A heal that began so many seconds ago."""
    return HealRecord(LIVED - seconds, LIVED - seconds + took, succeeded, undone)


def recorded(*seconds: float) -> tuple[float, ...]:
    """Heals that the database recorded, so many seconds ago."""
    return tuple(LIVED - ago for ago in seconds)


def opened(seconds: float, **changes: Any) -> Circuit:
    """A circuit that opened so many seconds ago."""
    return replace(Circuit(LIVED - seconds), **changes)


def having(
    *,
    heals: tuple[HealRecord, ...] = (),
    series: int = 0,
    recordable: bool = True,
    circuit: Circuit | None = None,
    asked: bool = False,
    ledger: tuple[float, ...] = (),
) -> Case:
    """A loss after these heals; `ledger` in seconds ago; `asked`: an operator wants it healed now."""
    looked = Observation(NOW, 1.0, DatabaseSeen(), recordable=recordable)
    state = State(
        lived=LIVED,
        heals=heals,
        series=series,
        circuit=circuit,
        asked_lived=LIVED if asked else None,
        ledger=recorded(*ledger),
    )
    return Case(state, looked, Findings(), Expectation(()), POLICY)


@pytest.mark.parametrize(
    ("looked_at", "reason"),
    [
        pytest.param(having(), None, id="no heal yet"),
        pytest.param(having(recordable=False), Reason.NOT_RECORDABLE, id="a heal could not be recorded"),
        pytest.param(having(heals=(ago(60),)), None, id="one heal less than the budget"),
        pytest.param(having(heals=(ago(60), ago(0))), Reason.BUDGET_SPENT, id="the budget is spent"),
        pytest.param(
            having(heals=(ago(WINDOW - 1), ago(60))), Reason.BUDGET_SPENT, id="a heal just inside the window"
        ),
        pytest.param(having(heals=(ago(WINDOW), ago(60))), None, id="a heal that has just left the window"),
        pytest.param(
            having(circuit=opened(1799)), Reason.CIRCUIT_OPEN, id="the circuit is open, just not long enough"
        ),
        pytest.param(having(circuit=opened(1800)), None, id="long enough for a trial"),
        pytest.param(
            having(circuit=opened(1800, tried=True)), Reason.CIRCUIT_OPEN, id="its trial is not over"
        ),
        pytest.param(having(circuit=opened(3599, times=2)), Reason.CIRCUIT_OPEN, id="twice as long"),
        pytest.param(having(circuit=opened(3600, times=2)), None, id="after the second time"),
        pytest.param(having(circuit=opened(7199, times=3)), Reason.CIRCUIT_OPEN, id="four times as long"),
        pytest.param(having(circuit=opened(0, trial_now=True)), None, id="an operator lets it try"),
        pytest.param(
            having(circuit=opened(0, trial_now=True, tried=True)),
            Reason.CIRCUIT_OPEN,
            id="an operator let it try, and it has",
        ),
        pytest.param(having(circuit=opened(0), asked=True), None, id="an operator asks for the heal"),
        pytest.param(
            having(circuit=opened(0, tried=True), asked=True),
            Reason.CIRCUIT_OPEN,
            id="asked for, but its trial is not over",
        ),
        pytest.param(
            having(circuit=opened(0), heals=(ago(60), ago(0))),
            Reason.CIRCUIT_OPEN,
            id="the circuit explains more than the budget",
        ),
        pytest.param(
            having(circuit=opened(1800), heals=(ago(60), ago(50))),
            Reason.BUDGET_SPENT,
            id="a trial needs budget, too",
        ),
        pytest.param(
            having(heals=(ago(9, succeeded=False),), series=1, asked=True), None, id="asked for, too soon"
        ),
        pytest.param(
            having(heals=(ago(60), ago(50)), asked=True),
            Reason.BUDGET_SPENT,
            id="asked for, but the budget is spent",
        ),
        pytest.param(having(ledger=(60, 50)), Reason.BUDGET_SPENT, id="others have spent the budget"),
        pytest.param(having(ledger=(WINDOW, 50)), None, id="of others one has just left the window"),
        pytest.param(
            having(ledger=(60, 50), heals=(ago(60),), series=1),
            Reason.BUDGET_SPENT,
            id="ours is one of those that were recorded",
        ),
        pytest.param(
            having(heals=(ago(9, succeeded=False),), series=1), Reason.BACKING_OFF, id="too soon after a heal"
        ),
        pytest.param(
            having(heals=(ago(10, succeeded=False),), series=1), None, id="late enough after a heal"
        ),
        pytest.param(
            having(heals=(ago(20), ago(5)), series=2),
            Reason.BUDGET_SPENT,
            id="the budget outlasts the back-off",
        ),
    ],
)
def test_heals_are_kept_in_budget(looked_at: Case, reason: Reason | None) -> None:
    assert in_budget(looked_at) is reason


FAILED = ago(100, succeeded=False)
STANDS = ago(100)
WIPED = ago(100, undone=True)


@pytest.mark.parametrize(
    ("heals", "is_open"),
    [
        pytest.param((), False, id="no heal"),
        pytest.param((FAILED, FAILED), False, id="two failed in a row"),
        pytest.param((FAILED, FAILED, FAILED), True, id="three failed in a row"),
        pytest.param((FAILED, FAILED, STANDS, FAILED), False, id="a success in between"),
        pytest.param((FAILED, FAILED, FAILED, STANDS), False, id="a success afterwards"),
        pytest.param((STANDS, FAILED, FAILED, FAILED), True, id="a success before"),
        pytest.param((STANDS, STANDS, STANDS, STANDS), False, id="heals that stand"),
        pytest.param((WIPED, WIPED, STANDS), False, id="two were undone"),
        pytest.param((WIPED, WIPED, WIPED), True, id="three were undone"),
        pytest.param((WIPED, FAILED, WIPED, FAILED, WIPED, STANDS), True, id="three of many were undone"),
    ],
)
def test_the_circuit_trips_after_wipes_or_failures_in_a_row(
    heals: tuple[HealRecord, ...], is_open: bool
) -> None:
    assert circuit_trips(State(lived=LIVED, heals=heals), POLICY) is is_open


@pytest.mark.parametrize(
    ("closed", "trips"), [(100.0, True), (99.9, False), (0.0, False)], ids=["before", "since", "long since"]
)
def test_heals_before_the_circuit_was_closed_no_longer_count(closed: float, trips: bool) -> None:
    for heals in ((WIPED, WIPED, WIPED), (FAILED, FAILED, FAILED)):
        state = State(lived=LIVED, heals=heals, circuit_since=LIVED - closed)
        assert circuit_trips(state, POLICY) is trips


@pytest.mark.parametrize(
    ("series", "seconds"),
    [(0, 0.0), (1, 10.0), (2, 20.0), (3, 40.0), (5, 160.0), (6, 300.0), (60, 300.0)],
)
def test_the_back_off_doubles_with_each_heal_up_to_its_maximum(series: int, seconds: float) -> None:
    assert seconds_to_heal(State(lived=LIVED, heals=(ago(0),), series=series), POLICY) == seconds


@pytest.mark.parametrize(
    ("heals", "seconds"),
    [
        pytest.param((), 0.0, id="no heal in the window"),
        pytest.param((ago(15, took=15),), 20.0, id="from its end, not its beginning"),
        pytest.param((ago(19),), 1.0, id="a second is left"),
        pytest.param((ago(20),), 0.0, id="it has just passed"),
        pytest.param((ago(100),), 0.0, id="it has long passed"),
        pytest.param((ago(100), ago(5)), 15.0, id="the last heal counts"),
    ],
)
def test_the_back_off_begins_where_the_last_heal_ended(heals: tuple[HealRecord, ...], seconds: float) -> None:
    assert seconds_to_heal(State(lived=LIVED, heals=heals, series=2), POLICY) == seconds


@pytest.mark.parametrize(
    ("heals", "series", "ledger", "seconds"),
    [
        pytest.param((), 0, (5,), 5.0, id="another began one"),
        pytest.param((), 0, (10,), 0.0, id="long enough ago"),
        pytest.param((), 0, (30, 5), 15.0, id="two by others double it"),
        pytest.param((), 0, (599, 5), 15.0, id="just recent enough"),
        pytest.param((), 0, (600, 5), 5.0, id="just too old"),
        pytest.param((ago(500),), 1, (500, 30, 5), 35.0, id="others after ours"),
        pytest.param((ago(5, took=3),), 1, (5,), 8.0, id="ours, from its end"),
        pytest.param((ago(5),), 3, (5,), 35.0, id="our own series is longer"),
    ],
)
def test_the_back_off_counts_the_heals_of_every_sidecar(
    heals: tuple[HealRecord, ...], series: int, ledger: tuple[float, ...], seconds: float
) -> None:
    state = State(lived=LIVED, heals=heals, series=series, ledger=recorded(*ledger))
    assert seconds_to_heal(state, POLICY) == seconds


@pytest.mark.parametrize(
    ("heals", "ledger", "spent"),
    [
        pytest.param((), (), 0, id="none"),
        pytest.param((ago(60),), (), 1, id="ours"),
        pytest.param((), (60, 50), 2, id="those that the database recorded"),
        pytest.param((ago(60),), (60, 50), 2, id="ours among them"),
        pytest.param((ago(60), ago(50)), (60,), 2, id="a record that was lost"),
        pytest.param((ago(WINDOW), ago(WINDOW - 1)), (), 1, id="one has left the window"),
        pytest.param((), (WINDOW, WINDOW - 1), 1, id="one that was recorded has"),
    ],
)
def test_heals_are_counted_here_and_in_the_database(
    heals: tuple[HealRecord, ...], ledger: tuple[float, ...], spent: int
) -> None:
    assert heals_spent(State(lived=LIVED, heals=heals, ledger=recorded(*ledger)), POLICY) == spent
