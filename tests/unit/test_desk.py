"""Where acts wait for the loop: each is taken once, answered once, and nobody else's answer arrives."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from alpimonitor_watchdog.core.acts import Act, ActKind, Answer
from alpimonitor_watchdog.core.words import Reason
from alpimonitor_watchdog.web.desk import Desk

DEADLINE = 10.0


def act(name: str, kind: ActKind = ActKind.HOLD) -> Act:
    return Act(name, kind, f"because of {name}", "anna@ops1")


def desk() -> Desk:
    return Desk(on_submit=lambda: None)


def test_an_act_waits_until_the_loop_takes_it_and_its_caller_until_the_loop_answers() -> None:
    at = desk()
    held = at.submit(act("1"))
    assert at.take() == (act("1"),)
    assert not held.done()
    at.answer([Answer(act("1"), None, "Held.")])
    assert held.result(0) == Answer(act("1"), None, "Held.")


def test_acts_are_taken_once_and_in_the_order_in_which_they_came() -> None:
    at = desk()
    for name in ("1", "2", "3"):
        at.submit(act(name))
    assert [taken.id for taken in at.take()] == ["1", "2", "3"]
    assert at.take() == ()


def test_the_loop_is_woken_when_the_act_can_be_taken() -> None:
    seen: list[tuple[Act, ...]] = []
    at = Desk(on_submit=lambda: seen.append(at.take()))
    at.submit(act("1"))
    assert seen == [(act("1"),)]


def test_each_caller_hears_of_its_own_act() -> None:
    at = desk()
    first, second = at.submit(act("1")), at.submit(act("2"))
    at.take()
    at.answer([Answer(act("2"), Reason.NO_INCIDENT, "No incident is open.")])
    assert not first.done()
    assert second.result(0).refused is Reason.NO_INCIDENT


def test_an_act_that_nobody_took_can_be_withdrawn() -> None:
    at = desk()
    at.submit(act("1"))
    assert at.withdraw(act("1")) is True
    assert at.take() == ()
    assert at.withdraw(act("1")) is False


def test_an_act_that_the_loop_took_cannot_be_withdrawn_and_is_answered_all_the_same() -> None:
    at = desk()
    held = at.submit(act("1"))
    at.take()
    assert at.withdraw(act("1")) is False
    at.answer([Answer(act("1"), None, "Held.")])
    assert held.result(0).sentence == "Held."


def test_a_caller_who_goes_away_takes_nothing_back() -> None:
    at = desk()
    held = at.submit(act("1"))
    assert held.cancel() is False
    assert at.take() == (act("1"),)
    at.answer([Answer(act("1"), None, "Held.")])


def test_an_answer_that_nobody_waits_for_is_no_error() -> None:
    at = desk()
    at.answer([Answer(act("1"), None, "Held.")])
    waits = at.submit(act("2"))
    at.take()
    at.answer([Answer(act("1"), None, "Held."), Answer(act("2"), None, "Held.")])
    assert waits.done()


def test_many_callers_at_once_lose_no_act_and_no_answer() -> None:
    """Every act is taken by exactly one tick, and every caller gets the answer to what it asked."""
    wake, over = threading.Event(), threading.Event()
    at = Desk(wake.set)
    taken: list[str] = []

    def ticks() -> None:
        while not over.is_set():
            wake.wait(DEADLINE)
            wake.clear()
            acts = at.take()
            taken.extend(each.id for each in acts)
            at.answer([Answer(each, None, each.reason) for each in acts])

    loop = threading.Thread(target=ticks)
    loop.start()
    names = [str(number) for number in range(400)]
    try:
        with ThreadPoolExecutor(16) as callers:
            answers = list(callers.map(lambda name: at.submit(act(name)).result(DEADLINE), names))
    finally:
        over.set()
        wake.set()
        loop.join(DEADLINE)
    assert [answer.sentence for answer in answers] == [f"because of {name}" for name in names]
    assert sorted(taken) == sorted(names)


@pytest.mark.parametrize("round_", range(20))
def test_an_act_is_either_withdrawn_or_taken_never_both(round_: int) -> None:
    at = desk()
    at.submit(act("1"))
    start = threading.Barrier(2)

    def withdraw() -> bool:
        start.wait(DEADLINE)
        return at.withdraw(act("1"))

    def take() -> bool:
        start.wait(DEADLINE)
        return bool(at.take())

    with ThreadPoolExecutor(2) as both:
        withdrawn, was_taken = both.submit(withdraw), both.submit(take)
        assert withdrawn.result(DEADLINE) is not was_taken.result(DEADLINE)
