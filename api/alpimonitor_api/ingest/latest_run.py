"""Whether LINDAS was asked so recently, by whichever process, that it has nothing new to tell."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Interval, Select, and_, bindparam, func, or_, select

from alpimonitor_api.tables import IngestionStatus, ingestion_run

TOO_MANY_REQUESTS = 429
"""A service that asked for a pause gets it from every replica."""


def _latest_run() -> Select[Any]:
    run, within, now = ingestion_run.c, bindparam("within", type_=Interval), func.clock_timestamp()
    # A run without a status read a file. One that saw no station is no reason to leave it at that.
    answered = and_(
        run.status != IngestionStatus.FAILURE, run.http_status.is_not(None), run.stations_seen_count > 0
    )
    return (
        select(now - run.started_at)
        .where(
            run.started_at > now - within,
            run.started_at < now + within,  # by a clock that runs ahead
            or_(answered, run.http_status == TOO_MANY_REQUESTS),
        )
        .order_by(run.started_at.desc())
        .limit(1)
    )


LATEST_RUN = _latest_run()
"""within -> how long ago, by the database's clock, the latest such run began; no row beyond that."""
