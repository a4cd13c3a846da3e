"""/openapi.json says of each route what it answers, errors included."""

from __future__ import annotations

from typing import Any

import pytest

from alpimonitor_api.app import create_app
from tests.api_client import BASE, NOWHERE, settings_for


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return create_app(settings_for(NOWHERE)).openapi()


@pytest.mark.parametrize(
    ("path", "answers"),
    [
        ("/health", {"200": "Health", "500": "Envelope", "503": "Health"}),
        ("/status", {"200": "Status", "500": "Envelope", "503": "Status"}),
        ("/stations", {"200": "StationList", "400": "Envelope", "500": "Envelope", "503": "Envelope"}),
        (
            "/stations/{station}",
            {"200": "OneStation", "404": "Envelope", "500": "Envelope", "503": "Envelope"},
        ),
        (
            "/stations/{station}/measurements",
            {"200": "History", "400": "Envelope", "404": "Envelope", "500": "Envelope", "503": "Envelope"},
        ),
        ("/catchments", {"200": "CatchmentList", "500": "Envelope", "503": "Envelope"}),
    ],
)
def test_a_route_declares_each_of_its_answers_and_never_a_422(
    document: dict[str, Any], path: str, answers: dict[str, str]
) -> None:
    responses = document["paths"][BASE + path]["get"]["responses"]
    assert {
        status: said["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        for status, said in responses.items()
    } == answers
    assert "Retry-After" in responses["503"]["headers"]


def test_the_document_has_these_routes_and_no_shape_that_no_route_uses(document: dict[str, Any]) -> None:
    assert len(document["paths"]) == 6
    assert "HTTPValidationError" not in document["components"]["schemas"]
    used = str(document)
    for name in document["components"]["schemas"]:
        assert f"#/components/schemas/{name}'" in used


def test_each_parameter_is_described_with_what_it_may_be(document: dict[str, Any]) -> None:
    parameters = document["paths"][f"{BASE}/stations/{{station}}/measurements"]["get"]["parameters"]
    assert [(told["name"], told["in"], told["required"]) for told in parameters] == [
        ("station", "path", True),
        ("from", "query", True),
        ("to", "query", True),
        ("parameter", "query", False),
        ("aggregate", "query", False),
    ]
    assert all(told["description"] for told in parameters)
