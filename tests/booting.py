"""Boots as real processes, and what they say."""

from __future__ import annotations

import re
from os import environ
from pathlib import Path
from typing import Any

import psycopg

from alpimonitor_rehearsal.processes import Child, Processes, environment, python_module

PATIENCE = 60  # seconds a test waits before it says what did not happen
AT_ONCE = 15  # seconds: much less than BOOT_WAIT_SECONDS, and more than a busy machine needs to start Python
LISTENS = re.compile(r"listens on (http://\S+)")


class Boots:
    """Starts `alpimonitor boot` and reads what it says."""

    def __init__(self, processes: Processes, folder: Path) -> None:
        self._processes = processes
        self._folder = folder
        self._started = 0

    def start(self, *arguments: str, **settings: str) -> Child:
        everything = {
            **environment(self._folder, environ),
            "PORT": "0",
            "INGESTION_ENABLED": "false",
            "DEPLOYMENT_ENVIRONMENT": "test",
            **settings,
        }
        command = python_module("alpimonitor_cli.main", "boot", *arguments)
        self._started += 1
        return self._processes.start(f"boot {self._started}", command, everything)

    def until_it_ends(self, *arguments: str, **settings: str) -> Child:
        """Start it and wait for its end."""
        boot = self.start(*arguments, **settings)
        boot.process.wait(PATIENCE)
        return boot

    def until_it_serves(self, *arguments: str, **settings: str) -> tuple[Child, str]:
        """Start it and wait for the server's address."""
        boot = self.start(*arguments, **settings)
        found = boot.until("serve", lambda: LISTENS.search(boot.logged()), deadline=PATIENCE)
        return boot, found[1]


def said(boot: Child) -> list[str]:
    """The lines of the boot, without their mark."""
    return [line.removeprefix("[boot] ") for line in boot.logged().splitlines() if line.startswith("[boot] ")]


def execute(url: str, statement: str) -> list[Any]:
    with psycopg.connect(url) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []
