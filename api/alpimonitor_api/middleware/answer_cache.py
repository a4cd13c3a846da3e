"""Answers that are given again for at most a second."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from alpimonitor_api.metrics import Metrics
from alpimonitor_api.middleware.revalidation import BELOW, Header, etag, has_etag

HEALTH = "/api/v1/health"
"""Says how it is now, and costs no more than a hit."""

MOST_ANSWERS = 256
MOST_BYTES = 8 * 1024 * 1024
LARGEST = 1024 * 1024  # bytes of one answer that is kept

CHANGES_NOTHING = frozenset({"GET", "HEAD", "OPTIONS"})

Key = tuple[str, bytes]  # path and query as it was written


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer 200 of one piece."""

    began: float  # when its making did: it says nothing newer
    route: object
    headers: tuple[Header, ...]
    body: bytes
    size: int


@dataclass(frozen=True, slots=True)
class Making:
    """An answer that is being made; None in place of one that cannot be given to others."""

    began: float
    answer: asyncio.Future[Answer | None]


class AnswerCache:
    """Gives answers of GET below /api/v1 again, while the making of each began less than `seconds` ago.

    Invariant: nobody is given an answer whose making began `seconds` ago or earlier, or before a change that
    this process has answered. Whoever asks for what is being made waits for it, at most until it would be too
    old; if it failed, each makes its own. A request with an Authorization header passes by: its answer may be
    for its bearer only.

    No `Age`: its unit is a second, and every cache outside has to ask again anyway.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        seconds: float,
        metrics: Metrics,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app = app
        self._seconds = seconds
        self._metrics = metrics
        self._monotonic = monotonic
        self._kept: OrderedDict[Key, Answer] = OrderedDict()  # the least recently given first
        self._bytes = 0
        self._making: dict[Key, Making] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["method"] != "GET":
            await self._change(scope, receive, send)
        elif not scope["path"].startswith(BELOW) or scope["path"] == HEALTH or _is_authorized(scope):
            await self._app(scope, receive, send)
        else:
            await self._answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        key = (scope["path"], scope["query_string"])
        now = self._monotonic()
        answer = self._kept.get(key)
        if answer is not None and now - answer.began < self._seconds:
            self._kept.move_to_end(key)
        else:
            making = self._making.get(key)
            left = making.began + self._seconds - now if making is not None else 0.0
            if making is None or left <= 0:
                self._metrics.cache_miss()
                await self._make(key, now, scope, receive, send)
                return
            await asyncio.wait((making.answer,), timeout=left)
            answer = making.answer.result() if making.answer.done() else None
            if answer is None or self._monotonic() - answer.began >= self._seconds:
                self._metrics.cache_miss()
                await self._app(scope, receive, send)
                return
        self._metrics.cache_hit()
        scope["route"] = answer.route
        await send({"type": "http.response.start", "status": 200, "headers": [*answer.headers]})
        await send({"type": "http.response.body", "body": answer.body})

    async def _make(self, key: Key, began: float, scope: Scope, receive: Receive, send: Send) -> None:
        making = Making(began, asyncio.get_running_loop().create_future())
        self._making[key] = making
        held: Message | None = None

        async def send_keeping(message: Message) -> None:
            nonlocal held
            if message["type"] == "http.response.start" and message["status"] == 200:
                held = message
                return
            if held is not None:
                start, held = held, None
                if message["type"] == "http.response.body" and not message.get("more_body", False):
                    headers, body = start["headers"], message["body"]
                    if has_etag(key[0]):
                        start["headers"] = headers = [*headers, (b"etag", etag(headers, body))]
                    # Before it is sent: its first reader may be slow.
                    self._publish(key, making, scope.get("route"), headers, body)
                await send(start)
            await send(message)

        try:
            await self._app(scope, receive, send_keeping)
        finally:
            self._finish(key, making, None)

    def _publish(self, key: Key, making: Making, route: object, headers: list[Header], body: bytes) -> None:
        """Give an answer to those who wait for it, and keep it for those who come."""
        if self._making.get(key) is not making:
            return  # something was changed since, or it took so long that another makes it anew
        size = len(key[0]) + len(key[1]) + sum(len(name) + len(value) for name, value in headers) + len(body)
        answer = Answer(making.began, route, tuple(headers), body, size)
        self._finish(key, making, answer)
        if size > LARGEST or self._monotonic() - making.began >= self._seconds:
            return
        self._forget(key)
        self._kept[key] = answer
        self._bytes += size
        while len(self._kept) > MOST_ANSWERS or self._bytes > MOST_BYTES:
            self._forget(next(iter(self._kept)))

    def _finish(self, key: Key, making: Making, answer: Answer | None) -> None:
        if not making.answer.done():
            making.answer.set_result(answer)
        if self._making.get(key) is making:
            del self._making[key]

    def _forget(self, key: Key) -> None:
        answer = self._kept.pop(key, None)
        if answer is not None:
            self._bytes -= answer.size

    async def _change(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A request that may change something: before its answer goes out, what was kept is dropped."""
        if scope["method"] in CHANGES_NOTHING:
            await self._app(scope, receive, send)
            return

        async def send_after_dropping(message: Message) -> None:
            # What was refused has changed nothing: else anybody could keep the cache empty.
            if message["type"] == "http.response.start" and not 400 <= message["status"] < 500:
                self._drop()
            await send(message)

        try:
            await self._app(scope, receive, send_after_dropping)
        except BaseException:
            self._drop()  # it may have changed something before it failed
            raise

    def _drop(self) -> None:
        self._kept.clear()
        self._bytes = 0
        for key, making in tuple(self._making.items()):
            self._finish(key, making, None)


def _is_authorized(scope: Scope) -> bool:
    return any(name == b"authorization" for name, _ in scope["headers"])
