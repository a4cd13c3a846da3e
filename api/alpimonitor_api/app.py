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
from alpimonitor_api.middleware import AllowedOrigins, LastNet, SecurityHeaders
from alpimonitor_api.routes import catchments, health, measurements, stations, status
from alpimonitor_api.services import Background, Services, lanes_for
from alpimonitor_api.settings import Settings

DESCRIPTION = "The hydrology of an alpine catchment. Source: OFEV/BAFU — hydrodaten.admin.ch via LINDAS."

ROOMS = (stations, measurements, status, health, catchments)
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

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        started = uptime_clock()
        lanes = lanes_for(settings, application_name=application_name("api"))
        app.state.services = Services(settings, lanes, release, clock, lambda: uptime_clock() - started)
        if background is not None:
            background.start()
        try:
            yield
        finally:
            if background is not None:
                # It may be in the middle of a run: in a thread, so that the last answers still go out.
                await asyncio.to_thread(background.stop)
            await lanes.close()

    # The first is the outermost: an error and a refused preflight carry the headers too.
    middleware = [Middleware(SecurityHeaders, behind_tls=settings.behind_tls)]
    if settings.cors_origins:
        middleware.append(
            Middleware(AllowedOrigins, allow_origins=settings.cors_origins, allow_methods=["GET"])
        )
    middleware.append(Middleware(LastNet))
    app = Api(
        title="AlpiMonitor",
        version=release,
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,  # the page would load its scripts from somebody else's server
        redoc_url=None,
        redirect_slashes=False,
        middleware=middleware,
        # Not include_router: looking a route up through included routers costs as much as the answer itself.
        routes=[route for room in ROOMS for route in room.router.routes],
    )
    errors.install(app)
    return app
