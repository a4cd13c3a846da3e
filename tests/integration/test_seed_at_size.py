"""Ten thousand fixture rows: planned and applied as thirty-nine are, by the real command."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from alpimonitor_api.tables import SeedMode
from alpimonitor_rehearsal.processes import Processes, environment, python_module
from alpimonitor_rehearsal.waiting import wait_until
from alpimonitor_seed.apply import CONTRADICTIONS_TOLD, Request, Seeding, Stop, seed
from alpimonitor_seed.fixtures import TABLES, load
from alpimonitor_seed.plan import Wish
from alpimonitor_seed.record import Client
from alpimonitor_seed.target import parse
from tests import running
from tests.databases import name_of
from tests.fixture_folders import TEN_THOUSAND_ROWS, write_folder

CHANGE_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('alpimonitor:change', 0))"
WAITING = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    " AND application_name LIKE 'alpimonitor-seed%' AND wait_event_type = 'Lock'"
)


@dataclass(frozen=True)
class Many:
    """A folder of ten thousand rows, and how many of each table."""

    folder: Path
    rows: Mapping[str, int]


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Many:
    folder = tmp_path_factory.mktemp("many") / "fixtures"
    rows = write_folder(folder, stations=TEN_THOUSAND_ROWS)
    assert sum(rows.values()) == 10_000
    return Many(folder, rows)


def number(url: str, query: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return int(row[0])


def counts(url: str) -> dict[str, int]:
    return {table: number(url, f"SELECT count(*) FROM {table}") for table in TABLES}


def outcomes(url: str) -> list[tuple[str, int]]:
    """Of each recorded run: how it ended, and how many rows it says it inserted."""
    query = (
        "SELECT outcome, coalesce((SELECT sum(value::int) FROM jsonb_each_text(inserted)), 0)::int"
        " FROM seed_run ORDER BY at, outcome"
    )
    with psycopg.connect(url) as connection:
        return [(str(outcome), int(rows)) for outcome, rows in connection.execute(query).fetchall()]


def seeding(folder: Path, url: str, *words: str, **settings: str) -> running.Ended:
    allowed = {"SEED_DATABASE_URL": url, "ALLOW_PROD_SEED": "1", **settings}
    return running.run(folder.parent, ["seed", "--fixtures", str(folder), *words], allowed)


def test_ten_thousand_rows_are_planned_written_found_again_changed_and_pruned(
    database: str, many: Many, tmp_path: Path
) -> None:
    planned = seeding(many.folder, database, "--dry-run", "--json", LOG_LEVEL="error")
    assert planned.code == 0, planned.said[-500:]
    plan = json.loads(planned.said)
    assert {table: len(rows) for table, rows in plan["inserts"].items()} == many.rows
    assert counts(database) == dict.fromkeys(TABLES, 0)

    applied = seeding(many.folder, database, "--json", LOG_LEVEL="error")
    assert json.loads(applied.said)["inserted"] == many.rows
    assert counts(database) == many.rows

    again = seeding(many.folder, database, "--mode", "converge", "--confirm-database", name_of(database))
    assert (again.code, "nothing to do" in again.said) == (0, True)

    with psycopg.connect(database) as somebody:
        somebody.execute("UPDATE station SET name = 'x', altitude_m = 1")
        somebody.execute("DELETE FROM withdrawal")
    mended = seeding(many.folder, database, "--mode", "converge", "--json", LOG_LEVEL="error")
    assert json.loads(mended.said)["inserted"] == {"withdrawal": many.rows["withdrawal"]}
    assert json.loads(mended.said)["updated"] == {"station": many.rows["station"]}
    assert number(database, "SELECT count(*) FROM station WHERE name = 'x'") == 0

    few = tmp_path / "few"
    rows = write_folder(few, stations=1)
    pruned = seeding(few, database, "--prune", "--max-prune", "10000", "--json", LOG_LEVEL="error")
    assert pruned.code == 0, pruned.said[-500:]
    assert counts(database) == rows
    assert [outcome for outcome, _ in outcomes(database)] == [
        *("dry_run", "applied", "nothing_to_do", "applied", "applied")
    ]


def test_two_at_once_take_turns_and_both_end_well(database: str, many: Many, tmp_path: Path) -> None:
    command = python_module("alpimonitor_cli.main", "seed", "--fixtures", str(many.folder), "--json")
    settings = {**environment(tmp_path, os.environ), "SEED_DATABASE_URL": database, "ALLOW_PROD_SEED": "1"}
    with Processes(tmp_path) as processes:
        with (
            psycopg.connect(database) as somebody,
            psycopg.connect(database, autocommit=True) as watcher,
        ):
            somebody.execute(CHANGE_LOCK)
            seeds = [processes.start(name, command, settings) for name in ("one", "other")]
            wait_until("two seeds waiting", lambda: waiting(watcher) == 2, deadline=running.DEADLINE)
        assert [each.process.wait(running.DEADLINE) for each in seeds] == [0, 0]
    ended = [json.loads(each.output.read_text(encoding="utf-8"))["outcome"] for each in seeds]
    assert sorted(ended) == ["applied", "nothing_to_do"]
    assert counts(database) == many.rows
    assert sorted(outcomes(database)) == [("applied", 10_000), ("nothing_to_do", 0)]


def waiting(watcher: psycopg.Connection) -> int:
    row = watcher.execute(WAITING.encode()).fetchone()
    assert row is not None
    return int(row[0])


def test_thousands_of_contradictions_are_told_in_a_sentence_a_person_can_read(
    database: str, many: Many
) -> None:
    with psycopg.connect(database) as somebody:
        # The same stations, from another hand: under identifiers that no seed would give them.
        declared = load(many.folder)
        catchment = declared.rows["catchment"][0]
        somebody.execute(
            "INSERT INTO catchment (id, name) VALUES (%s, %s)", [catchment["id"], catchment["name"]]
        )
        somebody.execute(
            sql.SQL(
                "INSERT INTO station (id, ofev_code, name, river_name, catchment_id, latitude, longitude,"
                " altitude_m, flow_type, operator_name, data_source, sourcing_status)"
                " SELECT gen_random_uuid(), 'S' || lpad(n::text, 5, '0'), 'x', 'x', {}, 46, 7, 400,"
                " 'NATURAL', 'x', 'SEED', 'CONFIRMED' FROM generate_series(0, {}) AS n"
            ).format(sql.Literal(catchment["id"]), sql.Literal(TEN_THOUSAND_ROWS - 1))
        )
    result = seed(
        Seeding(
            parse(database, variable="SEED_DATABASE_URL"),
            declared,
            Client("0.0.0", "alpimonitor-seed 0.0.0 test 1"),
            Request(Wish(SeedMode.MISSING), allowed=True),
        )
    )
    assert result.stop is Stop.CONTRADICTION
    assert result.why is not None
    assert result.why.count("exists under the identifier") == CONTRADICTIONS_TOLD
    assert f"and {TEN_THOUSAND_ROWS - CONTRADICTIONS_TOLD} more such rows" in result.why
    assert result.why.endswith("decide which is right and remove the other")
    assert number(database, "SELECT count(*) FROM sensor") == 0
