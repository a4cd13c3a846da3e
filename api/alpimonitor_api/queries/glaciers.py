"""Glaciers: the list, each with the stations that its water reaches."""

from __future__ import annotations

from sqlalchemy import select

from alpimonitor_api.queries.building import (
    BYTE_ORDER,
    Statement,
    json_list,
    json_object,
    or_empty_list,
)
from alpimonitor_api.queries.context import listed_in_a_context, station_name
from alpimonitor_api.tables import glacier, station, station_glacier


def _glacier_list() -> Statement:
    its_stations = (
        select(
            or_empty_list(
                json_list(
                    station_name(),
                    station.c.name.collate(BYTE_ORDER),
                    station.c.ofev_code.collate(BYTE_ORDER),
                )
            )
        )
        .select_from(station_glacier.join(station, station.c.id == station_glacier.c.station_id))
        .where(station_glacier.c.glacier_id == glacier.c.id)
        .correlate(glacier)
        .scalar_subquery()
    )
    item = json_object(
        id=glacier.c.id,
        name=glacier.c.name,
        altitudeMinM=glacier.c.altitude_min_m,
        altitudeMaxM=glacier.c.altitude_max_m,
        stations=its_stations,
    )
    return listed_in_a_context(select(json_list(item, glacier.c.name.collate(BYTE_ORDER))))


GLACIER_LIST = _glacier_list()
"""The JSON list of glaciers, or no row while the context is empty."""
