"""What each scenario's SQL does to a seeded database."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import sql

from alpimonitor_rehearsal.scenarios import CONTEXT, SCENARIOS, Scenario, Symptom

ALL = pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=list(SCENARIOS))


def counts(connection: psycopg.Connection[tuple[int]]) -> dict[str, int]:
    found = {}
    for table in CONTEXT:
        row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))).fetchone()
        assert row is not None
        found[table] = row[0]
    return found


def measure(connection: psycopg.Connection[tuple[int]]) -> None:
    """A measurement of every sensor: the rows that keep sensors from being deleted."""
    connection.execute(
        "INSERT INTO measurement (sensor_id, recorded_at, value, payload_fetched_at)"
        " SELECT id, '2026-04-20T20:20Z', 1.5, '2026-04-20T20:21Z' FROM sensor"
    )


@ALL
def test_a_scenario_takes_rows_from_its_scope_and_from_no_other_table(
    scenario: Scenario, seeded_database: str
) -> None:
    with psycopg.connect(seeded_database) as connection:
        measure(connection)
        before = counts(connection)
        connection.execute(scenario.break_it)
        after = counts(connection)
    lost = {table for table in CONTEXT if after[table] < before[table]}
    assert lost == set(scenario.scope)


@ALL
def test_the_symptom_is_empty_exactly_where_a_table_is_left_without_a_row(
    scenario: Scenario, seeded_database: str
) -> None:
    with psycopg.connect(seeded_database) as connection:
        measure(connection)
        connection.execute(scenario.break_it)
        emptied = [table for table, rows in counts(connection).items() if rows == 0]
    assert bool(emptied) == (scenario.symptom is Symptom.CONTEXT_EMPTY)
