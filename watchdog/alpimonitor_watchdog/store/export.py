"""An incident as one JSON document, with the part of the chain that its evidence is in."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from . import evidence, incidents
from .chain import Anchor, EvidenceRow, Verified, holes, verify
from .connection import Connection

FORMAT = "alpimonitor incident"
VERSION = 1


class NoExport(Exception):
    """The text is not what `exported` makes."""


def exported(connection: Connection, id: str) -> dict[str, Any] | None:
    """{format, version, incident, chain: {anchor: {id, hash}, rows, evidence}}; None: no such incident.

    `rows` are all from its first piece of evidence to the last that the sidecar had when it was resolved, or
    has now; `evidence`: the ids of those that belong to it. Raises StoreError.
    """
    incident = incidents.one(connection, id)
    if incident is None:
        return None
    own = evidence.ids(connection, id)
    rows = _part(connection, own, incident["resolved_at"]) if own else []
    begins = Anchor(rows[0].id - 1, rows[0].previous) if rows else Anchor()
    return {
        "format": FORMAT,
        "version": VERSION,
        "incident": incident,
        "chain": {
            "anchor": {"id": begins.id, "hash": begins.hash},
            "rows": [asdict(row) for row in rows],
            "evidence": own,
        },
    }


def verify_exported(text: str | bytes, sought: str | None) -> tuple[Verified, str, int]:
    """The chain in an export, the incident's id, and how many rows belong to it. Raises NoExport."""
    try:
        document = json.loads(text)
        if (document["format"], document["version"]) != (FORMAT, VERSION):
            raise NoExport(f"it is a document of another format than {FORMAT!r}, version {VERSION}")
        chain = document["chain"]
        begins = Anchor(int(chain["anchor"]["id"]), str(chain["anchor"]["hash"]))
        rows = [EvidenceRow(**row) for row in chain["rows"]]
        if not all(isinstance(row.id, int) for row in rows):
            raise NoExport("not every row has a number")
        if not set(chain["evidence"]) <= {row.id for row in rows}:
            raise NoExport("rows of the incident's evidence are missing")
        return verify(begins, rows, sought), str(document["incident"]["id"]), len(chain["evidence"])
    except (ValueError, TypeError, LookupError) as error:
        raise NoExport("it is no export of an incident, or was cut short") from error


def _part(connection: Connection, own: list[int], resolved_at: str | None) -> list[EvidenceRow]:
    """The rows to export. A hole is explained further on: with one, all that follows is needed."""
    last = own[-1]
    rows = list(evidence.every(connection, own[0]))
    kept = [row for row in rows if row.id <= last or resolved_at is None or row.at <= resolved_at]
    begins = Anchor(rows[0].id - 1, rows[0].previous)
    return rows if any(holes(begins, kept)) else kept
