"""What each scrape reads from the database, in one statement."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, func, select

from alpimonitor_api.queries.building import Statement, compiled, json_list, json_object, or_empty_list
from alpimonitor_api.queries.status import whole_state
from alpimonitor_api.tables import alert


def _active_alerts() -> ColumnElement[Any]:
    """By level and type; the partial index on open alerts holds nothing else."""
    counted = (
        select(alert.c.level, alert.c.type, func.count().label("rows"))
        .where(alert.c.closed_at.is_(None))
        .group_by(alert.c.level, alert.c.type)
        .subquery()
    )
    item = json_object(level=counted.c.level, type=counted.c.type, rows=counted.c.rows)
    return or_empty_list(select(json_list(item, counted.c.level, counted.c.type)).scalar_subquery())


SCRAPED: Statement = compiled(select(json_object(state=whole_state(), alerts=_active_alerts())))
"""The parameters of STATUS -> `{"state": what it answers, "alerts": [{level, type, rows}]}`."""
