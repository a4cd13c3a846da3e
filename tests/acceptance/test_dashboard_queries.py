"""Every panel's query, and every rule, against a real Prometheus that scrapes the sidecar and the API."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import uvicorn
import yaml

from alpimonitor_api.app import create_app
from alpimonitor_api.server import listening_socket
from alpimonitor_api.settings import LOOPBACK
from alpimonitor_rehearsal.clock import utc_now
from alpimonitor_rehearsal.waiting import wait_until
from tests.api_client import settings_for
from tests.sidecar_metrics import healthy_metrics, tick

pytestmark = pytest.mark.acceptance

CHECKOUT = Path(__file__).resolve().parents[2]
DASHBOARDS = CHECKOUT / "dashboards"
BEYOND_DOUBT = 60.0  # seconds; what is waited for takes about two


def panel_queries() -> list[tuple[str, str]]:
    board = json.loads((DASHBOARDS / "overview.json").read_text())
    panels = [panel for panel in board["panels"] if panel["type"] != "row"]
    return [(panel["title"], target["expr"]) for panel in panels for target in panel["targets"]]


@contextmanager
def sidecar() -> Iterator[str]:
    """Serves /metrics of a sidecar that ticks with every scrape: its host and port."""
    metrics = healthy_metrics()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            tick(metrics, utc_now())
            body = metrics.render()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def api(database: str) -> Iterator[str]:
    """Serves the API over HTTP from a thread of this process: its host and port."""
    settings = settings_for(database, metrics_from=LOOPBACK, cache_seconds=1)
    listener = listening_socket("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(create_app(settings), lifespan="on", log_config=None))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield "{}:{}".format(*listener.getsockname())
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def ingested(database: str) -> None:
    """A run of ingestion that has just succeeded."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO ingestion_run (source, status, started_at, completed_at, stations_seen_count,"
            " duration_ms) VALUES ('LINDAS_HYDRO', 'SUCCESS', now() - interval '2 s', now(), 4, 2000)"
        )


@contextmanager
def prometheus(folder: Path, targets: Mapping[str, str]) -> Iterator[str]:
    """Runs the house's configuration, only faster and with the targets, by job, moved here: its address."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("prometheus is not installed: apt-get install --no-install-recommends prometheus")
    shutil.copytree(DASHBOARDS / "rules", folder / "rules")
    settings = yaml.safe_load((DASHBOARDS / "prometheus.yml").read_text())
    settings["global"] = {
        "scrape_interval": "200ms",
        "scrape_timeout": "200ms",
        "evaluation_interval": "200ms",
    }
    del settings["alerting"]
    jobs = {job["job_name"]: job for job in settings["scrape_configs"] if job["job_name"] in targets}
    assert jobs.keys() == targets.keys()
    for name, target in targets.items():
        jobs[name]["static_configs"] = [{"targets": [target]}]
    settings["scrape_configs"] = list(jobs.values())
    (folder / "prometheus.yml").write_text(yaml.safe_dump(settings))
    log = folder / "prometheus.log"
    with log.open("wb") as written:
        process = subprocess.Popen(
            [
                program,
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                "--web.listen-address=127.0.0.1:0",
            ],
            stdout=written,
            stderr=written,
        )
    try:

        def address() -> str | None:
            assert process.poll() is None, log.read_text()
            found = re.search(r'"Listening on" address=(\S+)', log.read_text())
            return f"http://{found[1]}" if found else None

        yield wait_until("Prometheus listening", address, deadline=BEYOND_DOUBT)
    finally:
        process.terminate()
        process.wait()


def ask(address: str, query: str) -> list[dict[str, Any]]:
    """The series that a query has now; none while Prometheus is still starting."""
    answer = httpx.get(f"{address}/api/v1/query", params={"query": query}, timeout=10)
    if answer.status_code == 503:
        return []
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["data"]["result"]
    return found


def rules(address: str) -> list[dict[str, Any]]:
    groups = httpx.get(f"{address}/api/v1/rules", timeout=10).json()["data"]["groups"]
    return [rule for group in groups for rule in group["rules"]]


def evaluated(address: str) -> list[bool]:
    """For each rule whether Prometheus has computed it at least once."""
    return [rule["health"] != "unknown" for rule in rules(address)]


def test_every_query_of_the_overview_has_a_series_and_no_rule_fires_when_all_is_well(
    tmp_path: Path, seeded_database: str
) -> None:
    ingested(seeded_database)
    with (
        sidecar() as watchdog,
        api(seeded_database) as served,
        prometheus(tmp_path, {"watchdog": watchdog, "api": served}) as address,
    ):
        assert httpx.get(f"http://{served}/api/v1/stations", timeout=10).status_code == 200
        # Two scrapes are what a rate needs.
        wait_until(
            "the third scrape of both",
            lambda: ask(
                address,
                "count_over_time(watchdog_up[1m]) >= 3"
                " and on () count_over_time(alpimonitor_database_up[1m]) >= 3",
            ),
            deadline=BEYOND_DOUBT,
        )
        for title, query in panel_queries():
            assert ask(address, re.sub(r"\$__(rate_interval|range)", "1m", query)), f"{title}: {query}"
        wait_until("an evaluation of every rule", lambda: all(evaluated(address)), deadline=BEYOND_DOUBT)
        assert {rule["health"] for rule in rules(address)} == {"ok"}
        assert ask(address, 'ALERTS{alertstate="firing"}') == []
