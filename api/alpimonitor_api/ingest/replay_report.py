"""What a replay tells: its progress to a person at a terminal, its end to everybody."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from alpimonitor_api.ingest.lindas import ATTRIBUTION
from alpimonitor_api.ingest.replay import LOSSES, Tally, Trouble
from alpimonitor_api.times import utc_text


@dataclass(frozen=True)
class Report:
    """A replay at its end. `failure`: why it did not come to the last payload, None if it did."""

    root: Path
    begin: datetime | None
    end: datetime | None
    dry_run: bool
    tally: Tally
    failure: str | None = None

    @property
    def holds(self) -> bool:
        """Whether all that was ever archived in the range has been replayed."""
        return self.failure is None and not self.tally.count(*LOSSES)


def as_json_text(report: Report) -> str:
    tally = report.tally
    return json.dumps(
        {
            "outcome": "failed" if report.failure is not None else "done" if report.holds else "incomplete",
            "error": report.failure,
            "dry_run": report.dry_run,
            "archive": str(report.root),
            "from": utc_text(report.begin) if report.begin is not None else None,
            "to": utc_text(report.end) if report.end is not None else None,
            "payloads": tally.payloads,
            **{trouble.value: tally.count(trouble) for trouble in Trouble},
            "rows_skipped": tally.rows_skipped,
            "observations": tally.observations,
            "measurements": tally.measurements,
            "created": tally.created,
            "updated": tally.updated,
            "stations_seen": len(tally.seen),
            "stations_unknown": len(tally.unknown),
            "problems": [
                {"path": str(problem.path), "trouble": problem.trouble.value, "detail": problem.detail}
                for problem in tally.problems
            ],
            "attribution": ATTRIBUTION,
        },
        ensure_ascii=False,
    )


def as_sentences(report: Report) -> str:
    tally = report.tally
    would = "would be " if report.dry_run else ""
    lines = [
        f"{tally.payloads} payloads replayed from {report.root}: {tally.measurements} measurements of "
        f"{len(tally.seen)} stations, {tally.created} {would}new, {tally.updated} {would}updated; "
        f"{len(tally.unknown)} stations of others, {tally.rows_skipped} malformed rows skipped"
    ]
    counts = [f"{tally.count(trouble)} {trouble.value}" for trouble in Trouble if tally.count(trouble)]
    if counts:
        lines.append(f"files left out: {', '.join(counts)}")
    if report.failure is not None:
        lines.append(f"failed: {report.failure}; what was replayed is stored, run it again for the rest")
    return "\n".join([*lines, ATTRIBUTION])


@contextmanager
def progress(payloads: int) -> Iterator[Callable[[int], None]]:
    """A function that hears how many payloads are done; on a terminal a bar follows it."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("payloads", total=payloads)
        yield lambda done: bar.advance(task, done)
