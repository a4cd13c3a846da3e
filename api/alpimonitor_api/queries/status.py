"""The state of the whole: deployment, schema, context, ingestion, in one statement."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    ColumnElement,
    DateTime,
    Integer,
    Numeric,
    Select,
    Text,
    bindparam,
    cast,
    column,
    func,
    literal_column,
    select,
    table,
)

from alpimonitor_api.queries.building import Statement, compiled, constant, json_object, utc
from alpimonitor_api.tables import CONTEXT_TABLES, IngestionStatus, deployment, ingestion_run

alembic_version = table("alembic_version", column("version_num", Text))
"""Alembic's own table: the revision the database is at."""

CONTEXT_MEMBERS = {
    "catchment": "catchments",
    "station": "stations",
    "sensor": "sensors",
    "threshold": "thresholds",
    "glacier": "glaciers",
    "station_glacier": "stationGlaciers",
    "withdrawal": "withdrawals",
}


def _alone(query: Select[Any]) -> ColumnElement[Any]:
    return query.scalar_subquery()


def _has_been() -> ColumnElement[bool]:
    """A run under a clock that was ahead would otherwise be the last one until that time comes."""
    return ingestion_run.c.started_at <= bindparam("not_after", type_=DateTime(timezone=True))


def _last_run() -> ColumnElement[Any]:
    run = ingestion_run.c
    return _alone(
        select(
            json_object(
                source=run.source,
                status=run.status,
                startedAt=utc(run.started_at),
                completedAt=utc(run.completed_at),
                stationsSeenCount=run.stations_seen_count,
                measurementsCreatedCount=run.measurements_created_count,
                measurementsUpdatedCount=run.measurements_updated_count,
                measurementsSkippedCount=run.measurements_skipped_count,
                durationMs=run.duration_ms,
                errorMessage=run.error_message,
            )
        )
        .where(_has_been())
        .order_by(run.started_at.desc())
        .limit(literal_column("1"))
    )


def _last_success() -> ColumnElement[Any]:
    """A PARTIAL run stored what could be read: it counts."""
    run = ingestion_run.c
    return _alone(
        select(utc(run.completed_at))
        .where(_has_been(), run.status != constant(IngestionStatus.FAILURE))
        .order_by(run.started_at.desc())
        .limit(literal_column("1"))
    )


def _today() -> ColumnElement[Any]:
    run = ingestion_run.c
    succeeded = func.count().filter(run.status != constant(IngestionStatus.FAILURE))
    rate = func.round(
        cast(succeeded, Numeric) / func.nullif(func.count(), literal_column("0")), literal_column("4")
    )
    return _alone(
        select(
            json_object(
                runsCount=func.count(),
                measurementsCreatedSum=func.coalesce(
                    func.sum(run.measurements_created_count), literal_column("0")
                ),
                successRate=rate,
            )
        ).where(_has_been(), run.started_at >= bindparam("midnight", type_=DateTime(timezone=True)))
    )


def _archive() -> ColumnElement[Any]:
    """Failures since the last payload that was archived; a run without one tells at most of one more."""
    run = ingestion_run.c
    since = bindparam("archive_since", type_=DateTime(timezone=True))
    last_archived = _alone(
        select(func.max(run.started_at)).where(
            _has_been(), run.started_at > since, run.archive_path.is_not(None), run.archive_error.is_(None)
        )
    )
    streak = (
        select(run.started_at, run.archive_error)
        .where(
            _has_been(), run.archive_error.is_not(None), run.started_at > func.coalesce(last_archived, since)
        )
        .cte("streak")
    )
    last_error = _alone(
        select(streak.c.archive_error).order_by(streak.c.started_at.desc()).limit(literal_column("1"))
    )
    return json_object(
        consecutiveFailures=_alone(select(func.count()).select_from(streak)),
        lastError=last_error,
    )


def whole_state() -> ColumnElement[Any]:
    """What /status answers but for `api`; the parameters are those of STATUS."""
    counts = {
        CONTEXT_MEMBERS[counted.name]: _alone(select(func.count()).select_from(counted))
        for counted in CONTEXT_TABLES
    }
    revision = _alone(
        select(func.string_agg(alembic_version.c.version_num, literal_column("','"))).select_from(
            alembic_version
        )
    )
    return json_object(
        database=json_object(status=constant("ok"), schemaRevision=revision),
        deployment=json_object(
            environment=_alone(select(deployment.c.environment)), id=_alone(select(deployment.c.id))
        ),
        context=json_object(**counts),
        ingestion=json_object(
            lastRun=_last_run(),
            lastSuccessAt=_last_success(),
            healthyThresholdMinutes=bindparam("healthy_threshold_minutes", type_=Integer),
            today=_today(),
            archive=_archive(),
        ),
    )


STATUS: Statement = compiled(select(whole_state()))
"""midnight, archive_since, not_after, healthy_threshold_minutes -> what /status answers but for `api`."""
