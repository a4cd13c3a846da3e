"""tick(): observe → decide → save → perform → record → publish. run(): the cadence.

The only user of `schedule`. It reads the wall clock, so a monotonic guard stands beside it: a tick that is
overdue by the monotonic clock runs, whatever the wall clock does.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol, cast

import schedule

from .core.acts import Act, Answer
from .core.decide import decide
from .core.guards import circuit_open
from .core.messages import About, compose
from .core.model import Decision, MakePlan, Notify, Policy, RunAfter, StartHeal, State
from .core.passing import resumed
from .core.seen import DatabaseSeen, Expectation, HealSeen, LeaderSeen, Observation, OutsideSeen
from .core.words import CONTEXT_LOSS, HealOutcome, Mode
from .heal.worker import Finished, HealWorker
from .keeper import Keeper
from .metrics import Metrics
from .store import Outgoing, Store, StoreError
from .web.view import View

log = logging.getLogger(__name__)
_SECOND_LOOK = 0.05  # seconds: two successive looks have to agree, and need not be an interval apart
_PRUNE_EVERY = 60.0
_SAVE_EVERY = 60.0  # seconds between saves of an uneventful state


class LooksAtDatabase(Protocol):
    """The database probe. Never raises. `closely`: something is lost, so evidence is worth its time."""

    closely: bool

    def look(self) -> DatabaseSeen: ...


class LooksOutside(Protocol):
    """The probe of the API, in a thread of its own."""

    def latest(self, now: float) -> OutsideSeen | None: ...
    def wake(self) -> None: ...


class HearsOperators(Protocol):
    """Where operators' acts wait, and their callers for an answer."""

    def take(self) -> tuple[Act, ...]: ...
    def answer(self, answers: Sequence[Answer]) -> None: ...


class Leads(Protocol):
    """Who of several sidecars heals. Neither blocks nor raises."""

    def standing(self) -> LeaderSeen: ...
    def announce(self, episode: int) -> None: ...


@dataclass(frozen=True)
class Clock:
    """The two clocks, read once a tick: aware UTC for people, monotonic seconds for durations."""

    utc: Callable[[], datetime]
    monotonic: Callable[[], float]


@dataclass(frozen=True)
class Task:
    """What the loop is told once, at the start."""

    expectation: Expectation
    policy: Policy
    about: About
    warnings: tuple[str, ...] = ()


