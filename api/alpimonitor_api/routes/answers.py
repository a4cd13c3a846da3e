"""What the routes share: JSON as bytes, and what /openapi.json says of their errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import Response

from alpimonitor_api.shapes import Envelope

BASE = "/api/v1"

UNAVAILABLE = "The database cannot answer now (SERVICE_UNAVAILABLE)."
CONTEXT_EMPTY = (
    UNAVAILABLE.removesuffix(".") + ", or the tables that everything rests on are empty (CONTEXT_EMPTY)."
)


def json_answer(body: bytes, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(body, status, headers, "application/json")


def error_answers(described: Mapping[int, str]) -> dict[int | str, dict[str, Any]]:
    """The errors of a route's own for the document; `openapi` adds those of all routes, and the headers."""
    return {
        status: {"model": Envelope, "description": description} for status, description in described.items()
    }
