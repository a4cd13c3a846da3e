"""The guard rails of healing, one function each: None when it holds, else the Reason it does not.

A heal runs only if all hold. A Reason in `WAITS` passes by itself; any other needs a person, who is told
once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from . import recorded
from .attribution import explains, session_busy
from .evidence import SessionSeen
from .model import Policy, State
from .seen import Expectation, Findings, Observation
from .verdict import Circumstance, Confidence, Verdict, What
from .words import CONTEXT_LOSS, WAITS, Mode, Reason, Unseen

_UNJUDGED = Verdict(What.UNKNOWN, Confidence.OPEN)
_MEANT = {Circumstance.INTENDED, Circumstance.PARTLY_INTENDED}
_HEALABLE = frozenset({What.ROWS_DELETED_IN_PLACE, What.TABLE_TRUNCATED, What.NEVER_SEEDED})


@dataclass(frozen=True)
class Case:
    """All that the guard rails look at; `state` already holds this observation's streaks."""

    state: State
    seen: Observation
    findings: Findings
    expected: Expectation
    policy: Policy
    verdict: Verdict = _UNJUDGED

    @property
    def asked(self) -> bool:
        """An operator wants the heal now: what only waits for time does not stand in its way."""
        return self.state.asked_lived is not None


def enabled(case: Case) -> Reason | None:
    """Healing is on, there is a healer, and nobody holds or pauses it; no maintenance window is open."""
    if case.policy.mode is Mode.OFF:
        return Reason.HEALING_OFF
    if case.policy.healer is None:
        return Reason.NO_HEALER
    if case.state.hold is not None:
        return Reason.HELD
    if case.state.pause is not None and case.state.pause.holds(case.seen.at, case.state.lived):
        return Reason.PAUSED
    if any(window.holds(case.seen.at) for window in case.policy.maintenance):
        return Reason.MAINTENANCE
    return None


def leads(case: Case) -> Reason | None:
    """Of the sidecars that watch this database, this is the one that heals."""
    leader = case.seen.leader
    return Reason.NOT_LEADING if leader is not None and not leader.leads else None


def same_database(case: Case) -> Reason | None:
    """It is the database of the last good state; at first contact its `deployment` row has to say so."""
    if case.findings.other_database:
        return Reason.OTHER_DATABASE
    identity = case.seen.database.identity
    if identity is None:
        return Reason.NOT_VISIBLE
    if case.state.good is not None and case.state.good.identity is not None:
        return None
    configured = case.expected.environment
    known = configured is not None and identity.environment == configured
    return None if known else Reason.NOT_ADOPTED


def visible(case: Case) -> Reason | None:
    """The probe could really see the rows of every context table."""
    if case.seen.database.unseen is not None:
        return Reason.UNREACHABLE
    context = {table.name for table in case.expected.tables if table.context}
    unseen = {table.unseen for table in case.seen.database.tables if table.name in context}
    if Unseen.ROW_SECURITY in unseen:
        return Reason.ROWS_HIDDEN
    if Unseen.FORBIDDEN in unseen:
        return Reason.FORBIDDEN
    if unseen - {None} or context - {table.name for table in case.seen.database.tables}:
        return Reason.NOT_VISIBLE
    return None


def right_schema(case: Case) -> Reason | None:
    """Every guarded table and declared column is there, and the revision is an allowed one.

    A table whose absence was accepted need not be.
    """
    good = case.state.good.tables if case.state.good else ()
    given_up = {table.name for table in good if table.rows is None}
    if any(not table.exists and table.name not in given_up for table in case.seen.database.tables):
        return Reason.TABLE_MISSING
    if any(table.missing_columns for table in case.seen.database.tables):
        return Reason.COLUMN_MISSING
    if case.expected.revisions and case.seen.database.revision not in case.expected.revisions:
        return Reason.NOT_VISIBLE if case.seen.database.revision_unseen else Reason.REVISION_NOT_ALLOWED
    return None


def writable(case: Case) -> Reason | None:
    """Not a standby, not read-only, no subscription fills a guarded table."""
    if case.seen.database.in_recovery:
        return Reason.IN_RECOVERY
    if case.seen.database.read_only:
        return Reason.READ_ONLY
    if case.seen.database.subscribed:
        return Reason.SUBSCRIBED
    return None


def proven(case: Case) -> Reason | None:
    """The loss is seen now, and was by `confirm_probes` probes over at least `confirm_for`.

    With a recorded statement that explains it one probe is enough; the time is the same.
    """
    if case.findings.context_lost:
        matched = explains(recorded.since_whole(case.state), case.findings.losses)
        probes = 1 if matched else case.policy.confirm_probes
        for streak in case.state.streaks:
            if (
                streak.symptom in CONTEXT_LOSS
                and streak.probes >= probes
                and (case.asked or streak.lasted >= case.policy.confirm_for)
            ):
                return None
    return Reason.NOT_PROVEN_YET


def quiet(case: Case) -> Reason | None:
    """Whoever deletes has stopped: for `quiet_for` nothing more was lost and no such statement recorded.

    And the session that did it is gone, or idle outside a transaction.
    """
    if case.asked:
        return None
    last = max(case.state.losses_lived, case.state.destroyed_lived or 0.0)
    if case.state.lived - last < case.policy.quiet_for:
        return Reason.NOT_QUIET
    return Reason.NOT_QUIET if busy(case) is not None else None


def busy(case: Case) -> SessionSeen | None:
    """The recorded session, if it is still at work."""
    recorder = case.seen.database.recorder
    if recorder is None:
        return None
    return session_busy(recorded.since_whole(case.state), recorder.sessions)


