"""The one worker that runs heals: ticks go on while it works, and no two heals ever run at once."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from ..core.seen import HealSeen, PlanSeen
from ..core.words import HealOutcome

log = logging.getLogger(__name__)


class Healer(Protocol):
    """What every healer can do. A method that raises counts as failed."""

    name: str

    def plan(self) -> PlanSeen: ...
    def heal(self, heal_id: str) -> HealSeen: ...
    def after(self) -> tuple[str, ...]: ...


@dataclass(frozen=True)
class Finished:
    """What ended since the last collection; the newest plan only."""

    plan: PlanSeen | None = None
    heal: HealSeen | None = None
    after: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Job:
    """Something to do, and what it has ended as when it raised."""

    run: Callable[[], Finished]
    failed: Callable[[str], Finished]


class HealWorker:
    """Jobs in order, in a thread of its own; results wait to be collected by the next tick."""

    def __init__(self, healer: Healer, wake: Callable[[], None]) -> None:
        self._healer = healer
        self._wake = wake
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[Finished] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="heal-worker", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def plan(self, number: int) -> None:
        """Ask for a plan; the answer carries `number`."""
        self._jobs.put(
            _Job(
                lambda: Finished(plan=replace(self._healer.plan(), number=number)),
                lambda why: Finished(plan=PlanSeen(number=number, failed=why)),
            )
        )

    def heal(self, heal_id: str) -> None:
        self._jobs.put(
            _Job(
                lambda: Finished(heal=self._healer.heal(heal_id)),
                lambda why: Finished(heal=HealSeen(heal_id, HealOutcome.FAILED, why)),
            )
        )

    def after(self) -> None:
        self._jobs.put(_Job(lambda: Finished(after=self._healer.after()), lambda why: Finished(after=(why,))))

    def collect(self) -> Finished:
        """All that ended since the last call."""
        plan: PlanSeen | None = None
        heal: HealSeen | None = None
        after: tuple[str, ...] = ()
        while True:
            try:
                result = self._results.get_nowait()
            except queue.Empty:
                return Finished(plan, heal, after)
            plan = result.plan or plan
            heal = result.heal or heal
            after += result.after

    def stop(self, timeout: float) -> None:
        """No further job starts; the caller has ended the healer's child, so that the running one ends."""
        self._jobs.put(None)
        self._thread.join(timeout)

    def work_one(self) -> bool:
        """Wait for a job and do it; False when there will be none any more. Never raises."""
        job = self._jobs.get()
        if job is None:
            return False
        try:
            finished = job.run()
        except Exception as error:
            log.exception("A heal's job failed", extra={"action": "heal_job_failed"})
            finished = job.failed(f"{self._healer.name}: {type(error).__name__}: {error}")
        self._results.put(finished)
        self._wake()
        return True

    def _work(self) -> None:
        while self.work_one():
            pass
