"""What operators say: each act is taken, or refused with a Reason; why they say it lands in the timeline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, timedelta

from . import symptoms
from .acts import Act, ActKind
from .brakes import Hold, Pause
from .endings import resolve
from .good import LastGood, present
from .guards import circuit_open, heals_spent
from .remedies import REFUSALS
from .step import Step
from .words import CONTEXT_LOSS, OPEN_PHASES, Phase, Reason

LONGEST_PAUSE = timedelta(days=7)
_GOES_ON = frozenset({Reason.PLANNING, Reason.NOT_PROVEN_YET})  # an asked heal waits for these by itself


def hear(step: Step) -> None:
    """Take what was said since the last observation, before anything else is decided."""
    for act in step.seen.acts:
        _ACTS[act.kind](step, act)


def hear_at_last(step: Step) -> None:
    """Answer who asked for a heal, once it is decided."""
    reason = step.obstacle or step.refusal
    for act in step.asked:
        if step.state.phase is Phase.HEALING:
            step.answer(act, None, "The heal has begun; how it ends is told.")
        elif not step.findings.context_lost:
            step.set(asked_lived=None)
            step.answer(act, Reason.NOTHING_LOST, "Nothing is lost any more.")
        elif reason is not None and reason not in _GOES_ON:
            step.set(asked_lived=None)
            step.answer(act, reason, f"No heal: {REFUSALS[reason]}")
        else:
            step.answer(act, None, "The heal begins as soon as its plan is made and a few looks agree.")
    step.asked.clear()


def _accept(step: Step, act: Act) -> None:
    database = step.seen.database
    now = present(database, step.expected)
    if step.state.phase is Phase.HEALING:
        step.answer(act, Reason.HEAL_RUNNING, "A heal runs: accept what it leaves, once it has ended.")
    elif step.findings.other_database:
        step.answer(
            act, Reason.OTHER_DATABASE, "Another database answers: adopt it first, if it is the right one."
        )
    elif now is None or database.identity is None:
        step.answer(
            act, Reason.NOT_VISIBLE, "Not every context table can be seen: nobody knows what to accept."
        )
    else:
        recorder = database.recorder
        arming = recorder.arming if recorder is not None and recorder.armed else ""
        accepted = LastGood(step.seen.at, database.identity, now, step.state.fingerprint, arming)
        step.set(good=accepted, candidate=None, whole_lived=step.lived)
        _look_again(step)
        rows = ", ".join(f"{table.name} {'gone' if table.rows is None else table.rows}" for table in now)
        step.answer(act, None, f"Accepted as the last good state: {rows}.")
        if step.state.incident is None:
            return
        if not step.findings.found and not _awaited(step):
            resolve(step, Reason.ACCEPTED)
        else:
            step.note(losses=())  # what goes on is something else: those rows are missed no more


def _adopt(step: Step, act: Act) -> None:
    identity = step.seen.database.identity
    if step.state.phase is Phase.HEALING:
        step.answer(act, Reason.HEAL_RUNNING, "A heal runs: adopt the database once it has ended.")
    elif identity is None:
        step.answer(act, Reason.NOT_VISIBLE, "Which database answers cannot be seen.")
    else:
        good = step.state.good
        recorder = step.seen.database.recorder
        adopted = replace(
            good or LastGood(step.seen.at),
            identity=identity,
            fingerprint=step.state.fingerprint,  # that of the one before says nothing of this one
            arming=recorder.arming if recorder is not None and recorder.armed else "",
        )
        step.set(good=adopted, candidate=None, unlike_lived=None)
        if step.state.incident is not None:
            step.note(verdict=None)
        _look_again(step)
        step.answer(
            act,
            None,
            f"Adopted: system {identity.system}, database oid {identity.database_oid}, "
            f"deployment {identity.deployment or 'none'}.",
        )


def _hold(step: Step, act: Act) -> None:
    if step.state.incident is None:
        step.answer(act, Reason.NO_INCIDENT, "No incident is open: a hold ends with one. Use pause --until.")
        return
    step.set(hold=Hold(act.by, act.reason, step.seen.at), asked_lived=None)
    step.answer(act, None, f"No heal until `resume`, or until the incident ends.{_but(step)}")


def _pause(step: Step, act: Act) -> None:
    until, at = act.until, step.seen.at
    if until is None or not at < until <= at + LONGEST_PAUSE:
        step.answer(act, Reason.BAD_TIME, "A pause ends at a time that is to come, at most seven days away.")
        return
    lasts = (until - at).total_seconds()
    step.set(pause=Pause(act.by, act.reason, until, step.lived + lasts), asked_lived=None)
    step.answer(act, None, f"No heal until {until.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC.{_but(step)}")


def _but(step: Step) -> str:
    """What a hold or a pause does not reach."""
    if step.state.phase is Phase.HEALING:
        return " The heal that runs already is not stopped."
    if step.seen.leader is not None and not step.seen.leader.leads:
        return " Only by this sidecar: another one leads, and heals unless you tell it, too."
    return ""


def _resume(step: Step, act: Act) -> None:
    state = step.state
    stopped = circuit_open(state, step.policy)
    if state.hold is None and state.pause is None and not stopped:
        step.answer(
            act, Reason.NOTHING_TO_RESUME, "Healing is neither held nor paused, and the circuit is closed."
        )
        return
    step.set(hold=None, pause=None)
    if stopped and state.circuit is not None:
        step.set(circuit=replace(state.circuit, trial_now=True, tried=False))
    trial = " The circuit lets one heal try." if stopped else ""
    if stopped and heals_spent(step.state, step.policy) >= step.policy.heal_budget:
        trial = " The circuit lets one heal try, but not before the budget does: put the rows back by hand."
    step.answer(act, None, f"Healing goes on.{trial}")


def _heal(step: Step, act: Act) -> None:
    if step.state.phase is Phase.HEALING:
        step.answer(act, Reason.HEAL_RUNNING, "A heal runs already.")
    elif not step.findings.context_lost:
        unseen = step.findings.undetermined & CONTEXT_LOSS
        reason = Reason.NOT_VISIBLE if unseen else Reason.NOTHING_LOST
        step.answer(act, reason, "The rows cannot be seen." if unseen else "Nothing is lost.")
    elif step.state.phase not in OPEN_PHASES:
        step.answer(act, Reason.NOT_PROVEN_YET, "A single look saw the loss: ask again in a moment.")
    else:
        step.asked.append(act)
        step.set(asked_lived=step.lived)


def _acknowledge(step: Step, act: Act) -> None:
    if step.state.incident is None:
        step.answer(act, Reason.NO_INCIDENT, "No incident is open.")
        return
    step.note(acknowledged_at=step.seen.at, acknowledged_by=act.by)
    step.answer(act, None, "Acknowledged: no page and no reminder, unless it gets worse.")


def _look_again(step: Step) -> None:
    """What is wrong, measured against the new last good state; a streak of what no longer is ends."""
    step.findings = symptoms.find(step.seen, step.expected, step.policy, step.state.good)
    left = {finding.symptom for finding in step.findings.found} | step.findings.undetermined
    step.set(streaks=tuple(streak for streak in step.state.streaks if streak.symptom in left))


def _awaited(step: Step) -> bool:
    """Something of the incident that cannot be seen now, so that nobody knows whether it is over."""
    return bool(step.findings.undetermined & frozenset(step.incident.symptoms))


_ACTS: dict[ActKind, Callable[[Step, Act], None]] = {
    ActKind.ACCEPT: _accept,
    ActKind.ADOPT: _adopt,
    ActKind.HOLD: _hold,
    ActKind.PAUSE: _pause,
    ActKind.RESUME: _resume,
    ActKind.HEAL: _heal,
    ActKind.ACKNOWLEDGE: _acknowledge,
}
