"""The rehearsal's clock: what stands in for the outside world keeps its own time."""

from __future__ import annotations

from datetime import UTC, datetime


def utc_now() -> datetime:
    """Aware UTC."""
    return datetime.now(UTC)  # noqa: TID251 - the one place of this package where it is read
