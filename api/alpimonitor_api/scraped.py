"""What is looked up at each scrape: the lanes to the database, and what the database knows of ingestion.

Invariant: no figure outlives what it was read from. What could not be read has no sample, which is neither
the last value nor zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from alpimonitor_api.queries.status import CONTEXT_MEMBERS
from alpimonitor_api.slots import Usage
from alpimonitor_api.tables import AlertLevel, AlertType, IngestionStatus

KINDS = ("created", "updated", "skipped")


def of_lanes(lanes: Iterable[Usage]) -> Iterator[Metric]:
    """Connections, who waits for one, and failures since the start."""
    connections = GaugeMetricFamily(
        "alpimonitor_database_connections",
        "Connections that a request uses or opens (in_use), and those kept open for the next one (idle).",
        labels=["lane", "state"],
    )
    limit = GaugeMetricFamily(
        "alpimonitor_database_connections_limit", "The most connections at once.", labels=["lane"]
    )
    waiting = GaugeMetricFamily(
        "alpimonitor_database_waiting_requests", "Requests that wait for a connection.", labels=["lane"]
    )
    failures = CounterMetricFamily(
        "alpimonitor_database_failures_total",
        "Statements that the database did not answer, by why.",
        labels=["lane", "reason"],
    )
    for used in lanes:
        connections.add_metric([used.lane, "idle"], used.idle)
        connections.add_metric([used.lane, "in_use"], used.in_use)
        limit.add_metric([used.lane], used.size)
        waiting.add_metric([used.lane], used.waiting)
        for reason, number in used.failures.items():
            failures.add_metric([used.lane, reason], number)
    yield from (connections, limit, waiting, failures)


def of_settings(healthy_threshold: timedelta) -> Iterator[Metric]:
    yield _gauge(
        "alpimonitor_ingestion_healthy_threshold_seconds",
        "How long ingestion may go without a success: INGESTION_HEALTHY_THRESHOLD_MINUTES.",
        healthy_threshold.total_seconds(),
    )


def of_database(read: Mapping[str, Any] | None) -> Iterator[Metric]:
    """From the answer of the statement SCRAPED; None when there was none."""
    yield _gauge(
        "alpimonitor_database_up",
        "Whether the API could read from its database what it tells of ingestion and context.",
        read is not None,
    )
    if read is None:
        return
    state = read["state"]
    rows = GaugeMetricFamily("alpimonitor_context_rows", "Rows of each context table.", labels=["table"])
    for table, member in CONTEXT_MEMBERS.items():
        rows.add_metric([table], state["context"][member])
    yield rows
    yield from _of_alerts(read["alerts"])
    yield from _of_ingestion(state["ingestion"])


def _of_alerts(found: Iterable[Mapping[str, Any]]) -> Iterator[Metric]:
    active = {(alert["level"], alert["type"]): alert["rows"] for alert in found}
    family = GaugeMetricFamily(
        "alpimonitor_alerts_active", "Open rows of the table alert.", labels=["level", "type"]
    )
    for level in AlertLevel:
        for kind in AlertType:
            family.add_metric([level.value, kind.value], active.get((level.value, kind.value), 0))
    yield family


def _of_ingestion(told: Mapping[str, Any]) -> Iterator[Metric]:
    run, today = told["lastRun"], told["today"]
    if run is not None:
        yield _gauge(
            "alpimonitor_ingestion_last_run_timestamp_seconds",
            "When the last run of ingestion ended.",
            _unix(run["completedAt"]),
        )
        yield _gauge(
            "alpimonitor_ingestion_last_run_duration_seconds",
            "How long the last run of ingestion took.",
            run["durationMs"] / 1000,
        )
        yield _gauge(
            "alpimonitor_ingestion_last_run_failed",
            "Whether the last run of ingestion failed; a partial one stored what it could read.",
            run["status"] == IngestionStatus.FAILURE,
        )
        yield _gauge(
            "alpimonitor_ingestion_last_run_stations_seen",
            "Stations that the last run of ingestion saw.",
            run["stationsSeenCount"],
        )
        measurements = GaugeMetricFamily(
            "alpimonitor_ingestion_last_run_measurements",
            "What the last run of ingestion did with the measurements it was given.",
            labels=["kind"],
        )
        for kind in KINDS:
            measurements.add_metric([kind], run[f"measurements{kind.capitalize()}Count"])
        yield measurements
    if told["lastSuccessAt"] is not None:
        yield _gauge(
            "alpimonitor_ingestion_last_success_timestamp_seconds",
            "When the last successful run of ingestion ended.",
            _unix(told["lastSuccessAt"]),
        )
    yield _gauge(
        "alpimonitor_ingestion_runs_today", "Runs of ingestion since midnight UTC.", today["runsCount"]
    )
    yield _gauge(
        "alpimonitor_ingestion_measurements_created_today",
        "New measurements since midnight UTC.",
        today["measurementsCreatedSum"],
    )
    if today["successRate"] is not None:
        yield _gauge(
            "alpimonitor_ingestion_success_ratio_today",
            "The share of the runs since midnight UTC that did not fail.",
            today["successRate"],
        )
    yield _gauge(
        "alpimonitor_archive_consecutive_failures",
        "Payloads in a row that could not be archived.",
        told["archive"]["consecutiveFailures"],
    )


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=float(value))


def _unix(written: str) -> float:
    """Seconds of a time as the statement writes it: `2026-04-20T20:20:00Z`."""
    return datetime.fromisoformat(written).timestamp()
