"""What a pass of ingestion came to: its outcome, its row of ingestion_run, its log line."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from pathlib import Path

from alpimonitor_api.ingest import archive
from alpimonitor_api.ingest.alerts import Changes
from alpimonitor_api.ingest.faults import SourceFault
from alpimonitor_api.ingest.lindas import Parsed, PayloadFault, Skipped
from alpimonitor_api.ingest.source import Payload
from alpimonitor_api.ingest.store import RunRow, Stored, StoreError, StoreFault, Unreachable
from alpimonitor_api.tables import IngestionSource, IngestionStatus

logger = logging.getLogger(__name__)


class Outcome(Enum):
    SUCCESS = "success"
    PARTIAL = "partial"  # rows of the payload were skipped
    FAILURE = "failure"
    ANOTHER_RUNNING = "another_running"  # normal where several processes ingest
    ANOTHER_INGESTED = "another_ingested"  # so recently that LINDAS has nothing new
    DATABASE_UNREACHABLE = "database_unreachable"


NOTHING_STORED = Stored(created=0, updated=0)
NOTHING_CHANGED = Changes()

Reason = SourceFault | PayloadFault | StoreFault


@dataclass(frozen=True)
class Gathered:
    """What was fetched, where it is archived, what it says; `reason` and `error` if it cannot be used."""

    payload: Payload | None = None
    archive_path: Path | None = None
    archive_error: str | None = None
    parsed: Parsed | None = None
    reason: Reason | None = None
    error: str | None = None
    http_status: int | None = None


@dataclass(frozen=True)
class Written:
    """What storing came to."""

    stored: Stored = NOTHING_STORED
    seen: int = 0
    unknown: int = 0
    reason: Reason | None = None
    error: str | None = None
    alerts: Changes = NOTHING_CHANGED
    alerts_error: str | None = None  # the measurements are stored all the same


@dataclass(frozen=True)
class Pass:
    """How a pass went: its row of ingestion_run, and whether the database has it.

    There is none when another process was at it, or had asked LINDAS `since` then.
    """

    outcome: Outcome
    reason: Reason | None = None
    run: RunRow | None = None
    recorded: bool = False
    stations_unknown: int = 0
    alerts: Changes = NOTHING_CHANGED
    since: timedelta | None = None


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


def run_row(gathered: Gathered, written: Written, *, started_at: datetime, duration: float) -> RunRow:
    """The row of ingestion_run for a pass that took `duration` seconds. Pure."""
    skipped = gathered.parsed.skipped if gathered.parsed is not None else ()
    if written.error is not None:
        status, message = IngestionStatus.FAILURE, written.error
    elif skipped:
        status, message = IngestionStatus.PARTIAL, summary(skipped)
    else:
        status, message = IngestionStatus.SUCCESS, None
    if written.alerts_error is not None:
        missed = f"alerts were not decided: {written.alerts_error}"
        message = f"{message}; {missed}" if message is not None else missed
    payload = gathered.payload
    # Only what this run kept: one that read the archive proves nothing of writing it.
    kept = gathered.archive_path if payload is None or payload.archived is None else None
    return RunRow(
        source=IngestionSource.LINDAS_HYDRO,
        status=status,
        started_at=started_at,
        completed_at=started_at + timedelta(seconds=duration),
        duration_ms=round(duration * 1000),
        stations_seen_count=written.seen,
        measurements_created_count=written.stored.created,
        measurements_updated_count=written.stored.updated,
        measurements_skipped_count=len(skipped),
        error_message=_storable(message),
        http_status=gathered.http_status,
        payload_bytes=len(payload.body) if payload is not None else None,
        payload_sha256=archive.sha256(payload.body) if payload is not None else None,
        archive_path=_storable(str(kept) if kept is not None else None),
        archive_error=_storable(gathered.archive_error),
    )


def _storable(text: str | None) -> str | None:
    """PostgreSQL takes no NUL, and no lone surrogates: Python's stand-ins for bytes that are not UTF-8."""
    if text is None:
        return None
    return text.encode(errors="backslashreplace").decode().replace("\0", "\\x00")


def summary(skipped: Sequence[Skipped]) -> str:
    """The skipped rows by reason, and the first of them: enough to find the others in the payload."""
    reasons = Counter(one.reason.value for one in skipped)
    counts = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
    first = skipped[0]
    station = f", station {first.code}" if first.code is not None else ""
    return f"{len(skipped)} malformed rows skipped ({counts}); first row {first.row}{station}: {first.detail}"


def tell(done: Pass) -> None:
    """One log line for a pass."""
    extra = {"action": "ingestion", "outcome": done.outcome.value}
    if done.run is None:
        what = "has just run" if done.outcome is Outcome.ANOTHER_INGESTED else "is running"
        logger.info("Another ingestion %s: this one leaves it the turn", what, extra=extra)
        return
    run = done.run
    figures = (
        f"{run.stations_seen_count} LIVE stations seen, {run.measurements_created_count} measurements new, "
        f"{run.measurements_updated_count} updated, {run.measurements_skipped_count} rows skipped, "
        f"{done.stations_unknown} stations of others, {len(done.alerts.opens)} alerts opened, "
        f"{len(done.alerts.closes)} closed, {run.duration_ms} ms"
    )
    match done.outcome:
        case Outcome.SUCCESS:
            logger.info("Ingestion done: %s", figures, extra=extra)
        case Outcome.PARTIAL:
            logger.warning("Ingestion done in part: %s; %s", figures, run.error_message, extra=extra)
        case _:
            unrecorded = "" if done.recorded else " (ingestion_run could not keep this)"
            logger.warning("Ingestion failed: %s%s", run.error_message, unrecorded, extra=extra)
