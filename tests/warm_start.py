"""Sidecars as processes that need not import everything each time: forked from one that already has.

Run as a program it answers one JSON request a line on standard input, `{"argv", "environment", "log",
"harm"}`, by forking a process that runs the `alpimonitor` command with them, and reports on standard output
`{"started": pid}` and `{"ended": pid, "code": …}`. What is forked is the real composition in a process of its
own: only its imports are older than itself. It dies with this program, and this program with its input.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

CHECKOUT = Path(__file__).resolve().parent.parent
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Harm:
    """What is done to a sidecar from outside; tests/harm.py does it. A path that is empty: not done."""

    trace: str = ""  # every crossing of a boundary is written there
    fatal: str = ""  # the line of `trace` at which the process kills itself
    clock: str = ""  # a file with the seconds by which its wall clock is wrong; absent: 0


class WarmProcess:
    """A process that `Warmth` started; the part of subprocess.Popen that the tests use."""

    def __init__(self, pid: int, ends: threading.Condition, codes: Mapping[int, int]) -> None:
        self.pid = pid
        self._ends = ends
        self._codes = codes

    @property
    def returncode(self) -> int | None:
        with self._ends:
            return self._codes.get(self.pid)

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, or minus the signal; subprocess.TimeoutExpired when it does not end in time."""
        with self._ends:
            if not self._ends.wait_for(lambda: self.pid in self._codes, timeout):
                raise subprocess.TimeoutExpired([f"process {self.pid}"], timeout or 0)
            return self._codes[self.pid]

    def send_signal(self, sig: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, sig)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Warmth:
    """The program of this file, between enter and exit; `start` may be called from any thread."""

    def __init__(self) -> None:
        self._asking = threading.Lock()
        self._ends = threading.Condition()
        self._codes: dict[int, int] = {}
        self._started: list[int] = []

    def __enter__(self) -> Self:
        self._program = subprocess.Popen(
            [sys.executable, "-m", "tests.warm_start"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=CHECKOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, name="warmth")
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._program.stdin is not None
        self._program.stdin.close()
        self._program.wait()
        self._reader.join()

    def start(
        self, argv: Sequence[str], environment: Mapping[str, str], log: Path, harm: Harm | None = None
    ) -> WarmProcess:
        """`alpimonitor ARGV`, its output appended to `log`."""
        request = {
            "argv": list(argv),
            "environment": dict(environment),
            "log": str(log),
            "harm": asdict(harm or Harm()),
        }
        with self._asking:
            assert self._program.stdin is not None
            self._program.stdin.write(f"{json.dumps(request)}\n")
            self._program.stdin.flush()
            with self._ends:
                self._ends.wait_for(lambda: self._started or not self._reader.is_alive())
                if not self._started:
                    raise AssertionError("what starts sidecars has ended; it says why on standard error")
                pid = self._started.pop()
        return WarmProcess(pid, self._ends, self._codes)

    def _read(self) -> None:
        assert self._program.stdout is not None
        with self._program.stdout:
            for line in self._program.stdout:
                told = json.loads(line)
                with self._ends:
                    if "started" in told:
                        self._codes.pop(told["started"], None)  # a number may come again
                        self._started.append(told["started"])
                    else:
                        self._codes[told["ended"]] = told["code"]
                    self._ends.notify_all()
        with self._ends:
            self._ends.notify_all()


def serve() -> None:
    """Fork for each request until the input ends, and tell who has ended."""
    _import_everything()
    waking, woken = os.pipe()
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(woken)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    asked = b""
    while True:
        ready, _, _ = select.select([sys.stdin.fileno(), waking], [], [])
        if waking in ready:
            os.read(waking, 4096)
            _tell_the_ended()
        if sys.stdin.fileno() in ready:
            piece = os.read(sys.stdin.fileno(), 1 << 20)
            if not piece:
                return
            *lines, asked = (asked + piece).split(b"\n")
            for line in lines:
                _tell(started=_forked(json.loads(line)))


def _forked(request: dict[str, Any]) -> int:
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == parent:
            code = _become(request)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _become(request: dict[str, Any]) -> int:
    """Run the command as its own process would; returns its exit code."""
    log = os.open(request["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = ["alpimonitor", *request["argv"]]
    from alpimonitor_cli.main import main
    from tests import harm

    harm.inflict(Harm(**request["harm"]))
    try:
        main()
    except SystemExit as ending:
        return ending.code if isinstance(ending.code, int) else int(ending.code is not None)
    return 0


def _import_everything() -> None:
    import alpimonitor_cli.main
    import alpimonitor_watchdog.cli
    import alpimonitor_watchdog.service
    from alpimonitor_watchdog.notify import Channel
    from tests import harm

    assert alpimonitor_cli.main
    assert alpimonitor_watchdog.cli
    assert alpimonitor_watchdog.service
    assert harm
    Channel("warm", "json://127.0.0.1:9/")  # makes apprise import its services


def _tell_the_ended() -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        _tell(ended=pid, code=os.waitstatus_to_exitcode(status))


def _tell(**told: int) -> None:
    os.write(sys.stdout.fileno(), f"{json.dumps(told)}\n".encode())


if __name__ == "__main__":
    serve()
