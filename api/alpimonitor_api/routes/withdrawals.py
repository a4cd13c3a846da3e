"""GET /withdrawals."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from alpimonitor_api.queries.withdrawals import WITHDRAWAL_LIST
from alpimonitor_api.routes.answers import BASE, CONTEXT_EMPTY, error_answers
from alpimonitor_api.routes.context_lists import context_list
from alpimonitor_api.routes.known_parameters import KnownParameters
from alpimonitor_api.shapes import WithdrawalList

router = APIRouter(prefix=BASE, route_class=KnownParameters)


@router.get("/withdrawals", response_model=WithdrawalList, responses=error_answers({503: CONTEXT_EMPTY}))
async def withdrawals(request: Request) -> Response:
    """Where water is taken out, ordered by name, each with the station that feels it.

    Empty when the deployment has none.
    """
    return await context_list(request, WITHDRAWAL_LIST)
