"""The one statement that writes measurements, for a pass and for a replay alike; and its rehearsal.

Arrays, so that it is the same statement for eight measurements and for thousands; its rule is that of
Turn.store: insert what is new, replace another value only by that of a payload that was fetched later. Of
several measurements of one sensor and time the one of the latest fetch counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Boolean,
    Double,
    Executable,
    Subquery,
    Text,
    Uuid,
    and_,
    bindparam,
    cast,
    func,
    literal_column,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import insert

from alpimonitor_api.tables import measurement


class Measurement(NamedTuple):
    """One value, in the sensor's unit, from the payload fetched at that time. Times are aware.

    A tuple: a replay makes millions.
    """

    sensor_id: UUID
    recorded_at: datetime
    value: float
    payload_fetched_at: datetime


def array_parameters(measurements: Sequence[Measurement]) -> Mapping[str, str]:
    """The parameters of STORE and COMPARE: arrays as PostgreSQL writes them, times in seconds since 1970.

    Written here, because lists of times and identifiers cost the driver and the server as much again as
    storing them does: each is quoted, escaped and parsed. A double holds microseconds until 2255.
    """
    columns = tuple(zip(*measurements, strict=True)) or ((), (), (), ())
    sensor_ids, times, values, fetches = columns
    written = {one: str(one) for one in set(sensor_ids)}
    seconds = {one: repr(one.timestamp()) for one in {*times, *fetches}}
    return {
        "sensor_ids": _array(map(written.__getitem__, sensor_ids)),
        "times": _array(map(seconds.__getitem__, times)),
        "values": _array(map(repr, values)),
        "fetches": _array(map(seconds.__getitem__, fetches)),
    }


def _array(items: Iterable[str]) -> str:
    return "{" + ",".join(items) + "}"


def _arriving() -> Subquery:
    given = (
        func.unnest(
            cast(bindparam("sensor_ids", type_=Text), ARRAY(Uuid)),
            cast(bindparam("times", type_=Text), ARRAY(Double)),
            cast(bindparam("values", type_=Text), ARRAY(Double)),
            cast(bindparam("fetches", type_=Text), ARRAY(Double)),
        )
        .table_valued("sensor_id", "recorded_at", "value", "payload_fetched_at")
        .render_derived(name="given")
    )
    return (
        select(
            given.c.sensor_id,
            func.to_timestamp(given.c.recorded_at).label("recorded_at"),
            given.c.value,
            func.to_timestamp(given.c.payload_fetched_at).label("payload_fetched_at"),
        )
        # In the order of the index, which is the quickest to insert in, and each once, as ON CONFLICT asks.
        .prefix_with(text("DISTINCT ON (given.sensor_id, given.recorded_at)"))
        .order_by(given.c.sensor_id, given.c.recorded_at, given.c.payload_fetched_at.desc(), given.c.value)
        .subquery("arriving")
    )


def _store() -> Executable:
    arriving = _arriving()
    new = insert(measurement).from_select([column.name for column in arriving.c], select(arriving))
    written = (
        new.on_conflict_do_update(
            index_elements=[measurement.c.sensor_id, measurement.c.recorded_at],
            set_={"value": new.excluded.value, "payload_fetched_at": new.excluded.payload_fetched_at},
            where=and_(
                measurement.c.payload_fetched_at < new.excluded.payload_fetched_at,
                measurement.c.value.is_distinct_from(new.excluded.value),
            ),
        )
        # An inserted row was never locked by an update.
        .returning(literal_column("xmax = 0", Boolean).label("created"))
        .cte("written")
    )
    return select(
        func.count().filter(written.c.created), func.count().filter(written.c.created.is_(False))
    ).select_from(written)


STORE = _store()
"""array_parameters -> how many are new, how many updated."""


def _compare() -> Executable:
    arriving = _arriving()
    known = and_(
        measurement.c.sensor_id == arriving.c.sensor_id, measurement.c.recorded_at == arriving.c.recorded_at
    )
    corrected = and_(
        measurement.c.payload_fetched_at < arriving.c.payload_fetched_at,
        measurement.c.value != arriving.c.value,
    )
    return select(
        func.count().filter(measurement.c.sensor_id.is_(None)), func.count().filter(corrected)
    ).select_from(arriving.outerjoin(measurement, known))


COMPARE = _compare()
"""What STORE would answer, by a look that changes nothing."""
