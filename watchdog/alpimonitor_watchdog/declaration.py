"""The sections of watchdog.toml, as the file is written. Every key is here; no other is accepted.

Frozen and strict: a number in quotes is not a number. Durations are written "500ms", "10s", "5m", "1h" and
read as seconds. What a key does not do yet is said in its description.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
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
from .durations import seconds
from .probe import json_path, names

_STATEMENT = re.compile(r"\s*(select|with|table|values|show)\b", re.IGNORECASE)


def _checked(check: Callable[[str], object]) -> AfterValidator:
    """Accept a text that `check` does not raise ValueError for."""

    def validate(value: str) -> str:
        check(value)
        return value

    return AfterValidator(validate)


def _check_address(value: str) -> None:
    try:
        parts = urlsplit(value)
        valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise ValueError("not an address; write it as http://host:port/path")
    if parts.password is not None:
        raise ValueError("an address with a password in it; it would be shown in logs and on the status page")


def _check_statement(value: str) -> None:
    if _STATEMENT.match(value) is None:
        raise ValueError(
            "not a statement that only reads; it has to begin with SELECT, WITH, TABLE, VALUES or SHOW"
        )


def _check_variable(value: str) -> None:
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", value) is None:
        raise ValueError(
            "not the name of an environment variable; the value itself does not belong in this file"
        )


def _check_channel_name(value: str) -> None:
    if re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,40}", value) is None:
        raise ValueError("not a name for a channel; write lower-case letters, digits, - and _")


def _default(name: str) -> float:
    """A default that the core declares, so that it is written once."""
    return float(getattr(Policy(), name))


Text = Annotated[str, Field(min_length=1)]
Duration = Annotated[float, BeforeValidator(seconds)]
Lasting = Annotated[Duration, Field(gt=0)]
Address = Annotated[Text, _checked(_check_address)]
Path = Annotated[Text, _checked(json_path.parse)]
Statement = Annotated[Text, _checked(_check_statement)]
Variable = Annotated[Text, _checked(_check_variable)]
Argv = Annotated[tuple[Text, ...], Field(min_length=1)]
Times = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


class Database(Section):
    url_env: Variable = Field(
        "WATCHDOG_DATABASE_URL", description="the variable that holds the database's URL"
    )
    environment: Text | None = Field(
        None, description="what the `deployment` row has to say; without effect until identities are compared"
    )
    application_role: Text | None = Field(
        None, description="the application's role; without effect until its rights are watched"
    )
    lock_prefix: Text = Field(
        "alpimonitor", description="advisory locks are keyed hashtextextended('PREFIX:change', 0)"
    )


class Table(Section):
    name: Annotated[Text, _checked(names.parse)] = Field(
        description='station, public.station or public."Station"'
    )
    kind: Literal["context", "operational"] = "context"
    expected: Annotated[int, Field(ge=0)] | None = Field(
        None, description="rows when healthy; needed for context"
    )
    floor: Annotated[int, Field(ge=0)] | None = Field(
        None, description="rows below which it has shrunk; default: expected"
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
    query: Statement = Field(description="returns the schema's revision as one text")
    allowed: Annotated[tuple[Text, ...], Field(min_length=1)]


class Ingestion(Section):
    """Either `url` and `json_path`, or `query`; probe/answers.py says what is read from what they give."""

    url: Address | None = None
    json_path: Path | None = None
    query: Statement | None = Field(None, description="one row: stations_seen, started_at, last_success_at")
    expected: Annotated[int, Field(ge=1)] = Field(description="stations that a run has to see")
    interval: Lasting = Field(600.0, description="between two runs")
    stale_after: Lasting = Field(
        1800.0, description="without effect until the symptom ingestion_stale exists"
    )

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.query is None) == (self.url is None) or (self.url is None) != (self.json_path is None):
            raise ValueError("give either `url` and `json_path`, or `query`")
        return self


class Health(Section):
    url: Address
    expect_json_path: Path | None = Field(None, description="none: the status 200 is enough")
    expect: StrictBool | StrictInt | StrictFloat | StrictStr | None = Field(
        None, description="the value at the path; for a list, a number is its length"
    )

    @model_validator(mode="after")
    def _both(self) -> Self:
        if (self.expect_json_path is None) != (self.expect is None):
            raise ValueError("`expect_json_path` and `expect` belong together")
        return self


class PolicySection(Section):
    interval: Annotated[Duration, Field(ge=0.1, le=3600)] = Field(1.0, description="between two looks")
    outside_interval: Annotated[Duration, Field(ge=0.5, le=3600)] = Field(
        2.0, description="between two looks at the health addresses; an API may limit the rate of requests"
    )
    timeout: Annotated[Duration, Field(ge=0.001, le=10)] = Field(
        0.05, description="of each statement of a look, and of its wait for a lock"
    )
    count_limit: Times = Field(
        10_000, description="rows that are counted exactly; beyond it a table counts as capped"
    )
    confirm_for: Annotated[Duration, Field(ge=0)] = _default("confirm_for")
    confirm_probes: Times = Policy().confirm_probes
    quiet_for: Annotated[Duration, Field(ge=0)] = Field(
        _default("quiet_for"), description="without effect until statements are recorded"
    )
    page_after: Annotated[Duration, Field(ge=0)] = _default("page_after")
    shrink_fraction: Annotated[float, Field(gt=0, le=1)] = Field(
        0.5, description="without effect until there is a last good state to compare with"
    )
    heal_budget: Times = Policy().heal_budget
    heal_window: Lasting = _default("heal_window")
    backoff_first: Lasting = _default("backoff_first")
    backoff_max: Lasting = _default("backoff_max")
    backoff_reset_after: Lasting = _default("backoff_reset_after")
    circuit_after_failures: Times = Policy().circuit_after_failures
    circuit_after_wipes: Times = Policy().circuit_after_wipes
    reminder_every: Lasting = _default("reminder_every")
    escalate_after: Lasting = _default("escalate_after")
    proof_within: Lasting = _default("proof_within")
    verify_grace: Lasting = _default("verify_grace")
    unreachable_after: Annotated[Duration, Field(ge=0)] = _default("unreachable_after")
    unhealthy_after: Annotated[Duration, Field(ge=0)] = _default("unhealthy_after")
    settle_after: Annotated[Duration, Field(ge=0)] = _default("settle_after")
    straggler_after: Annotated[Duration, Field(ge=0)] = _default("straggler_after")

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
    """Argument lists; no shell reads them."""

    plan: Argv = Field(description="prints {inserts, updates, deletes} and changes nothing")
    run: Argv
    after: tuple[Argv, ...] = Field((), description="programs that run once the context is back")
    base: Argv | None = Field(
        None, description="prints the fixture rows; without effect until snapshots are merged"
    )
    environment: dict[Text, str] = Field(default_factory=dict, repr=False)
    deadline: Lasting = Field(60.0, description="of each program")


class Healing(Section):
    mode: Mode = Field(Mode.DRY_RUN, description="on, dry-run (plans and says what it would do) or off")
    order: tuple[Literal["command"], ...] = Field(("command",), description="healers, first to last")


class Heal(Section):
    command: HealCommand | None = None


class Maintenance(Section):
    """Without effect until healing is held back in it."""

    reason: Text
    start: AwareDatetime
    end: AwareDatetime

    @model_validator(mode="after")
    def _forward(self) -> Self:
        if self.end <= self.start:
            raise ValueError("`end` is not after `start`")
        return self


class Channel(Section):
    name: Annotated[Text, _checked(_check_channel_name)] = Field(
        description="shown in logs, in metrics and on the page"
    )
    url_env: Variable = Field(
        description="the variable that holds its URL; NAME_FILE may name a file that does"
    )
    tags: Annotated[tuple[Tag, ...], Field(min_length=1)] = (Tag.NOTIFY,)
    required: bool = Field(True, description="false: left out, with a warning, while its variable is not set")


class Heartbeat(Section):
    """Without effect until the heartbeat is sent."""

    url_env: Variable
    every: Lasting = 60.0


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
