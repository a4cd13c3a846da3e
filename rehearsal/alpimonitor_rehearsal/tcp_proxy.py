"""A TCP proxy on 127.0.0.1 that stands for the network between two processes, and fails as networks do.

    with TcpProxy("127.0.0.1", 5432) as proxy:
        connect(proxy.host, proxy.port)
        proxy.hang()

A change concerns open connections as well as new ones; `heal` lets the hung and the slow go on where they
stood. It runs in a thread of its own.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import Enum
from typing import Self

HOST = "127.0.0.1"
PIECE_BYTES = 64 * 1024
CONNECT_SECONDS = 5
SLOW_PIECES_PER_SECOND = 20
RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: on, zero seconds


class Weather(Enum):
    FAIR = "fair"
    CUT = "cut"  # connections are reset, new ones too
    HANGING = "hanging"  # connections stay and are accepted, no byte passes, nor any end
    SLOW = "slow"  # bytes pass at a bounded rate
    HALF_OPEN = "half_open"  # the target lost its connections and nobody told the clients


@dataclass(eq=False)
class _Link:
    """One client, and its connection to the target while it has one."""

    client: asyncio.StreamWriter
    target: asyncio.StreamWriter | None = None
    forwarding: asyncio.Task[None] | None = None
    orphaned: bool = False  # it lost its target in half-open weather
    released: asyncio.Event = field(default_factory=asyncio.Event)


class TcpProxy:
    """Forwards 127.0.0.1:`port` to a target between enter and exit. Methods may be called from any thread."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._listener = socket.create_server((HOST, 0), backlog=64)
        self.host = HOST
        self.port: int = self._listener.getsockname()[1]
        self._weather = Weather.FAIR
        self._bytes_per_second = 0
        self._links: set[_Link] = set()
        self._ready: Future[None] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.result()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join()

    @property
    def connections(self) -> int:
        """How many clients are connected now."""
        return len(self._links)

    def cut(self) -> None:
        """Reset every connection, and every new one."""
        self._change(Weather.CUT, self._reset)

    def hang(self) -> None:
        """Keep and accept connections, and pass nothing."""
        self._change(Weather.HANGING, lambda _: None)

    def slow(self, bytes_per_second: int) -> None:
        """Pass at most that much in each direction of each connection. Raises ValueError below 1."""
        if bytes_per_second < 1:
            raise ValueError("bytes_per_second must be at least 1; to pass nothing, hang")
        self._change(Weather.SLOW, lambda _: None, bytes_per_second)

    def half_open(self) -> None:
        """The target loses every connection; clients keep theirs, and get new ones, and hear nothing."""
        self._change(Weather.HALF_OPEN, self._orphan)

    def heal(self) -> None:
        """Fair weather. A client that lost its target meanwhile is told by a reset."""
        self._change(Weather.FAIR, lambda link: self._reset(link) if link.orphaned else None)

    def lead_to(self, host: str, port: int) -> None:
        """Another target from now on. Every connection is reset: its other end is no longer there."""
        self._target = (host, port)
        self._change(self._weather, self._reset, self._bytes_per_second)

    def _change(self, weather: Weather, concern: Callable[[_Link], None], bytes_per_second: int = 0) -> None:
        async def apply() -> None:
            self._weather, self._bytes_per_second = weather, bytes_per_second
            for link in list(self._links):
                concern(link)
            if weather in (Weather.FAIR, Weather.SLOW):
                self._passing.set()
            else:
                self._passing.clear()

        asyncio.run_coroutine_threadsafe(apply(), self._loop).result()

    def _reset(self, link: _Link) -> None:
        if link.forwarding is not None:
            link.forwarding.cancel()
        for side in (link.client, link.target):
            if side is not None and not side.is_closing():
                side.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
                side.transport.abort()
        link.released.set()

    def _orphan(self, link: _Link) -> None:
        link.orphaned = True
        if link.forwarding is not None:
            link.forwarding.cancel()
        if link.target is not None:
            link.target.transport.abort()

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopped = asyncio.Event()
        self._passing = asyncio.Event()
        self._passing.set()
        server = await asyncio.start_server(self._serve, sock=self._listener)
        self._ready.set_result(None)
        await self._stopped.wait()
        server.close()
        for link in list(self._links):
            self._reset(link)
        while self._links:
            await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = _Link(writer)
        self._links.add(link)
        try:
            if self._weather is Weather.HALF_OPEN:
                link.orphaned = True
            elif self._weather is not Weather.CUT:
                link.forwarding = asyncio.create_task(self._forward(link, reader))
                await asyncio.wait({link.forwarding})
            if link.orphaned:
                await link.released.wait()
            elif link.forwarding is None or link.forwarding.cancelled() or link.forwarding.exception():
                self._reset(link)
        finally:
            for side in (link.client, link.target):
                if side is not None:
                    side.close()
            self._links.discard(link)

    async def _forward(self, link: _Link, from_client: asyncio.StreamReader) -> None:
        """Until both sides have ended. Raises OSError or TimeoutError when one of them failed."""
        await self._passing.wait()
        async with asyncio.timeout(CONNECT_SECONDS):
            from_target, link.target = await asyncio.open_connection(*self._target)
        one_way = asyncio.create_task(self._pump(from_client, link.target))
        other_way = asyncio.create_task(self._pump(from_target, link.client))
        try:
            await asyncio.gather(one_way, other_way)
        finally:
            one_way.cancel()
            other_way.cancel()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(PIECE_BYTES):
            while data:
                await self._passing.wait()
                rate = self._bytes_per_second
                size = max(1, rate // SLOW_PIECES_PER_SECOND) if rate else len(data)
                sink.write(data[:size])
                await sink.drain()
                data = data[size:]
                if rate:
                    await asyncio.sleep(size / rate)
        await self._passing.wait()
        if not sink.is_closing():
            sink.write_eof()
