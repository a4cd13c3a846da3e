"""The sidecar's figures: none is stale, none is a false zero, each step is counted once."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families

from alpimonitor_watchdog.core.evidence import Event, Operation, RecorderSeen
from alpimonitor_watchdog.core.model import Decision, Transition
from alpimonitor_watchdog.core.remedies import REFUSALS
from alpimonitor_watchdog.core.seen import Findings, Observation
from alpimonitor_watchdog.core.words import Phase, Reason, Symptom
from alpimonitor_watchdog.metrics import Metrics
from tests import views

QUIET = Decision(views.HEALTHY.state, Findings())


def make() -> Metrics:
    return Metrics(channels=["ops", "pager"], healers=["command"], version="1.2.3")


def samples(metrics: Metrics) -> dict[str, float]:
    """Every sample by its name and labels, as Prometheus reads them."""
    text = metrics.render().decode()
    return {
        sample.name + "".join(f"{{{name}={value}}}" for name, value in sample.labels.items()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def publish(metrics: Metrics, seen: Observation, decision: Decision = QUIET) -> dict[str, float]:
    metrics.publish(seen, decision, views.EXPECTATION, circuit_open=False)
    return samples(metrics)


def test_before_the_first_look_nothing_is_claimed_and_every_counter_exists() -> None:
    found = samples(make())
    assert found["watchdog_up"] == 0
    assert found["watchdog_build_info{version=1.2.3}"] == 1
    assert not [name for name in found if name.startswith(("watchdog_table_", "watchdog_ingestion_"))]
    assert "watchdog_last_tick_timestamp_seconds" not in found
    zero = [
        "watchdog_incidents_total",
        "watchdog_heals_total{healer=command}",
        "watchdog_heal_failures_total{healer=command}",
        "watchdog_detection_seconds_count{bound=upper}",
        "watchdog_recovery_seconds_count{bound=upper}",
        *(f"watchdog_heal_refusals_total{{reason={reason}}}" for reason in REFUSALS),
        *(f"watchdog_incident_open{{symptom={symptom}}}" for symptom in Symptom),
        *(f"watchdog_probe_failures_total{{probe={probe}}}" for probe in ("database", "table", "ingestion")),
        *(f"watchdog_notifications_total{{channel={channel}}}" for channel in ("ops", "pager")),
        *(f"watchdog_notification_failures_total{{channel={channel}}}" for channel in ("ops", "pager")),
        *(f"watchdog_notifications_dead_total{{channel={channel}}}" for channel in ("ops", "pager")),
    ]
    assert {name: found.get(name) for name in zero} == dict.fromkeys(zero, 0.0)


def test_a_look_shows_rows_beside_what_is_expected() -> None:
    found = publish(make(), views.observation())
    assert found["watchdog_up"] == 1
    assert found["watchdog_table_rows{table=station}"] == 7
    assert found["watchdog_table_expected_rows{table=station}"] == 7
    assert found["watchdog_table_rows{table=measurement}"] == 10000
    assert found["watchdog_table_rows_capped{table=measurement}"] == 1
    assert found["watchdog_table_rows_capped{table=station}"] == 0
    assert found["watchdog_ingestion_stations_seen"] == found["watchdog_ingestion_stations_expected"] == 4
    assert found["watchdog_ingestion_last_success_timestamp_seconds"] == views.AT.timestamp() - 180
    assert found["watchdog_last_tick_timestamp_seconds"] == views.AT.timestamp()
    assert found["watchdog_probe_duration_seconds_count"] == 1
    assert found["watchdog_heal_circuit_open"] == 0


def test_after_a_look_that_saw_nothing_no_old_figure_stays() -> None:
    metrics = make()
    publish(metrics, views.observation())
    unreachable = views.UNREACHABLE.observation
    assert unreachable is not None
    found = publish(metrics, replace(unreachable, outside=replace(unreachable.outside, ingestion=None)))  # type: ignore[type-var]
    assert found["watchdog_up"] == 0
    assert not [name for name in found if name.startswith("watchdog_table_rows")]
    assert "watchdog_ingestion_stations_seen" not in found
    assert "watchdog_ingestion_last_success_timestamp_seconds" not in found
    assert found["watchdog_table_expected_rows{table=station}"] == 7
    assert found["watchdog_probe_failures_total{probe=database}"] == 1
    assert found["watchdog_probe_failures_total{probe=ingestion}"] == 1
    assert found["watchdog_probe_duration_seconds_count"] == 1


def test_a_table_that_is_locked_or_gone_has_no_rows_and_the_others_do() -> None:
    seen = views.observation(station=None)
    tables = tuple(
        replace(table, exists=False, rows=None) if table.name == "glacier" else table
        for table in seen.database.tables
    )
    found = publish(make(), replace(seen, database=replace(seen.database, tables=tables)))
    assert "watchdog_table_rows{table=station}" not in found
    assert "watchdog_table_rows{table=glacier}" not in found
    assert found["watchdog_table_rows{table=sensor}"] == 14
    assert found["watchdog_up"] == 1
    assert found["watchdog_probe_failures_total{probe=table}"] == 1


def test_an_incident_is_open_from_its_opening_to_its_end_and_counted_once() -> None:
    metrics = make()
    publish(metrics, views.observation())
    empty = views.observation(**views.WIPED)
    found = publish(metrics, empty, views.OPENING)
    assert found["watchdog_incident_open{symptom=context_empty}"] == 1
    assert found["watchdog_incident_open{symptom=api_unhealthy}"] == 0
    assert found["watchdog_table_rows{table=station}"] == 0, "a true zero"
    publish(metrics, empty, views.STARTING_HEAL)
    found = publish(metrics, views.observation(), views.RESTORING)
    assert found["watchdog_incident_open{symptom=context_empty}"] == 1
    found = publish(metrics, views.observation(), views.RESOLVING)
    assert found["watchdog_incident_open{symptom=context_empty}"] == 0
    assert found["watchdog_incidents_total"] == 1
    assert found["watchdog_heals_total{healer=command}"] == 1
    assert found["watchdog_heal_failures_total{healer=command}"] == 0


@pytest.mark.parametrize("reason", [Reason.HEAL_FAILED, Reason.HEAL_INTERRUPTED, Reason.PROOF_FAILED])
def test_a_heal_that_did_not_help_is_a_failed_one(reason: Reason) -> None:
    failed = replace(views.OPENING, transitions=(Transition(Phase.HEALING, Phase.OPEN, reason),))
    found = publish(make(), views.observation(**views.WIPED), failed)
    assert found["watchdog_heal_failures_total{healer=command}"] == 1
    assert found["watchdog_incidents_total"] == 0, "the incident was open already"


def test_a_refusal_is_counted_when_it_begins() -> None:
    metrics = make()
    refused = replace(views.OPENING, transitions=(), refusal=Reason.BUDGET_SPENT, refusal_is_new=True)
    publish(metrics, views.observation(), refused)
    found = publish(metrics, views.observation(), replace(refused, refusal_is_new=False))
    assert found["watchdog_heal_refusals_total{reason=budget_spent}"] == 1


def test_detection_and_recovery_are_timed_from_the_last_whole_look() -> None:
    metrics = make()

    def at(decision: Decision, lived: float) -> Decision:
        return replace(decision, state=replace(decision.state, lived=lived))

    publish(metrics, views.observation(), at(QUIET, 100.0))
    publish(metrics, views.observation(**views.WIPED), at(views.OPENING, 102.0))
    publish(metrics, views.observation(**views.WIPED), at(views.STARTING_HEAL, 111.0))
    found = publish(metrics, views.observation(), at(views.RESTORING, 112.5))
    assert found["watchdog_detection_seconds_sum{bound=upper}"] == 2.0
    assert found["watchdog_detection_seconds_count{bound=upper}"] == 1
    assert found["watchdog_recovery_seconds_sum{bound=upper}"] == 12.5
    again = publish(metrics, views.observation(), at(views.RESOLVING, 130.0))
    assert again["watchdog_recovery_seconds_count{bound=upper}"] == 1


def test_a_loss_that_was_there_at_the_start_has_no_measured_detection() -> None:
    found = publish(make(), views.observation(**views.WIPED), views.OPENING)
    assert found["watchdog_detection_seconds_count{bound=upper}"] == 0


def test_what_becomes_of_notifications_is_counted_by_channel() -> None:
    metrics = make()
    metrics.delivered("ops")
    metrics.delivery_failed("pager")
    metrics.given_up("pager")
    metrics.queued(3)
    found = samples(metrics)
    assert found["watchdog_notifications_total{channel=ops}"] == 1
    assert found["watchdog_notification_failures_total{channel=pager}"] == 1
    assert found["watchdog_notifications_dead_total{channel=pager}"] == 1
    assert found["watchdog_notification_queue_length"] == 3


def test_names_follow_the_conventions() -> None:
    metrics = make()
    publish(metrics, views.observation())
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", metrics.render().decode(), re.MULTILINE))
    for name, kind in kinds.items():
        assert name.startswith(("watchdog_", "process_")), name
        assert name.endswith("_total") == (kind == "counter"), name
        assert not name.endswith(("_created", "_milliseconds", "_ms")), name


def test_a_stepped_wall_clock_moves_the_timestamp_only() -> None:
    metrics = make()
    publish(metrics, views.observation())
    found = publish(metrics, views.observation(views.AT - timedelta(hours=1)))
    assert found["watchdog_last_tick_timestamp_seconds"] == views.AT.timestamp() - 3600


def recorded(*operations: tuple[Operation, str]) -> Observation:
    events = tuple(
        Event(
            *(number, views.observation().at, operation, table, 1, 0),
            *("owner", "owner", "ops-shell", None, 4242, None, 700 + number, "DELETE"),
        )
        for number, (operation, table) in enumerate(operations)
    )
    seen = views.observation()
    recorder = RecorderSeen(installed=True, events=events)
    return replace(seen, database=replace(seen.database, recorder=recorder))


def test_recorded_statements_are_counted_by_operation_and_declared_table() -> None:
    metrics = Metrics(channels=[], healers=[], version="1", context=["station"])
    name = "watchdog_destructive_statements_total"
    assert samples(metrics)[f"{name}{{operation=delete}}{{table=station}}"] == 0
    publish(metrics, recorded((Operation.DELETE, "station"), (Operation.DELETE, "station")))
    found = publish(metrics, recorded((Operation.TRUNCATE, "station"), (Operation.DELETE, "somebody's")))
    assert found[f"{name}{{operation=delete}}{{table=station}}"] == 2
    assert found[f"{name}{{operation=truncate}}{{table=station}}"] == 1
    assert found[f"{name}{{operation=delete}}{{table=other}}"] == 1


def test_a_recorder_that_could_not_be_asked_is_neither_armed_nor_not() -> None:
    metrics = make()
    assert "watchdog_recorder_armed" not in publish(metrics, views.observation())
    assert publish(metrics, recorded())["watchdog_recorder_armed"] == 1
    seen = recorded()
    assert seen.database.recorder is not None
    unarmed = replace(seen.database.recorder, unarmed=("station",))
    seen = replace(seen, database=replace(seen.database, recorder=unarmed))
    assert publish(metrics, seen)["watchdog_recorder_armed"] == 0


def test_readiness_shows_only_what_was_measured() -> None:
    metrics = make()
    assert "watchdog_attribution_readiness_ratio" not in samples(metrics)
    metrics.readiness(0.75)
    assert samples(metrics)["watchdog_attribution_readiness_ratio"] == 0.75
    metrics.readiness(None)
    assert "watchdog_attribution_readiness_ratio" not in samples(metrics)
