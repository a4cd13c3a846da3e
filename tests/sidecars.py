"""A sidecar as a process, on a database of the test's own, with a pager that records what it is told."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol

import httpx
import psycopg

from alpimonitor_rehearsal.waiting import wait_until

CONTEXT = {
    "catchment": 1,
    "station": 7,
    "sensor": 14,
    "threshold": 7,
    "glacier": 2,
    "station_glacier": 6,
    "withdrawal": 2,
}
POLICY = {
    "interval": "100ms",
    "timeout": "1s",
    "confirm_for": "500ms",
    "quiet_for": "0s",
    "clear_for": "500ms",
    "backoff_first": "1s",
    "backoff_max": "1s",
    "page_after": "60s",
}
ALPIMONITOR = (sys.executable, "-m", "alpimonitor_cli.main")
SEED = [*ALPIMONITOR, "seed", "--mode", "missing"]
DEADLINE = 30.0


class Process(Protocol):
    """What is needed of a running process; a subprocess.Popen has it."""

    pid: int

    @property
    def returncode(self) -> int | None: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, sig: int) -> None: ...
    def kill(self) -> None: ...


@dataclass
class Sidecar:
    """How a sidecar is configured, and the process once `running`."""

    folder: Path
    database: str
    channels: Mapping[str, str] = field(
        default_factory=dict
    )  # variable -> URL; its name in lower case is the tag
    policy: Mapping[str, str | int] = field(default_factory=dict)
    plan: list[str] = field(default_factory=lambda: [*SEED, "--dry-run", "--json"])
    run: list[str] = field(default_factory=lambda: SEED)
    after: list[str] = field(default_factory=list)
    mode: str = "on"
    tables: Mapping[str, int] = field(default_factory=lambda: CONTEXT)
    extra: str = ""
    port: int = 0
    process: Process | None = None

    @property
    def config(self) -> Path:
        return self.folder / "watchdog.toml"

    @property
    def log(self) -> str:
        path = self.folder / "sidecar.log"
        return path.read_text() if path.exists() else ""

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("WATCHDOG_")}
        return {
            **kept,
            "WATCHDOG_CONFIG": str(self.config),
            "WATCHDOG_DATABASE_URL": self.database,
            "SEED_DATABASE_URL": self.database,
            "WATCHDOG_STATE_DIR": str(self.folder / "state"),
            "WATCHDOG_LISTEN": f"127.0.0.1:{self.port}",
            **self.channels,
        }

    def write(self) -> None:
        lines = []
        for name, rows in self.tables.items():
            lines += ["[[table]]", f'name = "{name}"', f"expected = {rows}"]
        lines += ["[database]", 'environment = "test"']  # as conftest migrates it
        policy = {**POLICY, **self.policy}
        lines += ["[policy]", *(f"{key} = {json.dumps(value)}" for key, value in policy.items())]
        lines += ["[healing]", f'mode = "{self.mode}"']
        lines += ["[heal.command]", f"plan = {_argv(self.plan)}", f"run = {_argv(self.run)}"]
        if self.after:
            lines += [f"after = [{_argv(self.after)}]"]
        for variable in self.channels:
            name = variable.lower()
            lines += ["[[channel]]", f'name = "{name}"', f'url_env = "{variable}"', f'tags = ["{name}"]']
        self.config.write_text("\n".join([*lines, self.extra]))

    @contextlib.contextmanager
    def running(self) -> Iterator[Sidecar]:
        self.start()
        try:
            yield self
        finally:
            self.stop()

    def start(self) -> None:
        self.write()
        with (self.folder / "sidecar.log").open("ab") as log:
            began = self.log.count("status page")
            self.process = self.launch(log)
        wait_until(
            "the sidecar's start",
            lambda: self.log.count("status page") > began or self.process.poll() is not None,  # type: ignore[union-attr]
            deadline=DEADLINE,
        )
        if self.process.poll() is not None:
            raise AssertionError(f"the sidecar ended with {self.process.returncode}:\n{self.log}")

    def launch(self, log: IO[bytes]) -> Process:
        return subprocess.Popen(
            [*ALPIMONITOR, "watchdog", "run"], env=self.environment, stdout=log, stderr=log
        )

    def call(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run another command with the sidecar's settings."""
        return subprocess.run(
            [*ALPIMONITOR, *words],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=DEADLINE,
        )

    def stop(self) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(DEADLINE)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(DEADLINE)

    @property
    def url(self) -> str:
        line = [line for line in self.log.splitlines() if "status page" in line][-1]
        return line.rsplit("status page ", 1)[1].strip()

    def get(self, path: str) -> Any:
        return httpx.get(f"{self.url}{path}", timeout=5, trust_env=False).json()

    def state(self) -> Any:
        """/api/state; {"phase": None} while there is none yet."""
        answer = httpx.get(f"{self.url}api/state", timeout=5, trust_env=False)
        return answer.json() if answer.status_code == 200 else {"phase": None}

    def until(self, phase: str, deadline: float = DEADLINE) -> Any:
        def reached() -> Any:
            state = self.state()
            return state if state["phase"] == phase else None

        return wait_until(f"phase {phase}", reached, deadline=deadline, every=0.05)


def wipe(url: str, *tables: str) -> None:
    """Empty the context, what references it first."""
    order = (
        "measurement",
        "station_glacier",
        "withdrawal",
        "threshold",
        "sensor",
        "station",
        "glacier",
        "catchment",
    )
    with psycopg.connect(url) as connection:
        for table in tables or order:
            connection.execute(f"DELETE FROM {table}")  # type: ignore[call-overload]


def rows(url: str) -> dict[str, int]:
    """How many rows each context table has."""
    with psycopg.connect(url) as connection:
        return {
            table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # type: ignore[call-overload,index]
            for table in CONTEXT
        }


def _argv(argv: list[str]) -> str:
    return "[" + ", ".join(f"'{word}'" for word in argv) + "]"
