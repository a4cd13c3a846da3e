"""What can still be read of a store that is damaged or cannot be written, and is needed to go on."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from ..core.model import State
from . import evidence, heals, outbox, pages, remains, saved_state
from .heals import KEPT, HealRow
from .outbox import Queued
from .remains import Remains
from .timeline import stamp

Row = TypeVar("Row")


@dataclass(frozen=True)
class Salvaged:
    """What was read. Of a list that is not `whole` rows may be missing."""

    state: State | None = None
    heals: tuple[HealRow, ...] = ()
    heals_whole: bool = False
    queued: tuple[Queued, ...] = ()
    queued_whole: bool = False
    commits_lost: bool = False  # the last changes are in a log that cannot be read
    evidence: Remains = field(default_factory=Remains)

    @property
    def heals_known(self) -> bool:
        """Whether no heal of the last day is missing: the state and the list are written together."""
        return not self.commits_lost and (self.state is not None or self.heals_whole)


def salvage(path: Path, now: datetime) -> Salvaged:
    """Read what is sound in `path` and its log; changes neither. Raises nothing."""
    try:
        body, commits_lost = pages.image(path)
    except OSError:
        return Salvaged(commits_lost=True)
    if not body:  # which SQLite refuses
        return Salvaged(commits_lost=commits_lost)
    with closing(sqlite3.connect(":memory:")) as sqlite:
        try:
            sqlite.deserialize(body)
        except sqlite3.Error:
            return Salvaged(commits_lost=commits_lost)
        sqlite.row_factory = sqlite3.Row
        sqlite.text_factory = lambda text: text.decode("utf-8", "replace")
        bodies, _ = _read(sqlite, "SELECT one AS number, body FROM state", lambda row: str(row["body"]))
        begun, heals_whole = _read(sqlite, heals.SELECT, heals.heal_from)
        queued, queued_whole = _read(sqlite, outbox.SELECT, outbox.queued_from)
        pieces, pieces_whole = _read(sqlite, evidence.SELECT, remains.sound)
        anchors, anchor_whole = _read(sqlite, evidence.ANCHOR, evidence.anchor_from)
        attached, _ = _read(sqlite, evidence.ATTACHED, lambda row: (int(row["number"]), str(row["incident"])))
    return Salvaged(
        state=saved_state.readable(bodies[0]) if bodies else None,
        heals=tuple(heal for heal in begun if heal.reserved_at >= now - KEPT),
        heals_whole=heals_whole,
        queued=tuple({each.key: each for each in queued}.values()),
        queued_whole=queued_whole,
        commits_lost=commits_lost,
        evidence=Remains(
            tuple(pieces),
            pieces_whole and anchor_whole and not commits_lost,
            anchors[0] if anchors else None,
            tuple(attached),
        ),
    )


def put(sqlite: sqlite3.Connection, found: Salvaged, now: datetime) -> None:
    """Begin a new store with what was found, in an open transaction."""
    sqlite.execute(
        "INSERT INTO salvage (one, at, heals_unknown) VALUES (1, ?, ?)", (stamp(now), not found.heals_known)
    )
    if found.state is not None:
        saved_state.write(sqlite, found.state, now)
    for heal in found.heals:
        heals.insert(sqlite, heal)
    for queued in found.queued:
        outbox.insert(sqlite, queued)
    remains.put(sqlite, found.evidence, now)


def told(found: Salvaged) -> str:
    """What was taken over and what may be lost, in sentences for people."""
    undelivered = _counted(len(found.queued), "undelivered notification")
    begun = _counted(len(found.heals), "heal")
    state = "the saved state" if found.state else "no saved state"
    sentences = [f"Taken over: {undelivered}, {begun} of the last day, {state}."]
    if not found.queued_whole or found.commits_lost:
        sentences.append("Other undelivered notifications may be lost.")
    if not found.evidence.whole:
        sentences.append("Evidence may be missing: `alpimonitor incident verify` says what.")
    if found.state is None:
        sentences.append("If an operator had held or paused healing, that is lost: say it again.")
    if not found.heals_known:
        sentences.append("Heals may be missing in the budget: none runs until its window has passed.")
    return " ".join(sentences)


def _read(sqlite: sqlite3.Connection, select: str, made: Callable[[Any], Row]) -> tuple[list[Row], bool]:
    """Each row that is sound, in order, and whether all are: from both ends up to the damage."""
    found: dict[int, Row] = {}
    whole = True
    for direction in ("ASC", "DESC"):
        try:
            for row in sqlite.execute(f"{select} ORDER BY number {direction}"):
                try:
                    found[int(row["number"])] = made(row)
                except (ValueError, TypeError):
                    whole = False
        except sqlite3.Error:
            whole = False
        if whole:
            break
    return [found[number] for number in sorted(found)], whole


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
