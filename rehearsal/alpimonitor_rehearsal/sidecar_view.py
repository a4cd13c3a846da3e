"""Looks at one sidecar from outside: its metrics, its state and its incidents by HTTP."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from alpimonitor_rehearsal.sightings import IncidentSeen, Session, SidecarSeen

INCIDENTS_LISTED = 20


class SidecarView:
    """Nothing that fails here raises."""

    def __init__(self, http: httpx.Client, address: str) -> None:
        """`address` is that of its web surface, without a path."""
        self._http = http
        self.address = address

    def ready(self) -> bool:
        """Whether its /readyz says so."""
        try:
            return self._http.get(f"{self.address}/readyz").status_code == 200
        except httpx.HTTPError:
            return False

    def look(self) -> SidecarSeen | None:
        try:
            metrics = self._http.get(f"{self.address}/metrics")
            at = time.monotonic()
            metrics.raise_for_status()
            families = {family.name: family for family in text_string_to_metric_families(metrics.text)}
        except (httpx.HTTPError, ValueError):
            return None
        listed = json_of(self._http, f"{self.address}/api/incidents?limit={INCIDENTS_LISTED}")
        state = json_of(self._http, f"{self.address}/api/state")
        state = state if isinstance(state, dict) else {}

        def samples(family: str) -> list[tuple[Mapping[str, str], float]]:
            if family not in families:
                return []
            # A counter's family also holds when it was created.
            return [
                (sample.labels, sample.value)
                for sample in families[family].samples
                if not sample.name.endswith("_created")
            ]

        leader = state.get("leader") or {}
        return SidecarSeen(
            at=at,
            up=any(value == 1 for _, value in samples("watchdog_up")),
            open=frozenset(
                labels["symptom"] for labels, value in samples("watchdog_incident_open") if value == 1
            ),
            heals=round(sum(value for _, value in samples("watchdog_heals"))),
            circuit_open=any(value == 1 for _, value in samples("watchdog_heal_circuit_open")),
            incidents=tuple(_incident(item) for item in _listed(listed, "incidents")),
            leads=leader.get("leads") is True,
            follows=leader.get("leads") is False and leader.get("other_pid") is not None,
            whole=_whole(state),
        )

    def incident(self, id: str) -> Mapping[str, Any]:
        """One incident with its timeline; empty when it does not answer."""
        document = json_of(self._http, f"{self.address}/api/incidents/{id}")
        return document if isinstance(document, dict) else {}


def json_of(http: httpx.Client, url: str) -> Any:
    """What a 200 at `url` holds; None for anything else."""
    try:
        answer = http.get(url)
        return answer.json() if answer.status_code == 200 else None
    except (httpx.HTTPError, ValueError):
        return None


def _whole(state: Mapping[str, Any]) -> bool:
    conditions = {table["condition"] for table in _listed(state, "tables") if table["kind"] == "context"}
    return conditions == {"ok"}


def _listed(document: Any, key: str) -> list[Any]:
    found = document.get(key) if isinstance(document, dict) else None
    return found if isinstance(found, list) else []


def _incident(item: Mapping[str, Any]) -> IncidentSeen:
    verdict = item.get("verdict")
    return IncidentSeen(
        id=item["id"],
        phase=item["phase"],
        restored=item["restored_at"] is not None,
        resolved=item["resolved_at"] is not None,
        verdict=verdict["what"] if verdict else None,
        session=_session(verdict.get("attribution")) if verdict else None,
    )


def _session(named: Mapping[str, Any] | None) -> Session | None:
    if named is None:
        return None
    return Session(
        role=named["role"],
        application_name=named["application_name"],
        client_addr=named["client_addr"],
        pid=named["pid"],
        statement=named["statement"],
    )
