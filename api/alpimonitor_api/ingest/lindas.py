"""What an answer of LINDAS means. Pure: bytes in, values out.

The service keeps one observation a station, the latest. Its answer is SPARQL JSON: a list of bindings, each
a row of variables that are `{"type": …, "value": text}`. A row that cannot be used is skipped with its reason
and the others are kept; an answer that is no such list raises PayloadError, and nothing else is ever raised.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum
from typing import Any
from urllib.parse import unquote

ATTRIBUTION = "Source: OFEV/BAFU — hydrodaten.admin.ch via LINDAS"

LARGEST_VALUE = 100_000.0
"""m3/s or m above sea: well beyond any river and any summit, and well below what only an error would send."""

EARLIEST_TIME = datetime(1900, 1, 1, tzinfo=UTC)
"""Before this a time is an error, and one of year 1 could not be shown in every time zone."""

MOST_ROWS = 10_000
"""Forty times those of today. Each one skipped is kept with its reason: millions would fill a memory."""

LONGEST_DETAIL = 120
"""Characters of a foreign text that are repeated in a message."""

NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
CODE = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,31}")
POINT = re.compile(
    rf"\s*(?:<[^>]*>\s*)?POINT\s*Z?\s*\(\s*(?P<longitude>{NUMBER.pattern})\s+(?P<latitude>{NUMBER.pattern})"
    rf"(?:\s+{NUMBER.pattern})?\s*\)\s*",
    re.ASCII | re.IGNORECASE,
)


class PayloadFault(Enum):
    NOT_JSON = "not_json"  # an error page, a body cut short, no body at all
    NOT_A_RESULT = "not_a_result"  # JSON, but not the result of a SELECT
    NO_ROWS = "no_rows"  # a result that names no station at all: the graph was emptied or renamed
    TOO_MANY_ROWS = "too_many_rows"  # more than MOST_ROWS: no network of rivers is that large
    NO_USABLE_ROW = "no_usable_row"  # every row was skipped


class PayloadError(Exception):
    """The payload as a whole cannot be used."""

    def __init__(self, fault: PayloadFault, detail: str) -> None:
        super().__init__(f"malformed payload ({fault.value}): {detail}")
        self.fault = fault
        self.detail = detail


class SkipReason(Enum):
    NOT_A_ROW = "not_a_row"  # the binding is not an object, or a variable in it is not
    CODE_MISSING = "code_missing"
    CODE_MALFORMED = "code_malformed"
    TIME_MISSING = "time_missing"
    TIME_MALFORMED = "time_malformed"
    TIME_NAIVE = "time_naive"  # no offset: it could be winter time, summer time or UTC
    TIME_OUT_OF_RANGE = "time_out_of_range"  # before 1900, or later than the payload can know
    NUMBER_MALFORMED = "number_malformed"  # NaN and INF included
    NUMBER_OUT_OF_RANGE = "number_out_of_range"


class _SkipRow(Exception):
    def __init__(self, reason: SkipReason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True)
class Skipped:
    """A row that was left out: its place in the payload (from 0), its station's code if that can be read."""

    row: int
    code: str | None
    reason: SkipReason
    detail: str


@dataclass(frozen=True)
class Observation:
    """The latest observation of a station, at `measured_at` (aware UTC).

    discharge in m3/s, water_level in m above sea, None where the station does not measure it; danger_level
    1 to 5 or None where undefined; location in degrees. What only describes is None when it cannot be read:
    that is no reason to lose a measurement.
    """

    code: str
    measured_at: datetime
    discharge: float | None
    water_level: float | None
    danger_level: int | None = None
    name: str | None = None
    water_body: str | None = None
    longitude: float | None = None
    latitude: float | None = None


@dataclass(frozen=True)
class Parsed:
    """One observation a station, ordered as in the payload; `superseded` counts the older ones left out."""

    observations: tuple[Observation, ...]
    skipped: tuple[Skipped, ...]
    superseded: int


def parse(payload: bytes, *, not_after: datetime | None = None, values_only: bool = False) -> Parsed:
    """The observations of a payload. Raises PayloadError when it is not the result of a SELECT with rows.

    not_after, aware, is the latest time an observation can have: one from the future would stay the latest
    measurement of its station until that future came. values_only leaves out what only describes, which takes
    as long as all else.
    """
    newest: dict[str, Observation] = {}
    skipped: list[Skipped] = []
    superseded = 0
    for number, row in enumerate(_rows(payload)):
        try:
            found = _observation(row, not_after, values_only)
        except _SkipRow as skip:
            skipped.append(Skipped(number, _code_if_readable(row), skip.reason, skip.detail))
            continue
        known = newest.get(found.code)
        superseded += known is not None
        if known is None or found.measured_at > known.measured_at:
            newest[found.code] = found
        elif found.measured_at == known.measured_at:
            newest[found.code] = _both(known, found)
    return Parsed(tuple(newest.values()), tuple(skipped), superseded)


def _both(one: Observation, other: Observation) -> Observation:
    """Two rows of one station and time, which have no order: of each value the larger, whichever comes first.

    Else the same answer in another order would be another value, and the next one would correct it back.
    """
    return replace(
        one,
        discharge=_larger(one.discharge, other.discharge),
        water_level=_larger(one.water_level, other.water_level),
    )


def _larger(one: float | None, other: float | None) -> float | None:
    return max((value for value in (one, other) if value is not None), default=None)


