"""The chain that evidence is kept in: each row's hash covers the row and the hash of the one before it.

The hash is sha256, in lower-case hexadecimal, of the UTF-8 text of this JSON array, without spaces and with
characters beyond ASCII as they are:

    [previous, id, at, kind, incident, key, body]

with `id` a number, `incident` and `key` texts or null, and `body` a text: the row's JSON as it is stored.
`previous` of the first row of all is 64 zeros. Whoever changes, takes away, adds or reorders rows has to
compute every hash after that anew; a head that left the machine before, in a notification, then shows it.

Rows that a damaged store has lost are no break where a later row of kind "gap" names them under "lost".
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

GENESIS = "0" * 64


class EvidenceKind(StrEnum):
    """What a piece of evidence is."""

    EVENT = "event"  # a row of the flight recorder
    FINGERPRINT = "fingerprint"
    ACTIVITY = "activity"  # who was connected
    RECORD = "record"  # a row of an evidence query
    VERDICT = "verdict"
    GAP = "gap"  # what was not recorded, copied or kept


@dataclass(frozen=True)
class EvidenceRow:
    """A row of the chain, as it is stored. Each may hold anything where somebody changed it."""

    id: int
    at: str
    kind: str
    incident: str | None
    key: str | None
    body: str
    previous: str
    hash: str


@dataclass(frozen=True)
class Head:
    """The end of the chain. `count`: how many rows it ever had, pruned and lost ones too."""

    hash: str = GENESIS
    count: int = 0


@dataclass(frozen=True)
class Anchor:
    """The row before the first that is kept: the last one pruned. Without pruning: none, with id 0."""

    id: int = 0
    hash: str = GENESIS
    pieces: int = 0
    until: str | None = None

    @property
    def head(self) -> Head:
        return Head(self.hash, self.id)


@dataclass(frozen=True)
class Broken:
    """A link that does not hold. `what`: "hash", "previous" or "id" of row `id`."""

    id: int
    what: str
    expected: str
    found: str

    def __str__(self) -> str:
        expected, found = self.expected, self.found
        match self.what:
            case "hash":
                return f"row {self.id}: its hash is {found}, and of what it holds it would be {expected}"
            case "previous":
                return f"row {self.id}: it follows {found}, and the row before it is {expected}"
            case _:
                return f"row {self.id}: row {expected} should stand in its place"


@dataclass(frozen=True)
class Verified:
    """What became of a chain. It holds where nothing in it is `broken`."""

    rows: int
    head: Head
    broken: tuple[Broken, ...]
    lost: tuple[tuple[int, int], ...]  # first and last id of what a damaged store lost, and said so
    sought_at: int | None = None  # id of the row with the hash that was sought; of the anchor, too

    @property
    def holds(self) -> bool:
        return not self.broken

    @property
    def after_sought(self) -> int:
        """How many rows came after the one that was sought."""
        return self.head.count - self.sought_at if self.sought_at is not None else 0


def canonical(value: Any) -> str:
    """JSON with sorted keys and without spaces; times in UTC.

    Never fails for want of an encoding: half a character becomes a question mark.
    """
    text = json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "replace").decode("utf-8")


def linked(
    head: Head, *, at: str, kind: str, incident: str | None, key: str | None, body: str
) -> EvidenceRow:
    """The row that follows `head`."""
    id = head.count + 1
    return EvidenceRow(
        id, at, kind, incident, key, body, head.hash, digest(head.hash, id, at, kind, incident, key, body)
    )


def digest(
    previous: str, id: int, at: str, kind: str, incident: str | None, key: str | None, body: str
) -> str:
    """The hash of a row. Raises TypeError or ValueError of what no row can hold."""
    preimage = json.dumps(
        [previous, id, at, kind, incident, key, body], separators=(",", ":"), ensure_ascii=False
    )
    return hashlib.sha256(preimage.encode()).hexdigest()


def digest_of(row: EvidenceRow) -> str | None:
    """The hash that `row` should have; None where it holds what no row can."""
    try:
        return digest(row.previous, row.id, row.at, row.kind, row.incident, row.key, row.body)
    except (TypeError, ValueError):
        return None


def verify(anchor: Anchor, rows: Iterable[EvidenceRow], sought: str | None = None) -> Verified:
    """Compute every hash of `rows`, in the order of their ids, anew. `sought`: a hash, or how one begins."""
    count = 0
    before = anchor.head
    broken: list[Broken] = []
    missing: dict[tuple[int, int], Broken] = {}
    lost: set[tuple[int, int]] = set()
    sought_at = anchor.id if sought is not None and anchor.hash.startswith(sought) else None
    for row in rows:
        count += 1
        computed = digest_of(row)
        if row.id != before.count + 1:
            missing[before.count + 1, row.id - 1] = Broken(row.id, "id", str(before.count + 1), str(row.id))
        elif row.previous != before.hash:
            broken.append(Broken(row.id, "previous", before.hash, str(row.previous)))
        if computed != row.hash:
            broken.append(Broken(row.id, "hash", computed or "none", str(row.hash)))
        elif row.kind == EvidenceKind.GAP:
            lost |= set(_lost(row.body)) & missing.keys()
        if sought is not None and str(row.hash).startswith(sought):
            sought_at = row.id
        before = Head(str(row.hash), row.id)
    broken += [link for ids, link in missing.items() if ids not in lost]
    return Verified(
        count,
        before,
        tuple(sorted(broken, key=lambda link: link.id)),
        tuple(sorted(lost)),
        sought_at,
    )


def holes(anchor: Anchor, rows: Iterable[EvidenceRow]) -> Iterator[tuple[int, int]]:
    """First and last id of what is missing before each row."""
    before = anchor.id
    for row in rows:
        if row.id != before + 1:
            yield before + 1, row.id - 1
        before = row.id


def _lost(body: str) -> Iterator[tuple[int, int]]:
    """What a gap says was lost; nothing where it says it in no way that this version writes."""
    try:
        for first, last in json.loads(body)["lost"]:
            yield int(first), int(last)
    except (LookupError, TypeError, ValueError):
        return


def _plain(value: Any) -> Any:
    """`value` in what JSON has."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value
