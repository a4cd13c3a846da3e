"""What a person reads: what, where, who, what happens next, what to do."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

import pytest

from alpimonitor_watchdog.core import remedies
from alpimonitor_watchdog.core.acts import ActKind
from alpimonitor_watchdog.core.messages import TITLE_LIMIT, About, Message, compose
from alpimonitor_watchdog.core.model import TRANSITIONS, Notify
from alpimonitor_watchdog.core.seen import DatabaseSeen, Expectation, LeaderSeen, PlanSeen, TableExpected
from alpimonitor_watchdog.core.words import (
    ACT_REFUSALS,
    WAITS,
    HealOutcome,
    Kind,
    Mode,
    Phase,
    Reason,
    Symptom,
    Tag,
    Unseen,
)
from tests.unit.episodes import EXPECTED, HERE, START, Episode, episode

ABOUT = About(
    database="hydro@db.example:5432 (production)",
    status_url="http://127.0.0.1:9877/",
    healer="alpimonitor seed --mode missing",
    after="alpimonitor ingest once",
)


def messages(world: Episode, about: About = ABOUT) -> list[tuple[Notify, Message]]:
    return [
        (effect, compose(effect, decision, about, world.policy, world.expected))
        for decision in world.decisions
        for effect in decision.effects
        if isinstance(effect, Notify)
    ]


def only(world: Episode, kind: Kind) -> Message:
    (message,) = [message for notify, message in messages(world) if notify.kind is kind]
    return message


def wiped(**changes: object) -> Episode:
    world = episode(**changes)
    world.wipe()
    return world


def test_the_first_message_says_where_what_and_when_it_heals() -> None:
    world = wiped().run(3)
    opened = only(world, Kind.OPENED)
    assert opened.title == (
        "hydro@db.example:5432 (production): 2 tables empty (station 0/7, sensor 0/14); "
        "who: not recorded; heals in 9 s"
    )
    lines = opened.body.splitlines()
    assert lines[0] == "Nothing to do: the sidecar puts the rows back and says when it is done."
    assert "Rows at worst: station 0/7, sensor 0/14" in lines
    plan = "alpimonitor seed --mode missing; alpimonitor ingest once; then ingestion has to see every station"
    assert f"Plan: {plan}. To hold it: alpimonitor watchdog hold --reason …" in lines
    assert "http://127.0.0.1:9877/" in opened.body


def test_the_last_message_says_that_it_is_over_and_what_it_was() -> None:
    resolved = only(wiped().until(Phase.RESOLVED), Kind.RESOLVED)
    assert "resolved" in resolved.title
    assert "station 0/7" in resolved.title
    assert resolved.body.splitlines()[0] == "Nothing to do."


def test_a_reminder_of_a_held_heal_names_who_holds_it_why_and_what_lets_it_go_on() -> None:
    world = wiped(reminder_every=30.0).run(2)
    world.say(ActKind.HOLD)
    reminded = only(world.run(32), Kind.REMINDER)
    assert reminded.title.endswith("waiting: held")
    first = reminded.body.splitlines()[0]
    assert first.startswith(
        "Nothing to do unless you know nothing of it: anna@ops1 holds healing since 12:00:0"
    )
    assert "(hold it); `alpimonitor watchdog resume --reason …` lets it go on." in first


def test_a_reminder_in_a_pause_says_until_when() -> None:
    world = wiped(reminder_every=30.0).run(2)
    world.say(ActKind.PAUSE, START + timedelta(hours=1))
    reminded = only(world.run(32), Kind.REMINDER)
    assert "anna@ops1 has paused healing until 2026-04-21 13:00:00 UTC (pause it)" in reminded.body


def test_the_end_of_an_accepted_loss_says_that_it_was_accepted() -> None:
    world = wiped().run(3)
    world.say(ActKind.ACCEPT)
    resolved = only(world, Kind.RESOLVED)
    assert "resolved: the present state was accepted; was: 2 tables empty" in resolved.title


@pytest.mark.parametrize("mode", [Mode.OFF, Mode.DRY_RUN])
def test_where_a_person_may_run_what_the_sidecar_may_not_the_program_is_named(mode: Mode) -> None:
    opened = only(wiped(mode=mode).run(30), Kind.HEAL_REFUSED)
    assert "By hand: alpimonitor seed --mode missing" in opened.body.splitlines()


def test_into_what_may_be_the_wrong_database_nobody_is_told_to_put_rows() -> None:
    world = wiped().run(1)
    world.database = replace(world.database, identity=replace(HERE, system="another"))
    refused = only(world.run(30), Kind.HEAL_REFUSED)
    assert "By hand" not in refused.body


def test_what_comes_and_goes_says_how_often() -> None:
    world = wiped(mode=Mode.OFF, clear_for=2.0).run(3)
    world.restore()
    world.until(Phase.RESOLVED)
    world.wipe()
    world.run(3)
    opened = [message for notify, message in messages(world) if notify.kind is Kind.OPENED][-1]
    assert "It comes and goes: opened 2 times in a row. It ends when it stays clear." in opened.body


def test_a_refusal_says_first_what_to_do() -> None:
    refused = only(wiped(mode=Mode.OFF).run(15), Kind.HEAL_REFUSED)
    assert "heal REFUSED: healing_off" in refused.title
    assert refused.body.splitlines()[0].startswith("You must act: healing is off in watchdog.toml")


def test_a_failed_plan_is_quoted() -> None:
    world = wiped(plan=PlanSeen(failed="`alpimonitor seed` exited 5: database unreachable")).run(15)
    assert "exited 5: database unreachable" in only(world, Kind.HEAL_REFUSED).body


def test_a_failed_heal_says_what_failed_and_what_to_do() -> None:
    world = wiped(heal_outcome=HealOutcome.FAILED).until(Phase.HEALING).run(1)
    failed = only(world, Kind.HEAL_FAILED)
    assert "heal FAILED" in failed.title
    assert "as told" in failed.body
    assert "alpimonitor seed --mode missing" in failed.body


def test_a_healer_that_is_off_promises_nothing() -> None:
    opened = only(wiped(mode=Mode.OFF).run(3), Kind.OPENED)
    assert "heals in" not in opened.title
    assert opened.title.endswith("not healing: healing_off")
    assert "Plan" not in opened.body


@pytest.mark.parametrize("tables", [1, 2, 7, 40])
def test_a_title_never_exceeds_its_limit_and_keeps_its_end(tables: int) -> None:
    names = [f"a_rather_long_table_name_number_{number:02}" for number in range(tables)]
    world = Episode(
        expected=Expectation(tuple(TableExpected(name, True, 1, 1000) for name in names)),
        rows=dict.fromkeys(names, 1000),
        ingestion_started=episode().ingestion_started,
    )
    world.run(2)
    world.rows = dict.fromkeys(names, 0)
    world.run(3)
    opened = only(world, Kind.OPENED)
    assert len(opened.title) <= TITLE_LIMIT
    assert opened.title.endswith("heals in 9 s")


def test_every_message_of_every_episode_has_a_title_in_bounds_and_an_instruction() -> None:
    worlds = [
        wiped().until(Phase.RESOLVED),
        wiped(mode=Mode.OFF).run(4000),
        wiped(heal_outcome=HealOutcome.FAILED).run(2000),
        wiped(ingests_after=False).until(Phase.ESCALATED, within=900),
        wiped(confirm_for=90.0).run(80),
    ]
    kinds = set()
    for world in worlds:
        for notify, message in messages(world):
            kinds.add(notify.kind)
            assert len(message.title) <= TITLE_LIMIT
            assert re.match(r"(Nothing to do|You must act|Look at it)", message.body)
            assert "None" not in message.title + message.body
    assert kinds >= {
        Kind.OPENED,
        Kind.RESTORED,
        Kind.RESOLVED,
        Kind.REMINDER,
        Kind.ESCALATED,
        Kind.HEAL_FAILED,
    }


def test_a_loss_after_a_heal_says_so_first_and_asks_for_the_session_that_does_it() -> None:
    world = wiped().until(Phase.RESOLVED)
    world.wipe()
    world.until(Phase.OPEN)
    opened = [message for notify, message in messages(world) if notify.kind is Kind.OPENED][-1]
    assert opened.title.startswith("hydro@db.example:5432 (production): AGAIN, after a heal: 2 tables empty")
    assert opened.body.startswith("You must act: the rows are lost again after a heal: find and stop the")
    assert "Plan: alpimonitor seed --mode missing" in opened.body


def test_with_the_circuit_open_the_first_message_promises_no_heal() -> None:
    world = episode(confirm_for=1.0, backoff_first=1.0, backoff_max=1.0)
    for _ in range(4):
        world.wipe()
        world.run(30)
    opened = [message for notify, message in messages(world) if notify.kind is Kind.OPENED][-1]
    assert "AGAIN" in opened.title
    assert opened.title.endswith("not healing: circuit_open")
    assert opened.body.startswith("You must act: the tables are emptied again and again")


def test_a_page_for_what_lasts_says_what_stands_in_the_way() -> None:
    world = wiped(confirm_for=3600.0).run(65)
    (page,) = [m for notify, m in messages(world) if Tag.PAGE in notify.tags]
    assert "NOT restored" in page.title
    assert page.title.endswith("NOT restored yet; heals in 3539 s")
    assert page.body.splitlines()[0].endswith("By hand: alpimonitor seed --mode missing")


def test_rows_that_are_back_are_not_called_missing() -> None:
    world = wiped()
    world.health_ok = False
    world.until(Phase.ESCALATED, within=100)
    escalated = only(world, Kind.ESCALATED)
    assert "the rows are back, but api unhealthy" in escalated.title
    assert escalated.body.startswith("You must act: the rows are back, but the API does not answer")
    assert Kind.HEAL_FAILED not in world.kinds()
    world.health_ok = True
    world.until(Phase.RESOLVED)
    assert "rows put back and proven" in only(world, Kind.RESOLVED).title


def test_what_is_out_of_sight_is_not_called_missing_and_no_heal_is_promised() -> None:
    world = wiped(confirm_for=50.0).run(5)
    world.database = DatabaseSeen(unseen=Unseen.UNREACHABLE, detail="connection refused")
    world.run(70)
    worse, paged = [m for notify, m in messages(world) if notify.kind is not Kind.HEAL_REFUSED][1:3]
    for message in (worse, paged):
        assert "rows cannot be seen, but database unreachable; before: 2 tables" in message.title
        assert "heals" not in message.title
    assert "bring the database back" in paged.body or "unreachable" in paged.body


def test_a_dry_run_promises_nothing_and_shows_its_plan() -> None:
    opened = only(wiped(mode=Mode.DRY_RUN).run(3), Kind.OPENED)
    assert opened.title.endswith("not healing: dry_run")
    assert opened.body.startswith("You must act: healing is dry-run")
    assert "Plan (dry run: not carried out): alpimonitor seed" in opened.body


def test_who_does_not_lead_says_that_another_heals_and_promises_nothing_itself() -> None:
    opened = only(wiped(leader=LeaderSeen(False, other=4711)).run(3), Kind.OPENED)
    assert opened.title.endswith("; another sidecar heals")
    assert opened.body.startswith("Nothing to do yet: another sidecar heals this database; if it ends, this")
    assert "Plan" not in opened.body


def test_a_long_heal_is_not_to_be_repeated_by_hand() -> None:
    world = wiped(heal_outcome=None).run(70)
    (page,) = [m for notify, m in messages(world) if Tag.PAGE in notify.tags]
    assert page.title.endswith("NOT restored yet; healing")
    assert "the healer runs" in page.body.splitlines()[0]


def test_without_ingestion_to_watch_none_is_awaited() -> None:
    world = wiped(expected=replace(EXPECTED, stations=None)).until(Phase.RESOLVED)
    assert "ingestion" not in only(world, Kind.RESTORED).body
    assert world.path()[-1] == (Phase.RESOLVED, Reason.SYMPTOMS_CLEARED)


def test_every_refusal_and_every_symptom_has_a_remedy() -> None:
    transitions = {reason for reasons in TRANSITIONS.values() for reason in reasons}
    assert set(remedies.REFUSALS) == set(Reason) - transitions - ACT_REFUSALS
    assert set(remedies.REFUSALS) >= WAITS
    assert set(remedies.SYMPTOMS) == set(Symptom)
