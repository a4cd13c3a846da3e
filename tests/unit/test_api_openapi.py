"""/openapi.json says of each route what it answers, errors included."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.routing import APIRoute

from alpimonitor_api import shapes
from alpimonitor_api.app import ROOMS, create_app
from alpimonitor_api.examples import EXAMPLES
from alpimonitor_api.routes.known_parameters import KnownParameters
from tests.api_client import BASE, NOWHERE, settings_for


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return create_app(settings_for(NOWHERE)).openapi()


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


ERRORS = dict.fromkeys(("400", "429", "500", "503"), "Envelope")


@pytest.mark.parametrize(
    ("path", "answers"),
    [
        ("/health", {"200": "Health", "400": "Envelope", "500": "Envelope", "503": "Health"}),
        ("/status", {"200": "Status", "400": "Envelope", "500": "Envelope", "503": "Status"}),
        ("/stations", {"200": "StationList", "304": None, **ERRORS}),
        ("/stations/{station}", {"200": "OneStation", "304": None, "404": "Envelope", **ERRORS}),
        ("/stations/{station}/measurements", {"200": "History", "304": None, "404": "Envelope", **ERRORS}),
        ("/catchments", {"200": "CatchmentList", "304": None, **ERRORS}),
        ("/glaciers", {"200": "GlacierList", "304": None, **ERRORS}),
        ("/withdrawals", {"200": "WithdrawalList", "304": None, **ERRORS}),
        ("/alerts", {"200": "AlertList", "304": None, **ERRORS}),
    ],
)
def test_a_route_declares_each_of_its_answers_and_never_a_422(
    document: dict[str, Any], path: str, answers: dict[str, str | None]
) -> None:
    responses = document["paths"][BASE + path]["get"]["responses"]
    assert {
        status: said["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        if "content" in said
        else None
        for status, said in responses.items()
    } == answers


def test_every_answer_names_its_headers(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        free = path in (f"{BASE}/health", f"{BASE}/status")
        for status, answer in operation["responses"].items():
            expected = {"X-Request-Id"}
            expected |= set() if free else {"RateLimit-Remaining"}
            expected |= {"ETag"} if method == "get" and not free and status in ("200", "304") else set()
            expected |= {"Retry-After"} if status in ("409", "429", "503") else set()
            expected |= {"WWW-Authenticate"} if status == "401" else set()
            assert answer["headers"].keys() >= expected, (path, method, status)
            beside = answer["headers"].keys() - expected
            assert beside <= {"X-Total-Count", "X-Page", "X-Page-Size"}, (path, method, status)
            assert status == "200" or not beside


def test_pages_tell_how_many_rows_there_are(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        names = {told["name"] for told in operation.get("parameters", ())}
        paged = operation["responses"]["200"]["headers"].keys() >= {"X-Total-Count", "X-Page", "X-Page-Size"}
        assert paged == (names >= {"page", "pageSize"}), (path, method)
    alerts = document["paths"][f"{BASE}/alerts"]["get"]
    assert "X-Total-Count" in alerts["responses"]["200"]["headers"]


def test_what_needs_a_token_says_so_and_how_it_is_refused(document: dict[str, Any]) -> None:
    protected = {
        (method, path.removeprefix(BASE))
        for path, method, operation in operations(document)
        if "security" in operation
    }
    assert protected == {("put", "/stations/{station}/thresholds/{parameter}"), ("get", "/threshold-audits")}
    for path, method, operation in operations(document):
        refused = {"401", "403"} & operation["responses"].keys()
        assert bool(refused) == ("security" in operation), (path, method)
        assert len(refused) in (0, 2)
    (scheme,) = document["components"]["securitySchemes"].values()
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")


def test_every_operation_is_described_and_stands_in_a_group_that_is(document: dict[str, Any]) -> None:
    groups = {tag["name"]: tag["description"] for tag in document["tags"]}
    assert all(groups.values())
    for path, method, operation in operations(document):
        assert operation["description"], (path, method)
        assert groups[operation["tags"][0]]


def test_the_document_has_no_shape_that_no_route_uses(document: dict[str, Any]) -> None:
    assert "HTTPValidationError" not in document["components"]["schemas"]
    used = str(document)
    for kind in ("schemas", "headers"):
        for name in document["components"][kind]:
            assert f"#/components/{kind}/{name}'" in used, f"{name} is declared, and no route uses it"


def test_each_parameter_is_described_with_what_it_may_be(document: dict[str, Any]) -> None:
    parameters = document["paths"][f"{BASE}/stations/{{station}}/measurements"]["get"]["parameters"]
    assert [(told["name"], told["in"], told["required"]) for told in parameters] == [
        ("station", "path", True),
        ("from", "query", True),
        ("to", "query", True),
        ("parameter", "query", False),
        ("aggregate", "query", False),
        ("If-None-Match", "header", False),
    ]
    for path, method, operation in operations(document):
        for told in operation.get("parameters", ()):
            assert told.get("description"), (path, method, told["name"])
            assert "null" not in str(told["schema"]), "no address can hold a null"


@pytest.mark.parametrize("name", list(EXAMPLES))
def test_an_example_has_its_shape_and_nothing_beside_it(document: dict[str, Any], name: str) -> None:
    assert document["components"]["schemas"][name]["examples"] == [EXAMPLES[name]]
    shape = getattr(shapes, name)
    read = shape.model_validate(EXAMPLES[name], extra="forbid")
    assert read.model_dump(mode="json", by_alias=True) == EXAMPLES[name]


def test_every_route_below_the_base_refuses_parameters_that_it_does_not_know() -> None:
    routes = [route for room in ROOMS for route in room.router.routes]
    below = [route for route in routes if isinstance(route, APIRoute) and route.path.startswith(BASE)]
    assert len(below) >= 9
    assert [route.path for route in below if not isinstance(route, KnownParameters)] == []
