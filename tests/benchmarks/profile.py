"""Where the time of one answer goes: processor time by layer, at 32 connections, beside "hello".

Each server is sampled while it is under load (`sampled`); a layer's figure is its share of the samples times
what one answer costs the process. The line "PostgreSQL" is the processor time of its processes that
answer the API, read from /proc: it runs beside the API, on another core where there is one.
"""

from __future__ import annotations

import json
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg

from alpimonitor_rehearsal.processes import python_module
from alpimonitor_rehearsal.waiting import wait_until
from tests.benchmarks import http_load
from tests.benchmarks.api import MANY, client_process
from tests.benchmarks.api_stage import BASE, Server, Stage, check, stage
from tests.benchmarks.figures import Row, Say
from tests.benchmarks.sampled import written_to

SECONDS = 5.0
WANTED = ("/health", "/status", "/stations", "measurements, raw, 24 h")
WRITES_WITHIN = 10.0  # seconds
ALL = "one answer, the API's process"
DATABASE = "one answer, PostgreSQL's processes"
RATE = "answers a second"


def run(runs: int | None, say: Say) -> list[Row]:
    """Rows `{layer, µs of "hello", µs of a route, …}`, the most expensive layer of /stations first."""
    columns: dict[str, dict[str, float]] = {}
    seconds = SECONDS if runs is None else float(runs)
    with tempfile.TemporaryDirectory() as folder:

        def sampled(module: str) -> list[str]:
            return python_module("tests.benchmarks.sampled", folder, module)

        with stage(sampled) as ready, client_process() as client:
            check(ready)
            say(f"{ready.described}, {seconds:g} s of each")
            for name, server, path in _answers(ready):
                asked = ready.asked(server, path)
                client.submit(http_load.load, asked, connections=MANY, seconds=1.0, warm_up=0).result()
                _samples(folder, server)
                before = server.processor_seconds(), _database_seconds(ready, server)
                slice_ = client.submit(
                    http_load.load, asked, connections=MANY, seconds=seconds, warm_up=0
                ).result()
                after = server.processor_seconds(), _database_seconds(ready, server)
                answers = len(slice_.latencies) + MANY
                process, database = (1e6 * (b - a) / answers for a, b in zip(before, after, strict=True))
                samples = _samples(folder, server)
                total = sum(samples.values())
                columns[name] = {layer: process * found / total for layer, found in samples.items()}
                columns[name] |= {ALL: process, DATABASE: database, RATE: answers / slice_.seconds}
                say(f"  {name}: {RATE} {columns[name][RATE]:.0f}, {total} samples")
    layers = {layer for column in columns.values() for layer in column} - {ALL, DATABASE, RATE}
    ordered = sorted(layers, key=lambda layer: -columns["/stations"].get(layer, 0))
    return [
        {"layer": layer, **{name: round(column.get(layer, 0)) for name, column in columns.items()}}
        for layer in (*ordered, ALL, DATABASE, RATE)
    ]


def _answers(ready: Stage) -> Iterator[tuple[str, Server, str]]:
    yield "hello", ready.hello, "/"
    for route in ready.routes():
        if route.name in WANTED:
            yield route.name, ready.uncached, BASE + route.path
            yield f"{route.name}, cached", ready.cached, BASE + route.path


def _samples(folder: str, server: Server) -> dict[str, int]:
    """What was counted since the last time."""
    file = written_to(folder, server.child.pid)
    file.unlink(missing_ok=True)
    os.kill(server.child.pid, signal.SIGUSR1)
    wait_until("writing the samples", file.exists, deadline=WRITES_WITHIN)
    found: dict[str, int] = json.loads(file.read_text())
    return found


def _database_seconds(ready: Stage, server: Server) -> float:
    """Processor time of the processes of PostgreSQL that answer this server; 0 where they are elsewhere."""
    with psycopg.connect(ready.url) as connection:
        backends = connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'alpimonitor-api %%' || %s",
            [f" {server.child.pid}"],
        ).fetchall()
    try:
        return sum(int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) for (pid,) in backends) / 1e9
    except OSError:
        return 0.0
