"""A view in two sentences: how things stand, and what a person has to do."""

from __future__ import annotations

from ..core.guards import seconds_to_heal
from ..core.remedies import REFUSALS, SYMPTOMS
from ..core.seen import Loss
from ..core.words import CONTEXT_LOSS, WAITS, Phase, Reason
from .view import View

TONES = {
    Phase.HEALTHY: "good",
    Phase.SUSPECTED: "watch",
    Phase.OPEN: "bad",
    Phase.HEALING: "busy",
    Phase.VERIFYING: "busy",
    Phase.RESOLVED: "good",
    Phase.ESCALATED: "bad",
}
_NAMED_AT_MOST = 2  # losses in a sentence; the table below has them all


def label(view: View) -> str:
    """The phase, unless it would comfort where nothing can be seen."""
    return "cannot see" if _calm(view) and _blind(view) else view.state.phase.value


def tone(view: View) -> str:
    """good, watch, busy or bad; for colours."""
    return "watch" if _calm(view) and _blind(view) else TONES[view.state.phase]


def how_it_stands(view: View) -> str:
    """One sentence."""
    incident = view.state.incident
    match view.state.phase:
        case Phase.HEALTHY | Phase.RESOLVED if blind := _blind(view):
            return blind
        case Phase.HEALTHY:
            context = sum(1 for table in view.expectation.tables if table.context)
            return f"All {context} context tables have their rows."
        case Phase.RESOLVED:
            return "The incident is over: it is resolved."
        case Phase.SUSPECTED:
            details = "; ".join(finding.detail for finding in view.findings.found)
            return f"Something may be wrong: {details or 'it cannot be told at the moment'}."
        case Phase.HEALING:
            return f"Rows are being put back: {_losses(view)}."
        case Phase.VERIFYING:
            return "The rows are back; a run of ingestion has to prove it."
        case Phase.OPEN | Phase.ESCALATED if incident is not None and incident.restored_at is not None:
            return "The rows are back, but it is not proven that consumers and ingestion see them."
        case Phase.OPEN | Phase.ESCALATED if incident is not None and incident.losses:
            again = "Lost again: " if incident.repeated else "Rows are missing: "
            return f"{again}{_losses(view)}."
        case _:
            symptoms = incident.symptoms if incident else ()
            return f"Incident: {', '.join(symptom.value.replace('_', ' ') for symptom in symptoms)}."


def what_to_do(view: View) -> tuple[bool, str]:
    """Whether a person has to act, and the sentence that says what."""
    incident = view.state.incident
    if incident is None:
        if view.store_error:
            return True, REFUSALS[Reason.NOT_RECORDABLE]
        if view.state.phase is Phase.SUSPECTED or _blind(view):
            return False, "Nothing to do yet: it becomes an incident if it lasts."
        return False, "Nothing to do."
    refused = view.refusal
    if refused is not None and refused not in WAITS:
        return True, REFUSALS[refused]
    if view.state.phase is Phase.ESCALATED:
        return True, _remedy(view)
    if view.state.phase is Phase.HEALING:
        return False, "Nothing to do: the healer runs; its end and its proof will show here."
    if view.state.phase is Phase.VERIFYING:
        return False, "Nothing to do: the next run of ingestion is awaited."
    if refused is not None:
        seconds = seconds_until_heal(view)
        when = f"in {seconds:.0f} s" if seconds >= 1 else f"when this has passed: {words(refused)}"
        return False, f"Nothing to do yet: the sidecar heals {when}."
    if any(symptom in CONTEXT_LOSS for symptom in incident.symptoms):
        return False, "Nothing to do: the sidecar is at it."
    return True, _remedy(view)


def seconds_until_heal(view: View) -> float:
    """The least seconds until the guard rails that wait for time can hold; 0 when none waits for time."""
    if view.refusal is Reason.BACKING_OFF:
        return seconds_to_heal(view.state, view.policy)
    if view.refusal is Reason.NOT_PROVEN_YET:
        since = [streak.since_lived for streak in view.state.streaks if streak.symptom in CONTEXT_LOSS]
        return max(0.0, min(since, default=view.lived) + view.policy.confirm_for - view.lived)
    return 0.0


def words(value: str) -> str:
    """An enumeration's value for people."""
    return value.replace("_", " ")


def _calm(view: View) -> bool:
    return view.state.phase in (Phase.HEALTHY, Phase.RESOLVED)


def _blind(view: View) -> str:
    """What cannot be seen, as a sentence; "" when every context table can."""
    database = view.observation.database if view.observation else None
    if database is None:
        return ""
    if database.unseen is not None:
        detail = f" ({database.detail})" if database.detail else ""
        return f"The database cannot be seen: {words(database.unseen)}{detail}."
    seen = {table.name for table in database.tables if table.unseen is None}
    hidden = [table.name for table in view.expectation.tables if table.context and table.name not in seen]
    if not hidden:
        return ""
    return f"What can be seen is whole, but these tables cannot be seen: {', '.join(hidden)}."


def _losses(view: View) -> str:
    """What is missing now; where that cannot be seen, the worst that was."""
    worst = view.state.incident.losses if view.state.incident else ()
    losses = view.findings.losses or worst
    if len(losses) <= _NAMED_AT_MOST:
        return ", ".join(_loss(loss) for loss in losses)
    if all(loss.rows == 0 for loss in losses):
        context = sum(1 for table in view.expectation.tables if table.context)
        return f"{len(losses)} of {context} context tables are empty"
    named = ", ".join(_loss(loss) for loss in losses[:_NAMED_AT_MOST])
    return f"{named}, and {len(losses) - _NAMED_AT_MOST} more tables"


def _loss(loss: Loss) -> str:
    if loss.rows is None:
        return f"{loss.table} is gone"
    return f"{loss.table} has {loss.rows} of {loss.expected} rows"


def _remedy(view: View) -> str:
    incident = view.state.incident
    if incident is None:
        return ""
    if incident.restored_at is not None:
        return "look at the last run of ingestion: it has not seen every station since the rows came back."
    return SYMPTOMS[incident.symptoms[0]]
