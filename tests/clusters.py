"""Servers that are ready in half a second: copies of data directories that were prepared once.

Each scenario may then do to its server whatever it says, down to its files.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from alpimonitor_rehearsal.breaking import HOST, Site, States, at
from alpimonitor_rehearsal.postgres import Binaries, PostgresServer, running_postgres
from alpimonitor_rehearsal.postgres.account import server_account
from alpimonitor_rehearsal.postgres.cluster import SUPERUSER
from alpimonitor_rehearsal.postgres.directory import throw_away_directory
from alpimonitor_rehearsal.roles import OWNER, SEEDER, WATCHDOG, Login, apply_roles, create_database
from alpimonitor_rehearsal.scenarios import Kind, Scenario
from alpimonitor_rehearsal.tcp_proxy import TcpProxy
from tests.databases import memory
from tests.sidecars import ALPIMONITOR, CONTEXT, SEED

ENVIRONMENT = "test"
PASSWORD_FILE = "password"  # of the superuser, in a data directory
TABLES = {
    Kind.ALPIMONITOR: CONTEXT,
    Kind.FOREIGN: {
        'public."Catchment"': 1,
        'public."Glacier"': 2,
        'public."Sensor"': 14,
        'public."Station"': 7,
        'public."StationGlacier"': 6,
        'public."Threshold"': 7,
        'public."Withdrawal"': 2,
        'public."_GlacierToTag"': 2,
        'public."_StationToTag"': 7,
    },
}
"""What is guarded, and how many rows it has."""
FOREIGN = Path(__file__).parent / "acceptance" / "foreign.sql"


@dataclass(frozen=True)
class Prepared:
    """Where scenarios begin; the logins are good for every copy, on the port that it has."""

    place: Path
    binaries: Binaries
    states: States
    logins: Mapping[str, Login]


@contextlib.contextmanager
def prepared(binaries: Binaries) -> Iterator[Prepared]:
    """Make the states, and remove them at the end."""
    temporary = memory() or Path(tempfile.gettempdir())
    with throw_away_directory(temporary, server_account()) as directory:
        place = directory.root
        states = States(*(place / name for name in ("seeded", "earlier", "fresh", "elsewhere")))
        with running_postgres(states.seeded, binaries=binaries) as server:
            logins = create_database(server.url(), server.port)
            _migrate(server, logins)
            _make_foreign(server, logins)
            server.stop()
            _copy(states.seeded, states.earlier)
            server.start()
            _seed(server, logins)
        with running_postgres(states.elsewhere, binaries=binaries) as server:
            create_database(server.url(), server.port)
            _let_passwords_be(server, logins, states.seeded / PASSWORD_FILE)
        _copy(states.elsewhere, states.fresh)
        with running_postgres(states.elsewhere, binaries=binaries) as server:
            _migrate(server, logins)
            _seed(server, logins)
        yield Prepared(place, server.binaries, states, logins)


@contextlib.contextmanager
def site_of(scenario: Scenario, prepared: Prepared, folder: Path) -> Iterator[Site]:
    """A server of its own for a scenario, as it is before anything happens."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(
            running_postgres(
                binaries=prepared.binaries, temporary=prepared.place, copy_of=prepared.states.seeded
            )
        )
        network = stack.enter_context(TcpProxy(HOST, server.port))
        site = Site(server, scenario.kind, prepared.logins, prepared.states, network, folder, stack)
        if not scenario.recorder:
            _take_the_recorder_away(site)
        yield site


def _migrate(server: PostgresServer, logins: Mapping[str, Login]) -> None:
    from alpimonitor_cli.migrate import upgrade

    upgrade(at(logins[OWNER], server.port, Kind.ALPIMONITOR), environment=ENVIRONMENT)
    apply_roles(server.url(), logins)


def _seed(server: PostgresServer, logins: Mapping[str, Login]) -> None:
    environ = {**os.environ, "SEED_DATABASE_URL": at(logins[SEEDER], server.port, Kind.ALPIMONITOR)}
    done = subprocess.run(SEED, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"seeding failed:\n{done.stdout}{done.stderr}"


def _make_foreign(server: PostgresServer, logins: Mapping[str, Login]) -> None:
    with psycopg.connect(server.url(), autocommit=True) as admin:
        admin.execute(
            sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(Kind.FOREIGN), sql.Identifier(OWNER))
        )
    with psycopg.connect(at(logins[OWNER], server.port, Kind.FOREIGN), autocommit=True) as owner:
        owner.execute(FOREIGN.read_text(encoding="utf-8"))
        for schema in ("public", "registry"):
            for right in ("USAGE ON SCHEMA {}", "SELECT ON ALL TABLES IN SCHEMA {}"):
                owner.execute(
                    sql.SQL(f"GRANT {right} TO {{}}").format(sql.Identifier(schema), sql.Identifier(WATCHDOG))
                )
    _record(server, kind=Kind.FOREIGN)


def _record(server: PostgresServer, *, kind: Kind) -> None:
    """As a superuser, who may have DROP recorded, too."""
    tables = ",".join(TABLES[kind])
    command = [*ALPIMONITOR, "recorder", "install", f"--tables={tables}", f"--reader={WATCHDOG}"]
    environ = {**os.environ, "OWNER_DATABASE_URL": server.url(kind.value)}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"installing the recorder failed:\n{done.stdout}{done.stderr}"


def _let_passwords_be(server: PostgresServer, logins: Mapping[str, Login], superusers: Path) -> None:
    """Those of the other cluster, from its next start on the superuser's too."""
    wanted = {role: login.password for role, login in logins.items()}
    wanted[SUPERUSER] = superusers.read_text(encoding="ascii").strip()
    with psycopg.connect(server.url(), autocommit=True) as admin:
        for role, password in wanted.items():
            admin.execute(
                sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(password))
            )
    _copy(superusers, server.root / PASSWORD_FILE)


def _take_the_recorder_away(site: Site) -> None:
    with psycopg.connect(site.server.url(site.kind.value), autocommit=True) as admin:
        admin.execute("DROP SCHEMA IF EXISTS flight_recorder CASCADE")


def _copy(source: Path, target: Path) -> None:
    subprocess.run(["cp", "-Rp", source, target], check=True)
