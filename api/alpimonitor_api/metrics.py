"""What Prometheus is told of the API, under `alpimonitor_`.

Every label has few values whatever clients send: a request is counted by the template of its route, never by
its path. What only the database knows, and the state of the connections, are `scraped` at each scrape.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    Metric,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector
from starlette.routing import BaseRoute, Route
from starlette.types import Scope

# They would double the page, for figures nobody asks for.
disable_created_metrics()  # type: ignore[no-untyped-call]

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER_METHOD = "other"
NO_ROUTE = "none"
CUT = 0
"""The status of a request that ended without an answer, told as `none`."""

DURATIONS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
EXPECTED_STATUSES = (200, 500, 503)
"""What every route has a series of from the start: only a counter that was 0 shows a first error."""


class Metrics:
    """A registry of its own, made once by the application. Used by its event loop alone."""

    def __init__(self, version: str) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        Gauge(
            "alpimonitor_build_info",
            "Always 1; the label says which version runs.",
            ["version"],
            registry=self.registry,
        ).labels(version).set(1)
        self._requests = Counter(
            "alpimonitor_http_requests_total",
            "Requests that ended, by the template of their route (none: there is no such path).",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self._durations = Histogram(
            "alpimonitor_http_request_duration_seconds",
            "From a request's first byte to the last of its answer, by the template of its route.",
            ["route"],
            buckets=DURATIONS,
            registry=self.registry,
        )
        self._in_progress = 0
        Gauge(
            "alpimonitor_http_requests_in_progress",
            "Requests that are being answered, the scrape itself included.",
            registry=self.registry,
        ).set_function(lambda: self._in_progress)
        self._limited = self._counter(
            "alpimonitor_rate_limited_requests_total", "Requests refused, their address asking too often."
        )
        self._hits = self._counter(
            "alpimonitor_answer_cache_hits_total", "Answers given again by CACHE_SECONDS."
        )
        self._misses = self._counter(
            "alpimonitor_answer_cache_misses_total", "Answers that might have been given again and were made."
        )
        # labels() looks its child up by building strings: as long as the counting itself.
        self._counted: dict[tuple[str, str, int], Counter] = {}
        self._timed: dict[str, Histogram] = {}
        self._plain: set[str] = set()
        self._templates: tuple[Route, ...] = ()

    def know(self, routes: Iterable[BaseRoute]) -> None:
        """Begin the series of these routes."""
        known = [route for route in routes if isinstance(route, Route)]
        self._plain = {route.path for route in known if "{" not in route.path}
        self._templates = tuple(route for route in known if "{" in route.path)
        for route in known:
            self._timed[route.path] = self._durations.labels(route.path)
            for method in sorted((route.methods or set()) - {"HEAD"}):
                for status in EXPECTED_STATUSES:
                    self._counter_of(method, route.path, status)
        self._timed[NO_ROUTE] = self._durations.labels(NO_ROUTE)
        self._counter_of("GET", NO_ROUTE, 404)

    def begun(self) -> None:
        """A request has arrived."""
        self._in_progress += 1

    def ended(self, scope: Scope, status: int, seconds: float) -> None:
        """It was answered with this status, or CUT."""
        self._in_progress -= 1
        method = scope["method"] if scope["method"] in METHODS else OTHER_METHOD
        route = self._route_of(scope)
        counter = self._counted.get((method, route, status)) or self._counter_of(method, route, status)
        counter.inc()
        (self._timed.get(route) or self._durations.labels(route)).observe(seconds)

    def rate_limited(self) -> None:
        self._limited.inc()

    def cache_hit(self) -> None:
        self._hits.inc()

    def cache_miss(self) -> None:
        self._misses.inc()

    def render(self, *, accept: str, scraped: Sequence[Metric] = ()) -> tuple[bytes, str]:
        """The page and its content type: OpenMetrics to whoever accepts it, else Prometheus' text format.

        Not the library's negotiation: it repeats the client's words in the content type, and fails at some.
        """
        page = _Page(self.registry, scraped)
        if "application/openmetrics-text" in accept.lower():
            body = openmetrics.generate_latest(page)  # type: ignore[no-untyped-call]
            return body, openmetrics.CONTENT_TYPE_LATEST
        return generate_latest(page), CONTENT_TYPE_PLAIN_0_0_4

    def _counter(self, name: str, text: str) -> Counter:
        return Counter(name, text, registry=self.registry)

    def _counter_of(self, method: str, route: str, status: int) -> Counter:
        child = self._requests.labels(method, route, "none" if status == CUT else str(status))
        self._counted[method, route, status] = child
        return child

    def _route_of(self, scope: Scope) -> str:
        """The template: the router's where it was asked, else (refused or cached before it) by the path."""
        route = scope.get("route")
        if isinstance(route, Route):
            return route.path
        path: str = scope["path"]
        if path in self._plain:
            return path
        return next((known.path for known in self._templates if known.path_regex.match(path)), NO_ROUTE)


class _Page(Collector):
    """What was counted, then what was read for this scrape."""

    def __init__(self, counted: Collector, scraped: Sequence[Metric]) -> None:
        self._counted = counted
        self._scraped = scraped

    def collect(self) -> Iterator[Metric]:
        yield from self._counted.collect()
        yield from self._scraped
