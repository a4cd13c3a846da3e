"""Wakes a thread that waits for a connection's descriptor and for us at once."""

from __future__ import annotations

import contextlib
import select
import socket


class Bell:
    """`wait` belongs to one thread, `ring` to any, `close` to whoever knows that nobody waits any more."""

    def __init__(self) -> None:
        self._waiting, self._ringing = socket.socketpair()
        self._waiting.setblocking(False)
        self._ringing.setblocking(False)

    def ring(self) -> None:
        """End the wait that goes on, or the next one."""
        with contextlib.suppress(OSError):  # it has been rung often, or is closed
            self._ringing.send(b"\0")

    def wait(self, seconds: float, fileno: int | None) -> None:
        """Until it rings, until `fileno` can be read from or has ended, at most `seconds`."""
        polling = select.poll()  # needs no descriptor of its own: there may be none left
        polling.register(self._waiting, select.POLLIN)
        if fileno is not None and fileno >= 0:
            polling.register(fileno, select.POLLIN)
        polling.poll(seconds * 1000)
        with contextlib.suppress(BlockingIOError):
            while self._waiting.recv(64):
                pass

    def close(self) -> None:
        self._ringing.close()
        self._waiting.close()
