"""Where operators' acts wait for the loop, and their callers for an answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from ..core.acts import Act, Answer


class Desk:
    """Between the web surface and the loop; every method may be called by any thread.

    An act is handed to the loop once. It is answered, or withdrawn before the loop took it, or its caller is
    left without an answer: then the loop may still carry it out.
    """

    def __init__(self, on_submit: Callable[[], None]) -> None:
        """`on_submit` wakes the loop, so that an act takes effect at once."""
        self._on_submit = on_submit
        self._lock = threading.Lock()
        self._waiting: dict[str, Act] = {}
        self._callers: dict[str, Future[Answer]] = {}

    def submit(self, act: Act) -> Future[Answer]:
        """Lay `act` before the loop; the future holds its answer once the loop has saved what came of it."""
        answered: Future[Answer] = Future()
        # From here on it cannot be cancelled: a caller who goes away takes nothing back by that.
        answered.set_running_or_notify_cancel()
        with self._lock:
            self._waiting[act.id] = act
            self._callers[act.id] = answered
        self._on_submit()
        return answered

    def withdraw(self, act: Act) -> bool:
        """Take `act` back; False when the loop has taken it, and may carry it out."""
        with self._lock:
            waited = self._waiting.pop(act.id, None) is not None
            if waited:
                del self._callers[act.id]
        return waited

    def take(self) -> tuple[Act, ...]:
        """All that waits, in the order in which it came. Each act is taken once."""
        with self._lock:
            taken = tuple(self._waiting.values())
            self._waiting.clear()
        return taken

    def answer(self, answers: Sequence[Answer]) -> None:
        """Tell each caller what became of the act."""
        for answer in answers:
            with self._lock:
                caller = self._callers.pop(answer.act.id, None)
            if caller is not None:
                caller.set_result(answer)
