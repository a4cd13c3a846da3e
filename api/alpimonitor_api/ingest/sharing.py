"""A pass on schedule, where several processes share one: LINDAS is asked once an interval, not by each.

The turn (store) keeps two from asking at once; here a process that got the turn right after another one's run
leaves it at that, and falls into step with it. So each is there to take over at the next interval.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta

from alpimonitor_api.ingest.outcome import Outcome, Pass
from alpimonitor_api.ingest.run import Ingestion

SAME_BOOT = timedelta(minutes=1)
"""A process that starts asks at once, unless another one did within that time: replicas start together."""

LOOK_AGAIN = timedelta(minutes=1)
"""After a turn that another had: did it come through? After a database that was away: is it back?"""

LONGEST_LAG = timedelta(seconds=30)
"""Those that only stand by come that much later at most, so that they find a run and not its beginning."""


def spared_by(every: timedelta, *, first: bool) -> timedelta:
    """How young another's run has to be for a pass to have nothing to ask for."""
    return min(SAME_BOOT, every / 2) if first else every * 0.9


def next_try(done: Pass, every: timedelta, jitter: Callable[[float, float], float]) -> float | None:
    """Seconds until the next pass; None for the schedule's own interval. `jitter` draws from two bounds."""
    lag = jitter(0.0, min(LONGEST_LAG, every / 10).total_seconds())
    match done.outcome:
        case Outcome.ANOTHER_INGESTED:
            return max(0.0, (every - (done.since or timedelta())).total_seconds()) + lag
        case Outcome.ANOTHER_RUNNING | Outcome.DATABASE_UNREACHABLE:
            return min(LOOK_AGAIN, every / 2).total_seconds() + lag
        case _:
            return None


class SharedPass:
    """Called for each pass of a schedule; returns the seconds until the next, None for its own interval."""

    def __init__(
        self,
        ingestion: Ingestion,
        every: timedelta,
        *,
        monotonic: Callable[[], float],
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._ingestion = ingestion
        self._every = every
        self._monotonic = monotonic
        self._jitter = jitter
        self._first = True
        self._asked: float | None = None

    def __call__(self) -> float | None:
        now = self._monotonic()
        # Without a database only the archive is served: that often enough is once an interval.
        due = self._asked is None or now - self._asked >= self._every.total_seconds()
        done = self._ingestion.run(unless_within=spared_by(self._every, first=self._first), archive_alone=due)
        self._first = False
        if due and done.run is not None:
            self._asked = now
        return next_try(done, self._every, self._jitter)
