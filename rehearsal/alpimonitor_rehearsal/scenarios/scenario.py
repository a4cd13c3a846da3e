"""What a scenario is: how a database is broken, step by step, and what must be concluded of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum

from alpimonitor_api.tables import CONTEXT_TABLES, OPERATIONAL_TABLES
from alpimonitor_rehearsal.roles import OWNER
from alpimonitor_rehearsal.scenarios.words import Circumstance, Heals, Symptom, Verdict

OPERATOR = "ops-shell"
"""The application_name of whoever breaks something: a shell that sourced production's credentials."""

CONTEXT = tuple(table.name for table in CONTEXT_TABLES)
"""In the order of their foreign keys."""

REFERENCING = tuple(table.name for table in OPERATIONAL_TABLES if table.foreign_keys)
"""The operational tables whose rows keep a context row from being deleted."""


class Kind(StrEnum):
    """Which kind of database is broken. The value is its name."""

    ALPIMONITOR = "alpimonitor"
    FOREIGN = "foreign"  # a stranger's: other names, and foreign keys that cascade


class By(Enum):
    """Whose credentials a script runs with."""

    OWNER = "owner"  # of the tables
    SUPERUSER = "superuser"


@dataclass(frozen=True)
class Script:
    """SQL for psql, each script in a process of its own."""

    sql: str
    by: By = By.OWNER
    together: bool = True  # in one transaction; False: each statement commits by itself
    beside: bool = False  # connected to the database postgres, not to the one that is guarded


class Act(Enum):
    """What an operator does to a server, or by a program other than psql."""

    RESTART = "the server is restarted"
    CRASH = "the server is killed and started again"
    TAKE_THE_PLACE_OF_AN_EARLIER_STATE = "a copy of the data directory from before the seed takes its place"
    START_AFRESH = "a new cluster takes its place, with the same roles and passwords and an empty database"
    FOLLOW = "the server comes back as a standby"
    PROMOTE = "the standby becomes the primary"
    LEAD_ELSEWHERE = "the address leads to another server, with another deployment"
    DUMP = "pg_dump writes the database to a file"
    LOAD_THE_DUMP = "psql loads that file"
    PRUNE = "alpimonitor seed --prune with fixtures that declare one withdrawal less, and a reason"


Step = Script | Act


@dataclass(frozen=True)
class Attribution:
    """Who an investigation has to name: how application_name and statement begin, and the role."""

    application_name: str
    statement: str
    role: str = OWNER


@dataclass(frozen=True)
class Scenario:
    """One way to break a database, and what must be concluded.

    `says` completes "It …". `steps` are carried out one after the other on a seeded database; the flight
    recorder is installed where `recorder` says so. `scope` names the context tables that lose rows.
    `verdict`, `symptom` and `attribution` are what must be concluded, None where there is none;
    `circumstances` at least, beside it. `heals` is how it has to end.
    """

    name: str
    says: str
    steps: tuple[Step, ...]
    verdict: Verdict | None
    symptom: Symptom | None
    attribution: Attribution | None
    heals: Heals
    scope: tuple[str, ...] = ()
    circumstances: frozenset[Circumstance] = frozenset()
    kind: Kind = Kind.ALPIMONITOR
    recorder: bool = True

    @property
    def break_it(self) -> str:
        """The SQL of a scenario that is one script. Raises ValueError for another one."""
        match self.steps:
            case (Script(sql=sql),):
                return sql
            case _:
                raise ValueError(f"the scenario {self.name} is not one script of psql")

    @property
    def healed(self) -> bool:
        """Whether a heal has to put rows back."""
        return self.heals is not Heals.NOTHING


def script(*statements: str) -> str:
    """SQL for psql, of statements without their semicolons."""
    return "".join(f"{statement};\n" for statement in statements)
