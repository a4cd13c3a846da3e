"""The invariants of deciding over every short sequence of a few happenings, with thresholds of one."""

from __future__ import annotations

import pytest

from alpimonitor_watchdog.core.model import Policy
from tests.unit.happenings import EVENTS, WATCHED
from tests.unit.sandbox import Sandbox
from tests.unit.witness import Witness

ONES = Policy(
    confirm_for=1.0,
    confirm_probes=1,
    quiet_for=1.0,
    heal_budget=1,
    heal_window=4.0,
    backoff_first=1.0,
    backoff_max=1.0,
    backoff_reset_after=1.0,
    circuit_after_failures=1,
    circuit_after_wipes=1,
    circuit_trial_after=1.0,
    accept_after=1.0,
    clear_for=1.0,
    flap_window=1.0,
    page_after=1.0,
    reminder_every=1.0,
    escalate_after=1.0,
    proof_within=1.0,
    verify_grace=1.0,
    unreachable_after=1.0,
    unhealthy_after=1.0,
    settle_after=1.0,
    straggler_after=1.0,
)
Letter = tuple[str, float, int | None]


def letters(*events: str, elapsed: float = 1.0) -> tuple[Letter, ...]:
    return tuple((event, elapsed, None) for event in events)


def crashes(event: str, *effects: int) -> tuple[Letter, ...]:
    return tuple((event, 1.0, effect) for effect in effects)


def every_sequence(world: Sandbox, witness: Witness, alphabet: tuple[Letter, ...], depth: int) -> int:
    """How many there are, each judged at each of its looks."""
    if depth == 0:
        return 1
    judged = 0
    for event, elapsed, crash in alphabet:
        world_then, witness_then = world.branch(), witness.branch()
        EVENTS[event](world_then)
        witness_then.look(world_then, elapsed, crash)
        judged += every_sequence(world_then, witness_then, alphabet, depth - 1)
    return judged


FEW = letters("wiped", "nothing")


@pytest.mark.parametrize(
    ("before", "alphabet", "depth"),
    [
        pytest.param(
            "nothing",
            letters("wiped", "restored", "a table locked", "another shrunk", "another database"),
            6,
            id="what is seen",
        ),
        pytest.param(
            "wiped",
            (*letters("wiped", "restored"), *crashes("wiped", 0, 1, 2), *crashes("restored", 0)),
            5,
            id="crashes",
        ),
        pytest.param(
            "wiped",
            (
                *FEW,
                *letters("an operator says accept", "an operator says heal"),
                *letters("an operator says hold", "an operator says resume"),
            ),
            5,
            id="operators",
        ),
        pytest.param(
            "wiped",
            (*FEW, *letters("the other leads", "this one leads", "the other heals")),
            5,
            id="sidecars",
        ),
        pytest.param(
            "wiped",
            (*FEW, *letters("heals fail", "heals succeed for nothing", "heals go on")),
            5,
            id="heals",
        ),
        pytest.param(
            "wiped",
            (("wiped", 0.0, None), ("wiped", 1.0, None), ("restored", 0.0, None), ("restored", 1.0, None)),
            6,
            id="time",
        ),
    ],
)
def test_the_invariants_hold_over_every_short_sequence(
    before: str, alphabet: tuple[Letter, ...], depth: int
) -> None:
    world, witness = (
        Sandbox(ONES, WATCHED, pair="the other leads" in {name for name, _, _ in alphabet}),
        Witness(),
    )
    witness.look(world, 1.0)
    EVENTS[before](world)
    for _ in range(2):
        witness.look(world, 1.0)
    assert every_sequence(world, witness, alphabet, depth) == len(alphabet) ** depth
