"""incident -> the words that wake somebody up.

First line (the title) at most 140 characters: database, table, loss, verdict, who, action. First line of the
body: what you must do, or "Nothing to do.". Sessions and addresses, not persons; no SQL, no credentials.
"""

from __future__ import annotations

from dataclasses import dataclass

from .advice import Situation, advise, by_hand, lost_rows, plan, shown, what_is_next, what_is_wrong, words
from .attribution import who, who_in_full
from .model import Decision, Notify, Policy
from .seen import Expectation
from .sentences import REASON_LENGTH, plain
from .verdict import Confidence, Verdict, What
from .words import Kind, Phase, Reason

TITLE_LIMIT = 140
_NAMES_WHO = frozenset({Kind.OPENED, Kind.WORSENED, Kind.HEAL_REFUSED, Kind.HEAL_FAILED, Kind.ESCALATED})

_DONE_BY = {
    What.ROWS_DELETED_IN_PLACE: "deleted",
    What.TABLE_TRUNCATED: "truncated",
    What.TABLE_DROPPED: "dropped",
}
_AGAIN = "AGAIN, after a heal: "
_EVIDENCE_SHOWN = 3
_OTHERS_SHOWN = 3


@dataclass(frozen=True)
class Message:
    """What a channel delivers."""

    title: str
    body: str


@dataclass(frozen=True)
class About:
    """What every message names. No part of it holds a credential."""

    database: str  # "hydro@db:5432 (production)"
    status_url: str
    healer: str  # how the context is put back, such as the declared command
    after: str = ""  # what runs once it is back


@dataclass(frozen=True)
class Chain:
    """The evidence as it stands: a later change of it shows in the hash of its head."""

    head: str
    records: int


def compose(
    notify: Notify,
    decision: Decision,
    about: About,
    policy: Policy,
    expected: Expectation,
    chain: Chain | None = None,
) -> Message:
    """The message for one notification that `decision` asks for."""
    if decision.incident is None:
        raise AssertionError(f"a {notify.kind} notification without an incident")
    now = Situation(
        decision.incident,
        decision.state,
        decision.findings,
        decision.refusal,
        decision.obstacle,
        policy,
        expected,
    )
    what, action = _headline(notify, now)
    happened = _happened(now) if notify.kind in _NAMES_WHO else ""
    return Message(
        _title(about.database, what, happened, action), "\n".join(_body(notify, now, about, chain))
    )


def _title(database: str, what: str, happened: str, action: str) -> str:
    """Where it does not fit, which tables it is goes first: the body has them."""
    rest = "; ".join(part for part in (happened, action) if part)
    brief = what.partition(" (")[0]
    for shorter in (what, brief, brief.replace(_AGAIN, "AGAIN: ")):
        if len(title := f"{database}: {shorter}; {rest}") <= TITLE_LIMIT:
            return title
    room = TITLE_LIMIT - len(database) - len(rest) - len(": …; ")
    if room >= 12:
        return f"{database}: {what[:room]}…; {rest}"
    room = TITLE_LIMIT - len(f"{database}: ; …; {action}") - len(shorter)
    if room >= 12:
        return f"{database}: {shorter}; {happened[:room]}…; {action}"
    return title[: TITLE_LIMIT - 1] + "…"


def _happened(now: Situation) -> str:
    """What happened and who did it, in a few words; "" where nothing was lost and nothing is known."""
    verdict = now.incident.verdict
    if verdict is None or verdict.what is What.UNKNOWN:
        return "who: not recorded" if now.lost else ""
    if verdict.attribution is None:
        unnamed = "; who: not recorded" if now.lost and verdict.what in _DONE_BY else ""
        return words(verdict.what) + unnamed
    verb = _DONE_BY.get(verdict.what, f"{words(verdict.what)},")
    return f"{verb}{' on purpose' if now.intended else ''} by {who(verdict.attribution)}"


