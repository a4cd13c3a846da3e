"""What the recorder's commands say, to people and to programs. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .install import Guarded, Installed
from .status import Status, TableStatus


def told(done: Installed, place: str) -> Iterator[str]:
    for table in done.tables:
        if not table.holds:
            yield f"{table.table}: NOT GUARDED, {table.outcome.value}: {table.detail}"
    for notice in done.notices:
        yield f"WARNING: {notice}"
    guarded = sum(table.holds for table in done.tables)
    yield f"{place}: {guarded} of {len(done.tables)} tables guarded; the evidence belongs to {done.owner}"
    if not done.drops:
        yield (
            "DROP and disarming are not recorded: event triggers need a superuser, or the rights that "
            "managed servers give for them. There run: SELECT flight_recorder.watch_drops()"
        )


def installed_as_json(done: Installed) -> dict[str, object]:
    return {
        "holds": done.holds,
        "owner": done.owner,
        "drops": done.drops,
        "tables": outcomes(done.tables),
        "warnings": list(done.notices),
    }


def outcomes(tables: Sequence[Guarded]) -> list[dict[str, str]]:
    return [
        {"table": table.table, "outcome": table.outcome.value, "detail": table.detail} for table in tables
    ]


def state(found: Status, place: str) -> Iterator[str]:
    yield f"{place}: {'armed' if found.armed else 'NOT ARMED'}; version {found.version}, owner {found.owner}"
    for missing in found.missing:
        yield f"  flight_recorder.{missing} is missing: run alpimonitor recorder install again"
    for table in found.tables:
        yield f"  {table.name}: {_recorded(table)}"
    if not found.tables:
        yield "  no table is guarded: alpimonitor recorder install --tables A,B"
    if not found.drops:
        yield "  DROP and disarming are not recorded: as a superuser: SELECT flight_recorder.watch_drops()"
    if found.owner_may_log_in:
        yield (
            f"  {found.owner} can log in and erase the evidence: CREATE ROLE alpimonitor_recorder NOLOGIN, "
            "then install again"
        )
    if found.events is not None:
        yield f"  {found.events} events" + (
            f" since {found.oldest:%Y-%m-%d %H:%M} UTC" if found.oldest else ""
        )


def _recorded(table: TableStatus) -> str:
    if table.wrong:
        return f"NOT RECORDED: {table.wrong}"
    literals = "with literals" if table.keep_literals else "literals masked"
    journal = f", {table.journal_rows} rows kept" if table.journal_rows else ""
    return f"{table.kind}, {literals}{journal}"


def described(found: Status | None) -> dict[str, object]:
    if found is None:
        return {"installed": False, "armed": False}
    return {
        "installed": True,
        "armed": found.armed,
        "version": found.version,
        "owner": found.owner,
        "owner_may_log_in": found.owner_may_log_in,
        "drops": found.drops,
        "missing": list(found.missing),
        "tables": [
            {
                "name": table.name,
                "kind": table.kind,
                "keep_literals": table.keep_literals,
                "journal_rows": table.journal_rows,
                "wrong": table.wrong,
            }
            for table in found.tables
        ],
        "events": found.events,
        "oldest": found.oldest.isoformat() if found.oldest else None,
    }


def goes(found: Status, tables: Sequence[str], *, everything: bool, evidence: bool) -> Iterator[str]:
    yield f"would no longer be recorded: {', '.join(tables) or 'no table'}"
    if everything and found.drops:
        yield "would no longer be recorded: DROP and disarming"
    if evidence:
        events = "unknown" if found.events is None else found.events
        yield f"would be lost for good: the evidence ({events} events)"
