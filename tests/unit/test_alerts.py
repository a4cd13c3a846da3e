"""Which alerts open and which end: each rule by cases, the invariants by whatever comes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid5

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpimonitor_api.ingest.alerts import (
    OFFLINE_AFTER,
    ONLINE_WITHIN,
    Active,
    Changes,
    Closing,
    Ended,
    Limits,
    Opening,
    Reading,
    decide,
)
from alpimonitor_api.tables import AlertLevel, AlertType, Direction, Parameter

NOW = datetime(2026, 7, 1, 12, 3, tzinfo=UTC)
MEASURED = NOW - timedelta(minutes=3)
BEFORE = NOW - timedelta(minutes=43)
MINUTE = timedelta(minutes=1)
BRIG, SION = UUID(int=1), UUID(int=2)
HIGH_WATER = Limits(vigilance=200.0, alert=400.0, direction=Direction.ABOVE)
LOW_WATER = Limits(vigilance=20.0, alert=10.0, direction=Direction.BELOW)


def reading(
    value: float | None = 45.0, at: datetime | None = MEASURED, limits: Limits | None = HIGH_WATER
) -> Reading:
    return Reading(BRIG, Parameter.DISCHARGE, value, at, limits)


def river(level: AlertLevel, opened_at: datetime = BEFORE) -> Active:
    return Active(
        UUID(int=9), BRIG, AlertType.THRESHOLD_EXCEEDED, level, Parameter.DISCHARGE, opened_at=opened_at
    )


def silence(opened_at: datetime = BEFORE) -> Active:
    return Active(UUID(int=8), BRIG, AlertType.STATION_OFFLINE, AlertLevel.INFO, None, opened_at)


def opening(level: AlertLevel, value: float, limit: float, opened_at: datetime = MEASURED) -> Opening:
    kind = AlertType.THRESHOLD_EXCEEDED
    return Opening(BRIG, kind, level, Parameter.DISCHARGE, value, limit, opened_at)


def closing(reason: Ended, closed_at: datetime = MEASURED, row: int = 9) -> Closing:
    return Closing(UUID(int=row), closed_at, reason)


VIGILANCE, ALERT = AlertLevel.VIGILANCE, AlertLevel.ALERT
BACK, CHANGED = Ended.BACK_TO_NORMAL, Ended.LEVEL_CHANGED


@pytest.mark.parametrize(
    ("limits", "was", "value", "level"),
    [
        (HIGH_WATER, None, 199.9, None),
        (HIGH_WATER, None, 200.0, VIGILANCE),  # reaching it counts
        (HIGH_WATER, None, 399.9, VIGILANCE),
        (HIGH_WATER, None, 400.0, ALERT),  # without a stop at VIGILANCE
        (HIGH_WATER, VIGILANCE, 190.0, VIGILANCE),  # 5 % below the limit is not yet back
        (HIGH_WATER, VIGILANCE, 189.9, None),
        (HIGH_WATER, VIGILANCE, 400.0, ALERT),
        (HIGH_WATER, ALERT, 380.0, ALERT),
        (HIGH_WATER, ALERT, 379.9, VIGILANCE),
        (HIGH_WATER, ALERT, 190.0, VIGILANCE),
        (HIGH_WATER, ALERT, 189.9, None),
        (LOW_WATER, None, 20.1, None),
        (LOW_WATER, None, 20.0, VIGILANCE),
        (LOW_WATER, None, 10.0, ALERT),
        (LOW_WATER, VIGILANCE, 21.0, VIGILANCE),
        (LOW_WATER, VIGILANCE, 21.1, None),
        (LOW_WATER, VIGILANCE, 10.0, ALERT),
        (LOW_WATER, ALERT, 10.5, ALERT),
        (LOW_WATER, ALERT, 10.6, VIGILANCE),
        (LOW_WATER, ALERT, 21.1, None),
    ],
)
def test_a_level_begins_at_its_limit_and_ends_five_per_cent_on_the_other_side(
    limits: Limits, was: AlertLevel | None, value: float, level: AlertLevel | None
) -> None:
    active = [river(was)] if was is not None else []
    changes = decide(active, [reading(value, limits=limits)], NOW)
    limit = limits.alert if level is ALERT else limits.vigilance
    assert changes.opens == (() if level in (None, was) else (opening(level, value, limit),))
    reason = BACK if level is None else CHANGED
    assert changes.closes == (() if was in (None, level) else (closing(reason),))


def test_a_river_at_its_limit_does_not_flap() -> None:
    seen = []
    active: list[Active] = []
    for step, value in enumerate([199.0, 200.0, 199.0, 201.0, 195.0, 200.0, 191.0, 189.0, 195.0, 199.9]):
        now = NOW + step * 10 * MINUTE
        changes = decide(active, [reading(value, now - MINUTE)], now)
        active = applied(active, changes)
        seen.append(bool(active))
    assert seen == [False, True, True, True, True, True, True, False, False, False]


@pytest.mark.parametrize(
    ("age", "opens"), [(OFFLINE_AFTER, 1), (OFFLINE_AFTER + timedelta(microseconds=1), 0)]
)
def test_a_value_that_is_older_than_an_hour_opens_nothing(age: timedelta, opens: int) -> None:
    changes = decide([silence()], [reading(500.0, NOW - age)], NOW)
    assert len(changes.opens) == opens


def test_an_old_value_changes_no_level_and_may_end_one() -> None:
    old = NOW - timedelta(hours=2)
    early = NOW - timedelta(hours=3)
    assert decide([river(VIGILANCE, early), silence()], [reading(500.0, old)], NOW) == Changes()
    assert decide([river(ALERT, early), silence()], [reading(250.0, old)], NOW) == Changes()
    assert decide([river(ALERT, early), silence()], [reading(45.0, old)], NOW).closes == (closing(BACK, old),)


def test_tuned_limits_hold_for_the_measurement_that_is_there() -> None:
    """It began with that measurement, so it ends when it is known to have ended: now."""
    row = river(VIGILANCE, MEASURED)
    tuned = replace(HIGH_WATER, vigilance=300.0)
    assert decide([row], [reading(250.0, limits=tuned)], NOW) == Changes((closing(BACK, NOW),))
    lower = replace(HIGH_WATER, alert=240.0)
    assert decide([row], [reading(250.0, limits=lower)], NOW) == Changes(
        (closing(CHANGED, NOW),), (opening(ALERT, 250.0, 240.0, NOW),)
    )


@pytest.mark.parametrize("readings", [[], [reading(500.0, limits=None)]])
def test_what_is_no_longer_watched_ends_now(readings: list[Reading]) -> None:
    """Its station or sensor was deactivated, or its threshold is gone."""
    assert decide([river(ALERT)], readings, NOW) == Changes((closing(Ended.NOT_WATCHED, NOW),))


@pytest.mark.parametrize(
    ("age", "row", "opens", "closes"),
    [
        (timedelta(), None, 0, 0),
        (OFFLINE_AFTER, None, 0, 0),
        (OFFLINE_AFTER + MINUTE, None, 1, 0),
        (None, None, 1, 0),  # it has sensors, and none of them ever measured
        (None, silence(), 0, 0),
        (OFFLINE_AFTER + MINUTE, silence(), 0, 0),
        (ONLINE_WITHIN, silence(), 0, 0),
        (ONLINE_WITHIN - MINUTE, silence(), 0, 1),
    ],
)
def test_a_station_is_offline_after_an_hour_and_back_with_a_measurement_of_the_last_half_hour(
    age: timedelta | None, row: Active | None, opens: int, closes: int
) -> None:
    measured = NOW - age if age is not None else None
    found = reading(45.0 if age is not None else None, measured, limits=None)
    changes = decide([row] if row is not None else [], [found], NOW)
    kind = AlertType.STATION_OFFLINE
    assert changes.opens == (Opening(BRIG, kind, AlertLevel.INFO, None, None, None, NOW),) * opens
    assert changes.closes == (closing(Ended.HEARD_AGAIN, NOW - (age or timedelta()), row=8),) * closes


def test_a_station_is_heard_by_any_of_its_sensors() -> None:
    level = Reading(BRIG, Parameter.WATER_LEVEL, 665.9, MEASURED, None)
    silent = reading(None, None)
    assert decide([], [silent, level], NOW) == decide([], [level, silent], NOW) == Changes()


def test_alerts_of_other_types_are_left_alone() -> None:
    anomaly = replace(river(VIGILANCE), type=AlertType.STATISTICAL_ANOMALY)
    assert decide([anomaly], [], NOW) == Changes()


def applied(active: list[Active], changes: Changes) -> list[Active]:
    """The active rows once the changes are written."""
    ended = {closing.id for closing in changes.closes}
    return [row for row in active if row.id not in ended] + [
        Active(
            uuid5(opens.station_id, f"{opens.type} {opens.level} {opens.parameter} {opens.opened_at}"),
            opens.station_id,
            opens.type,
            opens.level,
            opens.parameter,
            opens.opened_at,
        )
        for opens in changes.opens
    ]


# Moments around those that count, and values around the limits.
moments = st.sampled_from(
    [
        NOW + sign * (base + off)
        for sign in (-1, 1)
        for base in (timedelta(), ONLINE_WITHIN, OFFLINE_AFTER, timedelta(days=365))
        for off in (timedelta(), timedelta(microseconds=1))
    ]
)
limits = st.none() | st.sampled_from([HIGH_WATER, LOW_WATER, Limits(98.0, 100.0, Direction.ABOVE)])
values = st.sampled_from(
    [0.0, -1.0, 9.9, 10.0, 10.5, 20.0, 21.1, 94.9, 96.0, 190.0, 200.0, 380.0, 400.0, 9e4]
)
measured = st.none() | st.tuples(values, moments)


@st.composite
def sensors(draw: st.DrawFn) -> list[Reading]:
    keys = draw(
        st.lists(
            st.tuples(st.sampled_from([BRIG, SION]), st.sampled_from(list(Parameter))),
            unique=True,
            max_size=4,
        )
    )
    return [Reading(*key, *(draw(measured) or (None, None)), draw(limits)) for key in keys]


@st.composite
def rows(draw: st.DrawFn) -> list[Active]:
    """Whatever may be open, hand-made rows included, as the unique index allows."""
    kinds = st.tuples(
        st.sampled_from([BRIG, SION]),
        st.sampled_from(list(AlertType)),
        st.none() | st.sampled_from(list(Parameter)),
    )
    return [
        Active(
            UUID(int=number), station, kind, draw(st.sampled_from(list(AlertLevel))), parameter, draw(moments)
        )
        for number, (station, kind, parameter) in enumerate(draw(st.lists(kinds, unique=True, max_size=5)))
    ]


@settings(database=None, deadline=None, derandomize=True, max_examples=200)
@given(rows(), sensors())
def test_the_invariants_hold_whatever_is_there(active: list[Active], readings: list[Reading]) -> None:
    changes = decide(active, readings, NOW)
    opened_at = {row.id: row.opened_at for row in active}
    afterwards = applied(active, changes)
    keys = [(row.station_id, row.type, row.parameter) for row in afterwards]
    assert len(keys) == len(set(keys))
    newest = {(found.station_id, found.parameter): found.recorded_at for found in readings}
    for opens in changes.opens:
        assert opens.opened_at <= NOW
        if opens.type is AlertType.THRESHOLD_EXCEEDED:
            assert opens.parameter is not None
            at = newest[opens.station_id, opens.parameter]
            assert at is not None
            assert at >= NOW - OFFLINE_AFTER
            assert opens.trigger_value is not None
            assert opens.threshold_value is not None
    assert len({closes.id for closes in changes.closes}) == len(changes.closes)
    for closes in changes.closes:
        assert closes.closed_at >= opened_at[closes.id]
        assert closes.closed_at <= max(NOW, opened_at[closes.id])
    assert decide(afterwards, readings, NOW) == Changes()
    types = {row.id: row.type for row in active}
    assert AlertType.STATISTICAL_ANOMALY not in {types[closes.id] for closes in changes.closes}
