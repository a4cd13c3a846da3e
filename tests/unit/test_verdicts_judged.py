"""A conclusion is right only if verdict, symptom, session, circumstances and healing all are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from alpimonitor_rehearsal.roles import OWNER
from alpimonitor_rehearsal.scenarios import CATALOGUE, OPERATOR
from tests.verdicts import Conclusion, Standing, differences, who

SESSION = {
    "role": OWNER,
    "application_name": OPERATOR,
    "client_addr": "127.0.0.1",
    "pid": 4711,
    "statement": "DELETE FROM withdrawal;\n-- and so on",
}
RIGHT = Conclusion(
    verdict="rows_deleted_in_place",
    confidence="certain",
    symptoms=("context_empty",),
    attribution=SESSION,
    circumstances=(),
    healed=True,
    paged=False,
    seconds=1.0,
    said={},
)
NOTHING = Conclusion(None, None, (), None, (), False, False, 0.0, {})


def test_what_the_catalogue_says_is_right() -> None:
    assert differences(CATALOGUE["delete"], RIGHT) == []
    assert differences(CATALOGUE["restart"], NOTHING) == []


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"verdict": "table_truncated"}, "verdict table_truncated, expected rows_deleted_in_place"),
        ({"verdict": None}, "verdict None"),
        ({"symptoms": ("context_shrunk",)}, "symptoms context_shrunk, expected context_empty"),
        ({"symptoms": ()}, "symptoms none"),
        ({"attribution": None}, "attributed to -"),
        ({"attribution": SESSION | {"application_name": "psql"}}, "attributed to alpimonitor_owner (psql)"),
        ({"attribution": SESSION | {"statement": "TRUNCATE withdrawal"}}, "TRUNCATE withdrawal"),
        ({"attribution": SESSION | {"role": "alpimonitor_api"}}, "attributed to alpimonitor_api"),
        ({"attribution": SESSION | {"client_addr": None}}, "attributed to"),
        ({"attribution": SESSION | {"pid": 0}}, "attributed to"),
        ({"healed": False}, "not healed"),
        ({"paged": True}, "somebody was paged"),
    ],
)
def test_one_thing_that_is_not_makes_it_wrong(changed: dict[str, Any], told: str) -> None:
    (difference,) = differences(CATALOGUE["delete"], replace(RIGHT, **changed))
    assert told in difference


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"symptoms": ("context_empty",)}, "expected None"),
        ({"verdict": "unknown"}, "verdict unknown"),
        ({"attribution": SESSION}, "attributed to"),
        ({"healed": True}, "healed"),
        ({"paged": True}, "somebody was paged"),
    ],
)
def test_where_nothing_happened_anything_is_wrong(changed: dict[str, Any], told: str) -> None:
    (difference,) = differences(CATALOGUE["restart"], replace(NOTHING, **changed))
    assert told in difference


def test_a_stated_reason_has_to_be_told() -> None:
    told = differences(CATALOGUE["delete-with-a-reason"], replace(RIGHT, healed=False))
    assert told == ["circumstances without intended"]


def test_a_session_is_told_on_one_line() -> None:
    assert who(RIGHT) == f"{OWNER} ({OPERATOR}): DELETE FROM withdrawal;"


@pytest.mark.parametrize(
    ("standing", "settled"),
    [
        (Standing("healthy", None, (), None, False), True),
        (Standing("suspected", None, (), None, False), False),
        (Standing("open", "1", ("context_empty",), "planning", False), False),
        (Standing("open", "1", ("context_empty",), "other_database", False), True),
        (Standing("healing", "1", ("context_empty",), None, False), False),
        (Standing("verifying", "1", ("context_empty",), None, True), False),
        (Standing("escalated", "1", ("context_empty",), "circuit_open", False), True),
    ],
)
def test_it_is_settled_where_nothing_under_way_ends_by_itself(standing: Standing, settled: bool) -> None:
    assert standing.settled is settled
