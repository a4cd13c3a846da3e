"""A plan for a person who asks: made by the worker in its turn, and no business of any tick."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from alpimonitor_watchdog.core.seen import HealSeen, PlanSeen
from alpimonitor_watchdog.core.words import HealOutcome
from alpimonitor_watchdog.heal.worker import Finished, HealWorker

DEADLINE = 10.0
PLAN = PlanSeen(inserts=(("station", 7),))


@dataclass
class Healer:
    name: str = "command"
    done: list[str] = field(default_factory=list)
    breaks: bool = False

    def plan(self) -> PlanSeen:
        self.done.append("plan")
        if self.breaks:
            raise RuntimeError("the program is gone")
        return PLAN

    def heal(self, heal_id: str) -> HealSeen:
        self.done.append(heal_id)
        return HealSeen(heal_id, HealOutcome.SUCCEEDED)

    def after(self) -> tuple[str, ...]:
        return ()


def worker(healer: Healer) -> HealWorker:
    return HealWorker(healer, lambda: None)


def test_it_is_made_and_no_tick_hears_of_it() -> None:
    at = worker(Healer())
    asked = at.preview()
    at.work_one()
    assert asked.result(0) == PLAN
    assert at.collect() == Finished()


def test_it_waits_for_the_heal_before_it() -> None:
    healer = Healer()
    at = worker(healer)
    at.heal("h1")
    asked = at.preview()
    at.work_one()
    assert (healer.done, asked.done()) == (["h1"], False)
    at.work_one()
    assert healer.done == ["h1", "plan"]
    assert asked.done()


def test_taken_back_before_its_turn_it_is_not_made() -> None:
    healer = Healer()
    at = worker(healer)
    asked = at.preview()
    assert asked.cancel()
    at.work_one()
    assert healer.done == []


def test_a_healer_that_breaks_is_an_answer_too() -> None:
    at = worker(Healer(breaks=True))
    asked = at.preview()
    at.work_one()
    assert asked.result(0).failed == "command: RuntimeError: the program is gone"
    assert at.collect() == Finished()


def test_it_may_be_asked_for_from_any_thread_while_the_worker_works() -> None:
    at = worker(Healer())
    at.start()
    with ThreadPoolExecutor(20) as people:
        asked = list(people.map(lambda _: at.preview(), range(20)))
    done, pending = wait(asked, DEADLINE)
    at.stop(DEADLINE)
    assert (len(done), len(pending)) == (20, 0)
    assert {each.result() for each in done} == {PLAN}
