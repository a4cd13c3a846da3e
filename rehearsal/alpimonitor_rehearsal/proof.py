"""Pure: what a scenario has to show, and what of it did not hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from alpimonitor_rehearsal.scenarios import Heals
from alpimonitor_rehearsal.sightings import FIRST, SECOND, ApiSeen, Seen, counted
from alpimonitor_rehearsal.story import PAGE, Story, damage, plural, whole
from alpimonitor_rehearsal.takeover import keys, leader


@dataclass(frozen=True)
class Unmet:
    """Something that the scenario has to show and did not show."""

    expected: str
    seen: str


def unmet(story: Story, seen: Seen) -> tuple[Unmet, ...]:
    """What does not hold, given the story until `seen`; empty when all does. There has been a wipe."""
    endings = {
        Heals.ONCE: _healed,
        Heals.UNTIL_THE_CIRCUIT_OPENS: _stopped,
        Heals.BY_ANOTHER: _taken_over,
    }
    return (*_noticed(story, seen), *endings[story.scenario.heals](story, seen))


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
    yield from _named(story)
    if story.notified is None:
        yield Unmet("a notification reaches the pager", _received(story, seen))


def _named(story: Story) -> Iterator[Unmet]:
    """The verdict, and the session that psql was: each wipe is a session of its own."""
    last, scenario = story.rounds[-1], story.scenario
    wanted = scenario.attribution
    if scenario.verdict is not None and last.verdict != scenario.verdict.value:
        yield Unmet(f"the sidecar concludes {scenario.verdict.value}", last.verdict or "nothing is concluded")
    if wanted is None:
        return
    named = last.session
    if (
        named is None
        or not named.application_name.startswith(wanted.application_name)
        or not named.statement.startswith(wanted.statement)
        or named.role != wanted.role
    ):
        yield Unmet(
            f"the sidecar names the session: role {wanted.role}, application {wanted.application_name}, "
            f"by a statement that begins {wanted.statement}",
            f"{named}, {named.statement[:40]!r}" if named else "no session is named",
        )


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


def _taken_over(story: Story, seen: Seen) -> Iterator[Unmet]:
    yield from _healed(story, seen)
    takeover = story.takeover
    if takeover is None:
        yield Unmet("two sidecars watch", "there is one")
        return
    if takeover.leader_before != FIRST:
        yield Unmet("at first the first sidecar leads", f"leader: {takeover.leader_before or 'none'}")
    if takeover.cut is None:
        yield Unmet("the first sidecar opens an incident, and is cut off then", _of_first(seen))
    if takeover.taken_over is None:
        yield Unmet("the second sidecar takes over", f"leader: {leader(seen) or 'none'}")
    if takeover.heals_of_first:
        yield Unmet("the first sidecar heals nothing", plural(takeover.heals_of_first, "heal"))
    recorded = [heal.by for heal in seen.recorded or ()]
    if recorded != [SECOND]:
        found = "it cannot be read" if seen.recorded is None else ", ".join(recorded) or "none"
        yield Unmet("the ledger in the database holds one heal, by the second sidecar", found)
    for kind in ("opened", "resolved"):
        told = keys(story.receipts, kind)
        if set(told) != {FIRST, SECOND} or len(set(told.values())) != 1:
            found = ", ".join(f"{name}: {key}" for name, key in told.items()) or "none"
            yield Unmet(f"both sidecars tell under one key that the incident is {kind}", found)
    if takeover.whole is None or takeover.follows is None or takeover.resolved is None:
        yield Unmet(
            "after the partition the first sidecar sees the rows whole, follows, and resolves its incident",
            _of_first(seen),
        )
    elif leader(seen) != SECOND:
        yield Unmet("in the end the second sidecar leads", f"leader: {leader(seen) or 'none'}")


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


def _of_first(seen: Seen) -> str:
    first = seen.first
    if first is None:
        return "the first sidecar does not answer"
    sees = "sees every row" if first.whole else "does not see every row"
    stands = "leads" if first.leads else "follows" if first.follows else "neither leads nor follows"
    phase = first.incidents[0].phase if first.incidents else "none"
    return f"it {sees}, {stands}; its last incident: {phase}"


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
