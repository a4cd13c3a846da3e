"""Where the loop pins its last view, and how long it has been there."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from .view import View


class Clock(Protocol):
    """Aware UTC for people, monotonic seconds for durations."""

    @property
    def utc(self) -> Callable[[], datetime]: ...
    @property
    def monotonic(self) -> Callable[[], float]: ...


class Board:
    """Written by the loop, read by the web surface; neither waits for the other."""

    def __init__(self, monotonic: Callable[[], float], *, stale_after: float) -> None:
        """`stale_after`: seconds without a tick after which the loop counts as dead."""
        self.stale_after = stale_after
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._view: View | None = None
        self._since = monotonic()
        self._saw_database = False

    def pin(self, view: View) -> None:
        observation = view.observation
        seen = observation is not None and observation.database.unseen is None
        with self._lock:
            self._view = view
            self._since = self._monotonic()
            self._saw_database = self._saw_database or seen

    def read(self) -> tuple[View | None, float]:
        """The last view, and its age in seconds; without one, the seconds since the start."""
        with self._lock:
            return self._view, self._monotonic() - self._since

    def alive(self) -> bool:
        """Whether the loop ticks. Depends on no database and no heal."""
        return self.read()[1] <= self.stale_after

    def why_not_ready(self) -> str:
        """Why the sidecar cannot do its work yet, or any more; "" when it can."""
        view, _ = self.read()
        if view is None:
            return "no tick yet"
        if not self._saw_database:
            return "the guarded database has not been seen yet"
        return view.store_error
