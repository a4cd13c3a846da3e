"""decide(state, seen, expected, policy) -> Decision: the phases of an incident, and nothing else.

Pure: the same state and observation give the same decision.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from . import symptoms
from .model import Decision, Policy, State, Streak
from .pursuit import open_incident, pursue
from .recovery import healing, verifying
from .seen import Expectation, Findings, Observation
from .step import Step, details
from .words import OPEN_PHASES, Phase, Reason


def decide(state: State, seen: Observation, expected: Expectation, policy: Policy) -> Decision:
    """What follows from `seen`, for an incident that stands at `state`.

    Invariants: an incident is open exactly in OPEN_PHASES; a heal starts only from a loss seen in this very
    observation with every guard rail holding; no change of phase without a Reason.
    """
    findings = symptoms.find(seen, expected, policy)
    step = Step(advance(state, seen, findings, policy), seen, findings, expected, policy)
    if seen.plan is not None and step.state.planning and seen.plan.number == step.state.plan_number:
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
            streaks.append(Streak(finding.symptom, since=seen.at, probes=1))
        else:
            lasted = streak.lasted + (0.0 if streak.stalled else lived - state.lived)
            streaks.append(replace(streak, probes=streak.probes + 1, lasted=lasted, stalled=False))
    streaks += [
        replace(streak, stalled=True)
        for symptom, streak in before.items()
        if symptom in findings.undetermined
    ]
    window_start = lived - policy.heal_window
    calm = state.phase is Phase.HEALTHY and lived - state.phase_lived >= policy.backoff_reset_after
    return replace(
        state,
        lived=lived,
        streaks=tuple(streaks),
        clear_probes=state.clear_probes + 1 if findings.clear_of(concerned) else 0,
        # By its end: a heal may take longer than the window, and the back-off counts from its end.
        heals=tuple(heal for heal in state.heals if heal.ended_lived > window_start),
        series=0 if calm else state.series,
    )


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


_PHASES: dict[Phase, Callable[[Step], None]] = {
    Phase.HEALTHY: idle,
    Phase.SUSPECTED: idle,
    Phase.RESOLVED: idle,
    Phase.OPEN: pursue,
    Phase.ESCALATED: pursue,
    Phase.HEALING: healing,
    Phase.VERIFYING: verifying,
}
