"""Which database it is, seen through DatabaseProbe: the cluster, the database, the deployment row."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from alpimonitor_rehearsal.waiting import wait_until
from alpimonitor_watchdog.core.fingerprint import Identity
from alpimonitor_watchdog.probe.catalog import Guarded
from alpimonitor_watchdog.probe.observe import DatabaseProbe
from tests.databases import PostgresForTests
from tests.login_roles import LoginRole, login_role
from tests.probing import Probing, probing_as

FIRST, SECOND = str(uuid.uuid4()), str(uuid.uuid4())


@pytest.fixture
def probing() -> Iterator[Probing]:
    with probing_as("identifying", tables=[Guarded("station")]) as probing:
        yield probing


@pytest.fixture
def admin(empty_database: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute("CREATE TABLE station AS SELECT 1 AS id")
        yield connection


@pytest.fixture
def role(empty_database: str, admin: psycopg.Connection) -> Iterator[LoginRole]:
    with login_role(empty_database) as made:
        admin.execute(sql.SQL("GRANT SELECT ON station TO {}").format(made.identifier))
        yield made


def deploy(admin: psycopg.Connection, identifier: str = FIRST, schema: str = "public") -> None:
    admin.execute(
        sql.SQL("CREATE TABLE {0} (id uuid, environment text); INSERT INTO {0} VALUES ({1}, 'test')").format(
            sql.Identifier(schema, "deployment"), sql.Literal(identifier)
        )
    )


def identity(probe: DatabaseProbe) -> Identity:
    seen = probe.look()
    assert seen.unseen is None, seen.detail
    assert [table.rows for table in seen.tables] == [1]  # whatever it is, the tables are seen
    assert seen.identity is not None
    return seen.identity


def row(probe: DatabaseProbe) -> tuple[str | None, str | None]:
    seen = identity(probe)
    return seen.deployment, seen.environment


def test_a_plain_login_role_sees_cluster_database_and_deployment(
    admin: psycopg.Connection, role: LoginRole, probing: Probing
) -> None:
    deploy(admin)
    admin.execute(sql.SQL("GRANT SELECT ON deployment TO {}").format(role.identifier))
    known = admin.execute(
        "SELECT system_identifier::text, d.oid FROM pg_control_system(), pg_database AS d"
        " WHERE datname = current_database()"
    ).fetchone()
    assert known is not None
    assert identity(probing(role.url)) == Identity(known[0], known[1], FIRST, "test")


def test_a_migrated_database_says_which_deployment_it_is(database: str) -> None:
    probe = DatabaseProbe(database, [Guarded("station")], application_name="identifying", timeout=5.0)
    try:
        seen = probe.look().identity
    finally:
        probe.close()
    with psycopg.connect(database) as connection:
        known = connection.execute("SELECT id::text, environment FROM deployment").fetchone()
    assert seen is not None
    assert (seen.deployment, seen.environment) == known


def test_it_is_the_same_after_the_connection_was_lost(
    admin: psycopg.Connection, empty_database: str, probing: Probing
) -> None:
    deploy(admin)
    probe = probing(empty_database)
    before = identity(probe)
    assert None not in (before.system, before.database_oid, before.deployment, before.environment)
    ended = (
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'identifying'"
    )
    assert admin.execute(ended).fetchall() == [(True,)]
    assert identity(probe) == before


def test_a_database_dropped_and_created_again_is_another_one(
    postgres_server: PostgresForTests, empty_database: str, probing: Probing
) -> None:
    def fill() -> None:
        with psycopg.connect(empty_database, autocommit=True) as connection:
            connection.execute("CREATE TABLE station AS SELECT 1 AS id")
            deploy(connection)

    fill()
    probe = probing(empty_database)
    before = identity(probe)
    name = sql.Identifier(str(conninfo_to_dict(empty_database)["dbname"]))
    with psycopg.connect(postgres_server.admin_url, autocommit=True) as server:
        server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))
        server.execute(sql.SQL("CREATE DATABASE {}").format(name))
    fill()
    after = identity(probe)
    assert (after.system, after.deployment) == (before.system, before.deployment)
    assert after.database_oid != before.database_oid


def test_without_a_deployment_row_the_rest_is_known(
    admin: psycopg.Connection, empty_database: str, probing: Probing
) -> None:
    probe = probing(empty_database)
    seen = identity(probe)
    assert (seen.deployment, seen.environment) == (None, None)
    assert None not in (seen.system, seen.database_oid)
    deploy(admin)
    assert row(probe) == (FIRST, "test")
    admin.execute("DROP TABLE deployment")
    assert row(probe) == (None, None)


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param("DROP TABLE deployment; CREATE TABLE deployment (id uuid)", id="another column"),
        pytest.param("TRUNCATE deployment", id="no row"),
        pytest.param("INSERT INTO deployment SELECT gen_random_uuid(), 'test'", id="two rows"),
        pytest.param("ALTER TABLE deployment RENAME TO d; CREATE VIEW deployment AS TABLE d", id="a view"),
        pytest.param("UPDATE deployment SET id = NULL, environment = NULL", id="nothing in it"),
    ],
)
def test_a_table_that_only_looks_like_it_is_no_deployment(
    admin: psycopg.Connection, empty_database: str, probing: Probing, statement: str
) -> None:
    deploy(admin)
    admin.execute(statement)
    assert row(probing(empty_database)) == (None, None)


def test_a_deployment_row_that_the_role_may_not_see_is_not_known(
    admin: psycopg.Connection, role: LoginRole, probing: Probing
) -> None:
    deploy(admin)
    assert row(probing(role.url)) == (None, None)
    admin.execute(sql.SQL("GRANT SELECT (id) ON deployment TO {}").format(role.identifier))
    assert row(probing(role.url)) == (None, None)
    admin.execute(sql.SQL("GRANT SELECT (environment) ON deployment TO {}").format(role.identifier))
    assert row(probing(role.url)) == (FIRST, "test")
    admin.execute("ALTER TABLE deployment ENABLE ROW LEVEL SECURITY")
    assert row(probing(role.url)) == (None, None)


def test_a_cluster_that_does_not_tell_its_identifier_hides_only_that(
    admin: psycopg.Connection, role: LoginRole, probing: Probing
) -> None:
    admin.execute("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM public")
    probe = probing(role.url)
    seen = identity(probe)
    assert seen.system is None
    assert seen.database_oid is not None
    admin.execute("GRANT EXECUTE ON FUNCTION pg_control_system() TO public")
    admin.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = %s", (role.name,)
    )
    assert identity(probe).system is not None  # asked anew of every connection


def test_the_search_path_says_which_deployment_table_it_is(
    admin: psycopg.Connection, role: LoginRole, probing: Probing
) -> None:
    admin.execute("CREATE SCHEMA hydro")
    deploy(admin, SECOND, "hydro")
    admin.execute(sql.SQL("GRANT USAGE ON SCHEMA hydro TO {0}").format(role.identifier))
    admin.execute(sql.SQL("GRANT SELECT ON hydro.deployment TO {0}").format(role.identifier))
    assert row(probing(role.url)) == (None, None)
    admin.execute(sql.SQL("ALTER ROLE {} SET search_path = public, hydro").format(role.identifier))
    assert row(probing(role.url)) == (SECOND, "test")
    deploy(admin, FIRST)
    admin.execute(sql.SQL("GRANT SELECT ON deployment TO {0}").format(role.identifier))
    assert row(probing(role.url)) == (FIRST, "test")


def test_a_locked_deployment_table_delays_no_look_and_is_read_later(
    admin: psycopg.Connection, empty_database: str, probing: Probing
) -> None:
    deploy(admin)
    now = [100.0]
    probe = probing(empty_database, monotonic=lambda: now[0])
    with psycopg.connect(empty_database) as other:
        other.execute("LOCK TABLE deployment IN ACCESS EXCLUSIVE MODE")
        assert row(probe) == (None, None)
    assert row(probe) == (None, None)  # at once it is not tried again
    now[0] += 5.0
    assert row(probe) == (FIRST, "test")


def test_another_deployment_row_is_noticed_by_its_counters(
    admin: psycopg.Connection, empty_database: str, probing: Probing
) -> None:
    deploy(admin)
    probe = probing(empty_database, monotonic=lambda: 100.0)
    assert row(probe) == (FIRST, "test")
    admin.execute("UPDATE deployment SET id = %s", (SECOND,))
    admin.execute("SELECT pg_stat_force_next_flush()")
    wait_until("the new row", lambda: row(probe) == (SECOND, "test"), deadline=20)


def test_another_deployment_row_is_noticed_after_a_while_without_them(
    admin: psycopg.Connection, empty_database: str, probing: Probing
) -> None:
    deploy(admin)
    now = [100.0]
    probe = probing(empty_database, monotonic=lambda: now[0])
    assert row(probe) == (FIRST, "test")
    admin.execute("ALTER TABLE deployment ALTER environment TYPE varchar")  # planned for other columns
    admin.execute("UPDATE deployment SET id = %s, environment = 'production'", (SECOND,))
    now[0] += 5.0
    assert row(probe) == (SECOND, "production")
