"""The answer to a dry run: the plan, every guard rail in order, and in a sentence what would happen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from alpimonitor_watchdog.core.guards import GUARDS
from alpimonitor_watchdog.core.remedies import REFUSALS
from alpimonitor_watchdog.core.seen import PlanSeen
from alpimonitor_watchdog.core.words import Mode, Reason
from alpimonitor_watchdog.web.preview import previewed
from alpimonitor_watchdog.web.view import View
from tests import views


def preview(view: View, plan: PlanSeen) -> dict[str, Any]:
    assert view.observation is not None
    return previewed(view, view.observation, plan)


def reasons(said: dict[str, Any]) -> dict[str, str | None]:
    return {rail["guard"]: rail["reason"] for rail in said["guards"]}


def test_every_guard_rail_is_named_in_the_order_in_which_they_are_asked() -> None:
    said = preview(views.OPEN, views.PLAN)
    assert [rail["guard"] for rail in said["guards"]] == [guard.__name__ for guard in GUARDS]


def test_nothing_missing_is_said_so_and_would_heal_nothing() -> None:
    said = preview(views.HEALTHY, PlanSeen())
    assert said["sentence"] == "Nothing is missing: +0 rows."
    assert said["would_heal"] is False
    assert said["plan"] == {"inserts": {}, "updates": {}, "deletes": {}, "failed": ""}
    assert said["state"] == "healthy"


def test_with_nothing_missing_no_guard_rail_speaks_of_missing_rows() -> None:
    rails = {rail["guard"]: rail for rail in preview(views.HEALTHY, PlanSeen())["guards"]}
    nothing = "no loss is seen, so there is nothing to put back."
    assert (rails["proven"]["remedy"], rails["harmless"]["remedy"]) == (nothing, nothing)


def test_a_wait_that_is_young_sends_nobody_looking_and_one_that_is_old_does() -> None:
    policy = replace(views.OPEN.policy, confirm_for=20.0)
    young = replace(views.OPEN, policy=policy)
    old = replace(young, state=replace(young.state, lived=1000.0))
    said = [
        {rail["guard"]: rail["remedy"] for rail in preview(view, views.PLAN)["guards"]}["proven"]
        for view in (young, old)
    ]
    assert said == ["the loss has to last; it passes by itself.", REFUSALS[Reason.NOT_PROVEN_YET]]


def test_the_plan_is_judged_that_was_just_made_and_not_the_one_of_the_state() -> None:
    deletes = PlanSeen(inserts=(("station", 7),), deletes=(("sensor", 1),))
    said = preview(views.OPEN, deletes)
    assert reasons(said)["harmless"] == "plan_deletes"
    assert said["plan"]["deletes"] == {"sensor": 1}
    assert "+7 station, −1 sensor" in said["sentence"]
    assert reasons(preview(views.OPEN, views.PLAN))["harmless"] is None


def test_what_waits_and_what_is_refused_are_told_apart_with_what_to_do() -> None:
    policy = replace(views.OPEN.policy, mode=Mode.OFF, confirm_for=1000.0)
    said = preview(replace(views.OPEN, policy=policy), views.PLAN)
    rails = {rail["guard"]: rail for rail in said["guards"]}
    assert (rails["enabled"]["reason"], rails["enabled"]["waits"]) == ("healing_off", False)
    assert "switch it on" in rails["enabled"]["remedy"]
    assert (rails["proven"]["reason"], rails["proven"]["waits"]) == ("not_proven_yet", True)
    assert rails["harmless"] == {"guard": "harmless", "reason": None, "waits": False, "remedy": ""}
    assert "it is refused (healing off): healing is off" in said["sentence"]


def test_a_dry_run_changes_nothing_that_was_decided() -> None:
    before = views.OPEN
    preview(views.OPEN, PlanSeen(failed="no"))
    assert before == views.OPEN


@pytest.mark.parametrize(
    ("view", "plan", "sentence"),
    [
        (views.OPEN, PlanSeen(failed="`seed` exited 3"), "There is no plan: `seed` exited 3."),
        (views.OPEN, PlanSeen(), "The plan is empty, rows are missing; it is refused (plan empty): "),
        (views.HEALTHY, views.PLAN, "+7 station, +14 sensor"),
        (views.HEALTHY, views.PLAN, "no loss is seen, so none begins."),
    ],
)
def test_the_sentence_says_what_a_heal_would_do(view: View, plan: PlanSeen, sentence: str) -> None:
    # Whatever else would refuse it first is out of the way: only the plan and the loss speak here.
    assert sentence in preview(view, plan)["sentence"]
