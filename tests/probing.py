"""Probes for tests, each built when it is wanted and closed with its test; and the clock they may go by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from alpimonitor_watchdog.core.seen import DatabaseSeen
from alpimonitor_watchdog.probe.catalog import Guarded
from alpimonitor_watchdog.probe.observe import DatabaseProbe

PATIENT = 5.0  # seconds a statement may take where the test is not about its time-out: machines are busy


class Clock:
    """A monotonic clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Probing:
    """Builds probes that have the same name and, unless a test says otherwise, the same options."""

    def __init__(self, application_name: str, usual: dict[str, Any]) -> None:
        self._application_name = application_name
        self._usual = usual
        self._built: list[DatabaseProbe] = []

    def __call__(self, url: str, tables: Sequence[Guarded] | None = None, **options: Any) -> DatabaseProbe:
        given = {**self._usual, **options}
        if tables is not None:
            given["tables"] = tables
        probe = DatabaseProbe(url, application_name=self._application_name, **given)
        self._built.append(probe)
        return probe

    def close(self) -> None:
        for probe in self._built:
            probe.close()


@contextmanager
def probing_as(application_name: str, **usual: Any) -> Iterator[Probing]:
    probing = Probing(application_name, {"timeout": PATIENT, **usual})
    try:
        yield probing
    finally:
        probing.close()


def look(probe: DatabaseProbe) -> DatabaseSeen:
    """One look, of which the database itself could be seen."""
    seen = probe.look()
    assert seen.unseen is None, seen.detail
    return seen
