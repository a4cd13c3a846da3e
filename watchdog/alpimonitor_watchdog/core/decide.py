"""decide(state, seen, expected, policy) -> Decision: the phases of an incident, and nothing else.

Pure: the same state and observation give the same decision.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from . import guards, symptoms
from .guards import Case
from .model import Decision, Heal, HealRecord, Incident, MakePlan, Policy, RunAfter, StartHeal, State, Streak
from .seen import Expectation, Finding, Findings, HealSeen, Observation
from .step import BOTH, CLEAR_PROBES, NOTIFY, Step, details
from .words import CONTEXT_LOSS, OPEN_PHASES, WAITS, HealOutcome, Kind, Mode, Phase, Reason


def decide(state: State, seen: Observation, expected: Expectation, policy: Policy) -> Decision:
    """What follows from `seen`, for an incident that stands at `state`.

    Invariants: an incident is open exactly in OPEN_PHASES; a heal starts only from a loss seen in this very
    observation with every guard rail holding; no change of phase without a Reason.
    """
    findings = symptoms.find(seen, expected, policy)
    step = Step(advance(state, seen, findings, policy), seen, findings, expected, policy)
    if seen.plan is not None and step.state.planning:
        step.set(plan=seen.plan, planning=False)
    if step.state.phase in OPEN_PHASES:
        step.worsen()
    _PHASES[step.state.phase](step)
    if step.state.phase in OPEN_PHASES:
        step.remind()
    if (step.state.incident is not None) != (step.state.phase in OPEN_PHASES):
        raise AssertionError(f"phase {step.state.phase} with incident {step.state.incident}")
    return step.decision()


def advance(state: State, seen: Observation, findings: Findings, policy: Policy) -> State:
    """Time passes: streaks grow, break or, where nothing could be seen, stand still; old heals drop out."""
    lived = state.lived + max(0.0, seen.elapsed)
    before = {streak.symptom: streak for streak in state.streaks}
    concerned = frozenset(state.incident.symptoms) if state.incident else frozenset(before)
    streaks = []
    for finding in findings.found:
        streak = before.pop(finding.symptom, None)
        if streak is None:
            streak = Streak(finding.symptom, since=seen.at, since_lived=lived, probes=0)
        streaks.append(replace(streak, probes=streak.probes + 1))
    streaks += [streak for symptom, streak in before.items() if symptom in findings.undetermined]
    window_start = lived - policy.heal_window
    calm = state.phase is Phase.HEALTHY and lived - state.phase_lived >= policy.backoff_reset_after
    return replace(
        state,
        lived=lived,
        streaks=tuple(streaks),
        clear_probes=state.clear_probes + 1 if findings.clear_of(concerned) else 0,
        heals=tuple(heal for heal in state.heals if heal.lived > window_start),
        wipes=tuple(wipe for wipe in state.wipes if wipe > window_start),
        series=0 if calm else state.series,
    )


# ---- no incident is open ----------------------------------------------------------------------------------


def idle(step: Step) -> None:
    """healthy, suspected, resolved."""
    confirmed = step.confirmed()
    if confirmed:
        open_incident(step, confirmed)
    elif step.findings.found:
        if step.state.phase is not Phase.SUSPECTED:
            step.move(Phase.SUSPECTED, Reason.SYMPTOM_SEEN, details(step.findings.found))
    elif step.state.phase is Phase.SUSPECTED:
        if step.state.clear_probes:
            step.move(Phase.HEALTHY, Reason.SYMPTOMS_CLEARED)
    elif step.state.phase is Phase.RESOLVED:
        step.move(Phase.HEALTHY, Reason.EPISODE_OVER)


def open_incident(step: Step, confirmed: tuple[Finding, ...]) -> None:
    lost = any(finding.symptom in CONTEXT_LOSS for finding in confirmed)
    repeated = lost and any(heal.succeeded for heal in step.state.heals)
    number = step.state.next_id
    incident = Incident(
        id=f"{step.seen.at:%Y%m%dT%H%M%SZ}-{number}",
        opened_at=step.seen.at,
        opened_lived=step.lived,
        symptoms=tuple(finding.symptom for finding in confirmed),
        losses=tuple(loss for finding in confirmed for loss in finding.losses),
        repeated=repeated,
        reminded_lived=step.lived,
        known_run=last_run(step),
    )
    wipes = (*step.state.wipes, step.lived) if lost else step.state.wipes
    step.set(incident=incident, next_id=number + 1, plan=None, planning=False, wipes=wipes)
    reason = Reason.LOSS_CONFIRMED if lost else Reason.SYMPTOM_LASTED
    step.move(Phase.OPEN, reason, details(confirmed))
    step.tell(Kind.OPENED, BOTH if repeated else NOTIFY, reason, details(confirmed))
    pursue(step)


# ---- open, escalated: heal, or say why not ----------------------------------------------------------------


def pursue(step: Step) -> None:
    """Heal if every guard rail holds, else say why not; end what has cleared by itself."""
    if step.findings.context_lost:
        if step.context_loss_confirmed():
            if step.incident.restored_lived is not None:
                count_another_wipe(step)
            consider_heal(step)
    elif step.state.clear_probes >= CLEAR_PROBES:
        if step.incident.proof_since is None:
            resolve(step, Reason.SYMPTOMS_CLEARED)
        elif ingestion_proven(step):
            resolve(step, Reason.INGESTION_COMPLETE)
    open_for = step.lived - step.state.incident.opened_lived if step.state.incident else 0.0
    if step.state.phase is Phase.OPEN and open_for >= step.policy.escalate_after:
        escalate(step, Reason.NOT_RESTORED_IN_TIME)


def consider_heal(step: Step) -> None:
    planning = step.state.plan is not None or step.state.planning
    if not planning and step.policy.mode is not Mode.OFF and step.policy.healer is not None:
        step.set(planning=True)
        step.effects.append(MakePlan())
    case = Case(step.state, step.seen, step.findings, step.expected, step.policy)
    reason = guards.refusal(case)
    if reason is None:
        start_heal(step)
    else:
        refuse(step, reason)


def start_heal(step: Step) -> None:
    state = step.state
    heal = Heal(f"{step.incident.id}-h{state.next_heal}", step.seen.at, step.lived)
    inserts = state.plan.inserts if state.plan else ()
    step.set(heal=heal, next_heal=state.next_heal + 1, series=state.series + 1)
    step.note(refused=None)
    plan = ", ".join(f"+{count} {table}" for table, count in inserts)
    step.move(Phase.HEALING, Reason.GUARDS_HOLD, f"plan: {plan}")
    step.effects.append(StartHeal(heal.id))


def refuse(step: Step, reason: Reason) -> None:
    """Note why no heal runs; tell people once. Of a mere wait they hear when the incident has lasted."""
    step.refusal = reason
    if reason is not step.incident.refused:
        step.refusal_is_new = True
        step.note(refused=reason, refused_lived=step.lived)
    if reason not in WAITS and reason not in step.incident.refusals_notified:
        step.note(refusals_notified=(*step.incident.refusals_notified, reason))
        step.tell(Kind.HEAL_REFUSED, BOTH, reason, step.refusal_detail())
    refused_for = step.lived - step.incident.refused_lived
    if reason is Reason.PLAN_FAILED and refused_for >= step.policy.backoff_first:
        step.set(plan=None)  # ask again: what it needed may be back
        step.note(refused_lived=step.lived)


# ---- healing ----------------------------------------------------------------------------------------------


def healing(step: Step) -> None:
    """A worker runs the healer; when it has ended, the rows and the consumers' view have to prove it."""
    heal = step.state.heal
    if heal is None:
        raise AssertionError("phase healing without a heal")
    ended = step.seen.heal
    if ended is not None and ended.id == heal.id and heal.ended_lived is None:
        # The database's clock, since ingestion's runs are dated by it.
        heal = replace(heal, ended_at=step.seen.database.clock or step.seen.at, ended_lived=step.lived)
        step.set(heal=heal)
        if ended.outcome is not HealOutcome.SUCCEEDED:
            heal_failed(step, heal, ended)
            return
    if heal.ended_lived is None:
        return
    if step.findings.context_whole and consumers_served(step, heal.ended_lived):
        record(step, heal, succeeded=True)
        step.note(restored_at=step.seen.at, restored_lived=step.lived, proof_since=heal.ended_at)
        step.move(Phase.VERIFYING, Reason.CONTEXT_RESTORED)
        step.tell(Kind.RESTORED, step.audience(), Reason.CONTEXT_RESTORED)
        step.effects.append(RunAfter())
        verifying(step)
    elif step.lived - heal.ended_lived >= step.policy.proof_within:
        record(step, heal, succeeded=False)
        detail = details(step.findings.found) or "the restored rows could not be seen by consumers"
        step.move(Phase.OPEN, Reason.PROOF_FAILED, detail)
        step.tell(Kind.HEAL_FAILED, BOTH, Reason.PROOF_FAILED, detail)


