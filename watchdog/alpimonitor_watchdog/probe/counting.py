"""Counts the rows of tables: all in one prepared statement, and each alone when that fails.

A statement over all tables fails as a whole when one of them is locked, dropped or too slow. Each is then
counted in a statement, and so a transaction, of its own: only that table is unseen, and the reason is said.
What could not be seen is counted alone from then on, so that it costs the others nothing, until it can be
seen again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

import psycopg
from psycopg import sql

from ..core.seen import TableSeen
from ..core.words import Unseen
from .catalog import Countable
from .link import is_lost, unseen
from .queries import queries

_FEW = 0.25  # of the limit
_TOGETHER = 100  # tables a statement: planning a thousand at once takes longer than a statement may


class Counting:
    """Remembers, between looks, which tables are better counted alone, and which have few rows.

    Of those all rows are counted, which takes a quarter less time than counting up to a limit. One that has
    grown a thousandfold since costs no more than the statement's time-out, and is then counted alone.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._alone: frozenset[str] = frozenset()
        self._few: frozenset[str] = frozenset()

    def count(
        self, connection: psycopg.Connection, tables: Sequence[Countable], in_time: Callable[[], bool]
    ) -> list[TableSeen]:
        """One answer a table, in no particular order. Raises psycopg.Error only when the connection is lost.

        `in_time()` says whether another table may still be counted alone.
        """
        together = [table for table in tables if table.name not in self._alone]
        alone = [table for table in tables if table.name in self._alone]
        seen: list[TableSeen] = []
        for group in _groups(together):
            try:
                seen += self._counted(connection, group, self._few)
            except psycopg.Error:
                if is_lost(connection):
                    raise
                alone += group
        seen += [self._count_alone(connection, table, in_time) for table in alone]
        self._alone = frozenset(table.name for table in seen if table.unseen is not None)
        few = self._limit * _FEW
        self._few = frozenset(table.name for table in seen if table.rows is not None and table.rows <= few)
        return seen

    def _counted(
        self, connection: psycopg.Connection, tables: Sequence[Countable], few: frozenset[str]
    ) -> list[TableSeen]:
        limited = tuple(table.name not in few for table in tables)
        statement = _statement(tuple(tables), limited, self._limit + 1)
        ((counts,),) = connection.execute(statement, prepare=True).fetchall()
        return [
            TableSeen(table.name, rows=min(rows, self._limit), capped=rows > self._limit)
            for table, rows in zip(tables, counts, strict=True)
        ]

    def _count_alone(
        self, connection: psycopg.Connection, table: Countable, in_time: Callable[[], bool]
    ) -> TableSeen:
        if not in_time():
            return TableSeen(table.name, unseen=Unseen.TIMEOUT, detail="other tables used up the look's time")
        try:
            return self._counted(connection, [table], frozenset())[0]
        except psycopg.errors.UndefinedTable:
            return TableSeen(table.name, exists=False, detail="it was dropped during the look")
        except psycopg.Error as error:
            if is_lost(connection):
                raise
            reason, said = unseen(error)
        pid = None
        if reason in (Unseen.LOCKED, Unseen.TIMEOUT):
            pid = _in_the_way(connection, table)
            reason = Unseen.LOCKED if pid is not None else reason
        return TableSeen(table.name, unseen=reason, locked_by=pid, detail=said)


@lru_cache(maxsize=64)
def _statement(tables: tuple[Countable, ...], limited: tuple[bool, ...], limit: int) -> str:
    up_to_limit, all_rows = sql.SQL(queries()["rows"].text), sql.SQL(queries()["all_rows"].text)
    # An array of them takes less time than a UNION ALL, on the server and to read.
    counts = sql.SQL("), (").join(
        up_to_limit.format(table=sql.Identifier(table.schema, table.table), limit=sql.Literal(limit))
        if has_limit
        else all_rows.format(table=sql.Identifier(table.schema, table.table))
        for table, has_limit in zip(tables, limited, strict=True)
    )
    return sql.SQL("SELECT ARRAY[({})]").format(counts).as_string()


def _groups(tables: Sequence[Countable]) -> Iterator[Sequence[Countable]]:
    for begin in range(0, len(tables), _TOGETHER):
        yield tables[begin : begin + _TOGETHER]


def _in_the_way(connection: psycopg.Connection, table: Countable) -> int | None:
    try:
        row = connection.execute(queries()["in_the_way"].text, {"oid": table.oid}).fetchone()
    except psycopg.Error:
        if is_lost(connection):
            raise
        return None
    return int(row[0]) if row else None
