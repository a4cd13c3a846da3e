"""Every scenario of the catalogue, broken under the eyes of a real sidecar: what does `diagnose` conclude?

On the embedded PostgreSQL and, where there is one, on the system's; two scenarios at a time. A row is right
only if verdict, symptom, attribution and healing all are as the catalogue says.
"""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from alpimonitor_rehearsal.postgres import Binaries, Origin, PostgresError, find_binaries
from alpimonitor_rehearsal.scenarios import CONCLUDED, Scenario
from tests.benchmarks.figures import Row, Say, Unmeasurable
from tests.clusters import Prepared, prepared
from tests.verdicts import differences, investigated, who

SIDE_BY_SIDE = 2
SERVERS = {"embedded": Origin.WHEEL, "system": Origin.SYSTEM}


def run(_: int | None, say: Say, *, server: str | None = None) -> list[Row]:
    """`server`: "embedded" or "system"; None for each that is installed."""
    rows: list[Row] = []
    for binaries in _chosen(server, say):
        say(f"PostgreSQL {binaries.version}: {len(CONCLUDED)} scenarios, {SIDE_BY_SIDE} at a time")
        with prepared(binaries) as ready, _workers() as workers:
            for row, wrong in workers.map(partial(_row, ready), CONCLUDED):
                rows.append(row)
                for difference in wrong:
                    say(f"  {row['scenario']}: {difference}")
    return rows


def verdict(rows: Sequence[Row]) -> tuple[bool, str]:
    right = sum(bool(row["right"]) for row in rows)
    return right == len(rows), f"right: {right}/{len(rows)}"


def _chosen(server: str | None, say: Say) -> Iterator[Binaries]:
    """Raises Unmeasurable when the one that was asked for is not there."""
    for name in (server,) if server else SERVERS:
        try:
            yield find_binaries(origins=(SERVERS[name],))
        except PostgresError as error:
            if server:
                raise Unmeasurable(str(error)) from error
            say(f"not on the {name} PostgreSQL: {error}")


def _workers() -> ProcessPoolExecutor:
    """Processes: a server ends with the thread that started it, which has to be a main one."""
    return ProcessPoolExecutor(SIDE_BY_SIDE, mp_context=multiprocessing.get_context("spawn"))


def _row(ready: Prepared, scenario: Scenario) -> tuple[Row, list[str]]:
    row: Row = {
        "scenario": scenario.name,
        "expected": scenario.verdict or "none",
        "found": "-",
        "confidence": "-",
        "symptom": "-",
        "attributed_to": "-",
        "healed": False,
        "seconds": 0.0,
        "right": False,
        "server": ready.binaries.version,
    }
    try:
        with tempfile.TemporaryDirectory() as folder:
            found = investigated(scenario, ready, Path(folder))
    except Exception as error:  # of one scenario: the others are still worth a row
        return row, [f"{type(error).__name__}: {error}"]
    wrong = differences(scenario, found)
    return row | {
        "found": found.verdict or "none",
        "confidence": found.confidence or "-",
        "symptom": ", ".join(found.symptoms) or "-",
        "attributed_to": who(found),
        "healed": found.healed,
        "seconds": found.seconds,
        "right": not wrong,
    }, wrong
