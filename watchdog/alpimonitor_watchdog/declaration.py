"""The sections of watchdog.toml, as the file is written. Every key is here; no other is accepted.

Frozen and strict: a number in quotes is not a number. Durations are written "500ms", "10s", "5m", "1h" and
read as seconds. Each section's docstring and each key's description are what the settings reference says of
it; what a key does not do yet is said there.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    model_validator,
)

from .core.model import Policy
from .core.words import Mode, Tag
from .probe import names
from .values import (
    Address,
    Argv,
    ChannelName,
    Duration,
    Lasting,
    Moment,
    Path,
    Statement,
    Text,
    Times,
    Variable,
    Written,
    checked,
)


def _default(name: str) -> float:
    """A default that the core declares, so that it is written once."""
    return float(getattr(Policy(), name))


_LONGEST_MAINTENANCE = timedelta(days=7)


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


class Database(Section):
    """The guarded database."""

    url_env: Variable = Field(
        "WATCHDOG_DATABASE_URL",
        description="the variable that holds the database's URL, for a role that only reads",
    )
    environment: Text | None = Field(
        None,
        description="what the `deployment` row has to say; without it a database never seen whole is "
        "healed only once an operator has adopted it",
    )
    application_role: Text | None = Field(
        None, description="the application's role; without effect until its rights are watched"
    )
    lock_prefix: Text = Field(
        "alpimonitor", description="advisory locks are keyed `hashtextextended('PREFIX:change', 0)`"
    )


class Table(Section):
    """A guarded table, as often as there are tables. At least one has to be declared."""

    name: Annotated[Text, checked(names.parse), Written("name, with or without schema")] = Field(
        description='as in SQL: `station`, `public.station` or `public."Station"`'
    )
    kind: Literal["context", "operational"] = Field(
        "context",
        description="context: a loss opens an incident and is healed; operational: counted and shown only",
    )
    expected: Annotated[int, Field(ge=0)] | None = Field(
        None, description="rows when healthy; needed for a context table"
    )
    floor: Annotated[int, Field(ge=0)] | None = Field(
        None, description="rows below which it has shrunk; absent: `expected`"
    )
    columns: tuple[Text, ...] = Field((), description="columns that have to be there; none: not looked at")

    @model_validator(mode="after")
    def _counts(self) -> Self:
        if self.kind == "context" and self.expected is None:
            raise ValueError("a context table needs `expected`, the rows it has when healthy")
        if (self.floor or 0) > (self.expected or 0):
            raise ValueError("`floor` is above `expected`: a healthy table would count as shrunk")
        return self


class Revision(Section):
    """The schema that a heal may write to. Absent: any."""

    query: Statement = Field(description="returns the schema's revision as one text")
    allowed: Annotated[tuple[Text, ...], Field(min_length=1)] = Field(
        description="revisions with which nothing is wrong; with any other nothing is healed"
    )


class Ingestion(Section):
    """What has to see every station again before an incident is resolved.

    Read either over HTTP (`url` and `json_path`) or by SQL (`query`).
    """

    url: Address | None = Field(
        None, description="answers with a JSON document; `${NAME:-default}` is replaced"
    )
    json_path: Path | None = Field(
        None,
        description="where that document has the last run, with `stationsSeenCount`, `startedAt`, "
        "`completedAt` and `status`; `lastSuccessAt` and `archive` are read beside it, and "
        "`deployment.id` at the top",
    )
    query: Statement | None = Field(
        None,
        description="one row: `stations_seen` and, as far as it is known, `started_at` and `last_success_at` "
        "(timestamptz), `archive_failures` (payloads in a row that were not archived) and `archive_error`; "
        "or the first three in that order, under any names",
    )
    expected: Annotated[int, Field(ge=1)] = Field(description="stations that a run has to see")
    interval: Lasting = Field(
        600.0, description="between two runs; the proof of a heal waits for one, and `verify_grace` more"
    )
    stale_after: Lasting = Field(
        1800.0, description="without a successful run for as long, ingestion is stale"
    )

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.query is None) == (self.url is None) or (self.url is None) != (self.json_path is None):
            raise ValueError("give either `url` and `json_path`, or `query`")
        return self


class Health(Section):
    """An address that consumers use, as often as there are addresses. A heal is proven by them, too."""

    url: Address = Field(description="has to answer 200; `${NAME:-default}` is replaced")
    expect_json_path: Path | None = Field(
        None, description="where the answer has the value of `expect`; absent: the status 200 is enough"
    )
    expect: StrictBool | StrictInt | StrictFloat | StrictStr | None = Field(
        None, description="the value at the path; for a list, a number is its length"
    )

    @model_validator(mode="after")
    def _both(self) -> Self:
        if (self.expect_json_path is None) != (self.expect is None):
            raise ValueError("`expect_json_path` and `expect` belong together")
        return self


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


class Channel(Section):
    """Where notifications go, as often as there are places. Without any, nobody is notified."""

    name: ChannelName = Field(description="shown in logs, in metrics and on the page")
    url_env: Variable = Field(
        description="the variable that holds its apprise URL; NAME_FILE may name a file that does"
    )
    tags: Annotated[tuple[Tag, ...], Field(min_length=1)] = Field(
        (Tag.NOTIFY,),
        description="notify: hears of everything at once; page: only of what needs a person",
    )
    required: bool = Field(
        True,
        description="false: left out, with a warning, while its variable is not set; true: fatal at start",
    )


class Heartbeat(Section):
    """A sign of life to somebody who misses it. Without effect until the heartbeat is sent."""

    url_env: Variable = Field(description="the variable that holds the address")
    every: Lasting = Field(60.0, description="between two signs")


class Declaration(Section):
    """watchdog.toml as a whole."""

    database: Database = Database()
    table: Annotated[tuple[Table, ...], Field(min_length=1)]
    revision: Revision | None = None
    ingestion: Ingestion | None = None
    health: tuple[Health, ...] = ()
    policy: PolicySection = PolicySection()
    healing: Healing = Healing()
    heal: Heal = Heal()
    maintenance: tuple[Maintenance, ...] = ()
    channel: tuple[Channel, ...] = ()
    heartbeat: Heartbeat | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for kind, found in (
            ("table", [t.name for t in self.table]),
            ("channel", [c.name for c in self.channel]),
        ):
            twice = sorted({name for name in found if found.count(name) > 1})
            if twice:
                raise ValueError(f"[[{kind}]] {twice[0]!r} is declared twice")
        for table in self.table:
            if (table.expected or 0) > self.policy.count_limit:
                raise ValueError(
                    f"[[table]] {table.name!r} expects more rows than [policy] count_limit counts "
                    f"({self.policy.count_limit}); raise count_limit above {table.expected}"
                )
        return self
