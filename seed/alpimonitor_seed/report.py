"""What a seed prints on stdout: lines for people, an object for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sized
from typing import Any

import typer

from alpimonitor_api.tables import SeedOutcome
from alpimonitor_seed.apply import Result
from alpimonitor_seed.fixtures import Fixtures
from alpimonitor_seed.plan import Plan, labels


def print_json(value: object) -> None:
    """One JSON value, alone on stdout."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))


def as_object(result: Result) -> dict[str, Any]:
    """The plan of a dry run (see `Plan.as_json`), else `{outcome, reason, inserted, updated, pruned}`."""
    if result.outcome is SeedOutcome.DRY_RUN and result.plan is not None:
        return result.plan.as_json()
    return {
        "outcome": result.outcome.value,
        "reason": result.why,
        "inserted": dict(result.counts.inserted),
        "updated": dict(result.counts.updated),
        "pruned": dict(result.counts.pruned),
    }


def lines(fixtures: Fixtures, result: Result) -> Iterator[str]:
    """What was done, or would be; nothing for a seed that stopped, whose reason goes to stderr."""
    if result.plan is None:
        return
    if result.outcome is SeedOutcome.DRY_RUN:
        yield from _planned(fixtures, result.plan)
        yield (
            f"dry run, nothing written: would insert {_sizes(result.plan.inserts)}, "
            f"update {_sizes(result.plan.updates)}, prune {_sizes(result.plan.prunes)}"
        )
    elif result.outcome is SeedOutcome.NOTHING_TO_DO:
        yield "nothing to do"
    else:
        counts = result.counts
        yield (
            f"applied: inserted {_by_table(counts.inserted)}, updated {_by_table(counts.updated)}, "
            f"pruned {_by_table(counts.pruned)}"
        )
    if result.plan.kept_tuned:
        yield f"left as an operator tuned them: {len(result.plan.kept_tuned)}"


def _sizes(by_table: Mapping[str, Sized]) -> str:
    return _by_table({table: len(items) for table, items in by_table.items()})


def _by_table(counts: Mapping[str, int]) -> str:
    """`8 (catchment 1, station 7)`, or `0`."""
    parts = ", ".join(f"{table} {count}" for table, count in counts.items())
    return f"{sum(counts.values())} ({parts})" if parts else "0"


def _planned(fixtures: Fixtures, plan: Plan) -> Iterator[str]:
    """A line a row: `+` to insert, `~` to update, `-` to delete."""
    names = labels({table: [*rows, *plan.prunes.get(table, ())] for table, rows in fixtures.rows.items()})
    for inserts in plan.inserts.values():
        yield from (f"+ {names[str(row['id'])]}" for row in inserts)
    for updates in plan.updates.values():
        for update in updates:
            changes = ", ".join(
                f"{column} {update.before[column]!r} -> {value!r}" for column, value in update.after.items()
            )
            yield f"~ {names[update.id]}: {changes}"
    for prunes in plan.prunes.values():
        yield from (f"- {names[str(row['id'])]}" for row in prunes)
