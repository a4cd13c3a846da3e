"""One decision in the making: the state so far, the transitions taken, the effects asked for.

Every change of phase goes through `Step.move`, which refuses what model.py's table does not list.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from . import recorded
from .acts import Act, Answer
from .attribution import explains
from .model import TRANSITIONS, Decision, Effect, Incident, Notify, Policy, State, Transition
from .seen import Expectation, Finding, Findings, Loss, Observation
from .verdict import OF_THE_DATABASE, Case, Circumstance, Verdict, What, conclude, same
from .words import CONTEXT_LOSS, Kind, Phase, Reason, Symptom, Tag

NOTIFY = frozenset({Tag.NOTIFY})
PAGE = frozenset({Tag.PAGE})
BOTH = NOTIFY | PAGE
_JUDGED = CONTEXT_LOSS | {
    Symptom.CONTEXT_UNSEEN,
    Symptom.DATABASE_UNREACHABLE,
    Symptom.IDENTITY_CHANGED,
    Symptom.SCHEMA_OUTDATED,
}
_STAYS = OF_THE_DATABASE - {What.SCHEMA_NOT_MIGRATED}  # which a migration ends
CLEAR_PROBES = 2  # successive clear observations that end an episode: one may be a gap between two deletes


@dataclass
class Step:
    """Mutable while one decision is made; what leaves it is frozen."""

    state: State
    seen: Observation
    findings: Findings
    expected: Expectation
    policy: Policy
    transitions: list[Transition] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    asked: list[Act] = field(default_factory=list)  # operators' wishes for a heal, not answered yet
    about: Incident | None = None  # the incident that this decision ended
    refusal: Reason | None = None
    refusal_is_new: bool = False
    obstacle: Reason | None = None
    _verdict: Verdict | None = None

    @property
    def incident(self) -> Incident:
        if self.state.incident is None:
            raise AssertionError(f"no incident in phase {self.state.phase}")
        return self.state.incident

    @property
    def lived(self) -> float:
        return self.state.lived

    def set(self, **changes: Any) -> None:
        """Change the state."""
        self.state = replace(self.state, **changes)

    def note(self, **changes: Any) -> None:
        """Change the incident."""
        self.set(incident=replace(self.incident, **changes))

    def move(self, after: Phase, reason: Reason, detail: str = "") -> None:
        before = self.state.phase
        if reason not in TRANSITIONS.get((before, after), frozenset()):
            raise AssertionError(f"{before} -> {after} because {reason} is not a transition")
        self.transitions.append(Transition(before, after, reason, detail))
        self.set(phase=after, phase_lived=self.lived)

    def tell(self, kind: Kind, tags: frozenset[Tag], reason: Reason | None = None, detail: str = "") -> None:
        if Tag.PAGE in tags:
            self.note(paged=True)
        self.note(told=(*self.incident.told, kind))
        self.effects.append(Notify(kind, tags, reason, detail, self.incident.told.count(kind)))

    @property
    def loud(self) -> frozenset[Tag]:
        """Whom news that need a person go to: nobody is woken for what somebody is at work on."""
        known = self.incident.acknowledged_at is not None or self.braked or self.intended
        return NOTIFY if known else BOTH

    @property
    def braked(self) -> bool:
        """Planned work, or an operator who keeps healing back: a person knows."""
        state, at = self.state, self.seen.at
        return (
            state.hold is not None
            or (state.pause is not None and state.pause.holds(at, self.lived))
            or any(window.holds(at) for window in self.policy.maintenance)
        )

    @property
    def settling(self) -> bool:
        """It has cleared by itself and only has to stay so: nobody is woken for what is over."""
        return self.incident.proof_since is None and self.state.clear_probes > 0

    def answer(self, act: Act, refused: Reason | None, sentence: str) -> None:
        self.answers.append(Answer(act, refused, sentence))

    def audience(self) -> frozenset[Tag]:
        """Whom good news of this incident goes to: who was paged wants to hear the end of it."""
        return BOTH if self.incident.paged else NOTIFY

    def again(self) -> frozenset[Tag]:
        """Whom other news of it goes to: who was paged, but not during planned work."""
        return NOTIFY if self.braked else self.audience()

    def confirmed(self) -> tuple[Finding, ...]:
        """The findings of this observation that have lasted long enough to open an incident."""
        streaks = {streak.symptom: streak for streak in self.state.streaks}
        return tuple(
            finding
            for finding in self.findings.found
            if streaks[finding.symptom].probes >= (1 if self.recorded(finding) else finding.opens_probes)
            and streaks[finding.symptom].lasted >= finding.opens_after
        )

    def recorded(self, finding: Finding) -> bool:
        """A statement that was recorded explains this loss: it needs no second look."""
        return bool(finding.losses) and explains(recorded.since_whole(self.state), finding.losses)

    def verdict(self) -> Verdict:
        """What happened, by all that is known at this observation."""
        if self._verdict is None:
            good, database = self.state.good, self.seen.database
            self._verdict = conclude(
                Case(
                    seen=database,
                    expected=self.expected,
                    losses=self.findings.losses,
                    before=good.fingerprint if good else None,
                    after=self.state.fingerprint,
                    events=recorded.since_whole(self.state),
                    recorder=database.recorder,
                    arming_before=good.arming if good else None,
                )
            )
        return self._verdict

    def judge(self) -> None:
        """Note what happened, while it can be told: once it is mended, the signals are gone."""
        if not any(finding.symptom in _JUDGED for finding in self.findings.wrong):
            return
        verdict, before = self.judgement(), self.incident.verdict
        if not same(verdict, before) and (before is None or verdict.what is not What.UNKNOWN):
            self.note(verdict=verdict)

    def judgement(self) -> Verdict:
        """What happened, for all that follows from it in this incident.

        That the database is another one, or older, stays true when its own log has long outgrown the old one:
        only an operator who adopts it makes an end of that.
        """
        verdict, before = self.verdict(), self.state.incident.verdict if self.state.incident else None
        if before is None:
            return verdict
        outgrown = before.what in _STAYS and verdict.what not in OF_THE_DATABASE
        forgotten = (
            before.attribution is not None and verdict.attribution is None and verdict.what is before.what
        )
        return before if outgrown or forgotten else verdict

    @property
    def intended(self) -> bool:
        """Whoever took the rows stated a reason: nobody is woken for it."""
        verdict = self.state.incident.verdict if self.state.incident else None
        return verdict is not None and Circumstance.INTENDED in verdict.circumstances

    def context_loss_confirmed(self) -> bool:
        return any(finding.symptom in CONTEXT_LOSS for finding in self.confirmed())

    def worsen(self) -> None:
        """New symptoms and larger losses join the incident; people hear of each step down once."""
        if self.findings.context_whole and self.incident.losses:
            self.note(rows_back=True)
        confirmed = self.confirmed()
        fresh = [finding for finding in confirmed if finding.symptom not in self.incident.symptoms]
        grown = _grown(self.incident.losses, [loss for finding in confirmed for loss in finding.losses])
        graver = [finding for finding in confirmed if finding.pages and not self.incident.pages]
        if not fresh and not grown and not graver:
            return
        grown_tables = {loss.table for loss in grown}
        kept = tuple(loss for loss in self.incident.losses if loss.table not in grown_tables)
        self.note(
            symptoms=(*self.incident.symptoms, *(finding.symptom for finding in fresh)),
            losses=(*kept, *grown),
            pages=self.incident.pages or bool(graver),
        )
        news = [f for f in confirmed if f in fresh or f in graver or set(f.losses) & set(grown)]
        if self.incident.restored_lived is not None:
            news = [finding for finding in news if finding in self.beside_the_proof()]
        if any(not finding.informs for finding in news):
            self.note(acknowledged_at=None, acknowledged_by="")
        if news:
            informs = all(finding.informs for finding in news)
            self.tell(Kind.WORSENED, NOTIFY if informs else self.again(), detail=details(tuple(news)))

    def beside_the_proof(self) -> tuple[Finding, ...]:
        """What is wrong besides what a restored incident waits for: rows that stay, ingestion that sees."""
        awaited = CONTEXT_LOSS | {Symptom.INGESTION_BLIND, Symptom.INGESTION_STALE, Symptom.CONTEXT_CHANGED}
        return tuple(finding for finding in self.confirmed() if finding.symptom not in awaited)

    def remind(self) -> None:
        """Page what is not restored in time; say again, at intervals, what is still open.

        Neither while a person is known to be at work on it; and what only informs is said once.
        """
        incident = self.incident
        if incident.acknowledged_at is not None or set(incident.symptoms) <= {Symptom.CONTEXT_CHANGED}:
            return
        late = self.lived - incident.opened_lived >= self.policy.page_after
        unwell = incident.restored_lived is None or bool(self.beside_the_proof())
        quiet = self.braked or self.settling or self.intended
        if unwell and incident.pages and not incident.paged and late and not quiet:
            self.tell(Kind.OPENED, PAGE, Reason.NOT_RESTORED_IN_TIME, self.refusal_detail())
            self.note(reminded_lived=self.lived)
        elif self.lived - incident.reminded_lived >= self.policy.reminder_every:
            self.tell(Kind.REMINDER, self.again())
            self.note(reminded_lived=self.lived)

    def refusal_detail(self) -> str:
        """What stands in the way of the heal, where more is known than the reason."""
        if self.refusal is Reason.CHANGE_IN_PROGRESS:
            return f"the lock is held by backend pid {self.seen.database.change_held_by}"
        if self.refusal is Reason.PLAN_FAILED and self.state.plan is not None:
            return self.state.plan.failed
        return ""

    def decision(self) -> Decision:
        return Decision(
            state=self.state,
            findings=self.findings,
            transitions=tuple(self.transitions),
            effects=tuple(self.effects),
            refusal=self.refusal,
            refusal_is_new=self.refusal_is_new,
            obstacle=self.obstacle,
            incident=self.state.incident or self.about,
            answers=tuple(self.answers),
        )


def details(found: tuple[Finding, ...]) -> str:
    return "; ".join(finding.detail for finding in found)


def _grown(before: tuple[Loss, ...], now: list[Loss]) -> list[Loss]:
    """The losses that are larger than was known; a table that is gone has lost more than an empty one."""
    known = {loss.table: _left(loss) for loss in before}
    return [loss for loss in now if loss.table not in known or _left(loss) < known[loss.table]]


def _left(loss: Loss) -> int:
    return -1 if loss.rows is None else loss.rows
