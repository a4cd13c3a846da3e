"""GET /alerts."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from alpimonitor_api.errors import Problem, invalid
from alpimonitor_api.pages import FIRST_PAGE, PAGE_HEADERS, USUAL_PAGE_SIZE, Page, PageNumber, PageSize
from alpimonitor_api.queries.alerts import ALERT_PAGE, Asked
from alpimonitor_api.routes.answers import BASE, UNAVAILABLE, error_answers, json_answer
from alpimonitor_api.routes.known_parameters import KnownParameters
from alpimonitor_api.routes.measurements import Time
from alpimonitor_api.routes.stations import station_parameters
from alpimonitor_api.services import services
from alpimonitor_api.shapes import AlertList
from alpimonitor_api.tables import AlertLevel, AlertType
from alpimonitor_api.times import EXAMPLE

router = APIRouter(prefix=BASE, route_class=KnownParameters)


@router.get(
    "/alerts",
    response_model=AlertList,
    responses={200: {"headers": PAGE_HEADERS}, **error_answers({503: UNAVAILABLE})},
)
async def alerts(
    request: Request,
    station: Annotated[
        str | None,
        Query(
            alias="stationId",
            min_length=1,
            description="Only alerts of this station: its identifier or its OFEV code, such as 2346.",
        ),
    ] = None,
    level: Annotated[AlertLevel | None, Query(description="Only alerts of this level.")] = None,
    kind: Annotated[AlertType | None, Query(alias="type", description="Only alerts of this type.")] = None,
    active: Annotated[
        bool | None, Query(description="Only alerts that are open, or only closed ones: true or false.")
    ] = None,
    begin: Annotated[
        Time | None,
        Query(alias="from", description=f"Only alerts opened at this time or later, such as {EXAMPLE}."),
    ] = None,
    end: Annotated[
        Time | None,
        Query(alias="to", description=f"Only alerts opened before this time, such as {EXAMPLE}."),
    ] = None,
    page: PageNumber = FIRST_PAGE,
    page_size: PageSize = USUAL_PAGE_SIZE,
) -> Response:
    """The alerts, newest first, a page at a time.

    An alert that is still open lasts until now. A filter that matches nothing, an unknown station included,
    is an empty list; so is a page behind the last one.
    """
    if begin is not None and end is not None and begin >= end:
        raise invalid(Problem("from", "must be earlier than to"))
    service = services(request)
    wanted = Page(page, page_size)
    parameters: dict[str, object] = {
        "now": service.clock(),
        "from_time": begin,
        "to_time": end,
        "level": level,
        "type": kind,
        "limit": wanted.limit,
        "offset": wanted.offset,
    }
    if station is not None:
        parameters |= station_parameters(station)
    total, found = await service.lanes.answers.row(
        ALERT_PAGE[Asked(of_one_station=station is not None, active=active)],
        parameters,
        within=service.settings.database_timeout_seconds,
    )
    return json_answer(b'{"data": ' + found + b"}", headers=wanted.headers(int(total)))
