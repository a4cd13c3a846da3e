"""Stations: the list, and one station with everything that hangs on it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import (
    Boolean,
    ColumnElement,
    DateTime,
    Text,
    Uuid,
    and_,
    bindparam,
    case,
    cast,
    exists,
    func,
    literal_column,
    or_,
    select,
    true,
)

from alpimonitor_api.queries.building import (
    BYTE_ORDER,
    Statement,
    compiled,
    constant,
    json_list,
    json_object,
    or_empty_list,
    utc,
)
from alpimonitor_api.queries.context import there_is_a_context
from alpimonitor_api.tables import (
    Direction,
    alert,
    catchment,
    glacier,
    measurement,
    sensor,
    station,
    station_glacier,
    threshold,
    withdrawal,
)

OFFLINE_AFTER = timedelta(minutes=60)
"""A measurement older than this says nothing about the river any more."""


def _reached(limit: ColumnElement[Any], value: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether the value is at the limit or beyond it, in the threshold's direction."""
    return case(
        (threshold.c.direction == constant(Direction.ABOVE), value >= limit),
        else_=value <= limit,
    )


def _latest_measurements() -> ColumnElement[Any]:
    """The newest measurement of each active sensor of the station at hand, with its status.

    One step backwards in the primary key a sensor, however long the history is.
    """
    latest = (
        select(measurement.c.value, measurement.c.recorded_at)
        .where(measurement.c.sensor_id == sensor.c.id)
        .order_by(measurement.c.recorded_at.desc())
        .limit(literal_column("1"))
        .lateral("latest")
    )
    status = case(
        (
            latest.c.recorded_at < bindparam("offline_before", type_=DateTime(timezone=True)),
            constant("OFFLINE"),
        ),
        (_reached(threshold.c.alert_value, latest.c.value), constant("ALERT")),
        (_reached(threshold.c.vigilance_value, latest.c.value), constant("VIGILANCE")),
        else_=constant("NORMAL"),
    )
    item = json_object(
        parameter=sensor.c.parameter,
        unit=sensor.c.unit,
        value=latest.c.value,
        recordedAt=utc(latest.c.recorded_at),
        status=status,
    )
    limits = and_(threshold.c.station_id == sensor.c.station_id, threshold.c.parameter == sensor.c.parameter)
    return (
        select(or_empty_list(json_list(item, sensor.c.parameter.collate(BYTE_ORDER))))
        .select_from(sensor.join(latest, true()).outerjoin(threshold, limits))
        .where(sensor.c.station_id == station.c.id, sensor.c.is_active)
        .correlate(station)
        .scalar_subquery()
    )


def _station_members() -> dict[str, ColumnElement[Any]]:
    """The members that a station has in the list and alone."""
    active_alerts = (
        select(func.count())
        .select_from(alert)
        .where(alert.c.station_id == station.c.id, alert.c.closed_at.is_(None))
        .correlate(station)
        .scalar_subquery()
    )
    return {
        "id": station.c.id,
        "ofevCode": station.c.ofev_code,
        "name": station.c.name,
        "riverName": station.c.river_name,
        "latitude": station.c.latitude,
        "longitude": station.c.longitude,
        "altitudeM": station.c.altitude_m,
        "flowType": station.c.flow_type,
        "operatorName": station.c.operator_name,
        "dataSource": station.c.data_source,
        "sourcingStatus": station.c.sourcing_status,
        "latestMeasurements": _latest_measurements(),
        "activeAlertsCount": active_alerts,
    }


def _station_list() -> Statement:
    wanted_catchment = bindparam("catchment_id", type_=Uuid)
    wanted_activity = cast(bindparam("is_active", type_=Boolean), Boolean)
    order = (station.c.name.collate(BYTE_ORDER), station.c.ofev_code.collate(BYTE_ORDER))
    return compiled(
        select(json_list(json_object(**_station_members()), *order)).where(
            or_(wanted_catchment.is_(None), station.c.catchment_id == wanted_catchment),
            or_(wanted_activity.is_(None), station.c.is_active == wanted_activity),
            # Foreign keys can be switched off: stations without any catchment are no context either.
            exists().select_from(catchment),
        )
    )


STATION_LIST = _station_list()
"""offline_before, catchment_id or None, is_active or None -> JSON list of stations, NULL if none matches."""


def _one_station() -> Statement:
    its_sensors = (
        select(
            or_empty_list(
                json_list(
                    json_object(
                        parameter=sensor.c.parameter, unit=sensor.c.unit, isActive=sensor.c.is_active
                    ),
                    sensor.c.parameter.collate(BYTE_ORDER),
                )
            )
        )
        .where(sensor.c.station_id == station.c.id)
        .correlate(station)
        .scalar_subquery()
    )
    its_thresholds = (
        select(
            or_empty_list(
                json_list(
                    json_object(
                        parameter=threshold.c.parameter,
                        vigilanceValue=threshold.c.vigilance_value,
                        alertValue=threshold.c.alert_value,
                        direction=threshold.c.direction,
                    ),
                    threshold.c.parameter.collate(BYTE_ORDER),
                )
            )
        )
        .where(threshold.c.station_id == station.c.id)
        .correlate(station)
        .scalar_subquery()
    )
    its_glaciers = (
        select(
            or_empty_list(
                json_list(
                    json_object(
                        name=glacier.c.name,
                        altitudeMinM=glacier.c.altitude_min_m,
                        altitudeMaxM=glacier.c.altitude_max_m,
                    ),
                    glacier.c.name.collate(BYTE_ORDER),
                )
            )
        )
        .select_from(station_glacier.join(glacier, glacier.c.id == station_glacier.c.glacier_id))
        .where(station_glacier.c.station_id == station.c.id)
        .correlate(station)
        .scalar_subquery()
    )
    its_withdrawals = (
        select(
            or_empty_list(
                json_list(
                    json_object(
                        name=withdrawal.c.name,
                        operatorName=withdrawal.c.operator_name,
                        altitudeM=withdrawal.c.altitude_m,
                        annualVolumeM3=withdrawal.c.annual_volume_m3,
                    ),
                    withdrawal.c.name.collate(BYTE_ORDER),
                )
            )
        )
        .where(withdrawal.c.station_id == station.c.id)
        .correlate(station)
        .scalar_subquery()
    )
    data = json_object(
        **_station_members(),
        catchment=json_object(id=catchment.c.id, name=catchment.c.name),
        sensors=its_sensors,
        thresholds=its_thresholds,
        relatedGlaciers=its_glaciers,
        upstreamWithdrawals=its_withdrawals,
    )
    return compiled(
        select(json_object(data=data))
        .select_from(station.join(catchment, catchment.c.id == station.c.catchment_id))
        .where(is_the_wanted_station())
    )


def is_the_wanted_station() -> ColumnElement[bool]:
    """Parameters `station_id` (or None) and `ofev_code`: whichever of the two the address gave."""
    return or_(
        station.c.id == bindparam("station_id", type_=Uuid),
        station.c.ofev_code == bindparam("ofev_code", type_=Text),
    )


UNKNOWN_STATION = compiled(
    select(literal_column("1")).where(
        there_is_a_context(), ~exists().select_from(station).where(is_the_wanted_station())
    )
)
"""station_id or None, ofev_code -> a row where there is a context and this station is not in it.

In one look: a station that was not found may have come back by now, with the rest of an emptied context."""

ONE_STATION = _one_station()
"""offline_before, station_id or None, ofev_code -> the whole answer, or no row."""
