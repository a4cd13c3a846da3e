"""The demo's partition: from looks at two sidecars to what has happened, and what of it has to be shown."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from alpimonitor_rehearsal import report
from alpimonitor_rehearsal.proof import unmet
from alpimonitor_rehearsal.scenarios import DELETE, PARTITION
from alpimonitor_rehearsal.sightings import (
    FIRST,
    SECOND,
    ApiSeen,
    HealRecorded,
    IncidentSeen,
    Receipt,
    Rows,
    Seen,
    SidecarSeen,
    counted,
)
from alpimonitor_rehearsal.story import Healthy, Round, Story, continued, news, wiped
from alpimonitor_rehearsal.takeover import Takeover, keys, leader
from tests.unit.test_demo_story import BEGAN, EMPTY, NO_ROWS, PSQL, ROWS, SERVED, STATIONS, ZERO

LEADS = SidecarSeen(ZERO, up=True, leads=True, whole=True)
FOLLOWS = SidecarSeen(ZERO, up=True, follows=True, whole=True)
CONCLUDED = ("rows_deleted_in_place", PSQL)
OPEN = frozenset({"context_empty"})
INCIDENT = (IncidentSeen("inc-1", "open", False, False, *CONCLUDED),)
RESOLVED = (IncidentSeen("inc-1", "resolved", True, True, *CONCLUDED),)
HEALED = (HealRecorded(SECOND, "succeeded"),)


def told(sender: str, kind: str, key: str = "0000004d") -> Receipt:
    return Receipt(
        "2026-04-21T12:10:01Z", ZERO + 1, "notify", kind, "Nothing to do.", sender, f"{key}-{kind}-1-notify"
    )


OPENED = (told(FIRST, "opened"), told(SECOND, "opened"))
ALL_TOLD = (*OPENED, told(SECOND, "resolved"), told(FIRST, "resolved"))


def look(
    seconds: float,
    first: SidecarSeen | None,
    second: SidecarSeen | None,
    *,
    api: ApiSeen = EMPTY,
    rows: Rows = NO_ROWS,
    receipts: tuple[Receipt, ...] = OPENED,
    recorded: tuple[HealRecorded, ...] | None = (),
) -> Seen:
    at = ZERO + seconds
    first, second = (each and replace(each, at=at) for each in (first, second))
    return Seen(at, replace(api, at=at), second, receipts, rows, first, recorded)


def begun(leader_before: str | None = FIRST) -> Story:
    healthy = Healthy(STATIONS, ROWS)
    story = Story(
        PARTITION, healthy, heal_budget=3, patience=20.0, takeover=Takeover(leader_before, frozenset({"old"}))
    )
    return wiped(story, Round(ZERO, counted(NO_ROWS), by="owner (application_name ops-shell)"))


NOTICED = look(1, replace(LEADS, open=OPEN, incidents=INCIDENT), replace(FOLLOWS, open=OPEN))
LOST = replace(LEADS, leads=False, up=False, whole=False, open=OPEN, incidents=INCIDENT)
TAKEN = look(4, LOST, replace(LEADS, open=OPEN, incidents=INCIDENT))
BACK: dict[str, Any] = {"api": SERVED, "rows": ROWS, "recorded": HEALED}
DONE = look(14, LOST, replace(LEADS, incidents=RESOLVED, heals=1), **BACK)
OVER = look(
    15, replace(FOLLOWS, incidents=RESOLVED), replace(LEADS, incidents=RESOLVED), receipts=ALL_TOLD, **BACK
)


def played(*looks: Seen, leader_before: str | None = FIRST) -> tuple[Story, list[str]]:
    """The story of these looks, with the network cut and mended as the play does it, and what was told."""
    story, texts = begun(leader_before), []
    for seen in looks:
        before, story = story, continued(story, seen)
        assert story.takeover is not None
        if story.to_be_cut_off:
            story = replace(story, takeover=replace(story.takeover, cut=seen.at))
        elif story.to_be_mended:
            story = replace(story, takeover=replace(story.takeover, mended=seen.at))
        texts += [beat.text for beat in news(before, story)]
    return story, texts


def expected(story: Story, seen: Seen) -> list[str]:
    return [each.expected for each in unmet(story, seen)]


def test_a_takeover_is_told_in_order_and_holds() -> None:
    story, texts = played(NOTICED, TAKEN, DONE, OVER)
    assert [text for text in texts if "sidecar" in text or "partition" in text] == [
        "the first sidecar, which leads, has opened its incident",
        "cut off: nothing passes between the first sidecar and the database, not even the end of a "
        "connection; the programs of its heal would still get through",
        "the first sidecar's page says that it does not lead any more",
        "the second sidecar leads",
        "verified: so says the sidecar's own proof (an empty plan, /stations complete)",
        "the ledger in the database records a heal, by the second sidecar",
        "the partition is over",
        "the first sidecar sees every row again",
        "the first sidecar follows: it knows that the second one leads",
        "the first sidecar has resolved its incident, without a heal of its own",
    ]
    assert expected(story, OVER) == []


def test_it_is_cut_off_as_soon_as_the_first_has_an_incident_and_mended_when_the_second_has_none() -> None:
    story = continued(begun(), look(1, LEADS, replace(FOLLOWS, open=OPEN)))
    assert not story.to_be_cut_off
    assert continued(story, NOTICED).to_be_cut_off
    story, _ = played(NOTICED, TAKEN)
    assert not story.to_be_cut_off
    assert not story.to_be_mended
    assert continued(story, DONE).to_be_mended
    story, _ = played(NOTICED, TAKEN, DONE)
    assert not story.to_be_mended


def test_whichever_sidecar_notices_it_first_has_noticed_it() -> None:
    for first, second in ((OPEN, frozenset[str]()), (frozenset[str](), OPEN)):
        story = continued(begun(), look(1, replace(LEADS, open=first), replace(FOLLOWS, open=second)))
        assert story.rounds[0].detected == ZERO + 1


@pytest.mark.parametrize(
    ("over", "missing"),
    [
        ({"recorded": ()}, "the ledger in the database holds one heal, by the second sidecar"),
        ({"recorded": None}, "the ledger in the database holds one heal, by the second sidecar"),
        (
            {"recorded": (*HEALED, *HEALED)},
            "the ledger in the database holds one heal, by the second sidecar",
        ),
        (
            {"recorded": (HealRecorded(FIRST, "succeeded"),)},
            "the ledger in the database holds one heal, by the second sidecar",
        ),
        ({"first": replace(FOLLOWS, incidents=RESOLVED, heals=1)}, "the first sidecar heals nothing"),
        (
            {"receipts": (*ALL_TOLD[1:],)},
            "both sidecars tell under one key that the incident is opened",
        ),
        (
            {"receipts": (*OPENED, told(SECOND, "resolved"), told(FIRST, "resolved", "0000004d-2"))},
            "both sidecars tell under one key that the incident is resolved",
        ),
        (
            {"first": replace(FOLLOWS, incidents=INCIDENT)},
            "after the partition the first sidecar sees the rows whole, follows, and resolves its incident",
        ),
        (
            {"first": replace(FOLLOWS, incidents=RESOLVED, whole=False)},
            "after the partition the first sidecar sees the rows whole, follows, and resolves its incident",
        ),
        (
            {"first": replace(FOLLOWS, incidents=RESOLVED, follows=False)},
            "after the partition the first sidecar sees the rows whole, follows, and resolves its incident",
        ),
        (
            {"first": replace(FOLLOWS, incidents=RESOLVED, leads=True)},
            "in the end the second sidecar leads",
        ),
    ],
)
def test_a_takeover_does_not_hold_when(over: dict[str, Any], missing: str) -> None:
    how = {"first": replace(FOLLOWS, incidents=RESOLVED), "receipts": ALL_TOLD, **BACK, **over}
    last = look(15, how.pop("first"), replace(LEADS, incidents=RESOLVED), **how)
    story, _ = played(NOTICED, TAKEN, DONE, last)
    assert expected(story, last) == [missing]


def test_a_leader_that_nobody_replaces_is_named() -> None:
    last = look(60, LOST, replace(FOLLOWS, open=OPEN, incidents=INCIDENT))
    story, _ = played(NOTICED, last)
    assert "the second sidecar takes over" in expected(story, last)
    (found,) = [each.seen for each in unmet(story, last) if each.expected == "the second sidecar takes over"]
    assert found == "leader: none"


def test_before_anything_is_broken_the_first_has_to_lead() -> None:
    story, _ = played(NOTICED, TAKEN, DONE, OVER, leader_before=SECOND)
    assert expected(story, OVER) == ["at first the first sidecar leads"]


def test_an_incident_of_the_first_from_before_is_another_one() -> None:
    old = replace(FOLLOWS, incidents=(IncidentSeen("old", "resolved", restored=True, resolved=True),))
    story, _ = played(NOTICED, TAKEN, DONE, look(15, old, LEADS, receipts=ALL_TOLD, **BACK))
    assert story.takeover is not None
    assert story.takeover.resolved is None


def test_nobody_leads_where_both_say_so() -> None:
    assert leader(look(1, LEADS, LEADS)) is None
    assert leader(look(1, LEADS, None)) == FIRST
    assert leader(look(1, None, LEADS)) == SECOND
    assert leader(look(1, None, None)) is None


def test_a_key_is_what_comes_before_the_kind_its_number_and_the_channel() -> None:
    receipts = [
        told(FIRST, "opened", "0000004d-2"),
        told(FIRST, "opened", "later"),
        replace(told(SECOND, "opened"), key="by another hand"),
    ]
    assert keys(receipts, "opened") == {FIRST: "0000004d-2"}
    assert keys(receipts, "resolved") == {}


def test_the_object_says_who_led_and_who_healed() -> None:
    story, _ = played(NOTICED, TAKEN, DONE, OVER)
    document = report.document(PARTITION, story, OVER, [], BEGAN)
    assert {key: document[key] for key in report.OF_TWO_SIDECARS} == {
        "leader_before": FIRST,
        "leader_after": SECOND,
        "cut_off_seconds": 1.0,
        "taken_over_seconds": 4.0,
        "incident_keys": {FIRST: "0000004d", SECOND: "0000004d"},
        "heals_recorded": 1,
        "healed_by": SECOND,
    }
    assert document["detected_seconds"] == 1.0
    assert {each["sidecar"] for each in document["notifications"]} == {FIRST, SECOND}
    assert [item["event"] for item in document["timeline"]][-2:] == ["stations_complete", "network_mended"]
    assert "taken over after 4.00 s" in report.summary(story)


def test_the_object_has_the_same_members_when_nothing_could_be_played() -> None:
    played_out = report.document(PARTITION, *played(OVER)[:1], OVER, [], BEGAN)
    assert list(report.document(PARTITION, None, None, [], None)) == list(played_out)
    assert not set(report.OF_TWO_SIDECARS) & set(report.document(DELETE, None, None, [], None))


def test_a_notification_of_one_of_two_names_its_sender_and_its_key() -> None:
    _, texts = played(NOTICED)
    assert "notified by the first (key 0000004d-opened-1-notify), as received:" in texts
    assert "notified by the second (key 0000004d-opened-1-notify): opened" in texts
