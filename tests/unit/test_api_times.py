"""Times of the API: written in UTC, read only with an offset."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from alpimonitor_api.times import parse_time, utc_text

SUMMER = timezone(timedelta(hours=2))


def test_a_time_is_written_in_utc_ending_in_z() -> None:
    assert utc_text(datetime(2026, 4, 20, 22, 20, tzinfo=SUMMER)) == "2026-04-20T20:20:00Z"
    assert utc_text(datetime(2026, 4, 20, 20, 20, 0, 5000, tzinfo=UTC)) == "2026-04-20T20:20:00.005000Z"


@pytest.mark.parametrize(
    "text", ["2026-04-20T20:20:00Z", "2026-04-20T22:20:00+02:00", "2026-04-20T22:20+0200", "20260420T202000Z"]
)
def test_a_time_with_an_offset_is_read_into_utc(text: str) -> None:
    read = parse_time(text)
    assert read == datetime(2026, 4, 20, 20, 20, tzinfo=UTC)
    assert read.tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2026-04-20",
        "2026-04-20T20:20:00",
        "2026-02-30T00:00:00Z",
        "1776716400",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
    ],
)
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="with an offset, such as 2026-04-20T00:00:00Z"):
        parse_time(text)


def test_a_plus_that_became_a_space_is_recognised() -> None:
    with pytest.raises(ValueError, match="write it as %2B"):
        parse_time("2026-04-20T22:20:00 02:00")
