"""Starts the processes of a rehearsal, keeps their logs, and leaves none of them behind."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeVar

from alpimonitor_rehearsal.postgres.account import leashed
from alpimonitor_rehearsal.waiting import DeadlineExceeded, wait_until

STOPS_WITHIN = 10.0  # seconds, after which nobody is asked any more
LAST_WORDS = 8  # lines of a log that a person is shown

# What a child may inherit. Nothing of AlpiMonitor and nothing of PostgreSQL: a shell that has sourced the
# settings of production must not turn a rehearsal into an incident.
INHERITED = ("LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR", "TZ")
INHERITED_FOR_THE_INTERNET = (
    *("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR"),
)

Found = TypeVar("Found")


@dataclass(frozen=True)
class Child:
    """A process that was started, with the files that its standard output and standard error go to."""

    name: str
    process: subprocess.Popen[bytes]
    output: Path
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; minus the signal's number when a signal ended it."""
        return self.process.poll()

    def announcement(self, *, deadline: float) -> dict[str, str]:
        """The JSON object that the process prints as its first line. Raises ProcessFailed."""

        def first_line() -> str | None:
            line, end, _ = self.output.read_text(encoding="utf-8").partition("\n")
            return line if end else None

        announced = json.loads(self.until("announce its address", first_line, deadline=deadline))
        return {str(key): str(value) for key, value in announced.items()}

    def until(self, what: str, look: Callable[[], Found | None], *, deadline: float) -> Found:
        """Wait for the first truthy answer of `look`, unless the process ends or `deadline` seconds pass.

        `what` completes the sentence "… did not …". Raises ProcessFailed.
        """

        def found_or_ended() -> tuple[Found | None] | None:
            # Asked in this order: a process may do its work and end before the next look.
            ended = self.exit_code is not None
            found = look()
            return (found,) if found or ended else None

        try:
            (found,) = wait_until(what, found_or_ended, deadline=deadline, every=0.05)
        except DeadlineExceeded as error:
            raise ProcessFailed(self, f"did not {what} within {deadline:g} s") from error
        if not found:
            raise ProcessFailed(self, f"{said(self.exit_code)} before it could {what}")
        return found

    def logged(self) -> str:
        """All that is in the log so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def last_words(self) -> list[str]:
        """The last lines of the log."""
        return [line for line in self.logged().splitlines() if line.strip()][-LAST_WORDS:]


class ProcessFailed(RuntimeError):
    """A process did not do what it was started for. The message says which, and what was expected."""

    def __init__(self, child: Child, what: str) -> None:
        super().__init__(f"{child.name} (pid {child.pid}) {what}")
        self.child = child


def said(exit_code: int | None) -> str:
    """How a process ended, for people."""
    if exit_code is None:
        return "still runs"
    if exit_code < 0:
        return f"was ended by {signal.Signals(-exit_code).name}"
    return f"ended with exit code {exit_code}"


class Processes:
    """Children of this process: as a context manager none outlives its end, on Linux not even after kill -9.

    Start them from the main thread: the kernel watches the thread that started them.
    """

    def __init__(self, folder: Path) -> None:
        """`folder` gets the logs and is the working directory and home of every child."""
        self._folder = folder
        self._children: list[Child] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def children(self) -> tuple[Child, ...]:
        """In the order in which they were started."""
        return tuple(self._children)

    def start(self, name: str, command: Sequence[str], settings: Mapping[str, str]) -> Child:
        """Start `command`, an absolute path and its arguments, in an environment of `settings` alone."""
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError(
                f"{name} would end with the thread that started it: start it from the main thread"
            )
        slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
        output, log = self._folder / f"{slug}.out", self._folder / f"{slug}.log"
        with output.open("wb") as out, log.open("wb") as err:
            process = subprocess.Popen(
                leashed([*command], None, signal.SIGTERM),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=self._folder,
                env=dict(settings),
                # Ctrl-C in a terminal reaches the whole group: they stop when this process says so.
                start_new_session=True,
            )
        child = Child(name, process, output, log)
        self._children.append(child)
        return child

    def stop(self) -> None:
        """End all of them, the newest first to be waited for; after STOPS_WITHIN seconds without asking."""
        running = [child for child in reversed(self._children) if child.exit_code is None]
        for child in running:
            child.process.terminate()
        ends = time.monotonic() + STOPS_WITHIN
        for child in running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.process.wait(max(0.0, ends - time.monotonic()))
            # What it may have started itself and left behind, and whatever did not listen.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, signal.SIGKILL)
            child.process.wait()


def environment(folder: Path, inherited: Mapping[str, str], *, internet: bool = False) -> dict[str, str]:
    """What every child gets: a home in `folder`, this interpreter's programs on PATH, no address at all."""
    kept = {name: inherited[name] for name in INHERITED if name in inherited}
    if internet:
        kept |= {name: inherited[name] for name in INHERITED_FOR_THE_INTERNET if name in inherited}
        kept |= {"NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}
    programs = str(Path(sys.executable).parent)
    return {
        **kept,
        "PATH": f"{programs}{os.pathsep}{inherited.get('PATH', os.defpath)}",
        "HOME": str(folder),
        "PYTHONUNBUFFERED": "1",
    }


def python_module(module: str, *arguments: str) -> list[str]:
    """The command that runs a module with this interpreter."""
    return [sys.executable, "-m", module, *arguments]
