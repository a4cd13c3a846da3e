"""`alpimonitor ingest` as an operator runs it: a process, its exit code, and what it says where."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from alpimonitor_api.ingest.lindas import ATTRIBUTION
from alpimonitor_rehearsal import hydrology
from alpimonitor_rehearsal.simulator import Fault, Simulator
from alpimonitor_rehearsal.waiting import wait_until

pytestmark = pytest.mark.acceptance

NOW = datetime(2026, 7, 1, 12, 3, tzinfo=UTC)
COMMAND = [sys.executable, "-m", "alpimonitor_cli.main", "ingest"]
OURS = ("DATABASE_URL", "LINDAS_ENDPOINT", "LINDAS_ARCHIVE_DIR", "INGESTION_SCHEDULE", "INGESTION_ENABLED")


def environment(**variables: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in OURS} | variables


def ingest(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def run_count(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT count(*) FROM ingestion_run WHERE status = 'SUCCESS'").fetchone()
    assert row is not None
    return int(row[0])


@pytest.fixture
def payload(tmp_path: Path) -> Path:
    file = tmp_path / "payload.json"
    file.write_bytes(hydrology.payload(NOW))
    return file


def test_once_from_an_endpoint_says_what_it_did_and_keeps_the_payload(
    seeded_database: str, tmp_path: Path
) -> None:
    with Simulator() as simulator:
        done = ingest(
            "once",
            DATABASE_URL=seeded_database,
            LINDAS_ENDPOINT=simulator.url,
            LINDAS_ARCHIVE_DIR=str(tmp_path / "archive"),
        )
    assert done.returncode == 0, done.stderr
    assert "success: 4 LIVE stations seen, 8 measurements new, 0 updated" in done.stdout
    assert ATTRIBUTION in done.stdout
    assert "Ingestion done" in done.stderr
    assert len(list((tmp_path / "archive").rglob("*.json.gz"))) == 1


def test_json_is_one_object_alone_on_stdout(seeded_database: str, payload: Path) -> None:
    done = ingest("once", "--file", str(payload), "--json", DATABASE_URL=seeded_database)
    run = json.loads(done.stdout)
    assert done.returncode == 0
    assert (run["outcome"], run["status"], run["reason"], run["recorded"]) == (
        "success",
        "SUCCESS",
        None,
        True,
    )
    assert (run["stations_seen_count"], run["measurements_created_count"]) == (4, 8)
    assert run["started_at"].endswith("Z")
    assert run["attribution"] == ATTRIBUTION


def test_a_second_pass_over_the_same_file_finds_nothing_new(seeded_database: str, payload: Path) -> None:
    runs = [
        json.loads(ingest("once", "--file", str(payload), "--json", DATABASE_URL=seeded_database).stdout)
        for _ in range(2)
    ]
    assert [run["measurements_created_count"] for run in runs] == [8, 0]


def test_a_partial_run_exits_0_and_says_what_was_skipped(seeded_database: str, tmp_path: Path) -> None:
    file = tmp_path / "payload.json"
    file.write_bytes(hydrology.result(hydrology.bindings(NOW) + hydrology.malformed_bindings(NOW)[:5]))
    done = ingest("once", "--file", str(file), DATABASE_URL=seeded_database)
    assert done.returncode == 0
    assert "partial: 4 LIVE stations seen" in done.stdout
    assert "5 malformed rows skipped" in done.stdout


def test_a_payload_that_is_none_exits_1_and_says_why(seeded_database: str, tmp_path: Path) -> None:
    file = tmp_path / "payload.json"
    file.write_text("<html>Maintenance</html>")
    done = ingest("once", "--file", str(file), DATABASE_URL=seeded_database)
    assert done.returncode == 1
    assert "not_json" in done.stdout
    assert "<html>Maintenance" in done.stdout


def test_a_missing_file_exits_1_and_names_it(seeded_database: str, tmp_path: Path) -> None:
    done = ingest("once", "--file", str(tmp_path / "absent.json"), DATABASE_URL=seeded_database)
    assert done.returncode == 1
    assert "absent.json could not be read: No such file" in done.stdout


def test_an_endpoint_that_answers_500_exits_1(seeded_database: str) -> None:
    with Simulator() as simulator:
        simulator.fault(Fault.ERROR_500)
        done = ingest("once", "--json", DATABASE_URL=seeded_database, LINDAS_ENDPOINT=simulator.url)
        assert simulator.queries == 3
    assert done.returncode == 1
    assert json.loads(done.stdout)["reason"] == "server_error"


def test_an_unreachable_database_exits_5_and_keeps_its_password_to_itself(payload: Path) -> None:
    url = "postgresql://nobody:hunter2@127.0.0.1:1/none"
    done = ingest("once", "--file", str(payload), DATABASE_URL=url)
    assert done.returncode == 5
    assert "database unreachable" in done.stdout
    assert "DATABASE_URL" in done.stdout
    assert "hunter2" not in done.stdout + done.stderr


@pytest.mark.parametrize("command", ["once", "run"])
def test_settings_that_cannot_be_used_exit_2_and_name_the_variable(command: str) -> None:
    done = ingest(command)
    assert done.returncode == 2
    assert "DATABASE_URL is not set" in done.stderr
    assert done.stdout == ""


def test_while_another_ingestion_runs_once_exits_0_and_says_so(seeded_database: str, payload: Path) -> None:
    with psycopg.connect(seeded_database) as other:
        other.execute("SELECT pg_advisory_lock(hashtextextended('alpimonitor:ingestion', 0))")
        done = ingest("once", "--file", str(payload), DATABASE_URL=seeded_database)
    assert done.returncode == 0
    assert "another ingestion is running" in done.stdout


def test_run_ingests_at_once_and_ends_cleanly_at_sigterm(seeded_database: str, tmp_path: Path) -> None:
    with Simulator() as simulator:
        process = subprocess.Popen(
            [*COMMAND, "run"],
            env=environment(
                DATABASE_URL=seeded_database,
                LINDAS_ENDPOINT=simulator.url,
                LINDAS_ARCHIVE_DIR=str(tmp_path),
                INGESTION_SCHEDULE="10",
            ),
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            wait_until("the first run", lambda: run_count(seeded_database) == 1, deadline=30)
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
            assert process.stderr is not None
            log = process.stderr.read()
    assert "Ingestion done: 4 LIVE stations seen, 8 measurements new" in log
    assert "Traceback" not in log


@pytest.mark.parametrize(("signals", "code", "stored"), [(1, 0, 1), (2, 130, 0)])
def test_a_request_in_progress_is_finished_at_sigterm_and_a_second_one_does_not_wait_for_it(
    seeded_database: str, signals: int, code: int, stored: int
) -> None:
    with Simulator(slow_seconds=1 if stored else 60) as simulator:
        simulator.fault(Fault.SLOW)
        process = subprocess.Popen(
            [*COMMAND, "run"],
            env=environment(DATABASE_URL=seeded_database, LINDAS_ENDPOINT=simulator.url),
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            wait_until("its request", lambda: simulator.queries == 1, deadline=60)
            for _ in range(signals):
                process.send_signal(signal.SIGTERM)
                # A signal that arrives while the same one is pending is lost.
                wait_until("the signal to arrive", lambda: not pending(process.pid), deadline=20)
            assert process.wait(20) == code
            assert process.stderr is not None
            assert "Traceback" not in process.stderr.read()
    assert run_count(seeded_database) == stored


def pending(pid: int) -> bool:
    """Whether a signal waits to be taken by the process as a whole."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    return any(line.startswith("ShdPnd:") and int(line.split()[1], 16) for line in status.splitlines())


def test_run_says_at_start_that_the_archive_cannot_be_written_and_ingests_all_the_same(
    seeded_database: str, tmp_path: Path
) -> None:
    in_the_way = tmp_path / "archive"
    in_the_way.write_text("not a folder")
    with Simulator() as simulator:
        process = subprocess.Popen(
            [*COMMAND, "run"],
            env=environment(
                DATABASE_URL=seeded_database,
                LINDAS_ENDPOINT=simulator.url,
                LINDAS_ARCHIVE_DIR=str(in_the_way),
            ),
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            wait_until("the first run", lambda: run_count(seeded_database) == 1, deadline=30)
            process.terminate()
            assert process.wait(10) == 0
            assert process.stderr is not None
            log = process.stderr.read()
    assert "Raw payloads will not be archived" in log
    assert str(in_the_way) in log


def test_help_carries_examples_and_exit_codes() -> None:
    assert "alpimonitor ingest once --file" in ingest("once", "--help").stdout
    assert "5 database" in ingest("once", "--help").stdout
    assert "alpimonitor ingest run" in ingest("run", "--help").stdout
