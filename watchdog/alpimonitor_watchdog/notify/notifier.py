"""The workers that bring what waits in the outbox to its channels."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from ..store import Outbox, Queued, StoreError
from .attempt import DEADLINE, Attempt, late
from .channel import Channel, Parcel, Sends, Undeclared

log = logging.getLogger(__name__)
HANGING_AT_MOST = 4  # abandoned attempts a channel; beyond, it waits for one of them to end


@dataclass(frozen=True)
class Persistence:
    """How long a notification is tried. Durations in seconds.

    It is given up only when it is both old and often tried: neither a night's outage of its target nor a
    long stop of the sidecar, nor a wall clock set forward, may cost it.
    """

    first: float = 1.0  # before the second attempt; doubles
    longest: float = 60.0
    deadline: float = DEADLINE  # an attempt is waited for
    patience: float = 60.0  # an attempt that hangs may still end well; then another is begun
    give_up_age: timedelta = timedelta(hours=24)
    give_up_tries: int = 100


class Meter(Protocol):
    """Counts what becomes of notifications."""

    def delivered(self, channel: str) -> None: ...
    def delivery_failed(self, channel: str) -> None: ...
    def given_up(self, channel: str) -> None: ...
    def queued(self, length: int) -> None: ...


class ChannelWorker:
    """Drains one channel: its notifications in order for each incident, the incidents beside each other."""

    def __init__(
        self,
        name: str,
        channel: Sends,
        outbox: Outbox,
        *,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
        meter: Meter,
        persistence: Persistence,
    ) -> None:
        self.name = name
        self._channel = channel
        self._outbox = outbox
        self._clock = clock
        self._monotonic = monotonic
        self._meter = meter
        self._persistence = persistence
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=f"notify-{name}", daemon=True)
        self._tries: dict[str, int] = {}
        self._due: dict[str, float] = {}
        self._running: dict[str, Attempt] = {}
        self._abandoned: list[Attempt] = []

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        self._wake.set()

    def stop(self) -> None:
        """Deliver what is due, once more, and end."""
        self._stopping = True
        self._wake.set()

    def join(self, seconds: float) -> None:
        self._thread.join(max(0.0, seconds))

    def drain(self) -> float | None:
        """Send what is due. Returns the seconds until more is; None when nothing waits. Raises StoreError."""
        while True:
            waiting = self._outbox.pending(self.name)
            self._forget_others({queued.key for queued in waiting})
            now = self._monotonic()
            due = [queued for queued in waiting if self._due.get(queued.key, now) <= now]
            if not due:
                return min((self._due[queued.key] - now for queued in waiting), default=None)
            for queued in due:
                self._try(queued)

    def _run(self) -> None:
        while True:
            self._wake.clear()
            stopping = self._stopping
            try:
                wait = self.drain()
                self._meter.queued(self._outbox.queue_length())
            except StoreError as error:
                log.error("Channel %s: %s", self.name, error, extra={"action": "outbox_unreadable"})
                wait = self._persistence.longest
            except Exception:
                log.exception("Channel %s: a pass failed", self.name, extra={"action": "drain_failed"})
                wait = self._persistence.longest
            if stopping:
                return
            self._wake.wait(wait)

    def _try(self, queued: Queued) -> None:
        error = self._attempt(queued)
        at = self._clock()
        what = f"{queued.kind} of incident {queued.incident} to {self.name}"
        extra = {"channel": self.name, "incident": queued.incident, "kind": queued.kind.value}
        if not error:
            self._meter.delivered(self.name)
            log.info("Notified: %s", what, extra={"action": "notification_delivered", **extra})
            self._record(lambda: self._outbox.delivered(queued, at))
            return
        self._meter.delivery_failed(self.name)
        tries = max(self._tries.get(queued.key, 0), queued.attempts) + 1
        old = at - queued.created_at >= self._persistence.give_up_age
        if old and tries >= self._persistence.give_up_tries:
            self._meter.given_up(self.name)
            log.error(
                "Gave up: %s, after %d attempts: %s",
                what,
                tries,
                error,
                extra={"action": "notification_given_up", **extra},
            )
            self._record(lambda: self._outbox.dead(queued, at, error))
            return
        wait = min(self._persistence.first * 2.0 ** min(tries - 1, 30), self._persistence.longest)
        self._tries[queued.key] = tries
        self._due[queued.key] = self._monotonic() + wait
        log.warning(
            "Not notified yet: %s: %s. Attempt %d, the next in %.0f s.",
            what,
            error,
            tries,
            wait,
            extra={"action": "notification_failing", **extra},
        )
        self._record(lambda: self._outbox.failed(queued, at, error))

    def _attempt(self, queued: Queued) -> str:
        """Begin an attempt, or go on waiting for the last one: "" or why the message has not arrived."""
        attempt = self._running.pop(queued.key, None)
        if attempt is not None and attempt.hangs and self._age(attempt) >= self._persistence.patience:
            self._abandoned.append(attempt)
            attempt = None
        if attempt is None:
            self._abandoned = [each for each in self._abandoned if each.hangs]
            if len(self._abandoned) >= HANGING_AT_MOST:
                return f"{len(self._abandoned)} earlier attempts still hang"
            parcel = Parcel(queued.message, queued.severity, queued.key)
            attempt = Attempt(self._channel, parcel, self._monotonic())
        if attempt.wait(self._persistence.deadline):
            return attempt.error
        self._running[queued.key] = attempt
        return late(self._persistence.deadline)

    def _age(self, attempt: Attempt) -> float:
        return self._monotonic() - attempt.began

    def _record(self, write: Callable[[], None]) -> None:
        """What the store cannot take now the outbox remembers, and writes with its next change."""
        try:
            write()
        except StoreError as error:
            log.error("Channel %s: %s", self.name, error, extra={"action": "outbox_unwritable"})

    def _forget_others(self, waiting: set[str]) -> None:
        for memory in (self._tries, self._due, self._running):
            for key in memory.keys() - waiting:
                memory.pop(key)


class Notifier:
    """One worker a channel, so that a target that hangs delays no other."""

    def __init__(
        self,
        channels: Sequence[Channel],
        outbox: Outbox,
        *,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
        meter: Meter,
        persistence: Persistence | None = None,
    ) -> None:
        """Raises StoreError when the outbox cannot be read."""
        targets: dict[str, Sends] = {channel.name: channel for channel in channels}
        for name, count in outbox.counts().items():
            if count["queued"] and name not in targets:
                targets[name] = Undeclared(name)
        self._workers = [
            ChannelWorker(
                name,
                channel,
                outbox,
                clock=clock,
                monotonic=monotonic,
                meter=meter,
                persistence=persistence or Persistence(),
            )
            for name, channel in targets.items()
        ]
        self._monotonic = monotonic

    def start(self) -> None:
        """Begin with what an earlier process left behind."""
        for worker in self._workers:
            worker.start()

    def wake(self) -> None:
        """Something was saved: look now."""
        for worker in self._workers:
            worker.wake()

    def stop(self, deadline: float) -> None:
        """Deliver what is due, for at most `deadline` seconds; the rest stays in the outbox."""
        for worker in self._workers:
            worker.stop()
        end = self._monotonic() + deadline
        for worker in self._workers:
            worker.join(end - self._monotonic())
