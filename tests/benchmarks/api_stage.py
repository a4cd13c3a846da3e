"""Where the API's speed is measured: a filled database, the API with and without its cache, and a "hello"."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import psycopg

from alpimonitor_api.queries.building import Statement
from alpimonitor_api.queries.catchments import CATCHMENT_LIST
from alpimonitor_api.queries.measurements import HISTORY, Aggregate
from alpimonitor_api.queries.stations import OFFLINE_AFTER, ONE_STATION, STATION_LIST
from alpimonitor_api.queries.status import STATUS
from alpimonitor_cli.migrate import upgrade
from alpimonitor_rehearsal.processes import Child, Processes, environment, python_module
from tests.benchmarks.figures import Unmeasurable
from tests.benchmarks.http_load import Asked
from tests.databases import chosen_database, new_database, postgres_for_tests

STARTS_WITHIN = 30.0  # seconds
DAYS = 31  # of measurements, every ten minutes
STATION = "2011"
ORIGIN = "https://benchmark.example"
BASE = "/api/v1"
CHECKOUT = Path(__file__).resolve().parents[2]

FILL = """
INSERT INTO measurement (sensor_id, recorded_at, value, payload_fetched_at)
SELECT sensor.id, at, 100 + 50 * sin(extract(epoch FROM at) / 7000), at + interval '5 minutes'
FROM sensor JOIN station ON station.id = sensor.station_id AND station.data_source = 'LIVE',
     generate_series(%(now)s - make_interval(days => %(days)s), %(now)s, interval '10 minutes') AS at;

INSERT INTO ingestion_run (source, status, started_at, completed_at, stations_seen_count,
    measurements_created_count, archive_path, duration_ms)
SELECT 'LINDAS_HYDRO', 'SUCCESS', at, at + interval '2 seconds', 4, 8, 'payload', 2000
FROM generate_series(%(now)s - make_interval(days => %(days)s), %(now)s, interval '10 minutes') AS at;

INSERT INTO alert (station_id, type, level, parameter, trigger_value, threshold_value, opened_at, closed_at)
SELECT station.id, 'THRESHOLD_EXCEEDED', 'VIGILANCE', 'DISCHARGE', 101, 100,
    %(now)s - make_interval(hours => 3 * n),
    CASE WHEN n > 0 THEN %(now)s - make_interval(hours => 3 * n - 1) END
FROM station, generate_series(0, 60) AS n WHERE station.data_source = 'LIVE';

INSERT INTO threshold_audit (station_id, parameter, before, after, changed_at, changed_by)
SELECT station.id, 'DISCHARGE',
    jsonb_build_object('vigilanceValue', n, 'alertValue', n + 9, 'direction', 'ABOVE'),
    jsonb_build_object('vigilanceValue', n + 1, 'alertValue', n + 10, 'direction', 'ABOVE'),
    %(now)s - make_interval(hours => n), 'benchmark'
