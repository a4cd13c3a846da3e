"""GET /catchments."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from alpimonitor_api.queries.catchments import CATCHMENT_LIST
from alpimonitor_api.routes.answers import BASE, CONTEXT_EMPTY, error_answers
from alpimonitor_api.routes.context_lists import context_list
from alpimonitor_api.routes.known_parameters import KnownParameters
from alpimonitor_api.shapes import CatchmentList

router = APIRouter(prefix=BASE, route_class=KnownParameters)


@router.get("/catchments", response_model=CatchmentList, responses=error_answers({503: CONTEXT_EMPTY}))
async def catchments(request: Request) -> Response:
    """The catchments, ordered by name, each with the number of its stations."""
    return await context_list(request, CATCHMENT_LIST)
