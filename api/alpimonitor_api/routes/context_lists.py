"""How the lists of context tables answer: as bytes, or that there is no context."""

from __future__ import annotations

from fastapi import Request, Response

from alpimonitor_api.errors import context_empty
from alpimonitor_api.queries.building import Statement
from alpimonitor_api.routes.answers import json_answer
from alpimonitor_api.services import services


async def context_list(request: Request, statement: Statement) -> Response:
    """A whole list. Without any station or catchment it is an error: an empty list would tell nobody that
    the database was emptied."""
    service = services(request)
    row = await service.lanes.answers.row(statement, {}, within=service.settings.database_timeout_seconds)
    if not row:
        raise context_empty()
    return json_answer(b'{"data": ' + row[0] + b"}")
