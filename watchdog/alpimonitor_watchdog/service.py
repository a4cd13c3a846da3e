"""The sidecar as a whole: builds its parts from the settings, runs the loop, stops within a second."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path

from .core.messages import About
from .heal.child import Child, child_environment
from .heal.command import Command, CommandHealer, shown
from .heal.worker import HealWorker
from .leadership import Leadership
from .loop import Clock, Loop, Task, run, seconds_to_next
from .metrics import Metrics
from .notify import Channel, Notifier
from .probe import link
from .probe.observe import DatabaseProbe
from .probe.outside import OutsideProbe
from .recorder.listener import Listener
from .recorder.readiness_look import measure
from .recorder.readiness_watch import ReadinessWatch
from .settings import Settings
from .store import Store
from .web.access_token import Token, TokenError, kept_token
from .web.actions import Operators
from .web.desk import Desk
from .web.server import WebServer

log = logging.getLogger(__name__)
VERSION = version("alpimonitor")
CLOCK = Clock(utc=lambda: datetime.now(UTC), monotonic=time.monotonic)  # noqa: TID251 - the composition root
# A lease goes on while this machine sleeps, and Linux's monotonic clock does not.
LEASE_CLOCK: Callable[[], float] = (
    partial(time.clock_gettime, time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else CLOCK.monotonic
)
_WORKER_STOPS_WITHIN = 0.2  # seconds; its child is killed first
_NOTIFIER_STOPS_WITHIN = 0.2  # seconds; what it could not deliver waits in the outbox


def application_name(part: str = "") -> str:
    """What PostgreSQL shows of the sidecar's session; `part`: of one beside that which looks."""
    return link.application_name(VERSION, socket.gethostname(), os.getpid(), part)


