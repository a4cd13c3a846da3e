"""Alerts: one page of the list, newest first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    DateTime,
    FromClause,
    Text,
    bindparam,
    cast,
    extract,
    func,
    literal_column,
    or_,
    select,
)

from alpimonitor_api.queries.building import (
    Statement,
    compiled,
    json_list,
    json_object,
    or_empty_list,
    utc,
)
from alpimonitor_api.queries.stations import is_the_wanted_station
from alpimonitor_api.tables import alert, station


@dataclass(frozen=True)
class Asked:
    """The filters that choose an index, so each choice has a statement of its own.

    As parameters of one statement they would hide behind `OR`, which no index serves.
    """

    of_one_station: bool
    active: bool | None  # open alerts only, closed ones only, or both


def _time(name: str) -> ColumnElement[Any]:
    return bindparam(name, type_=DateTime(timezone=True))


def _unless_given(name: str, otherwise: str) -> ColumnElement[Any]:
    """A bound of the range of times: an index serves it whether it was given or not."""
    return func.coalesce(_time(name), literal_column(f"'{otherwise}'::timestamptz"))


def _matching(asked: Asked) -> list[ColumnElement[bool]]:
    level, kind = bindparam("level", type_=Text), bindparam("type", type_=Text)
    matching: list[ColumnElement[bool]] = [
        alert.c.opened_at >= _unless_given("from_time", "-infinity"),
        alert.c.opened_at < _unless_given("to_time", "infinity"),
        or_(level.is_(None), alert.c.level == level),
        or_(kind.is_(None), alert.c.type == kind),
    ]
    if asked.of_one_station:
        one = select(station.c.id).where(is_the_wanted_station()).limit(literal_column("1"))
        matching.append(alert.c.station_id == one.correlate(None).scalar_subquery())
    if asked.active is not None:
        still_open = alert.c.closed_at.is_(None)
        matching.append(still_open if asked.active else alert.c.closed_at.is_not(None))
    return matching


def _item(row: FromClause) -> ColumnElement[Any]:
    lasted = func.coalesce(row.c.closed_at, _time("now")) - row.c.opened_at
    # An alert opened by a clock that is ahead of this one has not lasted less than nothing.
    seconds = func.greatest(literal_column("0"), func.floor(extract("epoch", lasted)))
    return json_object(
        id=row.c.id,
        station=json_object(id=row.c.station_id, name=row.c.station_name, ofevCode=row.c.ofev_code),
        type=row.c.type,
        level=row.c.level,
        parameter=row.c.parameter,
        triggerValue=row.c.trigger_value,
        thresholdValue=row.c.threshold_value,
        openedAt=utc(row.c.opened_at),
        closedAt=utc(row.c.closed_at),
        durationSeconds=cast(seconds, BigInteger),
    )


def _alert_page(asked: Asked) -> Statement:
    # Foreign keys can be switched off: an alert whose station is gone is neither shown nor counted.
    alerts = alert.join(station, station.c.id == alert.c.station_id)
    matching = _matching(asked)
    # JSON is made of these rows only: made in here, it would be made of all those before the page, too.
    page = (
        select(alert, station.c.name.label("station_name"), station.c.ofev_code)
        .select_from(alerts)
        .where(*matching)
        .order_by(alert.c.opened_at.desc(), alert.c.id)
        .limit(bindparam("limit", type_=BigInteger))
        .offset(bindparam("offset", type_=BigInteger))
        .subquery("page")
    )
    total = select(func.count()).select_from(alerts).where(*matching)
    items = select(json_list(_item(page), page.c.opened_at.desc(), page.c.id))
    return compiled(select(total.scalar_subquery(), or_empty_list(items.scalar_subquery())))


ALERT_PAGE: Mapping[Asked, Statement] = {
    asked: _alert_page(asked)
    for asked in (Asked(one, active) for one in (True, False) for active in (True, False, None))
}
"""now, limit, offset, from_time, to_time, level, type (each None or a value), station_id and ofev_code for
those of one station -> how many alerts match, and the JSON list of those on the page."""
