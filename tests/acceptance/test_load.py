"""Under load the database is restarted, emptied and healed: never wrong data, and no restart of the API."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from alpimonitor_api.app import create_app
from alpimonitor_rehearsal.postgres import running_postgres
from tests.api_client import NOWHERE, settings_for
from tests.load_client import Seen
from tests.load_trial import (
    ALWAYS,
    BASE,
    EMPTY,
    HEALED,
    PATHS,
    UNAVAILABLE,
    WHOLE,
    Trial,
    trial,
)

pytestmark = pytest.mark.acceptance

PER_SECOND = 100.0
ROUNDS = 40  # of all routes: some six seconds at this rate, and a minute of load in all
OF_THE_CONTEXT = {path for path in PATHS if re.search(r"/(stations|catchments|glaciers|withdrawals)\b", path)}
OF_THE_DATABASE = {path for path in PATHS if path.startswith(BASE)}


def paths_of(seen: list[Seen], kind: str) -> set[str]:
    """The routes that answered so, and so that it cannot be taken for anything else."""
    return {each.path for each in seen if kind in each.kinds and each.kinds != ALWAYS}


@pytest.mark.parametrize("cached", [0.0, 1.0], ids=["no cache", "cached for a second"])
def test_while_the_database_restarts_and_its_context_is_wiped_and_healed_no_answer_is_wrong(
    tmp_path: Path, cached: float
) -> None:
    with running_postgres() as server, trial(server, tmp_path, cached=cached, per_second=PER_SECOND) as under:
        under.lasting(ROUNDS)
        before = list(under.load.seen)
        under.stop_database()
        under.lasting(ROUNDS)
        outage = list(under.load.since(under.timeline.outage.since))
        under.start_database()
        under.lasting(ROUNDS)
        under.wipe()
        wiped = lasting_in_one_state(under)
        under.heal()
        healed = lasting_in_one_state(under)
    assert under.timeline.wrong(under.load.seen) == []
    # That nothing was wrong says something only if every state was seen, on every route that can show it.
    assert paths_of(before, WHOLE) >= OF_THE_CONTEXT
    assert paths_of(outage, UNAVAILABLE) == OF_THE_DATABASE
    assert paths_of(wiped, EMPTY) >= OF_THE_CONTEXT
    assert paths_of(healed, HEALED) >= OF_THE_CONTEXT
    assert any(each.revalidated for each in healed)
    assert not any(WHOLE in each.kinds for each in wiped if each.path == f"{BASE}/stations")


def lasting_in_one_state(under: Trial) -> list[Seen]:
    """Some rounds, after whatever was cached has to be gone."""
    since = under.settled
    under.lasting(ROUNDS, since=since)
    return list(under.load.since(since))


def test_every_route_that_is_only_read_is_under_load() -> None:
    templates = [
        getattr(route, "path", "")
        for route in create_app(settings_for(NOWHERE)).routes
        if "GET" in (getattr(route, "methods", None) or ())
    ]
    assert len(templates) >= 12
    for template in templates:
        pattern = re.compile(re.sub(r"\{\w+\}", "[^/?]+", template) + r"(\?.*)?")
        assert any(pattern.fullmatch(path) for path in PATHS), f"{template} is not asked under load"
