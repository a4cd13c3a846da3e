"""A client that talks to a real server in its own words: its bytes, its pauses, its way of hanging up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

import uvicorn
from starlette.types import ASGIApp

from alpimonitor_api.app import create_app
from alpimonitor_api.connections import Connection
from alpimonitor_api.server import listening_socket
from tests.api_client import NOWHERE, settings_for

Asking = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[None, None, bytes]]

DEADLINE = 30.0  # seconds; nothing here takes one


def talking(asking: Asking, *, app: ASGIApp | None = None, by: type[Connection] = Connection) -> bytes:
    """What a client reads of a server of the API, or of another `app`; the server is gone afterwards."""

    async def talked() -> bytes:
        served = app or create_app(settings_for(NOWHERE))
        config = uvicorn.Config(
            served, http=by, ws="none", log_config=None, lifespan="off" if app is not None else "on"
        )
        server = uvicorn.Server(config)
        with listening_socket("127.0.0.1", 0) as listener:
            running = asyncio.create_task(server.serve(sockets=[listener]))
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            try:
                async with asyncio.timeout(DEADLINE):
                    return await asking(reader, writer)
            finally:
                writer.transport.abort()
                server.should_exit = True
                await running

    return asyncio.run(talked())