def _headline(notify: Notify, now: Situation) -> tuple[str, str]:
    """What is wrong, and what happens."""
    wrong, was = what_is_wrong(now), lost_rows(now.incident.losses)
    match notify.kind:
        case Kind.OPENED if notify.reason is Reason.NOT_RESTORED_IN_TIME:
            return wrong, f"NOT restored yet; {what_is_next(now)}"
        case Kind.OPENED:
            again = _AGAIN if now.incident.repeated and not now.intended else ""
            return again + wrong, what_is_next(now)
        case Kind.WORSENED if notify.reason is Reason.LOST_AGAIN:
            return _AGAIN + wrong, what_is_next(now)
        case Kind.WORSENED:
            return f"worse: {wrong}", what_is_next(now)
        case Kind.HEAL_REFUSED:
            return wrong, f"heal REFUSED: {notify.reason}"
        case Kind.HEAL_FAILED:
            return wrong, f"heal FAILED: {notify.reason}"
        case Kind.RESTORED:
            return f"context restored (was: {was})", "verifying"
        case Kind.RESOLVED:
            if notify.reason is Reason.ACCEPTED:
                return "resolved: the present state was accepted", f"was: {was or what_is_wrong(now)}"
            ended = "rows put back and proven" if now.incident.proof_since else "cleared by itself"
            return f"resolved: {ended}", f"was: {was or what_is_wrong(now)}"
        case Kind.ESCALATED:
            return wrong, f"a person is needed: {notify.reason}"
        case Kind.REMINDER:
            return f"still open: {wrong}", what_is_next(now)
        case Kind.DRILL:
            return "this is a drill", "nothing is wrong"


def _body(notify: Notify, now: Situation, about: About, chain: Chain | None) -> list[str]:
    incident = now.incident
    lines = [_must_do(notify, now, about), ""]
    verdict = incident.verdict
    if verdict is not None and not (incident.losses or verdict.what is not What.UNKNOWN):
        verdict = None
    if verdict is not None:
        lines += _what_and_who(verdict)
    if notify.detail:
        lines.append(f"Seen: {notify.detail}")
    if incident.losses:
        lines.append("Rows at worst: " + ", ".join(shown(loss) for loss in incident.losses))
    if now.lost:
        planned, manual = plan(now, about.healer, about.after), by_hand(now, about.healer)
        lines += [line for line in (planned, manual) if line]
    if incident.recurrence:
        lines.append(
            f"It comes and goes: opened {incident.recurrence + 1} times in a row. "
            "It ends when it stays clear."
        )
    if incident.acknowledged_at is not None:
        at = incident.acknowledged_at
        lines.append(f"Acknowledged by {incident.acknowledged_by} at {at:%Y-%m-%d %H:%M:%S} UTC.")
    if verdict is not None:
        lines += _what_speaks_for_it(verdict)
    if chain is not None and chain.records:
        lines.append(
            f"Evidence: {chain.records} records, head {chain.head} "
            f"(`alpimonitor incident verify --head {chain.head[:16]}`)"
        )
    return [
        *lines,
        f"Incident {incident.id} (key {incident.key}), opened {incident.opened_at:%Y-%m-%d %H:%M:%S} UTC, "
        f"{_duration(now.state.lived - incident.opened_lived)} ago.",
        f"Look: {about.status_url}",
    ]


def _what_and_who(verdict: Verdict) -> list[str]:
    sure = "" if verdict.confidence is Confidence.OPEN else f" ({verdict.confidence})"
    lines = [f"What happened: {words(verdict.what)}{sure}."]
    named = verdict.attribution
    if named is None:
        lines.append("Who: not recorded.")
    else:
        lines.append(f"Who: {who_in_full(named)}.")
        if verdict.others:
            lines.append("Also: " + "; ".join(who(other) for other in verdict.others[:_OTHERS_SHOWN]))
    if verdict.reason:
        lines.append(f"Reason stated: {plain(verdict.reason, REASON_LENGTH)}")
    return lines


def _what_speaks_for_it(verdict: Verdict) -> list[str]:
    """The evidence that weighs most, and what could not be seen."""
    lines = [f"- {sentence}" for sentence in verdict.evidence[:_EVIDENCE_SHOWN]]
    if verdict.not_observable:
        lines.append("Not observable: " + "; ".join(verdict.not_observable))
    return lines


def _must_do(notify: Notify, now: Situation, about: About) -> str:
    match notify.kind:
        case Kind.RESTORED:
            awaited = "; ingestion has to confirm it" if now.expected.stations is not None else ""
            return f"Nothing to do. The rows are back and consumers see them{awaited}."
        case Kind.RESOLVED | Kind.DRILL:
            return "Nothing to do."
        case Kind.HEAL_FAILED if now.obstacle is None and now.state.phase is Phase.OPEN:
            return (
                "Nothing to do yet: the next attempt comes by itself. "
                f"If that fails, too, put the rows back by hand: {about.healer}"
            )
        case _:
            pass
    advice = advise(now)
    if notify.reason is Reason.NOT_RESTORED_IN_TIME and now.lost and not advice.act:
        return f"Look at it, the rows are still missing. {advice.sentence} By hand: {about.healer}"
    return f"You must act: {advice.sentence}" if advice.act else advice.sentence


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
