"""Serving the web surface from a thread of its own."""

from __future__ import annotations

import asyncio
import socket
import threading
from importlib.metadata import version

import uvicorn

from .actions import Actions, Operators
from .app import Remembers, Renders, Surface
from .board import Board, Clock
from .view import View

_STARTS_WITHIN = 10.0  # seconds
_STOPS_WITHIN = 2.0


class PortTaken(Exception):
    """The web surface cannot listen where it was told to."""


class WebServer:
    """Status page, metrics, health and actions, from `start` to `stop`."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        store: Remembers,
        metrics: Renders,
        operators: Operators,
        interval: float,
        clock: Clock,
        slowest_look: float = 0.0,
    ) -> None:
        """`port` 0: any that is free. `interval`: seconds between ticks; ten without one are a dead loop.

        `slowest_look`, in seconds: a tick that waits for a database that hangs is no dead loop.
        """
        self._host = host
        self._port = port
        self._board = Board(clock.monotonic, stale_after=max(10.0, 10 * interval, 10.0 + slowest_look))
        stopping = asyncio.Event()
        actions = Actions(self._board, operators, now=clock.utc, stopping=stopping)
        surface = Surface(
            self._board,
            store,
            metrics,
            now=clock.utc,
            version=version("alpimonitor"),
            actions=actions.routes(),
        )
        self._server = _Server(
            uvicorn.Config(
                surface.application(),
                lifespan="off",
                ws="none",
                access_log=False,
                log_config=None,
                server_header=False,
                timeout_graceful_shutdown=1,
            ),
            stopping,
        )
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Where the status page is: "http://127.0.0.1:9877/"."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}/"

    def publish(self, view: View) -> None:
        """Show `view` from now on."""
        self._board.pin(view)

    def start(self) -> None:
        """Returns when requests are answered. Raises PortTaken."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        try:
            self._socket = socket.create_server((self._host, self._port), family=family, backlog=128)
        except OSError as error:
            raise PortTaken(
                f"The sidecar cannot listen on {self._host}:{self._port}: {error.strerror or error}. "
                "Stop what listens there, or give the sidecar another address in WATCHDOG_LISTEN."
            ) from error
        # asyncio does this only for sockets that name their protocol, as create_server's do not: without it
        # every answer on a kept connection waits 40 ms for the client's acknowledgement.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, args=(self._socket,), name="web", daemon=True)
        self._thread.start()
        if not self._server.bound.wait(_STARTS_WITHIN):
            raise PortTaken(f"The sidecar's web surface did not start on {self._host}:{self._port}.")

    def begin_to_stop(self) -> None:
        """From any thread: no further request is taken, and those that wait are answered."""
        self._server.should_exit = True

    def stop(self) -> None:
        """End; open answers have a second. May be called without `start`."""
        self.begin_to_stop()
        if self._thread is not None:
            self._thread.join(_STOPS_WITHIN)
        if self._socket is not None:
            self._socket.close()

    def _serve(self, listening: socket.socket) -> None:
        asyncio.run(self._server.serve(sockets=[listening]))


class _Server(uvicorn.Server):
    """Says when it is bound and when it stops; signals are the main thread's business, not this one's."""

    def __init__(self, config: uvicorn.Config, stopping: asyncio.Event) -> None:
        super().__init__(config)
        self.bound = threading.Event()
        self._stopping = stopping

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.bound.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._stopping.set()
        await super().shutdown(sockets)
