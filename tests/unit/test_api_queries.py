"""Statements are compiled once, and carry no value of anybody."""

from __future__ import annotations

import pytest
from pydantic.alias_generators import to_camel
from sqlalchemy import Text, bindparam, select

from alpimonitor_api.queries.building import compiled, constant, json_object
from alpimonitor_api.queries.stations import ONE_STATION, STATION_LIST
from alpimonitor_api.queries.status import CONTEXT_MEMBERS
from alpimonitor_api.shapes import ContextCounts
from alpimonitor_api.tables import CONTEXT_TABLES, station


def test_a_statement_keeps_its_parameters_by_name() -> None:
    statement = compiled(select(station.c.id).where(station.c.name == bindparam("wanted", type_=Text)))
    assert b"%(wanted)s" in statement


def test_a_statement_that_would_lose_a_value_is_refused() -> None:
    with pytest.raises(ValueError, match="name_1"):
        compiled(select(station.c.id).where(station.c.name == "Sion"))


def test_a_constant_is_a_plain_word_and_nothing_that_ends_a_literal() -> None:
    assert compiled(select(json_object(a=constant("NORMAL")))) == (
        b"SELECT json_build_object('a', 'NORMAL') AS json_build_object_1"
    )
    for text in ("it's", "a b", "", "x'; --", "%s"):
        with pytest.raises(ValueError, match="plain word"):
            constant(text)


@pytest.mark.parametrize("statement", [STATION_LIST, ONE_STATION])
def test_every_ordering_names_the_collation_that_all_servers_share(statement: bytes) -> None:
    text = statement.decode()
    orderings = text.count("ORDER BY") - text.count("ORDER BY measurement.recorded_at")
    assert orderings > 1
    assert text.count('COLLATE "C"') >= orderings


def test_status_counts_every_context_table() -> None:
    assert [table.name for table in CONTEXT_TABLES] == list(CONTEXT_MEMBERS)
    assert {to_camel(name) for name in ContextCounts.model_fields} == set(CONTEXT_MEMBERS.values())
