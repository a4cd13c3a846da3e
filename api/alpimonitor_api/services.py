"""What the routes need beside the request: made once by the application, never a module global."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, cast

from fastapi import Request

from alpimonitor_api.auth import Tokens
from alpimonitor_api.database import Access, Database
from alpimonitor_api.metrics import Metrics
from alpimonitor_api.settings import Settings

HISTORY_TIMEOUT_SECONDS = 20.0
"""Thirty years of one station are several million measurements: that takes longer than other answers may."""

HISTORY_CONNECTIONS = 2
CHANGES_CONNECTIONS = 2


class Background(Protocol):
    """Something that runs beside the answers, in a thread of its own, as the ingestion schedule does."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


@dataclass(frozen=True)
class Lanes:
    """Connections kept apart, so that a rush on one kind of answer leaves the others theirs."""

    answers: Database
    history: Database  # may be slow
    health: Database  # must say what the database does, not how busy the API is
    changes: Database  # may wait for their turn

    def each(self) -> tuple[Database, ...]:
        return (self.answers, self.history, self.health, self.changes)

    async def close(self) -> None:
        for lane in self.each():
            await lane.close()


@dataclass(frozen=True)
class Services:
    settings: Settings
    lanes: Lanes
    version: str
    clock: Callable[[], datetime]  # aware UTC
    uptime: Callable[[], float]  # seconds since the start, monotonic
    tokens: Tokens
    metrics: Metrics


def lanes_for(settings: Settings, *, application_name: str) -> Lanes:
    access = Access(
        url=settings.database_url.get_secret_value(),
        application_name=application_name,
        transaction_pooler=settings.database_transaction_pooler,
        connect_timeout=settings.database_timeout_seconds,
    )
    return Lanes(
        answers=Database(access, size=settings.database_pool_size, name="answers"),
        history=Database(access, size=HISTORY_CONNECTIONS, name="history"),
        health=Database(access, size=1, name="health"),
        changes=Database(access, size=CHANGES_CONNECTIONS, name="changes"),
    )


def services(request: Request) -> Services:
    return cast(Services, request.app.state.services)
