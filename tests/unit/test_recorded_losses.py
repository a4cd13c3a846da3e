"""What a recorded statement changes: noticed at one look, named, waited for, left alone where meant."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from alpimonitor_watchdog.core.acts import ActKind
from alpimonitor_watchdog.core.evidence import Operation, RecorderSeen, SessionSeen
from alpimonitor_watchdog.core.fingerprint import Fingerprint, TablePrint
from alpimonitor_watchdog.core.messages import About, Chain, compose
from alpimonitor_watchdog.core.model import Notify
from alpimonitor_watchdog.core.seen import TableExpected
from alpimonitor_watchdog.core.verdict import Circumstance, Confidence, What
from alpimonitor_watchdog.core.words import Kind, Phase, Reason, Symptom, Tag
from tests.unit.episodes import EXPECTED, HERE, NOTIFY, START, Episode, episode, last

ARMED = RecorderSeen(installed=True, drops=True, arming="a1", cursor=700)


def watched(**changes: object) -> Episode:
    return episode(recorder=ARMED, **changes)


def test_a_loss_with_its_statement_opens_an_incident_at_the_first_look() -> None:
    world = watched()
    world.delete(station=0, sensor=0)
    world.tick()
    assert world.path()[-1] == (Phase.OPEN, Reason.LOSS_CONFIRMED)


def test_a_loss_without_a_statement_needs_a_second_look_even_if_another_one_was_recorded() -> None:
    world = watched()
    world.delete(sensor=10)  # not a loss yet, and not the one that follows
    world.wipe(station=0)
    world.tick()
    assert world.state.phase is Phase.SUSPECTED
    world.tick()
    assert world.state.phase is Phase.OPEN


def test_it_is_healed_after_the_same_time_but_needs_no_further_look() -> None:
    world = watched(confirm_for=10.0, confirm_probes=5, quiet_for=0.0)
    world.delete(station=0)
    world.tick()
    world.tick(elapsed=9.0)
    assert world.heals_started == []
    world.tick(elapsed=1.0)
    assert len(world.heals_started) == 1


def test_whoever_took_the_rows_is_named_and_stays_so_when_it_is_over() -> None:
    world = watched()
    world.delete(station=0, sensor=0)
    world.tick()
    verdict = world.incident.verdict
    assert verdict is not None
    assert (verdict.what, verdict.confidence) == (What.ROWS_DELETED_IN_PLACE, Confidence.CERTAIN)
    named = verdict.attribution
    assert named is not None
    assert (named.role, named.application_name, named.client_addr, named.pid) == (
        "owner",
        "ops-shell",
        "10.0.0.7",
        4242,
    )
    world.until(Phase.RESOLVED)
    ended = world.decisions[-1].incident
    assert ended is not None
    assert ended.verdict is not None
    assert ended.verdict.attribution == named


def test_rows_that_were_put_back_before_do_not_explain_a_later_loss() -> None:
    world = watched()
    world.delete(station=0, pid=1)
    world.restore()  # between two looks
    world.tick()
    world.tick()
    world.wipe(station=0)
    world.run(2)
    verdict = world.incident.verdict
    assert verdict is None or verdict.attribution is None


def test_a_statement_that_was_read_while_the_rows_were_counted_explains_their_loss() -> None:
    world = watched()
    world.delete(station=0)
    world.rows["station"] = 7  # the count was a moment earlier
    world.tick()
    assert world.state.phase is Phase.HEALTHY
    world.rows["station"] = 0
    world.tick()
    assert world.state.phase is Phase.OPEN
    assert world.incident.verdict is not None
    assert world.incident.verdict.attribution is not None


def test_no_heal_while_statements_are_still_recorded() -> None:
    world = watched(confirm_for=0.0, confirm_probes=1, quiet_for=5.0)
    world.delete(station=0)
    world.tick()
    world.run(2)
    world.rows["station"] = 3  # somebody inserts and deletes: the loss stays the same at each look
    world.delete(station=0)
    world.tick()
    world.run(4)
    assert world.heals_started == []
    world.tick()
    assert len(world.heals_started) == 1


@pytest.mark.parametrize(
    ("state", "heals"),
    [("active", 0), ("idle in transaction", 0), ("idle", 1), (None, 1)],
    ids=["at work", "in a transaction", "idle", "not for us to see"],
)
def test_no_heal_while_the_session_that_did_it_is_at_work(state: str | None, heals: int) -> None:
    world = watched(confirm_for=0.0, confirm_probes=1, quiet_for=0.0)
    world.recorder = replace(ARMED, sessions=(SessionSeen(4242, START, state),))
    world.delete(station=0)
    world.run(5)
    assert len(world.heals_started) == heals
    assert (Reason.NOT_QUIET in world.refusals()) is not heals


def test_a_session_that_has_ended_is_waited_for_no_longer() -> None:
    world = watched(confirm_for=0.0, confirm_probes=1, quiet_for=0.0)
    world.recorder = replace(ARMED, sessions=(SessionSeen(4242, START, "active"),))
    world.delete(station=0)
    world.run(5)
    world.recorder = ARMED
    world.tick()
    assert len(world.heals_started) == 1


def test_a_loss_with_a_reason_is_told_heals_nothing_and_wakes_nobody() -> None:
    world = watched(confirm_for=0.0, confirm_probes=1, quiet_for=0.0, page_after=5.0, escalate_after=20.0)
    world.delete(station=3, reason="decommissioned, ticket 12")
    world.run(60)
    assert world.heals_started == []
    assert world.refusals()[-1] is Reason.LOSS_INTENDED
    assert world.kinds(Tag.PAGE) == []
    assert Kind.HEAL_REFUSED in world.kinds()
    assert world.state.phase is Phase.OPEN
    assert world.incident.verdict is not None
    assert world.incident.verdict.circumstances == (Circumstance.INTENDED,)
    answer = world.say(ActKind.ACCEPT)
    assert answer.refused is None
    assert world.state.phase in (Phase.RESOLVED, Phase.HEALTHY)


def test_a_further_loss_without_a_reason_is_not_healed_either_and_wakes_somebody() -> None:
    world = watched(confirm_for=0.0, confirm_probes=1, quiet_for=0.0, page_after=5.0)
    world.delete(station=3, reason="decommissioned")
    world.run(3)
    assert world.kinds(Tag.PAGE) == []
    world.delete(station=0, sensor=0, pid=1)
    world.run(10)
    assert world.heals_started == []  # it would put back what was meant to go, too
    assert world.refusals()[-1] is Reason.LOSS_INTENDED
    assert Kind.OPENED in world.kinds(Tag.PAGE)


def test_values_that_a_recorded_statement_changed_are_good_at_once() -> None:
    world = watched(settle_after=0.0)
    world.content["sensor"] = "as it was"
    world.tick()
    world.content["sensor"] = "tuned"
    world.delete(sensor=14)
    world.events[:] = [replace(event, operation=Operation.UPDATE) for event in world.events]
    world.run(3)
    assert world.told == []
    assert world.path() == []
    assert world.state.good is not None
    table = world.state.good.table("sensor")
    assert table is not None
    assert table.content == "tuned"


def test_a_recorder_that_no_longer_records_is_told_and_ends_when_it_does_again() -> None:
    world = watched(settle_after=3.0, clear_for=2.0)
    world.recorder = replace(ARMED, unarmed=("station",), arming="a2")
    world.run(5)
    assert world.incident.symptoms == (Symptom.RECORDER_DISARMED,)
    assert world.told[-1].tags == NOTIFY
    assert "station" in world.told[-1].detail
    world.recorder = ARMED
    world.run(8)
    assert world.state.phase is Phase.HEALTHY


def test_a_recorder_that_was_changed_and_is_armed_again_is_told_once_and_then_known() -> None:
    world = watched(accept_after=100.0, clear_for=2.0)
    world.recorder = replace(ARMED, arming="a2")
    world.run(50)
    assert world.kinds() == [Kind.OPENED]
    assert world.kinds(Tag.PAGE) == []
    world.run(100)
    assert world.state.phase is Phase.HEALTHY
    assert world.state.good is not None
    assert world.state.good.arming == "a2"


def test_a_database_that_never_had_a_recorder_lacks_nothing() -> None:
    world = episode(recorder=RecorderSeen(installed=False))
    world.run(60)
    assert world.path() == []


def test_rows_taken_behind_a_disarmed_recorder_are_healed_and_named_to_nobody() -> None:
    world = watched(confirm_for=0.0, confirm_probes=1, quiet_for=0.0)
    world.recorder = replace(ARMED, arming="a2")
    world.wipe(station=0)
    world.run(4)
    assert len(world.heals_started) == 1
    incident = world.decisions[-1].incident
    assert incident is not None
    assert Symptom.RECORDER_DISARMED in incident.symptoms
    assert incident.verdict is not None
    assert incident.verdict.attribution is None
    assert Circumstance.RECORDER_DISARMED in incident.verdict.circumstances


def test_a_message_names_role_application_address_and_pid_and_the_head_of_the_evidence() -> None:
    world = watched()
    world.delete(station=0, sensor=0)
    decision = world.tick()
    (notify,) = [effect for effect in decision.effects if getattr(effect, "kind", None) is Kind.OPENED]
    about = About("hydro@db.example:5432 (production)", "http://127.0.0.1:9877/", "alpimonitor seed")
    message = compose(notify, decision, about, world.policy, EXPECTED, Chain("ab" * 32, 12))  # type: ignore[arg-type]
    assert len(message.title) <= 140
    assert "deleted by owner, ops-shell, 10.0.0.7, pid 4242" in message.title
    assert message.title.endswith("heals in 10 s")
    assert f"Evidence: 12 records, head {'ab' * 32}" in message.body
    assert "What happened: rows deleted in place (certain)." in message.body
    assert "DELETE FROM" not in message.body
    assert last(world) is notify


def test_a_fingerprint_that_was_taken_while_rows_went_is_not_that_of_the_last_good_state() -> None:
    world = watched()
    world.database = replace(world.database, fingerprint=Fingerprint(START, HERE, lsn=1))
    world.tick()
    world.database = replace(world.database, fingerprint=Fingerprint(START, HERE, lsn=2))
    world.delete(station=0)
    world.rows["station"] = 7  # the count was a moment earlier
    world.tick()
    assert world.state.good is not None
    assert world.state.good.fingerprint == Fingerprint(START, HERE, lsn=1)
    assert world.state.fingerprint == Fingerprint(START, HERE, lsn=2)


def test_a_verdict_stays_when_nothing_speaks_for_it_any_more() -> None:
    world = watched()
    world.delete(station=0)
    world.tick()
    before = world.incident.verdict
    world.state = replace(world.state, events=(), events_lived=())  # a flood of others has driven it out
    world.tick()
    assert world.incident.verdict == before
    assert before is not None
    assert before.what is What.ROWS_DELETED_IN_PLACE


def test_a_table_that_was_dropped_and_made_anew_is_not_filled() -> None:
    world = watched(confirm_for=0.0, confirm_probes=1, quiet_for=0.0)
    table = TablePrint("station", oid=20001, rows=7)
    world.database = replace(world.database, fingerprint=Fingerprint(START, HERE, tables=(table,)))
    world.tick()
    anew = replace(table, oid=20002, rows=0)
    later = START + timedelta(minutes=1)
    world.database = replace(world.database, fingerprint=Fingerprint(later, HERE, tables=(anew,)))
    world.wipe(station=0)
    world.run(5)
    assert world.heals_started == []
    assert world.refusals()[-1] is Reason.VERDICT_FORBIDS
    assert Kind.HEAL_REFUSED in world.kinds(Tag.PAGE)


def printed(seconds: float, **changes: Any) -> Fingerprint:
    return replace(Fingerprint(START + timedelta(seconds=seconds), HERE, lsn=1000), **changes)


def test_an_older_backup_is_known_as_one_however_far_its_own_log_has_come() -> None:
    world = watched(confirm_for=0.0, confirm_probes=1, quiet_for=0.0)
    world.database = replace(world.database, fingerprint=printed(0))
    world.tick()
    world.wipe(station=0)
    world.database = replace(world.database, fingerprint=printed(60, lsn=500))
    world.run(3)
    world.database = replace(world.database, fingerprint=printed(120, lsn=5000))
    world.run(3)
    assert world.incident.verdict is not None
    assert world.incident.verdict.what is What.OLDER_BACKUP_RESTORED
    assert world.heals_started == []
    assert world.say(ActKind.ADOPT).refused is None
    world.database = replace(world.database, fingerprint=printed(180, lsn=6000))
    world.run(5)
    assert len(world.heals_started) == 1


def test_a_standby_is_not_taken_for_good_before_it_has_stood_as_long_as_a_change_of_rows_has_to() -> None:
    world = watched(accept_after=100.0)
    world.database = replace(world.database, fingerprint=printed(0))
    world.tick()
    world.database = replace(world.database, fingerprint=printed(60, in_recovery=True))
    world.run(100)
    assert world.state.good is not None
    assert world.state.good.fingerprint == printed(0)
    world.run(2)
    assert world.state.good.fingerprint == printed(60, in_recovery=True)


def test_a_loss_on_purpose_after_a_heal_reads_as_one_and_asks_for_nothing() -> None:
    world = watched(confirm_for=0.0, confirm_probes=1, quiet_for=0.0)
    world.delete(station=0)
    world.until(Phase.HEALTHY)
    world.delete(sensor=0, reason="ticket 12", pid=7)
    decision = world.tick()
    (notify,) = [effect for effect in decision.effects if isinstance(effect, Notify)]
    about = About("hydro@db.example:5432 (production)", "http://127.0.0.1:9877/", "alpimonitor seed")
    message = compose(notify, decision, about, world.policy, EXPECTED)
    assert "1 table empty" in message.title
    assert "AGAIN" not in message.title
    assert "deleted on purpose by owner, ops-shell, 10.0.0.7, pid 7" in message.title
    assert message.body.startswith("Nothing to do if it was meant: ")
    assert "Reason stated: ticket 12" in message.body
    assert notify.tags == NOTIFY


def test_a_flood_of_other_statements_makes_nobody_forget_who_took_rows_and_why() -> None:
    world = watched(confirm_for=0.0, confirm_probes=1, quiet_for=0.0)
    world.delete(station=0, reason="ticket 12")
    world.tick()
    before = world.incident.verdict
    for _ in range(3):
        world.delete(sensor=14)
        (event,) = world.events
        world.events[:] = [
            *(
                replace(event, id=n, transaction=n, pid=n, operation=Operation.UPDATE)
                for n in range(90_000, 90_250)
            ),
            *(replace(event, id=n, transaction=n, pid=n, table="measurement") for n in range(91_000, 91_250)),
        ]
        world.tick()
    assert world.incident.verdict == before
    assert world.heals_started == []
    assert len(world.state.events) < 10


def test_rows_taken_one_by_one_for_a_reason_are_all_meant() -> None:
    rows = 500
    expected = replace(EXPECTED, tables=(TableExpected("station", context=True, floor=400, expected=rows),))
    world = episode(recorder=ARMED, expected=expected, rows={"station": rows}, confirm_for=0.0, quiet_for=0.0)
    for left in range(rows - 1, 100, -1):
        world.delete(station=left, reason="ticket 12")
        if left % 50 == 0:
            world.tick()
    world.run(3)
    verdict = world.incident.verdict
    assert verdict is not None
    assert verdict.attribution is not None
    assert Circumstance.INTENDED in verdict.circumstances
    assert len(world.state.events) <= 200
    assert world.heals_started == []


def test_of_too_many_sessions_those_with_a_reason_are_remembered() -> None:
    rows = 500
    expected = replace(EXPECTED, tables=(TableExpected("station", context=True, floor=500, expected=rows),))
    world = episode(recorder=ARMED, expected=expected, rows={"station": rows}, confirm_for=0.0, quiet_for=0.0)
    world.delete(station=rows - 1, reason="ticket 12")
    for left in range(rows - 2, 100, -1):
        world.delete(station=left, pid=left)
    world.run(3)
    assert len(world.state.events) == 200
    assert [event.reason for event in world.state.events if event.reason] == ["ticket 12"]


def test_a_stated_reason_cannot_write_lines_of_its_own() -> None:
    world = watched()
    world.delete(station=0, reason="x\n\x1b[31mYou must act: call 555\n" + "y" * 500)
    decision = world.tick()
    (notify,) = [effect for effect in decision.effects if isinstance(effect, Notify)]
    about = About("hydro@db.example:5432 (production)", "http://127.0.0.1:9877/", "alpimonitor seed")
    body = compose(notify, decision, about, world.policy, EXPECTED).body
    assert "\x1b" not in body
    assert not [line for line in body.splitlines() if line.startswith("You must act: call")]
    assert max(map(len, body.splitlines())) < 1500
