"""A statement with a bound of its own, far shorter than that of the connection."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

from .queries import queries


def ask_briefly(
    connection: psycopg.Connection, statement: sql.Composable, *, within: float
) -> list[tuple[Any, ...]]:
    """The rows of a statement that may take `within` seconds, waits for locks included. Raises psycopg.Error.

    One round trip and one transaction: time-out and pinned settings end with it.
    """
    bound = sql.SQL(queries()["briefly"].text).format(
        milliseconds=sql.Literal(str(max(1, round(within * 1000))))
    )
    # Two statements cannot be prepared as one.
    cursor = connection.execute(sql.SQL("; ").join([bound, statement]), prepare=False)
    cursor.nextset()
    return cursor.fetchall()
