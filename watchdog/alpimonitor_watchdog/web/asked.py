"""What a POST asks for: a strict reading of its body, which names the place of whatever it cannot take."""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from ..core.hearing import LONGEST_PAUSE

BODY_AT_MOST = 16 * 1024  # bytes
REASON_AT_MOST = 500  # characters
BY_AT_MOST = 100
TEST_NOTIFICATION = "test-notification"
NOT_SAID = "not recorded"  # who asked, when the caller does not say

_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)", re.ASCII)
_KEYS = {"pause": ("reason", "by", "until"), "heal": ("reason", "by", "now", "dry_run")}
_KEYS_OF_ALL = ("reason", "by")


@dataclass(frozen=True)
class Asked:
    """A body that was understood."""

    reason: str
    by: str
    until: datetime | None = None  # of a pause, UTC
    dry_run: bool = False  # of a heal: say what it would do


class Problem(Exception):
    """Why a request is not carried out: an HTTP status, a code for programs, two sentences for people."""

    def __init__(self, status: int, code: str, message: str, remedy: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.remedy = remedy


def understood(action: str, body: bytes, now: datetime) -> Asked:
    """What `action` is asked for. Raises Problem, status 400, with the place and the expected shape."""
    given = _object(body)
    known = _KEYS.get(action, _KEYS_OF_ALL)
    for key in given:
        if key not in known:
            said = f"{_quoted(key)} is not a key that {action} takes."
            _bad("unknown_key", said, f"It takes {_list(known)}.")
    if "reason" not in given:
        _bad("reason_missing", "reason is missing.", "Say in a sentence why: it lands in the timeline.")
    return Asked(
        reason=_line(given, "reason", REASON_AT_MOST),
        by=_line(given, "by", BY_AT_MOST) if "by" in given else NOT_SAID,
        until=_until(given, now) if action == "pause" else None,
        dry_run=_dry_run(given) if action == "heal" else False,
    )


def _object(body: bytes) -> dict[str, Any]:
    remedy = 'Send an object such as {"reason": "migrating by hand"}.'
    try:
        given = json.loads(body, object_pairs_hook=_without_repetition)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        _bad("not_json", f"The body is not JSON: {error.msg} ({where}).", remedy)
    except (ValueError, RecursionError):
        _bad("not_json", "The body is not JSON in UTF-8, or nested too deep.", remedy)
    if not isinstance(given, dict):
        _bad("not_an_object", "The body is JSON, but not an object.", remedy)
    return given


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            _bad("repeated_key", f"{_quoted(key)} is there more than once.", "Say it once.")
        found[key] = value
    return found


def _line(given: dict[str, Any], key: str, at_most: int) -> str:
    """One line that people can read, whatever shows it: a log, a page, a terminal."""
    shape = f"Write one line of 1 to {at_most} printable characters."
    text = given[key]
    if not isinstance(text, str):
        _bad(f"{key}_not_text", f"{key} is not a text.", shape)
    text = text.strip()
    if not text:
        _bad(f"{key}_empty", f"{key} is empty.", shape)
    if len(text) > at_most:
        _bad(f"{key}_too_long", f"{key} has {len(text)} characters.", shape)
    for position, character in enumerate(text, start=1):
        if not character.isprintable() and unicodedata.category(character) != "Zs":
            found = f"U+{ord(character):04X}"
            _bad(f"{key}_not_printable", f"{key} has {found} at character {position}.", shape)
    return text


def _until(given: dict[str, Any], now: datetime) -> datetime:
    shape = f"Write a time with its offset, such as {(now + timedelta(hours=1)):%Y-%m-%dT%H:%M:%SZ}."
    if "until" not in given:
        _bad("until_missing", "until is missing: a pause has an end.", shape)
    written = given["until"]
    if not isinstance(written, str) or not _RFC_3339.fullmatch(written.upper()):
        _bad("until_not_a_time", "until is not a time of RFC 3339 with an offset.", shape)
    try:
        until = datetime.fromisoformat(written.upper())
    except ValueError:
        _bad("until_not_a_time", "until is not a time that exists.", shape)
    if until <= now:
        _bad("until_past", f"until is not in the future: it is {now:%Y-%m-%d %H:%M:%S} UTC here.", shape)
    if until - now > LONGEST_PAUSE:
        _bad(
            "until_too_far",
            f"until is more than {LONGEST_PAUSE.days} days away.",
            "Pause for a shorter time, or set the mode under [healing] in watchdog.toml to dry-run or off.",
        )
    return until.astimezone(UTC)


def _dry_run(given: dict[str, Any]) -> bool:
    for key in ("now", "dry_run"):
        if not isinstance(given.get(key, False), bool):
            _bad(f"{key}_not_boolean", f"{key} is neither true nor false.", f'Write "{key}": true.')
    if given.get("now", False) == given.get("dry_run", False):
        _bad(
            "now_or_dry_run",
            "Neither now nor dry_run is true, or both are.",
            'Write "now": true to heal, or "dry_run": true to be told what a heal would do.',
        )
    return bool(given.get("dry_run", False))


def _quoted(key: str) -> str:
    return json.dumps(key[:40])


def _list(keys: tuple[str, ...]) -> str:
    return ", ".join(keys[:-1]) + f" and {keys[-1]}"


def _bad(code: str, message: str, remedy: str) -> NoReturn:
    raise Problem(400, code, message, remedy)
