"""Which tables are context, and which are operational: a judgement that a person has to read. Pure.

Context is what everything else needs and nobody writes in passing: few rows, little churn, referenced. What
is taken for context and is not gives false notifications; what is taken for operational and is not gives none
at all. So each judgement says why, in the file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from .found import Found, TableFound

Kind = Literal["context", "operational"]
_FEW = 1_000  # rows that people would still have put there on purpose
_CHURN = 100  # rows deleted, below which nothing is said to come and go
_LOG = re.compile(
    r"(log|audit|event|session|job|queue|task|token|run|attempt|metric|message|notification)s?"
    r"|outbox|inbox|history|cache"
)
_OF_THE_ROW = re.compile(
    r"(created|inserted|updated|modified|lastmodified|deleted)(at|on)?|date(created|updated)"
)
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


class Why(StrEnum):
    """What a judgement rests on. The value is stable; the sentence is the judgement's own."""

    CAPPED = "capped"
    UNLOGGED = "unlogged"
    EMPTY = "empty"
    EMPTY_REFERENCED = "empty_referenced"
    CHURN = "churn"
    LOG_NAME = "log_name"
    TIME_SERIES = "time_series"
    MANY = "many"
    BELONGS = "belongs"
    REFERENCED = "referenced"
    JOINS = "joins"
    SMALL = "small"


@dataclass(frozen=True)
class Judgement:
    kind: Kind
    why: Why
    sentence: str


def judged(found: Found) -> dict[int, Judgement]:
    """A judgement for each table that was counted, by oid."""
    counted = {table.oid: table for table in found.tables if table.rows is not None}
    references = {
        oid: frozenset(key.referenced for key in found.foreign_keys if key.referencing == oid)
        for oid in counted
    }
    referenced_by = {
        oid: len({key.referencing for key in found.foreign_keys if key.referenced == oid}) for oid in counted
    }
    judgements = {
        oid: _alone(table, referenced_by[oid], len(references[oid]), found.limit)
        for oid, table in counted.items()
    }
    return _with_what_they_belong_to(found, counted, judgements)


def _alone(table: TableFound, referenced_by: int, references: int, limit: int) -> Judgement:
    """By what is known of one table and the number of those around it."""
    rows = table.rows or 0
    if table.capped:
        return Judgement(
            "operational",
            Why.CAPPED,
            f"more than {limit} rows; to guard it, raise count_limit and declare it",
        )
    if table.unlogged:
        return Judgement("operational", Why.UNLOGGED, "unlogged: a crash of PostgreSQL empties it by itself")
    if rows == 0 and referenced_by:
        return Judgement("context", Why.EMPTY_REFERENCED, f"empty, and {_refer(referenced_by)} to it")
    if rows == 0:
        return Judgement("operational", Why.EMPTY, "empty, and nothing refers to it")
    if table.deleted >= _CHURN and table.deleted > 2 * rows:
        return Judgement(
            "operational",
            Why.CHURN,
            f"rows come and go, as in a queue: {table.deleted} were deleted, {rows} are there",
        )
    if log := _log_word(table.name):
        return Judgement("operational", Why.LOG_NAME, f"its name speaks of a log or a queue ({log})")
    if not referenced_by and (moment := _moment(table)) is not None:
        return Judgement(
            "operational",
            Why.TIME_SERIES,
            f"a time series: each row has its moment ({moment}), nothing refers to it",
        )
    if not referenced_by and rows > _FEW:
        return Judgement("operational", Why.MANY, f"{rows} rows, and nothing refers to them")
    if referenced_by:
        return Judgement("context", Why.REFERENCED, f"little churn, and {_refer(referenced_by)} to it")
    if references > 1:
        return Judgement("context", Why.JOINS, f"few rows, little churn; it joins {references} tables")
    return Judgement("context", Why.SMALL, "few rows, little churn")


def _with_what_they_belong_to(
    found: Found, counted: Mapping[int, TableFound], judgements: dict[int, Judgement]
) -> dict[int, Judgement]:
    """Rows that have to point to operational rows cannot be put back without them: operational as well."""
    changed = True
    while changed:
        changed = False
        for key in found.foreign_keys:
            child, parent = judgements.get(key.referencing), judgements.get(key.referenced)
            if not key.required or child is None or parent is None:
                continue
            if child.kind == "context" and parent.kind == "operational":
                belongs = f"its rows belong to rows of {counted[key.referenced].name}, which is operational"
                judgements = {**judgements, key.referencing: Judgement("operational", Why.BELONGS, belongs)}
                changed = True
    return judgements


def _log_word(name: str) -> str | None:
    words = (word.lower() for word in _WORDS.findall(name))
    return next((word for word in words if _LOG.fullmatch(word)), None)


def _moment(table: TableFound) -> str | None:
    """A column with the moment of what the row tells, and not only of the row's own making."""
    return next(
        (name for name in table.moments if not _OF_THE_ROW.fullmatch(name.lower().replace("_", ""))), None
    )


def _refer(tables: int) -> str:
    return "1 table refers" if tables == 1 else f"{tables} tables refer"
