"""Which browsers may read the answers: CORS by an allow-list."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import Response
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from alpimonitor_api.errors import Code, envelope

EXPOSED = (
    "ETag",
    "RateLimit-Remaining",
    "Retry-After",
    "X-Page",
    "X-Page-Size",
    "X-Request-Id",
    "X-Total-Count",
)
"""What a script may read of an answer beside its body."""


class AllowedOrigins(CORSMiddleware):
    """Starlette's CORS, its refusal of a preflight in the envelope."""

    def __init__(self, app: ASGIApp, *, allow_origins: Sequence[str]) -> None:
        super().__init__(
            app,
            allow_origins=allow_origins,
            allow_methods=("GET", "PUT"),
            allow_headers=("Authorization", "Content-Type", "If-None-Match", "X-Request-Id"),
            expose_headers=EXPOSED,
        )

    def preflight_response(self, request_headers: Headers) -> Response:
        answer = super().preflight_response(request_headers)
        if answer.status_code == 200:
            return answer
        refusal = envelope(
            400,
            Code.VALIDATION_ERROR,
            f"{bytes(answer.body).decode()}: CORS_ORIGINS lists the origins allowed.",
        )
        MutableHeaders(raw=refusal.raw_headers).setdefault("Vary", "Origin")
        return refusal
