"""How a demo is told: beats as lines for people, the whole as one JSON object for programs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.text import Text

from alpimonitor_rehearsal.processes import Child, said
from alpimonitor_rehearsal.proof import Unmet, verified
from alpimonitor_rehearsal.scenarios import Heals, Scenario
from alpimonitor_rehearsal.sightings import FIRST, Seen
from alpimonitor_rehearsal.stage import Props
from alpimonitor_rehearsal.story import Beat, Story, damage
from alpimonitor_rehearsal.takeover import keys, leader

CLOCK_WIDTH = 10  # "  12.34 s  "
INDENT = " " * (CLOCK_WIDTH + 4)

HOW_TO_BREAK_IT = Beat(
    "Break it yourself: alpimonitor demo --keep (./dev demo --keep in a checkout) stays up and prints how."
)


class Teller:
    """Writes beats as they happen: colours on a terminal, plain lines elsewhere."""

    def __init__(self, stream: TextIO) -> None:
        self._console = Console(file=stream, highlight=False, soft_wrap=True)
        self._zero: float | None = None

    def start_clock(self, zero: float) -> None:
        """From now on beats show their seconds since `zero`."""
        self._zero = zero

    def __call__(self, beat: Beat) -> None:
        first, *rest = lines(beat, self._zero)
        self._console.print(Text(first, style="bold red" if beat.failed else ""))
        for line in rest:
            self._console.print(Text(line, style="dim"))
        # A reader at the other end of a pipe waits for this very line.
        self._console.file.flush()


def lines(beat: Beat, zero: float | None) -> list[str]:
    """A beat as lines of plain text; `zero` is the monotonic second of the story's clock zero."""
    clock = "" if beat.at is None or zero is None else f"{beat.at - zero:.2f} s"
    return [
        f"{clock:>{CLOCK_WIDTH}}  {printable(beat.text)}".rstrip(),
        *(f"{INDENT}{printable(line)}".rstrip() for line in beat.body),
    ]


def printable(text: str) -> str:
    """What came from elsewhere cannot move the cursor or change the terminal."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def log_of(child: Child) -> Beat:
    """Where a process logs; its last words too when it is gone."""
    gone = child.exit_code is not None
    words = tuple(child.last_words()) if gone else ()
    text = f"{child.name} (pid {child.pid}) {said(child.exit_code)}; its log: {child.log}"
    return Beat(text, body=words, failed=gone)


def failure(missing: Unmet) -> Beat:
    return Beat(f"expected: {missing.expected}", body=(f"seen: {missing.seen}",), failed=True)


def introduction(scenario: str, lindas: str, policy: Mapping[str, str], folder: Path) -> Beat:
    """What is about to happen, and where it all is."""
    pace = ", ".join(f"{key} {value}" for key, value in policy.items())
    return Beat(
        f"Scenario {scenario}, LINDAS {lindas}, "
        + (
            f"the shipped policy with shorter durations: {pace}." if pace else "the shipped policy unchanged."
        ),
        body=(f"Everything is a real process of this machine; nothing is written outside {folder.parent}.",),
    )


def invitation(props: Props) -> Beat:
    """How to look around and break it oneself, while it stays up."""
    sidecar, first = props.addresses.sidecar, props.addresses.first
    another = () if first is None else (f"the first's    {first}/",)
    return Beat(
        "It stays up until Ctrl-C. Break it yourself:",
        body=(
            f"API          {props.addresses.api}/stations",
            f"status page  {sidecar}/",
            *another,
            f"metrics      {sidecar}/metrics",
            f"pager        {props.addresses.pager}/receipts",
            f"logs         {props.folder}",
            "psql, as the owner of the tables:",
            props.psql_line(),
            "and there, for instance:  TRUNCATE station CASCADE;",
            "ask and tell the sidecar, such as  watchdog diagnose  or  watchdog hold --reason looking:",
            props.command_line(),
        ),
    )


def summary(story: Story) -> str:
    """The figures in one line: the seconds after the first psql's exit."""
    first = story.rounds[0]
    told = {
        "noticed": first.detected,
        "notified": story.notified,
        "paged": story.paged,
        "taken over": story.takeover.taken_over if story.takeover else None,
        "restored": first.restored,
        "resolved": first.resolved,
    }
    figures = [f"{word} after {at - story.zero:.2f} s" for word, at in told.items() if at is not None]
    if story.paged is None:
        figures.append("nobody was paged")
    return ", ".join(figures)


