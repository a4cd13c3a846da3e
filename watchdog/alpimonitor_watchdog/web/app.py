"""The routes of the sidecar's web surface.

Those that are here read what the loop pinned and what the store holds, and change nothing; the actions of
operators are in actions.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Protocol

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..store import StoreError
from .board import Board
from .page import Page
from .state import as_json

INCIDENTS_ON_PAGE = 10
AT_MOST = 500  # incidents or events in one answer


class Remembers(Protocol):
    """The part of the store that is read here. All raise StoreError."""

    def incidents(self, limit: int) -> list[dict[str, Any]]: ...
    def incident(self, id: str) -> dict[str, Any] | None: ...
    def timeline(self, limit: int) -> list[dict[str, Any]]: ...


class Renders(Protocol):
    """Metrics in the text exposition format."""

    def render(self) -> bytes: ...


class Surface:
    """What each route answers."""

    def __init__(
        self,
        board: Board,
        store: Remembers,
        metrics: Renders,
        *,
        now: Callable[[], datetime],
        version: str,
        actions: Sequence[Route],
    ) -> None:
        self._board = board
        self._store = store
        self._metrics = metrics
        self._now = now
        self._version = version
        self._actions = actions
        self._page = Page()

    def application(self) -> Starlette:
        routes = [
            Route("/", self.page),
            Route("/livez", self.livez),
            Route("/readyz", self.readyz),
            Route("/metrics", self.metrics),
            Route("/api/state", self.state),
            Route("/api/incidents", self.incidents),
            Route("/api/incidents/{id}", self.incident),
            Route("/api/timeline", self.timeline),
            *self._actions,
        ]
        return Starlette(routes=routes, middleware=[Middleware(SecurityHeaders, policy=self._page.policy)])

    def livez(self, _request: Request) -> Response:
        """Whether the loop ticks; 503 asks for a restart."""
        if self._board.alive():
            return PlainTextResponse("ok\n")
        _, age = self._board.read()
        return PlainTextResponse(f"the last tick is {age:.0f} s old\n", 503)

    def readyz(self, _request: Request) -> Response:
        """Whether the sidecar can do its work."""
        why_not = self._board.why_not_ready()
        return PlainTextResponse(f"{why_not}\n", 503) if why_not else PlainTextResponse("ok\n")

    def metrics(self, _request: Request) -> Response:
        return Response(self._metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8")

    def state(self, _request: Request) -> Response:
        state = self._state()
        if state is None:
            return JSONResponse({"error": "no tick yet"}, 503, headers={"Retry-After": "1"})
        return JSONResponse(state)

    def incidents(self, request: Request) -> Response:
        return self._newest("incidents", self._store.incidents, request)

    def timeline(self, request: Request) -> Response:
        """Events of any incident and of none: what operators did while all was well is here."""
        return self._newest("timeline", self._store.timeline, request)

    def _newest(self, name: str, read: Callable[[int], list[dict[str, Any]]], request: Request) -> Response:
        limit = request.query_params.get("limit", "50")
        if not limit.isascii() or not limit.isdigit() or not 1 <= int(limit[:9]) <= AT_MOST:
            return JSONResponse({"error": f"limit is a number from 1 to {AT_MOST}"}, 400)
        try:
            return JSONResponse({name: read(int(limit))})
        except StoreError as error:
            return JSONResponse({"error": str(error)}, 503)

    def incident(self, request: Request) -> Response:
        try:
            found = self._store.incident(request.path_params["id"])
        except StoreError as error:
            return JSONResponse({"error": str(error)}, 503)
        return JSONResponse(found) if found else JSONResponse({"error": "no such incident"}, 404)

    def page(self, _request: Request) -> Response:
        state = self._state()
        incidents: list[dict[str, Any]] = []
        incident = None
        store_error = ""
        try:
            incidents = self._store.incidents(INCIDENTS_ON_PAGE)
            if incidents:
                incident = self._store.incident(incidents[0]["id"])
        except StoreError as error:
            store_error = str(error)
        return HTMLResponse(
            self._page.render(state, incidents, incident, now=self._now(), store_error=store_error)
        )

    def _state(self) -> dict[str, Any] | None:
        view, age = self._board.read()
        if view is None:
            return None
        return as_json(view, age, stale_after=self._board.stale_after, version=self._version)


class SecurityHeaders:
    """Every answer: nothing from elsewhere, no frame, no cache, no guessing of types."""

    def __init__(self, app: ASGIApp, policy: str) -> None:
        self._app = app
        self._headers = {
            "Content-Security-Policy": policy,
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self._headers)
            await send(message)

        await self._app(scope, receive, with_headers)
