"""A database of two context tables as it was and as it is, and what was recorded, for tests of verdicts."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from alpimonitor_watchdog.core.evidence import Event, Operation, RecorderSeen
from alpimonitor_watchdog.core.fingerprint import Fingerprint, Identity, TablePrint
from alpimonitor_watchdog.core.seen import DatabaseSeen, Expectation, Loss, TableExpected, TableSeen
from alpimonitor_watchdog.core.verdict import Case

WELL = datetime(2026, 4, 21, 12, 9, 58, tzinfo=UTC)
DONE = datetime(2026, 4, 21, 12, 10, 0, 123000, tzinfo=UTC)
SEEN = datetime(2026, 4, 21, 12, 10, 1, tzinfo=UTC)
BOOT = datetime(2026, 4, 1, tzinfo=UTC)
OLD_CLUSTER = str(int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) << 32 | 77)
NEW_CLUSTER = str(int(SEEN.timestamp()) << 32 | 77)
ELDER_CLUSTER = str(int(datetime(2025, 1, 1, tzinfo=UTC).timestamp()) << 32 | 77)
HERE = Identity(OLD_CLUSTER, 16384, "d-1", "production")

EXPECTED = Expectation(
    tables=(
        TableExpected("station", context=True, floor=7, expected=7),
        TableExpected("sensor", context=True, floor=14, expected=14),
        TableExpected("measurement", context=False, floor=0, expected=0),
    ),
    revisions=frozenset({"0003"}),
    environment="production",
)
STATION = TablePrint(
    "station", 16402, 16402, rows=7, inserted=7, updated=0, deleted=0, application_reads=True
)
SENSOR = TablePrint(
    "sensor", 16410, 16410, rows=14, inserted=14, updated=0, deleted=0, application_reads=True
)
BEFORE = Fingerprint(
    WELL,
    HERE,
    timeline=1,
    lsn=10_000_000,
    next_transaction=740,
    started=BOOT,
    revision="0003",
    tables=(STATION, SENSOR),
)
ARMED = RecorderSeen(installed=True, drops=True, arming="a1")
NO_RECORDER = RecorderSeen(installed=False)
_NOW = {"at": SEEN, "lsn": 10_000_900, "next_transaction": 745}


def after(
    station: dict[str, Any] | None = None, sensor: dict[str, Any] | None = None, **whole: Any
) -> Fingerprint:
    """The fingerprint now: as it was, but for the time and what is named."""
    tables = (replace(STATION, **(station or {})), replace(SENSOR, **(sensor or {})))
    return replace(BEFORE, **{**_NOW, "tables": tables, **whole})


def seen(
    station: int | TableSeen | None = 7, sensor: int | TableSeen | None = 14, **fields: Any
) -> DatabaseSeen:
    """One look: rows of the two tables, None for a table that is gone."""
    tables = tuple(
        found if isinstance(found, TableSeen) else TableSeen(name, exists=found is not None, rows=found)
        for name, found in (("station", station), ("sensor", sensor))
    )
    usual: dict[str, Any] = {"tables": tables, "revision": "0003", "identity": HERE, "clock": SEEN}
    return DatabaseSeen(**{**usual, **fields})


def event(id: int, rows: int | None = 7, **fields: Any) -> Event:
    """A recorded DELETE on station, by psql over the network, a transaction of its own."""
    usual: dict[str, Any] = {
        "id": id,
        "at": DONE + timedelta(milliseconds=id),
        "operation": Operation.DELETE,
        "table": "station",
        "rows": rows,
        "remaining": 0,
        "session_role": "alpimonitor_owner",
        "role": "alpimonitor_owner",
        "application_name": "ops-shell",
        "client_addr": "10.0.0.7",
        "pid": 4242,
        "backend_start": WELL - timedelta(minutes=1),
        "transaction": 740 + id,
        "statement": "DELETE FROM station",
    }
    return Event(**{**usual, **fields})


def loss(rows: int | None = 0, table: str = "station") -> Loss:
    return Loss(table, rows, {"station": 7, "sensor": 14}[table])


def case(**fields: Any) -> Case:
    """A case in which every row of station is gone and nothing tells why, but for what is named."""
    usual: dict[str, Any] = {
        "seen": seen(station=0),
        "expected": EXPECTED,
        "losses": (loss(),),
        "before": BEFORE,
        "after": after(station={"rows": 0}),
        "recorder": ARMED,
        "arming_before": "a1",
    }
    return Case(**{**usual, **fields})
