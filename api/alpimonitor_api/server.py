"""`python -m alpimonitor_api.server`: serves the API, and runs its ingestion beside it.

Exit codes: 0 after SIGTERM, 1 when it could not start (the log says why), 2 when the settings or the address
cannot be used, 130 after an interrupt. It starts without its database and answers 503 until there is one;
waiting and migrating is what `alpimonitor boot` does before.
"""

from __future__ import annotations

import os
import signal

if __name__ == "__main__":
    # Until there is something to stop: what is imported below takes a second on a busy machine, and process 1
    # of a container would ignore SIGTERM for as long.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))

import asyncio
import gc
import logging
import socket
import sys
from typing import NoReturn

import uvicorn

from alpimonitor_api import logs
from alpimonitor_api.app import create_app
from alpimonitor_api.connections import Connection
from alpimonitor_api.services import Background
from alpimonitor_api.settings import Settings, SettingsError, load

logger = logging.getLogger("alpimonitor_api.server")

FAILED = 1
UNUSABLE = 2
INTERRUPTED = 130

BACKLOG = 2048
"""Connections that may wait to be accepted; the kernel caps it."""

YOUNG_OBJECTS = 10_000
"""How many objects may come before the collector looks for cycles among them: a few MB at most."""

GONE_AFTER_SECONDS = 60
"""How long a client may take nothing of its answer: whoever asks for megabytes and never reads them would
hold them in memory for ever, and one that vanished for a quarter of an hour."""

KEEP_ALIVE_SECONDS = 75
"""How long a connection may wait for its next request: longer than proxies keep theirs, a minute mostly. Else
one of them sends a request just as the connection is closed, and tells its client 502."""

LAST_ANSWERS_SECONDS = 10
"""How long answers on their way may take after SIGTERM."""


class AddressUnusable(Exception):
    """HOST and PORT cannot be listened on. The text is for the operator."""


def listening_socket(host: str, port: int) -> socket.socket:
    """Bound and listening before anything else starts. Raises AddressUnusable, saying what to do."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=socket.AI_PASSIVE
        )[0]
        # Not socket.create_server: its sockets do not name their protocol, so that asyncio leaves Nagle's
        # algorithm on, and every answer waits 40 ms for the client's acknowledgement.
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if sys.platform == "linux":  # elsewhere there is no such option; what is accepted inherits it
                listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, GONE_AFTER_SECONDS * 1000)
            listener.bind(address)
            listener.listen(BACKLOG)
        except BaseException:
            listener.close()
            raise
    except OSError as error:
        why = error.strerror or str(error)
        raise AddressUnusable(
            f"cannot listen on HOST={host} PORT={port}: {why}. Stop what uses this address, or set HOST to "
            "one of this machine's addresses and PORT to a free port."
        ) from error
    return listener


def ingestion(settings: Settings) -> Background | None:
    """The schedule that fetches measurements, imported only where it is wanted."""
    if not settings.ingestion_enabled:
        return None
    from alpimonitor_api.ingest.schedule import IngestionSchedule

    return IngestionSchedule(settings)


def collect_seldom() -> None:
    """An answer that waits for the database holds some hundred objects and leaves no cycle behind: with many
    on their way Python's collector takes a tenth of the processor and stops everything for 45 ms at a time,
    walking over the modules, to find nothing. What is there by now stays, and is never looked at again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)


def serve(settings: Settings, listener: socket.socket) -> bool:
    """Answer until SIGTERM or an interrupt, the last answers finished. False: it could not even start."""
    config = uvicorn.Config(
        create_app(settings, background=ingestion(settings)),
        http=Connection,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,  # middleware.access_log has its own form, and the query is not in it
        server_header=False,
        # Who the client is said to be counts only from a proxy that was named.
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=LAST_ANSWERS_SECONDS,
    )
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if listener.family is socket.AF_INET6 else host
    logger.info("The API listens on http://%s:%s", shown, port, extra={"action": "listening"})
    server = uvicorn.Server(config)
    collect_seldom()
    try:
        asyncio.run(server.serve(sockets=[listener]))
    finally:
        if server.started:
            logger.info("The API has stopped", extra={"action": "stopped"})
    return server.started


def terminated(*_: object) -> NoReturn:
    """SIGTERM is how a server is meant to end."""
    raise SystemExit(0)


def main() -> int:
    """Returns the exit code."""
    try:
        settings = load()
    except SettingsError as error:
        sys.stderr.write(f"alpimonitor-api: the settings cannot be used.\n{error}\n")
        return UNUSABLE
    logs.configure(settings.log_level, settings.log_format)
    try:
        listener = listening_socket(settings.host, settings.port)
    except AddressUnusable as error:
        logger.critical("The API %s", error, extra={"action": "address_unusable"})
        return UNUSABLE
    # uvicorn takes the signals over, finishes the last answers and then raises them again.
    signal.signal(signal.SIGTERM, terminated)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with listener:
            return 0 if serve(settings, listener) else FAILED
    except SettingsError as error:  # of a file that a setting names
        sys.stderr.write(f"alpimonitor-api: the settings cannot be used.\n{error}\n")
        return UNUSABLE
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        # An interrupt that met the execution of a string (so dataclasses are made) is remembered by CPython,
        # caught or not, and after `python -m` the process would die of the signal. Another string clears it.
        exec("")  # noqa: S102


if __name__ == "__main__":
    raise SystemExit(main())
