"""decide(state, seen, expected, policy) -> Decision: the phases of an incident, and nothing else.

Pure: the same state and observation give the same decision.
"""

from __future__ import annotations

from collections.abc import Callable

from . import symptoms
from .hearing import hear, hear_at_last
from .model import Decision, Policy, State
from .passing import advance, explained
from .pursuit import open_incident, pursue
from .recovery import healing, verifying
from .seen import Expectation, Observation
from .step import Step, details
from .words import OPEN_PHASES, Phase, Reason


def decide(state: State, seen: Observation, expected: Expectation, policy: Policy) -> Decision:
    """What follows from `seen`, for an incident that stands at `state`.

    Invariants: an incident is open exactly in OPEN_PHASES; a heal starts only from a loss seen in this very
    observation with every guard rail holding; no change of phase without a Reason.
    """
    state = explained(state, seen, expected)
    findings = symptoms.find(seen, expected, policy, state.good)
    step = Step(advance(state, seen, findings, expected, policy), seen, findings, expected, policy)
    if seen.plan is not None and step.state.planning and seen.plan.number == step.state.plan_number:
        step.set(plan=seen.plan, planning=False)
    hear(step)
    if step.state.phase in OPEN_PHASES:
        step.judge()
        step.worsen()
    _PHASES[step.state.phase](step)
    hear_at_last(step)
    if step.state.phase in OPEN_PHASES:
        step.remind()
    if (step.state.incident is not None) != (step.state.phase in OPEN_PHASES):
        raise AssertionError(f"phase {step.state.phase} with incident {step.state.incident}")
    return step.decision()


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
