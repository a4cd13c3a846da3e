"""With its credentials the API cannot empty a context table, nor can anybody touch what was recorded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import psycopg
import pytest
from psycopg import errors

from alpimonitor_cli.roles.names import API, DRILL, HEALER, OWNER, READER, RECORDER, SEEDER, WATCHDOG
from tests.composed import Database, prepared_database

FORBIDDEN = "42501"
CONTEXT = ("catchment", "station", "sensor", "threshold", "glacier", "station_glacier", "withdrawal")


class Attempt(NamedTuple):
    """Statements of one transaction, the last of which is refused to the API."""

    statements: tuple[str, ...]
    superuser: bool = False  # the owner may not do it either


ATTEMPTS = {
    "delete": Attempt(("DELETE FROM threshold",)),
    "delete in a CTE": Attempt(("WITH gone AS (DELETE FROM threshold RETURNING 1) SELECT * FROM gone",)),
    "delete in a DO block": Attempt(("DO $$ BEGIN DELETE FROM threshold; END $$",)),
    "truncate": Attempt(("TRUNCATE threshold",)),
    "truncate cascade": Attempt(("TRUNCATE catchment CASCADE",)),
    "drop table": Attempt(("DROP TABLE threshold",)),
    "drop schema": Attempt(("DROP SCHEMA public CASCADE",)),
    "drop what the owner owns": Attempt(("DROP OWNED BY alpimonitor_owner",)),
    "update of keys": Attempt(("UPDATE threshold SET id = gen_random_uuid()",)),
    "update of natural keys": Attempt(("UPDATE station SET ofev_code = 'gone-' || ofev_code",)),
    "update of values to NULL": Attempt(("UPDATE withdrawal SET annual_volume_m3 = NULL",)),
    "update by an upsert": Attempt(
        ("INSERT INTO station SELECT * FROM station ON CONFLICT (id) DO UPDATE SET is_active = false",)
    ),
    "merge": Attempt(
        (
            "MERGE INTO threshold USING (SELECT id FROM threshold) AS every ON threshold.id = every.id "
            "WHEN MATCHED THEN DELETE",
        )
    ),
    "insert": Attempt(("INSERT INTO catchment (id, name) VALUES (gen_random_uuid(), 'another')",)),
    "lock": Attempt(("LOCK TABLE station IN ACCESS EXCLUSIVE MODE",)),
    "disable its triggers": Attempt(("ALTER TABLE threshold DISABLE TRIGGER ALL",), superuser=True),
    "disable the recorder's": Attempt(("ALTER TABLE threshold DISABLE TRIGGER flight_recorder_delete",)),
    "drop the recorder's": Attempt(("DROP TRIGGER flight_recorder_delete ON threshold",)),
    "pass for a replica": Attempt(("SET session_replication_role = replica",), superuser=True),
    "a definer function of its own": Attempt(
        (
            "CREATE FUNCTION empty() RETURNS void LANGUAGE sql SECURITY DEFINER "
            "AS 'DELETE FROM public.threshold'",
        )
    ),
    "a temporary definer function": Attempt(
        (
            "CREATE FUNCTION pg_temp.empty() RETURNS void LANGUAGE sql SECURITY DEFINER "
            "AS 'DELETE FROM public.threshold'",
        )
    ),
    "delete from an operational table": Attempt(("DELETE FROM measurement",)),
    "a cascade from an operational table": Attempt(
        ("ALTER TABLE threshold ADD COLUMN run uuid REFERENCES ingestion_run ON DELETE CASCADE",)
    ),
    "a cascade into an operational table": Attempt(
        (
            "ALTER TABLE measurement DROP CONSTRAINT fk_measurement_sensor_id, "
            "ADD FOREIGN KEY (sensor_id) REFERENCES sensor ON DELETE CASCADE",
        )
    ),
    # Whoever has some right on a table may say GRANT: it is a warning, and gives nothing.
    "grant to itself": Attempt(("GRANT DELETE ON threshold TO alpimonitor_api", "DELETE FROM threshold")),
    "grant of a role to itself": Attempt(("GRANT alpimonitor_owner TO alpimonitor_api",), superuser=True),
    "more of itself": Attempt(("ALTER ROLE alpimonitor_api SUPERUSER",), superuser=True),
    "a table in public": Attempt(("CREATE TABLE threshold_copy AS SELECT * FROM threshold",)),
    "a temporary table": Attempt(("CREATE TEMPORARY TABLE station AS SELECT 1",)),
    "a schema": Attempt(("CREATE SCHEMA mine",)),
    "a trigger": Attempt(
        (
            "CREATE TRIGGER away BEFORE INSERT OR UPDATE ON threshold FOR EACH ROW "
            "EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        )
    ),
    "a rule": Attempt(("CREATE RULE away AS ON UPDATE TO threshold DO ALSO DELETE FROM threshold",)),
    "an event trigger": Attempt(
        ("CREATE EVENT TRIGGER away ON sql_drop EXECUTE FUNCTION flight_recorder.record_drop()",),
        superuser=True,
    ),
    "a program on the server": Attempt(("COPY threshold FROM PROGRAM 'true'",), superuser=True),
    "a file on the server": Attempt(("SELECT pg_read_file('PG_VERSION')",), superuser=True),
    "row security": Attempt(("ALTER TABLE station ENABLE ROW LEVEL SECURITY",)),
    "another owner": Attempt(("ALTER TABLE station OWNER TO pg_database_owner",), superuser=True),
    "another name": Attempt(("ALTER TABLE station RENAME TO stations",)),
    "the server's settings": Attempt(("SET log_statement = 'none'",), superuser=True),
} | {
    f"become {role}": Attempt((f"SET ROLE {role}",), superuser=True)
    for role in (
        *(OWNER, SEEDER, WATCHDOG, HEALER, READER, DRILL, RECORDER),
        *("postgres", "pg_write_all_data", "pg_monitor", "pg_execute_server_program"),
    )
}


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    with prepared_database() as prepared:
        yield prepared


def rows(connection: psycopg.Connection) -> dict[str, int]:
    return {
        table: connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchall()[0][0]
        for table in CONTEXT
    }


def attempted(url: str, *statements: str) -> None:
    """In one transaction, undone in any case."""
    with psycopg.connect(url) as connection, connection.transaction(force_rollback=True):
        for statement in statements:
            connection.execute(statement.encode())


@pytest.mark.parametrize("name", ATTEMPTS)
def test_the_api_cannot_take_rows_away(database: Database, name: str) -> None:
    with psycopg.connect(database.url(API)) as connection:
        before = rows(connection)
        connection.rollback()
        with pytest.raises(psycopg.Error) as refused:
            attempted(database.url(API), *ATTEMPTS[name].statements)
        assert refused.value.sqlstate == FORBIDDEN, refused.value
        assert rows(connection) == before
        assert all(before.values())


@pytest.mark.parametrize("name", ATTEMPTS)
def test_whoever_is_meant_to_can_do_what_the_api_cannot(database: Database, name: str) -> None:
    """Else an attempt of above might fail for a reason of its own."""
    attempt = ATTEMPTS[name]
    attempted(database.admin if attempt.superuser else database.url(OWNER), *attempt.statements)


@pytest.mark.parametrize(
    ("change", "sqlstate"),
    [
        ("vigilance_value = NULL", "23502"),
        ("alert_value = NULL", "23502"),
        ("alert_value = 0", "23514"),
        ("vigilance_value = 'NaN'", "23514"),
        ("tuned_by = NULL, tuned_at = now()", "23514"),
    ],
)
def test_what_the_api_may_tune_cannot_be_made_nothing(database: Database, change: str, sqlstate: str) -> None:
    with psycopg.connect(database.url(API)) as connection:
        with pytest.raises(psycopg.Error) as refused, connection.transaction():
            connection.execute(f"UPDATE threshold SET {change}".encode())
        assert refused.value.sqlstate == sqlstate
        assert rows(connection)["threshold"] == 7


def test_tuning_every_threshold_at_once_leaves_them_all_and_is_recorded(database: Database) -> None:
    with psycopg.connect(database.url(API)) as connection:
        tuned = connection.execute("UPDATE threshold SET tuned_at = now(), tuned_by = 'an operator'")
        assert tuned.rowcount == 7
        connection.execute("UPDATE threshold SET tuned_at = NULL, tuned_by = NULL")
        assert rows(connection)["threshold"] == 7
    with psycopg.connect(database.url(WATCHDOG)) as connection:
        recorded = connection.execute(
            "SELECT role, rows FROM flight_recorder.event"
            " WHERE operation = 'update' AND table_name = 'threshold'"
        ).fetchall()
    assert recorded == [(API, 7)] * 2


EVIDENCE = (
    "UPDATE flight_recorder.event SET role = 'somebody else'",
    "DELETE FROM flight_recorder.event",
    "TRUNCATE flight_recorder.event",
    "DROP TABLE flight_recorder.event",
    "DROP SCHEMA flight_recorder CASCADE",
    "ALTER TABLE flight_recorder.event DISABLE TRIGGER ALL",
    "INSERT INTO flight_recorder.journal (event, before) VALUES (1, '{}')",
    "DELETE FROM flight_recorder.journal",
    "GRANT ALL ON flight_recorder.event TO PUBLIC",
    "ALTER TABLE flight_recorder.event OWNER TO CURRENT_USER",
    "CREATE OR REPLACE FUNCTION flight_recorder.record_statement() RETURNS trigger LANGUAGE plpgsql "
    "AS 'BEGIN RETURN NULL; END'",
    f"SET ROLE {RECORDER}",
)


@pytest.fixture(scope="module")
def recorded(database: Database) -> int:
    """The number of an event that is there to be erased."""
    with psycopg.connect(database.url(OWNER)) as owner:
        owner.execute("UPDATE withdrawal SET name = name")
    with psycopg.connect(database.url(WATCHDOG)) as watchdog:
        (event,) = watchdog.execute(
            "SELECT id FROM flight_recorder.event WHERE table_name = 'withdrawal'"
        ).fetchall()
    return int(event[0])


@pytest.mark.parametrize("role", [API, SEEDER, HEALER, READER, WATCHDOG, OWNER])
@pytest.mark.parametrize("statement", EVIDENCE)
def test_nobody_can_touch_the_evidence(database: Database, recorded: int, role: str, statement: str) -> None:
    with pytest.raises(psycopg.Error) as refused:
        # Whoever may read a table may say GRANT on it: it is a warning, and gives nothing.
        attempted(database.url(role), statement, "DELETE FROM flight_recorder.event")
    assert refused.value.sqlstate == FORBIDDEN, refused.value
    with psycopg.connect(database.url(WATCHDOG)) as watchdog:
        kept = watchdog.execute("SELECT role FROM flight_recorder.event WHERE id = %s", [recorded]).fetchall()
    assert kept == [(OWNER,)]


@pytest.mark.parametrize("statement", EVIDENCE)
def test_the_evidence_could_be_touched_by_whoever_owns_it(
    database: Database, recorded: int, statement: str
) -> None:
    """Else an attempt of above might fail for a reason of its own."""
    attempted(database.admin, statement)


@pytest.mark.parametrize("role", [API, SEEDER, HEALER, READER])
def test_who_has_no_business_with_the_evidence_cannot_even_read_it(database: Database, role: str) -> None:
    with psycopg.connect(database.url(role)) as connection, pytest.raises(errors.InsufficientPrivilege):
        connection.execute("SELECT FROM flight_recorder.event")


@pytest.mark.parametrize("role", [SEEDER, HEALER, READER, WATCHDOG, DRILL])
@pytest.mark.parametrize(
    "statement", ["DELETE FROM threshold", "TRUNCATE threshold", "DROP TABLE threshold", f"SET ROLE {OWNER}"]
)
def test_nobody_but_the_owner_can_take_rows_away(database: Database, role: str, statement: str) -> None:
    with pytest.raises(psycopg.Error) as refused, psycopg.connect(database.url(role)) as connection:
        connection.execute(statement.encode())
    # The drill's role is not even let in: that is said of a connection, without a code.
    assert refused.value.sqlstate == FORBIDDEN or (role == DRILL and "CONNECT" in str(refused.value))


def test_the_healer_changes_nothing_that_is_there(database: Database) -> None:
    with psycopg.connect(database.url(HEALER)) as connection, pytest.raises(errors.InsufficientPrivilege):
        connection.execute("UPDATE threshold SET alert_value = alert_value + 1")


def test_the_drill_makes_databases_of_its_own_and_sees_nothing_of_ours(database: Database) -> None:
    beside = database.url(DRILL).rpartition("/")[0] + "/postgres"
    with psycopg.connect(beside, autocommit=True) as connection:
        connection.execute("CREATE DATABASE a_drill")
        connection.execute("DROP DATABASE a_drill")
        with pytest.raises(errors.InsufficientPrivilege):
            connection.execute("DROP DATABASE alpimonitor")
        with pytest.raises(errors.InsufficientPrivilege):
            connection.execute("CREATE ROLE another")
