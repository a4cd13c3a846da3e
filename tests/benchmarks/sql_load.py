"""The statements of the API without the API: what PostgreSQL and psycopg give at most.

As many tasks as there would be requests on their way, over as many connections as the API keeps, each with
the API's session settings and its statement prepared. Meant for a process of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter, process_time

import psycopg

from alpimonitor_api.database import Access
from alpimonitor_api.queries.building import Statement
from tests.benchmarks.http_load import Slice, WrongAnswer

CONNECTIONS = 8


@dataclass(frozen=True)
class Asking:
    """One statement, over and over."""

    url: str
    statement: Statement
    parameters: Mapping[str, object]


def load(asking: Asking, *, tasks: int, seconds: float, warm_up: float) -> Slice:
    """Ask for `warm_up` and then `seconds`, counting the latter. Raises WrongAnswer."""
    return asyncio.run(_load(asking, tasks, seconds, warm_up))


async def _load(asking: Asking, tasks: int, seconds: float, warm_up: float) -> Slice:
    access = Access(asking.url, "benchmark", transaction_pooler=False, connect_timeout=5)
    idle: asyncio.LifoQueue[psycopg.AsyncConnection] = asyncio.LifoQueue()
    opened: list[psycopg.AsyncConnection] = []
    latencies: list[float] = []
    counting_from = perf_counter() + warm_up
    ends = counting_from + seconds

    async def one_after_another() -> None:
        while (began := perf_counter()) < ends:
            connection = await idle.get()
            cursor = await connection.execute(asking.statement, asking.parameters)
            result = cursor.pgresult
            if result is None or not result.ntuples or not result.get_value(0, 0):
                raise WrongAnswer(f"no row for {asking.statement[:80].decode()}")
            idle.put_nowait(connection)
            if began >= counting_from:
                latencies.append(perf_counter() - began)

    try:
        for _ in range(CONNECTIONS):
            connection = await psycopg.AsyncConnection.connect(
                access.conninfo(), autocommit=True, prepare_threshold=0
            )
            opened.append(connection)
            idle.put_nowait(connection)
        counting_from = perf_counter() + warm_up
        ends = counting_from + seconds
        computed = process_time()
        await asyncio.gather(*(one_after_another() for _ in range(tasks)))
        return Slice(perf_counter() - counting_from, latencies, process_time() - computed)
    finally:
        for connection in opened:
            await connection.close()
