"""incident -> the words that wake somebody up.

First line (the title) at most 140 characters: database, table, loss, verdict, who, action. First line of the
body: what you must do, or "Nothing to do.". Sessions and addresses, not persons; no SQL, no credentials.
"""

from __future__ import annotations

from dataclasses import dataclass

from . import remedies
from .guards import seconds_to_heal
from .model import Decision, Incident, Notify, Policy, State
from .seen import Expectation, Loss
from .words import CONTEXT_LOSS, WAITS, Kind, Mode, Reason

TITLE_LIMIT = 140


_NAMES_WHO = frozenset({Kind.OPENED, Kind.WORSENED, Kind.HEAL_REFUSED, Kind.HEAL_FAILED, Kind.ESCALATED})


@dataclass(frozen=True)
class Message:
    """What a channel delivers."""

    title: str
    body: str


@dataclass(frozen=True)
class About:
    """What every message names. No part of it holds a credential."""

    database: str  # "hydro (production)"
    status_url: str
    healer: str  # how the context is put back, such as the declared command
    after: str = ""  # what runs once it is back


def compose(
    notify: Notify, decision: Decision, about: About, policy: Policy, expected: Expectation
) -> Message:
    """The message for one notification that `decision` asks for."""
    incident = decision.incident
    if incident is None:
        raise AssertionError(f"a {notify.kind} notification without an incident")
    what, action = _headline(notify, incident, decision.state, policy)
    if incident.losses and notify.kind in _NAMES_WHO:
        action = f"who: not recorded; {action}"
    ingestion = "then ingestion has to see every station" if expected.stations is not None else ""
    body = [_must_do(notify, incident, about), ""]
    if notify.detail:
        body.append(f"Seen: {notify.detail}")
    if incident.losses:
        body.append("Rows: " + ", ".join(_loss(loss) for loss in incident.losses))
    if incident.losses and notify.kind in {Kind.OPENED, Kind.WORSENED}:
        body.append(_plan(decision.state, about, policy, ingestion))
    if incident.losses:
        body.append("Who: not recorded (no flight recorder is installed).")
    body += [
        f"Incident {incident.id}, opened {incident.opened_at:%Y-%m-%d %H:%M:%S} UTC, "
        f"{_duration(decision.state.lived - incident.opened_lived)} ago.",
        f"Look: {about.status_url}",
    ]
    return Message(_title(about.database, what, action), "\n".join(line for line in body if line is not None))


def _title(database: str, what: str, action: str) -> str:
    title = f"{database}: {what}; {action}"
    if len(title) <= TITLE_LIMIT:
        return title
    room = TITLE_LIMIT - len(database) - len(action) - len(": …; ")
    if room >= 20:
        return f"{database}: {what[:room]}…; {action}"
    return title[: TITLE_LIMIT - 1] + "…"


def _headline(notify: Notify, incident: Incident, state: State, policy: Policy) -> tuple[str, str]:
    lost = _lost(incident)
    match notify.kind:
        case Kind.OPENED if notify.reason is Reason.NOT_RESTORED_IN_TIME:
            return lost, "NOT restored yet, a person is needed" if incident.losses else "still so"
        case Kind.OPENED:
            again = " AGAIN, after a heal" if incident.repeated else ""
            return f"{lost}{again}", _action(incident, state, policy)
        case Kind.WORSENED:
            again = "lost AGAIN after a heal: " if notify.reason is Reason.LOST_AGAIN else "worse: "
            return f"{again}{lost}", _action(incident, state, policy)
        case Kind.HEAL_REFUSED:
            return lost, f"heal REFUSED: {notify.reason}"
        case Kind.HEAL_FAILED:
            return lost, f"heal FAILED: {notify.reason}"
        case Kind.RESTORED:
            return f"context restored ({_lost(incident)})", "verifying"
        case Kind.RESOLVED:
            if incident.proof_since is not None:
                return "resolved: rows put back and proven", f"was: {lost}"
            return "resolved: cleared by itself", f"was: {lost}"
        case Kind.ESCALATED:
            return lost if incident.restored_at is None else "restored but not proven", (
                f"a person is needed: {notify.reason}"
            )
        case Kind.REMINDER:
            return f"still open: {lost}", _action(incident, state, policy)
        case Kind.DRILL:
            return "this is a drill", "nothing is wrong"


