"""The one worker that runs heals: ticks go on while it works, and no two heals ever run at once."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ..core.seen import HealSeen, PlanSeen


class Healer(Protocol):
    """What every healer can do. No method raises."""

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


class HealWorker:
    """Jobs in order, in a thread of its own; results wait to be collected by the next tick."""

    def __init__(self, healer: Healer, wake: Callable[[], None]) -> None:
        self._healer = healer
        self._wake = wake
        self._jobs: queue.SimpleQueue[Callable[[], Finished] | None] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[Finished] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="heal-worker", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def plan(self) -> None:
        self._jobs.put(lambda: Finished(plan=self._healer.plan()))

    def heal(self, heal_id: str) -> None:
        self._jobs.put(lambda: Finished(heal=self._healer.heal(heal_id)))

    def after(self) -> None:
        self._jobs.put(lambda: Finished(after=self._healer.after()))

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

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._results.put(job())
            self._wake()
