"""Time passes: what every observation changes in the state, before anything is decided."""

from __future__ import annotations

from dataclasses import replace

from . import good, recorded
from .compared import Compared
from .good import Candidate, LastGood
from .model import Policy, State, Streak
from .seen import Expectation, Findings, Observation
from .words import CONTEXT_LOSS, Phase, Symptom

_LARGEST_EPISODE = 0x7FFFFFFF  # half of an advisory lock's key


def advance(
    state: State, seen: Observation, findings: Findings, expected: Expectation, policy: Policy
) -> State:
    """Streaks grow, break or, where nothing could be seen, stand still; what is old drops out."""
    lived = state.lived + max(0.0, seen.elapsed)
    concerned = frozenset(state.incident.symptoms if state.incident else (s.symptom for s in state.streaks))
    clear = findings.clear_of(concerned)
    last_good, candidate = _good(state, seen, findings, expected, policy, lived)
    whole = last_good is not None and candidate is None and _stays(seen, last_good, findings, expected)
    whole_lived = lived if whole else state.whole_lived
    calm = state.phase is Phase.HEALTHY and lived - state.phase_lived >= policy.backoff_reset_after
    losses_changed = findings.context_lost and findings.losses != state.losses
    closes = calm and state.circuit is not None and _outlived(state, policy, lived)
    changes = recorded.follow(state, seen, findings, expected, lived)
    if whole and last_good is not None:
        changes["unlike_lived"] = unlike = _unlike(last_good, state, seen, lived)
        settled = unlike is None or lived - unlike >= policy.accept_after
        last_good = _marked(last_good, state, seen, expected, policy, settled=settled)
    return replace(
        state,
        **changes,
        lived=lived,
        whole_lived=whole_lived,
        fingerprint=seen.database.fingerprint or state.fingerprint,
        streaks=_streaks(state, seen, findings, lived),
        clear_probes=state.clear_probes + 1 if clear else 0,
        clear_lasted=state.clear_lasted + lived - state.lived if clear and state.clear_probes else 0.0,
        # By its end: a heal may take longer than the window, and the back-off counts from its end.
        heals=tuple(heal for heal in state.heals if heal.ended_lived > lived - policy.heal_window),
        series=0 if calm else state.series,
        circuit=None if closes else state.circuit,
        circuit_since=lived if closes else state.circuit_since,
        ledger=_ledger(state, seen, policy, lived),
        good=last_good,
        candidate=candidate,
        losses=() if findings.context_whole else findings.losses if findings.context_lost else state.losses,
        losses_lived=lived if losses_changed else state.losses_lived,
        pause=state.pause if state.pause and state.pause.holds(seen.at, lived) else None,
        after_due=state.after_due and not seen.after_done,
        episode=_episode(state, seen),
    )


def explained(state: State, seen: Observation, expected: Expectation) -> State:
    """Before anything is found wrong: values that a recorded statement changed are good as they are now."""
    recorder, last = seen.database.recorder, state.good
    events = (*state.events, *(recorder.events if recorder is not None else ()))
    now = good.present(seen.database, expected) if events and last is not None else None
    other = last is None or bool(_another(seen, last))
    if now is None or last is None or other:
        return state
    return replace(state, good=good.learn(last, now, recorded.updated(events), seen.at))


def _another(seen: Observation, last: LastGood) -> list[str]:
    identity = seen.database.identity
    return identity.differences(last.identity) if identity and last.identity else []


def resumed(state: State) -> State:
    """A saved state in a new process: what it had begun died with the old one.

    The old process may have seen more than it saved, such as the rows back for a moment. So this process
    counts its own looks before a loss is proven or an incident clear; the time that it took counts on. Its
    healer may be declared anew: what another one planned says nothing of it.
    """
    streaks = (
        replace(streak, probes=0) if streak.symptom in CONTEXT_LOSS else streak for streak in state.streaks
    )
    return replace(
        state,
        plan=None,
        planning=False,
        streaks=tuple(streaks),
        clear_probes=0,
        clear_lasted=0.0,
        losses=(),
    )


