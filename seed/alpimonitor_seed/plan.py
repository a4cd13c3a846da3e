"""What a seed would do: fixtures and found rows in, inserts, updates and prunes out. Pure.

Rows are matched by identifier, which follows from the natural key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeVar

from alpimonitor_api import ids
from alpimonitor_api.tables import SeedMode
from alpimonitor_seed.fixture_models import Row
from alpimonitor_seed.fixtures import TABLES, Fixtures

NATURAL_KEYS: Mapping[str, tuple[str, ...]] = {
    "catchment": ("name",),
    "station": ("ofev_code",),
    "sensor": ("station_id", "parameter"),
    "threshold": ("station_id", "parameter"),
    "glacier": ("name",),
    "station_glacier": ("station_id", "glacier_id"),
    "withdrawal": ("name",),
}

Item = TypeVar("Item")

NOT_TUNED: Row = {"tuned_at": None, "tuned_by": None}


@dataclass(frozen=True)
class Wish:
    """What the person or program who seeds has asked for."""

    mode: SeedMode = SeedMode.MISSING
    prune: bool = False
    overwrite_tuned: bool = False
    max_prune: int = 0

    @property
    def only_adds(self) -> bool:
        return self.mode is SeedMode.MISSING and not self.prune


@dataclass(frozen=True)
class Found:
    """The context as the database has it, gathered in one snapshot or under the locks that keep it true.

    `rows`: by table, then by identifier, all columns. `used_by`: by
    operational table, the identifiers of the stations and sensors that its rows refer to.
    """

    rows: Mapping[str, Mapping[str, Row]]
    used_by: Mapping[str, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Update:
    """Columns of one row that differ from the fixture: as found, and as declared."""

    id: str
    before: Row
    after: Row


@dataclass(frozen=True)
class Plan:
    """By table, in the order of the foreign keys; a table with nothing to do is left out."""

    inserts: Mapping[str, tuple[Row, ...]]
    updates: Mapping[str, tuple[Update, ...]]
    prunes: Mapping[str, tuple[Row, ...]]
    kept_tuned: tuple[Row, ...] = ()  # differ from their fixture, but an operator wanted that

    @property
    def empty(self) -> bool:
        return not (self.inserts or self.updates or self.prunes)

    def as_json(self) -> dict[str, Any]:
        """`{inserts: {table: [row]}, updates: {table: [{key, before, after}]}, deletes: {table: [key]}}`.

        A key is `{"id": …}`; before and after hold the columns that differ.
        """
        return {
            "inserts": {table: [dict(row) for row in rows] for table, rows in self.inserts.items()},
            "updates": {
                table: [
                    {"key": {"id": update.id}, "before": dict(update.before), "after": dict(update.after)}
                    for update in updates
                ]
                for table, updates in self.updates.items()
            },
            "deletes": {table: [{"id": row["id"]} for row in rows] for table, rows in self.prunes.items()},
        }


def plan(fixtures: Fixtures, found: Found, wish: Wish) -> Plan:
    """Compare what is declared with what is there.

    `missing` inserts what is absent and touches nothing else; `converge` also updates the columns that
    fixtures own, except of a row that an operator tuned (unless the wish overwrites those). Rows that are not
    declared are pruned only if the wish says so.
    """
    inserts: dict[str, list[Row]] = {table: [] for table in TABLES}
    updates: dict[str, list[Update]] = {table: [] for table in TABLES}
    prunes: dict[str, list[Row]] = {table: [] for table in TABLES}
    kept_tuned: list[Row] = []
    for table in TABLES:
        there = found.rows[table]
        for row in fixtures.rows[table]:
            now = there.get(str(row["id"]))
            if now is None:
                inserts[table].append(row)
            elif wish.mode is SeedMode.CONVERGE:
                tuned = is_tuned(now)
                change = _change(now, {**row, **NOT_TUNED} if tuned and wish.overwrite_tuned else row)
                if change is not None and tuned and not wish.overwrite_tuned:
                    kept_tuned.append(now)
                elif change is not None:
                    updates[table].append(change)
        if wish.prune:
            declared = {row["id"] for row in fixtures.rows[table]}
            prunes[table] = [row for identifier, row in there.items() if identifier not in declared]
    return Plan(_filled(inserts), _filled(updates), _filled(prunes), tuple(kept_tuned))


def is_tuned(row: Row) -> bool:
    """Whether an operator set this row's values."""
    return row.get("tuned_at") is not None


