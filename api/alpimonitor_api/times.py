"""Times as the API writes and reads them: ISO-8601, UTC ending in `Z`. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime

EXAMPLE = "2026-04-20T00:00:00Z"
LATER = "2026-04-21T00:00:00Z"

_LOST_PLUS = re.compile(r" \d{2}:?\d{2}$")


def utc_text(time: datetime) -> str:
    """An aware time as `2026-04-20T20:20:00Z`, with microseconds only where there are some."""
    return time.astimezone(UTC).isoformat().removesuffix("+00:00") + "Z"


def parse_time(value: object) -> datetime:
    """A time of a query, in UTC. Raises ValueError with the shape expected: an offset is never guessed."""
    text = str(value)
    shape = f"must be a time with an offset, such as {EXAMPLE} or 2026-04-20T02:00:00%2B02:00"
    if _LOST_PLUS.search(text) and "T" in text:
        raise ValueError(f"{shape}; a + in an address means a space, so write it as %2B")
    if "T" not in text:
        raise ValueError(shape)
    try:
        time = datetime.fromisoformat(text)
        if time.tzinfo is None:
            raise ValueError
        return time.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(shape) from None
