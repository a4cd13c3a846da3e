"""The catalogue of scenarios agrees with the tables, with the sidecar's words, and with itself."""

from __future__ import annotations

import re
from enum import StrEnum

import pytest

from alpimonitor_api.tables import CONTEXT_TABLES, metadata
from alpimonitor_rehearsal import breaking, scenarios
from alpimonitor_rehearsal.scenarios import (
    CATALOGUE,
    CONCLUDED,
    PLAYED,
    Act,
    Circumstance,
    Heals,
    Kind,
    Scenario,
    Script,
    Symptom,
    Verdict,
)
from alpimonitor_watchdog.core import verdict, words

ALL = pytest.mark.parametrize("scenario", CATALOGUE.values(), ids=list(CATALOGUE))
DEMO = pytest.mark.parametrize("scenario", PLAYED.values(), ids=list(PLAYED))


def statements(scenario: Scenario) -> list[str]:
    return [statement.strip() for statement in scenario.break_it.split(";") if statement.strip()]


def scripts(scenario: Scenario) -> list[Script]:
    return [step for step in scenario.steps if isinstance(step, Script)]


def test_the_demo_offers_its_scenarios_by_their_names() -> None:
    assert list(PLAYED) == ["delete", "truncate", "partial", "repeat", "partition"]
    assert PLAYED.items() <= CATALOGUE.items()


def test_every_scenario_has_a_name_and_a_sentence_of_its_own() -> None:
    assert all(name == scenario.name for name, scenario in CATALOGUE.items())
    assert len({scenario.says for scenario in CATALOGUE.values()}) == len(CATALOGUE) >= 25


@ALL
def test_only_context_tables_are_in_scope(scenario: Scenario) -> None:
    names = {table.name for table in CONTEXT_TABLES}
    assert scenario.kind is Kind.FOREIGN or set(scenario.scope) <= names


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(Symptom, words.Symptom), (Verdict, verdict.What), (Circumstance, verdict.Circumstance)],
)
def test_its_words_are_the_sidecars(ours: type[StrEnum], theirs: type[StrEnum]) -> None:
    assert {word.value for word in ours} <= {word.value for word in theirs}


@pytest.mark.parametrize("words", [Symptom, Verdict, Circumstance, Heals, Act, Kind])
def test_it_has_no_word_that_no_scenario_needs(words: type[StrEnum]) -> None:
    used: set[object] = set()
    for each in CATALOGUE.values():
        used |= {each.symptom, each.verdict, each.heals, each.kind, *each.circumstances, *each.steps}
    assert set(words) <= used


def test_every_act_can_be_carried_out() -> None:
    assert set(breaking.ACTS) == set(Act)


@ALL
def test_the_statement_to_be_attributed_is_one_that_is_run(scenario: Scenario) -> None:
    attribution = scenario.attribution
    if attribution is not None and scripts(scenario):
        written = "\n".join(script.sql for script in scripts(scenario))
        assert attribution.statement in written


@ALL
def test_nobody_is_named_where_nothing_is_recorded(scenario: Scenario) -> None:
    assert scenario.recorder or scenario.attribution is None


@ALL
def test_only_rows_that_were_taken_in_place_unintended_are_put_back(scenario: Scenario) -> None:
    in_place = scenario.verdict in (Verdict.ROWS_DELETED_IN_PLACE, Verdict.TABLE_TRUNCATED)
    meant = Circumstance.INTENDED in scenario.circumstances
    comes_back = scenario.name == "reload"
    assert scenario.healed == (in_place and not meant and not comes_back)


@ALL
def test_where_nothing_happened_nobody_is_told_of_anything(scenario: Scenario) -> None:
    if scenario.verdict is None:
        assert (scenario.symptom, scenario.attribution, scenario.scope) == (None, None, ())


@ALL
def test_nothing_that_the_database_is_told_says_that_it_is_rehearsed(scenario: Scenario) -> None:
    told = " ".join([scenarios.OPERATOR, *(script.sql for script in scripts(scenario))]).lower()
    assert not any(word in told for word in ("demo", "scenario", "rehearsal", "drill", "test"))


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


@DEMO
def test_the_demo_breaks_by_one_script_in_one_transaction(scenario: Scenario) -> None:
    (only,) = scripts(scenario)
    assert (only.together, only.beside, scenario.break_it) == (True, False, only.sql)


def test_what_is_not_one_script_has_no_sql_to_be_played() -> None:
    with pytest.raises(ValueError, match="restart"):
        _ = CATALOGUE["restart"].break_it


def test_a_partition_differs_from_a_deletion_in_who_has_to_heal() -> None:
    assert [name for name, each in CATALOGUE.items() if each.heals is Heals.BY_ANOTHER] == ["partition"]
    assert scenarios.PARTITION.break_it == scenarios.DELETE.break_it


def test_only_the_repeated_scenario_ends_with_a_person() -> None:
    worn_out = [name for name, each in CATALOGUE.items() if each.heals is Heals.UNTIL_THE_CIRCUIT_OPENS]
    assert worn_out == ["repeat"]
    assert scenarios.REPEAT.break_it == scenarios.DELETE.break_it


def test_whatever_ends_in_one_conclusion_is_concluded() -> None:
    assert set(CATALOGUE) - {scenario.name for scenario in CONCLUDED} == {"repeat", "partition"}


def test_a_sentence_completes_it_and_has_no_full_stop() -> None:
    assert all(re.fullmatch(r"[a-z].*[^.]", scenario.says) for scenario in CATALOGUE.values())
