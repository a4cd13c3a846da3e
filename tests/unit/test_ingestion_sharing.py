"""When a pass of one process is spared by that of another, and when it tries again."""

from __future__ import annotations

import threading
from datetime import timedelta
from itertools import count, pairwise

import pytest

from alpimonitor_api import server
from alpimonitor_api.ingest.outcome import Outcome, Pass
from alpimonitor_api.ingest.schedule import Cadence, IngestionSchedule
from alpimonitor_api.ingest.sharing import next_try, spared_by
from tests.api_client import NOWHERE, settings_for

MINUTE = timedelta(minutes=1)
EVERY = 10 * MINUTE


def soonest(low: float, high: float) -> float:
    return low


def latest(low: float, high: float) -> float:
    return high


@pytest.mark.parametrize(
    ("every", "first", "spared"),
    [
        (EVERY, True, MINUTE),  # replicas that start together; a restart asks again
        (MINUTE, True, MINUTE / 2),
        (EVERY, False, 9 * MINUTE),
        (MINUTE, False, 54 * timedelta(seconds=1)),
    ],
)
def test_a_pass_is_spared_by_a_run_of_the_same_boot_or_of_nearly_the_last_interval(
    every: timedelta, first: bool, spared: timedelta
) -> None:
    assert spared_by(every, first=first) == spared


@pytest.mark.parametrize(
    ("outcome", "every", "earliest", "last"),
    [
        (Outcome.SUCCESS, EVERY, None, None),
        (Outcome.PARTIAL, EVERY, None, None),
        (Outcome.FAILURE, EVERY, None, None),
        # In step with the run that was found four minutes ago, and a little behind it.
        (Outcome.ANOTHER_INGESTED, EVERY, 360.0, 390.0),
        (Outcome.ANOTHER_INGESTED, MINUTE, 0.0, 6.0),
        (Outcome.ANOTHER_RUNNING, EVERY, 60.0, 90.0),
        (Outcome.ANOTHER_RUNNING, MINUTE, 30.0, 36.0),
        (Outcome.DATABASE_UNREACHABLE, EVERY, 60.0, 90.0),
    ],
)
def test_the_next_try_comes_in_step_with_the_others_and_not_at_their_moment(
    outcome: Outcome, every: timedelta, earliest: float | None, last: float | None
) -> None:
    done = Pass(outcome, since=4 * MINUTE)
    assert next_try(done, every, soonest) == earliest
    assert next_try(done, every, latest) == last


def test_however_out_of_step_two_replicas_begin_they_ask_once_an_interval() -> None:
    """Both on one clock of seconds, without a database: only the rules."""
    for offset in range(61, 600, 7):
        due = {"a": 0.0, "b": float(offset)}
        asked: list[float] = []
        first = {"a", "b"}
        while min(due.values()) < 6000:
            name = min(due, key=lambda name: due[name])
            now = due[name]
            window = spared_by(EVERY, first=name in first).total_seconds()
            first.discard(name)
            if asked and now - asked[-1] < window:
                done = Pass(Outcome.ANOTHER_INGESTED, since=timedelta(seconds=now - asked[-1]))
            else:
                asked.append(now)
                done = Pass(Outcome.SUCCESS)
            due[name] = now + (next_try(done, EVERY, latest) or 600.0)
        gaps = [after - before for before, after in pairwise(asked[2:])]
        assert gaps
        assert all(540 <= gap <= 630 for gap in gaps), f"{offset} s apart at first"


def test_a_cadence_that_is_told_so_comes_again_sooner_and_then_at_its_interval() -> None:
    seconds = 1_000.0
    cadence = Cadence(EVERY, lambda: seconds)
    cadence.begin()
    cadence.again_in(60)
    assert cadence.wait_seconds() == pytest.approx(60, abs=1)
    seconds += 60
    assert cadence.due()
    cadence.begin()
    seconds += 599
    assert not cadence.due()


def test_a_schedule_comes_again_when_its_pass_says_so() -> None:
    """The clock leaps by 100 s a look: at the interval of 10 minutes the second pass would be a wait away."""
    passes: list[int] = []
    second = threading.Event()
    seconds = count(0, 100)

    def run_pass() -> float:
        passes.append(1)
        if len(passes) == 2:
            second.set()
        return 60.0

    ingestion = IngestionSchedule(
        settings_for(NOWHERE), run_pass=run_pass, monotonic=lambda: float(next(seconds))
    )
    ingestion.start()
    assert second.wait(20)
    ingestion.stop()


def test_an_api_whose_ingestion_is_switched_off_has_no_schedule() -> None:
    off = settings_for(NOWHERE)
    assert server.ingestion(off) is None
    assert isinstance(server.ingestion(off.model_copy(update={"ingestion_enabled": True})), IngestionSchedule)


def test_a_cadence_never_comes_again_at_once() -> None:
    cadence = Cadence(EVERY, lambda: 1_000.0)
    cadence.begin()
    cadence.again_in(0)
    assert not cadence.due()
