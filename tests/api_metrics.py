"""What the API tells Prometheus, for tests of it and of whoever reads it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from alpimonitor_api import scraped
from alpimonitor_api.app import create_app
from alpimonitor_api.metrics import Metrics
from alpimonitor_api.slots import Usage
from tests.api_client import NOWHERE, settings_for

READ: dict[str, Any] = {
    "alerts": [{"level": "ALERT", "type": "THRESHOLD_EXCEEDED", "rows": 2}],
    "state": {
        "context": {
            "catchments": 1,
            "stations": 7,
            "sensors": 14,
            "thresholds": 7,
            "glaciers": 2,
            "stationGlaciers": 6,
            "withdrawals": 2,
        },
        "ingestion": {
            "lastRun": {
                "status": "SUCCESS",
                "startedAt": "2026-04-21T11:50:00Z",
                "completedAt": "2026-04-21T11:50:02.5Z",
                "stationsSeenCount": 4,
                "measurementsCreatedCount": 6,
                "measurementsUpdatedCount": 2,
                "measurementsSkippedCount": 1,
                "durationMs": 2500,
            },
            "lastSuccessAt": "2026-04-21T11:50:02.5Z",
            "today": {"runsCount": 70, "measurementsCreatedSum": 420, "successRate": 0.9857},
            "archive": {"consecutiveFailures": 0, "lastError": None},
        },
    },
}
"""What the statement SCRAPED answers when all is well."""


def metrics_of_routes() -> Metrics:
    """A real registry that knows the routes of the application, before any request."""
    metrics = Metrics("1.2.3")
    metrics.know(create_app(settings_for(NOWHERE)).routes)
    return metrics


def samples(text: str) -> dict[str, float]:
    """Every sample by its name and labels, as Prometheus reads them."""
    return {
        sample.name + "".join(f"{{{name}={value}}}" for name, value in sample.labels.items()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def healthy_page() -> str:
    """/metrics of an API whose database answers, before any other request."""
    figures = (
        *scraped.of_lanes([Usage("answers", 8, 1, 2, 0, {"unreachable": 0})]),
        *scraped.of_settings(timedelta(minutes=30)),
        *scraped.of_database(READ),
    )
    return metrics_of_routes().render(accept="", scraped=figures)[0].decode()
