"""The guard rails of healing, one function each: None when it holds, else the Reason it does not.

A heal runs only if all hold. A Reason in `WAITS` passes by itself; any other needs a person, who is told
once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .model import Policy, State
from .seen import Expectation, Findings, Observation
from .words import CONTEXT_LOSS, WAITS, Mode, Reason, Unseen


@dataclass(frozen=True)
class Case:
    """All that the guard rails look at; `state` already holds this observation's streaks."""

    state: State
    seen: Observation
    findings: Findings
    expected: Expectation
    policy: Policy


def enabled(case: Case) -> Reason | None:
    """Healing is on, and there is a healer."""
    if case.policy.mode is Mode.OFF:
        return Reason.HEALING_OFF
    if case.policy.healer is None:
        return Reason.NO_HEALER
    return None


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
    """Every guarded table and declared column is there, and the revision is an allowed one."""
    if any(not table.exists for table in case.seen.database.tables):
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
    """The loss is seen now, and was by `confirm_probes` probes over at least `confirm_for`."""
    if case.findings.context_lost:
        for streak in case.state.streaks:
            if (
                streak.symptom in CONTEXT_LOSS
                and streak.probes >= case.policy.confirm_probes
                and streak.lasted >= case.policy.confirm_for
            ):
                return None
    return Reason.NOT_PROVEN_YET


def in_budget(case: Case) -> Reason | None:
    """At most `heal_budget` heals a window, each recorded, apart by the back-off; the circuit is closed."""
    if not case.seen.recordable:
        return Reason.NOT_RECORDABLE
    if circuit_open(case.state, case.policy):
        return Reason.CIRCUIT_OPEN
    recent = [heal for heal in case.state.heals if case.state.lived - heal.lived < case.policy.heal_window]
    if len(recent) >= case.policy.heal_budget:
        return Reason.BUDGET_SPENT
    if seconds_to_heal(case.state, case.policy) > 0:
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


def not_dry_run(case: Case) -> Reason | None:
    """The mode is `on`: with `dry-run` everything is decided and nothing is changed. Asked last."""
    return Reason.DRY_RUN if case.policy.mode is Mode.DRY_RUN else None


Guard = Callable[[Case], Reason | None]

# What explains the rest comes first; `not_dry_run` last, so that a dry run decides everything.
GUARDS: tuple[Guard, ...] = (
    enabled,
    visible,
    alone,
    right_schema,
    writable,
    in_budget,
    proven,
    harmless,
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
    """Whether heals of this window that were undone, or that failed in a row, have stopped healing."""
    if sum(heal.undone for heal in state.heals) >= policy.circuit_after_wipes:
        return True
    failed_in_a_row = 0
    for heal in reversed(state.heals):
        if heal.succeeded:
            break
        failed_in_a_row += 1
    return failed_in_a_row >= policy.circuit_after_failures


def seconds_to_heal(state: State, policy: Policy) -> float:
    """Seconds until the back-off lets the next heal run; 0 when it may now."""
    if not state.heals or state.series == 0:
        return 0.0
    pause = min(policy.backoff_first * 2.0 ** (state.series - 1), policy.backoff_max)
    return max(0.0, state.heals[-1].ended_lived + pause - state.lived)
