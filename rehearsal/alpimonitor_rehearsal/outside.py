"""Looks at a rehearsal from outside: API, sidecar and pager by HTTP, the tables by SQL."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpcore  # noqa: F401 - else httpx imports it later, and an interrupt just then spoils the exit code 130
import httpx
import psycopg
from prometheus_client.parser import text_string_to_metric_families
from psycopg import sql

from alpimonitor_rehearsal.sightings import (
    STATION_FIELDS,
    ApiSeen,
    IncidentSeen,
    Receipt,
    Rows,
    Seen,
    SidecarSeen,
)

ANSWERS_WITHIN = 2.0  # seconds, for one look at one thing
INCIDENTS_LISTED = 20


@dataclass(frozen=True)
class Addresses:
    """Where to look. `database` is a URL with a password: it is never shown."""

    api: str  # up to and with /api/v1
    sidecar: str
    pager: str
    database: str


class Outside:
    """Looks at a rehearsal through the same doors as anybody else. Nothing that fails here raises."""

    def __init__(self, addresses: Addresses, tables: Sequence[str]) -> None:
        self._addresses = addresses
        self._http = httpx.Client(timeout=ANSWERS_WITHIN, trust_env=False)
        self._statement = sql.SQL(" UNION ALL ").join(
            sql.SQL("SELECT {}, to_jsonb(t)::text FROM {} AS t").format(
                sql.Literal(name), sql.Identifier(name)
            )
            for name in tables
        )
        self._tables = tuple(tables)
        self._database: psycopg.Connection[tuple[str, str]] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()
        self._disconnect()

    def look(self) -> Seen:
        """Look at everything once."""
        api, sidecar, receipts, rows = self.api(), self.sidecar(), self.receipts(), self.rows()
        return Seen(time.monotonic(), api, sidecar, receipts, rows)

    def api(self) -> ApiSeen:
        try:
            answer = self._http.get(f"{self._addresses.api}/stations")
        except httpx.HTTPError as error:
            return ApiSeen(time.monotonic(), None, type(error).__name__)
        at = time.monotonic()
        try:
            document = answer.json()
            if answer.status_code != 200:
                return ApiSeen(at, answer.status_code, str(document["error"]["code"]))
            stations = frozenset(
                tuple(station[field] for field in STATION_FIELDS) for station in document["data"]
            )
        except (ValueError, KeyError, TypeError) as error:
            return ApiSeen(at, answer.status_code, f"not an answer of this API: {error!r}")
        return ApiSeen(at, 200, stations=stations)

    def ingestion(self) -> Mapping[str, Any] | None:
        """The last run of ingestion by /status; None when there is none or no answer."""
        document = self._json(f"{self._addresses.api}/status")
        run = document.get("ingestion", {}).get("lastRun") if isinstance(document, dict) else None
        return run if isinstance(run, dict) else None

    def ready(self) -> bool:
        """Whether the sidecar's /readyz says so."""
        try:
            return self._http.get(f"{self._addresses.sidecar}/readyz").status_code == 200
        except httpx.HTTPError:
            return False

    def sidecar(self) -> SidecarSeen | None:
        try:
            metrics = self._http.get(f"{self._addresses.sidecar}/metrics")
            at = time.monotonic()
            metrics.raise_for_status()
            families = {family.name: family for family in text_string_to_metric_families(metrics.text)}
        except (httpx.HTTPError, ValueError):
            return None
        listed = self._json(f"{self._addresses.sidecar}/api/incidents?limit={INCIDENTS_LISTED}")

        def samples(family: str) -> list[tuple[Mapping[str, str], float]]:
            if family not in families:
                return []
            # A counter's family also holds when it was created.
            return [
                (sample.labels, sample.value)
                for sample in families[family].samples
                if not sample.name.endswith("_created")
            ]

        return SidecarSeen(
            at=at,
            up=any(value == 1 for _, value in samples("watchdog_up")),
            open=frozenset(
                labels["symptom"] for labels, value in samples("watchdog_incident_open") if value == 1
            ),
            heals=round(sum(value for _, value in samples("watchdog_heals"))),
            circuit_open=any(value == 1 for _, value in samples("watchdog_heal_circuit_open")),
            incidents=tuple(_incident(item) for item in _listed(listed, "incidents")),
        )

    def incident(self, id: str) -> Mapping[str, Any]:
        """One incident with its timeline, as the sidecar tells it; empty when it does not answer."""
        document = self._json(f"{self._addresses.sidecar}/api/incidents/{id}")
        return document if isinstance(document, dict) else {}

    def receipts(self) -> tuple[Receipt, ...] | None:
        document = self._json(f"{self._addresses.pager}/receipts")
        if not isinstance(document, dict):
            return None
        return tuple(
            Receipt(
                item["received_at"],
                item["monotonic"],
                item["path"].strip("/"),
                item["title"],
                item["body"],
            )
            for item in document["receipts"]
        )

    def rows(self) -> Rows | None:
        try:
            return self._rows()
        except psycopg.Error:
            # A server that was restarted ends the connection: the next look opens another.
            self._disconnect()
            return None

    def _rows(self) -> Rows:
        if self._database is None or self._database.closed:
            self._database = psycopg.connect(
                self._addresses.database,
                autocommit=True,
                connect_timeout=round(ANSWERS_WITHIN),
                application_name="alpimonitor-onlooker",
                options=f"-c statement_timeout={round(ANSWERS_WITHIN * 1000)}",
            )
        found: dict[str, list[str]] = {name: [] for name in self._tables}
        for table, row in self._database.execute(self._statement):
            found[table].append(row)
        return {table: tuple(sorted(rows)) for table, rows in found.items()}

    def _disconnect(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    def _json(self, url: str) -> Any:
        try:
            answer = self._http.get(url)
            return answer.json() if answer.status_code == 200 else None
        except (httpx.HTTPError, ValueError):
            return None


def _listed(document: Any, key: str) -> list[Any]:
    found = document.get(key) if isinstance(document, dict) else None
    return found if isinstance(found, list) else []


def _incident(item: Mapping[str, Any]) -> IncidentSeen:
    return IncidentSeen(
        id=item["id"],
        phase=item["phase"],
        restored=item["restored_at"] is not None,
        resolved=item["resolved_at"] is not None,
    )
