"""One pass of ingestion: fetch, archive, parse, store, and say how it went.

A pass does not raise for what LINDAS, the archive or the database do: its outcome says it, its row of
ingestion_run keeps it, its log line tells it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from alpimonitor_api.ingest import archive
from alpimonitor_api.ingest.alerts import decide
from alpimonitor_api.ingest.faults import SourceError
from alpimonitor_api.ingest.lindas import Observation, Parsed, PayloadError, PayloadFault, parse
from alpimonitor_api.ingest.outcome import (
    Gathered,
    Outcome,
    Pass,
    Reason,
    Written,
    run_row,
    summary,
    tell,
    without_database,
)
from alpimonitor_api.ingest.source import Payload, Source
from alpimonitor_api.ingest.store import (
    LiveStation,
    RunRow,
    Store,
    StoreError,
    Turn,
    Unreachable,
)
from alpimonitor_api.ingest.storing import Measurement
from alpimonitor_api.tables import Parameter

CLOCKS_MAY_DIFFER_BY = timedelta(hours=1)
"""An observation may be that far ahead of its fetch; beyond, it would stay the latest for too long."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Matched:
    """What a payload means for the database: `seen` LIVE stations are in it, and `unknown` other stations."""

    measurements: tuple[Measurement, ...]
    seen: int
    unknown: int


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

    def run(self, *, unless_within: timedelta | None = None, archive_alone: bool = True) -> Pass:
        """One pass, if no other process is at it, nor, given `unless_within`, was that recently.

        `archive_alone`: whether a payload is fetched for the archive alone when the database is away.
        """
        started_at, started = self._clock(), self._monotonic()

        def row(gathered: Gathered, written: Written) -> RunRow:
            return run_row(gathered, written, started_at=started_at, duration=self._monotonic() - started)

        gathered: Gathered | None = None
        try:
            with self._store.turn() as turn:
                if turn is None:
                    done = Pass(Outcome.ANOTHER_RUNNING)
                elif (
                    unless_within is not None and (since := turn.since_latest_run(unless_within)) is not None
                ):
                    done = Pass(Outcome.ANOTHER_INGESTED, since=since)
                else:
                    # Whoever judges runs, be it a replica or the sidecar after a heal, does so by this clock.
                    started_at, started = turn.clock(), self._monotonic()
                    gathered = self._gather()
                    done = self._apply(turn, gathered, row)
        except (Unreachable, StoreError) as error:
            # LINDAS will not have these observations in ten minutes; archived, they can be replayed.
            gathered = gathered or (self._gather() if archive_alone else Gathered())
            done = without_database(error, gathered, row)
        tell(done)
        return done

    def _gather(self) -> Gathered:
        """Fetch, archive, and only then parse: what cannot be parsed today can be looked at tomorrow."""
        try:
            payload = self._source.fetch(self._clock)
        except SourceError as error:
            return Gathered(
                archive_error=self._unarchivable(),
                reason=error.fault,
                error=str(error),
                http_status=error.http_status,
            )
        archive_path, archive_error = self._archive(payload)
        parsed: Parsed | None = None
        reason: Reason | None = None
        problem: str | None = None
        try:
            parsed = parse(payload.body, not_after=payload.fetched_at + CLOCKS_MAY_DIFFER_BY)
        except PayloadError as error:
            reason, problem = error.fault, str(error)
        if parsed is not None and not parsed.observations:
            reason = PayloadFault.NO_USABLE_ROW
            problem = f"malformed payload ({reason.value}): {summary(parsed.skipped)}"
        if parsed is not None:
            self._expire(payload, parsed, told=archive_error is not None)
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
        return path, None

    def _unarchivable(self) -> str | None:
        """Why a payload could not be kept, asked when there is none, so that an outage does not hide it."""
        if self._archive_root is None:
            return None
        try:
            archive.check(self._archive_root)
        except archive.ArchiveError as error:
            logger.warning("Raw payloads cannot be archived: %s", error, extra={"action": "archive_failed"})
            return str(error)
        return None

    def _expire(self, payload: Payload, parsed: Parsed, *, told: bool) -> None:
        """Drop old days, also when there was no room for the new one, which is how room is made.

        It takes two witnesses, clock and payload: a clock that runs ahead would empty the archive.
        `told`: the archive's failure was told already.
        """
        if self._archive_root is None or payload.archived is not None or not parsed.observations:
            return
        newest = max(observation.measured_at for observation in parsed.observations)
        try:
            archive.expire(self._archive_root, min(payload.fetched_at, newest).date())
        except archive.ArchiveError as error:
            if not told:
                logger.warning(
                    "Old payloads stay in the archive: %s", error, extra={"action": "archive_expiry_failed"}
                )

    def _apply(self, turn: Turn, gathered: Gathered, row: Callable[[Gathered, Written], RunRow]) -> Pass:
        written = self._store_what_was_gathered(turn, gathered)
        run = row(gathered, written)
        turn.record(run)
        outcome = Outcome(run.status.value.lower())
        return Pass(
            outcome,
            written.reason,
            run,
            recorded=True,
            stations_unknown=written.unknown,
            alerts=written.alerts,
        )

    def _store_what_was_gathered(self, turn: Turn, gathered: Gathered) -> Written:
        if gathered.parsed is None or gathered.payload is None or gathered.reason is not None:
            return Written(reason=gathered.reason, error=gathered.error)
        try:
            with turn.attempt():
                stations = turn.live_stations()
                matched = match(gathered.parsed.observations, stations, gathered.payload.fetched_at)
                stored = turn.store(matched.measurements)
        except StoreError as error:
            return Written(reason=error.fault, error=str(error))
        written = Written(stored, matched.seen, matched.unknown)
        # A payload out of the archive tells of the past, and alerts are of the present.
        return written if gathered.payload.archived is not None else self._follow(turn, written)

    def _follow(self, turn: Turn, written: Written) -> Written:
        """Open and close alerts by what is stored now. A failure in that loses no measurement."""
        try:
            with turn.attempt():
                changes = decide(*turn.alerts(), now=self._clock())
                turn.change_alerts(changes)
        except StoreError as error:
            logger.warning("Alerts were not decided: %s", error, extra={"action": "alerts_not_decided"})
            return replace(written, alerts_error=str(error))
        return replace(written, alerts=changes)
