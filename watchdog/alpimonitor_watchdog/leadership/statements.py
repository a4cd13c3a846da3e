"""The statements of queries.sql, read once."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from ..probe.queries import Query, parse

QUERIES = Path(__file__).with_name("queries.sql")


@cache
def queries() -> Mapping[str, Query]:
    """Every statement by its name."""
    return parse(QUERIES.read_text(encoding="utf-8"))
