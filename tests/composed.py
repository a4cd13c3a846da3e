"""The database of compose.yaml, made on a server of its own by what its service `prepare` runs."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import yaml

from alpimonitor_cli.roles.names import ROLES
from alpimonitor_rehearsal.postgres import Origin, PostgresServer, find_binaries, running_postgres
from tests.databases import chosen_database

COMPOSE = Path(__file__).resolve().parents[1] / "compose.yaml"
DATABASE = "alpimonitor"
ALPIMONITOR = (sys.executable, "-m", "alpimonitor_cli.main")
REFERENCE = re.compile(r"\$\{(?P<name>\w+):(?:\?|-(?P<default>))[^}]*\}")
DEADLINE = 120.0


@dataclass(frozen=True)
class Database:
    """A server whose database is called alpimonitor. `passwords` are those of .env, by variable."""

    server: PostgresServer
    passwords: Mapping[str, str] = field(repr=False)

    @property
    def admin(self) -> str:
        """The URL of the superuser."""
        return self.server.url(DATABASE)

    def url(self, role: str) -> str:
        (variable,) = [known.password_variable for known in ROLES if known.name == role]
        assert variable is not None
        return f"postgresql://{role}:{self.passwords[variable]}@127.0.0.1:{self.server.port}/{DATABASE}"

    def run(self, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """A command of ours with nothing in its environment but this."""
        kept = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "COLUMNS": "200"}
        return subprocess.run(
            [*ALPIMONITOR, *words],
            env={**kept, **environ},
            capture_output=True,
            text=True,
            check=False,
            timeout=DEADLINE,
        )

    def roles(self, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """`alpimonitor roles …` as the superuser, with every password."""
        return self.run("roles", *words, **{"ADMIN_DATABASE_URL": self.admin, **self.passwords, **environ})

    def service(self, name: str) -> tuple[list[str], dict[str, str]]:
        """The arguments and the environment of a service, as compose would have them here."""
        declared = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"][name]
        values = {**self.passwords, "DEPLOYMENT_ENVIRONMENT": "test", "SEED_ON_BOOT": "true"}
        here = self.admin.rpartition("@")[2].rpartition("/")[0]
        superuser = self.admin.partition("://")[2].partition("@")[0]

        def written(text: str) -> str:
            text = re.sub(r"postgres:\$\{POSTGRES_PASSWORD:[^}]*\}", superuser, text)
            filled = REFERENCE.sub(lambda found: values.get(found["name"], ""), text)
            return filled.replace("@postgres:5432", f"@{here}")

        program, *arguments = declared["command"]
        assert program == "alpimonitor"
        return arguments, {key: written(str(value)) for key, value in declared["environment"].items()}


@contextlib.contextmanager
def empty_database() -> Iterator[Database]:
    """A server of one's own, of the version that the run is about, with the database and no roles."""
    only_system = chosen_database() == "system"
    with running_postgres(
        binaries=find_binaries(origins=(Origin.SYSTEM,) if only_system else tuple(Origin))
    ) as server:
        with psycopg.connect(server.url(), autocommit=True) as admin:
            admin.execute("CREATE DATABASE alpimonitor")
        passwords = {
            role.password_variable: secrets.token_hex(16) for role in ROLES if role.password_variable
        }
        yield Database(server, passwords)


@contextlib.contextmanager
def prepared_database() -> Iterator[Database]:
    """The same when `prepare` has ended: migrated and seeded. Roles without a password in compose get one."""
    with empty_database() as database:
        arguments, environ = database.service("prepare")
        done = database.run(*arguments, **environ)
        assert done.returncode == 0, done.stderr
        given = database.roles("apply")
        assert given.returncode == 0, given.stdout + given.stderr
        yield database
