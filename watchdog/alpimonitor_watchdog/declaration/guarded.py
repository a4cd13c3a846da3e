"""What is guarded, and what a healthy system looks like."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, StrictBool, StrictFloat, StrictInt, StrictStr, model_validator

from ..probe import names
from ..values import Address, Lasting, Path, QueryName, Select, Statement, Text, Variable, Written, checked
from .section import Section

_SENT_ALONG = (
    "the variable that holds a bearer token to send there, and only there; NAME_FILE may name a file that "
    "does; while neither is set, none is sent"
)


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
        None,
        description="the application's role: whether it may still read each context table is evidence, "
        "and tells a lost right from lost rows",
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
    token_env: Variable | None = Field(None, description=_SENT_ALONG)
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
        if self.token_env is not None and self.url is None:
            raise ValueError("`token_env` is sent to `url`, which is not given")
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
    token_env: Variable | None = Field(None, description=_SENT_ALONG)

    @model_validator(mode="after")
    def _both(self) -> Self:
        if (self.expect_json_path is None) != (self.expect is None):
            raise ValueError("`expect_json_path` and `expect` belong together")
        return self


class Evidence(Section):
    """What the application itself records, copied out of the database around a destructive statement."""

    queries: dict[QueryName, Select] = Field(
        default_factory=dict,
        description="each one SELECT that the sidecar's role may run, the newest rows first: 50 are read at "
        "most, each is kept once; run in a transaction that only reads, with a time-out of its own",
    )
