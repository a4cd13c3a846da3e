"""Fingerprints: what is in one, when one is taken, and that none of it needs more than a plain login role."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC
from typing import Any

import psycopg
import pytest
from psycopg import sql

from alpimonitor_watchdog.core.fingerprint import Fingerprint, TablePrint
from alpimonitor_watchdog.probe.catalog import Guarded
from alpimonitor_watchdog.probe.observe import DatabaseProbe
from tests.armed import arm
from tests.login_roles import LoginRole, login_role
from tests.probing import Clock, Probing, look, probing_as

GUARDED = [Guarded("station", context=True), Guarded("measurement")]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def probing(clock: Clock) -> Iterator[Probing]:
    with probing_as("printing", tables=GUARDED, monotonic=clock) as probing:
        yield probing


@pytest.fixture
def admin(empty_database: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute("CREATE TABLE station AS SELECT generate_series(1, 7) AS id")
        connection.execute("CREATE TABLE measurement ()")
        connection.execute("SELECT pg_stat_force_next_flush()")
        yield connection


@pytest.fixture
def role(empty_database: str, admin: psycopg.Connection) -> Iterator[LoginRole]:
    with login_role(empty_database) as made:
        admin.execute(sql.SQL("GRANT SELECT ON station, measurement TO {}").format(made.identifier))
        yield made


def taken(probe: DatabaseProbe) -> Fingerprint:
    found = look(probe).fingerprint
    assert found is not None
    return found


def station(probe: DatabaseProbe) -> TablePrint:
    (found,) = taken(probe).tables
    return found


def value(admin: psycopg.Connection, query: str) -> Any:
    row = admin.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


def test_a_plain_login_role_takes_all_of_it(
    admin: psycopg.Connection, role: LoginRole, probing: Probing
) -> None:
    admin.execute("SELECT pg_stat_reset()")
    before = value(admin, "SELECT pg_current_wal_lsn() - '0/0'")
    seen = look(probing(role.url, revision_query="SELECT 'r7'"))
    found = seen.fingerprint
    assert found is not None
    assert (found.at, found.identity, found.revision) == (seen.clock, seen.identity, "r7")
    assert found.identity.system is not None
    assert (found.in_recovery, found.timeline) == (False, 1)
    assert found.lsn is not None
    assert before <= found.lsn <= value(admin, "SELECT pg_current_wal_lsn() - '0/0'")
    assert found.next_transaction == value(
        admin, "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::int8"
    )
    assert found.started == value(admin, "SELECT pg_postmaster_start_time()")
    assert found.started is not None
    assert found.started.tzinfo is UTC
    assert found.statistics_reset == value(
        admin, "SELECT stats_reset FROM pg_stat_database WHERE datname = current_database()"
    )
    assert found.server_version == admin.info.server_version


def test_context_tables_have_their_physical_signals(
    admin: psycopg.Connection, empty_database: str, probing: Probing
) -> None:
    assert station(probing(empty_database)) == TablePrint(
        "station",
        oid=value(admin, "SELECT 'station'::regclass::oid"),
        filenode=value(admin, "SELECT pg_relation_filenode('station')"),
        rows=7,
        inserted=7,
        updated=0,
        deleted=0,
    )


def test_truncate_shows_as_another_file_and_delete_as_deleted_rows(
    admin: psycopg.Connection, empty_database: str, probing: Probing
) -> None:
    probe = probing(empty_database)
    first = station(probe)
    admin.execute("DELETE FROM station WHERE id <= 3")
    admin.execute("SELECT pg_stat_force_next_flush()")
    deleted = station(probe)
    assert (deleted.filenode, deleted.deleted, deleted.rows) == (first.filenode, 3, 4)
    admin.execute("TRUNCATE station")
    truncated = station(probe)
    assert truncated.filenode != first.filenode
    assert (truncated.oid, truncated.rows) == (first.oid, 0)


def test_a_partitioned_table_has_the_counters_of_its_parts(
    admin: psycopg.Connection, empty_database: str, probing: Probing
) -> None:
    admin.execute("CREATE TABLE reading (id int) PARTITION BY RANGE (id)")
    admin.execute("CREATE TABLE low PARTITION OF reading FOR VALUES FROM (0) TO (10)")
    admin.execute("CREATE TABLE high PARTITION OF reading FOR VALUES FROM (10) TO (20)")
    admin.execute("INSERT INTO reading SELECT generate_series(5, 14)")
    admin.execute("DELETE FROM reading WHERE id IN (9, 10)")
    admin.execute("SELECT pg_stat_force_next_flush()")
    found = station(probing(empty_database, tables=[Guarded("reading", context=True)]))
    assert (found.filenode, found.rows, found.inserted, found.deleted) == (None, 8, 10, 2)


@pytest.mark.parametrize(
    ("doing", "expected"),
    [
        ("DROP TABLE station", {"oid": None, "rows": None, "filenode": None}),
        ("DROP TABLE station; CREATE VIEW station AS SELECT 1", {"oid": None, "rows": None}),
        ("REVOKE ALL ON station FROM {role}", {"readable": False, "rows": None, "hidden": False}),
        ("REVOKE USAGE ON SCHEMA public FROM PUBLIC", {"readable": False, "rows": None}),
        (
            "ALTER TABLE station ENABLE ROW LEVEL SECURITY",
            {"readable": True, "hidden": True, "secured": True, "rows": None},
        ),
        ("DELETE FROM station", {"rows": 0, "readable": True, "hidden": False, "secured": False}),
    ],
)
def test_it_can_be_taken_of_what_cannot_be_counted(
    admin: psycopg.Connection, role: LoginRole, probing: Probing, doing: str, expected: dict[str, object]
) -> None:
    probe = probing(role.url)
    before = station(probe)
    admin.execute(sql.SQL(doing).format(role=role.identifier))
    found = station(probe)
    assert {name: getattr(found, name) for name in expected} == expected
    if found.oid is not None:
        assert (found.oid, found.filenode) == (before.oid, before.filenode)


def test_whether_the_application_may_read_a_table_is_in_it(
    admin: psycopg.Connection, empty_database: str, role: LoginRole, probing: Probing
) -> None:
    with login_role(empty_database) as sidecar:
        admin.execute(sql.SQL("GRANT SELECT ON station TO {}").format(sidecar.identifier))
        probe = probing(sidecar.url, application_role=role.name)
        assert station(probe).application_reads is True
        admin.execute(sql.SQL("REVOKE SELECT ON station FROM {}").format(role.identifier))
        probe.closely = True
        assert look(probe).fingerprint is None  # no second one within the same second
    again = probing(empty_database, application_role=role.name)
    assert station(again).application_reads is False


@pytest.mark.parametrize("application_role", [None, "nobody of that name"])
def test_of_no_role_or_one_that_is_not_there_it_is_not_told(
    admin: psycopg.Connection, empty_database: str, probing: Probing, application_role: str | None
) -> None:
    assert station(probing(empty_database, application_role=application_role)).application_reads is None


def test_it_is_taken_at_the_first_look_and_every_thirty_seconds(
    admin: psycopg.Connection, empty_database: str, probing: Probing, clock: Clock
) -> None:
    probe = probing(empty_database)
    at: list[float] = []
    for _ in range(65):
        if look(probe).fingerprint is not None:
            at.append(clock.now - 1000.0)
        clock.now += 1.0
    assert at == [0.0, 30.0, 60.0]


@pytest.mark.parametrize(
    "doing",
    [
        "DELETE FROM station",
        "INSERT INTO station VALUES (8)",
        "UPDATE station SET id = 8 WHERE id = 7; SELECT pg_stat_force_next_flush()",
        "TRUNCATE station",
        "VACUUM FULL station",
        "DROP TABLE station",
        "CREATE TABLE deployment AS SELECT '8' AS id, 'test' AS environment",
        "UPDATE revision SET number = 'r2'",
    ],
)
def test_it_is_taken_at_once_when_the_database_may_have_become_another(
    admin: psycopg.Connection, empty_database: str, probing: Probing, doing: str
) -> None:
    admin.execute("CREATE TABLE revision AS SELECT 'r1' AS number")
    probe = probing(empty_database, revision_query="SELECT number FROM revision")
    taken(probe)
    assert look(probe).fingerprint is None
    for statement in doing.split("; "):
        admin.execute(statement.encode())
    taken(probe)
    assert look(probe).fingerprint is None


def test_what_happens_to_operational_tables_does_not_matter(
    admin: psycopg.Connection, empty_database: str, probing: Probing
) -> None:
    probe = probing(empty_database)
    taken(probe)
    admin.execute("ALTER TABLE measurement ADD id int; INSERT INTO measurement VALUES (1)")
    assert look(probe).fingerprint is None


def test_it_is_taken_when_an_event_arrives(
    admin: psycopg.Connection, empty_database: str, probing: Probing
) -> None:
    arm(admin, "measurement", kind="operational")
    admin.execute("ALTER TABLE measurement ADD id int; INSERT INTO measurement VALUES (1)")
    probe = probing(empty_database)
    taken(probe)
    admin.execute("DELETE FROM measurement")
    assert len(taken(probe).tables) == 1


def test_while_something_is_lost_it_is_taken_once_a_second(
    admin: psycopg.Connection, empty_database: str, probing: Probing, clock: Clock
) -> None:
    probe = probing(empty_database)
    taken(probe)
    probe.closely = True
    at: list[float] = []
    for _ in range(8):
        clock.now += 0.5
        if look(probe).fingerprint is not None:
            at.append(clock.now - 1000.0)
    assert at == [1.0, 2.0, 3.0, 4.0]


def test_a_new_connection_takes_one(admin: psycopg.Connection, empty_database: str, probing: Probing) -> None:
    probe = probing(empty_database)
    taken(probe)
    assert look(probe).fingerprint is None
    admin.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'printing'"
    )
    taken(probe)
