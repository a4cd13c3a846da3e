"""What one tick saw, what a healthy system looks like, and what is therefore wrong."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from .acts import Act
from .evidence import Activity, Record, RecorderSeen
from .fingerprint import Fingerprint, Identity
from .words import CONTEXT_LOSS, HealOutcome, Symptom, Unseen


@dataclass(frozen=True)
class TableSeen:
    """One guarded table in one probe. `rows` is None when it could not be counted, and `unseen` says why."""

    name: str
    exists: bool = True
    rows: int | None = None
    capped: bool = False  # rows is count_limit, and there are more
    unseen: Unseen | None = None
    locked_by: int | None = None  # backend pid
    detail: str = ""
    missing_columns: tuple[str, ...] = ()
    content: str | None = None  # hash of the rows when it was last taken; None: not taken


@dataclass(frozen=True)
class DatabaseSeen:
    """The guarded database in one probe. With `unseen` set nothing else in it means anything."""

    unseen: Unseen | None = None
    detail: str = ""
    tables: tuple[TableSeen, ...] = ()
    revision: str | None = None
    revision_unseen: Unseen | None = None
    in_recovery: bool = False
    read_only: bool = False
    subscribed: tuple[str, ...] = ()  # guarded tables that a subscription writes to
    change_held_by: int | None = None  # backend pid that holds the registry's `change` or `migration` lock
    name: str = ""
    identity: Identity | None = None  # None: could not be seen
    clock: datetime | None = None  # the database's, when the look began
    duration: float = 0.0  # seconds
    code: str | None = None  # SQLSTATE with which the server refused the sidecar; None: none, or not known
    fingerprint: Fingerprint | None = None  # None: none was due, or it could not be taken
    recorder: RecorderSeen | None = None  # None: it could not be asked
    activity: tuple[Activity, ...] = ()  # who was connected, where something was recorded or lost
    records: tuple[Record, ...] = ()  # rows of the evidence queries, not returned by an earlier look


@dataclass(frozen=True)
class HealthSeen:
    """One health address, as a consumer sees it."""

    url: str
    ok: bool
    detail: str = ""
    context_empty: bool = False  # answered 503 CONTEXT_EMPTY: a consequence of the context incident


@dataclass(frozen=True)
class IngestionSeen:
    """The last finished run of ingestion."""

    stations_seen: int
    started_at: datetime | None = None
    last_success_at: datetime | None = None
    success_age: float | None = None  # seconds since then by the clock of the look; None: not known
    archive_failures: int | None = None  # payloads in a row that could not be archived; None: not told
    archive_error: str = ""


@dataclass(frozen=True)
class OutsideSeen:
    """What was seen through the API, in one look that began `age` seconds before the observation."""

    age: float
    health: tuple[HealthSeen, ...] = ()
    ingestion: IngestionSeen | None = None
    deployment: str | None = None  # id of the deployment that the API says it serves


@dataclass(frozen=True)
class Attempt:
    """A heal that some sidecar began within the window, as the guarded database recorded it."""

    id: str
    age: float  # seconds, by the database's clock
    outcome: HealOutcome | None = None  # None: running, or never ended
    ours: bool = True
    ended: float | None = None  # seconds since its end was recorded; None: it was not


@dataclass(frozen=True)
class LeaderSeen:
    """Who of the sidecars heals. `leads`: this one holds the registry's `leader` lock, and knows it now."""

    leads: bool
    other: int | None = None  # backend pid of the one that does, where another is known
    episode: int | None = None  # the number under which the leader's present or next incident goes
    attempts: tuple[Attempt, ...] | None = None  # None: the database keeps no record, or cannot be asked


@dataclass(frozen=True)
class PlanSeen:
    """The healer's plan, in rows a table; `failed` says why there is none; `number` is the request's."""

    number: int = 0
    inserts: tuple[tuple[str, int], ...] = ()
    updates: tuple[tuple[str, int], ...] = ()
    deletes: tuple[tuple[str, int], ...] = ()
    failed: str = ""

    @property
    def rows_inserted(self) -> int:
        return sum(count for _, count in self.inserts)


@dataclass(frozen=True)
class HealSeen:
    """A heal that ended since the last tick."""

    id: str
    outcome: HealOutcome
    detail: str = ""


@dataclass(frozen=True)
class Observation:
    """All that one tick saw. `elapsed` is the monotonic seconds since the tick before (0 after a start)."""

    at: datetime
    elapsed: float
    database: DatabaseSeen
    outside: OutsideSeen | None = None  # the newest finished look; None before the first
    plan: PlanSeen | None = None  # a plan finished since the last tick
    heal: HealSeen | None = None
    after_done: bool = False  # what follows a heal has run
    recordable: bool = True  # whether the last save worked: no heal that could not be recorded
    leader: LeaderSeen | None = None  # None: there is no other sidecar to agree with
    acts: tuple[Act, ...] = ()  # what operators said since the last tick


@dataclass(frozen=True)
class TableExpected:
    """A guarded table as it is declared."""

    name: str
    context: bool
    floor: int  # rows below which it has shrunk
    expected: int  # rows when healthy


@dataclass(frozen=True)
class Expectation:
    """What a healthy system looks like; from the declaration, never from the database under suspicion."""

    tables: tuple[TableExpected, ...]
    revisions: frozenset[str] = frozenset()  # allowed; empty: any
    stations: int | None = None  # that a run of ingestion has to see; None: ingestion is not watched
    ingestion_interval: float = 600.0  # seconds between runs
    stale_after: float | None = None  # seconds without a successful run; None: not watched
    environment: str | None = None  # what the `deployment` row says of the right database; None: not declared
    health_watched: bool = False  # whether health addresses are declared


@dataclass(frozen=True)
class Loss:
    """A context table that has fewer rows than it should. `rows` is None when the table is gone."""

    table: str
    rows: int | None
    expected: int


@dataclass(frozen=True)
class Finding:
    """A symptom in one observation, and how long it has to last before it opens an incident."""

    symptom: Symptom
    detail: str
    losses: tuple[Loss, ...] = ()
    opens_after: float = 0.0
    opens_probes: int = 2
    pages: bool = True  # False: worth a notification, not worth waking anybody
    informs: bool = False  # it is told once, and stands in the way of nothing


@dataclass(frozen=True)
class Findings:
    """What one observation shows, and which symptoms it could say nothing about."""

    found: tuple[Finding, ...] = ()
    undetermined: frozenset[Symptom] = frozenset()

    @property
    def losses(self) -> tuple[Loss, ...]:
        return tuple(loss for finding in self.found for loss in finding.losses)

    @property
    def context_lost(self) -> bool:
        return any(finding.symptom in CONTEXT_LOSS for finding in self.found)

    @property
    def other_database(self) -> bool:
        """It is not the database of the last good state: what its rows show says nothing about that one."""
        return any(finding.symptom is Symptom.IDENTITY_CHANGED for finding in self.found)

    @property
    def context_whole(self) -> bool:
        """Every context table was seen, and none has lost anything."""
        return not self.context_lost and not self.undetermined & CONTEXT_LOSS

    @property
    def wrong(self) -> tuple[Finding, ...]:
        """What is wrong, without what only informs."""
        return tuple(finding for finding in self.found if not finding.informs)

    def clear_of(self, symptoms: frozenset[Symptom]) -> bool:
        """Nothing is wrong, and of `symptoms` each was looked at.

        What only informs counts where there is nothing else in `symptoms`.
        """
        informing = {finding.symptom for finding in self.found if finding.informs} & symptoms
        if self.wrong or self.undetermined & symptoms:
            return False
        return not informing or bool(symptoms - informing)
