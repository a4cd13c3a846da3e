"""GET /health: does the API reach its database?"""

from __future__ import annotations

import json

from fastapi import APIRouter, Request, Response

from alpimonitor_api.database import DatabaseUnavailable
from alpimonitor_api.errors import RETRY_AFTER_SECONDS
from alpimonitor_api.queries.building import Statement
from alpimonitor_api.routes.answers import BASE, json_answer
from alpimonitor_api.routes.known_parameters import KnownParameters
from alpimonitor_api.services import services
from alpimonitor_api.shapes import Health
from alpimonitor_api.times import utc_text

PING = Statement(b"SELECT 1")
"""Touches no table: whether they are filled is another question, and /status answers it."""

router = APIRouter(prefix=BASE, route_class=KnownParameters)


@router.get(
    "/health",
    response_model=Health,
    responses={503: {"model": Health, "description": "The database is out of reach."}},
)
async def health(request: Request) -> Response:
    """Whether the API can reach its database; never waits longer than DATABASE_TIMEOUT_SECONDS."""
    service = services(request)
    try:
        await service.lanes.health.row(PING, {}, within=service.settings.database_timeout_seconds)
        reached = True
    except DatabaseUnavailable:
        reached = False
    body = {
        "status": "ok" if reached else "degraded",
        "timestamp": utc_text(service.clock()),
        "database": "ok" if reached else "error",
    }
    if reached:
        return json_answer(json.dumps(body).encode())
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
    return json_answer(json.dumps(body).encode(), status=503, headers=headers)