def document(
    scenario: Scenario,
    story: Story | None,
    last: Seen | None,
    told: Sequence[Mapping[str, Any]],
    began: datetime | None,
) -> dict[str, Any]:
    """The demo as one object; null where something never happened.

    `told` is the sidecar's timeline of the incidents since the first wipe, `began` the wall clock at zero.
    Figures are seconds since the exit of the first psql. For a scenario that wipes again they are those of
    the first wipe; `verified` says how it ended. Where there are two sidecars it also says who led and who
    healed.
    """
    if story is None or last is None or not story.rounds or began is None:
        before = None if story is None else len(story.healthy.stations)
        return _object(scenario, stations_before=before)
    first = story.rounds[0]

    def seconds(at: float | None) -> float | None:
        return None if at is None else round(at - story.zero, 3)

    return _object(
        scenario,
        detected_seconds=seconds(first.detected),
        notified_seconds=seconds(story.notified),
        restored_seconds=seconds(first.restored),
        resolved_seconds=seconds(first.resolved),
        verified=verified(story, last),
        stations_before=len(story.healthy.stations),
        stations_after=_stations(last),
        incident=story.incident,
        verdict=story.rounds[-1].verdict,
        attribution=asdict(story.rounds[-1].session) if story.rounds[-1].session else None,
        notifications=[
            {
                "at": receipt.received_at,
                "seconds": seconds(receipt.monotonic),
                "channel": receipt.channel,
                **({"sidecar": receipt.sender, "key": receipt.key} if receipt.sender else {}),
                "title": receipt.title,
                "body": receipt.body,
            }
            for receipt in story.receipts
        ],
        timeline=sorted([*seen_from_outside(story, began), *told], key=lambda item: str(item["at"])),
        **_of_two(story, last, seconds),
    )


def _of_two(story: Story, last: Seen, seconds: Callable[[float | None], float | None]) -> dict[str, Any]:
    """What there is to say of two sidecars; nothing of one."""
    if story.takeover is None:
        return {}
    return {
        "leader_before": story.takeover.leader_before,
        "leader_after": leader(last),
        "cut_off_seconds": seconds(story.takeover.cut),
        "taken_over_seconds": seconds(story.takeover.taken_over),
        "incident_keys": keys(story.receipts, "opened"),
        "heals_recorded": None if last.recorded is None else len(last.recorded),
        "healed_by": ", ".join(sorted({heal.by for heal in last.recorded or ()})) or None,
    }


def seen_from_outside(story: Story, began: datetime) -> list[dict[str, Any]]:
    """Timeline items of what the demo saw itself: psql's deeds, and what consumers got."""

    def item(at: float, event: str, source: str, detail: str) -> dict[str, Any]:
        when = began + timedelta(seconds=at - story.zero)
        stamp = when.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {"at": stamp, "event": event, "source": source, "detail": detail}

    items = []
    for round_ in story.rounds:
        items.append(
            item(round_.wiped, "psql_exited", "operator", f"psql {damage(story, round_)}, as {round_.by}")
        )
        if round_.consumers is not None and "station" in story.scenario.scope:
            items.append(
                item(round_.consumers, "context_empty_answered", "api", "/stations: 503 CONTEXT_EMPTY")
            )
        if round_.restored is not None:
            detail = (
                f"/stations: {len(story.healthy.stations)} stations, equal to before, as is every row by SQL"
            )
            items.append(item(round_.restored, "stations_complete", "api", detail))
    network = story.takeover
    if network is not None and network.cut is not None:
        detail = f"nothing passes between the {FIRST} sidecar and the database"
        items.append(item(network.cut, "network_hangs", "operator", detail))
    if network is not None and network.mended is not None:
        items.append(item(network.mended, "network_mended", "operator", "it passes again"))
    return items


def _stations(last: Seen) -> int | None:
    """How many stations consumers get; None when the API does not answer."""
    if last.api.stations is not None:
        return len(last.api.stations)
    return 0 if last.api.error == "CONTEXT_EMPTY" else None


OF_TWO_SIDECARS: dict[str, Any] = {
    "leader_before": None,
    "leader_after": None,
    "cut_off_seconds": None,
    "taken_over_seconds": None,
    "incident_keys": {},
    "heals_recorded": None,
    "healed_by": None,
}
"""Members of the object where there are two, as long as nothing is known."""


def _object(scenario: Scenario, **known: Any) -> dict[str, Any]:
    of_two = OF_TWO_SIDECARS if scenario.heals is Heals.BY_ANOTHER else {}
    return {
        "scenario": scenario.name,
        "detected_seconds": None,
        "notified_seconds": None,
        "restored_seconds": None,
        "resolved_seconds": None,
        "verified": False,
        "stations_before": None,
        "stations_after": None,
        "incident": None,
        "verdict": None,
        "attribution": None,
        "notifications": [],
        "timeline": [],
        **of_two,
    } | known
