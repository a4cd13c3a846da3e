"""The row of overview.json about the API and ingestion, from the API's own metrics.

Scrapes of /metrics are left out of the requests: they are Prometheus', not anybody's. Figures of ingestion
come from the database that every process of the API reads, so that the greatest of them is that of all.
"""

from __future__ import annotations

from grafana_foundation_sdk.builders import stat, timeseries
from panels import GREY, RED, YELLOW, color_of, curves, figure, query, steps

ASKED = 'alpimonitor_http_requests_total{route!="/metrics"}'
FAILED = 'alpimonitor_http_requests_total{route!="/metrics",status=~"5.."}'
BUCKETS = 'alpimonitor_http_request_duration_seconds_bucket{route!="/metrics"}'


def _grown(counter: str) -> str:
    """How much a counter grew within the dashboard's time range."""
    # increase() extrapolates to the edges of the range; round() makes it a count again.
    return f"round(sum(increase({counter}[$__range])))"


def figures() -> list[stat.Panel]:
    return [
        figure(
            "API errors",
            "The share of the requests within the time range that were answered with 5xx, 503 while the "
            "context is empty included.",
            query(f"sum(increase({FAILED}[$__range])) / sum(increase({ASKED}[$__range]))"),
        )
        .unit("percentunit")
        .decimals(2)
        .thresholds(steps((0.001, YELLOW), (0.05, RED))),
        figure(
            "Rate-limited",
            "Requests within the time range that were refused with 429, because their address asked more "
            "often than RATE_LIMIT allows.",
            query(_grown("alpimonitor_rate_limited_requests_total")),
        ).thresholds(steps((1, YELLOW))),
        figure(
            "Answer cache",
            "Answers within the time range that were given again, beside those that were made anew. Both "
            "stay at 0 while CACHE_SECONDS is 0.",
            query(_grown("alpimonitor_answer_cache_hits_total"), "given again", "A"),
            query(_grown("alpimonitor_answer_cache_misses_total"), "made", "B"),
        )
        .thresholds(steps(below=GREY))
        .override_by_name("made", [color_of(GREY)]),
        figure(
            "Ingestion, as the API sees it",
            "How long ago ingestion last succeeded, by the table that the API reads. Not seen: never, or the "
            "API cannot read its database.",
            query("time() - max(alpimonitor_ingestion_last_success_timestamp_seconds)"),
        )
        .unit("s")
        .decimals(0)
        .thresholds(steps((900, YELLOW), (1800, RED))),
        figure(
            "Last run stored",
            "What the last run of ingestion did with the measurements that it was given.",
            query("max by (kind) (alpimonitor_ingestion_last_run_measurements)", "{{kind}}"),
        ).thresholds(steps(below=GREY)),
        figure(
            "Archive failures",
            "Payloads in a row that could not be archived. Each is lost for a later replay; the measurements "
            "in it are stored.",
            query("max(alpimonitor_archive_consecutive_failures)"),
        ).thresholds(steps((1, YELLOW), (2, RED))),
    ]


def over_time() -> list[timeseries.Panel]:
    return [
        curves(
            "Requests, by route",
            "How many requests a second each route answers; none stands for paths that do not exist.",
            (f"sum by (route) (rate({ASKED}[$__rate_interval]))", "{{route}}"),
        )
        .unit("reqps")
        .span(8),
        curves(
            "Duration of answers",
            "Half of all answers were faster than p50, 99 of 100 faster than p99.",
            *(
                (
                    f"histogram_quantile({quantile}, sum by (le) (rate({BUCKETS}[$__rate_interval])))",
                    f"p{float(quantile) * 100:g}",
                )
                for quantile in ("0.5", "0.99")
            ),
        )
        .unit("s")
        .span(8),
        curves(
            "Connections to the database",
            "Connections in use by lane, and the requests that wait for one. Who waits for long is answered "
            "503: more connections are DATABASE_POOL_SIZE.",
            ('sum by (lane) (alpimonitor_database_connections{state="in_use"})', "{{lane}}"),
            ("sum by (lane) (alpimonitor_database_waiting_requests)", "{{lane}}, waiting"),
        ).span(8),
    ]
