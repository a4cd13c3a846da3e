"""Whatever happens: a heal has its proof, keeps budget and distance, and an incident is told from end to end.

The thresholds are tiny and the gaps lie on their boundaries, so that a sequence reaches all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from alpimonitor_watchdog.core.model import Decision, Notify, Policy
from alpimonitor_watchdog.core.seen import DatabaseSeen
from alpimonitor_watchdog.core.words import HealOutcome, Kind, Reason, Unseen
from tests.unit.episodes import EXPECTED, HEALTHY_ROWS, Episode

POLICY = Policy(
    confirm_for=2.0,
    confirm_probes=2,
    heal_budget=2,
    heal_window=8.0,
    backoff_first=1.0,
    backoff_max=2.0,
    backoff_reset_after=4.0,
    circuit_after_failures=3,
    circuit_after_wipes=3,
    page_after=3.0,
    reminder_every=5.0,
    escalate_after=6.0,
    proof_within=2.0,
    verify_grace=1.0,
    unreachable_after=2.0,
    unhealthy_after=2.0,
    settle_after=1.0,
    straggler_after=4.0,
)
Rows = int | Unseen | None


@dataclass(frozen=True)
class Look:
    """What the world is like for a few looks in a row."""

    station: Rows
    sensor: Rows
    elapsed: float
    looks: int
    outcome: HealOutcome | None
    reachable: bool
    health_ok: bool
    stations_seen: int
    ingests: bool


@dataclass
class Witness:
    """Judges each decision by what was to be seen, without the state that the decision goes by."""

    lived: float = 0.0
    seen: list[tuple[float, bool | None]] = field(default_factory=list)  # when; lost, whole or out of sight
    starts: list[float] = field(default_factory=list)
    ended: float | None = None
    ended_at: datetime | None = None
    open: bool = False
    hidden: bool = False  # a table was out of sight in this look

    def tick(self, world: Episode, elapsed: float) -> None:
        """One look, judged. What the world was like is noted before it answers the decision."""
        self.lived += elapsed
        self.seen.append((self.lived, _lost(world)))
        self.hidden = any(isinstance(rows, Unseen) for rows in world.rows.values())
        run, heal_ended = world.ingestion_started, world._heal is not None
        decision = world.tick(elapsed)
        if heal_ended:
            self.ended, self.ended_at = self.lived, world.at
        reasons = {transition.reason for transition in decision.transitions}
        if Reason.GUARDS_HOLD in reasons:
            self._heal_allowed()
        if Reason.INGESTION_COMPLETE in reasons:
            self._incident_proven(run, world)
        self._told_from_end_to_end(decision)

    def _told_from_end_to_end(self, decision: Decision) -> None:
        for effect in decision.effects:
            if isinstance(effect, Notify):
                opens = effect.kind is Kind.OPENED and effect.reason is not Reason.NOT_RESTORED_IN_TIME
                assert self.open is not opens
                self.open = effect.kind is not Kind.RESOLVED
        assert self.open is (decision.state.incident is not None)

    def _incident_proven(self, run: datetime | None, world: Episode) -> None:
        assert self.seen[-1][1] is False
        assert run is not None
        assert self.ended_at is not None
        assert run >= self.ended_at
        assert world.stations_seen >= 4

    def _heal_allowed(self) -> None:
        self.starts.append(self.lived)
        assert self.seen[-1][1] is True
        assert not self.hidden
        probes, lasted = self._streak()
        assert probes >= POLICY.confirm_probes
        assert lasted >= POLICY.confirm_for
        assert sum(self.lived - start < POLICY.heal_window for start in self.starts) <= POLICY.heal_budget
        if len(self.starts) > 1 and self.lived - self.starts[-2] < POLICY.heal_window:
            assert self.ended is not None
            assert self.lived - self.ended >= POLICY.backoff_first

    def _streak(self) -> tuple[int, float]:
        """How many looks in a row saw a loss, and the seconds between those that follow each other."""
        probes, lasted, later = 0, 0.0, None
        for when, lost in reversed(self.seen):
            if lost is False:
                break
            if lost:
                probes += 1
                lasted += later - when if later is not None else 0.0
            later = when if lost else None
        return probes, lasted


def _lost(world: Episode) -> bool | None:
    """Whether a loss was to be seen; None where a table was out of sight and the other whole."""
    if world.database.unseen is not None:
        return None
    context = {name: world.rows[name] for name in ("station", "sensor")}
    if any(rows != HEALTHY_ROWS[name] for name, rows in context.items() if not isinstance(rows, Unseen)):
        return True
    return None if any(isinstance(rows, Unseen) for rows in context.values()) else False


_LOOKS = st.builds(
    Look,
    station=st.sampled_from([0, 0, 7, 7, Unseen.LOCKED]),
    sensor=st.sampled_from([0, 14, 14, 14, 3]),
    elapsed=st.sampled_from([0.0, 1.0, 1.0, POLICY.heal_window - 1, POLICY.heal_window]),
    looks=st.integers(1, 4),
    outcome=st.sampled_from([*HealOutcome, HealOutcome.SUCCEEDED, None]),
    reachable=st.sampled_from([True, True, True, False]),
    health_ok=st.sampled_from([True, True, False]),
    stations_seen=st.sampled_from([4, 4, 3, 0]),
    ingests=st.booleans(),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(_LOOKS, max_size=14))
def test_a_heal_is_earned_and_an_incident_told_over_any_sequence(looks: list[Look]) -> None:
    world = Episode(policy=POLICY, expected=replace(EXPECTED, ingestion_interval=3.0))
    reachable = world.database
    witness = Witness()
    for look in looks:
        world.wipe(station=look.station, sensor=look.sensor)
        world.heal_outcome, world.ingests_after = look.outcome, look.ingests
        world.health_ok, world.stations_seen = look.health_ok, look.stations_seen
        world.database = reachable if look.reachable else DatabaseSeen(unseen=Unseen.UNREACHABLE)
        for _ in range(look.looks):
            witness.tick(world, look.elapsed)