FROM station, generate_series(1, 60) AS n WHERE station.data_source = 'LIVE';
"""


@dataclass(frozen=True)
class Route:
    """One thing that is asked for; `statement` is what the API asks PostgreSQL, where that is measured."""

    name: str
    path: str  # below BASE, with its query
    statement: Statement | None = None
    parameters: Mapping[str, object] | None = None
    protected: bool = False  # asked with a token


@dataclass(frozen=True)
class Server:
    """A process that answers over HTTP."""

    child: Child
    port: int

    def memory(self, figure: str) -> float:
        """`VmRSS`, what it holds, or `VmHWM`, the most it ever held, in MB."""
        told = Path(f"/proc/{self.child.pid}/status").read_text()
        return round(int(re.findall(rf"^{figure}:\s+(\d+) kB", told, re.MULTILINE)[0]) / 1024, 1)

    def processor_seconds(self) -> float:
        """What all its threads have computed since it started."""
        fields = Path(f"/proc/{self.child.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Stage:
    url: str
    described: str
    now: datetime  # to which the database is filled
    hello: Server
    uncached: Server
    cached: Server
    token: str

    def asked(self, server: Server, path: str, *, protected: bool = False) -> Asked:
        """The request as its bytes: from a browser of an allowed origin."""
        told = f"Authorization: Bearer {self.token}\r\n" if protected else ""
        request = (
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nAccept: */*\r\n"
            f"Origin: {ORIGIN}\r\n{told}\r\n"
        )
        return Asked("127.0.0.1", server.port, request.encode())

    def routes(self) -> Sequence[Route]:
        """Every GET of the API, measured to what the database is filled with."""
        until = self.now + timedelta(minutes=1)
        offline = {"offline_before": self.now - OFFLINE_AFTER}
        unfiltered = {"catchment_id": None, "is_active": None}
        one = {"station_id": None, "ofev_code": STATION}
        status = {
            "midnight": self.now.replace(hour=0, minute=0),
            "archive_since": self.now - timedelta(days=30),
            "not_after": self.now + timedelta(hours=1),
            "healthy_threshold_minutes": 30,
        }
        histories = []
        for aggregate, days in ((Aggregate.RAW, 1), (Aggregate.HOURLY, 7), (Aggregate.DAILY, 30)):
            since = until - timedelta(days=days)
            times = {"from_time": since, "to_time": until, "parameter": None}
            span = f"from={since:%Y-%m-%dT%H:%M:%SZ}&to={until:%Y-%m-%dT%H:%M:%SZ}&aggregate={aggregate}"
            name = f"measurements, {aggregate}, {'24 h' if days == 1 else f'{days} d'}"
            path = f"/stations/{STATION}/measurements?{span}"
            histories.append(Route(name, path, HISTORY[aggregate], {**one, **times}))
        return (
            Route("/health", "/health", Statement(b"SELECT 1"), {}),
            Route("/status", "/status", STATUS, status),
            Route("/stations", "/stations", STATION_LIST, {**offline, **unfiltered}),
            Route("/stations/{station}", f"/stations/{STATION}", ONE_STATION, {**offline, **one}),
            *histories,
            Route("/catchments", "/catchments", CATCHMENT_LIST, {}),
            Route("/glaciers", "/glaciers"),
            Route("/withdrawals", "/withdrawals"),
            Route("/alerts", "/alerts"),
            Route("/threshold-audits", "/threshold-audits", protected=True),
        )


@contextlib.contextmanager
def stage(started: Callable[[str], Sequence[str]] = python_module) -> Iterator[Stage]:
    """Everything is up; each server in a process of its own, `started` says how its module is run.

    Raises Unmeasurable.
    """
    with (
        postgres_for_tests(chosen_database()) as server,
        new_database(server) as url,
        tempfile.TemporaryDirectory() as folder,
        Processes(Path(folder)) as processes,
    ):
        now = datetime.now(UTC).replace(second=0, microsecond=0)  # noqa: TID251 - a composition root
        upgrade(url, environment="test")
        _alpimonitor({"SEED_DATABASE_URL": url, "ALLOW_PROD_SEED": "1"}, "seed", "--mode", "missing")
        with psycopg.connect(url, autocommit=True, cursor_factory=psycopg.ClientCursor) as connection:
            connection.execute(FILL, {"now": now, "days": DAYS})
            connection.execute("VACUUM ANALYZE")
        tokens = Path(folder) / "tokens"
        words = ("token", "create", "--file", str(tokens), "--name", "benchmark", "--scope", "auditor")
        token = _alpimonitor({}, *words).strip()
        settings = {
            # The benchmarks are no part of the package: their processes find them by this.
            **environment(Path(folder), os.environ),
            "PYTHONPATH": str(CHECKOUT),
            **{"DATABASE_URL": url, "PORT": "0", "INGESTION_ENABLED": "false", "LOG_LEVEL": "INFO"},
            **{"RATE_LIMIT": "1000000", "CORS_ORIGINS": ORIGIN, "API_TOKENS_FILE": str(tokens)},
        }
        hello = processes.start("hello", started("tests.benchmarks.hello"), settings)
        server_command = started("alpimonitor_api.server")
        uncached, cached = (
            processes.start(f"api, cache {kept} s", server_command, {**settings, "CACHE_SECONDS": kept})
            for kept in ("0", "1")
        )
        hello_port = int(hello.announcement(deadline=STARTS_WITHIN)["port"])
        yield Stage(
            url,
            f"PostgreSQL {server.version}",
            now,
            Server(hello, hello_port),
            Server(uncached, _port(uncached)),
            Server(cached, _port(cached)),
            token,
        )


def check(stage: Stage) -> None:
    """Ask once for everything that will be measured. Raises Unmeasurable, naming what is not answered."""
    for server in (stage.uncached, stage.cached):
        for route in stage.routes():
            headers = {"Authorization": f"Bearer {stage.token}"} if route.protected else {}
            answer = httpx.get(f"http://127.0.0.1:{server.port}{BASE}{route.path}", headers=headers)
            if answer.status_code != 200:
                raise Unmeasurable(
                    f"{route.name} was answered with {answer.status_code}: {answer.text[:300]}"
                )


def _alpimonitor(settings: Mapping[str, str], *words: str) -> str:
    done = subprocess.run(
        [*python_module("alpimonitor_cli.main"), *words],
        env={**os.environ, **settings}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise Unmeasurable(f"alpimonitor {' '.join(words[:2])} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def _port(server: Child) -> int:
    def said() -> str | None:
        found = re.search(r"listens on http://[^\s\"]+:(\d+)", server.logged())
        return found[1] if found else None

    return int(server.until("say where it listens", said, deadline=STARTS_WITHIN))
