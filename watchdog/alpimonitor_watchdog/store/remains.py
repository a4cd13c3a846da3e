"""What is left of the evidence in a damaged store, and the chain that goes on from there."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .chain import Anchor, EvidenceKind, EvidenceRow, Head, canonical, digest_of, holes, linked
from .evidence import insert, move_anchor, row_from
from .timeline import stamp


@dataclass(frozen=True)
class Remains:
    """What was read. Not `whole`: rows may be missing, at the end too, where nothing shows it."""

    rows: tuple[EvidenceRow, ...] = ()
    whole: bool = False
    anchor: Anchor | None = None  # None: there was none, or it cannot be read
    attached: tuple[tuple[int, str], ...] = ()  # id and incident

    def begins(self) -> Anchor:
        """Where the rows begin: as the store said, else as the first of them says."""
        if self.anchor is not None or not self.rows:
            return self.anchor or Anchor()
        first = self.rows[0]
        return Anchor(first.id - 1, first.previous, first.id - 1)

    def end_alone(self) -> Remains:
        """Enough to go on with the chain in memory, without what it has."""
        if not self.rows:
            return self
        begins, last = self.begins(), self.rows[-1]
        return Remains((), self.whole, Anchor(last.id, last.hash, begins.pieces + len(self.rows), last.at))


def sound(row: Any) -> EvidenceRow:
    """A row by column name. Raises ValueError when it is not what its hash says."""
    found = row_from(row)
    if digest_of(found) != found.hash:
        raise ValueError("not the row that its hash is of")
    return found


def put(sqlite: sqlite3.Connection, found: Remains, now: datetime) -> None:
    """Begin a new store with what was found, in an open transaction; a gap says what is missing."""
    begins = found.begins()
    lost = list(holes(begins, found.rows))
    if begins.id:
        move_anchor(sqlite, begins)
    for row in found.rows:
        insert(sqlite, row)
    there = {row.id for row in found.rows}
    for id, incident in found.attached:
        if id in there:
            sqlite.execute("INSERT OR IGNORE INTO evidence_of_incident VALUES (?, ?)", (id, incident))
    says = (
        f"The store was damaged or could not be used; {len(found.rows)} pieces of evidence were taken over."
    )
    if lost:
        says += f" {sum(last - first + 1 for first, last in lost)} between them are lost."
    if not found.whole:
        says += " More may be lost after them."
    body = {
        "cause": "store_begun_anew",
        "taken_over": len(found.rows),
        "lost": lost,
        "whole": found.whole,
        "says": says,
    }
    end = Head(found.rows[-1].hash, found.rows[-1].id) if found.rows else begins.head
    gap = EvidenceKind.GAP.value
    insert(sqlite, linked(end, at=stamp(now), kind=gap, incident=None, key=None, body=canonical(body)))
