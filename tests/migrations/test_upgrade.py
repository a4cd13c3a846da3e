"""Migrating: from nothing to the newest, once however many ask, and not at all if anything fails."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from alpimonitor_api.ingest.store import Store
from alpimonitor_cli.migrate import (
    EnvironmentUnusable,
    Limits,
    Migrated,
    MigrationFailed,
    RevisionUnknown,
    Unreachable,
    current,
    head,
    migrations_folder,
    upgrade,
)
from alpimonitor_rehearsal.postgres import running_postgres
from alpimonitor_rehearsal.waiting import wait_until
from alpimonitor_watchdog.leadership.ledger import LEDGER_SQL
from tests.databases import PostgresForTests, name_of, url_of

LOCK = "SELECT pg_advisory_lock(hashtextextended('alpimonitor:migration', 0))"

BROKEN = '''
"""A revision that fails half-way."""

from alembic import op

revision = "9999"
down_revision = "{after}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("DROP TABLE seed_run")
    op.execute("CREATE TABLE half_way (id integer)")
    op.execute("{last}")
'''


def scalar(url: str, query: str) -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute(query).fetchone()  # type: ignore[call-overload]
    return None if row is None else row[0]


def with_revision(folder: Path, last: str) -> Path:
    """A copy of the migrations with one more, that drops a table and then executes `last`."""
    copied = Path(shutil.copytree(migrations_folder(), folder / "100% migrations"))
    (copied / "versions" / "9999_broken.py").write_text(BROKEN.format(after=head(), last=last))
    return copied


def alpimonitor(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "alpimonitor_cli.main", *arguments],
        env={"PATH": os.environ["PATH"], **environ},
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_empty_database_gets_the_newest_revision_and_its_deployment(empty_database: str) -> None:
    assert current(empty_database) is None
    assert upgrade(empty_database, environment="staging") == Migrated(None, head(), "staging")
    assert current(empty_database) == head()
    with psycopg.connect(empty_database) as connection:
        ((identifier, environment),) = connection.execute("SELECT id, environment FROM deployment").fetchall()
    assert isinstance(identifier, UUID)
    assert environment == "staging"


def test_a_second_migration_does_nothing_and_keeps_the_deployment(empty_database: str) -> None:
    upgrade(empty_database, environment="staging")
    before = scalar(empty_database, "SELECT id FROM deployment")
    assert upgrade(empty_database, environment="production") == Migrated(head(), head(), "staging")
    assert scalar(empty_database, "SELECT id FROM deployment") == before


def test_several_replicas_may_migrate_at_once(empty_database: str) -> None:
    with ThreadPoolExecutor(6) as pool:
        runs = list(pool.map(lambda _: upgrade(empty_database, environment="test"), range(6)))
    assert sorted(run.changed for run in runs) == [False] * 5 + [True]
    assert scalar(empty_database, "SELECT count(*) FROM deployment") == 1


def test_a_failed_revision_leaves_the_old_state_intact(database: str, tmp_path: Path) -> None:
    broken = with_revision(tmp_path, "SELECT 1 / 0")
    with pytest.raises(MigrationFailed, match="division by zero"):
        upgrade(database, environment="test", migrations=broken)
    assert current(database) == head()
    assert scalar(database, "SELECT to_regclass('seed_run') IS NOT NULL") is True
    assert scalar(database, "SELECT to_regclass('half_way') IS NULL") is True


def test_a_revision_that_works_is_applied_by_the_same_means(database: str, tmp_path: Path) -> None:
    working = with_revision(tmp_path, "SELECT 1")
    assert upgrade(database, environment="test", migrations=working) == Migrated(head(), "9999", "test")
    assert scalar(database, "SELECT to_regclass('half_way') IS NOT NULL") is True


def test_a_table_that_somebody_holds_ends_the_migration_instead_of_queueing(
    database: str, tmp_path: Path
) -> None:
    working = with_revision(tmp_path, "SELECT 1")
    with psycopg.connect(database) as somebody:
        somebody.execute("SELECT count(*) FROM seed_run")
        with pytest.raises(MigrationFailed, match="somebody holds a lock for too long"):
            upgrade(database, environment="test", migrations=working, limits=Limits(table_lock=0.2))
    assert current(database) == head()


def test_a_statement_that_takes_too_long_ends_the_migration(database: str, tmp_path: Path) -> None:
    slow = with_revision(tmp_path, "SELECT pg_sleep(30)")
    with pytest.raises(MigrationFailed, match="took longer than its time-out"):
        upgrade(database, environment="test", migrations=slow, limits=Limits(statement=0.2))
    assert current(database) == head()


def test_waiting_for_another_replica_is_bounded(empty_database: str) -> None:
    with psycopg.connect(empty_database) as other:
        other.execute(LOCK)
        with pytest.raises(MigrationFailed, match="somebody holds a lock for too long"):
            upgrade(empty_database, environment="test", limits=Limits(other_migration=0.2))
    assert current(empty_database) is None


def test_a_database_of_a_newer_program_is_left_alone(database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '7777'")
    with pytest.raises(MigrationFailed, match=r"'7777'.*run that or a newer one"):
        upgrade(database, environment="test")
    assert current(database) == "7777"


def test_a_role_that_may_not_create_tables_is_told_so(
    postgres_server: PostgresForTests, empty_database: str
) -> None:
    role = f"reader_{name_of(empty_database)}"
    with psycopg.connect(empty_database, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'secret'")  # type: ignore[call-overload]
        try:
            url = psycopg.conninfo.make_conninfo(empty_database, user=role, password="secret")
            with pytest.raises(MigrationFailed, match="OWNER_DATABASE_URL"):
                upgrade(url, environment="test")
        finally:
            admin.execute(f"DROP ROLE {role}")  # type: ignore[call-overload]
    assert current(empty_database) is None


def test_a_revision_that_cannot_be_read_is_told_and_not_guessed(
    postgres_server: PostgresForTests, database: str
) -> None:
    role = f"stranger_{name_of(database)}"
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'secret'")  # type: ignore[call-overload]
        try:
            parts = psycopg.conninfo.conninfo_to_dict(database)
            url = f"postgresql://{role}:secret@{parts['host']}:{parts['port']}/{parts['dbname']}"
            told = alpimonitor("db", "current", DATABASE_URL=url)
        finally:
            admin.execute(f"DROP ROLE {role}")  # type: ignore[call-overload]
    assert told.returncode == 1
    assert "does not tell its revision: permission denied for table alembic_version" in told.stderr
    assert "Traceback" not in told.stderr


def test_reading_the_revision_does_not_wait_for_ever(database: str) -> None:
    with psycopg.connect(database) as somebody:
        somebody.execute("LOCK TABLE alembic_version")
        with pytest.raises(RevisionUnknown, match="pg_stat_activity"):
            current(database, limits=Limits(table_lock=0.1))


def test_a_database_without_an_encoding_is_migrated_seeded_and_fed(postgres_server: PostgresForTests) -> None:
    name = f"alpimonitor_test_{secrets.token_hex(6)}"
    with psycopg.connect(postgres_server.admin_url, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0")  # type: ignore[call-overload]
        try:
            url = url_of(postgres_server, name)
            assert upgrade(url, environment="test").after == head()
            assert current(url) == head()
            assert alpimonitor("seed", DATABASE_URL=url, ALLOW_PROD_SEED="1").returncode == 0
            with Store(url).turn() as turn:
                assert turn is not None
                assert len(turn.live_stations()) == 4
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[call-overload]


@pytest.mark.parametrize("environment", ["Production", "my environment", "-x", "x" * 64])
def test_an_environment_without_a_usable_shape_is_refused(empty_database: str, environment: str) -> None:
    with pytest.raises(EnvironmentUnusable, match="DEPLOYMENT_ENVIRONMENT is "):
        upgrade(empty_database, environment=environment)
    assert current(empty_database) is None


def test_a_database_on_this_machine_is_a_development_one_by_default() -> None:
    with running_postgres() as server:
        assert upgrade(server.url(), environment=None).environment == "development"


def test_elsewhere_the_environment_has_to_be_said(
    empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alpimonitor_cli.migrate.is_local", lambda _target: False)
    with pytest.raises(EnvironmentUnusable, match="DEPLOYMENT_ENVIRONMENT is not set"):
        upgrade(empty_database, environment=None)
    assert current(empty_database) is None


def test_an_unreachable_database_is_reported_without_its_password(postgres_server: PostgresForTests) -> None:
    with pytest.raises(Unreachable, match="does not exist") as raised:
        upgrade(url_of(postgres_server, "no_such_database"), environment="test")
    password = psycopg.conninfo.conninfo_to_dict(postgres_server.admin_url).get("password")
    assert str(password) not in str(raised.value)


def test_a_database_of_the_first_release_gets_the_ledger_of_heals(
    empty_database: str, tmp_path: Path
) -> None:
    at_revision("0001", empty_database, tmp_path)
    assert upgrade(empty_database, environment="test") == Migrated("0001", head(), "test")
    assert scalar(empty_database, "SELECT count(*) FROM alpimonitor_watchdog.heal_attempt") == 0


def at_revision(revision: str, url: str, folder: Path) -> None:
    """Migrate as a release did whose newest revision this was."""
    older = Path(shutil.copytree(migrations_folder(), folder / revision))
    for script in (older / "versions").glob("0*.py"):
        if script.name[:4] > revision:
            script.unlink()
    assert upgrade(url, environment="test", migrations=older).after == revision


def with_a_station(connection: psycopg.Connection) -> None:
    connection.execute(
        "INSERT INTO catchment (id, name) VALUES (gen_random_uuid(), 'c');"
        "INSERT INTO station (id, catchment_id, ofev_code, name, river_name, operator_name, latitude,"
        " longitude, altitude_m, flow_type, data_source, sourcing_status)"
        " SELECT gen_random_uuid(), id, '1', 's', 'r', 'o', 46, 7, 500, 'NATURAL', 'LIVE', 'CONFIRMED'"
        " FROM catchment"
    )


OPEN_ALERT = (
    "INSERT INTO alert (station_id, type, level, parameter, opened_at)"
    " SELECT id, 'THRESHOLD_EXCEEDED', 'ALERT', 'DISCHARGE', now() - %s * interval '1 hour' FROM station"
)


def test_of_alerts_that_are_open_twice_the_newest_stays_open(empty_database: str, tmp_path: Path) -> None:
    at_revision("0003", empty_database, tmp_path)
    with psycopg.connect(empty_database) as connection:
        with_a_station(connection)
        for hours in (3, 1, 1, 2):  # two at one time, as well
            connection.execute(OPEN_ALERT, [hours])
    assert upgrade(empty_database, environment="test").before == "0003"
    with psycopg.connect(empty_database) as connection:
        found = connection.execute(
            "SELECT closed_at - opened_at, lead(opened_at, 1, opened_at) OVER line - opened_at FROM alert"
            " WINDOW line AS (ORDER BY opened_at, closed_at)"
        ).fetchall()
    assert [closed is not None for closed, _ in found] == [True, True, True, False]
    assert all(closed == next_opened for closed, next_opened in found[:3])


def test_an_ingestion_that_has_read_the_alerts_may_write_one_while_a_migration_waits(
    empty_database: str, tmp_path: Path
) -> None:
    at_revision("0003", empty_database, tmp_path)
    with psycopg.connect(empty_database) as connection:
        with_a_station(connection)
    with ThreadPoolExecutor(1) as pool, psycopg.connect(empty_database) as ingestion:
        ingestion.execute("SET deadlock_timeout = '10ms'")  # of the two it is the one that would be ended
        ingestion.execute("SELECT count(*) FROM alert")
        migration = pool.submit(upgrade, empty_database, environment="test")
        waiting = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = 'alert'::regclass)"
        wait_until("the migration to wait", lambda: scalar(empty_database, waiting) is True, deadline=60)
        ingestion.execute(OPEN_ALERT, [0])
        ingestion.commit()
        assert migration.result(60).after == head()


def test_a_ledger_that_is_there_already_is_kept(empty_database: str) -> None:
    with psycopg.connect(empty_database) as connection:
        connection.execute(LEDGER_SQL.read_text(encoding="utf-8"))  # type: ignore[call-overload]
        connection.execute(
            "INSERT INTO alpimonitor_watchdog.heal_attempt (id, incident, healer, sidecar)"
            " VALUES ('h1@a', 'incident-1', 'command', 'a')"
        )
    assert upgrade(empty_database, environment="test").after == head()
    assert scalar(empty_database, "SELECT id FROM alpimonitor_watchdog.heal_attempt") == "h1@a"


def test_revisions_import_nothing_of_ours() -> None:
    revisions = list((migrations_folder() / "versions").glob("*.py"))
    assert revisions
    assert [
        path for path in revisions if re.search(r"^\s*(from|import) alpimonitor", path.read_text(), re.M)
    ] == []


def test_the_commands_say_where_the_database_is_and_migrate_it(empty_database: str) -> None:
    environ = {"OWNER_DATABASE_URL": empty_database, "DEPLOYMENT_ENVIRONMENT": "test"}
    before = alpimonitor("db", "current", **environ)
    assert before.returncode == 1
    assert f"never migrated, the newest is {head()}: run alpimonitor db upgrade" in before.stdout
    migrated = alpimonitor("db", "upgrade", "--json", **environ)
    assert migrated.returncode == 0, migrated.stderr
    assert migrated.stdout == f'{{"before": null, "after": "{head()}", "environment": "test"}}\n'
    after = alpimonitor("db", "current", **environ)
    assert after.returncode == 0
    assert f"at {head()}" in after.stdout


@pytest.mark.parametrize(
    ("environ", "code", "said"),
    [
        ({}, 2, "DATABASE_URL is not set, nor is OWNER_DATABASE_URL"),
        ({"DATABASE_URL": "mysql://role:s3cr3t@h/d"}, 2, "DATABASE_URL does not begin with postgresql://"),
        ({"DATABASE_URL": "postgresql://role:s3cr3t@127.0.0.1:1/d"}, 5, "127.0.0.1:1/d cannot be reached"),
    ],
)
def test_bad_settings_are_one_clear_line(environ: dict[str, str], code: int, said: str) -> None:
    done = alpimonitor("db", "upgrade", **environ)
    assert done.returncode == code
    assert said in done.stderr
    assert "s3cr3t" not in done.stderr
    assert "Traceback" not in done.stderr
