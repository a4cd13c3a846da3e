"""The rehearsal's database and its roles: a deployment's, made by the command that makes them there."""

from __future__ import annotations

import os
import secrets
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
from psycopg import sql

from alpimonitor_rehearsal.processes import environment, python_module

DATABASE = "alpimonitor"
OWNER, API, SEEDER, WATCHDOG, HEALER, READER, DRILL = (
    "alpimonitor_owner",
    "alpimonitor_api",
    "alpimonitor_seed",
    "alpimonitor_watchdog",
    "alpimonitor_heal",
    "alpimonitor_reader",
    "alpimonitor_drill",
)

PASSWORDS = {
    OWNER: "OWNER_DATABASE_PASSWORD",
    API: "API_DATABASE_PASSWORD",
    SEEDER: "SEED_DATABASE_PASSWORD",
    WATCHDOG: "WATCHDOG_DATABASE_PASSWORD",
    HEALER: "HEAL_DATABASE_PASSWORD",
    READER: "READER_DATABASE_PASSWORD",
    DRILL: "DRILL_DATABASE_PASSWORD",
}
"""The variable from which each role's password is taken."""

APPLIES_WITHIN = 60.0  # seconds


class RolesFailed(RuntimeError):
    """The roles could not be made. The message is what the command said."""


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
    """Make the database and the roles, each with a random password; the logins by role.

    `admin_url` is that of a superuser, for any database of the server. The roles have their rights on tables
    once these are there and `apply_roles` was called again. Raises RolesFailed.
    """
    logins = {role: Login(role, port, secrets.token_urlsafe(24)) for role in PASSWORDS}
    with psycopg.connect(admin_url, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
    apply_roles(admin_url, logins)
    return logins


def apply_roles(admin_url: str, logins: Mapping[str, Login]) -> None:
    """`alpimonitor roles apply`, as an operator would. Raises RolesFailed."""
    done = subprocess.run(
        python_module("alpimonitor_cli.main", "roles", "apply"),
        env=environment(Path(tempfile.gettempdir()), os.environ) | administration(admin_url, logins),
        capture_output=True,
        text=True,
        timeout=APPLIES_WITHIN,
        check=False,
    )
    if done.returncode != 0:
        raise RolesFailed(f"alpimonitor roles apply exited {done.returncode}: {done.stdout}{done.stderr}")


def administration(admin_url: str, logins: Mapping[str, Login]) -> dict[str, str]:
    """The settings with which `roles apply`, or a boot that prepares, makes the roles of the database."""
    here = urlunsplit(urlsplit(admin_url)._replace(path=f"/{DATABASE}"))
    return {"ADMIN_DATABASE_URL": here} | {PASSWORDS[role]: login.password for role, login in logins.items()}
