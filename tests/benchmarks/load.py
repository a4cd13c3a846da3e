"""Five minutes of load on every route that is only read, while the database is restarted, emptied and healed.

Half of the time with the cache off, half with it on. A cycle has the phases `before`, `down` (the database is
stopped), `after` (it is back), `wiped` (emptied by psql) and `healed` (by `alpimonitor seed`); then what was
measured is put back. A change belongs to the phase that it leads to. Every answer is held against what it has
to be in each state of the database (tests/load_trial.py); `wrong` has to be 0.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from time import monotonic

from alpimonitor_rehearsal.postgres import find_binaries, running_postgres
from tests.benchmarks.figures import Row, Say, percentile
from tests.load_client import Seen
from tests.load_trial import PATHS, Trial, trial

MINUTES = 5.0
PHASES = ("before", "down", "after", "wiped", "healed")
PHASE_SECONDS = 5.0
CYCLE_SECONDS = len(PHASES) * PHASE_SECONDS + 3  # with the changes between them
PER_SECOND = 200.0
CACHES = (0.0, 1.0)


def run(runs: int | None, say: Say, *, minutes: float = MINUTES) -> list[Row]:
    """`runs` is the number of cycles with the cache off and again with it on; else `minutes` say it."""
    cycles = runs or max(1, round(minutes * 60 / CYCLE_SECONDS / len(CACHES)))
    rows: list[Row] = []
    for cached in CACHES:
        with tempfile.TemporaryDirectory() as folder, running_postgres() as server:
            say(
                f"PostgreSQL {find_binaries().version}, cache {_shown(cached)}: {cycles} cycles of "
                f"{CYCLE_SECONDS:g} s, {len(PATHS)} routes, {PER_SECOND:g} requests a second"
            )
            with trial(server, Path(folder), cached=cached, per_second=PER_SECOND) as under:
                phases = _Phases(under)
                recoveries = [_cycle(under, phases) for _ in range(cycles)]
            rows += _rows(under, phases, recoveries, cached)
    return rows


def verdict(rows: Sequence[Row]) -> tuple[bool, str]:
    wrong = sum(int(row["wrong"]) for row in rows)
    return wrong == 0, "no answer was wrong" if wrong == 0 else f"{wrong} answers were wrong"


class _Phases:
    """When which phase was: by name, the begin and the end of each time."""

    def __init__(self, under: Trial) -> None:
        self._under = under
        self.spans: dict[str, list[tuple[float, float]]] = {phase: [] for phase in PHASES}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        began = monotonic()
        yield
        self.spans[name].append((began, monotonic()))

    def seen(self, name: str) -> list[Seen]:
        """What was asked in a phase."""
        return [
            each
            for each in self._under.load.seen
            if any(began <= each.began < ended for began, ended in self.spans[name])
        ]


def _cycle(under: Trial, phases: _Phases) -> float:
    """Seconds from the server's start until every route answered again."""
    with phases.phase("before"):
        _last()
    with phases.phase("down"):
        under.stop_database()
        _last()
        recovery = under.start_database()
    with phases.phase("after"):
        _last()
    with phases.phase("wiped"):
        under.wipe()
        _last()
    with phases.phase("healed"):
        under.heal()
        _last()
    under.measure()
    return recovery


def _last() -> None:
    threading.Event().wait(PHASE_SECONDS)


def _rows(under: Trial, phases: _Phases, recoveries: Sequence[float], cached: float) -> list[Row]:
    rows: list[Row] = []
    for name in PHASES:
        seen = phases.seen(name)
        took = [each.ended - each.began for each in seen]
        row: Row = {"phase": name, "cache": _shown(cached), "answers": len(seen)}
        row |= {str(status): sum(each.status == status for each in seen) for status in (200, 404, 503)}
        row["none"] = sum(each.status == 0 for each in seen)
        row["304"] = sum(each.revalidated for each in seen)  # among the 200
        row["p50_ms"] = round(median(took) * 1000, 3)
        row["p99_ms"] = round(percentile(took, 0.99) * 1000, 3)
        row["wrong"] = len(under.timeline.wrong(seen))
        row["recovery_seconds"] = round(max(recoveries), 3) if name == "down" else ""
        rows.append(row)
    return rows


def _shown(cached: float) -> str:
    return "on" if cached else "off"
