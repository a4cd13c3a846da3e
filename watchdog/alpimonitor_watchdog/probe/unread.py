"""Which recorded events were not read yet, by the snapshots of looks: as spans of transactions. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

_NEWEST = 2**63 - 1


class Snapshot(NamedTuple):
    """What `xmin:xmax:in progress` says: it shows all below `end`, but for what was in progress."""

    begin: int
    end: int
    in_progress: tuple[int, ...]  # in ascending order

    @classmethod
    def of(cls, written: str) -> Snapshot:
        begin, end, in_progress = written.split(":")
        return cls(int(begin), int(end), tuple(int(number) for number in in_progress.split(",") if number))


class Span(NamedTuple):
    """Transactions `first` to `last`, of the first one the events with ids above `after`."""

    first: int
    last: int
    after: int = 0


@dataclass(frozen=True)
class Position:
    """What was read: all that the snapshot `known` shows; of what `reading` shows, all up to `after`."""

    known: str
    reading: str | None = None  # None: all that was to be read was read
    after: tuple[int, int] = (0, 0)  # transaction and id: the order in which events are read

    @classmethod
    def at(cls, cursor: int) -> Position:
        return cls(f"{cursor}:{cursor}:")

    @property
    def cursor(self) -> int:
        return Snapshot.of(self.known).begin

    def unread(self) -> list[Span]:
        """In ascending order, disjoint. What `known` does not show was in progress then, or began later.

        A span of one transaction may be one that is in progress still.
        """
        transaction, event = self.after
        return [
            span if span.first > transaction else Span(transaction, span.last, event)
            for span in self._spans()
            if span.last >= transaction
        ]

    def next(self, snapshot: str, newest: tuple[int, int] | None, *, in_recovery: bool) -> Position:
        """After a page that was read in `snapshot`. `newest`: where it ended; None: it was the last one.

        The snapshots of a standby do not list what is in progress: all that may have been is read again.
        """
        reading = self.reading or snapshot
        if newest is not None:
            return replace(self, reading=reading, after=newest)
        return Position.at(Snapshot.of(reading).begin) if in_recovery else Position(reading)

    def _spans(self) -> Iterator[Span]:
        known = Snapshot.of(self.known)
        reading = Snapshot.of(self.reading) if self.reading is not None else None
        hidden = reading.in_progress if reading is not None else ()
        for number in known.in_progress:
            if number not in hidden:
                yield Span(number, number)
        first = known.end
        for number in hidden:
            if number > first:
                yield Span(first, number - 1)
            first = max(first, number + 1)
        last = reading.end - 1 if reading is not None else _NEWEST
        if first <= last:
            yield Span(first, last)
