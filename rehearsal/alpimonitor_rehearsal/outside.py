"""Looks at a rehearsal from outside: API, sidecars and pager by HTTP, the tables by SQL."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpcore  # noqa: F401 - else httpx imports it later, and an interrupt just then spoils the exit code 130
import httpx
import psycopg
from psycopg import sql

from alpimonitor_rehearsal.sidecar_view import SidecarView, json_of
from alpimonitor_rehearsal.sightings import (
    FIRST,
    SECOND,
    STATION_FIELDS,
    ApiSeen,
    HealRecorded,
    Receipt,
    Rows,
    Seen,
)

ANSWERS_WITHIN = 2.0  # seconds, for one look at one thing
LEDGER = "SELECT sidecar, outcome FROM alpimonitor_watchdog.heal_attempt ORDER BY at, id"


@dataclass(frozen=True)
class Addresses:
    """Where to look. `database` is a URL with a password: it is never shown.

    `first` is there where there are two sidecars; `sidecar` is then the second.
    """

    api: str  # up to and with /api/v1
    sidecar: str
    pager: str
    database: str
    first: str | None = None


class Outside:
    """Looks at a rehearsal through the same doors as anybody else. Nothing that fails here raises."""

    def __init__(self, addresses: Addresses, tables: Sequence[str]) -> None:
        self._addresses = addresses
        self._http = httpx.Client(timeout=ANSWERS_WITHIN, trust_env=False)
        self.sidecar = SidecarView(self._http, addresses.sidecar)
        self.first = SidecarView(self._http, addresses.first) if addresses.first else None
        self._statement = sql.SQL(" UNION ALL ").join(
            sql.SQL("SELECT {}, to_jsonb(t)::text FROM {} AS t").format(
                sql.Literal(name), sql.Identifier(name)
            )
            for name in tables
        )
        self._tables = tuple(tables)
        self._database: psycopg.Connection[tuple[Any, ...]] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()
        self._disconnect()

    def look(self) -> Seen:
        """Look at everything once."""
        first = self.first.look() if self.first else None
        api, sidecar, receipts, rows = self.api(), self.sidecar.look(), self.receipts(), self.rows()
        recorded = self.recorded() if self.first else None
        return Seen(time.monotonic(), api, sidecar, receipts, rows, first, recorded)

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
        document = json_of(self._http, f"{self._addresses.api}/status")
        run = document.get("ingestion", {}).get("lastRun") if isinstance(document, dict) else None
        return run if isinstance(run, dict) else None

    def receipts(self) -> tuple[Receipt, ...] | None:
        document = json_of(self._http, f"{self._addresses.pager}/receipts")
        if not isinstance(document, dict):
            return None
        return tuple(_receipt(item) for item in document["receipts"])

    def rows(self) -> Rows | None:
        """Every row of the tables."""
        found: dict[str, list[str]] = {name: [] for name in self._tables}
        try:
            for table, row in self._connected().execute(self._statement):
                found[table].append(row)
        except psycopg.Error:
            # A server that was restarted ends the connection: the next look opens another.
            self._disconnect()
            return None
        return {table: tuple(sorted(rows)) for table, rows in found.items()}

    def recorded(self) -> tuple[HealRecorded, ...] | None:
        """The ledger of heals, the oldest first; each is told by the state directory of its sidecar."""
        try:
            recorded = self._connected().execute(LEDGER).fetchall()
        except psycopg.Error:
            self._disconnect()
            return None
        return tuple(HealRecorded(_named(sidecar), outcome) for sidecar, outcome in recorded)

    def _connected(self) -> psycopg.Connection[tuple[Any, ...]]:
        if self._database is None or self._database.closed:
            self._database = psycopg.connect(
                self._addresses.database,
                autocommit=True,
                connect_timeout=round(ANSWERS_WITHIN),
                application_name="alpimonitor-onlooker",
                options=f"-c statement_timeout={round(ANSWERS_WITHIN * 1000)}",
            )
        return self._database

    def _disconnect(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None


def _receipt(item: Mapping[str, Any]) -> Receipt:
    """The path says who sent it, where there are two, and to which channel: /notify, /first/notify."""
    sender, _, channel = item["path"].strip("/").rpartition("/")
    return Receipt(
        item["received_at"],
        item["monotonic"],
        channel,
        item["title"],
        item["body"],
        sender=sender,
        key=item["idempotency_key"],
    )


def _named(sidecar: str) -> str:
    """`host:/…/watchdog-first` is the first."""
    return next((name for name in (FIRST, SECOND) if sidecar.endswith(f"-{name}")), sidecar)
