"""Evidence in the store: appended to the chain at once, and never changed."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from .chain import Anchor, EvidenceKind, EvidenceRow, Head, canonical, linked
from .connection import Connection
from .errors import StoreError
from .timeline import stamp

UNWRITTEN_AT_MOST = 5_000  # rows held in memory while the store takes none
SELECT = """
SELECT id AS number, id, at, kind, incident, key, body, previous, hash FROM evidence NOT INDEXED
"""
ATTACHED = "SELECT evidence AS number, incident FROM evidence_of_incident NOT INDEXED"
ANCHOR = "SELECT one AS number, id, hash, pieces, until FROM evidence_pruned"
# An event and a row of an evidence query may be read again, after a restart: the same content is kept once.
_READ_AGAIN = frozenset({EvidenceKind.EVENT, EvidenceKind.RECORD})


@dataclass(frozen=True)
class Item:
    """A piece of evidence. `at`: when it was seen, by the sidecar's clock. `body`: what `canonical` takes."""

    kind: EvidenceKind
    incident: str | None  # the open one; None: there is none, or it has no identifier yet
    at: datetime
    body: Mapping[str, Any]


class Evidence:
    """The chain, and its end that the store could not take yet.

    Held in memory and linked all the same, so that the head in a notification covers all that was seen. It is
    lost only if the process ends before the store takes a write: then that head is in no chain.
    """

    def __init__(self, connection: Connection) -> None:
        """Raises StoreError."""
        self._connection = connection
        self.anchor = anchor(connection)
        self._stored = _head(connection, self.anchor)
        self._unwritten: list[EvidenceRow] = []
        self._unattached: list[tuple[str, datetime]] = []
        self._refused = 0

    @property
    def head(self) -> Head:
        """The end of the chain, what waits in memory included."""
        with self._connection.lock:
            last = self._unwritten[-1:]
            return Head(last[0].hash, last[0].id) if last else self._stored

    def keep(self, items: Sequence[Item], at: datetime) -> None:
        """Append what is not there yet. Raises StoreError; it is in the chain all the same.

        Only what memory has no room for is left out, and counted in a gap when there is room again.
        """
        with self._connection.lock:
            if self._refused and len(self._unwritten) < UNWRITTEN_AT_MOST:
                items = [_not_held(self._refused, at), *items]
                self._refused = 0
            held = len(self._unwritten)
            self._unwritten += self._linked(self._fresh(items))
            try:
                self._flush()
            except StoreError:
                room = max(held, UNWRITTEN_AT_MOST)
                self._refused += len(self._unwritten[room:])
                del self._unwritten[room:]
                raise

    def attach(self, incident: str, since: datetime) -> None:
        """Give `incident` what was seen since `since` while none was open. Raises StoreError like `keep`."""
        with self._connection.lock:
            self._unattached.append((incident, since))
            self._flush()

    # ---- for the store's own transactions ------------------------------------------------------------------

    def write(self, sqlite: sqlite3.Connection, rows: Iterable[EvidenceRow] = ()) -> None:
        """Write what is held, and `rows` after it, into an open transaction."""
        for row in (*self._unwritten, *rows):
            insert(sqlite, row)
        for incident, since in self._unattached:
            sqlite.execute(_ATTACH, (incident, stamp(since)))

    def written(self, rows: Sequence[EvidenceRow] = ()) -> None:
        """The transaction of `write` was committed."""
        for row in (*self._unwritten[-1:], *rows):
            self._stored = Head(row.hash, row.id)
        self._unwritten.clear()
        self._unattached.clear()

    def chained(self, items: Iterable[Item]) -> list[EvidenceRow]:
        """`items` as the rows that follow the head, appended nowhere."""
        return self._linked(_ready(item) for item in items)

    def _linked(self, ready: Iterable[_Ready]) -> list[EvidenceRow]:
        head, rows = self.head, []
        for piece in ready:
            item = piece.item
            row = linked(
                head,
                at=stamp(item.at),
                kind=item.kind.value,
                incident=item.incident,
                key=piece.key,
                body=piece.body,
            )
            rows.append(row)
            head = Head(row.hash, row.id)
        return rows

    def _fresh(self, items: Sequence[Item]) -> Iterator[_Ready]:
        """Those that are not in the chain already."""
        known = {row.key for row in self._unwritten}
        for piece in map(_ready, items):
            if piece.key is None:
                yield piece
            elif piece.key not in known and not self._stored_under(piece.key):
                known.add(piece.key)
                yield piece

    def _stored_under(self, key: str) -> bool:
        try:
            return bool(self._connection.rows("SELECT 1 FROM evidence WHERE key = ?", key))
        except StoreError:  # kept twice rather than not at all
            return False

    def _flush(self) -> None:
        if self._unwritten or self._unattached:
            with self._connection.transaction() as sqlite:
                self.write(sqlite)
            self.written()


