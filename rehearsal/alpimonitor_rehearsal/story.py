"""Pure: from what was seen from outside to the beats of a story.

A round is one wipe and what followed. Times are monotonic seconds of this machine; the story's clock starts
at the exit of the first psql.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from alpimonitor_rehearsal import takeover
from alpimonitor_rehearsal.scenarios import Heals, Scenario
from alpimonitor_rehearsal.sightings import (
    IncidentSeen,
    Receipt,
    Rows,
    Seen,
    Session,
    SidecarSeen,
    Station,
    counted,
)
from alpimonitor_rehearsal.takeover import Takeover

NOTIFY, PAGE = "notify", "page"
"""The channels of the demo's sidecar, which are paths of its pager."""


@dataclass(frozen=True)
class Beat:
    """A line of the story, and what is shown indented below it. `at` is monotonic, or None."""

    text: str
    at: float | None = None
    body: tuple[str, ...] = ()
    failed: bool = False


@dataclass(frozen=True)
class Healthy:
    """How everything was before anything was broken: what it has to become again."""

    stations: frozenset[Station]
    rows: Rows
    receipts: int = 0  # notifications that had arrived by then
    incidents: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Round:
    """One wipe, and when what followed was first seen."""

    wiped: float
    left: Mapping[str, int]  # rows of each table right after psql's exit
    by: str  # role and application_name of the session
    consumers: float | None = None  # saw what the API makes of it
    detected: float | None = None
    restored: float | None = None
    proven: float | None = None
    resolved: float | None = None
    named: float | None = None
    session: Session | None = None  # who did it, as the sidecar says
    verdict: str | None = None  # what happened, as the sidecar says


@dataclass(frozen=True)
class Story:
    """What has happened so far. `patience`: seconds without a heal that show that healing has stopped."""

    scenario: Scenario
    healthy: Healthy
    heal_budget: int
    patience: float
    rounds: tuple[Round, ...] = ()
    receipts: tuple[Receipt, ...] = ()  # since the first wipe
    incident: str | None = None  # the newest one since the first wipe
    heals: int = 0
    circuit_opened: float | None = None
    left_alone: float | None = None
    takeover: Takeover | None = None  # where there are two sidecars

    @property
    def zero(self) -> float:
        return self.rounds[0].wiped

    @property
    def notified(self) -> float | None:
        return next((receipt.monotonic for receipt in self.receipts if receipt.channel == NOTIFY), None)

    @property
    def paged(self) -> float | None:
        return next((receipt.monotonic for receipt in self.receipts if receipt.channel == PAGE), None)

    @property
    def to_be_wiped_again(self) -> bool:
        """Not before it is resolved: ingestion still writes rows, which keep psql from deleting sensors."""
        return (
            self.scenario.heals is Heals.UNTIL_THE_CIRCUIT_OPENS
            and self.circuit_opened is None
            and self.rounds[-1].resolved is not None
        )

    @property
    def to_be_cut_off(self) -> bool:
        """The first sidecar leads, and has an incident that it would heal."""
        return self.takeover is not None and self.takeover.opened is not None and self.takeover.cut is None

    @property
    def to_be_mended(self) -> bool:
        """The second sidecar has brought it to its end."""
        cut_off = self.takeover is not None and self.takeover.cut is not None and self.takeover.mended is None
        return cut_off and self.rounds[-1].resolved is not None


def wiped(story: Story, last: Round) -> Story:
    """psql has exited, and left what `last` says."""
    return replace(story, rounds=(*story.rounds, last))


def continued(story: Story, seen: Seen) -> Story:
    """The story with what `seen` adds to it. What has happened stays, whatever is seen later."""
    incident = newest_incident(story, seen.sidecar)
    sidecar = seen.sidecar
    circuit_opened = story.circuit_opened
    if circuit_opened is None and sidecar is not None and sidecar.circuit_open:
        circuit_opened = seen.at
    left_alone = story.left_alone
    if left_alone is None and circuit_opened is not None and seen.at - circuit_opened >= story.patience:
        left_alone = seen.at
    return replace(
        story,
        rounds=(*story.rounds[:-1], _observed(story, story.rounds[-1], seen, incident)),
        receipts=story.receipts if seen.receipts is None else seen.receipts[story.healthy.receipts :],
        incident=story.incident if incident is None else incident.id,
        heals=story.heals if sidecar is None else sidecar.heals,
        circuit_opened=circuit_opened,
        left_alone=left_alone,
        takeover=(
            None
            if story.takeover is None
            else takeover.continued(story.takeover, seen, story.scenario.symptom)
        ),
    )


def _observed(story: Story, last: Round, seen: Seen, incident: IncidentSeen | None) -> Round:
    def first(already: float | None, now: bool, at: float = seen.at) -> float | None:
        return at if already is None and now else already

    last = replace(
        last,
        consumers=first(last.consumers, consumers_saw_it(story, seen), seen.api.at),
        restored=first(last.restored, whole(story.healthy, seen)),
    )
    for watcher in (seen.first, seen.sidecar):
        if watcher is not None:
            open_now = story.scenario.symptom in watcher.open
            last = replace(last, detected=first(last.detected, open_now, watcher.at))
    if seen.sidecar is None:
        return last
    earlier = {each.session for each in story.rounds[:-1]} - {None}  # each psql is a session of its own
    if incident is not None and incident.verdict is not None and incident.session not in earlier:
        last = replace(
            last,
            verdict=incident.verdict,
            session=incident.session,
            named=first(last.named, incident.session is not None),
        )
    # The sidecar's own word counts only for what can also be seen without it.
    if last.restored is None or incident is None:
        return last
    last = replace(last, proven=first(last.proven, incident.restored))
    over = last.proven is not None and incident.resolved and not seen.sidecar.open
    return replace(last, resolved=first(last.resolved, over))


