"""A steady load over HTTP/1.1: a few kept connections, a bounded rate, and every answer is judged.

One thread with one event loop drives all connections, so that the test beside it can stop servers and run
commands. Every other request of a connection revalidates what it got before (If-None-Match): a 304 counts as
that answer once more.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from time import monotonic
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

PATIENCE = 60.0  # seconds for one answer; what takes longer counts as none


@dataclass(frozen=True)
class Asked:
    """A request for GET."""

    path: str
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Answer:
    """One answer. `began` and `ended` are monotonic: request sent, last byte received."""

    path: str
    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes
    began: float
    ended: float
    revalidated: bool = False  # the body is of an earlier answer, which a 304 confirmed


@dataclass(frozen=True)
class Seen:
    """What is kept of an answer: what the judge took it for (several, where they look alike), or why not."""

    path: str
    status: int  # 0: there was no answer
    kinds: frozenset[str]
    complaint: str
    began: float
    ended: float
    revalidated: bool = False


Judge = Callable[[Answer], frozenset[str]]
"""What an answer may be; raises ValueError, saying what is wrong with it."""


class Load:
    """Runs between enter and exit; `seen` grows meanwhile and is complete afterwards."""

    def __init__(
        self, base: str, asked: Sequence[Asked], judge: Judge, *, connections: int = 8, per_second: float
    ) -> None:
        """`base` is such as http://127.0.0.1:8000; `per_second` is for all connections together."""
        address = urlsplit(base)
        assert address.hostname is not None
        self._host, self._port = address.hostname, address.port or 80
        self._asked = asked
        self._judge = judge
        self._connections = connections
        self._pause = connections / per_second
        self._over = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="load")
        self._failure: BaseException | None = None
        self.seen: list[Seen] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        if self._failure is not None and error is None:
            raise self._failure

    def since(self, moment: float) -> Iterator[Seen]:
        """What was asked at this moment or later and has been answered, newest first."""
        for seen in reversed(tuple(self.seen)):
            if seen.ended < moment:
                return  # they stand in the order of their ends
            if seen.began >= moment:
                yield seen

    async def _run(self) -> None:
        try:
            await asyncio.gather(*(self._ask_on(number) for number in range(self._connections)))
        except BaseException as error:
            self._failure = error

    async def _ask_on(self, number: int) -> None:
        """One connection until the end, opened again whenever it was lost; each begins at another path."""
        known: dict[str, Answer] = {}
        connection = _Connection(self._host, self._port)
        begins = number * len(self._asked) // self._connections
        turn = itertools.cycle((*self._asked[begins:], *self._asked[:begins]))
        next_at = monotonic() + self._pause * number / self._connections
        revalidating = False
        while not self._over.is_set():
            await asyncio.sleep(max(0.0, next_at - monotonic()))
            next_at = max(next_at + self._pause, monotonic())
            asked = next(turn)
            # All paths in one manner, then all in the other: each connection asks for each in both.
            revalidating ^= asked is self._asked[begins]
            earlier = known.get(asked.path) if revalidating else None
            began = monotonic()
            try:
                async with asyncio.timeout(PATIENCE):
                    answer = await connection.ask(asked, began, earlier)
            except (OSError, EOFError, TimeoutError) as error:
                await connection.close()
                complaint = f"no answer: {error or type(error).__name__}"
                self.seen.append(Seen(asked.path, 0, frozenset(), complaint, began, monotonic()))
                continue
            self._keep(answer)
            if "etag" in answer.headers:
                known[asked.path] = answer
        await connection.close()

    def _keep(self, answer: Answer) -> None:
        try:
            kinds, complaint = self._judge(answer), ""
        except ValueError as error:
            kinds, complaint = frozenset[str](), str(error)
        self.seen.append(
            Seen(answer.path, answer.status, kinds, complaint, answer.began, answer.ended, answer.revalidated)
        )


class _Connection:
    """One kept connection; opened when it is needed."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, asked: Asked, began: float, earlier: Answer | None) -> Answer:
        """Raises OSError or EOFError where no whole answer comes."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port)
        reader, writer = self._streams
        request = [f"GET {asked.path} HTTP/1.1", f"Host: {self._host}:{self._port}"]
        request += [f"{name}: {value}" for name, value in asked.headers]
        if earlier is not None:
            request.append(f"If-None-Match: {earlier.headers['etag']}")
        writer.write("\r\n".join((*request, "", "")).encode("ascii"))
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        status = int(head[0].split(" ", 2)[1])
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in head[1:] if line)
        }
        bodiless = status in (204, 304)
        body = b"" if bodiless else await reader.readexactly(int(headers["content-length"]))
        answer = Answer(asked.path, status, headers, body, began, monotonic())
        if headers.get("connection", "").lower() == "close":
            await self.close()
        if status == 304 and earlier is not None and headers.get("etag") == earlier.headers["etag"]:
            return replace(earlier, began=began, ended=answer.ended, revalidated=True)
        return answer

    async def close(self) -> None:
        if self._streams is not None:
            _, writer = self._streams
            self._streams = None
            writer.transport.abort()
