"""When a pass is due: by the wall clock, and by the monotonic one when the wall clock was set back."""

from __future__ import annotations

import datetime as wall
import threading
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace

import pytest
import schedule

from alpimonitor_api.ingest.schedule import Cadence, IngestionSchedule
from alpimonitor_api.settings import Settings

TEN_MINUTES = timedelta(minutes=10)


class Clocks:
    """A monotonic clock, and the wall clock that the library reads, moved by hand."""

    def __init__(self) -> None:
        self.monotonic_seconds = 1_000.0
        self.wall_time = wall.datetime(2026, 7, 1, 12, 0)  # noqa: DTZ001 - the library counts in local time

    def monotonic(self) -> float:
        return self.monotonic_seconds

    def pass_by(self, seconds: float) -> None:
        self.monotonic_seconds += seconds
        self.wall_time += timedelta(seconds=seconds)


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    clocks = Clocks()

    class Wall(wall.datetime):
        @classmethod
        def now(cls, tz: wall.tzinfo | None = None) -> wall.datetime:  # type: ignore[override]
            return clocks.wall_time

    monkeypatch.setattr(
        schedule, "datetime", SimpleNamespace(datetime=Wall, timedelta=timedelta, time=wall.time)
    )
    return clocks


def test_the_first_pass_is_due_at_once(clocks: Clocks) -> None:
    assert Cadence(TEN_MINUTES, clocks.monotonic).due()


def test_the_next_is_due_an_interval_after_the_last_began(clocks: Clocks) -> None:
    cadence = Cadence(TEN_MINUTES, clocks.monotonic)
    cadence.begin()
    clocks.pass_by(599)
    assert not cadence.due()
    assert cadence.wait_seconds() == pytest.approx(1)
    clocks.pass_by(1)
    assert cadence.due()


def test_a_wall_clock_set_back_by_an_hour_delays_nothing(clocks: Clocks) -> None:
    cadence = Cadence(TEN_MINUTES, clocks.monotonic)
    cadence.begin()
    clocks.wall_time -= timedelta(hours=1)
    assert cadence.wait_seconds() == pytest.approx(600)
    clocks.pass_by(600)
    assert cadence.due()


def test_a_wall_clock_set_forward_makes_one_pass_due_and_not_several(clocks: Clocks) -> None:
    cadence = Cadence(TEN_MINUTES, clocks.monotonic)
    cadence.begin()
    clocks.wall_time += timedelta(hours=5)
    assert cadence.due()
    cadence.begin()
    assert not cadence.due()


def test_what_was_missed_is_not_caught_up(clocks: Clocks) -> None:
    cadence = Cadence(TEN_MINUTES, clocks.monotonic)
    cadence.begin()
    clocks.pass_by(3_000)
    assert cadence.wait_seconds() == 0
    cadence.begin()
    assert not cadence.due()
    assert cadence.wait_seconds() == pytest.approx(600)


def test_a_pass_that_raises_is_logged_and_the_next_one_runs(
    settings: Callable[..., Settings], caplog: pytest.LogCaptureFixture
) -> None:
    passes: list[int] = []
    second = threading.Event()
    seconds = iter(range(0, 10_000_000, 1_000))

    def run_pass() -> None:
        passes.append(1)
        if len(passes) == 2:
            second.set()
        raise RuntimeError("the pass broke")

    schedule = IngestionSchedule(settings(), run_pass=run_pass, monotonic=lambda: next(seconds))
    schedule.start()
    assert second.wait(10)
    schedule.stop()
    assert "An ingestion pass broke off" in caplog.text
    assert "the pass broke" in caplog.text


def test_stopping_ends_the_wait_at_once_and_starts_no_other_pass(settings: Callable[..., Settings]) -> None:
    passes: list[int] = []
    ran = threading.Event()

    def run_pass() -> None:
        passes.append(1)
        ran.set()

    schedule = IngestionSchedule(settings(), run_pass=run_pass)
    schedule.start()
    assert ran.wait(10)
    schedule.stop()
    assert passes == [1]
    assert not any(thread.name == "ingestion" for thread in threading.enumerate())


def test_a_pass_that_does_not_end_is_given_up_and_said(
    settings: Callable[..., Settings], caplog: pytest.LogCaptureFixture
) -> None:
    began, release = threading.Event(), threading.Event()

    def run_pass() -> None:
        began.set()
        release.wait(30)

    schedule = IngestionSchedule(settings(), run_pass=run_pass)
    schedule.start()
    assert began.wait(10)
    schedule.stop(within=0.01)
    assert "did not end within" in caplog.text
    release.set()
    schedule.stop()


def test_stopping_what_never_started_is_nothing(settings: Callable[..., Settings]) -> None:
    IngestionSchedule(settings(), run_pass=lambda: None).stop()


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Settings]:
    """Settings from an environment that holds these variables."""

    def made(**variables: str) -> Settings:
        monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
        monkeypatch.delenv("LINDAS_ARCHIVE_DIR", raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return Settings()

    return made
