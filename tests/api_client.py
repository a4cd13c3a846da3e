"""The application in this process, asked as over HTTP: no socket, but the same middleware and lifespan."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
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


def settings_for(url: str, **changed: Any) -> Settings:
    return Settings(database_url=SecretStr(url), ingestion_enabled=False, **changed)


class Client:
    """Asks one running application; its connections live as long as it does."""

    def __init__(self, runner: asyncio.Runner, http: httpx.AsyncClient) -> None:
        self._runner = runner
        self._http = http

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        """`path` below /api/v1, or anywhere when it begins with //."""
        address = path.removeprefix("/") if path.startswith("//") else BASE + path
        return self._runner.run(self._http.request(method, address, **options))

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.ask("GET", path, **options)

    def together(self, *paths: str) -> list[httpx.Response]:
        """All at once; answers in the order of the paths."""

        async def gathered() -> list[httpx.Response]:
            return await asyncio.gather(*(self._http.get(BASE + path) for path in paths))

        return self._runner.run(gathered())


@contextlib.contextmanager
def serving(
    url: str,
    *,
    clock: Callable[[], datetime] = lambda: NOW,
    background: Background | None = None,
    **settings: Any,
) -> Iterator[Client]:
    app = create_app(settings_for(url, **settings), clock=clock, background=background)
    with asyncio.Runner() as runner:
        lifespan = app.router.lifespan_context(app)
        http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api.test")
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
