"""Work that may hang, done in a thread of its own and waited for only so long."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Result = TypeVar("Result")


class Late(Exception):
    """The work did not end in time. It was told to give up, and may still be at it."""


class Bounded(Generic[Result]):
    """One piece of work, done again and again and never twice at once. Belongs to one thread."""

    def __init__(
        self, work: Callable[[], Result], give_up: Callable[[], None], *, within: float, name: str
    ) -> None:
        """`give_up`, called from the waiting thread, makes a hanging `work` end soon. `within` in seconds."""
        self._work = work
        self._give_up = give_up
        self.within = within
        self._name = name
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()
        self._abandoned = False
        self._busy = False
        self._result: Result | None = None
        self._error: Exception | None = None

    def run(self) -> Result:
        """What the work returns, begun now unless it is still at it. Raises Late, or what that raises."""
        if not self._busy:  # its thread may still be ending, when the work itself has ended
            self._ended = ended = threading.Event()
            # A daemon: what hangs in the operating system must not hold up the end of the process.
            thread = threading.Thread(target=self._do, args=(ended,), name=self._name, daemon=True)
            self._busy = True
            try:
                thread.start()
            except RuntimeError:
                self._busy = False
                raise
            self._thread = thread
        self._ended.wait(0.0 if self._abandoned else self.within)
        if self._abandoned or not self._ended.is_set():
            self._give_up()
            raise Late
        if self._error is not None:
            raise self._error
        return self._result  # type: ignore[return-value]  # the work ended without an error

    @property
    def busy(self) -> bool:
        """Whether the work is still at it, though nobody may wait for it any more."""
        return self._busy

    def abandon(self) -> None:
        """From any thread: nobody waits any more, now or later."""
        self._abandoned = True
        self._ended.set()

    def stop(self) -> None:
        """Let the work end, at the latest after `within`; at once when it was abandoned."""
        if self._thread is not None and self._thread.is_alive():
            self._give_up()
            self._thread.join(0.0 if self._abandoned else self.within)

    def _do(self, ended: threading.Event) -> None:
        self._result, self._error = None, None
        try:
            self._result = self._work()
        except Exception as error:
            self._error = error
        finally:
            self._busy = False
            ended.set()
