"""`python -m alpimonitor_api.server` as a real process: serving, stopping, and refusing to start."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psycopg
import pytest

from alpimonitor_rehearsal.processes import Child, Processes, environment, python_module
from alpimonitor_rehearsal.simulator import Simulator
from alpimonitor_rehearsal.waiting import wait_until
from tests.api_client import error_of

pytestmark = pytest.mark.acceptance

STARTS_WITHIN = 20.0
ENDS_WITHIN = 20.0
NOWHERE = "postgresql://api:sesame@127.0.0.1:1/nothing"


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    with Processes(tmp_path) as processes:
        yield processes


def start(processes: Processes, tmp_path: Path, **settings: str) -> Child:
    defaults = {"PORT": "0", "INGESTION_ENABLED": "false", "DATABASE_URL": NOWHERE}
    given = {**environment(tmp_path, os.environ), **defaults, **settings}
    return processes.start("api", python_module("alpimonitor_api.server"), given)


def address(server: Child) -> str:
    """Where it says it listens, once it says so."""

    def said() -> str | None:
        found = re.search(r"listens on (http://[^\s\"]+)", server.logged())
        return found[1] if found else None

    return server.until("say where it listens", said, deadline=STARTS_WITHIN)


def ended(server: Child) -> int:
    return server.process.wait(ENDS_WITHIN)


def test_it_serves_on_loopback_until_it_is_asked_to_end(
    processes: Processes, tmp_path: Path, seeded_database: str
) -> None:
    server = start(processes, tmp_path, DATABASE_URL=seeded_database)
    base = address(server)
    assert base.startswith("http://127.0.0.1:")
    stations = httpx.get(f"{base}/api/v1/stations")
    assert stations.status_code == 200
    assert len(stations.json()["data"]) == 7
    with psycopg.connect(seeded_database) as connection:
        names = connection.execute(
            "SELECT DISTINCT application_name FROM pg_stat_activity "
            "WHERE datname = current_database() AND application_name LIKE 'alpimonitor-api %'"
        ).fetchall()
    ((name,),) = names
    assert name.endswith(f" {server.pid}")
    server.process.send_signal(signal.SIGTERM)
    assert ended(server) == 0
    assert "The API has stopped (action=stopped)" in server.logged()
    assert "Traceback" not in server.logged()


def test_an_interrupt_ends_it_with_130(processes: Processes, tmp_path: Path) -> None:
    server = start(processes, tmp_path)
    base = address(server)
    assert httpx.get(f"{base}/api/v1/health").status_code == 503
    server.process.send_signal(signal.SIGINT)
    assert ended(server) == 130
    assert "Traceback" not in server.logged()


def test_an_answer_on_its_way_is_finished_before_it_ends(
    processes: Processes, tmp_path: Path, seeded_database: str
) -> None:
    server = start(processes, tmp_path, DATABASE_URL=seeded_database, DATABASE_TIMEOUT_SECONDS="30")
    base = address(server)
    with (
        psycopg.connect(seeded_database) as blocker,
        psycopg.connect(seeded_database, autocommit=True) as watcher,
    ):
        blocker.execute("LOCK TABLE station IN ACCESS EXCLUSIVE MODE")
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(httpx.get, f"{base}/api/v1/stations", timeout=30)

            def waits() -> bool:
                row = watcher.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone()
                return row is not None and row[0] > 0

            wait_until("the request reaching the locked table", waits, deadline=10)
            server.process.send_signal(signal.SIGTERM)
            wait_until("the listener closing", lambda: refused(base), deadline=10)
            assert server.exit_code is None
            blocker.rollback()
            assert answer.result(30).status_code == 200
    assert ended(server) == 0


def refused(base: str) -> bool:
    host, _, port = base.removeprefix("http://").partition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) != 0


def test_who_sends_it_nonsense_fills_no_log_and_is_refused_in_the_envelope(
    processes: Processes, tmp_path: Path
) -> None:
    server = start(processes, tmp_path)
    host, _, port = address(server).removeprefix("http://").partition(":")
    for _ in range(20):
        with socket.create_connection((host, int(port)), timeout=30) as client:
            client.sendall(b"nonsense\r\n\r\n")
            answer = b"".join(iter(lambda: client.recv(65536), b""))
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == "VALIDATION_ERROR"
    assert 1 <= server.logged().count("Invalid HTTP request") < 20
    server.process.send_signal(signal.SIGTERM)
    assert ended(server) == 0


def test_it_starts_without_its_database_and_says_so(processes: Processes, tmp_path: Path) -> None:
    server = start(processes, tmp_path, LOG_FORMAT="json")
    base = address(server)
    health = httpx.get(f"{base}/api/v1/health")
    assert (health.status_code, health.json()["database"]) == (503, "error")
    assert error_of(httpx.get(f"{base}/api/v1/stations"))["code"] == "SERVICE_UNAVAILABLE"
    server.process.send_signal(signal.SIGTERM)
    assert ended(server) == 0
    lines = [json.loads(line) for line in server.logged().splitlines()]
    assert {"listening", "database_unavailable", "stopped"} <= {line.get("action") for line in lines}
    assert "sesame" not in server.logged()


def test_ingestion_runs_beside_it_from_the_start(
    processes: Processes, tmp_path: Path, seeded_database: str
) -> None:
    with Simulator() as lindas:
        server = start(
            processes,
            tmp_path,
            DATABASE_URL=seeded_database,
            INGESTION_ENABLED="true",
            LINDAS_ENDPOINT=lindas.url,
            LINDAS_ARCHIVE_DIR=str(tmp_path / "archive"),
        )
        base = address(server)

        def last_run() -> object:
            return httpx.get(f"{base}/api/v1/status").json()["ingestion"]["lastRun"]

        server.until("ingest", last_run, deadline=STARTS_WITHIN)
        ingestion = httpx.get(f"{base}/api/v1/status").json()["ingestion"]
        assert ingestion["lastRun"]["stationsSeenCount"] == 4
        assert ingestion["lastRun"]["measurementsCreatedCount"] == 8
        assert ingestion["archive"] == {"consecutiveFailures": 0, "lastError": None}
        live = [
            station
            for station in httpx.get(f"{base}/api/v1/stations").json()["data"]
            if station["latestMeasurements"]
        ]
        assert len(live) == 4
        server.process.send_signal(signal.SIGTERM)
        assert ended(server) == 0


def test_settings_that_cannot_be_used_end_it_with_2_and_every_remedy(
    processes: Processes, tmp_path: Path
) -> None:
    server = start(processes, tmp_path, DATABASE_URL="postgresql://api:sesame@db", PORT="x", LOG_FORMAT="xml")
    assert ended(server) == 2
    told = server.logged()
    assert "DATABASE_URL has a value that is not shown here, but it names no database: set it to" in told
    assert "PORT is 'x': set it to" in told
    assert "LOG_FORMAT is 'xml': set it to plain or json" in told
    assert "sesame" not in told
    assert "Traceback" not in told


def test_a_port_in_use_ends_it_with_2_and_the_remedy(processes: Processes, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        server = start(processes, tmp_path, PORT=port)
        assert ended(server) == 2
    told = server.logged()
    assert f"cannot listen on HOST=127.0.0.1 PORT={port}: Address already in use. Stop what uses" in told
    assert "Traceback" not in told


def test_an_address_of_no_machine_here_ends_it_with_2(processes: Processes, tmp_path: Path) -> None:
    server = start(processes, tmp_path, HOST="no-such-host.invalid")
    assert ended(server) == 2
    assert "cannot listen on HOST=no-such-host.invalid" in server.logged()
    assert "Traceback" not in server.logged()
