"""What an answer over HTTP says about the system. Pure: never raises, whatever came back."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from pydantic import SecretStr

from ..core.seen import HealthSeen, IngestionSeen
from . import json_path
from .json_path import NotThere, Steps

_TOO_OFTEN = 429
_SHOWN = 60  # characters of a value that are shown
_LONGEST = 200  # characters that are taken over of a text
_MOST_FAILURES = 2**31 - 1
_CLOCKS_DIFFER_BY = timedelta(days=1)  # beyond it one of the two is no clock


class Malformed(Exception):
    """An answer that is not what it should be. The text says in which way."""


@dataclass(frozen=True)
class Answer:
    """A whole answer: its status, its body, and what time it was when it came."""

    status: int
    body: bytes
    at: datetime | None = None


@dataclass(frozen=True)
class Expected:
    """What an address has to answer besides 200: `value` at `steps`. A whole number is a list's length."""

    url: str
    steps: Steps | None = None
    value: bool | int | float | str | None = None
    token: SecretStr | None = None  # sent along


def health(expected: Expected, answer: Answer) -> HealthSeen:
    """Whether a health address answered as expected, and else in which way it did not."""
    if answer.status != 200:
        return HealthSeen(
            expected.url,
            ok=False,
            detail=_refusal(answer),
            context_empty=answer.status == 503 and _error_code(answer) == "CONTEXT_EMPTY",
        )
    if expected.steps is None:
        return HealthSeen(expected.url, ok=True)
    try:
        difference = _difference(json_path.find(_document(answer), expected.steps), expected.value)
    except Malformed as error:
        return HealthSeen(expected.url, ok=False, detail=str(error))
    except NotThere as error:
        return HealthSeen(expected.url, ok=False, detail=f"in its answer {error}")
    if difference:
        detail = f"{json_path.written(expected.steps)} {difference}"
        return HealthSeen(expected.url, ok=False, detail=detail)
    return HealthSeen(expected.url, ok=True)


def asked_too_often(detail: str) -> bool:
    """Whether what is said of an answer is that a rate limit refused it."""
    return detail.split()[:2] == ["answered", str(_TOO_OFTEN)]


def ingestion(answer: Answer, steps: Steps) -> IngestionSeen | None:
    """The last finished run of ingestion; None before the first. Raises Malformed.

    At `steps` stands null (no run yet), a number of stations, or an object, of which are read
    `stationsSeenCount`; `startedAt`; `completedAt`, where null says that the run is not finished; and, in the
    object or beside it, `lastSuccessAt` (else `completedAt` if `status` is SUCCESS) and `archive` with
    `consecutiveFailures` and `lastError`. What an archive cannot mean is not told; the rest is Malformed.
    """
    if answer.status != 200:
        raise Malformed(_refusal(answer))
    document = _document(answer)
    try:
        run = json_path.find(document, steps)
        beside = json_path.find(document, steps[:-1])
    except NotThere as error:
        raise Malformed(f"in its answer {error}") from None
    if run is None:
        return None
    if not isinstance(run, dict):
        return IngestionSeen(stations_seen(run))
    if run.get("completedAt", "") is None:
        return None
    success = _nearest("lastSuccessAt", run, beside)
    if success is None and run.get("status") == "SUCCESS":
        success = run.get("completedAt")
    last_success_at = _time(success)
    failures, archive_said = _archive(_nearest("archive", run, beside))
    return IngestionSeen(
        stations_seen(run.get("stationsSeenCount")),
        _time(run.get("startedAt")),
        last_success_at,
        success_age(last_success_at, answer.at),
        failures,
        archive_said,
    )


def deployment(answer: Answer) -> str | None:
    """The id of the deployment that an answer says it serves, at `deployment.id`; None: it does not say."""
    if answer.status != 200:
        return None
    try:
        told = json_path.find(_document(answer), ("deployment", "id"))
    except (Malformed, NotThere):
        return None
    return _text(told) if isinstance(told, str) and 0 < len(told) <= _LONGEST else None


def clock(date: str | None, own: datetime | None) -> datetime | None:
    """The time: by an answer's Date header, unless that is over a day from `own`, the sidecar's clock."""
    try:
        told = parsedate_to_datetime(date) if date else None
    except (ValueError, OverflowError):
        told = None
    if told is None or told.tzinfo is None:
        return own
    if own is not None and abs(told - own) > _CLOCKS_DIFFER_BY:
        return own
    return told


def success_age(last_success_at: datetime | None, now: datetime | None) -> float | None:
    """Seconds since the last success; of one that lies ahead, 0."""
    if last_success_at is None or now is None:
        return None
    return max(0.0, (now - last_success_at).total_seconds())


def archive_failures(value: object) -> int | None:
    """A number of failures in a row; None for anything else."""
    counted = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_FAILURES
    return value if counted else None  # type: ignore[return-value]  # only an int was counted


def archive_error(value: object) -> str:
    """What went wrong when a payload could not be archived, on one line."""
    return _text(" ".join(value.split())[:_LONGEST]) if isinstance(value, str) else ""


def _nearest(key: str, *places: object) -> object:
    """The value of a key in the first of these objects that has one."""
    values = (place.get(key) for place in places if isinstance(place, dict))
    return next((value for value in values if value is not None), None)


def _archive(told: object) -> tuple[int | None, str]:
    if not isinstance(told, dict):
        return None, ""
    failures = archive_failures(told.get("consecutiveFailures"))
    return failures, archive_error(told.get("lastError")) if failures is not None else ""


def stations_seen(value: object) -> int:
    """A number of stations. Raises Malformed for anything else."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise Malformed(f"the number of stations seen is {_shown(value)}")
    return value


def _time(value: object) -> datetime | None:
    if value is None:
        return None
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) else None
        if at is not None and at.tzinfo is not None:
            return at.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise Malformed(f"{_shown(value)} is not a time with its offset")


def _difference(found: object, expected: bool | int | float | str | None) -> str:
    """How a value differs from the expected one; empty when it does not. True is not 1."""
    counted = isinstance(expected, int) and not isinstance(expected, bool)
    if isinstance(found, list) and counted:
        return "" if len(found) == expected else f"has {len(found)} entries, expected {expected}"
    if found == expected and isinstance(found, bool) == isinstance(expected, bool):
        return ""
    return f"is {_shown(found)}, expected {_shown(expected)}"


def _document(answer: Answer) -> object:
    try:
        return json.loads(answer.body, parse_int=_whole)
    except (ValueError, RecursionError):
        raise Malformed("answered something that is not JSON") from None


def _whole(digits: str) -> int | float:
    """A whole number. Python refuses one of thousands of digits, and with it the document it stands in."""
    return int(digits) if len(digits) <= 20 else float(digits)


def _refusal(answer: Answer) -> str:
    if 300 <= answer.status < 400:
        return f"answered {answer.status}, a redirect, which is not followed"
    return f"answered {answer.status} {_error_code(answer)}".rstrip()


def _error_code(answer: Answer) -> str:
    """The code of an error envelope, `{"error": {"code"}}`; empty when there is none."""
    try:
        code = json_path.find(_document(answer), ("error", "code"))
    except (Malformed, NotThere):
        return ""
    return _text(code[:_SHOWN]) if isinstance(code, str) else ""


def _shown(value: object) -> str:
    if isinstance(value, dict | list):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"
    shown = _text(json.dumps(value, ensure_ascii=False))
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"


def _text(told: str) -> str:
    """What can be stored and sent: JavaScript cuts a text in the middle of a character, and says so."""
    return told.encode(errors="replace").decode()