def next_episode(state: State, seen: Observation) -> int:
    """The number of the incident after this one: it grows; other sidecars take it from the leader."""
    return max(state.episode + 1, int(seen.at.timestamp())) & _LARGEST_EPISODE


def _streaks(state: State, seen: Observation, findings: Findings, lived: float) -> tuple[Streak, ...]:
    before = {streak.symptom: streak for streak in state.streaks}
    streaks = []
    for finding in findings.found:
        streak = before.pop(finding.symptom, None)
        if streak is None:
            streaks.append(Streak(finding.symptom, since=seen.at, probes=1))
        else:
            lasted = streak.lasted + (0.0 if streak.stalled else lived - state.lived)
            streaks.append(replace(streak, probes=streak.probes + 1, lasted=lasted, stalled=False))
    stalled = [
        replace(streak, stalled=True)
        for symptom, streak in before.items()
        if symptom in findings.undetermined
    ]
    return (*streaks, *stalled)


def _good(
    state: State,
    seen: Observation,
    findings: Findings,
    expected: Expectation,
    policy: Policy,
    lived: float,
) -> tuple[LastGood | None, Candidate | None]:
    """A loss, another database and what could not be seen leave the last good state as it is."""
    now = good.present(seen.database, expected)
    misleading = findings.context_lost or findings.other_database
    if now is None or seen.database.identity is None or misleading:
        return state.good, state.candidate
    if state.good is None:
        return LastGood(seen.at, seen.database.identity, now), None
    last = state.good
    if last.identity is None or not last.tables:
        return LastGood(seen.at, last.identity or seen.database.identity, now), None
    return good.follow(last, state.candidate, now, at=seen.at, lived=lived, accept_after=policy.accept_after)


def _stays(seen: Observation, last: LastGood, findings: Findings, expected: Expectation) -> bool:
    """Whether this look saw the whole context as it last was good, in the same database."""
    now = good.present(seen.database, expected)
    return (
        now is not None
        and not findings.context_lost
        and not findings.other_database
        and good.stays(now, last.tables)
    )


def _unlike(last: LastGood, state: State, seen: Observation, lived: float) -> float | None:
    """Since when the database is another one in a way that a verdict would name: a standby, say."""
    newest = seen.database.fingerprint or state.fingerprint
    if not Compared(last.fingerprint, newest).remarkable:
        return None
    return lived if state.unlike_lived is None else state.unlike_lived


def _marked(
    last: LastGood,
    state: State,
    seen: Observation,
    expected: Expectation,
    policy: Policy,
    *,
    settled: bool,
) -> LastGood:
    """The last good state with the fingerprint and the recorder's arming that go with it.

    Not in a look that also read of rows taken: they may have gone after they were counted. What is remarkably
    other, and another arming, is taken over once it has stood for as long as a change of rows has to.
    """
    recorder = seen.database.recorder
    events = recorder.events if recorder is not None else ()
    fresh = seen.database.fingerprint
    if fresh is not None and settled and not recorded.destructive(events, expected):
        last = replace(last, fingerprint=fresh)
    if recorder is None or not recorder.armed:
        return last
    lasted = [streak.lasted for streak in state.streaks if streak.symptom is Symptom.RECORDER_DISARMED]
    if not last.arming or max(lasted, default=0.0) >= policy.accept_after:
        last = replace(last, arming=recorder.arming)
    return last


def _ledger(state: State, seen: Observation, policy: Policy, lived: float) -> tuple[float, ...]:
    """When the heals began that the database recorded; as last known while it cannot be asked."""
    attempts = seen.leader.attempts if seen.leader else None
    known = state.ledger if attempts is None else tuple(lived - attempt.age for attempt in attempts)
    return tuple(at for at in known if at > lived - policy.heal_window)


def _outlived(state: State, policy: Policy, lived: float) -> bool:
    """A trial that lasted closes the circuit; so does a trial's time that came without anything to try."""
    circuit = state.circuit
    return circuit is not None and (circuit.tried or circuit.lets_try(lived, policy.circuit_trial_after))


def _episode(state: State, seen: Observation) -> int:
    if state.incident is None and seen.leader is not None and not seen.leader.leads and seen.leader.episode:
        return seen.leader.episode
    return state.episode or next_episode(state, seen)
