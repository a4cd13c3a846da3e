"""ETag and 304 for the GET lists."""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import blake2b

from starlette.types import ASGIApp, Message, Receive, Scope, Send

BELOW = "/api/v1/"
WITHOUT_ETAG = frozenset({"/api/v1/health", "/api/v1/status"})
"""They tell the time: no two answers are equal."""

OF_THE_CONTENT = frozenset({b"x-total-count", b"x-page", b"x-page-size"})
"""Headers that say something of the content: with another total the same page is another answer."""

OF_THE_BODY = frozenset({b"content-length", b"content-type"})
"""Headers that an answer without a body does not carry."""

OPAQUE_TAG = re.compile(rb'(?:W/)?("[^"]*")')

Header = tuple[bytes, bytes]


def etag(headers: Iterable[Header], body: bytes) -> bytes:
    """A strong validator of an answer: equal exactly for equal content."""
    digest = blake2b(body, digest_size=16)
    for name, value in headers:
        if name in OF_THE_CONTENT:
            digest.update(b"\n%b: %b" % (name, value))
    return b'"%b"' % digest.hexdigest().encode()


class Revalidation:
    """Names each answer by its content; 304 to who has it already.

    The answer is made anew first, so only what would be a 200 becomes a 304: an emptied context is told to
    whoever still has the full one. An answer that comes in several pieces passes without a name.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET" or not has_etag(scope["path"]):
            await self._app(scope, receive, send)
            return
        held: Message | None = None

        async def send_validated(message: Message) -> None:
            nonlocal held
            if message["type"] == "http.response.start" and message["status"] == 200:
                held = message
                return
            if held is None:
                await send(message)
                return
            start, held = held, None
            if message["type"] != "http.response.body" or message.get("more_body", False):
                await send(start)
                await send(message)
                return
            headers: list[Header] = start["headers"]
            tag = next((value for name, value in headers if name == b"etag"), None)
            if tag is None:
                tag = etag(headers, message["body"])
                headers = [*headers, (b"etag", tag)]
            if _is_known(tag, scope["headers"]):
                kept = [header for header in headers if header[0] not in OF_THE_BODY]
                await send({"type": "http.response.start", "status": 304, "headers": kept})
                await send({"type": "http.response.body", "body": b""})
                return
            start["headers"] = headers
            await send(start)
            await send(message)

        await self._app(scope, receive, send_validated)


def has_etag(path: str) -> bool:
    """Whether the answers of GET at a path are named."""
    return path.startswith(BELOW) and path not in WITHOUT_ETAG


def _is_known(tag: bytes, headers: Iterable[Header]) -> bool:
    """Whether If-None-Match names this answer, by RFC 9110's weak comparison: W/ makes no difference."""
    for name, value in headers:
        if name == b"if-none-match" and (value.strip() == b"*" or tag in OPAQUE_TAG.findall(value)):
            return True
    return False
