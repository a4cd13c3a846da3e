"""open and escalated: an incident begins; heal if every guard rail holds, else say why not."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from . import guards
from .brakes import Circuit
from .endings import escalate, ingestion_proven, last_run, resolve, resolved_because
from .guards import Case
from .model import Heal, Incident, MakePlan, StartHeal
from .seen import Finding
from .step import CLEAR_PROBES, NOTIFY, Step, details
from .words import CONTEXT_LOSS, WAITS, HealOutcome, Kind, Mode, Phase, Reason

PLAN_HOLDS = 60.0  # seconds after which a plan is made again: what the healer would do may have changed


def open_incident(step: Step, confirmed: tuple[Finding, ...]) -> None:
    lost = any(finding.symptom in CONTEXT_LOSS for finding in confirmed)
    repeated = lost and any(heal.succeeded for heal in step.state.heals)
    if lost:
        mark_undone(step)
    number = step.state.next_id
    ended = step.state.cleared_lived
    again = ended is not None and step.lived - ended <= step.policy.flap_window
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
        key=_key(step, number),
        recurrence=step.state.recurrence + 1 if again else 0,
    )
    largest = max(step.state.largest_keyed, step.state.episode)
    step.set(incident=incident, next_id=number + 1, largest_keyed=largest, plan=None, planning=False)
    step.judge()
    reason = Reason.LOSS_CONFIRMED if lost else Reason.SYMPTOM_LASTED
    step.move(Phase.OPEN, reason, details(confirmed))
    step.tell(Kind.OPENED, step.loud if repeated else NOTIFY, reason, details(confirmed))
    pursue(step)


def _key(step: Step, number: int) -> str:
    """The episode's number, agreed before anything was lost; once more with a number of its own.

    It grows but for a leader that knew less than its predecessor: no key is made twice all the same.
    """
    key = f"{step.state.episode:08x}"
    return key if step.state.episode > step.state.largest_keyed else f"{key}-{number}"


def mark_undone(step: Step) -> bool:
    """The context is lost after a heal that had put it back: note it, once a heal.

    A trial of the circuit has failed then, also where the heal itself is older than the window.
    """
    heals, circuit = step.state.heals, step.state.circuit
    undone = bool(heals) and heals[-1].succeeded and not heals[-1].undone
    if undone:
        step.set(heals=(*heals[:-1], replace(heals[-1], undone=True)))
    if undone or (circuit is not None and circuit.tried):
        trip_circuit(step)
    return undone


def trip_circuit(step: Step) -> None:
    """Open the circuit when too many heals failed or were undone, or when its trial did."""
    circuit = step.state.circuit
    if circuit is None and guards.circuit_trips(step.state, step.policy):
        step.set(circuit=Circuit(step.lived))
    elif circuit is not None and circuit.tried:
        step.set(circuit=Circuit(step.lived, circuit.times + 1))


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
        if step.incident.proof_since is None and step.incident.losses:
            step.note(proof_since=_healed_by_another(step))
        if step.state.clear_probes >= CLEAR_PROBES:
            if step.incident.proof_since is not None:
                if ingestion_proven(step):
                    resolve(step, resolved_because(step))
            elif step.state.clear_lasted >= clear_for(step):
                resolve(step, Reason.SYMPTOMS_CLEARED)
    open_for = step.lived - step.state.incident.opened_lived if step.state.incident else 0.0
    late = step.state.phase is Phase.OPEN and open_for >= step.policy.escalate_after
    if late and step.incident.pages and not (step.braked or step.settling or step.intended):
        escalate(step, Reason.NOT_RESTORED_IN_TIME)


def clear_for(step: Step) -> float:
    """Seconds that it has to be clear before it is over: the longer, the more often it came back."""
    doubled = step.policy.clear_for * 2.0 ** min(step.incident.recurrence, 20)
    return min(doubled, max(step.policy.flap_window, step.policy.clear_for))


def _healed_by_another(step: Step) -> datetime | None:
    """The end of another sidecar's heal in this incident, by the database's clock; None: there was none.

    What it put back has to be proven as after a heal of our own. Where its end is not known, it ends now.
    """
    attempts = step.seen.leader.attempts if step.seen.leader else None
    # By both clocks: the state does not live while the sidecar is down, and the wall clock may be set back.
    lived, passed = step.lived - step.incident.opened_lived, step.seen.at - step.incident.opened_at
    open_for = max(lived, passed.total_seconds())
    healed = [attempt for attempt in attempts or () if not attempt.ours and attempt.age <= open_for]
    if not healed:
        return None
    now, newest = step.seen.database.clock or step.seen.at, min(healed, key=lambda attempt: attempt.age)
    if newest.outcome is not HealOutcome.SUCCEEDED or newest.ended is None:
        return now
    return now - timedelta(seconds=newest.ended)


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
        acknowledged_at=None,
        acknowledged_by="",
    )
    step.tell(Kind.WORSENED, step.loud, Reason.LOST_AGAIN, details(step.findings.found))


def consider_heal(step: Step) -> None:
    ask_for_plan(step)
    asked = step.state.asked_lived
    if asked is not None and step.lived - asked > step.policy.proof_within:
        step.set(asked_lived=None)
    case = Case(step.state, step.seen, step.findings, step.expected, step.policy, step.judgement())
    step.obstacle = guards.obstacle(case)
    reason = guards.refusal(case)
    if reason is None:
        start_heal(step)
    else:
        refuse(step, reason, announce=guards.proven(case) is None)


def refuse_unseen(step: Step) -> None:
    """The lost tables are out of sight: no heal, whatever was seen before."""
    case = Case(step.state, step.seen, step.findings, step.expected, step.policy, step.judgement())
    reason = guards.visible(case)
    if reason is not None:
        step.obstacle = None if reason in WAITS else reason
        refuse(step, reason, announce=True)


def ask_for_plan(step: Step) -> None:
    """One plan for what is lost now; another when the loss has changed, a while after a refusal, or with age.

    So after a hold or an outage no heal begins on a plan of long ago.
    """
    state = step.state
    if state.planning or step.policy.mode is Mode.OFF or step.policy.healer is None:
        return
    age = step.lived - state.planned_lived
    fits = state.plan is not None and state.planned_for == step.findings.losses and age < 2 * PLAN_HOLDS
    if fits:
        case = Case(state, step.seen, step.findings, step.expected, step.policy, step.judgement())
        acceptable = guards.harmless(case) is None and guards.unintended(case) is None
        if age < (PLAN_HOLDS if acceptable else step.policy.backoff_first):
            return
    step.set(
        plan=state.plan if fits else None,  # it stands until its successor is there
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
    step.set(heal=heal, next_heal=state.next_heal + 1, series=state.series + 1, asked_lived=None)
    if state.circuit is not None:
        step.set(circuit=replace(state.circuit, tried=True))
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
        step.tell(Kind.HEAL_REFUSED, step.loud, reason, step.refusal_detail())
