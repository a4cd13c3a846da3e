"""GET /stations/{station}/measurements."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BeforeValidator

from alpimonitor_api.errors import invalid
from alpimonitor_api.queries.measurements import HISTORY, MAX_POINTS, Aggregate
from alpimonitor_api.ranges import chosen_aggregate, range_problem, too_many_points
from alpimonitor_api.routes.answers import BASE, CONTEXT_EMPTY, error_answers, json_answer
from alpimonitor_api.routes.known_parameters import KnownParameters
from alpimonitor_api.routes.stations import StationKey, station_parameters, why_not_found
from alpimonitor_api.services import HISTORY_TIMEOUT_SECONDS, services
from alpimonitor_api.shapes import History
from alpimonitor_api.tables import Parameter
from alpimonitor_api.times import EXAMPLE, LATER, parse_time, utc_text

Time = Annotated[datetime, BeforeValidator(parse_time)]

router = APIRouter(prefix=BASE, route_class=KnownParameters)


@router.get(
    "/stations/{station}/measurements",
    response_model=History,
    responses=error_answers(
        {
            400: f"A parameter is not understood, or there would be more than {MAX_POINTS} points.",
            404: "No such station.",
            503: CONTEXT_EMPTY,
        }
    ),
)
async def measurements(
    request: Request,
    station: StationKey,
    begin: Annotated[
        Time,
        Query(
            alias="from",
            description=f"A time with an offset, such as {EXAMPLE}; it is inside the range.",
            examples=[EXAMPLE],
        ),
    ],
    end: Annotated[
        Time,
        Query(
            alias="to",
            description=f"A time with an offset, such as {LATER}; it is outside the range.",
            examples=[LATER],
        ),
    ],
    parameter: Annotated[Parameter | None, Query(description="Only this parameter.")] = None,
    aggregate: Annotated[
        Aggregate | None,
        Query(
            description="Measurements as they are (at most 31 days), or their means by hour (2 years) or day "
            "(30 years), UTC. By the range when absent: up to 24 hours raw, up to 7 days hourly, else daily."
        ),
    ] = None,
) -> Response:
    """The history of one station, a series a parameter; `series` is empty when nothing was measured."""
    wanted = aggregate or chosen_aggregate(end - begin)
    problem = range_problem(begin, end, wanted)
    if problem is not None:
        raise invalid(problem)
    service = services(request)
    row = await service.lanes.history.row(
        HISTORY[wanted],
        {**station_parameters(station), "from_time": begin, "to_time": end, "parameter": parameter},
        within=HISTORY_TIMEOUT_SECONDS,
    )
    if not row:
        raise await why_not_found(service, station)
    identifier, points, series = row
    if int(points) > MAX_POINTS:
        raise invalid(too_many_points(wanted))
    head = {
        "stationId": identifier.decode(),
        "from": utc_text(begin),
        "to": utc_text(end),
        "aggregate": wanted,
    }
    opened = json.dumps({"data": head}).removesuffix("}}").encode()
    return json_answer(opened + b', "series": ' + (series or b"[]") + b"}}")
