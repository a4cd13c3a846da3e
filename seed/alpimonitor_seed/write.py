"""Writes a plan: one statement a table, in the order that the foreign keys ask for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from alpimonitor_seed.fixtures import TABLES
from alpimonitor_seed.plan import Plan

AS_WRITTEN = partial(json.dumps, ensure_ascii=False)
"""Not "\\u00f4" for "ô": a database of encoding SQL_ASCII cannot unescape that."""


@dataclass(frozen=True)
class Counts:
    """Rows that a seed really wrote, by table; a table without any is left out."""

    inserted: Mapping[str, int] = field(default_factory=dict)
    updated: Mapping[str, int] = field(default_factory=dict)
    pruned: Mapping[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return sum((*self.inserted.values(), *self.updated.values(), *self.pruned.values()))


def lock_tables(connection: psycopg.Connection) -> None:
    """Keep other writers off the context until the transaction ends, so that the plan stays true.

    Readers go on, and so does ingestion: the row locks of its foreign keys do not conflict with this one.
    """
    names = sql.SQL(", ").join(map(sql.Identifier, TABLES))
    connection.execute(sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(names))


def write(connection: psycopg.Connection, plan: Plan, *, reason: str) -> Counts:
    """Carry out a plan in the caller's transaction and count the rows.

    Parents are inserted before their children and deleted after them. Updates and deletes state `reason` to
    the flight recorder, for this transaction only.
    """
    if plan.updates or plan.prunes:
        connection.execute("SELECT set_config('watchdog.reason', %s, true)", [reason])
    inserted = {table: _insert(connection, table, plan) for table in TABLES if table in plan.inserts}
    updated = {table: _update(connection, table, plan) for table in TABLES if table in plan.updates}
    pruned = {table: _delete(connection, table, plan) for table in reversed(TABLES) if table in plan.prunes}
    return Counts(_counted(inserted), _counted(updated), _counted(pruned))


def _counted(rows: Mapping[str, int]) -> dict[str, int]:
    return {table: count for table, count in rows.items() if count}


def _insert(connection: psycopg.Connection, table: str, plan: Plan) -> int:
    """Insert what is absent. A row that somebody else inserted since the plan was made is left as it is."""
    rows = plan.inserts[table]
    columns = sql.SQL(", ").join(map(sql.Identifier, rows[0]))
    return connection.execute(
        sql.SQL(
            "INSERT INTO {table} ({columns}) "
            "SELECT {columns} FROM jsonb_populate_recordset(NULL::{table}, %s) "
            "ON CONFLICT DO NOTHING"
        ).format(table=sql.Identifier(table), columns=columns),
        [Jsonb([dict(row) for row in rows], dumps=AS_WRITTEN)],
    ).rowcount


def _update(connection: psycopg.Connection, table: str, plan: Plan) -> int:
    """Lay each row's changed columns over the row; the other columns keep what they have."""
    updates = plan.updates[table]
    changed = sorted({column for update in updates for column in update.after})
    return connection.execute(
        sql.SQL(
            "UPDATE {table} AS present SET ({columns}) = "
            "(SELECT {columns} FROM jsonb_populate_record(present, wanted.after)) "
            "FROM jsonb_to_recordset(%s) AS wanted (id uuid, after jsonb) WHERE present.id = wanted.id"
        ).format(table=sql.Identifier(table), columns=sql.SQL(", ").join(map(sql.Identifier, changed))),
        [Jsonb([{"id": update.id, "after": dict(update.after)} for update in updates], dumps=AS_WRITTEN)],
    ).rowcount


def _delete(connection: psycopg.Connection, table: str, plan: Plan) -> int:
    return connection.execute(
        sql.SQL("DELETE FROM {} WHERE id = ANY(%s::uuid[])").format(sql.Identifier(table)),
        [[row["id"] for row in plan.prunes[table]]],
    ).rowcount
