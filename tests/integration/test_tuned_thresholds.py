"""A threshold tuned through the API, as the seed, the flight recorder and the sidecar take it."""

from __future__ import annotations

import json
from pathlib import Path

import psycopg
import pytest

from alpimonitor_api.tables import SeedMode, SeedOutcome
from alpimonitor_api.token_file import Scope
from alpimonitor_seed.apply import Request, Seeding, seed
from alpimonitor_seed.fixtures import load
from alpimonitor_seed.plan import Wish
from alpimonitor_seed.record import Client as SeedClient
from alpimonitor_seed.target import parse
from alpimonitor_watchdog.core import recorded
from alpimonitor_watchdog.core.evidence import Operation
from alpimonitor_watchdog.probe.catalog import Guarded
from alpimonitor_watchdog.probe.observe import DatabaseProbe
from tests.api_client import serving
from tests.bearers import Bearers
from tests.databases import name_of
from tests.recorders import events

SION = "2011"
TUNED = {"vigilanceValue": 450.5, "alertValue": 750, "direction": "ABOVE"}
TURNED = {"vigilanceValue": 20, "alertValue": 5, "direction": "BELOW"}


@pytest.fixture
def bearers(tmp_path: Path) -> Bearers:
    return Bearers(tmp_path)


def tune(url: str, bearers: Bearers, name: str, *wishes: tuple[str, dict[str, object]]) -> None:
    bearer = bearers.add(name, Scope.OPERATOR)
    headers = {"Content-Type": "application/json", **bearer}
    with serving(url, api_tokens_file=bearers.file) as client:
        for parameter, wish in wishes:
            path = f"/stations/{SION}/thresholds/{parameter}"
            answer = client.ask("PUT", path, content=json.dumps(wish), headers=headers)
            assert answer.status_code == 200, answer.text


def converge(url: str) -> SeedOutcome:
    """Without leave to overwrite what operators tuned."""
    request = Request(wish=Wish(SeedMode.CONVERGE), allowed=True, confirmed=name_of(url))
    target = parse(url, variable="SEED_DATABASE_URL")
    client = SeedClient("0.0.0", "alpimonitor-seed 0.0.0 test 1")
    return seed(Seeding(target, load(), client, request)).outcome


def thresholds(url: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT * FROM threshold ORDER BY id").fetchall()


def test_a_seed_that_converges_leaves_it_alone(seeded_database: str, bearers: Bearers) -> None:
    assert converge(seeded_database) is SeedOutcome.NOTHING_TO_DO
    tune(seeded_database, bearers, "marie", ("DISCHARGE", TUNED))
    tuned = thresholds(seeded_database)
    assert converge(seeded_database) is SeedOutcome.NOTHING_TO_DO
    assert thresholds(seeded_database) == tuned


def test_the_flight_recorder_keeps_who_tuned_it_as_the_reason(seeded_database: str, bearers: Bearers) -> None:
    before = len(events(seeded_database))
    tune(seeded_database, bearers, "marie", ("DISCHARGE", TUNED), ("WATER_LEVEL", TURNED))
    told = [
        (event["operation"], event["table_name"], event["rows"], event["reason"])
        for event in events(seeded_database)[before:]
    ]
    assert told == [("update", "threshold", 1, "threshold tuned by marie")] * 2


def test_the_sidecar_reads_the_change_as_explained(seeded_database: str, bearers: Bearers) -> None:
    probe = DatabaseProbe(
        seeded_database, [Guarded("threshold", context=True)], application_name="reading", timeout=5.0
    )
    try:
        probe.look()
        tune(seeded_database, bearers, "marie", ("DISCHARGE", TUNED))
        recorder = probe.look().recorder
    finally:
        probe.close()
    assert recorder is not None
    (event,) = recorder.events
    assert (event.operation, event.table, event.reason) == (
        Operation.UPDATE,
        "threshold",
        "threshold tuned by marie",
    )
    assert recorded.updated(recorder.events) == {"threshold"}
