"""Reads what a seed has to know from a database: the context, who uses it, and which deployment it is."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from alpimonitor_api.tables import CONTEXT_TABLES
from alpimonitor_seed.fixture_models import Row, Value
from alpimonitor_seed.plan import Found

# Each is a handful of index probes, however many rows the operational table has.
USED_BY = {
    "measurement": """
        SELECT sensor.id, sensor.station_id FROM sensor
        WHERE EXISTS (SELECT FROM measurement WHERE measurement.sensor_id = sensor.id)""",
    "alert": """
        SELECT station.id FROM station
        WHERE EXISTS (SELECT FROM alert WHERE alert.station_id = station.id)""",
    "threshold_audit": """
        SELECT station.id FROM station
        WHERE EXISTS (SELECT FROM threshold_audit WHERE threshold_audit.station_id = station.id)""",
}


def read(connection: psycopg.Connection, *, with_users: bool) -> Found:
    """Read the context tables; `with_users` also says which rows the operational tables refer to.

    Only a prune needs the users, and a role that only inserts need not be able to see them.
    """
    rows: dict[str, dict[str, Row]] = {}
    with connection.cursor(row_factory=dict_row) as cursor:
        for table in CONTEXT_TABLES:
            columns = sql.SQL(", ").join(sql.Identifier(column.name) for column in table.columns)
            cursor.execute(
                sql.SQL("SELECT {} FROM {} ORDER BY id").format(columns, sql.Identifier(table.name))
            )
            read_rows = [{name: _value(value) for name, value in row.items()} for row in cursor]
            rows[table.name] = {str(row["id"]): row for row in read_rows}
    used_by: dict[str, frozenset[str]] = {}
    if with_users:
        for name, query in USED_BY.items():
            used_by[name] = frozenset(str(key) for row in connection.execute(query) for key in row)
    return Found(rows, used_by)


def _value(value: Any) -> Value:
    """A column's value as plans and JSON carry it."""
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    scalar: Value = value  # text, number, boolean or NULL: the context tables have no other types
    return scalar


def environment(connection: psycopg.Connection) -> str | None:
    """The environment of the `deployment` row; None when there is no row."""
    row = connection.execute("SELECT environment FROM deployment").fetchone()
    return None if row is None else str(row[0])
