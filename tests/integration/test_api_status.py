"""/status against a real database: deployment, schema, context, ingestion."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from alpimonitor_api.shapes import Health, Status
from tests.api_client import NOW, Client, serving, shaped

MINUTE = timedelta(minutes=1)


@pytest.fixture
def connection(seeded_database: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(seeded_database, autocommit=True) as connection:
        yield connection


@pytest.fixture
def client(seeded_database: str) -> Iterator[Client]:
    with serving(seeded_database) as client:
        yield client


def ran(
    connection: psycopg.Connection, started_at: datetime, status: str = "SUCCESS", **columns: object
) -> None:
    """An ingestion run of two seconds."""
    row = {
        "source": "LINDAS_HYDRO",
        "status": status,
        "started_at": started_at,
        "completed_at": started_at + timedelta(seconds=2),
        "duration_ms": 2000,
        **columns,
    }
    connection.execute(
        f"INSERT INTO ingestion_run ({', '.join(row)}) VALUES ({', '.join(['%s'] * len(row))})",
        tuple(row.values()),
    )


def ingestion(client: Client) -> dict[str, Any]:
    told: dict[str, Any] = client.get("/status").json()["ingestion"]
    return told


def test_a_seeded_database_before_any_ingestion(client: Client, connection: psycopg.Connection) -> None:
    answer = client.get("/status")
    assert answer.status_code == 200
    shaped(Status, answer)
    told = answer.json()
    deployment = connection.execute("SELECT environment, id::text FROM deployment").fetchone()
    revision = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    assert deployment is not None
    assert revision is not None
    assert told["api"]["status"] == "ok"
    assert told["api"]["version"]
    assert told["database"] == {"status": "ok", "schemaRevision": revision[0]}
    assert told["deployment"] == {"environment": deployment[0], "id": deployment[1]}
    assert told["context"] == {
        "catchments": 1,
        "stations": 7,
        "sensors": 14,
        "thresholds": 7,
        "glaciers": 2,
        "stationGlaciers": 6,
        "withdrawals": 2,
    }
    assert told["ingestion"] == {
        "lastRun": None,
        "lastSuccessAt": None,
        "healthyThresholdMinutes": 30,
        "today": {"runsCount": 0, "measurementsCreatedSum": 0, "successRate": None},
        "archive": {"consecutiveFailures": 0, "lastError": None},
    }


def test_an_empty_context_is_told_as_zeros_and_not_as_an_error(database: str) -> None:
    with serving(database) as client:
        answer = client.get("/status")
    assert answer.status_code == 200
    assert set(answer.json()["context"].values()) == {0}


def test_the_last_run_is_told_whole(client: Client, connection: psycopg.Connection) -> None:
    ran(connection, NOW - 20 * MINUTE)
    ran(
        connection,
        NOW - 10 * MINUTE,
        "FAILURE",
        stations_seen_count=3,
        measurements_created_count=6,
        measurements_updated_count=2,
        measurements_skipped_count=1,
        error_message="the endpoint answered 502",
    )
    told = ingestion(client)
    assert told["lastRun"] == {
        "source": "LINDAS_HYDRO",
        "status": "FAILURE",
        "startedAt": "2026-04-21T11:50:00Z",
        "completedAt": "2026-04-21T11:50:02Z",
        "stationsSeenCount": 3,
        "measurementsCreatedCount": 6,
        "measurementsUpdatedCount": 2,
        "measurementsSkippedCount": 1,
        "durationMs": 2000,
        "errorMessage": "the endpoint answered 502",
    }
    assert told["lastSuccessAt"] == "2026-04-21T11:40:02Z"
    shaped(Status, client.get("/status"))


def test_a_partial_run_counts_as_a_success(client: Client, connection: psycopg.Connection) -> None:
    ran(connection, NOW - 10 * MINUTE, "PARTIAL")
    told = ingestion(client)
    assert told["lastSuccessAt"] == "2026-04-21T11:50:02Z"
    assert told["today"]["successRate"] == 1


def test_a_run_under_a_clock_that_was_ahead_hides_no_later_one(
    client: Client, connection: psycopg.Connection
) -> None:
    ran(connection, NOW + timedelta(days=3650), archive_path="/archive/x")
    ran(connection, NOW - 40 * MINUTE)
    ran(connection, NOW - 10 * MINUTE, "FAILURE", archive_error="no space")
    told = ingestion(client)
    assert told["lastRun"]["startedAt"] == "2026-04-21T11:50:00Z"
    assert told["lastSuccessAt"] == "2026-04-21T11:20:02Z"
    assert told["today"]["runsCount"] == 2
    assert told["archive"] == {"consecutiveFailures": 1, "lastError": "no space"}


def test_today_begins_at_midnight_utc(client: Client, connection: psycopg.Connection) -> None:
    midnight = datetime(2026, 4, 21, tzinfo=UTC)
    ran(connection, midnight - timedelta(microseconds=1), "FAILURE", measurements_created_count=100)
    ran(connection, midnight, "SUCCESS", measurements_created_count=8)
    ran(connection, midnight + 10 * MINUTE, "FAILURE")
    ran(connection, midnight + 20 * MINUTE, "SUCCESS", measurements_created_count=4)
    assert ingestion(client)["today"] == {"runsCount": 3, "measurementsCreatedSum": 12, "successRate": 0.6667}


def test_archive_failures_are_counted_since_the_last_payload_that_was_kept(
    client: Client, connection: psycopg.Connection
) -> None:
    ran(connection, NOW - 60 * MINUTE, archive_error="an older story")
    ran(connection, NOW - 50 * MINUTE, archive_path="2026-04-21/111000-0123456789ab.json.gz")
    ran(connection, NOW - 40 * MINUTE, archive_error="permission denied")
    ran(connection, NOW - 30 * MINUTE, "FAILURE")  # no payload at all: says nothing about the archive
    ran(connection, NOW - 20 * MINUTE, archive_error="no space left on device")
    assert ingestion(client)["archive"] == {"consecutiveFailures": 2, "lastError": "no space left on device"}
    ran(connection, NOW - 10 * MINUTE, archive_path="2026-04-21/115000-0123456789ab.json.gz")
    assert ingestion(client)["archive"] == {"consecutiveFailures": 0, "lastError": None}


def test_the_healthy_threshold_is_the_settings_own(seeded_database: str) -> None:
    with serving(seeded_database, ingestion_healthy_threshold_minutes=45) as client:
        assert ingestion(client)["healthyThresholdMinutes"] == 45


def test_health_says_when_it_looked_and_touches_no_table(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
    with serving(database) as client:
        answer = client.get("/health")
    assert answer.status_code == 200
    shaped(Health, answer)
    assert answer.json() == {"status": "ok", "timestamp": "2026-04-21T12:00:00Z", "database": "ok"}
