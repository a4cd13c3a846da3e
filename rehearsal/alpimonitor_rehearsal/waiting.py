"""The one place where a rehearsal or a test polls: until something holds, and never beyond a deadline."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

Seen = TypeVar("Seen")


class DeadlineExceeded(TimeoutError):
    """What was waited for did not happen in time. The message names it, and what was seen last."""


def wait_until(
    what: str,
    look: Callable[[], Seen | None],
    *,
    deadline: float,
    every: float = 0.01,
) -> Seen:
    """Return the first truthy answer of `look`, asked every `every` seconds.

    `what` completes the sentence "… did not happen". `deadline` is in seconds from now, by the monotonic
    clock; `look` is asked at least once, and once more when the deadline has passed. Raises DeadlineExceeded;
    whatever `look` raises passes through.
    """
    never = threading.Event()
    ends = time.monotonic() + deadline
    while True:
        last_try = time.monotonic() >= ends
        seen = look()
        if seen:
            return seen
        if last_try:
            raise DeadlineExceeded(f"{what} did not happen within {deadline:g} s; last seen: {seen!r}")
        never.wait(every)
