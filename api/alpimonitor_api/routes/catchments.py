"""GET /catchments."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from alpimonitor_api.errors import Code, unavailable
from alpimonitor_api.queries.catchments import CATCHMENT_LIST
from alpimonitor_api.routes.answers import BASE, CONTEXT_EMPTY, error_answers, json_answer
from alpimonitor_api.services import services
from alpimonitor_api.shapes import CatchmentList

router = APIRouter(prefix=BASE)


@router.get("/catchments", response_model=CatchmentList, responses=error_answers({503: CONTEXT_EMPTY}))
async def catchments(request: Request) -> Response:
    """The catchments, ordered by name, as bytes. None at all is an error: it is never what anybody meant."""
    service = services(request)
    row = await service.lanes.answers.row(
        CATCHMENT_LIST, {}, within=service.settings.database_timeout_seconds
    )
    if not row or not row[0]:
        raise unavailable(
            Code.CONTEXT_EMPTY,
            "The database holds no catchment at all. An operator has to seed or restore it.",
        )
    return json_answer(b'{"data": ' + row[0] + b"}")
