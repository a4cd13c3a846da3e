"""A view in two sentences: how things stand, and what a person has to do."""

from __future__ import annotations

from ..core.advice import advise, seconds_until_heal, what_is_wrong, words
from ..core.remedies import REFUSALS
from ..core.words import Phase, Reason
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


def label(view: View) -> str:
    """The phase, unless it would comfort where nothing can be seen."""
    return "cannot see" if _calm(view) and _blind(view) else view.state.phase.value


def tone(view: View) -> str:
    """good, watch, busy or bad; for colours."""
    return "watch" if _calm(view) and _blind(view) else TONES[view.state.phase]


def how_it_stands(view: View) -> str:
    """One sentence."""
    now = view.situation
    match view.state.phase:
        case Phase.HEALTHY | Phase.RESOLVED if blind := _blind(view):
            return blind
        case Phase.RESOLVED:
            return "The incident is over: it is resolved."
        case Phase.SUSPECTED:
            details = "; ".join(finding.detail for finding in view.findings.found)
            return f"Something may be wrong: {details or 'it cannot be told at the moment'}."
        case _ if now is None:
            context = sum(1 for table in view.expectation.tables if table.context)
            return f"All {context} context tables have their rows."
        case Phase.HEALING if now.lost:
            return f"Rows are being put back: {what_is_wrong(now)}."
        case _:
            again = "Again: " if now.incident.repeated and now.lost else ""
            return f"{again}{_capital(what_is_wrong(now))}."


def what_to_do(view: View) -> tuple[bool, str]:
    """Whether a person has to act, and the sentence that says what."""
    now = view.situation
    if now is not None:
        advice = advise(now)
        return advice.act, advice.sentence
    if view.store_error:
        return True, REFUSALS[Reason.NOT_RECORDABLE]
    if view.state.phase is Phase.SUSPECTED or _blind(view):
        return False, "Nothing to do yet: it becomes an incident if it lasts."
    return False, "Nothing to do."


def seconds_to_heal(view: View) -> float:
    """The least seconds until a heal can run; 0 when none waits for time."""
    return seconds_until_heal(view.situation) if view.situation else 0.0


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


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
