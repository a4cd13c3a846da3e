"""GET /glaciers."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from alpimonitor_api.queries.glaciers import GLACIER_LIST
from alpimonitor_api.routes.answers import BASE, CONTEXT_EMPTY, error_answers
from alpimonitor_api.routes.context_lists import context_list
from alpimonitor_api.routes.known_parameters import KnownParameters
from alpimonitor_api.shapes import GlacierList

router = APIRouter(prefix=BASE, route_class=KnownParameters)


@router.get("/glaciers", response_model=GlacierList, responses=error_answers({503: CONTEXT_EMPTY}))
async def glaciers(request: Request) -> Response:
    """The glaciers, ordered by name, each with the stations that its water reaches.

    Empty when the deployment has none.
    """
    return await context_list(request, GLACIER_LIST)
