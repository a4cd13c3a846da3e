"""check_rights against a real server: each gap is named with its cost, and its remedy remedies it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import psycopg
import pytest
from psycopg import sql

from alpimonitor_rehearsal.tcp_proxy import TcpProxy
from alpimonitor_watchdog.probe.catalog import Guarded
from alpimonitor_watchdog.probe.rights import Right, Standing, check_rights
from tests.login_roles import LoginRole, login_role


@pytest.fixture
def admin(empty_database: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute('CREATE TABLE station (id int); CREATE SCHEMA "Alpine"')
        connection.execute('CREATE TABLE "Alpine"."Glacier" (id int)')
        connection.execute("CREATE TABLE alembic_version AS SELECT '0001' AS version_num")
        yield connection


@pytest.fixture
def role(empty_database: str, admin: psycopg.Connection) -> Iterator[LoginRole]:
    with login_role(empty_database) as made:
        yield made


TABLES = (Guarded("station"), Guarded("Alpine.Glacier"))
REVISION = "SELECT version_num FROM alembic_version"


def rights(url: str, tables: Sequence[Guarded] = TABLES) -> dict[str, Right]:
    checked = check_rights(url, tables, revision_query=REVISION, application_name="checking")
    for right in checked:
        assert bool(right.costs and right.remedy) == (right.standing is not Standing.HOLDS)
    return {right.subject: right for right in checked}


def gaps(found: dict[str, Right]) -> set[str]:
    return {subject for subject, right in found.items() if right.standing is Standing.GAP}


def test_a_role_that_may_read_and_nothing_else_has_no_gap(admin: psycopg.Connection, role: LoginRole) -> None:
    grant = 'GRANT USAGE ON SCHEMA "Alpine" TO {0}; GRANT SELECT ON station, "Alpine"."Glacier" TO {0};'
    admin.execute(sql.SQL(grant + "GRANT SELECT ON alembic_version TO {0}").format(role.identifier))
    found = rights(role.url)
    assert {right.standing for right in found.values()} == {Standing.HOLDS}
    assert set(found) == {
        "connection",
        "session",
        "table station",
        "table Alpine.Glacier",
        "least privilege",
        "revision",
    }
    assert found["revision"].said == "the schema is at 0001"
    assert found["table Alpine.Glacier"].said == "Alpine.Glacier can be counted"


def test_the_remedy_for_a_forbidden_table_is_sql_that_works(
    admin: psycopg.Connection, role: LoginRole
) -> None:
    found = rights(role.url)
    assert gaps(found) == {"table station", "table Alpine.Glacier", "revision"}
    for subject in ("table station", "table Alpine.Glacier"):
        assert found[subject].costs == "its loss cannot be seen"
        admin.execute(found[subject].remedy)  # type: ignore[call-overload]
    assert gaps(rights(role.url)) == {"revision"}


def test_the_remedy_for_row_security_is_sql_that_works(admin: psycopg.Connection, role: LoginRole) -> None:
    admin.execute(sql.SQL("GRANT SELECT ON station TO {}").format(role.identifier))
    admin.execute("ALTER TABLE station ENABLE ROW LEVEL SECURITY")
    (only,) = TABLES[:1]
    right = rights(role.url, [only])["table station"]
    assert (right.standing, right.said) == (
        Standing.GAP,
        "row security would hide rows from the sidecar's role",
    )
    admin.execute(right.remedy)  # type: ignore[call-overload]
    assert rights(role.url, [only])["table station"].standing is Standing.HOLDS


def test_a_role_that_could_write_is_warned_of(admin: psycopg.Connection, role: LoginRole) -> None:
    admin.execute(sql.SQL("GRANT SELECT, DELETE, UPDATE ON station TO {}").format(role.identifier))
    right = rights(role.url)["least privilege"]
    assert right.standing is Standing.WARNING
    assert right.said == f"{role.name} could write to station (DELETE, UPDATE)"
    assert 'GRANT SELECT ON "public"."station", "Alpine"."Glacier" TO' in right.remedy


def test_a_superuser_is_warned_of_once(admin: psycopg.Connection, empty_database: str) -> None:
    found = rights(empty_database)
    assert found["least privilege"].standing is Standing.WARNING
    assert found["least privilege"].said.endswith("is a superuser")
    assert not gaps(found)


def test_a_table_or_a_column_that_is_not_there_is_a_gap(
    admin: psycopg.Connection, empty_database: str
) -> None:
    found = rights(empty_database, [Guarded("staton"), Guarded("station", ("id", "name"))])
    assert found["table staton"].said == "it is not in the catalog"
    assert found["table station"].said == "without the columns name"
    assert gaps(found) == {"table staton", "table station"}


def test_a_refused_password_is_the_only_thing_said_and_is_not_shown(
    admin: psycopg.Connection, role: LoginRole
) -> None:
    found = rights(role.url.replace(role.password, "wrong-sesame"))
    assert gaps(found) == set(found) == {"connection"}
    assert "password authentication failed" in found["connection"].said
    assert "wrong-sesame" not in repr(found)


def test_a_server_that_is_not_there_is_said_to_be_unreachable() -> None:
    found = rights("postgresql://u:p@127.0.0.1:1/x")
    assert gaps(found) == set(found) == {"connection"}
    assert found["connection"].said == "127.0.0.1:1 cannot be reached: Connection refused"
    assert "start the database" in found["connection"].remedy


def test_a_network_that_breaks_ends_the_check(admin: psycopg.Connection, empty_database: str) -> None:
    with TcpProxy(admin.info.host, admin.info.port) as proxy:
        url = empty_database.replace(f":{admin.info.port}/", f":{proxy.port}/")
        assert not gaps(rights(url))
        proxy.cut()
        assert gaps(rights(url)) == {"connection"}