def consumers_saw_it(story: Story, seen: Seen) -> bool:
    """Whether the API shows what the scenario makes of it: an honest 503, or every station as before."""
    if "station" in story.scenario.scope:
        return seen.api.status == 503 and seen.api.error == "CONTEXT_EMPTY"
    return seen.api.stations == story.healthy.stations


def whole(healthy: Healthy, seen: Seen) -> bool:
    """Every station by identifier and fixture member through the API, every row by SQL."""
    return seen.api.stations == healthy.stations and seen.rows == healthy.rows


def newest_incident(story: Story, sidecar: SidecarSeen | None) -> IncidentSeen | None:
    """The newest incident that was not there before the first wipe."""
    listed = () if sidecar is None else sidecar.incidents
    return next((incident for incident in listed if incident.id not in story.healthy.incidents), None)


# ---- telling it --------------------------------------------------------------------------------------------


def news(before: Story, after: Story) -> list[Beat]:
    """A beat for everything that is in `after` and not in `before`, in the order in which it happened."""
    beats = []
    if len(after.rounds) > len(before.rounds):
        beats.append(_wipe(after))
    channels = {receipt.channel for receipt in before.receipts}
    for receipt in after.receipts[len(before.receipts) :]:
        asks = receipt.channel == PAGE and receipt.body.startswith("You must act")
        beats.append(received(receipt, in_full=asks or receipt.channel not in channels))
        channels.add(receipt.channel)
    if len(after.rounds) == len(before.rounds):
        was, now = before.rounds[-1], after.rounds[-1]
        texts = {
            "consumers": _consumers(after),
            "detected": f'noticed: watchdog_incident_open{{symptom="{after.scenario.symptom}"}} is 1',
            "named": f"named: {verdict_and_session(now)}",
            "restored": f"restored: {_complete(after.healthy)}, equal to before",
            "proven": "verified: so says the sidecar's own proof (an empty plan, /stations complete)",
            "resolved": "resolved: ingestion has seen every LIVE station since",
        }
        for name, text in texts.items():
            at = getattr(now, name)
            if at is not None and getattr(was, name) is None:
                beats.append(Beat(text, at))
    if after.circuit_opened is not None and before.circuit_opened is None:
        text = f"healing has stopped after {plural(after.heals, 'heal')}: watchdog_heal_circuit_open is 1"
        beats.append(Beat(text, after.circuit_opened))
    if after.left_alone is not None and before.left_alone is None:
        beats.append(Beat(f"no further heal for {after.patience:g} s", after.left_alone))
    if before.takeover is not None and after.takeover is not None:
        beats += [Beat(text, at) for text, at in takeover.news(before.takeover, after.takeover)]
    return sorted(beats, key=lambda beat: beat.at or 0.0)


def _wipe(story: Story) -> Beat:
    last = story.rounds[-1]
    again = f" again, wipe {len(story.rounds)}" if len(story.rounds) > 1 else ""
    return Beat(f"psql {damage(story, last)}{again}, as {last.by}", last.wiped)


def damage(story: Story, last: Round) -> str:
    """What a wipe did, by SQL right after psql's exit: "emptied 7 tables (39 rows)"."""
    before = counted(story.healthy.rows)
    lost = {table: (before[table], rows) for table, rows in last.left.items() if rows < before[table]}
    gone = plural(sum(had - has for had, has in lost.values()), "row")
    tables = plural(len(lost), "table")
    if not lost:
        return "deleted nothing"
    if all(has == 0 for _, has in lost.values()):
        return f"emptied {tables} ({gone})"
    each = ", ".join(f"{name} {had} → {has}" for name, (had, has) in lost.items())
    return f"deleted {gone} of {tables} ({each})"


def verdict_and_session(last: Round) -> str:
    """What happened and who did it, as the sidecar says."""
    what = (last.verdict or "nothing is concluded").replace("_", " ")
    return f"{what}, by {last.session}" if last.session else f"{what}, by a session that is not named"


def _consumers(story: Story) -> str:
    if "station" in story.scenario.scope:
        return "the API answers 503 CONTEXT_EMPTY"
    return f"the API still answers with all {len(story.healthy.stations)} stations: nobody else would notice"


def _complete(healthy: Healthy) -> str:
    rows = sum(counted(healthy.rows).values())
    return f"{len(healthy.stations)} stations in the API, {rows} rows in {len(healthy.rows)} tables"


def received(receipt: Receipt, *, in_full: bool) -> Beat:
    """A message as the pager received it, or only its title."""
    verb = "paged" if receipt.channel == PAGE else "notified"
    if receipt.sender:
        verb += f" by the {receipt.sender} (key {receipt.key})"
    if not in_full:
        return Beat(f"{verb}: {receipt.title}", receipt.monotonic)
    return Beat(f"{verb}, as received:", receipt.monotonic, (receipt.title, *receipt.body.splitlines()))


def plural(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
