"""An interrupt at the worst moments: while Python still imports, and while it executes a string."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from alpimonitor_rehearsal.processes import environment

pytestmark = pytest.mark.acceptance

ENDS_WITHIN = 60.0
# Python runs a module of this name at its start. The process sends the signal to itself when the import at
# hand begins, or, for "<string>", within the first string that is executed after a command has begun.
SITECUSTOMIZE = """
import os, sys

at, number = os.environ["INTERRUPT_AT"], int(os.environ["INTERRUPT_WITH"])
sent, begun = [], "alpimonitor_cli.settings_reference"

def send():
    if not sent:
        sent.append(True)
        os.kill(os.getpid(), number)

def hook(event, arguments):
    if event == "import" and arguments[0] == at:
        send()
    if event == "exec" and arguments[0].co_filename == at and begun in sys.modules and not sent:
        sys.settrace(trace)

def trace(frame, event, argument):
    if frame.f_code.co_filename == at:
        send()

sys.addaudithook(hook)
"""
MODULE = [sys.executable, "-m", "alpimonitor_cli.main"]
SCRIPT = [str(Path(sys.executable).with_name("alpimonitor"))]
SERVER = [sys.executable, "-m", "alpimonitor_api.server"]
REFERENCE = ["settings", "reference"]


def exit_code(folder: Path, command: list[str], at: str, number: signal.Signals) -> int:
    (folder / "sitecustomize.py").write_text(SITECUSTOMIZE)
    settings = {"PYTHONPATH": str(folder), "INTERRUPT_AT": at, "INTERRUPT_WITH": str(int(number))}
    ended = subprocess.run(
        command,
        env={**environment(folder, os.environ), **settings, "DATABASE_URL": "postgresql://a@127.0.0.1:1/b"},
        capture_output=True,
        text=True,
        timeout=ENDS_WITHIN,
        check=False,
    )
    assert "Traceback" not in ended.stderr
    return ended.returncode


def test_the_first_import_of_all(tmp_path: Path) -> None:
    assert exit_code(tmp_path, [*MODULE, *REFERENCE], "signal", signal.SIGINT) == 130


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    "at",
    [
        "alpimonitor_cli.commands",
        "typer",
        "importlib.metadata",
        "difflib",
        "pydantic",
        "<string>",
    ],
)
def test_the_command_exits_130(tmp_path: Path, at: str, number: signal.Signals) -> None:
    assert exit_code(tmp_path, [*MODULE, *REFERENCE], at, number) == 130


@pytest.mark.parametrize("at", ["typer", "alpimonitor_rehearsal.demo", "psycopg"])
def test_the_installed_program_exits_130(tmp_path: Path, at: str) -> None:
    assert exit_code(tmp_path, [*SCRIPT, "demo"], at, signal.SIGINT) == 130


@pytest.mark.parametrize("at", ["uvicorn", "fastapi"])
def test_the_server_that_boot_becomes_ends_as_it_does_later(tmp_path: Path, at: str) -> None:
    assert exit_code(tmp_path, SERVER, at, signal.SIGINT) == 130
    assert exit_code(tmp_path, SERVER, at, signal.SIGTERM) == 0
