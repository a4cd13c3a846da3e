"""A load client that is far faster than the server: some 20 µs a request, where the server takes hundreds.

Each connection asks again as soon as its answer is whole, so that N connections are N requests on their way.
Meant for a process of its own; epoll, so Linux only.
"""

from __future__ import annotations

import select
import socket
from dataclasses import dataclass
from time import perf_counter, process_time

PATIENCE = 20.0  # seconds without any answer
LENGTH = b"content-length: "


@dataclass(frozen=True)
class Asked:
    """One request, over and over. `request` is all of its bytes."""

    host: str
    port: int
    request: bytes


@dataclass(frozen=True)
class Slice:
    """What some seconds of load were answered with."""

    seconds: float
    latencies: list[float]  # of each answer in seconds, request sent to last byte
    processor: float  # seconds that this client itself computed

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.latencies) / self.seconds


class WrongAnswer(Exception):
    """Something other than a whole answer with the status 200."""


class _Connection:
    __slots__ = ("began", "head", "missing", "socket")

    def __init__(self, asked: Asked) -> None:
        self.socket = socket.create_connection((asked.host, asked.port), timeout=PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.began = 0.0
        self.head = b""  # as long as its end has not come
        self.missing = 0  # bytes of the body

    def ask(self, request: bytes, now: float) -> None:
        self.began = now
        self.socket.sendall(request)

    def take(self) -> bool:
        """Read what is there. True when the answer is whole."""
        data = self.socket.recv(262_144)
        if not data:
            raise WrongAnswer("the server closed the connection")
        if self.missing:
            self.missing -= len(data)
        else:
            data = self.head + data
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self.head = data
                return False
            self.head = b""
            if data[9:12] != b"200":
                raise WrongAnswer(data[:600].decode(errors="replace"))
            at = data.find(LENGTH, 0, end)
            if at < 0:
                raise WrongAnswer(f"no {LENGTH.decode()}in {data[:end].decode(errors='replace')}")
            at += len(LENGTH)
            self.missing = int(data[at : data.find(b"\r", at)]) + end + 4 - len(data)
        if self.missing < 0:
            raise WrongAnswer("more bytes than the answer's length")
        return self.missing == 0


def load(asked: Asked, *, connections: int, seconds: float, warm_up: float) -> Slice:
    """Ask for `warm_up` and then `seconds`, counting the latter. Raises WrongAnswer."""
    with select.epoll() as events:
        held: dict[int, _Connection] = {}
        try:
            for _ in range(connections):
                connection = _Connection(asked)
                held[connection.socket.fileno()] = connection
                events.register(connection.socket.fileno(), select.EPOLLIN)
            for connection in held.values():
                connection.ask(asked.request, perf_counter())
            _rounds(asked.request, held, events, until=perf_counter() + warm_up)
            began, computed = perf_counter(), process_time()
            latencies = _rounds(asked.request, held, events, until=began + seconds)
            taken, spent = perf_counter() - began, process_time() - computed
            _finish(held, events)
        finally:
            for connection in held.values():
                connection.socket.close()
    return Slice(taken, latencies, spent)


def _rounds(
    request: bytes, held: dict[int, _Connection], events: select.epoll, *, until: float
) -> list[float]:
    latencies: list[float] = []
    while perf_counter() < until:
        ready = events.poll(PATIENCE)
        if not ready:
            raise WrongAnswer(f"no answer within {PATIENCE:g} s")
        for number, _ in ready:
            connection = held[number]
            if connection.take():
                now = perf_counter()
                latencies.append(now - connection.began)
                connection.ask(request, now)
    return latencies


def _finish(held: dict[int, _Connection], events: select.epoll) -> None:
    """Take the last answers, so that the server does not work on for nobody into the next figure."""
    waiting = set(held)
    while waiting:
        ready = events.poll(PATIENCE)
        if not ready:
            raise WrongAnswer(f"no last answer within {PATIENCE:g} s")
        for number, _ in ready:
            if number in waiting and held[number].take():
                waiting.discard(number)
