"""What the actions of a sidecar's web surface rest on, for the tests of that surface."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from alpimonitor_watchdog.web.access_token import Token
from alpimonitor_watchdog.web.actions import Operators
from alpimonitor_watchdog.web.desk import Desk

TOKEN = Token("a-token-that-is-long-enough-to-be-a-token-_-")


def operators(**changes: Any) -> Operators:
    """Somebody may act; no loop takes it, no healer is declared, no channel is set."""
    usual = Operators(
        desk=Desk(on_submit=lambda: None),
        token=TOKEN,
        closed_because="",
        preview=None,
        channels=(),
        database="hydro@db.example:5432 (production)",
    )
    return replace(usual, **changes)
