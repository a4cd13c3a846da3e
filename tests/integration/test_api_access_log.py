"""A line for each request at DEBUG; without it only what fails or comes too often, and never many of them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime

import pytest

from tests.api_client import NOW, NOWHERE, serving

REQUESTS = "alpimonitor_api.middleware.access_log"


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def log(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> Iterator[pytest.LogCaptureFixture]:
    """What the API tells, all within one minute of the rate limit."""
    monkeypatch.setattr("time.time", lambda: 1_776_772_800.0)
    with caplog.at_level(logging.INFO, logger="alpimonitor_api"):
        yield caplog


def told(log: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in log.records if record.name == REQUESTS]


def test_at_debug_each_request_is_told_without_its_query(log: pytest.LogCaptureFixture) -> None:
    clock = Clock()

    def slowly() -> datetime:
        clock.now += 0.0123
        return NOW

    with (
        log.at_level(logging.DEBUG, logger=REQUESTS),
        serving(NOWHERE, monotonic=clock, clock=slowly) as client,
    ):
        client.get("/health")
        client.get("/nothing?token=sesame")
    health, nothing = told(log)
    assert nothing.getMessage() == "GET /api/v1/nothing was answered 404"
    fields = {name: health.__dict__[name] for name in ("action", "method", "path", "status", "client")}
    assert fields == {
        "action": "request",
        "method": "GET",
        "path": "/api/v1/health",
        "status": 503,
        "client": "127.0.0.1",
    }
    assert health.__dict__["duration_ms"] == 12.3
    assert (health.levelname, nothing.levelname) == ("INFO", "DEBUG")
    assert "sesame" not in log.text


def test_what_went_well_is_not_told_at_info(log: pytest.LogCaptureFixture) -> None:
    with serving(NOWHERE) as client:
        client.get("//openapi.json")
        client.get("/nothing")
        client.get("/stations?isActive=x")
    assert told(log) == []


def test_of_what_is_refused_again_and_again_one_line_a_second_says_how_many(
    log: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    with serving(NOWHERE, rate_limit=1, monotonic=clock) as client:
        client.get("/nothing")
        for after in (0.0, 0.5, 0.4, 0.1):
            clock.now += after
            client.get("/nothing")
    first, second = told(log)
    assert (first.levelname, first.__dict__["status"]) == ("INFO", 429)
    assert not hasattr(first, "passed_over")
    assert second.__dict__["passed_over"] == 2


def test_an_outage_and_a_rush_have_lines_of_their_own(log: pytest.LogCaptureFixture) -> None:
    with serving(NOWHERE, rate_limit=1, monotonic=Clock()) as client:
        for path in ("/stations", "/nothing", "/health", "/nothing"):
            client.get(path)
    assert [record.__dict__["status"] for record in told(log)] == [503, 429]


def test_a_level_above_info_silences_them(log: pytest.LogCaptureFixture) -> None:
    with log.at_level(logging.WARNING, logger=REQUESTS), serving(NOWHERE) as client:
        assert client.get("/stations").status_code == 503
    assert told(log) == []


def test_behind_a_proxy_that_is_trusted_the_client_is_told(log: pytest.LogCaptureFixture) -> None:
    with serving(NOWHERE, trusted_proxies="127.0.0.0/8") as client:
        client.get("/stations", headers={"X-Forwarded-For": "192.0.2.7"})
    (record,) = told(log)
    assert record.__dict__["client"] == "192.0.2.7"


def test_a_path_cannot_forge_a_line(log: pytest.LogCaptureFixture) -> None:
    with log.at_level(logging.DEBUG, logger=REQUESTS), serving(NOWHERE) as client:
        client.get("/nothing%0AFORGED%1b[31m" + "x" * 5000)
    (record,) = told(log)
    assert record.getMessage().isprintable()
    assert "/nothing%0AFORGED" in record.getMessage()
    assert len(record.getMessage()) < 300