def in_budget(case: Case) -> Reason | None:
    """At most `heal_budget` heals a window, each recorded, apart by the back-off; the circuit lets it."""
    if not case.seen.recordable:
        return Reason.NOT_RECORDABLE
    if circuit_open(case.state, case.policy):
        return Reason.CIRCUIT_OPEN
    if heals_spent(case.state, case.policy) >= case.policy.heal_budget:
        return Reason.BUDGET_SPENT
    if not case.asked and seconds_to_heal(case.state, case.policy) > 0:
        return Reason.BACKING_OFF
    return None


def alone(case: Case) -> Reason | None:
    """Nobody holds the registry's `change` or `migration` lock. (A heal of ours is a phase of its own.)"""
    if case.seen.database.change_held_by is not None:
        return Reason.CHANGE_IN_PROGRESS
    return None


def harmless(case: Case) -> Reason | None:
    """The plan is there, inserts something, and neither updates nor deletes."""
    plan = case.state.plan
    if plan is None:
        return Reason.PLANNING
    if plan.failed:
        return Reason.PLAN_FAILED
    if plan.deletes:
        return Reason.PLAN_DELETES
    if plan.updates:
        return Reason.PLAN_UPDATES
    if not plan.rows_inserted:
        return Reason.PLAN_EMPTY
    return None


def unintended(case: Case) -> Reason | None:
    """Nobody stated a reason for the loss; the plan puts back nothing that an operator accepted as gone."""
    if _MEANT & set(case.verdict.circumstances):
        return Reason.LOSS_INTENDED
    good, plan = case.state.good, case.state.plan
    if good is None or plan is None:
        return None
    accepted = {_bare(table.name) for table in good.tables if table.accepted}
    put_back = {_bare(table) for table, rows in plan.inserts if rows}
    return Reason.LOSS_ACCEPTED if accepted & put_back else None


def verdict_allows(case: Case) -> Reason | None:
    """Rows were deleted or truncated in place, or never seeded, or nothing speaks for anything else.

    Not where rows are missing that nothing took, though all was recorded: then the database is an older one.
    That is looked into with a fingerprint taken since; a recorded statement needs none.
    """
    if Circumstance.UNEXPLAINED in case.verdict.circumstances:
        return Reason.VERDICT_FORBIDS
    if case.verdict.what in _HEALABLE:
        return None
    if case.verdict.what is not What.UNKNOWN:
        return Reason.VERDICT_FORBIDS
    before = case.state.good.fingerprint if case.state.good else None
    after = case.state.fingerprint
    if before is not None and (after is None or after.at <= before.at):
        return Reason.VERDICT_PENDING
    return None


def not_dry_run(case: Case) -> Reason | None:
    """The mode is `on`: with `dry-run` everything is decided and nothing is changed. Asked last."""
    return Reason.DRY_RUN if case.policy.mode is Mode.DRY_RUN else None


Guard = Callable[[Case], Reason | None]

# What explains the rest comes first; `not_dry_run` last, so that a dry run decides everything.
GUARDS: tuple[Guard, ...] = (
    enabled,
    visible,
    same_database,
    leads,
    alone,
    right_schema,
    writable,
    in_budget,
    proven,
    quiet,
    harmless,
    unintended,
    verdict_allows,
    not_dry_run,
)


def refusal(case: Case) -> Reason | None:
    """The first guard rail that does not hold, or None: then a heal may run."""
    return next((reason for guard in GUARDS if (reason := guard(case)) is not None), None)


def obstacle(case: Case) -> Reason | None:
    """The first guard rail that will not hold by waiting: what refuses the heal in the end."""
    reasons = (guard(case) for guard in GUARDS)
    return next((reason for reason in reasons if reason is not None and reason not in WAITS), None)


def circuit_open(state: State, policy: Policy) -> bool:
    """Whether healing has stopped itself, and no trial may be made. One may when an operator asks for it."""
    circuit = state.circuit
    if circuit is None or (state.asked_lived is not None and not circuit.tried):
        return False
    return not circuit.lets_try(state.lived, policy.circuit_trial_after)


def circuit_trips(state: State, policy: Policy) -> bool:
    """Whether heals that were undone, or that failed in a row, are too many since the circuit was closed."""
    heals = [heal for heal in state.heals if heal.lived >= state.circuit_since]
    if sum(heal.undone for heal in heals) >= policy.circuit_after_wipes:
        return True
    failed_in_a_row = 0
    for heal in reversed(heals):
        if heal.succeeded:
            break
        failed_in_a_row += 1
    return failed_in_a_row >= policy.circuit_after_failures


def heals_spent(state: State, policy: Policy) -> int:
    """Heals of the window: what this sidecar knows, or what the database recorded of all, if that is more."""
    began = state.lived - policy.heal_window
    ours = sum(heal.lived > began for heal in state.heals)
    return max(ours, sum(at > began for at in state.ledger))


def seconds_to_heal(state: State, policy: Policy) -> float:
    """Seconds until the back-off lets the next heal run; 0 when it may now."""
    ended = [heal.ended_lived for heal in state.heals[-1:]] if state.series else []
    # Heals of any sidecar, ours among them: who takes over waits as long as who healed before would have.
    recent = [at for at in state.ledger if state.lived - at < policy.backoff_reset_after]
    series, last = max(state.series, len(recent)), max((*ended, *recent), default=None)
    if last is None:
        return 0.0
    pause = min(policy.backoff_first * 2.0 ** (series - 1), policy.backoff_max)
    return max(0.0, last + pause - state.lived)


def _bare(table: str) -> str:
    """A table's name without schema and quotes: a plan may write it in another way than the declaration."""
    return table.rpartition(".")[2].strip('"')
