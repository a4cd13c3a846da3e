"""How large the body of a request may be."""

from __future__ import annotations

from fastapi import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from alpimonitor_api.errors import Code, Problem, envelope, invalid

LARGEST = 16 * 1024
"""Bytes of a body; what operators send has some hundred."""

TOO_LARGE = f"The body is too large: it may have {LARGEST} bytes. Nothing was changed."

WITHOUT_BODY = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods whose routes read no body: nothing is kept of one that comes."""

# The server reads on to the end of a body that nobody wanted, unless the connection ends with the answer.
HANG_UP = {"Connection": "close"}


class BodyLimit:
    """413 beyond the limit, announced or not: the rest is not read."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in WITHOUT_BODY:
            await self._app(scope, receive, send)
            return
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if not announced.isdigit():
            problem = Problem("Content-Length", "must be the number of bytes of the body, such as 61")
            await invalid(problem).response()(scope, receive, send)
            return
        # Not int of any length: Python refuses thousands of digits.
        if len(announced.lstrip(b"0")) > len(str(LARGEST)) or int(announced) > LARGEST:
            refusal = envelope(413, Code.PAYLOAD_TOO_LARGE, TOO_LARGE, headers=HANG_UP)
            await refusal(scope, receive, send)
            return
        received = 0

        async def receive_counting() -> Message:
            nonlocal received
            message = await receive()
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                if received > LARGEST:
                    # The framework's own: it turns any other exception into a body that cannot be parsed.
                    raise HTTPException(413, TOO_LARGE, HANG_UP)
            return message

        await self._app(scope, receive_counting, send)
