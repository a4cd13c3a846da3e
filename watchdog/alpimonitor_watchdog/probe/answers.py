"""What an answer over HTTP says about the system. Pure: never raises, whatever came back."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime

from ..core.seen import HealthSeen, IngestionSeen
from . import json_path
from .json_path import NotThere, Steps

_SHOWN = 60  # characters of a value that are shown


class Malformed(Exception):
    """An answer that is not what it should be. The text says in which way."""


@dataclass(frozen=True)
class Answer:
    """A whole answer: its status and its body."""

    status: int
    body: bytes


@dataclass(frozen=True)
class Expected:
    """What an address has to answer besides 200: `value` at `steps`. A whole number is a list's length."""

    url: str
    steps: Steps | None = None
    value: bool | int | float | str | None = None


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


def ingestion(answer: Answer, steps: Steps) -> IngestionSeen | None:
    """The last finished run of ingestion; None before the first. Raises Malformed.

    At `steps` stands null (no run yet), a number of stations, or an object, of which are read
    `stationsSeenCount`; `startedAt`; `completedAt`, where null says that the run is not finished; and for the
    last success `lastSuccessAt`, in the object or beside it, else `completedAt` if `status` is SUCCESS.
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
    success = run.get("lastSuccessAt")
    if success is None and isinstance(beside, dict):
        success = beside.get("lastSuccessAt")
    if success is None and run.get("status") == "SUCCESS":
        success = run.get("completedAt")
    return IngestionSeen(
        stations_seen(run.get("stationsSeenCount")), _time(run.get("startedAt")), _time(success)
    )


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
        return json.loads(answer.body)
    except (ValueError, RecursionError):
        raise Malformed("answered something that is not JSON") from None


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
    return code[:_SHOWN] if isinstance(code, str) else ""


def _shown(value: object) -> str:
    if isinstance(value, dict | list):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"
    shown = json.dumps(value, ensure_ascii=False)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"
