"""When to look, when to heal, by what, and when to leave it to people."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ..core.model import Policy
from ..core.words import Mode
from ..values import Argv, Duration, Lasting, Moment, Text, Times
from .section import Section

_LONGEST_MAINTENANCE = timedelta(days=7)


def _default(name: str) -> float:
    """A default that the core declares, so that it is written once."""
    return float(getattr(Policy(), name))


class PolicySection(Section):
    """When to look, when to heal and when to tell whom."""

    interval: Annotated[Duration, Field(ge=0.1, le=3600)] = Field(
        1.0, description="between two looks at the database"
    )
    outside_interval: Annotated[Duration, Field(ge=0.5, le=3600)] = Field(
        2.0, description="between two looks at the health addresses; an API may limit the rate of requests"
    )
    timeout: Annotated[Duration, Field(ge=0.001, le=10)] = Field(
        0.05,
        description="of each statement of a look, and of its wait for a lock; beyond it a table is not seen",
    )
    count_limit: Times = Field(
        10_000, description="rows that are counted exactly; beyond it a table counts as capped"
    )
    confirm_for: Annotated[Duration, Field(ge=0)] = Field(
        _default("confirm_for"), description="a loss has to be seen for as long before a heal begins"
    )
    confirm_probes: Times = Field(
        Policy().confirm_probes, description="looks in a row that have to see a loss before a heal begins"
    )
    quiet_for: Annotated[Duration, Field(ge=0)] = Field(
        _default("quiet_for"),
        description="what is lost has to stay the same for as long before a heal begins",
    )
    page_after: Annotated[Duration, Field(ge=0)] = Field(
        _default("page_after"), description="an incident that is not restored by then is paged"
    )
    shrink_fraction: Annotated[float, Field(gt=0, le=1)] = Field(
        _default("shrink_fraction"),
        description="a context table that lost more than this fraction of its last good rows has shrunk",
    )
    accept_after: Annotated[Duration, Field(ge=0)] = Field(
        _default("accept_after"),
        description="a change that lost no row and stays as it is for as long becomes the last good state",
    )
    clear_for: Annotated[Duration, Field(ge=0)] = Field(
        _default("clear_for"), description="what cleared by itself has to stay clear for as long to be over"
    )
    flap_window: Annotated[Duration, Field(ge=0)] = Field(
        _default("flap_window"),
        description="what comes again within it has to stay clear for twice as long, at most for this",
    )
    leader_lease: Annotated[Duration, Field(ge=0.5, le=60)] | None = Field(
        None,
        description="a sidecar that cannot reach the database for as long no longer heals, and another may; "
        "default: `interval`, at least 1s",
    )
    heal_budget: Times = Field(
        Policy().heal_budget, description="heals within `heal_window`; the next one is refused and paged"
    )
    heal_window: Lasting = Field(_default("heal_window"), description="in which heals are counted")
    backoff_first: Lasting = Field(
        _default("backoff_first"), description="after a heal, before the next one; doubles with each heal"
    )
    backoff_max: Lasting = Field(_default("backoff_max"), description="the longest that this pause becomes")
    backoff_reset_after: Lasting = Field(
        _default("backoff_reset_after"), description="healthy for as long, the pause begins anew"
    )
    circuit_after_failures: Times = Field(
        Policy().circuit_after_failures, description="heals failed in a row, after which healing stops itself"
    )
    circuit_after_wipes: Times = Field(
        Policy().circuit_after_wipes,
        description="heals whose rows were lost again, after which healing stops itself",
    )
    circuit_trial_after: Lasting = Field(
        _default("circuit_trial_after"),
        description="after healing stopped itself, before one heal may try; doubles when that is undone",
    )
    reminder_every: Lasting = Field(
        _default("reminder_every"), description="between two reminders of an incident that stays open"
    )
    escalate_after: Lasting = Field(
        _default("escalate_after"), description="an incident that is still open by then needs a person"
    )
    proof_within: Lasting = Field(
        _default("proof_within"),
        description="after a heal, for rows and health addresses to be right; else the heal has failed",
    )
    verify_grace: Lasting = Field(
        _default("verify_grace"),
        description="beyond ingestion's interval, for a run after the heal to see every station; "
        "else the incident is escalated",
    )
    unreachable_after: Annotated[Duration, Field(ge=0)] = Field(
        _default("unreachable_after"),
        description="a database that cannot be reached for as long is an incident",
    )
    unhealthy_after: Annotated[Duration, Field(ge=0)] = Field(
        _default("unhealthy_after"),
        description="a health address that fails, or a table that cannot be seen, for as long is an incident",
    )
    settle_after: Annotated[Duration, Field(ge=0)] = Field(
        _default("settle_after"),
        description="a wrong revision, or an ingestion that sees too little, for as long is an incident",
    )
    straggler_after: Annotated[Duration, Field(ge=0)] = Field(
        _default("straggler_after"), description="a single station not seen for as long is a warning"
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.backoff_first > self.backoff_max:
            raise ValueError("`backoff_first` is longer than `backoff_max`")
        if self.backoff_max > self.heal_window:
            raise ValueError(
                "`backoff_max` is longer than `heal_window`: a heal would be forgotten before it counts"
            )
        return self


class HealCommand(Section):
    """The healer `command`: programs of yours. Argument lists; no shell reads them."""

    plan: Argv = Field(description="prints `{inserts, updates, deletes}` as JSON and changes nothing")
    run: Argv = Field(description="puts the rows back; exit code 0 when it has")
    after: tuple[Argv, ...] = Field((), description="programs that run once the context is back")
    base: Argv | None = Field(
        None, description="prints the fixture rows; without effect until snapshots are merged"
    )
    environment: dict[Text, str] = Field(
        default_factory=dict,
        repr=False,
        description="for these programs only; `${NAME:-default}` is replaced",
    )
    deadline: Lasting = Field(
        60.0, description="of each program; beyond it its whole process group is killed, and the heal failed"
    )


class Healing(Section):
    """Whether to heal, and by what."""

    mode: Mode = Field(
        Mode.DRY_RUN, description="on; dry-run: decides and plans everything, and changes nothing; off"
    )
    order: tuple[Literal["command"], ...] = Field(("command",), description="healers, first to last")


class Heal(Section):
    command: HealCommand | None = None


class Maintenance(Section):
    """Planned work, as often as there is some: nothing is healed in it, and nobody is paged."""

    reason: Text = Field(description="what is being done, for whoever reads the page meanwhile")
    start: Moment = Field(description="when it begins")
    end: Moment = Field(description="when it is over, whether anybody thinks of it or not")

    @model_validator(mode="after")
    def _forward(self) -> Self:
        if self.end <= self.start:
            raise ValueError("`end` is not after `start`")
        if self.end - self.start > _LONGEST_MAINTENANCE:
            raise ValueError("a window longer than seven days is soon forgotten; declare several")
        return self
