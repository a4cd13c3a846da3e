"""With the roles of compose.yaml everything works that has to; test_roles_deny.py says what does not."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg import errors

from alpimonitor_api.ingest.store import Measurement, RunRow, Store
from alpimonitor_api.tables import IngestionStatus
from alpimonitor_api.token_file import Scope
from alpimonitor_cli.roles.names import API, HEALER, OWNER, READER, RECORDER, SEEDER, WATCHDOG
from tests.api_client import serving
from tests.bearers import Bearers
from tests.composed import Database, prepared_database

AT = datetime(2026, 4, 21, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    with prepared_database() as prepared:
        yield prepared


def value(url: str, query: str) -> object:
    with psycopg.connect(url) as connection:
        return connection.execute(query.encode()).fetchall()[0][0]


def test_a_second_preparation_finds_nothing_to_do(database: Database) -> None:
    arguments, environ = database.service("prepare")
    again = database.run(*arguments, **environ)
    assert again.returncode == 0, again.stderr
    assert again.stderr.count("[boot] roles are as they should be") == 2
    assert "steps were taken" not in again.stderr
    assert "warning" not in again.stderr
    assert database.roles("plan").returncode == 0


def test_everything_belongs_to_the_owner_but_the_evidence(database: Database) -> None:
    owners = """
        SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname {} 'flight_recorder'
        AND schemaname NOT IN ('pg_catalog', 'information_schema')
    """
    with psycopg.connect(database.admin) as admin:
        assert admin.execute(owners.format("<>").encode()).fetchall() == [(OWNER,)]
        assert admin.execute(owners.format("=").encode()).fetchall() == [(RECORDER,)]
        powers = admin.execute(
            "SELECT rolname FROM pg_roles WHERE rolname LIKE 'alpimonitor%'"
            " AND (rolsuper OR rolcreaterole OR rolreplication OR rolbypassrls)"
        ).fetchall()
    assert powers == []


def test_the_api_answers_with_its_role(database: Database) -> None:
    with serving(database.url(API)) as client:
        answers = {path: client.get(path).status_code for path in ("/status", "/stations", "/catchments")}
        code = client.get("/stations").json()["data"][0]["ofevCode"]
        day = "from=2026-04-21T00:00:00Z&to=2026-04-22T00:00:00Z"
        for path in (f"/stations/{code}", f"/stations/{code}/measurements?{day}"):
            answers[path] = client.get(path).status_code
    assert set(answers.values()) == {200}, answers


def test_ingestion_stores_replaces_and_records_with_the_apis_role(database: Database) -> None:
    store = Store(database.url(API))
    for reading, fetched in ((1.5, AT), (2.5, AT + timedelta(minutes=1))):
        with store.turn() as turn:
            assert turn is not None
            sensor = next(iter(turn.live_stations()[0].sensors.values()))
            with turn.attempt():
                stored = turn.store([Measurement(sensor, AT, reading, fetched)])
            turn.record(
                RunRow(
                    source="LINDAS_HYDRO", status=IngestionStatus.SUCCESS, started_at=AT, completed_at=AT,
                    duration_ms=1, stations_seen_count=4, measurements_created_count=stored.created,
                    measurements_updated_count=stored.updated, measurements_skipped_count=0,
                    error_message=None, http_status=200, payload_bytes=1, payload_sha256=None,
                    archive_path=None, archive_error=None,
                )
            )  # fmt: skip
    assert (stored.created, stored.updated) == (0, 1)
    assert value(database.url(READER), "SELECT count(*) FROM ingestion_run") == 2


def test_the_api_tunes_a_threshold_and_opens_and_closes_an_alert(database: Database) -> None:
    with psycopg.connect(database.url(API)) as connection:
        connection.execute(
            "UPDATE threshold SET vigilance_value = vigilance_value, alert_value = alert_value,"
            " tuned_at = now(), tuned_by = 'an operator'"
        )
        connection.execute(
            "INSERT INTO threshold_audit (station_id, parameter, after, changed_by)"
            " SELECT station_id, parameter, '{}', 'an operator' FROM threshold LIMIT 1"
        )
        connection.execute(
            "INSERT INTO alert (station_id, type, level)"
            " SELECT id, 'STATION_OFFLINE', 'INFO' FROM station LIMIT 1"
        )
        connection.execute("UPDATE alert SET closed_at = now(), level = 'ALERT', metadata = '{}'")
        connection.execute("UPDATE threshold SET tuned_at = NULL, tuned_by = NULL")


def test_an_operator_tunes_and_makes_thresholds_with_the_apis_role(
    database: Database, tmp_path: Path
) -> None:
    bearers = Bearers(tmp_path)
    bearer = bearers.add("marie", Scope.OPERATOR)
    wish = {"vigilanceValue": 20, "alertValue": 5, "direction": "BELOW"}
    with psycopg.connect(database.url(OWNER)) as owner:
        before = owner.execute("SELECT * FROM threshold ORDER BY id").fetchall()
    with serving(database.url(API), api_tokens_file=bearers.file) as client:
        for parameter in ("DISCHARGE", "WATER_LEVEL"):
            path = f"/stations/2011/thresholds/{parameter}"
            tuned = client.ask("PUT", path, json=wish, headers=bearer)
            assert tuned.status_code == 200, tuned.text
        audit = client.get("/threshold-audits", headers=bearer).json()["data"]
    assert {one["parameter"] for one in audit if one["changedBy"] == "marie"} == {"DISCHARGE", "WATER_LEVEL"}
    with psycopg.connect(database.url(WATCHDOG)) as watchdog:
        kept = watchdog.execute(
            "SELECT role FROM flight_recorder.event"
            " WHERE table_name = 'threshold' AND reason = 'threshold tuned by marie'"
        ).fetchall()
    assert kept == [(API,)] * 2
    with psycopg.connect(database.url(OWNER)) as owner:  # as the other tests found it
        owner.execute("DELETE FROM threshold")
        for row in before:
            owner.execute(f"INSERT INTO threshold VALUES ({', '.join(['%s'] * len(row))})".encode(), row)


def test_the_seed_converges_with_its_own_role(database: Database) -> None:
    for mode in ("missing", "converge"):
        seeded = database.run("seed", "--mode", mode, SEED_DATABASE_URL=database.url(SEEDER))
        assert seeded.returncode == 0, seeded.stderr
    planned = database.run("seed", "--prune", "--dry-run", SEED_DATABASE_URL=database.url(SEEDER))
    assert planned.returncode == 0, planned.stderr


def test_a_prune_says_that_it_takes_the_owner_and_works_with_it(database: Database) -> None:
    with psycopg.connect(database.url(OWNER)) as owner:
        owner.execute("INSERT INTO glacier VALUES (gen_random_uuid(), 'undeclared', 1, 2)")
    prune = ("seed", "--prune", "--max-prune", "1")
    refused = database.run(*prune, SEED_DATABASE_URL=database.url(SEEDER))
    assert refused.returncode == 1
    assert "permission denied for table glacier" in refused.stderr
    assert "SEED_DATABASE_URL" in refused.stderr
    assert "owner" in refused.stderr
    done = database.run(*prune, SEED_DATABASE_URL=database.url(OWNER))
    assert done.returncode == 0, done.stderr
    with psycopg.connect(database.url(WATCHDOG)) as watchdog:
        recorded = watchdog.execute(
            "SELECT role, rows, reason FROM flight_recorder.event WHERE table_name = 'glacier'"
        ).fetchall()
    assert recorded == [(OWNER, 1, "alpimonitor seed --mode missing --prune")]


def test_what_the_owner_deletes_is_recorded_and_the_healer_puts_it_back(database: Database) -> None:
    with psycopg.connect(database.url(OWNER)) as owner:
        owner.execute("DELETE FROM withdrawal")
    with psycopg.connect(database.url(WATCHDOG)) as watchdog:
        recorded = watchdog.execute(
            "SELECT role, rows, remaining, client_addr IS NOT NULL, backend_start IS NOT NULL"
            " FROM flight_recorder.event WHERE table_name = 'withdrawal' AND operation = 'delete'"
        ).fetchall()
    assert recorded == [(OWNER, 2, 0, True, True)]
    _, environ = database.service("watchdog")
    assert environ["SEED_DATABASE_URL"] == database.url(HEALER)
    for words in (("--dry-run", "--json"), ()):
        healed = database.run("seed", "--mode", "missing", *words, **environ, ALLOW_PROD_SEED="1")
        assert healed.returncode == 0, healed.stderr
    assert value(database.url(WATCHDOG), "SELECT count(*) FROM withdrawal") == 2
    assert value(database.url(WATCHDOG), "SELECT role FROM seed_run ORDER BY at DESC LIMIT 1") == HEALER


def test_what_drop_takes_away_is_recorded(database: Database) -> None:
    # The superuser is who may look, before it is undone.
    with psycopg.connect(database.admin) as admin, admin.transaction(force_rollback=True):
        admin.execute(f"SET LOCAL SESSION AUTHORIZATION {OWNER}".encode())
        admin.execute("DROP TABLE alert")
        admin.execute("RESET SESSION AUTHORIZATION")
        dropped = admin.execute(
            "SELECT table_name, role FROM flight_recorder.event WHERE operation = 'drop'"
        ).fetchall()
    assert dropped == [("alert", OWNER)]


def test_the_sidecar_reads_everything_it_guards_and_writes_nothing(database: Database) -> None:
    with psycopg.connect(database.url(WATCHDOG)) as connection:
        writable = connection.execute(
            """
            SELECT c.oid::regclass FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = relnamespace
            WHERE relkind IN ('r', 'p') AND nspname IN ('public', 'flight_recorder') AND relname <> 'act'
              AND (has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
                   OR has_any_column_privilege(c.oid, 'INSERT, UPDATE')
                   OR NOT has_table_privilege(c.oid, 'SELECT'))
            """
        ).fetchall()
        sees_sessions = connection.execute("SELECT pg_has_role('pg_monitor', 'MEMBER')").fetchone()
    assert writable == []
    assert sees_sessions == (True,)


@pytest.fixture
def attempt(database: Database) -> str:
    """The identifier of a heal that the sidecar has recorded."""
    identifier = f"h-{secrets.token_hex(6)}"
    with psycopg.connect(database.url(WATCHDOG)) as connection:
        connection.execute(
            "INSERT INTO alpimonitor_watchdog.heal_attempt (id, incident, healer, sidecar)"
            " VALUES (%s, 'incident-1', 'command', 'a')",
            (identifier,),
        )
    return identifier


def test_the_sidecar_keeps_the_ledger_of_heals(database: Database, attempt: str) -> None:
    with psycopg.connect(database.url(WATCHDOG)) as connection:
        ended = connection.execute(
            "UPDATE alpimonitor_watchdog.heal_attempt SET outcome = 'failed', ended_at = now() WHERE id = %s",
            (attempt,),
        )
        assert ended.rowcount == 1


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        (WATCHDOG, "DELETE FROM alpimonitor_watchdog.heal_attempt"),
        (WATCHDOG, "TRUNCATE alpimonitor_watchdog.heal_attempt"),
        (WATCHDOG, "DROP TABLE alpimonitor_watchdog.heal_attempt"),
        (WATCHDOG, "UPDATE alpimonitor_watchdog.heal_attempt SET at = now() - interval '1 day'"),
        (WATCHDOG, "CREATE TABLE alpimonitor_watchdog.more (id integer)"),
        (API, "SELECT FROM alpimonitor_watchdog.heal_attempt"),
        (SEEDER, "SELECT FROM alpimonitor_watchdog.heal_attempt"),
    ],
)
def test_nobody_can_make_the_ledger_of_heals_shorter_or_older(
    database: Database, attempt: str, role: str, statement: str
) -> None:
    with psycopg.connect(database.url(role)) as connection, pytest.raises(errors.InsufficientPrivilege):
        connection.execute(statement.encode())


def test_the_server_of_the_api_begins_with_nothing_but_its_own_credentials(database: Database) -> None:
    arguments, environ = database.service("api")
    assert arguments == ["boot", "--serve"]
    given = {
        name for name, said in environ.items() if any(each in said for each in database.passwords.values())
    }
    assert given == {"DATABASE_URL"}
