"""Waiting for what runs beside, for so long and no longer."""

from __future__ import annotations

import asyncio
from typing import Any


async def ended(task: asyncio.Task[Any], *, within: float) -> None:
    """Wait until the task has ended, at most `within` seconds, and leave it alone: see `task.done()`.

    Not wait_for: that waits for the cancellation too, which a silent server never confirms. Nor asyncio.wait,
    which does this for any number of tasks and costs an eighth of a statement, at every answer.
    """
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()

    def end(*_: object) -> None:
        if not over.done():
            over.set_result(None)

    task.add_done_callback(end)
    timer = loop.call_later(within, end)
    try:
        await over
    finally:
        timer.cancel()
