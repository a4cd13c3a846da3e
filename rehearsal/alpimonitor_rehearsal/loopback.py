"""A real HTTP server on 127.0.0.1 that can misbehave: what the simulator and the pager answer with.

Every exchange runs in a thread of its own and the connection closes after it. Ways to misbehave are methods
of Exchange; which one is chosen is the business of whoever responds.
"""

from __future__ import annotations

import argparse
import json
import signal
import socket
import socketserver
import struct
import threading
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from alpimonitor_rehearsal.parent import die_with_parent

HOST = "127.0.0.1"
LONGEST_REQUEST = 16 * 2**20
RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: on, zero seconds


class Exchange:
    """One request, read whole, and the ways to answer it."""

    def __init__(self, handler: BaseHTTPRequestHandler, stopping: threading.Event) -> None:
        self._handler = handler
        self._stopping = stopping
        self.method = handler.command
        self.path = handler.path
        self.headers = dict(handler.headers.items())
        length = handler.headers.get("Content-Length", "0")
        self.body = handler.rfile.read(min(int(length), LONGEST_REQUEST)) if length.isdigit() else b""

    def header(self, name: str) -> str:
        """A header by its name, in whatever case; empty when it was not sent."""
        return self._handler.headers.get(name, "")

    def answer(self, status: int, body: bytes = b"", kind: str = "text/plain", **headers: str) -> None:
        """A complete answer. Keyword `Retry_After="1"` becomes the header Retry-After."""
        self._begin(status, kind, len(body), headers)
        self._write([body])

    def answer_json(self, status: int, document: object) -> None:
        self.answer(status, json.dumps(document, ensure_ascii=False).encode() + b"\n", "application/json")

    def cut_short(self, status: int, body: bytes, kind: str = "text/plain") -> None:
        """Announce the whole body, send half, close."""
        self._begin(status, kind, len(body), {})
        self._write([body[: len(body) // 2]])

    def trickle(self, status: int, body: bytes, every: float, kind: str = "text/plain") -> None:
        """A byte every `every` seconds: no single read of the client ever times out."""
        self._begin(status, kind, len(body), {})
        for place in range(len(body)):
            if self._stopping.wait(every) or not self._write([body[place : place + 1]]):
                return

    def stream(self, status: int, pieces: Iterable[bytes], kind: str = "text/plain") -> None:
        """A body of unannounced length, until it ends or the client leaves."""
        self._begin(status, kind, None, {})
        self._write(pieces)

    def pause(self, seconds: float | None) -> None:
        """Answer nothing for that long, or, with None, for as long as the server runs."""
        self._stopping.wait(seconds)

    def reset(self) -> None:
        """No answer: the client sees its connection reset."""
        connection = self._handler.connection
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        # Closing the one descriptor is what sends the reset; the handler's own shutdown then finds it gone.
        connection.close()

    def _begin(self, status: int, kind: str, length: int | None, headers: dict[str, str]) -> None:
        handler = self._handler
        handler.send_response(status)
        handler.send_header("Content-Type", kind)
        if length is not None:
            handler.send_header("Content-Length", str(length))
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()

    def _write(self, pieces: Iterable[bytes]) -> bool:
        """False when the client has left, which is its right."""
        try:
            for piece in pieces:
                self._handler.wfile.write(piece)
        except OSError:
            return False
        return True


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def server_bind(self) -> None:
        # The base class would look its own name up in the DNS.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that leaves in the middle is part of the rehearsal."""


def wanted_fault(body: bytes) -> tuple[str | None, int | None]:
    """(fault, times) of a control request's JSON. Raises ValueError with what is wrong with it."""
    wanted = json.loads(body)
    if not isinstance(wanted, dict):
        raise ValueError("the body is no JSON object")
    fault, times = wanted.get("fault"), wanted.get("times")
    if times is not None and (not isinstance(times, int) or times < 0):
        raise ValueError("times is no number of requests")
    return fault, times


class LoopbackServer:
    """Starts on a free port (or `port`), answers with `respond` until stopped."""

    def __init__(self, respond: Callable[[Exchange], None], *, port: int = 0) -> None:
        stopping = self._stopping = threading.Event()

        class Handler(BaseHTTPRequestHandler):
            timeout = 30

            def do_GET(self) -> None:
                respond(Exchange(self, stopping))

            do_POST = do_GET

            def log_message(self, format: str, *arguments: Any) -> None:
                """Standard error belongs to what is being rehearsed."""

        self._server = _Server((HOST, port), Handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="loopback", daemon=True
        )

    @property
    def port(self) -> int:
        return self._server.server_port

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Answers that are being delayed end at once. Safe to call twice."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        if self._thread.ident is not None:
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


def arguments_of_a_server(description: str) -> argparse.ArgumentParser:
    """The options that each server of the rehearsal takes as a process."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--port", type=int, default=0, help="the port on 127.0.0.1; 0 takes a free one")
    parser.add_argument(
        "--die-with-parent",
        type=int,
        nargs="?",
        const=0,
        metavar="PID",
        help="end when the process that started this one ends; its PID covers the start of this one",
    )
    return parser


def serve_as_process(server: LoopbackServer, announcement: dict[str, str], *, parent: int | None) -> None:
    """Serve until SIGTERM or an interrupt; one line of JSON on standard output says when it is ready.

    `parent` is the option --die-with-parent: None without it, 0 when no PID was given.
    """
    if parent is not None:
        die_with_parent(parent or None)
    asked_to_stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: asked_to_stop.set())
    server.start()
    print(json.dumps(announcement), flush=True)
    asked_to_stop.wait()
    server.stop()
