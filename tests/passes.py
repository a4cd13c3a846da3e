"""Passes of ingestion into a real database, and what they left there."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from alpimonitor_api.ingest.run import Ingestion
from alpimonitor_api.ingest.source import Payload, Source
from alpimonitor_api.ingest.store import Store
from alpimonitor_rehearsal import hydrology

NOW = datetime(2026, 7, 1, 12, 3, tzinfo=UTC)


class Bytes:
    """A source that has a payload at hand."""

    def __init__(self, body: bytes) -> None:
        self.body = body

    def fetch(self, clock: Callable[[], datetime]) -> Payload:
        return Payload(self.body, fetched_at=clock(), http_status=200)


def ingestion(
    url: str, source: Source, *, root: Path | None = None, now: datetime = NOW, connect_timeout: int = 5
) -> Ingestion:
    ticks = iter(range(1_000_000))
    return Ingestion(
        source,
        Store(url, connect_timeout_seconds=connect_timeout),
        archive_root=root,
        clock=lambda: now,
        monotonic=lambda: next(ticks) / 8,
    )


def rows(url: str, statement: str) -> list[dict[str, Any]]:
    with psycopg.connect(url, row_factory=dict_row) as connection:
        return connection.execute(statement.encode()).fetchall()


def runs(url: str) -> list[dict[str, Any]]:
    return rows(url, "SELECT * FROM ingestion_run ORDER BY started_at, completed_at, ctid")


def measurements(url: str) -> dict[tuple[str, str], tuple[datetime, float]]:
    return {
        (row["ofev_code"], row["parameter"]): (row["recorded_at"], row["value"])
        for row in rows(
            url,
            "SELECT ofev_code, parameter, recorded_at, value FROM measurement"
            " JOIN sensor ON sensor.id = sensor_id JOIN station ON station.id = station_id"
            " ORDER BY recorded_at",
        )
    }


def execute(url: str, statement: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(statement.encode())


def payload_with(code: str, *, at: datetime = NOW, **values: str) -> bytes:
    """The simulated payload of that moment with other values for one station."""
    bindings = hydrology.bindings(at)
    for binding in bindings:
        if binding["code"]["value"] == code:
            for name, value in values.items():
                binding[name] = {"type": "literal", "value": value}
    return hydrology.result(bindings)
