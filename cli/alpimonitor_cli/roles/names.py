"""The roles, what each is for, and the variables that their passwords come from."""

from __future__ import annotations

from dataclasses import dataclass

from alpimonitor_seed.variables import Read

OWNER = "alpimonitor_owner"
API = "alpimonitor_api"
SEEDER = "alpimonitor_seed"
WATCHDOG = "alpimonitor_watchdog"
HEALER = "alpimonitor_heal"
READER = "alpimonitor_reader"
DRILL = "alpimonitor_drill"
RECORDER = "alpimonitor_recorder"

ADMIN_URL = "ADMIN_DATABASE_URL"


@dataclass(frozen=True)
class Role:
    """A role that AlpiMonitor needs. None is a superuser, and none may make roles."""

    name: str
    purpose: str
    password_variable: str | None  # None: it cannot log in
    createdb: bool = False
    member_of: tuple[str, ...] = ()  # of PostgreSQL's predefined roles

    @property
    def login(self) -> bool:
        return self.password_variable is not None


ROLES = (
    Role(OWNER, "owns the database and its tables, and migrates", "OWNER_DATABASE_PASSWORD"),
    Role(API, "the API and ingestion", "API_DATABASE_PASSWORD"),
    Role(SEEDER, "converges the context to the fixtures", "SEED_DATABASE_PASSWORD"),
    Role(WATCHDOG, "the sidecar: reads", "WATCHDOG_DATABASE_PASSWORD", member_of=("pg_monitor",)),
    Role(HEALER, "the programs of a heal: insert what is missing", "HEAL_DATABASE_PASSWORD"),
    Role(READER, "dashboards and people who look", "READER_DATABASE_PASSWORD"),
    Role(DRILL, "drills: makes databases of its own", "DRILL_DATABASE_PASSWORD", createdb=True),
    # Its functions look up when the session that they run in began.
    Role(RECORDER, "owns the flight recorder's evidence", None, member_of=("pg_read_all_stats",)),
)
"""In the order in which they are made."""

NAMES = frozenset(role.name for role in ROLES)

VARIABLES = {
    ADMIN_URL: Read(
        None,
        "the database, as a role that may make roles: a superuser, or what stands for one on a managed "
        "server. Boot then makes the roles before it migrates, and gives them their rights afterwards",
    ),
    **{
        role.password_variable: Read(
            None, f"the password that `{role.name}` gets; not set: it keeps the one it has, or has none"
        )
        for role in ROLES
        if role.password_variable is not None
    },
}
