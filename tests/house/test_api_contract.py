"""The API's contract with its consumers, as data, against /openapi.json.

The contract itself is a page beside the checkout; where it is at hand, this data is held against it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from alpimonitor_api.app import create_app
from alpimonitor_api.errors import Code
from tests.api_client import BASE, NOWHERE, settings_for

CONTRACT = Path(__file__).resolve().parents[3] / "shared" / "reference" / "api-contract.md"


def members(*plain: str, **nested: Any) -> dict[str, Any]:
    return {**dict.fromkeys(plain), **nested}


STATION = members(
    "id", "ofevCode", "name", "riverName", "latitude", "longitude", "altitudeM", "flowType", "operatorName",
    "dataSource", "sourcingStatus", "activeAlertsCount",
    latestMeasurements=[members("parameter", "unit", "value", "recordedAt", "status")],
)  # fmt: skip
STATION_NAME = members("id", "name", "ofevCode")
STATE = members(
    api=members("status", "uptimeSeconds", "version"),
    database=members("status", "schemaRevision"),
    deployment=members("environment", "id"),
    context=members(
        "catchments", "stations", "sensors", "thresholds", "glaciers", "stationGlaciers", "withdrawals"
    ),
    ingestion=members(
        "lastSuccessAt",
        "healthyThresholdMinutes",
        lastRun=members(
            "source", "status", "startedAt", "completedAt", "stationsSeenCount", "measurementsCreatedCount",
            "measurementsUpdatedCount", "measurementsSkippedCount", "durationMs", "errorMessage",
        ),
        today=members("runsCount", "measurementsCreatedSum", "successRate"),
        archive=members("consecutiveFailures", "lastError"),
    ),
)  # fmt: skip
THRESHOLD = members("parameter", "vigilanceValue", "alertValue", "direction")
VALUES = members("vigilanceValue", "alertValue", "direction")


@dataclass(frozen=True)
class Route:
    answer: Any  # the members of a 200, nested; a list holds what each item has
    query: frozenset[str] = frozenset()
    statuses: frozenset[int] = frozenset()  # beside those of every route
    free: bool = False  # of the rate limit; what it tells is never the same twice


def route(answer: Any, query: str = "", *statuses: int, free: bool = False) -> Route:
    return Route(answer, frozenset(query.split()), frozenset(statuses), free)


EVERY = frozenset({200, 400, 500, 503})
LIMITED = frozenset({429})

ROUTES: Mapping[tuple[str, str], Route] = {
    ("GET", "/health"): route(members("status", "timestamp", "database"), free=True),
    ("GET", "/status"): route(STATE, free=True),
    ("GET", "/stations"): route(members(data=[STATION]), "catchmentId isActive", 304),
    ("GET", "/stations/{}"): route(
        members(
            data={
                **STATION,
                "catchment": members("id", "name"),
                "sensors": [members("parameter", "unit", "isActive")],
                "thresholds": [THRESHOLD],
                "relatedGlaciers": [members("name", "altitudeMinM", "altitudeMaxM")],
                "upstreamWithdrawals": [members("name", "operatorName", "altitudeM", "annualVolumeM3")],
            }
        ),
        "",
        304,
        404,
    ),
    ("GET", "/stations/{}/measurements"): route(
        members(
            data=members(
                "stationId",
                "from",
                "to",
                "aggregate",
                series=[members("parameter", "unit", points=[members("t", "v")])],
            )
        ),
        "from to parameter aggregate",
        304,
        404,
    ),
    ("GET", "/catchments"): route(
        members(data=[members("id", "name", "areaKm2", "description", "stationsCount")]), "", 304
    ),
    ("GET", "/glaciers"): route(
        members(data=[members("id", "name", "altitudeMinM", "altitudeMaxM", stations=[STATION_NAME])]),
        "",
        304,
    ),
    ("GET", "/withdrawals"): route(
        members(
            data=[
                members(
                    "id", "name", "operatorName", "latitude", "longitude", "altitudeM", "annualVolumeM3",
                    station=STATION_NAME,
                )
            ]
        ),
        "",
        304,
    ),
    ("GET", "/alerts"): route(
        members(
            data=[
                members(
                    "id", "type", "level", "parameter", "triggerValue", "thresholdValue", "openedAt",
                    "closedAt", "durationSeconds", station=STATION_NAME,
                )
            ]
        ),
        "stationId level type active from to page pageSize",
        304,
    ),
    ("PUT", "/stations/{}/thresholds/{}"): route(
        members(data={**THRESHOLD, **members("tunedAt", "tunedBy"), "station": STATION_NAME}),
        "", 401, 403, 404, 409, 413,
    ),
    ("GET", "/threshold-audits"): route(
        members(
            data=[
                members(
                    "id", "parameter", "changedAt", "changedBy",
                    station=STATION_NAME, before=VALUES, after=VALUES,
                )
            ]
        ),
        "stationId page pageSize", 304, 401, 403,
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return create_app(settings_for(NOWHERE)).openapi()


def without_names(path: str) -> str:
    return re.sub(r"{[^}]*}", "{}", path)


def operations(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method.upper(), without_names(path.removeprefix(BASE))): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def of_schema(document: dict[str, Any], schema: dict[str, Any]) -> Any:
    """The members of a schema, nested; what may be null beside something else is that."""
    if "$ref" in schema:
        return of_schema(document, document["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    if "anyOf" in schema:
        (other,) = (kind for kind in schema["anyOf"] if kind.get("type") != "null")
        return of_schema(document, other)
    if schema.get("type") == "array":
        return [of_schema(document, schema["items"])]
    if "properties" not in schema:
        return None
    return {name: of_schema(document, inner) for name, inner in schema["properties"].items()}


def test_the_document_has_exactly_the_routes_of_the_contract(document: dict[str, Any]) -> None:
    assert operations(document).keys() == ROUTES.keys()
    assert all(path.startswith(f"{BASE}/") for path in document["paths"])


@pytest.mark.parametrize("which", list(ROUTES), ids=" ".join)
def test_a_route_takes_the_parameters_of_the_contract(
    document: dict[str, Any], which: tuple[str, str]
) -> None:
    told = operations(document)[which].get("parameters", [])
    assert {one["name"] for one in told if one["in"] == "query"} == ROUTES[which].query
    assert sum(one["in"] == "path" for one in told) == which[1].count("{}")
    required = {one["name"] for one in told if one["in"] == "query" and one["required"]}
    assert required == ({"from", "to"} if which[1].endswith("/measurements") else set())


@pytest.mark.parametrize("which", list(ROUTES), ids=" ".join)
def test_a_route_documents_the_statuses_of_the_contract(
    document: dict[str, Any], which: tuple[str, str]
) -> None:
    expected = EVERY | ROUTES[which].statuses | (frozenset() if ROUTES[which].free else LIMITED)
    assert {int(status) for status in operations(document)[which]["responses"]} == expected


@pytest.mark.parametrize("which", list(ROUTES), ids=" ".join)
def test_an_answer_has_the_members_of_the_contract(document: dict[str, Any], which: tuple[str, str]) -> None:
    answers = operations(document)[which]["responses"]
    of = {status: said["content"]["application/json"]["schema"] for status, said in answers.items()
          if status != "304"}  # fmt: skip
    assert of_schema(document, of["200"]) == ROUTES[which].answer
    failure = ROUTES[which].answer if ROUTES[which].free else members(
        error=members("code", "message", details=[members("parameter", "message")])
    )  # fmt: skip
    assert of_schema(document, of["503"]) == failure


def test_every_member_is_always_there(document: dict[str, Any]) -> None:
    """One without a value is null: only `details` of an error may be missing."""
    for name, schema in document["components"]["schemas"].items():
        optional = schema.get("properties", {}).keys() - set(schema.get("required", ()))
        assert optional == ({"details"} if name == "ErrorShape" else set()), name


def test_an_error_has_one_of_the_codes_of_the_contract(document: dict[str, Any]) -> None:
    assert set(document["components"]["schemas"]["Code"]["enum"]) == {
        "VALIDATION_ERROR", "UNAUTHORIZED", "FORBIDDEN", "NOT_FOUND", "METHOD_NOT_ALLOWED", "CONFLICT",
        "PAYLOAD_TOO_LARGE", "RATE_LIMITED", "INTERNAL_ERROR", "SERVICE_UNAVAILABLE", "CONTEXT_EMPTY",
    }  # fmt: skip


def test_a_page_has_fifty_rows_unless_told_otherwise_and_at_most_two_hundred(
    document: dict[str, Any],
) -> None:
    for which, wanted in ROUTES.items():
        if "pageSize" in wanted.query:
            told = {one["name"]: one["schema"] for one in operations(document)[which]["parameters"]}
            size = told["pageSize"]
            assert (size["default"], size["minimum"], size["maximum"]) == (50, 1, 200)
            assert (told["page"]["default"], told["page"]["minimum"]) == (1, 1)


@pytest.fixture(scope="module")
def page() -> str:
    if not CONTRACT.is_file():
        pytest.skip("the contract's own page is not beside this checkout; its routes are checked as data")
    return CONTRACT.read_text()


def of_page(page: str) -> dict[tuple[str, str], set[str]]:
    """Method and path -> query parameters, of the table's first column."""
    found = {}
    for line in page.splitlines():
        if told := re.match(r"\| (GET|PUT|POST|DELETE|PATCH) (/[^|]*?) \|", line):
            for address in told[2].split(", "):
                path, _, query = address.partition("?")
                names = {part.partition("=")[0] for part in query.split("&") if part}
                found[told[1], without_names(path)] = names
    return found


