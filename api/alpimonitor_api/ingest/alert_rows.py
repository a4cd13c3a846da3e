"""What deciding about alerts reads and writes: one statement to read, at most two to write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import (
    Connection,
    DateTime,
    Double,
    Null,
    Text,
    Uuid,
    and_,
    cast,
    column,
    literal_column,
    null,
    select,
    true,
    union_all,
    update,
    values,
)
from sqlalchemy.dialects.postgresql import insert

from alpimonitor_api.ingest.alerts import Active, Changes, Limits, Reading
from alpimonitor_api.tables import (
    AlertLevel,
    AlertType,
    DataSource,
    Direction,
    Parameter,
    alert,
    measurement,
    sensor,
    station,
    threshold,
)


def _found() -> Any:
    """Watched sensors with their newest measurement and threshold, and below them the active rows."""
    latest = (
        select(measurement.c.value, measurement.c.recorded_at)
        .where(measurement.c.sensor_id == sensor.c.id)
        .order_by(measurement.c.recorded_at.desc())
        .limit(literal_column("1"))
        .lateral("latest")
    )
    nothing: Null = null()
    watched = (
        select(
            cast(nothing, Uuid).label("alert_id"),
            station.c.id.label("station_id"),
            cast(nothing, Text).label("type"),
            cast(nothing, Text).label("level"),
            sensor.c.parameter,
            cast(nothing, DateTime(timezone=True)).label("opened_at"),
            latest.c.value,
            latest.c.recorded_at,
            threshold.c.vigilance_value,
            threshold.c.alert_value,
            threshold.c.direction,
        )
        .select_from(
            station.join(sensor, and_(sensor.c.station_id == station.c.id, sensor.c.is_active))
            .outerjoin(
                threshold,
                and_(threshold.c.station_id == station.c.id, threshold.c.parameter == sensor.c.parameter),
            )
            .outerjoin(latest, true())
        )
        .where(station.c.data_source == DataSource.LIVE, station.c.is_active)
    )
    active = select(
        alert.c.id,
        alert.c.station_id,
        alert.c.type,
        alert.c.level,
        alert.c.parameter,
        alert.c.opened_at,
        cast(nothing, Double),
        cast(nothing, DateTime(timezone=True)),
        cast(nothing, Double),
        cast(nothing, Double),
        cast(nothing, Text),
    ).where(alert.c.closed_at.is_(None))
    return union_all(watched, active)


FOUND = _found()

ENDING = values(column("id", Uuid), column("closed_at", DateTime(timezone=True)), name="ending")


def read(connection: Connection) -> tuple[Sequence[Active], Sequence[Reading]]:
    active: list[Active] = []
    readings: list[Reading] = []
    for row in connection.execute(FOUND):
        parameter = Parameter(row.parameter) if row.parameter is not None else None
        if row.alert_id is not None:
            active.append(
                Active(
                    row.alert_id,
                    row.station_id,
                    AlertType(row.type),
                    AlertLevel(row.level),
                    parameter,
                    row.opened_at,
                )
            )
        elif parameter is not None:
            limits = (
                Limits(row.vigilance_value, row.alert_value, Direction(row.direction))
                if row.direction is not None
                else None
            )
            readings.append(Reading(row.station_id, parameter, row.value, row.recorded_at, limits))
    return active, readings


def write(connection: Connection, changes: Changes) -> None:
    """Close, then open. Somebody who closed or opened the same row by hand meanwhile was first."""
    if changes.closes:
        ending = ENDING.data([(closing.id, closing.closed_at) for closing in changes.closes])
        connection.execute(
            update(alert)
            .values(closed_at=ending.c.closed_at)
            .where(alert.c.id == ending.c.id, alert.c.closed_at.is_(None))
        )
    if changes.opens:
        rows = [asdict(opening) for opening in changes.opens]
        connection.execute(insert(alert).values(rows).on_conflict_do_nothing())
