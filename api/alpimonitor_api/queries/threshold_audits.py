"""What was changed of thresholds, and by whom: one page of the list, newest first."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import BigInteger, bindparam, func, literal_column, select

from alpimonitor_api.queries.building import Statement, compiled, json_list, json_object, or_empty_list, utc
from alpimonitor_api.queries.context import station_name
from alpimonitor_api.queries.stations import is_the_wanted_station
from alpimonitor_api.tables import station, threshold_audit


def _audit_page(*, of_one_station: bool) -> Statement:
    item = json_object(
        id=threshold_audit.c.id,
        station=station_name(),
        parameter=threshold_audit.c.parameter,
        before=threshold_audit.c.before,
        after=threshold_audit.c.after,
        changedAt=utc(threshold_audit.c.changed_at),
        changedBy=threshold_audit.c.changed_by,
    )
    # Foreign keys can be switched off: an audit whose station is gone is neither shown nor counted.
    audits = threshold_audit.join(station, station.c.id == threshold_audit.c.station_id)
    matching = []
    if of_one_station:
        one = select(station.c.id).where(is_the_wanted_station()).limit(literal_column("1"))
        matching.append(threshold_audit.c.station_id == one.correlate(None).scalar_subquery())
    page = (
        select(item.label("item"), threshold_audit.c.changed_at, threshold_audit.c.id)
        .select_from(audits)
        .where(*matching)
        .order_by(threshold_audit.c.changed_at.desc(), threshold_audit.c.id)
        .limit(bindparam("limit", type_=BigInteger))
        .offset(bindparam("offset", type_=BigInteger))
        .subquery("page")
    )
    total = select(func.count()).select_from(audits).where(*matching)
    items = select(json_list(page.c.item, page.c.changed_at.desc(), page.c.id))
    return compiled(select(total.scalar_subquery(), or_empty_list(items.scalar_subquery())))


AUDIT_PAGE: Mapping[bool, Statement] = {
    of_one_station: _audit_page(of_one_station=of_one_station) for of_one_station in (True, False)
}
"""By whether one station is asked for: limit, offset, and for one station_id or None, and ofev_code -> how
many there are, and the JSON list of those on the page."""
