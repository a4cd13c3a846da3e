"""What is to be recorded, and the SQL of it for people who run it themselves. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import sql

from ..probe.names import Identifier, TableName
from .statements import recorder_sql

_EVIDENCE = "flight_recorder.event, flight_recorder.guarded, flight_recorder.journal, flight_recorder.version"


@dataclass(frozen=True)
class Wish:
    """One table to guard. `journal_rows` are kept of each statement; 0: none.

    None: as it is guarded by now, or else masked, without a journal. Without `kind_asked`, `context` is
    only for a table that is not guarded by now.
    """

    table: TableName
    context: bool = True
    keep_literals: bool | None = None
    journal_rows: int | None = None
    kind_asked: bool = True

    @property
    def kind(self) -> str:
        return "context" if self.context else "operational"


def guarding(wish: Wish, name: str) -> sql.Composed:
    """The statement that guards one table; `name` as PostgreSQL spells it. It returns how many it changed."""
    kind: sql.Composable = sql.Literal(wish.kind)
    if not wish.kind_asked:
        kind = sql.SQL(
            "coalesce((SELECT kind FROM flight_recorder.guarded WHERE relation = {}::regclass), {})"
        ).format(sql.Literal(name), kind)
    return sql.SQL("SELECT flight_recorder.guard({}::regclass, {}, {}, {})").format(
        sql.Literal(name),
        kind,
        sql.Literal(wish.keep_literals),
        sql.Literal(wish.journal_rows),
    )


def granting(reader: str) -> sql.Composed:
    """The statements that let the sidecar's role read the evidence, and do nothing else with it."""
    return sql.SQL(
        "GRANT USAGE ON SCHEMA flight_recorder TO {reader};\nGRANT SELECT ON {relations} TO {reader};"
    ).format(reader=sql.Identifier(reader), relations=sql.SQL(_EVIDENCE))


def script(wishes: Sequence[Wish], reader: str | None) -> str:
    """Everything that an installation runs, in its order. For managed servers, and for reading beforehand."""
    lines = [
        recorder_sql(),
        "-- Waiting for nobody for long: if it gives up, run the rest again.",
        "SET lock_timeout = '250ms';",
        "-- To alpimonitor_recorder, where that role exists: CREATE ROLE alpimonitor_recorder NOLOGIN;",
        "SELECT flight_recorder.hand_over();",
        "-- DROP and disarming; false where this role may not make event triggers.",
        "SELECT flight_recorder.watch_drops();",
        *([granting(reader).as_string()] if reader else []),
        "-- Each table by itself.",
        *(f"{guarding(wish, spelled(wish.table)).as_string()};" for wish in wishes),
    ]
    return "\n".join(lines) + "\n"


def spelled(table: TableName, *, exact: bool = False) -> str:
    """A declared name as SQL has it: unquoted parts in lower case, as PostgreSQL has them, or as written."""

    def part(name: Identifier) -> str:
        return sql.Identifier(name.exact if exact else name.folded).as_string()

    return ".".join(part(name) for name in (table.schema, table.table) if name is not None)
