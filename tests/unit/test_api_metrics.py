"""The API's figures: few series whatever clients send, none stale, none a false zero."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parsed_openmetrics
from starlette.types import Message, Receive, Scope, Send

from alpimonitor_api import scraped
from alpimonitor_api.metrics import Metrics
from alpimonitor_api.middleware.measured import Measured
from alpimonitor_api.queries.status import CONTEXT_MEMBERS
from alpimonitor_api.slots import Slots, Usage
from tests.api_metrics import READ, healthy_page, metrics_of_routes, samples


def page(metrics: Metrics) -> dict[str, float]:
    return samples(metrics.render(accept="")[0].decode())


def of_database(read: dict[str, Any] | None) -> dict[str, float]:
    figures = tuple(scraped.of_database(read))
    return samples(Metrics("1.2.3").render(accept="", scraped=figures)[0].decode())


def ask(metrics: Metrics, path: str, method: str = "GET", status: int = 200, *, breaks: bool = False) -> None:
    """One request, answered before it ever reaches the router, as a refused or cached one is."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": []})
        if breaks:
            raise RuntimeError("half-way")

    async def receive() -> Message:
        raise AssertionError("nobody reads the request")

    async def send(message: Message) -> None: ...

    scope = {"type": "http", "method": method, "path": path}
    asyncio.run(Measured(answer, metrics=metrics)(scope, receive, send))


def test_every_route_has_its_series_before_the_first_request() -> None:
    found = page(metrics_of_routes())
    stations = "{method=GET}{route=/api/v1/stations}"
    tuning = "{method=PUT}{route=/api/v1/stations/{station}/thresholds/{parameter}}"
    for route in (stations, tuning):
        for status in (200, 500, 503):
            assert found[f"alpimonitor_http_requests_total{route}{{status={status}}}"] == 0
    assert found["alpimonitor_http_request_duration_seconds_count{route=/api/v1/stations}"] == 0
    for counter in ("rate_limited_requests", "answer_cache_hits", "answer_cache_misses"):
        assert found[f"alpimonitor_{counter}_total"] == 0
    assert found["alpimonitor_build_info{version=1.2.3}"] == 1
    assert found["alpimonitor_http_requests_in_progress"] == 0
    assert found["process_resident_memory_bytes"] > 0


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/api/v1/stations", "/api/v1/stations"),
        ("/api/v1/stations/2011", "/api/v1/stations/{station}"),
        ("/api/v1/stations/x%20y/measurements", "/api/v1/stations/{station}/measurements"),
        ("/metrics", "/metrics"),
        ("/openapi.json", "/openapi.json"),
        ("/api/v1/stations/", "none"),
        ("/wp-login.php", "none"),
        ("*", "none"),
    ],
)
def test_a_request_counts_for_the_template_of_its_route(path: str, route: str) -> None:
    metrics = metrics_of_routes()
    ask(metrics, path, status=404)
    found = page(metrics)
    assert found[f"alpimonitor_http_requests_total{{method=GET}}{{route={route}}}{{status=404}}"] == 1
    assert found[f"alpimonitor_http_request_duration_seconds_count{{route={route}}}"] == 1


def test_clients_cannot_make_series() -> None:
    metrics = metrics_of_routes()
    ask(metrics, "/nothing", "BREW", 404)
    ask(metrics, "/api/v1/stations/1", "BREW", 405)
    before = len(page(metrics))
    for number in range(50):
        ask(metrics, f"/nothing/{number}", f"M{number}", 404)
        ask(metrics, f"/api/v1/stations/{number}", f"M{number}", 405)
    found = page(metrics)
    assert len(found) == before
    assert found["alpimonitor_http_requests_total{method=other}{route=none}{status=404}"] == 51


def test_an_answer_that_breaks_off_is_none_and_no_longer_in_progress() -> None:
    metrics = metrics_of_routes()
    with pytest.raises(RuntimeError, match="half-way"):
        ask(metrics, "/api/v1/stations", breaks=True)
    found = page(metrics)
    route = "{method=GET}{route=/api/v1/stations}"
    assert found[f"alpimonitor_http_requests_total{route}{{status=none}}"] == 1
    assert found[f"alpimonitor_http_requests_total{route}{{status=200}}"] == 0
    assert found["alpimonitor_http_requests_in_progress"] == 0


def test_what_others_report_is_counted() -> None:
    metrics = Metrics("1.2.3")
    metrics.rate_limited()
    metrics.cache_hit()
    metrics.cache_hit()
    metrics.cache_miss()
    found = page(metrics)
    assert found["alpimonitor_rate_limited_requests_total"] == 1
    assert found["alpimonitor_answer_cache_hits_total"] == 2
    assert found["alpimonitor_answer_cache_misses_total"] == 1


def test_a_database_that_does_not_answer_leaves_no_figure_of_what_it_knew() -> None:
    told = {name for name in of_database(None) if name.startswith("alpimonitor_")}
    assert told == {"alpimonitor_build_info{version=1.2.3}", "alpimonitor_http_requests_in_progress"} | {
        name for name in told if name.endswith("_total")
    } | {"alpimonitor_database_up"}
    assert of_database(None)["alpimonitor_database_up"] == 0