def test_this_data_is_that_of_the_contracts_page(page: str) -> None:
    told = of_page(page)
    assert told.keys() == ROUTES.keys()
    for which, names in told.items():
        # The page says "from, to", "paginated" and the like in words where it does not write a query.
        assert names <= ROUTES[which].query, which
    assert f"base {BASE}" in page


def test_the_codes_are_those_of_the_contracts_page(page: str) -> None:
    told = set(re.findall(r"\b\d{3} ([A-Z_]+)\b", page)) | set(re.findall(r"`(CONTEXT_EMPTY)`", page))
    assert told == set(Code)


def test_the_page_names_every_member_that_an_answer_has(page: str) -> None:
    """But for the members of lists and of context counts, which it leaves to the words of the domain."""

    def names(answer: Any) -> set[str]:
        if isinstance(answer, list):
            return names(answer[0])
        if isinstance(answer, dict):
            return set(answer) | set().union(*map(names, answer.values()))
        return set()

    in_words = {
        ("GET", "/glaciers"),
        ("GET", "/withdrawals"),
        ("GET", "/catchments"),
        ("GET", "/threshold-audits"),
    }
    for which, wanted in ROUTES.items():
        if which not in in_words:
            beside = set(STATE["context"]) | {"tunedAt", "tunedBy"}
            missing = {name for name in names(wanted.answer) - beside if not re.search(rf"\b{name}\b", page)}
            assert missing == set(), which
