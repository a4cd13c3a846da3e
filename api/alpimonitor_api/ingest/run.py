"""One pass of ingestion: fetch, archive, parse, store, and say how it went.

A pass does not raise for what LINDAS, the archive or the database do: its outcome says it, its row of
ingestion_run keeps it, its log line tells it.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from pathlib import Path

from alpimonitor_api.ingest import archive
from alpimonitor_api.ingest.lindas import Observation, Parsed, PayloadError, PayloadFault, Skipped, parse
from alpimonitor_api.ingest.source import Payload, Source, SourceError, SourceFault
from alpimonitor_api.ingest.store import (
    LiveStation,
    Measurement,
    RunRow,
    Store,
    Stored,
    StoreError,
    StoreFault,
    Turn,
    Unreachable,
)
from alpimonitor_api.tables import IngestionSource, IngestionStatus, Parameter

CLOCKS_MAY_DIFFER_BY = timedelta(hours=1)
"""An observation may be that far ahead of its fetch; beyond, it would stay the latest for too long."""

logger = logging.getLogger(__name__)


class Outcome(Enum):
    SUCCESS = "success"
    PARTIAL = "partial"  # rows of the payload were skipped
    FAILURE = "failure"
    ANOTHER_RUNNING = "another_running"  # normal where several processes ingest
    DATABASE_UNREACHABLE = "database_unreachable"


NOTHING_STORED = Stored(created=0, updated=0)

Reason = SourceFault | PayloadFault | StoreFault


@dataclass(frozen=True)
class Gathered:
    """What was fetched, where it is archived, what it says; else `reason` and `error`."""

    payload: Payload | None = None
    archive_path: Path | None = None
    archive_error: str | None = None
    parsed: Parsed | None = None
    reason: Reason | None = None
    error: str | None = None
    http_status: int | None = None


@dataclass(frozen=True)
class Matched:
    """What a payload means for the database: `seen` LIVE stations are in it, and `unknown` other stations."""

    measurements: tuple[Measurement, ...]
    seen: int
    unknown: int


@dataclass(frozen=True)
class Written:
    """What storing came to."""

    stored: Stored = NOTHING_STORED
    seen: int = 0
    unknown: int = 0
    reason: Reason | None = None
    error: str | None = None


@dataclass(frozen=True)
class Pass:
    """How a pass went: its row of ingestion_run (None while another ran), and whether the database has it."""

    outcome: Outcome
    reason: Reason | None = None
    run: RunRow | None = None
    recorded: bool = False
    stations_unknown: int = 0


def match(
    observations: Sequence[Observation], stations: Sequence[LiveStation], fetched_at: datetime
) -> Matched:
    """Pair observations with the sensors of our LIVE stations. Pure."""
    ours = {station.ofev_code: station for station in stations}
    found = [
        (ours[observation.code], observation) for observation in observations if observation.code in ours
    ]
    return Matched(
        measurements=tuple(
            Measurement(station.sensors[parameter], observation.measured_at, value, fetched_at)
            for station, observation in found
            for parameter, value in (
                (Parameter.DISCHARGE, observation.discharge),
                (Parameter.WATER_LEVEL, observation.water_level),
            )
            if value is not None and parameter in station.sensors
        ),
        seen=len(found),
        unknown=len(observations) - len(found),
    )


class Ingestion:
    """Holds what a pass needs; run() does one."""

    def __init__(
        self,
        source: Source,
        store: Store,
        *,
        archive_root: Path | None,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
    ) -> None:
        """`archive_root` None keeps no payloads. `clock` gives aware UTC, `monotonic` seconds."""
        self._source = source
        self._store = store
        self._archive_root = archive_root
        self._clock = clock
        self._monotonic = monotonic

    def run(self) -> Pass:
        """One pass, if no other process is at it."""
        started_at, started = self._clock(), self._monotonic()

        def row(gathered: Gathered, written: Written) -> RunRow:
            return run_row(
                gathered,
                written,
                started_at=started_at,
                completed_at=self._clock(),
                duration=self._monotonic() - started,
            )

        gathered: Gathered | None = None
        try:
            with self._store.turn() as turn:
                if turn is None:
                    done = Pass(Outcome.ANOTHER_RUNNING)
                else:
                    gathered = self._gather()
                    done = self._apply(turn, gathered, row)
        except (Unreachable, StoreError) as error:
            # LINDAS will not have these observations in ten minutes; archived, they can be replayed.
            gathered = gathered or self._gather()
            done = without_database(error, gathered, row)
        tell(done)
        return done

    def _gather(self) -> Gathered:
        """Fetch, archive, and only then parse: what cannot be parsed today can be looked at tomorrow."""
        try:
            payload = self._source.fetch(self._clock)
        except SourceError as error:
            return Gathered(reason=error.fault, error=str(error), http_status=error.http_status)
        archive_path, archive_error = self._archive(payload)
        parsed: Parsed | None = None
        reason: Reason | None = None
        problem: str | None = None
        try:
            parsed = parse(payload.body, not_after=payload.fetched_at + CLOCKS_MAY_DIFFER_BY)
        except PayloadError as error:
            reason, problem = error.fault, str(error)
        return Gathered(payload, archive_path, archive_error, parsed, reason, problem, payload.http_status)

    def _archive(self, payload: Payload) -> tuple[Path | None, str | None]:
        """(where it is, None) or (None, why not); without an archive, neither."""
        if payload.archived is not None or self._archive_root is None:
            return payload.archived, None
        try:
            path = archive.write(self._archive_root, payload.body, payload.fetched_at)
        except archive.ArchiveError as error:
            logger.warning("The raw payload was not archived: %s", error, extra={"action": "archive_failed"})
            return None, str(error)
        try:
            archive.expire(self._archive_root, payload.fetched_at.date())
        except archive.ArchiveError as error:
            logger.warning(
                "Old payloads stay in the archive: %s", error, extra={"action": "archive_expiry_failed"}
            )
        return path, None

    def _apply(self, turn: Turn, gathered: Gathered, row: Callable[[Gathered, Written], RunRow]) -> Pass:
        written = self._store_what_was_gathered(turn, gathered)
        run = row(gathered, written)
        turn.record(run)
        outcome = Outcome(run.status.value.lower())
        return Pass(outcome, written.reason, run, recorded=True, stations_unknown=written.unknown)

    def _store_what_was_gathered(self, turn: Turn, gathered: Gathered) -> Written:
        if gathered.parsed is None or gathered.payload is None:
            return Written(reason=gathered.reason, error=gathered.error)
        try:
            with turn.attempt():
                stations = turn.live_stations()
                matched = match(gathered.parsed.observations, stations, gathered.payload.fetched_at)
                stored = turn.store(matched.measurements)
        except StoreError as error:
            return Written(reason=error.fault, error=str(error))
        return Written(stored, matched.seen, matched.unknown)


def without_database(
    error: Unreachable | StoreError, gathered: Gathered, row: Callable[[Gathered, Written], RunRow]
) -> Pass:
    """The pass whose run could not be recorded, and with it nothing could be stored."""
    if isinstance(error, StoreError):
        return Pass(
            Outcome.FAILURE, error.fault, row(gathered, Written(reason=error.fault, error=str(error)))
        )
    lost = Written(
        error=f"database unreachable: {error}; see DATABASE_URL, or run this again when it is back"
    )
    return Pass(Outcome.DATABASE_UNREACHABLE, gathered.reason, row(gathered, lost))


def run_row(
    gathered: Gathered, written: Written, *, started_at: datetime, completed_at: datetime, duration: float
) -> RunRow:
    """The row of ingestion_run for a pass that took `duration` seconds. Pure."""
    skipped = gathered.parsed.skipped if gathered.parsed is not None else ()
    if written.error is not None:
        status, message = IngestionStatus.FAILURE, written.error
    elif skipped:
        status, message = IngestionStatus.PARTIAL, summary(skipped)
    else:
        status, message = IngestionStatus.SUCCESS, None
    payload = gathered.payload
    return RunRow(
        source=IngestionSource.LINDAS_HYDRO,
        status=status,
        started_at=started_at,
        completed_at=max(completed_at, started_at),
        duration_ms=round(duration * 1000),
        stations_seen_count=written.seen,
        measurements_created_count=written.stored.created,
        measurements_updated_count=written.stored.updated,
        measurements_skipped_count=len(skipped),
        error_message=message,
        http_status=gathered.http_status,
        payload_bytes=len(payload.body) if payload is not None else None,
        payload_sha256=archive.sha256(payload.body) if payload is not None else None,
        archive_path=str(gathered.archive_path) if gathered.archive_path is not None else None,
        archive_error=gathered.archive_error,
    )


def summary(skipped: Sequence[Skipped]) -> str:
    """The skipped rows by reason, and the first of them: enough to find the others in the payload."""
    reasons = Counter(one.reason.value for one in skipped)
    counts = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
    first = skipped[0]
    station = f", station {first.code}" if first.code is not None else ""
    return f"{len(skipped)} malformed rows skipped ({counts}); first row {first.row}{station}: {first.detail}"


def tell(done: Pass) -> None:
    """One log line a pass."""
    extra = {"action": "ingestion", "outcome": done.outcome.value}
    if done.run is None:
        logger.info("Another ingestion is running: this one leaves it the turn", extra=extra)
        return
    run = done.run
    figures = (
        f"{run.stations_seen_count} LIVE stations seen, {run.measurements_created_count} measurements new, "
        f"{run.measurements_updated_count} updated, {run.measurements_skipped_count} rows skipped, "
        f"{done.stations_unknown} stations of others, {run.duration_ms} ms"
    )
    match done.outcome:
        case Outcome.SUCCESS:
            logger.info("Ingestion done: %s", figures, extra=extra)
        case Outcome.PARTIAL:
            logger.warning("Ingestion done in part: %s; %s", figures, run.error_message, extra=extra)
        case _:
            unrecorded = "" if done.recorded else " (ingestion_run could not keep this)"
            logger.warning("Ingestion failed: %s%s", run.error_message, unrecorded, extra=extra)
