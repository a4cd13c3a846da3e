"""GET /threshold-audits on a real database: newest first, page by page, for operators and auditors alone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import psycopg
import pytest

from alpimonitor_api import ids
from alpimonitor_api.token_file import Scope
from alpimonitor_api.tuning import ThresholdAuditList
from tests.api_client import NOW, Client, error_of, serving, shaped
from tests.bearers import Bearers

AUDITS = "/threshold-audits"
SION, BRIG = "2011", "2346"
CHANGES = (
    (SION, '{"vigilanceValue": 1, "alertValue": 2, "direction": "ABOVE"}'),
    (BRIG, None),
    (SION, '{"vigilanceValue": 3, "alertValue": 4, "direction": "ABOVE"}'),
)
AFTER = '{"vigilanceValue": 9.5, "alertValue": 5, "direction": "BELOW"}'


@pytest.fixture
def bearers(tmp_path: Path) -> Bearers:
    return Bearers(tmp_path)


@pytest.fixture
def ada(bearers: Bearers) -> dict[str, str]:
    return bearers.add("ada", Scope.AUDITOR)


@pytest.fixture
def client(seeded_database: str, bearers: Bearers) -> Iterator[Client]:
    """With three changes, a minute apart, the last at NOW."""
    with psycopg.connect(seeded_database) as connection:
        for ago, (code, before) in enumerate(reversed(CHANGES)):
            connection.execute(
                "INSERT INTO threshold_audit (station_id, parameter, before, after, changed_at, changed_by)"
                " VALUES (%s, 'DISCHARGE', %s, %s, %s, 'marie')",
                (ids.station_id(code), before, AFTER, NOW - timedelta(minutes=ago)),
            )
    with serving(seeded_database, api_tokens_file=bearers.file, cache_seconds=1.0) as client:
        yield client


def paged(answer: httpx.Response) -> tuple[list[str], tuple[str, str, str]]:
    """The codes of the stations, and the headers."""
    assert answer.status_code == 200
    told = shaped(ThresholdAuditList, answer).data
    headers = answer.headers
    return [audit.station.ofev_code for audit in told], (
        headers["x-total-count"], headers["x-page"], headers["x-page-size"],
    )  # fmt: skip


def test_changes_are_told_newest_first_with_what_was_and_what_is(client: Client, ada: dict[str, str]) -> None:
    answer = client.get(AUDITS, headers=ada)
    assert paged(answer) == ([SION, BRIG, SION], ("3", "1", "50"))
    newest, second, _ = answer.json()["data"]
    assert {name: value for name, value in newest.items() if name != "id"} == {
        "station": {"id": str(ids.station_id(SION)), "name": "Sion", "ofevCode": SION},
        "parameter": "DISCHARGE",
        "before": {"vigilanceValue": 3, "alertValue": 4, "direction": "ABOVE"},
        "after": {"vigilanceValue": 9.5, "alertValue": 5, "direction": "BELOW"},
        "changedAt": "2026-04-21T12:00:00Z",
        "changedBy": "marie",
    }
    assert second["before"] is None


def test_pages_together_hold_every_change_once(client: Client, ada: dict[str, str]) -> None:
    pages = [client.get(f"{AUDITS}?page={page}&pageSize=2", headers=ada) for page in (1, 2, 3)]
    assert [paged(page) for page in pages] == [
        ([SION, BRIG], ("3", "1", "2")),
        ([SION], ("3", "2", "2")),
        ([], ("3", "3", "2")),
    ]
    identifiers = [audit["id"] for page in pages for audit in page.json()["data"]]
    assert len(set(identifiers)) == 3


@pytest.mark.parametrize("station", [SION, str(ids.station_id(SION))])
def test_the_changes_at_one_station_are_counted_alone(
    client: Client, ada: dict[str, str], station: str
) -> None:
    answer = client.get(f"{AUDITS}?stationId={station}&pageSize=1", headers=ada)
    assert paged(answer) == ([SION], ("2", "1", "1"))


def test_a_station_that_nobody_knows_has_no_changes(client: Client, ada: dict[str, str]) -> None:
    assert paged(client.get(f"{AUDITS}?stationId=nowhere", headers=ada)) == ([], ("0", "1", "50"))


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("page=0", "page"), ("page=x", "page"), ("page=99999999999999999999", "page"),
        ("pageSize=0", "pageSize"), ("pageSize=201", "pageSize"), ("page=1&page=2", "page"),
        ("stationId=", "stationId"), ("station=2011", "station"),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_a_400(
    client: Client, ada: dict[str, str], query: str, parameter: str
) -> None:
    answer = client.get(f"{AUDITS}?{query}", headers=ada)
    assert answer.status_code == 400
    assert [problem["parameter"] for problem in error_of(answer)["details"]] == [parameter]


def test_the_last_page_that_can_be_asked_for_is_empty_and_no_failure(
    client: Client, ada: dict[str, str]
) -> None:
    answer = client.get(f"{AUDITS}?page=10000000&pageSize=200", headers=ada)
    assert paged(answer) == ([], ("3", "10000000", "200"))


def test_no_cache_keeps_what_is_shown_to_one_bearer(client: Client, ada: dict[str, str]) -> None:
    headers = client.get(AUDITS, headers=ada).headers
    assert {"private", "no-store"} <= {word.strip() for word in headers["cache-control"].split(",")}
    assert "authorization" in headers["vary"].lower()


def test_whoever_shows_no_token_or_another_scope_sees_nothing(client: Client, bearers: Bearers) -> None:
    assert client.get(AUDITS).status_code == 401
    refused = client.get(AUDITS, headers=bearers.add("dog", Scope.WATCHDOG))
    assert refused.status_code == 403
    assert "auditor or operator" in error_of(refused)["message"]
    assert client.get(AUDITS, headers=bearers.add("marie", Scope.OPERATOR)).status_code == 200
    # Also right after somebody was shown it, whatever is kept of answers.
    assert client.get(AUDITS).status_code == 401
