"""X-Request-Id: in every answer, and in every line of the log about that request."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator
from datetime import datetime

import pytest

from alpimonitor_api.logs import JsonFormatter, PlainFormatter
from tests.api_client import BASE, NOWHERE, serving

MADE_HERE = re.compile(r"[0-9a-f]{16}")
ORIGIN = "https://alpimonitor.example"


def broken_clock() -> datetime:
    raise RuntimeError("the clock fell down")


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What this API logs, all of it, an object a line."""
    lines, logger = io.StringIO(), logging.getLogger("alpimonitor_api")
    handler, level = logging.StreamHandler(lines), logger.level
    handler.setFormatter(JsonFormatter())
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield lines
    logger.setLevel(level)
    logger.removeHandler(handler)


def told(log: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in log.getvalue().splitlines()]


@pytest.mark.parametrize("given", ["a", "7b1c", "Order-66_a.b", "x" * 64])
def test_a_usable_identifier_of_the_client_comes_back(given: str) -> None:
    with serving(NOWHERE) as client:
        assert client.get("/nothing", headers={"X-Request-Id": given}).headers["x-request-id"] == given


@pytest.mark.parametrize("given", [b"", b"x" * 65, b"a b", b"a\tb", b"a;b", b"a/b", "é".encode(), b"\xff"])
def test_any_other_is_replaced(given: bytes) -> None:
    with serving(NOWHERE) as client:
        answer = client.get("/nothing", headers={b"X-Request-Id": given})
    assert MADE_HERE.fullmatch(answer.headers["x-request-id"])


def test_each_request_without_one_gets_its_own() -> None:
    with serving(NOWHERE) as client:
        answers = client.together(*["/nothing"] * 50)
    assert len({answer.headers["x-request-id"] for answer in answers}) == 50


def test_whatever_is_answered_there_is_one_and_only_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 1_776_772_800.0)  # within one minute of the limit
    preflight = {"Origin": ORIGIN, "Access-Control-Request-Method": "GET"}
    with serving(NOWHERE, rate_limit=6, cors_origins=(ORIGIN,), clock=broken_clock) as client:
        answers = [
            client.get("/nothing"),
            client.get("/stations?isActive=x"),
            client.ask("PATCH", "/stations"),
            client.ask("PUT", "/stations", content=b"x" * 20_000),
            client.get("/stations"),
            client.get("//openapi.json"),
            client.get("/nothing"),
            client.ask("OPTIONS", "/stations", headers=preflight),
        ]
    assert [answer.status_code for answer in answers] == [404, 400, 405, 413, 500, 200, 429, 200]
    assert all(len(answer.headers.get_list("x-request-id")) == 1 for answer in answers)


def test_the_traceback_of_a_failure_carries_it(log: io.StringIO) -> None:
    with serving(NOWHERE, clock=broken_clock) as client:
        client.get("/stations", headers={"X-Request-Id": "the-one"})
    (failed,) = (line for line in told(log) if "exception" in line)
    assert "the clock fell down" in str(failed["exception"])
    assert failed["request_id"] == "the-one"


def test_lines_of_requests_at_once_are_told_apart(log: io.StringIO) -> None:
    paths = [f"/nothing/{number}" for number in range(20)]
    with serving(NOWHERE) as client:
        answers = client.together(*paths)
    assert {line["path"]: line["request_id"] for line in told(log)} == {
        BASE + path: answer.headers["x-request-id"] for path, answer in zip(paths, answers, strict=True)
    }


def test_what_the_database_says_of_a_request_carries_it_and_what_belongs_to_none_does_not(
    log: io.StringIO,
) -> None:
    with serving(NOWHERE) as client:
        client.get("/stations", headers={"X-Request-Id": "the-one"})
    logging.getLogger("alpimonitor_api.server").info("The API has stopped")
    lines = told(log)
    (away,) = (line for line in lines if line.get("action") == "database_unavailable")
    assert away["request_id"] == "the-one"
    assert "request_id" not in lines[-1]


def test_a_plain_line_carries_it_too(log: io.StringIO) -> None:
    (handler,) = logging.getLogger("alpimonitor_api").handlers
    handler.setFormatter(PlainFormatter())
    with serving(NOWHERE, clock=broken_clock) as client:
        client.get("/stations", headers={"X-Request-Id": "the-one"})
    failed, _, traceback = log.getvalue().partition("\n")
    assert "request_id=the-one" in failed
    assert "the clock fell down" in traceback
