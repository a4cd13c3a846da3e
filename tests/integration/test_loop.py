"""The loop over a real store: what is saved, what is done once, what a restart continues."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from alpimonitor_watchdog import loop as loop_module
from alpimonitor_watchdog.core.messages import About
from alpimonitor_watchdog.core.model import Decision
from alpimonitor_watchdog.core.seen import (
    DatabaseSeen,
    HealSeen,
    HealthSeen,
    OutsideSeen,
    PlanSeen,
    TableSeen,
)
from alpimonitor_watchdog.core.words import HealOutcome, Kind, Phase, Reason, Tag
from alpimonitor_watchdog.heal.worker import HealWorker
from alpimonitor_watchdog.loop import Clock, Loop, Task, seconds_to_next
from alpimonitor_watchdog.metrics import Metrics
from alpimonitor_watchdog.store import Outgoing, Store, StoreFull
from alpimonitor_watchdog.web.desk import Desk
from alpimonitor_watchdog.web.view import View
from tests.unit.episodes import EXPECTED, HERE, POLICY

CHANNELS = {"everything": frozenset({Tag.NOTIFY}), "pager": frozenset({Tag.PAGE})}
EXPECTATION = replace(EXPECTED, stations=None, health_watched=False, environment="test")


class World:
    """A database, a healer with a log of its own, and clocks that only move when told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows = {"station": 7, "sensor": 14, "measurement": 1}
        self.now = datetime(2026, 4, 21, 12, tzinfo=UTC)
        self.monotonic = 1000.0
        self.healed: list[str] = []
        self.outcome = HealOutcome.SUCCEEDED
        self.puts_back = True
        self.views: list[View] = []
        self.idle = threading.Event()
        self.expected = EXPECTATION
        self.outside: Outside | None = None
        self.look_takes = 0.0

    # the database
    def look(self) -> DatabaseSeen:
        self.pass_time(self.look_takes)
        tables = tuple(TableSeen(name, rows=count) for name, count in self.rows.items())
        return DatabaseSeen(tables=tables, revision="0001", name="hydro", identity=HERE)

    # the healer
    name = "command"

    def plan(self) -> PlanSeen:
        return PlanSeen(inserts=(("station", 7), ("sensor", 14)))

    def heal(self, heal_id: str) -> HealSeen:
        self.healed.append(heal_id)
        if self.puts_back:
            self.rows |= {"station": 7, "sensor": 14}
        return HealSeen(heal_id, self.outcome, "as told")

    def after(self) -> tuple[str, ...]:
        return ("`ingest` exited 0",)

    def wipe(self) -> None:
        self.rows |= {"station": 0, "sensor": 0}

    def pass_time(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.monotonic += seconds


class Outside:
    """The API: a look at each wake, whose answer is there at the next tick."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.answered = self.asked = world.monotonic

    def latest(self, now: float) -> OutsideSeen:
        began, self.answered = self.answered, self.asked
        return OutsideSeen(now - began, (HealthSeen("http://api/stations", ok=True),))

    def wake(self) -> None:
        self.asked = self.world.monotonic


class InTurn(HealWorker):
    """The worker without its thread: a job ends before the next tick, if the world lets it."""

    def work(self) -> None:
        while not self._jobs.empty():
            self.work_one()


class Sidecar:
    """A loop with its store, which may be killed at any moment and started again."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.store = Store.open(world.folder, world.now, CHANNELS)
        self.worker = InTurn(world, lambda: None)
        self.desk = Desk(lambda: None)
        self.loop = Loop(
            Task(world.expected, POLICY, About("hydro", "http://page/", "seed"), ()),
            clock=Clock(lambda: world.now, lambda: world.monotonic),
            database=world,
            outside=world.outside,
            worker=self.worker,
            operators=self.desk,
            leadership=None,
            store=self.store,
            metrics=Metrics(channels=CHANNELS, healers=["command"], version="0"),
            publish=world.views.append,
            wake_notifier=lambda: None,
        )

    def tick(self, *, work: bool = True) -> Decision:
        self.world.pass_time(1)
        decision = self.loop.tick()
        if work:
            self.worker.work()
        return decision

    def until(self, phase: Phase, *, work: bool = True) -> Decision:
        for _ in range(100):
            decision = self.tick(work=work)
            if decision.state.phase is phase:
                return decision
        raise AssertionError(f"{phase} was not reached")

    def queued(self) -> list[Kind]:
        """What waits for the channel that hears of everything, oldest first; each counts as delivered."""
        kinds = []
        while pending := self.store.outbox.pending("everything"):
            for queued in pending:
                kinds.append(queued.kind)
                self.store.outbox.delivered(queued, self.world.now)
        return kinds

    def outcomes(self) -> list[str]:
        return [
            heal["outcome"]
            for listed in reversed(self.store.incidents(10))
            for heal in (self.store.incident(listed["id"]) or {})["heals"]
        ]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def sidecar(world: World) -> Iterator[Sidecar]:
    made = Sidecar(world)
    yield made
    made.store.close()


def test_an_episode_is_saved_told_and_healed_once(world: World, sidecar: Sidecar) -> None:
    sidecar.tick()
    world.wipe()
    sidecar.until(Phase.RESOLVED)
    assert len(world.healed) == 1
    assert sidecar.queued() == [Kind.OPENED, Kind.RESTORED, Kind.RESOLVED]
    assert sidecar.outcomes() == ["succeeded"]
    (listed,) = sidecar.store.incidents(10)
    events = [item["event"] for item in (sidecar.store.incident(listed["id"]) or {})["timeline"]]
    for event in ("suspected", "open", "heal_waits", "healing", "heal_succeeded", "verifying", "resolved"):
        assert event in events


def test_a_healthy_minute_writes_nothing_and_the_next_once(world: World, sidecar: Sidecar) -> None:
    sidecar.tick()  # at first contact the last good state is written down
    saved: list[datetime] = []
    original = sidecar.store.save

    def counting(decision: Decision, at: datetime, outgoing: Sequence[Outgoing] = ()) -> None:
        saved.append(at)
        original(decision, at, outgoing)

    sidecar.store.save = counting  # type: ignore[method-assign]
    for _ in range(59):
        sidecar.tick()
    assert saved == []
    for _ in range(60):
        sidecar.tick()
    assert len(saved) == 1


@pytest.mark.parametrize("ticks", range(30))
def test_killed_after_any_tick_it_continues_with_one_incident_and_one_heal(world: World, ticks: int) -> None:
    first = Sidecar(world)
    first.tick()
    world.wipe()
    told: list[Kind] = []
    for _ in range(ticks):
        first.tick()
    told += first.queued()
    first.store.close()  # whatever it held in memory is gone
    second = Sidecar(world)
    for _ in range(40):
        second.tick()
    told += second.queued()
    incidents = second.store.incidents(10)
    second.store.close()
    assert len(incidents) == 1
    assert incidents[0]["phase"] == "resolved"
    # Killed between a heal and its record, it can only say that the rows are back.
    assert told in ([Kind.OPENED, Kind.RESTORED, Kind.RESOLVED], [Kind.OPENED, Kind.RESOLVED])
    assert len(world.healed) == 1
    assert world.rows["station"] == 7


def test_killed_between_reserving_and_starting_a_heal_it_is_interrupted_then_healed_anew(
    world: World,
) -> None:
    first = Sidecar(world)
    world.wipe()
    # The plan is made while it is open; from there on the worker does nothing any more.
    first.until(Phase.OPEN)
    first.until(Phase.HEALING, work=False)
    assert world.healed == []
    first.store.close()
    second = Sidecar(world)
    decision = second.tick()
    assert [transition.reason for transition in decision.transitions] == [Reason.HEAL_INTERRUPTED]
    second.until(Phase.RESOLVED)
    assert second.outcomes() == ["interrupted", "succeeded"]
    assert len(world.healed) == 1
    second.store.close()


def test_killed_after_a_heal_and_before_its_save_it_is_not_healed_again(world: World) -> None:
    first = Sidecar(world)
    world.wipe()
    first.until(Phase.HEALING)  # the worker has run it; nobody has collected the result
    assert len(world.healed) == 1
    first.store.close()
    second = Sidecar(world)
    second.until(Phase.RESOLVED)
    assert len(world.healed) == 1
    assert world.rows["station"] == 7
    second.store.close()


def test_a_plan_that_was_being_made_is_made_again_after_a_restart(world: World) -> None:
    first = Sidecar(world)
    world.wipe()
    first.until(Phase.OPEN, work=False)
    assert first.loop.state.planning
    first.store.close()
    second = Sidecar(world)
    second.until(Phase.RESOLVED)
    assert len(world.healed) == 1
    second.store.close()


def test_with_a_full_disk_it_keeps_watching_and_telling_and_heals_nothing(
    world: World, sidecar: Sidecar, monkeypatch: pytest.MonkeyPatch
) -> None:
    sidecar.tick()
    monkeypatch.setattr(sidecar.store._connection, "transaction", _full)
    world.wipe()
    for _ in range(30):
        refused = sidecar.tick().refusal
    assert (refused, world.healed) == (Reason.NOT_RECORDABLE, [])
    assert sidecar.loop.state.phase is Phase.OPEN
    waiting = sidecar.store.outbox.pending("everything")
    assert [queued.kind for queued in waiting] == [Kind.OPENED]
    assert "disk is full" in world.views[-1].store_error
    monkeypatch.undo()
    sidecar.until(Phase.RESOLVED)
    assert len(world.healed) == 1
    assert world.views[-1].store_error == ""


def test_the_look_at_the_api_that_a_heal_brings_forward_counts_as_its_proof(world: World) -> None:
    """It begins after the end of the heal, by the clock that the end is dated by."""
    world.expected = replace(EXPECTATION, health_watched=True)
    world.outside, world.look_takes = Outside(world), 0.01
    sidecar = Sidecar(world)
    sidecar.tick()
    world.wipe()
    sidecar.until(Phase.HEALING)
    sidecar.tick()  # the end of the heal is seen
    reasons = [change.reason for change in sidecar.tick().transitions]
    assert Reason.CONTEXT_RESTORED in reasons


def test_heals_that_may_be_missing_from_the_budget_stop_healing_for_a_window(
    world: World, sidecar: Sidecar
) -> None:
    sidecar.store.heals_unknown_since = world.now
    world.wipe()
    for _ in range(30):
        refused = sidecar.tick().refusal
    assert (refused, world.healed) == (Reason.NOT_RECORDABLE, [])
    world.pass_time(POLICY.heal_window)
    sidecar.until(Phase.RESOLVED)
    assert len(world.healed) == 1


def test_a_heal_whose_reservation_fails_is_not_started(world: World, sidecar: Sidecar) -> None:
    world.wipe()
    sidecar.until(Phase.OPEN)
    original = sidecar.store.save

    def full_at_the_heal(decision: Decision, at: datetime, outgoing: Sequence[Outgoing] = ()) -> None:
        if decision.state.heal is not None:
            raise StoreFull("the disk is full")
        original(decision, at, outgoing)

    sidecar.store.save = full_at_the_heal  # type: ignore[method-assign]
    sidecar.until(Phase.HEALING)
    assert world.healed == []
    decision = sidecar.tick()
    assert [transition.reason for transition in decision.transitions] == [Reason.HEAL_FAILED]
    assert decision.transitions[0].detail == "failed: not started: the disk is full"


def test_only_a_fresh_loss_is_looked_at_again_at_once(world: World, sidecar: Sidecar) -> None:
    assert seconds_to_next(sidecar.tick(), 1.0) == 1.0
    world.wipe()
    assert seconds_to_next(sidecar.tick(), 1.0) < 0.1
    assert seconds_to_next(sidecar.tick(), 1.0) == 1.0


def test_the_cadence_survives_a_tick_that_raises_and_a_clock_that_is_set_back() -> None:
    clock = _Clock()
    ticked: list[float] = []

    def tick() -> float:
        ticked.append(clock.now)
        if len(ticked) == 2:
            raise RuntimeError("a tick goes wrong")
        return 1.0

    loop_module.run(
        tick,
        interval=1.0,
        wake=clock,  # type: ignore[arg-type]
        stopping=lambda: len(ticked) >= 5,
        monotonic=lambda: clock.now,
    )
    assert ticked == pytest.approx([0.0, 1.0, 2.0, 3.0, 4.0], abs=0.01)


def test_a_wake_brings_the_next_tick_forward() -> None:
    clock = _Clock(wake_at=0.3)
    ticked: list[float] = []

    def tick() -> float:
        ticked.append(clock.now)
        return 1.0

    loop_module.run(
        tick,
        interval=1.0,
        wake=clock,  # type: ignore[arg-type]
        stopping=lambda: len(ticked) >= 3,
        monotonic=lambda: clock.now,
    )
    assert ticked[1] == pytest.approx(0.3, abs=0.01)


class _Clock:
    """An event to wait on whose waiting is what makes time pass; the wall clock stands still meanwhile."""

    def __init__(self, wake_at: float | None = None) -> None:
        self.now = 0.0
        self._wake_at = wake_at

    def is_set(self) -> bool:
        return self._wake_at is not None and self.now >= self._wake_at

    def clear(self) -> None:
        if self.is_set():
            self._wake_at = None

    def wait(self, seconds: float) -> None:
        ends = self.now + max(seconds, 0.001)
        self.now = ends if self._wake_at is None else min(ends, max(self.now, self._wake_at))


def _full() -> None:
    raise StoreFull("the disk is full")


def test_a_tick_that_fails_is_decided_again_and_loses_no_heal(
    world: World, sidecar: Sidecar, monkeypatch: pytest.MonkeyPatch
) -> None:
    sidecar.tick()
    world.wipe()
    sidecar.until(Phase.HEALING)  # the worker has run it; nobody has collected the result
    with monkeypatch.context() as broken:
        broken.setattr(loop_module, "decide", _broken)
        with pytest.raises(ZeroDivisionError):
            sidecar.tick()
    assert sidecar.until(Phase.VERIFYING).state.heals[-1].succeeded
    with monkeypatch.context() as broken:
        broken.setattr(loop_module, "compose", _broken)
        with pytest.raises(ZeroDivisionError):
            sidecar.until(Phase.RESOLVED)
    sidecar.until(Phase.RESOLVED)
    assert sidecar.queued() == [Kind.OPENED, Kind.RESTORED, Kind.RESOLVED]
    assert len(world.healed) == 1


def _broken(*_: object) -> Decision:
    raise ZeroDivisionError
