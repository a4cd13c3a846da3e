"""The history of one station: raw measurements, or their means by hour or day."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    DateTime,
    Double,
    Numeric,
    Select,
    Text,
    bindparam,
    cast,
    func,
    literal_column,
    or_,
    select,
)

from alpimonitor_api.queries.building import (
    BYTE_ORDER,
    Statement,
    compiled,
    constant,
    json_list,
    json_object,
    utc,
)
from alpimonitor_api.queries.stations import is_the_wanted_station
from alpimonitor_api.tables import measurement, sensor, station


class Aggregate(StrEnum):
    RAW = "raw"  # as measured
    HOURLY = "hourly"  # the mean of each hour, UTC
    DAILY = "daily"  # the mean of each day, UTC


MAX_POINTS = 50_000
"""The most points in one answer, over all its series."""

_BINS = {Aggregate.HOURLY: "hour", Aggregate.DAILY: "day"}


def _points(found: CTE, aggregate: Aggregate) -> Select[Any]:
    """Rows (parameter, unit, t, v), one more than an answer may hold, so that too many can be told."""
    parameter = bindparam("parameter", type_=Text)
    time: ColumnElement[Any] = measurement.c.recorded_at
    value: ColumnElement[Any] = measurement.c.value
    if aggregate in _BINS:
        time = func.date_trunc(constant(_BINS[aggregate]), time, constant("UTC"))
        # Six decimals: beyond them a mean shows only the order in which its doubles were added up.
        value = cast(func.round(cast(func.avg(value), Numeric), literal_column("6")), Double)
    rows = (
        select(sensor.c.parameter, sensor.c.unit, time.label("t"), value.label("v"))
        .select_from(
            found.join(sensor, sensor.c.station_id == found.c.id).join(
                measurement, measurement.c.sensor_id == sensor.c.id
            )
        )
        .where(
            measurement.c.recorded_at >= bindparam("from_time", type_=DateTime(timezone=True)),
            measurement.c.recorded_at < bindparam("to_time", type_=DateTime(timezone=True)),
            or_(parameter.is_(None), sensor.c.parameter == parameter),
        )
        .limit(literal_column(str(MAX_POINTS + 1)))
    )
    if aggregate in _BINS:
        rows = rows.group_by(sensor.c.parameter, sensor.c.unit, time)
    return rows


def _history(aggregate: Aggregate) -> Statement:
    found = select(station.c.id).where(is_the_wanted_station()).cte("found")
    points = _points(found, aggregate).cte("points")
    one_series = (
        select(
            points.c.parameter,
            points.c.unit,
            json_list(json_object(t=utc(points.c.t), v=points.c.v), points.c.t).label("points"),
        )
        .group_by(points.c.parameter, points.c.unit)
        .subquery("one_series")
    )
    series = json_list(
        json_object(parameter=one_series.c.parameter, unit=one_series.c.unit, points=one_series.c.points),
        one_series.c.parameter.collate(BYTE_ORDER),
    )
    return compiled(
        select(
            found.c.id,
            select(func.count()).select_from(points).scalar_subquery(),
            select(series).select_from(one_series).scalar_subquery(),
        )
    )


HISTORY: Mapping[Aggregate, Statement] = {aggregate: _history(aggregate) for aggregate in Aggregate}
"""station_id or None, ofev_code, from_time, to_time, parameter or None -> (the station's id, how many points,
JSON list of series or NULL), or no row for an unknown station. from_time is inside the range, to_time not."""
