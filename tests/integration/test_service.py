"""The parts of a sidecar as they are put together."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from alpimonitor_watchdog.service import Service
from alpimonitor_watchdog.settings import load

CONFIG = """
[[table]]
name = "station"
expected = 7
[policy]
timeout = "10s"
"""


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    config = tmp_path / "watchdog.toml"
    config.write_text(CONFIG)
    return {
        "WATCHDOG_CONFIG": str(config),
        "WATCHDOG_DATABASE_URL": "postgresql://u@127.0.0.1:1/x",
        "WATCHDOG_STATE_DIR": str(tmp_path / "state"),
        "WATCHDOG_LISTEN": "127.0.0.1:0",
    }


@pytest.fixture
def service(environ: dict[str, str]) -> Iterator[Service]:
    made = Service(load(environ), environ)
    yield made
    made._store.close()


def test_it_counts_as_alive_for_longer_than_a_look_may_take(service: Service) -> None:
    assert service._web._board.stale_after > service._database.within > 10


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="no clock that counts sleep here")
def test_a_lease_goes_on_while_the_machine_sleeps(service: Service) -> None:
    """Linux's monotonic clock stands still then, and the server's goes on."""
    clock = service._leadership._monotonic
    assert isinstance(clock, partial)
    assert (clock.func, clock.args) == (time.clock_gettime, (time.CLOCK_BOOTTIME,))


def test_a_thread_that_hangs_does_not_keep_the_process(environ: dict[str, str]) -> None:
    """A name server that does not answer keeps the thread that asked it, and Python waits for that."""
    code = """
import asyncio, threading
from alpimonitor_watchdog import cli, service

asking = threading.Event()

class Hangs:
    def __init__(self, *_):
        pass
    def run(self):
        threading.Thread(target=self.asks, daemon=True).start()
        asking.wait()
    def asks(self):
        asyncio.run(self.a_name())
    async def a_name(self):
        asyncio.get_running_loop().run_in_executor(None, threading.Event().wait)
        asking.set()
    def stop(self):
        print("stopped", flush=True)

service.Service = Hangs
cli.app(["run"])
"""
    ended = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=False, timeout=20
    )
    assert (ended.returncode, ended.stdout) == (0, "stopped\n"), ended.stderr


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_NOFILE"), reason="no limit of descriptors here")
def test_the_thread_that_leads_can_wait_when_no_descriptor_is_left() -> None:
    code = """
import os, resource
from alpimonitor_watchdog.leadership.bell import Bell
bell = Bell()
resource.setrlimit(resource.RLIMIT_NOFILE, (os.dup(0), 4096))
bell.ring()
bell.wait(20.0, 0)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=20)
