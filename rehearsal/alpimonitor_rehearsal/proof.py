"""Pure: what a scenario has to show, and what of it did not hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from alpimonitor_rehearsal.scenarios import Heals
from alpimonitor_rehearsal.sightings import ApiSeen, Seen, counted
from alpimonitor_rehearsal.story import PAGE, Story, damage, plural, whole


@dataclass(frozen=True)
class Unmet:
    """Something that the scenario has to show and did not show."""

    expected: str
    seen: str


def unmet(story: Story, seen: Seen) -> tuple[Unmet, ...]:
    """What does not hold, given the story until `seen`; empty when all does. There has been a wipe."""
    ending = _stopped if story.scenario.heals is Heals.UNTIL_THE_CIRCUIT_OPENS else _healed
    return (*_noticed(story, seen), *ending(story, seen))


def verified(story: Story, seen: Seen) -> bool:
    """Whether the context is back for good: by the sidecar's proof, and by SQL and /stations right now."""
    return bool(story.rounds) and story.rounds[-1].proven is not None and whole(story.healthy, seen)


def _noticed(story: Story, seen: Seen) -> Iterator[Unmet]:
    first = story.rounds[0]
    before = counted(story.healthy.rows)
    spared = [table for table in story.scenario.scope if first.left[table] >= before[table]]
    if spared:
        yield Unmet(
            f"psql takes rows from {', '.join(story.scenario.scope)}",
            f"{', '.join(spared)} lost none: it {damage(story, first)}",
        )
    if first.consumers is None:
        wanted = "503 CONTEXT_EMPTY" if "station" in story.scenario.scope else "every station, as before"
        yield Unmet(f"the API answers {wanted}", f"its last answer: {api(seen.api)}")
    if first.detected is None:
        yield Unmet(f"the sidecar's /metrics says {story.scenario.symptom} is open", _metrics(seen))
    if story.notified is None:
        yield Unmet("a notification reaches the pager", _received(story, seen))


def _healed(story: Story, seen: Seen) -> Iterator[Unmet]:
    last = story.rounds[-1]
    if last.restored is None:
        yield Unmet("every row and station comes back, equal to before", _difference(story, seen))
    elif not whole(story.healthy, seen):
        yield Unmet("what was restored stays", _difference(story, seen))
    if last.proven is None:
        yield Unmet("the sidecar proves that the context is restored", _incident(story, seen))
    if last.resolved is None:
        yield Unmet("the sidecar resolves the incident", _incident(story, seen))


def _stopped(story: Story, seen: Seen) -> Iterator[Unmet]:
    if story.heals != story.heal_budget:
        yield Unmet(f"the budget is spent: {plural(story.heal_budget, 'heal')}", plural(story.heals, "heal"))
    if story.circuit_opened is None:
        yield Unmet("watchdog_heal_circuit_open is 1", _metrics(seen))
    # A page about an earlier wipe said that the sidecar would heal it: nobody has been called for this one.
    last = story.rounds[-1].wiped
    if not any(receipt.channel == PAGE and receipt.monotonic >= last for receipt in story.receipts):
        yield Unmet(f"a person is paged: a receipt on the channel {PAGE}", _received(story, seen))
    if story.left_alone is None:
        yield Unmet(
            f"then no heal runs for {story.patience:g} s", "the time was not over, or healing went on"
        )
    if seen.rows is None or any(seen.rows[table] for table in story.scenario.scope):
        yield Unmet("the tables are left empty", _difference(story, seen))


def api(answer: ApiSeen) -> str:
    """An answer to /stations in a few words."""
    if answer.status is None:
        return f"none ({answer.error})"
    if answer.stations is not None:
        return f"{answer.status} with {plural(len(answer.stations), 'station')}"
    return f"{answer.status} {answer.error}"


def _metrics(seen: Seen) -> str:
    if seen.sidecar is None:
        return "the sidecar does not answer"
    symptoms = ", ".join(sorted(seen.sidecar.open)) or "none"
    return (
        f"watchdog_up {int(seen.sidecar.up)}, open symptoms: {symptoms}, "
        f"{plural(seen.sidecar.heals, 'heal')}, circuit {'open' if seen.sidecar.circuit_open else 'closed'}"
    )


def _received(story: Story, seen: Seen) -> str:
    if seen.receipts is None:
        return "the pager does not answer"
    return (
        "; ".join(f"{receipt.channel}: {receipt.title}" for receipt in story.receipts)
        or "it received nothing"
    )


def _incident(story: Story, seen: Seen) -> str:
    if seen.sidecar is None:
        return "the sidecar does not answer"
    for incident in seen.sidecar.incidents:
        if incident.id == story.incident:
            return f"incident {incident.id} in phase {incident.phase}"
    return "it lists no incident"


def _difference(story: Story, seen: Seen) -> str:
    parts = []
    if seen.rows is None:
        parts.append("the tables cannot be read")
    elif seen.rows != story.healthy.rows:
        wanted, found = counted(story.healthy.rows), counted(seen.rows)
        tables = [
            f"{table} {found[table]}/{wanted[table]}"
            + (" (values differ)" if found[table] == wanted[table] else "")
            for table in wanted
            if seen.rows[table] != story.healthy.rows[table]
        ]
        parts.append(", ".join(tables))
    else:
        parts.append("every row is there")
    parts.append(f"/stations: {api(seen.api)}")
    return "; ".join(parts)
