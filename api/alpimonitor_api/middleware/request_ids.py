"""An identifier for each request: in its answer, in every log line about it."""

from __future__ import annotations

import re
from random import Random

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from alpimonitor_api.logs import REQUEST_ID

USABLE = re.compile(rb"[A-Za-z0-9._-]{1,64}")
"""What of a client's is taken over: nothing that would break a log line or a header."""


class RequestIds:
    """Takes the client's X-Request-Id where it is usable, else makes one of 16 hex digits.

    It tells requests apart and keeps no secret, so it comes from no costly source.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._bits = Random().getrandbits  # noqa: S311 - a name, no secret

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = dict(scope["headers"]).get(b"x-request-id")
        if given is None or not USABLE.fullmatch(given):
            given = b"%016x" % self._bits(64)
        header = (b"x-request-id", given)

        async def send_named(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), header]
            await send(message)

        before = REQUEST_ID.set(given.decode())
        await self._app(scope, receive, send_named)
        # Not when it fails: what the server says of that is about this request, too, whose context ends.
        REQUEST_ID.reset(before)
