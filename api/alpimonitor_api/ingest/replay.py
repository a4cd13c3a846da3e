"""Rebuild `measurement` from the archive's raw payloads, as the passes that fetched them filled it.

Payloads are taken in the order of their fetches, a batch at a time. A batch is one transaction in the turn
that passes of ingestion take, too: whatever ends a replay, whole batches are stored, and another replay finds
them done. Between two batches a pass gets its turn. No run is recorded and no alert opened: nothing is
happening now, it happened then.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import TypeVar
from uuid import UUID

from alpimonitor_api.ingest import archive
from alpimonitor_api.ingest.lindas import Observation, PayloadError, parse
from alpimonitor_api.ingest.run import CLOCKS_MAY_DIFFER_BY, match
from alpimonitor_api.ingest.store import LiveStation, Store, Stored, Turn
from alpimonitor_api.ingest.storing import Measurement, array_parameters

BATCH_PAYLOADS = 100
"""Most of a day: 40,000 measurements of the whole federal network, and a turn of a few tenths of a second."""

PAYLOAD_ENDS = ".json.gz"

Item = TypeVar("Item")


class Trouble(Enum):
    """Why a file of the archive gave nothing."""

    MISNAMED = "misnamed"  # its name does not say when it was fetched
    DAMAGED = "damaged"  # it cannot be read, or is not what was archived under this name
    MALFORMED = "malformed"  # whole, and what LINDAS sent then was no payload: that pass failed, too
    EXPIRED = "expired"  # removed since the replay began, as payloads are after their time


LOSSES = frozenset({Trouble.MISNAMED, Trouble.DAMAGED})
"""What should have been there and is not to be had; the other troubles are nobody's loss."""


@dataclass(frozen=True)
class Problem:
    path: Path
    trouble: Trouble
    detail: str


@dataclass(frozen=True)
class Archived:
    """A file of the archive, with the time of its fetch (aware UTC)."""

    path: Path
    fetched_at: datetime


@dataclass(frozen=True)
class Read:
    """What a payload says."""

    fetched_at: datetime
    observations: tuple[Observation, ...]
    rows_skipped: int


@dataclass
class Tally:
    """How far a replay has come; `observations` and `measurements` as read, each once a payload."""

    payloads: int = 0
    rows_skipped: int = 0
    observations: int = 0
    measurements: int = 0
    created: int = 0
    updated: int = 0
    seen: set[str] = field(default_factory=set)  # codes of stations that are ours
    unknown: set[str] = field(default_factory=set)  # and of others
    problems: list[Problem] = field(default_factory=list)

    def count(self, *troubles: Trouble) -> int:
        return sum(problem.trouble in troubles for problem in self.problems)


@dataclass(frozen=True)
class _Batch:
    """Payloads, and what they mean for these stations."""

    items: Sequence[Read | Problem]
    stations: tuple[LiveStation, ...]
    measurements: Sequence[Measurement]
    arrays: Mapping[str, str]


class NoStations(Exception):
    """The database has no active LIVE station: no observation could be told apart from a stranger's."""

    def __init__(self) -> None:
        super().__init__(
            "the database has no active station of data source LIVE, so that no observation belongs anywhere;"
            " restore the context first: alpimonitor seed --mode missing"
        )


def archived(
    root: Path, begin: datetime | None, end: datetime | None
) -> tuple[list[Archived], list[Problem]]:
    """The payloads fetched at `begin` or later and before `end`, in that order, and what is misnamed.

    Whatever else lies beside the days is somebody's own. Raises ArchiveError when the folder cannot be read.
    """
    found: list[Archived] = []
    problems: list[Problem] = []
    try:
        paths = list(_files(root, begin, end))
    except OSError as error:
        raise archive.ArchiveError(
            f"{error.filename or root} could not be read: {error.strerror}; "
            "see LINDAS_ARCHIVE_DIR and --archive"
        ) from error
    for path in paths:
        fetched_at = archive.fetched_at(path)
        if fetched_at is None:
            problems.append(
                Problem(
                    path,
                    Trouble.MISNAMED,
                    f"{path} is not named YYYY-MM-DD/HHMMSS.ffffffZ-hash{PAYLOAD_ENDS}: its place among the "
                    "others is unknown; give it back its name, or move it out of the archive",
                )
            )
        elif (begin is None or fetched_at >= begin) and (end is None or fetched_at < end):
            found.append(Archived(path, fetched_at))
    return sorted(found, key=lambda file: (file.fetched_at, file.path.name)), problems


def read(file: Archived) -> Read | Problem:
    """What an archived payload says, if it is the one that its name promises."""
    try:
        body = archive.read(file.path)
    except archive.ArchiveError as error:
        gone = isinstance(error.__cause__, FileNotFoundError)
        return Problem(file.path, Trouble.EXPIRED if gone else Trouble.DAMAGED, str(error))
    promised = file.path.name.removesuffix(PAYLOAD_ENDS).rpartition("-")[2]
    held = archive.sha256(body)
    if not held.startswith(promised):
        return Problem(
            file.path,
            Trouble.DAMAGED,
            f"{file.path} does not hold what was archived: its SHA-256 begins with {held[: len(promised)]}; "
            "take it from a backup, or move it out of the archive",
        )
    try:
        parsed = parse(body, not_after=file.fetched_at + CLOCKS_MAY_DIFFER_BY, values_only=True)
    except PayloadError as error:
        return Problem(file.path, Trouble.MALFORMED, f"{file.path}: {error}")
    return Read(file.fetched_at, parsed.observations, len(parsed.skipped))