def test_ingestion_and_context_are_told_in_base_units() -> None:
    found = of_database(READ)
    assert found["alpimonitor_database_up"] == 1
    ended = 1776772202.5  # 2026-04-21T11:50:02.5Z
    assert found["alpimonitor_ingestion_last_run_timestamp_seconds"] == ended
    assert found["alpimonitor_ingestion_last_success_timestamp_seconds"] == ended
    assert found["alpimonitor_ingestion_last_run_duration_seconds"] == 2.5
    assert found["alpimonitor_ingestion_last_run_failed"] == 0
    assert found["alpimonitor_ingestion_last_run_stations_seen"] == 4
    assert [
        found[f"alpimonitor_ingestion_last_run_measurements{{kind={kind}}}"] for kind in scraped.KINDS
    ] == [6, 2, 1]
    assert found["alpimonitor_ingestion_runs_today"] == 70
    assert found["alpimonitor_ingestion_measurements_created_today"] == 420
    assert found["alpimonitor_ingestion_success_ratio_today"] == 0.9857
    assert found["alpimonitor_archive_consecutive_failures"] == 0
    counts = {table: found[f"alpimonitor_context_rows{{table={table}}}"] for table in CONTEXT_MEMBERS}
    assert counts["station_glacier"] == 6
    assert sum(counts.values()) == 39
    assert found["alpimonitor_alerts_active{level=ALERT}{type=THRESHOLD_EXCEEDED}"] == 2
    assert found["alpimonitor_alerts_active{level=INFO}{type=STATION_OFFLINE}"] == 0


def test_before_any_ingestion_there_is_no_time_of_one() -> None:
    ingestion = {
        "lastRun": None,
        "lastSuccessAt": None,
        "today": {"runsCount": 0, "measurementsCreatedSum": 0, "successRate": None},
        "archive": {"consecutiveFailures": 0, "lastError": None},
    }
    found = of_database({**READ, "state": {**READ["state"], "ingestion": ingestion}})
    assert {name for name in found if "ingestion" in name} == {
        "alpimonitor_ingestion_runs_today",
        "alpimonitor_ingestion_measurements_created_today",
    }


def test_the_lanes_tell_connections_waiting_and_failures() -> None:
    lanes = [Usage("answers", 8, 3, 2, 5, {"too_slow": 7, "unreachable": 0})]
    figures = tuple(scraped.of_lanes(lanes))
    found = samples(Metrics("1.2.3").render(accept="", scraped=figures)[0].decode())
    lane = "{lane=answers}"
    assert found[f"alpimonitor_database_connections{lane}{{state=in_use}}"] == 3
    assert found[f"alpimonitor_database_connections{lane}{{state=idle}}"] == 2
    assert found[f"alpimonitor_database_connections_limit{lane}"] == 8
    assert found[f"alpimonitor_database_waiting_requests{lane}"] == 5
    assert found[f"alpimonitor_database_failures_total{lane}{{reason=too_slow}}"] == 7
    assert found[f"alpimonitor_database_failures_total{lane}{{reason=unreachable}}"] == 0


def test_slots_know_who_has_one_and_who_waits_given_up_waits_included() -> None:
    async def use() -> None:
        slots = Slots(1)
        async with slots:
            assert (slots.taken, slots.waiting) == (1, 0)
            impatient, patient = (asyncio.create_task(slots.acquire()) for _ in range(2))
            await asyncio.wait((impatient, patient), timeout=0)
            assert (slots.taken, slots.waiting) == (1, 2)
            impatient.cancel()
            await asyncio.wait((impatient,))
            assert (slots.taken, slots.waiting) == (1, 1)
        assert await patient
        assert (slots.taken, slots.waiting) == (1, 0)
        slots.release()
        assert (slots.taken, slots.waiting) == (0, 0)

    asyncio.run(use())


PROMETHEUS_ASKS = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "text/plain;version=1.0.0;q=0.3,*/*;q=0.1"
)


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (PROMETHEUS_ASKS, "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        ("application/openmetrics-text; version=no number", "application/openmetrics-text; version=1.0.0; "),
        ("text/html", "text/plain; version=0.0.4; charset=utf-8"),
        ("", "text/plain; version=0.0.4; charset=utf-8"),
    ],
)
def test_the_page_is_openmetrics_only_for_those_who_accept_it(accept: str, content_type: str) -> None:
    figures = tuple(scraped.of_database(READ))
    body, told = metrics_of_routes().render(accept=accept, scraped=figures)
    assert told.startswith(content_type)
    is_openmetrics = told.startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n") is is_openmetrics
    if is_openmetrics:
        families = list(parsed_openmetrics(body.decode()))
        assert "alpimonitor_http_requests" in {family.name for family in families}


def test_names_follow_the_rules_of_the_house() -> None:
    for line in healthy_page().splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            assert name.startswith(("alpimonitor_", "process_", "python_gc_"))
            assert name.endswith("_total") is (kind == "counter")
            assert not name.endswith(("_ms", "_milliseconds", "_minutes", "_percent"))
