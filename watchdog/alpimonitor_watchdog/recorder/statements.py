"""The statements of queries.sql, read once, and the recorder's own frozen SQL."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from ..probe.queries import Query, parse

QUERIES = Path(__file__).with_name("queries.sql")
RECORDER_SQL = Path(__file__).parent / "sql" / "v1.sql"


@cache
def queries() -> Mapping[str, Query]:
    """Every statement by its name."""
    return parse(QUERIES.read_text(encoding="utf-8"))


@cache
def recorder_sql() -> str:
    """What makes the recorder; safe to run again."""
    return RECORDER_SQL.read_text(encoding="utf-8")


def functions() -> list[str]:
    """The names of the functions that it makes."""
    return sorted(
        set(re.findall(r"^CREATE OR REPLACE FUNCTION flight_recorder\.(\w+)", recorder_sql(), re.M))
    )


def relations() -> list[str]:
    """The names of the tables and views that it makes."""
    return sorted(
        set(
            re.findall(
                r"^CREATE (?:TABLE IF NOT EXISTS|OR REPLACE VIEW) flight_recorder\.(\w+)",
                recorder_sql(),
                re.M,
            )
        )
    )
