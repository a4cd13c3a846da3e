"""The runbooks: complete, with links that lead somewhere and commands that exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer
import yaml
from typer.core import TyperGroup
from typer.main import get_command

CHECKOUT = Path(__file__).resolve().parents[2]
RUNBOOKS = CHECKOUT / "runbooks"
PAGES = sorted(RUNBOOKS.rglob("*.md"))
INCIDENTS = sorted((RUNBOOKS / "incidents").glob("*.md"))

FENCE = re.compile(r"^```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?:^ {4,}\S.*\n?)+", re.MULTILINE)
SPAN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
ADDRESS = re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b")
MAIL = re.compile(r"[\w.+-]+@[\w-]+\.[\w.]+")
HOST = re.compile(r"https?://([^\s/:)`]+)")


def name_of(page: Path) -> str:
    return str(page.relative_to(RUNBOOKS))


def rule_names() -> set[str]:
    files = sorted((CHECKOUT / "dashboards" / "rules").glob("*.yml"))
    groups = [group for file in files for group in yaml.safe_load(file.read_text())["groups"]]
    return {rule["alert"] for group in groups for rule in group["rules"]}


def headings(page: Path, level: int) -> list[str]:
    return re.findall(rf"^{'#' * level} (.+)$", FENCE.sub("", page.read_text()), re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """The fragments that a reader of Markdown makes of a page's headings."""
    found = [text for level in range(1, 5) for text in headings(page, level)]
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in found}


def code_of(page: Path) -> list[str]:
    """What is set as code, a line each; lines that end in a backslash are joined."""
    text = page.read_text()
    blocks = FENCE.findall(text) + INDENTED.findall(FENCE.sub("", text))
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return lines + SPAN.findall(FENCE.sub("", text))


def quoted_commands(page: Path) -> list[str]:
    """Every `alpimonitor …` in a page's code, from its first word behind `alpimonitor`."""
    found = [re.search(r"(?<![\w./=:-])(?:alpimonitor|\./dev) +([a-z-].*)", line) for line in code_of(page)]
    # Up to where the shell takes over again, or the quotes around it end.
    return [re.split(r"[|<>;&']", match[1])[0].strip() for match in found if match]


def test_each_rule_has_a_page_and_each_page_a_rule() -> None:
    assert {page.stem for page in (RUNBOOKS / "rules").glob("*.md")} == rule_names()


@pytest.mark.parametrize("rule", sorted(rule_names()))
def test_a_page_of_a_rule_has_the_four_parts_in_order(rule: str) -> None:
    page = RUNBOOKS / "rules" / f"{rule}.md"
    assert headings(page, 1) == [rule]
    assert headings(page, 2) == ["Meaning", "Impact", "Diagnosis", "Mitigation"]


def test_the_index_names_every_page() -> None:
    index = RUNBOOKS / "README.md"
    linked = {(RUNBOOKS / link.split("#")[0]).resolve() for link in LINK.findall(index.read_text())}
    assert set(PAGES) - {index} <= linked


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(FENCE.sub("", page.read_text())):
        path, _, fragment = link.partition("#")
        assert not path.startswith("http"), f"{link}: a page at 3 a.m. has to be here"
        target = (page.parent / path).resolve() if path else page
        assert target.is_file(), link
        assert not fragment or fragment in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_page_names_a_person_or_a_server(page: Path) -> None:
    text = page.read_text()
    assert set(ADDRESS.findall(text)) <= {"127.0.0.1", "0.0.0.0", "127.0.0.0", "192.0.2.0"}
    assert not MAIL.findall(text)
    # The public service that the measurements come from, and a name that is nobody's.
    assert set(HOST.findall(text)) <= {"127.0.0.1", "lindas.admin.ch", "example.ch"}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_keeps_the_words_of_the_house(page: Path) -> None:
    prose = SPAN.sub("", FENCE.sub("", page.read_text()))
    # An alert is a row of the table of that name; these are notifications and rules.
    assert not re.findall(r"\b(?:alert(?:s|ing)?|culprit)\b", prose, re.IGNORECASE)


