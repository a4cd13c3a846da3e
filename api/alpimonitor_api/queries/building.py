"""How a SQLAlchemy Core query becomes a statement that psycopg runs, and JSON that PostgreSQL writes.

An answer is built whole by PostgreSQL and passed on as bytes: turning rows into Python objects and those into
JSON costs several times what the query does. Queries are compiled once, at import: compiling one takes longer
than running it.
"""

from __future__ import annotations

from typing import Any, NewType

from sqlalchemy import ColumnElement, Select, UpdateBase, func, literal_column
from sqlalchemy.dialects.postgresql import JSON, aggregate_order_by
from sqlalchemy.dialects.postgresql.psycopg import dialect

Statement = NewType("Statement", bytes)
"""SQL for psycopg, its parameters written as `%(name)s`."""

BYTE_ORDER = "C"
"""The collation of every ordering: the only one that all servers have and that is the same on all of them."""


def compiled(query: Select[Any] | UpdateBase) -> Statement:
    """The query as text. Raises ValueError when it holds a Python value: write that as `constant`."""
    done = query.compile(dialect=dialect())  # type: ignore[no-untyped-call]
    values = {name for name, value in done.params.items() if value is not None}
    if values:
        raise ValueError(f"the statement would lose the values of {', '.join(sorted(values))}")
    return Statement(str(done).encode())


def constant(value: str) -> ColumnElement[str]:
    """A text that the statement itself fixes, never one that came from outside."""
    if not value.replace("_", "").isalnum():
        raise ValueError(f"{value!r} is not a plain word")
    return literal_column(f"'{value}'")


def json_object(**members: ColumnElement[Any]) -> ColumnElement[Any]:
    """A JSON object with these members in this order."""
    arguments: list[ColumnElement[Any]] = []
    for name, value in members.items():
        arguments += [constant(name), value]
    return func.json_build_object(*arguments, type_=JSON)


def json_list(item: ColumnElement[Any], *order: ColumnElement[Any]) -> ColumnElement[Any]:
    """The items as a JSON list in this order; NULL when there is none."""
    return func.json_agg(aggregate_order_by(item, *order), type_=JSON)


def or_empty_list(items: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.coalesce(items, literal_column("'[]'::json"), type_=JSON)


def utc(time: ColumnElement[Any]) -> ColumnElement[Any]:
    """`2026-04-20T20:20:00Z`, with as many decimals of the second as there are; NULL stays NULL.

    `to_json` writes ISO-8601 whatever the session's DateStyle is.
    """
    written = func.to_json(func.timezone(constant("UTC"), time))
    return written.op("#>>")(literal_column("'{}'")).concat(literal_column("'Z'"))
