"""Measures readiness again and again in a thread of its own, so that no tick waits for it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from .readiness import Readiness

log = logging.getLogger(__name__)


class ReadinessWatch:
    """`start` and `stop` belong to one thread; `measure` and `publish` are called from the watch's own."""

    def __init__(
        self,
        measure: Callable[[], Readiness],
        publish: Callable[[Readiness], None],
        every: float = 300.0,
    ) -> None:
        """`every` in seconds, from the end of one measurement to the next; the first is made at once."""
        self._measure = measure
        self._publish = publish
        self._every = every
        self._stopping = threading.Event()
        self._gaps: frozenset[str] | None = None
        # A daemon: what hangs in the operating system must not hold up the end of the process.
        self._thread = threading.Thread(target=self._run, name="readiness", daemon=True)

    def start(self) -> None:
        """Returns at once."""
        self._thread.start()

    def stop(self, deadline: float = 0.2) -> None:
        """Begin no other measurement; wait at most `deadline` seconds for the one in progress."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(deadline)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                readiness = self._measure()
                self._publish(readiness)
                self._say(readiness)
            except Exception:
                log.exception("Readiness was not measured", extra={"action": "readiness_failed"})
            self._stopping.wait(self._every)

    def _say(self, readiness: Readiness) -> None:
        """One line when something changed, not one every few minutes."""
        gaps = frozenset(item.subject for item in readiness.items if item.costs)
        if readiness.unseen or gaps == self._gaps:
            return
        self._gaps = gaps
        named = f"; not: {', '.join(sorted(gaps))}. See: alpimonitor watchdog check" if gaps else ""
        log.log(
            logging.WARNING if gaps else logging.INFO,
            "Attribution readiness: %s%s",
            readiness,
            named,
            extra={"action": "readiness", "ratio": readiness.ratio},
        )
