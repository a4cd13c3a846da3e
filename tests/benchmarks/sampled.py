"""Runs a server's module and looks again and again at what it executes.

`python -m tests.benchmarks.sampled FOLDER MODULE`. A signal of the processor-time clock interrupts it, as
often as the kernel's own clock ticks (on most 250 times a second that it computes). What it was executing is
counted by layer, a C function for the Python line that called it. Unlike a profiler that follows every call
this slows nothing down: the shares are those of a real answer. At SIGUSR1 it writes `{layer: samples}` to
FOLDER/PID.json and begins anew.
"""

from __future__ import annotations

import json
import os
import runpy
import signal
import sys
from collections import Counter
from pathlib import Path
from types import FrameType

EVERY = 0.001  # seconds of processor time; the kernel makes more of it

LAYERS = (
    ("/alpimonitor_api/middleware/", "middleware {}"),
    ("/alpimonitor_api/metrics", "middleware measured"),
    ("/limits/", "middleware rate_limit"),
    ("/prometheus_client/", "middleware measured"),
    ("/alpimonitor_api/database", "Database.row"),
    ("/alpimonitor_api/slots", "Database.row"),
    ("/alpimonitor_api/bounded", "Database.row"),
    ("/alpimonitor_api/", "the route itself"),
    ("/benchmarks/hello.py", "the route itself"),
    ("/psycopg", "psycopg"),
    ("/h11/", "h11"),
    ("/uvicorn/", "uvicorn"),
    ("/starlette/", "FastAPI, Starlette, pydantic"),
    ("/fastapi/", "FastAPI, Starlette, pydantic"),
    ("/pydantic", "FastAPI, Starlette, pydantic"),
    ("/asyncio/selector_events.py", "event loop: sockets"),
    ("/selectors.py", "event loop: waiting"),
    ("/asyncio/", "event loop: the rest"),
)


def layer_of(file: str) -> str | None:
    """Which part of the API a source file belongs to; None for one that any of them calls."""
    for piece, layer in LAYERS:
        if piece in file:
            return layer.format(Path(file).stem)
    return None


def count(samples: Counter[str], frame: FrameType | None) -> None:
    """Add to the innermost layer that is known: `json` counts for who calls it."""
    while frame is not None:
        layer = layer_of(frame.f_code.co_filename)
        if layer is not None:
            samples[layer] += 1
            return
        frame = frame.f_back
    samples["other"] += 1


def written_to(folder: str, pid: int) -> Path:
    return Path(folder) / f"{pid}.json"


def main(folder: str, module: str) -> None:
    samples: Counter[str] = Counter()
    file = written_to(folder, os.getpid())

    def write(*_: object) -> None:
        partial = file.with_suffix(".partial")
        partial.write_text(json.dumps(samples))
        partial.rename(file)
        samples.clear()

    signal.signal(signal.SIGUSR1, write)
    signal.signal(signal.SIGPROF, lambda _, frame: count(samples, frame))
    signal.setitimer(signal.ITIMER_PROF, EVERY, EVERY)
    sys.argv = [module]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
