"""Builds overview.json, the Grafana dashboard that on-call staff and viewers open first.

    python dashboards/overview.py

writes the file beside this one; a house test compares the two. Every query reads the metrics of the sidecar,
or of the API, through the variable `datasource`, so that the dashboard works in any Grafana. After a failed
look both drop their samples: then a panel says "not seen", which is neither zero nor the last value.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import api_row
from grafana_foundation_sdk.builders import dashboard, prometheus, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as look
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat
from panels import DATASOURCE, GREEN, GREY, RED, YELLOW, color_of, curves, either, figure, query, steps

OVERVIEW = Path(__file__).with_name("overview.json")

Panel = stat.Panel | table.Panel | statetimeline.Panel | timeseries.Panel


def now() -> list[stat.Panel]:
    return [
        figure(
            "Incident",
            "Whether the sidecar has an incident open. Which symptoms it is made of: see the timeline below. "
            "What to do: `alpimonitor status`, then the runbook.",
            query('max(watchdog_incident_open{symptom!="context_changed"})'),
        ).mappings(either(("none", GREEN), ("OPEN", RED))),
        figure(
            "Sight of the database",
            "Whether the last probe could see the guarded tables. While it could not, nothing is reported as "
            "empty and nothing heals.",
            query("min(watchdog_up)"),
        ).mappings(either(("blind", RED), ("sees", GREEN))),
        figure(
            "Last tick",
            "How long ago the sidecar last looked. It looks every second; beyond 30 s the rule "
            "WatchdogAbsent fires.",
            query("time() - max(watchdog_last_tick_timestamp_seconds)"),
        )
        .unit("s")
        .decimals(0)
        .thresholds(steps((10, YELLOW), (30, RED))),
        figure(
            "LIVE stations",
            "How many stations the last run of ingestion saw, against how many it has to see.",
            query("max(watchdog_ingestion_stations_seen)", "seen", "A"),
            query("max(watchdog_ingestion_stations_expected)", "expected", "B"),
        )
        .thresholds(steps((1, GREEN), below=RED))
        .override_by_name("expected", [color_of(GREY)]),
        figure(
            "Last successful ingestion",
            "How long ago ingestion last succeeded. It runs every 10 minutes; 30 minutes are unhealthy.",
            query("time() - max(watchdog_ingestion_last_success_timestamp_seconds)"),
        )
        .unit("s")
        .decimals(0)
        .thresholds(steps((900, YELLOW), (1800, RED))),
        figure(
            "Healing",
            "Open circuit: the context was wiped again after heals, or heals failed, and the sidecar has "
            "stopped trying. A person has to find what deletes, then seed by hand.",
            query("max(watchdog_heal_circuit_open)"),
        ).mappings(either(("ready", GREEN), ("CIRCUIT OPEN", RED))),
    ]


def missing_rows() -> stat.Panel:
    return (
        figure(
            "Rows missing, by table",
            "Rows that the declaration expects and the table lacks. 0 everywhere is healthy. Tables of which "
            "nothing is expected (the operational ones) do not appear.",
            query(
                # Vector matching drops the tables without an expectation.
                "clamp_min("
                "max by (table) (watchdog_table_expected_rows) - max by (table) (watchdog_table_rows), 0"
                ")",
                "{{table}}",
            ),
        )
        .thresholds(steps((1, RED)))
        .height(8)
        .span(12)
    )


def rows_table() -> table.Panel:
    def column(expr: str, ref: str) -> prometheus.Dataquery:
        return query(expr, ref=ref).format(PromQueryFormat.TABLE)

    return (
        table.Panel()
        .title("Rows against expected")
        .description(
            "Rows of every guarded table, and how many are expected. Large tables are counted up to a limit "
            "only; 1 under `at least` says that there are more rows than shown."
        )
        .datasource(DATASOURCE)
        .with_target(column("max by (table) (watchdog_table_rows)", "A"))
        .with_target(column("max by (table) (watchdog_table_expected_rows)", "B"))
        .with_target(column("max by (table) (watchdog_table_rows_capped)", "C"))
        .with_transformation(model.DataTransformerConfig(id_val="merge", options={}))
        .with_transformation(
            model.DataTransformerConfig(
                id_val="organize",
                options={
                    "excludeByName": {"Time": True},
                    "indexByName": {"table": 0, "Value #A": 1, "Value #B": 2, "Value #C": 3},
                    "renameByName": {"Value #A": "rows", "Value #B": "expected", "Value #C": "at least"},
                },
            )
        )
        .no_value("not seen")
        .height(8)
        .span(12)
    )


def symptoms() -> statetimeline.Panel:
    return (
        statetimeline.Panel()
        .title("Symptoms")
        .description("Which symptoms were part of an open incident, and when.")
        .datasource(DATASOURCE)
        .with_target(
            prometheus.Dataquery()
            .expr("max by (symptom) (watchdog_incident_open)")
            .legend_format("{{symptom}}")
            .ref_id("A")
            .range()
        )
        .mappings(either(("absent", GREEN), ("open", RED)))
        .show_value(look.VisibilityMode.NEVER)
        .height(9)
        .span(24)
    )


def counted(metric: str, label: str) -> prometheus.Dataquery:
    """How much a counter grew within the dashboard's time range, by one of its labels."""
    # increase() extrapolates to the edges of the range; round() makes it a count again.
    return query(f"round(sum by ({label}) (increase({metric}[$__range])))", f"{{{{{label}}}}}")


