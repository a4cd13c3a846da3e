"""LINDAS over real HTTP: the same SPARQL JSON as the service, with every quirk of it, and faults on demand.

    python -m alpimonitor_rehearsal.simulator --port 0
    {"url": "http://127.0.0.1:41571/query", "control": "http://127.0.0.1:41571/control"}

`url` is what LINDAS_ENDPOINT takes. POST {"fault": "500", "times": 2} to `control` to make the next two
answers an error (without "times": until told otherwise); POST {"without": ["2346"]} to remove stations.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Self
from urllib.parse import parse_qs

from alpimonitor_rehearsal import hydrology
from alpimonitor_rehearsal.clock import utc_now
from alpimonitor_rehearsal.loopback import (
    Exchange,
    LoopbackServer,
    arguments_of_a_server,
    serve_as_process,
    wanted_fault,
)

RESULTS = "application/sparql-results+json"
HUGE_BYTES = 64 * 2**20

ERROR_PAGE = b"<!DOCTYPE html><html><head><title>Maintenance</title></head><body>Back soon.</body></html>\n"

WHAT_A_QUERY_NAMES = (
    "SELECT",
    "https://lindas.admin.ch/foen/hydro",
    "http://example.com/HydroMeasuringStation",
    "http://schema.org/",
    "http://www.opengis.net/ont/geosparql#",
    "https://cube.link/",
    "https://environment.ld.admin.ch/foen/hydro/dimension/",
    *(f"?{variable}" for variable in hydrology.VARIABLES),
)
"""Without one of these the real service would find nothing, or leave a variable out."""


class Fault(Enum):
    NONE = "none"
    DOWN = "down"  # the connection is reset, without an answer
    ERROR_500 = "500"
    TOO_MANY_429 = "429"
    NOT_FOUND_404 = "404"
    REDIRECT_302 = "302"
    SLOW = "slow"  # the whole answer, late
    TRICKLE = "trickle"  # a byte at a time
    MALFORMED = "malformed"  # 200 with an error page
    MALFORMED_ROWS = "malformed-rows"  # a good answer with unusable rows at its end
    TRUNCATED = "truncated"  # half of what Content-Length says
    EMPTY = "empty"  # a result without rows
    HUGE = "huge"  # 64 MiB


@dataclass(frozen=True)
class Behaviour:
    """`fault` holds for the next `times` queries, or, with None, until changed."""

    fault: Fault = Fault.NONE
    times: int | None = None
    without: frozenset[str] = frozenset()


class Simulator:
    """As a context manager it serves between enter and exit; methods switch faults from any thread."""

    def __init__(
        self,
        *,
        port: int = 0,
        recorded: bytes | None = None,
        every: timedelta = hydrology.USUAL_STEP,
        clock: Callable[[], datetime] = utc_now,
        slow_seconds: float = 30,
        trickle_seconds: float = 0.2,
    ) -> None:
        """`recorded` is served instead of simulated values; each station has a new observation `every`."""
        self._recorded = recorded
        self._every = every
        self._clock = clock
        self._slow_seconds = slow_seconds
        self._trickle_seconds = trickle_seconds
        self._guard = threading.Lock()
        self._behaviour = Behaviour()
        self._queries = 0
        self.server = LoopbackServer(self._respond, port=port)

    def __enter__(self) -> Self:
        self.server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.stop()

    @property
    def url(self) -> str:
        """What LINDAS_ENDPOINT takes."""
        return f"http://127.0.0.1:{self.server.port}/query"

    @property
    def control_url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}/control"

    @property
    def queries(self) -> int:
        """How many have arrived, those answered with a fault included."""
        with self._guard:
            return self._queries

    def fault(self, fault: Fault, *, times: int | None = None) -> None:
        """Misbehave for the next `times` queries, or until told otherwise."""
        with self._guard:
            self._behaviour = replace(self._behaviour, fault=fault, times=times)

    def leave_out(self, codes: Collection[str]) -> None:
        """Answer without these stations; with none, completely again."""
        with self._guard:
            self._behaviour = replace(self._behaviour, without=frozenset(codes))

    def _respond(self, exchange: Exchange) -> None:
        if exchange.path == "/control":
            self._control(exchange)
        elif exchange.method != "POST":
            exchange.answer(405, b"POST the form field query\n", Allow="POST")
        else:
            self._answer_query(exchange)

    def _control(self, exchange: Exchange) -> None:
        if exchange.method == "POST":
            try:
                fault, times = wanted_fault(exchange.body)
                without = json.loads(exchange.body).get("without")
                if fault is not None:
                    self.fault(Fault(fault), times=times)
                if without is not None:
                    self.leave_out([str(code) for code in without])
            except (ValueError, TypeError) as error:
                faults = ", ".join(fault.value for fault in Fault)
                exchange.answer_json(400, {"error": str(error), "faults": faults})
                return
        with self._guard:
            now = self._behaviour
            queries = self._queries
        exchange.answer_json(
            200,
            {
                "fault": now.fault.value,
                "times": now.times,
                "without": sorted(now.without),
                "queries": queries,
            },
        )

    def _next_behaviour(self) -> Behaviour:
        """What holds for the query that has just arrived; counts it."""
        with self._guard:
            self._queries += 1
            current = self._behaviour
            if current.times is None:
                return current
            if current.times <= 0:
                self._behaviour = replace(current, fault=Fault.NONE, times=None)
                return self._behaviour
            self._behaviour = replace(current, times=current.times - 1)
            return current

    def _answer_query(self, exchange: Exchange) -> None:
        behaviour = self._next_behaviour()
        query = parse_qs(exchange.body.decode("utf-8", "replace")).get("query", [""])[0]
        missing = [name for name in WHAT_A_QUERY_NAMES if name not in query]
        if missing:
            exchange.answer(400, f"the query does not name {', '.join(missing)}\n".encode())
            return
        if RESULTS not in exchange.header("Accept"):
            exchange.answer(406, f"only {RESULTS} is offered here\n".encode())
            return
        match behaviour.fault:
            case Fault.DOWN:
                exchange.reset()
            case Fault.ERROR_500:
                exchange.answer(500, b"Internal Server Error\n")
            case Fault.TOO_MANY_429:
                exchange.answer(429, b"Too Many Requests\n", Retry_After="1")
            case Fault.NOT_FOUND_404:
                exchange.answer(404, b"Not Found\n")
            case Fault.REDIRECT_302:
                exchange.answer(302, Location="http://127.0.0.1:9/elsewhere")
            case Fault.TRICKLE:
                exchange.trickle(200, self._payload(behaviour), self._trickle_seconds, RESULTS)
            case Fault.MALFORMED:
                exchange.answer(200, ERROR_PAGE, "text/html")
            case Fault.TRUNCATED:
                exchange.cut_short(200, self._payload(behaviour), RESULTS)
            case Fault.EMPTY:
                exchange.answer(200, hydrology.result([]), RESULTS)
            case Fault.HUGE:
                exchange.stream(200, _huge(self._payload(behaviour)), RESULTS)
            case Fault.SLOW:
                exchange.pause(self._slow_seconds)
                exchange.answer(200, self._payload(behaviour), RESULTS)
            case Fault.NONE | Fault.MALFORMED_ROWS:
                exchange.answer(200, self._payload(behaviour), RESULTS)

    def _payload(self, behaviour: Behaviour) -> bytes:
        if self._recorded is not None:
            return self._recorded
        now = self._clock()
        rows = hydrology.bindings(now, step=self._every, without=behaviour.without)
        if behaviour.fault is Fault.MALFORMED_ROWS:
            rows += hydrology.malformed_bindings(now)
        return hydrology.result(rows)


def _huge(payload: bytes) -> Iterator[bytes]:
    """The payload, then white space: it stays JSON, so only its size is wrong with it."""
    yield payload
    for _ in range(HUGE_BYTES // 2**16):
        yield b" " * 2**16


def main() -> None:
    """Serve as a process of its own."""
    parser = arguments_of_a_server("LINDAS over HTTP, simulated or from a recorded payload.")
    parser.add_argument("--file", type=Path, help="serve this recorded payload instead of simulated values")
    parser.add_argument("--every", type=float, default=600, help="seconds between observations (600)")
    options = parser.parse_args()
    if not options.every > 0:
        parser.error(f"--every is {options.every:g}: give a number of seconds above 0")
    try:
        recorded = options.file.read_bytes() if options.file is not None else None
    except OSError as error:
        parser.error(f"--file {options.file} cannot be read: {error.strerror}")
    simulator = Simulator(port=options.port, recorded=recorded, every=timedelta(seconds=options.every))
    announcement = {"url": simulator.url, "control": simulator.control_url}
    serve_as_process(simulator.server, announcement, parent=options.die_with_parent)


if __name__ == "__main__":
    main()
