"""`watchdog check` says of an address that does not answer as expected what would mend it."""

from __future__ import annotations

from alpimonitor_watchdog.checks import of_health
from alpimonitor_watchdog.core.seen import HealthSeen
from alpimonitor_watchdog.probe.rights import Standing

STATIONS = "http://127.0.0.1:8000/api/v1/stations"


def test_an_api_over_an_empty_context_is_not_to_be_started() -> None:
    told = of_health(HealthSeen(STATIONS, ok=False, detail="answered 503 CONTEXT_EMPTY", context_empty=True))
    assert told.standing is Standing.GAP
    assert "put the rows back" in told.remedy
    assert "start the API" not in told.remedy


def test_an_api_that_is_away_is_to_be_started() -> None:
    told = of_health(HealthSeen(STATIONS, ok=False, detail="connection refused"))
    assert "start the API" in told.remedy


def test_an_answer_as_expected_needs_no_remedy() -> None:
    told = of_health(HealthSeen(STATIONS, ok=True))
    assert (told.standing, told.remedy) == (Standing.HOLDS, "")
