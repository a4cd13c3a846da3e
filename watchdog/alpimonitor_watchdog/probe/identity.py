"""Which database it is: its cluster, its oid, and the `deployment` row that the application keeps in it."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
from psycopg import sql

from ..core.fingerprint import Identity
from .brief import ask_briefly
from .catalog import Countable, Entry, Guarded
from .link import is_lost
from .queries import queries

DEPLOYMENT = Guarded("deployment", columns=("id", "environment"), context=True)
"""Where the row is looked for: the first table of that name along the search path."""

_READ_EVERY = 5.0  # seconds, and whenever the table's counters moved
_ROW_SECONDS = 0.01
_Row = tuple[str | None, str | None]
_NO_ROW: _Row = (None, None)


class Identifying:
    """Remembers, between looks, what a connection is asked once and what is asked now and then."""

    def __init__(self, timeout: float, monotonic: Callable[[], float]) -> None:
        """`timeout`, in seconds, is that of every statement of a look."""
        self._within = min(timeout, _ROW_SECONDS)
        self._monotonic = monotonic
        self._connection: psycopg.Connection | None = None
        self._system: str | None = None
        self._row = _NO_ROW
        self._read: tuple[str | None, float] | None = None  # the table's mark, and when

    def of(self, connection: psycopg.Connection, database_oid: int, deployment: Entry) -> Identity:
        """The identity, without the parts that are not there or not for the sidecar's role to see.

        Raises psycopg.Error only when the connection is lost.
        """
        if connection is not self._connection:
            # One backend is one cluster and one database for as long as it lives.
            self._system = _system(connection)
            self._connection, self._read = connection, None
        table = deployment.countable(DEPLOYMENT)
        if not isinstance(table, Countable) or deployment.missing_columns(DEPLOYMENT):
            self._row, self._read = _NO_ROW, None
        elif self._is_due(deployment.mark):
            self._read = deployment.mark, self._monotonic()
            self._row = self._deployment(connection, table)
        return Identity(self._system, database_oid, *self._row)

    def _is_due(self, mark: str | None) -> bool:
        if self._read is None:
            return True
        marked, at = self._read
        # Where it could not be read, nothing is gained by trying at every look.
        moved = marked != mark and self._row != _NO_ROW
        return moved or self._monotonic() - at >= _READ_EVERY

    def _deployment(self, connection: psycopg.Connection, table: Countable) -> _Row:
        statement = sql.SQL(queries()["deployment"].text).format(
            table=sql.Identifier(table.schema, table.table)
        )
        try:
            rows = ask_briefly(connection, statement, within=self._within)
        except psycopg.Error:
            if is_lost(connection):
                raise
            return _NO_ROW
        return (rows[0][0], rows[0][1]) if len(rows) == 1 else _NO_ROW


def _system(connection: psycopg.Connection) -> str | None:
    try:
        ((system,),) = connection.execute(queries()["system"].text).fetchall()
    except psycopg.Error:
        if is_lost(connection):
            raise
        return None
    return str(system)
