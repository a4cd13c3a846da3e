"""The migrated database is the declared one, in everything that the catalog can tell."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, create_engine, make_url
from sqlalchemy.pool import NullPool

from alpimonitor_api.tables import CONTEXT_TABLES, OPERATIONAL_TABLES, metadata

COLUMNS = """
    SELECT table_name, column_name, ordinal_position, data_type, is_nullable, column_default
    FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2"""
CONSTRAINTS = """
    SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2"""
INDEXES = "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1, 2"


def engine_connection(url: str) -> Connection:
    return create_engine(make_url(url).set(drivername="postgresql+psycopg"), poolclass=NullPool).connect()


def catalog(url: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        rows = connection.execute(query).fetchall()
    return [row for row in rows if row[0] != "alembic_version"]


@pytest.fixture
def declared(empty_database: str) -> str:
    """A database made from the declared tables, without any migration."""
    with engine_connection(empty_database) as connection, connection.begin():
        metadata.create_all(connection)
    return empty_database


def test_alembic_finds_nothing_to_migrate(database: str) -> None:
    with engine_connection(database) as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, metadata) == []


@pytest.mark.parametrize("query", [COLUMNS, CONSTRAINTS, INDEXES], ids=["columns", "constraints", "indexes"])
def test_declared_and_migrated_catalogs_are_equal(declared: str, database: str, query: str) -> None:
    assert catalog(declared, query) == catalog(database, query) != []


def test_no_table_is_missing(database: str) -> None:
    tables = {row[0] for row in catalog(database, COLUMNS)}
    assert tables == {
        *("catchment", "station", "sensor", "threshold", "glacier", "station_glacier", "withdrawal"),
        *("measurement", "alert", "ingestion_run", "threshold_audit", "deployment", "seed_run"),
    }
    assert tables == {
        *(table.name for table in (*CONTEXT_TABLES, *OPERATIONAL_TABLES)),
        *("deployment", "seed_run"),
    }


def test_every_foreign_key_restricts(database: str) -> None:
    foreign_keys = [row for row in catalog(database, CONSTRAINTS) if row[2].startswith("FOREIGN KEY")]
    assert len(foreign_keys) == 9
    assert [row for row in foreign_keys if "ON UPDATE RESTRICT ON DELETE RESTRICT" not in row[2]] == []


def test_the_latest_measurement_of_a_sensor_is_one_step_in_an_index(seeded_database: str) -> None:
    with psycopg.connect(seeded_database) as connection:
        connection.execute(
            """
            INSERT INTO measurement (sensor_id, recorded_at, value, payload_fetched_at)
            SELECT sensor.id, timestamptz '2026-01-01Z' + n * interval '10 minutes', n, now()
            FROM sensor, generate_series(1, 500) AS n
            """
        )
        connection.execute("ANALYZE measurement")
        plan = connection.execute(
            """
            EXPLAIN SELECT sensor.id, latest.recorded_at, latest.value
            FROM sensor CROSS JOIN LATERAL (
                SELECT recorded_at, value FROM measurement WHERE sensor_id = sensor.id
                ORDER BY recorded_at DESC LIMIT 1) AS latest
            """
        ).fetchall()
    lines = "\n".join(str(row[0]) for row in plan)
    assert "Index Scan Backward using pk_measurement" in lines
    assert "Sort" not in lines


@pytest.mark.parametrize(
    ("statement", "constraint"),
    [
        ("UPDATE station SET latitude = 'NaN'", "ck_station_latitude_range"),
        ("UPDATE station SET data_source = 'live'", "ck_station_data_source"),
        ("UPDATE station SET name = ' '", "ck_station_name_not_blank"),
        ("UPDATE threshold SET alert_value = vigilance_value", "ck_threshold_alert_beyond_vigilance"),
        ("UPDATE threshold SET direction = 'BELOW'", "ck_threshold_alert_beyond_vigilance"),
        ("UPDATE threshold SET tuned_by = 'someone'", "ck_threshold_tuned_together"),
        ("UPDATE threshold SET alert_value = 'Infinity'", "ck_threshold_alert_value_finite"),
        ("UPDATE glacier SET altitude_max_m = altitude_min_m", "ck_glacier_altitude_order"),
        (
            "INSERT INTO measurement SELECT id, now(), 'NaN', now() FROM sensor LIMIT 1",
            "ck_measurement_value_finite",
        ),
        ("INSERT INTO deployment VALUES (gen_random_uuid(), 'other')", "uq_deployment_one_row"),
        ("UPDATE deployment SET environment = 'Production'", "ck_deployment_environment_shape"),
        ("INSERT INTO station SELECT * FROM station LIMIT 1", "pk_station"),
        ("UPDATE station SET ofev_code = '2346'", "uq_station_ofev_code"),
        ("DELETE FROM catchment", "fk_station_catchment_id"),
        ("DELETE FROM station", "fk_sensor_station_id"),
    ],
)
def test_the_database_itself_refuses_what_makes_no_sense(
    seeded_database: str, statement: str, constraint: str
) -> None:
    with psycopg.connect(seeded_database) as connection, pytest.raises(psycopg.IntegrityError) as raised:
        connection.execute(statement)  # type: ignore[call-overload]
    refused_by = raised.value.diag.constraint_name
    # A row is referred to by several tables, and which of them objects first is nobody's promise.
    if constraint.startswith("fk_"):
        assert refused_by is not None
        assert refused_by.startswith("fk_")
    else:
        assert refused_by == constraint
