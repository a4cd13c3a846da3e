"""What can be seen of a rehearsal from outside, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

STATION_FIELDS = (
    *("id", "ofevCode", "name", "riverName", "latitude", "longitude", "altitudeM"),
    *("flowType", "operatorName", "dataSource", "sourcingStatus"),
)
"""The members of a station that come from its fixture; the others change with every measurement."""

Station = tuple[object, ...]
"""The values of STATION_FIELDS."""

FIRST, SECOND = "first", "second"
"""The sidecars where there are two: the first leads, until it is cut off."""

Rows = Mapping[str, tuple[str, ...]]
"""Every row of each table as JSON text, sorted: equal only if every value is."""


@dataclass(frozen=True)
class ApiSeen:
    """One answer to GET /stations. `status` is None without an answer, and `error` says why."""

    at: float  # monotonic, when it arrived
    status: int | None
    error: str = ""  # the code of the error envelope, or why there is no answer
    stations: frozenset[Station] | None = None  # of a 200


@dataclass(frozen=True)
class Session:
    """Who a sidecar says took the rows."""

    role: str
    application_name: str
    client_addr: str | None
    pid: int
    statement: str

    def __str__(self) -> str:
        """As it is told: role, application, address, pid."""
        return (
            f"role {self.role}, application {self.application_name or 'not named'}, "
            f"from {self.client_addr or 'a local socket'}, pid {self.pid}"
        )


@dataclass(frozen=True)
class IncidentSeen:
    """An incident as the sidecar lists it."""

    id: str
    phase: str
    restored: bool
    resolved: bool
    verdict: str | None = None  # what happened
    session: Session | None = None  # who did it; None: not named


@dataclass(frozen=True)
class SidecarSeen:
    """One reading of the sidecar's /metrics and /api/incidents."""

    at: float  # monotonic, when /metrics arrived
    up: bool
    open: frozenset[str] = frozenset()  # symptoms with watchdog_incident_open 1
    heals: int = 0
    circuit_open: bool = False
    incidents: tuple[IncidentSeen, ...] = ()  # the newest first
    leads: bool = False  # it heals, of those that watch this database
    follows: bool = False  # it knows of another that does
    whole: bool = False  # it sees every row of every context table


@dataclass(frozen=True)
class Receipt:
    """A notification as the pager received it. `monotonic` is this machine's clock, one for every process.

    `sender`: FIRST or SECOND where there are two sidecars, else "". `key`: its Idempotency-Key.
    """

    received_at: str  # ISO-8601 UTC
    monotonic: float
    channel: str
    title: str
    body: str
    sender: str = ""
    key: str = ""


@dataclass(frozen=True)
class HealRecorded:
    """A heal as the guarded database has it on record."""

    by: str  # FIRST or SECOND, or what else it says
    outcome: str | None  # None: it runs, or never ended


@dataclass(frozen=True)
class Seen:
    """One look at everything. `at` is monotonic, when it was over; None where nothing could be seen.

    Where there are two sidecars, `sidecar` is the second; else neither `first` nor `recorded` is looked at.
    """

    at: float
    api: ApiSeen
    sidecar: SidecarSeen | None
    receipts: tuple[Receipt, ...] | None
    rows: Rows | None
    first: SidecarSeen | None = None
    recorded: tuple[HealRecorded, ...] | None = None


def counted(rows: Rows) -> dict[str, int]:
    """The number of rows of each table."""
    return {table: len(found) for table, found in rows.items()}
