"""What every answer goes through: security headers, the allow-list of origins, the last net.

Plain ASGI: a middleware in the framework's own style costs as much as a whole answer.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from fastapi import Response
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from alpimonitor_api.errors import Code, envelope

logger = logging.getLogger(__name__)

SECURITY_HEADERS: Sequence[tuple[bytes, bytes]] = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
)
STRICT_TRANSPORT: tuple[bytes, bytes] = (b"strict-transport-security", b"max-age=31536000")
ASK_AGAIN: tuple[bytes, bytes] = (b"cache-control", b"no-cache")
"""A cache may keep an answer but has to ask before it gives it away: it must not hide an emptied database."""


class SecurityHeaders:
    """Adds the security headers to every answer; HSTS only when every client is known to come over TLS."""

    def __init__(self, app: ASGIApp, *, behind_tls: bool) -> None:
        self._app = app
        self._headers = [*SECURITY_HEADERS, *([STRICT_TRANSPORT] if behind_tls else []), ASK_AGAIN]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *self._headers]
            await send(message)

        await self._app(scope, receive, send_with_headers)


class AllowedOrigins(CORSMiddleware):
    """Starlette's CORS, its refusal of a preflight in the envelope."""

    def preflight_response(self, request_headers: Headers) -> Response:
        answer = super().preflight_response(request_headers)
        if answer.status_code == 200:
            return answer
        refusal = envelope(
            400,
            Code.VALIDATION_ERROR,
            f"{bytes(answer.body).decode()}: CORS_ORIGINS lists the origins allowed.",
        )
        MutableHeaders(raw=refusal.raw_headers).setdefault("Vary", "Origin")
        return refusal


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
                "%s %s failed", scope["method"], scope["path"], extra={"action": "request_failed"}
            )
            if started:
                raise  # the server cuts the connection: a half answer must not look whole
            answer = envelope(
                500, Code.INTERNAL_ERROR, "The API failed at this request; its log says why. Ask again later."
            )
            await answer(scope, receive, send)
