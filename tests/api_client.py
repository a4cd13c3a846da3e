"""The application in this process, asked as over HTTP: no socket, but the same middleware and lifespan."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, SecretStr

from alpimonitor_api.app import create_app
from alpimonitor_api.services import Background
from alpimonitor_api.settings import Settings

NOW = datetime(2026, 4, 21, 12, 0, tzinfo=UTC)
BASE = "/api/v1"
NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"

Shape = TypeVar("Shape", bound=BaseModel)
Result = TypeVar("Result")


def settings_for(url: str, **changed: Any) -> Settings:
    """As a server's; the rate limit is out of the way unless `changed` names it."""
    return Settings(
        database_url=SecretStr(url), ingestion_enabled=False, **{"rate_limit": 1_000_000, **changed}
    )


class Client:
    """Asks one running application; its connections live as long as it does."""

    def __init__(self, runner: asyncio.Runner, http: httpx.AsyncClient) -> None:
        self._runner = runner
        self._http = http

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        """`path` below /api/v1, or anywhere when it begins with //."""
        return self._runner.run(self._http.request(method, _address(path), **options))

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.ask("GET", path, **options)

    def run(self, asking: Callable[[httpx.AsyncClient], Awaitable[Result]]) -> Result:
        """What several requests need that overlap in a way of their own; their addresses are whole."""

        async def asked() -> Result:
            return await asking(self._http)

        return self._runner.run(asked())

    def together(self, *paths: str) -> list[httpx.Response]:
        """All at once; answers in the order of the paths."""

        async def gathered() -> list[httpx.Response]:
            return await asyncio.gather(*(self._http.get(_address(path)) for path in paths))

        return self._runner.run(gathered())


def _address(path: str) -> str:
    return path.removeprefix("/") if path.startswith("//") else BASE + path


@contextlib.contextmanager
def serving(
    url: str,
    *,
    clock: Callable[[], datetime] = lambda: NOW,
    monotonic: Callable[[], float] = time.monotonic,
    background: Background | None = None,
    peer: str = "127.0.0.1",
    **settings: Any,
) -> Iterator[Client]:
    """`peer` is the address that the requests come from."""
    app = create_app(
        settings_for(url, **settings), clock=clock, uptime_clock=monotonic, background=background
    )
    with asyncio.Runner() as runner:
        lifespan = app.router.lifespan_context(app)
        transport = httpx.ASGITransport(app, client=(peer, 51234))
        http = httpx.AsyncClient(transport=transport, base_url="http://api.test")
        runner.run(lifespan.__aenter__())
        try:
            yield Client(runner, http)
        finally:
            runner.run(http.aclose())
            runner.run(lifespan.__aexit__(None, None, None))


def shaped(shape: type[Shape], answer: httpx.Response) -> Shape:
    """The answer as its shape, in which nothing is missing and nothing is beside it."""
    return shape.model_validate_json(answer.content, extra="forbid")


def error_of(answer: httpx.Response) -> dict[str, Any]:
    """The inside of an error's envelope, which holds nothing else."""
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert body.keys() == {"error"}
    assert body["error"].keys() <= {"code", "message", "details"}
    return dict(body["error"])
