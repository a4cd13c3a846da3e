"""How many may use a lane of connections at once, and how many wait for that."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Usage:
    """One lane in numbers: of connections, of requests that wait for one, and of failures since the start."""

    lane: str
    size: int  # the most connections at once
    in_use: int
    idle: int
    waiting: int
    failures: Mapping[str, int]  # by reason


class Slots(asyncio.Semaphore):
    """A semaphore that tells how it is used. Invariant: 0 <= taken <= size."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size
        self.taken = 0
        self.waiting = 0

    async def acquire(self) -> Literal[True]:
        self.waiting += 1
        try:
            await super().acquire()
        finally:
            self.waiting -= 1
        self.taken += 1
        return True

    def release(self) -> None:
        self.taken -= 1
        super().release()
