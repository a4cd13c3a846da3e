"""What the status page and `alpimonitor status` say of each phase, and what a person has to do."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from alpimonitor_watchdog.core.remedies import REFUSALS, SYMPTOMS
from alpimonitor_watchdog.core.seen import Finding, Findings
from alpimonitor_watchdog.core.words import CONTEXT_LOSS, Phase, Reason, Symptom, Unseen
from alpimonitor_watchdog.status_cli import told
from alpimonitor_watchdog.web.sentences import how_it_stands, label, seconds_to_heal, tone, what_to_do
from alpimonitor_watchdog.web.state import as_json
from alpimonitor_watchdog.web.view import View
from tests import views

WIPED = "7 tables empty (catchment 0/1, station 0/7, …)."
LOCKED = replace(views.HEALTHY, observation=views.observation(station=None))
API_OPEN = replace(
    views.HEALTHY,
    state=replace(
        views.OPEN.state, incident=replace(views.INCIDENT, symptoms=(Symptom.API_UNHEALTHY,), losses=())
    ),
)
BLIND_IN_INCIDENT = replace(
    views.OPEN,
    findings=Findings(
        (Finding(Symptom.DATABASE_UNREACHABLE, "refused"),), undetermined=frozenset(CONTEXT_LOSS)
    ),
    refusal=Reason.UNREACHABLE,
)


@pytest.mark.parametrize(
    ("view", "says", "wears", "acts", "todo"),
    [
        (views.HEALTHY, "All 7 context tables have their rows.", "good", False, "Nothing to do."),
        (
            views.UNREACHABLE,
            "The database cannot be seen: unreachable (connection refused).",
            "watch",
            False,
            "Nothing to do yet: it becomes an incident if it lasts.",
        ),
        (
            LOCKED,
            "What can be seen is whole, but these tables cannot be seen: station.",
            "watch",
            False,
            "Nothing to do yet: it becomes an incident if it lasts.",
        ),
        (
            views.SUSPECTED,
            "Something may be wrong: /stations answers 500.",
            "watch",
            False,
            "Nothing to do yet: it becomes an incident if it lasts.",
        ),
        (
            views.OPEN,
            WIPED,
            "bad",
            False,
            "Nothing to do: the sidecar puts the rows back and says when it is done.",
        ),
        (
            views.REFUSED,
            WIPED,
            "bad",
            True,
            REFUSALS[Reason.CIRCUIT_OPEN],
        ),
        (
            BLIND_IN_INCIDENT,
            f"Rows cannot be seen, but database unreachable; before: {WIPED}",
            "bad",
            False,
            "Nothing to do yet: the sidecar heals when this has passed: unreachable.",
        ),
        (
            views.HEALING,
            f"Rows are being put back: {WIPED[0].lower()}{WIPED[1:]}",
            "busy",
            False,
            "Nothing to do yet: the healer runs; how it ends is told.",
        ),
        (
            views.VERIFYING,
            f"The rows are back; before: {WIPED}",
            "busy",
            False,
            "Nothing to do yet: the rows are back; a run of ingestion has to see every station.",
        ),
        (
            views.ESCALATED,
            f"The rows are back; before: {WIPED}",
            "bad",
            True,
            "the rows are back, but ingestion has not seen every station since: look at its last run.",
        ),
        (views.RESOLVED, "The incident is over: it is resolved.", "good", False, "Nothing to do."),
        (API_OPEN, "Api unhealthy.", "bad", True, SYMPTOMS[Symptom.API_UNHEALTHY]),
        (
            replace(views.HEALTHY, store_error="disk full"),
            "All 7 context tables have their rows.",
            "good",
            True,
            REFUSALS[Reason.NOT_RECORDABLE],
        ),
    ],
    ids=lambda value: value.state.phase.value if isinstance(value, View) else "",
)
def test_each_phase_says_how_it_stands_and_what_to_do(
    view: View, says: str, wears: str, acts: bool, todo: str
) -> None:
    assert (how_it_stands(view), tone(view), what_to_do(view)) == (says, wears, (acts, todo))


@pytest.mark.parametrize("phase", list(Phase))
def test_every_phase_has_its_words(phase: Phase) -> None:
    view = replace(views.OPEN, state=replace(views.OPEN.state, phase=phase))
    assert how_it_stands(view).endswith(".")
    assert what_to_do(view)[1].endswith(".")
    assert tone(view) in ("good", "watch", "busy", "bad")


@pytest.mark.parametrize("reason", list(REFUSALS))
def test_every_refusal_ends_in_a_sentence(reason: Reason) -> None:
    assert what_to_do(replace(views.OPEN, refusal=reason, obstacle=reason))[1].endswith(".")


def test_what_cannot_be_seen_is_never_called_healthy() -> None:
    assert label(views.HEALTHY) == "healthy"
    assert label(views.UNREACHABLE) == label(LOCKED) == "cannot see"
    assert label(views.OPEN) == "open"


def test_the_time_to_a_heal_counts_down_and_ends_at_zero() -> None:
    assert seconds_to_heal(views.OPEN) == 6.0
    streak = replace(views.OPEN.state.streaks[0], lasted=200.0)
    assert seconds_to_heal(replace(views.OPEN, state=replace(views.OPEN.state, streaks=(streak,)))) == 0.0
    assert seconds_to_heal(views.REFUSED) == 0.0


def test_the_state_shows_each_table_as_it_was_seen() -> None:
    seen = views.observation(station=0, sensor=3, threshold=None)
    tables = tuple(
        replace(table, exists=False, rows=None) if table.name == "glacier" else table
        for table in seen.database.tables
    )
    seen = replace(seen, database=replace(seen.database, tables=tables))
    state = as_json(replace(views.HEALTHY, observation=seen), 0.2, stale_after=10, version="1")
    shown = {table["name"]: (table["rows"], table["condition"], table["detail"]) for table in state["tables"]}
    assert shown == {
        "catchment": (1, "ok", ""),
        "station": (0, "empty", ""),
        "sensor": (3, "short", ""),
        "threshold": (None, "unseen", f"{Unseen.LOCKED} by pid 4711"),
        "glacier": (None, "gone", ""),
        "station_glacier": (6, "ok", ""),
        "withdrawal": (2, "ok", ""),
        "measurement": (10000, "ok", ""),
    }


def test_of_an_unseen_database_no_figure_is_shown() -> None:
    state = as_json(views.UNREACHABLE, 0.2, stale_after=10, version="1")
    assert {table["rows"] for table in state["tables"]} == {None}
    assert {table["condition"] for table in state["tables"]} == {"unseen"}
    assert state["look"]["unseen"] == "unreachable"


def test_the_state_holds_no_credential_of_a_health_address() -> None:
    state = as_json(views.HEALTHY, 0.2, stale_after=10, version="1")
    assert state["health"][0]["url"] == "http://127.0.0.1:8000/api/v1/stations"
    assert "sesame" not in str(state)


@pytest.mark.parametrize(
    ("symptom", "acts", "todo"),
    [
        (Symptom.IDENTITY_CHANGED, True, "if it is the right one: `alpimonitor watchdog adopt`"),
        (Symptom.API_UNHEALTHY, False, "it ends when this clears: api unhealthy"),
        (Symptom.CONTEXT_CHANGED, False, "the rows are back by themselves; it ends when it stays so"),
    ],
)
def test_rows_that_are_back_are_not_the_end_while_something_else_is_wrong(
    symptom: Symptom, acts: bool, todo: str
) -> None:
    back = replace(views.OPEN, observation=views.observation(), findings=Findings((Finding(symptom, "so"),)))
    act, sentence = what_to_do(back)
    assert act is acts
    assert todo in sentence


def test_status_says_what_the_page_says() -> None:
    refused = replace(views.REFUSED, observation=views.observation(station=None))
    lines = told(as_json(refused, 0.5, stale_after=5, version="1")).splitlines()
    assert lines[1] == f"You must act: {REFUSALS[Reason.CIRCUIT_OPEN]}"
    assert "no heal now: circuit_open" in lines
    assert any(
        line.split() == ["station", "not", "seen", "of", "7", "unseen", "(locked", "by", "pid", "4711)"]
        for line in lines
    )
    blind = told(as_json(views.UNREACHABLE, 0.5, stale_after=5, version="1"))
    assert blind.startswith("hydro@db.example:5432 (production): cannot see.")
    broken = told(as_json(replace(views.HEALTHY, store_error="disk full"), 0.5, stale_after=5, version="1"))
    assert broken.endswith("warning: disk full")


def test_status_says_when_it_heals_or_what_will_refuse_it_and_who_leads() -> None:
    waits = as_json(views.OPEN, 0.5, stale_after=5, version="1")
    assert re.search(r"no heal now: not_proven_yet; heals in \d+ s", told(waits))
    dry = as_json(replace(views.OPEN, obstacle=Reason.DRY_RUN), 0.5, stale_after=5, version="1")
    assert "no heal now: not_proven_yet; it will be refused: dry_run" in told(dry)
    other = waits | {"leader": {"leads": False, "other_pid": 4711, "heals_recorded": None}}
    assert "another sidecar leads, and heals: its session is 4711" in told(other)
