"""The demo: sets the stage, plays a scenario on it, and cleans up, whatever happens.

It decides nothing and helps nobody along. What it reports is what the pager received, what the API answered,
what /metrics said, and what SQL found.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import psycopg

from alpimonitor_rehearsal import report, watchdog_config
from alpimonitor_rehearsal.play import Limits, Play
from alpimonitor_rehearsal.postgres import PostgresError
from alpimonitor_rehearsal.processes import ProcessFailed
from alpimonitor_rehearsal.scenarios import Heals, Scenario
from alpimonitor_rehearsal.stage import Props, StageFailed, set_stage
from alpimonitor_rehearsal.story import Beat, received

STAYING_LOOKS_EVERY = 0.5  # seconds


class Pace(StrEnum):
    DEFAULTS = "defaults"  # the shipped policy, unchanged
    QUICK = "quick"  # with shorter durations


LIMITS = {
    Pace.DEFAULTS: Limits(once=120.0, worn_out=300.0, left_alone=20.0),
    Pace.QUICK: Limits(once=60.0, worn_out=120.0, left_alone=6.0),
}
POLICY = {Pace.DEFAULTS: {}, Pace.QUICK: watchdog_config.QUICK}


@dataclass(frozen=True)
class Demo:
    """What is wanted. `lindas` is `simulated`, `live` or the path of a payload."""

    scenario: Scenario
    lindas: str
    pace: Pace
    keep: bool


def run(
    demo: Demo,
    tell: report.Teller,
    publish: Callable[[dict[str, Any]], None],
    clock: Callable[[], datetime],
) -> bool:
    """Play the scenario; `publish` gets the result as one object. True when all that it has to show held.

    With `keep` it then stays up until KeyboardInterrupt. The folder of logs is left behind with `keep`, and
    when something did not hold.
    """
    folder = Path(tempfile.mkdtemp(prefix="alpimonitor-demo-"))
    keep_folder = True
    try:
        policy = POLICY[demo.pace]
        tell(report.introduction(demo.scenario.name, demo.lindas, policy, folder))
        config = watchdog_config.with_policy(watchdog_config.shipped_profile(), policy)
        play = Play(demo.scenario, LIMITS[demo.pace], watchdog_config.heal_budget(config), tell, clock)
        held = False
        try:
            two = demo.scenario.heals is Heals.BY_ANOTHER
            with set_stage(folder, lindas=demo.lindas, config=config, tell=tell, two_sidecars=two) as props:
                held = play.on(props)
                publish(play.document())
                if demo.keep:
                    tell(report.invitation(props))
                    _stay(props, tell)
                elif held:
                    tell(report.HOW_TO_BREAK_IT)
        except ProcessFailed as error:
            tell(Beat(f"it could not be played: {error}", failed=True))
            tell(report.log_of(error.child))
            publish(play.document())
        except (PostgresError, StageFailed, psycopg.Error) as error:
            tell(Beat(f"it could not be played: {error}", failed=True))
            publish(play.document())
        keep_folder = demo.keep or not held
        return held
    except KeyboardInterrupt:
        keep_folder = demo.keep
        with contextlib.suppress(OSError):  # the terminal may be what has gone
            tell(Beat("interrupted: everything is stopped"))
        raise
    finally:
        if keep_folder:
            tell(Beat(f"kept: {folder}, with every log, watchdog.toml and the sidecar's state"))
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _stay(props: Props, tell: report.Teller) -> None:
    """Tell what the pager receives, until KeyboardInterrupt."""
    told = len(props.outside.receipts() or ())
    pause = threading.Event()
    while not pause.wait(STAYING_LOOKS_EVERY):
        receipts = props.outside.receipts() or ()
        for receipt in receipts[told:]:
            tell(received(receipt, in_full=True))
        told = max(told, len(receipts))