def _change(now: Row, wanted: Row) -> Update | None:
    columns = [column for column, value in wanted.items() if now[column] != value]
    if not columns:
        return None
    return Update(
        str(wanted["id"]),
        before={column: now[column] for column in columns},
        after={column: wanted[column] for column in columns},
    )


def _filled(by_table: Mapping[str, Sequence[Item]]) -> dict[str, tuple[Item, ...]]:
    return {table: tuple(items) for table, items in by_table.items() if items}


def contradictions(planned: Plan, found: Found) -> tuple[str, ...]:
    """Rows to insert whose natural key the database already has under another identifier.

    Only something else than a seed can have written such a row. Inserting beside it would fail, or make two
    rows of one thing; so a person decides.
    """
    texts: list[str] = []
    names = labels({table: rows.values() for table, rows in found.rows.items()})
    for table, rows in planned.inserts.items():
        taken = {_natural_key(table, row): row for row in found.rows[table].values()}
        for row in rows:
            other = taken.get(_natural_key(table, row))
            if other is not None:
                texts.append(
                    f"{names[str(other['id'])]} exists under the identifier {other['id']}, "
                    f"its fixture declares {row['id']}"
                )
    return tuple(texts)


def _natural_key(table: str, row: Row) -> tuple[str, ...]:
    return tuple(ids.normalised(str(row[column])) for column in NATURAL_KEYS[table])


class PruneRefusal(Enum):
    """Why rows are not pruned."""

    MEASURED = "measured"  # a station or sensor with measurements: history exists only where we keep it
    REFERRED_TO = "referred_to"  # a station with alerts or audited thresholds
    TUNED = "tuned"  # an operator's values would go
    TOO_MANY = "too_many"  # more rows than --max-prune allows


@dataclass(frozen=True)
class Refused:
    """A refusal and its sentence for people."""

    reason: PruneRefusal
    text: str


def prune_refusals(planned: Plan, found: Found, wish: Wish) -> tuple[Refused, ...]:
    """Every reason not to carry out the prunes of a plan; empty when they may go."""
    names = labels({table: rows.values() for table, rows in found.rows.items()})
    pruned = {str(row["id"]): row for rows in planned.prunes.values() for row in rows}
    refusals: list[Refused] = []
    for table, users in found.used_by.items():
        used = [names[identifier] for identifier in pruned if identifier in users]
        if used:
            reason = PruneRefusal.MEASURED if table == "measurement" else PruneRefusal.REFERRED_TO
            refusals.append(Refused(reason, f"rows of {table} refer to {_some(used)}"))
    tuned = [names[identifier] for identifier, row in pruned.items() if is_tuned(row)]
    if tuned and not wish.overwrite_tuned:
        refusals.append(
            Refused(
                PruneRefusal.TUNED,
                f"an operator tuned {_some(tuned)}; --overwrite-tuned would discard that",
            )
        )
    if len(pruned) > wish.max_prune:
        refusals.append(
            Refused(
                PruneRefusal.TOO_MANY,
                f"{len(pruned)} rows would be deleted ({_some([names[key] for key in pruned])}), and "
                f"--max-prune allows {wish.max_prune}",
            )
        )
    return tuple(refusals)


def _some(names: Iterable[str], limit: int = 8) -> str:
    """A few names, parents before children, and how many more there are."""
    ordered = sorted(names, key=lambda name: (TABLES.index(name.partition(" ")[0]), name))
    shown = ", ".join(ordered[:limit])
    return shown if len(ordered) <= limit else f"{shown} and {len(ordered) - limit} more"


def labels(by_table: Mapping[str, Iterable[Row]]) -> dict[str, str]:
    """What people call each row, by identifier: `station 2346`, `sensor 2346 DISCHARGE`."""
    short: dict[str, str] = {}  # without the table's word, as other rows refer to it
    names: dict[str, str] = {}
    for table in TABLES:
        for row in by_table[table]:
            identifier = str(row["id"])
            parts = (str(row[column]) for column in NATURAL_KEYS[table])
            short[identifier] = " ".join(short.get(part, part) for part in parts)
            names[identifier] = f"{table} {short[identifier]}"
    return names