class Loop:
    """Holds the state between ticks; everything it does to the world goes through what it is given."""

    def __init__(
        self,
        task: Task,
        *,
        clock: Clock,
        database: LooksAtDatabase,
        outside: LooksOutside | None,
        worker: HealWorker | None,
        operators: HearsOperators,
        leadership: Leads | None,
        store: Store,
        metrics: Metrics,
        publish: Callable[[View], None],
        wake_notifier: Callable[[], None],
    ) -> None:
        self._task = task
        self._clock = clock
        self._database = database
        self._outside = outside
        self._worker = worker
        self._operators = operators
        self._leadership = leadership
        self._store = store
        self._metrics = metrics
        self._publish = publish
        self._wake_notifier = wake_notifier
        self._ticked: float | None = None
        self._saved_lived = self._pruned_lived = 0.0
        self._store_error = ""
        self._ended = Finished()  # of which no decision has taken note yet
        self.state = self._resume()
        self._keeper = Keeper(store, self.state)
        # What follows a heal was begun by a process that ended since: it may be run twice, and not never.
        self._after_again = self.state.after_due and task.policy.mode is Mode.ON

    def _resume(self) -> State:
        """The saved state; a heal that ran when the last process ended is reported, and not repeated."""
        state = resumed(self._store.load())
        self._saved_lived = state.lived
        if state.heal is not None and state.heal.ended_lived is None:
            found = self._store.finished_heal(state.heal.id) or HealSeen(
                state.heal.id, HealOutcome.INTERRUPTED, "the sidecar stopped while it ran"
            )
            self._ended = Finished(heal=found)
        return state

    def tick(self) -> Decision:
        """One pass. Raises nothing that the world causes."""
        seen, finished = self._observe()
        # Before the state that takes note of it: killed in between, the end of a heal is still known.
        self._record_heal(finished, seen.at)
        self._keeper.copy(seen, self.state)
        before = self.state
        decision = decide(before, seen, self._task.expectation, self._task.policy)
        self._database.closely = decision.state.incident is not None or decision.findings.context_lost
        self._keeper.conclude(decision, seen.at)
        saved = self._save(before, decision, seen)
        # Not before: what a tick decided that failed, the next one decides, with all that had ended.
        self.state, self._ended = decision.state, Finished()
        if self._leadership is not None:
            self._leadership.announce(decision.state.episode)
        self._perform(decision, saved=saved)
        self._record(decision, seen, finished)
        self._report(decision, seen)
        self._prune(seen.at)
        self._operators.answer([self._told(answer) for answer in decision.answers])
        return decision

    def close(self, at: datetime) -> None:
        """Record how a heal ended that was stopped with the sidecar."""
        if self._worker:
            self._record_heal(self._worker.collect(), at)

    def _observe(self) -> tuple[Observation, Finished]:
        # Before the look at the rows: what a heal did is then seen in this very tick.
        finished = self._ended = self._ended.then(self._worker.collect() if self._worker else Finished())
        database = self._database.look()
        # After the look: how long one took is no time between two sightings.
        monotonic, at = self._clock.monotonic(), self._clock.utc()
        elapsed = 0.0 if self._ticked is None else monotonic - self._ticked
        self._ticked = monotonic
        if finished.heal is not None and self._outside is not None:
            self._outside.wake()  # a look that begins after the end of the heal, by this clock
        seen = Observation(
            at=at,
            elapsed=elapsed,
            database=database,
            outside=self._outside.latest(monotonic) if self._outside else None,
            plan=finished.plan,
            heal=finished.heal,
            after_done=bool(finished.after),
            recordable=self._recordable(at),
            leader=self._leadership.standing() if self._leadership else None,
            acts=self._operators.take(),
        )
        return seen, finished

    def _recordable(self, at: datetime) -> bool:
        """Whether a heal could be written down, and the heals before it are known to the budget."""
        since = self._store.heals_unknown_since
        unknown = since is not None and at - since < timedelta(seconds=self._task.policy.heal_window)
        return self._store.recordable and not self._store_error and not unknown

    def _save(self, before: State, decision: Decision, seen: Observation) -> bool:
        """Save what changed; a healthy tick changes nothing, and is saved once a minute."""
        eventful = (
            decision.transitions
            or decision.effects
            or decision.answers
            or _lasting(decision.state) != _lasting(before)
        )
        due = decision.state.lived - self._saved_lived >= _SAVE_EVERY
        if not (eventful or due or self._store_error):
            return True
        outgoing = []
        for effect in decision.effects:
            if isinstance(effect, Notify) and decision.incident is not None:
                message = compose(
                    effect,
                    decision,
                    self._task.about,
                    self._task.policy,
                    self._task.expectation,
                    self._keeper.chain,
                )
                key = f"{decision.incident.key}-{effect.kind}-{effect.number}"
                outgoing.append(Outgoing(decision.incident.id, effect.kind, effect.tags, message, key=key))
        try:
            self._store.save(decision, seen.at, outgoing)
        except StoreError as error:
            if not self._store_error:
                log.error("The state could not be saved: %s", error, extra={"action": "save_failed"})
            self._store_error = str(error)
            return False
        if self._store_error:
            log.warning("The state can be saved again.", extra={"action": "save_works"})
        self._store_error = ""
        self._saved_lived = decision.state.lived
        return True

    def _perform(self, decision: Decision, *, saved: bool) -> None:
        key = decision.incident.key if decision.incident else ""
        if self._after_again and self._worker:
            self._after_again = False
            self._worker.after()
        for effect in decision.effects:
            match effect:
                case Notify():
                    self._wake_notifier()
                case MakePlan(number) if self._worker:
                    self._worker.plan(number)
                case StartHeal(heal_id) if self._worker:
                    if saved:
                        self._worker.heal(heal_id, key)
                    else:
                        failed = HealSeen(heal_id, HealOutcome.FAILED, f"not started: {self._store_error}")
                        self._ended = Finished(heal=failed)
                case RunAfter() if self._worker:
                    self._worker.after()
                case _:
                    raise AssertionError(f"{effect} without a healer")

    def _told(self, answer: Answer) -> Answer:
        if not self._store_error:
            return answer
        return replace(
            answer, sentence=f"{answer.sentence} It could not be written down: {self._store_error}"
        )

    def _record_heal(self, finished: Finished, at: datetime) -> None:
        ended = finished.heal
        if ended is None:
            return
        try:
            self._store.finish_heal(ended.id, ended.outcome, ended.detail, at)
        except StoreError as error:
            log.error("A heal's end could not be recorded: %s", error, extra={"action": "record_failed"})

    def _record(self, decision: Decision, seen: Observation, finished: Finished) -> None:
        incident = decision.incident.id if decision.incident else None
        try:
            self._keeper.tell(seen, incident, self._task.expectation)
            for sentence in finished.after:
                self._store.note(incident, seen.at, "after_heal", "heal", sentence)
        except StoreError as error:
            log.error("An event could not be recorded: %s", error, extra={"action": "record_failed"})

    def _prune(self, at: datetime) -> None:
        """Let the store forget what is old, once a minute; it takes a moment only when there is something."""
        if self.state.lived - self._pruned_lived < _PRUNE_EVERY:
            return
        self._pruned_lived = self.state.lived
        self._store.prune(at)

    def _report(self, decision: Decision, seen: Observation) -> None:
        for change in decision.transitions:
            log.info(
                "%s -> %s: %s%s",
                change.before,
                change.after,
                change.reason,
                f" ({change.detail})" if change.detail else "",
                extra={"action": "transition", "reason": change.reason.value},
            )
        for answer in decision.answers:
            log.info(
                "%s says %s (%s): %s",
                answer.act.by,
                answer.act.kind,
                answer.act.reason,
                answer.sentence,
                extra={"action": "operator", "reason": answer.refused.value if answer.refused else ""},
            )
        if decision.refusal is not None and decision.refusal_is_new:
            log.warning(
                "No heal: %s", decision.refusal, extra={"action": "refusal", "reason": decision.refusal.value}
            )
        state = decision.state
        self._metrics.publish(seen, decision, self._task.expectation, circuit_open(state, self._task.policy))
        self._publish(
            View(
                at=seen.at,
                lived=state.lived,
                state=state,
                observation=seen,
                findings=decision.findings,
                refusal=decision.refusal,
                obstacle=decision.obstacle,
                expectation=self._task.expectation,
                policy=self._task.policy,
                database=self._task.about.database,
                warnings=self._task.warnings,
                store_error=self._store_error or self._store.trouble,
            )
        )


