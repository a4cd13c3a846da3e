"""The last net under everything: an exception nobody expected."""

from __future__ import annotations

import logging

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from alpimonitor_api.errors import Code, envelope
from alpimonitor_api.middleware.access_log import shown_path

logger = logging.getLogger(__name__)


class LastNet:
    """Turns an exception nobody expected into a 500 that tells the client nothing and the log everything."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def send_noting(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, send_noting)
        except Exception:
            logger.exception(
                "%s %s failed", scope["method"], shown_path(scope), extra={"action": "request_failed"}
            )
            if started:
                raise  # the server cuts the connection: a half answer must not look whole
            answer = envelope(
                500, Code.INTERNAL_ERROR, "The API failed at this request; its log says why. Ask again later."
            )
            await answer(scope, receive, send)
