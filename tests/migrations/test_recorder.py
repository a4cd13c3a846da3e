"""The revision that arms the flight recorder: for a superuser, a plain owner, and over one that is there."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from alpimonitor_api.tables import CONTEXT_TABLES, OPERATIONAL_TABLES
from alpimonitor_cli.migrate import upgrade
from tests import recorders
from tests.databases import PostgresForTests, new_database
from tests.login_roles import LoginRole, login_role

GUARDED = """
    SELECT table_name, kind, keep_literals, journal_rows,
        (SELECT count(*) FROM pg_trigger
            WHERE tgrelid = relation AND tgname LIKE 'flight%' AND tgenabled = 'A')
    FROM flight_recorder.guarded WHERE schema_name = 'public'"""


def guarded(url: str) -> set[tuple[object, ...]]:
    with psycopg.connect(url) as connection:
        return set(connection.execute(GUARDED.encode()).fetchall())


EVERYTHING = {
    *((table.name, "context", True, 1000, 3) for table in CONTEXT_TABLES),
    *((table.name, "operational", True, 0, 2) for table in OPERATIONAL_TABLES),
}


def test_every_table_of_context_and_operations_is_guarded(database: str) -> None:
    assert guarded(database) == EVERYTHING
    with psycopg.connect(database) as connection:
        armed = connection.execute("SELECT evtname FROM pg_event_trigger WHERE evtenabled = 'A'").fetchall()
    assert {name for (name,) in armed} == {"flight_recorder_drop", "flight_recorder_ddl"}


def test_migrating_and_seeding_are_no_loss(seeded_database: str) -> None:
    assert recorders.events(seeded_database) == []


def test_a_wipe_is_recorded_with_its_literals_and_its_rows(seeded_database: str) -> None:
    with psycopg.connect(seeded_database, autocommit=True) as connection:
        connection.execute(
            "DELETE FROM threshold WHERE parameter = 'DISCHARGE' OR parameter <> 'no such thing'"
        )
    (event,) = recorders.events(seeded_database)
    assert "'no such thing'" in event["statement"]
    with psycopg.connect(seeded_database) as connection:
        kept = connection.execute(
            "SELECT count(*), count(columns) FILTER (WHERE 'alert_value' = ANY (columns))"
            " FROM flight_recorder.journal"
        )
        assert kept.fetchone() == (7, 1)


@pytest.fixture
def of_an_owner(postgres_server: PostgresForTests) -> Iterator[LoginRole]:
    """The owner of an empty database, who is neither superuser nor may make roles."""
    with new_database(postgres_server) as url, login_role(url) as owner:
        with psycopg.connect(url, autocommit=True) as admin:
            name = sql.Identifier(admin.info.dbname)
            admin.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(name, owner.identifier))
        yield owner
        with psycopg.connect(url, autocommit=True) as admin:
            admin.execute(sql.SQL("ALTER DATABASE {} OWNER TO CURRENT_USER").format(name))


def test_a_plain_owner_migrates_and_is_recorded_without_event_triggers(of_an_owner: LoginRole) -> None:
    upgrade(of_an_owner.url, environment="test")
    assert guarded(of_an_owner.url) == EVERYTHING
    with psycopg.connect(of_an_owner.url, autocommit=True) as owner:
        assert owner.execute("SELECT count(*) FROM pg_event_trigger").fetchone() == (0,)
        owner.execute("INSERT INTO glacier VALUES (gen_random_uuid(), 'a glacier', 1, 2)")
        owner.execute("DELETE FROM glacier")
    assert recorders.brief(of_an_owner.url) == [("delete", "glacier", 1, 0)]


def test_a_recorder_that_was_installed_by_hand_is_kept_with_its_evidence(
    empty_database: str, postgres_server: PostgresForTests
) -> None:
    with psycopg.connect(empty_database, autocommit=True) as owner:
        owner.execute("CREATE TABLE other AS SELECT 1 AS id")
        recorders.install(empty_database, "other")
        owner.execute("DELETE FROM other")
    upgrade(empty_database, environment="test")
    assert guarded(empty_database) == {*EVERYTHING, ("other", "context", True, 0, 3)}
    assert recorders.brief(empty_database) == [("delete", "other", 1, 0)]
