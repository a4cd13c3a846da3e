"""The rehearsal's database and its roles: each process has its own credentials, and the rights it needs."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

import psycopg
from psycopg import sql

DATABASE = "alpimonitor"
OWNER, API, SEEDER, WATCHDOG = (
    "alpimonitor_owner",
    "alpimonitor_api",
    "alpimonitor_seed",
    "alpimonitor_watchdog",
)

# What the owner's tables let the others do, from the moment a migration makes them. The sidecar is not here:
# it gets SELECT on the tables it guards, and nothing else.
RIGHTS = {API: "SELECT, INSERT, UPDATE", SEEDER: "SELECT, INSERT"}


@dataclass(frozen=True)
class Login:
    """Credentials on loopback; the password is left out of the repr."""

    role: str
    port: int
    password: str = field(repr=False)

    @property
    def url(self) -> str:
        """A libpq URL with the password: for environments, never for logs or argument lists."""
        return f"postgresql://{self.role}:{quote(self.password, safe='')}@127.0.0.1:{self.port}/{DATABASE}"

    @property
    def pgpass(self) -> str:
        """A line of a libpq password file."""
        return f"127.0.0.1:{self.port}:{DATABASE}:{self.role}:{self.password}\n"


def create_database(admin_url: str, port: int) -> dict[str, Login]:
    """Make the database and the roles, each with a random password; the logins by role."""
    logins = {role: Login(role, port, secrets.token_urlsafe(24)) for role in (OWNER, API, SEEDER, WATCHDOG)}
    with psycopg.connect(admin_url, autocommit=True) as admin:
        for login in logins.values():
            admin.execute(
                sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(
                    sql.Identifier(login.role), sql.Literal(login.password)
                )
            )
        admin.execute(
            sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(DATABASE), sql.Identifier(OWNER))
        )
    with psycopg.connect(logins[OWNER].url, autocommit=True) as owner:
        for role, rights in RIGHTS.items():
            owner.execute(
                sql.SQL("ALTER DEFAULT PRIVILEGES GRANT {} ON TABLES TO {}").format(
                    sql.SQL(rights), sql.Identifier(role)
                )
            )
    return logins


def grant_watch(owner_url: str, tables: Sequence[str]) -> None:
    """Let the sidecar read the tables it guards: the first rung needs no other right."""
    with psycopg.connect(owner_url, autocommit=True) as owner:
        owner.execute(
            sql.SQL("GRANT SELECT ON {} TO {}").format(
                sql.SQL(", ").join(map(sql.Identifier, tables)), sql.Identifier(WATCHDOG)
            )
        )
