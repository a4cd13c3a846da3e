"""Listener: wakes the loop as soon as the flight recorder says that something was destroyed.

What is heard is a hint and nothing more: anybody who may connect can send the same. It wakes the loop, which
reads the events and counts the rows, so that a forged notification costs a look and proves nothing. What
is missed while nobody listens is no loss either: the loop is woken once whenever listening begins.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import psycopg

from ..leadership.bell import Bell
from ..probe.link import Link, Unseeable, unseen

log = logging.getLogger(__name__)
CHANNEL = "flight_recorder"
_STATEMENT_SECONDS = 2.0
_AT_MOST_EVERY = 0.05  # seconds between two wakes, however many notifications come
_FIRST_PAUSE = 0.1  # seconds before connecting again; doubles
_LONGEST_PAUSE = 5.0
_PAUSE_ON_A_STANDBY = 30.0  # which cannot listen until it is promoted
_NO_TIMEOUT = "SELECT set_config('idle_session_timeout', '0', false)"  # it waits, for days
_LISTEN = f"LISTEN {CHANNEL}"


class Listener:
    """A connection and a thread of its own. `start` and `stop` belong to one thread."""

    def __init__(
        self,
        url: str,
        wake: Callable[[], None],
        *,
        application_name: str,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`wake` is called from the listener's thread, at most twenty times a second; it must not block."""
        self._link = Link(url, timeout=_STATEMENT_SECONDS, application_name=application_name)
        self._wake = wake
        self._monotonic = monotonic
        self._bell: Bell | None = None  # from its start
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._listening = False
        self._tried = threading.Event()
        self._said = ""

    @property
    def listening(self) -> bool:
        """Whether a notification would be heard now, as far as the connection is what it seems to be."""
        return self._listening

    def is_listening(self, within: float = 2.0) -> bool:
        """`listening`, once the first try has ended; waits for that at most `within` seconds."""
        self._tried.wait(within)
        return self._listening

    def start(self) -> None:
        """Begin to listen; returns at once."""
        self._bell = Bell()
        # A daemon: what hangs in the operating system must not hold up the end of the process.
        self._thread = threading.Thread(target=self._run, args=(self._bell,), name="listener", daemon=True)
        self._thread.start()

    def stop(self, within: float = 0.2) -> None:
        """Listen no more; waits at most `within` seconds."""
        self._stopping = True
        self._link.sever()
        if self._bell is not None and self._thread is not None:
            self._bell.ring()
            self._thread.join(within)

    def _run(self, bell: Bell) -> None:
        try:
            self._go_on_listening(bell)
        finally:
            bell.close()

    def _go_on_listening(self, bell: Bell) -> None:
        pause = _FIRST_PAUSE
        while not self._stopping:
            began = self._monotonic()
            try:
                self._listen(bell)
            except Unseeable as error:
                self._say(error.detail)
            except psycopg.errors.ReadOnlySqlTransaction:
                pause = _PAUSE_ON_A_STANDBY
                self._say(f"{self._link.place} is a standby, where nobody can listen")
            except psycopg.Error as error:
                self._say(f"{self._link.place}: {unseen(error)[1]}")
            except Exception:
                log.exception("Listening failed", extra={"action": "listen_failed"})
            finally:
                self._listening = False
                self._tried.set()
                self._link.drop()
            if self._monotonic() - began > _LONGEST_PAUSE:
                pause = _FIRST_PAUSE  # it listened for a while: what ended it is no reason to hold back
            if not self._stopping:
                bell.wait(pause, None)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _listen(self, bell: Bell) -> None:
        """Until the connection ends, or `stop`. Raises Unseeable or psycopg.Error."""
        connection = self._link.open()
        connection.execute(_NO_TIMEOUT)
        connection.execute(_LISTEN)
        self._listening, self._said = True, ""
        self._tried.set()
        log.info("Listening for the flight recorder.", extra={"action": "listening"})
        self._wake()  # for what was recorded while nobody listened
        while not self._stopping:
            bell.wait(_LONGEST_PAUSE, connection.fileno())
            if _heard(connection.pgconn):
                self._wake()
                bell.wait(_AT_MOST_EVERY, None)

    def _say(self, why: str) -> None:
        """Once for each reason: it is tried again every few seconds."""
        if why != self._said and not self._stopping:
            log.warning(
                "Not listening, losses are noticed by looking only: %s",
                why,
                extra={"action": "not_listening"},
            )
        self._said = why


def _heard(connection: psycopg.pq.abc.PGconn) -> bool:
    """Whether anything was sent since the last time. Raises psycopg.OperationalError when it has ended."""
    connection.consume_input()
    heard = False
    while connection.notifies() is not None:
        heard = True
    return heard
