"""Every GET of the API over HTTP, beside the least that FastAPI can answer and the statement alone.

In rounds: for each route the "hello" before, between and after the API without and with its cache, a second
of each, so that a slow moment of the machine falls on all of them; `ratio_to_hello` is the median of the
rounds' ratios. The API runs as one process with everything on: an allowed origin asks, the rate is limited
(far above what can be asked), the audit is asked for with a token. `sql …` is the same statement over as many
connections as the API keeps, without HTTP. The load client, the three servers and PostgreSQL share the
machine; `processor_us` is what one answer costs the server's process alone, which a busy machine changes
least. `rss_mb` is what the process holds after the load, `rss_highest_mb` the most it ever held.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from statistics import mean, median

from tests.benchmarks import http_load, sql_load
from tests.benchmarks.api_stage import BASE, Route, Server, Stage, check, stage
from tests.benchmarks.figures import Row, Say, percentile
from tests.benchmarks.http_load import Asked, Slice

ROUNDS = 3
SECONDS = 1.0  # of a slice; three of them make a figure
HELLO_SECONDS = 0.35
WARM_UP = 0.1
CONNECTIONS = (1, 32)
MANY = 32

Key = tuple[str, str, int]
"""Route, cache on or off, connections."""

HELLO = "hello"
RATIOS = {  # at 32 connections
    ("/stations", "off"): 0.35,
    ("/status", "off"): 0.35,
    ("/stations", "on"): 0.7,
    ("/status", "on"): 0.7,
    ("measurements, raw, 24 h", "off"): 0.2,
}
MOST_P99 = 4  # medians
MOST_MEMORY = 120  # MB


@dataclass
class Cell:
    """What one figure is made of, a value a round."""

    rates: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)  # seconds an answer, of the server
    memory: float = 0.0
    highest: float = 0.0

    def add(self, slice_: Slice, ratio: float | None) -> float:
        """Returns the answers a second."""
        self.rates.append(slice_.rate)
        self.latencies += slice_.latencies
        if ratio is not None:
            self.ratios.append(ratio)
        return slice_.rate


class _Measuring:
    """The client's process, and the cells so far."""

    def __init__(self, stage: Stage, client: ProcessPoolExecutor) -> None:
        self.cells: dict[Key, Cell] = {}
        self.computed = 0.0  # seconds, by the client
        self.answers = 0
        self._stage = stage
        self._client = client

    def group(self, route: Route, connections: int, *, cached_first: bool) -> str:
        """One round of one route: hello, API, hello, API, hello. Returns what to say of it."""
        stage = self._stage
        api = [("off", stage.uncached), ("on", stage.cached)]
        hellos = [self._hello(connections)]
        rates: dict[str, float] = {}
        taken: list[tuple[str, Cell, Slice]] = []
        for cache, server in reversed(api) if cached_first else api:
            cell = self.cells.setdefault((route.name, cache, connections), Cell())
            asked = stage.asked(server, BASE + route.path, protected=route.protected)
            taken.append((cache, cell, self._http(server, cell, asked, connections, SECONDS)))
            hellos.append(self._hello(connections))
        for cache, cell, slice_ in taken:
            rates[cache] = cell.add(slice_, slice_.rate / mean(hellos))
        if route.statement is not None and connections == MANY:
            rates["sql"] = self._sql(route, mean(hellos))
        told = ", ".join(f"{what} {rate:.0f}" for what, rate in {"hello": mean(hellos), **rates}.items())
        return f"{route.name}, {connections}: {told} a second"

    def _hello(self, connections: int) -> float:
        cell = self.cells.setdefault((HELLO, "off", connections), Cell())
        server = self._stage.hello
        asked = self._stage.asked(server, "/")
        return cell.add(self._http(server, cell, asked, connections, HELLO_SECONDS), None)

    def _http(self, server: Server, cell: Cell, asked: Asked, connections: int, seconds: float) -> Slice:
        spent = server.processor_seconds()
        slice_ = self._client.submit(
            http_load.load, asked, connections=connections, seconds=seconds, warm_up=WARM_UP
        ).result()
        spent = server.processor_seconds() - spent
        # Warming up was computed for, too.
        cell.processor.append(spent / len(slice_.latencies) * seconds / (seconds + WARM_UP))
        cell.memory = server.memory("VmRSS")
        cell.highest = server.memory("VmHWM")
        self.computed += slice_.processor
        self.answers += len(slice_.latencies)
        return slice_

    def _sql(self, route: Route, hello: float) -> float:
        assert route.statement is not None
        assert route.parameters is not None
        asking = sql_load.Asking(self._stage.url, route.statement, route.parameters)
        slice_ = self._client.submit(
            sql_load.load, asking, tasks=MANY, seconds=SECONDS, warm_up=WARM_UP
        ).result()
        cell = self.cells.setdefault((f"sql {route.name}", "off", MANY), Cell())
        return cell.add(slice_, slice_.rate / hello)


