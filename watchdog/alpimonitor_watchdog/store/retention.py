"""What the store lets go of: what is older than 30 days, and evidence beyond a bound.

An incident that is open, or was resolved within that time, keeps all that belongs to it; the bound alone
takes its oldest evidence, too. What waits for delivery, and a heal without an end, stay.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from . import evidence
from .chain import Anchor, EvidenceKind
from .connection import Connection
from .errors import StoreError
from .evidence import Evidence, Item
from .timeline import stamp

KEPT = timedelta(days=30)
EVERY = timedelta(hours=1)
BATCH = 500  # rows in a transaction
BATCHES = 4  # in one call: milliseconds
ROWS_AT_MOST = 50_000  # of evidence
BYTES_AT_MOST = 64 * 1024 * 1024  # of the whole store, where it is evidence that fills it
_FEW = 1_000  # rows of evidence, which do not
log = logging.getLogger(__name__)


class Retention:
    """Prunes in small transactions of its own, in turns of bounded length."""

    def __init__(self, connection: Connection, chain: Evidence) -> None:
        self._connection = connection
        self._chain = chain
        self._ended: datetime | None = None  # the last round; None: it goes on

    def prune(self, now: datetime) -> None:
        """Take a turn, if one is due. Raises nothing: what cannot be pruned now is tried in an hour."""
        try:
            self._keep_bounds(now)
            if self._ended is None or abs(now - self._ended) >= EVERY:
                done = sum(self._prune_batch(now - KEPT) for _ in range(BATCHES))
                self._ended = now if done < BATCHES else None
        except StoreError as error:
            self._ended = now
            log.error("What is too old could not be pruned: %s", error, extra={"action": "prune_failed"})

    def _prune_batch(self, before: datetime) -> bool:
        """One transaction that takes something away; False when there is nothing left. Raises StoreError."""
        values = (stamp(before), BATCH)
        with self._connection.lock:
            # Up to the first row that has to stay: the chain begins later, and gets no hole.
            (old,) = self._connection.rows(_OLD_EVIDENCE, *values)
            if old["last"] is not None:
                self._cut(old["last"])
                return True
            for statement in _OLD:
                with self._connection.transaction() as sqlite:
                    if sqlite.execute(statement, values).rowcount:
                        return True
        return False

    def _keep_bounds(self, now: datetime) -> None:
        """Of too much evidence let the oldest tenth go, and say so in the chain. Raises StoreError."""
        with self._connection.lock:
            rows = self._chain.head.count - self._chain.anchor.id
            if rows > ROWS_AT_MOST or (rows > _FEW and self._bytes() > BYTES_AT_MOST):
                self._cut(self._chain.head.count - min(rows, ROWS_AT_MOST) * 9 // 10, too_much_at=now)

    def _cut(self, last: int, too_much_at: datetime | None = None) -> None:
        """Take away the rows up to `last`. All in one transaction, that the chain holds at any moment."""
        before = self._chain.anchor
        (found,) = self._connection.rows(
            "SELECT count(*) AS pieces, max(id) AS id FROM evidence WHERE id <= ?", last
        )
        if found["id"] is None:
            return
        (end,) = self._connection.rows("SELECT hash, at FROM evidence WHERE id = ?", found["id"])
        anchor = Anchor(found["id"], str(end["hash"]), before.pieces + found["pieces"], str(end["at"]))
        said = self._chain.chained([_too_much(found["pieces"], anchor, too_much_at)] if too_much_at else [])
        with self._connection.transaction() as sqlite:
            self._chain.write(sqlite, said)
            sqlite.execute("DELETE FROM evidence WHERE id <= ?", (anchor.id,))
            sqlite.execute("DELETE FROM evidence_of_incident WHERE evidence <= ?", (anchor.id,))
            evidence.move_anchor(sqlite, anchor)
        self._chain.written(said)
        self._chain.anchor = anchor

    def _bytes(self) -> int:
        """What the file would have without its free pages."""
        (row,) = self._connection.rows(
            "SELECT (page_count - freelist_count) * page_size AS bytes "
            "FROM pragma_page_count, pragma_freelist_count, pragma_page_size"
        )
        return int(row["bytes"])


def _too_much(pieces: int, anchor: Anchor, at: datetime) -> Item:
    says = (
        f"The oldest {pieces} pieces of evidence, up to {anchor.until}, were let go of: there was too much."
    )
    body = {"cause": "too_much", "pieces": pieces, "until": anchor.until, "says": says}
    return Item(EvidenceKind.GAP, None, at, body)


# Values of all: what is older may go, and how many rows at a time. What belongs to an incident goes with it.

_OLD_EVIDENCE = """
WITH batch AS (SELECT id, at FROM evidence ORDER BY id LIMIT ?2),
stays AS (
    SELECT min(batch.id) AS id FROM batch
    LEFT JOIN belonging ON belonging.evidence = batch.id
    LEFT JOIN incident ON incident.id = belonging.incident
    WHERE batch.at >= ?1 OR (incident.id IS NOT NULL AND coalesce(incident.resolved_at, ?1) >= ?1)
)
SELECT max(batch.id) AS last FROM batch, stays WHERE stays.id IS NULL OR batch.id < stays.id
"""

_OLD = (
    """
    DELETE FROM timeline WHERE id IN (
        SELECT timeline.id FROM timeline LEFT JOIN incident ON incident.id = timeline.incident
        WHERE timeline.at < ?1 AND (incident.id IS NULL OR incident.resolved_at < ?1) LIMIT ?2
    )
    """,
    """
    DELETE FROM outbox WHERE id IN (
        SELECT outbox.id FROM outbox LEFT JOIN incident ON incident.id = outbox.incident
        WHERE outbox.settled_at < ?1 AND (incident.id IS NULL OR incident.resolved_at < ?1) LIMIT ?2
    )
    """,
    """
    DELETE FROM heal WHERE id IN (
        SELECT heal.id FROM heal LEFT JOIN incident ON incident.id = heal.incident
        WHERE heal.ended_at < ?1 AND (incident.id IS NULL OR incident.resolved_at < ?1) LIMIT ?2
    )
    """,
    "DELETE FROM incident WHERE id IN (SELECT id FROM incident WHERE resolved_at < ?1 LIMIT ?2)",
)
