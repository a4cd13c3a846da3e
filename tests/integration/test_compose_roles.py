"""The roles of compose.yaml's database, made by the real script on a server of its own."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import psycopg
import pytest
from psycopg import errors

from alpimonitor_cli.migrate import upgrade
from alpimonitor_rehearsal.postgres import Origin, PostgresServer, find_binaries, running_postgres
from tests.databases import chosen_database

SCRIPT = Path(__file__).resolve().parents[2] / "cli" / "alpimonitor_cli" / "roles" / "compose.sql"
PASSWORDS = {
    f"{role.upper()}_DATABASE_PASSWORD": f"{role}-secret" for role in ("owner", "api", "seed", "watchdog")
}


def run_script(server: PostgresServer, passwords: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """As the postgres image runs it: psql that stops at the first error, the passwords in its environment."""
    return subprocess.run(
        [server.psql, "--no-psqlrc", "--set=ON_ERROR_STOP=1", f"--file={SCRIPT}"],
        env={**os.environ, **server.environment("alpimonitor"), **passwords},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


def own_server() -> AbstractContextManager[PostgresServer]:
    """A server of one's own, of the version that the run is about."""
    only_system = chosen_database() == "system"
    return running_postgres(
        binaries=find_binaries(origins=(Origin.SYSTEM,) if only_system else tuple(Origin))
    )


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """Roles belong to a whole server, so this one is not shared."""
    with own_server() as started:
        with psycopg.connect(started.url(), autocommit=True) as admin:
            admin.execute("CREATE DATABASE alpimonitor")
        done = run_script(started, PASSWORDS)
        assert done.returncode == 0, done.stderr
        upgrade(as_role(started, "owner"), environment="test")
        yield started


def as_role(server: PostgresServer, role: str) -> str:
    return f"postgresql://alpimonitor_{role}:{role}-secret@127.0.0.1:{server.port}/alpimonitor"


def test_the_owner_migrates_and_is_no_superuser(server: PostgresServer) -> None:
    with psycopg.connect(as_role(server, "owner")) as connection:
        owner = connection.execute(
            "SELECT tableowner FROM pg_tables WHERE tablename = 'station' AND schemaname = 'public'"
        ).fetchone()
        superuser = connection.execute(
            "SELECT rolsuper FROM pg_roles WHERE rolname = session_user"
        ).fetchone()
    assert owner == ("alpimonitor_owner",)
    assert superuser == (False,)


def test_the_seed_fills_the_context_with_its_own_role(server: PostgresServer) -> None:
    environment = {**os.environ, "SEED_DATABASE_URL": as_role(server, "seed")}
    for mode in ("missing", "converge"):
        seeded = subprocess.run(
            [sys.executable, "-m", "alpimonitor_cli.main", "seed", "--mode", mode],
            env=environment,
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert seeded.returncode == 0, seeded.stderr
    with psycopg.connect(as_role(server, "watchdog")) as connection:
        assert connection.execute("SELECT count(*) FROM station").fetchone() == (7,)
        assert connection.execute("SELECT count(*) FROM seed_run").fetchone() == (2,)


@pytest.mark.parametrize("role", ["api", "seed", "watchdog"])
@pytest.mark.parametrize(
    "statement", ["DELETE FROM station", "TRUNCATE station CASCADE", "DROP TABLE station"]
)
def test_only_the_owner_can_take_rows_away(server: PostgresServer, role: str, statement: str) -> None:
    with psycopg.connect(as_role(server, role)) as connection, pytest.raises(errors.InsufficientPrivilege):
        connection.execute(statement)


@pytest.mark.parametrize("table", ["measurement", "ingestion_run", "threshold", "threshold_audit", "alert"])
def test_the_api_may_write_what_it_writes(server: PostgresServer, table: str) -> None:
    with psycopg.connect(as_role(server, "api")) as connection:
        may = [
            connection.execute("SELECT has_table_privilege(%s, %s)", [table, right]).fetchone()
            for right in ("SELECT", "INSERT", "UPDATE")
        ]
    assert may == [(True,)] * 3


def test_the_sidecar_reads_everything_it_guards_and_writes_nothing(server: PostgresServer) -> None:
    with psycopg.connect(as_role(server, "watchdog")) as connection:
        writable = connection.execute(
            """
            SELECT oid::regclass FROM pg_class
            WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
              AND (has_table_privilege(oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
                   OR NOT has_table_privilege(oid, 'SELECT'))
            """
        ).fetchall()
        sees_sessions = connection.execute("SELECT pg_has_role('pg_monitor', 'MEMBER')").fetchone()
    assert writable == []
    assert sees_sessions == (True,)


@pytest.fixture
def attempt(server: PostgresServer) -> str:
    """The identifier of a heal that the sidecar has recorded."""
    identifier = f"h-{secrets.token_hex(6)}"
    with psycopg.connect(as_role(server, "watchdog")) as connection:
        connection.execute(
            "INSERT INTO alpimonitor_watchdog.heal_attempt (id, incident, healer, sidecar)"
            " VALUES (%s, 'incident-1', 'command', 'a')",
            (identifier,),
        )
    return identifier


def test_the_sidecar_keeps_the_ledger_of_heals(server: PostgresServer, attempt: str) -> None:
    with psycopg.connect(as_role(server, "watchdog")) as connection:
        ended = connection.execute(
            "UPDATE alpimonitor_watchdog.heal_attempt SET outcome = 'failed', ended_at = now() WHERE id = %s",
            (attempt,),
        )
        assert ended.rowcount == 1


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        ("watchdog", "DELETE FROM alpimonitor_watchdog.heal_attempt"),
        ("watchdog", "TRUNCATE alpimonitor_watchdog.heal_attempt"),
        ("watchdog", "DROP TABLE alpimonitor_watchdog.heal_attempt"),
        ("watchdog", "UPDATE alpimonitor_watchdog.heal_attempt SET at = now() - interval '1 day'"),
        ("watchdog", "CREATE TABLE alpimonitor_watchdog.more (id integer)"),
        ("api", "SELECT FROM alpimonitor_watchdog.heal_attempt"),
        ("seed", "SELECT FROM alpimonitor_watchdog.heal_attempt"),
    ],
)
def test_nobody_can_make_the_ledger_of_heals_shorter_or_older(
    server: PostgresServer, attempt: str, role: str, statement: str
) -> None:
    with psycopg.connect(as_role(server, role)) as connection, pytest.raises(errors.InsufficientPrivilege):
        connection.execute(statement)  # type: ignore[call-overload]


def test_a_password_that_is_missing_stops_the_script_before_it_made_anything() -> None:
    with own_server() as fresh, psycopg.connect(fresh.url(), autocommit=True) as admin:
        admin.execute("CREATE DATABASE alpimonitor")
        done = run_script(fresh, {"OWNER_DATABASE_PASSWORD": "only-this-one"})
        made = admin.execute("SELECT rolname FROM pg_roles WHERE rolname LIKE 'alpimonitor%'").fetchall()
    assert done.returncode != 0
    assert made == []
    assert "only-this-one" not in done.stderr