@dataclass(frozen=True)
class _Ready:
    """An item with its JSON. `key`: what tells a second reading of the same; None: it is never read twice."""

    item: Item
    body: str
    key: str | None


def _ready(item: Item) -> _Ready:
    """By content: a recorded event that somebody changed in the database is another piece of evidence."""
    body = canonical(item.body)
    again = item.kind in _READ_AGAIN
    return _Ready(
        item, body, hashlib.sha256(f"{item.kind}:{body}".encode()).hexdigest()[:32] if again else None
    )


def newest(connection: Connection, incident: str | None, limit: int) -> list[EvidenceRow]:
    """The last `limit` rows, of `incident` or of all, in order. Raises StoreError."""
    if incident is None:
        rows = connection.rows(f"{SELECT} ORDER BY id DESC LIMIT ?", limit)
    else:
        rows = connection.rows(_OF_INCIDENT, incident, limit)
    return [row_from(row) for row in reversed(rows)]


def every(connection: Connection, first: int = 0, last: int | None = None) -> Iterator[EvidenceRow]:
    """The rows from id `first` to `last`, in order, read bit by bit. Raises StoreError."""
    while rows := connection.rows(_FROM, first, last, last):
        yield from map(row_from, rows)
        first = rows[-1]["id"] + 1


def ids(connection: Connection, incident: str) -> list[int]:
    """Which rows belong to `incident`, in order. Raises StoreError."""
    rows = connection.rows("SELECT evidence FROM belonging WHERE incident = ? ORDER BY evidence", incident)
    return [row["evidence"] for row in rows]


def tally(connection: Connection, incident: str) -> dict[str, Any]:
    """How many rows `incident` has, and the hash of its last. Raises StoreError."""
    last = newest(connection, incident, 1)
    (counted,) = connection.rows("SELECT count(*) AS n FROM belonging WHERE incident = ?", incident)
    return {"count": counted["n"], "head": last[0].hash if last else None}


def anchor(connection: Connection) -> Anchor:
    """Where the chain begins. Raises StoreError."""
    rows = connection.rows(ANCHOR)
    return anchor_from(rows[0]) if rows else Anchor()


def anchor_from(row: Any) -> Anchor:
    return Anchor(int(row["id"]), str(row["hash"]), int(row["pieces"]), row["until"])


def row_from(row: Any) -> EvidenceRow:
    """A row by column name, whatever somebody made of it."""
    return EvidenceRow(
        row["id"],
        row["at"],
        row["kind"],
        row["incident"],
        row["key"],
        row["body"],
        row["previous"],
        row["hash"],
    )


def as_json(row: EvidenceRow) -> dict[str, Any]:
    """A row for people and programs; `body` as an object, where it is one."""
    try:
        body = json.loads(row.body)
    except (TypeError, ValueError):
        body = row.body
    return asdict(row) | {"body": body}


def insert(sqlite: sqlite3.Connection, row: EvidenceRow) -> None:
    """Append a row, in an open transaction.

    This process alone appends: a row that stands in its place is a forgery, which must not keep evidence out.
    """
    sqlite.execute(
        "INSERT OR REPLACE INTO evidence (id, at, kind, incident, key, body, previous, hash) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (row.id, row.at, row.kind, row.incident, row.key, row.body, row.previous, row.hash),
    )


def move_anchor(sqlite: sqlite3.Connection, to: Anchor) -> None:
    """Let the chain begin after `to`, in an open transaction."""
    sqlite.execute(
        "INSERT OR REPLACE INTO evidence_pruned (one, id, hash, pieces, until) VALUES (1, ?, ?, ?, ?)",
        (to.id, to.hash, to.pieces, to.until),
    )


def _head(connection: Connection, begins: Anchor) -> Head:
    rows = connection.rows("SELECT id, hash FROM evidence ORDER BY id DESC LIMIT 1")
    return Head(str(rows[0]["hash"]), rows[0]["id"]) if rows else begins.head


def _not_held(pieces: int, at: datetime) -> Item:
    says = f"{pieces} pieces of evidence were not kept: the store took no write, and memory had no room."
    return Item(EvidenceKind.GAP, None, at, {"cause": "not_held", "pieces": pieces, "says": says})


_FROM = """
SELECT id, at, kind, incident, key, body, previous, hash FROM evidence
WHERE id >= ? AND (? IS NULL OR id <= ?) ORDER BY id LIMIT 1000
"""

_OF_INCIDENT = """
SELECT id, at, kind, incident, key, body, previous, hash FROM evidence
WHERE id IN (SELECT evidence FROM belonging WHERE incident = ?) ORDER BY id DESC LIMIT ?
"""

_ATTACH = """
INSERT OR IGNORE INTO evidence_of_incident (evidence, incident)
SELECT id, ? FROM evidence WHERE incident IS NULL AND at >= ?
"""
