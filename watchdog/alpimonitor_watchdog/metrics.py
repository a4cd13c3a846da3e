"""The sidecar's figures for Prometheus.

What was not seen has no sample: no stale value, no false zero. Counters exist from the start, so that
their first step is seen as one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from .core.evidence import Operation
from .core.model import Decision
from .core.remedies import REFUSALS
from .core.seen import Expectation, Observation
from .core.words import OPEN_PHASES, Phase, Symptom

# They would double the page, for figures nobody asks for.
disable_created_metrics()  # type: ignore[no-untyped-call]

PROBES = ("database", "table", "ingestion")
_PROBE_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_INCIDENT_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0, 300.0, 900.0, 3600.0)


@dataclass(frozen=True)
class _Tick:
    seen: Observation
    decision: Decision
    expected: Expectation
    circuit_open: bool


class Metrics:
    """Fed by the loop after each tick and by the notifier after each attempt; read by the web surface."""

    def __init__(
        self,
        *,
        channels: Iterable[str],
        healers: Iterable[str],
        version: str,
        context: Iterable[str] = (),
    ) -> None:
        """`context`: the context tables, whose counters exist from the start."""
        self._registry = CollectorRegistry()
        self._view = _LastTick()
        self._registry.register(self._view)
        ProcessCollector(registry=self._registry)
        Gauge("watchdog_build_info", "Always 1; the label says which version runs.", ["version"],
              registry=self._registry).labels(version).set(1)  # fmt: skip
        self._probe_duration = Histogram(
            "watchdog_probe_duration_seconds",
            "Time one look at the guarded database took.",
            buckets=_PROBE_BUCKETS,
            registry=self._registry,
        )
        self._detection = self._incident_histogram(
            "watchdog_detection_seconds",
            "From the loss of context rows to its incident; bound=upper: from the last look that saw all.",
        )
        self._recovery = self._incident_histogram(
            "watchdog_recovery_seconds",
            "From the loss of context rows to their proven return; bound=upper: from the last look before.",
        )
        self._incidents = Counter(
            "watchdog_incidents_total", "Incidents that were opened.", registry=self._registry
        )
        self._probe_failures = self._counters(
            "watchdog_probe_failures_total",
            "Ticks in which a probe could not see; a table that is locked counts as table.",
            "probe",
            PROBES,
        )
        self._healers = tuple(healers)
        self._heals = self._counters("watchdog_heals_total", "Heals begun.", "healer", self._healers)
        self._heal_failures = self._counters(
            "watchdog_heal_failures_total",
            "Heals that failed, were interrupted, or did not bring the rows back.",
            "healer",
            self._healers,
        )
        self._refusals = self._counters(
            "watchdog_heal_refusals_total",
            "Times a guard rail began to hold a heal back.",
            "reason",
            [reason.value for reason in REFUSALS],
        )
        self._destructive = Counter(
            "watchdog_destructive_statements_total",
            "Statements that the flight recorder wrote down; of tables that are not declared: other.",
            ["operation", "table"],
            registry=self._registry,
        )
        for table in context:
            for operation in (Operation.DELETE, Operation.TRUNCATE, Operation.UPDATE, Operation.DROP):
                self._destructive.labels(operation.value, table)
        names = tuple(channels)
        self._sent = self._counters(
            "watchdog_notifications_total", "Notifications delivered.", "channel", names
        )
        self._failed = self._counters(
            "watchdog_notification_failures_total",
            "Attempts to deliver that failed or whose outcome is unknown; they are repeated.",
            "channel",
            names,
        )
        self._dead = self._counters(
            "watchdog_notifications_dead_total", "Notifications given up.", "channel", names
        )
        self._whole_at: float | None = None  # `lived` of the last look that saw the whole context
        self._lost_at: float | None = None  # the same, before the loss that is being watched

    def publish(
        self, seen: Observation, decision: Decision, expected: Expectation, circuit_open: bool
    ) -> None:
        """Take in one tick."""
        self._view.tick = _Tick(seen, decision, expected, circuit_open)
        if seen.database.unseen is None:
            self._probe_duration.observe(seen.database.duration)
            if any(table.unseen is not None for table in seen.database.tables):
                self._probe_failures.labels("table").inc()
        else:
            self._probe_failures.labels("database").inc()
        if expected.stations is not None and seen.outside is not None and seen.outside.ingestion is None:
            self._probe_failures.labels("ingestion").inc()
        for change in decision.transitions:
            if change.after is Phase.OPEN and change.before not in OPEN_PHASES:
                self._incidents.inc()
            for healer in self._healers[:1]:  # one healer at this stage
                if change.after is Phase.HEALING:
                    self._heals.labels(healer).inc()
                if change.before is Phase.HEALING and change.after is Phase.OPEN:
                    self._heal_failures.labels(healer).inc()
        if decision.refusal is not None and decision.refusal_is_new:
            self._refusals.labels(decision.refusal.value).inc()
        self._count_statements(seen, expected)
        self._time_the_loss(decision)

    def _count_statements(self, seen: Observation, expected: Expectation) -> None:
        declared = {table.name for table in expected.tables}
        for event in seen.database.recorder.events if seen.database.recorder else ():
            table = event.table if event.table in declared else "other"
            self._destructive.labels(event.operation.value, table).inc()

    def readiness(self, ratio: float | None) -> None:
        """The share of what would have to hold to name a session; None: it could not be looked at."""
        self._view.readiness = ratio

    def delivered(self, channel: str) -> None:
        self._sent.labels(channel).inc()

    def delivery_failed(self, channel: str) -> None:
        self._failed.labels(channel).inc()

    def given_up(self, channel: str) -> None:
        self._dead.labels(channel).inc()

    def queued(self, length: int) -> None:
        """How many notifications wait, over all channels."""
        self._view.queue_length = length

    def render(self) -> bytes:
        """The text exposition format, version 0.0.4."""
        return generate_latest(self._registry)

    def _time_the_loss(self, decision: Decision) -> None:
        lived = decision.state.lived
        incident = decision.state.incident
        if incident is not None and incident.losses and decision.findings.context_lost:
            if self._lost_at is None and self._whole_at is not None:
                self._lost_at = self._whole_at
                self._detection.observe(lived - self._lost_at)
        elif decision.findings.context_whole:
            restored = any(change.after is Phase.VERIFYING for change in decision.transitions)
            if restored and self._lost_at is not None:
                self._recovery.observe(lived - self._lost_at)
            if incident is None or restored:
                self._lost_at = None
            self._whole_at = lived

    def _counters(self, name: str, text: str, label: str, values: Iterable[str]) -> Counter:
        counter = Counter(name, text, [label], registry=self._registry)
        for value in values:
            counter.labels(value)
        return counter

    def _incident_histogram(self, name: str, text: str) -> Histogram:
        histogram = Histogram(name, text, ["bound"], buckets=_INCIDENT_BUCKETS, registry=self._registry)
        return histogram.labels("upper")


class _LastTick(Collector):
    """The gauges: computed from the last tick when they are read, so that none outlives what it shows."""

    def __init__(self) -> None:
        self.tick: _Tick | None = None
        self.queue_length: int | None = None
        self.readiness: float | None = None

    def collect(self) -> Iterator[GaugeMetricFamily]:
        tick = self.tick
        up = tick is not None and tick.seen.database.unseen is None
        yield _gauge("watchdog_up", "Whether the last look could see the guarded database.", up)
        length = self.queue_length
        yield _gauge(
            "watchdog_notification_queue_length", "Notifications neither delivered nor given up.", length
        )
        yield _gauge(
            "watchdog_attribution_readiness_ratio",
            "The share of what has to hold so that the session behind a loss could be named now.",
            self.readiness,
        )
        recorder = tick.seen.database.recorder if tick else None
        yield _gauge(
            "watchdog_recorder_armed",
            "Whether every destructive statement on the guarded tables is recorded.",
            None if recorder is None else recorder.armed,
        )
        incident = tick.decision.state.incident if tick else None
        open_incidents = _family(
            "watchdog_incident_open", "Whether an incident with this symptom is open.", "symptom"
        )
        for symptom in Symptom:
            open_incidents.add_metric([symptom.value], incident is not None and symptom in incident.symptoms)
        yield open_incidents
        if tick is not None:
            yield from _of_tables(tick)
            yield from _of_ingestion(tick)
            yield _gauge(
                "watchdog_last_tick_timestamp_seconds",
                "When the sidecar last looked.",
                tick.seen.at.timestamp(),
            )
            yield _gauge(
                "watchdog_heal_circuit_open",
                "Whether repeated losses or failures have stopped healing.",
                tick.circuit_open,
            )


def _of_tables(tick: _Tick) -> Iterator[GaugeMetricFamily]:
    rows = _family("watchdog_table_rows", "Rows seen; no sample when they could not be counted.", "table")
    capped = _family("watchdog_table_rows_capped", "Whether there are more rows than are counted.", "table")
    expected = _family("watchdog_table_expected_rows", "Rows of a healthy table.", "table")
    for declared in tick.expected.tables:
        expected.add_metric([declared.name], declared.expected)
    if tick.seen.database.unseen is None:
        for table in tick.seen.database.tables:
            if table.rows is not None and table.unseen is None and table.exists:
                rows.add_metric([table.name], table.rows)
                capped.add_metric([table.name], table.capped)
    yield from (rows, capped, expected)


def _of_ingestion(tick: _Tick) -> Iterator[GaugeMetricFamily]:
    ingestion = tick.seen.outside.ingestion if tick.seen.outside else None
    last_success = ingestion.last_success_at if ingestion else None
    yield _gauge(
        "watchdog_ingestion_stations_seen",
        "Stations seen by the last finished run of ingestion.",
        ingestion.stations_seen if ingestion else None,
    )
    yield _gauge(
        "watchdog_ingestion_stations_expected",
        "Stations that a run of ingestion has to see.",
        tick.expected.stations,
    )
    yield _gauge(
        "watchdog_ingestion_last_success_timestamp_seconds",
        "When the last successful run of ingestion ended.",
        last_success.timestamp() if last_success else None,
    )


def _family(name: str, text: str, label: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, labels=[label])


def _gauge(name: str, text: str, value: float | None) -> GaugeMetricFamily:
    """One figure; without a sample when there is none."""
    family = GaugeMetricFamily(name, text)
    if value is not None:
        family.add_metric([], value)
    return family
