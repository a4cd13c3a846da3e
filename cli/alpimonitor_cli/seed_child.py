"""The seed of a boot: a process of its own, which alone may seed production and ends with the boot."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

SEED = (sys.executable, "-m", "alpimonitor_cli.main", "seed", "--mode", "missing")
ENDS_WITHIN = 5.0  # seconds to roll back and to record that it was stopped; longer than the server's own look
STOPS = (signal.SIGINT, signal.SIGTERM)


class TooSlow(Exception):
    """The seed did not end in time and was stopped; nothing was written."""


@dataclass(frozen=True)
class Ended:
    """Its exit code, and what it said."""

    code: int
    said: str


def run(environ: Mapping[str, str], *, deadline: float) -> Ended:
    """The seed to its end, in this environment and with ALLOW_PROD_SEED. Raises TooSlow after `deadline` s.

    Whatever breaks in upon it, a signal above all, stops the seed first and goes on then.
    """
    child: subprocess.Popen[str] | None = None
    try:
        with _signals_wait():
            child = subprocess.Popen(
                SEED,
                env={**environ, "ALLOW_PROD_SEED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                # Ctrl-C in a terminal reaches the whole group: it stops when this process says so, once.
                start_new_session=True,
            )
        said, _ = child.communicate(timeout=deadline)
        return Ended(child.returncode, said)
    except subprocess.TimeoutExpired as error:
        raise TooSlow from error
    finally:
        if child is not None:
            _end(child)


@contextmanager
def _signals_wait() -> Iterator[None]:
    """Signals take effect at the end, when it is known whom they concern."""
    met: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        met.append(number)

    handlers = [(number, signal.signal(number, note)) for number in STOPS]
    try:
        yield
    finally:
        for number, handler in handlers:
            signal.signal(number, handler)
    for each in met:
        signal.raise_signal(each)


def _end(child: subprocess.Popen[str]) -> None:
    """Let it roll back; then without asking, and at once if this is broken in upon, too."""
    try:
        if child.poll() is None:
            child.terminate()
            child.communicate(timeout=ENDS_WITHIN)
    except subprocess.TimeoutExpired:
        pass
    finally:
        child.kill()
        child.wait()
