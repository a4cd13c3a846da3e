"""From looks at a rehearsal to its story, its proof, and the way both are told."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from alpimonitor_rehearsal import report
from alpimonitor_rehearsal.proof import unmet, verified
from alpimonitor_rehearsal.scenarios import CONTEXT, DELETE, PARTIAL, REPEAT, Scenario
from alpimonitor_rehearsal.sightings import (
    ApiSeen,
    IncidentSeen,
    Receipt,
    Rows,
    Seen,
    Session,
    SidecarSeen,
    counted,
)
from alpimonitor_rehearsal.story import Beat, Healthy, Round, Story, continued, news, wiped

ZERO = 1000.0
BEGAN = datetime(2026, 4, 21, 12, 10, tzinfo=UTC)
STATIONS = frozenset({("id-1", "2346"), ("id-2", "2011")})
ROWS: Rows = dict.fromkeys(CONTEXT, ('{"id": 1}', '{"id": 2}'))
NO_ROWS: Rows = dict.fromkeys(CONTEXT, ())
SOME_ROWS: Rows = ROWS | {"threshold": ('{"id": 1}',), "withdrawal": ('{"id": 1}',)}
SERVED = ApiSeen(ZERO, 200, stations=STATIONS)
EMPTY = ApiSeen(ZERO, 503, "CONTEXT_EMPTY")
PSQL = Session("alpimonitor_owner", "ops-shell", "127.0.0.1", 4242, "DELETE FROM alert")
CALM = SidecarSeen(ZERO, up=True)
OPENED = Receipt(
    "2026-04-21T12:10:01Z", ZERO + 1.5, "notify", "7 tables empty; heals in 9 s", "Nothing to do."
)
PAGED = Receipt("2026-04-21T12:11:00Z", ZERO + 60.0, "page", "heal REFUSED", "You must act.\nNow.")


def seen(
    seconds: float,
    *,
    api: ApiSeen = EMPTY,
    sidecar: SidecarSeen | None = CALM,
    receipts: tuple[Receipt, ...] | None = (),
    rows: Rows | None = NO_ROWS,
) -> Seen:
    at = ZERO + seconds
    sidecar = None if sidecar is None else replace(sidecar, at=at)
    return Seen(at, replace(api, at=at), sidecar, receipts, rows)


def incident(phase: str, *, restored: bool = False, resolved: bool = False) -> tuple[IncidentSeen, ...]:
    return (IncidentSeen("inc-1", phase, restored, resolved, "rows_deleted_in_place", PSQL),)


def begun(scenario: Scenario = DELETE, left: Rows = NO_ROWS) -> Story:
    story = Story(scenario, Healthy(STATIONS, ROWS), heal_budget=3, patience=20.0)
    return wiped(story, Round(ZERO, counted(left), by="owner (application_name ops-shell)"))


def told(story: Story, looks: list[Seen]) -> tuple[Story, list[Beat]]:
    beats: list[Beat] = []
    for look in looks:
        before, story = story, continued(story, look)
        beats += news(before, story)
    return story, beats


NOTICED = replace(CALM, open=frozenset({"context_empty"}), incidents=incident("open"))
HEALED = [
    seen(0.1),
    seen(1.2, sidecar=NOTICED),
    seen(1.6, sidecar=NOTICED, receipts=(OPENED,)),
    seen(12.0, api=SERVED, rows=ROWS, sidecar=replace(NOTICED, heals=1), receipts=(OPENED,)),
    seen(
        *(12.5,),
        api=SERVED,
        rows=ROWS,
        sidecar=replace(NOTICED, heals=1, incidents=incident("verifying", restored=True)),
        receipts=(OPENED,),
    ),
    seen(
        *(13.5,),
        api=SERVED,
        rows=ROWS,
        sidecar=replace(CALM, heals=1, incidents=incident("resolved", restored=True, resolved=True)),
        receipts=(OPENED,),
    ),
]


def test_a_healed_wipe_is_told_once_and_in_order() -> None:
    story, beats = told(begun(), HEALED)
    assert [(round((beat.at or 0) - ZERO, 1), beat.text.split(":")[0]) for beat in beats] == [
        (0.1, "the API answers 503 CONTEXT_EMPTY"),
        (1.2, "noticed"),
        (1.2, "named"),
        (1.5, "notified, as received"),
        (12.0, "restored"),
        (12.5, "verified"),
        (13.5, "resolved"),
    ]
    assert unmet(story, HEALED[-1]) == ()
    assert verified(story, HEALED[-1])


def test_the_message_is_shown_as_it_was_received() -> None:
    _, beats = told(begun(), HEALED)
    (message,) = [beat.body for beat in beats if beat.text.startswith("notified")]
    assert message == (OPENED.title, OPENED.body)


def test_psql_is_credited_with_what_sql_found_after_it() -> None:
    story = begun()
    (beat,) = news(replace(story, rounds=()), story)
    assert beat.text == "psql emptied 7 tables (14 rows), as owner (application_name ops-shell)"
    partly = begun(PARTIAL, SOME_ROWS)
    (beat,) = news(replace(partly, rounds=()), partly)
    assert "psql deleted 2 rows of 2 tables (threshold 2 → 1, withdrawal 2 → 1)" in beat.text


@pytest.mark.parametrize(
    ("look", "why"),
    [
        (seen(12.0, api=EMPTY, rows=ROWS), "the API does not serve them"),
        (seen(12.0, api=SERVED, rows=ROWS | {"sensor": ()}), "a table is empty"),
        (seen(12.0, api=SERVED, rows=ROWS | {"sensor": ('{"id": 1}', '{"id": 3}')}), "a value differs"),
        (
            seen(12.0, api=ApiSeen(ZERO, 200, stations=frozenset(list(STATIONS)[:1])), rows=ROWS),
            "one is missing",
        ),
        (seen(12.0, api=SERVED, rows=None), "SQL cannot look"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_it_is_not_restored_while(look: Seen, why: str) -> None:
    story, _ = told(begun(), [look])
    assert story.rounds[-1].restored is None, why


@pytest.mark.parametrize(
    ("verdict", "session"),
    [
        ("table_truncated", PSQL),
        ("rows_deleted_in_place", None),
        ("rows_deleted_in_place", replace(PSQL, role="alpimonitor_api")),
        ("rows_deleted_in_place", replace(PSQL, application_name="another")),
        ("rows_deleted_in_place", replace(PSQL, statement="TRUNCATE alert")),
    ],
    ids=["another verdict", "nobody", "another role", "another application", "another statement"],
)
def test_a_wrong_verdict_or_session_is_no_success(verdict: str, session: Session | None) -> None:
    (right,) = incident("resolved", restored=True, resolved=True)
    wrong = replace(right, verdict=verdict, session=session)
    looks = [
        replace(look, sidecar=replace(look.sidecar, incidents=(wrong,))) for look in HEALED if look.sidecar
    ]
    story, _ = told(begun(), looks)
    (missing,) = unmet(story, looks[-1])
    assert missing.expected.startswith(("the sidecar concludes", "the sidecar names"))


def test_a_session_of_an_earlier_wipe_is_not_that_of_the_last() -> None:
    story, _ = told(begun(REPEAT), HEALED)
    again = wiped(story, Round(ZERO + 20, counted(NO_ROWS), by="owner"))
    story, _ = told(again, [seen(21.0, sidecar=NOTICED)])
    assert story.rounds[-1].session is None


def test_the_sidecars_word_alone_proves_nothing() -> None:
    claims = replace(CALM, incidents=incident("resolved", restored=True, resolved=True))
    story, _ = told(begun(), [seen(5.0, sidecar=claims)])
    assert story.rounds[-1].proven is None
    assert story.rounds[-1].resolved is None


def test_an_incident_from_before_the_wipe_is_another_one() -> None:
    story = begun()
    story = replace(story, healthy=replace(story.healthy, incidents=frozenset({"inc-1"})))
    story, _ = told(story, HEALED)
    assert story.incident is None
    assert story.rounds[-1].proven is None


def test_notifications_from_before_the_wipe_do_not_count() -> None:
    story = begun()
    story = replace(story, healthy=replace(story.healthy, receipts=1))
    story, beats = told(story, [seen(2.0, receipts=(OPENED,))])
    assert story.notified is None
    assert not any("notified" in beat.text for beat in beats)


def test_what_was_restored_and_lost_again_is_not_verified() -> None:
    story, _ = told(begun(), HEALED)
    lost = seen(14.0, receipts=(OPENED,))
    assert not verified(continued(story, lost), lost)
    assert [each.expected for each in unmet(continued(story, lost), lost)] == ["what was restored stays"]


def test_without_a_sidecar_everything_but_the_wipe_is_missing() -> None:
    last = seen(0.5, sidecar=None)
    story, _ = told(begun(), [last])
    missing = unmet(story, last)
    assert [each.expected.split(",")[0] for each in missing] == [
        "the sidecar's /metrics says context_empty is open",
        "the sidecar concludes rows_deleted_in_place",
        "the sidecar names the session: role alpimonitor_owner",
        "a notification reaches the pager",
        "every row and station comes back",
        "the sidecar proves that the context is restored",
        "the sidecar resolves the incident",
    ]
    assert missing[0].seen == "the sidecar does not answer"
    assert missing[1].seen == "nothing is concluded"
    assert missing[2].seen == "no session is named"
    assert missing[3].seen == "it received nothing"
    assert "station 0/2" in missing[4].seen
    assert not verified(story, last)


def test_a_psql_that_deleted_too_little_is_reported() -> None:
    story = begun(DELETE, NO_ROWS | {"glacier": ROWS["glacier"]})
    missing = unmet(story, seen(0.5))
    assert missing[0].seen.startswith("glacier lost none")


def test_a_partial_loss_leaves_consumers_unaware() -> None:
    looks = [seen(0.1, api=SERVED, rows=SOME_ROWS)]
    story, beats = told(begun(PARTIAL, SOME_ROWS), looks)
    assert story.rounds[-1].consumers is not None
    assert beats[0].text.startswith("the API still answers with all 2 stations")


def stopped(seconds: float, **changes: Any) -> Seen:
    refused = replace(NOTICED, heals=3, circuit_open=True)
    return seen(seconds, **{"sidecar": refused, "receipts": (OPENED, PAGED)} | changes)


def test_a_repeated_wipe_ends_with_healing_stopped_and_a_person_paged() -> None:
    looks = [*HEALED, stopped(60.0), stopped(81.0)]
    story, beats = told(begun(REPEAT), looks)
    assert unmet(story, looks[-1]) == ()
    assert not verified(story, looks[-1])
    assert "healing has stopped after 3 heals: watchdog_heal_circuit_open is 1" in [
        beat.text for beat in beats
    ]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"receipts": (OPENED,)}, "a person is paged: a receipt on the channel page"),
        ({"rows": ROWS}, "the tables are left empty"),
        ({"sidecar": replace(NOTICED, heals=2, circuit_open=True)}, "the budget is spent: 3 heals"),
        ({"sidecar": replace(NOTICED, heals=3)}, "watchdog_heal_circuit_open is 1"),
    ],
)
def test_a_repeated_wipe_does_not_hold_without(changes: dict[str, Any], expected: str) -> None:
    looks = [*HEALED, stopped(60.0, **changes), stopped(81.0, **changes)]
    story, _ = told(begun(REPEAT), looks)
    assert expected in [each.expected for each in unmet(story, looks[-1])]


def test_a_page_about_an_earlier_wipe_calls_nobody_for_the_last_one() -> None:
    story, _ = told(begun(REPEAT), [*HEALED, stopped(60.0)])
    story = wiped(story, replace(story.rounds[-1], wiped=ZERO + 70.0))
    last = stopped(95.0)
    story = continued(story, last)
    assert [each.expected for each in unmet(story, last)] == [
        "a person is paged: a receipt on the channel page"
    ]


def test_healing_is_watched_for_a_while_before_it_counts_as_stopped() -> None:
    looks = [*HEALED, stopped(60.0), stopped(70.0)]
    story, _ = told(begun(REPEAT), looks)
    assert [each.expected for each in unmet(story, looks[-1])] == ["then no heal runs for 20 s"]


def test_a_repeated_wipe_waits_until_the_incident_is_resolved() -> None:
    story, _ = told(begun(REPEAT), HEALED[:-1])
    assert not story.to_be_wiped_again
    assert continued(story, HEALED[-1]).to_be_wiped_again
    assert not told(begun(DELETE), HEALED)[0].to_be_wiped_again


# ---- how it is told ----------------------------------------------------------------------------------------


def test_a_beat_is_one_line_with_its_measured_second() -> None:
    assert report.lines(Beat("noticed", ZERO + 1.234), ZERO) == ["    1.23 s  noticed"]


def test_a_beat_before_the_clock_starts_shows_no_second() -> None:
    assert report.lines(Beat("started a pager"), None) == ["            started a pager"]


def test_what_is_shown_below_a_beat_is_indented_and_cannot_steer_the_terminal() -> None:
    lines = report.lines(Beat("notified", ZERO, ("\x1b[2Jgone", "", "second")), ZERO)
    assert lines == ["    0.00 s  notified", "              \ufffd[2Jgone", "", "              second"]


def test_a_pipe_gets_plain_lines_however_long_they_are() -> None:
    stream = io.StringIO()
    teller = report.Teller(stream)
    teller.start_clock(ZERO)
    teller(Beat("x" * 300, ZERO + 2, ("[bold]as it came[/bold]",)))
    assert stream.getvalue() == f"    2.00 s  {'x' * 300}\n              [bold]as it came[/bold]\n"


KEYS = [
    *("scenario", "detected_seconds", "notified_seconds", "restored_seconds", "resolved_seconds", "verified"),
    *("stations_before", "stations_after", "incident", "verdict", "attribution"),
    *("notifications", "timeline"),
]


def test_the_object_of_a_healed_wipe_holds_every_figure() -> None:
    story, _ = told(begun(), HEALED)
    own = [
        {"at": "2026-04-21T12:10:01.200Z", "event": "open", "source": "decision", "detail": "loss_confirmed"}
    ]
    document = report.document(DELETE, story, HEALED[-1], own, BEGAN)
    assert list(document) == KEYS
    assert {key: document[key] for key in KEYS[1:11]} == {
        "detected_seconds": 1.2,
        "notified_seconds": 1.5,
        "restored_seconds": 12.0,
        "resolved_seconds": 13.5,
        "verified": True,
        "stations_before": 2,
        "stations_after": 2,
        "incident": "inc-1",
        "verdict": "rows_deleted_in_place",
        "attribution": {
            "role": "alpimonitor_owner",
            "application_name": "ops-shell",
            "client_addr": "127.0.0.1",
            "pid": 4242,
            "statement": "DELETE FROM alert",
        },
    }
    assert [(item["event"], item["source"]) for item in document["timeline"]] == [
        ("psql_exited", "operator"),
        ("context_empty_answered", "api"),
        ("open", "decision"),
        ("stations_complete", "api"),
    ]
    assert document["timeline"][0]["at"] == "2026-04-21T12:10:00.000Z"
    assert document["timeline"][0]["detail"].startswith("psql emptied 7 tables (14 rows)")
    assert document["notifications"][0]["title"] == OPENED.title
    json.dumps(document)


def test_the_object_of_an_unwatched_wipe_says_what_never_happened() -> None:
    last = seen(0.5, sidecar=None)
    story, _ = told(begun(), [last])
    document = report.document(DELETE, story, last, [], BEGAN)
    assert list(document) == KEYS
    assert [document[f"{name}_seconds"] for name in ("detected", "notified", "restored", "resolved")] == [
        None
    ] * 4
    assert (document["verified"], document["notifications"], document["stations_after"]) == (False, [], 0)
    assert document["timeline"][0]["event"] == "psql_exited"


def test_the_object_of_a_stage_that_was_never_set_is_complete_as_well() -> None:
    document = report.document(DELETE, None, None, [], None)
    assert list(document) == KEYS
    assert document["verified"] is False
    assert document["stations_before"] is None


def test_the_summary_says_that_nobody_was_paged_only_when_nobody_was() -> None:
    story, _ = told(begun(), HEALED)
    assert report.summary(story) == (
        "noticed after 1.20 s, notified after 1.50 s, restored after 12.00 s, resolved after 13.50 s, "
        "nobody was paged"
    )
    paged, _ = told(begun(REPEAT), [*HEALED, stopped(60.0)])
    assert "paged after 60.00 s" in report.summary(paged)
    assert "nobody" not in report.summary(paged)
