"""The application: routes, errors, middleware and what lives as long as it does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from starlette.middleware import Middleware

from alpimonitor_api import errors, openapi
from alpimonitor_api.application_name import application_name
from alpimonitor_api.auth import Tokens
from alpimonitor_api.metrics import Metrics
from alpimonitor_api.middleware.access_log import AccessLog
from alpimonitor_api.middleware.answer_cache import AnswerCache
from alpimonitor_api.middleware.body_limit import BodyLimit
from alpimonitor_api.middleware.last_net import LastNet
from alpimonitor_api.middleware.measured import Measured
from alpimonitor_api.middleware.origins import AllowedOrigins
from alpimonitor_api.middleware.rate_limit import RateLimit
from alpimonitor_api.middleware.request_ids import RequestIds
from alpimonitor_api.middleware.revalidation import Revalidation
from alpimonitor_api.middleware.security_headers import SecurityHeaders
from alpimonitor_api.routes import (
    alerts,
    catchments,
    glaciers,
    health,
    measurements,
    metrics,
    stations,
    status,
    threshold_audits,
    thresholds,
    withdrawals,
)
from alpimonitor_api.services import Background, Services, lanes_for
from alpimonitor_api.settings import Settings

DESCRIPTION = "The hydrology of an alpine catchment. Source: OFEV/BAFU — hydrodaten.admin.ch via LINDAS."

ROOMS = (
    stations, measurements, status, health, catchments, alerts, glaciers, withdrawals, thresholds,
    threshold_audits, metrics,
)  # fmt: skip
"""The modules of routes, the most asked for first: they are tried in this order."""


def utc_now() -> datetime:
    """The one place where the API reads the clock."""
    return datetime.now(UTC)  # noqa: TID251


class Api(FastAPI):
    """FastAPI with a document that is true of its errors."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            self.openapi_schema = openapi.document(self)
        return self.openapi_schema


def _middleware(
    settings: Settings, tokens: Tokens, metrics: Metrics, monotonic: Callable[[], float]
) -> list[Middleware]:
    """From the outside in: what is refused is measured and carries the headers, too; what is cached was
    counted against its address."""
    allowed = settings.cors_origins
    origins = [Middleware(AllowedOrigins, allow_origins=allowed)] if allowed else []
    kept = settings.cache_seconds
    cache = [Middleware(AnswerCache, seconds=kept, metrics=metrics, monotonic=monotonic)] if kept else []
    return [
        Middleware(RequestIds),
        Middleware(AccessLog, trusted_proxies=settings.trusted_proxies, monotonic=monotonic),
        Middleware(Measured, metrics=metrics),
        Middleware(SecurityHeaders, behind_tls=settings.behind_tls),
        *origins,
        Middleware(LastNet),
        Middleware(
            RateLimit,
            limit=settings.rate_limit,
            trusted_proxies=settings.trusted_proxies,
            tokens=tokens,
            metrics=metrics,
        ),
        Middleware(BodyLimit),
        Middleware(Revalidation),
        *cache,
    ]


def create_app(
    settings: Settings,
    *,
    background: Background | None = None,
    clock: Callable[[], datetime] = utc_now,
    uptime_clock: Callable[[], float] = time.monotonic,
) -> FastAPI:
    """The API for these settings. `background` is started and stopped with it.

    It starts without its database, and answers 503 until there is one.
    """
    release = version("alpimonitor")
    measured, tokens = Metrics(release), Tokens(settings.api_tokens_file, clock)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        started = uptime_clock()
        lanes = lanes_for(settings, application_name=application_name("api"))
        app.state.services = Services(
            settings, lanes, release, clock, lambda: uptime_clock() - started, tokens, measured
        )
        if background is not None:
            background.start()
        try:
            yield
        finally:
            if background is not None:
                # It may be in the middle of a run: in a thread, so that the last answers still go out.
                await asyncio.to_thread(background.stop)
            await lanes.close()

    app = Api(
        title="AlpiMonitor",
        version=release,
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,  # the page would load its scripts from somebody else's server
        redoc_url=None,
        redirect_slashes=False,
        middleware=_middleware(settings, tokens, measured, uptime_clock),
        # Not include_router: looking a route up through included routers costs as much as the answer itself.
        routes=[route for room in ROOMS for route in room.router.routes],
    )
    measured.know(app.routes)
    errors.install(app)
    return app
