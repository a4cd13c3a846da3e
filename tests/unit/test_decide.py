"""The phases of an incident, told as episodes."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpimonitor_watchdog.core import model
from alpimonitor_watchdog.core.model import TRANSITIONS
from alpimonitor_watchdog.core.seen import DatabaseSeen, PlanSeen
from alpimonitor_watchdog.core.words import HealOutcome, Kind, Mode, Phase, Reason, Symptom, Tag, Unseen
from tests.unit.episodes import EXPECTED, HERE, Episode, episode


def test_a_healthy_world_stays_healthy_and_says_nothing() -> None:
    world = episode().run(100)
    assert world.path() == []
    assert world.told == []


def test_a_wipe_is_noticed_healed_verified_and_resolved() -> None:
    world = episode()
    world.wipe()
    world.until(Phase.RESOLVED)
    assert world.path() == [
        (Phase.SUSPECTED, Reason.SYMPTOM_SEEN),
        (Phase.OPEN, Reason.LOSS_CONFIRMED),
        (Phase.HEALING, Reason.GUARDS_HOLD),
        (Phase.VERIFYING, Reason.CONTEXT_RESTORED),
        (Phase.RESOLVED, Reason.INGESTION_COMPLETE),
    ]
    assert world.kinds() == [Kind.OPENED, Kind.RESTORED, Kind.RESOLVED]
    assert world.kinds(Tag.PAGE) == []
    assert len(world.heals_started) == 1
    assert world.tick().state.phase is Phase.HEALTHY


def test_an_incident_opens_when_two_successive_probes_agree() -> None:
    world = episode()
    world.wipe()
    assert world.tick().state.phase is Phase.SUSPECTED
    assert world.tick().state.phase is Phase.OPEN


def test_a_glimpse_of_emptiness_opens_nothing() -> None:
    world = episode()
    world.wipe()
    world.tick()
    world.restore()
    world.run(5)
    assert world.path() == [
        (Phase.SUSPECTED, Reason.SYMPTOM_SEEN),
        (Phase.HEALTHY, Reason.SYMPTOMS_CLEARED),
    ]
    assert world.told == []


def test_a_heal_waits_until_the_loss_has_lasted_confirm_for() -> None:
    world = episode(confirm_for=10.0)
    world.wipe()
    world.run(10)
    assert world.heals_started == []
    world.tick()
    assert len(world.heals_started) == 1


def test_a_heal_waits_for_confirm_probes_however_long_a_probe_takes() -> None:
    world = episode(confirm_for=0.0, confirm_probes=5)
    world.wipe()
    for _ in range(4):
        world.tick(elapsed=60.0)
    assert world.heals_started == []
    world.tick(elapsed=60.0)
    assert len(world.heals_started) == 1


def test_a_reload_in_two_transactions_opens_resolves_itself_heals_nothing_and_pages_nobody() -> None:
    world = episode()
    world.wipe()
    world.run(4)
    world.restore()
    world.until(Phase.RESOLVED)
    assert world.heals_started == []
    assert world.kinds() == [Kind.OPENED, Kind.RESOLVED]
    assert world.kinds(Tag.PAGE) == []
    assert world.path()[-1] == (Phase.RESOLVED, Reason.SYMPTOMS_CLEARED)


@pytest.mark.parametrize("unseen", list(Unseen))
def test_what_could_not_be_seen_is_never_empty_and_never_heals(unseen: Unseen) -> None:
    world = episode()
    world.wipe(station=unseen, sensor=unseen)
    world.run(300)
    assert world.heals_started == []
    assert Symptom.CONTEXT_EMPTY not in {
        s for d in world.decisions for f in d.findings.found for s in [f.symptom]
    }


def test_an_unreachable_database_never_heals_though_it_was_empty_before() -> None:
    world = episode()
    world.wipe()
    world.run(5)
    world.database = DatabaseSeen(unseen=Unseen.UNREACHABLE, detail="connection refused")
    world.run(100)
    assert world.heals_started == []
    assert world.refusals()[-1] is Reason.UNREACHABLE


def test_an_unreachable_database_opens_an_incident_after_a_while_and_resolves_when_it_is_back() -> None:
    world = episode()
    healthy = world.database
    world.database = DatabaseSeen(unseen=Unseen.UNREACHABLE, detail="connection refused")
    world.run(29)
    assert world.told == []
    world.run(5)
    assert world.kinds() == [Kind.OPENED]
    world.run(60)
    assert world.kinds(Tag.PAGE) == [Kind.OPENED]
    world.database = healthy
    world.until(Phase.RESOLVED)
    assert world.kinds(Tag.PAGE) == [Kind.OPENED, Kind.RESOLVED]


def test_one_table_lost_is_enough_and_the_symptom_names_it() -> None:
    world = episode()
    world.wipe(sensor=0)
    world.until(Phase.OPEN)
    incident = world.state.incident
    assert incident is not None
    assert [(loss.table, loss.rows, loss.expected) for loss in incident.losses] == [("sensor", 0, 14)]


def test_below_the_floor_is_shrunk_and_at_the_floor_is_not() -> None:
    world = episode()
    world.wipe(sensor=10)
    world.run(5)
    assert world.path() == [(Phase.SUSPECTED, Reason.SYMPTOM_SEEN)]
    assert [finding.symptom for finding in world.decisions[-1].findings.found] == [Symptom.CONTEXT_CHANGED]
    world.wipe(sensor=9)
    world.until(Phase.OPEN)
    assert world.state.incident is not None
    assert world.state.incident.symptoms == (Symptom.CONTEXT_SHRUNK,)


def test_a_missing_table_is_refused_because_the_schema_is_wrong() -> None:
    world = episode()
    world.wipe(station=None)
    world.run(30)
    assert world.heals_started == []
    assert Reason.TABLE_MISSING in world.refusals()
    assert world.kinds(Tag.PAGE) == [Kind.HEAL_REFUSED]


def test_a_refusal_is_notified_once() -> None:
    world = episode(mode=Mode.OFF)
    world.wipe()
    world.run(200)
    assert world.kinds().count(Kind.HEAL_REFUSED) == 1


def test_dry_run_plans_and_changes_nothing() -> None:
    world = episode(mode=Mode.DRY_RUN)
    world.wipe()
    world.run(50)
    assert world.heals_started == []
    assert world.refusals()[-1] is Reason.DRY_RUN
    assert world.state.plan is not None
    assert world.state.plan.inserts == world.plan.inserts


@pytest.mark.parametrize(
    ("plan", "reason"),
    [
        (PlanSeen(inserts=(("station", 7),), deletes=(("sensor", 1),)), Reason.PLAN_DELETES),
        (PlanSeen(inserts=(("station", 7),), updates=(("sensor", 1),)), Reason.PLAN_UPDATES),
        (PlanSeen(), Reason.PLAN_EMPTY),
        (PlanSeen(failed="`seed` exited 2"), Reason.PLAN_FAILED),
    ],
)
def test_a_plan_that_does_not_only_insert_is_refused(plan: PlanSeen, reason: Reason) -> None:
    world = episode(plan=plan)
    world.wipe()
    world.run(60)
    assert world.heals_started == []
    assert reason in world.refusals()
    assert world.kinds(Tag.PAGE)[0] is Kind.HEAL_REFUSED


def test_a_failed_plan_is_asked_for_again_and_then_heals() -> None:
    world = episode(plan=PlanSeen(failed="database is starting up"))
    world.wipe()
    world.run(15)
    world.plan = PlanSeen(inserts=(("station", 7),))
    world.until(Phase.RESOLVED)
    assert len(world.heals_started) == 1


def test_the_change_lock_makes_a_heal_wait_without_telling_anybody() -> None:
    world = episode()
    world.wipe()
    world.database = DatabaseSeen(revision="0001", identity=HERE, change_held_by=4711)
    world.run(30)
    assert world.heals_started == []
    assert world.kinds() == [Kind.OPENED]
    world.database = DatabaseSeen(revision="0001", identity=HERE)
    world.until(Phase.RESOLVED)


def test_a_change_lock_that_is_held_for_long_is_told() -> None:
    world = episode()
    world.wipe()
    world.database = DatabaseSeen(revision="0001", identity=HERE, change_held_by=4711)
    world.run(90)
    paged = [notify for notify in world.told if Tag.PAGE in notify.tags]
    assert [(notify.kind, notify.reason) for notify in paged] == [(Kind.OPENED, Reason.NOT_RESTORED_IN_TIME)]
    assert "4711" in paged[0].detail


@pytest.mark.parametrize(
    ("database", "reason"),
    [
        (DatabaseSeen(revision="0001", identity=HERE, in_recovery=True), Reason.IN_RECOVERY),
        (DatabaseSeen(revision="0001", identity=HERE, read_only=True), Reason.READ_ONLY),
        (DatabaseSeen(revision="0001", identity=HERE, subscribed=("station",)), Reason.SUBSCRIBED),
        (DatabaseSeen(revision="0000", identity=HERE), Reason.REVISION_NOT_ALLOWED),
    ],
)
def test_a_database_that_must_not_be_written_is_refused(database: DatabaseSeen, reason: Reason) -> None:
    world = episode()
    world.database = database
    world.wipe()
    world.run(40)
    assert world.heals_started == []
    assert reason in world.refusals()


def test_a_failed_heal_backs_off_and_the_circuit_opens_after_three() -> None:
    world = episode(heal_outcome=HealOutcome.FAILED, heal_budget=10, backoff_first=10.0)
    world.wipe()
    world.run(400)
    first, second, third = world.heals_started
    assert second - first >= 10
    assert third - second >= 20
    assert world.refusals()[-1] is Reason.CIRCUIT_OPEN
    assert Kind.HEAL_FAILED in world.kinds(Tag.PAGE)
    assert Kind.HEAL_REFUSED in world.kinds(Tag.PAGE)


def test_a_heal_without_proof_has_failed() -> None:
    world = episode(heal_puts_back=False)
    world.wipe()
    world.until(Phase.HEALING)
    world.run(31)
    assert (Phase.OPEN, Reason.PROOF_FAILED) in world.path()
    assert Kind.HEAL_FAILED in world.kinds(Tag.PAGE)
    assert Kind.RESTORED not in world.kinds()


def test_the_context_is_not_restored_before_consumers_see_it() -> None:
    world = episode()
    world.wipe()
    world.health_ok = False
    world.until(Phase.HEALING)
    world.run(10)
    assert world.state.phase is Phase.HEALING
    world.health_ok = True
    world.until(Phase.VERIFYING, within=2)


def test_repeated_wipes_spend_the_budget_open_the_circuit_and_page() -> None:
    world = episode(confirm_for=1.0, backoff_first=1.0, backoff_max=1.0)
    for _ in range(4):
        world.wipe()
        world.run(30)
    assert len(world.heals_started) == world.policy.heal_budget
    assert world.refusals()[-1] is Reason.CIRCUIT_OPEN
    assert Kind.HEAL_REFUSED in world.kinds(Tag.PAGE)
    assert world.rows["station"] == 0


def test_a_second_wipe_pages_at_once() -> None:
    world = episode()
    world.wipe()
    world.until(Phase.RESOLVED)
    world.wipe()
    world.until(Phase.OPEN)
    assert world.kinds(Tag.PAGE) == [Kind.OPENED]


def test_a_wipe_while_verifying_reopens_the_same_incident() -> None:
    world = episode(ingests_after=False)
    world.wipe()
    world.until(Phase.VERIFYING)
    assert world.state.incident is not None
    first = world.state.incident.id
    world.wipe()
    world.until(Phase.OPEN)
    assert world.path()[-1] == (Phase.OPEN, Reason.LOST_AGAIN)
    assert world.state.incident.id == first
    assert [heal.undone for heal in world.state.heals] == [True]
    assert world.kinds(Tag.PAGE) == [Kind.WORSENED]


def test_ingestion_that_never_confirms_escalates_and_a_late_run_resolves() -> None:
    world = episode(ingests_after=False)
    world.wipe()
    world.until(Phase.ESCALATED, within=800)
    assert world.path()[-1] == (Phase.ESCALATED, Reason.VERIFICATION_LATE)
    assert Kind.ESCALATED in world.kinds(Tag.PAGE)
    world.ingestion_started = world.at
    world.until(Phase.RESOLVED, within=3)


def test_a_run_of_ingestion_that_began_before_the_heal_proves_nothing() -> None:
    world = episode(ingests_after=False)
    world.wipe()
    world.until(Phase.OPEN)
    world.ingestion_started = world.at
    world.until(Phase.VERIFYING)
    world.run(50)
    assert world.state.phase is Phase.VERIFYING


def test_a_run_dated_by_a_clock_that_is_ahead_proves_nothing() -> None:
    world = episode(ingests_after=False)
    world.ingestion_started = world.at + timedelta(hours=1)
    world.wipe()
    world.until(Phase.VERIFYING)
    world.run(50)
    assert world.state.phase is Phase.VERIFYING


def test_what_is_not_restored_within_page_after_pages() -> None:
    world = episode(confirm_for=3600.0)
    world.wipe()
    world.run(62)
    assert world.kinds(Tag.PAGE) == [Kind.OPENED]


def test_what_is_not_restored_for_long_escalates_and_is_repeated() -> None:
    world = episode(confirm_for=36000.0)
    world.wipe()
    world.run(3600, every=10)
    assert (Phase.ESCALATED, Reason.NOT_RESTORED_IN_TIME) in world.path()
    assert world.kinds().count(Kind.REMINDER) == 1


def test_an_escalated_incident_heals_when_its_guard_rails_hold_at_last() -> None:
    world = episode()
    world.wipe()
    world.database = DatabaseSeen(revision="0001", identity=HERE, read_only=True)
    world.until(Phase.ESCALATED, within=1000)
    world.database = DatabaseSeen(revision="0001", identity=HERE)
    world.until(Phase.RESOLVED)
    assert len(world.heals_started) == 1


def test_more_tables_lost_later_are_told_as_worse_once() -> None:
    world = episode()
    world.wipe(sensor=0)
    world.run(4)
    world.wipe(station=0)
    world.run(4)
    assert world.kinds() == [Kind.OPENED, Kind.WORSENED]


def test_blind_ingestion_opens_an_incident_without_a_heal() -> None:
    world = episode()
    world.stations_seen = 0
    world.run(30)
    assert world.state.incident is not None
    assert world.state.incident.symptoms == (Symptom.INGESTION_BLIND,)
    assert world.heals_started == []
    world.stations_seen = 4
    world.until(Phase.RESOLVED)


def test_one_missing_station_is_only_said_after_two_hours() -> None:
    world = episode()
    world.stations_seen = 3
    world.run(7100, every=10)
    assert world.told == []
    world.run(200)
    assert world.kinds()[0] is Kind.OPENED


def test_an_unhealthy_api_opens_an_incident_after_two_minutes() -> None:
    world = episode()
    world.health_ok = False
    world.run(119)
    assert world.told == []
    world.run(5)
    assert world.kinds() == [Kind.OPENED]


def test_a_heal_that_could_not_be_recorded_never_starts() -> None:
    world = episode(recordable=False)
    world.wipe()
    world.run(60)
    assert world.heals_started == []
    assert Reason.NOT_RECORDABLE in world.refusals()


def test_an_interrupted_heal_is_not_repeated_before_the_back_off_and_then_succeeds() -> None:
    world = episode(heal_outcome=HealOutcome.INTERRUPTED)
    world.wipe()
    world.until(Phase.HEALING)
    world.tick()
    assert world.path()[-1] == (Phase.OPEN, Reason.HEAL_INTERRUPTED)
    world.heal_outcome = HealOutcome.SUCCEEDED
    world.until(Phase.RESOLVED)
    first, second = world.heals_started
    assert second - first >= world.policy.backoff_first


def test_an_interrupted_heal_that_had_done_its_work_is_proven_by_ingestion_and_not_repeated() -> None:
    world = episode(heal_outcome=HealOutcome.INTERRUPTED)
    world.wipe()
    world.until(Phase.HEALING)
    world.restore()
    world.until(Phase.RESOLVED)
    assert world.path()[-2:] == [
        (Phase.OPEN, Reason.HEAL_INTERRUPTED),
        (Phase.RESOLVED, Reason.INGESTION_COMPLETE),
    ]
    assert len(world.heals_started) == 1
    assert world.kinds(Tag.PAGE) == []


def test_a_stepped_wall_clock_neither_hastens_nor_delays_a_heal() -> None:
    for step in (timedelta(hours=3), timedelta(hours=-3)):
        world = episode()
        world.wipe()
        world.run(5)
        world.at += step
        world.run(5)
        assert world.heals_started == []
        world.tick()
        assert len(world.heals_started) == 1


def test_the_documented_transitions_are_the_ones_in_force() -> None:
    documented = set()
    phases = {phase.value for phase in Phase}
    for line in (model.__doc__ or "").splitlines():
        words = line.replace(",", " ").split()
        if len(words) >= 3 and {words[0], words[1]} <= phases:
            documented |= {(words[0], words[1], reason) for reason in words[2:]}
    in_force = {(a, b, reason) for (a, b), reasons in TRANSITIONS.items() for reason in reasons}
    assert documented == in_force


_ROWS = st.sampled_from([0, 7, 14, None, Unseen.TIMEOUT, Unseen.LOCKED])
_EVENTS = st.one_of(
    st.tuples(st.just("rows"), st.sampled_from(["station", "sensor"]), _ROWS),
    st.tuples(st.just("restore"), st.none(), st.none()),
    st.tuples(st.just("down"), st.booleans(), st.none()),
    st.tuples(st.just("outcome"), st.sampled_from([*HealOutcome, None]), st.booleans()),
    st.tuples(st.just("health"), st.booleans(), st.none()),
    st.tuples(st.just("ingest"), st.sampled_from([0, 2, 4]), st.none()),
    st.tuples(st.just("pass"), st.sampled_from([0.0, 1.0, 59.0, 600.0]), st.integers(1, 4)),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(_EVENTS, max_size=60))
def test_the_invariants_hold_over_any_sequence(events: list[tuple[str, object, object]]) -> None:
    world = episode(confirm_for=1.0, confirm_probes=1, backoff_first=1.0, heal_budget=2, escalate_after=60.0)
    healthy = world.database
    open_incidents = 0
    for name, first, second in events:
        match name:
            case "rows":
                world.rows[str(first)] = second  # type: ignore[assignment]
            case "restore":
                world.restore()
            case "down":
                world.database = DatabaseSeen(unseen=Unseen.UNREACHABLE) if first else healthy
            case "outcome":
                world.heal_outcome = first  # type: ignore[assignment]
                world.heal_puts_back = bool(second)
            case "health":
                world.health_ok = bool(first)
            case "ingest":
                world.stations_seen = first  # type: ignore[assignment]
                world.ingestion_started = world.at
            case _:
                for _ in range(second):  # type: ignore[call-overload]
                    decision = world.tick(elapsed=first)  # type: ignore[arg-type]
                    for transition in decision.transitions:
                        if transition.after is Phase.OPEN and transition.reason in {
                            Reason.LOSS_CONFIRMED,
                            Reason.SYMPTOM_LASTED,
                        }:
                            open_incidents += 1
                        if transition.after is Phase.RESOLVED:
                            open_incidents -= 1
                        if transition.after is Phase.HEALING:
                            assert decision.findings.context_lost
                    assert open_incidents in {0, 1}
                    assert (world.state.incident is not None) == (open_incidents == 1)
                    _budget_kept(world)


def _budget_kept(world: Episode) -> None:
    window = world.policy.heal_window
    for start in world.heals_started:
        within = [heal for heal in world.heals_started if start <= heal < start + window]
        assert len(within) <= world.policy.heal_budget


def test_the_expectation_of_these_tests_has_an_operational_table_that_may_be_empty() -> None:
    world = episode()
    world.wipe(measurement=0)
    world.run(20)
    assert world.path() == []
    assert EXPECTED.stations == 4
