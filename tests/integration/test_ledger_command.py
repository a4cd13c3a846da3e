"""`alpimonitor watchdog ledger`: what it prints is what it applies, and what the sidecars' role needs."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

COMMAND = (sys.executable, "-m", "alpimonitor_cli.main", "watchdog", "ledger")


def run(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *words], env={**os.environ, **environ}, capture_output=True, text=True, check=False
    )


@pytest.fixture
def role(empty_database: str) -> Iterator[str]:
    """A role of this test's own, with a name that needs its quotes."""
    name = f"Watch {uuid.uuid4().hex[:8]}"
    with psycopg.connect(empty_database, autocommit=True) as owner:
        owner.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(name)))
        yield name
        owner.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(name)))
        owner.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


def rights(url: str, role: str) -> set[str]:
    with psycopg.connect(url) as owner:
        rows = owner.execute(
            "SELECT name FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) AS name"
            " WHERE has_table_privilege(%s, 'alpimonitor_watchdog.heal_attempt', name)",
            (role,),
        ).fetchall()
    return {name for (name,) in rows}


def test_what_is_printed_can_be_run_and_gives_the_role_no_right_to_delete(
    empty_database: str, role: str
) -> None:
    printed = run("--role", role)
    assert printed.returncode == 0
    with psycopg.connect(empty_database) as owner:
        owner.execute(printed.stdout)  # type: ignore[call-overload]
    assert rights(empty_database, role) == {"SELECT", "INSERT"}  # and UPDATE of two columns


def test_applied_twice_it_keeps_what_was_recorded(empty_database: str, role: str) -> None:
    assert run("--role", role, "--apply", OWNER_DATABASE_URL=empty_database).returncode == 0
    with psycopg.connect(empty_database) as owner:
        owner.execute(
            "INSERT INTO alpimonitor_watchdog.heal_attempt (id, incident, healer, sidecar)"
            " VALUES ('1', 'i', 'command', 's')"
        )
    again = run("--role", role, "--apply", OWNER_DATABASE_URL=empty_database)
    assert (again.returncode, role in again.stdout) == (0, True)
    with psycopg.connect(empty_database) as owner:
        assert owner.execute("SELECT count(*) FROM alpimonitor_watchdog.heal_attempt").fetchone() == (1,)


def test_a_role_that_does_not_exist_is_refused_and_nothing_is_left_behind(empty_database: str) -> None:
    refused = run("--role", "nobody_of_that_name", "--apply", OWNER_DATABASE_URL=empty_database)
    assert (refused.returncode, "nobody_of_that_name" in refused.stderr) == (1, True)
    with psycopg.connect(empty_database) as owner:
        assert owner.execute("SELECT to_regnamespace('alpimonitor_watchdog')").fetchone() == (None,)


def test_without_an_owner_or_a_database_it_says_what_to_set() -> None:
    unset = run("--role", "watch", "--apply", OWNER_DATABASE_URL="")
    assert (unset.returncode, "OWNER_DATABASE_URL" in unset.stderr) == (2, True)
    away = run("--role", "watch", "--apply", OWNER_DATABASE_URL="postgresql://owner:sesame@127.0.0.1:1/app")
    assert (away.returncode, "127.0.0.1:1" in away.stderr, "sesame" in away.stderr) == (5, True, False)
