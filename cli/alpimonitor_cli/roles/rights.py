"""What each role may do, thing by thing: the one place where that is written. Pure.

What nobody has to delete nobody can delete: only the owner may DELETE, TRUNCATE or DROP, and only migrations
and a prune borrow its credentials. The evidence of the flight recorder is not even the owner's.

No default privileges: they know neither columns nor one table from another. A table that a migration makes is
the owner's alone until its rights are given, which boot and `db upgrade` do at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from alpimonitor_api.tables import CONTEXT_TABLES, OPERATIONAL_TABLES
from alpimonitor_cli.roles.names import API, HEALER, OWNER, READER, RECORDER, SEEDER, WATCHDOG

PUBLIC = "PUBLIC"  # everybody; a role of that name cannot be made without quotes
DATABASE_OWNER = "pg_database_owner"

LEDGER, EVIDENCE = "alpimonitor_watchdog", "flight_recorder"

CONTEXT = tuple(table.name for table in CONTEXT_TABLES)
OPERATIONAL = tuple(table.name for table in OPERATIONAL_TABLES)
BOOKS = ("deployment", "seed_run", "alembic_version")

DROPS = {
    "flight_recorder_drop": "ON sql_drop EXECUTE FUNCTION flight_recorder.record_drop()",
    "flight_recorder_ddl": "ON ddl_command_end WHEN TAG IN ('ALTER TABLE') "
    "EXECUTE FUNCTION flight_recorder.record_ddl()",
}
"""The event triggers that record DROP and disarming: only a superuser may make them."""


class Kind(StrEnum):
    """What a right is on, as GRANT says it."""

    DATABASE = "DATABASE"
    SCHEMA = "SCHEMA"
    TABLE = "TABLE"  # a view, too
    SEQUENCE = "SEQUENCE"
    FUNCTION = "FUNCTION"


@dataclass(frozen=True, order=True)
class Thing:
    """Something that has an owner and rights. `schema` is empty for a database and for a schema.

    `arguments` are those of a function, as PostgreSQL writes them.
    """

    kind: Kind
    schema: str
    name: str
    arguments: str = ""


@dataclass(frozen=True, order=True)
class Right:
    """One privilege of one role on one thing, or on one column of it."""

    thing: Thing
    grantee: str
    privilege: str
    column: str = ""


SELECT: dict[str, tuple[str, ...]] = {
    API: (*CONTEXT, *OPERATIONAL, "deployment", "alembic_version"),
    # What refers to the rows that a prune would take, so that it can be planned.
    SEEDER: (*CONTEXT, *OPERATIONAL, "deployment"),
    WATCHDOG: (*CONTEXT, *OPERATIONAL, *BOOKS),
    HEALER: (*CONTEXT, "deployment"),
    READER: (*CONTEXT, *OPERATIONAL, *BOOKS),
    RECORDER: CONTEXT,  # counts what a statement has left
}

INSERT: dict[str, tuple[str, ...]] = {
    API: (*OPERATIONAL, "threshold"),  # an operator may tune where no fixture has a threshold
    # Identifiers of the context are derived from natural keys: there is no sequence to advance.
    SEEDER: (*CONTEXT, "seed_run"),
    HEALER: (*CONTEXT, "seed_run"),
}

UPDATE: dict[str, dict[str, tuple[str, ...]]] = {
    API: {
        "measurement": ("value", "payload_fetched_at"),  # of a payload that was fetched later
        "alert": ("level", "trigger_value", "threshold_value", "closed_at", "metadata"),
        "threshold": ("vigilance_value", "alert_value", "direction", "tuned_at", "tuned_by"),
    },
    # Whole tables: to keep other writers off the context, LOCK TABLE asks for no less.
    SEEDER: dict.fromkeys(CONTEXT, ()),
}

MAY_CONNECT = (API, SEEDER, WATCHDOG, HEALER, READER)


def wanted(database: str, things: Iterable[Thing]) -> frozenset[Right]:
    """The rights that the roles need beside those of an owner, on what there is of `things`."""
    present = frozenset(things)
    rights = {right for right in _all(database) if right.thing in present}
    # What the recorder is installed by goes on guarding tables, and cannot touch what was recorded.
    rights |= {Right(thing, OWNER, "EXECUTE") for thing in present if thing.kind is Kind.FUNCTION}
    return frozenset(rights)


def owner_of(thing: Thing) -> tuple[str, ...]:
    """Who may own it, the first if it has to change; empty: it is not ours to say."""
    match thing:
        case Thing(Kind.DATABASE):
            return (OWNER,)
        case Thing(Kind.SCHEMA, name="public"):
            return (OWNER, DATABASE_OWNER)
        case Thing(Kind.SCHEMA, name=name) if name == LEDGER:
            return (OWNER,)
        case Thing(Kind.SCHEMA, name=name) if name == EVIDENCE:
            return (RECORDER,)
        case Thing(schema=schema) if schema == EVIDENCE:
            return (RECORDER,)
        case Thing(schema=schema) if schema == LEDGER:
            return (OWNER,)
        case Thing(Kind.TABLE, "public", name) if name in (*CONTEXT, *OPERATIONAL, *BOOKS):
            return (OWNER,)
    return ()


def _all(database: str) -> Iterator[Right]:
    here = Thing(Kind.DATABASE, "", database)
    for role in MAY_CONNECT:
        yield Right(here, role, "CONNECT")
        yield Right(Thing(Kind.SCHEMA, "", "public"), role, "USAGE")
    yield Right(here, HEALER, "TEMPORARY")  # a heal compares before it inserts
    yield Right(Thing(Kind.SCHEMA, "", "public"), RECORDER, "USAGE")
    for privilege, tables in (("SELECT", SELECT), ("INSERT", INSERT)):
        for role, names in tables.items():
            for name in names:
                yield Right(_table(name), role, privilege)
    for role, columns_of in UPDATE.items():
        for name, columns in columns_of.items():
            for column in columns or ("",):
                yield Right(_table(name), role, "UPDATE", column)
    yield from _of_the_sidecar()


def _of_the_sidecar() -> Iterator[Right]:
    """The ledger of heals, which the sidecar may make longer, and the evidence, which it may read."""
    yield Right(Thing(Kind.SCHEMA, "", LEDGER), WATCHDOG, "USAGE")
    attempt = Thing(Kind.TABLE, LEDGER, "heal_attempt")
    for privilege, column in (("SELECT", ""), ("INSERT", ""), ("UPDATE", "outcome"), ("UPDATE", "ended_at")):
        yield Right(attempt, WATCHDOG, privilege, column)
    yield Right(Thing(Kind.SCHEMA, "", EVIDENCE), WATCHDOG, "USAGE")
    for name in ("event", "guarded", "journal", "version"):
        yield Right(Thing(Kind.TABLE, EVIDENCE, name), WATCHDOG, "SELECT")
    yield Right(Thing(Kind.SCHEMA, "", EVIDENCE), OWNER, "USAGE")
    for name in ("guarded", "version"):
        yield Right(Thing(Kind.TABLE, EVIDENCE, name), OWNER, "SELECT")


def _table(name: str) -> Thing:
    return Thing(Kind.TABLE, "public", name)
