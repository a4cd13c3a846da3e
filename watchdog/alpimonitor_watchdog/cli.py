"""`alpimonitor watchdog run | check | test-notification`: composition root, signals, exit codes."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from . import actions_cli, logs
from .diagnose_cli import diagnose
from .init_cli import init
from .ledger_cli import ledger
from .notify import Channel, ChannelError, drill, send_now
from .settings import Settings, SettingsError, load
from .store import StoreError

if TYPE_CHECKING:
    from .probe.rights import Right
    from .service import Service

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, add_completion=False)
app.add_typer(actions_cli.app)
app.command()(diagnose)
app.command()(init)
app.command()(ledger)

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help="watchdog.toml; default: WATCHDOG_CONFIG, else the shipped profile."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]


class Exit(IntEnum):
    """The exit codes that the sidecar's commands use."""

    HOLDS = 0
    DOES_NOT_HOLD = 1
    SETTINGS = 2
    UNREACHABLE = 5


@app.callback()
def watchdog() -> None:
    """The sidecar: it notices lost rows, puts them back, proves it and notifies people."""


@app.command()
def run(config: ConfigOption = None) -> None:
    """Watch until SIGTERM or Ctrl-C.

    Starts with the database down, too, and says so. Exit codes: 0 stopped; 2 usage, or settings, state
    directory or port cannot be used; 130 interrupted before it began.

    \b
    Examples:
      alpimonitor watchdog run
      WATCHDOG_CONFIG=/etc/alpimonitor/watchdog.toml LOG_FORMAT=json alpimonitor watchdog run
    """
    settings = _settings(config)
    from .service import Service  # what only a running sidecar needs
    from .web.server import PortTaken

    try:
        run_until_signalled(Service(settings, os.environ))
    except (StoreError, ChannelError, PortTaken) as error:
        _fail(str(error))
    _leave_what_hangs()


def _leave_what_hangs() -> None:
    """End the process now, if a thread would keep it: everything is closed, and a name server that hangs, for
    one, cannot be told to stop."""
    if threading.active_count() > 1:  # daemons, too: Python waits for those of asyncio
        logging.shutdown()
        os._exit(Exit.HOLDS)


def run_until_signalled(service: Service) -> None:
    """Run in a thread of its own until SIGTERM or SIGINT, and stop within a second. Raises what `run` raises.

    The main thread only waits for a byte: Python writes one for each signal. Nothing else happens in a signal
    handler, so that none can meet a lock that its own thread holds.
    """
    failures: list[BaseException] = []
    waiting, writing = socket.socketpair()

    def watch() -> None:
        try:
            service.run()
        except BaseException as error:
            failures.append(error)
        finally:
            writing.send(b"\0")

    writing.setblocking(False)
    signal.set_wakeup_fd(writing.fileno())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    watching = threading.Thread(target=watch, name="loop")
    watching.start()
    waiting.recv(1)
    service.stop()
    watching.join()
    if failures:
        raise failures[0]


@app.command()
def check(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Check settings, connections, rights, programs, plans and channels; say what each gap costs.

    Then what could be said of who did it, if rows were lost now: these gaps stand in the way of no heal.
    Changes nothing and sends nothing (for that: test-notification). Exit codes: 0 all holds; 1 there are
    gaps; 2 usage, or the settings cannot be used; 5 database unreachable; 130 interrupted.

    \b
    Examples:
      alpimonitor watchdog check
      alpimonitor watchdog check --json
    """
    settings = _settings(config)
    from .checks import check_all, readiness, unreachable
    from .probe.rights import Standing
    from .recorder.readiness import Readiness

    results = check_all(settings, os.environ, say=_progress())
    gaps = [result for result in results if result.standing is Standing.GAP]
    attribution = Readiness(unseen="") if unreachable(results) else readiness(settings)
    if as_json:
        document = {
            "holds": not gaps,
            "checks": [asdict(result) for result in results],
            "readiness": {"ratio": attribution.ratio, **asdict(attribution)},
        }
        typer.echo(json.dumps(document, indent=2))
    else:
        _say_rights(results)
        if attribution.items or attribution.unseen:
            typer.echo(f"\nWho did it, if rows were lost now: {attribution}.")
            _say_rights(attribution.items)
            typer.echo("")
        typer.echo(f"{len(gaps)} of {len(results)} do not hold." if gaps else "What a heal rests on holds.")
    if unreachable(results):
        raise typer.Exit(Exit.UNREACHABLE)
    if gaps:
        raise typer.Exit(Exit.DOES_NOT_HOLD)


def _say_rights(rights: Sequence[Right]) -> None:
    for right in rights:
        typer.echo(f"{right.standing.value:8} {right.subject}: {right.said}")
        for name, words in (("costs", right.costs), ("remedy", right.remedy)):
            if words:
                typer.echo(f"{'':9}{name}: {words}")


@app.command("test-notification")
def send_test(
    config: ConfigOption = None,
    channel: Annotated[
        str | None, typer.Option("--channel", metavar="NAME", help="Only this channel.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Send one message, marked as a drill, to every channel, and say which arrived.

    Exit codes: 0 all arrived; 1 some did not; 2 usage, or the settings cannot be used; 130 interrupted.

    \b
    Examples:
      alpimonitor watchdog test-notification
      alpimonitor watchdog test-notification --channel page
    """
    settings = _settings(config)
    chosen = [declared for declared in settings.channels if channel in (None, declared.name)]
    if not chosen:
        known = ", ".join(declared.name for declared in settings.channels) or "none"
        _fail(
            f"no channel {channel!r}; declared and set: {known}"
            if channel
            else "no channel is declared and set"
        )
    from .service import database_label

    message = drill(database_label(settings), "`alpimonitor watchdog test-notification`")
    failures: dict[str, str | None] = {}
    for declared in chosen:
        try:
            target = Channel(declared.name, declared.url.get_secret_value())
        except ChannelError as error:
            failures[declared.name] = str(error)
            continue
        failures[declared.name] = send_now(target, message)
    if as_json:
        typer.echo(
            json.dumps(
                {"channels": {name: {"error": failure} for name, failure in failures.items()}}, indent=2
            )
        )
    else:
        for name, failure in failures.items():
            typer.echo(f"{name}: {'arrived' if failure is None else f'NOT delivered: {failure}'}")
    if any(failures.values()):
        raise typer.Exit(Exit.DOES_NOT_HOLD)


def _settings(config: Path | None) -> Settings:
    try:
        settings = load(os.environ, config)
    except SettingsError as error:
        _fail(str(error))
    logs.configure(settings.log_level, settings.log_format)
    logging.captureWarnings(True)
    return settings


def _progress() -> Callable[[str], None] | None:
    """A line of what is being checked, for a person at a terminal."""
    if not sys.stderr.isatty():
        return None
    return lambda what: print(f"checking {what} …", file=sys.stderr, flush=True)


def _fail(message: str) -> NoReturn:
    for line in message.splitlines():
        typer.echo(f"alpimonitor watchdog: {line}", err=True)
    raise typer.Exit(Exit.SETTINGS)
