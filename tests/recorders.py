"""A flight recorder in a database of a test's own."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.rows import dict_row

from alpimonitor_watchdog.recorder.statements import recorder_sql


def install(url: str, *tables: str, kind: str = "context", keep: bool = True, journal: int = 0) -> None:
    """The recorder, as a superuser, on tables that are there."""
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute(recorder_sql().encode())
        owner.execute("SELECT flight_recorder.watch_drops()")
    guard(url, *tables, kind=kind, keep=keep, journal=journal)


def guard(url: str, *tables: str, kind: str = "context", keep: bool = True, journal: int = 0) -> None:
    with psycopg.connect(url, autocommit=True) as owner:
        for table in tables:
            owner.execute(
                "SELECT flight_recorder.guard(%s::regclass, %s, %s, %s)", (table, kind, keep, journal)
            )


def events(url: str) -> list[dict[str, Any]]:
    """Every recorded event, in the order of the ids."""
    with psycopg.connect(url, row_factory=dict_row) as owner:
        return owner.execute("SELECT * FROM flight_recorder.event ORDER BY id").fetchall()


def brief(url: str) -> list[tuple[Any, ...]]:
    """Operation, table, rows and remaining rows of every recorded event."""
    return [
        (event["operation"], event["table_name"], event["rows"], event["remaining"]) for event in events(url)
    ]
