"""Figures and times as the sentences of evidence have them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

_LISTED = 12


def count(number: int, noun: str) -> str:
    """`1 row`, `7 rows`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def listed(parts: Sequence[str]) -> str:
    """The parts in a row; of very many the first, and how many more there are."""
    more = len(parts) - _LISTED
    return ", ".join(parts[:_LISTED]) + (f" and {more} more" if more > 0 else "")


def moment(at: datetime, now: datetime | None = None) -> str:
    """UTC: the time, with milliseconds where they are known; with its date where that is not today's."""
    there = at.astimezone(UTC)
    time = f"{there:%H:%M:%S}" + (f".{there.microsecond // 1000:03}" if there.microsecond else "")
    same_day = now is not None and now.astimezone(UTC).date() == there.date()
    return time if same_day else f"{there:%Y-%m-%d} {time}"
