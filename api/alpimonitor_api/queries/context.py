"""What the lists of context tables share: they tell an empty context from an empty list.

The context is empty when station or catchment has no row at all: nothing works without them, and no
deployment means it. Every unfiltered list then says so, whatever rows its own table still holds. A deployment
without glaciers or withdrawals is a sound one: alone they may be empty.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Select, and_, exists, select

from alpimonitor_api.queries.building import Statement, compiled, json_object, or_empty_list
from alpimonitor_api.tables import catchment, station


def there_is_a_context() -> ColumnElement[bool]:
    # Both: foreign keys can be switched off, and then stations without any catchment are possible.
    return and_(exists().select_from(catchment), exists().select_from(station))


def listed_in_a_context(items: Select[Any]) -> Statement:
    """`items` selects one JSON list. The statement gives that list, or no row while the context is empty."""
    return compiled(select(or_empty_list(items.scalar_subquery())).where(there_is_a_context()))


def station_name() -> ColumnElement[Any]:
    """How a station is told inside something else."""
    return json_object(id=station.c.id, name=station.c.name, ofevCode=station.c.ofev_code)
