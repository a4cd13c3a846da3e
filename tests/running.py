"""Runs the `alpimonitor` command as a process, to its end or until it is interrupted."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from alpimonitor_rehearsal.processes import environment

DEADLINE = 60.0  # seconds; what is waited for takes about one
ALPIMONITOR = (sys.executable, "-m", "alpimonitor_cli.main")


@dataclass(frozen=True)
class Ended:
    """How a process ended: its exit code, minus the signal's number when that ended it, and what it said."""

    code: int
    said: str


def is_running(pid: int) -> bool:
    """Whether it still runs: one that has ended and that nobody has collected yet does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):  # the second: it went between opening and reading
        return False
    return state not in ("Z", "X")


class Silence:
    """An address of this machine that takes a connection and never says a word."""

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(DEADLINE)
        self._taken: list[socket.socket] = []
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for taken in (*self._taken, self._listener):
            taken.close()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    @property
    def database(self) -> str:
        return f"postgresql://role@127.0.0.1:{self.port}/name"

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def wait_for_a_caller(self) -> None:
        self._taken.append(self._listener.accept()[0])


def run(folder: Path, words: str | Sequence[str], settings: Mapping[str, str]) -> Ended:
    """The command to its end, with `folder` as its home and `settings` alone in its environment."""
    done = subprocess.run(
        _argv(words), env=_environment(folder, settings), cwd=folder, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=DEADLINE, check=False,
    )  # fmt: skip
    return Ended(done.returncode, done.stdout)


def interrupted(
    folder: Path,
    words: str | Sequence[str],
    settings: Mapping[str, str],
    when: Callable[[], None],
    *numbers: signal.Signals,
) -> Ended:
    """The command, sent these signals once `when` has returned, which waits for what it does."""
    with subprocess.Popen(
        _argv(words), env=_environment(folder, settings), cwd=folder, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as process:  # fmt: skip
        try:
            when()
            for number in numbers:
                process.send_signal(number)
            said, _ = process.communicate(timeout=DEADLINE)
        finally:
            process.kill()
    return Ended(process.returncode, said)


def until_it_opens(fifo: Path) -> Callable[[], None]:
    """Wait until a process reads from `fifo`, which then stays without an end."""

    def opened() -> None:
        os.open(fifo, os.O_WRONLY)  # blocks until there is a reader; open as long as the test runs

    return opened


def _argv(words: str | Sequence[str]) -> list[str]:
    return [*ALPIMONITOR, *(words.split() if isinstance(words, str) else words)]


def _environment(folder: Path, settings: Mapping[str, str]) -> dict[str, str]:
    return {**environment(folder, os.environ), **settings}
