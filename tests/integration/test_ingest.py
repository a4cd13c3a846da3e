"""One pass of ingestion into a real PostgreSQL: what is stored and counted, and what a failure leaves."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from alpimonitor_api.ingest import archive
from alpimonitor_api.ingest.faults import SourceFault
from alpimonitor_api.ingest.lindas import PayloadFault
from alpimonitor_api.ingest.outcome import Outcome
from alpimonitor_api.ingest.source import FileSource, HttpSource, Payload
from alpimonitor_api.ingest.store import StoreFault
from alpimonitor_rehearsal import hydrology
from alpimonitor_rehearsal.simulator import Fault, Simulator
from alpimonitor_rehearsal.tcp_proxy import TcpProxy
from alpimonitor_rehearsal.waiting import wait_until
from tests.passes import NOW, Bytes, execute, ingestion, measurements, payload_with, rows, runs

UNKNOWN_BEFOREHAND = ("id", "started_at", "completed_at", "duration_ms")


@contextmanager
def holding(url: str, *statements: str) -> Iterator[None]:
    """Somebody else's transaction that has executed these and does not end."""
    with psycopg.connect(url) as connection:
        for statement in statements:
            connection.execute(statement.encode())
        yield
        connection.rollback()


def test_the_real_payload_gives_8_measurements_of_4_stations_and_nothing_new_the_second_time(
    seeded_database: str, lindas_sample: Path, tmp_path: Path
) -> None:
    first = ingestion(seeded_database, FileSource(lindas_sample), root=tmp_path).run()
    second = ingestion(
        seeded_database, FileSource(lindas_sample), root=tmp_path, now=NOW + timedelta(minutes=10)
    ).run()
    assert (first.outcome, second.outcome) == (Outcome.SUCCESS, Outcome.SUCCESS)
    assert [
        (run["stations_seen_count"], run["measurements_created_count"], run["measurements_updated_count"])
        for run in runs(seeded_database)
    ] == [(4, 8, 0), (4, 0, 0)]
    at = datetime(2026, 4, 20, 20, 20, tzinfo=UTC)
    assert measurements(seeded_database) == {
        ("2346", "DISCHARGE"): (at, 45.681),
        ("2346", "WATER_LEVEL"): (at, 665.896),
        ("2011", "DISCHARGE"): (at, 68.056),
        ("2011", "WATER_LEVEL"): (at, 483.339),
        ("2630", "DISCHARGE"): (at, 0.924),
        ("2630", "WATER_LEVEL"): (at, 494.535),
        ("2009", "DISCHARGE"): (at, 165.410),
        ("2009", "WATER_LEVEL"): (at, 375.350),
    }
    assert first.stations_unknown == 229


def test_a_pass_over_http_leaves_a_complete_run(seeded_database: str, tmp_path: Path) -> None:
    with Simulator(clock=lambda: NOW) as simulator:
        done = ingestion(seeded_database, HttpSource(simulator.url), root=tmp_path).run()
    assert done.outcome is Outcome.SUCCESS
    assert done.recorded
    (run,) = runs(seeded_database)
    body = hydrology.payload(NOW)
    assert {name: run[name] for name in run if name not in UNKNOWN_BEFOREHAND} == {
        "source": "LINDAS_HYDRO",
        "status": "SUCCESS",
        "stations_seen_count": 4,
        "measurements_created_count": 8,
        "measurements_updated_count": 0,
        "measurements_skipped_count": 0,
        "error_message": None,
        "http_status": 200,
        "payload_bytes": len(body),
        "payload_sha256": archive.sha256(body),
        "archive_path": str(next(tmp_path.rglob("*.json.gz"))),
        "archive_error": None,
    }
    assert run["duration_ms"] > 0
    assert run["completed_at"] - run["started_at"] == timedelta(milliseconds=run["duration_ms"])
    assert archive.read(Path(run["archive_path"])) == body


