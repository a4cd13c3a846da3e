"""open and escalated: an incident begins; heal if every guard rail holds, else say why not."""

from __future__ import annotations

from dataclasses import replace

from . import guards
from .endings import escalate, ingestion_proven, last_run, resolve, resolved_because
from .guards import Case
from .model import Heal, Incident, MakePlan, StartHeal
from .seen import Finding
from .step import BOTH, CLEAR_PROBES, NOTIFY, Step, details
from .words import CONTEXT_LOSS, WAITS, Kind, Mode, Phase, Reason


def open_incident(step: Step, confirmed: tuple[Finding, ...]) -> None:
    lost = any(finding.symptom in CONTEXT_LOSS for finding in confirmed)
    repeated = lost and any(heal.succeeded for heal in step.state.heals)
    if lost:
        mark_undone(step)
    number = step.state.next_id
    incident = Incident(
        id=f"{step.seen.at:%Y%m%dT%H%M%SZ}-{number}",
        opened_at=step.seen.at,
        opened_lived=step.lived,
        symptoms=tuple(finding.symptom for finding in confirmed),
        losses=tuple(loss for finding in confirmed for loss in finding.losses),
        repeated=repeated,
        pages=any(finding.pages for finding in confirmed),
        reminded_lived=step.lived,
        known_run=last_run(step),
    )
    step.set(incident=incident, next_id=number + 1, plan=None, planning=False)
    reason = Reason.LOSS_CONFIRMED if lost else Reason.SYMPTOM_LASTED
    step.move(Phase.OPEN, reason, details(confirmed))
    step.tell(Kind.OPENED, BOTH if repeated else NOTIFY, reason, details(confirmed))
    pursue(step)


def mark_undone(step: Step) -> bool:
    """The context is lost after a heal that had put it back: note it, once a heal."""
    heals = step.state.heals
    if not heals or not heals[-1].succeeded or heals[-1].undone:
        return False
    step.set(heals=(*heals[:-1], replace(heals[-1], undone=True)))
    return True


def pursue(step: Step) -> None:
    """Heal if every guard rail holds, else say why not; end what has cleared by itself."""
    if step.findings.context_lost:
        if step.context_loss_confirmed():
            tried = step.incident.rows_back and step.incident.proof_since is not None
            if mark_undone(step) or tried:
                lost_again(step)
            consider_heal(step)
    elif step.findings.undetermined & CONTEXT_LOSS and step.incident.losses:
        refuse_unseen(step)
    else:
        if step.incident.refused is not None:
            step.note(refused=None)
        if step.state.clear_probes >= CLEAR_PROBES:
            if step.incident.proof_since is None:
                resolve(step, Reason.SYMPTOMS_CLEARED)
            elif ingestion_proven(step):
                resolve(step, resolved_because(step))
    open_for = step.lived - step.state.incident.opened_lived if step.state.incident else 0.0
    if step.state.phase is Phase.OPEN and open_for >= step.policy.escalate_after and step.incident.pages:
        escalate(step, Reason.NOT_RESTORED_IN_TIME)


def lost_again(step: Step) -> None:
    """What a heal had put back is gone: in this very incident, or while another kind of one was open."""
    step.note(
        losses=step.findings.losses,
        rows_back=False,
        restored_at=None,
        restored_lived=None,
        proof_since=None,
        known_run=last_run(step),
        repeated=True,
        refusals_notified=(),
    )
    step.tell(Kind.WORSENED, BOTH, Reason.LOST_AGAIN, details(step.findings.found))


def consider_heal(step: Step) -> None:
    ask_for_plan(step)
    case = Case(step.state, step.seen, step.findings, step.expected, step.policy)
    step.obstacle = guards.obstacle(case)
    reason = guards.refusal(case)
    if reason is None:
        start_heal(step)
    else:
        refuse(step, reason, announce=guards.proven(case) is None)


def refuse_unseen(step: Step) -> None:
    """The lost tables are out of sight: no heal, whatever was seen before."""
    case = Case(step.state, step.seen, step.findings, step.expected, step.policy)
    reason = guards.visible(case)
    if reason is not None:
        step.obstacle = None if reason in WAITS else reason
        refuse(step, reason, announce=True)


def ask_for_plan(step: Step) -> None:
    """One plan for what is lost now; another when the loss has changed, or a while after a refusal."""
    state = step.state
    if state.planning or step.policy.mode is Mode.OFF or step.policy.healer is None:
        return
    fits = state.plan is not None and state.planned_for == step.findings.losses
    if fits:
        case = Case(state, step.seen, step.findings, step.expected, step.policy)
        due = step.lived - state.planned_lived >= step.policy.backoff_first
        if guards.harmless(case) is None or not due:
            return
    step.set(
        plan=state.plan if fits else None,  # a refused plan stands until its successor is there
        planning=True,
        plan_number=state.plan_number + 1,
        planned_for=step.findings.losses,
        planned_lived=step.lived,
    )
    step.effects.append(MakePlan(step.state.plan_number))


def start_heal(step: Step) -> None:
    state = step.state
    if state.heal is not None:
        raise AssertionError("two heals at once")
    heal = Heal(f"{step.incident.id}-h{state.next_heal}", step.seen.at, step.lived)
    inserts = state.plan.inserts if state.plan else ()
    step.set(heal=heal, next_heal=state.next_heal + 1, series=state.series + 1)
    step.note(refused=None)
    plan = ", ".join(f"+{count} {table}" for table, count in inserts)
    step.move(Phase.HEALING, Reason.GUARDS_HOLD, f"plan: {plan}")
    step.effects.append(StartHeal(heal.id))


def refuse(step: Step, reason: Reason, *, announce: bool) -> None:
    """Note why no heal runs; tell people once, when the loss is proven. A mere wait is only shown."""
    step.refusal = reason
    if reason is not step.incident.refused:
        step.refusal_is_new = True
        step.note(refused=reason)
    if announce and reason not in WAITS and reason not in step.incident.refusals_notified:
        step.note(refusals_notified=(*step.incident.refusals_notified, reason))
        step.tell(Kind.HEAL_REFUSED, BOTH, reason, step.refusal_detail())
