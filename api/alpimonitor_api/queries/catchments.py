"""Catchments: the list."""

from __future__ import annotations

from sqlalchemy import func, select

from alpimonitor_api.queries.building import BYTE_ORDER, Statement, json_list, json_object
from alpimonitor_api.queries.context import listed_in_a_context
from alpimonitor_api.tables import catchment, station


def _catchment_list() -> Statement:
    stations_count = (
        select(func.count())
        .select_from(station)
        .where(station.c.catchment_id == catchment.c.id)
        .correlate(catchment)
        .scalar_subquery()
    )
    item = json_object(
        id=catchment.c.id,
        name=catchment.c.name,
        areaKm2=catchment.c.area_km2,
        description=catchment.c.description,
        stationsCount=stations_count,
    )
    return listed_in_a_context(select(json_list(item, catchment.c.name.collate(BYTE_ORDER))))


CATCHMENT_LIST = _catchment_list()
"""The JSON list of catchments, or no row while the context is empty."""