def test_a_run_is_dated_by_the_clock_that_all_share_whatever_this_machine_says(seeded_database: str) -> None:
    """The sidecar compares it with the end of its heal, and other replicas with their own turn."""
    (before,) = rows(seeded_database, "SELECT clock_timestamp() AS time")
    ahead = before["time"] + timedelta(days=1)
    ingestion(seeded_database, Bytes(hydrology.payload(ahead)), now=ahead).run()
    (after,) = rows(seeded_database, "SELECT clock_timestamp() AS time")
    (run,) = runs(seeded_database)
    assert before["time"] <= run["started_at"] <= after["time"]


def test_a_newer_observation_is_added_and_the_older_one_stays(seeded_database: str) -> None:
    for minutes in (0, 10):
        now = NOW + timedelta(minutes=minutes)
        ingestion(seeded_database, Bytes(hydrology.payload(now)), now=now).run()
    assert [run["measurements_created_count"] for run in runs(seeded_database)] == [8, 8]
    (counted,) = rows(seeded_database, "SELECT count(*) FROM measurement")
    assert counted["count"] == 16


def test_another_value_in_a_later_payload_wins_and_is_counted_as_updated(seeded_database: str) -> None:
    ingestion(seeded_database, Bytes(payload_with("2346", discharge="10.0"))).run()
    later = NOW + timedelta(minutes=1)
    ingestion(seeded_database, Bytes(payload_with("2346", discharge="11.0")), now=later).run()
    (_, run) = runs(seeded_database)
    assert (run["measurements_created_count"], run["measurements_updated_count"]) == (0, 1)
    assert measurements(seeded_database)["2346", "DISCHARGE"][1] == 11.0


def test_another_value_in_an_earlier_payload_changes_nothing(seeded_database: str) -> None:
    ingestion(seeded_database, Bytes(payload_with("2346", discharge="11.0"))).run()
    earlier = NOW - timedelta(minutes=1)
    ingestion(seeded_database, Bytes(payload_with("2346", discharge="10.0")), now=earlier).run()
    assert measurements(seeded_database)["2346", "DISCHARGE"][1] == 11.0
    assert sum(run["measurements_updated_count"] for run in runs(seeded_database)) == 0


def test_an_archived_file_has_the_age_of_its_name_and_is_not_archived_again(
    seeded_database: str, tmp_path: Path
) -> None:
    ingestion(seeded_database, Bytes(payload_with("2346", discharge="11.0"))).run()
    old = archive.write(tmp_path, payload_with("2346", discharge="10.0"), NOW - timedelta(minutes=1))
    now = NOW + timedelta(hours=1)
    done = ingestion(seeded_database, FileSource(old), root=tmp_path, now=now).run()
    assert done.run is not None
    assert (done.run.archive_path, done.run.archive_error) == (None, None)
    assert done.run.payload_sha256 == archive.sha256(archive.read(old))
    assert list(tmp_path.rglob("*.json.gz")) == [old]
    assert measurements(seeded_database)["2346", "DISCHARGE"][1] == 11.0


@pytest.mark.parametrize(("written", "year", "month"), [("2026-06-20", 2026, 6), ("2025-06-20", 2025, 6)])
def test_an_observation_of_days_or_a_year_ago_is_stored_under_its_own_time_and_its_station_counts_as_seen(
    seeded_database: str, written: str, year: int, month: int
) -> None:
    """The payload covers the station; that its gauge is silent is told by an alert."""
    body = payload_with("2346", measuredAt=f"{written}T00:00:00+01:00")
    assert ingestion(seeded_database, Bytes(body)).run().outcome is Outcome.SUCCESS
    assert measurements(seeded_database)["2346", "DISCHARGE"][0] == datetime(year, month, 19, 23, tzinfo=UTC)
    assert runs(seeded_database)[0]["stations_seen_count"] == 4


def test_a_malformed_row_is_skipped_counted_and_named_and_the_run_is_partial(seeded_database: str) -> None:
    done = ingestion(seeded_database, Bytes(payload_with("2346", discharge="NaN"))).run()
    assert done.outcome is Outcome.PARTIAL
    (run,) = runs(seeded_database)
    assert (run["status"], run["stations_seen_count"]) == ("PARTIAL", 3)
    assert (run["measurements_created_count"], run["measurements_skipped_count"]) == (6, 1)
    assert "1 number_malformed" in run["error_message"]
    assert "station 2346: discharge is 'NaN'" in run["error_message"]


