"""The metrics of a sidecar that finds all well, for tests of whoever reads them."""

from __future__ import annotations

from datetime import UTC, datetime

from alpimonitor_watchdog.core.evidence import RecorderSeen
from alpimonitor_watchdog.core.model import Decision, State
from alpimonitor_watchdog.core.seen import (
    DatabaseSeen,
    Expectation,
    Findings,
    IngestionSeen,
    Observation,
    OutsideSeen,
    TableExpected,
    TableSeen,
)
from alpimonitor_watchdog.metrics import Metrics


def healthy_metrics() -> Metrics:
    """A real registry, without any tick yet."""
    return Metrics(channels=["notify", "page"], healers=["command"], version="0", context=["station"])


def tick(metrics: Metrics, at: datetime = datetime(2026, 4, 21, 12, 10, tzinfo=UTC)) -> None:
    """Publish one look that saw every row and every station."""
    seen = Observation(
        at=at,
        elapsed=1.0,
        database=DatabaseSeen(
            tables=(TableSeen("station", rows=7),), duration=0.002, recorder=RecorderSeen(installed=True)
        ),
        outside=OutsideSeen(age=0.0, ingestion=IngestionSeen(4, last_success_at=at)),
    )
    expected = Expectation((TableExpected("station", context=True, floor=7, expected=7),), stations=4)
    metrics.publish(seen, Decision(State(), Findings((), frozenset())), expected, circuit_open=False)
    metrics.queued(0)
    metrics.readiness(1.0)
