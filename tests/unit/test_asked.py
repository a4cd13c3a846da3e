"""What a POST to the sidecar asks for: what is not exactly understood is refused, with its place."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from alpimonitor_watchdog.core.acts import ActKind
from alpimonitor_watchdog.web.asked import Asked, Problem, understood

NOW = datetime(2026, 4, 21, 12, tzinfo=UTC)
UNTIL = "2026-04-21T14:00:00Z"


def read(action: str, body: dict[str, Any] | bytes) -> Asked:
    return understood(action, body if isinstance(body, bytes) else json.dumps(body).encode(), NOW)


@pytest.mark.parametrize(
    ("action", "more"),
    [
        *((kind.value, {}) for kind in ActKind if kind not in (ActKind.PAUSE, ActKind.HEAL)),
        ("test-notification", {}),
        ("pause", {"until": UNTIL}),
        ("heal", {"now": True}),
    ],
)
def test_every_action_takes_a_reason_and_who_said_so(action: str, more: dict[str, Any]) -> None:
    asked = read(action, {"reason": " migrating – by hand ", "by": "anna@ops1", **more})
    assert (asked.reason, asked.by) == ("migrating – by hand", "anna@ops1")
    assert read(action, {"reason": "x", **more}).by == "not recorded"


@pytest.mark.parametrize("until", [UNTIL, "2026-04-21T16:00:00+02:00", UNTIL.lower()])
def test_a_pause_ends_at_a_time_in_utc(until: str) -> None:
    assert read("pause", {"reason": "x", "until": until}).until == datetime(2026, 4, 21, 14, tzinfo=UTC)


def test_a_pause_of_seven_days_is_the_longest() -> None:
    ends = NOW + timedelta(days=7)
    assert read("pause", {"reason": "x", "until": ends.isoformat()}).until == ends


@pytest.mark.parametrize(
    ("body", "dry"),
    [({"now": True}, False), ({"dry_run": True}, True), ({"now": False, "dry_run": True}, True)],
)
def test_a_heal_is_now_or_dry(body: dict[str, Any], dry: bool) -> None:
    assert read("heal", {"reason": "x", **body}).dry_run is dry


@pytest.mark.parametrize("reason", ["x", "é" * 500, "no\u00a0break", "水 🏔"])
def test_a_reason_is_a_line_of_any_language(reason: str) -> None:
    assert read("hold", {"reason": reason}).reason == reason


REFUSED: list[tuple[str, Any, str, str]] = [
    ("hold", b"", "not_json", "Expecting value (line 1, column 1)"),
    ("hold", b"{", "not_json", "line 1, column 2"),
    ("hold", b"\xff\xfe\xfd", "not_json", "UTF-8"),
    ("hold", b'{"reason": "x"} {}', "not_json", "line 1, column 17"),
    ("hold", b"[" * 8000, "not_json", "nested"),
    ("hold", b"9" * 8000, "not_json", "JSON"),
    ("hold", b"[]", "not_an_object", "not an object"),
    ("hold", b"null", "not_an_object", "not an object"),
    ("hold", b'"x"', "not_an_object", "not an object"),
    ("hold", {}, "reason_missing", "reason"),
    ("hold", b'{"reason": "x", "reason": "y"}', "repeated_key", '"reason"'),
    ("hold", {"reason": "x", "reasons": "x"}, "unknown_key", '"reasons"'),
    ("hold", {"reason": "x", "until": UNTIL}, "unknown_key", '"until"'),
    ("hold", {"reason": "x", "now": True}, "unknown_key", '"now"'),
    ("pause", {"reason": "x", "until": UNTIL, "dry_run": True}, "unknown_key", '"dry_run"'),
    ("hold", {"reason": "x", "k" * 5000: 1}, "unknown_key", "kkk"),
    ("hold", {"reason": None}, "reason_not_text", "reason"),
    ("hold", {"reason": 7}, "reason_not_text", "reason"),
    ("hold", {"reason": ["x"]}, "reason_not_text", "reason"),
    ("hold", {"reason": ""}, "reason_empty", "reason"),
    ("hold", {"reason": " \t\n"}, "reason_empty", "reason"),
    ("hold", {"reason": "x" * 501}, "reason_too_long", "501"),
    ("hold", {"reason": "two\nlines"}, "reason_not_printable", "U+000A at character 4"),
    ("hold", {"reason": "colour \x1b[31m"}, "reason_not_printable", "U+001B"),
    ("hold", {"reason": "nul\x00"}, "reason_not_printable", "U+0000"),
    ("hold", {"reason": "line\u2028separator"}, "reason_not_printable", "U+2028"),
    ("hold", {"reason": "right\u202eleft"}, "reason_not_printable", "U+202E"),
    ("hold", b'{"reason": "half \\ud800"}', "reason_not_printable", "U+D800"),
    ("hold", {"reason": "x", "by": ""}, "by_empty", "by"),
    ("hold", {"reason": "x", "by": None}, "by_not_text", "by"),
    ("hold", {"reason": "x", "by": "y" * 101}, "by_too_long", "101"),
    ("hold", {"reason": "x", "by": "a\nb"}, "by_not_printable", "by"),
    ("pause", {"reason": "x"}, "until_missing", "until"),
    ("pause", {"reason": "x", "until": None}, "until_not_a_time", "until"),
    ("pause", {"reason": "x", "until": 1776772800}, "until_not_a_time", "until"),
    ("pause", {"reason": "x", "until": "30m"}, "until_not_a_time", "until"),
    ("pause", {"reason": "x", "until": "2026-04-21T14:00:00"}, "until_not_a_time", "offset"),
    ("pause", {"reason": "x", "until": "2026-04-21 14:00:00Z"}, "until_not_a_time", "until"),
    ("pause", {"reason": "x", "until": "2026-04-31T14:00:00Z"}, "until_not_a_time", "exists"),
    ("pause", {"reason": "x", "until": "2026-04-21T14:00:00+99:00"}, "until_not_a_time", "exists"),
    ("pause", {"reason": "x", "until": "2026-04-21T1４:00:00Z"}, "until_not_a_time", "until"),
    ("pause", {"reason": "x", "until": "2026-04-21T12:00:00Z"}, "until_past", "12:00:00 UTC here"),
    ("pause", {"reason": "x", "until": "2026-04-21T13:00:00+02:00"}, "until_past", "future"),
    ("pause", {"reason": "x", "until": "0001-01-01T00:00:00+14:00"}, "until_past", "future"),
    ("pause", {"reason": "x", "until": "2026-04-28T12:00:01Z"}, "until_too_far", "7 days"),
    ("pause", {"reason": "x", "until": "9999-12-31T23:59:59-14:00"}, "until_too_far", "7 days"),
    ("heal", {"reason": "x"}, "now_or_dry_run", "Neither now nor dry_run"),
    ("heal", {"reason": "x", "now": True, "dry_run": True}, "now_or_dry_run", "both"),
    ("heal", {"reason": "x", "now": False}, "now_or_dry_run", "Neither"),
    ("heal", {"reason": "x", "now": 1}, "now_not_boolean", "now"),
    ("heal", {"reason": "x", "dry_run": "true"}, "dry_run_not_boolean", "dry_run"),
]


@pytest.mark.parametrize(("action", "body", "code", "place"), REFUSED)
def test_what_is_not_understood_is_refused_with_its_place(
    action: str, body: dict[str, Any] | bytes, code: str, place: str
) -> None:
    with pytest.raises(Problem) as refused:
        read(action, body)
    problem = refused.value
    assert (problem.status, problem.code) == (400, code)
    assert place in problem.message + problem.remedy
    assert problem.remedy
    assert len(problem.message) < 200
