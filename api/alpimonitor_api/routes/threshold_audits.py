"""GET /threshold-audits."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from alpimonitor_api.auth import ANSWERS, Principal, Scope, bearer_of
from alpimonitor_api.pages import FIRST_PAGE, PAGE_HEADERS, USUAL_PAGE_SIZE, Page, PageNumber, PageSize
from alpimonitor_api.queries.threshold_audits import AUDIT_PAGE
from alpimonitor_api.routes.answers import BASE, UNAVAILABLE, error_answers, json_answer
from alpimonitor_api.routes.known_parameters import KnownParameters
from alpimonitor_api.routes.stations import station_parameters
from alpimonitor_api.services import services
from alpimonitor_api.tuning import ThresholdAuditList

router = APIRouter(prefix=BASE, route_class=KnownParameters)

FOR_ITS_BEARER = {"Cache-Control": "private, no-store", "Vary": "Authorization"}
"""No cache between, nor that of a browser, keeps what is shown to the bearer of a token."""


@router.get(
    "/threshold-audits",
    response_model=ThresholdAuditList,
    responses={
        200: {"headers": PAGE_HEADERS},
        **error_answers({400: "A parameter is not understood.", **ANSWERS, 503: UNAVAILABLE}),
    },
)
async def threshold_audits(
    request: Request,
    _principal: Annotated[Principal, bearer_of(Scope.OPERATOR, Scope.AUDITOR)],
    station: Annotated[
        str | None,
        Query(
            alias="stationId",
            min_length=1,
            description="Only changes at this station: its identifier or its OFEV code, such as 2346.",
        ),
    ] = None,
    page: PageNumber = FIRST_PAGE,
    page_size: PageSize = USUAL_PAGE_SIZE,
) -> Response:
    """Who changed which threshold, newest first, a page at a time; a page behind the last one is empty."""
    service = services(request)
    wanted = Page(page, page_size)
    parameters: dict[str, object] = {"limit": wanted.limit, "offset": wanted.offset}
    if station is not None:
        parameters |= station_parameters(station)
    total, found = await service.lanes.answers.row(
        AUDIT_PAGE[station is not None], parameters, within=service.settings.database_timeout_seconds
    )
    return json_answer(b'{"data": ' + found + b"}", headers={**FOR_ITS_BEARER, **wanted.headers(int(total))})
