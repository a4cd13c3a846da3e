"""`alpimonitor roles`: from nothing, from a volume of an earlier version, and without a superuser."""

from __future__ import annotations

import json
import re
import secrets
import subprocess
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import errors, sql

from alpimonitor_cli.migrate import upgrade
from alpimonitor_cli.roles.names import API, NAMES, OWNER, RECORDER, SEEDER, WATCHDOG
from tests.composed import Database, empty_database

# What compose.yaml's first version ran when its volume was new.
EARLIER = """
CREATE ROLE alpimonitor_owner LOGIN PASSWORD 'owner-secret';
CREATE ROLE alpimonitor_api LOGIN PASSWORD 'api-secret';
CREATE ROLE alpimonitor_seed LOGIN PASSWORD 'seed-secret';
CREATE ROLE alpimonitor_watchdog LOGIN PASSWORD 'watchdog-secret' IN ROLE pg_monitor;
ALTER DATABASE alpimonitor OWNER TO alpimonitor_owner;
ALTER SCHEMA public OWNER TO alpimonitor_owner;
ALTER DEFAULT PRIVILEGES FOR ROLE alpimonitor_owner IN SCHEMA public
    GRANT SELECT, INSERT, UPDATE ON TABLES TO alpimonitor_api, alpimonitor_seed;
ALTER DEFAULT PRIVILEGES FOR ROLE alpimonitor_owner IN SCHEMA public
    GRANT USAGE, SELECT ON SEQUENCES TO alpimonitor_api, alpimonitor_seed;
ALTER DEFAULT PRIVILEGES FOR ROLE alpimonitor_owner IN SCHEMA public
    GRANT SELECT ON TABLES TO alpimonitor_watchdog;
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Database]:
    with empty_database() as empty:
        yield empty


@pytest.fixture
def database(server: Database) -> Iterator[Database]:
    """The database without a table, on a server without a role of ours."""
    yield server
    with psycopg.connect(server.server.url(), autocommit=True) as admin:
        admin.execute("ALTER SYSTEM RESET ALL")
        admin.execute("SELECT pg_reload_conf()")
        admin.execute("SET default_transaction_read_only = off")
        admin.execute("DROP DATABASE alpimonitor WITH (FORCE)")
        for (role,) in admin.execute(
            "SELECT rolname FROM pg_roles WHERE oid >= 16384 ORDER BY oid DESC"
        ).fetchall():
            admin.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(role)))
            admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))
        admin.execute("CREATE DATABASE alpimonitor")


def execute(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())


def migrate(url: str) -> None:
    upgrade(url, environment="test")


def test_from_nothing_until_nothing_is_left(database: Database) -> None:
    planned = json.loads(database.roles("plan", "--json").stdout)
    assert planned["holds"] is planned["applied"] is False
    assert planned["left"] == []
    with psycopg.connect(database.admin) as admin:
        made = admin.execute("SELECT FROM pg_roles WHERE rolname LIKE 'alpimonitor%'").fetchall()
    assert made == [], "a plan changes nothing"
    execute(database.admin, "ALTER SYSTEM SET log_statement = 'all'")
    execute(database.admin, "SELECT pg_reload_conf()")
    first = database.roles("apply")
    assert first.returncode == 0, first.stderr
    migrate(database.url(OWNER))
    different = database.roles("apply", "--dry-run")
    assert different.returncode == 1
    second = database.roles("apply", "--json")
    assert second.returncode == 0, second.stderr
    assert json.loads(second.stdout)["holds"] is True
    third = database.roles("apply")
    assert (third.returncode, third.stdout) == (
        0, f"127.0.0.1:{database.server.port}/alpimonitor: the roles are as they should be, nothing to do\n"
    )  # fmt: skip
    log = database.server.server_log.read_text(encoding="utf-8")
    assert "ALTER ROLE" in log
    said = log + first.stdout + first.stderr + different.stdout + second.stdout
    assert not [secret for secret in database.passwords.values() if secret in said]
    assert "SCRAM" not in first.stdout + different.stdout + second.stdout


def test_a_password_is_changed_where_the_environment_says_another(database: Database) -> None:
    assert database.roles("apply").returncode == 0
    another = secrets.token_hex(8)
    changed = database.roles("apply", API_DATABASE_PASSWORD=another)
    assert "alpimonitor_api gets the password that API_DATABASE_PASSWORD says" in changed.stdout
    assert "1 steps" in changed.stdout
    psycopg.connect(database.url(API).replace(database.passwords["API_DATABASE_PASSWORD"], another)).close()


def test_a_volume_of_an_earlier_version_loses_what_was_too_much(database: Database) -> None:
    execute(database.admin, EARLIER)
    owner = f"postgresql://{OWNER}:owner-secret@127.0.0.1:{database.server.port}/alpimonitor"
    api = f"postgresql://{API}:api-secret@127.0.0.1:{database.server.port}/alpimonitor"
    migrate(owner)
    execute(api, "INSERT INTO glacier VALUES (gen_random_uuid(), 'a glacier', 1, 2)")
    # Without its variables a role keeps the password it has.
    done = database.run("roles", "apply", ADMIN_DATABASE_URL=database.admin)
    assert done.returncode == 0, done.stdout
    for statement in (
        "INSERT INTO glacier VALUES (gen_random_uuid(), 'b', 1, 2)",
        "UPDATE glacier SET name = 'c'",
    ):
        with pytest.raises(errors.InsufficientPrivilege):
            execute(api, statement)
    execute(owner, "CREATE TABLE later (id integer)")
    for role in (API, SEEDER, WATCHDOG):
        with psycopg.connect(owner) as connection:
            may = connection.execute(
                "SELECT has_table_privilege(%s, 'later', 'SELECT, INSERT, UPDATE, DELETE')", [role]
            ).fetchone()
        assert may == (False,)
    assert database.run("roles", "plan", ADMIN_DATABASE_URL=database.admin).returncode == 0


def test_a_database_that_its_api_had_migrated_is_taken_from_it(database: Database) -> None:
    """The circumstance of 2026-04-21: one role for everything."""
    execute(database.admin, f"CREATE ROLE {API} LOGIN SUPERUSER PASSWORD 'api-secret'")
    api = f"postgresql://{API}:api-secret@127.0.0.1:{database.server.port}/alpimonitor"
    migrate(api)
    done = database.roles("apply", API_DATABASE_PASSWORD="")
    assert done.returncode == 0, done.stdout
    for statement in ("DELETE FROM glacier", "DROP TABLE glacier", f"SET ROLE {OWNER}"):
        with pytest.raises(errors.InsufficientPrivilege):
            execute(api, statement)
    execute(database.url(OWNER), "DELETE FROM glacier")


def test_the_sql_does_in_psql_what_apply_does(database: Database) -> None:
    assert database.roles("apply").returncode == 0
    migrate(database.url(OWNER))
    printed = database.roles("plan", "--sql")
    assert printed.returncode == 1
    ran = subprocess.run(
        [database.server.psql, "--no-psqlrc", "--quiet"],
        input=printed.stdout,
        env=database.server.environment("alpimonitor"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert database.roles("plan").returncode == 0


def test_a_managed_server_without_a_superuser_is_brought_as_far_as_it_goes(database: Database) -> None:
    with psycopg.connect(database.admin, autocommit=True) as admin:
        admin.execute("CREATE ROLE manager LOGIN CREATEROLE CREATEDB PASSWORD 'manager-secret'")
        admin.execute("ALTER DATABASE alpimonitor OWNER TO manager")
        (major,) = admin.execute("SELECT current_setting('server_version_num')::int / 10000").fetchall()[0]
    manager = database.admin.replace(database.admin.split("//")[1].split("@")[0], "manager:manager-secret")
    for _ in range(2):
        done = database.roles("apply", "--json", ADMIN_DATABASE_URL=manager)
        assert done.returncode in (0, 1), done.stderr
        migrate(database.url(OWNER))
    done = database.roles("apply", "--json", ADMIN_DATABASE_URL=manager)
    found = json.loads(done.stdout)
    assert done.returncode == 1
    left = {each["sql"].split(" ON ")[0] for each in found["left"]}
    # Giving PostgreSQL's own roles away takes more from version 16 on.
    monitors = {
        'GRANT "pg_monitor" TO "alpimonitor_watchdog";',
        'GRANT "pg_read_all_stats" TO "alpimonitor_recorder";',
    }
    triggers = {each for each in left if "EVENT TRIGGER" in each}
    assert triggers
    assert left - triggers == (monitors if major >= 16 else set())
    assert all(each["needs"] for each in found["left"])
    with psycopg.connect(database.admin) as admin:
        owners = admin.execute(
            "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'flight_recorder'"
        ).fetchall()
        borrowed = admin.execute(
            "SELECT r.rolname FROM pg_auth_members AS m JOIN pg_roles AS r ON r.oid = roleid"
            " WHERE member = 'manager'::regrole AND NOT admin_option"
        ).fetchall()
    assert owners == [(RECORDER,)]
    assert borrowed == []
    with pytest.raises(errors.InsufficientPrivilege):
        execute(database.url(API), "DELETE FROM glacier")
    # What is left a superuser finishes.
    assert database.roles("apply").returncode == 0


def test_a_migration_by_the_owner_gives_the_roles_their_rights(database: Database) -> None:
    assert database.roles("apply").returncode == 0
    done = database.run("db", "upgrade", OWNER_DATABASE_URL=database.url(OWNER))
    assert done.returncode == 0
    assert "alpimonitor roles plan" in done.stderr, "the evidence is still the owner's"
    with psycopg.connect(database.url(API)) as api:
        assert api.execute("SELECT count(*) FROM station").fetchone() == (0,)


def test_boot_gives_no_credentials_but_its_own_to_its_seed(database: Database) -> None:
    arguments, environ = database.service("prepare")
    done = database.run(*arguments, **environ)
    assert done.returncode == 0, done.stderr
    assert not [secret for secret in database.passwords.values() if secret in done.stderr]
    assert re.search(r"\[boot\] roles: \d+ steps were taken", done.stderr)
    with psycopg.connect(database.url(WATCHDOG)) as watchdog:
        seeded = watchdog.execute("SELECT role, outcome FROM seed_run").fetchall()
    assert seeded == [(SEEDER, "applied")]


def test_roles_that_cannot_be_made_end_the_boot(database: Database) -> None:
    execute(database.admin, "ALTER SYSTEM SET default_transaction_read_only = on")
    execute(database.admin, "SELECT pg_reload_conf()")
    arguments, environ = database.service("prepare")
    done = database.run(*arguments, **environ)
    assert done.returncode == 6
    assert "[boot] fatal: the roles could not be made, and are as they were" in done.stderr


def test_a_refusal_names_the_step_and_leaves_everything_as_it_was(database: Database) -> None:
    execute(
        database.admin,
        """
        CREATE TABLE station (id integer);
        CREATE FUNCTION forbid() RETURNS event_trigger LANGUAGE plpgsql
            AS $$ BEGIN RAISE 'not on this server'; END $$;
        CREATE EVENT TRIGGER forbid ON ddl_command_start WHEN TAG IN ('ALTER TABLE')
            EXECUTE FUNCTION forbid();
        """,
    )
    refused = database.roles("apply")
    assert refused.returncode == 1
    assert "not on this server" in refused.stderr
    assert "table station: alpimonitor_owner owns it" in refused.stderr
    assert "is as it was" in refused.stderr
    with psycopg.connect(database.admin) as admin:
        assert admin.execute("SELECT FROM pg_roles WHERE rolname = ANY (%s)", [list(NAMES)]).fetchall() == []


def test_a_server_that_is_not_there_is_said_to_be_unreachable(database: Database) -> None:
    nowhere = "postgresql://postgres:hush@127.0.0.1:1/alpimonitor"
    done = database.roles("plan", ADMIN_DATABASE_URL=nowhere)
    assert done.returncode == 5
    assert "127.0.0.1:1/alpimonitor cannot be reached" in done.stderr
    assert "hush" not in done.stderr


@pytest.mark.parametrize(
    ("url", "words", "said"),
    [
        ("", (), "ADMIN_DATABASE_URL is not set"),
        ("mysql://x", (), "does not begin with postgresql://"),
        ("", ("--database-url", "postgresql://postgres:hush@db/alpimonitor"), "shows in process lists"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused(url: str, words: tuple[str, ...], said: str) -> None:
    with_nothing = Database.__new__(Database)
    done = Database.run(with_nothing, "roles", "plan", *words, ADMIN_DATABASE_URL=url)
    assert done.returncode == 2
    assert said in done.stderr
    assert "hush" not in done.stderr