def healing() -> list[stat.Panel]:
    return [
        figure(
            "Heals",
            "Heals that the sidecar started within the time range, by healer.",
            counted("watchdog_heals_total", "healer"),
        )
        .thresholds(steps((1, YELLOW)))
        .span(8),
        figure(
            "Failed heals",
            "Heals that did not put the context back within the time range, by healer.",
            counted("watchdog_heal_failures_total", "healer"),
        )
        .thresholds(steps((1, RED)))
        .span(8),
        figure(
            "Refused heals",
            "Heals that a guard rail refused within the time range, by reason. What each asks of you: "
            "runbooks/refused-heal.md.",
            # Only the reasons that occurred: every reason has a series from the start.
            query(
                "round(sum by (reason) (increase(watchdog_heal_refusals_total[$__range]))) > 0 "
                "or round(sum(increase(watchdog_heal_refusals_total[$__range]))) == 0",
                "{{reason}}",
            ),
        )
        .thresholds(steps((1, RED)))
        .span(8),
    ]


def attribution() -> list[stat.Panel]:
    return [
        figure(
            "Flight recorder",
            "Whether every destructive statement on the guarded tables is recorded. Not armed: a loss would "
            "still be noticed and healed, and nobody could say who did it.",
            query("min(watchdog_recorder_armed)"),
        )
        .mappings(either(("NOT ARMED", RED), ("armed", GREEN)))
        .span(8),
        figure(
            "Could be named now",
            "The share of what has to hold so that the session behind a loss could be named. "
            "`alpimonitor watchdog check` lists each gap with its remedy.",
            query("min(watchdog_attribution_readiness_ratio)"),
        )
        .unit("percentunit")
        .thresholds(steps((0.6, YELLOW), (0.8, GREEN), below=RED))
        .span(8),
        figure(
            "Destructive statements",
            "Recorded statements within the time range that took rows, by operation. Who ran them: "
            "`alpimonitor watchdog diagnose`.",
            query(
                "round(sum by (operation) (increase("
                'watchdog_destructive_statements_total{operation=~"delete|truncate|drop"}[$__range])))',
                "{{operation}}",
            ),
        )
        .thresholds(steps((1, YELLOW)))
        .span(8),
    ]


def notifications() -> list[stat.Panel]:
    return [
        figure(
            "Notifications waiting",
            "Notifications that are decided and not yet delivered. They are stored, and tried again.",
            query("max(watchdog_notification_queue_length)"),
        ).thresholds(steps((1, YELLOW), (10, RED))),
        figure(
            "Notifications delivered",
            "Notifications that a channel took within the time range.",
            counted("watchdog_notifications_total", "channel"),
        ).thresholds(steps(below=GREY)),
        figure(
            "Failed attempts",
            "Attempts to deliver that failed within the time range. They are repeated.",
            counted("watchdog_notification_failures_total", "channel"),
        ).thresholds(steps((1, YELLOW))),
        figure(
            "Notifications given up",
            "Dead letters within the time range: somebody was not told.",
            counted("watchdog_notifications_dead_total", "channel"),
        ).thresholds(steps((1, RED))),
        figure(
            "Probe, p99",
            "99 of 100 probes of the last five minutes were faster than this.",
            query("histogram_quantile(0.99, sum by (le) (rate(watchdog_probe_duration_seconds_bucket[5m])))"),
        )
        .unit("s")
        .thresholds(steps((0.05, YELLOW), (0.25, RED))),
        figure(
            "Failed probes",
            "Ticks within the time range in which a probe could not see what it looks at.",
            counted("watchdog_probe_failures_total", "probe"),
        ).thresholds(steps((1, YELLOW))),
    ]


def probe_durations() -> timeseries.Panel:
    quantiles = [
        (
            f"histogram_quantile({quantile}, "
            "sum by (le) (rate(watchdog_probe_duration_seconds_bucket[$__rate_interval])))",
            f"p{float(quantile) * 100:g}",
        )
        for quantile in ("0.5", "0.99")
    ]
    description = "How long one probe of the database takes: what the sidecar costs it, every second."
    return curves("Probe duration", description, *quantiles).unit("s").span(24)


def overview() -> dashboard.Dashboard:
    """The whole dashboard, in the order in which a person who was just woken up asks."""
    board = (
        dashboard.Dashboard("AlpiMonitor")
        .uid("alpimonitor-overview")
        .description("Is the context whole, does ingestion see its stations, and is the sidecar watching?")
        .tags(["alpimonitor"])
        .time("now-6h", "now")
        .refresh("10s")
        .timezone("utc")
        .readonly()
        .with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
    )
    sections: tuple[tuple[str, Sequence[Panel]], ...] = (
        ("Now", now()),
        ("Context", [missing_rows(), rows_table(), symptoms()]),
        ("Healing", healing()),
        ("Who did it", attribution()),
        ("API and ingestion", [*api_row.figures(), *api_row.over_time()]),
        ("Notifications and probe", [*notifications(), probe_durations()]),
    )
    number = 0
    for title, panels in sections:
        number += 1
        board = board.with_row(dashboard.Row(title).id(number))
        for panel in panels:
            number += 1
            board = board.with_panel(panel.id(number))
    return board


def render() -> str:
    """The dashboard as Grafana reads it."""
    return (
        json.dumps(overview().build(), cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    )


if __name__ == "__main__":
    OVERVIEW.write_text(render(), encoding="utf-8")
