"""Pure: two sidecars watch, the first is cut off from the database in mid-incident, the second takes over."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from alpimonitor_rehearsal.scenarios import Symptom
from alpimonitor_rehearsal.sightings import FIRST, SECOND, Receipt, Seen, SidecarSeen


@dataclass(frozen=True)
class Takeover:
    """When what was first seen, in monotonic seconds; None: never so far."""

    leader_before: str | None  # FIRST, SECOND, or None: neither of them alone
    known: frozenset[str] = frozenset()  # the first one's incidents from before
    opened: float | None = None  # the first one's incident
    cut: float | None = None  # since then no byte passes between the first and the database
    gave_up: float | None = None  # the first no longer says that it leads
    taken_over: float | None = None  # the second leads
    mended: float | None = None  # bytes pass again
    whole: float | None = None  # the first sees every row again
    follows: float | None = None  # the first knows that the second leads
    resolved: float | None = None  # the first one's incident
    recorded: float | None = None  # a heal, in the ledger of the database
    recorded_by: str = ""
    heals_of_first: int = 0


def leader(seen: Seen) -> str | None:
    """Which of the two says that it leads, and the other that it does not."""
    leads = [name for name, one in watchers(seen).items() if one.leads]
    return leads[0] if len(leads) == 1 else None


def watchers(seen: Seen) -> dict[str, SidecarSeen]:
    """Those of the two that answer."""
    both = {FIRST: seen.first, SECOND: seen.sidecar}
    return {name: one for name, one in both.items() if one is not None}


def continued(takeover: Takeover, seen: Seen, symptom: Symptom | None) -> Takeover:
    """The same with what `seen` adds to it. What has happened stays."""

    def since(already: float | None, now: bool, at: float) -> float | None:
        return at if already is None and now else already

    if seen.sidecar is not None:
        cut = takeover.cut is not None
        takeover = replace(
            takeover,
            taken_over=since(takeover.taken_over, cut and seen.sidecar.leads, seen.sidecar.at),
        )
    if seen.recorded and takeover.recorded is None:
        takeover = replace(takeover, recorded=seen.at, recorded_by=seen.recorded[0].by)
    first = seen.first
    if first is None:
        return takeover
    mended = takeover.mended is not None
    resolved = any(incident.resolved for incident in first.incidents if incident.id not in takeover.known)
    return replace(
        takeover,
        opened=since(takeover.opened, symptom in first.open, first.at),
        gave_up=since(takeover.gave_up, takeover.cut is not None and not first.leads, first.at),
        whole=since(takeover.whole, mended and first.up and first.whole, first.at),
        follows=since(takeover.follows, mended and first.follows, first.at),
        resolved=since(takeover.resolved, resolved and not first.open, first.at),
        heals_of_first=max(takeover.heals_of_first, first.heals),
    )


def keys(receipts: Iterable[Receipt], kind: str) -> dict[str, str]:
    """Under which incident key each sidecar told `kind` ("opened", "resolved") first, as the pager has it."""
    found: dict[str, str] = {}
    for receipt in receipts:
        # <incident's key>-<kind>-<its number>-<channel>; neither of the last three holds a dash
        key, _, told = receipt.key.rpartition(f"-{kind}-")
        if key and told.count("-") == 1:
            found.setdefault(receipt.sender, key)
    return found


def news(before: Takeover, after: Takeover) -> list[tuple[str, float]]:
    """A sentence, and its moment, for everything that is in `after` and not in `before`."""
    sentences = {
        "opened": "the first sidecar, which leads, has opened its incident",
        "cut": "cut off: nothing passes between the first sidecar and the database, not even the end of a "
        "connection; the programs of its heal would still get through",
        "gave_up": "the first sidecar's page says that it does not lead any more",
        "taken_over": "the second sidecar leads",
        "recorded": f"the ledger in the database records a heal, by the {after.recorded_by} sidecar",
        "mended": "the partition is over",
        "whole": "the first sidecar sees every row again",
        "follows": "the first sidecar follows: it knows that the second one leads",
        "resolved": "the first sidecar has resolved its incident"
        + ("" if after.heals_of_first else ", without a heal of its own"),
    }
    return [
        (sentence, at)
        for name, sentence in sentences.items()
        if (at := getattr(after, name)) is not None and getattr(before, name) is None
    ]
