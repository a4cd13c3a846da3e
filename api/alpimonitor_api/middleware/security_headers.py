"""The security headers of every answer."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.types import ASGIApp, Message, Receive, Scope, Send

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
