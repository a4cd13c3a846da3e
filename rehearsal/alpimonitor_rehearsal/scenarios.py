"""The one catalogue of ways to break the database, with what must be concluded of each.

Demo, tests, benchmarks and drills read it; nothing of it reaches the database or the sidecar but the SQL that
an operator would have typed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from alpimonitor_api.tables import CONTEXT_TABLES, OPERATIONAL_TABLES

OPERATOR = "ops-shell"
"""The application_name of whoever breaks something: a shell that sourced production's credentials."""

CONTEXT = tuple(table.name for table in CONTEXT_TABLES)
"""In the order of their foreign keys."""

REFERENCING = tuple(table.name for table in OPERATIONAL_TABLES if table.foreign_keys)
"""The operational tables whose rows keep a context row from being deleted."""


class Symptom(StrEnum):
    """The sidecar's words for the losses of this catalogue; a test keeps them the same as its own."""

    CONTEXT_EMPTY = "context_empty"
    CONTEXT_SHRUNK = "context_shrunk"


class Verdict(StrEnum):
    """What an investigation has to conclude."""

    ROWS_DELETED_IN_PLACE = "rows_deleted_in_place"
    TABLE_TRUNCATED = "table_truncated"


class Heals(StrEnum):
    """What healing has to achieve."""

    ONCE = "once"  # the context is put back and stays
    UNTIL_THE_CIRCUIT_OPENS = (
        "until_the_circuit_opens"  # broken again after each heal, until a person is needed
    )
    BY_ANOTHER = "by_another"  # the sidecar that leads is cut off meanwhile: another one heals, once


@dataclass(frozen=True)
class Attribution:
    """Who an investigation has to name: the session's application_name, and how its statement begins."""

    application_name: str
    statement: str


@dataclass(frozen=True)
class Scenario:
    """One way to break a database.

    `scope` names the context tables that lose rows; `break_it` is SQL for psql, to be run in one transaction
    by the owner of the tables, on a seeded database. `symptom`, `verdict` and `attribution` are what must be
    concluded, `heals` is how it has to end.
    """

    name: str
    scope: tuple[str, ...]
    break_it: str
    symptom: Symptom
    verdict: Verdict
    attribution: Attribution
    heals: Heals


def _script(*statements: str) -> str:
    return "".join(f"{statement};\n" for statement in statements)


_DELETE_EVERYTHING = _script(*(f"DELETE FROM {name}" for name in (*REFERENCING, *reversed(CONTEXT))))

DELETE = Scenario(
    name="delete",
    scope=CONTEXT,
    # What references the context goes first, as in the incident of 2026-04-21: every foreign key restricts.
    break_it=_DELETE_EVERYTHING,
    symptom=Symptom.CONTEXT_EMPTY,
    verdict=Verdict.ROWS_DELETED_IN_PLACE,
    attribution=Attribution(OPERATOR, "DELETE"),
    heals=Heals.ONCE,
)

TRUNCATE = Scenario(
    name="truncate",
    scope=CONTEXT,
    break_it=_script(f"TRUNCATE {', '.join(CONTEXT)} CASCADE"),
    symptom=Symptom.CONTEXT_EMPTY,
    verdict=Verdict.TABLE_TRUNCATED,
    attribution=Attribution(OPERATOR, "TRUNCATE"),
    heals=Heals.ONCE,
)

PARTIAL = Scenario(
    name="partial",
    scope=("threshold", "withdrawal"),
    # A careless WHERE: no table is empty and the API answers with every station; two are below their floor.
    break_it=_script(
        "DELETE FROM threshold WHERE station_id IN (SELECT id FROM station WHERE data_source = 'RESEARCH')",
        "DELETE FROM withdrawal WHERE name = (SELECT min(name) FROM withdrawal)",
    ),
    symptom=Symptom.CONTEXT_SHRUNK,
    verdict=Verdict.ROWS_DELETED_IN_PLACE,
    attribution=Attribution(OPERATOR, "DELETE"),
    heals=Heals.ONCE,
)

REPEAT = Scenario(
    name="repeat",
    scope=CONTEXT,
    # Something deletes the rows again as soon as they are back: healing for ever would hide it.
    break_it=_DELETE_EVERYTHING,
    symptom=Symptom.CONTEXT_EMPTY,
    verdict=Verdict.ROWS_DELETED_IN_PLACE,
    attribution=Attribution(OPERATOR, "DELETE"),
    heals=Heals.UNTIL_THE_CIRCUIT_OPENS,
)

PARTITION = Scenario(
    name="partition",
    scope=CONTEXT,
    # Two sidecars watch. Once the one that leads has opened its incident, nothing passes between it and the
    # database any more, until the other one has healed and resolved.
    break_it=_DELETE_EVERYTHING,
    symptom=Symptom.CONTEXT_EMPTY,
    verdict=Verdict.ROWS_DELETED_IN_PLACE,
    attribution=Attribution(OPERATOR, "DELETE"),
    heals=Heals.BY_ANOTHER,
)

SCENARIOS = {scenario.name: scenario for scenario in (DELETE, TRUNCATE, PARTIAL, REPEAT, PARTITION)}
"""By name, in the order in which they are shown."""
