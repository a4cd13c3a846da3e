"""Durations as people write them: "500ms", "10s", "5m", "1h", "7d"."""

from __future__ import annotations

import re

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SHAPE = re.compile(r"(?P<number>\d{1,9}(\.\d{1,6})?)\s*(?P<unit>ms|s|m|h|d)")


def seconds(written: object) -> float:
    """The seconds of a duration. Raises ValueError with the shape that is expected."""
    found = _SHAPE.fullmatch(written.strip()) if isinstance(written, str) else None
    if found is None:
        raise ValueError(
            'not a duration; write a number and its unit in quotes, such as "500ms", "10s" or "5m"'
        )
    # Rounded to the microsecond, so that 50ms is the number that 0.05 is.
    return round(float(found["number"]) * _UNITS[found["unit"]], 6)


def written(seconds: float) -> str:
    """A duration as it is written, in the largest unit that needs no fraction; below 1 ms with one."""
    for unit, size in reversed(_UNITS.items()):
        number = round(seconds / size, 6)
        if number >= 1 and number == int(number):
            return f"{int(number)}{unit}"
    return f"{seconds / _UNITS['ms']:g}ms" if seconds else "0s"
