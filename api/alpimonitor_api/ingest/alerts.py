"""Which alerts open and which end, by the newest measurement of each sensor. Pure.

THRESHOLD_EXCEEDED follows a river: it opens when the newest value reaches a limit and ends only when the
value is BACK_BY of that limit on the other side, so that a river at its limit does not flap. STATION_OFFLINE
follows the station: it opens after an hour without a measurement and ends with one that is less than half an
hour old.

Invariants of decide(), whatever it is given:
- at most one row of a station, type and parameter is active afterwards;
- nothing opens by a measurement that is older than OFFLINE_AFTER: a stale payload tells of the past;
- opened_at is never later than `now`; closed_at is never earlier than the row's opened_at, nor later than
  `now` unless opened_at is, by a clock that was set back;
- decided again for the same measurements, after it was applied, nothing changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from uuid import UUID

from alpimonitor_api.tables import AlertLevel, AlertType, Direction, Parameter

OFFLINE_AFTER = timedelta(minutes=60)
"""As a measurement's status says: an older one tells nothing of now."""

ONLINE_WITHIN = timedelta(minutes=30)
BACK_BY = 0.05
"""Of the limit: how far on the other side of it a value has to be before an alert ends."""


@dataclass(frozen=True)
class Limits:
    """A threshold, in the sensor's unit."""

    vigilance: float
    alert: float
    direction: Direction


@dataclass(frozen=True)
class Reading:
    """An active sensor of an active LIVE station, with its newest measurement and its threshold, if any."""

    station_id: UUID
    parameter: Parameter
    value: float | None
    recorded_at: datetime | None
    limits: Limits | None


@dataclass(frozen=True)
class Active:
    """A row of `alert` that is not closed."""

    id: UUID
    station_id: UUID
    type: AlertType
    level: AlertLevel
    parameter: Parameter | None
    opened_at: datetime


@dataclass(frozen=True)
class Opening:
    """A row to insert, by its column names."""

    station_id: UUID
    type: AlertType
    level: AlertLevel
    parameter: Parameter | None
    trigger_value: float | None
    threshold_value: float | None
    opened_at: datetime


class Ended(Enum):
    BACK_TO_NORMAL = "back_to_normal"
    LEVEL_CHANGED = "level_changed"  # another row of the same kind opens at the same instant
    HEARD_AGAIN = "heard_again"  # the station measures again
    NOT_WATCHED = "not_watched"  # the station or its sensor was deactivated, or its threshold is gone


@dataclass(frozen=True)
class Closing:
    id: UUID
    closed_at: datetime
    reason: Ended


@dataclass(frozen=True)
class Changes:
    """`closes` comes first: what opens may take the place of what ends."""

    closes: tuple[Closing, ...] = ()
    opens: tuple[Opening, ...] = ()


Key = tuple[UUID, AlertType, Parameter | None]


def decide(active: Sequence[Active], readings: Sequence[Reading], now: datetime) -> Changes:
    """What has to change. `readings` has every watched sensor once; other types of alert are left alone."""
    ours: dict[Key, Active] = {
        (row.station_id, row.type, row.parameter): row
        for row in active
        if row.type in (AlertType.THRESHOLD_EXCEEDED, AlertType.STATION_OFFLINE)
    }
    closes: list[Closing] = []
    opens: list[Opening] = []
    for reading in readings:
        if reading.limits is not None:
            river = (reading.station_id, AlertType.THRESHOLD_EXCEEDED, reading.parameter)
            _follow_river(reading, reading.limits, ours.pop(river, None), now, closes, opens)
    for station_id, newest in _newest(readings).items():
        station = (station_id, AlertType.STATION_OFFLINE, None)
        _follow_station(station_id, newest, ours.pop(station, None), now, closes, opens)
    closes += [Closing(row.id, _end(row, None, now), Ended.NOT_WATCHED) for row in ours.values()]
    return Changes(tuple(closes), tuple(opens))


def _follow_river(
    reading: Reading,
    limits: Limits,
    row: Active | None,
    now: datetime,
    closes: list[Closing],
    opens: list[Opening],
) -> None:
    if reading.value is None or reading.recorded_at is None:
        return
    was = row.level if row is not None else None
    level = _level(reading.value, limits, was)
    if level is was or (level is not None and reading.recorded_at < now - OFFLINE_AFTER):
        return
    since = min(reading.recorded_at, now)
    if row is not None:
        since = _end(row, reading.recorded_at, now)
        reason = Ended.BACK_TO_NORMAL if level is None else Ended.LEVEL_CHANGED
        closes.append(Closing(row.id, since, reason))
    if level is not None:
        limit = limits.alert if level is AlertLevel.ALERT else limits.vigilance
        kind = AlertType.THRESHOLD_EXCEEDED
        opens.append(
            Opening(reading.station_id, kind, level, reading.parameter, reading.value, limit, min(since, now))
        )


def _follow_station(
    station_id: UUID,
    newest: datetime | None,
    row: Active | None,
    now: datetime,
    closes: list[Closing],
    opens: list[Opening],
) -> None:
    """A station whose sensors never measured anything is as silent as one that stopped."""
    if row is None and (newest is None or newest < now - OFFLINE_AFTER):
        kind, level = AlertType.STATION_OFFLINE, AlertLevel.INFO
        opens.append(Opening(station_id, kind, level, None, None, None, now))
    if row is not None and newest is not None and newest > now - ONLINE_WITHIN:
        closes.append(Closing(row.id, _end(row, newest, now), Ended.HEARD_AGAIN))


def _level(value: float, limits: Limits, was: AlertLevel | None) -> AlertLevel | None:
    """The level of a value: a limit counts when it is reached, and one that was reached until left behind."""
    above = limits.direction is Direction.ABOVE

    def counts(limit: float, already: bool) -> bool:
        if already:
            limit *= 1 - BACK_BY if above else 1 + BACK_BY
        return value >= limit if above else value <= limit

    if counts(limits.alert, was is AlertLevel.ALERT):
        return AlertLevel.ALERT
    if counts(limits.vigilance, was in (AlertLevel.VIGILANCE, AlertLevel.ALERT)):
        return AlertLevel.VIGILANCE
    return None


def _newest(readings: Sequence[Reading]) -> dict[UUID, datetime | None]:
    """When each watched station was last heard of, by whichever of its sensors."""
    newest: dict[UUID, datetime | None] = {}
    for reading in readings:
        known = newest.setdefault(reading.station_id, None)
        if reading.recorded_at is not None and (known is None or reading.recorded_at > known):
            newest[reading.station_id] = reading.recorded_at
    return newest


def _end(row: Active, measured: datetime | None, now: datetime) -> datetime:
    """When a row ends: with the measurement that came after its beginning, else now."""
    if measured is not None and row.opened_at < measured <= now:
        return measured
    return max(row.opened_at, now)
