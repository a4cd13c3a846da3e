"""The flight recorder on a test's database, from the SQL that is shipped."""

from __future__ import annotations

from pathlib import Path

import psycopg

import alpimonitor_watchdog

SQL = Path(alpimonitor_watchdog.__file__).parent / "recorder" / "sql" / "v1.sql"


def arm(admin: psycopg.Connection, *tables: str, kind: str = "context") -> None:
    """Install it, and guard these tables. `admin` is a superuser's, in autocommit."""
    admin.execute(SQL.read_text(encoding="utf-8").encode())
    admin.execute("SELECT flight_recorder.watch_drops()")
    for table in tables:
        admin.execute("SELECT flight_recorder.guard(%s::regclass, %s, true, 0)", (table, kind))
