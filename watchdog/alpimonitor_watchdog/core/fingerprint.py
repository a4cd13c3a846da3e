"""Identity and physical signals of a database and its tables: what tells one kind of loss from another.

Taken while all is well and kept outside the database; the difference to one taken afterwards is evidence.
Source of what each signal says: measured on PostgreSQL 15 and 18.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Identity:
    """Which database it is. None: that part cannot be seen, or does not exist there."""

    system: str | None = None  # the cluster's system identifier
    database_oid: int | None = None
    deployment: str | None = None  # id of the `deployment` row
    environment: str | None = None  # of the `deployment` row

    def differences(self, other: Identity) -> list[str]:
        """What both know and is not the same. The environment is a name, not an identity."""
        parts = (
            ("system identifier", self.system, other.system),
            ("database oid", self.database_oid, other.database_oid),
            ("deployment", self.deployment, other.deployment),
        )
        return [
            f"{name} {ours}, was {theirs}"
            for name, ours, theirs in parts
            if ours is not None and theirs is not None and ours != theirs
        ]


@dataclass(frozen=True)
class TablePrint:
    """A context table. Counters are since the last reset of the statistics; None: not to be seen."""

    name: str  # as declared
    oid: int | None = None  # None: it is not in the catalog
    filenode: int | None = None  # pg_relation_filenode: another one after TRUNCATE, and after a rewrite
    rows: int | None = None
    capped: bool = False
    inserted: int | None = None
    updated: int | None = None
    deleted: int | None = None  # rolled back ones too; lags by up to a second, up to ten in an idle session
    readable: bool = True  # by the sidecar's role
    hidden: bool = False  # row security would hide rows from the sidecar
    secured: bool = False  # row security is enabled on it
    application_reads: bool | None = (
        None  # has_table_privilege of [database] application_role; None: not told
    )


@dataclass(frozen=True)
class Fingerprint:
    """One database at one moment."""

    at: datetime  # by the database's clock
    identity: Identity
    in_recovery: bool = False
    timeline: int | None = None
    lsn: int | None = None  # bytes: of the last record written, on a standby of the last one received
    next_transaction: int | None = None  # pg_snapshot_xmax(pg_current_snapshot())
    started: datetime | None = None  # pg_postmaster_start_time: another one after a restart
    statistics_reset: datetime | None = None
    server_version: int | None = None
    revision: str | None = None
    tables: tuple[TablePrint, ...] = ()

    def table(self, name: str) -> TablePrint | None:
        return next((table for table in self.tables if table.name == name), None)
