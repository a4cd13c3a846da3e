"""`alpimonitor demo`: the incident, played on real processes."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer

from alpimonitor_rehearsal import demo
from alpimonitor_rehearsal.clock import utc_now
from alpimonitor_rehearsal.report import Teller
from alpimonitor_rehearsal.scenarios import DELETE, PLAYED
from alpimonitor_rehearsal.stage import LIVE, SIMULATED

app = typer.Typer(rich_markup_mode=None, add_completion=False)


def _scenario(value: str) -> str:
    if value not in PLAYED:
        raise typer.BadParameter(f"{value!r} is none of {', '.join(PLAYED)}")
    return value


def _lindas(value: str) -> str:
    if value in (SIMULATED, LIVE):
        return value
    if not Path(value).is_file():
        raise typer.BadParameter(
            f"{value!r} is neither {SIMULATED} nor {LIVE}, and no file of that name is there"
        )
    return str(Path(value).resolve())


@app.command()
def play(
    scenario: Annotated[
        str,
        typer.Option(callback=_scenario, metavar="|".join(PLAYED), help="How the database is broken."),
    ] = DELETE.name,
    lindas: Annotated[
        str,
        typer.Option(
            callback=_lindas,
            metavar="simulated|live|FILE",
            help="Where measurements come from: a simulator, the real service, or a recorded payload.",
        ),
    ] = SIMULATED,
    keep: Annotated[
        bool, typer.Option("--keep", help="Stay up afterwards, until Ctrl-C, and keep the logs.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object; the beats go to standard error.")
    ] = False,
    pace: Annotated[
        demo.Pace, typer.Option(help="The sidecar's shipped policy, or one with shorter durations.")
    ] = demo.Pace.DEFAULTS,
) -> None:
    """Wipe a real database and watch it being noticed, notified, healed and verified.

    Starts PostgreSQL, the API, a sidecar and a pager on this machine, breaks the database with psql, and
    reports what can be seen from outside. Needs no Docker and no root; writes only below the temporary
    directory.

    \b
    Scenarios:
      delete     psql deletes every row of the seven context tables
      truncate   the same by TRUNCATE
      partial    some thresholds and a withdrawal: no table is empty, the API goes on
      repeat     wiped again after each heal, until healing stops and a person is paged
      partition  two sidecars watch: the one that leads is cut off from the database, the other one heals

    \b
    Examples:
      alpimonitor demo
      alpimonitor demo --scenario repeat --pace quick
      alpimonitor demo --scenario partition
      alpimonitor demo --keep
      alpimonitor demo --json --lindas live

    Exit codes: 0 all that the scenario has to show held; 1 something did not; 2 usage; 130 interrupted.
    """
    _interrupt_on(signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    wanted = demo.Demo(PLAYED[scenario], lindas, pace, keep)

    def publish(document: dict[str, Any]) -> None:
        if as_json:
            print(json.dumps(document, ensure_ascii=False), flush=True)

    held = demo.run(wanted, Teller(sys.stderr if as_json else sys.stdout), publish, utc_now)
    raise typer.Exit(0 if held else 1)


def _interrupt_on(*signals: signal.Signals) -> None:
    """Raise KeyboardInterrupt once; further signals do not disturb the cleaning up, which is bounded."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        for number in signals:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in signals:
        signal.signal(number, interrupt)
