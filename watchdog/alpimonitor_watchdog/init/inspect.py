"""A live database -> what it holds. One READ ONLY transaction, each statement bounded, no lock kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import class_row, kwargs_row

from ..core.words import Unseen
from ..probe.bounded import Bounded, Late
from ..probe.link import CONNECT_SECONDS, Link, Unseeable, is_lost, unseen
from ..probe.queries import Query, parse
from .bookkeeping import bookkeeping
from .found import ForeignKey, Found, RevisionFound, SessionFound, TableFound
from .selection import Passed, Selection

QUERIES = Path(__file__).with_name("queries.sql")
_STATEMENT_SECONDS = 2.0
_COUNTING_SECONDS = 30.0  # all tables together
_HEADS = 20  # revisions that one schema may be at


def inspect(
    url: str,
    selection: Selection,
    *,
    count_limit: int,
    application_name: str,
    monotonic: Callable[[], float],
) -> Found:
    """Raises Unseeable when there is no connection, or when it was lost or did not answer in time."""
    link = Link(url, timeout=_STATEMENT_SECONDS, application_name=application_name)
    looking = Bounded(
        lambda: _found(link, selection, count_limit, monotonic),
        link.sever,
        within=CONNECT_SECONDS + _COUNTING_SECONDS + 5 * _STATEMENT_SECONDS,
        name="init",
    )
    try:
        return looking.run()
    except Late:
        raise Unseeable(Unseen.UNREACHABLE, f"{link.place} did not answer in time") from None
    except psycopg.Error as error:
        reason, said = unseen(error)
        raise Unseeable(reason, f"{link.place}: {said}") from None
    finally:
        looking.stop()
        link.drop()


@cache
def queries() -> dict[str, Query]:
    """The statements of queries.sql, read once."""
    return parse(QUERIES.read_text(encoding="utf-8"))


def _found(link: Link, selection: Selection, limit: int, monotonic: Callable[[], float]) -> Found:
    connection = link.open()
    connection.read_only = True
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    ends = monotonic() + _COUNTING_SECONDS

    def in_time() -> bool:
        return monotonic() < ends

    with connection.transaction():
        connection.execute(queries()["only_the_systems_functions"].text)
        session = _session(connection)
        tables = (
            connection.cursor(row_factory=kwargs_row(_table)).execute(queries()["tables"].text).fetchall()
        )
        keys = connection.cursor(row_factory=class_row(ForeignKey))
        foreign_keys = keys.execute(queries()["foreign_keys"].text).fetchall()
        revisions = [_revision(connection, table) for table in tables if _tells_revision(table, selection)]
        counted = [
            table if selection.passes_over(table) else _counted(connection, table, limit, in_time)
            for table in tables
        ]
    return Found(
        place=link.place,
        limit=limit,
        session=session,
        tables=tuple(counted),
        foreign_keys=tuple(foreign_keys),
        revisions=tuple(revision for revision in revisions if revision is not None),
    )


def _session(connection: psycopg.Connection) -> SessionFound:
    with connection.cursor(row_factory=class_row(SessionFound)) as cursor:
        (found,) = cursor.execute(queries()["session"].text).fetchall()
    return replace(found, at=found.at.astimezone(UTC))


def _table(**columns: Any) -> TableFound:
    lists = {name: tuple(value) for name, value in columns.items() if isinstance(value, list)}
    lists["sequences"] = tuple((schema, name) for schema, name in columns["sequences"])
    return TableFound(**{**columns, **lists})


def _counted(
    connection: psycopg.Connection, table: TableFound, limit: int, in_time: Callable[[], bool]
) -> TableFound:
    """The table with its rows, or with why they could not be seen. Raises when the connection is lost."""
    if forbidden := _forbidden(table):
        return replace(table, unseen=forbidden[0], detail=forbidden[1])
    if not in_time():
        return replace(table, unseen=Unseen.TIMEOUT, detail="the other tables used up the time for counting")
    count = sql.SQL(queries()["rows"].text).format(
        table=sql.Identifier(table.schema, table.name), limit=sql.Literal(limit + 1)
    )
    try:
        rows = _asked(connection, count)[0][0]
    except psycopg.Error as error:
        if is_lost(connection):
            raise
        reason, said = unseen(error)
        return replace(table, unseen=reason, detail=said)
    return replace(table, rows=min(rows, limit), capped=rows > limit)


def _tells_revision(table: TableFound, selection: Selection) -> bool:
    """Wherever it is: a tool may keep it in a schema of its own."""
    return selection.passes_over(table) is Passed.BOOKKEEPING


def _revision(connection: psycopg.Connection, table: TableFound) -> RevisionFound | None:
    known = bookkeeping(table.name, table.columns)
    if known is None or known.query is None:
        return None
    # On one line, as it goes into the file; a name keeps whatever is in it.
    template = sql.SQL(" ".join(queries()[known.query].text.split()))
    query = template.format(table=sql.Identifier(table.schema, table.name))
    found = RevisionFound(table, known.tool, query.as_string())
    if forbidden := _forbidden(table):
        return replace(found, unseen=forbidden[0], detail=forbidden[1])
    try:
        rows = _asked(connection, query)[:_HEADS]
    except psycopg.Error as error:
        if is_lost(connection):
            raise
        reason, said = unseen(error)
        return replace(found, unseen=reason, detail=said)
    # As the probe reads it.
    heads = sorted(str(row[0]) for row in rows if row[0] is not None)
    return replace(found, value=",".join(heads) or None)


def _forbidden(table: TableFound) -> tuple[Unseen, str] | None:
    if not table.readable:
        return Unseen.FORBIDDEN, "this role has no SELECT on it"
    if table.hidden:
        return Unseen.ROW_SECURITY, "row security would hide rows from this role"
    return None


def _asked(connection: psycopg.Connection, query: sql.Composed) -> list[Any]:
    """Ask in a savepoint that is taken back: a failure ends no transaction, no lock outlives its question."""
    with connection.transaction(force_rollback=True):
        return connection.execute(query).fetchall()
