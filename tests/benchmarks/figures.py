"""Figures of a benchmark: medians and 99th percentiles, with machine and commit."""

from __future__ import annotations

import json
import math
import os
import platform
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

Row = dict[str, str | int | float]
Say = Callable[[str], None]


class Unmeasurable(Exception):
    """What stands in the way of measuring anything, and what to do about it."""


@dataclass(frozen=True)
class Benchmark:
    """`run(runs, say)` measures and returns rows; `runs` None means the benchmark's own number.

    `verdict`, where something has to hold: whether it does, and the last line to print. `once`: it takes no
    `runs`.
    """

    run: Callable[[int | None, Say], list[Row]]
    summary: str
    verdict: Callable[[Sequence[Row]], tuple[bool, str]] | None = None
    once: bool = False


def percentile(values: Sequence[float], part: float) -> float:
    """The smallest measured value that `part` of all values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(part * len(ordered)) - 1)]


def figures(seconds: Sequence[float]) -> Row:
    """`{runs, median_ms, p99_ms}` of measured seconds."""
    return {
        "runs": len(seconds),
        "median_ms": round(median(seconds) * 1000, 3),
        "p99_ms": round(percentile(seconds, 0.99) * 1000, 3),
    }


def table(rows: Sequence[Row]) -> str:
    """Rows of the same keys, for people."""
    if not rows:
        return ""
    keys = list(rows[0])
    cells = [keys, *([str(row.get(key, "")) for key in keys] for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(keys))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in cells
    )


def document(name: str, rows: Sequence[Row]) -> str:
    """The JSON of a benchmark's file."""
    return json.dumps(
        {
            "benchmark": name,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),  # noqa: TID251 - a composition root
            "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {_cpu()}",
            "commit": _commit(),
            "rows": list(rows),
        },
        indent=2,
    )


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _commit() -> str:
    ended = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    return ended.stdout.strip() or "unknown"
