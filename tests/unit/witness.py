"""Judges what the sidecar in a sandbox does by what was to be seen and by the world's own log of heals.

The invariants of deciding, checked after every look. Nothing here reads the state but to say which phase it
is in, and how long it has lived: what the witness knows it has seen, heard from the answers, or counted.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field, replace
from datetime import datetime

from alpimonitor_watchdog.core.acts import ActKind
from alpimonitor_watchdog.core.evidence import Event
from alpimonitor_watchdog.core.fingerprint import Identity
from alpimonitor_watchdog.core.model import TRANSITIONS, Notify
from alpimonitor_watchdog.core.seen import PlanSeen, TableSeen
from alpimonitor_watchdog.core.words import OPEN_PHASES, Kind, Mode, Phase, Reason, Tag, Unseen
from tests.unit.sandbox import Began, Looked, Rows, Sandbox, pages

FLOORS = {"station": 7, "sensor": 10}
_GOOD_NEWS = frozenset({Kind.RESTORED, Kind.RESOLVED})


@dataclass(frozen=True)
class Known:
    """What the sidecar was told or has told; a crash takes it back to what was saved."""

    phase: Phase = Phase.HEALTHY
    incident: str | None = None
    incidents: frozenset[str] = frozenset()
    keys: frozenset[str] = frozenset()
    told: frozenset[tuple[str, Kind, int]] = frozenset()
    accepted: tuple[tuple[str, Rows], ...] = ()
    identity: Identity | None = None  # of the database that was seen whole first, or adopted
    held: bool = False
    paused: datetime | None = None
    acknowledged: bool = False
    asked_lived: float | None = None
    plan: PlanSeen | None = None


@dataclass
class Witness:
    """Sees every look, also those that a crash took from the sidecar."""

    known: Known = field(default_factory=Known)
    saved: Known = field(default_factory=Known)
    probes: int = 0  # looks in a row that saw a loss
    lasted: float = 0.0  # the seconds between those that follow each other
    saw_loss: bool = False  # the look before did
    lost: dict[str, Rows] = field(default_factory=dict)  # of tables whose loss was never accepted
    lost_changed: float = 0.0  # on the world's clock
    taken: dict[str, Event] = field(default_factory=dict)  # the last statement read that took of a table
    taken_at: float = -1e9  # on the world's clock: when the last of them was read
    clear: tuple[int, float] = (0, 0.0)  # looks in a row without anything wrong, and their seconds
    ever_accepted: frozenset[tuple[str, Rows]] = frozenset()

    def branch(self) -> Witness:
        return copy(self)

    def look(self, world: Sandbox, elapsed: float, crash: int | None = None) -> Looked:
        """One look, judged."""
        looked = world.look(elapsed, crash)
        self._see(world, looked)
        self._hear(looked)
        self._judge_transitions(looked, world)
        self._judge_notifications(looked, world)
        for began in looked.began:
            self._judge_heal(began, looked, world)
        if looked.saved and not looked.crashed:
            self.saved = self.known
        elif looked.crashed:
            self.known = self.saved = self.known if looked.saved else self.saved
        self._judge_phase(world)
        return looked

    # ---- what is to be seen ------------------------------------------------------------------------------

    def _see(self, world: Sandbox, looked: Looked) -> None:
        """Notes what this look shows of losses."""
        rows = dict(_rows(looked))
        recorder = looked.seen.database.recorder
        if rows and recorder is not None:
            # What is there again was put back: a statement of before then does not explain its loss.
            self.taken = {name: event for name, event in self.taken.items() if _below(name, rows[name])}
            self.taken |= {event.table: event for event in recorder.events}
            self.taken_at = world.clock if recorder.events else self.taken_at
        self._forget_acceptance(rows)
        lost = {name: left for name, left in rows.items() if self._is_lost(name, left)}
        hidden = not rows or any(isinstance(left, Unseen) for left in rows.values())
        if lost:
            self.probes += 1
            self.lasted += looked.seen.elapsed if self.saw_loss else 0.0
        elif not hidden:
            self.probes, self.lasted = 0, 0.0
        self.saw_loss = bool(lost)
        # Of what was ever accepted only deciding knows whether it is accepted still.
        never_accepted = {name: left for name, left in lost.items() if name not in dict(self.ever_accepted)}
        if never_accepted != self.lost and (lost or not hidden):
            self.lost, self.lost_changed = never_accepted, world.clock
        outside = looked.seen.outside
        healthy = outside is not None and all(health.ok for health in outside.health)
        looks, seconds = self.clear
        if never_accepted or hidden or not healthy:
            self.clear = (0, 0.0)
        else:
            self.clear = (looks + 1, seconds + looked.seen.elapsed if looks else 0.0)

    def _is_lost(self, name: str, rows: Rows) -> bool:
        return (name, rows) not in self.known.accepted and _below(name, rows)

    def _forget_acceptance(self, rows: dict[str, Rows]) -> None:
        """More rows than were accepted may be good by now: then a fall back to them is a loss."""
        still = tuple(
            (name, accepted)
            for name, accepted in self.known.accepted
            if not rows or isinstance(rows[name], Unseen) or rows[name] == accepted
        )
        self.known = replace(self.known, accepted=still)

    # ---- what is said ------------------------------------------------------------------------------------

    def _hear(self, looked: Looked) -> None:
        answers = looked.decision.answers
        assert sorted(answer.act.id for answer in answers) == sorted(act.id for act in looked.seen.acts)
        identity = looked.seen.database.identity
        if self.known.paused is not None and looked.seen.at >= self.known.paused:
            self.known = replace(self.known, paused=None)  # once over, whatever the clock is set to
        if looked.seen.plan is not None:
            self.known = replace(self.known, plan=looked.seen.plan)
        rows = _rows(looked)
        whole = rows and not any(isinstance(left, Unseen) or _below(name, left) for name, left in rows)
        if self.known.identity is None and identity is not None and whole and _served(looked, identity):
            self.known = replace(self.known, identity=identity)
        for act in looked.seen.acts:
            refused = next(answer.refused for answer in answers if answer.act.id == act.id)
            if refused is not None:
                continue
            match act.kind:
                case ActKind.ACCEPT:
                    below = tuple(item for item in rows if _below(*item))
                    self.known = replace(self.known, accepted=below, identity=identity)
                    self.ever_accepted |= set(below)
                    self.probes, self.lasted, self.saw_loss = 0, 0.0, False
                case ActKind.ADOPT:
                    self.known = replace(self.known, identity=identity)
                case ActKind.HOLD:
                    self.known = replace(self.known, held=True)
                case ActKind.PAUSE:
                    self.known = replace(self.known, paused=act.until)
                case ActKind.RESUME:
                    self.known = replace(self.known, held=False, paused=None)
                case ActKind.HEAL:
                    self.known = replace(self.known, asked_lived=looked.decision.state.lived)
                case ActKind.ACKNOWLEDGE:
                    self.known = replace(self.known, acknowledged=True)

    # ---- what is decided ---------------------------------------------------------------------------------

    def _judge_transitions(self, looked: Looked, world: Sandbox) -> None:
        """Every change of phase is in the table, has its reason, and follows the one before."""
        phase = self.known.phase
        for change in looked.decision.transitions:
            assert change.before is phase
            assert change.reason in TRANSITIONS[change.before, change.after]
            phase = change.after
            if change.reason is Reason.INGESTION_COMPLETE:
                self._judge_proof(looked, world)
            if change.reason is Reason.SYMPTOMS_CLEARED and change.after is Phase.RESOLVED:
                assert self.clear[0] >= 2
                # Without ingestion nothing else proves a heal: then two looks do.
                assert world.expected.stations is None or self.clear[1] >= world.policy.clear_for
            if change.after is Phase.RESOLVED:
                self.known = replace(self.known, held=False, acknowledged=False)
        assert looked.decision.state.phase is phase
        self.known = replace(self.known, phase=phase)

    def _judge_proof(self, looked: Looked, world: Sandbox) -> None:
        """Ingestion confirms what is whole, by a run that saw every station."""
        assert looked.seen.outside is not None
        ingestion = looked.seen.outside.ingestion
        assert ingestion is not None
        assert ingestion.started_at is not None
        assert ingestion.stations_seen >= 4
        assert world.stepped or world.heal_ended_at is None or ingestion.started_at >= world.heal_ended_at
        assert self.clear[0] >= 1
        for name, rows in _rows(looked):
            assert not isinstance(rows, Unseen)
            assert not _below(name, rows) or (name, rows) in self.ever_accepted

    def _judge_notifications(self, looked: Looked, world: Sandbox) -> None:
        """From end to end: opened first, resolved last, each number once; a page only for who has to act."""
        incident = looked.decision.incident
        effects = [effect for effect in looked.decision.effects if isinstance(effect, Notify)]
        worse = any(effect.kind is Kind.WORSENED and not _only_informs(effect) for effect in effects)
        for page in pages(looked.decision):
            assert not _only_informs(page)
            if page.kind not in _GOOD_NEWS:
                assert not self.known.acknowledged or worse
                assert not any(window.holds(looked.seen.at) for window in world.policy.maintenance)
        if worse:
            self.known = replace(self.known, acknowledged=False)
        for effect in effects:
            assert incident is not None
            opens = effect.kind is Kind.OPENED and effect.reason is not Reason.NOT_RESTORED_IN_TIME
            if opens:
                assert self.known.incident is None
                assert incident.id not in self.known.incidents
                assert incident.key not in self.known.keys
                self.known = replace(
                    self.known,
                    incident=incident.id,
                    incidents=self.known.incidents | {incident.id},
                    keys=self.known.keys | {incident.key},
                )
            assert self.known.incident == incident.id
            number = (incident.key, effect.kind, effect.number)
            assert number not in self.known.told
            self.known = replace(self.known, told=self.known.told | {number})
            if effect.kind is Kind.RESTORED:
                assert self.clear[0] >= 1
            if effect.kind is Kind.RESOLVED:
                assert Tag.NOTIFY in effect.tags
                self.known = replace(self.known, incident=None)
        assert (self.known.incident is not None) is (looked.decision.state.phase in OPEN_PHASES)

    def _judge_phase(self, world: Sandbox) -> None:
        assert world.state.phase is self.known.phase
        assert (world.state.incident is not None) is (self.known.incident is not None)

    # ---- what is done ------------------------------------------------------------------------------------

    def _judge_heal(self, began: Began, looked: Looked, world: Sandbox) -> None:
        """Every guard rail, by what was to be seen, and the budget, by the world's own log."""
        policy, seen, known = world.policy, looked.seen, self.known
        assert looked.saved
        assert policy.mode is Mode.ON
        assert not known.held
        assert known.paused is None
        assert not any(window.holds(seen.at) for window in policy.maintenance)
        assert seen.recordable
        assert seen.leader is None or seen.leader.leads
        database = seen.database
        assert database.unseen is None
        assert not database.read_only
        assert database.change_held_by is None
        assert all(table.unseen is None and table.exists for table in database.tables)
        assert database.identity is not None
        assert known.identity is not None
        assert not database.identity.differences(known.identity)
        assert _served(looked, database.identity)
        self._judge_plan()
        assert self.saw_loss
        self._judge_intention()
        asked = known.asked_lived is not None and (
            looked.decision.state.lived - known.asked_lived <= policy.proof_within
        )
        assert self.probes >= (1 if self.taken else policy.confirm_probes)
        assert asked or began.clock - self.taken_at >= policy.quiet_for
        assert asked or not (self.taken and database.recorder and database.recorder.sessions)
        assert asked or self.lasted >= policy.confirm_for
        assert asked or began.clock - self.lost_changed >= policy.quiet_for
        before = [heal for heal in world.heals if heal is not began]
        assert began.id not in {heal.id for heal in before}
        within = sum(began.clock - heal.clock < policy.heal_window for heal in before)
        assert within < policy.heal_budget
        gaps = [began.clock - heal.clock for heal in before if not heal.ours]
        if looked.heal_ended is not None:
            gaps.append(began.clock - looked.heal_ended)
        assert asked or min(gaps, default=policy.backoff_first) >= policy.backoff_first
        self.known = replace(self.known, asked_lived=None)

    def _judge_intention(self) -> None:
        """Of what is lost something was taken without a reason, or by nobody who was recorded."""
        meant = [name for name in self.lost if name in self.taken and self.taken[name].reason is not None]
        assert not meant or len(meant) < len(self.lost)

    def _judge_plan(self) -> None:
        plan = self.known.plan
        assert plan is not None
        assert plan.inserts
        assert (plan.updates, plan.deletes, plan.failed) == ((), (), "")
        assert not {name for name, _ in plan.inserts} & {name for name, _ in self.known.accepted}


def _rows(looked: Looked) -> list[tuple[str, Rows]]:
    """Of the context tables; none when the database was not reached. None: gone."""
    if looked.seen.database.unseen is not None:
        return []
    tables = {table.name: table for table in looked.seen.database.tables}
    return [(name, _left(tables[name])) for name in FLOORS]


def _left(table: TableSeen) -> Rows:
    return table.unseen or (table.rows if table.exists else None)


def _below(name: str, rows: Rows) -> bool:
    return rows is None or (not isinstance(rows, Unseen) and rows < FLOORS[name])


def _served(looked: Looked, identity: Identity) -> bool:
    """The API serves this very database, as far as it says."""
    served = looked.seen.outside.deployment if looked.seen.outside else None
    return served is None or served == identity.deployment


def _only_informs(effect: Notify) -> bool:
    return effect.kind is Kind.WORSENED and all(
        part.startswith("not as it last was good") for part in effect.detail.split("; ")
    )
