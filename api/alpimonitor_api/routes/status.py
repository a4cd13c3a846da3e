"""GET /status: the state of the whole, for the sidecar and for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta

from fastapi import APIRouter, Request, Response
from pydantic.alias_generators import to_camel

from alpimonitor_api.database import DatabaseUnavailable
from alpimonitor_api.errors import RETRY_AFTER_SECONDS
from alpimonitor_api.queries.status import STATUS
from alpimonitor_api.routes.answers import BASE, json_answer
from alpimonitor_api.routes.known_parameters import KnownParameters
from alpimonitor_api.services import services
from alpimonitor_api.settings import Settings
from alpimonitor_api.shapes import ContextCounts, Status

ARCHIVE_LOOKS_BACK = timedelta(days=30)
"""How long payloads are kept: older failures concern nothing that could still be there."""

CLOCKS_MAY_DIFFER_BY = timedelta(hours=1)
"""Another process ingests by its own clock; what is further ahead was an error of that clock."""

router = APIRouter(prefix=BASE, route_class=KnownParameters)


@router.get(
    "/status",
    response_model=Status,
    responses={
        503: {
            "model": Status,
            "description": "The database cannot tell: out of reach, not migrated, or not readable. "
            "Every figure is null.",
        },
    },
)
async def status(request: Request) -> Response:
    """The deployment served, the rows of each context table, and how ingestion fares.

    All of it or nothing: one missing table (a database that is not migrated, or a table that was dropped) is
    a database in error, because half a state would look like a whole one.
    """
    service = services(request)
    settings = service.settings
    parameters = asked_at(service.clock(), settings)
    api = {"status": "ok", "uptimeSeconds": int(service.uptime()), "version": service.version}
    try:
        (known,) = await service.lanes.answers.row(
            STATUS, parameters, within=settings.database_timeout_seconds
        )
    except DatabaseUnavailable:
        unknown = unknown_state(settings.ingestion_healthy_threshold_minutes)
        body = {"api": {**api, "status": "degraded"}, **unknown}
        headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
        return json_answer(json.dumps(body).encode(), status=503, headers=headers)
    return json_answer(b'{"api": ' + json.dumps(api).encode() + b", " + known.removeprefix(b"{"))


def asked_at(now: datetime, settings: Settings) -> Mapping[str, object]:
    """The parameters of the statement."""
    return {
        "midnight": now.replace(hour=0, minute=0, second=0, microsecond=0),
        "archive_since": now - ARCHIVE_LOOKS_BACK,
        "not_after": now + CLOCKS_MAY_DIFFER_BY,
        "healthy_threshold_minutes": settings.ingestion_healthy_threshold_minutes,
    }


def unknown_state(healthy_threshold_minutes: int) -> Mapping[str, object]:
    """What /status says without its database: the same members, and no figure that could be a lie."""
    return {
        "database": {"status": "error", "schemaRevision": None},
        "deployment": {"environment": None, "id": None},
        "context": {to_camel(name): None for name in ContextCounts.model_fields},
        "ingestion": {
            "lastRun": None,
            "lastSuccessAt": None,
            "healthyThresholdMinutes": healthy_threshold_minutes,
            "today": {"runsCount": None, "measurementsCreatedSum": None, "successRate": None},
            "archive": {"consecutiveFailures": None, "lastError": None},
        },
    }
