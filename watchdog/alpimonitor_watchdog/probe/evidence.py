"""What a look gathers beside the rows, each at its time: the recorder, a fingerprint, activity, records.

None of it decides whether the rows were seen: what cannot be asked is None or empty, and the look goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import psycopg

from ..core.seen import DatabaseSeen
from .activity import sampled
from .catalog import Entry, Guarded, Server
from .fingerprint import Fingerprinting
from .recorder import Progress, Recorder
from .records import STATEMENT_SECONDS, Records

_SAMPLE_EVERY = 1.0  # seconds


class Evidence:
    """Belongs to the thread that looks."""

    def __init__(
        self,
        tables: Sequence[Guarded],
        *,
        application_role: str | None,
        queries: Mapping[str, str],
        cursor: int | None,
        timeout: float,
        monotonic: Callable[[], float],
    ) -> None:
        self._recorder = Recorder(tables, cursor, monotonic)
        self._fingerprinting = Fingerprinting(tables, application_role, monotonic)
        self._records = Records(queries, timeout)
        self._monotonic = monotonic
        self._sampled: float | None = None
        self.within = 12 * timeout + len(queries) * (STATEMENT_SECONDS + 3 * timeout)
        """What all of it adds to a look at most, network aside."""

    def gathered(
        self,
        connection: psycopg.Connection,
        seen: DatabaseSeen,
        server: Server,
        entries: Sequence[Entry],
        *,
        closely: bool,
    ) -> tuple[DatabaseSeen, Progress]:
        """The same look with its evidence, and what of the recorder is read once it is handed over.

        `entries` belong to the tables, in their order. Raises psycopg.Error only when the connection is lost.
        """
        moved = self._fingerprinting.moved(connection, seen, entries)
        # After the rows were counted: whatever took them is there to be read.
        recorder, progress = self._recorder.of(
            connection, entries, server.search_path, seen.identity, server.clock, closely=closely or moved
        )
        recorded = recorder is not None and bool(recorder.events)
        fingerprint = self._fingerprinting.take(
            connection, seen, entries, now=moved or recorded, closely=closely
        )
        seen = replace(seen, recorder=recorder, fingerprint=fingerprint)
        if not (recorded or closely) or not self._is_time_for_a_sample():
            return seen, progress
        return replace(
            seen,
            activity=sampled(connection, server.database_oid),
            records=self._records.fresh(connection),
        ), progress

    def handed_over(self, progress: Progress) -> None:
        """The look that came with it reached its caller."""
        self._recorder.handed_over(progress)

    def _is_time_for_a_sample(self) -> bool:
        now = self._monotonic()
        if self._sampled is not None and now - self._sampled < _SAMPLE_EVERY:
            return False
        self._sampled = now
        return True
