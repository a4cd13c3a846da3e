"""What a heal would do now, and which guard rails let it: the answer to a dry run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..core.advice import words
from ..core.guards import GUARDS, Case
from ..core.remedies import REFUSALS, WAITS_FOR
from ..core.seen import Observation, PlanSeen
from ..core.words import WAITS, Reason
from .state import plan_as_json
from .view import View


def previewed(view: View, seen: Observation, plan: PlanSeen) -> dict[str, Any]:
    """The plan, and each guard rail in the order in which they are asked; `reason` null: it holds.

    `waits`: that reason passes by itself. `would_heal`: all hold. `seen` is the view's observation.
    """
    state = replace(view.state, plan=plan)
    case = Case(state, seen, view.findings, view.expectation, view.policy)
    reasons = [(guard.__name__, guard(case)) for guard in GUARDS]
    return {
        "dry_run": True,
        "sentence": _sentence(view, plan, [reason for _, reason in reasons if reason is not None]),
        "would_heal": all(reason is None for _, reason in reasons),
        "plan": plan_as_json(plan),
        "guards": [
            {
                "guard": name,
                "reason": reason,
                "waits": reason in WAITS,
                "remedy": _remedy(view, reason),
            }
            for name, reason in reasons
        ],
        "state": view.state.phase.value,
    }


def _remedy(view: View, reason: Reason | None) -> str:
    """What would change it, as it is at this moment; "" when the guard rail holds."""
    if reason is None:
        return ""
    if not view.findings.context_lost and reason in {Reason.NOT_PROVEN_YET, Reason.PLAN_EMPTY}:
        return "no loss is seen, so there is nothing to put back."
    now = view.situation
    overdue = now is not None and now.overdue
    return WAITS_FOR[reason] if reason in WAITS_FOR and not overdue else REFUSALS[reason]


def _sentence(view: View, plan: PlanSeen, against: list[Reason]) -> str:
    if plan.failed:
        return f"There is no plan: {plan.failed}."
    changes = [
        f"{sign}{rows} {table}"
        for sign, part in (("+", plan.inserts), ("~", plan.updates), ("−", plan.deletes))
        for table, rows in part
    ]
    if not changes and not view.findings.context_lost:
        return "Nothing is missing: +0 rows."
    would = f"A heal would change: {', '.join(changes)}" if changes else "The plan is empty, rows are missing"
    if not view.findings.context_lost:
        return f"{would}; no loss is seen, so none begins."
    final = next((reason for reason in against if reason not in WAITS), None)
    if final is not None:
        return f"{would}; it is refused ({words(final)}): {REFUSALS[final]}"
    if against:
        return f"{would}; it waits: {', '.join(words(reason) for reason in against)}."
    return f"{would}; every guard rail holds."
