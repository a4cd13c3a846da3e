"""The cache of answers beside changes and slow makers, and how much it keeps; what it keeps is made here."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import httpx
from starlette.types import Message, Receive, Scope, Send

from alpimonitor_api.metrics import Metrics
from alpimonitor_api.middleware.answer_cache import MOST_ANSWERS, AnswerCache

PATH = "/api/v1/value"


class Origin:
    """Answers GET with `value` as it was when it was asked, PUT with `refusal` or by another value."""

    def __init__(self, size: int = 0) -> None:
        self.value = 0
        self.made = 0
        self.padding = b" " * size
        self.pieces = 1
        self.refusal: int | None = None
        self.breaks = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked_twice = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        status, value = 200, self.value
        if scope["method"] == "GET":
            self.made += 1
            if self.made == 2:
                self.asked_twice.set()
            await self.gate.wait()
        elif self.refusal is not None:
            status = self.refusal
        else:
            self.value += 1
            if self.breaks:
                raise RuntimeError("broken after the change")
        body = b"%d" % value + self.padding
        await send({"type": "http.response.start", "status": status, "headers": [(b"x-page", b"1")]})
        for left in range(self.pieces, 0, -1):
            await send({"type": "http.response.body", "body": body, "more_body": left > 1})


class Asking:
    """Asks an origin through a cache."""

    def __init__(
        self, origin: Origin, *, seconds: float = 1.0, monotonic: Callable[[], float] | None
    ) -> None:
        told = {} if monotonic is None else {"monotonic": monotonic}
        self.cache = AnswerCache(origin, seconds=seconds, metrics=Metrics("0"), **told)
        transport = httpx.ASGITransport(self.cache)
        self.http = httpx.AsyncClient(transport=transport, base_url="http://api.test")

    async def value(self, query: str = "") -> int:
        return int((await self.http.get(f"{PATH}{query}")).text)

    async def change(self) -> int:
        return (await self.http.put(PATH)).status_code

    async def asked(self, query: str = "") -> asyncio.Task[int]:
        """A request that has gone on as far as it can."""
        task = asyncio.create_task(self.value(query))
        for _ in range(20):
            await asyncio.sleep(0)
        return task


async def nothing_more() -> Message:
    return {"type": "http.disconnect"}


def at_a_standstill() -> float:
    return 0.0


def with_cache(
    told: Callable[[Origin, Asking], Awaitable[None]],
    *,
    size: int = 0,
    seconds: float = 1.0,
    monotonic: Callable[[], float] | None = at_a_standstill,
) -> None:
    async def ran() -> None:
        origin = Origin(size)
        asking = Asking(origin, seconds=seconds, monotonic=monotonic)
        async with asking.http:
            await told(origin, asking)

    asyncio.run(ran())


def test_what_is_refused_changes_nothing_and_what_fails_may_have() -> None:
    async def told(origin: Origin, asking: Asking) -> None:
        await asking.value()
        for refusal in (401, 404, 405, 413, 429):
            origin.refusal = refusal
            assert await asking.change() == refusal
            await asking.value()
        assert origin.made == 1
        origin.refusal = 503
        await asking.change()
        await asking.value()
        assert origin.made == 2
        origin.refusal, origin.breaks = None, True
        with suppress(RuntimeError):
            await asking.change()
        assert await asking.value() == 1
        assert origin.made == 3

    with_cache(told)


def test_an_answer_that_was_begun_before_a_change_is_given_to_nobody_after_it() -> None:
    async def told(origin: Origin, asking: Asking) -> None:
        origin.gate.clear()
        before, waiting = await asking.asked(), await asking.asked()
        assert origin.made == 1
        await asking.change()
        after = await asking.asked()
        # Who waited makes its own; who came after the change does not wait for what was begun before it.
        assert origin.made == 3
        origin.gate.set()
        assert [await before, await waiting, await after] == [0, 1, 1]
        assert await asking.value() == 1

    with_cache(told)


def test_an_answer_that_was_begun_before_a_change_is_not_kept() -> None:
    async def told(origin: Origin, asking: Asking) -> None:
        origin.gate.clear()
        before = await asking.asked()
        await asking.change()
        origin.gate.set()
        assert await before == 0
        assert await asking.value() == 1

    with_cache(told)


def test_an_answer_that_became_too_old_while_it_was_made_is_given_to_nobody_who_waited() -> None:
    passed = 0.0

    async def told(origin: Origin, asking: Asking) -> None:
        nonlocal passed
        origin.gate.clear()
        maker, waiting = await asking.asked(), await asking.asked()
        assert origin.made == 1
        passed = 1.0
        origin.gate.set()
        assert [await maker, await waiting] == [0, 0]
        assert origin.made == 2

    with_cache(told, monotonic=lambda: passed)


def test_a_waiting_is_over_when_the_answer_would_be_too_old() -> None:
    async def told(origin: Origin, asking: Asking) -> None:
        origin.gate.clear()
        maker, waiting = await asking.asked(), await asking.asked()
        await origin.asked_twice.wait()
        origin.gate.set()
        assert [await maker, await waiting] == [0, 0]

    with_cache(told, seconds=0.02, monotonic=None)


def test_the_least_recently_given_goes_first() -> None:
    async def told(origin: Origin, asking: Asking) -> None:
        for number in range(MOST_ANSWERS):
            await asking.value(f"?{number}")
        await asking.value("?0")
        await asking.value("?one-more")
        assert origin.made == MOST_ANSWERS + 1
        await asking.value("?0")
        assert origin.made == MOST_ANSWERS + 1
        await asking.value("?1")
        assert origin.made == MOST_ANSWERS + 2

    with_cache(told)


def test_what_is_kept_is_bounded_in_bytes() -> None:
    async def told(origin: Origin, asking: Asking) -> None:
        for _ in range(2):  # what goes is no longer counted
            for number in range(12):
                await asking.value(f"?{number}")
        origin.made = 0
        for number in reversed(range(12)):
            await asking.value(f"?{number}")
            if origin.made:
                break
        assert 12 - 1 - number == 9  # nine of 900,000 bytes are less than 8 MiB, ten are more

    with_cache(told, size=900_000)


def test_a_long_query_counts_too() -> None:
    async def told(origin: Origin, asking: Asking) -> None:
        async def sent(_: Message) -> None:
            pass

        async def ask(number: int) -> None:
            # Not by the client, which takes its time over such an address.
            scope: Scope = {"type": "http", "method": "GET", "path": PATH, "headers": []}
            scope["query_string"] = b"x" * 60_000 + b"%d" % number
            await asking.cache(scope, nothing_more, sent)

        for number in range(200):
            await ask(number)
        assert origin.made == 200
        await ask(199)
        assert origin.made == 200
        await ask(0)
        assert origin.made == 201

    with_cache(told)


def test_a_large_answer_is_given_to_those_who_wait_and_not_kept() -> None:
    async def told(origin: Origin, asking: Asking) -> None:
        origin.gate.clear()
        tasks = [await asking.asked() for _ in range(3)]
        origin.gate.set()
        assert [await task for task in tasks] == [0, 0, 0]
        assert origin.made == 1
        await asking.value()
        assert origin.made == 2

    with_cache(told, size=1024 * 1024)


def test_an_answer_in_pieces_passes_and_is_not_kept() -> None:
    async def told(origin: Origin, asking: Asking) -> None:
        origin.pieces = 3
        assert (await asking.http.get(PATH)).content == b"000"
        assert (await asking.http.get(PATH)).content == b"000"
        assert origin.made == 2

    with_cache(told)
