"""What is done to a sidecar from outside, before it starts: boundaries are watched, or the clock is wrong.

Nothing of the sidecar knows of this. Its own functions are wrapped by name in the process that is about to
run it, so a name that is gone ends that process at once, and the test with it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import wraps
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.warm_start import Harm


def inflict(harm: Harm) -> None:
    """Do to this process what `harm` says."""
    if harm.trace:
        _watch_boundaries(Crossings(Path(harm.trace), harm.fatal))
    if harm.clock:
        _bend_clock(Path(harm.clock))


class Crossings:
    """Writes a line for each crossing, "save: opened, before commit #1", and dies at the fatal one."""

    def __init__(self, trace: Path, fatal: str) -> None:
        self._file = os.open(trace, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._fatal = fatal
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def cross(self, boundary: str) -> None:
        with self._lock:
            self._counts[boundary] += 1
            crossing = f"{boundary} #{self._counts[boundary]}"
            os.write(self._file, f"{crossing}\n".encode())
            if crossing == self._fatal:
                os.kill(os.getpid(), signal.SIGKILL)


def _watch_boundaries(crossings: Crossings) -> None:
    """Transactions under the name of whoever makes them, sending, the ledger, the healer's programs."""
    from alpimonitor_watchdog.heal.command import CommandHealer
    from alpimonitor_watchdog.leadership.leader import Leadership
    from alpimonitor_watchdog.notify.channel import Channel
    from alpimonitor_watchdog.store.connection import Connection
    from alpimonitor_watchdog.store.outbox import Outbox
    from alpimonitor_watchdog.store.store import Store

    writing = threading.local()

    def named(owner: type, method: str, name: Callable[..., str]) -> None:
        """Let the transaction that `method` makes go by `name`, which is given the method's arguments."""
        original = getattr(owner, method)

        @wraps(original)
        def wrapped(self: Any, *given: Any, **named: Any) -> Any:
            writing.name = name(*given)
            try:
                return original(self, *given, **named)
            finally:
                writing.name = None

        setattr(owner, method, wrapped)

    def around(owner: type, method: str, name: Callable[..., str]) -> None:
        original = getattr(owner, method)

        @wraps(original)
        def wrapped(self: Any, *given: Any) -> Any:
            crossings.cross(f"{name(*given)}, begin")
            try:
                return original(self, *given)
            finally:
                crossings.cross(f"{name(*given)}, end")

        setattr(owner, method, wrapped)

    original = Connection.transaction

    @contextlib.contextmanager
    def transaction(self: Connection) -> Iterator[Any]:
        name = getattr(writing, "name", None)
        with original(self) as sqlite:
            yield sqlite
            if name:
                crossings.cross(f"{name}, before commit")
        if name:
            crossings.cross(f"{name}, committed")

    Connection.transaction = transaction  # type: ignore[method-assign]
    named(Store, "save", _of_save)
    named(Store, "finish_heal", lambda *_: "finish_heal: outcome")
    named(Store, "note", lambda *given: f"note: {given[2]}")
    named(Outbox, "delivered", lambda queued, _at: f"delivered: {queued.kind}")
    around(Channel, "send", lambda parcel: f"send: {parcel.severity}")
    around(Leadership, "reserve", lambda *_: "reserve: in the database")
    around(Leadership, "finish", lambda *_: "finish: in the database")
    around(CommandHealer, "plan", lambda: "plan: program")
    around(CommandHealer, "heal", lambda _id: "heal: program")
    around(CommandHealer, "after", lambda: "after: programs")


def _of_save(decision: Any, _at: Any, outgoing: Any = ()) -> str:
    """What a save is for: its changes of phase, and what is done once it is committed."""
    phases = [str(change.after) for change in decision.transitions]
    effects = [type(effect).__name__ for effect in decision.effects]
    return f"save: {' '.join([*phases, *sorted(set(effects))]) or 'state'}"


def _bend_clock(file: Path) -> None:
    """A wall clock that is wrong by the seconds in `file`, for the sidecar and for `schedule`."""
    import schedule

    from alpimonitor_watchdog import service

    def wrong_by() -> timedelta:
        try:
            return timedelta(seconds=float(file.read_text() or 0))
        except FileNotFoundError:
            return timedelta()

    class Bent(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.now(tz) + wrong_by()  # noqa: TID251 - this is the clock

    service.CLOCK = replace(service.CLOCK, utc=lambda: Bent.now(UTC))
    vars(schedule)["datetime"] = SimpleNamespace(datetime=Bent, timedelta=timedelta)
