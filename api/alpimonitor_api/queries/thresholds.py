"""One threshold: found, changed, and its change written down. All of one transaction."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    ColumnElement,
    DateTime,
    Double,
    Text,
    Uuid,
    and_,
    bindparam,
    cast,
    exists,
    func,
    insert,
    literal_column,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB

from alpimonitor_api.queries.building import Statement, compiled, constant, json_object, utc
from alpimonitor_api.queries.context import station_name
from alpimonitor_api.queries.stations import is_the_wanted_station
from alpimonitor_api.tables import sensor, station, threshold, threshold_audit


def _text(name: str) -> ColumnElement[Any]:
    return cast(bindparam(name, type_=Text), Text)


BOUNDS = compiled(
    select(
        func.set_config(constant("lock_timeout"), _text("lock_timeout"), true()),
        func.set_config(constant("statement_timeout"), _text("statement_timeout"), true()),
        func.set_config(literal_column("'watchdog.reason'"), _text("reason"), true()),
    )
)
"""lock_timeout, statement_timeout (such as `900ms`), reason: of this transaction alone, so that they hold
behind a transaction pooler, too. The reason is what the flight recorder keeps with the change."""

TURN = compiled(
    select(
        func.pg_advisory_xact_lock(
            func.hashtextextended(literal_column("'alpimonitor:change'"), literal_column("0"))
        )
    )
)
"""Waits, up to lock_timeout, for the lock `change`, which a seed and a heal hold while they are at work."""


def _the_threshold() -> ColumnElement[bool]:
    return and_(
        threshold.c.station_id == bindparam("station_id", type_=Uuid),
        threshold.c.parameter == bindparam("parameter", type_=Text),
    )


def _wanted(member: str) -> ColumnElement[Any]:
    return cast(bindparam(member, type_=Double), Double)


WISHED = (
    ("vigilanceValue", threshold.c.vigilance_value, _wanted("vigilance_value")),
    ("alertValue", threshold.c.alert_value, _wanted("alert_value")),
    ("direction", threshold.c.direction, _text("direction")),
)
"""The members of a wish, and of the audit: their columns and their parameters."""


def _station_and_sensor() -> Statement:
    has_sensor = exists().where(
        sensor.c.station_id == station.c.id, sensor.c.parameter == bindparam("parameter", type_=Text)
    )
    return compiled(select(station.c.id, station.c.ofev_code, has_sensor).where(is_the_wanted_station()))


STATION_AND_SENSOR = _station_and_sensor()
"""station_id or None, ofev_code, parameter -> identifier, OFEV code, `t` if it has that sensor; or no row."""

PRESENT = compiled(
    select(
        json_object(**{member: column for member, column, _ in WISHED}),
        and_(*(column == wanted for _, column, wanted in WISHED)),
    )
    .where(_the_threshold())
    .with_for_update(of=threshold)
)
"""station_id, parameter, and the wish -> the values as JSON, `t` if the wish changes nothing; or no row.

The row stays locked until the transaction ends."""

CREATE = compiled(
    insert(threshold).values(
        id=bindparam("id", type_=Uuid),
        station_id=bindparam("station_id", type_=Uuid),
        parameter=bindparam("parameter", type_=Text),
        **{column.name: wanted for _, column, wanted in WISHED},
    )
)
"""id, station_id, parameter, and the wish."""

TUNE = compiled(
    update(threshold)
    .where(_the_threshold())
    .values(
        {
            **{column: wanted for _, column, wanted in WISHED},
            threshold.c.tuned_at: bindparam("tuned_at", type_=DateTime(timezone=True)),
            threshold.c.tuned_by: bindparam("tuned_by", type_=Text),
        }
    )
)
"""station_id, parameter, the wish, tuned_at, tuned_by."""

AUDIT = compiled(
    insert(threshold_audit).values(
        station_id=bindparam("station_id", type_=Uuid),
        parameter=bindparam("parameter", type_=Text),
        before=cast(bindparam("before", type_=Text), JSONB),
        after=cast(json_object(**{member: wanted for member, _, wanted in WISHED}), JSONB),
        changed_at=bindparam("tuned_at", type_=DateTime(timezone=True)),
        changed_by=bindparam("tuned_by", type_=Text),
    )
)
"""station_id, parameter, before (what PRESENT gave, or None), the wish, tuned_at, tuned_by."""

TUNED = compiled(
    select(
        json_object(
            data=json_object(
                station=station_name(),
                parameter=threshold.c.parameter,
                **{member: column for member, column, _ in WISHED},
                tunedAt=utc(threshold.c.tuned_at),
                tunedBy=threshold.c.tuned_by,
            )
        )
    )
    .select_from(threshold.join(station, station.c.id == threshold.c.station_id))
    .where(_the_threshold())
)
"""station_id, parameter -> the whole answer."""
