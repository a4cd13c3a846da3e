"""Ingestion at its cadence: at once, then every INGESTION_SCHEDULE, in a thread of its own.

Invariant: passes of one schedule never overlap, and none that raises ends the schedule.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

import schedule

from alpimonitor_api.ingest import archive
from alpimonitor_api.ingest.run import Ingestion
from alpimonitor_api.ingest.sharing import SharedPass
from alpimonitor_api.ingest.source import HttpSource, Source
from alpimonitor_api.ingest.store import Store
from alpimonitor_api.settings import Settings

STOP_WITHIN_SECONDS = 15.0
"""A request in progress may take ten; a pass that stands longer is left to the end of the process."""

logger = logging.getLogger(__name__)


class Cadence:
    """When the next pass is due.

    `schedule` says so by the wall clock, which may be set back by an hour: what is overdue by the monotonic
    clock is due as well.
    """

    def __init__(self, every: timedelta, monotonic: Callable[[], float]) -> None:
        self._every = every
        self._monotonic = monotonic
        self._scheduler = schedule.Scheduler()
        self._due = True
        self._began = monotonic()
        self._wait = every.total_seconds()

    def begin(self) -> None:
        """A pass begins now, and the next one is due `every` after it. What was missed is not caught up."""
        self.again_in(self._every.total_seconds())

    def again_in(self, seconds: float) -> None:
        """The next one is due that long from now instead, and at least a second."""
        self._due = False
        self._began = self._monotonic()
        self._wait = max(1.0, seconds)
        self._scheduler.clear()
        self._scheduler.every(math.ceil(self._wait)).seconds.do(self._become_due)

    def due(self) -> bool:
        self._scheduler.run_pending()
        return self._due or self._left() <= 0

    def wait_seconds(self) -> float:
        """Until it may be due, by whichever clock comes first; never negative."""
        idle: float | None = self._scheduler.idle_seconds
        return max(0.0, min(self._left(), self._left() if idle is None else idle))

    def _left(self) -> float:
        return self._began + self._wait - self._monotonic()

    def _become_due(self) -> None:
        self._due = True


class IngestionSchedule:
    """start() returns at once; stop() ends the thread, after the pass in progress if that ends soon."""

    def __init__(
        self,
        settings: Settings,
        *,
        run_pass: Callable[[], float | None] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`run_pass` returns the seconds until the next one, or None for the interval of the settings."""
        self._settings = settings
        self._stopping = threading.Event()
        self._run_pass = run_pass or SharedPass(
            ingestion(settings, HttpSource(settings.lindas_endpoint, stopping=self._stopping)),
            settings.ingestion_schedule,
            monotonic=monotonic,
        )
        self._cadence = Cadence(settings.ingestion_schedule, monotonic)
        self._thread = threading.Thread(target=self._run, name="ingestion", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, within: float = STOP_WITHIN_SECONDS) -> None:
        """Wait at most that many seconds for the pass in progress."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(within)
        if self._thread.is_alive():
            logger.warning(
                "The ingestion pass in progress did not end within %g s: it is given up",
                within,
                extra={"action": "ingestion_given_up"},
            )

    def _run(self) -> None:
        prove_archive(self._settings)
        while not self._stopping.is_set():
            if self._cadence.due():
                self._cadence.begin()
                self._one_pass()
            else:
                self._stopping.wait(self._cadence.wait_seconds())

    def _one_pass(self) -> None:
        try:
            sooner = self._run_pass()
            if sooner is not None:
                self._cadence.again_in(sooner)
        except Exception:
            logger.exception(
                "An ingestion pass broke off; the next one comes as scheduled",
                extra={"action": "ingestion_broke"},
            )


def ingestion(settings: Settings, source: Source) -> Ingestion:
    """A pass over `source` into the database and the archive of the settings."""
    return Ingestion(
        source,
        Store(settings.database_url.get_secret_value()),
        archive_root=settings.lindas_archive_dir,
        clock=partial(datetime.now, UTC),  # noqa: TID251 - ingestion's composition root
        monotonic=time.monotonic,
    )


def prove_archive(settings: Settings) -> None:
    """Say at start, not when a payload is needed, that the archive cannot be written or is not there.

    The first pass follows at once and records the same, with a payload or without.
    """
    root = settings.lindas_archive_dir
    if root is None:
        logger.warning(
            "LINDAS_ARCHIVE_DIR is not set: raw payloads are not kept, lost measurements not to be rebuilt",
            extra={"action": "archive_absent"},
        )
        return
    try:
        archive.check(root)
    except archive.ArchiveError as error:
        logger.warning("Raw payloads will not be archived: %s", error, extra={"action": "archive_unwritable"})
