"""The one worker that runs heals: ticks go on while it works, and no two heals ever run at once."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
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


class Ledger(Protocol):
    """Where a heal is recorded before it begins, for all sidecars of one database. Neither method raises."""

    def reserve(self, heal_id: str, incident_key: str, healer: str, budget: int) -> str:
        """ "" when the heal may begin, else a sentence that says why not."""

    def finish(self, heal_id: str, outcome: HealOutcome) -> None:
        """How it ended; nothing for one that was not reserved."""


class Fence(Protocol):
    """What runs the programs of a heal: `forbid` ends them, and keeps them from starting until `allow`."""

    def allow(self) -> None: ...
    def forbid(self, why: str) -> None: ...


@dataclass(frozen=True)
class Finished:
    """What ended since the last collection; the newest plan only."""

    plan: PlanSeen | None = None
    heal: HealSeen | None = None
    after: tuple[str, ...] = ()

    def then(self, later: Finished) -> Finished:
        """Both as one."""
        return Finished(later.plan or self.plan, later.heal or self.heal, self.after + later.after)


@dataclass(frozen=True)
class _Job:
    """Something to do, and what it has ended as when it raised."""

    run: Callable[[], Finished]
    failed: Callable[[str], Finished]
    then: Callable[[Finished], None] = lambda _: None  # once the result can be collected


class HealWorker:
    """Jobs in order, in a thread of its own; results wait to be collected by the next tick."""

    def __init__(
        self,
        healer: Healer,
        wake: Callable[[], None],
        *,
        ledger: Ledger | None = None,
        budget: int = 0,
        fence: Fence | None = None,
    ) -> None:
        """`budget`: the heals that the ledger allows in its window; nothing without a ledger."""
        self._healer = healer
        self._wake = wake
        self._ledger = ledger
        self._budget = budget
        self._fence = fence
        self._fencing = threading.Lock()
        self._healing = False
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

    def heal(self, heal_id: str, incident_key: str = "") -> None:
        """Reserve the heal where there is a ledger, run it, record its end."""
        self._jobs.put(
            _Job(
                lambda: Finished(heal=self._heal(heal_id, incident_key)),
                lambda why: Finished(heal=HealSeen(heal_id, HealOutcome.FAILED, why)),
                then=self._record,
            )
        )

    def after(self) -> None:
        self._jobs.put(_Job(lambda: Finished(after=self._healer.after()), lambda why: Finished(after=(why,))))

    def preview(self) -> Future[PlanSeen]:
        """A plan for a person who asks, after the jobs before it; no tick hears of it.

        Cancelled before its turn comes, it is not made. A worker that stops leaves it without an answer.
        """
        asked: Future[PlanSeen] = Future()

        def plan() -> Finished:
            if asked.set_running_or_notify_cancel():
                asked.set_result(self._healer.plan())
            return Finished()

        def failed(why: str) -> Finished:
            asked.set_result(PlanSeen(failed=why))
            return Finished()

        self._jobs.put(_Job(plan, failed))
        return asked

    def forbid(self, why: str) -> None:
        """From any thread: the right to heal is lost, `why` says how.

        The heal that runs ends now, and one that was only just reserved does not start. Plans go on.
        """
        with self._fencing:
            if self._healing and self._fence is not None:
                self._fence.forbid(why)

    def collect(self) -> Finished:
        """All that ended since the last call."""
        finished = Finished()
        while True:
            try:
                finished = finished.then(self._results.get_nowait())
            except queue.Empty:
                return finished

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
        job.then(finished)
        return True

    def _work(self) -> None:
        while self.work_one():
            pass

    def _heal(self, heal_id: str, incident_key: str) -> HealSeen:
        # Before the reservation: a right that is lost after it is lost for this heal.
        self._fence_off(healing=True)
        try:
            if self._ledger is not None:
                refused = self._ledger.reserve(heal_id, incident_key, self._healer.name, self._budget)
                if refused:
                    return HealSeen(heal_id, HealOutcome.INTERRUPTED, f"not started: {refused}")
            return self._healer.heal(heal_id)
        finally:
            self._fence_off(healing=False)

    def _fence_off(self, *, healing: bool) -> None:
        with self._fencing:
            self._healing = healing
            if self._fence is not None:
                self._fence.allow()

    def _record(self, finished: Finished) -> None:
        if self._ledger is not None and finished.heal is not None:
            self._ledger.finish(finished.heal.id, finished.heal.outcome)