def client_process() -> ProcessPoolExecutor:
    """A process of its own for the load client: in this one it would share an interpreter with the rest."""
    return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))


def run(runs: int | None, say: Say) -> list[Row]:
    rounds = runs or ROUNDS
    with stage() as ready, client_process() as client:
        check(ready)
        say(f"{ready.described}, {rounds} rounds")
        measuring = _Measuring(ready, client)
        for number in range(rounds):
            for connections in CONNECTIONS:
                for route in ready.routes():
                    told = measuring.group(route, connections, cached_first=bool(number % 2))
                    say(f"  {number + 1}/{rounds} {told}")
        say(f"the load client computed {1e6 * measuring.computed / measuring.answers:.0f} µs an answer")
    return [_row(key, cell) for key, cell in sorted(measuring.cells.items(), key=_place)]


def _place(item: tuple[Key, Cell]) -> tuple[int, bool]:
    """As they were measured, hello first and the statements last."""
    (route, _, connections), _ = item
    return (0 if route == HELLO else 2 if route.startswith("sql ") else 1), connections != 1


def _row(key: Key, cell: Cell) -> Row:
    route, cache, connections = key
    row: Row = {
        "route": route,
        "cache": cache,
        "connections": connections,
        "requests_per_second": round(median(cell.rates)),
        "p50_ms": round(median(cell.latencies) * 1000, 2),
        "p99_ms": round(percentile(cell.latencies, 0.99) * 1000, 2),
        "ratio_to_hello": round(median(cell.ratios), 2) if cell.ratios else 1.0,
    }
    if cell.memory:
        row["rss_mb"] = cell.memory
        row["rss_highest_mb"] = cell.highest
        row["processor_us"] = round(median(cell.processor) * 1e6)
    return row


def verdict(rows: Sequence[Row]) -> tuple[bool, str]:
    """A sentence a goal. Never a failure: another machine has other figures."""
    many = {(str(row["route"]), str(row["cache"])): row for row in rows if row["connections"] == MANY}
    told = []
    for (route, cache), goal in RATIOS.items():
        found = float(many[route, cache]["ratio_to_hello"])
        told.append(
            _goal(found >= goal, f"{route}, cache {cache}: {found:g} of hello, goal at least {goal:g}")
        )
    api = [row for key, row in many.items() if key[0] != HELLO and not key[0].startswith("sql ")]
    slowest = max(api, key=_spread)
    told.append(
        _goal(
            _spread(slowest) <= MOST_P99,
            f"p99 at most {MOST_P99} medians: {_spread(slowest):.1f} at the worst, "
            f"{slowest['route']}, cache {slowest['cache']}",
        )
    )
    highest = max(float(row["rss_highest_mb"]) for row in api)
    told.append(_goal(highest <= MOST_MEMORY, f"{highest:g} MB at the highest, goal at most {MOST_MEMORY}"))
    return True, f"At {MANY} connections:\n" + "\n".join(told)


def _spread(row: Row) -> float:
    return float(row["p99_ms"]) / float(row["p50_ms"])


def _goal(holds: bool, sentence: str) -> str:
    return f"  {'holds' if holds else 'MISSED'}: {sentence}"
