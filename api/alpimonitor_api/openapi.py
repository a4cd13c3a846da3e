"""/openapi.json: true of every answer.

A route tells its parameters, its shape and the errors of its own; what the middleware and the framework do to
all of them stands here once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from alpimonitor_api.examples import EXAMPLES
from alpimonitor_api.middleware.rate_limit import FREE
from alpimonitor_api.middleware.revalidation import has_etag

GROUPS: Mapping[str, tuple[str, str]] = {
    "stations": ("stations", "Where the rivers are measured, and what was measured."),
    "measurements": ("stations", ""),
    "alerts": ("alerts", "When a river reached a threshold, or a station fell silent."),
    "thresholds": ("thresholds", "What counts as vigilance and alert: tuned by operators, with a trail."),
    "threshold-audits": ("thresholds", ""),
    "catchments": ("context", "What the stations belong to and what shapes their flow."),
    "glaciers": ("context", ""),
    "withdrawals": ("context", ""),
    "health": ("state", "How the API, its database and its ingestion fare."),
    "status": ("state", ""),
}
"""The last word of a path -> its tag, described where it first occurs."""

HEADERS: Mapping[str, Mapping[str, Any]] = {
    "X-Request-Id": {
        "description": "Names this request in the logs; the one that the client sent, where it is usable.",
        "required": True,
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
    },
    "RateLimit-Remaining": {
        "description": "How many requests this address may still make; not told to whom no limit applies.",
        "schema": {"type": "integer", "minimum": 0},
    },
    "ETag": {
        "description": "Names the content: sent as If-None-Match it is answered 304 while nothing changed.",
        "required": True,
        "schema": {"type": "string"},
    },
    "Retry-After": {
        "description": "Seconds to wait before asking again.",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
    },
    "WWW-Authenticate": {
        "description": "The way to say who asks.",
        "required": True,
        "schema": {"type": "string"},
    },
}

IF_NONE_MATCH: Mapping[str, Any] = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "An ETag of this address: a 304 without a body is the answer while nothing has changed.",
    "schema": {"type": "string"},
}

ASK_LATER = frozenset({"409", "429", "503"})
"""Answers that say when to ask again."""

ENVELOPE = {"application/json": {"schema": {"$ref": "#/components/schemas/Envelope"}}}

UNUSED = ("HTTPValidationError", "ValidationError")
"""Shapes of the 422 that the framework documents by itself: a bad request is a 400 here."""


def document(app: FastAPI) -> dict[str, Any]:
    """The framework's document, made true."""
    tags = [{"name": tag, "description": described} for tag, described in GROUPS.values() if described]
    made = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        tags=tags,
        servers=[{"url": "/", "description": "The server that this document comes from."}],
    )
    for path, operations in made["paths"].items():
        for method, operation in operations.items():
            operation["tags"] = [GROUPS[_last_word(path)][0]]
            for parameter in operation.get("parameters", ()):
                _take_null_out(parameter["schema"])
            if method == "get" and has_etag(path):
                operation["parameters"] = [*operation.get("parameters", ()), dict(IF_NONE_MATCH)]
            _add_answers(operation, path, method)
            for status, answer in operation["responses"].items():
                _add_headers(answer, status, path, method)
    components = made["components"]
    for unused in UNUSED:
        components["schemas"].pop(unused, None)
    for name, example in EXAMPLES.items():
        components["schemas"][name]["examples"] = [example]
    components["headers"] = {name: dict(header) for name, header in HEADERS.items()}
    return made


def _last_word(path: str) -> str:
    """`/api/v1/stations/{station}` -> `stations`."""
    return [word for word in path.split("/") if word and not word.startswith("{")][-1]


def _take_null_out(schema: dict[str, Any]) -> None:
    """A parameter that may be left out is absent then: no address can hold a null."""
    kinds = [kind for kind in schema.get("anyOf", ()) if kind.get("type") != "null"]
    if len(kinds) == 1:
        del schema["anyOf"]
        schema.update(kinds[0])


def _add_answers(operation: dict[str, Any], path: str, method: str) -> None:
    """Those that come from around the route, in its own words where it has some."""
    answers = operation["responses"]
    answers.pop("422", None)
    around = {"400": "The request is not understood; `details` names each part of it that is wrong."}
    if "security" in operation:
        around["401"] = "No token, or one that is not known or has expired."
        around["403"] = "The token lacks the scope."
    if "requestBody" in operation:
        around["413"] = "The body is too large."
    if path not in FREE:
        around["429"] = "This address has asked too often."
    around["500"] = "The API failed; its log says why."
    for status, description in around.items():
        answers.setdefault(status, {"description": description, "content": ENVELOPE})
    if method == "get" and has_etag(path):
        answers["304"] = {"description": "If-None-Match names what would be the answer: nothing has changed."}
    operation["responses"] = dict(sorted(answers.items()))


def _add_headers(answer: dict[str, Any], status: str, path: str, method: str) -> None:
    names = ["X-Request-Id"]
    if path not in FREE:
        names.append("RateLimit-Remaining")
    if status in ("200", "304") and method == "get" and has_etag(path):
        names.append("ETag")
    if status in ASK_LATER:
        names.append("Retry-After")
    if status == "401":
        names.append("WWW-Authenticate")
    headers = answer.setdefault("headers", {})
    headers.update({name: {"$ref": f"#/components/headers/{name}"} for name in names})
