"""The answer for a person at a terminal: what happened and who, why that is said, and what to do."""

from __future__ import annotations

from collections.abc import Iterable

from ..core.sentences import plain
from ..core.verdict import Confidence, Verdict, What, who_in_full
from .answer import Answer, Of

_LONGEST_LINE = 2000

TO_DO = {
    What.DATABASE_DROPPED: "Make no empty one of its name. Restore the newest backup, then `adopt` it.",
    What.CLUSTER_REINITIALISED: "Stop what writes. Look for the old volume before anything is restored.",
    What.BECAME_STANDBY: "Lead the address back to the primary, or promote this server.",
    What.OLDER_BACKUP_RESTORED: "Stop what writes. Ask who restored it: what was written since is missing.",
    What.WRONG_DATABASE: "Write nothing into it. Correct the address: database URL, DNS, pooler or proxy.",
    What.DATABASE_RECREATED: "Ask who made it anew. Restore what is missing, then `adopt` it.",
    What.SCHEMA_NOT_MIGRATED: "Migrate first, then seed.",
    What.TABLE_DROPPED: "Restore the table's definition first (migrate, or from a backup), then its rows.",
    What.PERMISSION_REVOKED: "Grant it again. No row is lost for that.",
    What.ROWS_HIDDEN: "Look at the policies. No row is lost for that; put none back.",
    What.ROWS_DELETED_IN_PLACE: "End the session if it is still at work; the rows can be put back.",
    What.TABLE_TRUNCATED: "End the session if it is still at work; the rows can be put back.",
    What.NEVER_SEEDED: "Seed it, if it is the right database.",
    What.UNKNOWN: "Look at the server's log and at who is connected; put nothing back before it is known.",
}
"""What a person does first; the runbook says more of each."""

_RUNBOOK = "More: runbooks/diagnose.md"


def told(answer: Answer) -> str:
    """The first line says what happened and who did it."""
    lines = [_headline(answer)]
    if answer.of is Of.INCIDENT and answer.incident is not None:
        healed = ", healed" if answer.incident.healed else ""
        lines.append(
            f"That was incident {answer.incident.id}, opened {answer.incident.opened_at}, "
            f"{answer.incident.phase.value}{healed}. {_now(answer)}"
        )
    if answer.symptoms:
        lines.append(f"Symptoms: {', '.join(answer.symptoms)}")
    if answer.losses:
        losses = (
            f"{loss.table} {'gone' if loss.rows is None else loss.rows}/{loss.expected}"
            for loss in answer.losses
        )
        lines.append(f"Lost: {', '.join(losses)}")
    if answer.changed:
        lines.append(f"Beside: {answer.changed}")
    lines += _of_the_verdict(answer)
    lines += _listed("Not observable:", answer.not_observable)
    if answer.verdict is not None:
        lines += ["What to do:", f"  {TO_DO[answer.verdict.what]}", f"  {_RUNBOOK}"]
    return "\n".join(lines)


def _headline(answer: Answer) -> str:
    verdict = answer.verdict
    if verdict is None:
        how_it_is = "something is wrong, and nothing is lost" if answer.wrong else "nothing is wrong"
        return f"{answer.database}: {how_it_is}"
    what = verdict.what.value.replace("_", " ")
    sure = "" if verdict.confidence is Confidence.OPEN else f" ({verdict.confidence.value})"
    if verdict.what is What.UNKNOWN and not answer.reached:
        what = "not reachable; what happened is unknown"
    if verdict.attribution is not None:
        return f"{answer.database}: {what}{sure}, by {who_in_full(verdict.attribution)}"
    return f"{answer.database}: {what}{sure}; who: not recorded"


def _now(answer: Answer) -> str:
    return "Something else is wrong now." if answer.wrong else "Nothing is wrong now."


def _of_the_verdict(answer: Answer) -> list[str]:
    verdict = answer.verdict or answer.beside
    lines = _statement(verdict)
    lines += [f"Also: {who_in_full(other)}" for other in verdict.others]
    if verdict.reason:
        lines.append(f"Reason stated: {verdict.reason}")
    if verdict.circumstances:
        said = ", ".join(circumstance.value.replace("_", " ") for circumstance in verdict.circumstances)
        lines.append(f"Circumstances: {said}")
    return [*lines, *_listed("Evidence:", verdict.evidence)]


def _statement(verdict: Verdict) -> list[str]:
    named = verdict.attribution
    statement = named.statement.splitlines() if named is not None else []
    return _listed("Statement:", [plain(line, _LONGEST_LINE) for line in statement]) if statement else []


def _listed(title: str, sentences: Iterable[str]) -> list[str]:
    lines = [f"  {sentence}" for sentence in sentences]
    return [title, *lines] if lines else []
