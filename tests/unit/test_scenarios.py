"""The catalogue of scenarios agrees with the tables, and with the sidecar's words."""

from __future__ import annotations

import pytest

from alpimonitor_api.tables import CONTEXT_TABLES, metadata
from alpimonitor_rehearsal import scenarios
from alpimonitor_rehearsal.scenarios import SCENARIOS, Heals, Scenario
from alpimonitor_watchdog.core.words import Symptom

ALL = pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=list(SCENARIOS))


def statements(scenario: Scenario) -> list[str]:
    return [statement.strip() for statement in scenario.break_it.split(";") if statement.strip()]


def test_the_demo_offers_its_scenarios_by_their_names() -> None:
    assert list(SCENARIOS) == ["delete", "truncate", "partial", "repeat", "partition"]
    assert all(name == scenario.name for name, scenario in SCENARIOS.items())


@ALL
def test_only_context_tables_are_in_scope(scenario: Scenario) -> None:
    assert scenario.scope
    assert set(scenario.scope) <= {table.name for table in CONTEXT_TABLES}


@ALL
def test_the_symptom_is_one_that_the_sidecar_knows(scenario: Scenario) -> None:
    assert scenario.symptom in {symptom.value for symptom in Symptom}


@ALL
def test_the_statement_to_be_attributed_is_one_that_is_run(scenario: Scenario) -> None:
    assert all(statement.startswith(scenario.attribution.statement) for statement in statements(scenario))


@ALL
def test_the_operator_does_not_say_what_is_being_rehearsed(scenario: Scenario) -> None:
    told = scenario.attribution.application_name
    assert told == scenarios.OPERATOR
    assert not any(name in told for name in (*SCENARIOS, "demo", "scenario", "rehearsal"))


def test_deleting_empties_every_table_before_the_one_it_references() -> None:
    emptied = [statement.removeprefix("DELETE FROM ") for statement in statements(scenarios.DELETE)]
    assert set(emptied) >= set(scenarios.DELETE.scope)
    for name in emptied:
        referenced = {key.column.table.name for key in metadata.tables[name].foreign_keys}
        assert referenced <= set(emptied[emptied.index(name) + 1 :])


def test_everything_that_references_a_deleted_table_is_deleted_first() -> None:
    emptied = [statement.removeprefix("DELETE FROM ") for statement in statements(scenarios.DELETE)]
    for table in metadata.tables.values():
        if {key.column.table.name for key in table.foreign_keys} & set(emptied):
            assert table.name in emptied


def test_a_partition_differs_from_a_deletion_in_who_has_to_heal() -> None:
    assert [name for name, each in SCENARIOS.items() if each.heals is Heals.BY_ANOTHER] == ["partition"]
    assert scenarios.PARTITION.break_it == scenarios.DELETE.break_it


def test_only_the_repeated_scenario_ends_with_a_person() -> None:
    worn_out = [name for name, each in SCENARIOS.items() if each.heals is Heals.UNTIL_THE_CIRCUIT_OPENS]
    assert worn_out == ["repeat"]
    assert scenarios.REPEAT.break_it == scenarios.DELETE.break_it
