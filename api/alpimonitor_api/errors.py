"""The one shape of every error: `{"error": {"code", "message", "details"?}}`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from alpimonitor_api.database import DatabaseUnavailable, Reason

RETRY_AFTER_SECONDS = 5
"""When to ask again after a 503: the API finds a database that came back at the first request."""

EXAMPLE_IDENTIFIER = "3f2504e0-4f89-51d3-9a0c-0305e82c3301"


class Code(StrEnum):
    """What went wrong, for programs."""

    VALIDATION_ERROR = "VALIDATION_ERROR"
    UNAUTHORIZED = "UNAUTHORIZED"
    FORBIDDEN = "FORBIDDEN"
    NOT_FOUND = "NOT_FOUND"
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
    CONFLICT = "CONFLICT"
    PAYLOAD_TOO_LARGE = "PAYLOAD_TOO_LARGE"
    RATE_LIMITED = "RATE_LIMITED"
    INTERNAL_ERROR = "INTERNAL_ERROR"
    SERVICE_UNAVAILABLE = "SERVICE_UNAVAILABLE"
    CONTEXT_EMPTY = "CONTEXT_EMPTY"  # the tables that everything rests on hold no row


STATUS_CODES: Mapping[int, Code] = {
    400: Code.VALIDATION_ERROR,
    401: Code.UNAUTHORIZED,
    403: Code.FORBIDDEN,
    404: Code.NOT_FOUND,
    405: Code.METHOD_NOT_ALLOWED,
    409: Code.CONFLICT,
    413: Code.PAYLOAD_TOO_LARGE,
    429: Code.RATE_LIMITED,
    503: Code.SERVICE_UNAVAILABLE,
}


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a request."""

    parameter: str  # as the client wrote it
    message: str  # what it should be


class ApiError(Exception):
    """An answer other than success; raised by routes, turned into an envelope here."""

    def __init__(
        self,
        status: int,
        code: Code,
        message: str,
        *,
        problems: Sequence[Problem] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.problems = tuple(problems)
        self.headers = dict(headers or {})

    def response(self) -> Response:
        return envelope(self.status, self.code, self.message, problems=self.problems, headers=self.headers)


def invalid(*problems: Problem) -> ApiError:
    """400: the message names every parameter and its remedy, for whoever reads only that."""
    message = "; ".join(f"{problem.parameter}: {problem.message}" for problem in problems)
    return ApiError(400, Code.VALIDATION_ERROR, message, problems=problems)


def not_found(what: str) -> ApiError:
    return ApiError(404, Code.NOT_FOUND, what)


def unauthorized(message: str) -> ApiError:
    return ApiError(
        401, Code.UNAUTHORIZED, message, headers={"WWW-Authenticate": 'Bearer realm="alpimonitor"'}
    )


def forbidden(message: str) -> ApiError:
    return ApiError(403, Code.FORBIDDEN, message)


def conflict(message: str) -> ApiError:
    """409: the request is right, and something else stands in its way for now."""
    return ApiError(409, Code.CONFLICT, message, headers={"Retry-After": str(RETRY_AFTER_SECONDS)})


def unavailable(code: Code, message: str) -> ApiError:
    return ApiError(503, code, message, headers={"Retry-After": str(RETRY_AFTER_SECONDS)})


def context_empty() -> ApiError:
    """503: what everything rests on is gone, and no answer about a part of it would be true."""
    return unavailable(
        Code.CONTEXT_EMPTY,
        "The database holds no station or no catchment at all. An operator has to seed or restore it.",
    )


def envelope(
    status: int,
    code: Code,
    message: str,
    *,
    problems: Sequence[Problem] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    error: dict[str, object] = {"code": code, "message": message}
    if problems:
        error["details"] = [
            {"parameter": problem.parameter, "message": problem.message} for problem in problems
        ]
    body = json.dumps({"error": error}, ensure_ascii=False)
    return Response(body, status, dict(headers or {}), "application/json")


WITHOUT_DATABASE: Mapping[Reason, str] = {
    Reason.UNREACHABLE: "The database cannot be reached now; ask again in a few seconds.",
    Reason.TOO_SLOW: "The database did not answer in time; ask again in a few seconds, or for less.",
    Reason.NO_SCHEMA: "The database lacks tables that this version needs: an operator has to migrate it.",
    Reason.NO_RIGHT: "The database does not let the API do this: an operator has to grant it the rights.",
    Reason.READ_ONLY: "The database takes no changes now, as a standby does; nothing was changed. Ask later.",
    Reason.OUTCOME_UNKNOWN: "The connection to the database was lost at the commit: whether the change was "
    "written is not known. Read it back before asking again.",
}


def install(app: FastAPI) -> None:
    """Put every error that a route or the framework raises into the envelope."""

    @app.exception_handler(ApiError)
    async def api_error(_request: Request, error: ApiError) -> Response:
        return error.response()

    @app.exception_handler(DatabaseUnavailable)
    async def database_unavailable(_request: Request, error: DatabaseUnavailable) -> Response:
        return unavailable(Code.SERVICE_UNAVAILABLE, WITHOUT_DATABASE[error.reason]).response()

    @app.exception_handler(RequestValidationError)
    async def validation_error(request: Request, error: RequestValidationError) -> Response:
        described = _descriptions(app, request)
        return invalid(*(_problem(found, described) for found in error.errors())).response()

    @app.exception_handler(HTTPException)
    async def framework_error(request: Request, error: HTTPException) -> Response:
        return _of_framework(request, error)


def _of_framework(request: Request, error: HTTPException) -> Response:
    headers = dict(error.headers or {})
    path = request.url.path
    match error.status_code:
        case 404:
            message = f"There is nothing at {path}; /openapi.json lists what there is."
        case 405:
            message = f"{request.method} is not possible at {path}; use {headers.get('Allow', 'GET')}."
        case _:
            message = str(error.detail)
    # Another error of the framework is the request's fault: what fails in here does not come this way.
    status = error.status_code if error.status_code in STATUS_CODES else 400
    return envelope(status, STATUS_CODES[status], message, headers=headers)


def _descriptions(app: FastAPI, request: Request) -> Mapping[str, str]:
    """What the document says of each parameter of the route: the remedy for one that is missing."""
    path = getattr(request.scope.get("route"), "path", "")
    operation = app.openapi()["paths"].get(path, {}).get(request.method.lower(), {})
    return {told["name"]: told.get("description", "") for told in operation.get("parameters", ())}


def _problem(found: Mapping[str, Any], described: Mapping[str, str]) -> Problem:
    """One of the framework's findings, with a remedy instead of its words where they help nobody."""
    parameter = str(found["loc"][-1])
    kind = str(found["type"])
    if kind == "missing":
        return Problem(parameter, f"is required. {described.get(parameter, '')}".rstrip(". "))
    if kind == "bool_parsing":
        return Problem(parameter, "must be true or false")
    if kind.startswith("uuid"):
        return Problem(parameter, f"must be an identifier such as {EXAMPLE_IDENTIFIER}")
    if kind == "enum":
        return Problem(parameter, f"must be one of {found['ctx']['expected']}")
    return Problem(parameter, str(found["msg"]).removeprefix("Value error, "))
