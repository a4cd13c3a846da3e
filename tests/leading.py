"""Sidecars' leaderships on one database, for tests: started, looked at, and stopped at the end.

    python -m tests.leading PREFIX SIDECAR LEASE

is one of them in a process of its own, on the database of the environment variable LEADING_URL. It prints
`leads` and `lost` as they happen, and what `reserve` answers for each line that it reads.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator

import psycopg

from alpimonitor_rehearsal.waiting import wait_until
from alpimonitor_watchdog.core.seen import LeaderSeen
from alpimonitor_watchdog.leadership import Leadership

DEADLINE = 30.0  # seconds
LEASE = 4.0  # long enough for a busy machine
WINDOW = 3600.0
KEY = "SELECT hashtextextended('leading:leader', 0)"
HOLDER = """
    SELECT pid FROM pg_locks, hashtextextended('leading:leader', 0) AS key
    WHERE locktype = 'advisory' AND granted AND objsubid = 1
      AND classid::bigint = (key >> 32) & 4294967295 AND objid::bigint = key & 4294967295
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""


class One:
    """One sidecar's leadership. `lost` are the moments at which `on_lost` was called."""

    def __init__(
        self,
        url: str,
        sidecar: str,
        *,
        lease: float = LEASE,
        window: float = WINDOW,
        monotonic: Callable[[], float] = time.monotonic,
        on_lost: Callable[[], None] = lambda: None,
    ) -> None:
        self.lost: list[float] = []

        def lose() -> None:
            self.lost.append(time.monotonic())
            on_lost()

        self.leadership = Leadership(
            url,
            lock_prefix="leading",
            sidecar=sidecar,
            application_name=f"leading {sidecar}",
            lease=lease,
            window=window,
            on_lost=lose,
            monotonic=monotonic,
        )

    @property
    def seen(self) -> LeaderSeen:
        return self.leadership.standing()

    def until(self, what: str, holds: Callable[[LeaderSeen], object]) -> LeaderSeen:
        return wait_until(what, lambda: seen if holds(seen := self.seen) else None, deadline=DEADLINE)

    def until_leads(self) -> LeaderSeen:
        return self.until("leading", lambda seen: seen.leads)

    def until_follows(self) -> LeaderSeen:
        return self.until("following", lambda seen: not seen.leads and seen.other)

    def reserve(self, heal_id: str, budget: int = 3) -> str:
        return self.leadership.reserve(heal_id, "incident-1", "command", budget)


Starting = Callable[..., One]


@contextlib.contextmanager
def leaderships() -> Iterator[Starting]:
    """Yields what starts one: `starting(url, "a", …)`. All are stopped at the end."""
    started: list[One] = []

    def start(url: str, sidecar: str, **settings: object) -> One:
        one = One(url, sidecar, **settings)  # type: ignore[arg-type]
        one.leadership.start()
        started.append(one)
        return one

    try:
        yield start
    finally:
        for one in started:
            one.leadership.stop()


def holder(url: str) -> int | None:
    """The backend that holds the leader lock."""
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(HOLDER).fetchone()  # type: ignore[call-overload]
    return None if row is None else row[0]


def main(prefix: str, sidecar: str, lease: float) -> None:
    leadership = Leadership(
        os.environ["LEADING_URL"],
        lock_prefix=prefix,
        sidecar=sidecar,
        application_name=f"leading {sidecar}",
        lease=lease,
        window=WINDOW,
        on_lost=lambda: print("lost", flush=True),
    )
    leadership.start()
    wait_until("leading", lambda: leadership.standing().leads, deadline=DEADLINE)
    print("leads", flush=True)
    for line in sys.stdin:
        print(leadership.reserve(line.strip(), "incident-1", "command", 3) or "reserved", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
