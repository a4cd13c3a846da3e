"""The last good state: what a loss and a change are measured against. Kept outside the guarded database.

A change that lost no row becomes the last good state by itself when it has stayed for a while; a loss does so
only by an operator's word.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from .fingerprint import Fingerprint, Identity
from .seen import DatabaseSeen, Expectation, TableExpected, TableSeen


@dataclass(frozen=True)
class TableGood:
    """A context table of the last good state. `rows` None: it was gone, and that was accepted."""

    name: str
    rows: int | None
    content: str | None = None
    accepted: bool = False  # an operator accepted fewer rows than are declared


@dataclass(frozen=True)
class LastGood:
    """When it was seen, in which database, and what its context tables held."""

    at: datetime
    identity: Identity | None = None
    tables: tuple[TableGood, ...] = ()
    fingerprint: Fingerprint | None = None  # the last one that was taken while it was so
    arming: str = ""  # of the flight recorder, when it was armed; "": it was not

    def table(self, name: str) -> TableGood | None:
        return next((table for table in self.tables if table.name == name), None)


@dataclass(frozen=True)
class Candidate:
    """An unexplained change that lost no row, and since when it has stayed as it is."""

    tables: tuple[TableGood, ...]
    since_lived: float


def expected_now(declared: TableExpected, good: LastGood | None) -> TableExpected:
    """What `declared` has to hold: what an operator accepted, else what was last good if that was more."""
    last = good.table(declared.name) if good else None
    if last is None:
        return declared
    if last.accepted:
        rows = last.rows or 0
        return replace(declared, floor=min(declared.floor, rows), expected=min(declared.expected, rows))
    return replace(declared, expected=max(declared.expected, last.rows or 0))


def present(database: DatabaseSeen, expected: Expectation) -> tuple[TableGood, ...] | None:
    """The context as it is seen now; None when a part of it cannot be."""
    by_name = {table.name: table for table in database.tables}
    tables = []
    for declared in expected.tables:
        if declared.context:
            seen = by_name.get(declared.name)
            if database.unseen is not None or seen is None or _hidden(seen):
                return None
            tables.append(
                TableGood(
                    declared.name,
                    rows=seen.rows,
                    content=seen.content,
                    accepted=_too_few(declared, seen),
                )
            )
    return tuple(tables)


def changed(good: LastGood, database: DatabaseSeen) -> dict[str, str]:
    """The context tables that are seen and are not as they last were good; by name, how they differ."""
    found = {}
    for table in database.tables:
        last = good.table(table.name)
        if last is None or _hidden(table) or not table.exists or last.rows is None:
            continue
        if table.rows != last.rows:
            found[table.name] = f"{table.name} {table.rows} rows, was {last.rows}"
        elif not _alike(table.content, last.content):
            found[table.name] = f"{table.name} other values"
    return found


def stays(now: tuple[TableGood, ...], before: tuple[TableGood, ...]) -> bool:
    """Whether two looks saw the same; a content that was not taken is no difference."""
    return len(now) == len(before) and all(
        (table.name, table.rows) == (other.name, other.rows) and _alike(table.content, other.content)
        for table, other in zip(now, before, strict=True)
    )


def absorb(good: LastGood, now: tuple[TableGood, ...], at: datetime) -> LastGood:
    """Each table as it is now, unless it has fewer rows than were good: nobody accepted that."""
    tables = tuple(_the_fuller(table, good.table(table.name)) for table in now)
    return good if tables == good.tables else replace(good, at=at, tables=tables)


def learn(good: LastGood, now: tuple[TableGood, ...], explained: frozenset[str], at: datetime) -> LastGood:
    """Other values in as many rows are good at once where it is known who wrote them."""
    by_name = {table.name: table for table in now}
    tables = tuple(
        by_name[last.name]
        if last.name in explained
        and last.name in by_name
        and by_name[last.name].rows == last.rows
        and not _alike(by_name[last.name].content, last.content)
        else last
        for last in good.tables
    )
    return good if tables == good.tables else replace(good, at=at, tables=tables)


def follow(
    good: LastGood,
    candidate: Candidate | None,
    now: tuple[TableGood, ...],
    *,
    at: datetime,
    lived: float,
    accept_after: float,
) -> tuple[LastGood, Candidate | None]:
    """A look that saw the whole context: what is last good after it, and which change has to stay."""
    if stays(now, good.tables):
        if now != good.tables:  # a content that was not known, or that another server version took
            good = absorb(good, now, good.at)
        return good, None
    if candidate is None or not stays(now, candidate.tables):
        return good, Candidate(now, lived)
    candidate = replace(candidate, tables=tuple(map(_with_content, now, candidate.tables)))
    if lived - candidate.since_lived < accept_after:
        return good, candidate
    return absorb(good, now, at), candidate if _loses(now, good) else None


def _the_fuller(now: TableGood, last: TableGood | None) -> TableGood:
    if last is None:
        return now
    return last if _fewer(now, last) else _with_content(now, last)


def _with_content(now: TableGood, last: TableGood) -> TableGood:
    """`now`; with as many rows as before and no content taken, the content that is known."""
    return replace(now, content=last.content) if now.content is None and now.rows == last.rows else now


def _too_few(declared: TableExpected, seen: TableSeen) -> bool:
    """Fewer rows than are declared: good only where an operator says so."""
    if not seen.exists or seen.rows is None:
        return True
    return not seen.capped and (seen.rows < declared.floor or seen.rows == 0 < declared.expected)


def _loses(now: Iterable[TableGood], good: LastGood) -> bool:
    return any((last := good.table(table.name)) is not None and _fewer(table, last) for table in now)


def _fewer(now: TableGood, last: TableGood) -> bool:
    return last.rows is not None and (now.rows is None or now.rows < last.rows)


def _hidden(table: TableSeen) -> bool:
    return table.unseen is not None or (table.exists and table.rows is None)


def _alike(content: str | None, other: str | None) -> bool:
    """Whether two contents, "count:hash:server version", may be the same: each version hashes in its way."""
    if content is None or other is None or _version(content) != _version(other):
        return True
    return content == other


def _version(content: str) -> str:
    return content.rpartition(":")[2] if ":" in content else ""
