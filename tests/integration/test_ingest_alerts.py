"""Alerts of real passes in a real PostgreSQL: what opens and ends with what was stored, and what does not."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from alpimonitor_api.ingest import archive
from alpimonitor_api.ingest.outcome import Outcome, Pass
from alpimonitor_api.ingest.source import FileSource
from alpimonitor_cli.roles.names import API
from alpimonitor_cli.roles.rights import INSERT, SELECT, UPDATE
from alpimonitor_rehearsal import hydrology
from tests.api_client import serving
from tests.login_roles import login_role
from tests.passes import NOW, Bytes, execute, ingestion, payload_with, rows, runs

TEN_MINUTES = timedelta(minutes=10)
MEASURED = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)


def alerts(url: str) -> list[dict[str, Any]]:
    return rows(
        url,
        "SELECT ofev_code, type, level, parameter, trigger_value, threshold_value, opened_at, closed_at"
        " FROM alert JOIN station ON station.id = station_id ORDER BY opened_at, closed_at, ofev_code, level",
    )


def told(url: str) -> list[tuple[str, str, bool]]:
    """(station, level, whether it is active)"""
    return [(row["ofev_code"], row["level"], row["closed_at"] is None) for row in alerts(url)]


def at(url: str, now: datetime, discharge: str) -> Pass:
    """A pass at that moment, in which Brig has this discharge (its limits: 200 and 400)."""
    body = payload_with("2346", at=now, discharge=discharge)
    return ingestion(url, Bytes(body), now=now).run()


def test_a_river_that_rises_and_falls_leaves_one_row_a_level(seeded_database: str) -> None:
    for step, discharge in enumerate(["199.9", "200.0", "195.0", "410.0", "385.0", "379.0", "189.0"]):
        assert at(seeded_database, NOW + step * TEN_MINUTES, discharge).outcome is Outcome.SUCCESS
    river = {"ofev_code": "2346", "type": "THRESHOLD_EXCEEDED", "parameter": "DISCHARGE"}
    assert alerts(seeded_database) == [
        {
            **river,
            "level": level,
            "trigger_value": trigger,
            "threshold_value": limit,
            "opened_at": MEASURED + opened * TEN_MINUTES,
            "closed_at": MEASURED + closed * TEN_MINUTES,
        }
        for level, trigger, limit, opened, closed in (
            ("VIGILANCE", 200.0, 200.0, 1, 3),
            ("ALERT", 410.0, 400.0, 3, 5),
            ("VIGILANCE", 379.0, 200.0, 5, 6),
        )
    ]


def test_an_open_alert_is_told_by_the_pass_and_by_the_api(seeded_database: str) -> None:
    done = at(seeded_database, NOW, "250.0")
    assert (len(done.alerts.opens), len(done.alerts.closes)) == (1, 0)
    with serving(seeded_database, clock=lambda: NOW) as client:
        station = client.get("/stations/2346").json()["data"]
    assert station["activeAlertsCount"] == 1
    assert station["latestMeasurements"][0]["status"] == "VIGILANCE"


def test_limits_tuned_by_an_operator_hold_from_the_next_pass(seeded_database: str) -> None:
    at(seeded_database, NOW, "250.0")
    execute(
        seeded_database,
        "UPDATE threshold SET vigilance_value = 100, alert_value = 240 FROM station"
        " WHERE station.id = station_id AND ofev_code = '2346'",
    )
    at(seeded_database, NOW + TEN_MINUTES, "250.0")
    assert told(seeded_database) == [("2346", "VIGILANCE", False), ("2346", "ALERT", True)]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE station SET is_active = false WHERE ofev_code = '2346'",
        "UPDATE station SET data_source = 'RESEARCH' WHERE ofev_code = '2346'",
        "UPDATE sensor SET is_active = false",
        "DELETE FROM threshold",
    ],
)
def test_what_is_no_longer_watched_is_closed(seeded_database: str, change: str) -> None:
    at(seeded_database, NOW, "250.0")
    execute(seeded_database, change)
    later = NOW + TEN_MINUTES
    at(seeded_database, later, "450.0")
    (row,) = alerts(seeded_database)
    assert (row["level"], row["closed_at"]) == ("VIGILANCE", later)


def test_a_silent_station_is_offline_until_it_measures_again(seeded_database: str) -> None:
    at(seeded_database, NOW, "45.0")
    silent = [NOW + minutes * timedelta(minutes=1) for minutes in (50, 58, 70)]
    for now in silent:
        body = hydrology.payload(now, without=["2346"])
        ingestion(seeded_database, Bytes(body), now=now).run()
    (row,) = alerts(seeded_database)
    assert (row["ofev_code"], row["type"], row["level"]) == ("2346", "STATION_OFFLINE", "INFO")
    assert (row["parameter"], row["trigger_value"], row["threshold_value"]) == (None, None, None)
    assert (row["opened_at"], row["closed_at"]) == (silent[1], None)
    back = NOW + timedelta(minutes=80)
    at(seeded_database, back, "45.0")
    (row,) = alerts(seeded_database)
    assert row["closed_at"] == datetime(2026, 7, 1, 13, 20, tzinfo=UTC)


def test_an_observation_of_last_year_opens_no_threshold_but_its_station_is_offline(
    seeded_database: str,
) -> None:
    body = payload_with("2346", discharge="900.0", measuredAt="2025-07-01T13:00:00+01:00")
    ingestion(seeded_database, Bytes(body)).run()
    (row,) = alerts(seeded_database)
    assert (row["ofev_code"], row["type"], row["opened_at"]) == ("2346", "STATION_OFFLINE", NOW)


def test_a_payload_of_the_archive_opens_and_closes_nothing(seeded_database: str, tmp_path: Path) -> None:
    kept = archive.write(tmp_path, payload_with("2346", discharge="900.0"), NOW)
    done = ingestion(seeded_database, FileSource(kept), root=tmp_path).run()
    assert done.run is not None
    assert done.run.measurements_created_count == 8
    assert alerts(seeded_database) == []


def test_a_pass_that_stored_nothing_decides_nothing(seeded_database: str) -> None:
    late = NOW + timedelta(hours=3)
    at(seeded_database, NOW, "45.0")
    ingestion(seeded_database, Bytes(b"<html>"), now=late).run()
    assert alerts(seeded_database) == []


def test_a_skipped_row_of_another_station_does_not_keep_an_alert_from_opening(seeded_database: str) -> None:
    document = json.loads(payload_with("2346", discharge="450.0"))
    document["results"]["bindings"] += hydrology.malformed_bindings(NOW)
    done = ingestion(seeded_database, Bytes(json.dumps(document).encode())).run()
    assert done.outcome is Outcome.PARTIAL
    assert told(seeded_database) == [("2346", "ALERT", True)]


def test_alerts_that_cannot_be_written_lose_no_measurement_and_are_told(
    seeded_database: str, caplog: pytest.LogCaptureFixture
) -> None:
    execute(
        seeded_database,
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN RAISE EXCEPTION 'not today'; END$$;"
        "CREATE TRIGGER refuse BEFORE INSERT ON alert EXECUTE FUNCTION refuse()",
    )
    done = at(seeded_database, NOW, "250.0")
    assert (done.outcome, done.recorded) == (Outcome.SUCCESS, True)
    (run,) = runs(seeded_database)
    assert (run["status"], run["measurements_created_count"]) == ("SUCCESS", 8)
    assert run["error_message"] == "alerts were not decided: other: not today"
    assert "Alerts were not decided: other: not today" in caplog.text
    execute(seeded_database, "DROP TRIGGER refuse ON alert")
    at(seeded_database, NOW + TEN_MINUTES, "250.0")
    assert told(seeded_database) == [("2346", "VIGILANCE", True)]


def test_the_rights_of_the_apis_role_are_enough(seeded_database: str) -> None:
    updates = [
        sql.SQL("UPDATE ({}) ON {}").format(
            sql.SQL(", ").join(map(sql.Identifier, columns)), sql.Identifier(table)
        )
        for table, columns in UPDATE[API].items()
    ]
    reads = [sql.SQL("SELECT ON {}").format(sql.Identifier(table)) for table in SELECT[API]]
    inserts = [sql.SQL("INSERT ON {}").format(sql.Identifier(table)) for table in INSERT[API]]
    with login_role(seeded_database) as role:
        with psycopg.connect(seeded_database) as admin:
            for right in (*reads, *inserts, *updates):
                admin.execute(sql.SQL("GRANT {} TO {}").format(right, role.identifier))
        for step, discharge in enumerate(["250.0", "450.0", "45.0"]):
            at(role.url, NOW + step * TEN_MINUTES, discharge)
    assert told(seeded_database) == [("2346", "VIGILANCE", False), ("2346", "ALERT", False)]


def test_while_the_context_is_empty_nothing_is_watched_and_nothing_opens(database: str) -> None:
    at(database, NOW, "900.0")
    assert alerts(database) == []


def test_reading_takes_one_statement_and_writing_two(seeded_database: str) -> None:
    """However many alerts there are: every LIVE station passes from VIGILANCE to ALERT at once."""
    execute(seeded_database, "UPDATE threshold SET vigilance_value = 0.1, alert_value = 1000000")
    at(seeded_database, NOW, "45.0")
    assert [level for _, level, _ in told(seeded_database)] == ["VIGILANCE"] * 4
    execute(seeded_database, "UPDATE threshold SET vigilance_value = 0.1, alert_value = 0.2")
    with psycopg.connect(seeded_database, autocommit=True) as counting:
        counting.execute(
            "CREATE TABLE written (operation text);"
            "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS"
            " $$BEGIN INSERT INTO written VALUES (TG_OP); RETURN NULL; END$$;"
            "CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON alert EXECUTE FUNCTION note()"
        )
    at(seeded_database, NOW + TEN_MINUTES, "45.0")
    written = [row["operation"] for row in rows(seeded_database, "SELECT * FROM written")]
    assert written == ["UPDATE", "INSERT"]
    levels = [(level, active) for _, level, active in told(seeded_database)]
    assert sorted(levels) == [("ALERT", True)] * 4 + [("VIGILANCE", False)] * 4


def test_the_real_payload_opens_what_its_own_values_exceed(seeded_database: str, lindas_sample: Path) -> None:
    """The Rhône at Porte du Scex carried 165 m3/s that evening."""
    execute(
        seeded_database,
        "UPDATE threshold SET vigilance_value = 165.41, alert_value = 200 FROM station"
        " WHERE station.id = station_id AND ofev_code = '2009'",
    )
    now = datetime(2026, 4, 20, 20, 21, tzinfo=UTC)
    assert ingestion(seeded_database, FileSource(lindas_sample), now=now).run().outcome is Outcome.SUCCESS
    (row,) = alerts(seeded_database)
    assert (row["ofev_code"], row["level"], row["trigger_value"]) == ("2009", "VIGILANCE", 165.41)
    assert (row["opened_at"], row["closed_at"]) == (datetime(2026, 4, 20, 20, 20, tzinfo=UTC), None)
