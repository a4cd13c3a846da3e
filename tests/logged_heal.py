"""The heal command of a test: the real seed, with a log of its own that nothing of the sidecar writes.

    python -m tests.logged_heal LOG [GATE]

LOG gets `begin PID MONOTONIC_SECONDS` before the seed and `end …` after it; `overlap …` when another heal
still runs, which the kernel knows by a lock that ends with the process. With GATE it waits, once it has
begun, until that file exists.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
from pathlib import Path

from alpimonitor_rehearsal.waiting import wait_until

GATE_OPENS_WITHIN = 60.0  # seconds


def main(log: Path, gate: Path | None) -> None:
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def note(event: str) -> None:
        os.write(file, f"{event} {os.getpid()} {time.monotonic():.3f}\n".encode())

    running = os.open(log.with_name(f"{log.name}.running"), os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        fcntl.flock(running, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        note("overlap")
    note("begin")
    if gate is not None:
        wait_until("the opening of the gate", gate.exists, deadline=GATE_OPENS_WITHIN)
    from alpimonitor_cli.main import main as alpimonitor

    sys.argv = ["alpimonitor", "seed", "--mode", "missing"]
    try:
        alpimonitor()
    finally:
        note("end")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