def heal_failed(step: Step, heal: Heal, ended: HealSeen) -> None:
    record(step, heal, succeeded=False)
    interrupted = ended.outcome is HealOutcome.INTERRUPTED
    reason = Reason.HEAL_INTERRUPTED if interrupted else Reason.HEAL_FAILED
    detail = f"{ended.outcome.value}: {ended.detail}" if ended.detail else ended.outcome.value
    step.move(Phase.OPEN, reason, detail)
    if not step.findings.context_whole:
        step.tell(Kind.HEAL_FAILED, BOTH, reason, detail)
    elif interrupted:
        # It may have done its work before it was cut off: then only the proof is missing.
        step.note(proof_since=heal.ended_at)
        step.effects.append(RunAfter())


def record(step: Step, heal: Heal, *, succeeded: bool) -> None:
    past = HealRecord(
        heal.started_lived, heal.ended_lived if heal.ended_lived is not None else step.lived, succeeded
    )
    step.set(heal=None, plan=None, planning=False, heals=(*step.state.heals, past))


def consumers_served(step: Step, since_lived: float) -> bool:
    """Every health address answered as expected, in a look that began after `since_lived`."""
    if not step.expected.health_watched:
        return True
    outside = step.seen.outside
    return (
        outside is not None
        and outside.age <= step.lived - since_lived
        and all(health.ok for health in outside.health)
    )


