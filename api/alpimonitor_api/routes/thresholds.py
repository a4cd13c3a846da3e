"""PUT /stations/{station}/thresholds/{parameter}."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

import psycopg
from fastapi import APIRouter, Path, Request, Response
from starlette.requests import ClientDisconnect

from alpimonitor_api.auth import ANSWERS, Principal, Scope, bearer_of
from alpimonitor_api.database import DatabaseUnavailable, Reason, Transaction
from alpimonitor_api.errors import Problem, conflict, context_empty, invalid, not_found
from alpimonitor_api.ids import threshold_id
from alpimonitor_api.queries.stations import UNKNOWN_STATION
from alpimonitor_api.queries.thresholds import (
    AUDIT,
    BOUNDS,
    CREATE,
    PRESENT,
    STATION_AND_SENSOR,
    TUNE,
    TUNED,
    TURN,
)
from alpimonitor_api.routes.answers import (
    BASE,
    CONTEXT_EMPTY,
    error_answers,
    json_answer,
)
from alpimonitor_api.routes.known_parameters import KnownParameters
from alpimonitor_api.routes.stations import StationKey, no_such_station, station_parameters
from alpimonitor_api.services import Services, services
from alpimonitor_api.tables import Parameter
from alpimonitor_api.tuning import BODY, OneTunedThreshold, Wish, wish_of

router = APIRouter(prefix=BASE, route_class=KnownParameters)

LONGEST_TURN_SECONDS = 5.0
ABANDONED_AFTER = "10s"
"""When the server gives up a statement of a client that died; a living one cancels it much earlier."""

BUSY = "A seed, a heal or another tuning is changing the context now, so nothing was changed: ask again."

ERRORS = error_answers(
    {
        400: "The body or the parameter is not understood; details name each member.",
        **ANSWERS,
        404: "No such station, or it has no sensor of this parameter.",
        409: "A seed or a heal is changing the context.",
        413: "The body is too large.",
        503: CONTEXT_EMPTY,
    }
)


@router.put(
    "/stations/{station}/thresholds/{parameter}",
    response_model=OneTunedThreshold,
    responses=ERRORS,
    openapi_extra={"requestBody": BODY},
)
async def tune(
    request: Request,
    principal: Annotated[Principal, bearer_of(Scope.OPERATOR)],
    station: StationKey,
    parameter: Annotated[Parameter, Path(description="What the sensor measures.")],
) -> Response:
    """Set the threshold of one sensor, and write down who changed what, both or neither.

    Makes the threshold where there was none. The values that it already has change nothing, and nothing is
    written down. A seed leaves a tuned threshold alone.
    """
    try:
        body = await request.body()
    except ClientDisconnect:
        raise invalid(Problem("body", "ended early")) from None
    wish = wish_of(request.headers.get("content-type"), body)
    service = services(request)
    tuning = Tuning(service, principal, station, parameter, wish)
    answer = await service.lanes.changes.transaction(
        tuning.done, within=service.settings.database_timeout_seconds
    )
    return json_answer(answer)


@dataclass(frozen=True)
class Tuning:
    """One change of one threshold, in one transaction."""

    service: Services
    principal: Principal
    station: str  # as the address has it
    parameter: Parameter
    wish: Wish

    async def done(self, transaction: Transaction) -> bytes:
        """The whole answer. Raises ApiError, and DatabaseUnavailable."""
        await self._take_turn(transaction)
        found = await transaction.row(
            STATION_AND_SENSOR, {**station_parameters(self.station), "parameter": self.parameter}
        )
        if not found:
            unknown = await transaction.row(UNKNOWN_STATION, station_parameters(self.station))
            raise no_such_station(self.station) if unknown else context_empty()
        identifier, code, has_sensor = found
        if has_sensor != b"t":
            raise not_found(
                f"The station {self.station} has no sensor of {self.parameter}: /stations/{self.station} "
                "lists those that it has."
            )
        key = {"station_id": UUID(identifier.decode()), "parameter": self.parameter}
        await self._write(transaction, key, code.decode())
        (answer,) = await transaction.row(TUNED, key)
        return answer

    async def _take_turn(self, transaction: Transaction) -> None:
        # Half of the time is for the turn, half for the rest.
        turn = min(self.service.settings.database_timeout_seconds / 2, LONGEST_TURN_SECONDS)
        bounds = {
            "lock_timeout": f"{max(round(turn * 1000), 1)}ms",
            "statement_timeout": ABANDONED_AFTER,
            "reason": f"threshold tuned by {self.principal.name}",
        }
        await transaction.row(BOUNDS, bounds)
        try:
            await transaction.row(TURN, {})
        except DatabaseUnavailable as failure:
            if failure.reason is Reason.TOO_SLOW:
                raise conflict(BUSY) from failure
            raise

    async def _write(self, transaction: Transaction, key: dict[str, object], code: str) -> None:
        wished = {**key, **self.wish.model_dump()}
        before: bytes | None = None
        present = await transaction.row(PRESENT, wished)
        if present:
            before, same = present
            if same == b"t":
                return
        # By the clock that is read in turn: the order of the audit is that of the changes.
        tuned = {**wished, "tuned_at": self.service.clock(), "tuned_by": self.principal.name}
        try:
            if before is None:
                await transaction.row(CREATE, {**wished, "id": threshold_id(code, self.parameter)})
            # Of a new one, too: the flight recorder keeps the reason of an UPDATE, and of no INSERT.
            await transaction.row(TUNE, tuned)
            await transaction.row(AUDIT, {**tuned, "before": before.decode() if before else None})
        except (psycopg.errors.UniqueViolation, psycopg.errors.ForeignKeyViolation) as error:
            # Somebody who takes no turns: by hand, in psql.
            raise conflict(BUSY) from error
