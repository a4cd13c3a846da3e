"""The three rungs, and the rights that each needs in one particular database, as SQL to paste. Pure.

Watch: read the guarded tables. Name: install the flight recorder. Heal: insert what is missing. Each is a
role of its own, so that whoever gets hold of one password can do no more than that rung. No statement holds a
password.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .found import SessionFound, TableFound
from .spelling import sql_name

WATCHER, RECORDER, HEALER = "alpimonitor_watch", "alpimonitor_record", "alpimonitor_heal"


@dataclass(frozen=True)
class Rung:
    """`statements` are whole; `notes` are what no statement here can do."""

    name: str
    gives: str
    statements: tuple[str, ...]
    notes: tuple[str, ...]


def watch(session: SessionFound, tables: Sequence[TableFound], *, role: str, is_new: bool) -> Rung:
    """`tables` are the guarded ones, those to be guarded once they can be seen, and that of the revision."""
    return Rung(
        "watch",
        "notices that rows are gone, and notifies",
        (
            *_role(role, is_new=is_new),
            f"GRANT CONNECT ON DATABASE {sql_name(session.database)} TO {sql_name(role)};",
            *_granted("USAGE ON SCHEMA", _schemas(tables), role),
            *_granted("SELECT ON TABLE", _names(tables), role),
            *_sees_all(role, tables),
        ),
        _login(role) if is_new else (),
    )


def name(session: SessionFound, tables: Sequence[TableFound], *, role: str = RECORDER) -> Rung:
    """`tables` are the guarded ones."""
    return Rung(
        "name",
        "names the session behind a loss: the flight recorder's triggers",
        (
            *_role(role, is_new=True),
            f"GRANT CONNECT, CREATE ON DATABASE {sql_name(session.database)} TO {sql_name(role)};",
            *_granted("USAGE ON SCHEMA", _schemas(tables), role),
            *_granted("SELECT, TRIGGER ON TABLE", _names(tables), role),
        ),
        (
            *_login(role),
            "then, with its URL in OWNER_DATABASE_URL, for this alone and never for running: "
            f"alpimonitor recorder install --reader {WATCHER}",
            "installed by the tables' owner the triggers fire in replicas, too; by a superuser, what DROP "
            "takes is recorded as well; where there is a role alpimonitor_recorder NOLOGIN that it may "
            "become, no application can change the evidence",
        ),
    )


def heal(session: SessionFound, context: Sequence[TableFound], *, role: str = HEALER) -> Rung:
    """`context` are the tables whose rows are put back."""
    sequences = sorted({sequence for table in context for sequence in table.sequences})
    schemas = sorted({schema for schema, _ in sequences} | {table.schema for table in context})
    return Rung(
        "heal",
        "puts rows back: for the role that the programs of [heal.command] connect as",
        (
            *_role(role, is_new=True),
            f"GRANT CONNECT, TEMPORARY ON DATABASE {sql_name(session.database)} TO {sql_name(role)};",
            *_granted("USAGE ON SCHEMA", [sql_name(schema) for schema in schemas], role),
            *_granted("SELECT, INSERT ON TABLE", _names(context), role),
            *_granted("USAGE, UPDATE ON SEQUENCE", [sql_name(*sequence) for sequence in sequences], role),
            *_sees_all(role, context),
        ),
        (
            *_login(role),
            "no DELETE and no TRUNCATE: a heal only inserts; UPDATE only on columns that it is to correct, "
            "as GRANT UPDATE (a_column) ON TABLE a_table",
        ),
    )


def _role(role: str, *, is_new: bool) -> tuple[str, ...]:
    return (f"CREATE ROLE {sql_name(role)} LOGIN;",) if is_new else ()


def _login(role: str) -> tuple[str, ...]:
    return (f"give {role} a password in psql: \\password {role}",)


def _granted(rights: str, things: Sequence[str], role: str) -> tuple[str, ...]:
    return (f"GRANT {rights} {', '.join(things)} TO {sql_name(role)};",) if things else ()


def _sees_all(role: str, tables: Sequence[TableFound]) -> tuple[str, ...]:
    """Row security hides rows from every role but a superuser and one that bypasses it."""
    return (f"ALTER ROLE {sql_name(role)} BYPASSRLS;",) if any(table.secured for table in tables) else ()


def _names(tables: Sequence[TableFound]) -> list[str]:
    return [sql_name(table.schema, table.name) for table in tables]


def _schemas(tables: Sequence[TableFound]) -> list[str]:
    return [sql_name(schema) for schema in sorted({table.schema for table in tables})]
