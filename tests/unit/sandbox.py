"""A sidecar that may die at any effect, in a world that answers it and keeps a log of its own.

It does what loop and store do: a state is saved with its notifications and reservations, then the effects
are performed in order; a crash loses what was not saved. The world counts heals; deciding does not see that.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from alpimonitor_watchdog.core.acts import Act, ActKind
from alpimonitor_watchdog.core.decide import decide
from alpimonitor_watchdog.core.evidence import Event, Operation, RecorderSeen, SessionSeen
from alpimonitor_watchdog.core.fingerprint import Identity
from alpimonitor_watchdog.core.model import Decision, MakePlan, Notify, Policy, RunAfter, StartHeal, State
from alpimonitor_watchdog.core.passing import resumed
from alpimonitor_watchdog.core.seen import (
    Attempt,
    DatabaseSeen,
    Expectation,
    HealSeen,
    HealthSeen,
    IngestionSeen,
    LeaderSeen,
    Observation,
    OutsideSeen,
    PlanSeen,
    TableSeen,
)
from alpimonitor_watchdog.core.words import HealOutcome, Phase, Tag, Unseen
from tests.unit.episodes import EXPECTED, HEALTHY_ROWS, HERE, START, STATE

Rows = int | Unseen | None
PID = 4242
GOOD_PLAN = PlanSeen(inserts=(("station", 7), ("sensor", 14)))


@dataclass(frozen=True)
class Began:
    """A heal in the log of the world. `clock`: real seconds, time in which no sidecar ran included."""

    id: str
    clock: float
    ours: bool = True


@dataclass(frozen=True)
class Looked:
    """One look: what was seen and decided, whether it was saved, and what the world was made to do."""

    seen: Observation
    decision: Decision
    saved: bool
    crashed: bool
    began: tuple[Began, ...] = ()
    heal_ended: float | None = None  # when the heal before that ended, by the world's clock


@dataclass
class Sandbox:
    """The world, the process, and what each leaves behind."""

    policy: Policy
    expected: Expectation = EXPECTED
    pair: bool = False  # whether there is another sidecar
    # the world
    at: datetime = START
    clock: float = 0.0
    stepped: bool = False  # somebody has set `at`
    rows: dict[str, Rows] = field(default_factory=lambda: dict(HEALTHY_ROWS))
    reachable: bool = True
    identity: Identity | None = HERE
    served: str | None = None
    health_ok: bool = True
    stations_seen: int = 4
    ingestion_started: datetime | None = START - timedelta(minutes=5)
    ingests_after: bool = True
    held_by: int | None = None
    read_only: bool = False
    plan: PlanSeen = GOOD_PLAN
    outcome: HealOutcome | None = HealOutcome.SUCCEEDED  # None: the heal goes on
    puts_back: bool = True
    store_works: bool = True
    leads: bool = True
    counts: int | None = None  # the episode that the other one tells, when it leads
    acts: tuple[Act, ...] = ()
    recorded: tuple[Event, ...] = ()  # not read yet
    transaction: int = 700
    busy: bool = False  # the session of the last recorded statement is still at work
    heals: list[Began] = field(default_factory=list)
    heal_ended: float | None = None  # on the world's clock: the last of ours
    heal_ended_at: datetime | None = None
    # the process
    state: State = field(default_factory=State)
    fresh: bool = True  # no look yet: nothing is known of the time before
    planned: PlanSeen | None = None
    running: str | None = None
    ended: HealSeen | None = None
    save_failed: bool = False
    # what it leaves behind
    saved: State = field(default_factory=State)
    outcomes: dict[str, HealOutcome] = field(default_factory=dict)

    def branch(self) -> Sandbox:
        """The same world, that goes its own way from here."""
        other = copy(self)
        other.rows, other.outcomes, other.heals = dict(self.rows), dict(self.outcomes), list(self.heals)
        return other

    def say(self, kind: ActKind) -> None:
        until = self.at + timedelta(seconds=4) if kind is ActKind.PAUSE else None
        self.acts += (Act(f"{self.clock}-{len(self.acts)}", kind, "why", "anna", until),)

    def delete(self, reason: str | None = None) -> None:
        """A recorded transaction takes every row that is left."""
        self.transaction += 1
        for table, rows in self.rows.items():
            if isinstance(rows, int) and rows and table in ("station", "sensor"):
                self.recorded += (deleted(table, rows, self.transaction, self.at, reason),)
                self.rows[table] = 0

    def heal_elsewhere(self) -> None:
        """The other sidecar heals, if this one does not lead: within the budget that both share."""
        within = [heal for heal in self.heals if self.clock - heal.clock < self.policy.heal_window]
        if self.pair and not self.leads and len(within) < self.policy.heal_budget:
            self.heals.append(Began(f"other-{len(self.heals)}", self.clock, ours=False))
            self.rows.update(HEALTHY_ROWS)

    def look(self, elapsed: float, crash: int | None = None) -> Looked:
        """`crash`: the process dies before it has saved (0), or after so many effects less one."""
        self.at += timedelta(seconds=elapsed)
        self.clock += elapsed
        self._end_heal()
        ended = self.heal_ended
        seen = self._observe(0.0 if self.fresh else elapsed)
        self.fresh, self.planned, self.ended, self.acts = False, None, None, ()
        read, self.recorded = self.recorded, () if self.reachable else self.recorded
        before, decision = self.state, decide(self.state, seen, self.expected, self.policy)
        if crash == 0:
            self.recorded = read  # a process begins to read where the last save was
            self._die()
            return Looked(seen, decision, saved=False, crashed=True)
        self.state = decision.state
        saved = self._save(before, decision)
        known = len(self.heals)
        for number, effect in enumerate(decision.effects, start=1):
            if number == crash:
                break
            self._perform(effect, saved)
        if seen.heal is not None and (crash is None or crash > len(decision.effects) + 1):
            self.outcomes[seen.heal.id] = seen.heal.outcome
        if crash is not None:
            self._die()
        return Looked(seen, decision, saved, crash is not None, tuple(self.heals[known:]), ended)

    def _observe(self, elapsed: float) -> Observation:
        tables = tuple(_table(name, rows) for name, rows in self.rows.items())
        database = DatabaseSeen(
            tables=tables,
            revision="0001",
            read_only=self.read_only,
            change_held_by=self.held_by,
            identity=self.identity,
            recorder=RecorderSeen(
                installed=True,
                arming="a1",
                events=self.recorded,
                cursor=self.transaction,
                sessions=(SessionSeen(PID, START, "active"),) if self.busy else (),
            ),
        )
        return Observation(
            at=self.at,
            elapsed=elapsed,
            database=database if self.reachable else DatabaseSeen(unseen=Unseen.UNREACHABLE),
            outside=OutsideSeen(
                age=0.0,
                health=(HealthSeen("http://api/health", self.health_ok),),
                ingestion=IngestionSeen(self.stations_seen, self.ingestion_started, archive_failures=0),
                deployment=self.served,
            ),
            plan=self.planned,
            heal=self.ended,
            recordable=not self.save_failed,
            leader=self._leader() if self.pair else None,
            acts=self.acts,
        )

    def _leader(self) -> LeaderSeen:
        recorded = tuple(Attempt(heal.id, self.clock - heal.clock, ours=heal.ours) for heal in self.heals)
        # Who leads has just asked the database; who does not, and cannot reach it, knows nothing.
        attempts = recorded if self.leads or self.reachable else None
        return LeaderSeen(self.leads, episode=self.counts, attempts=attempts)

    def _save(self, before: State, decision: Decision) -> bool:
        """As the loop: what changed is saved; an uneventful look is not, and has nothing to lose."""
        eventful = decision.transitions or decision.effects or _lasting(decision.state) != _lasting(before)
        if not (eventful or self.save_failed):
            return True
        self.save_failed = not self.store_works
        if self.store_works:
            self.saved = decision.state
        return self.store_works

    def _perform(self, effect: Notify | MakePlan | StartHeal | RunAfter, saved: bool) -> None:
        match effect:
            case MakePlan(number):
                self.planned = replace(self.plan, number=number)
            case StartHeal(heal_id) if saved:
                assert self.running is None, "two heals at once"
                self.running = heal_id
                self.heals.append(Began(heal_id, self.clock))
            case StartHeal(heal_id):
                self.ended = HealSeen(heal_id, HealOutcome.FAILED, "not started")
            case RunAfter() if self.ingests_after:
                self.ingestion_started = self.at
            case _:
                pass

    def _end_heal(self) -> None:
        """A heal that runs ends as the world has it; without the lead it is stopped."""
        if self.running is None:
            return
        outcome = HealOutcome.INTERRUPTED if self.pair and not self.leads else self.outcome
        if outcome is not None:
            self.ended = HealSeen(self.running, outcome)
            self._stop_heal()

    def _stop_heal(self) -> None:
        """Whatever it reports, or cannot report any more: its rows are back, or they are not."""
        self.running = None
        self.heal_ended, self.heal_ended_at = self.clock, self.at
        if self.puts_back:
            self.rows.update(HEALTHY_ROWS)

    def _die(self) -> None:
        """The process is killed, with the heal that it runs; another begins with what was saved."""
        if self.running is not None:
            self._stop_heal()
        self.state = resumed(STATE.validate_json(STATE.dump_json(self.saved)))
        self.fresh, self.planned, self.ended, self.save_failed = True, None, None, False
        heal = self.state.heal
        if heal is not None and heal.ended_lived is None:
            self.ended = HealSeen(heal.id, self.outcomes.get(heal.id, HealOutcome.INTERRUPTED))

    @property
    def at_rest(self) -> bool:
        return self.state.phase is Phase.HEALTHY and self.state.circuit is None


def deleted(table: str, rows: int, transaction: int, at: datetime, reason: str | None) -> Event:
    return Event(
        id=transaction * 10 + len(table),
        at=at,
        operation=Operation.DELETE,
        table=table,
        rows=rows,
        remaining=0,
        session_role="owner",
        role="owner",
        application_name="ops-shell",
        client_addr=None,
        pid=PID,
        backend_start=START,
        transaction=transaction,
        statement=f"DELETE FROM {table}",
        reason=reason,
    )


def pages(decision: Decision) -> list[Notify]:
    return [e for e in decision.effects if isinstance(e, Notify) and Tag.PAGE in e.tags]


def _lasting(state: State) -> State:
    return replace(
        state,
        lived=0.0,
        streaks=(),
        clear_probes=0,
        clear_lasted=0.0,
        ledger=(),
        whole_lived=0.0,
        cursor=None,
    )


def _table(name: str, rows: Rows) -> TableSeen:
    if isinstance(rows, Unseen):
        return TableSeen(name, unseen=rows)
    return TableSeen(name, exists=rows is not None, rows=rows)
