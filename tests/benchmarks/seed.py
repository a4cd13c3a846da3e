"""Planning and applying fixtures: the shipped thirty-nine rows beside ten thousand.

`read` is the folder, parsed and validated; `plan` a dry run; `apply` the seed of an empty context;
`apply_again` one that has nothing to do. Each is timed within the process, connecting to the database
included, and without the start of Python that the command takes beside.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import TypeVar

import psycopg

from alpimonitor_api.tables import SeedOutcome
from alpimonitor_cli.migrate import upgrade
from alpimonitor_seed.apply import Request, Result, Seeding, seed
from alpimonitor_seed.fixtures import SHIPPED, TABLES, load
from alpimonitor_seed.record import Client
from alpimonitor_seed.target import parse
from tests.benchmarks.figures import Row, Say, figures
from tests.databases import chosen_database, new_database, postgres_for_tests
from tests.fixture_folders import TEN_THOUSAND_ROWS, write_folder

Done = TypeVar("Done")

EMPTY = f"TRUNCATE {', '.join(TABLES)} CASCADE"


def run(runs: int | None, say: Say) -> list[Row]:
    rounds = runs or 20
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as place, postgres_for_tests(chosen_database()) as server:
        many = Path(place) / "fixtures"
        write_folder(many, stations=TEN_THOUSAND_ROWS)
        say(f"PostgreSQL {server.version}, {rounds} rounds")
        for folder in (SHIPPED, many):
            with new_database(server) as url:
                upgrade(url, environment="test")
                rows += _measure(url, folder, rounds)
    return rows


def _measure(url: str, folder: Path, rounds: int) -> list[Row]:
    fixtures = load(folder)

    def seeded(*, dry_run: bool) -> Result:
        target = parse(url, variable="SEED_DATABASE_URL")
        # A server elsewhere, named by TEST_DATABASE, is the one that is meant, too.
        request = Request(dry_run=dry_run, allowed=True)
        return seed(Seeding(target, fixtures, Client("0.0.0", "alpimonitor-seed benchmark"), request))

    taken: dict[str, list[float]] = {"read": [], "plan": [], "apply": [], "apply_again": []}
    for _ in range(rounds):
        with psycopg.connect(url) as connection:
            connection.execute(EMPTY.encode())
        _timed(taken["read"], lambda: load(folder))
        planned = _timed(taken["plan"], lambda: seeded(dry_run=True))
        applied = _timed(taken["apply"], lambda: seeded(dry_run=False))
        again = _timed(taken["apply_again"], lambda: seeded(dry_run=False))
        if planned.plan is None or sum(map(len, planned.plan.inserts.values())) != fixtures.count:
            raise RuntimeError(f"the plan went wrong: {planned.why}")
        if applied.counts.total != fixtures.count or again.outcome is not SeedOutcome.NOTHING_TO_DO:
            raise RuntimeError(f"the seed went wrong: {applied.why or again.why}")
    return [{"rows": fixtures.count, "what": what, **figures(seconds)} for what, seconds in taken.items()]


def _timed(seconds: list[float], act: Callable[[], Done]) -> Done:
    began = perf_counter()
    done = act()
    seconds.append(perf_counter() - began)
    return done
