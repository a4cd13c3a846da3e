"""What a look at a live database found. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ..core.words import Unseen


@dataclass(frozen=True)
class TableFound:
    """A table. `rows` is None when it was not counted; `unseen` says why, where it should have been."""

    oid: int
    schema: str
    name: str
    owner: str = ""
    is_foreign: bool = False
    unlogged: bool = False
    extension: str | None = None  # that it belongs to
    parts: int = 0  # partitions and inheriting tables, whose rows are counted with its own
    inserted: int = 0  # rows, since the statistics began; rolled back ones included
    deleted: int = 0
    readable: bool = True  # by the role that looked
    writable: bool = False  # by the role that looked
    secured: bool = False  # row security is enabled: it hides rows from some role
    hidden: bool = False  # it hides rows from the role that looked
    columns: tuple[str, ...] = ()
    moments: tuple[str, ...] = ()  # columns that hold a moment in every row
    sequences: tuple[tuple[str, str], ...] = ()  # schema and name, of its columns
    rows: int | None = None
    capped: bool = False  # rows is the limit, and there are more
    unseen: Unseen | None = None
    detail: str = ""


@dataclass(frozen=True)
class ForeignKey:
    """Rows of one table point to rows of another, by oid. `required`: every row does."""

    referencing: int
    referenced: int
    required: bool


@dataclass(frozen=True)
class RevisionFound:
    """What a migration tool's table says. `value` None: nothing is applied, or it could not be read."""

    table: TableFound
    tool: str
    query: str
    value: str | None = None
    unseen: Unseen | None = None
    detail: str = ""


@dataclass(frozen=True)
class SessionFound:
    """Where and when the look was, and as whom."""

    at: datetime  # by the database's clock, UTC
    database: str
    role: str
    superuser: bool
    server_version: str


@dataclass(frozen=True)
class Found:
    """One look. `place` is host:port; `limit` is how far rows were counted."""

    place: str
    limit: int
    session: SessionFound
    tables: tuple[TableFound, ...]
    foreign_keys: tuple[ForeignKey, ...] = ()
    revisions: tuple[RevisionFound, ...] = ()
