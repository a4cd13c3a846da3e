"""How often the sidecar heals: the budget, the back-off, the circuit."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from alpimonitor_watchdog.core.guards import Case, circuit_open, in_budget, seconds_to_heal
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


def having(*, heals: tuple[HealRecord, ...] = (), series: int = 0, recordable: bool = True) -> Case:
    """A loss after these heals."""
    looked = Observation(NOW, 1.0, DatabaseSeen(), recordable=recordable)
    state = State(lived=LIVED, heals=heals, series=series)
    return Case(state, looked, Findings(), Expectation(()), POLICY)


UNDONE = tuple(ago(seconds, undone=True) for seconds in (300, 200, 100))


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
            having(heals=UNDONE), Reason.CIRCUIT_OPEN, id="the circuit explains more than the budget"
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
def test_the_circuit_opens_after_wipes_or_failures_in_a_row(
    heals: tuple[HealRecord, ...], is_open: bool
) -> None:
    assert circuit_open(State(lived=LIVED, heals=heals), POLICY) is is_open


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