class Service:
    """Everything that runs in one sidecar. `run` belongs to one thread, `stop` to any other."""

    def __init__(self, settings: Settings, environ: Mapping[str, str]) -> None:
        """Raises StoreError, ChannelError; nothing is left running then."""
        self._settings = settings
        self._wake = threading.Event()
        self._stopping = False
        channels = [Channel(channel.name, channel.url.get_secret_value()) for channel in settings.channels]
        self._store = Store.open(
            settings.state_dir, CLOCK.utc(), {channel.name: channel.tags for channel in settings.channels}
        )
        policy = settings.core_policy()
        self._metrics = Metrics(
            channels=[channel.name for channel in channels],
            healers=[policy.healer] if policy.healer else [],
            version=VERSION,
            context=[table.name for table in settings.tables if table.kind == "context"],
        )
        self._notifier = Notifier(
            channels, self._store.outbox, clock=CLOCK.utc, monotonic=CLOCK.monotonic, meter=self._metrics
        )
        self._child = Child(environment_of_programs(settings, environ))
        command = declared_command(settings)
        self._leadership = Leadership(
            settings.database_url.get_secret_value(),
            lock_prefix=settings.lock_prefix,
            sidecar=f"{socket.gethostname()}:{settings.state_dir.resolve()}",
            application_name=application_name(),
            lease=settings.leader_lease,
            window=settings.policy.heal_window,
            on_lost=self._lead_no_more,
            monotonic=LEASE_CLOCK,
        )
        self._worker = (
            HealWorker(
                CommandHealer(command, self._child),
                self._wake.set,
                ledger=self._leadership,
                budget=settings.policy.heal_budget,
                fence=self._child,
            )
            if command
            else None
        )
        self._database = DatabaseProbe.of(settings, application_name(), self._store.load().cursor)
        self._listener = Listener(
            settings.database_url.get_secret_value(),
            self._wake.set,
            application_name=application_name("listener"),
        )
        self._readiness = ReadinessWatch(
            lambda: measure(
                settings,
                application_name=application_name("readiness"),
                listening=self._listener.is_listening,
            ),
            lambda readiness: self._metrics.readiness(readiness.ratio),
        )
        self._outside = OutsideProbe.of(settings, application_name(), CLOCK.utc)
        self._desk = Desk(self._wake.set)
        token, closed_because = _token(settings.state_dir)
        closed = [f"Actions over HTTP are off. {closed_because}"] if closed_because else []
        self._warnings = (*settings.warnings, *closed)
        operators = Operators(
            desk=self._desk,
            token=token,
            closed_because=closed_because,
            preview=self._worker.preview if self._worker else None,
            channels=channels,
            database=database_label(settings),
        )
        self._web = WebServer(
            settings.listen_host, settings.listen_port, store=self._store, metrics=self._metrics,
            operators=operators, interval=settings.policy.interval, clock=CLOCK,
            slowest_look=self._database.within,
        )  # fmt: skip
        self._command = command

    def _made_loop(self) -> Loop:
        """The loop, once the web surface has the address that notifications name. Raises StoreError."""
        settings = self._settings
        return Loop(
            Task(
                expectation=settings.expectation(),
                policy=settings.core_policy(),
                about=_about(settings, self._command, self._web.url),
                warnings=(*self._warnings, *self._store.warnings),
            ),
            clock=CLOCK,
            database=self._database,
            outside=self._outside,
            worker=self._worker,
            operators=self._desk,
            leadership=self._leadership,
            store=self._store,
            metrics=self._metrics,
            publish=self._web.publish,
            wake_notifier=self._notifier.wake,
        )

    def stop(self) -> None:
        """End `run`, from another thread: also when it waits for a database that hangs."""
        self._stopping = True
        self._database.abandon()
        self._wake.set()

    def run(self) -> None:
        """Watch until `stop`, then close everything. Raises PortTaken when the web surface has no port."""
        interval = self._settings.policy.interval
        with contextlib.ExitStack() as closing:  # in the order opposite to that of starting
            closing.callback(self._store.close)
            closing.callback(self._database.close)
            self._leadership.start()
            closing.callback(self._leadership.stop)
            self._web.start()
            closing.callback(self._web.stop)
            loop = self._made_loop()
            if self._outside:
                self._outside.start()
                closing.callback(self._outside.stop)
            self._listener.start()
            closing.callback(self._listener.stop)
            self._readiness.start()
            closing.callback(self._readiness.stop)
            self._notifier.start()
            closing.callback(self._notifier.stop, _NOTIFIER_STOPS_WITHIN)
            if self._worker:
                self._worker.start()
                closing.callback(lambda: loop.close(CLOCK.utc()))
                closing.callback(self._worker.stop, _WORKER_STOPS_WITHIN)
                closing.callback(self._child.stop)
            closing.callback(self._web.begin_to_stop)  # beside the rest: its open answers have a second
            self._say_what_begins()
            run(
                lambda: seconds_to_next(loop.tick(), interval),
                interval=interval,
                wake=self._wake,
                stopping=lambda: self._stopping,
                monotonic=CLOCK.monotonic,
            )
        log.info("Stopped.", extra={"action": "stopped"})

    def _lead_no_more(self) -> None:
        if self._worker is not None:
            self._worker.forbid("the leader lock was lost")

    def _say_what_begins(self) -> None:
        settings = self._settings
        log.info(
            "Watching %s every %g s, healing %s; status page %s",
            database_label(settings),
            settings.policy.interval,
            settings.healing.mode.value,
            self._web.url,
            extra={"action": "started"},
        )
        for warning in self._warnings:
            log.warning("%s", warning, extra={"action": "warning"})


def declared_command(settings: Settings) -> Command | None:
    """The `command` healer that the settings declare."""
    declared = settings.heal_command
    if declared is None:
        return None
    return Command(plan=declared.plan, run=declared.run, after=declared.after, deadline=declared.deadline)


def _token(directory: Path) -> tuple[Token | None, str]:
    """The token of operators, or why there is none: no reason not to watch."""
    try:
        return kept_token(directory), ""
    except TokenError as error:
        return None, str(error)


def database_label(settings: Settings) -> str:
    """`hydro@db:5432 (production)`: no user, no password."""
    place = settings.database_place
    return f"{place} ({settings.environment})" if settings.environment else place


def _about(settings: Settings, command: Command | None, page: str) -> About:
    return About(
        database=database_label(settings),
        status_url=settings.public_url or page,
        healer=command.label if command else "",
        after="; ".join(shown(argv) for argv in command.after) if command else "",
    )


def environment_of_programs(settings: Settings, environ: Mapping[str, str]) -> dict[str, str]:
    declared = settings.heal_command.environment if settings.heal_command else {}
    return child_environment(environ, settings.secret_names, declared, Path(sys.executable).parent)
