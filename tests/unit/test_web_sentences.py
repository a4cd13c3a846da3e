"""What the status page and `alpimonitor status` say of each phase, and what a person has to do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from alpimonitor_watchdog.core.remedies import REFUSALS, SYMPTOMS
from alpimonitor_watchdog.core.seen import Findings
from alpimonitor_watchdog.core.words import Phase, Reason, Symptom, Unseen
from alpimonitor_watchdog.web.sentences import how_it_stands, label, seconds_until_heal, tone, what_to_do
from alpimonitor_watchdog.web.state import as_json
from alpimonitor_watchdog.web.view import View
from tests import views

LOCKED = replace(views.HEALTHY, observation=views.observation(station=None))
API_OPEN = replace(
    views.HEALTHY,
    state=replace(
        views.OPEN.state, incident=replace(views.INCIDENT, symptoms=(Symptom.API_UNHEALTHY,), losses=())
    ),
)
BLIND_IN_INCIDENT = replace(views.OPEN, findings=Findings(), refusal=Reason.UNREACHABLE)


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
            "Rows are missing: 7 of 7 context tables are empty.",
            "bad",
            False,
            "Nothing to do yet: the sidecar heals in 6 s.",
        ),
        (
            views.REFUSED,
            "Rows are missing: 7 of 7 context tables are empty.",
            "bad",
            True,
            REFUSALS[Reason.CIRCUIT_OPEN],
        ),
        (
            BLIND_IN_INCIDENT,
            "Rows are missing: 7 of 7 context tables are empty.",
            "bad",
            False,
            "Nothing to do yet: the sidecar heals when this has passed: unreachable.",
        ),
        (
            views.HEALING,
            "Rows are being put back: 7 of 7 context tables are empty.",
            "busy",
            False,
            "Nothing to do: the healer runs; its end and its proof will show here.",
        ),
        (
            views.VERIFYING,
            "The rows are back; a run of ingestion has to prove it.",
            "busy",
            False,
            "Nothing to do: the next run of ingestion is awaited.",
        ),
        (
            views.ESCALATED,
            "The rows are back, but it is not proven that consumers and ingestion see them.",
            "bad",
            True,
            "look at the last run of ingestion: it has not seen every station since the rows came back.",
        ),
        (views.RESOLVED, "The incident is over: it is resolved.", "good", False, "Nothing to do."),
        (API_OPEN, "Incident: api unhealthy.", "bad", True, SYMPTOMS[Symptom.API_UNHEALTHY]),
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
    assert what_to_do(replace(views.OPEN, refusal=reason))[1].endswith(".")


def test_few_losses_are_named_and_many_are_counted() -> None:
    def said(*names: str) -> str:
        losses = tuple(replace(loss, rows=1) for loss in views.LOSSES if loss.table in names)
        finding = replace(views.EMPTY.found[0], losses=losses)
        return how_it_stands(replace(views.OPEN, findings=Findings((finding,))))

    assert said("station") == "Rows are missing: station has 1 of 7 rows."
    assert said("station", "glacier", "sensor", "threshold") == (
        "Rows are missing: station has 1 of 7 rows, sensor has 1 of 14 rows, and 2 more tables."
    )


def test_what_cannot_be_seen_is_never_called_healthy() -> None:
    assert label(views.HEALTHY) == "healthy"
    assert label(views.UNREACHABLE) == label(LOCKED) == "cannot see"
    assert label(views.OPEN) == "open"


def test_the_time_to_a_heal_counts_down_and_ends_at_zero() -> None:
    assert seconds_until_heal(views.OPEN) == 6.0
    assert seconds_until_heal(replace(views.OPEN, lived=200.0)) == 0.0
    assert seconds_until_heal(views.REFUSED) == 0.0


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
