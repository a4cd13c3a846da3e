"""What comes from outside and cannot be stored, such as half a character, stops neither watch nor message."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from alpimonitor_watchdog.core.words import Tag
from alpimonitor_watchdog.heal.command import PlanError, parse_plan
from alpimonitor_watchdog.probe import answers
from alpimonitor_watchdog.probe.answers import Answer, Expected
from alpimonitor_watchdog.store import Store, StoreError

AT = datetime(2026, 4, 21, 12, tzinfo=UTC)
HALF = b'"dr\\ud83d"'


def storable(text: str | None) -> bool:
    return text is not None and text.encode().decode() == text


def test_a_text_that_was_cut_in_a_character_is_told_with_a_question_mark() -> None:
    wrong = answers.health(Expected("http://api/", ("a",), "ok"), Answer(200, b'{"a": ' + HALF + b"}"))
    assert wrong.detail == 'a is "dr?", expected "ok"'
    refused = answers.health(Expected("http://api/"), Answer(503, b'{"error": {"code": ' + HALF + b"}}"))
    assert refused.detail == "answered 503 dr?"
    body = b'{"run": {"stationsSeenCount": 7}, "archive": {"consecutiveFailures": 2, "lastError": ' + HALF
    run = answers.ingestion(Answer(200, body + b"}}"), ("run",))
    assert run is not None
    assert run.archive_error == "dr?"
    assert storable(answers.deployment(Answer(200, b'{"deployment": {"id": ' + HALF + b"}}")))


def test_a_plan_for_a_table_without_a_name_is_refused() -> None:
    with pytest.raises(PlanError, match="cannot be printed"):
        parse_plan(b'{"inserts": {' + HALF + b': [{}]}, "updates": {}, "deletes": {}}')


def test_the_store_says_what_it_cannot_hold(tmp_path: Path) -> None:
    store = Store.open(tmp_path, AT, {"ops": frozenset({Tag.NOTIFY})})
    with pytest.raises(StoreError, match="cannot hold what it was given"):
        store.note(None, AT, "after_heal", "heal", "dr\ud83d")
    store.close()
