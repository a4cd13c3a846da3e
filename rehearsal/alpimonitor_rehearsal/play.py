"""One scenario, played on a stage that is set: healthy, broken, watched to its end."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from alpimonitor_rehearsal import report
from alpimonitor_rehearsal.proof import unmet
from alpimonitor_rehearsal.roles import OWNER
from alpimonitor_rehearsal.scenarios import OPERATOR, Heals, Scenario
from alpimonitor_rehearsal.sightings import FIRST, Seen, counted
from alpimonitor_rehearsal.stage import Props, StageFailed
from alpimonitor_rehearsal.story import (
    Beat,
    Healthy,
    Round,
    Story,
    continued,
    news,
    verdict_and_session,
    wiped,
)
from alpimonitor_rehearsal.takeover import Takeover, leader
from alpimonitor_rehearsal.waiting import DeadlineExceeded, wait_until

LOOK_EVERY = 0.02  # seconds: with the looks themselves the resolution of what the pager does not measure
SETTLES_WITHIN = 30.0


@dataclass(frozen=True)
class Limits:
    """Seconds: for what is healed once, for what wears healing out, and then without any heal."""

    once: float
    worn_out: float
    left_alone: float


class Play:
    """A scenario being played: the story so far, and the last look at it."""

    def __init__(
        self,
        scenario: Scenario,
        limits: Limits,
        heal_budget: int,
        tell: report.Teller,
        clock: Callable[[], datetime],
    ) -> None:
        self._scenario = scenario
        self._limits = limits
        self._heal_budget = heal_budget
        self._tell = tell
        self._clock = clock
        self._story: Story | None = None
        self._last: Seen | None = None
        self._began: datetime | None = None
        self._incidents: list[Mapping[str, Any]] = []

    def on(self, props: Props) -> bool:
        """Play it, telling every beat as it happens. True when all that the scenario has to show held.

        Raises StageFailed when it cannot be played: it never was healthy, or psql failed.
        """
        healthy = self._healthy(props)
        two = self._two(props)
        watch = "both sidecars watch, the first leads" if two else "the sidecar watches"
        self._tell(Beat(f"healthy: {described(healthy)}; {watch}, no incident is open"))
        story = Story(self._scenario, healthy, self._heal_budget, self._limits.left_alone, takeover=two)
        self._story = self._wipe(props, story)
        self._began = self._clock() - timedelta(seconds=time.monotonic() - self._story.zero)
        self._tell.start_clock(self._story.zero)
        self._announce(story, self._story)
        # Out of time is an ending as well: what is missing is told below.
        with contextlib.suppress(DeadlineExceeded):
            wait_until(
                "the end of the scenario",
                lambda: self._is_over(props),
                deadline=(
                    self._limits.worn_out
                    if self._scenario.heals is Heals.UNTIL_THE_CIRCUIT_OPENS
                    else self._limits.once
                ),
                every=LOOK_EVERY,
            )
        return self._conclude(props)

    def document(self) -> dict[str, Any]:
        """The result as one object, also of a scenario that could not be played."""
        told = [item for incident in self._incidents for item in incident.get("timeline", [])]
        return report.document(self._scenario, self._story, self._last, told, self._began)

    def _healthy(self, props: Props) -> Healthy:
        def look() -> Healthy | None:
            self._last = seen = props.outside.look()
            if not seen.api.stations or seen.rows is None or not all(seen.rows.values()):
                return None
            if seen.sidecar is None or not seen.sidecar.up or seen.sidecar.open or seen.receipts is None:
                return None
            if props.network is not None and (
                seen.first is None or not seen.first.up or leader(seen) != FIRST
            ):
                return None
            known = frozenset(incident.id for incident in seen.sidecar.incidents)
            return Healthy(seen.api.stations, seen.rows, len(seen.receipts), known)

        try:
            return wait_until("healthy", look, deadline=SETTLES_WITHIN, every=LOOK_EVERY)
        except DeadlineExceeded as error:
            raise StageFailed(
                "expected: the API serves, every context table has rows, the sidecar sees no incident. "
                f"Seen: {self._last}"
            ) from error

    def _two(self, props: Props) -> Takeover | None:
        """How the two sidecars stand before anything is broken; None where there is one."""
        if props.network is None or self._last is None:
            return None
        incidents = self._last.first.incidents if self._last.first else ()
        return Takeover(leader(self._last), frozenset(incident.id for incident in incidents))

    def _wipe(self, props: Props, story: Story) -> Story:
        exited = props.psql(self._scenario.break_it)
        rows = props.outside.rows()
        if rows is None:
            raise StageFailed("expected: SQL shows what psql has left. Seen: the tables cannot be read")
        return wiped(story, Round(exited, counted(rows), by=f"{OWNER} (application_name {OPERATOR})"))

    def _is_over(self, props: Props) -> bool:
        """Look once, tell what is new, wipe again where the scenario does. True when it is over."""
        assert self._story is not None
        gone = props.ended()  # before the look: what they did in their last moment is still seen
        self._last = props.outside.look()
        before, self._story = self._story, continued(self._story, self._last)
        self._announce(before, self._story)
        if gone or not unmet(self._story, self._last):
            return True
        if self._story.to_be_wiped_again:
            before, self._story = self._story, self._wipe(props, self._story)
            self._announce(before, self._story)
        self._change_network(props)
        return False

    def _change_network(self, props: Props) -> None:
        """Cut the first sidecar off where the scenario does, and end that again."""
        story = self._story
        if story is None or story.takeover is None or props.network is None:
            return
        if story.to_be_cut_off:
            props.network.hang()
            takeover = replace(story.takeover, cut=time.monotonic())
        elif story.to_be_mended:
            props.network.heal()
            takeover = replace(story.takeover, mended=time.monotonic())
        else:
            return
        self._story = replace(story, takeover=takeover)
        self._announce(story, self._story)

    def _announce(self, before: Story, after: Story) -> None:
        for beat in news(before, after):
            self._tell(beat)

    def _conclude(self, props: Props) -> bool:
        story, last = self._story, self._last
        assert story is not None
        assert last is not None
        known = story.healthy.incidents
        listed = last.sidecar.incidents if last.sidecar else ()
        self._incidents = [props.outside.sidecar.incident(each.id) for each in listed if each.id not in known]
        missing = unmet(story, last)
        gone = props.ended()
        if not missing and not gone:
            self._tell(Beat(f"It held: {report.summary(story)}."))
            self._tell(Beat(f"What happened, and who did it: {verdict_and_session(story.rounds[-1])}"))
            return True
        for unmet_thing in missing:
            self._tell(report.failure(unmet_thing))
        for child in props.processes.children:
            self._tell(report.log_of(child))
        return False


def described(healthy: Healthy) -> str:
    """What is there before anything is broken."""
    counts = counted(healthy.rows)
    return f"{len(healthy.stations)} stations, {sum(counts.values())} rows in {len(counts)} tables"