def test_a_live_station_without_values_is_seen_and_stores_nothing(seeded_database: str) -> None:
    bindings = [row for row in hydrology.bindings(NOW) if row["code"]["value"] != "2346"]
    bindings.append(
        {
            name: {"type": "literal", "value": value}
            for name, value in (("code", "2346"), ("measuredAt", "2026-07-01T13:00:00+01:00"))
        }
    )
    ingestion(seeded_database, Bytes(hydrology.result(bindings))).run()
    (run,) = runs(seeded_database)
    assert (run["status"], run["stations_seen_count"]) == ("SUCCESS", 4)
    assert run["measurements_created_count"] == 6


def test_a_station_that_the_payload_lacks_is_not_seen(seeded_database: str) -> None:
    ingestion(seeded_database, Bytes(hydrology.payload(NOW, without=["2346", "2630"]))).run()
    (run,) = runs(seeded_database)
    assert (run["stations_seen_count"], run["measurements_created_count"]) == (2, 4)


@pytest.mark.parametrize(
    ("change", "seen", "created"),
    [
        ("UPDATE station SET is_active = false WHERE ofev_code = '2346'", 3, 6),
        ("UPDATE station SET data_source = 'RESEARCH' WHERE ofev_code = '2346'", 3, 6),
        ("UPDATE station SET ofev_code = '2043', data_source = 'RESEARCH' WHERE ofev_code = '2346'", 3, 6),
        ("UPDATE sensor SET is_active = false WHERE parameter = 'WATER_LEVEL'", 4, 4),
        ("DELETE FROM sensor", 4, 0),
    ],
)
def test_only_active_live_stations_and_active_sensors_count(
    seeded_database: str, change: str, seen: int, created: int
) -> None:
    execute(seeded_database, change)
    assert ingestion(seeded_database, Bytes(hydrology.payload(NOW))).run().outcome is Outcome.SUCCESS
    (run,) = runs(seeded_database)
    assert (run["stations_seen_count"], run["measurements_created_count"]) == (seen, created)


def test_in_an_emptied_database_no_station_is_seen_and_the_run_says_so(database: str) -> None:
    ingestion(database, Bytes(hydrology.payload(NOW))).run()
    (run,) = runs(database)
    assert (run["status"], run["stations_seen_count"]) == ("SUCCESS", 0)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [(Fault.MALFORMED, PayloadFault.NOT_JSON), (Fault.EMPTY, PayloadFault.NO_ROWS)],
)
def test_a_malformed_payload_is_a_failure_and_archived_all_the_same(
    seeded_database: str, tmp_path: Path, fault: Fault, reason: PayloadFault
) -> None:
    with Simulator(clock=lambda: NOW) as simulator:
        simulator.fault(fault)
        done = ingestion(seeded_database, HttpSource(simulator.url), root=tmp_path).run()
    assert (done.outcome, done.reason, done.recorded) == (Outcome.FAILURE, reason, True)
    (run,) = runs(seeded_database)
    assert (run["status"], run["stations_seen_count"], run["http_status"]) == ("FAILURE", 0, 200)
    assert reason.value in run["error_message"]
    assert archive.sha256(archive.read(Path(run["archive_path"]))) == run["payload_sha256"]
    assert measurements(seeded_database) == {}


def test_a_source_that_is_down_is_a_failure_with_its_status(seeded_database: str, tmp_path: Path) -> None:
    with Simulator(clock=lambda: NOW) as simulator:
        simulator.fault(Fault.ERROR_500)
        source = HttpSource(simulator.url, jitter=lambda low, high: low)
        done = ingestion(seeded_database, source, root=tmp_path).run()
    assert (done.outcome, done.reason) == (Outcome.FAILURE, SourceFault.SERVER_ERROR)
    (run,) = runs(seeded_database)
    assert (run["status"], run["http_status"], run["payload_bytes"]) == ("FAILURE", 500, None)
    assert "answered 500" in run["error_message"]
    assert list(tmp_path.iterdir()) == []


