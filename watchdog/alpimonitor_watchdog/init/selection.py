"""Which of a database's tables are worth guarding at all. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase

from ..probe import names
from .bookkeeping import bookkeeping
from .found import TableFound
from .spelling import declared


class Passed(StrEnum):
    """Why a table is passed over. The value is what people read."""

    SCHEMA = "its schema was not asked for"
    EXCLUDED = "excluded by --exclude"
    BOOKKEEPING = "a migration tool's own table"
    EXTENSION = "belongs to an extension, which puts its rows back itself"
    FOREIGN = "a foreign table: its rows are kept by another server"
    UNNAMEABLE = "its name cannot be declared: more than 63 bytes in UTF-8"


@dataclass(frozen=True)
class Selection:
    """What was asked for. No schema: all of them. `exclude`: patterns such as audit_* or public.Audit*."""

    schemas: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def passes_over(self, table: TableFound) -> Passed | None:
        """Why this table is not guarded; None: it is."""
        if any(_matches(pattern, table) for pattern in self.exclude):
            return Passed.EXCLUDED
        if bookkeeping(table.name, table.columns):
            return Passed.BOOKKEEPING
        if self.schemas and table.schema not in self.schemas:
            return Passed.SCHEMA
        if table.extension is not None:
            return Passed.EXTENSION
        if table.is_foreign:
            return Passed.FOREIGN
        if not _nameable(table):
            return Passed.UNNAMEABLE
        return None

    def without_effect(self, tables: Sequence[TableFound]) -> tuple[str, ...]:
        """What was asked for and matches nothing, as it would be written on the command line."""
        schemas = {table.schema for table in tables}
        return (
            *(f"--schema {schema}" for schema in self.schemas if schema not in schemas),
            *(
                f"--exclude {pattern}"
                for pattern in self.exclude
                if not any(_matches(pattern, table) for table in tables)
            ),
        )


def _matches(pattern: str, table: TableFound) -> bool:
    """By name, by schema.name, or as watchdog.toml spells it; upper and lower case differ."""
    spellings = (table.name, f"{table.schema}.{table.name}", declared(table.schema, table.name))
    return any(fnmatchcase(spelling, pattern) for spelling in spellings)


def _nameable(table: TableFound) -> bool:
    try:
        names.parse(declared(table.schema, table.name))
    except ValueError:
        return False
    return True
