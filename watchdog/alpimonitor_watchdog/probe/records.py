"""The rows of the declared evidence queries: what the application itself recorded of what it did."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping

import psycopg
from psycopg import sql

from ..core.evidence import Record
from .link import is_lost, unseen
from .queries import queries

log = logging.getLogger(__name__)
STATEMENT_SECONDS = 0.02
_MOST_ROWS = 50
_LARGEST = 64 * 1024  # bytes of a row as JSON
_REMEMBERED = 20 * _MOST_ROWS


class Records:
    """Remembers, between looks, which rows it returned. Belongs to one thread."""

    def __init__(self, declared: Mapping[str, str], timeout: float) -> None:
        """`declared`: name -> a SELECT. `timeout`, in seconds, is that of every statement of a look."""
        self._statements = {
            name: sql.SQL(queries()["records"].text)
            .format(query=sql.SQL(query), limit=sql.Literal(_MOST_ROWS), bytes=sql.Literal(_LARGEST))
            .as_string()
            for name, query in declared.items()
        }
        milliseconds = max(1, round(min(timeout, STATEMENT_SECONDS) * 1000))
        self._briefly = sql.SQL(queries()["briefly"].text).format(milliseconds=sql.Literal(str(milliseconds)))
        self._returned: deque[Record] = deque(maxlen=_REMEMBERED)
        self._failed: dict[str, str] = {}

    def fresh(self, connection: psycopg.Connection) -> tuple[Record, ...]:
        """Rows not returned before. Raises psycopg.Error only when the connection is lost."""
        found = [record for name in self._statements for record in self._asked(connection, name)]
        new = tuple(dict.fromkeys(record for record in found if record not in self._returned))
        self._returned.extend(new)
        return new

    def _asked(self, connection: psycopg.Connection, name: str) -> list[Record]:
        try:
            with connection.transaction():
                connection.execute(queries()["only_read"].text)
                connection.execute(self._briefly)
                # Prepared: of several statements in one text PostgreSQL then takes none.
                rows = connection.execute(self._statements[name], prepare=True).fetchall()
        except psycopg.Error as error:
            if is_lost(connection):
                raise
            self._say(name, unseen(error)[1])
            return []
        self._failed.pop(name, None)
        return [Record(name, body) for (body,) in rows]

    def _say(self, name: str, why: str) -> None:
        """Once for each reason."""
        if self._failed.get(name) != why:
            self._failed[name] = why
            log.warning(
                "[evidence.queries] %s brings no evidence: %s", name, why, extra={"action": "no_records"}
            )
