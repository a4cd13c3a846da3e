"""GET /metrics, for Prometheus: what it tells of load and failures is nobody else's business."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from ipaddress import IPv6Address, ip_address
from itertools import chain
from typing import Any

from fastapi import APIRouter, Request, Response

from alpimonitor_api import scraped
from alpimonitor_api.database import DatabaseUnavailable
from alpimonitor_api.errors import forbidden
from alpimonitor_api.queries.metrics import SCRAPED
from alpimonitor_api.routes.status import asked_at
from alpimonitor_api.services import Services, services
from alpimonitor_api.settings import Networks

OF_PROXIES = ("forwarded", "via", "x-real-ip", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto")
"""Headers that proxies add: with one, the address that connects says nothing of the client. Who forges one
loses only the answer."""

router = APIRouter()


@router.get("/metrics", include_in_schema=False)
async def metrics(request: Request) -> Response:
    """The page; of what the database does not answer within DATABASE_TIMEOUT_SECONDS no figure."""
    service = services(request)
    refuse_others(request, service.settings.metrics_from)
    read = await _read(service)
    figures = chain(
        scraped.of_lanes(lane.usage() for lane in service.lanes.each()),
        scraped.of_settings(timedelta(minutes=service.settings.ingestion_healthy_threshold_minutes)),
        scraped.of_database(read),
    )
    accept = request.headers.get("accept", "")
    body, content_type = service.metrics.render(accept=accept, scraped=tuple(figures))
    return Response(body, headers={"Content-Type": content_type, "Vary": "Accept"})


def refuse_others(request: Request, allowed: Networks) -> None:
    """Raises 403 unless the request comes from `allowed`, and not through a proxy."""
    through = next((name for name in OF_PROXIES if name in request.headers), None)
    if through is not None:
        raise forbidden(
            f"/metrics is not told through a proxy (this request carries {through}): ask the API's own "
            "address, from a network of METRICS_FROM."
        )
    peer = request.client.host if request.client else ""
    if not _is_of(peer, allowed):
        raise forbidden(
            f"/metrics is told only to the networks that METRICS_FROM lists, and {peer or 'this peer'} is in "
            "none of them: an operator adds it there."
        )


def _is_of(peer: str, networks: Networks) -> bool:
    try:
        address = ip_address(peer)
    except ValueError:
        return False  # a socket file, which has no address
    # A server that listens on :: sees IPv4 clients so.
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in network for network in networks)


async def _read(service: Services) -> Mapping[str, Any] | None:
    settings = service.settings
    try:
        # Not on the lane of /health: a table that is locked would make it wait, and seem unhealthy.
        (written,) = await service.lanes.answers.row(
            SCRAPED, asked_at(service.clock(), settings), within=settings.database_timeout_seconds
        )
    except DatabaseUnavailable:
        return None
    read: Mapping[str, Any] = json.loads(written)
    return read