class Replay:
    """One replay; `tally` says at any time how far it has come, counting whole batches only."""

    def __init__(self, store: Store, *, dry_run: bool = False, batch_payloads: int = BATCH_PAYLOADS) -> None:
        self.tally = Tally()
        self._store = store
        self._dry_run = dry_run
        self._batch_payloads = batch_payloads
        self._stations: tuple[LiveStation, ...] = ()
        self._compared: frozenset[tuple[UUID, datetime]] = frozenset()

    def run(self, files: Sequence[Archived], *, tell: Callable[[int], None] = lambda _: None) -> None:
        """Replay these, which are in the order of their fetches; `tell` hears of each batch how many it had.

        Raises NoStations, and what the store raises: Unreachable, StoreError.
        """
        self._stations = self._live_stations() if files else ()
        with _no_search_for_cycles(), closing(_ahead(self._batches(files))) as batches:
            for batch in batches:
                self._replay(batch)
                tell(len(batch.items))

    def _live_stations(self) -> tuple[LiveStation, ...]:
        with self._store.awaited_turn() as turn, turn.attempt():
            return turn.live_stations()

    def _batches(self, files: Sequence[Archived]) -> Iterator[_Batch]:
        """All that needs no database, which is at work on the last batch meanwhile."""
        for start in range(0, len(files), self._batch_payloads):
            items = [read(file) for file in files[start : start + self._batch_payloads]]
            yield _matched(items, self._stations)

    def _replay(self, batch: _Batch) -> None:
        with self._store.awaited_turn() as turn:
            with turn.attempt():
                stations = turn.live_stations()
                if not stations:
                    raise NoStations
                if _sensors(stations) != _sensors(batch.stations):
                    self._stations = stations
                    batch = _matched(batch.items, stations)
                stored = (
                    self._compare(turn, batch.measurements)
                    if self._dry_run
                    else turn.store_arrays(batch.arrays)
                )
            turn.keep()
        payloads = [item for item in batch.items if isinstance(item, Read)]
        tally, ours = self.tally, _sensors(stations).keys()
        codes = {observation.code for payload in payloads for observation in payload.observations}
        tally.seen |= codes & ours
        tally.unknown |= codes - ours
        tally.payloads += len(payloads)
        tally.rows_skipped += sum(payload.rows_skipped for payload in payloads)
        tally.observations += sum(len(payload.observations) for payload in payloads)
        tally.measurements += len(batch.measurements)
        tally.created += stored.created
        tally.updated += stored.updated
        tally.problems += [item for item in batch.items if isinstance(item, Problem)]

    def _compare(self, turn: Turn, measurements: Sequence[Measurement]) -> Stored:
        """Without what was in the last batch, too: by now that would be stored."""
        keys = frozenset((one.sensor_id, one.recorded_at) for one in measurements)
        stored = turn.compare(
            [one for one in measurements if (one.sensor_id, one.recorded_at) not in self._compared]
        )
        self._compared = keys
        return stored


def _matched(items: Sequence[Read | Problem], stations: tuple[LiveStation, ...]) -> _Batch:
    measurements = [
        one
        for item in items
        if isinstance(item, Read)
        for one in match(item.observations, stations, item.fetched_at).measurements
    ]
    return _Batch(items, stations, measurements, array_parameters(measurements))


def _sensors(stations: Sequence[LiveStation]) -> Mapping[str, Mapping[str, UUID]]:
    return {station.ofev_code: station.sensors for station in stations}


def _files(root: Path, begin: datetime | None, end: datetime | None) -> Iterator[Path]:
    """The files of the days of that range, and beside the days whatever calls itself a payload."""
    for entry in root.iterdir():
        if entry.name.startswith(archive.UNFINISHED):
            continue
        if archive.DAY.fullmatch(entry.name) is None:
            if entry.name.endswith(PAYLOAD_ENDS):
                yield entry
        elif (begin is None or entry.name >= _day(begin)) and (end is None or entry.name <= _day(end)):
            try:
                inside = list(entry.iterdir())
            except FileNotFoundError:  # its time has just come
                continue
            yield from (file for file in inside if not file.name.startswith(archive.UNFINISHED))


def _day(time: datetime) -> str:
    return time.astimezone(UTC).date().isoformat()


@contextmanager
def _no_search_for_cycles() -> Iterator[None]:
    """A batch is 100,000 small objects without a cycle, and to look for one takes a third of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _ahead(items: Iterator[Item]) -> Generator[Item, None, None]:
    """The same items; the next one is made in a thread while the last one is used: two batches in memory."""
    with ThreadPoolExecutor(1, thread_name_prefix="replay") as maker:
        coming = maker.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = maker.submit(next, items, None)
            yield item
