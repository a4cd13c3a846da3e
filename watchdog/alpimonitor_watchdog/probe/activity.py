"""Who is connected, sampled around a loss."""

from __future__ import annotations

from datetime import UTC, datetime

import psycopg

from ..core.evidence import Activity
from .link import is_lost
from .queries import queries

_MOST = 50


def sampled(connection: psycopg.Connection, database_oid: int | None) -> tuple[Activity, ...]:
    """The clients of the database, at most 50. Raises psycopg.Error only when the connection is lost."""
    asked = {"database": database_oid, "limit": _MOST}
    try:
        rows = connection.execute(queries()["activity"].text, asked, prepare=True).fetchall()
    except psycopg.Error:
        if is_lost(connection):
            raise
        return ()
    return tuple(
        Activity(pid, role, application, address, _utc(start), _utc(transaction), state, waits_for)
        for pid, role, application, address, start, transaction, state, waits_for in rows
    )


def _utc(at: datetime | None) -> datetime | None:
    return at.astimezone(UTC) if at is not None else None
