"""The sections of watchdog.toml, as the file is written. Every key is here; no other is accepted.

Frozen and strict: a number in quotes is not a number. Durations are written "500ms", "10s", "5m", "1h" and
read as seconds. Each section's docstring and each key's description are what the settings reference says of
it; what a key does not do yet is said there.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from .acting import Heal, HealCommand, Healing, Maintenance, PolicySection
from .guarded import Database, Evidence, Health, Ingestion, Revision, Table
from .section import Section
from .telling import Channel, Heartbeat

__all__ = [
    "Channel",
    "Database",
    "Declaration",
    "Evidence",
    "Heal",
    "HealCommand",
    "Healing",
    "Health",
    "Heartbeat",
    "Ingestion",
    "Maintenance",
    "PolicySection",
    "Revision",
    "Table",
]


class Declaration(Section):
    """watchdog.toml as a whole."""

    database: Database = Database()
    table: Annotated[tuple[Table, ...], Field(min_length=1)]
    revision: Revision | None = None
    ingestion: Ingestion | None = None
    health: tuple[Health, ...] = ()
    policy: PolicySection = PolicySection()
    evidence: Evidence = Evidence()
    healing: Healing = Healing()
    heal: Heal = Heal()
    maintenance: tuple[Maintenance, ...] = ()
    channel: tuple[Channel, ...] = ()
    heartbeat: Heartbeat | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for kind, found in (
            ("table", [t.name for t in self.table]),
            ("channel", [c.name for c in self.channel]),
        ):
            twice = sorted({name for name in found if found.count(name) > 1})
            if twice:
                raise ValueError(f"[[{kind}]] {twice[0]!r} is declared twice")
        for table in self.table:
            if (table.expected or 0) > self.policy.count_limit:
                raise ValueError(
                    f"[[table]] {table.name!r} expects more rows than [policy] count_limit counts "
                    f"({self.policy.count_limit}); raise count_limit above {table.expected}"
                )
        return self
