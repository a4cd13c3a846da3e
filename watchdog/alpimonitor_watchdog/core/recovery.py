"""healing and verifying: what a heal has to prove, and what follows when it does not."""

from __future__ import annotations

from dataclasses import replace

from .endings import escalate, ingestion_proven, resolve, resolved_because
from .good import absorb, present
from .model import Heal, HealRecord, RunAfter
from .pursuit import pursue, trip_circuit
from .seen import HealSeen
from .step import Step, details
from .words import HealOutcome, Kind, Phase, Reason


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
    whole = step.findings.context_whole and not step.findings.other_database
    late = step.lived - heal.ended_lived >= step.policy.proof_within
    if whole and consumers_served(step, heal.ended_lived):
        record(step, heal, succeeded=True)
        learn(step)
        step.note(restored_at=step.seen.at, restored_lived=step.lived, proof_since=heal.ended_at)
        step.move(Phase.VERIFYING, Reason.CONTEXT_RESTORED)
        step.tell(Kind.RESTORED, step.audience(), Reason.CONTEXT_RESTORED)
        run_after(step)
        verifying(step)
    elif whole and late:
        record(step, heal, succeeded=True)
        learn(step)
        step.note(proof_since=heal.ended_at)
        run_after(step)
        escalate(step, Reason.CONSUMERS_NOT_SERVED)
    elif late:
        record(step, heal, succeeded=False)
        step.note(proof_since=heal.ended_at)
        detail = details(step.findings.found)
        step.move(Phase.OPEN, Reason.PROOF_FAILED, detail)
        step.tell(Kind.HEAL_FAILED, step.loud, Reason.PROOF_FAILED, detail)


def heal_failed(step: Step, heal: Heal, ended: HealSeen) -> None:
    record(step, heal, succeeded=False)
    # It may have done its work all the same: from here on only ingestion ends this incident.
    step.note(proof_since=heal.ended_at)
    interrupted = ended.outcome is HealOutcome.INTERRUPTED
    reason = Reason.HEAL_INTERRUPTED if interrupted else Reason.HEAL_FAILED
    detail = f"{ended.outcome.value}: {ended.detail}" if ended.detail else ended.outcome.value
    step.move(Phase.OPEN, reason, detail)
    if step.findings.context_whole:
        run_after(step)
    else:
        step.tell(Kind.HEAL_FAILED, step.loud, reason, detail)


def run_after(step: Step) -> None:
    step.set(after_due=True)
    step.effects.append(RunAfter())


def record(step: Step, heal: Heal, *, succeeded: bool) -> None:
    past = HealRecord(
        heal.started_lived, heal.ended_lived if heal.ended_lived is not None else step.lived, succeeded
    )
    step.set(heal=None, plan=None, planning=False, heals=(*step.state.heals, past))
    if not succeeded:
        trip_circuit(step)


def learn(step: Step) -> None:
    """What a heal put back is explained, and good at once; but not where rows are fewer than before.

    A table that had lost nothing was not put back: a change of it still has to explain itself.
    """
    now, last = present(step.seen.database, step.expected), step.state.good
    if now is not None and last is not None:
        lost = {loss.table for loss in step.incident.losses}
        known = tuple(table if table.name in lost else last.table(table.name) or table for table in now)
        step.set(good=absorb(last, known, step.seen.at), candidate=None)


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


def verifying(step: Step) -> None:
    """The context is back; ingestion has to see every station before the incident is over."""
    if step.findings.context_lost:
        if step.context_loss_confirmed():
            step.move(Phase.OPEN, Reason.LOST_AGAIN, details(step.findings.found))
            pursue(step)
        return
    if ingestion_proven(step):
        resolve(step, resolved_because(step))
        return
    late = step.expected.ingestion_interval + step.policy.verify_grace
    if step.lived - step.state.phase_lived >= late and not step.braked:
        escalate(step, Reason.VERIFICATION_LATE)
