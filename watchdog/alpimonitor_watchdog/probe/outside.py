"""OutsideProbe: the system as its consumers see it, looked at in a thread of its own.

So an API that hangs never delays the look at the database. Each request is bounded as a whole, from the name
server to the last byte: a server that trickles its answer is late like one that says nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Self

import httpx
from pydantic import SecretStr

from ..core.seen import HealthSeen, IngestionSeen, OutsideSeen
from . import answers, json_path
from .answers import Answer, Expected, Malformed
from .ingestion_query import IngestionQuery

if TYPE_CHECKING:
    from ..settings import Settings

log = logging.getLogger(__name__)
_LARGEST = 1024 * 1024  # bytes of an answer
_STOPS_WITHIN = 0.2  # seconds; only a name server that hangs takes longer
_QUERY = "[ingestion] query"  # where an address would stand


@dataclass(frozen=True)
class IngestionAddress:
    """Where the last run of ingestion is told: the object, or the number of stations, at a path."""

    url: str
    steps: json_path.Steps
    token: SecretStr | None = None  # sent along


@dataclass(frozen=True)
class _Look:
    began: float
    health: tuple[HealthSeen, ...]
    ingestion: IngestionSeen | None
    deployment: str | None

    def seen(self, now: float) -> OutsideSeen:
        return OutsideSeen(now - self.began, self.health, self.ingestion, self.deployment)


@dataclass(frozen=True)
class _Told:
    """What the place said where the last run is told: is it there, the run, the deployment it serves."""

    health: tuple[HealthSeen, ...] = ()
    ingestion: IngestionSeen | None = None
    deployment: str | None = None


class OutsideProbe:
    """`latest` and `wake` may be called from any thread between `start` and `stop`."""

    def __init__(
        self,
        health: Sequence[Expected],
        ingestion: IngestionAddress | IngestionQuery | None,
        *,
        every: float = 2.0,
        within: float = 2.0,
        monotonic: Callable[[], float] = time.monotonic,
        utc: Callable[[], datetime] | None = None,
    ) -> None:
        """`every` is the seconds from the beginning of one look to that of the next, `within` those a request
        may take. `utc` tells the time of an answer that does not tell it itself."""
        self._health = tuple(health)
        self._ingestion = ingestion
        self._every = every
        self._within = within
        self._monotonic = monotonic
        self._utc = utc
        self._latest: _Look | None = None
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._run()), name="outside-probe", daemon=True
        )
        self._ready = threading.Event()

    @classmethod
    def of(
        cls,
        settings: Settings,
        application_name: str = "alpimonitor-watchdog",
        utc: Callable[[], datetime] | None = None,
    ) -> Self | None:
        """The probe that the settings ask for; None when they declare nothing to look at."""
        if not settings.health and settings.ingestion is None:
            return None
        declared = settings.ingestion
        ingestion: IngestionAddress | IngestionQuery | None = None
        if declared is not None and declared.query is not None:
            ingestion = IngestionQuery(
                settings.database_url.get_secret_value(), declared.query, application_name=application_name
            )
        elif declared is not None and declared.url is not None and declared.json_path is not None:
            ingestion = IngestionAddress(
                declared.url,
                json_path.parse(declared.json_path),
                settings.tokens.get(declared.token_env or ""),
            )
        return cls(
            [
                Expected(
                    found.url,
                    json_path.parse(found.expect_json_path) if found.expect_json_path else None,
                    found.expect,
                    settings.tokens.get(found.token_env or ""),
                )
                for found in settings.health
            ],
            ingestion,
            every=settings.policy.outside_interval,
            utc=utc,
        )

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()
        self._ready.wait()

    def stop(self) -> None:
        """End a look that is under way, and the thread."""
        if isinstance(self._ingestion, IngestionQuery):
            self._ingestion.abandon()
        with contextlib.suppress(RuntimeError):  # the loop has ended by itself
            self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(min(self._within, _STOPS_WITHIN))

    def wake(self) -> None:
        """Look again soon: as soon as the look that is under way has ended."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._woken.set)

    def look_once(self) -> OutsideSeen:
        """One look, for whoever did not `start`."""
        look = asyncio.run(self._look_once())
        if isinstance(self._ingestion, IngestionQuery):
            self._ingestion.close()
        return look.seen(self._monotonic())

    def latest(self, now: float) -> OutsideSeen | None:
        """The newest finished look, with its age at `now` by `monotonic`; None before the first."""
        look = self._latest
        return look.seen(now) if look is not None else None

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._woken = asyncio.Event()
        self._stopped = asyncio.Event()
        self._ready.set()
        looking = asyncio.create_task(self._look_again_and_again())
        await self._stopped.wait()
        looking.cancel()
        await asyncio.wait({looking})
        if isinstance(self._ingestion, IngestionQuery):
            self._ingestion.close()

    async def _look_again_and_again(self) -> None:
        async with self._client() as client:
            while True:
                began = self._monotonic()
                try:
                    self._latest = await self._look(client)
                except Exception:  # no thread left to ask in, for instance
                    self._latest = None
                    log.exception("A look at the API failed", extra={"action": "look_failed"})
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(began + self._every - self._monotonic()):
                        await self._woken.wait()
                self._woken.clear()

    async def _look_once(self) -> _Look:
        async with self._client() as client:
            return await self._look(client)

    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(timeout=self._within, headers={"User-Agent": "alpimonitor-watchdog"})

    async def _look(self, client: httpx.AsyncClient) -> _Look:
        began = self._monotonic()
        health, told = await asyncio.gather(
            asyncio.gather(*(self._ask_health(client, expected) for expected in self._health)),
            self._ask_ingestion(client),
        )
        return _Look(began, (*health, *told.health), told.ingestion, told.deployment)

    async def _ask_health(self, client: httpx.AsyncClient, expected: Expected) -> HealthSeen:
        try:
            return answers.health(expected, await self._answer(client, expected))
        except Malformed as error:
            return HealthSeen(expected.url, ok=False, detail=str(error))

    async def _ask_ingestion(self, client: httpx.AsyncClient) -> _Told:
        """The last run, and whether it could be asked for: where it is told is a health address, too."""
        source = self._ingestion
        if source is None:
            return _Told()
        name = _QUERY if isinstance(source, IngestionQuery) else source.url
        deployment: str | None = None
        try:
            if isinstance(source, IngestionQuery):
                ingestion = await asyncio.to_thread(source.look)
            else:
                answer = await self._answer(client, source)
                deployment = answers.deployment(answer)
                ingestion = answers.ingestion(answer, source.steps)
        except Malformed as error:
            return _Told((HealthSeen(name, ok=False, detail=str(error)),), None, deployment)
        return _Told((HealthSeen(name, ok=True),), ingestion, deployment)

    async def _answer(self, client: httpx.AsyncClient, asked: Expected | IngestionAddress) -> Answer:
        """The whole answer. Raises Malformed, which says why there is none.

        A token goes to this address alone: the headers are this request's, and no redirect is followed.
        """
        headers = {"Authorization": f"Bearer {asked.token.get_secret_value()}"} if asked.token else None
        try:
            async with (
                asyncio.timeout(self._within),
                client.stream("GET", asked.url, headers=headers) as response,
            ):
                body = b""
                async for piece in response.aiter_bytes():
                    body += piece
                    if len(body) > _LARGEST:
                        raise Malformed(f"answered more than {_LARGEST} bytes")
                own = self._utc() if self._utc else None
                at = answers.clock(response.headers.get("Date"), own)
                return Answer(response.status_code, body, at)
        except (TimeoutError, httpx.TimeoutException):
            raise Malformed(f"no whole answer within {self._within:g} s") from None
        except Malformed:
            raise
        except Exception as error:
            # Whatever it is, somebody who asks the same gets no answer, either.
            raise Malformed(f"cannot be asked: {error or type(error).__name__}") from None
