"""Figures and times as the sentences of evidence have them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime

NAME_LENGTH = 64  # characters of a name that a client chose
REASON_LENGTH = 200  # of a reason that one stated

_LISTED = 12
REASON_LENGTH = 200  # characters of a stated reason that are told
_ESCAPE = re.compile(r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]")  # colours and cursor movements of a terminal
_BLANK = frozenset({"Cc", "Zs", "Zl", "Zp"})
_DROPPED = frozenset({"Cf", "Cs"})  # directions, joiners, tags and the like; halves of characters


def count(number: int, noun: str) -> str:
    """`1 row`, `7 rows`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def plain(text: str, limit: int) -> str:
    """One line of at most `limit` visible characters, of a text that any client may have chosen.

    Blanks, line breaks, control characters and terminal sequences in a row are one space; what is invisible
    or turns the direction of writing is dropped: a name can neither forge a line nor hide one. Cut: "…".
    """
    kept = []
    for character in _ESCAPE.sub(" ", text):
        kind = unicodedata.category(character)
        if kind not in _DROPPED:
            kept.append(" " if kind in _BLANK else character)
    line = " ".join("".join(kept).split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


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
