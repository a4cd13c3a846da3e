"""GET /stations and /stations/{station}."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request, Response

from alpimonitor_api.errors import context_empty, not_found
from alpimonitor_api.queries.stations import OFFLINE_AFTER, ONE_STATION, STATION_LIST, UNKNOWN_STATION
from alpimonitor_api.routes.answers import BASE, CONTEXT_EMPTY, error_answers, json_answer
from alpimonitor_api.routes.known_parameters import KnownParameters
from alpimonitor_api.services import Services, services
from alpimonitor_api.shapes import OneStation, StationList

StationKey = Annotated[
    str, Path(description="The station's identifier or its OFEV code, such as 2346.", examples=["2346"])
]

router = APIRouter(prefix=BASE, route_class=KnownParameters)


@router.get(
    "/stations",
    response_model=StationList,
    responses=error_answers({400: "A filter is not understood.", 503: CONTEXT_EMPTY}),
)
async def stations(
    request: Request,
    catchment_id: Annotated[
        UUID | None,
        Query(alias="catchmentId", description="Only stations of this catchment: its identifier."),
    ] = None,
    is_active: Annotated[
        bool | None,
        Query(alias="isActive", description="Only stations in service, or only those not: true or false."),
    ] = None,
) -> Response:
    """The stations with their latest measurements, ordered by name, then OFEV code, as bytes.

    Without a filter an empty context is an error: it is never what anybody meant. A filter that matches
    nothing is an empty list.
    """
    service = services(request)
    parameters = {
        "catchment_id": catchment_id,
        "is_active": is_active,
        "offline_before": service.clock() - OFFLINE_AFTER,
    }
    row = await service.lanes.answers.row(
        STATION_LIST, parameters, within=service.settings.database_timeout_seconds
    )
    if row and row[0]:
        return json_answer(b'{"data": ' + row[0] + b"}")
    if catchment_id is None and is_active is None:
        raise context_empty()
    return json_answer(b'{"data": []}')


@router.get(
    "/stations/{station}",
    response_model=OneStation,
    responses=error_answers({404: "No such station.", 503: CONTEXT_EMPTY}),
)
async def one_station(request: Request, station: StationKey) -> Response:
    """One station with its catchment, sensors, thresholds, glaciers and withdrawals."""
    service = services(request)
    row = await service.lanes.answers.row(
        ONE_STATION,
        {**station_parameters(station), "offline_before": service.clock() - OFFLINE_AFTER},
        within=service.settings.database_timeout_seconds,
    )
    if not row:
        raise await why_not_found(service, station)
    return json_answer(row[0])


def station_parameters(key: str) -> dict[str, object]:
    """A key that reads as an identifier is looked for as both: an OFEV code may look like anything."""
    try:
        identifier = UUID(key)
    except ValueError:
        identifier = None
    # PostgreSQL's text holds no NUL, so no code contains one.
    return {"station_id": identifier, "ofev_code": None if "\x00" in key else key}


async def why_not_found(service: Services, key: str) -> Exception:
    """What to say of a station that was not found: of an emptied context not even that there is none."""
    unknown = await service.lanes.answers.row(
        UNKNOWN_STATION, station_parameters(key), within=service.settings.database_timeout_seconds
    )
    return no_such_station(key) if unknown else context_empty()


def no_such_station(key: str) -> Exception:
    return not_found(f"There is no station with the identifier or OFEV code {key!r}; /stations lists them.")
