"""Log lines: a sentence with fields beside it, for people or for a collector."""

from __future__ import annotations

import json
import logging
import sys

from alpimonitor_api.logs import REQUEST_ID, JsonFormatter, OncePerSecond, PlainFormatter


def record(**fields: object) -> logging.LogRecord:
    return logging.makeLogRecord(
        {
            "name": "alpimonitor_api.database",
            "levelname": "WARNING",
            "msg": "The %s does not answer",
            "args": ("database",),
            "created": 1776716400.25,
            **fields,
        }
    )


def test_a_plain_line_is_a_sentence_with_its_fields() -> None:
    assert PlainFormatter().format(record(action="database_unavailable", reason="too_slow")) == (
        "2026-04-20T20:20:00.250000Z WARNING alpimonitor_api.database: The database does not answer "
        "(action=database_unavailable, reason=too_slow)"
    )


def test_a_json_line_is_one_object_whatever_it_holds() -> None:
    line = JsonFormatter().format(record(action="x", odd={1, 2}.__class__, quoted='"\n'))
    assert "\n" not in line
    told = json.loads(line)
    assert told["at"] == "2026-04-20T20:20:00.250000Z"
    assert told["level"] == "WARNING"
    assert told["logger"] == "alpimonitor_api.database"
    assert told["message"] == "The database does not answer"
    assert told["action"] == "x"


def test_an_exception_is_told_in_both_forms() -> None:
    try:
        raise LookupError("nothing there")
    except LookupError:
        failed = record(exc_info=sys.exc_info())
    assert "LookupError: nothing there" in PlainFormatter().format(failed)
    assert "LookupError: nothing there" in json.loads(JsonFormatter().format(failed))["exception"]


def test_both_forms_name_the_request_that_a_line_is_about_and_none_outside_of_any() -> None:
    assert "request_id" not in JsonFormatter().format(record())
    within = REQUEST_ID.set("7b1c")
    try:
        assert json.loads(JsonFormatter().format(record(action="x")))["request_id"] == "7b1c"
        assert PlainFormatter().format(record(action="x")).endswith("(action=x, request_id=7b1c)")
    finally:
        REQUEST_ID.reset(within)
    assert "request_id" not in PlainFormatter().format(record())


def test_of_what_a_client_did_wrong_again_and_again_one_line_a_second_says_how_many() -> None:
    seldom = OncePerSecond()
    lines = [record(levelno=logging.WARNING, created=at) for at in (100.0, 100.4, 100.999, 101.0, 101.5)]
    assert [seldom.filter(line) for line in lines] == [True, False, False, True, False]
    assert "passed_over" not in vars(lines[0])
    assert vars(lines[3])["passed_over"] == 2


def test_another_sentence_and_an_error_have_lines_of_their_own() -> None:
    seldom = OncePerSecond()
    assert seldom.filter(record(levelno=logging.WARNING))
    assert seldom.filter(record(levelno=logging.WARNING, msg="Something else"))
    assert all(seldom.filter(record(levelno=logging.ERROR)) for _ in range(2))


def test_a_clock_that_is_set_back_silences_nothing() -> None:
    seldom = OncePerSecond()
    assert [seldom.filter(record(levelno=logging.WARNING, created=at)) for at in (9000.0, 100.0)] == [
        True,
        True,
    ]