def seconds_to_next(decision: Decision, interval: float) -> float:
    """When to look again: soon, if a second look is all that an incident needs to open."""
    fresh = any(streak.symptom in CONTEXT_LOSS and streak.probes == 1 for streak in decision.state.streaks)
    return min(_SECOND_LOOK, interval) if fresh and decision.findings.context_lost else interval


def _lasting(state: State) -> State:
    """The state without what every tick counts up, and what is saved once a minute."""
    good = replace(state.good, fingerprint=None) if state.good else None
    return replace(
        state,
        lived=0.0,
        streaks=(),
        clear_probes=0,
        clear_lasted=0.0,
        ledger=(),
        whole_lived=0.0,
        cursor=None,
        fingerprint=None,
        good=good,
    )


def run(
    tick: Callable[[], float],
    *,
    interval: float,
    wake: threading.Event,
    stopping: Callable[[], bool],
    monotonic: Callable[[], float],
) -> None:
    """Tick every `interval` seconds until `stopping()`.

    `wake` brings the next tick forward, and so does a tick that returns fewer seconds than `interval`. A tick
    that raises is logged and the next one comes all the same: the watch never ends by itself.
    """
    cadence = schedule.Scheduler()
    due = monotonic()

    def guarded() -> None:
        nonlocal due
        began = monotonic()
        pause = interval
        try:
            pause = min(tick(), interval)
        except Exception:
            log.exception("A tick failed", extra={"action": "tick_failed"})
        due = began + pause

    cadence.every(cast(int, interval)).seconds.do(guarded)  # fractions work; the annotation says int
    while not stopping():
        if wake.is_set() or monotonic() >= due:
            wake.clear()
            cadence.run_all()
        else:
            cadence.run_pending()
        wake.wait(max(0.0, min(cadence.idle_seconds or 0.0, due - monotonic())))
