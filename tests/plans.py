"""What a statement of the API reads: PostgreSQL's own count of pages, and its plan. Never a time."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from psycopg import sql

from alpimonitor_api.database import Database, Row
from alpimonitor_api.queries.building import Statement

PLANS = ("force_custom_plan", "force_generic_plan")
"""Made for these parameters, or for any: after its fifth time PostgreSQL may turn to the second."""

_PLACE = re.compile(rb"%\((\w+)\)s")


@dataclass(frozen=True)
class Asked:
    """A statement that the API sent, and with what."""

    statement: Statement
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class Plan:
    """One execution of a statement."""

    pages: int  # of tables and indexes, in memory or not
    nodes: Sequence[Mapping[str, Any]]  # EXPLAIN's, of the whole tree

    def on(self, table: str) -> list[Mapping[str, Any]]:
        """The nodes that read this table."""
        return [node for node in self.nodes if node.get("Relation Name") == table]


@contextmanager
def recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Asked]]:
    """What the API sends meanwhile; it sends it all the same."""
    asked: list[Asked] = []
    send = Database.row

    async def row(
        self: Database, statement: Statement, parameters: Mapping[str, object], *, within: float
    ) -> Row:
        asked.append(Asked(statement, parameters))
        return await send(self, statement, parameters, within=within)

    with monkeypatch.context() as patch:
        patch.setattr(Database, "row", row)
        yield asked


def explained(connection: psycopg.Connection, asked: Asked, plan: str) -> Plan:
    """The statement, prepared as the API has it prepared, and executed with what the API asked for."""
    names: list[bytes] = []

    def place(found: re.Match[bytes]) -> bytes:
        if found[1] not in names:
            names.append(found[1])
        return b"$%d" % (names.index(found[1]) + 1)

    numbered = _PLACE.sub(place, asked.statement).replace(b"%%", b"%")
    values = [sql.Literal(asked.parameters[name.decode()]) for name in names]
    given = sql.SQL("({})").format(sql.SQL(", ").join(values)) if values else sql.SQL("")
    connection.execute("SELECT set_config('plan_cache_mode', %s, false)", (plan,))
    connection.execute(b"PREPARE asked AS " + numbered)
    try:
        found = connection.execute(
            sql.SQL("EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) EXECUTE asked{}").format(given)
        ).fetchone()
    finally:
        connection.execute("DEALLOCATE asked")
    assert found is not None
    whole = found[0][0]["Plan"]
    return Plan(whole["Shared Hit Blocks"] + whole["Shared Read Blocks"], list(_tree(whole)))


def _tree(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield node
    for below in node.get("Plans", ()):
        yield from _tree(below)
