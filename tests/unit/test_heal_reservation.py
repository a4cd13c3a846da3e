"""The worker of heals with a ledger and a fence: reserved, run, recorded, ended when the right is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from alpimonitor_watchdog.core.seen import HealSeen, PlanSeen
from alpimonitor_watchdog.core.words import HealOutcome
from alpimonitor_watchdog.heal.worker import HealWorker

DEADLINE = 10.0


class World:
    """Ledger, fence and healer at once: one list of what happened, in its order."""

    name = "command"

    def __init__(self) -> None:
        self.events: list[str] = []
        self.refuses = ""
        self.forbidden = ""
        self.during: Callable[[str], None] = lambda _: None
        self.worker = HealWorker(self, lambda: None, ledger=self, budget=3, fence=self)

    def _note(self, event: str) -> None:
        self.events.append(event)
        self.during(event.split()[0])

    # the ledger
    def reserve(self, heal_id: str, incident_key: str, healer: str, budget: int) -> str:
        self._note(f"reserve {heal_id} {incident_key} {healer} {budget}")
        return self.refuses

    def finish(self, heal_id: str, outcome: HealOutcome) -> None:
        self._note(f"finish {heal_id} {outcome.value}")

    # the fence
    def allow(self) -> None:
        self.forbidden = ""

    def forbid(self, why: str) -> None:
        self.forbidden = why

    # the healer
    def plan(self) -> PlanSeen:
        return PlanSeen(failed=self.forbidden)

    def heal(self, heal_id: str) -> HealSeen:
        self._note("begin")
        if self.forbidden:
            return HealSeen(heal_id, HealOutcome.INTERRUPTED, self.forbidden)
        return HealSeen(heal_id, HealOutcome.SUCCEEDED, "done")

    def after(self) -> tuple[str, ...]:
        return ()

    def healed(self) -> HealSeen | None:
        self.worker.heal("h1", "incident-1")
        self.worker.work_one()
        return self.worker.collect().heal


@pytest.fixture
def world() -> World:
    return World()


def test_a_heal_is_reserved_then_run_then_recorded(world: World) -> None:
    assert world.healed() == HealSeen("h1", HealOutcome.SUCCEEDED, "done")
    assert world.events == ["reserve h1 incident-1 command 3", "begin", "finish h1 succeeded"]


def test_a_heal_whose_reservation_is_refused_does_not_begin_and_says_why(world: World) -> None:
    world.refuses = "3 heals within the window"
    assert world.healed() == HealSeen("h1", HealOutcome.INTERRUPTED, "not started: 3 heals within the window")
    assert "begin" not in world.events


def test_a_healer_that_raises_has_failed_and_that_is_recorded(world: World) -> None:
    def broken(event: str) -> None:
        if event == "begin":
            raise RuntimeError("no such program")

    world.during = broken
    healed = world.healed()
    assert healed is not None
    assert (healed.outcome, healed.detail) == (HealOutcome.FAILED, "command: RuntimeError: no such program")
    assert world.events[-1] == "finish h1 failed"


@pytest.mark.parametrize("moment", ["reserve", "begin"])
def test_a_right_that_is_lost_from_the_reservation_on_ends_the_heal(world: World, moment: str) -> None:
    world.during = lambda event: world.worker.forbid("the lock is lost") if event == moment else None
    assert world.healed() == HealSeen("h1", HealOutcome.INTERRUPTED, "the lock is lost")
    assert world.events[-1] == "finish h1 interrupted"


def test_a_right_that_was_lost_before_does_not_concern_the_next_heal_and_never_a_plan(world: World) -> None:
    world.worker.forbid("the lock is lost")
    world.worker.plan(1)
    world.worker.work_one()
    assert world.worker.collect().plan == PlanSeen(number=1)
    world.during = lambda event: world.worker.forbid("the lock is lost") if event == "begin" else None
    world.healed()
    world.during = lambda _: None
    assert world.healed() == HealSeen("h1", HealOutcome.SUCCEEDED, "done")


def test_the_result_does_not_wait_for_the_ledger(world: World) -> None:
    collected: list[HealSeen | None] = []
    world.during = lambda event: collected.append(world.worker.collect().heal) if event == "finish" else None
    world.healed()
    assert collected == [HealSeen("h1", HealOutcome.SUCCEEDED, "done")]


def test_losing_the_right_waits_for_nothing_that_the_heal_does(world: World) -> None:
    begun, lost = threading.Event(), threading.Event()

    def hang(event: str) -> None:
        if event == "begin":
            begun.set()
            assert lost.wait(DEADLINE)

    world.during = hang
    world.worker.start()
    world.worker.heal("h1", "incident-1")
    assert begun.wait(DEADLINE)
    world.worker.forbid("the lock is lost")
    lost.set()
    world.worker.stop(DEADLINE)
    ended = world.worker.collect().heal
    assert ended is not None
    assert ended.outcome is HealOutcome.INTERRUPTED
