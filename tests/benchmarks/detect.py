"""DELETE committed → notification received: the sidecar as a process, a pager over real HTTP.

Once with the flight recorder armed, which wakes the sidecar, and by polling alone at two intervals. Each run
empties a table and waits for the pager's receipt; both moments are read from the monotonic clock. Beside
them, in the same run: a bare `SELECT 1` and a `count(*)` of the table, which is what any monitor pays at
least to look once.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from random import Random
from threading import Event
from time import monotonic, perf_counter

import psycopg

from alpimonitor_rehearsal.pager import Pager
from tests.armed import arm
from tests.benchmarks.figures import Row, Say, figures
from tests.databases import chosen_database, new_database, postgres_for_tests

ROWS = 7
RUNS = 200
WAYS = (("recorder", 1.0), ("polling", 0.1), ("polling", 1.0))  # seconds between looks
GUARDED = """
[[table]]
name = "station"
expected = {rows}

[policy]
interval = "{interval}"
confirm_for = "1h"
clear_for = "0s"  # the next run begins at once
flap_window = "0s"
page_after = "1h"

[healing]
mode = "on"

[heal.command]
plan = ["true"]
run = ["true"]

[[channel]]
name = "pager"
url_env = "PAGER_URL"
"""


def run(runs: int | None, say: Say) -> list[Row]:
    rows: list[Row] = []
    with postgres_for_tests(chosen_database()) as server:
        for noticed_by, interval in WAYS:
            say(f"PostgreSQL {server.version}, {noticed_by}, every {interval:g} s, {runs or RUNS} wipes")
            with new_database(server) as url:
                rows += _measure(url, noticed_by, interval, runs or RUNS, say)
    return rows


def _measure(url: str, noticed_by: str, interval: float, runs: int, say: Say) -> list[Row]:
    chance, never = Random(0), Event()
    detected, ones, counts = [], [], []
    with (
        tempfile.TemporaryDirectory() as folder,
        Pager() as pager,
        psycopg.connect(url, autocommit=True) as plain,
    ):
        plain.execute("CREATE TABLE station AS SELECT g AS id FROM generate_series(1, %s) g", [ROWS])
        if noticed_by == "recorder":
            arm(plain, "station")
        config = Path(folder, "watchdog.toml")
        config.write_text(GUARDED.format(rows=ROWS, interval=f"{interval:g}s"))
        sidecar = subprocess.Popen(
            [sys.executable, "-m", "alpimonitor_cli.main", "watchdog", "run"],
            env=os.environ
            | {
                "WATCHDOG_CONFIG": str(config),
                "WATCHDOG_DATABASE_URL": url,
                "WATCHDOG_STATE_DIR": str(Path(folder, "state")),
                "WATCHDOG_LISTEN": "127.0.0.1:0",
                "PAGER_URL": pager.apprise_url,
                "LOG_LEVEL": "error",
            },
        )
        try:
            for number in range(runs + 1):
                # Any moment of the interval is as likely as another.
                never.wait(chance.uniform(0.5, 1.5) * interval)
                resolved = 2 * number
                plain.execute("DELETE FROM station")
                deleted = monotonic()
                opened = pager.wait_for(lambda r, n=resolved: len(r) > n, deadline=60)[resolved]  # type: ignore[misc]
                if number:  # the first wipe may find the sidecar still starting
                    detected.append(opened.monotonic - deleted)
                plain.execute("INSERT INTO station SELECT g FROM generate_series(1, %s) g", [ROWS])
                pager.wait_for(lambda r, n=resolved: len(r) > n + 1, deadline=60)  # type: ignore[misc]
                for seconds, statement in ((ones, "SELECT 1"), (counts, "SELECT count(*) FROM station")):
                    began = perf_counter()
                    plain.execute(statement, prepare=True).fetchall()
                    seconds.append(perf_counter() - began)
                if number and number % 10 == 0:
                    say(f"  {number}/{runs}")
        finally:
            sidecar.send_signal(signal.SIGTERM)
            sidecar.wait(10)
    every = f"{1000 * interval:g}ms" if interval < 1 else f"{interval:g}s"
    return [
        {"what": what, "noticed by": noticed_by, "interval": every, **figures(seconds)}
        for what, seconds in (
            ("DELETE committed → notification received", detected),
            ("SELECT 1", ones),
            ("SELECT count(*)", counts),
        )
    ]
