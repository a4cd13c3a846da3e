"""A connection of a client: the server's own, where what it does with bad clients is not enough.

uvicorn answers what it cannot read in a form of its own, outside of every middleware; an answer that was
being made meanwhile then fails, with a traceback for whoever wants to fill the log. And it waits without an
end for a request of which a byte comes now and then: as many such as there are file descriptors, and nobody
else gets in, /health included.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from alpimonitor_api.errors import Code, envelope
from alpimonitor_api.middleware.security_headers import SECURITY_HEADERS

UNREADABLE = "This is no request that HTTP/1.1 knows: it was not read any further, and nothing was changed."

ON_ITS_WAY = frozenset({h11.IDLE, h11.SEND_BODY})
"""The states of a client whose request is not all there yet."""


class Connection(H11Protocol):
    """uvicorn's, with a bound for how long a request may take to come, and with the envelope for a bad one.

    Invariant: while a request is on its way there is a time at which that ends, which no further byte moves.
    Between two requests uvicorn's own time-out holds.
    """

    request_seconds = 20.0
    """From a connection, or the first byte of its next request, to the last byte of that request."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._deadline = self.loop.call_later(self.request_seconds, self.transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        self._call_off()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state not in ON_ITS_WAY:
            self._call_off()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(self.request_seconds, self.transport.close)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's own words
        """Tell it, unless an answer has begun; that one or the other is the last of this connection."""
        cycle = self.cycle
        answering = cycle is not None and not cycle.response_complete
        if answering:
            # Now, and not only when the connection is lost: what it has yet to say is dropped.
            cycle.disconnected = True
        if not (answering and cycle.response_started):
            refusal = envelope(400, Code.VALIDATION_ERROR, UNREADABLE, headers={"Connection": "close"})
            head = h11.Response(
                status_code=400,
                headers=[*refusal.raw_headers, *SECURITY_HEADERS],
                reason=HTTPStatus.BAD_REQUEST.phrase.encode(),
            )
            for event in (head, h11.Data(data=bytes(refusal.body)), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _unsupported_upgrade_warning(self) -> None:
        """Not a word of it: whoever offers another protocol is answered in this one, which is in order."""

    def _call_off(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
