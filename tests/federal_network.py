"""A database that serves the whole federal network: 233 stations, all of them LIVE."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg

from alpimonitor_api import ids

CATCHMENT = "Switzerland"
PARAMETERS = {"DISCHARGE": "m3/s", "WATER_LEVEL": "m"}


def make_network(connection: psycopg.Connection, codes: Sequence[str]) -> None:
    """One catchment with a station for each code; each with two sensors and a threshold of its discharge."""
    connection.execute(
        "INSERT INTO catchment (id, name) VALUES (%s, %s)", (ids.catchment_id(CATCHMENT), CATCHMENT)
    )
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO station (id, catchment_id, ofev_code, name, river_name, latitude, longitude, "
            "altitude_m, flow_type, operator_name, data_source, sourcing_status) VALUES "
            "(%s, %s, %s, 'Station ' || %s, 'River', 46.2, 7.4, 480, 'NATURAL', 'OFEV', 'LIVE', 'CONFIRMED')",
            [(ids.station_id(code), ids.catchment_id(CATCHMENT), code, code) for code in codes],
        )
        cursor.executemany(
            "INSERT INTO sensor (id, station_id, parameter, unit) VALUES (%s, %s, %s, %s)",
            [
                (ids.sensor_id(code, parameter), ids.station_id(code), parameter, unit)
                for code in codes
                for parameter, unit in PARAMETERS.items()
            ],
        )
        cursor.executemany(
            "INSERT INTO threshold (id, station_id, parameter, vigilance_value, alert_value, direction) "
            "VALUES (%s, %s, 'DISCHARGE', 500, 800, 'ABOVE')",
            [(ids.threshold_id(code, "DISCHARGE"), ids.station_id(code)) for code in codes],
        )
