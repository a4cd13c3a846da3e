"""Every operation of /openapi.json, asked whatever the document allows and much that it does not.

schemathesis makes the requests and holds the answers against the document: no 5xx, no status, header or shape
that is not documented, nothing accepted that the document forbids, no method that it does not list, nothing
told without a token that needs one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
import schemathesis
from psycopg.types.json import Jsonb
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.python.asgi import shutdown_lifespans
from starlette.types import ASGIApp, Receive, Scope, Send

from alpimonitor_api import ids
from alpimonitor_api.app import create_app
from alpimonitor_api.token_file import Scope as TokenScope
from tests.api_client import BASE, NOW, NOWHERE, Client, serving, settings_for
from tests.bearers import Bearers
from tests.databases import PostgresForTests, new_database

RANDOM_REQUESTS = 25
"""An operation, beside the many that cover each keyword of its schemas one by one."""

RULES_BETWEEN_PARAMETERS = (
    f"{BASE}/stations/{{station}}/measurements",  # from is before to, within the aggregate's bound
    f"{BASE}/alerts",  # from is before to
    f"{BASE}/stations/{{station}}/thresholds/{{parameter}}",  # alertValue lies beyond vigilanceValue
)
"""Where a request that has its schema may still be a 400: no schema can say these."""

CONFIG: dict[str, Any] = {
    # The same requests in every run: a new one that fails is found by whoever changes something.
    "generation": {"deterministic": True, "max-examples": RANDOM_REQUESTS},
    # Nothing is taken from earlier answers: their identifiers differ from run to run.
    "phases": {
        "examples": {"extra-data-sources": {"responses": False}},
        "coverage": {
            "extra-data-sources": {"responses": False},
            "generate-duplicate-query-parameters": True,
        },
        "fuzzing": {"extra-data-sources": {"responses": False}, "error-feedback": {"enabled": False}},
    },
    # Random texts name no station, and random times hardly a range.
    "dictionaries": {
        "stations": {"values": ["2011", "TBD-HAUDERES", str(ids.station_id("2346"))]},
        "begins": {"values": ["2026-04-21T00:00:00Z", "2026-04-20T14:00:00.5+02:00"]},
        "ends": {"values": ["2026-04-21T12:00:00Z", "2026-04-27T00:00:00Z"]},
    },
    "parameters": {
        "path.station": {"dictionary": "stations", "probability": 0.7},
        "query.stationId": {"dictionary": "stations", "probability": 0.7},
        "query.from": {"dictionary": "begins", "probability": 0.7},
        "query.to": {"dictionary": "ends", "probability": 0.7},
    },
    "operations": [
        {
            "include-path": path,
            "checks": {"positive_data_acceptance": {"expected-statuses": ["2xx", "304", "400", "404"]}},
        }
        for path in RULES_BETWEEN_PARAMETERS
    ],
}


class Door:
    """Where the requests go. They are planned when tests are collected, before there is a database."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


DOCUMENT = create_app(settings_for(NOWHERE)).openapi()
door = Door()
schema = schemathesis.openapi.from_dict(DOCUMENT, config=SchemathesisConfig.from_dict(CONFIG))
schema.app = door


@pytest.fixture(scope="module")
def operator(
    postgres_server: PostgresForTests, seeded_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """The header of an operator, of an API behind the door whose database has something of everything.

    One for all tests: no answer that is looked at here depends on another.
    """
    bearers = Bearers(tmp_path_factory.mktemp("tokens"))
    header = bearers.add("marie", TokenScope.OPERATOR)
    with new_database(postgres_server, template=seeded_template) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            fill(connection)
        door.app = create_app(settings_for(url, api_tokens_file=bearers.file), clock=lambda: NOW)
        try:
            yield header
        finally:
            shutdown_lifespans()


def fill(connection: psycopg.Connection) -> None:
    """A day of measurements, alerts open and closed, a run of ingestion, audits of thresholds."""
    connection.execute(
        "INSERT INTO measurement (sensor_id, recorded_at, value, payload_fetched_at)"
        " SELECT id, %(now)s - n * interval '10 minutes', 480 + n, %(now)s"
        " FROM sensor, generate_series(0, 144) AS n",
        {"now": NOW},
    )
    connection.execute(
        "INSERT INTO alert (station_id, type, level, parameter, trigger_value, opened_at, closed_at)"
        " SELECT id, 'THRESHOLD_EXCEEDED', 'VIGILANCE', 'DISCHARGE', 512.5, %(now)s - interval '1 hour',"
        " CASE WHEN data_source = 'LIVE' THEN %(now)s END FROM station",
        {"now": NOW},
    )
    connection.execute(
        "INSERT INTO ingestion_run (source, status, started_at, completed_at, archive_error)"
        " VALUES ('LINDAS_HYDRO', 'PARTIAL', %(now)s, %(now)s, 'the disk is full')",
        {"now": NOW},
    )
    connection.execute(
        "INSERT INTO threshold_audit (station_id, parameter, before, after, changed_by)"
        " SELECT id, 'DISCHARGE', CASE WHEN data_source = 'LIVE' THEN %(values)s END, %(values)s, 'marie'"
        " FROM station",
        {"values": Jsonb({"vigilanceValue": 5, "alertValue": 2, "direction": "BELOW"})},
    )


@schema.parametrize()
def test_every_answer_is_one_that_the_document_tells(
    case: schemathesis.Case[Any], operator: dict[str, str]
) -> None:
    protected = "security" in case.operation.definition.raw
    case.call_and_validate(headers=operator if protected else None)


WITHOUT_A_TOKEN = [
    path.removeprefix(BASE)
    for path, methods in DOCUMENT["paths"].items()
    if "get" in methods and "security" not in methods["get"]
]
LIMITED = [path for path in WITHOUT_A_TOKEN if path not in ("/health", "/status")]
DAY = {"from": "2026-04-20T00:00:00Z", "to": "2026-04-21T00:00:00Z"}


def answer_told(client: Client, path: str) -> int:
    """The status of an answer that was held against the document, a 5xx as well as any other."""
    query = DAY if path.endswith("/measurements") else {}
    answer = client.get(path.format(station="2011"), params=query)
    case = schema[BASE + path]["GET"].Case(path_parameters={"station": "2011"}, query=query)
    case.validate_response(answer, excluded_checks=[not_a_server_error])
    return answer.status_code


@pytest.mark.parametrize("path", WITHOUT_A_TOKEN)
def test_without_its_database_a_route_says_so_as_the_document_tells(path: str) -> None:
    with serving(NOWHERE) as client:
        assert answer_told(client, path) == 503


@pytest.mark.parametrize("path", LIMITED)
def test_whoever_asks_too_often_is_told_as_the_document_tells(path: str) -> None:
    with serving(NOWHERE, rate_limit=1) as client:
        assert [answer_told(client, path) for _ in range(2)] == [503, 429]