def _lost(incident: Incident) -> str:
    """The loss in a few words: `7 tables empty (station 0/7, …)`."""
    if not incident.losses:
        return ", ".join(symptom.value.replace("_", " ") for symptom in incident.symptoms)
    by_word: dict[str, list[Loss]] = {}
    for loss in incident.losses:
        word = "missing" if loss.rows is None else "empty" if loss.rows == 0 else "below the floor"
        by_word.setdefault(word, []).append(loss)
    parts = []
    for word, losses in by_word.items():
        noun = "table" if len(losses) == 1 else "tables"
        shown = ", ".join(_loss(loss) for loss in losses[:2]) + (", …" if len(losses) > 2 else "")
        parts.append(f"{len(losses)} {noun} {word} ({shown})")
    return ", ".join(parts)


def _loss(loss: Loss) -> str:
    return f"{loss.table} {'gone' if loss.rows is None else loss.rows}/{loss.expected}"


def _action(incident: Incident, state: State, policy: Policy) -> str:
    if not incident.losses:
        return "watching"
    if incident.refused is None:
        return "healing"
    if incident.refused in {Reason.NOT_PROVEN_YET, Reason.PLANNING, Reason.BACKING_OFF}:
        seconds = _seconds_until_heal(state, policy)
        return f"heals in {seconds:.0f} s" if seconds >= 1 else "heals now"
    return f"not healing: {incident.refused.value}"


def _seconds_until_heal(state: State, policy: Policy) -> float:
    """The least time until every guard rail that only waits for time can hold."""
    proven_in = policy.confirm_for
    for streak in state.streaks:
        if streak.symptom in CONTEXT_LOSS:
            proven_in = min(proven_in, streak.since_lived + policy.confirm_for - state.lived)
    return max(0.0, proven_in, seconds_to_heal(state, policy))


def _plan(state: State, about: About, policy: Policy, ingestion: str) -> str:
    if policy.mode is not Mode.ON or policy.healer is None:
        return (
            f"Plan: none, healing is {policy.mode.value}."
            if policy.healer
            else "Plan: none, no healer is declared."
        )
    rows = ", ".join(f"+{count} {table}" for table, count in state.plan.inserts) if state.plan else ""
    steps = [f"{about.healer}" + (f" ({rows})" if rows else ""), about.after, ingestion]
    return "Plan: " + "; ".join(step for step in steps if step) + "."


def _must_do(notify: Notify, incident: Incident, about: About) -> str:
    match notify.kind:
        case Kind.RESTORED:
            return "Nothing to do. The rows are back and consumers see them; ingestion has to confirm it."
        case Kind.RESOLVED:
            return "Nothing to do."
        case Kind.DRILL:
            return "Nothing to do: this message tests the channel."
        case Kind.HEAL_REFUSED if notify.reason is not None:
            return f"You must act: {remedies.REFUSALS[notify.reason]}"
        case Kind.HEAL_FAILED:
            return (
                "Watch for the next attempt; if it fails too, put the rows back by hand: "
                f"{about.healer}. Runbook: runbooks/refused-heal.md"
            )
        case Kind.ESCALATED | Kind.REMINDER:
            return f"You must act: {_remedy(incident, about)}"
        case Kind.OPENED if notify.reason is Reason.NOT_RESTORED_IN_TIME:
            return f"You must act: {_remedy(incident, about)}"
        case _:
            pass
    if not incident.losses:
        return f"Look into it if it lasts: {remedies.SYMPTOMS[incident.symptoms[0]]}"
    if incident.refused is not None and incident.refused not in WAITS:
        return f"You must act: {remedies.REFUSALS[incident.refused]}"
    return "Nothing to do: the sidecar puts the rows back and says when it is done."


def _remedy(incident: Incident, about: About) -> str:
    if incident.restored_at is not None:
        return "the rows are back, but ingestion has not seen every station since: look at its last run."
    if incident.refused is not None:
        return remedies.REFUSALS[incident.refused]
    if incident.losses:
        return f"find out what empties the tables, then put the rows back: {about.healer}"
    return remedies.SYMPTOMS[incident.symptoms[0]]


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