def test_an_archive_that_cannot_be_written_is_recorded_and_told_and_stops_nothing(
    seeded_database: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    in_the_way = tmp_path / "archive"
    in_the_way.write_text("not a folder")
    done = ingestion(seeded_database, Bytes(hydrology.payload(NOW)), root=in_the_way).run()
    assert done.outcome is Outcome.SUCCESS
    (run,) = runs(seeded_database)
    assert run["measurements_created_count"] == 8
    assert run["archive_path"] is None
    assert str(in_the_way) in run["archive_error"]
    (warning,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert str(in_the_way) in warning.getMessage()
    assert "LINDAS_ARCHIVE_DIR has to be a folder" in warning.getMessage()


def test_without_an_archive_nothing_is_kept_and_nothing_failed(seeded_database: str) -> None:
    ingestion(seeded_database, Bytes(hydrology.payload(NOW))).run()
    (run,) = runs(seeded_database)
    assert (run["archive_path"], run["archive_error"]) == (None, None)


def test_payloads_beyond_thirty_days_leave_the_archive(seeded_database: str, tmp_path: Path) -> None:
    old = archive.write(tmp_path, b"{}", NOW - timedelta(days=31))
    ingestion(seeded_database, Bytes(hydrology.payload(NOW)), root=tmp_path).run()
    assert not old.exists()
    assert [folder.name for folder in tmp_path.iterdir()] == ["2026-07-01"]


def test_under_a_clock_that_jumps_the_last_thirty_days_stay_and_older_ones_go(
    seeded_database: str, tmp_path: Path
) -> None:
    payload = hydrology.payload(NOW)
    for age in (0, 1, 15, 29, 30):
        archive.write(tmp_path, b"{}", NOW - timedelta(days=age))
    kept = {path.parent.name for path in tmp_path.rglob("*.json.gz")}
    for days in (400, -400, 30, -31, 4000, 1):
        moment = NOW + timedelta(days=days)
        ingestion(seeded_database, Bytes(payload), root=tmp_path, now=moment).run()
        assert kept <= {path.parent.name for path in tmp_path.rglob("*.json.gz")}, f"{days} days off"
    # Of the days that the clock jumped back to, nothing stays once it is right.
    ingestion(seeded_database, Bytes(payload), root=tmp_path).run()
    assert min(path.parent.name for path in tmp_path.rglob("*.json.gz")) == "2026-06-01"


def test_a_clock_that_runs_ahead_does_not_empty_the_archive(seeded_database: str, tmp_path: Path) -> None:
    kept = archive.write(tmp_path, b"{}", NOW - timedelta(days=1))
    ahead = NOW + timedelta(days=4000)
    ingestion(seeded_database, Bytes(hydrology.payload(NOW)), root=tmp_path, now=ahead).run()
    assert kept.exists()


def test_an_archive_without_room_makes_some(
    seeded_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = archive.write(tmp_path, b"{}", NOW - timedelta(days=31))

    def full(*_: object) -> Path:
        raise archive.ArchiveError("No space left on device")

    monkeypatch.setattr(archive, "write", full)
    ingestion(seeded_database, Bytes(hydrology.payload(NOW)), root=tmp_path).run()
    assert not old.exists()
    assert runs(seeded_database)[0]["archive_error"] == "No space left on device"


def test_a_file_name_that_is_no_utf_8_is_recorded_escaped(seeded_database: str, tmp_path: Path) -> None:
    source = FileSource(tmp_path / "payload-\udcff.json")
    assert ingestion(seeded_database, source).run().reason is SourceFault.FILE_UNREADABLE
    assert "payload-\\udcff.json" in runs(seeded_database)[0]["error_message"]


def test_while_another_ingestion_runs_nothing_is_fetched_and_nothing_failed(
    seeded_database: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="alpimonitor_api")
    with (
        Simulator(clock=lambda: NOW) as simulator,
        holding(seeded_database, "SELECT pg_advisory_lock(hashtextextended('alpimonitor:ingestion', 0))"),
    ):
        done = ingestion(seeded_database, HttpSource(simulator.url)).run()
        assert simulator.queries == 0
    assert (done.outcome, done.run) == (Outcome.ANOTHER_RUNNING, None)
    assert runs(seeded_database) == []
    assert "Another ingestion is running" in caplog.text


def test_of_two_passes_at_once_one_asks_lindas(seeded_database: str) -> None:
    asked, release = threading.Event(), threading.Event()

    class Waiting(Bytes):
        def fetch(self, clock: Callable[[], datetime]) -> Payload:
            asked.set()
            assert release.wait(20)
            return super().fetch(clock)

    outcomes: list[Outcome] = []
    body = hydrology.payload(NOW)
    first = threading.Thread(
        target=lambda: outcomes.append(ingestion(seeded_database, Waiting(body)).run().outcome)
    )
    first.start()
    assert asked.wait(20)
    assert ingestion(seeded_database, Bytes(body)).run().outcome is Outcome.ANOTHER_RUNNING
    release.set()
    first.join(20)
    assert outcomes == [Outcome.SUCCESS]
    assert ingestion(seeded_database, Bytes(body)).run().outcome is Outcome.SUCCESS


def test_while_lindas_is_asked_no_table_is_locked(seeded_database: str) -> None:
    class Altering(Bytes):
        def fetch(self, clock: Callable[[], datetime]) -> Payload:
            execute(
                seeded_database,
                "SET lock_timeout = '2s'; LOCK TABLE station, sensor, measurement, ingestion_run",
            )
            return super().fetch(clock)

    assert ingestion(seeded_database, Altering(hydrology.payload(NOW))).run().outcome is Outcome.SUCCESS


def test_an_unreachable_database_still_lets_the_payload_be_archived(tmp_path: Path) -> None:
    url = "postgresql://nobody:hunter2@127.0.0.1:1/none"
    done = ingestion(url, Bytes(hydrology.payload(NOW)), root=tmp_path).run()
    assert (done.outcome, done.recorded) == (Outcome.DATABASE_UNREACHABLE, False)
    assert len(list(tmp_path.rglob("*.json.gz"))) == 1
    assert done.run is not None
    assert done.run.error_message is not None
    assert "database unreachable" in done.run.error_message
    assert "DATABASE_URL" in done.run.error_message
    assert "hunter2" not in repr(done)


def test_a_database_lost_while_lindas_answers_is_unreachable_and_the_payload_is_archived(
    seeded_database: str, tmp_path: Path
) -> None:
    parts = psycopg.conninfo.conninfo_to_dict(seeded_database)
    with TcpProxy(str(parts["host"]), int(str(parts["port"]))) as proxy:
        through = psycopg.conninfo.make_conninfo(seeded_database, host=proxy.host, port=proxy.port)

        class Cutting(Bytes):
            def fetch(self, clock: Callable[[], datetime]) -> Payload:
                proxy.cut()
                return super().fetch(clock)

        done = ingestion(through, Cutting(hydrology.payload(NOW)), root=tmp_path).run()
    assert (done.outcome, done.recorded) == (Outcome.DATABASE_UNREACHABLE, False)
    assert len(list(tmp_path.rglob("*.json.gz"))) == 1
    assert runs(seeded_database) == []


@pytest.mark.parametrize(
    ("damage", "reason", "remedy", "recorded"),
    [
        ("DROP TABLE measurement", StoreFault.NO_SCHEMA, "alpimonitor db upgrade", True),
        ("DROP TABLE ingestion_run", StoreFault.NO_SCHEMA, "alpimonitor db upgrade", False),
        ("ALTER TABLE measurement DROP COLUMN value", StoreFault.NO_SCHEMA, "alpimonitor db upgrade", True),
        (
            "DO $$BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on',"
            " current_database()); END$$",
            StoreFault.READ_ONLY,
            "point DATABASE_URL at the primary",
            False,
        ),
        (
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
            " $$BEGIN RAISE EXCEPTION 'not today'; END$$;"
            "CREATE TRIGGER refuse BEFORE INSERT ON measurement EXECUTE FUNCTION refuse()",
            StoreFault.OTHER,
            "not today",
            True,
        ),
    ],
)
def test_a_database_that_does_not_take_it_is_a_failure_with_a_remedy_and_stores_nothing(
    seeded_database: str, damage: str, reason: StoreFault, remedy: str, recorded: bool
) -> None:
    execute(seeded_database, damage)
    done = ingestion(seeded_database, Bytes(hydrology.payload(NOW))).run()
    assert (done.outcome, done.reason, done.recorded) == (Outcome.FAILURE, reason, recorded)
    assert done.run is not None
    assert remedy in str(done.run.error_message)
    assert (done.run.measurements_created_count, done.run.stations_seen_count) == (0, 0)
    if recorded:
        (run,) = runs(seeded_database)
        assert (run["status"], run["error_message"]) == ("FAILURE", done.run.error_message)


def test_a_role_without_rights_is_a_failure_that_says_so(
    seeded_database: str,
) -> None:
    execute(
        seeded_database,
        "DO $$BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'reads_only') THEN"
        " CREATE ROLE reads_only; END IF; END$$; GRANT SELECT ON ALL TABLES IN SCHEMA public TO reads_only",
    )
    as_reader = psycopg.conninfo.make_conninfo(seeded_database, options="-c role=reads_only")
    done = ingestion(as_reader, Bytes(hydrology.payload(NOW))).run()
    assert (done.outcome, done.reason, done.recorded) == (Outcome.FAILURE, StoreFault.NO_RIGHT, False)
    assert done.run is not None
    assert "permission denied for table ingestion_run; grant it" in str(done.run.error_message)


def test_a_context_deleted_while_lindas_answers_is_seen_as_empty_and_not_a_crash(
    seeded_database: str,
) -> None:
    class Wiping(Bytes):
        def fetch(self, clock: Callable[[], datetime]) -> Payload:
            execute(
                seeded_database,
                "TRUNCATE catchment, glacier CASCADE",
            )
            return super().fetch(clock)

    done = ingestion(seeded_database, Wiping(hydrology.payload(NOW))).run()
    assert done.outcome is Outcome.SUCCESS
    assert runs(seeded_database)[0]["stations_seen_count"] == 0


def test_a_sensor_deleted_at_the_last_moment_is_a_failure_that_names_the_context(
    seeded_database: str,
) -> None:
    """The delete is in progress when the measurement wants to refer to the sensor, and then commits."""
    outcomes: list[Any] = []
    with psycopg.connect(seeded_database) as other:
        other.execute("DELETE FROM sensor")
        pass_ = ingestion(seeded_database, Bytes(hydrology.payload(NOW)))
        thread = threading.Thread(target=lambda: outcomes.append(pass_.run()))
        thread.start()

        with psycopg.connect(seeded_database, autocommit=True) as looking:
            wait_until(
                "the insert waiting for the deleting transaction",
                lambda: looking.execute(
                    "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()"
                    " AND application_name LIKE 'alpimonitor-ingest %' AND wait_event_type = 'Lock'"
                ).fetchone(),
                deadline=4,
            )
        other.commit()
        thread.join(20)
    (done,) = outcomes
    assert (done.outcome, done.reason, done.recorded) == (Outcome.FAILURE, StoreFault.CONTEXT_GONE, True)
    assert "the context is being changed or was lost" in runs(seeded_database)[0]["error_message"]


def test_a_time_from_the_future_is_skipped(seeded_database: str) -> None:
    body = payload_with("2346", measuredAt="2026-07-01T15:00:00+01:00")
    assert ingestion(seeded_database, Bytes(body)).run().outcome is Outcome.PARTIAL
    (run,) = runs(seeded_database)
    assert (run["stations_seen_count"], run["measurements_skipped_count"]) == (3, 1)
    assert "ahead of our clock" in run["error_message"]


def test_text_that_postgresql_refuses_does_not_stop_the_record_of_a_failure(seeded_database: str) -> None:
    body = json.dumps({"results": {"bindings": [{"code": {"value": "\x00\ud800"}}]}}).encode()
    done = ingestion(seeded_database, Bytes(body)).run()
    assert (done.outcome, done.reason) == (Outcome.FAILURE, PayloadFault.NO_USABLE_ROW)
    assert "code is '\\x00\\ud800'" in runs(seeded_database)[0]["error_message"]
