"""README is true: its commands exist, its settings are the ones that are read, its links lead somewhere."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import click
import pytest
from typer.main import get_command

from alpimonitor_api.settings import Settings
from alpimonitor_cli.main import app
from alpimonitor_rehearsal.scenarios import SCENARIOS

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
PACKAGES = ("api", "seed", "watchdog", "cli", "rehearsal")
RESULTS = ROOT / "tests" / "benchmarks" / "results"

# Read by libraries, by Docker or by the tests, not by a package of ours.
_ELSEWHERE = {"TEST_DATABASE", "NAME", "NAME_FILE"}


def _sources() -> str:
    files = [
        file
        for package in PACKAGES
        for file in (ROOT / package).rglob("*")
        if file.suffix in {".py", ".toml"}
    ]
    return "\n".join(file.read_text() for file in files)


def _named_variables() -> set[str]:
    table = README.split("## Configuration", 1)[1].split("## Measured", 1)[0]
    cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    return {name for cell in cells for name in re.findall(r"`([A-Z][A-Z0-9_]+)`", cell)}


def test_every_setting_of_the_api_is_in_the_table() -> None:
    assert {name.upper() for name in Settings.model_fields} <= _named_variables()


def test_every_variable_of_the_table_is_read_somewhere() -> None:
    sources = _sources()
    fields = {name.upper() for name in Settings.model_fields}
    unread = {name for name in _named_variables() - fields if not re.search(rf"\b{name}\b", sources)}
    assert unread == set()


def test_every_variable_that_the_text_names_is_in_the_table() -> None:
    named = set(re.findall(r"\b([A-Z][A-Z0-9]+(?:_[A-Z0-9]+)+)\b", README))
    answers = {"CONTEXT_EMPTY"}
    assert named - _named_variables() - _ELSEWHERE - answers == set()


@pytest.mark.parametrize("command", sorted(set(re.findall(r"`?(alpimonitor [a-z][a-z -]*)", README))))
def test_every_command_exists(command: str) -> None:
    words = [word for word in shlex.split(command)[1:] if not word.startswith("-")]
    current: click.Command = get_command(app)
    for word in words:
        if not isinstance(current, click.Group):
            break
        found = current.get_command(click.Context(current), word)
        assert found is not None, f"README says {command!r}"
        current = found


def test_every_word_of_dev_exists() -> None:
    script = (ROOT / "dev").read_text()
    for word in set(re.findall(r"\./dev ([a-z]+)", README)) - {"demo"}:
        assert f"        {word})" in script


def test_every_scenario_is_named() -> None:
    demo = README.split("--scenario ", 1)[1].split("`", 1)[0]
    assert {name.strip() for name in demo.split("|")} == set(SCENARIOS)


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)#\s]+)\)", README))))
def test_every_link_leads_somewhere(target: str) -> None:
    if not target.startswith("https://"):
        assert (ROOT / target).exists()


def test_the_transcript_is_of_a_run_that_held() -> None:
    transcript = README.split("<!-- transcript: ./dev demo -->", 1)[1].split("<!-- /transcript -->", 1)[0]
    for beat in ("healthy:", "psql emptied 7 tables", "503 CONTEXT_EMPTY", "noticed", "notified", "restored:",
                 "verified:", "resolved:", "who did it", "It held:"):  # fmt: skip
        assert beat in transcript, beat


def test_every_figure_is_one_that_was_measured() -> None:
    quoted = README.split("<!-- figures -->", 1)[1].split("<!-- /figures -->", 1)[0]
    rows = [row for file in RESULTS.glob("*.json") for row in json.loads(file.read_text())["rows"]]
    measured = {str(row[key]) for row in rows for key in ("median_ms", "p99_ms")}
    settings = {str(row["interval"]).removesuffix("ms") for row in rows if "interval" in row}
    figures = set(re.findall(r"([\d.]+) ms", quoted)) - settings
    assert figures
    assert figures <= measured
