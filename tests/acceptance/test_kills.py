"""kill -9 at every boundary between two effects, and at random moments: a restart ends what was begun.

The boundaries are not listed here: one incident without harm is traced, and each crossing of it, the n-th of
its name, is then the moment of death of another sidecar.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from functools import partial

import pytest

from alpimonitor_rehearsal.waiting import wait_until
from tests.databases import PostgresForTests
from tests.ordeals import DEADLINE, Ordeal, Stage, side_by_side
from tests.sidecars import wipe
from tests.warm_start import Harm, Warmth

pytestmark = pytest.mark.acceptance
KINDS = (
    "save", "plan", "reserve", "heal", "finish", "finish_heal", "after", "note", "send", "delivered",
)  # fmt: skip
LONGEST = 4.0  # seconds; an incident to which no harm comes takes about half of that


@pytest.fixture(scope="module")
def crossings(
    tmp_path_factory: pytest.TempPathFactory,
    postgres_server: PostgresForTests,
    seeded_template: str,
    warmth: Warmth,
) -> list[str]:
    """Every crossing of a boundary, in order, in an incident to which no harm comes."""
    folder = tmp_path_factory.mktemp("unharmed")
    trace = folder / "trace"
    play(Stage(folder, postgres_server, seeded_template, warmth), "unharmed", harm=Harm(trace=str(trace)))
    return trace.read_text().splitlines()


def test_an_incident_crosses_boundaries_of_every_kind(crossings: list[str]) -> None:
    assert {crossing.partition(":")[0] for crossing in crossings} == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_killed_at_any_boundary_it_ends_what_was_begun(kind: str, stage: Stage, crossings: list[str]) -> None:
    moments = [crossing for crossing in crossings if crossing.startswith(f"{kind}: ")]

    def case(number: int, moment: str) -> bool:
        trace = stage.folder / f"{number}.trace"
        play(stage, str(number), until_dead, harm=Harm(trace=str(trace), fatal=moment))
        return moment in trace.read_text().splitlines()

    reached = side_by_side({moment: partial(case, n, moment) for n, moment in enumerate(moments)})
    # Two things that happen at once need not happen in the traced order, so that some moments never come.
    assert sum(reached) > len(moments) / 2, f"only {sum(reached)} of {moments} came about"


def test_killed_at_random_moments_it_ends_what_was_begun(stage: Stage, pytestconfig: pytest.Config) -> None:
    seed, kills = pytestconfig.option.kill_seed, pytestconfig.option.kills

    def case(number: int) -> None:
        drawn = random.Random(f"{seed} {number}")
        moments = [drawn.uniform(0, LONGEST) for _ in range(drawn.choice((1, 1, 2)))]
        try:
            play(stage, str(number), *(partial(after, moment) for moment in moments))
        except BaseException as error:
            error.add_note(f"--kill-seed {seed}, killed after {moments} s")
            raise

    side_by_side({f"sidecar {number}": partial(case, number) for number in range(kills)})


def play(stage: Stage, name: str, *moments: Callable[[Ordeal], None], harm: Harm | None = None) -> None:
    """Lose everything; kill and start again whenever one of `moments` has come; check what has to hold."""
    with stage.ordeal(name, harm=harm or Harm()) as ordeal:
        wait_until("its first look", lambda: ordeal.dead or ordeal.healthy(), deadline=DEADLINE)
        wipe(ordeal.database)
        for until_moment in moments:
            until_moment(ordeal)
            ordeal.sidecar.kill()
            ordeal.sidecar.harm = Harm()
            ordeal.sidecar.start()
        ordeal.finish()


def until_dead(ordeal: Ordeal) -> None:
    """Until the fatal boundary was crossed; or the incident has ended without it."""
    wait_until("death, or the end", lambda: ordeal.dead or ordeal.over(), deadline=DEADLINE)


def after(seconds: float, _: Ordeal) -> None:
    threading.Event().wait(seconds)
