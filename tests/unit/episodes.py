"""Drives `decide` through an episode, one observation a second, as the loop would."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import TypeAdapter

from alpimonitor_watchdog.core.acts import Act, ActKind, Answer
from alpimonitor_watchdog.core.decide import decide
from alpimonitor_watchdog.core.evidence import Event, Operation, RecorderSeen
from alpimonitor_watchdog.core.fingerprint import Identity
from alpimonitor_watchdog.core.model import (
    Decision,
    Incident,
    MakePlan,
    Notify,
    Policy,
    RunAfter,
    StartHeal,
    State,
)
from alpimonitor_watchdog.core.passing import resumed
from alpimonitor_watchdog.core.seen import (
    DatabaseSeen,
    Expectation,
    HealSeen,
    HealthSeen,
    IngestionSeen,
    LeaderSeen,
    Observation,
    OutsideSeen,
    PlanSeen,
    TableExpected,
    TableSeen,
)
from alpimonitor_watchdog.core.words import HealOutcome, Kind, Phase, Reason, Tag, Unseen

NOTIFY = frozenset({Tag.NOTIFY})
BOTH = frozenset({Tag.NOTIFY, Tag.PAGE})
START = datetime(2026, 4, 21, 12, 0, tzinfo=UTC)
HEALTHY_ROWS = {"station": 7, "sensor": 14, "measurement": 100}
EXPECTED = Expectation(
    tables=(
        TableExpected("station", context=True, floor=7, expected=7),
        TableExpected("sensor", context=True, floor=10, expected=14),
        TableExpected("measurement", context=False, floor=0, expected=0),
    ),
    revisions=frozenset({"0001"}),
    stations=4,
    ingestion_interval=600.0,
    health_watched=True,
)
HERE = Identity(system="7012345678901234567", database_oid=16384, deployment="d-1", environment="test")
POLICY = Policy(confirm_for=10.0, confirm_probes=3)
STATE = TypeAdapter(State)  # the form in which a state is saved


@dataclass
class Episode:
    """A world as the sidecar sees it, and the decisions it led to."""

    policy: Policy = POLICY
    expected: Expectation = EXPECTED
    state: State = field(default_factory=State)
    rows: dict[str, int | Unseen | None] = field(default_factory=lambda: dict(HEALTHY_ROWS))
    stations_seen: int = 4
    ingestion_started: datetime | None = START - timedelta(minutes=5)
    health_ok: bool = True
    looks_outside: bool = True
    outside_age: float = 0.0
    database: DatabaseSeen = field(
        default_factory=lambda: DatabaseSeen(revision="0001", name="hydro", identity=HERE)
    )
    plan: PlanSeen = field(default_factory=lambda: PlanSeen(inserts=(("station", 7), ("sensor", 14))))
    heal_outcome: HealOutcome | None = HealOutcome.SUCCEEDED
    heal_puts_back: bool = True
    ingests_after: bool = True
    at: datetime = START
    recordable: bool = True
    content: dict[str, str] = field(default_factory=dict)  # hashes of rows, by table
    served: str | None = None  # the deployment that the API says it serves
    leader: LeaderSeen | None = None
    acts: list[Act] = field(default_factory=list)  # said, and not heard yet
    recorder: RecorderSeen | None = None  # None: it cannot be asked
    events: list[Event] = field(default_factory=list)  # recorded, and not read yet
    decisions: list[Decision] = field(default_factory=list)
    told: list[Notify] = field(default_factory=list)
    heals_started: list[float] = field(default_factory=list)
    transaction: int = 700  # the last one that recorded anything
    _plan: PlanSeen | None = None
    _heal: HealSeen | None = None

    @property
    def incident(self) -> Incident:
        assert self.state.incident is not None
        return self.state.incident

    def wipe(self, **rows: int | Unseen | None) -> None:
        self.rows.update(rows or {"station": 0, "sensor": 0})

    def delete(self, *, reason: str | None = None, pid: int = 4242, **left: int) -> None:
        """One recorded transaction takes rows of these tables, until so many are left."""
        self.transaction += 1
        for table, rows in left.items():
            before = self.rows[table]
            assert isinstance(before, int)
            self.rows[table] = rows
            self.events.append(
                Event(
                    id=self.transaction * 100 + len(self.events),
                    at=self.at,
                    operation=Operation.DELETE,
                    table=table,
                    rows=before - rows,
                    remaining=rows,
                    session_role="owner",
                    role="owner",
                    application_name="ops-shell",
                    client_addr="10.0.0.7",
                    pid=pid,
                    backend_start=START,
                    transaction=self.transaction,
                    statement=f"DELETE FROM {table}",
                    reason=reason,
                )
            )

    def restore(self) -> None:
        self.rows.update(HEALTHY_ROWS)

    def observation(self, elapsed: float) -> Observation:
        database = self.database
        if database.unseen is None:
            tables = (replace(_table(n, r), content=self.content.get(n)) for n, r in self.rows.items())
            database = replace(database, tables=tuple(tables))
            if self.recorder is not None:
                database = replace(database, recorder=replace(self.recorder, events=tuple(self.events)))
                self.events.clear()
        return Observation(
            at=self.at,
            elapsed=elapsed,
            database=database,
            outside=OutsideSeen(
                age=self.outside_age,
                health=(HealthSeen("http://api/health", self.health_ok, "" if self.health_ok else "503"),),
                ingestion=IngestionSeen(self.stations_seen, self.ingestion_started),
                deployment=self.served,
            )
            if self.looks_outside
            else None,
            plan=self._plan,
            heal=self._heal,
            recordable=self.recordable,
            leader=self.leader,
            acts=tuple(self.acts),
        )

    def tick(self, elapsed: float = 1.0) -> Decision:
        """One observation `elapsed` seconds after the one before, and what the world does in answer."""
        self.at += timedelta(seconds=elapsed)
        seen = self.observation(elapsed)
        self._plan = self._heal = None
        self.acts.clear()
        decision = decide(self.state, seen, self.expected, self.policy)
        self.state = decision.state
        self.decisions.append(decision)
        for effect in decision.effects:
            match effect:
                case Notify():
                    self.told.append(effect)
                case MakePlan(number):
                    self._plan = replace(self.plan, number=number)
                case StartHeal(heal_id):
                    self.heals_started.append(self.state.lived)
                    if self.heal_outcome is not None:
                        self._heal = HealSeen(heal_id, self.heal_outcome, "as told")
                        if self.heal_puts_back and self.heal_outcome is HealOutcome.SUCCEEDED:
                            self.restore()
                case RunAfter() if self.ingests_after:
                    self.ingestion_started = self.at
        return decision

    def say(self, kind: ActKind, until: datetime | None = None, *, elapsed: float = 1.0) -> Answer:
        """What an operator says, heard at the next look, `elapsed` seconds on: the answer."""
        self.acts.append(Act(f"a{len(self.decisions)}", kind, f"{kind} it", "anna@ops1", until))
        (answer,) = self.tick(elapsed).answers
        return answer

    def restart(self) -> None:
        """The process ends and another begins with what was saved: as store and loop do it."""
        self.state = resumed(STATE.validate_json(STATE.dump_json(self.state)))
        self._plan = None

    def run(self, seconds: int, every: int = 1) -> Episode:
        """A look every so many seconds, for so many seconds in all."""
        for _ in range(seconds // every):
            self.tick(elapsed=float(every))
        return self

    def until(self, phase: Phase, within: int = 200) -> Episode:
        for _ in range(within):
            if self.tick().state.phase is phase:
                return self
        raise AssertionError(f"{phase} was not reached in {within} s; {self.path()}")

    def path(self) -> list[tuple[Phase, Reason]]:
        return [(t.after, t.reason) for decision in self.decisions for t in decision.transitions]

    def kinds(self, tag: Tag | None = None) -> list[Kind]:
        return [notify.kind for notify in self.told if tag is None or tag in notify.tags]

    def refusals(self) -> list[Reason]:
        return [d.refusal for d in self.decisions if d.refusal is not None and d.refusal_is_new]


def episode(**changes: Any) -> Episode:
    """A healthy world, looked at twice; `changes` override fields or, with a policy's name, the policy."""
    fields: Mapping[str, Any] = Episode.__dataclass_fields__
    policy = {name: value for name, value in changes.items() if name not in fields}
    world = {name: value for name, value in changes.items() if name in fields}
    made = Episode(**world)
    made.policy = replace(made.policy, **policy)
    return made.run(2)


def _table(name: str, rows: int | Unseen | None) -> TableSeen:
    if isinstance(rows, Unseen):
        return TableSeen(name, unseen=rows)
    if rows is None:
        return TableSeen(name, exists=False)
    return TableSeen(name, rows=rows)


def wiped(**changes: Any) -> Episode:
    """The same, just emptied."""
    world = episode(**changes)
    world.wipe()
    return world


def last(world: Episode) -> Notify:
    """What people were told last."""
    return world.told[-1]