def test_the_commands_are_found_in_the_pages() -> None:
    quoted = [command for page in PAGES for command in quoted_commands(page)]
    assert "status" in quoted
    assert "seed --mode missing --dry-run" in quoted
    assert len(quoted) > 30


@pytest.mark.parametrize("command", sorted({command for page in PAGES for command in quoted_commands(page)}))
def test_a_quoted_command_exists_with_its_options(command: str) -> None:
    from alpimonitor_cli.commands import app

    words = shlex.split(command)
    found = get_command(app)
    context = typer.Context(found, info_name="alpimonitor")
    while words and isinstance(found, TyperGroup):
        known = found.get_command(context, words[0])
        assert known is not None, f"alpimonitor {command}: no command {words[0]}"
        found = known
        context = typer.Context(found, info_name=words.pop(0), parent=context)
    assert not isinstance(found, TyperGroup), f"alpimonitor {command} names no command of the group"
    known_options = {option for parameter in found.get_params(context) for option in parameter.opts}
    given = {word.split("=")[0] for word in words if word.startswith("-")}
    assert given <= known_options, f"alpimonitor {command}"


def test_every_reason_for_which_a_heal_waits_or_is_refused_says_what_to_do() -> None:
    from alpimonitor_watchdog.core.remedies import REFUSALS

    assert set(headings(RUNBOOKS / "refused-heal.md", 3)) == {reason.value for reason in REFUSALS}


def test_every_symptom_is_looked_up_somewhere() -> None:
    from alpimonitor_watchdog.core.words import Symptom

    text = "\n".join(page.read_text() for page in (RUNBOOKS / "rules").glob("*.md"))
    by_name = {"context_empty": "ContextEmpty", "ingestion_blind": "IngestionBlind"}
    silent = {Symptom.CONTEXT_CHANGED}
    for symptom in set(Symptom) - silent:
        assert symptom.value in text or by_name.get(symptom.value, "?") in text, symptom.value


def test_every_reason_for_which_the_database_gives_no_answer_says_where_to_look() -> None:
    from alpimonitor_api.database import Reason

    told = re.findall(r"^\| 503, `(\w+)`", (RUNBOOKS / "rules" / "ApiErrors.md").read_text(), re.MULTILINE)
    assert sorted(told) == sorted(reason.value for reason in Reason)


def test_what_no_heal_brings_back_is_told_with_the_command_that_does() -> None:
    assert any(
        command.startswith("ingest replay") for command in quoted_commands(RUNBOOKS / "healed-incident.md")
    )


@pytest.mark.parametrize("page", INCIDENTS, ids=name_of)
def test_an_incident_is_written_in_the_format(page: Path) -> None:
    (skeleton,) = FENCE.findall((RUNBOOKS / "incident-format.md").read_text())
    wanted = re.findall(r"^## (.+)$", skeleton, re.MULTILINE)
    (title,) = headings(page, 1)
    date = page.name[:10]
    assert re.fullmatch(rf"Incident {date} — \S.*", title)
    assert headings(page, 2) == wanted
    head = page.read_text().split("## TL;DR")[0]
    assert re.findall(r"^- (\w+): \S", head, re.MULTILINE) == ["Status", "Severity", "Duration", "Authors"]
    for part in re.split(r"^## .+$", page.read_text(), flags=re.MULTILINE)[1:]:
        assert part.strip()


@pytest.mark.parametrize("page", INCIDENTS, ids=name_of)
def test_the_timeline_of_an_incident_ascends(page: Path) -> None:
    timeline = page.read_text().split("## Timeline (UTC)")[1].split("## ")[0]
    assert f"| When ({page.name[:10]}) | Event |" in timeline
    times = re.findall(r"^\| ~?((?:\d{4}-\d\d-\d\d )?\d\d:\d\d)(?::\d\d)? \|", timeline, re.MULTILINE)
    assert len(times) == len(timeline.strip().splitlines()) - 2
    dated = [time if len(time) > 5 else f"{page.name[:10]} {time}" for time in times]
    assert dated == sorted(dated)