def _rows(payload: bytes) -> list[Any]:
    if not payload.strip():
        raise PayloadError(PayloadFault.NOT_JSON, "the body is empty")
    try:
        # utf-8-sig: a byte order mark is not worth losing a payload for.
        document = json.loads(payload.decode("utf-8-sig"))
    except RecursionError:
        raise PayloadError(PayloadFault.NOT_JSON, "it is nested too deeply") from None
    except ValueError as error:
        raise PayloadError(
            PayloadFault.NOT_JSON, f"{_clip(str(error))}; it begins with {_quote(payload[:40])}"
        ) from None
    results = document.get("results") if isinstance(document, dict) else None
    rows = results.get("bindings") if isinstance(results, dict) else None
    if not isinstance(rows, list):
        raise PayloadError(PayloadFault.NOT_A_RESULT, "there is no list at results.bindings")
    if not rows:
        raise PayloadError(PayloadFault.NO_ROWS, "results.bindings is empty: no station is in it")
    if len(rows) > MOST_ROWS:
        raise PayloadError(PayloadFault.TOO_MANY_ROWS, f"{len(rows)} rows, where {MOST_ROWS} are the most")
    return rows


def _observation(row: Any, not_after: datetime | None, values_only: bool) -> Observation:
    if not isinstance(row, dict):
        raise _SkipRow(SkipReason.NOT_A_ROW, f"the binding is {_quote(row)}")
    code = _code(_text(row, "code"))
    measured_at = _time(_text(row, "measuredAt"), not_after)
    discharge, water_level = _number(row, "discharge"), _number(row, "waterLevel")
    if values_only:
        return Observation(code, measured_at, discharge, water_level)
    longitude, latitude = _location(_text_if_readable(row, "wkt"))
    return Observation(
        code=code,
        measured_at=measured_at,
        discharge=discharge,
        water_level=water_level,
        danger_level=_danger_level(_text_if_readable(row, "danger")),
        name=_text_if_readable(row, "name"),
        water_body=_water_body(_text_if_readable(row, "water")),
        longitude=longitude,
        latitude=latitude,
    )


def _text(row: dict[str, Any], variable: str) -> str | None:
    """The stripped text of a variable, None when the row does not bind it."""
    bound = row.get(variable)
    if bound is None:
        return None
    value = bound.get("value") if isinstance(bound, dict) else None
    if not isinstance(value, str):
        raise _SkipRow(SkipReason.NOT_A_ROW, f"{variable} is {_quote(bound)}")
    return value.strip()


def _text_if_readable(row: dict[str, Any], variable: str) -> str | None:
    try:
        return _text(row, variable) or None
    except _SkipRow:
        return None


def _code_if_readable(row: Any) -> str | None:
    code = _text_if_readable(row, "code") if isinstance(row, dict) else None
    return code if code is not None and CODE.fullmatch(code) else None


def _code(text: str | None) -> str:
    if text is None:
        raise _SkipRow(SkipReason.CODE_MISSING, "the row names no station")
    if CODE.fullmatch(text) is None:
        raise _SkipRow(SkipReason.CODE_MALFORMED, f"code is {_quote(text)}")
    return text


def _time(text: str | None, not_after: datetime | None) -> datetime:
    if text is None:
        raise _SkipRow(SkipReason.TIME_MISSING, "the row has no measuredAt")
    try:
        written = datetime.fromisoformat(text)
    except ValueError:
        raise _SkipRow(SkipReason.TIME_MALFORMED, f"measuredAt is {_quote(text)}") from None
    if written.utcoffset() is None:
        raise _SkipRow(SkipReason.TIME_NAIVE, f"measuredAt is {_quote(text)}, without an offset")
    try:
        time = written.astimezone(UTC)
    except OverflowError:
        raise _SkipRow(SkipReason.TIME_OUT_OF_RANGE, f"measuredAt is {_quote(text)}") from None
    if time < EARLIEST_TIME:
        raise _SkipRow(SkipReason.TIME_OUT_OF_RANGE, f"measuredAt is {_quote(text)}, before 1900")
    if not_after is not None and time > not_after:
        raise _SkipRow(SkipReason.TIME_OUT_OF_RANGE, f"measuredAt is {_quote(text)}, ahead of our clock")
    return time


def _number(row: dict[str, Any], variable: str) -> float | None:
    text = _text(row, variable)
    if text is None:
        return None
    if NUMBER.fullmatch(text) is None:
        raise _SkipRow(SkipReason.NUMBER_MALFORMED, f"{variable} is {_quote(text)}")
    number = float(text)
    if not math.isfinite(number) or abs(number) > LARGEST_VALUE:
        raise _SkipRow(SkipReason.NUMBER_OUT_OF_RANGE, f"{variable} is {_quote(text)}")
    return number


def _danger_level(text: str | None) -> int | None:
    """1 to 5; the URI https://cube.link/Undefined stands for no level, and so does whatever else is there."""
    return int(text) if text in ("1", "2", "3", "4", "5") else None


def _water_body(text: str | None) -> str | None:
    """The name at the end of the water body's URI, where spaces and commas are percent-encoded."""
    return unquote(text.rpartition("/")[2]).strip() or None if text is not None else None


def _location(text: str | None) -> tuple[float | None, float | None]:
    """(longitude, latitude) in degrees of `POINT(longitude latitude)`, else (None, None)."""
    written = POINT.fullmatch(text) if text is not None else None
    if written is None:
        return None, None
    longitude, latitude = float(written["longitude"]), float(written["latitude"])
    if not (abs(longitude) <= 180 and abs(latitude) <= 90):
        return None, None
    return longitude, latitude


def _quote(value: object) -> str:
    """A foreign value for a message: escaped, so that no control character travels, and short.

    Of an object or a list only the kind: writing one out can fail on its depth.
    """
    if isinstance(value, str | bytes):
        return _clip(ascii(value[:LONGEST_DETAIL]))
    return f"no text but {type(value).__name__}"


def _clip(text: str) -> str:
    return text if len(text) <= LONGEST_DETAIL else text[: LONGEST_DETAIL - 1] + "…"
