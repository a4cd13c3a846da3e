"""Runs one declared program: no shell, a deadline, a session of its own, killed as a whole."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from .leash import signal_all

_OUTPUT_LIMIT = 16 * 1024 * 1024  # bytes of standard output that are read
_GONE_WITHIN = 1.0  # seconds
_DETAIL_LIMIT = 500  # characters of standard error that are kept
_CREDENTIALS = re.compile(r"(://[^\s:/@]*):[^\s/]*@")
_PASSWORDS = re.compile(r"(password\s*=\s*)('(?:[^'\\]|\\.)*'|\S+)", re.IGNORECASE)
_ENDS_WITH_ITS_CLIENT = (
    "-c client_connection_check_interval=200ms"
    # Of a client that is cut off the server hears nothing, and has to ask.
    " -c tcp_keepalives_idle=2 -c tcp_keepalives_interval=1 -c tcp_keepalives_count=2"
)
_LEASH = Path(__file__).with_name("leash.py")


@dataclass(frozen=True)
class Ended:
    """How a program ended. `code` is None when it was killed on its deadline or on a stop."""

    code: int | None
    stdout: bytes
    detail: str
    late: bool = False
    stopped: bool = False

    @property
    def ok(self) -> bool:
        return self.code == 0


class Child:
    """Runs programs one at a time.

    From another thread `stop()` ends the one that runs, and every later one; `forbid()` does so until the
    next `allow()`.
    """

    def __init__(self, environ: Mapping[str, str], *, term_grace: float = 0.5) -> None:
        self._environ = dict(environ)
        self._term_grace = term_grace
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False
        self._forbidden = ""

    def run(self, argv: Sequence[str], deadline: float) -> Ended:
        """Run `argv` for at most `deadline` seconds. Never raises: not being able to start is an end, too."""
        # Files, not pipes: a grandchild that escapes its group cannot hold us at the end of a pipe.
        try:
            with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
                return self._run(argv, deadline, out, err)
        except OSError as error:
            return Ended(127, b"", f"no temporary file for what {argv[0]} prints: {_reason(error)}")

    def _run(self, argv: Sequence[str], deadline: float, out: IO[bytes], err: IO[bytes]) -> Ended:
        with self._lock:
            if self._stopped:
                return Ended(None, b"", "the sidecar is stopping", stopped=True)
            if self._forbidden:
                return Ended(None, b"", f"not started: {self._forbidden}", stopped=True)
            program = shutil.which(argv[0], path=self._environ.get("PATH", os.defpath))
            if program is None:
                return Ended(127, b"", f"{argv[0]} cannot be started: not found, or not executable")
            try:
                process = subprocess.Popen(
                    leashed([program, *argv[1:]]),
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=err,
                    env=self._environ,
                    start_new_session=True,
                )
            except (OSError, ValueError) as error:
                return Ended(127, b"", f"{argv[0]} cannot be started: {_reason(error)}")
            self._process = process
        late = False
        try:
            process.wait(deadline)
        except subprocess.TimeoutExpired:
            late = True
        finally:
            # Whatever the program left running ends with it, before another heal may begin.
            end_all(process, self._term_grace if late else 0.0)
            with self._lock:
                self._process = None
                stopped, forbidden = self._stopped, self._forbidden
        if late:
            return Ended(None, b"", f"killed after its deadline of {deadline:g} s", late=True)
        if stopped:
            return Ended(None, b"", "ended because the sidecar stops", stopped=True)
        if forbidden and process.returncode < 0:
            return Ended(None, b"", f"ended: {forbidden}", stopped=True)
        return Ended(process.returncode, _head(out), _tail(err))

    def allow(self) -> None:
        """Programs may start again."""
        with self._lock:
            self._forbidden = ""

    def forbid(self, why: str) -> None:
        """End what runs, and let nothing start before the next `allow`."""
        with self._lock:
            self._forbidden = why
            process = self._process
        if process is not None:
            signal_all(process.pid, signal.SIGKILL)

    def stop(self) -> None:
        """End what runs; nothing starts any more."""
        with self._lock:
            self._stopped = True
            process = self._process
        if process is not None:
            signal_all(process.pid, signal.SIGKILL)


def leashed(argv: list[str]) -> list[str]:
    """The command that runs `argv` and is killed by the kernel when the thread that starts it ends."""
    if sys.platform != "linux":
        return argv
    return [sys.executable, "-I", "-S", str(_LEASH), str(os.getpid()), *argv]


def end_all(process: subprocess.Popen[bytes], grace: float) -> None:
    """Ask all that it started to end, then kill it. Safe to call when it has ended already."""
    if grace > 0 and signal_all(process.pid, signal.SIGTERM):
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(grace)
    signal_all(process.pid, signal.SIGKILL)
    process.wait()
    # A signal is sent at once and obeyed a little later. Bounded: what nobody reaps stays where it is.
    ends = time.monotonic() + _GONE_WITHIN
    while signal_all(process.pid, signal.SIGKILL) and time.monotonic() < ends:
        threading.Event().wait(0.002)


def child_environment(
    environ: Mapping[str, str], secrets: frozenset[str], declared: Mapping[str, str], bin_dir: Path
) -> dict[str, str]:
    """The environment of a declared program: ours without our own credentials, with what was declared for it.

    `bin_dir` (this interpreter's) comes first on PATH, so that an installed `alpimonitor` is found without
    an activated environment. PGOPTIONS has the server end what a killed program had begun, where the program
    uses libpq: else its statement would go on to its end, and commit, beside the next heal.
    """
    kept = {name: value for name, value in environ.items() if name not in secrets}
    kept["PATH"] = os.pathsep.join(part for part in (str(bin_dir), kept.get("PATH", os.defpath)) if part)
    kept["PGOPTIONS"] = f"{_ENDS_WITH_ITS_CLIENT} {kept.get('PGOPTIONS', '')}".strip()
    return {**kept, **declared}


def redact(text: str) -> str:
    """`text` without the passwords of any address or connection string in it."""
    return _PASSWORDS.sub(r"\1***", _CREDENTIALS.sub(r"\1:***@", text))


def _head(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read(_OUTPUT_LIMIT)


def _tail(file: IO[bytes]) -> str:
    """The last lines of standard error, redacted."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 4 * _DETAIL_LIMIT))
    lines = [line.strip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    return redact(" | ".join(lines[-3:]))[-_DETAIL_LIMIT:]


def _reason(error: Exception) -> str:
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else str(error)
