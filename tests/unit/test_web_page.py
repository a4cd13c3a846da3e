"""What the status page shows of a view: who leads, what is to be copied, which commands would be refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from alpimonitor_watchdog.core.seen import LeaderSeen
from alpimonitor_watchdog.core.words import Reason
from alpimonitor_watchdog.web.page import Page, code
from alpimonitor_watchdog.web.state import as_json
from alpimonitor_watchdog.web.view import View
from tests import views

INCIDENT: dict[str, Any] = {
    "id": "20260421T121000Z-1",
    "symptoms": ["context_empty"],
    "opened_at": "2026-04-21T12:10:00.000Z",
    "resolved_at": None,
    "timeline": [],
    "notifications": [],
}


def shown(view: View) -> str:
    state = as_json(view, 0.5, stale_after=5, version="1")
    return Page().render(state, [], INCIDENT, now=views.AT + timedelta(seconds=5), store_error="")


def led_by(leader: LeaderSeen) -> View:
    assert views.OPEN.observation is not None
    observation = replace(views.OPEN.observation, leader=leader)
    return replace(views.OPEN, observation=observation, refusal=Reason.NOT_LEADING)


def test_what_stands_between_backticks_is_code_and_everything_is_escaped() -> None:
    told = code("look: `a <b>` & <i>")
    assert told == "look: <code>a &lt;b&gt;</code> &amp; &lt;i&gt;"


def test_a_sidecar_that_does_not_lead_says_who_does_and_offers_no_heal() -> None:
    page = shown(led_by(LeaderSeen(leads=False, other=4711)))
    assert "another sidecar, and heals: its session is 4711" in page
    assert "heal --now" not in page
    leads = shown(led_by(LeaderSeen(leads=True)))
    assert "<dt>Leads</dt>" not in leads
    assert "heal --now" in leads


def test_a_heal_that_is_held_is_not_offered_and_the_way_on_is() -> None:
    page = shown(views.BRAKED)
    assert "heal --now" not in page
    assert "<code>alpimonitor watchdog resume --reason …</code> lets it go on." in page


def test_what_will_refuse_the_heal_in_the_end_stands_beside_what_it_waits_for() -> None:
    assert "it will be refused: dry run" in shown(replace(views.OPEN, obstacle=Reason.DRY_RUN))
    assert "heals in" in shown(views.OPEN)


def test_no_plan_is_shown_once_the_rows_are_back() -> None:
    assert "+7 station" in shown(views.OPEN)
    back = replace(views.OPEN, observation=views.observation(), findings=views.HEALTHY.findings, refusal=None)
    assert "+7 station" not in shown(back)
