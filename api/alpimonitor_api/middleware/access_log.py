"""What the log is told of each request: little, unless everything is asked for."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from alpimonitor_api.middleware.clients import Clients
from alpimonitor_api.settings import Networks

logger = logging.getLogger(__name__)

TOO_MANY = 429
FAILED = 500  # and above
LONGEST_PATH = 200  # characters that are told of a path


def shown_path(scope: Scope) -> str:
    """The path as it was sent, one line of ASCII. Without the query, in which a client may put anything."""
    sent: bytes = scope.get("raw_path") or scope["path"].encode()
    path = sent.decode("ascii", "backslashreplace")[:LONGEST_PATH]
    return path if path.isprintable() else repr(path)


class AccessLog:
    """A line for each request at DEBUG; at INFO for failures and what the rate limit refuses; above, none.

    At INFO each such status has one line a second at most, which says how many were passed over: a rush or an
    outage does not fill the disk.
    """

    def __init__(
        self, app: ASGIApp, *, trusted_proxies: Networks, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._app = app
        self._clients = Clients(trusted_proxies)
        self._monotonic = monotonic
        self._told_at: dict[int, float] = {}
        self._passed_over: dict[int, int] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not logger.isEnabledFor(logging.INFO):
            await self._app(scope, receive, send)
            return
        began = self._monotonic()
        status = 0

        async def send_noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_noting)
        except BaseException:
            self._tell(scope, began, status or FAILED, " and was cut off")
            raise
        if status >= FAILED or status == TOO_MANY or logger.isEnabledFor(logging.DEBUG):
            self._tell(scope, began, status)

    def _tell(self, scope: Scope, began: float, status: int, end: str = "") -> None:
        now = self._monotonic()
        fields: dict[str, object] = {
            "action": "request",
            "method": scope["method"],
            "path": shown_path(scope),
            "status": status,
            "duration_ms": round((now - began) * 1000, 1),
            "client": self._clients.address(scope),
        }
        if logger.isEnabledFor(logging.DEBUG):
            level = logging.DEBUG if status < FAILED and status != TOO_MANY else logging.INFO
        elif now - self._told_at.get(status, float("-inf")) < 1:
            self._passed_over[status] = self._passed_over.get(status, 0) + 1
            return
        else:
            level = logging.INFO
            self._told_at[status] = now
            if passed_over := self._passed_over.pop(status, 0):
                fields["passed_over"] = passed_over
        logger.log(
            level, "%s %s was answered %s%s", fields["method"], fields["path"], status, end, extra=fields
        )