# ---- verifying --------------------------------------------------------------------------------------------


def verifying(step: Step) -> None:
    """The context is back; ingestion has to see every station before the incident is over."""
    if step.findings.context_lost:
        if step.context_loss_confirmed():
            step.move(Phase.OPEN, Reason.LOST_AGAIN, details(step.findings.found))
            pursue(step)
        return
    if ingestion_proven(step):
        resolve(step, Reason.INGESTION_COMPLETE)
        return
    late = step.expected.ingestion_interval + step.policy.verify_grace
    if step.lived - step.state.phase_lived >= late:
        escalate(step, Reason.VERIFICATION_LATE)


def count_another_wipe(step: Step) -> None:
    """The context had been restored in this very incident, and is lost again."""
    step.note(
        losses=step.findings.losses,
        restored_at=None,
        restored_lived=None,
        proof_since=None,
        known_run=last_run(step),
        repeated=True,
        refusals_notified=(),
    )
    step.set(plan=None, planning=False, wipes=(*step.state.wipes, step.lived))
    step.tell(Kind.WORSENED, BOTH, Reason.LOST_AGAIN, details(step.findings.found))


def ingestion_proven(step: Step) -> bool:
    """A run of ingestion that started after the heal saw every station, and nothing is wrong."""
    if not step.findings.context_whole or step.findings.found:
        return False
    if step.expected.stations is None:
        return step.state.clear_probes >= CLEAR_PROBES
    ingestion = step.seen.outside.ingestion if step.seen.outside else None
    started, since = last_run(step), step.incident.proof_since
    return (
        ingestion is not None
        and started is not None
        and since is not None
        and started >= since
        and started != step.incident.known_run
        and ingestion.stations_seen >= step.expected.stations
    )


def last_run(step: Step) -> datetime | None:
    """When the last finished run of ingestion started, by the clock of whoever ran it."""
    ingestion = step.seen.outside.ingestion if step.seen.outside else None
    return ingestion.started_at if ingestion else None


def resolve(step: Step, reason: Reason) -> None:
    step.tell(Kind.RESOLVED, step.audience(), reason)
    step.about = step.incident
    step.move(Phase.RESOLVED, reason)
    step.set(incident=None, plan=None, planning=False)


def escalate(step: Step, reason: Reason) -> None:
    step.move(Phase.ESCALATED, reason, details(step.findings.found))
    step.tell(Kind.ESCALATED, BOTH, reason, details(step.findings.found))


_PHASES: dict[Phase, Callable[[Step], None]] = {
    Phase.HEALTHY: idle,
    Phase.SUSPECTED: idle,
    Phase.RESOLVED: idle,
    Phase.OPEN: pursue,
    Phase.ESCALATED: pursue,
    Phase.HEALING: healing,
    Phase.VERIFYING: verifying,
}
