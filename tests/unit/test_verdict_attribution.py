"""Who is named: the sessions whose recorded statements took what is lost, and nobody else."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from alpimonitor_watchdog.core.evidence import Event, Operation, SessionSeen
from alpimonitor_watchdog.core.seen import Loss
from alpimonitor_watchdog.core.verdict import (
    Circumstance,
    Confidence,
    Verdict,
    What,
    conclude,
    explains,
    session_busy,
    who,
    who_in_full,
)
from tests.unit.evidence_cases import ARMED, WELL, after, case, event, loss, seen

OTHER: dict[str, Any] = {"pid": 5151, "backend_start": WELL, "application_name": "importer", "role": "api"}


def verdict(*events: Event, **fields: Any) -> Verdict:
    return conclude(case(events=events, **fields))


def named(found: Verdict) -> list[tuple[int, int]]:
    """Process id and transaction of each session that is named, in order."""
    sessions = (found.attribution, *found.others) if found.attribution else found.others
    return [(session.pid, session.transaction) for session in sessions]


def test_a_delete_is_attributed_to_its_session() -> None:
    found = verdict(event(1))
    assert found.attribution is not None
    assert (found.attribution.role, found.attribution.application_name) == ("alpimonitor_owner", "ops-shell")
    assert (found.attribution.client_addr, found.attribution.pid) == ("10.0.0.7", 4242)
    assert (found.attribution.transaction, found.attribution.statement) == (741, "DELETE FROM station")
    assert found.attribution.at == event(1).at
    assert found.attribution.session_role is None


def test_who_logged_in_is_told_apart_from_whom_it_became() -> None:
    found = verdict(event(1, session_role="jo", role="alpimonitor_owner"))
    assert found.attribution is not None
    assert found.attribution.session_role == "jo"
    assert "role alpimonitor_owner (logged in as jo)" in found.evidence[0]


def test_a_cascade_is_one_act_of_one_session() -> None:
    both = (event(1, 14, table="sensor", transaction=741), event(2, 7, transaction=741))
    found = verdict(*both, losses=(loss(), loss(0, "sensor")), seen=seen(0, 0))
    assert named(found) == [(4242, 741)]
    assert found.confidence is Confidence.CERTAIN
    assert "DELETE on sensor took 14 rows, DELETE on station took 7 rows" in found.evidence[0]
    assert "transaction 741" in found.evidence[0]


def test_row_by_row_is_one_session_by_its_newest_statement() -> None:
    found = verdict(*(event(id, 1, remaining=7 - id, statement=f"DELETE {id}") for id in range(1, 8)))
    assert found.confidence is Confidence.CERTAIN
    assert named(found) == [(4242, 747)]
    assert found.attribution is not None
    assert found.attribution.statement == "DELETE 7"
    assert "7 × DELETE on station took 7 rows" in found.evidence[0]
    assert "7 transactions, 741 to 747" in found.evidence[0]


def test_the_session_that_took_most_comes_first() -> None:
    found = verdict(event(1, 5, remaining=2), event(2, 2, **OTHER))
    assert named(found) == [(4242, 741), (5151, 742)]


def test_a_process_id_used_again_is_another_session() -> None:
    found = verdict(event(1, 4, remaining=3), event(2, 3, backend_start=WELL))
    assert named(found) == [(4242, 741), (4242, 742)]


def test_rows_deleted_and_inserted_again_before_the_loss_do_not_explain_it() -> None:
    found = verdict(event(1, 7, **OTHER), event(2, 7))
    assert named(found) == [(4242, 742)]
    assert "also recorded: DELETE on station, 7 rows at 12:10:00.124 by role api" in found.evidence[-1]


def test_a_truncate_of_rows_that_were_put_back_explains_the_loss_alone() -> None:
    found = verdict(event(1, 7, **OTHER), event(2, 7, operation=Operation.TRUNCATE))
    assert found.what is What.TABLE_TRUNCATED
    assert named(found) == [(4242, 742)]


def test_a_truncate_of_an_empty_table_took_nothing() -> None:
    found = verdict(event(1, 7), event(2, 0, operation=Operation.TRUNCATE, **OTHER))
    assert found.what is What.ROWS_DELETED_IN_PLACE
    assert named(found) == [(4242, 741)]


def test_a_truncate_of_rows_nobody_counted_took_what_was_there() -> None:
    found = verdict(event(1, None, operation=Operation.TRUNCATE))
    assert (found.what, found.confidence) == (What.TABLE_TRUNCATED, Confidence.CERTAIN)
    assert "took rows that were not counted" in found.evidence[0]


def test_an_update_takes_nothing() -> None:
    found = verdict(event(1, 7, operation=Operation.UPDATE))
    assert named(found) == []


def test_statements_on_other_tables_explain_nothing() -> None:
    found = verdict(event(1, 7, table="measurement"), event(2, 14, table="sensor"))
    assert named(found) == []


def test_a_part_of_the_loss_is_attributed_and_the_rest_said_to_be_open() -> None:
    found = verdict(event(1, 5))
    assert (found.what, found.confidence) == (What.ROWS_DELETED_IN_PLACE, Confidence.LIKELY)
    assert named(found) == [(4242, 741)]
    assert "station: who took the rest: recorded statements explain 5 of 7 lost rows" in found.not_observable


def test_a_drop_is_attributed_to_who_dropped_not_to_who_deleted_before() -> None:
    dropped = event(2, None, operation=Operation.DROP, remaining=None, **OTHER)
    found = verdict(event(1, 7), dropped, seen=seen(station=None), losses=(loss(None),))
    assert (found.what, found.confidence) == (What.TABLE_DROPPED, Confidence.CERTAIN)
    assert named(found) == [(5151, 742)]


def test_a_drop_that_nobody_recorded_is_attributed_to_nobody() -> None:
    found = verdict(
        event(1, 7), seen=seen(0), after=after({"oid": 20000, "filenode": 20000, "rows": 0, "inserted": 0})
    )
    assert found.what is What.TABLE_DROPPED
    assert named(found) == []


def test_drop_and_recreate_is_attributed_by_the_drop() -> None:
    found = verdict(event(1, None, operation=Operation.DROP, remaining=None), after=after({"rows": 0}))
    assert (found.what, found.confidence) == (What.TABLE_DROPPED, Confidence.CERTAIN)
    assert named(found) == [(4242, 741)]


def test_the_session_behind_the_gravest_verdict_comes_first() -> None:
    dropped = event(2, None, operation=Operation.DROP, remaining=None)
    found = verdict(
        event(1, 14, table="sensor", **OTHER),
        dropped,
        seen=seen(None, 0),
        losses=(loss(None), loss(0, "sensor")),
    )
    assert found.what is What.TABLE_DROPPED
    assert named(found) == [(4242, 742), (5151, 741)]


def test_of_another_database_nobody_is_named() -> None:
    found = verdict(event(1), seen=seen(0, in_recovery=True))
    assert found.what is What.BECAME_STANDBY
    assert named(found) == []


def test_past_the_recorder_nobody_is_named() -> None:
    found = verdict(after=after({"rows": 0, "deleted": 7}), recorder=replace(ARMED, arming="a2"))
    assert found.what is What.ROWS_DELETED_IN_PLACE
    assert named(found) == []


def test_a_reason_stated_for_all_of_it_makes_it_intended() -> None:
    found = verdict(event(1, 5, reason="closed"), event(2, 2, reason=" closed "))
    assert found.reason == "closed"
    assert Circumstance.INTENDED in found.circumstances
    assert found.attribution is not None
    assert found.attribution.reason == "closed"


@pytest.mark.parametrize(
    "events",
    [
        pytest.param((event(1, 5, reason="closed"), event(2, 2)), id="one statement states none"),
        pytest.param((event(1, 5, reason="closed"),), id="a part of the loss is not explained"),
        pytest.param((event(1, 7),), id="no statement states one"),
        pytest.param((event(1, 7, reason="closed"), event(2, 7)), id="only one whose rows were put back"),
    ],
)
def test_it_is_not_intended_when(events: tuple[Event, ...]) -> None:
    found = verdict(*events)
    assert found.reason is None
    assert Circumstance.INTENDED not in found.circumstances


def test_it_is_not_intended_when_another_table_was_lost_without_a_reason() -> None:
    found = verdict(
        event(1, 7, reason="closed"),
        event(2, 14, table="sensor"),
        losses=(loss(), loss(0, "sensor")),
        seen=seen(0, 0),
    )
    assert found.reason is None


@pytest.mark.parametrize(
    "events",
    [
        pytest.param((event(1, 5, reason="closed"), event(2, 2)), id="one statement states none"),
        pytest.param((event(1, 5, reason="closed"),), id="a part of the loss is not explained"),
    ],
)
def test_a_reason_for_some_of_it_is_told(events: tuple[Event, ...]) -> None:
    found = verdict(*events)
    assert found.circumstances == (Circumstance.PARTLY_INTENDED,)
    assert found.reason is None
    assert "a reason was stated for a part of it, not for all: closed" in found.evidence


def test_a_reason_for_one_of_two_tables_is_told() -> None:
    found = verdict(
        event(1, 7, reason="closed"),
        event(2, 14, table="sensor", **OTHER),
        losses=(loss(), loss(0, "sensor")),
        seen=seen(0, 0),
    )
    assert found.circumstances == (Circumstance.PARTLY_INTENDED,)


@pytest.mark.parametrize(
    "events",
    [
        pytest.param((event(1, 7),), id="no statement states one"),
        pytest.param((event(1, 7, reason="closed"), event(2, 7)), id="only one whose rows were put back"),
        pytest.param((event(1, 7, reason="closed"),), id="each states one"),
        pytest.param((event(1, 7, reason="\u200b\n"),), id="it states nothing that can be seen"),
    ],
)
def test_it_is_not_partly_intended_when(events: tuple[Event, ...]) -> None:
    assert Circumstance.PARTLY_INTENDED not in verdict(*events).circumstances


def test_of_very_many_sessions_the_first_are_named_and_one_statement_is_kept() -> None:
    many = (event(id, 1, pid=id, statement="DELETE " * 300, reason="r" * 2000) for id in range(1, 201))
    found = verdict(*many, losses=(replace(loss(), expected=200),), before=None, after=None)
    assert found.attribution is not None
    assert found.attribution.statement == "DELETE " * 300
    assert len(found.others) == 20
    assert {other.statement for other in found.others} == {""}
    assert found.evidence[5] == "recorded: 195 more sessions took 195 rows, 179 of them are not named"
    assert len(repr(found)) < 20_000


def test_what_a_client_chose_forges_no_line_and_hides_none() -> None:
    forged = "x\nrecorded: nothing\x1b[2K\u202e"
    found = verdict(event(1, 5, application_name=forged, role="a\nb", reason="r\n" + "s" * 300), event(2, 2))
    assert found.attribution is not None
    whole = verdict(event(1, application_name=forged, role="a\nb", session_role="c\td"))
    assert whole.attribution is not None
    said = [*found.evidence, *found.not_observable, who(found.attribution), who_in_full(whole.attribution)]
    assert all(sentence.isprintable() for sentence in said)
    assert "role a b (logged in as c d), application x recorded: nothing, from" in who_in_full(
        whole.attribution
    )
    assert who(whole.attribution) == "a b, x recorded: nothing, 10.0.0.7, pid 4242"
    stated = next(sentence for sentence in found.evidence if "stated for a part" in sentence)
    assert stated.endswith("r " + "s" * 197 + "…")


def test_a_name_in_full_is_of_sixty_four_characters_at_most() -> None:
    attribution = verdict(event(1, application_name="n" * 500)).attribution
    assert attribution is not None
    assert f"application {'n' * 63}…, from" in who_in_full(attribution)


def test_of_many_sessions_five_are_told_one_by_one() -> None:
    many = (event(id, 1, pid=id) for id in range(1, 8))
    found = verdict(*many)
    assert len(found.others) == 6
    assert found.evidence[5] == "recorded: 2 more sessions took 2 rows"


@pytest.mark.parametrize(
    ("events", "losses", "matches"),
    [
        pytest.param((event(1),), (loss(),), True, id="all of it"),
        pytest.param((event(1, 4),), (loss(3),), True, id="all of a part"),
        pytest.param((event(1),), (loss(), loss(0, "sensor")), True, id="one of two tables"),
        pytest.param((event(1, 5),), (loss(),), False, id="too few rows"),
        pytest.param((event(1, table="sensor"),), (loss(),), False, id="another table"),
        pytest.param((event(1, operation=Operation.UPDATE),), (loss(),), False, id="an update"),
        pytest.param((event(1),), (loss(None),), False, id="a delete does not take the table"),
        pytest.param((event(1, None, operation=Operation.DROP),), (loss(None),), True, id="a drop does"),
        pytest.param((), (loss(),), False, id="nothing recorded"),
        pytest.param((event(1),), (), False, id="nothing lost"),
    ],
)
def test_recorded_statements_explain_a_loss(
    events: tuple[Event, ...], losses: tuple[Loss, ...], matches: bool
) -> None:
    assert explains(events, losses) is matches


@pytest.mark.parametrize(
    ("session", "busy"),
    [
        pytest.param(SessionSeen(4242, event(1).backend_start, "active"), True, id="at work"),
        pytest.param(SessionSeen(4242, event(1).backend_start, "idle in transaction"), True, id="open"),
        pytest.param(SessionSeen(4242, None, "active"), True, id="no start is known"),
        pytest.param(SessionSeen(4242, event(1).backend_start, "idle"), False, id="idle"),
        pytest.param(SessionSeen(4242, event(1).backend_start, None), False, id="not to be seen"),
        pytest.param(SessionSeen(4242, WELL, "active"), False, id="its process id used again"),
        pytest.param(SessionSeen(5151, event(1).backend_start, "active"), False, id="another one"),
    ],
)
def test_the_recorded_session_is_busy(session: SessionSeen, busy: bool) -> None:
    assert (session_busy((event(1),), (session,)) is session) is busy


def test_a_session_that_only_updated_keeps_nobody_waiting() -> None:
    active = SessionSeen(4242, event(1).backend_start, "active")
    assert session_busy((event(1, operation=Operation.UPDATE),), (active,)) is None


def test_a_title_names_the_session_in_a_few_words() -> None:
    attribution = verdict(event(1)).attribution
    assert attribution is not None
    assert who(attribution) == "alpimonitor_owner, ops-shell, 10.0.0.7, pid 4242"
    assert who(replace(attribution, application_name="", client_addr=None)) == (
        "alpimonitor_owner, local socket, pid 4242"
    )
    long = who(replace(attribution, application_name="alpimonitor-seeder 1.4.0 a-very-long-host-name 31337"))
    assert "alpimonitor-seeder 1.4.0 a-…" in long


def test_a_body_names_the_session_in_full() -> None:
    attribution = verdict(event(1, session_role="jo")).attribution
    assert attribution is not None
    assert who_in_full(attribution) == (
        "role alpimonitor_owner (logged in as jo), application ops-shell, from 10.0.0.7, pid 4242, "
        "transaction 741, at 2026-04-21 12:10:00.124 UTC"
    )


def test_statements_of_different_days_have_their_dates() -> None:
    found = verdict(event(1, at=event(1).at - timedelta(days=1)))
    assert found.evidence[0].startswith("recorded 2026-04-20 12:10:00.124: ")
