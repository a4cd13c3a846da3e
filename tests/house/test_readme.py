"""README is true: its commands exist, its settings are the ones that are read, its links lead somewhere."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import click
import pytest
from typer.main import get_command

from alpimonitor_cli.commands import app
from alpimonitor_cli.settings_reference import parts
from alpimonitor_rehearsal.scenarios import PLAYED

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
RESULTS = ROOT / "tests" / "benchmarks" / "results"


def test_every_variable_that_it_names_is_in_the_settings_reference() -> None:
    named = set(re.findall(r"\b([A-Z][A-Z0-9]+(?:_[A-Z0-9]+)+)\b", README))
    known = {variable.name for part in parts() for variable in part.variables}
    answers = {"CONTEXT_EMPTY"}
    assert named - known - {"NAME_FILE"} - answers == set()


def test_its_defaults_are_those_of_the_settings_reference() -> None:
    known = {(each.name, (each.default or "").strip("`")) for part in parts() for each in part.variables}
    told = re.findall(r"^\| `(\w+)` \|.*default `([^`]+)` \|$", README, re.MULTILINE)
    assert len(told) >= 4
    assert set(told) <= known


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
    assert {name.strip() for name in demo.split("|")} == set(PLAYED)


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)#\s]+)\)", README))))
def test_every_link_leads_somewhere(target: str) -> None:
    if not target.startswith("https://"):
        assert (ROOT / target).exists()


def test_the_transcript_is_of_a_run_that_held() -> None:
    transcript = README.split("<!-- transcript: ./dev demo -->", 1)[1].split("<!-- /transcript -->", 1)[0]
    for beat in ("healthy:", "psql emptied 7 tables", "503 CONTEXT_EMPTY", "noticed", "notified", "restored:",
                 "verified:", "resolved:", "who did it", "It held:", "To hold it: ", "(key "):  # fmt: skip
        assert beat in transcript, beat


def test_every_figure_is_one_that_was_measured() -> None:
    quoted = README.split("<!-- figures -->", 1)[1].split("<!-- /figures -->", 1)[0]
    rows = [row for file in RESULTS.glob("*.json") for row in json.loads(file.read_text())["rows"]]
    measured = {str(row[key]) for row in rows for key in ("median_ms", "p50_ms", "p99_ms") if key in row}
    settings = {str(row["interval"]).removesuffix("ms") for row in rows if "interval" in row}
    figures = set(re.findall(r"([\d.]+) ms", quoted)) - settings
    assert figures
    assert figures <= measured


def test_the_speed_of_the_api_that_it_quotes_is_what_was_measured() -> None:
    rows = json.loads((RESULTS / "api.json").read_text())["rows"]
    measured = {(row["route"], row["cache"]): row for row in rows if row["connections"] == 32}
    quoted = README.split("<!-- api -->", 1)[1].split("<!-- /api -->", 1)[0]
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in quoted.strip().splitlines()[2:]
    ]
    assert len(lines) >= 4
    for route, rate, ratio, median, p99, cached in lines:
        row = measured["hello" if "hello" in route else route, "off"]
        assert [rate, ratio] == [str(row["requests_per_second"]), str(row["ratio_to_hello"])]
        assert [median, p99] == [f"{row['p50_ms']} ms", f"{row['p99_ms']} ms"]
        if cached:
            assert cached == f"{measured[route, 'on']['ratio_to_hello']} of hello"
    highest = max(
        row["rss_highest_mb"] for row in rows if "rss_highest_mb" in row and row["route"] != "hello"
    )
    assert f"{highest} MB at the highest" in README
