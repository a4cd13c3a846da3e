"""What is measured of each request."""

from __future__ import annotations

from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from alpimonitor_api.metrics import CUT, Metrics


class Measured:
    """Counts and times each request by the template of its route."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = CUT

        async def send_noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self._metrics.begun()
        began = perf_counter()
        try:
            await self._app(scope, receive, send_noting)
        except BaseException:
            status = CUT  # half an answer is none: the server cuts the connection
            raise
        finally:
            self._metrics.ended(scope, status, perf_counter() - began)
