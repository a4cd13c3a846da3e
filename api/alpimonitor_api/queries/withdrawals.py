"""Withdrawals: the list, each with the station that it takes its water from."""

from __future__ import annotations

from sqlalchemy import select

from alpimonitor_api.queries.building import BYTE_ORDER, Statement, json_list, json_object
from alpimonitor_api.queries.context import listed_in_a_context, station_name
from alpimonitor_api.tables import station, withdrawal


def _withdrawal_list() -> Statement:
    item = json_object(
        id=withdrawal.c.id,
        name=withdrawal.c.name,
        operatorName=withdrawal.c.operator_name,
        latitude=withdrawal.c.latitude,
        longitude=withdrawal.c.longitude,
        altitudeM=withdrawal.c.altitude_m,
        annualVolumeM3=withdrawal.c.annual_volume_m3,
        station=station_name(),
    )
    return listed_in_a_context(
        select(json_list(item, withdrawal.c.name.collate(BYTE_ORDER))).select_from(
            withdrawal.join(station, station.c.id == withdrawal.c.station_id)
        )
    )


WITHDRAWAL_LIST = _withdrawal_list()
"""The JSON list of withdrawals, or no row while the context is empty."""
